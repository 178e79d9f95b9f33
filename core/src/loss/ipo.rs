//! Identity preference optimisation.

use super::{MarginLoss, positive};
use crate::{Error, Real};

/// IPO: the margin is drawn to 1/(2β).
///
/// # Definition
///
/// ```text
/// L = (h − 1/(2β))²        w₊ = w₋ = 1/β − 2h
/// ```
///
/// On sums of log-probabilities, as in the original and in the paper's reference code, the
/// objective is `ipo`. TRL takes it on token means, [`OnMargin`](super::OnMargin) with
/// `token_mean`, where w± = (1/β − 2m)/L± differ when the lengths do: `ipo_mean`.
///
/// # Special cases
///
/// At h = 0 the weight is 1/β. It is 0 at h = 1/(2β) and negative beyond: an over-separated pair
/// is pulled together again. No margin saturates it: in the tails L ~ h² and w ~ −2h. As β → 0 loss
/// and weight diverge, as 1/(4β²) and 1/β.
///
/// # Accuracy
///
/// Within 4ε of (|h| + 1/(2β))² and of |h| + 1/(2β): the distance to the target is what is rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ipo<T> {
    beta: T,
}

impl<T: Real> Ipo<T> {
    /// IPO with strength `beta`; the target of the margin is 1/(2β).
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0.
    pub fn new(beta: T) -> Result<Self, Error> {
        Ok(Ipo { beta: positive("beta", beta)? })
    }
}

impl<T: Real> MarginLoss<T> for Ipo<T> {
    fn loss_at(&self, margin: T) -> T {
        let gap = margin - T::HALF / self.beta;
        gap * gap
    }

    fn pull_at(&self, margin: T) -> T {
        T::ONE / self.beta - T::TWO * margin
    }
}
