//! Supervised finetuning on the chosen response.

use super::{PairLogps, PreferenceLoss};
use crate::Real;

/// The negative log-likelihood of the chosen response; the rejected one is not read.
///
/// # Definition
///
/// ```text
/// L = −log π(y⁺)        w₊ = 1, w₋ = 0        paper: §3.1, eq. 10–11
/// ```
///
/// Label smoothing changes the residual at each token and leaves these weights: see
/// [`smoothed_residual_into`](super::smoothed_residual_into).
///
/// # Special cases
///
/// It has no β, and nothing saturates it: the weight is 1 however likely y⁺ is, and only the residual fades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sft;

impl<T: Real> PreferenceLoss<T> for Sft {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        -pair.chosen
    }

    fn weights(&self, _pair: &PairLogps<T>) -> (T, T) {
        (T::ONE, T::ZERO)
    }

    fn uses_reference(&self) -> bool {
        false
    }
}
