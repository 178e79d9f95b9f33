//! What all steps share: the growth of every label when the logits are tilted.

use super::Ledger;
use crate::simplex::Distribution;
use crate::sweep::{range, sum_of_pairs, wide};
use crate::{Error, Real};

/// weight·(target·e_label − π): a pull towards a label, or away from it where the weight is negative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pull {
    pub(crate) label: usize,
    pub(crate) weight: f64,
    pub(crate) target: f64,
}

impl Pull {
    pub(crate) fn towards(label: usize, weight: f64) -> Pull {
        Pull { label, weight, target: 1.0 }
    }

    #[inline(always)]
    pub(crate) fn on(&self, i: usize, p: f64) -> f64 {
        self.weight * (if i == self.label { self.target - p } else { -p })
    }
}

/// Δ_i where the first pull is on a distribution with q at i, and the second on one with p.
#[inline(always)]
fn delta(pulls: &[Pull; 2], i: usize, q: f64, p: f64) -> f64 {
    pulls[0].on(i, q) + pulls[1].on(i, p)
}

/// Σ π (e^(Δ − origin) − 1), with the first pull on `from`. The labels of the pulls are taken by
/// themselves, so that the loops over all others need not look for them.
fn change<T: Real>(pi: &[T], from: &[T], pulls: &[Pull; 2], origin: f64) -> f64 {
    let [a, b] = [pulls[0].label.min(pulls[1].label), pulls[0].label.max(pulls[1].label)];
    let own = |i: usize| {
        let p = pi[i].to_f64();
        p * (delta(pulls, i, from[i].to_f64(), p) - origin).exp_m1_clamped()
    };
    let [w0, w1] = [pulls[0].weight, pulls[1].weight];
    let parts = [0..a, (a + 1).min(b)..b, b + 1..pi.len()];
    let others = |part: core::ops::Range<usize>| {
        wide(
            #[inline(always)]
            || {
                sum_of_pairs(
                    &pi[part.clone()],
                    &from[part],
                    #[inline(always)]
                    |p, q| p * ((w0 * -q + w1 * -p) - origin).exp_m1_clamped(),
                )
            },
        )
    };
    own(a) + if a == b { 0.0 } else { own(b) } + parts.into_iter().map(others).sum::<f64>()
}

/// The softmax of z + Δ beside that of z, where Δ is the sum of two pulls. The first may come from another
/// context, where it is on another distribution.
///
/// ```text
/// log α_i = Δ_i − log Σ_j π_j e^{Δ_j}
/// ```
///
/// It is known by its values at the labels with the largest and the smallest Δ, whose signs are
/// certain: log α ≥ 0 at the one, ≤ 0 at the other. All other labels follow from the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth<'a, T> {
    pi: Distribution<'a, T>,
    from: Distribution<'a, T>,
    pulls: [Pull; 2],
    top_delta: f64,
    log_top: f64,
    low_delta: f64,
    log_low: f64,
}

impl<'a, T: Real> Growth<'a, T> {
    /// `top` and `low` have the largest and the smallest Δ.
    ///
    /// The sum relative to the top has terms of one sign, and so has the sum relative to the low; the
    /// second is needed only where log α_low would be a small difference of large numbers.
    pub(crate) fn new(pi: Distribution<'a, T>, pulls: [Pull; 2], top: usize, low: usize) -> Self {
        let at = |i: usize| pi.as_slice()[i].to_f64();
        let [low, top] = [low, top].map(|i| delta(&pulls, i, at(i), at(i)));
        Self::between(pi, pi, pulls, (low, top))
    }

    fn between(
        pi: Distribution<'a, T>,
        from: Distribution<'a, T>,
        pulls: [Pull; 2],
        (low_delta, top_delta): (f64, f64),
    ) -> Self {
        let at = |i: usize, p: f64| delta(&pulls, i, from.as_slice()[i].to_f64(), p);
        let range = top_delta - low_delta;
        let below_top = change(pi.as_slice(), from.as_slice(), &pulls, top_delta);
        let log_top = if below_top > -0.5 {
            -below_top.ln_1p()
        } else {
            // The largest term may be far below the top if the top's probability has underflowed.
            let with_mass = (0..pi.vocab()).map(|i| (i, pi.as_slice()[i].to_f64())).filter(|&(_, p)| p > 0.0);
            let high = with_mass.map(|(i, p)| at(i, p) - top_delta).fold(f64::NEG_INFINITY, f64::max);
            -(high + pi.expectation(|i, p| (at(i, p) - top_delta - high).min(0.0).exp()).ln())
        };
        let log_low = if log_top > 0.5 * range && range < OVERFLOW {
            -change(pi.as_slice(), from.as_slice(), &pulls, low_delta).ln_1p()
        } else {
            log_top - range
        };
        let (log_top, log_low) = (log_top.max(0.0), log_low.min(0.0));
        Growth { pi, from, pulls, top_delta, log_top, low_delta, log_low }
    }

    /// The label with the largest Δ and the one with the smallest, found by looking.
    pub(crate) fn of(pi: Distribution<'a, T>, pulls: [Pull; 2]) -> Self {
        let ends = wide(
            #[inline(always)]
            || {
                range(
                    pi.as_slice(),
                    #[inline(always)]
                    |i, p| delta(&pulls, i, p, p),
                )
            },
        );
        Self::between(pi, pi, pulls, ends)
    }

    /// The first pull is in another context, on `from`.
    pub(crate) fn across(pi: Distribution<'a, T>, from: Distribution<'a, T>, pulls: [Pull; 2]) -> Self {
        let both = from.as_slice().iter().zip(pi.as_slice()).enumerate();
        let deltas = both.map(|(i, (q, p))| delta(&pulls, i, q.to_f64(), p.to_f64()));
        let ends =
            deltas.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), d| (low.min(d), high.max(d)));
        Self::between(pi, from, pulls, ends)
    }

    pub(crate) fn pi(&self) -> Distribution<'a, T> {
        self.pi
    }

    pub(crate) fn delta(&self, i: usize) -> f64 {
        let [q, p] = [self.from, self.pi].map(|d| d.as_slice()[i].to_f64());
        delta(&self.pulls, i, q, p)
    }

    /// log α of the label with the largest Δ.
    pub(crate) fn log_top(&self) -> f64 {
        self.log_top
    }

    /// log α_i.
    pub(crate) fn log(&self, i: usize) -> f64 {
        let delta = self.delta(i);
        if delta == self.low_delta { self.log_low } else { (delta - self.top_delta) + self.log_top }
    }

    pub(crate) fn labels(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        (0..self.pi.vocab()).map(|i| (i, self.log(i)))
    }

    pub(crate) fn after_into(&self, out: &mut [T]) -> Result<(), Error> {
        self.pi.same_length("out", out.len())?;
        for ((o, p), (_, growth)) in out.iter_mut().zip(self.pi.as_slice()).zip(self.labels()) {
            *o = if *p > T::ZERO { T::from_f64(p.to_f64() * growth.exp()) } else { T::ZERO };
        }
        Ok(())
    }

    pub(crate) fn ledger(&self, label: usize, runner_up: usize) -> Ledger<T> {
        let (mut risen, mut fallen) = (0.0, 0.0);
        let moved = |i: usize| {
            let p = self.pi.as_slice()[i].to_f64();
            if p > 0.0 { p * self.log(i).exp_m1() } else { 0.0 }
        };
        for i in (0..self.pi.vocab()).filter(|&i| i != label && i != runner_up) {
            let moved = moved(i);
            *(if moved > 0.0 { &mut risen } else { &mut fallen }) += moved;
        }
        let [label, runner_up, risen, fallen] =
            [moved(label), moved(runner_up), risen, fallen].map(T::from_f64);
        Ledger { label, runner_up, risen, fallen }
    }

    /// H(π′) − H(π) = −Σ π_i [(α_i − 1)·log π_i + α_i·log α_i].
    pub(crate) fn entropy_change(&self) -> T {
        T::from_f64(-self.pi.expectation(|i, p| {
            let growth = self.log(i);
            if p > 0.0 { growth.exp_m1() * p.ln() + growth.exp() * growth } else { 0.0 }
        }))
    }
}

/// Below this, e^x − 1 is finite and [`exp_m1_clamped`](Real::exp_m1_clamped) clamps nothing.
const OVERFLOW: f64 = 700.0;

/// The methods that every step has: each type's own `impl` block takes them in.
macro_rules! growth_methods {
    () => {
        /// log α_i = log π′_i − log π_i, in nats.
        ///
        /// # Errors
        ///
        /// [`Error::Label`] if i ≥ V.
        pub fn log_growth(&self, i: usize) -> Result<T, Error> {
            self.growth.pi().check(i)?;
            Ok(T::from_f64(self.growth.log(i)))
        }

        /// π′, written to `out`.
        ///
        /// # Special cases
        ///
        /// A label whose probability is 0, be it by underflow, keeps it.
        ///
        /// # Shapes
        ///
        /// `out`: V.
        ///
        /// # Errors
        ///
        /// [`Error::Length`].
        pub fn after_into(&self, out: &mut [T]) -> Result<(), Error> {
            self.growth.after_into(out)
        }

        /// How many labels rise.
        pub fn risers(&self) -> usize {
            self.growth.labels().filter(|&(_, growth)| growth > 0.0).count()
        }

        /// H(π′) − H(π) in nats, from terms of the size of the step: small steps keep their digits.
        pub fn entropy_change(&self) -> T {
            self.growth.entropy_change()
        }
    };
}
pub(super) use growth_methods;
