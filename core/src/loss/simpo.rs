//! Simple preference optimisation: token means, a target margin, no reference.

use super::{PairLogps, PreferenceLoss, finite, logistic, positive, smoothing};
use crate::{Error, Real};

/// SimPO: the logistic loss on the gap of token means beyond a target.
///
/// # Definition
///
/// ```text
/// L = −(1 − ε) log σ(x) − ε log σ(−x),  x = βs − γ,  s = ℓ₊/L₊ − ℓ₋/L₋
/// w± = β(1 − ε − σ(x))/L±
/// ```
///
/// CPO-SimPO is this with an NLL term: the option `rpo_alpha` of [`Objective`](super::Objective).
///
/// # Special cases
///
/// w₊ and w₋ differ when the lengths do. s → ∞ gives 0 (−βε/L± with smoothing), s → −∞ gives
/// β/L±. As β → 0, L → −log σ(−γ). An empty response counts as one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimPo<T> {
    beta: T,
    label_smoothing: T,
    simpo_gamma: T,
}

impl<T: Real> SimPo<T> {
    /// SimPO with strength `beta`, `label_smoothing` ε and the target margin `simpo_gamma` γ, in
    /// units of βs.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0, 0 ≤ ε < ½ and γ is finite.
    pub fn new(beta: T, label_smoothing: T, simpo_gamma: T) -> Result<Self, Error> {
        Ok(SimPo {
            beta: positive("beta", beta)?,
            label_smoothing: smoothing(label_smoothing)?,
            simpo_gamma: finite("simpo_gamma", simpo_gamma)?,
        })
    }

    fn lead(&self, pair: &PairLogps<T>) -> T {
        let (chosen, rejected) = pair.token_means();
        self.beta * (chosen - rejected) - self.simpo_gamma
    }
}

impl<T: Real> PreferenceLoss<T> for SimPo<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        logistic::loss(self.lead(pair), self.label_smoothing)
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let pull = self.beta * logistic::pull(self.lead(pair), self.label_smoothing);
        let (chosen_len, rejected_len) = pair.lengths();
        (pull / chosen_len, pull / rejected_len)
    }

    fn uses_reference(&self) -> bool {
        false
    }
}
