//! Contrastive preference optimisation: no reference, and a behaviour cloning term.

use super::{PairLogps, PreferenceLoss, logistic, nonnegative, positive, smoothing};
use crate::{Error, Real};

/// CPO: the logistic loss on the bare gap g, and the chosen response's mean NLL.
///
/// # Definition
///
/// ```text
/// L = −(1 − ε) log σ(βg) − ε log σ(−βg) − α·ℓ₊/L₊,  g = ℓ₊ − ℓ₋
/// w₊ = β(1 − ε − σ(βg)) + α/L₊        w₋ = β(1 − ε − σ(βg))
/// ```
///
/// The last term is the mean over the tokens of y⁺ of one pair. TRL takes the mean over all
/// chosen tokens of a batch, which is the same for one pair or equal lengths; the authors write a
/// sum over the response.
///
/// # Special cases
///
/// g → ∞ leaves (w₊, w₋) = (α/L₊, 0) without smoothing; g → −∞ gives (β + α/L₊, β). As β → 0,
/// L → ln 2 − α·ℓ₊/L₊. An empty response counts as one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cpo<T> {
    beta: T,
    label_smoothing: T,
    cpo_alpha: T,
}

impl<T: Real> Cpo<T> {
    /// CPO with strength `beta`, `label_smoothing` ε and the weight `cpo_alpha` α of its NLL.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0, 0 ≤ ε < ½ and α ≥ 0.
    pub fn new(beta: T, label_smoothing: T, cpo_alpha: T) -> Result<Self, Error> {
        Ok(Cpo {
            beta: positive("beta", beta)?,
            label_smoothing: smoothing(label_smoothing)?,
            cpo_alpha: nonnegative("cpo_alpha", cpo_alpha)?,
        })
    }
}

impl<T: Real> PreferenceLoss<T> for Cpo<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        logistic::loss(self.beta * pair.gap(), self.label_smoothing) - self.cpo_alpha * pair.token_means().0
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let pull = self.beta * logistic::pull(self.beta * pair.gap(), self.label_smoothing);
        (pull + self.cpo_alpha / pair.lengths().0, pull)
    }

    fn uses_reference(&self) -> bool {
        false
    }
}
