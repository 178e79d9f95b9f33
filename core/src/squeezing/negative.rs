//! One negative step (paper: §3.3, App. E).

use super::growth::{Growth, Pull, growth_methods};
use super::{Ledger, Witness, check_runner_up, check_step};
use crate::simplex::Distribution;
use crate::{Error, Real};

/// One negative step on a label: π, y and s, with log α_{y*} and log α_y.
///
/// Making one costs O(V); each question about a label then costs O(1).
///
/// | id | claim | item |
/// |---|---|---|
/// | N1 | y falls, and falls most | [`label_falls_most`](Self::label_falls_most) |
/// | N2 | y* rises, and rises most | [`runner_up_rises_most`](Self::runner_up_rises_most) |
/// | N3 | among the others the odds of the likelier grow | [`log_odds_change`](Self::log_odds_change) |
/// | N4 | i ≠ y rises exactly if π_i > τ(s); τ does not decrease in s | [`threshold`](Self::threshold) |
/// | N5 | as s → 0, τ → ‖π‖² − π_y: who is not above that falls at every s, who is above rises at small s | [`small_step_threshold`], [`falls_below_start`](Self::falls_below_start), [`rises_above_start`](Self::rises_above_start) |
/// | N6 | if π_{y*} > 1/√3, every label but y* falls, for every s | [`all_others_fall`](Self::all_others_fall) |
/// | N7 | log α_i(s) is concave; α_{y*} increases and α_y decreases in s | [`grows_with_the_step`](Self::grows_with_the_step), [`growth_is_concave`](Self::growth_is_concave) |
/// | N8 | no label falls by more than s, y by no more than 2s | [`growth_is_bounded`](Self::growth_is_bounded) |
/// | N11 | if −log π_y ≥ H, the entropy falls, for every s | [`entropy_falls`](Self::entropy_falls) |
#[derive(Clone, Copy, Debug)]
pub struct NegativeStep<'a, T> {
    growth: Growth<'a, T>,
    label: usize,
    step: T,
    runner_up: usize,
}

impl<'a, T: Real> NegativeStep<'a, T> {
    /// The step of size `step` = η‖φ‖² away from `label`.
    ///
    /// # Method
    ///
    /// log α_{y*} = −log Σ_j π_j e^{s(v_j − v_{y*})} by log1p and expm1: all terms have one sign, and so
    /// have those of log α_y where that would cancel. N1 and N2 hold in rounded numbers too, and
    /// small steps keep their digits.
    ///
    /// # Accuracy
    ///
    /// log α of y and of y* is within 6ε of itself, with the ε of the type, and any other within 6ε of
    /// |log α_{y*}| + s(π_{y*} − π_i); to both comes 6ε·s·π_{y*} with the ε of `f64`, because moves are rounded
    /// before they are subtracted. π is taken as a softmax that is rounded to the type.
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
        let s = check_step(step)?;
        let runner_up = check_runner_up(&pi, label)?;
        let away = Pull::towards(label, -s);
        let growth = Growth::new(pi, [away, Pull::towards(label, 0.0)], runner_up, label);
        Ok(NegativeStep { growth, label, step, runner_up })
    }

    growth_methods!();

    /// y*, the most likely label other than y (among equals the first).
    pub fn runner_up(&self) -> usize {
        self.runner_up
    }

    /// How much y, y*, the other risers and the other fallers gain and lose.
    pub fn ledger(&self) -> Ledger<T> {
        self.growth.ledger(self.label, self.runner_up)
    }

    pub(super) fn log_of(&self, i: usize) -> f64 {
        self.growth.log(i)
    }

    fn pi_of(&self, i: usize) -> f64 {
        self.growth.pi().as_slice()[i].to_f64()
    }

    fn others(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.growth.labels().filter(|&(i, _)| i != self.label)
    }

    /// τ(s) = (1/s)·log Z: a label i ≠ y rises exactly if π_i > τ(s) (N4).
    ///
    /// Between π_y − 1 and π_{y*}; it does not decrease in s, from ‖π‖² − π_y to π_{y*}: the set of
    /// labels that rise shrinks as the step grows.
    pub fn threshold(&self) -> T {
        T::from_f64(self.pi_of(self.runner_up) - self.growth.log_top() / self.step.to_f64())
    }

    /// N1: log α_y < 0, and no label has less.
    pub fn label_falls_most(&self) -> Witness<T> {
        let lowest = self.growth.delta(self.label);
        let others = self.others().map(|(i, _)| (i, self.growth.delta(i) - lowest));
        Witness::tightest_from((self.label, -self.growth.log(self.label)), others)
    }

    /// N2: log α_{y*} > 0, and no label has more.
    pub fn runner_up_rises_most(&self) -> Witness<T> {
        let highest = self.growth.delta(self.runner_up);
        let others = self.growth.labels().filter(|&(i, _)| i != self.runner_up);
        let others = others.map(|(i, _)| (i, highest - self.growth.delta(i)));
        Witness::tightest_from((self.runner_up, self.growth.log_top()), others)
    }

    /// N3: Δ log(π_i/π_j) = s(v_i − v_j): s(π_i − π_j) for i, j ≠ y, so the likelier of two gains on
    /// the other; s(1 + π_i − π_y) > 0 against y itself.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if i ≥ V or j ≥ V.
    pub fn log_odds_change(&self, i: usize, j: usize) -> Result<T, Error> {
        self.growth.pi().check(i)?;
        self.growth.pi().check(j)?;
        Ok(T::from_f64(self.growth.delta(i) - self.growth.delta(j)))
    }

    /// N5: every label i ≠ y with π_i ≤ ‖π‖² − π_y falls, at every step size; `None` if there is none.
    pub fn falls_below_start(&self) -> Option<Witness<T>> {
        let start = self.start();
        let below = self.others().filter(|&(i, _)| self.pi_of(i) <= start);
        Witness::tightest(below.map(|(i, growth)| (i, -growth)))
    }

    /// N5: every label i ≠ y with π_i > ‖π‖² − π_y rises at small s: as long as
    ///
    /// ```text
    /// s·(1 − π_y + π_{y*})²/8 < π_i − (‖π‖² − π_y)
    /// ```
    ///
    /// `None` if there is none at this s.
    pub fn rises_above_start(&self) -> Option<Witness<T>> {
        let range = 1.0 - self.pi_of(self.label) + self.pi_of(self.runner_up);
        let above = self.start() + self.step.to_f64() * range * range / 8.0;
        Witness::tightest(self.others().filter(|&(i, _)| self.pi_of(i) > above))
    }

    /// ‖π‖² − π_y.
    fn start(&self) -> f64 {
        self.growth.pi().sum_sq().to_f64() - self.pi_of(self.label)
    }

    /// N6: if π_{y*} > 1/√3, every label but y* falls; `None` if π_{y*} is not that large.
    ///
    /// The bound is sharp: just below it π = (m, (1−m)/2, (1−m)/2) has a second riser at small s.
    pub fn all_others_fall(&self) -> Option<Witness<T>> {
        let top = self.pi_of(self.runner_up);
        if top * top * 3.0 <= 1.0 {
            return None;
        }
        let others = self.growth.labels().filter(|&(i, _)| i != self.runner_up);
        Witness::tightest(others.map(|(i, growth)| (i, -growth)))
    }

    /// N7: compared with this step, a larger one lets y* rise more and y fall more. `None` unless
    /// `larger` is a step on the same π and y with a larger s.
    pub fn grows_with_the_step(&self, larger: &Self) -> Option<Witness<T>> {
        if !self.same_case(larger) || larger.step <= self.step {
            return None;
        }
        let change = |i: usize| larger.growth.log(i) - self.growth.log(i);
        let ends = [(self.runner_up, change(self.runner_up)), (self.label, -change(self.label))];
        Witness::tightest(ends.into_iter())
    }

    /// N7: log α_i(s) is concave in s. The margin is how far log α_i of this step lies above the chord
    /// from `smaller` to `larger`, which is the same for each i. `None` unless all are steps on the same π
    /// and y with s_smaller < s < s_larger.
    pub fn growth_is_concave(&self, smaller: &Self, larger: &Self) -> Option<Witness<T>> {
        let [low, here, high] = [smaller, self, larger].map(|step| step.step.to_f64());
        if !(self.same_case(smaller) && self.same_case(larger) && low < here && here < high) {
            return None;
        }
        let share = (here - low) / (high - low);
        let at = |step: &Self| step.growth.log_top();
        let margin = at(self) - (at(smaller) + share * (at(larger) - at(smaller)));
        Some(Witness { label: self.runner_up, margin: T::from_f64(margin) })
    }

    fn same_case(&self, other: &Self) -> bool {
        self.label == other.label && self.growth.pi() == other.growth.pi()
    }

    /// N8: the least that log α_i can be, whatever the labels other than i, y and y* do.
    ///
    /// ```text
    /// log α_i ≥ −s(π_{y*} − π_i) > −s  for i ≠ y;      log α_y ≥ −s(1 + π_{y*} − π_y) > −2s
    /// ```
    ///
    /// Both limits are approached as π_{y*} → 1.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if i ≥ V.
    pub fn growth_bound(&self, i: usize) -> Result<T, Error> {
        self.growth.pi().check(i)?;
        Ok(T::from_f64(self.growth.delta(i) - self.growth.delta(self.runner_up)))
    }

    /// N8 for all labels: how far log α_i is above [`growth_bound`](Self::growth_bound).
    pub fn growth_is_bounded(&self) -> Witness<T> {
        let highest = self.growth.delta(self.runner_up);
        let margins = self.growth.labels().map(|(i, growth)| (i, growth - (self.growth.delta(i) - highest)));
        Witness::tightest_from((self.runner_up, self.growth.log_top()), margins)
    }

    /// N11: if y is at least as surprising as the average, −log π_y ≥ H, the entropy falls at every step
    /// size; `None` if it is less. In particular it falls if π_y ≤ 1/V.
    ///
    /// The margin is H(π) − H(π′).
    pub fn entropy_falls(&self) -> Option<Witness<T>> {
        let surprise = -self.pi_of(self.label).ln();
        let falls = surprise >= self.growth.pi().entropy().to_f64();
        falls.then(|| Witness { label: self.label, margin: -self.entropy_change() })
    }
}

/// N5: ‖π‖² − π_y, the limit of τ(s) as s → 0. Where π_y ≥ ‖π‖², every other label rises at first.
///
/// # Accuracy
///
/// That of [`Distribution::sum_sq`], and one rounding: absolute, where the two nearly cancel.
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
/// assert!(small_step_threshold(&Distribution::new(&pi)?, 2).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn small_step_threshold<T: Real>(pi: &Distribution<'_, T>, label: usize) -> Result<T, Error> {
    pi.check(label)?;
    Ok(pi.sum_sq() - pi.as_slice()[label])
}

/// N12: log α_i = log(V / (V − 1 + e^{−s})) for each i ≠ y if π is uniform over V labels.
///
/// # Special cases
///
/// NaN for V = 0; s for V = 1, where there is no such i.
///
/// # Examples
///
/// ```
/// use ldyn_core::squeezing::uniform_growth;
/// // Each of 49 labels takes a 49th of the little that one loses.
/// assert!((uniform_growth(50, 1.0_f64).exp() - 1.0128).abs() < 1e-4);
/// assert!(uniform_growth(0, 1.0_f64).is_nan());
/// ```
pub fn uniform_growth<T: Real>(vocab: usize, step: T) -> T {
    -((-step).exp_m1() / T::from_f64(vocab as f64)).ln_1p()
}
