//! Noise contrastive alignment on pairs.

use super::{PairLogps, PreferenceLoss, positive};
use crate::softmax::{log_sigmoid, sigmoid};
use crate::{Error, Real};

/// NCA on pairs: each reward is classified by itself, the chosen one as data and half as noise.
///
/// # Definition
///
/// ```text
/// L = −log σ(βr₊) − ½ log σ(−βr₊) − ½ log σ(−βr₋)
/// w₊ = β(σ(−βr₊) − ½σ(βr₊))        w₋ = ½βσ(βr₋)
/// ```
///
/// # Special cases
///
/// At r± = 0 both weights are β/4 and L = 2 ln 2, which is also the limit of β → 0. w₊ is 0 at
/// σ(βr₊) = ⅔ and tends to −β/2 beyond: the likelihood of y⁺ is drawn to a finite place instead
/// of falling or growing without end. w₋ never changes sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nca<T> {
    beta: T,
}

impl<T: Real> Nca<T> {
    /// NCA with strength `beta`.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0.
    pub fn new(beta: T) -> Result<Self, Error> {
        Ok(Nca { beta: positive("beta", beta)? })
    }
}

impl<T: Real> PreferenceLoss<T> for Nca<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        let (chosen, rejected) = pair.implicit_rewards(self.beta);
        -(log_sigmoid(chosen) + T::HALF * (log_sigmoid(-chosen) + log_sigmoid(-rejected)))
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let (chosen, rejected) = pair.implicit_rewards(self.beta);
        let raise = sigmoid(-chosen) - T::HALF * sigmoid(chosen);
        (self.beta * raise, self.beta * T::HALF * sigmoid(rejected))
    }

    fn uses_reference(&self) -> bool {
        true
    }
}
