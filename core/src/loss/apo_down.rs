//! Anchored preference optimisation, for chosen responses worse than the model's own.

use super::{PairLogps, PreferenceLoss, positive};
use crate::softmax::sigmoid;
use crate::{Error, Real};

/// APO-down: lowers y⁺ too, and y⁻ below it.
///
/// # Definition
///
/// ```text
/// L = σ(βr₊) + σ(−βh)        D'Oosterlinck et al. 2024, eq. 8
/// w₊ = β(σ(βh)σ(−βh) − σ(βr₊)σ(−βr₊))        w₋ = βσ(βh)σ(−βh)
/// ```
///
/// # Special cases
///
/// At r± = 0, w₊ = 0 and w₋ = β/4: the first step moves only y⁻. L = 1 there and in the limit
/// β → 0. Once |h| > |r₊| the weight w₊ is negative. Both weights vanish in the tails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ApoDown<T> {
    beta: T,
}

impl<T: Real> ApoDown<T> {
    /// APO-down with strength `beta`.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0.
    pub fn new(beta: T) -> Result<Self, Error> {
        Ok(ApoDown { beta: positive("beta", beta)? })
    }
}

impl<T: Real> PreferenceLoss<T> for ApoDown<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        let (chosen, rejected) = pair.implicit_rewards(self.beta);
        sigmoid(chosen) + sigmoid(rejected - chosen)
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let (chosen, rejected) = pair.implicit_rewards(self.beta);
        let lead = chosen - rejected;
        let spread = self.beta * sigmoid(lead) * sigmoid(-lead);
        (spread - self.beta * sigmoid(chosen) * sigmoid(-chosen), spread)
    }

    fn uses_reference(&self) -> bool {
        true
    }
}
