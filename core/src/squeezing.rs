//! The squeezing effect: what one negative step does to every label.
//!
//! Setting (paper: §3.3, App. E): softmax regression with frozen features, one step of gradient
//! *ascent* on the loss of y⁻, with the effective step size s = η‖φ‖² > 0:
//!
//! ```text
//! z′ = z + s·v,   v = π − e_y;      α_i = π′_i / π_i = e^{s v_i} / Z,   Z = Σ_j π_j e^{s v_j}
//! τ(s) = (1/s)·log Z;               y* = argmax_{i≠y} π_i
//! ```
//!
//! Everything here is exact, for every s, as long as π is the softmax of finite logits. Claims
//! are functions that return a [`Witness`]: the label at which the claim is tightest, and by how
//! much it holds there.
//!
//! | id | claim | item |
//! |---|---|---|
//! | N1 | y falls, and falls most | [`NegativeStep::label_falls_most`] |
//! | N2 | y* rises, and rises most | [`NegativeStep::runner_up_rises_most`] |
//! | N3 | among the others the odds of the likelier grow | [`NegativeStep::log_odds_change`] |
//! | N4 | i ≠ y rises exactly if π_i > τ(s); τ does not decrease in s | [`NegativeStep::threshold`] |
//! | N5 | as s → 0, τ → ‖π‖² − π_y | [`small_step_threshold`] |
//! | N6 | if π_{y*} > 1/√3, every label but y* falls, for every s | [`NegativeStep::all_others_fall`] |
//! | N7 | log α_i(s) is concave; α_{y*} increases and α_y decreases in s | [`NegativeStep::log_growth`] |
//! | N9 | unlearning a less likely label leaves *every* third label less | [`third_labels_gain_more`] |
//! | N12 | uniform π: every other label grows by V/(V − 1 + e^{−s}) | [`uniform_growth`] |
//!
//! # What does not hold
//!
//! That the mass mostly goes to y*; that all other labels fall without the condition of N6; that a
//! less likely y⁻ gives y* more (N9 says the opposite); that a larger step, or a peakier π, amplifies
//! everything. Each has a counter-example among the statements of the proofs.

use crate::simplex::Distribution;
use crate::{Error, Real};

/// By how much a claim holds, and where it is tightest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Witness<T> {
    /// The label at which the claim is tightest.
    pub label: usize,
    /// Nats by which the claim holds there; negative where it fails. Rounding can make it
    /// negative by a few ulp where the claim holds with equality.
    pub margin: T,
}

impl<T: Real> Witness<T> {
    fn tightest(margins: impl Iterator<Item = (usize, T)>) -> Option<Self> {
        margins.fold(None, |worst, (label, margin)| match worst {
            Some(Witness { margin: m, .. }) if m <= margin || m.is_nan() => worst,
            _ => Some(Witness { label, margin }),
        })
    }
}

/// One negative step on a label: π, y and s, with log α_{y*}.
///
/// Making one costs O(V); each question about a label then costs O(1).
#[derive(Clone, Copy, Debug)]
pub struct NegativeStep<'a, T> {
    pi: Distribution<'a, T>,
    label: usize,
    step: T,
    runner_up: usize,
    log_top_growth: T,
}

impl<'a, T: Real> NegativeStep<'a, T> {
    /// The step of size `step` = η‖φ‖² away from `label`.
    ///
    /// # Method
    ///
    /// log α_{y*} = −log Σ_j π_j e^{s(v_j − v_{y*})} by log1p and expm1: all terms have one sign, so
    /// N2 holds in rounded numbers too, and small steps keep their digits.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if `label` ≥ V; [`Error::Range`] if V < 2 or unless 0 < s < ∞.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::{simplex::Distribution, squeezing::NegativeStep};
    /// let pi = [0.5_f64, 0.25, 0.25];
    /// let step = NegativeStep::new(Distribution::new(&pi)?, 2, 0.1)?;
    /// assert_eq!(step.runner_up(), 0);
    /// assert!(step.log_growth(2)? < 0.0 && step.log_growth(0)? > step.log_growth(1)?);
    /// assert!(NegativeStep::new(Distribution::new(&pi)?, 2, -0.1).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(pi: Distribution<'a, T>, label: usize, step: T) -> Result<Self, Error> {
        if !(step > T::ZERO && step.is_finite()) {
            let found = step.to_f64();
            return Err(Error::Range { name: "step", found, expected: "a finite number > 0" });
        }
        let Some(runner_up) = pi.runner_up(label)? else {
            return Err(Error::Range { name: "vocab", found: 1.0, expected: "at least 2 labels" });
        };
        let top = pi.as_slice()[runner_up].to_f64();
        let s = step.to_f64();
        let below_top = |i: usize, p: f64| s * (direction(i, p, label) - top);
        let change = pi.expectation(|i, p| below_top(i, p).exp_m1());
        let log_mean =
            if change > -0.5 { change.ln_1p() } else { pi.expectation(|i, p| below_top(i, p).exp()).ln() };
        Ok(NegativeStep { pi, label, step, runner_up, log_top_growth: T::from_f64(-log_mean) })
    }

    /// y*, the most likely label other than y (among equals the first).
    pub fn runner_up(&self) -> usize {
        self.runner_up
    }

    /// log α_i = log π′_i − log π_i, in nats.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if i ≥ V.
    pub fn log_growth(&self, i: usize) -> Result<T, Error> {
        self.pi.check(i)?;
        Ok(self.growth_of(i))
    }

    fn growth_of(&self, i: usize) -> T {
        self.step * (self.direction(i) - self.direction(self.runner_up)) + self.log_top_growth
    }

    fn direction(&self, i: usize) -> T {
        T::from_f64(direction(i, self.pi.as_slice()[i].to_f64(), self.label))
    }

    fn labels(&self) -> impl Iterator<Item = (usize, T)> + '_ {
        (0..self.pi.vocab()).map(|i| (i, self.growth_of(i)))
    }

    /// π′, written to `out`.
    ///
    /// # Shapes
    ///
    /// `out`: V.
    ///
    /// # Errors
    ///
    /// [`Error::Length`].
    pub fn after_into(&self, out: &mut [T]) -> Result<(), Error> {
        if out.len() != self.pi.vocab() {
            return Err(Error::Length { name: "out", found: out.len(), expected: self.pi.vocab() });
        }
        for ((o, &p), (_, growth)) in out.iter_mut().zip(self.pi.as_slice()).zip(self.labels()) {
            *o = p * growth.exp();
        }
        Ok(())
    }

    /// τ(s) = (1/s)·log Z: a label i ≠ y rises exactly if π_i > τ(s) (N4).
    ///
    /// Between π_y − 1 and π_{y*}; it does not decrease in s, from ‖π‖² − π_y to π_{y*}: the set of
    /// labels that rise shrinks as the step grows.
    pub fn threshold(&self) -> T {
        self.direction(self.runner_up) - self.log_top_growth / self.step
    }

    /// How many labels rise.
    pub fn risers(&self) -> usize {
        self.labels().filter(|&(_, growth)| growth > T::ZERO).count()
    }

    /// N1: log α_y < 0, and no label has less.
    pub fn label_falls_most(&self) -> Witness<T> {
        let own = self.growth_of(self.label);
        let margins = self.labels().map(|(i, growth)| (i, if i == self.label { -own } else { growth - own }));
        Witness::tightest(margins).unwrap_or(Witness { label: self.label, margin: -own })
    }

    /// N2: log α_{y*} > 0, and no label has more.
    pub fn runner_up_rises_most(&self) -> Witness<T> {
        let top = self.log_top_growth;
        let margins =
            self.labels().map(|(i, growth)| (i, if i == self.runner_up { top } else { top - growth }));
        Witness::tightest(margins).unwrap_or(Witness { label: self.runner_up, margin: top })
    }

    /// N3: Δ log(π_i/π_j) = s(v_i − v_j): s(π_i − π_j) for i, j ≠ y, so the likelier of two gains on
    /// the other; s(1 + π_i − π_y) > 0 against y itself.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if i ≥ V or j ≥ V.
    pub fn log_odds_change(&self, i: usize, j: usize) -> Result<T, Error> {
        self.pi.check(i)?;
        self.pi.check(j)?;
        Ok(self.step * (self.direction(i) - self.direction(j)))
    }

    /// N6: if π_{y*} > 1/√3, every label but y* falls; `None` if π_{y*} is not that large.
    ///
    /// The bound is sharp: just below it π = (m, (1−m)/2, (1−m)/2) has a second riser at small s.
    pub fn all_others_fall(&self) -> Option<Witness<T>> {
        let top = self.pi.as_slice()[self.runner_up].to_f64();
        if top * top * 3.0 <= 1.0 {
            return None;
        }
        let others = self.labels().filter(|&(i, _)| i != self.runner_up);
        Witness::tightest(others.map(|(i, growth)| (i, -growth)))
    }
}

/// v_i = π_i − [i = y].
fn direction(i: usize, p: f64, label: usize) -> f64 {
    if i == label { p - 1.0 } else { p }
}

/// N5: ‖π‖² − π_y, the limit of τ(s) as s → 0. Where π_y ≥ ‖π‖², every other label rises at first.
///
/// # Errors
///
/// [`Error::Label`] if `label` ≥ V.
///
/// # Examples
///
/// ```
/// use ldyn_core::{simplex::Distribution, squeezing::small_step_threshold};
/// let pi = [0.75_f64, 0.25];
/// assert_eq!(small_step_threshold(&Distribution::new(&pi)?, 1)?, 0.375);
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn small_step_threshold<T: Real>(pi: &Distribution<'_, T>, label: usize) -> Result<T, Error> {
    pi.check(label)?;
    Ok(pi.sum_sq() - pi.as_slice()[label])
}

/// N9: with π_a < π_b, unlearning `a` gives every label other than a and b a *smaller* growth than
/// unlearning `b` does, y* included. `None` unless π_a < π_b and V > 2.
///
/// The margin is log α_k(b) − log α_k(a), which is the same for each such k.
///
/// # Errors
///
/// As [`NegativeStep::new`].
pub fn third_labels_gain_more<T: Real>(
    pi: Distribution<'_, T>,
    a: usize,
    b: usize,
    step: T,
) -> Result<Option<Witness<T>>, Error> {
    let (from_a, from_b) = (NegativeStep::new(pi, a, step)?, NegativeStep::new(pi, b, step)?);
    if pi.as_slice()[a] >= pi.as_slice()[b] {
        return Ok(None);
    }
    let third = (0..pi.vocab()).filter(|&k| k != a && k != b);
    Ok(Witness::tightest(third.map(|k| (k, from_b.growth_of(k) - from_a.growth_of(k)))))
}

/// N12: log α_i = log(V / (V − 1 + e^{−s})) for each i ≠ y if π is uniform over V labels.
pub fn uniform_growth<T: Real>(vocab: usize, step: T) -> T {
    -((-step).exp_m1() / T::from_f64(vocab as f64)).ln_1p()
}
