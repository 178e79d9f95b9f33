//! Many steps: the predictions added up, beside the change that was measured.

use super::remainder;
use crate::simplex::Distribution;
use crate::{Error, Real, adaptation};

/// The accumulated influence of a sequence of steps on one context.
///
/// # Definition
///
/// ```text
/// log π(T) − log π(0) = Σ_t A(t)·Δz(t) + Σ_t r(t)·1        exact: each step's remainder is one number
/// ```
///
/// Where Δz is itself a prediction (K·G of a network), what the measurement has and the sum lacks is the
/// network's curvature: see [`shortfall`](Self::shortfall).
///
/// # Examples
///
/// ```
/// use ldyn_core::{decomposition::Influence, simplex::Distribution};
/// let (half, quarter) = ([0.5_f64, 0.5], [0.75_f64, 0.25]);
/// let mut sum = [0.0; 2];
/// let mut influence = Influence::new(&mut sum);
/// influence.add(&Distribution::new(&half)?, &[3.0_f64.ln(), 0.0])?; // (½, ½) → (¾, ¼)
/// influence.add(&Distribution::new(&quarter)?, &[0.0, 3.0_f64.ln()])?; // and back
/// let total = influence.predicted()[0] + influence.remainder();
/// assert!(total.abs() < 1e-15);
/// assert!(influence.add(&Distribution::new(&half)?, &[1.0]).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Influence<'a, T> {
    predicted: &'a mut [T],
    remainder: f64,
    steps: usize,
}

impl<'a, T: Real> Influence<'a, T> {
    /// Nothing yet; the sum of predictions will stand in `predicted`.
    ///
    /// # Shapes
    ///
    /// `predicted`: V, overwritten with 0.
    pub fn new(predicted: &'a mut [T]) -> Self {
        predicted.fill(T::ZERO);
        Influence { predicted, remainder: 0.0, steps: 0 }
    }

    /// Adds one step: π before it, and what it does to the logits.
    ///
    /// # Errors
    ///
    /// [`Error::Length`]; nothing is added then.
    pub fn add(&mut self, pi: &Distribution<'_, T>, delta_z: &[T]) -> Result<(), Error> {
        pi.same_length("predicted", self.predicted.len())?;
        self.remainder += remainder(pi, delta_z)?.to_f64();
        let mean = adaptation::mean(pi, delta_z);
        for (sum, &change) in self.predicted.iter_mut().zip(delta_z) {
            *sum += change - mean;
        }
        self.steps += 1;
        Ok(())
    }

    /// Σ_t A(t)·Δz(t).
    pub fn predicted(&self) -> &[T] {
        self.predicted
    }

    /// Σ_t r(t) ≤ 0, the same for every label: it never changes how the sum ranks them.
    pub fn remainder(&self) -> T {
        T::from_f64(self.remainder)
    }

    /// The number of steps.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// What a measured change of log π(i) has and prediction and remainder lack: 0 but for rounding if each
    /// Δz was exact.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if i ≥ V.
    pub fn shortfall(&self, i: usize, measured: T) -> Result<T, Error> {
        let vocab = self.predicted.len();
        let predicted = self.predicted.get(i).ok_or(Error::Label { found: i, vocab })?;
        Ok(measured - *predicted - self.remainder())
    }
}
