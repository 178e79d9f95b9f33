//! Sequence likelihood calibration: a hinge without a reference, and an SFT term.

use super::{PairLogps, PreferenceLoss, positive};
use crate::{Error, Real};

/// SLiC with the chosen response as its anchor.
///
/// # Definition
///
/// ```text
/// L = max(0, δ − g) + λ·L_SFT(χ_ref),  g = log π(y⁺) − log π(y⁻)        paper: eq. 18–19
/// w₊ = [g < δ] + λ        w₋ = [g < δ]
/// ```
///
/// The method anchors on a response y_ref of its own; here χ_ref = χ⁺, so L_SFT(χ_ref) =
/// −log π(y⁺) and λ adds to w₊.
///
/// # Special cases
///
/// At the kink g = δ the indicator is 0. Once g ≥ δ only the anchor pulls: (w₊, w₋) = (λ, 0).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slic<T> {
    delta: T,
    sft_weight: T,
}

impl<T: Real> Slic<T> {
    /// SLiC with the margin `delta` in nats and the weight `sft_weight` λ of its anchor.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless δ > 0 and λ ≥ 0, both finite.
    pub fn new(delta: T, sft_weight: T) -> Result<Self, Error> {
        let delta = positive("delta", delta)?;
        if sft_weight >= T::ZERO && sft_weight.is_finite() {
            Ok(Slic { delta, sft_weight })
        } else {
            let found = sft_weight.to_f64();
            Err(Error::Range { name: "sft_weight", found, expected: "a finite number >= 0" })
        }
    }
}

impl<T: Real> PreferenceLoss<T> for Slic<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        let short = self.delta - (pair.chosen - pair.rejected);
        let hinge = if short < T::ZERO { T::ZERO } else { short };
        hinge - self.sft_weight * pair.chosen
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let satisfied = pair.chosen - pair.rejected >= self.delta;
        let hinge = if satisfied { T::ZERO } else { T::ONE };
        (hinge + self.sft_weight, hinge)
    }

    fn uses_reference(&self) -> bool {
        false
    }
}
