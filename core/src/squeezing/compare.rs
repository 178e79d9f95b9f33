//! Two negative steps compared: which label is unlearned, and how likely it was.
//!
//! "A smaller π_y squeezes harder" (paper: §3.3, App. E, Claim 4) needs a setting, for π_y cannot change
//! alone. Three are treated: another label of the same π is unlearned (N9); only the logit of y
//! differs, so that the others keep their proportions (C1–C5, C7); mass is moved between y and one other label
//! (C6). In all of them the third parties lose more. That y* gains more is false in all. And π_y can stay while
//! the others get peakier (C8): then the least likely one loses more.

use super::{NegativeStep, Witness, check_runner_up, check_step};
use crate::simplex::Distribution;
use crate::{Error, Real};

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
    let margin = |k: usize| from_b.log_of(k) - from_a.log_of(k);
    Ok(Witness::tightest(third.map(|k| (k, margin(k)))))
}

/// The distributions that differ from π only in the logit of y: π_y = p is free, and the others keep
/// their proportions q.
///
/// ```text
/// π_i(p) = (1 − p)·q_i for i ≠ y,   Σ q = 1,   Q = Σ q²
/// ```
///
/// | id | claim: the smaller p … | item |
/// |---|---|---|
/// | C1 | … the more labels i ≠ y lose: who loses at p loses at every smaller p | [`losers_stay`](Self::losers_stay) |
/// | C2 | … the smaller α_i/α_j for π_i < π_j | [`log_odds_change`](Self::log_odds_change) |
/// | C3 | … the larger the share of y* among the others after the step | [`runner_up_share_grows`](Self::runner_up_share_grows) |
/// | C4 | … the smaller α_y | [`label_falls_more`](Self::label_falls_more) |
/// | C7 | … the less the labels other than y and y* grow together, up to p = ½ | [`rest_grows_less`](Self::rest_grows_less) |
/// | C5 | at small s, i loses exactly if p < (Q − q_i)/(1 + Q) | [`rate`](Self::rate) |
///
/// Not so: that α_{y*} grows as p shrinks (it tends to 1 as p → 1, and in between it rises and falls); that
/// each α_i is monotone in p, even for p ≤ ½.
#[derive(Clone, Copy, Debug)]
pub struct FixedProportions<'a, T> {
    pi: Distribution<'a, T>,
    label: usize,
    runner_up: usize,
    /// Σ_{i≠y} π_i.
    rest: f64,
}

impl<'a, T: Real> FixedProportions<'a, T> {
    /// The proportions are those of π; its π_y does not matter.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if `label` ≥ V; [`Error::Range`] if V < 2 or no label but y has mass.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::{simplex::Distribution, squeezing::FixedProportions};
    /// let family = FixedProportions::new(Distribution::new(&[0.4_f64, 0.2, 0.4])?, 2)?;
    /// // The second label gains from unlearning a likely label and loses from unlearning an unlikely one.
    /// assert!(family.log_growth(1, 0.5, 1.0)? > 0.0 && family.log_growth(1, 0.01, 1.0)? < 0.0);
    /// assert!(family.log_growth(1, 1.0, 1.0).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(pi: Distribution<'a, T>, label: usize) -> Result<Self, Error> {
        let runner_up = check_runner_up(&pi, label)?;
        let rest = pi.expectation(|i, _| if i == label { 0.0 } else { 1.0 });
        if rest > 0.0 {
            Ok(FixedProportions { pi, label, runner_up, rest })
        } else {
            Err(Error::Range { name: "the mass of the other labels", found: rest, expected: "> 0" })
        }
    }

    /// log α_i of the negative step of size `step` at π_y = `p`. O(V).
    ///
    /// # Accuracy
    ///
    /// In `f64` within 20ε·(10 + max(1 + s, |z|)) of the change of the log-softmax.
    ///
    /// # Errors
    ///
    /// [`Error::Label`]; [`Error::Range`] unless 0 < p < 1 and 0 < s < ∞.
    pub fn log_growth(&self, i: usize, p: T, step: T) -> Result<T, Error> {
        self.pi.check(i)?;
        let at = self.at(p, step)?;
        Ok(T::from_f64(at.log_top + at.below_top(self, i)))
    }

    /// C1: every label i ≠ y that loses at π_y = `large` loses at `small` too.
    ///
    /// The margin is the larger of log α_i at `large` and −log α_i at `small`.
    ///
    /// # Errors
    ///
    /// As [`log_growth`](Self::log_growth); [`Error::Range`] unless small < large.
    pub fn losers_stay(&self, small: T, large: T, step: T) -> Result<Witness<T>, Error> {
        let [small, large] = self.both(small, large, step)?;
        let growth = |at: &At, i: usize| at.log_top + at.below_top(self, i);
        let margin = |i: usize| growth(&large, i).max(-growth(&small, i));
        let others = (0..self.pi.vocab()).filter(|&i| i != self.label);
        let first = (self.runner_up, margin(self.runner_up));
        Ok(Witness::tightest_from(first, others.map(|i| (i, margin(i)))))
    }

    /// C2: Δ log(π_i/π_j) = s(1 − p)(q_i − q_j) for i, j ≠ y.
    ///
    /// # Errors
    ///
    /// As [`log_growth`](Self::log_growth); [`Error::Range`] if i or j is y.
    pub fn log_odds_change(&self, i: usize, j: usize, p: T, step: T) -> Result<T, Error> {
        for k in [i, j] {
            self.pi.check(k)?;
            if k == self.label {
                return Err(Error::Range {
                    name: "label",
                    found: k as f64,
                    expected: "a label other than y",
                });
            }
        }
        let (p, s) = (probability("p", p)?, check_step(step)?);
        Ok(T::from_f64(s * (1.0 - p) * (self.share(i) - self.share(j))))
    }

    /// C3: the share of y* among the labels other than y is larger after the step at `small` than at
    /// `large`. The margin is the difference of its logarithms.
    ///
    /// # Errors
    ///
    /// As [`losers_stay`](Self::losers_stay).
    pub fn runner_up_share_grows(&self, small: T, large: T, step: T) -> Result<Witness<T>, Error> {
        let [small, large] = self.both(small, large, step)?;
        let margin = T::from_f64(large.log_others - small.log_others);
        Ok(Witness { label: self.runner_up, margin })
    }

    /// C4: log α_y is smaller at `small` than at `large`.
    ///
    /// # Errors
    ///
    /// As [`losers_stay`](Self::losers_stay).
    pub fn label_falls_more(&self, small: T, large: T, step: T) -> Result<Witness<T>, Error> {
        let [small, large] = self.both(small, large, step)?;
        let margin = (large.log_top + large.label_below_top) - (small.log_top + small.label_below_top);
        Ok(Witness { label: self.label, margin: T::from_f64(margin) })
    }

    /// C7: together, the labels other than y and y* grow less at `small` than at `large`; `None` if `large` > ½,
    /// or if they have no mass.
    ///
    /// The margin is the difference of the logarithms of Σ π′_i / Σ π_i over them, of which the witness names the
    /// first.
    ///
    /// # Errors
    ///
    /// As [`losers_stay`](Self::losers_stay).
    pub fn rest_grows_less(&self, small: T, large: T, step: T) -> Result<Option<Witness<T>>, Error> {
        let ats = self.both(small, large, step)?;
        let bystander = |i: usize| i != self.label && i != self.runner_up;
        let mass = self.pi.expectation(|i, _| if bystander(i) { 1.0 } else { 0.0 });
        let Some(first) = (0..self.pi.vocab()).find(|&i| bystander(i)).filter(|_| mass > 0.0) else {
            return Ok(None);
        };
        if large > T::HALF {
            return Ok(None);
        }
        let below = |at: &At, i: usize| if bystander(i) { at.below_top(self, i) } else { 0.0 };
        let growth = ats.map(|at| {
            let change = self.pi.expectation(|i, _| below(&at, i).exp_m1()) / mass;
            let log_mean = if change > -0.5 {
                change.ln_1p()
            } else {
                // Relative to the likeliest of them: their masses may be too small to be scaled down.
                let with_mass = (0..self.pi.vocab()).filter(|&i| bystander(i) && self.share(i) > 0.0);
                let high = with_mass.map(|i| below(&at, i)).fold(f64::NEG_INFINITY, f64::max);
                let each = |i: usize| if bystander(i) { (below(&at, i) - high).exp() } else { 0.0 };
                high + (self.pi.expectation(|i, _| each(i)) / mass).ln()
            };
            at.log_top + log_mean
        });
        Ok(Some(Witness { label: first, margin: T::from_f64(growth[1] - growth[0]) }))
    }

    /// C5: d log α_i/ds at s = 0 for i ≠ y, (1 − p)·((1 + Q)p − (Q − q_i)).
    ///
    /// # Errors
    ///
    /// [`Error::Label`]; [`Error::Range`] if i is y or unless 0 < p < 1.
    pub fn rate(&self, i: usize, p: T) -> Result<T, Error> {
        self.pi.check(i)?;
        if i == self.label {
            return Err(Error::Range { name: "label", found: i as f64, expected: "a label other than y" });
        }
        let p = probability("p", p)?;
        let concentration = self.concentration();
        Ok(T::from_f64((1.0 - p) * ((1.0 + concentration) * p - (concentration - self.share(i)))))
    }

    /// Q = Σ_{i≠y} q_i².
    fn concentration(&self) -> f64 {
        let squares = self.pi.expectation(|i, p| if i == self.label { 0.0 } else { p });
        squares / (self.rest * self.rest)
    }

    /// q_i.
    fn share(&self, i: usize) -> f64 {
        self.pi.as_slice()[i].to_f64() / self.rest
    }

    fn both(&self, small: T, large: T, step: T) -> Result<[At; 2], Error> {
        if small < large {
            Ok([self.at(small, step)?, self.at(large, step)?])
        } else {
            Err(Error::Range { name: "small", found: small.to_f64(), expected: "below `large`" })
        }
    }

    fn at(&self, p: T, step: T) -> Result<At, Error> {
        let (p, s) = (probability("p", p)?, check_step(step)?);
        let pull = s * (1.0 - p);
        let top = self.share(self.runner_up);
        let label_below_top = -pull * (1.0 + top);
        // Σ_{i≠y} q_i f(s(1−p)(q_i − q_{y*})) with f(x) = eˣ − 1 and, where that comes near −1, f(x) = eˣ.
        let others = |f: fn(f64) -> f64| {
            let each = |i: usize, pi: f64| {
                if i == self.label { 0.0 } else { f(pull * (pi / self.rest - top)) }
            };
            self.pi.expectation(each) / self.rest
        };
        let log =
            |change: f64, sum: &dyn Fn() -> f64| if change > -0.5 { change.ln_1p() } else { sum().ln() };
        let shrink = others(Real::exp_m1);
        let change = (1.0 - p) * shrink + p * label_below_top.exp_m1();
        let sum = || (1.0 - p) * others(Real::exp) + p * label_below_top.exp();
        let log_others = log(shrink, &|| others(Real::exp));
        Ok(At { pull, label_below_top, log_top: -log(change, &sum), log_others })
    }
}

/// One value of p: what the step does there.
struct At {
    /// s(1 − p).
    pull: f64,
    /// log α_{y*}.
    log_top: f64,
    /// log α_y − log α_{y*}.
    label_below_top: f64,
    /// log Σ_{i≠y} q_i e^{s(1−p)(q_i − q_{y*})}: minus the log of the factor by which y*'s share grows.
    log_others: f64,
}

impl At {
    /// log α_i − log α_{y*}.
    fn below_top<T: Real>(&self, family: &FixedProportions<'_, T>, i: usize) -> f64 {
        if i == family.label {
            self.label_below_top
        } else {
            self.pull * (family.share(i) - family.share(family.runner_up))
        }
    }
}

/// C6: move the mass `m` from y to one other label `to`, and every third label's growth shrinks;
/// `None` unless π_y ≤ π_to + ½ before, and V > 2.
///
/// The margin is log α_k before − log α_k after the move, which is the same for each third label k. The
/// ½ is the best condition that holds for every s.
///
/// # Errors
///
/// [`Error::Label`]; [`Error::Range`] unless y and `to` differ, 0 < s < ∞ and 0 < m ≤ π_y.
///
/// # Examples
///
/// ```
/// use ldyn_core::{simplex::Distribution, squeezing::third_labels_lose_after_transfer};
/// let pi = Distribution::new(&[0.4_f64, 0.3, 0.3])?;
/// let witness = third_labels_lose_after_transfer(pi, 2, 0, 0.2, 1.0)?;
/// assert!(witness.is_some_and(|w| w.label == 1 && w.margin > 0.0));
/// assert!(third_labels_lose_after_transfer(pi, 2, 0, 0.5, 1.0).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn third_labels_lose_after_transfer<T: Real>(
    pi: Distribution<'_, T>,
    label: usize,
    to: usize,
    mass: T,
    step: T,
) -> Result<Option<Witness<T>>, Error> {
    pi.check(label)?;
    pi.check(to)?;
    if label == to {
        return Err(Error::Range { name: "to", found: to as f64, expected: "a label other than y" });
    }
    let s = check_step(step)?;
    let [p, r, m] = [pi.as_slice()[label], pi.as_slice()[to], mass].map(Real::to_f64);
    if !(m > 0.0 && m <= p) {
        return Err(Error::Range { name: "mass", found: m, expected: "above 0 and at most π(y)" });
    }
    let third = (0..pi.vocab()).find(|&k| k != label && k != to);
    let Some(third) = third.filter(|_| p <= r + 0.5) else { return Ok(None) };
    let log_z = |p: f64, r: f64| {
        let now = |i: usize, unmoved: f64| {
            if i == label {
                p
            } else if i == to {
                r
            } else {
                unmoved
            }
        };
        let exponent = |i: usize, p: f64| s * if i == label { p - 1.0 } else { p };
        let all = || pi.as_slice().iter().enumerate().map(|(i, p)| (i, now(i, p.to_f64())));
        let high = all().map(|(i, p)| exponent(i, p)).fold(f64::NEG_INFINITY, f64::max);
        high + all().map(|(i, p)| p * (exponent(i, p) - high).exp()).sum::<f64>().ln()
    };
    let margin = T::from_f64(log_z(p - m, r + m) - log_z(p, r));
    Ok(Some(Witness { label: third, margin }))
}

/// C8: raise the probabilities of all labels but y to a power b ≥ 1, rescaled to the mass that they had, and
/// the least likely of them (among equals the first) falls further.
///
/// The margin is by how much smaller its log α is after the change. So it is under any change that gives the likelier
/// of the labels other than y the larger factor.
///
/// # Errors
///
/// As [`NegativeStep::new`]; [`Error::Range`] unless 1 ≤ b < ∞ or if no label but y has mass.
///
/// # Examples
///
/// ```
/// use ldyn_core::{simplex::Distribution, squeezing::least_likely_falls_more};
/// let pi = Distribution::new(&[0.5_f64, 0.3, 0.1, 0.1])?;
/// let witness = least_likely_falls_more(pi, 3, 2.0, 1.0)?;
/// assert!(witness.label == 2 && witness.margin > 0.0);
/// assert!(least_likely_falls_more(pi, 3, 0.5, 1.0).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn least_likely_falls_more<T: Real>(
    pi: Distribution<'_, T>,
    label: usize,
    power: T,
    step: T,
) -> Result<Witness<T>, Error> {
    let before = NegativeStep::new(pi, label, step)?;
    let (b, s) = (power.to_f64(), step.to_f64());
    if !(b >= 1.0 && b.is_finite()) {
        return Err(Error::Range { name: "power", found: b, expected: "a finite number >= 1" });
    }
    let at = |i: usize| pi.as_slice()[i].to_f64();
    let others = || (0..pi.vocab()).filter(|&i| i != label);
    let (top, own) = (at(before.runner_up()), at(label));
    if top == 0.0 {
        return Err(Error::Range { name: "the mass of the other labels", found: 0.0, expected: "> 0" });
    }
    let least = others().fold(before.runner_up(), |low, i| if at(i) < at(low) { i } else { low });
    let weight = |i: usize| if at(i) > 0.0 { (b * (at(i) / top).ln()).exp() } else { 0.0 };
    let [mass, weights] = others().fold([0.0, 0.0], |[m, w], i| [m + at(i), w + weight(i)]);
    let tilted = |i: usize| mass * weight(i) / weights;
    // The sum of Z relative to y*, whose share of the others is 1/weights.
    let high = mass / weights;
    let below = |p: f64| s * (p - high);
    let change = others().map(|i| tilted(i) * below(tilted(i)).exp_m1()).sum::<f64>()
        + own * below(own - 1.0).exp_m1();
    let log_z = if change > -0.5 {
        change.ln_1p()
    } else {
        (others().map(|i| tilted(i) * below(tilted(i)).exp()).sum::<f64>() + own * below(own - 1.0).exp())
            .ln()
    };
    let after = below(tilted(least)) - log_z;
    Ok(Witness { label: least, margin: T::from_f64(before.log_of(least) - after) })
}

fn probability<T: Real>(name: &'static str, p: T) -> Result<f64, Error> {
    let found = p.to_f64();
    if found > 0.0 && found < 1.0 {
        Ok(found)
    } else {
        Err(Error::Range { name, found, expected: "between 0 and 1, both excluded" })
    }
}
