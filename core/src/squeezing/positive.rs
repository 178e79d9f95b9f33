//! One positive step: ordinary learning, and what it does to the labels that are not learned.

use super::growth::{Growth, Pull, growth_methods};
use super::{Ledger, Witness, check_runner_up, check_step};
use crate::simplex::Distribution;
use crate::{Error, Real};

/// One positive step on a label: z′ = z + s(e_y − π).
///
/// | id | claim | item |
/// |---|---|---|
/// | L1 | y rises, and rises most | [`label_rises_most`](Self::label_rises_most) |
/// | L2 | the strongest competitor y* falls, and falls most | [`competitor_falls_most`](Self::competitor_falls_most) |
/// | L3 | among the others the odds of the less likely grow | [`log_odds_change`](Self::log_odds_change) |
/// | L4 | i ≠ y rises exactly if π_i < θ(s); θ does not increase in s | [`threshold`](Self::threshold) |
/// | L5 | if π_y ≥ ‖π‖², every other label falls, for every s | [`all_others_fall`](Self::all_others_fall) |
/// | L7 | at small s a label with π_i < ‖π‖² − π_y rises along | [`small_labels_rise`](Self::small_labels_rise) |
///
/// That all others fall without the condition of L5 is said and not so, by L7. Nor does the order among the others survive a large step.
#[derive(Clone, Copy, Debug)]
pub struct PositiveStep<'a, T> {
    growth: Growth<'a, T>,
    label: usize,
    step: T,
    competitor: usize,
}

impl<'a, T: Real> PositiveStep<'a, T> {
    /// The step of size `step` = η‖φ‖² towards `label`.
    ///
    /// # Accuracy
    ///
    /// As [`NegativeStep::new`](super::NegativeStep::new), the others relative to y: |log α_y| + s(1 − π_y + π_i).
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if `label` ≥ V; [`Error::Range`] if V < 2 or unless 0 < s < ∞.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::{simplex::Distribution, squeezing::PositiveStep};
    /// let pi = [0.9_f64, 0.05, 0.05];
    /// let step = PositiveStep::new(Distribution::new(&pi)?, 1, 0.5)?;
    /// assert!(step.log_growth(1)? > 0.0 && step.log_growth(0)? < 0.0);
    /// assert!(step.log_growth(2)? > 0.0); // a bystander is lifted too
    /// assert!(PositiveStep::new(Distribution::new(&pi)?, 3, 0.5).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(pi: Distribution<'a, T>, label: usize, step: T) -> Result<Self, Error> {
        let s = check_step(step)?;
        let competitor = check_runner_up(&pi, label)?;
        let towards = Pull::towards(label, s);
        let growth = Growth::new(pi, [towards, Pull::towards(label, 0.0)], label, competitor);
        Ok(PositiveStep { growth, label, step, competitor })
    }

    growth_methods!();

    /// y*, the most likely label other than y (among equals the first).
    pub fn competitor(&self) -> usize {
        self.competitor
    }

    /// How much y, y*, the other risers and the other fallers gain and lose.
    pub fn ledger(&self) -> Ledger<T> {
        self.growth.ledger(self.label, self.competitor)
    }

    /// θ(s) = −(1/s)·log Z: a label i ≠ y rises exactly if π_i < θ(s) (L4).
    ///
    /// Between π_y − 1 and π_{y*}; it does not increase in s, from ‖π‖² − π_y to π_y − 1: the set of
    /// labels that rise along with y shrinks as the step grows.
    pub fn threshold(&self) -> T {
        let s = self.step.to_f64();
        T::from_f64((self.growth.log_top() - self.growth.delta(self.label)) / s)
    }

    /// L1: log α_y > 0, and no label has more.
    pub fn label_rises_most(&self) -> Witness<T> {
        let highest = self.growth.delta(self.label);
        let others = self.growth.labels().filter(|&(i, _)| i != self.label);
        let others = others.map(|(i, _)| (i, highest - self.growth.delta(i)));
        Witness::tightest_from((self.label, self.growth.log_top()), others)
    }

    /// L2: log α_{y*} < 0, and no label has less.
    pub fn competitor_falls_most(&self) -> Witness<T> {
        let lowest = self.growth.delta(self.competitor);
        let others = self.growth.labels().filter(|&(i, _)| i != self.competitor);
        let others = others.map(|(i, _)| (i, self.growth.delta(i) - lowest));
        Witness::tightest_from((self.competitor, -self.growth.log(self.competitor)), others)
    }

    /// L3: Δ log(π_i/π_j) = −s(π_i − π_j) for i, j ≠ y, so gaps shrink; s(1 + π_j − π_y) > 0 of y
    /// against any j.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if i ≥ V or j ≥ V.
    pub fn log_odds_change(&self, i: usize, j: usize) -> Result<T, Error> {
        self.growth.pi().check(i)?;
        self.growth.pi().check(j)?;
        Ok(T::from_f64(self.growth.delta(i) - self.growth.delta(j)))
    }

    /// L5: if π_y ≥ ‖π‖², which is so once y is the argmax, every other label falls for every s; `None`
    /// if π_y is smaller.
    pub fn all_others_fall(&self) -> Option<Witness<T>> {
        let pi = self.growth.pi();
        if pi.as_slice()[self.label] < pi.sum_sq() {
            return None;
        }
        let others = self.growth.labels().filter(|&(i, _)| i != self.label);
        Witness::tightest(others.map(|(i, growth)| (i, -growth)))
    }

    /// L7: every label i ≠ y with π_i < ‖π‖² − π_y rises along with y at small s: as long as
    ///
    /// ```text
    /// s·(1 − π_y + π_{y*})²/8 < ‖π‖² − π_y − π_i
    /// ```
    ///
    /// `None` if there is none at this s.
    pub fn small_labels_rise(&self) -> Option<Witness<T>> {
        let pi = self.growth.pi();
        let at = |i: usize| pi.as_slice()[i].to_f64();
        let range = 1.0 - at(self.label) + at(self.competitor);
        let start = pi.sum_sq().to_f64() - at(self.label);
        let below = start - self.step.to_f64() * range * range / 8.0;
        Witness::tightest(self.growth.labels().filter(|&(i, _)| i != self.label && at(i) < below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_stays_finite_for_a_label_whose_probability_has_underflowed() {
        let pi = Distribution::new(&[1.0_f64, 0.0]).unwrap();
        let step = PositiveStep::new(pi, 1, 6000.0).unwrap();
        assert_eq!((step.log_growth(1), step.log_growth(0)), (Ok(12_000.0), Ok(0.0)));
        let mut after = [0.5; 2];
        step.after_into(&mut after).unwrap();
        assert_eq!(after, [1.0, 0.0]);
        assert_eq!((step.ledger().label, step.entropy_change()), (0.0, 0.0));
    }
}
