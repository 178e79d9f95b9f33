//! Calibrated DPO.

use super::{PairLogps, PreferenceLoss, Sppo, logistic};
use crate::{Error, Real};

/// Cal-DPO: a logistic loss on the bare margin, and the log-ratios calibrated to ±1/(2β).
///
/// # Definition
///
/// ```text
/// L = −log σ(h) + (r₊ − 1/(2β))² + (r₋ + 1/(2β))²        Xiao et al. 2024
/// w₊ = σ(−h) + 1/β − 2r₊        w₋ = σ(−h) + 1/β + 2r₋
/// ```
///
/// The calibration is [`Sppo`]'s loss; β is not in the logistic term. The authors' published code
/// halves the two squares.
///
/// # Special cases
///
/// At r± = 0 both weights are ½ + 1/β. The calibration holds y⁺ above its reference: w₊ turns
/// negative soon after r₊ = 1/(2β), w₋ soon after r₋ = −1/(2β). No margin saturates it: in the tails
/// w± ~ ∓2r±. As β → 0 loss and weights diverge, as 1/(2β²) and 1/β.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalDpo<T> {
    calibration: Sppo<T>,
}

impl<T: Real> CalDpo<T> {
    /// Cal-DPO with the target 1/(2`beta`) of each log-ratio.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0.
    pub fn new(beta: T) -> Result<Self, Error> {
        Ok(CalDpo { calibration: Sppo::new(beta)? })
    }
}

impl<T: Real> PreferenceLoss<T> for CalDpo<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        logistic::loss(pair.margin(), T::ZERO) + self.calibration.loss(pair)
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let pull = logistic::pull(pair.margin(), T::ZERO);
        let (chosen, rejected) = self.calibration.weights(pair);
        (pull + chosen, pull + rejected)
    }

    fn uses_reference(&self) -> bool {
        true
    }
}
