//! Objectives: a loss of sequence log-probabilities and the two weights that it puts on the
//! residuals of the chosen and the rejected response.
//!
//! For every token l of the chosen and of the rejected response (paper: App. B.2)
//!
//! ```text
//! ∂L/∂z_l(χ⁺) = +w₊ (π(·|χ⁺)_l − e_{y⁺_l})        ∂L/∂z_l(χ⁻) = −w₋ (π(·|χ⁻)_l − e_{y⁻_l})
//! ```
//!
//! because ∂L/∂log π(y⁺) = −w₊ and ∂L/∂log π(y⁻) = +w₋: the weights belong to the pair of
//! sequences and are the same at each of its tokens. A positive w₊ raises y⁺, a positive w₋
//! lowers y⁻.
//!
//! With sums over a response's tokens, in nats: ℓ± = log π(y±), r± = ℓ± − log π_ref(y±),
//! h = r₊ − r₋, g = ℓ₊ − ℓ₋, m = r₊/L₊ − r₋/L₋ where L± counts tokens; [·] is 1 where the
//! condition holds and 0 elsewhere.
//!
//! | name | loss | w₊ | w₋ | source |
//! |---|---|---|---|---|
//! | `sft` | `−ℓ₊` | `1` | `0` | paper §3.1 |
//! | `dpo` | `−(1 − ε)·logσ(β·h) − ε·logσ(−β·h)` | `β·(1 − ε − σ(β·h))` | `β·(1 − ε − σ(β·h))` | Rafailov et al. 2023; ε: Mitchell 2023 (cDPO) |
//! | `robust` | `(−(1 − ε)·logσ(β·h) + ε·logσ(−β·h))/(1 − 2·ε)` | `β·((1 − ε)·σ(−β·h) + ε·σ(β·h))/(1 − 2·ε)` | `β·((1 − ε)·σ(−β·h) + ε·σ(β·h))/(1 − 2·ε)` | Chowdhury et al. 2024 |
//! | `ipo` | `(h − 1/(2·β))²` | `1/β − 2·h` | `1/β − 2·h` | Azar et al. 2023 |
//! | `ipo_mean` | `(m − 1/(2·β))²` | `(1/β − 2·m)/L₊` | `(1/β − 2·m)/L₋` | Azar et al. 2023, token means as in TRL |
//! | `hinge` | `max(0, 1 − β·h)` | `β·[β·h < 1]` | `β·[β·h < 1]` | Liu et al. 2023 (RSO) |
//! | `slic` | `max(0, δ − g) − λ·ℓ₊` | `[g < δ] + λ` | `[g < δ]` | Zhao et al. 2023 |
//! | `sppo` | `(r₊ − 1/(2·β))² + (r₋ + 1/(2·β))²` | `1/β − 2·r₊` | `1/β + 2·r₋` | Wu et al. 2024, hard labels |
//!
//! [`TABLE`] holds the same rows; tests evaluate its formulas beside the code and compare it
//! with this page.
//!
//! # Where this differs from the paper
//!
//! The residuals that the paper's App. B gives for IPO, SLiC and SPPO are not the gradients of
//! their losses; those above are. In particular IPO's weights vanish at h = 1/(2β) and change
//! sign beyond it; SLiC's weight is the bare indicator; and SPPO does push y⁻ down: at r± = 0
//! both its weights are 1/β.

mod dpo;
mod hinge;
mod ipo;
mod objective;
mod robust;
mod sft;
mod slic;
mod sppo;
#[cfg(test)]
mod tests;

pub use dpo::Dpo;
pub use hinge::Hinge;
pub use ipo::{Ipo, IpoMean};
pub use objective::{Objective, ObjectiveInfo, Parameters, TABLE};
pub use robust::RobustDpo;
pub use sft::Sft;
pub use slic::Slic;
pub use sppo::Sppo;

use crate::{Error, Real};

/// Sums of log-probabilities (nats) over each response of a preference pair, under the policy
/// and under the reference model, with the number of tokens summed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLogps<T> {
    /// log π(y⁺).
    pub chosen: T,
    /// log π(y⁻).
    pub rejected: T,
    /// log π_ref(y⁺); not read by objectives without a reference.
    pub ref_chosen: T,
    /// log π_ref(y⁻); not read by objectives without a reference.
    pub ref_rejected: T,
    /// Tokens in `chosen`.
    pub chosen_len: usize,
    /// Tokens in `rejected`.
    pub rejected_len: usize,
}

impl<T: Real> PairLogps<T> {
    /// The log-ratios (r₊, r₋) to the reference.
    pub fn log_ratios(&self) -> (T, T) {
        (self.chosen - self.ref_chosen, self.rejected - self.ref_rejected)
    }

    /// The margin h = r₊ − r₋.
    pub fn margin(&self) -> T {
        let (chosen, rejected) = self.log_ratios();
        chosen - rejected
    }

    /// The margin m = r₊/L₊ − r₋/L₋ of token means; an empty response counts as one token.
    pub fn mean_margin(&self) -> T {
        let (chosen, rejected) = self.log_ratios();
        let (chosen_len, rejected_len) = self.lengths();
        chosen / chosen_len - rejected / rejected_len
    }

    /// The implicit rewards (β·r₊, β·r₋) of DPO.
    pub fn implicit_rewards(&self, beta: T) -> (T, T) {
        let (chosen, rejected) = self.log_ratios();
        (beta * chosen, beta * rejected)
    }

    fn lengths(&self) -> (T, T) {
        let real = |n: usize| T::from_f64(n.max(1) as f64);
        (real(self.chosen_len), real(self.rejected_len))
    }
}

/// A loss and its weights: ∂L/∂log π(y⁺) = −`chosen_weight`, ∂L/∂log π(y⁻) = +`rejected_weight`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome<T> {
    /// The loss of one pair.
    pub loss: T,
    /// w₊, the force that raises y⁺.
    pub chosen_weight: T,
    /// w₋, the force that lowers y⁻.
    pub rejected_weight: T,
}

/// An objective over one pair: a pure function of sequence log-probabilities.
pub trait PreferenceLoss<T: Real> {
    /// The loss of one pair.
    fn loss(&self, pair: &PairLogps<T>) -> T;

    /// The weights (w₊, w₋): ∂L/∂log π(y⁺) = −w₊ and ∂L/∂log π(y⁻) = +w₋.
    fn weights(&self, pair: &PairLogps<T>) -> (T, T);

    /// Whether the reference log-probabilities are read.
    fn uses_reference(&self) -> bool;

    /// The loss together with its weights.
    fn outcome(&self, pair: &PairLogps<T>) -> Outcome<T> {
        let (chosen_weight, rejected_weight) = self.weights(pair);
        Outcome { loss: self.loss(pair), chosen_weight, rejected_weight }
    }
}

fn positive<T: Real>(name: &'static str, value: T) -> Result<T, Error> {
    if value > T::ZERO && value.is_finite() {
        Ok(value)
    } else {
        Err(Error::Range { name, found: value.to_f64(), expected: "a finite number > 0" })
    }
}

fn smoothing<T: Real>(value: T) -> Result<T, Error> {
    if value >= T::ZERO && value < T::HALF {
        Ok(value)
    } else {
        Err(Error::Range { name: "label_smoothing", found: value.to_f64(), expected: "0 <= ε < 0.5" })
    }
}
