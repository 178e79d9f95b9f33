//! Self-play finetuning.

use super::{MarginLoss, logistic, positive};
use crate::{Error, Real};

/// SPIN with the logistic loss: the chosen response is human, the rejected one and the reference
/// come from the previous iterate of the policy.
///
/// # Definition
///
/// ```text
/// L = −log σ(λh)        w₊ = w₋ = λσ(−λh)        paper: §3, Fig. 2
/// ```
///
/// The formula is DPO's without smoothing. What differs are the data: whoever trains samples y⁻
/// anew and replaces the reference at every iteration.
///
/// # Special cases
///
/// Every iteration starts at h = 0 with the weight λ/2. Limits as for [`Dpo`](super::Dpo).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spin<T> {
    lambda: T,
}

impl<T: Real> Spin<T> {
    /// SPIN with the strength λ, which configurations call `beta`.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless λ > 0.
    pub fn new(beta: T) -> Result<Self, Error> {
        Ok(Spin { lambda: positive("beta", beta)? })
    }
}

impl<T: Real> MarginLoss<T> for Spin<T> {
    fn loss_at(&self, margin: T) -> T {
        logistic::loss(self.lambda * margin, T::ZERO)
    }

    fn pull_at(&self, margin: T) -> T {
        self.lambda * logistic::pull(self.lambda * margin, T::ZERO)
    }
}
