//! Binary classifier optimisation on pairs.

use super::{PairLogps, PreferenceLoss, finite, positive};
use crate::softmax::{log_sigmoid, sigmoid};
use crate::{Error, Real};

/// BCO on pairs: a classifier of rewards that are shifted by a constant.
///
/// # Definition
///
/// ```text
/// L = −log σ(βr₊ − δ) − log σ(δ − βr₋)        w₊ = βσ(δ − βr₊),  w₋ = βσ(βr₋ − δ)
/// ```
///
/// The method takes the shift δ as a running mean of the rewards; here it is a number that
/// whoever trains may change from step to step, without a gradient. With δ = 0 it is `bco_pair`
/// of TRL 1.x, which has no shift.
///
/// # Special cases
///
/// At r± = 0 and δ = 0 both weights are β/2 and L = 2 ln 2, which is also the limit of β → 0.
/// Each weight fades by itself: w₊ as βr₊ → ∞, w₋ as βr₋ → −∞. At the other ends they are β.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bco<T> {
    beta: T,
    reward_shift: T,
}

impl<T: Real> Bco<T> {
    /// BCO with strength `beta` and `reward_shift` δ.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0 and δ is finite.
    pub fn new(beta: T, reward_shift: T) -> Result<Self, Error> {
        Ok(Bco { beta: positive("beta", beta)?, reward_shift: finite("reward_shift", reward_shift)? })
    }

    fn rewards(&self, pair: &PairLogps<T>) -> (T, T) {
        let (chosen, rejected) = pair.implicit_rewards(self.beta);
        (chosen - self.reward_shift, rejected - self.reward_shift)
    }
}

impl<T: Real> PreferenceLoss<T> for Bco<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        let (chosen, rejected) = self.rewards(pair);
        -log_sigmoid(chosen) - log_sigmoid(-rejected)
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let (chosen, rejected) = self.rewards(pair);
        (self.beta * sigmoid(-chosen), self.beta * sigmoid(rejected))
    }

    fn uses_reference(&self) -> bool {
        true
    }
}
