//! Gate-DPO: what pushes down a response that is unlikely already is weakened.

use super::Outcome;
use crate::softmax::sigmoid;
use crate::{Error, Real};

/// Gate-DPO's factor on w₋, a smooth threshold on the probability of the rejected response. It gets
/// no gradient.
///
/// # Definition
///
/// ```text
/// p   = exp( (1/L₋) Σ_l log π(y⁻_l | y⁻_{<l}) )
/// w₋' = σ(α·(p − τ))·w₋,   w₊' = w₊           Mouiche and Bahi 2026 (arXiv 2605.02626)
/// ```
///
/// p is the geometric mean of the probabilities of the tokens, which the authors call `seq` (their
/// other choice is a low quantile). The product over the tokens would not do: a response of 100
/// tokens at 0.5 each has 2⁻¹⁰⁰, so that α and τ would tell short responses from long ones and not
/// likely from unlikely ones. All tokens count alike, whatever [`LengthDesensitised`] makes of them.
///
/// The gated weights are not the gradient of the loss that is gated, and in general of none:
/// ∂w₊/∂ℓ₋ = −∂w₋/∂ℓ₊ holds for every gradient and fails for, say, gated DPO. The loss is
/// reported as it is without the gate; what is exact is that a step is that of the gated weights.
///
/// # Special cases
///
/// 1/2 at p = τ. As p is from 0 to 1 the gate is never shut or open: it goes from σ(−α·τ) to
/// σ(α·(1 − τ)), so α·τ should be several units if an impossible y⁻ is to be left alone: at α = 20
/// and τ = 0.1 it still gets 12 % of its weight. A negative
/// w₋, which raises y⁻ (IPO beyond its target), is weakened as well. Without tokens p is 1.
///
/// [`LengthDesensitised`]: super::LengthDesensitised
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate<T> {
    alpha: T,
    tau: T,
}

impl<T: Real> Gate<T> {
    /// A gate of steepness `alpha`, per unit of probability, that is half open at `tau`, a probability.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless 0 < α < ∞ and 0 ≤ τ ≤ 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::loss::Gate;
    /// let gate = Gate::new(20.0, 0.25)?;
    /// assert_eq!(gate.factor(&[0.5_f64.ln(), 0.125_f64.ln()]), 0.5);
    /// assert!(gate.factor(&[-20.0, -30.0]) < 0.01);
    /// assert!(Gate::new(20.0, 1.5).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(alpha: T, tau: T) -> Result<Self, Error> {
        let alpha = super::positive("gate_alpha", alpha)?;
        if tau >= T::ZERO && tau <= T::ONE {
            Ok(Gate { alpha, tau })
        } else {
            Err(Error::Range { name: "gate_tau", found: tau.to_f64(), expected: "0 <= τ <= 1" })
        }
    }

    /// σ(α·(p − τ)) from the log-probabilities, in nats, of the tokens of the rejected response.
    pub fn factor(&self, logps: &[T]) -> T {
        let sum = logps.iter().map(|l| l.to_f64()).sum::<f64>();
        let p = T::from_f64(sum / logps.len().max(1) as f64).exp();
        sigmoid(self.alpha * (p - self.tau))
    }

    /// The outcome with w₋ gated; `logps` are those of the tokens of the rejected response.
    pub fn gated(&self, outcome: Outcome<T>, logps: &[T]) -> Outcome<T> {
        Outcome { rejected_weight: self.factor(logps) * outcome.rejected_weight, ..outcome }
    }
}
