//! Identity preference optimisation, with sums or with token means.

use super::{PairLogps, PreferenceLoss, positive};
use crate::{Error, Real};

/// IPO on sums of log-probabilities, as in the original and in the paper's reference code.
///
/// # Definition
///
/// ```text
/// L = (h − 1/(2β))²        w₊ = w₋ = 1/β − 2h
/// ```
///
/// # Special cases
///
/// At h = 0 the weight is 1/β. It is 0 at h = 1/(2β) and negative beyond: an over-separated pair
/// is pulled together again. As β → 0 loss and weight diverge, as 1/(4β²) and 1/β.
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

impl<T: Real> PreferenceLoss<T> for Ipo<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        squared_gap(pair.margin(), self.beta)
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let weight = slope(pair.margin(), self.beta);
        (weight, weight)
    }

    fn uses_reference(&self) -> bool {
        true
    }
}

/// IPO on token means, as in TRL.
///
/// # Definition
///
/// ```text
/// L = (m − 1/(2β))²,  m = r₊/L₊ − r₋/L₋        w± = (1/β − 2m)/L±
/// ```
///
/// # Special cases
///
/// As [`Ipo`] with m for h; w₊ and w₋ differ when the lengths do. An empty response counts as
/// one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IpoMean<T> {
    beta: T,
}

impl<T: Real> IpoMean<T> {
    /// IPO on token means with strength `beta`.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0.
    pub fn new(beta: T) -> Result<Self, Error> {
        Ok(IpoMean { beta: positive("beta", beta)? })
    }
}

impl<T: Real> PreferenceLoss<T> for IpoMean<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        squared_gap(pair.mean_margin(), self.beta)
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let weight = slope(pair.mean_margin(), self.beta);
        let (chosen_len, rejected_len) = pair.lengths();
        (weight / chosen_len, weight / rejected_len)
    }

    fn uses_reference(&self) -> bool {
        true
    }
}

fn squared_gap<T: Real>(margin: T, beta: T) -> T {
    let gap = margin - T::HALF / beta;
    gap * gap
}

fn slope<T: Real>(margin: T, beta: T) -> T {
    T::ONE / beta - T::TWO * margin
}
