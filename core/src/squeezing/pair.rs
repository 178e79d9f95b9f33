//! Both signs at once: a preference pair in one context.

use super::growth::{Growth, Pull, growth_methods};
use super::{Witness, check_step, log_add_exp};
use crate::simplex::Distribution;
use crate::{Error, Real};

/// One step that learns y⁺ and unlearns y⁻ in the same context.
///
/// # Definition
///
/// ```text
/// z′ = z + s·[w₊(e₊ − π) − w₋(e₋ − π)] = z + s·[w₊e₊ − w₋e₋ − (w₊ − w₋)π]
/// ```
///
/// With equal weights, as in DPO, the π-terms cancel: no label but the two is treated differently from
/// any other, and there is no squeezing.
///
/// | id | claim | item |
/// |---|---|---|
/// | P1 | equal weights: all others are multiplied by one factor 1/Z′; y⁺ rises, y⁻ falls | [`common_growth`](Self::common_growth), [`pulled_labels_move_most`](Self::pulled_labels_move_most) |
/// | P2 | equal weights: the others fall exactly if π₊e^{sw} > π₋ | [`others_fall`](Self::others_fall) |
/// | P3 | w₊ ≥ w₋: y⁺ rises, and rises most; w₋ ≥ w₊: y⁻ falls, and falls most | [`pulled_labels_move_most`](Self::pulled_labels_move_most) |
/// | P4 | among the others Δ log(π_i/π_j) = −s(w₊ − w₋)(π_i − π_j) | [`log_odds_change`](Self::log_odds_change) |
#[derive(Clone, Copy, Debug)]
pub struct PairStep<'a, T> {
    growth: Growth<'a, T>,
    chosen: usize,
    rejected: usize,
    /// s·w₊ and s·w₋.
    pulls: [f64; 2],
}

impl<'a, T: Real> PairStep<'a, T> {
    /// The step of size `step` with the weights (w₊, w₋) of an objective: see [`loss`](crate::loss).
    ///
    /// # Accuracy
    ///
    /// In `f64` log α is within 20ε·max(1 + 3s, |z|) of the change of the log-softmax, for weights up to 2.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if a label is ≥ V; [`Error::Range`] if the labels are the same, unless 0 < s < ∞ and
    /// the weights are finite and ≥ 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::{simplex::Distribution, squeezing::PairStep};
    /// let pi = [0.5_f64, 0.25, 0.125, 0.125];
    /// let step = PairStep::new(Distribution::new(&pi)?, (2, 3), (1.0, 1.0), 0.5)?;
    /// assert!(step.log_growth(2)? > 0.0 && step.log_growth(3)? < 0.0);
    /// assert_eq!(step.log_growth(0)?, step.log_growth(1)?); // nobody else is singled out
    /// assert!(PairStep::new(Distribution::new(&pi)?, (2, 2), (1.0, 1.0), 0.5).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(
        pi: Distribution<'a, T>,
        (chosen, rejected): (usize, usize),
        weights: (T, T),
        step: T,
    ) -> Result<Self, Error> {
        pi.check(chosen)?;
        pi.check(rejected)?;
        if chosen == rejected {
            let found = rejected as f64;
            return Err(Error::Range { name: "rejected", found, expected: "a label other than `chosen`" });
        }
        let s = check_step(step)?;
        let weights = [("w₊", weights.0.to_f64()), ("w₋", weights.1.to_f64())];
        for (name, found) in weights {
            if !(found >= 0.0 && (s * found).is_finite()) {
                return Err(Error::Range { name, found, expected: "a finite number >= 0" });
            }
        }
        let pulls = weights.map(|(_, w)| s * w);
        let growth = Growth::of(pi, [Pull::towards(chosen, pulls[0]), Pull::towards(rejected, -pulls[1])]);
        Ok(PairStep { growth, chosen, rejected, pulls })
    }

    growth_methods!();

    /// P1: the log of the factor that all labels but the two share, −log(1 + π₊(e^{sw} − 1) − π₋(1 − e^{−sw}));
    /// `None` unless w₊ = w₋.
    pub fn common_growth(&self) -> Option<T> {
        if self.pulls[0] != self.pulls[1] {
            return None;
        }
        let [chosen, rejected] = self.likelihoods();
        let pull = self.pulls[0];
        let log_z = if pull < 1.0 {
            (chosen * pull.exp_m1() + rejected * (-pull).exp_m1()).ln_1p()
        } else {
            // log(a + b), where a = π₊e^{sw} may overflow and b is what is left of all others.
            let bystander = |i: usize| if i == self.chosen || i == self.rejected { 0.0 } else { 1.0 };
            let a = chosen.ln() + pull;
            let rest = self.growth.pi().expectation(|i, _| bystander(i));
            let b = log_add_exp(rest.ln(), rejected.ln() - pull);
            log_add_exp(a, b)
        };
        Some(T::from_f64(-log_z))
    }

    fn likelihoods(&self) -> [f64; 2] {
        [self.chosen, self.rejected].map(|i| self.growth.pi().as_slice()[i].to_f64())
    }

    /// P2: whether all labels but the two fall, π₊e^{sw} > π₋; `None` unless w₊ = w₋.
    pub fn others_fall(&self) -> Option<bool> {
        let [chosen, rejected] = self.likelihoods();
        (self.pulls[0] == self.pulls[1]).then_some(chosen > rejected * (-self.pulls[0]).exp())
    }

    /// P1, P3: the label with the larger weight moves as it is pulled, and no label moves further that way.
    ///
    /// About the label with the smaller weight nothing is said: a y⁻ with w₋ ≪ w₊ can rise.
    pub fn pulled_labels_move_most(&self) -> Witness<T> {
        let [learn, unlearn] = self.pulls;
        let delta = |i: usize| self.growth.delta(i);
        let (chosen, rejected) = (self.chosen, self.rejected);
        let rises = self
            .growth
            .labels()
            .map(|(i, growth)| (i, if i == chosen { growth } else { delta(chosen) - delta(i) }));
        let falls = self
            .growth
            .labels()
            .map(|(i, growth)| (i, if i == rejected { -growth } else { delta(i) - delta(rejected) }));
        let rises = rises.filter(|_| learn >= unlearn);
        let falls = falls.filter(|_| unlearn >= learn);
        Witness::tightest(rises.chain(falls)).unwrap_or(Witness { label: chosen, margin: T::NAN })
    }

    /// P4: Δ log(π_i/π_j), for any two labels; −s(w₊ − w₋)(π_i − π_j) for two that are not pulled.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if i ≥ V or j ≥ V.
    pub fn log_odds_change(&self, i: usize, j: usize) -> Result<T, Error> {
        self.growth.pi().check(i)?;
        self.growth.pi().check(j)?;
        Ok(T::from_f64(self.growth.delta(i) - self.growth.delta(j)))
    }
}
