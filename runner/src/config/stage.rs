//! A training stage: its objective, its schedule, its optimiser.

use super::{EarlyStopping, Probe, Reward, Samples, default_true};
use crate::objective::{PairLoss, Preference};
use crate::record::CHECKPOINTS;
use anyhow::{Context, Result, bail};
use candle_core::DType;
use ldyn_core::loss::{Divergence, Gate, LengthDesensitised, Parameters};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One training stage. Fields that an objective does not use must be absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// `pretrain`, `sft` or a preference loss of `ldyn_core::loss`, by any name in its tables but `kto`.
    #[serde(alias = "loss_type")]
    pub objective: String,
    /// Name in records and folders; the objective's by default.
    #[serde(default)]
    pub name: String,
    /// SFT: the kinds to train on, one example each.
    #[serde(default = "default_targets")]
    pub targets: Vec<String>,
    /// β: strength of the pull towards the reference, or what the loss makes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Assumed rate of flipped preferences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f64>,
    /// SLiC: margin δ of the hinge, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// SLiC: weight λ of the SFT term.
    #[serde(default, alias = "lambda", skip_serializing_if = "Option::is_none")]
    pub sft_weight: Option<f64>,
    /// SLiC: the kind of response that the SFT term acts on, instead of `chosen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
    /// DiscoPOP: temperature τ of its mixture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discopop_tau: Option<f64>,
    /// DPOP: weight κ of its penalty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_lambda: Option<f64>,
    /// BCO: shift ρ of the rewards, the same at every step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_shift: Option<f64>,
    /// CPO: weight α of its mean NLL of the chosen response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpo_alpha: Option<f64>,
    /// SimPO: target margin γ.
    #[serde(default, alias = "gamma", skip_serializing_if = "Option::is_none")]
    pub simpo_gamma: Option<f64>,
    /// Option of a preference loss without an SFT term: adds this times the chosen response's mean NLL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_alpha: Option<f64>,
    /// Option of a loss of a margin: `reverse_kl`, `forward_kl`, `js_divergence`, `alpha_divergence`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f_divergence_type: Option<String>,
    /// Coefficient of `alpha_divergence`; 0.5 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f_alpha_divergence_coef: Option<f64>,
    /// Option of a loss with a reference: log π_ref is taken as 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_free: Option<bool>,
    /// Option of a preference loss: weight of the tokens beyond the shorter response (LD-DPO).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ld_alpha: Option<f64>,
    /// Option of a preference loss: weigh pairs by the policy (WPO).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_weighting: Option<bool>,
    /// Option of a preference loss, with `gate_tau`: steepness α of the gate on w₋ (Gate-DPO), per unit of
    /// probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_alpha: Option<f64>,
    /// Probability τ of a token of y⁻, as a geometric mean, at which the gate is half open. No default, because
    /// it must lie among the data's: exp of `logp_mean` of the kind `rejected` in `probes.jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_tau: Option<f64>,
    /// Responses that the policy gives itself when the stage begins, in place of the data's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
    /// Folder of the reference model; by default the policy as it is when the stage starts.
    #[serde(default, alias = "ref_model_name_or_path", skip_serializing_if = "Option::is_none")]
    pub reference: Option<PathBuf>,
    /// `sum` over a response's tokens and mean over the batch (the reference), or
    /// `token_mean` over all response tokens of the batch (TRL's SFT).
    #[serde(default)]
    pub reduction: Reduction,
    /// Pretraining text (`.txt` or `.jsonl`); by default the training data's own text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<PathBuf>,
    /// Pretraining on the data's own text: every response, not only `chosen`.
    #[serde(default)]
    pub all_responses: bool,
    /// Pretraining: tokens in a block.
    #[serde(default = "default_block_length")]
    pub block_length: usize,
    /// Passes over the data.
    #[serde(default = "default_epochs", alias = "num_train_epochs")]
    pub epochs: f64,
    /// Stop after this many optimiser steps, whatever `epochs` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<usize>,
    /// Examples (pairs, for preference losses) in a forward and backward pass; `aot` sorts them.
    #[serde(default = "default_batch_size", alias = "per_device_train_batch_size")]
    pub batch_size: usize,
    /// Passes whose gradients make one step.
    #[serde(default = "default_accumulation", alias = "gradient_accumulation")]
    pub gradient_accumulation_steps: usize,
    /// Peak learning rate.
    #[serde(default = "default_learning_rate", alias = "lr")]
    pub learning_rate: f64,
    /// Optimiser with its settings.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// Learning rate after the warm-up.
    #[serde(default, alias = "lr_scheduler_type")]
    pub lr_schedule: LrSchedule,
    /// Steps of linear warm-up.
    #[serde(default = "default_warmup_steps")]
    pub warmup_steps: usize,
    /// Form of the warm-up.
    #[serde(default)]
    pub warmup: Warmup,
    /// Gradients are scaled down to this global norm; 0 switches clipping off.
    #[serde(default = "default_max_grad_norm")]
    pub max_grad_norm: f64,
    /// Probe whenever this many of the stage's examples were consumed, instead of
    /// `probe.every_examples`. Pretraining probes only at its two ends by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_every_examples: Option<usize>,
    /// End at the peak of log π of a kind of response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Save the model folder after the stage.
    #[serde(default = "default_true")]
    pub save: bool,
    /// Number type of the saved weights.
    #[serde(default)]
    pub save_dtype: SaveDtype,
}

/// Number types of weights on disk; training computes in `dtype`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SaveDtype {
    /// Single precision.
    #[default]
    F32,
    /// Half precision.
    F16,
    /// Half precision with the range of single precision.
    Bf16,
    /// Double precision.
    F64,
}

impl SaveDtype {
    /// The type as candle has it.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
            Self::F64 => DType::F64,
        }
    }
}

/// How token losses become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Sum over tokens, mean over the batch.
    #[default]
    Sum,
    /// Mean over all response tokens of the batch.
    TokenMean,
}

/// Optimisers with torch's semantics and defaults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Optimizer {
    /// `torch.optim.RMSprop`: no bias correction, so the first step is about 10·lr·sign(g).
    RmsProp {
        /// Smoothing of the squared gradient.
        #[serde(default = "default_alpha")]
        alpha: f64,
        /// Added to the root.
        #[serde(default = "default_eps")]
        eps: f64,
    },
    /// `torch.optim.AdamW`.
    AdamW {
        /// Smoothing of the gradient.
        #[serde(default = "default_beta1")]
        beta1: f64,
        /// Smoothing of the squared gradient.
        #[serde(default = "default_beta2")]
        beta2: f64,
        /// Added to the root.
        #[serde(default = "default_eps")]
        eps: f64,
        /// Decoupled decay.
        #[serde(default = "default_weight_decay")]
        weight_decay: f64,
    },
    /// `torch.optim.SGD`.
    Sgd {
        /// Heavy-ball momentum.
        #[serde(default)]
        momentum: f64,
        /// L2 term added to the gradient.
        #[serde(default)]
        weight_decay: f64,
    },
}

impl Optimizer {
    /// Refuses settings outside their ranges.
    fn check(&self) -> Result<()> {
        let share = |name: &str, value: f64| match (0.0..1.0).contains(&value) {
            true => Ok(()),
            false => bail!("{name} = {value}: expected a number in [0, 1)"),
        };
        let positive = |name: &str, value: f64| match value >= 0.0 && value.is_finite() {
            true => Ok(()),
            false => bail!("{name} = {value}: expected 0 or a positive number"),
        };
        match *self {
            Self::RmsProp { alpha, eps } => share("alpha", alpha).and(positive("eps", eps)),
            Self::AdamW { beta1, beta2, eps, weight_decay } => share("beta1", beta1)
                .and(share("beta2", beta2))
                .and(positive("eps", eps))
                .and(positive("weight_decay", weight_decay)),
            Self::Sgd { momentum, weight_decay } => {
                share("momentum", momentum).and(positive("weight_decay", weight_decay))
            }
        }
    }

    /// Averages that it keeps of each gradient.
    pub fn averages(&self) -> usize {
        if matches!(self, Self::AdamW { .. }) { 2 } else { 1 }
    }

    /// Its name in configurations.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RmsProp { .. } => "rmsprop",
            Self::AdamW { .. } => "adamw",
            Self::Sgd { .. } => "sgd",
        }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::RmsProp { alpha: default_alpha(), eps: default_eps() }
    }
}

/// Learning rate after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedule {
    /// Stays at its peak.
    #[default]
    Constant,
    /// Falls linearly to 0 at the last step.
    Linear,
    /// Falls along half a cosine to 0 at the last step.
    Cosine,
}

/// Form of the linear warm-up over w steps, t counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    /// min((t + 1)/(w + 1), 1), as the reference code.
    #[default]
    Reference,
    /// min(t/w, 1), as transformers: the first step has rate 0.
    Transformers,
}

/// Most passes over the data; more are typing errors.
const MAX_EPOCHS: f64 = 10_000.0;

/// TRL's default of `f_alpha_divergence_coef`.
const DEFAULT_ALPHA_COEFFICIENT: f64 = 0.5;

fn default_targets() -> Vec<String> {
    vec!["chosen".into()]
}
fn default_block_length() -> usize {
    256
}
fn default_epochs() -> f64 {
    1.0
}
fn default_batch_size() -> usize {
    4
}
fn default_accumulation() -> usize {
    1
}
fn default_learning_rate() -> f64 {
    5e-7
}
fn default_warmup_steps() -> usize {
    150
}
fn default_max_grad_norm() -> f64 {
    10.0
}
fn default_alpha() -> f64 {
    0.99
}
fn default_eps() -> f64 {
    1e-8
}
fn default_beta1() -> f64 {
    0.9
}
fn default_beta2() -> f64 {
    0.999
}
fn default_weight_decay() -> f64 {
    0.01
}

impl Stage {
    /// A stage of this objective with every default.
    pub fn new(objective: &str) -> Self {
        let table = toml::Table::from_iter([("objective".to_owned(), objective.into())]);
        table.try_into().expect("an objective is all that a stage needs")
    }

    /// Whether the stage trains on plain text.
    pub fn is_pretrain(&self) -> bool {
        self.objective == "pretrain"
    }

    /// Whether the stage trains on pairs of a chosen and a rejected response.
    pub fn is_preference(&self) -> bool {
        !self.is_pretrain() && self.objective != "sft"
    }

    /// Examples that one optimiser step consumes.
    pub fn examples_per_step(&self) -> usize {
        self.batch_size * self.gradient_accumulation_steps
    }

    /// Optimiser steps that so many examples make, of which the last may have fewer.
    pub fn steps(&self, examples: usize) -> usize {
        examples.div_ceil(self.examples_per_step())
    }

    /// Folders of models beside the one that it trains, with their keys.
    pub fn further_models(&self) -> Vec<(&'static str, &PathBuf)> {
        let reward = match self.samples.as_ref().and_then(|samples| samples.reward.as_ref()) {
            Some(Reward::Likelihood(folder)) => vec![folder],
            Some(Reward::LogRatio(folder, reference)) => vec![folder, reference],
            Some(Reward::Command(_)) | None => Vec::new(),
        };
        let reward = reward.into_iter().map(|folder| ("samples.reward", folder));
        self.reference.iter().map(|folder| ("reference", folder)).chain(reward).collect()
    }

    /// The kinds of response that it trains on; none for plain text.
    pub fn trained_kinds(&self) -> Vec<String> {
        match self.objective.as_str() {
            "pretrain" => Vec::new(),
            "sft" => self.targets.clone(),
            _ => {
                let pair = ["chosen", "rejected"].map(String::from);
                pair.into_iter().chain(self.anchor.clone()).collect()
            }
        }
    }

    /// The loss as `ldyn_core` defines it; SFT for plain text.
    ///
    /// # Errors
    /// An unknown name or a parameter out of its range.
    pub fn loss(&self) -> Result<PairLoss> {
        let context = || format!("objective = {:?}", self.objective);
        let name = if self.is_pretrain() { "sft" } else { &self.objective };
        let parameters = self.parameters().with_context(context)?;
        PairLoss::parse(name, &parameters, self.anchor.is_some()).with_context(context)
    }

    /// The loss with what weighs tokens and pairs.
    ///
    /// # Errors
    /// As [`Stage::loss`]; half a gate.
    pub fn preference(&self) -> Result<Preference> {
        let ld = self.ld_alpha.map(LengthDesensitised::new).transpose()?;
        let weighted = self.use_weighting == Some(true);
        Ok(Preference {
            loss: self.loss()?,
            ld,
            weighted,
            gate: self.gate()?,
            anchor: 0.0,
            policy_as_reference: false,
        })
    }

    fn gate(&self) -> Result<Option<Gate<f64>>> {
        Ok(match (self.gate_alpha, self.gate_tau) {
            (Some(alpha), Some(tau)) => Some(Gate::new(alpha, tau)?),
            (None, None) => None,
            (Some(alpha), None) => {
                bail!("gate_alpha = {alpha} without gate_tau: a gate needs both, give gate_tau")
            }
            (None, Some(tau)) => {
                bail!("gate_tau = {tau} without gate_alpha: a gate needs both, give gate_alpha")
            }
        })
    }

    /// Every parameter that is a number, by its name in the core.
    fn numbers(&mut self) -> [(&'static str, &mut Option<f64>); 10] {
        [
            ("beta", &mut self.beta),
            ("label_smoothing", &mut self.label_smoothing),
            ("delta", &mut self.delta),
            ("sft_weight", &mut self.sft_weight),
            ("discopop_tau", &mut self.discopop_tau),
            ("dpop_lambda", &mut self.dpop_lambda),
            ("reward_shift", &mut self.reward_shift),
            ("cpo_alpha", &mut self.cpo_alpha),
            ("simpo_gamma", &mut self.simpo_gamma),
            ("rpo_alpha", &mut self.rpo_alpha),
        ]
    }

    fn parameters(&self) -> Result<Parameters<f64>> {
        let mut p = Parameters::default();
        let mut given = self.clone();
        for ((name, value), (known, _, to)) in given.numbers().into_iter().zip(p.numbers()) {
            debug_assert_eq!(name, known);
            *to = value.unwrap_or(*to);
        }
        if let Some(name) = &self.f_divergence_type {
            let coefficient = self.f_alpha_divergence_coef.unwrap_or(DEFAULT_ALPHA_COEFFICIENT);
            p.divergence = Divergence::parse(name, coefficient)?;
        }
        p.reference_free = self.reference_free == Some(true);
        Ok(p)
    }

    /// Options, whether they are given or not; `rpo_alpha` is a number as well.
    fn options(&self) -> [(&'static str, bool); 9] {
        [
            ("rpo_alpha", self.rpo_alpha.is_some()),
            ("reference_free", self.reference_free.is_some()),
            ("f_divergence_type", self.f_divergence_type.is_some()),
            ("f_alpha_divergence_coef", self.f_alpha_divergence_coef.is_some()),
            ("anchor", self.anchor.is_some()),
            ("ld_alpha", self.ld_alpha.is_some()),
            ("use_weighting", self.use_weighting.is_some()),
            ("gate_alpha", self.gate_alpha.is_some()),
            ("gate_tau", self.gate_tau.is_some()),
        ]
    }

    /// Writes the defaults of the parameters that the loss reads, and refuses what has no effect.
    fn complete_parameters(&mut self) -> Result<()> {
        let loss = self.preference()?.loss;
        let row = loss.row();
        let objective = self.objective.clone();
        let mut reads = [row.parameters, row.options].concat();
        reads.extend((row.name == "slic").then_some("anchor"));
        if self.is_preference() {
            reads.extend(["ld_alpha", "gate_alpha", "gate_tau"]);
            // An order over the batch has no weights of pairs.
            reads.extend((!matches!(loss, PairLoss::Batch(..))).then_some("use_weighting"));
        }
        let check = |name: &str, given: bool| {
            if given && !reads.contains(&name) {
                let reads = if reads.is_empty() { "nothing".into() } else { reads.join(", ") };
                bail!("{name} has no effect on `{objective}` (it reads: {reads}): remove it")
            }
            Ok(())
        };
        for (name, given) in self.options() {
            check(name, given)?;
        }
        for ((name, value), (_, _, default)) in
            self.numbers().into_iter().zip(Parameters::default().numbers())
        {
            check(name, value.is_some())?;
            if row.parameters.contains(&name) {
                value.get_or_insert(*default);
            }
        }
        match self.f_divergence_type.as_deref() {
            Some("alpha_divergence") => {
                self.f_alpha_divergence_coef.get_or_insert(DEFAULT_ALPHA_COEFFICIENT);
            }
            _ if self.f_alpha_divergence_coef.is_some() => {
                bail!("f_alpha_divergence_coef is read with f_divergence_type = \"alpha_divergence\" only")
            }
            _ => {}
        }
        Ok(())
    }

    /// The loss with its numbers and conventions, in words.
    ///
    /// # Errors
    /// As [`Stage::loss`].
    pub fn summary(&self) -> Result<String> {
        let mut text = self.loss()?.row().loss.to_owned();
        if self.rpo_alpha.is_some() {
            text += " − ν·ℓ₊/L₊";
        }
        let mut stage = self.clone();
        let mut symbols = Parameters::<f64>::default();
        for ((_, value), (_, symbol, _)) in stage.numbers().into_iter().zip(symbols.numbers()) {
            if let Some(value) = value {
                text += &format!(", {symbol} = {value}");
            }
        }
        if let Some(divergence) = &self.f_divergence_type {
            text += &format!(", {divergence}");
        }
        if let Some(coefficient) = self.f_alpha_divergence_coef {
            text += &format!(" with coefficient {coefficient}");
        }
        if self.reference_free == Some(true) {
            text += ", without a reference";
        }
        if let Some(anchor) = &self.anchor {
            text += &format!(", anchor: {anchor}");
        }
        if let Some(alpha) = self.ld_alpha {
            text += &format!(", tokens beyond the shorter response weigh {alpha}");
        }
        if self.use_weighting == Some(true) {
            text += ", pairs weighed by the policy (WPO)";
        }
        if let (Some(alpha), Some(tau)) = (self.gate_alpha, self.gate_tau) {
            text += &format!(", w₋ times σ({alpha}·(exp(ℓ₋/L₋) − {tau})), without a gradient (Gate-DPO)");
        }
        if let Some(samples) = &self.samples {
            text += &format!(", {}", samples.summary());
        }
        let reduction = match self.reduction {
            Reduction::Sum => "sums over tokens, mean over the batch",
            Reduction::TokenMean => "mean over the batch's response tokens",
        };
        text += &format!("; {reduction}; {} at {:e}", self.optimizer.name(), self.learning_rate);
        if let Some(stopping) = &self.early_stopping {
            text += &format!("; {}", stopping.summary());
        }
        Ok(text)
    }

    /// Examples between probes; 0 for the two ends only.
    pub fn probe_every(&self, probe: &Probe) -> usize {
        let default = if self.is_pretrain() { 0 } else { probe.every_examples };
        self.probe_every_examples.unwrap_or(default)
    }

    /// Fills in the name and the defaults of the loss, and checks what types alone cannot.
    pub(super) fn complete(&mut self, probe: &Probe) -> Result<()> {
        if self.name.is_empty() {
            self.name.clone_from(&self.objective);
        }
        if self.name.contains(['/', '\\']) {
            bail!("name = {:?}: it becomes a folder, so no slashes", self.name)
        }
        if self.name == CHECKPOINTS || self.name.contains('.') {
            bail!(
                "name = {:?}: it becomes a folder beside the run's files, so no dot and not {CHECKPOINTS:?}",
                self.name
            )
        }
        self.complete_parameters()?;
        self.optimizer.check().context("optimizer")?;
        if let Some(stopping) = &self.early_stopping {
            stopping.check(&probe.kinds, self.probe_every(probe)).context("early_stopping")?;
        }
        if let Some(samples) = &self.samples {
            if !self.is_preference() {
                bail!("samples are for preference losses, `{}` has no pairs: remove them", self.objective)
            }
            samples.check()?;
        }
        if self.reduction == Reduction::TokenMean && self.is_preference() {
            bail!(
                "reduction = \"token_mean\" is for sft and pretrain: a preference loss is a function of sums"
            )
        }
        if self.is_pretrain() && self.block_length < 2 {
            bail!("block_length = {}: a block needs at least 2 tokens to predict one", self.block_length)
        }
        for (key, value) in [
            ("batch_size", self.batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
        ] {
            if value == 0 {
                bail!("{key} = 0: give at least 1")
            }
        }
        if self.batch_size.checked_mul(self.gradient_accumulation_steps).is_none() {
            bail!(
                "batch_size = {} times gradient_accumulation_steps = {} is beyond any number of examples: lower them",
                self.batch_size,
                self.gradient_accumulation_steps
            )
        }
        // The order of all examples of a stage is made before it begins.
        if self.epochs > MAX_EPOCHS {
            bail!("epochs = {}: expected at most {MAX_EPOCHS}", self.epochs)
        }
        for (key, value) in [("epochs", self.epochs), ("learning_rate", self.learning_rate)] {
            if !(value.is_finite() && value > 0.0) {
                bail!("{key} = {value}: expected a positive number")
            }
        }
        if !(self.max_grad_norm.is_finite() && self.max_grad_norm >= 0.0) {
            bail!("max_grad_norm = {}: expected 0 (off) or a positive number", self.max_grad_norm)
        }
        if self.targets.is_empty() {
            bail!("targets = []: name at least one kind, such as \"chosen\"")
        }
        Ok(())
    }
}
