//! Sequence likelihood calibration: a hinge without a reference, and an SFT term.

use super::{Outcome, PairLogps, PreferenceLoss, nonnegative, positive};
use crate::{Error, Real};

/// SLiC; as an objective of pairs, with the chosen response as its anchor.
///
/// # Definition
///
/// ```text
/// L = max(0, δ − g) + λ·L_SFT(χ_ref),  g = log π(y⁺) − log π(y⁻)        paper: eq. 18–19
/// w₊ = [g < δ] + λ        w₋ = [g < δ]
/// ```
///
/// The method anchors on a response y_ref of its own, in a third context χ_ref:
/// [`Slic::anchored`]. As a [`PreferenceLoss`] it has only the pair, so there χ_ref = χ⁺,
/// L_SFT(χ_ref) = −log π(y⁺) and λ adds to w₊.
///
/// # Special cases
///
/// At the kink g = δ the indicator is 0. Once g ≥ δ only the anchor pulls: (w₊, w₋) = (λ, 0); as
/// g → −∞ they stay (1 + λ, 1). It has no β.
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
        Ok(Slic { delta: positive("delta", delta)?, sft_weight: nonnegative("sft_weight", sft_weight)? })
    }

    /// The method with a response y_ref of its own as the anchor: the outcome of the pair, and the
    /// weight w_ref of y_ref, where ∂L/∂log π(y_ref) = −w_ref. `anchor` is log π(y_ref).
    ///
    /// # Definition
    ///
    /// ```text
    /// L = max(0, δ − g) − λ·log π(y_ref)        paper: eq. 18–19
    /// w₊ = w₋ = [g < δ]        w_ref = λ
    /// ```
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::loss::{PairLogps, PreferenceLoss, Slic};
    /// let pair = PairLogps { chosen: -9.0, rejected: -8.0, ref_chosen: 0.0, ref_rejected: 0.0,
    ///     chosen_len: 3, rejected_len: 2 };
    /// let slic = Slic::new(1.0, 0.5)?;
    /// let (outcome, anchor_weight) = slic.anchored(&pair, -6.0);
    /// assert_eq!((outcome.loss, outcome.chosen_weight, anchor_weight), (2.0 + 3.0, 1.0, 0.5));
    /// assert_eq!(slic.weights(&pair), (1.0 + 0.5, 1.0));
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn anchored(&self, pair: &PairLogps<T>, anchor: T) -> (Outcome<T>, T) {
        let hinge = self.hinge_weight(pair);
        let loss = self.hinge(pair) - self.sft_weight * anchor;
        (Outcome { loss, chosen_weight: hinge, rejected_weight: hinge }, self.sft_weight)
    }

    fn hinge(&self, pair: &PairLogps<T>) -> T {
        let short = self.delta - pair.gap();
        if short < T::ZERO { T::ZERO } else { short }
    }

    fn hinge_weight(&self, pair: &PairLogps<T>) -> T {
        if pair.gap() >= self.delta { T::ZERO } else { T::ONE }
    }
}

impl<T: Real> PreferenceLoss<T> for Slic<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        self.hinge(pair) - self.sft_weight * pair.chosen
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let hinge = self.hinge_weight(pair);
        (hinge + self.sft_weight, hinge)
    }

    fn uses_reference(&self) -> bool {
        false
    }
}
