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
//! # Pairs
//!
//! With sums over a response's tokens, in nats: ℓ± = log π(y±), r± = ℓ± − log π_ref(y±),
//! h = r₊ − r₋, g = ℓ₊ − ℓ₋; with L± tokens: m = r₊/L₊ − r₋/L₋, s = ℓ₊/L₊ − ℓ₋/L₋ and the
//! log-odds o = s − log(1 − e^{ℓ₊/L₊}) + log(1 − e^{ℓ₋/L₋}). [·] is 1 where the condition holds and
//! 0 elsewhere. The other letters are [`Parameters`].
//!
//! | name | loss | w₊ | w₋ | source |
//! |---|---|---|---|---|
//! | `sft` | `−ℓ₊` | `1` | `0` | paper §3.1 |
//! | `dpo`, `sigmoid`, `cdpo` | `−(1 − ε)·logσ(β·h) − ε·logσ(−β·h)` | `β·(1 − ε − σ(β·h))` | `β·(1 − ε − σ(β·h))` | Rafailov et al. 2023; ε: Mitchell 2023 (cDPO) |
//! | `robust` | `(−(1 − ε)·logσ(β·h) + ε·logσ(−β·h))/(1 − 2·ε)` | `β·((1 − ε)·σ(−β·h) + ε·σ(β·h))/(1 − 2·ε)` | `β·((1 − ε)·σ(−β·h) + ε·σ(β·h))/(1 − 2·ε)` | Chowdhury et al. 2024 |
//! | `ipo` | `(h − 1/(2·β))²` | `1/β − 2·h` | `1/β − 2·h` | Azar et al. 2023 |
//! | `ipo_mean` | `(m − 1/(2·β))²` | `(1/β − 2·m)/L₊` | `(1/β − 2·m)/L₋` | Azar et al. 2023, token means as in TRL |
//! | `hinge` | `max(0, 1 − β·h)` | `β·[β·h < 1]` | `β·[β·h < 1]` | Liu et al. 2023 (RSO) |
//! | `exo_pair`, `exo` | `σ(β·h)·(logσ(β·h) − log(1 − ε)) + σ(−β·h)·(logσ(−β·h) − log(ε))` | `β·σ(β·h)·σ(−β·h)·(log(1/ε − 1) − β·h)` | `β·σ(β·h)·σ(−β·h)·(log(1/ε − 1) − β·h)` | Ji et al. 2024 |
//! | `discopop` | `σ(β·h/τ)·exp(−β·h) − σ(−β·h/τ)·logσ(β·h)` | `β·(σ(−β·h/τ)·σ(−β·h) + σ(β·h/τ)·exp(−β·h) − σ(−β·h/τ)·σ(β·h/τ)·(exp(−β·h) + logσ(β·h))/τ)` | `β·(σ(−β·h/τ)·σ(−β·h) + σ(β·h/τ)·exp(−β·h) − σ(−β·h/τ)·σ(β·h/τ)·(exp(−β·h) + logσ(β·h))/τ)` | Lu et al. 2024 |
//! | `sigmoid_norm` | `−logσ(β·m)` | `β·σ(−β·m)/L₊` | `β·σ(−β·m)/L₋` | as in TRL: DPO on token means |
//! | `spin` | `−logσ(β·h)` | `β·σ(−β·h)` | `β·σ(−β·h)` | Chen et al. 2024; β is their λ |
//! | `sppo`, `sppo_hard` | `(r₊ − 1/(2·β))² + (r₋ + 1/(2·β))²` | `1/β − 2·r₊` | `1/β + 2·r₋` | Wu et al. 2024, hard labels |
//! | `cal_dpo` | `−logσ(h) + (r₊ − 1/(2·β))² + (r₋ + 1/(2·β))²` | `σ(−h) + 1/β − 2·r₊` | `σ(−h) + 1/β + 2·r₋` | Xiao et al. 2024 |
//! | `dpop` | `−logσ(β·(h − κ·max(0, −r₊)))` | `β·σ(−β·(h − κ·max(0, −r₊)))·(1 + κ·[r₊ < 0])` | `β·σ(−β·(h − κ·max(0, −r₊)))` | Pal et al. 2024 (Smaug) |
//! | `nca_pair`, `nca` | `−logσ(β·r₊) − logσ(−β·r₊)/2 − logσ(−β·r₋)/2` | `β·(σ(−β·r₊) − σ(β·r₊)/2)` | `β·σ(β·r₋)/2` | Chen et al. 2024 (NCA) |
//! | `bco_pair`, `bco` | `−logσ(β·r₊ − ρ) − logσ(ρ − β·r₋)` | `β·σ(ρ − β·r₊)` | `β·σ(β·r₋ − ρ)` | Jung et al. 2024; TRL has ρ = 0 |
//! | `apo_zero` | `σ(−β·r₊) + σ(β·r₋)` | `β·σ(β·r₊)·σ(−β·r₊)` | `β·σ(β·r₋)·σ(−β·r₋)` | D'Oosterlinck et al. 2024 |
//! | `apo_down` | `σ(β·r₊) + σ(−β·h)` | `β·(σ(β·h)·σ(−β·h) − σ(β·r₊)·σ(−β·r₊))` | `β·σ(β·h)·σ(−β·h)` | D'Oosterlinck et al. 2024 |
//! | `slic` | `max(0, δ − g) − λ·ℓ₊` | `[g < δ] + λ` | `[g < δ]` | Zhao et al. 2023 |
//! | `cpo` | `−(1 − ε)·logσ(β·g) − ε·logσ(−β·g) − α·ℓ₊/L₊` | `β·(1 − ε − σ(β·g)) + α/L₊` | `β·(1 − ε − σ(β·g))` | Xu et al. 2024 |
//! | `simpo` | `−(1 − ε)·logσ(β·s − γ) − ε·logσ(γ − β·s)` | `β·(1 − ε − σ(β·s − γ))/L₊` | `β·(1 − ε − σ(β·s − γ))/L₋` | Meng et al. 2024 |
//! | `orpo` | `−ℓ₊/L₊ − β·logσ(o)` | `(1 + β·σ(−o)/(1 − exp(ℓ₊/L₊)))/L₊` | `β·σ(−o)/(1 − exp(ℓ₋/L₋))/L₋` | Hong et al. 2024; β is their λ |
//!
//! [`Objective::parse`] makes each by its name. The names are TRL's where it has the loss, except
//! that `ipo` is on sums; TRL's `ipo` is `ipo_mean`. [`TABLE`] holds the same rows, with the
//! parameters and options of each.
//!
//! # Options
//!
//! - `f_divergence_type`, of a loss of h or m: each r becomes a score f(r), see [`Divergence`], so
//!   that h = f(r₊) − f(r₋) and w± gains the factor f′(r±).
//! - `reference_free`, of a loss with a reference: log π_ref := 0, so that r± = ℓ±.
//! - `rpo_alpha` ν, of a loss without an SFT term: adds −ν·ℓ₊/L₊ to the loss and ν/L₊ to w₊, the
//!   mean NLL of the pair's chosen tokens. (TRL 0.x, which had it, takes one mean over all chosen
//!   tokens of a batch: the same for one pair or equal lengths.)
//! - [`LengthDesensitised`] (`ld_alpha`) weighs tokens, in the sums and in the residuals.
//! - [`wpo_weight`] (`use_weighting`) is a factor on loss and weights, without a gradient.
//! - [`Gate`] (`gate_alpha`, `gate_tau`) is a factor on w₋ alone, without a gradient: the gated
//!   weights are in general the gradient of no loss, and the loss is that without the gate.
//!
//! | divergence | f(r) | f′(r) |
//! |---|---|---|
//! | `reverse_kl` | `r` | `1` |
//! | `forward_kl` | `1 − exp(−r)` | `exp(−r)` |
//! | `js_divergence` | `log(2) + logσ(r)` | `σ(−r)` |
//! | `alpha_divergence` | `(exp((c − 1)·r) − 1)/(c − 1)` | `exp((c − 1)·r)` |
//!
//! # Batches and single examples
//!
//! [`Aot`] is a function of a batch: t is the difference of two scores of equal rank. [`Kto`] is one
//! of single responses, with r its log-ratio and z a baseline. Both weights are w for AOT; for KTO
//! w raises a desirable response and lowers an undesirable one. [`OTHERS`] holds these rows.
//!
//! | name | of | loss | w | source |
//! |---|---|---|---|---|
//! | `kto` | desirable | `ω₊·σ(β·(z − r))` | `β·ω₊·σ(β·(r − z))·σ(β·(z − r))` | Ethayarajh et al. 2024 |
//! | `kto` | undesirable | `ω₋·σ(β·(r − z))` | `β·ω₋·σ(β·(r − z))·σ(β·(z − r))` | Ethayarajh et al. 2024 |
//! | `aot` | one rank of a batch | `−(1 − ε)·logσ(β·t) − ε·logσ(−β·t)` | `β·(1 − ε − σ(β·t))` | Melnyk et al. 2024 |
//! | `aot_unpaired` | one rank of a batch | `−(1 − ε)·logσ(β·t) − ε·logσ(−β·t)` | `β·(1 − ε − σ(β·t))` | Melnyk et al. 2024 |
//!
//! Tests evaluate the formulas of all three tables beside the code and compare them with this page.
//!
//! # Where this differs from the paper
//!
//! The residuals that the paper's App. B gives for IPO, SLiC and SPPO are not the gradients of
//! their losses; those above are. In particular IPO's weights vanish at h = 1/(2β) and change
//! sign beyond it; SLiC's weight is the bare indicator, and its SFT term acts in a third context
//! ([`Slic::anchored`]); and SPPO does push y⁻ down: at r± = 0 both its weights are 1/β.

mod aot;
mod apo_down;
mod apo_zero;
mod bco;
mod cal_dpo;
mod cpo;
mod discopop;
mod divergence;
mod dpo;
mod dpop;
mod exo;
mod gate;
mod hinge;
mod ipo;
mod kto;
mod ld;
mod logistic;
mod margin;
mod nca;
mod objective;
mod orpo;
mod robust;
mod sft;
mod simpo;
mod slic;
mod smoothed;
mod spin;
mod sppo;
mod table;
#[cfg(test)]
mod tests;
mod wpo;

pub use aot::Aot;
pub use apo_down::ApoDown;
pub use apo_zero::ApoZero;
pub use bco::Bco;
pub use cal_dpo::CalDpo;
pub use cpo::Cpo;
pub use discopop::DiscoPop;
pub use divergence::{DIVERGENCES, Divergence, DivergenceInfo};
pub use dpo::Dpo;
pub use dpop::Dpop;
pub use exo::Exo;
pub use gate::Gate;
pub use hinge::Hinge;
pub use ipo::Ipo;
pub use kto::{ExampleOutcome, Kto, kl_baseline};
pub use ld::LengthDesensitised;
pub use margin::{Margin, MarginLoss, OnMargin};
pub use nca::Nca;
pub use objective::{Objective, Parameters};
pub use orpo::Orpo;
pub use robust::RobustDpo;
pub use sft::Sft;
pub use simpo::SimPo;
pub use slic::Slic;
pub use smoothed::{smoothed_nll, smoothed_residual_into};
pub use spin::Spin;
pub use sppo::Sppo;
pub use table::{OTHERS, ObjectiveInfo, TABLE, TermInfo};
pub use wpo::wpo_weight;

use crate::{Error, Real};

/// Sums of log-probabilities (nats) over each response of a preference pair, under the policy
/// and under the reference model, with the number of tokens summed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

    /// The gap g = ℓ₊ − ℓ₋, without the reference.
    pub fn gap(&self) -> T {
        self.chosen - self.rejected
    }

    /// The token means (ℓ₊/L₊, ℓ₋/L₋); an empty response counts as one token.
    pub fn token_means(&self) -> (T, T) {
        let (chosen_len, rejected_len) = self.lengths();
        (self.chosen / chosen_len, self.rejected / rejected_len)
    }

    /// The pair under a reference that gives every response probability 1: r± = ℓ±.
    pub fn without_reference(&self) -> Self {
        PairLogps { ref_chosen: T::ZERO, ref_rejected: T::ZERO, ..*self }
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Outcome<T> {
    /// The loss of one pair.
    pub loss: T,
    /// w₊, the force that raises y⁺.
    pub chosen_weight: T,
    /// w₋, the force that lowers y⁻.
    pub rejected_weight: T,
}

impl<T: Real> Outcome<T> {
    /// Loss and weights times a factor that gets no gradient.
    pub fn scaled(&self, factor: T) -> Self {
        Outcome {
            loss: factor * self.loss,
            chosen_weight: factor * self.chosen_weight,
            rejected_weight: factor * self.rejected_weight,
        }
    }
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

fn nonnegative<T: Real>(name: &'static str, value: T) -> Result<T, Error> {
    if value >= T::ZERO && value.is_finite() {
        Ok(value)
    } else {
        Err(Error::Range { name, found: value.to_f64(), expected: "a finite number >= 0" })
    }
}

fn finite<T: Real>(name: &'static str, value: T) -> Result<T, Error> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Error::Range { name, found: value.to_f64(), expected: "a finite number" })
    }
}

fn smoothing<T: Real>(value: T) -> Result<T, Error> {
    if value >= T::ZERO && value < T::HALF {
        Ok(value)
    } else {
        Err(Error::Range { name: "label_smoothing", found: value.to_f64(), expected: "0 <= ε < 0.5" })
    }
}
