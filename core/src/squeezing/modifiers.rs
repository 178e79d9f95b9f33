//! Negative steps with label smoothing, and as RMSprop takes them. Momentum and weight decay are
//! about more than one step: see [`Trajectory`](super::Trajectory).

use super::growth::{Growth, Pull, growth_methods};
use super::{Witness, check_runner_up, check_step, log_add_exp};
use crate::simplex::Distribution;
use crate::{Error, Real};

/// One negative step on a smoothed label, (1 − ε)e_y + ε/V.
///
/// # Definition
///
/// ```text
/// z′ = z + s·(π − (1 − ε)e_y) up to a shift of all logits, which changes nothing
/// ```
///
/// The claims of the [`NegativeStep`](super::NegativeStep) then hold under conditions only (M1, M2), and can
/// fail without: y rises if it is likelier than its smoothed target.
#[derive(Clone, Copy, Debug)]
pub struct SmoothedStep<'a, T> {
    growth: Growth<'a, T>,
    label: usize,
    runner_up: usize,
    smoothing: f64,
}

impl<'a, T: Real> SmoothedStep<'a, T> {
    /// The step of size `step` away from `label`, smoothed by `smoothing` = ε.
    ///
    /// # Accuracy
    ///
    /// In `f64` log α is within 4e-15·max(1 + s, |z|) of the change of the log-softmax.
    ///
    /// # Errors
    ///
    /// As [`NegativeStep::new`](super::NegativeStep::new); [`Error::Range`] unless 0 ≤ ε ≤ 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::{simplex::Distribution, squeezing::SmoothedStep};
    /// let pi = [0.05_f64, 0.95];
    /// let step = SmoothedStep::new(Distribution::new(&pi)?, 1, 0.2, 0.5)?;
    /// assert!(step.log_growth(1)? > 0.0); // "unlearned", and likelier than before
    /// assert_eq!(step.label_falls(), None);
    /// assert!(SmoothedStep::new(Distribution::new(&pi)?, 1, 1.2, 0.5).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(pi: Distribution<'a, T>, label: usize, smoothing: T, step: T) -> Result<Self, Error> {
        let s = check_step(step)?;
        let runner_up = check_runner_up(&pi, label)?;
        let smoothing = smoothing.to_f64();
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::Range { name: "smoothing", found: smoothing, expected: "between 0 and 1" });
        }
        let away = Pull { label, weight: -s, target: 1.0 - smoothing };
        let growth = Growth::of(pi, [away, Pull::towards(label, 0.0)]);
        Ok(SmoothedStep { growth, label, runner_up, smoothing })
    }

    growth_methods!();

    /// M1: y falls if π_y ≤ 1 − ε + min_{i≠y} π_i; `None` if it is likelier than that.
    pub fn label_falls(&self) -> Option<Witness<T>> {
        let pi = self.growth.pi().as_slice();
        let least = (0..pi.len()).filter(|&i| i != self.label).map(|i| pi[i].to_f64()).fold(1.0, f64::min);
        let holds = pi[self.label].to_f64() - (1.0 - self.smoothing) <= least;
        holds.then(|| Witness { label: self.label, margin: T::from_f64(-self.growth.log(self.label)) })
    }

    /// M2: y* rises if π_{y*} ≥ π_y − (1 − ε); `None` if it is less likely than that.
    pub fn runner_up_rises(&self) -> Option<Witness<T>> {
        let pi = self.growth.pi().as_slice();
        let holds = pi[self.runner_up].to_f64() >= pi[self.label].to_f64() - (1.0 - self.smoothing);
        let rise = || T::from_f64(self.growth.log(self.runner_up));
        holds.then(|| Witness { label: self.runner_up, margin: rise() })
    }
}

/// One negative step by the sign of the gradient: the first step of RMSprop.
///
/// # Definition
///
/// ```text
/// z′_i = z_i + c for i ≠ y,   z′_y = z_y − c,      c = lr·‖φ‖₁/√(1 − α)
/// ```
///
/// With the usual α = 0.99 and no bias correction c = 10·lr·‖φ‖₁ (M6). y falls and y* rises as under
/// gradient ascent, but all labels other than y grow by the *same* factor: nobody gets richer.
#[derive(Clone, Copy, Debug)]
pub struct SignStep<T> {
    label: usize,
    others: T,
    own: T,
}

impl<T: Real> SignStep<T> {
    /// The step that moves each logit by `increment` = c.
    ///
    /// # Accuracy
    ///
    /// In `f64` log α is within 20ε·max(1 + 2c, |z|) of the change of the log-softmax.
    ///
    /// # Errors
    ///
    /// [`Error::Label`]; [`Error::Range`] if V < 2 or unless 0 < c < ∞.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::{simplex::Distribution, squeezing::SignStep};
    /// let pi = Distribution::new(&[0.5_f64, 0.25, 0.25])?;
    /// let step = SignStep::new(&pi, 2, SignStep::rmsprop_increment(0.01, 2.0, 0.99))?;
    /// assert_eq!(step.log_growth(0), step.log_growth(1));
    /// assert!(SignStep::new(&pi, 2, 0.0).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(pi: &Distribution<'_, T>, label: usize, increment: T) -> Result<Self, Error> {
        let c = check_step(increment)?;
        check_runner_up(pi, label)?;
        let own = pi.as_slice()[label].to_f64();
        let rest = pi.expectation(|i, _| if i == label { 0.0 } else { 1.0 });
        let change = own * (-2.0 * c).exp_m1();
        let others =
            if change > -0.5 { -change.ln_1p() } else { -log_add_exp(rest.ln(), own.ln() - 2.0 * c) };
        let falls = if c < 300.0 { -(rest * (2.0 * c).exp_m1()).ln_1p() } else { others - 2.0 * c };
        Ok(SignStep { label, others: T::from_f64(others), own: T::from_f64(falls) })
    }

    /// c of RMSprop's first step on a read-out: lr·‖φ‖₁/√(1 − α).
    pub fn rmsprop_increment(learning_rate: T, feature_l1: T, alpha: T) -> T {
        learning_rate * feature_l1 / (T::ONE - alpha).sqrt()
    }

    /// log α_i: one number for all i ≠ y, and another for y.
    pub fn log_growth(&self, i: usize) -> T {
        if i == self.label { self.own } else { self.others }
    }
}
