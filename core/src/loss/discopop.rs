//! DiscoPOP, a loss that a language model discovered.

use super::{MarginLoss, positive};
use crate::softmax::{log_sigmoid, sigmoid};
use crate::{Error, Real};

/// DiscoPOP, the log-ratio modulated loss: logistic on the wrong side, exponential on the right.
///
/// # Definition
///
/// ```text
/// L = (1 − a)(−log σ(x)) + a e^{−x},  x = βh,  a = σ(x/τ)        Lu et al. 2024, eq. 5
/// w₊ = w₋ = β[(1 − a)σ(−x) + a e^{−x} − (a(1 − a)/τ)(e^{−x} + log σ(x))]
/// ```
///
/// # Method
///
/// a·e^{−x} is taken as e^{log σ(x/τ) − x}, which does not overflow for τ ≤ 1.
///
/// # Special cases
///
/// At h = 0, L = ½(1 + ln 2) and the weight is β[¾ − (1 − ln 2)/(4τ)], negative for τ < 0.102: with
/// the recommended τ = 0.05 the loss has a maximum right of 0 and the first step *narrows* the
/// margin of a pair where policy and reference agree. h → ∞ gives e^{−x}, h → −∞ the logistic
/// loss with weight β (τ < 1). As β → 0 the loss tends to its value at h = 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiscoPop<T> {
    beta: T,
    tau: T,
}

impl<T: Real> DiscoPop<T> {
    /// DiscoPOP with strength `beta` and the temperature `discopop_tau` of its mixture.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0 and 0 < τ ≤ 1: above 1 the exponential outruns its mixture, and
    /// loss and weight of a pair on the wrong side grow as e^{|x|(1 − 1/τ)}.
    pub fn new(beta: T, discopop_tau: T) -> Result<Self, Error> {
        let beta = positive("beta", beta)?;
        if discopop_tau > T::ZERO && discopop_tau <= T::ONE {
            return Ok(DiscoPop { beta, tau: discopop_tau });
        }
        Err(Error::Range { name: "discopop_tau", found: discopop_tau.to_f64(), expected: "0 < τ <= 1" })
    }

    /// a·e^{−x}.
    fn exponential(&self, x: T) -> T {
        (log_sigmoid(x / self.tau) - x).exp()
    }
}

impl<T: Real> MarginLoss<T> for DiscoPop<T> {
    fn loss_at(&self, margin: T) -> T {
        let x = self.beta * margin;
        self.exponential(x) - sigmoid(-x / self.tau) * log_sigmoid(x)
    }

    fn pull_at(&self, margin: T) -> T {
        let x = self.beta * margin;
        let (a, rest) = (sigmoid(x / self.tau), sigmoid(-x / self.tau));
        let exponential = self.exponential(x) * (T::ONE - rest / self.tau);
        let logistic = rest * (sigmoid(-x) - a * log_sigmoid(x) / self.tau);
        self.beta * (exponential + logistic)
    }
}
