//! DPO-positive, which forbids the chosen response to fall.

use super::{PairLogps, PreferenceLoss, logistic, nonnegative, positive};
use crate::{Error, Real};

/// DPOP (Smaug): DPO with a penalty where the chosen response lies below its reference.
///
/// # Definition
///
/// ```text
/// L = −log σ(x),  x = β(h − κ·max(0, −r₊))        Pal et al. 2024
/// w₊ = βσ(−x)(1 + κ[r₊ < 0])        w₋ = βσ(−x)
/// ```
///
/// # Special cases
///
/// κ = 0 is DPO. At the kink r₊ = 0 the indicator is 0. While r₊ < 0, y⁺ is pulled 1 + κ times as
/// hard as y⁻ is pushed. As β → 0, L → ln 2; limits in x as for [`Dpo`](super::Dpo).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dpop<T> {
    beta: T,
    dpop_lambda: T,
}

impl<T: Real> Dpop<T> {
    /// DPOP with strength `beta` and the weight `dpop_lambda` κ of its penalty.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0 and κ ≥ 0.
    pub fn new(beta: T, dpop_lambda: T) -> Result<Self, Error> {
        Ok(Dpop { beta: positive("beta", beta)?, dpop_lambda: nonnegative("dpop_lambda", dpop_lambda)? })
    }

    /// x, and whether the penalty acts.
    fn lead(&self, pair: &PairLogps<T>) -> (T, bool) {
        let (chosen, rejected) = pair.log_ratios();
        let fell = chosen < T::ZERO;
        let penalty = if fell { self.dpop_lambda * chosen } else { T::ZERO };
        (self.beta * (chosen - rejected + penalty), fell)
    }
}

impl<T: Real> PreferenceLoss<T> for Dpop<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        logistic::loss(self.lead(pair).0, T::ZERO)
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let (x, fell) = self.lead(pair);
        let pull = self.beta * logistic::pull(x, T::ZERO);
        (if fell { pull * (T::ONE + self.dpop_lambda) } else { pull }, pull)
    }

    fn uses_reference(&self) -> bool {
        true
    }
}
