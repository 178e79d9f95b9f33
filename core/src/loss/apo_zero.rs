//! Anchored preference optimisation, for chosen responses better than the model's own.

use super::{PairLogps, PreferenceLoss, positive};
use crate::softmax::sigmoid;
use crate::{Error, Real};

/// APO-zero: raises y⁺ and lowers y⁻, each against the reference by itself.
///
/// # Definition
///
/// ```text
/// L = σ(−βr₊) + σ(βr₋)        w± = βσ(βr±)σ(−βr±)        D'Oosterlinck et al. 2024, eq. 7
/// ```
///
/// # Special cases
///
/// At r± = 0 both weights are β/4 and L = 1, which is also the limit of β → 0. Both weights vanish
/// at both ends, as βe^{−|βr|}: a response far on the wrong side hardly learns. On unpaired data
/// the terms are those of [`Kto`](super::Kto) at a KL baseline of 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ApoZero<T> {
    beta: T,
}

impl<T: Real> ApoZero<T> {
    /// APO-zero with strength `beta`.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0.
    pub fn new(beta: T) -> Result<Self, Error> {
        Ok(ApoZero { beta: positive("beta", beta)? })
    }
}

impl<T: Real> PreferenceLoss<T> for ApoZero<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        let (chosen, rejected) = pair.implicit_rewards(self.beta);
        sigmoid(-chosen) + sigmoid(rejected)
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let (chosen, rejected) = pair.implicit_rewards(self.beta);
        (self.beta * sigmoid(chosen) * sigmoid(-chosen), self.beta * sigmoid(rejected) * sigmoid(-rejected))
    }

    fn uses_reference(&self) -> bool {
        true
    }
}
