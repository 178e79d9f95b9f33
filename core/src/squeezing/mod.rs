//! The squeezing effect: what a step does to every label, not only to the one it is about.
//!
//! Setting (paper: §3.3, App. E): softmax regression with frozen features, a step of the effective
//! size s = η‖φ‖² > 0:
//!
//! ```text
//! negative step:  z′ = z + s·v,   v = π − e_y        gradient ascent on −log π(y): y is unlearned
//! positive step:  z′ = z − s·v                       the ordinary step: y is learned
//! α_i = π′_i / π_i = e^{±s v_i} / Z,   Z = Σ_j π_j e^{±s v_j};      y* = argmax_{i≠y} π_i
//! ```
//!
//! Everything here is exact, for every s, as long as π is the softmax of finite logits, except where
//! a rate (a derivative at s = 0) is named as one. Claims are functions that return a [`Witness`]:
//! the label at which the claim is tightest, and by how much it holds there; a claim with a condition
//! returns `None` where the condition is not met.
//!
//! | what | item |
//! |---|---|
//! | one negative step, N1–N8, N11, N12 | [`NegativeStep`], [`small_step_threshold`], [`uniform_growth`] |
//! | one positive step, L1–L5, L7 | [`PositiveStep`] |
//! | both in one context, or in two whose features overlap, P1–P11 | [`PairStep`], [`TwoContexts`] |
//! | the same step again and again, T1–T9, L6, L8 | [`Trajectory`], [`repeated`] |
//! | smoothing, momentum, decay, RMSprop, M1–M6 | [`SmoothedStep`], [`Trajectory`], [`SignStep`] |
//! | drift and entropy of small steps, N10, N11 | [`drift_into`], [`replicator_drift_into`], [`entropy_rate`] |
//! | which label is unlearned, and how likely it and the others were, N9, C1–C8 | [`third_labels_gain_more`], [`FixedProportions`], [`third_labels_lose_after_transfer`], [`least_likely_falls_more`] |
//!
//! # What does not hold
//!
//! That the mass mostly goes to y*; that all other labels fall without the condition of N6; that a
//! less likely y⁻ gives y* more (N9 says the opposite); that a larger step, or a peakier π, amplifies
//! everything; that a positive step lowers all other labels, or keeps their order; that y* rises
//! under weight decay. Each has a counter-example among the statements of the proofs.

mod compare;
mod contexts;
pub(crate) mod growth;
mod modifiers;
mod negative;
mod pair;
mod positive;
mod rates;
pub mod repeated;
mod trajectory;

pub use compare::{
    FixedProportions, least_likely_falls_more, third_labels_gain_more, third_labels_lose_after_transfer,
};
pub use contexts::{ContextStep, TwoContexts};
pub use modifiers::{SignStep, SmoothedStep};
pub use negative::{NegativeStep, small_step_threshold, uniform_growth};
pub use pair::PairStep;
pub use positive::PositiveStep;
pub use rates::{drift_into, entropy_rate, replicator_drift_into};
pub use trajectory::Trajectory;

use crate::simplex::Distribution;
use crate::{Error, Real};

/// By how much a claim holds, and where it is tightest.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Witness<T> {
    /// The label at which the claim is tightest.
    pub label: usize,
    /// Nats by which the claim holds there; negative where it fails. Rounding can make it
    /// negative by a few ulp where the claim holds with equality.
    pub margin: T,
}

impl<T: Real> Witness<T> {
    /// The smallest of margins in `f64`; `None` if there are none.
    pub(crate) fn tightest(margins: impl Iterator<Item = (usize, f64)>) -> Option<Self> {
        let worst = margins.fold(None, |worst, (label, margin)| match worst {
            Some((_, m)) if m <= margin || f64::is_nan(m) => worst,
            _ => Some((label, margin)),
        });
        worst.map(|(label, margin)| Witness { label, margin: T::from_f64(margin) })
    }

    /// The smallest of margins, of which `first` is one.
    fn tightest_from(first: (usize, f64), others: impl Iterator<Item = (usize, f64)>) -> Self {
        let at_first = Witness { label: first.0, margin: T::from_f64(first.1) };
        Witness::tightest([first].into_iter().chain(others)).unwrap_or(at_first)
    }
}

/// Where the mass goes in one step: changes of probability, which add up to 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ledger<T> {
    /// Change of π_y.
    pub label: T,
    /// Change of π_{y*}.
    pub runner_up: T,
    /// What the others that rise gain, in all.
    pub risen: T,
    /// What the others that fall lose, in all; ≤ 0.
    pub fallen: T,
}

fn check_step<T: Real>(step: T) -> Result<f64, Error> {
    let found = step.to_f64();
    if step > T::ZERO && step.is_finite() {
        Ok(found)
    } else {
        Err(Error::Range { name: "step", found, expected: "a finite number > 0" })
    }
}

fn check_runner_up<T: Real>(pi: &Distribution<'_, T>, label: usize) -> Result<usize, Error> {
    let alone = Error::Range { name: "vocab", found: 1.0, expected: "at least 2 labels" };
    pi.runner_up(label)?.ok_or(alone)
}

/// log(eᵃ + eᵇ); −∞ for a sum of nothing.
fn log_add_exp(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}
