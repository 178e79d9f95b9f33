//! Robust DPO: unbiased under a known rate of flipped labels.

use super::{MarginLoss, positive, smoothing};
use crate::softmax::{log_sigmoid, sigmoid};
use crate::{Error, Real};

/// Robust DPO for labels that are flipped with probability ε.
///
/// # Definition
///
/// ```text
/// L = [−(1 − ε) log σ(βh) + ε log σ(−βh)] / (1 − 2ε)
/// w₊ = w₋ = β[(1 − ε)(1 − a) + εa] / (1 − 2ε),  a = σ(βh)
/// ```
///
/// # Special cases
///
/// At h = 0 the weight is β/(2(1 − 2ε)). It never changes sign: h → ∞ gives βε/(1 − 2ε), so the
/// loss is unbounded below. As β → 0, L → ln 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RobustDpo<T> {
    beta: T,
    label_smoothing: T,
}

impl<T: Real> RobustDpo<T> {
    /// Robust DPO with strength `beta` and flip rate `label_smoothing`.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0 and 0 ≤ ε < ½.
    pub fn new(beta: T, label_smoothing: T) -> Result<Self, Error> {
        Ok(RobustDpo { beta: positive("beta", beta)?, label_smoothing: smoothing(label_smoothing)? })
    }
}

impl<T: Real> MarginLoss<T> for RobustDpo<T> {
    fn loss_at(&self, margin: T) -> T {
        let x = self.beta * margin;
        let e = self.label_smoothing;
        let hit = -((T::ONE - e) * log_sigmoid(x));
        // Without smoothing the second term is absent, even where it is 0·∞.
        if e == T::ZERO { hit } else { (hit + e * log_sigmoid(-x)) / (T::ONE - T::TWO * e) }
    }

    fn pull_at(&self, margin: T) -> T {
        let x = self.beta * margin;
        let e = self.label_smoothing;
        let mixed = (T::ONE - e) * sigmoid(-x) + e * sigmoid(x);
        self.beta * mixed / (T::ONE - T::TWO * e)
    }
}
