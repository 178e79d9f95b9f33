//! Self-play preference optimisation with hard labels.

use super::{PairLogps, PreferenceLoss, positive};
use crate::{Error, Real};

/// SPPO with hard preference labels: each log-ratio is drawn to its own target.
///
/// # Definition
///
/// ```text
/// L = (r₊ − η/2)² + (r₋ + η/2)²,  η = 1/β        w₊ = η − 2r₊,  w₋ = η + 2r₋
/// ```
///
/// # Special cases
///
/// At r± = 0 both weights are η: y⁻ is pushed down as hard as y⁺ is pushed up. The pushes end
/// independently, at r₊ = η/2 and r₋ = −η/2, and reverse beyond: no margin saturates it, the weights grow as
/// −2r₊ and 2r₋. As β → 0 loss and weights diverge, as 1/(2β²) and 1/β.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sppo<T> {
    beta: T,
}

impl<T: Real> Sppo<T> {
    /// SPPO with η = 1/`beta`, TRL's parameter.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0.
    pub fn new(beta: T) -> Result<Self, Error> {
        Ok(Sppo { beta: positive("beta", beta)? })
    }
}

impl<T: Real> PreferenceLoss<T> for Sppo<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        let (chosen, rejected) = pair.log_ratios();
        let target = T::HALF / self.beta;
        let (up, down) = (chosen - target, rejected + target);
        up * up + down * down
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let (chosen, rejected) = pair.log_ratios();
        let eta = T::ONE / self.beta;
        (eta - T::TWO * chosen, eta + T::TWO * rejected)
    }

    fn uses_reference(&self) -> bool {
        true
    }
}
