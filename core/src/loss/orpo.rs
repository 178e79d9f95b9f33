//! Odds ratio preference optimisation.

use super::{PairLogps, PreferenceLoss, positive};
use crate::softmax::{log_sigmoid, log1mexp};
use crate::{Error, Real};

/// ORPO: SFT on the chosen response and a logistic loss on the log-odds of token means.
///
/// # Definition
///
/// ```text
/// L = −x₊ − β log σ(o),  x± = ℓ±/L±,  o = logit p₊ − logit p₋,  p± = e^{x±}
/// w₊ = (1 + β·u)/L₊,  w₋ = (β·u·q₊/q₋)/L₋,  u = 1/(q₊ + q₋e^{x₊ − x₋}),  q± = 1 − p±
/// ```
///
/// Configurations call the weight of the odds term, λ of the authors, `beta`, as TRL does. The
/// NLL is the mean over the tokens of y⁺; TRL's also runs over the prompt, and both TRL's and the
/// authors' take one mean over the batch.
///
/// # Method
///
/// σ(−o)/q₊ = u without forming σ(−o), so that nothing is 0/0 where a response is certain.
///
/// # Special cases
///
/// For unlikely responses (p± → 0) u → σ(x₋ − x₊). p₊ → 1 gives u → p₋/q₋, finite; p₋ → 1 makes
/// w₋ grow as 1/q₋. A mean log-probability above −ε, the type's rounding, counts as −ε: a
/// response that rounding makes certain keeps finite odds. o → ∞ leaves (w₊, w₋) = (1/L₊, 0); o → −∞
/// as p₊ → 0 gives ((1 + β)/L₊, β/(q₋L₋)). As β → 0 the loss is SFT's on the mean, and w₋/β → u·q₊/(q₋L₋). An empty
/// response counts as one token.
///
/// # Accuracy
///
/// The loss is within 4ε·(1 + |x₊|), and w₊ within that of itself, ε of the type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orpo<T> {
    beta: T,
}

impl<T: Real> Orpo<T> {
    /// ORPO with the weight `beta` of its odds term.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0.
    pub fn new(beta: T) -> Result<Self, Error> {
        Ok(Orpo { beta: positive("beta", beta)? })
    }
}

/// (x₊, x₋), below 0.
fn uncertain<T: Real>(pair: &PairLogps<T>) -> (T, T) {
    let below = |x: T| if x > -T::EPSILON { -T::EPSILON } else { x };
    let (chosen, rejected) = pair.token_means();
    (below(chosen), below(rejected))
}

impl<T: Real> PreferenceLoss<T> for Orpo<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        let (chosen, rejected) = uncertain(pair);
        let odds = (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected));
        -pair.token_means().0 - self.beta * log_sigmoid(odds)
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let (chosen, rejected) = uncertain(pair);
        let (q_chosen, q_rejected) = (-chosen.exp_m1(), -rejected.exp_m1());
        let u = T::ONE / (q_chosen + q_rejected * (chosen - rejected).exp());
        let (chosen_len, rejected_len) = pair.lengths();
        ((T::ONE + self.beta * u) / chosen_len, self.beta * u * (q_chosen / q_rejected) / rejected_len)
    }

    fn uses_reference(&self) -> bool {
        false
    }
}
