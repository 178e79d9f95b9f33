//! The logistic loss with label smoothing, which many objectives share.

use crate::Real;
use crate::softmax::{log_sigmoid, sigmoid};

/// −(1 − ε) log σ(x) − ε log σ(−x).
pub(super) fn loss<T: Real>(x: T, smoothing: T) -> T {
    let hit = -((T::ONE - smoothing) * log_sigmoid(x));
    // Without smoothing the second term is absent, even where it is 0·∞.
    if smoothing == T::ZERO { hit } else { hit - smoothing * log_sigmoid(-x) }
}

/// The negative derivative of [`loss`], (1 − ε)σ(−x) − εσ(x) = 1 − ε − σ(x).
pub(super) fn pull<T: Real>(x: T, smoothing: T) -> T {
    (T::ONE - smoothing) * sigmoid(-x) - smoothing * sigmoid(x)
}
