//! Both signs at once, in two contexts whose features overlap.

use super::growth::{Growth, Pull, growth_methods};
use super::{Witness, check_step};
use crate::simplex::Distribution;
use crate::{Error, Real};

/// One step of equal weights on y⁺ in the context χ⁺ and y⁻ in χ⁻, whose features overlap.
///
/// # Definition
///
/// ```text
/// in χ⁺:  Δz = s·[(e₊ − π⁺) − ρ(e₋ − π⁻)]
/// in χ⁻:  Δz = s·[ρ(e₊ − π⁺) − (e₋ − π⁻)],      ρ = ⟨φ₊, φ₋⟩, ‖φ±‖ = 1
/// ```
///
/// | id | claim | item |
/// |---|---|---|
/// | P5 | ρ = 0: χ⁺ sees a [`PositiveStep`](super::PositiveStep), χ⁻ a [`NegativeStep`](super::NegativeStep) | [`chosen_context`](Self::chosen_context), [`rejected_context`](Self::rejected_context) |
/// | P6 | ρ = 1 and π⁺ = π⁻: both see a [`PairStep`](super::PairStep) | the same |
/// | P7 | among the others of χ⁻ what is left of the squeeze is s(π⁻ − ρπ⁺) | [`ContextStep::log_odds_change`] |
/// | P9 | if π⁺ = π⁻ that is (1 − ρ)sπ: it fades as the overlap grows | the same |
/// | P10 | ρ ≤ 1 − π⁻(y⁻), or π⁺ = π⁻: y⁻ falls, and falls most | [`rejected_falls_most`](Self::rejected_falls_most) |
/// | P11 | π⁺ = π⁻ and ρ ≥ ½: y⁺ rises in χ⁻ too, and rises most | [`chosen_rises_most`](Self::chosen_rises_most) |
///
/// That y⁻ always falls in its own context is said and not so: it can rise at ρ = 1 between unequal
/// distributions.
#[derive(Clone, Copy, Debug)]
pub struct TwoContexts<'a, T> {
    pi: [Distribution<'a, T>; 2],
    labels: [usize; 2],
    step: f64,
    overlap: f64,
}

impl<'a, T: Real> TwoContexts<'a, T> {
    /// The step of size `step` with π⁺, y⁺ and π⁻, y⁻ and the overlap ρ.
    ///
    /// # Shapes
    ///
    /// π⁺, π⁻: V.
    ///
    /// # Errors
    ///
    /// [`Error::Length`], [`Error::Label`]; [`Error::Range`] unless 0 < s < ∞ and −1 ≤ ρ ≤ 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::{simplex::Distribution, squeezing::TwoContexts};
    /// let pi = Distribution::new(&[0.5_f64, 0.25, 0.25])?;
    /// let both = TwoContexts::new((pi, 1), (pi, 2), 1.0, 1.0)?;
    /// let mut delta_z = [0.0; 3];
    /// both.rejected_context_into(&mut delta_z)?;
    /// assert_eq!(delta_z, [0.0, 1.0, -1.0]); // all that is left of a pair in one context
    /// assert!(TwoContexts::new((pi, 1), (pi, 2), 1.0, 1.5).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(
        (pi_chosen, chosen): (Distribution<'a, T>, usize),
        (pi_rejected, rejected): (Distribution<'a, T>, usize),
        step: T,
        overlap: T,
    ) -> Result<Self, Error> {
        pi_chosen.check(chosen)?;
        pi_rejected.check(rejected)?;
        pi_chosen.same_length("pi_rejected", pi_rejected.vocab())?;
        let step = check_step(step)?;
        let rho = overlap.to_f64();
        if !(-1.0..=1.0).contains(&rho) {
            return Err(Error::Range { name: "overlap", found: rho, expected: "between -1 and 1" });
        }
        Ok(TwoContexts { pi: [pi_chosen, pi_rejected], labels: [chosen, rejected], step, overlap: rho })
    }

    /// The step as χ⁺ sees it. O(V).
    ///
    /// # Accuracy
    ///
    /// In `f64` log α is within 20ε·max(1 + 3s, |z|) of the change of the log-softmax.
    pub fn chosen_context(&self) -> ContextStep<'a, T> {
        self.context(0)
    }

    /// The step as χ⁻ sees it. O(V).
    ///
    /// # Accuracy
    ///
    /// As [`chosen_context`](Self::chosen_context).
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::{simplex::Distribution, squeezing::TwoContexts};
    /// let pi = Distribution::new(&[0.9_f64, 0.05, 0.04, 0.01])?;
    /// let odds = |overlap| {
    ///     let both = TwoContexts::new((pi, 2), (pi, 3), 1.0, overlap)?;
    ///     both.rejected_context().log_odds_change(0, 1)
    /// };
    /// // The likeliest label gains on the next by unlearning y⁻; half of that at ρ = ½, nothing at ρ = 1.
    /// assert_eq!([odds(0.0)?, odds(0.5)?, odds(1.0)?], [0.85, 0.425, 0.0]);
    /// assert!(odds(2.0).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn rejected_context(&self) -> ContextStep<'a, T> {
        self.context(1)
    }

    /// Δz in χ⁺, written to `out`.
    ///
    /// # Shapes
    ///
    /// `out`: V.
    ///
    /// # Errors
    ///
    /// [`Error::Length`].
    pub fn chosen_context_into(&self, out: &mut [T]) -> Result<(), Error> {
        self.change_into(0, out)
    }

    /// Δz in χ⁻, written to `out`.
    ///
    /// # Shapes
    ///
    /// `out`: V.
    ///
    /// # Errors
    ///
    /// [`Error::Length`].
    pub fn rejected_context_into(&self, out: &mut [T]) -> Result<(), Error> {
        self.change_into(1, out)
    }

    /// P10: in χ⁻ y⁻ falls, and no label falls more; `None` unless y⁺ and y⁻ differ, ρ ≥ 0, and
    /// ρ ≤ 1 − π⁻(y⁻) or π⁺ = π⁻.
    pub fn rejected_falls_most(&self) -> Option<Witness<T>> {
        let rejected = self.labels[1];
        let room = 1.0 - self.pi[1].as_slice()[rejected].to_f64();
        if self.overlap < 0.0 || !self.labels_differ() || (self.overlap > room && !self.same_distribution()) {
            return None;
        }
        let growth = self.rejected_context().growth;
        let lowest = growth.delta(rejected);
        let others = (0..self.pi[1].vocab()).filter(|&i| i != rejected);
        let others = others.map(|i| (i, growth.delta(i) - lowest));
        Some(Witness::tightest_from((rejected, -growth.log(rejected)), others))
    }

    /// P11: in χ⁻ y⁺ rises, and no label rises more; `None` unless y⁺ and y⁻ differ, ρ ≥ ½ and π⁺ = π⁻.
    pub fn chosen_rises_most(&self) -> Option<Witness<T>> {
        if self.overlap < 0.5 || !self.labels_differ() || !self.same_distribution() {
            return None;
        }
        let chosen = self.labels[0];
        let growth = self.rejected_context().growth;
        let highest = growth.delta(chosen);
        let others = (0..self.pi[1].vocab()).filter(|&i| i != chosen);
        let others = others.map(|i| (i, highest - growth.delta(i)));
        Some(Witness::tightest_from((chosen, growth.log(chosen)), others))
    }

    fn context(&self, here: usize) -> ContextStep<'a, T> {
        let there = 1 - here;
        ContextStep { growth: Growth::across(self.pi[here], self.pi[there], self.pulls(here)) }
    }

    /// The pull from the other context, and that of this one.
    fn pulls(&self, here: usize) -> [Pull; 2] {
        let signed = [self.step, -self.step];
        let there = 1 - here;
        [
            Pull::towards(self.labels[there], signed[there] * self.overlap),
            Pull::towards(self.labels[here], signed[here]),
        ]
    }

    fn change_into(&self, here: usize, out: &mut [T]) -> Result<(), Error> {
        self.pi[here].same_length("out", out.len())?;
        let [from_there, own] = self.pulls(here);
        let [here, there] = [here, 1 - here].map(|k| self.pi[k].as_slice());
        for (i, (o, (p, q))) in out.iter_mut().zip(here.iter().zip(there)).enumerate() {
            *o = T::from_f64(from_there.on(i, q.to_f64()) + own.on(i, p.to_f64()));
        }
        Ok(())
    }

    fn labels_differ(&self) -> bool {
        self.labels[0] != self.labels[1]
    }

    fn same_distribution(&self) -> bool {
        self.pi[0] == self.pi[1]
    }
}

/// What a step on [`TwoContexts`] does in one of them.
#[derive(Clone, Copy, Debug)]
pub struct ContextStep<'a, T> {
    growth: Growth<'a, T>,
}

impl<T: Real> ContextStep<'_, T> {
    growth_methods!();

    /// P7, P9: Δ log(π_i/π_j), for any two labels; in χ⁻ the difference of s(π⁻ − ρπ⁺) between two that are
    /// neither y⁺ nor y⁻.
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
