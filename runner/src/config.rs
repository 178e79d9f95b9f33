//! One typed configuration for a whole study. Unknown keys are errors, every
//! default is written out in the copy that is saved with the run, and the
//! names that TRL's users know are accepted as aliases.

mod checkpoints;
mod grid;
mod monitor;
mod template;

pub use checkpoints::{Checkpoints, changes};
pub use grid::{Arm, Cell, Grid, load_grid};
pub use monitor::{Limits, Monitor};
pub use template::template;

use crate::data::{Cut, EosInText, Format, Lengths, TruncationMode};
use crate::objective::{PairLoss, Preference};
use crate::record::CHECKPOINTS;
use anyhow::{Context, Result, bail};
use candle_core::DType;
use ldyn_core::loss::{Divergence, LengthDesensitised, Parameters};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Name of the folder of cached reference log-probabilities.
const CACHE: &str = "ldyn-cache";

/// A study: a model, its data, what is probed, and the stages in order.
/// Relative paths are taken from the working directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Title of the report.
    #[serde(default = "default_title")]
    pub title: String,
    /// Seed of every random choice.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Folder that receives records, models and the report; it must not hold a run yet, unless that run is continued.
    #[serde(alias = "output_dir")]
    pub output: PathBuf,
    /// `cpu`, `cuda` or `cuda:N`.
    #[serde(default = "default_device")]
    pub device: String,
    /// Number type of weights and activations: `f32` or `f64`.
    #[serde(default = "default_dtype")]
    pub dtype: String,
    /// Where the model comes from.
    pub model: ModelSource,
    /// Training data and how it is cut.
    #[serde(default)]
    pub data: Data,
    /// What is probed, and when.
    #[serde(default)]
    pub probe: Probe,
    /// Whether predictions are compared with what happens.
    #[serde(default)]
    pub dynamics: Dynamics,
    /// What the monitor looks for, and what it does then.
    #[serde(default)]
    pub monitor: Monitor,
    /// When checkpoints are written, and how many are kept.
    #[serde(default)]
    pub checkpoints: Checkpoints,
    /// Folder of the cached reference log-probabilities; by default `ldyn-cache` beside `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Training stages, in order.
    #[serde(default)]
    pub stages: Vec<Stage>,
}

/// A model folder, or a shape to initialise at random.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSource {
    /// Folder in the Hugging Face layout, tokenizer included.
    #[serde(default, alias = "model_name_or_path", skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// `config.json` of a model to initialise at random, instead of `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// `tokenizer.json` or the folder that holds it; by default that of `path` or beside `config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
}

/// Training data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Preference pairs or single responses: `.jsonl`, `.jsonl.gz` or `.parquet`.
    /// Only pretraining on a `text` of its own does without.
    #[serde(default, alias = "dataset_name", skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// Records outside the training set, donors of the kind `irr_test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<PathBuf>,
    /// Layout of the records; detected where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Use the first `limit` records only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Drop and count records that cannot be used instead of stopping.
    #[serde(default)]
    pub skip_bad: bool,
    /// Longest prompt + response, in tokens.
    #[serde(default = "default_max_length")]
    pub max_length: usize,
    /// Longest prompt, in tokens.
    #[serde(default = "default_max_prompt_length")]
    pub max_prompt_length: usize,
    /// Which end of a long prompt is kept: `keep_end` (as the reference for HH) or `keep_start`.
    #[serde(default)]
    pub truncation_mode: TruncationMode,
    /// `independent`, or `reference` for the cutting rule of the reference code.
    #[serde(default)]
    pub cut: Cut,
    /// Text that contains the end-of-sequence token: `error`, `encode_as_text` or `allow`.
    #[serde(default)]
    pub eos_in_text: EosInText,
}

/// What is probed, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Records with the responses to probe; by default the training records,
    /// with every kind that needs no language model built from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Probed prompts: the first this many.
    #[serde(default = "default_prompts")]
    pub prompts: usize,
    /// Kinds to probe; empty means all.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Probe whenever this many examples were consumed; 0 probes only before
    /// the first update and after the last.
    #[serde(default = "default_every_examples", alias = "eval_every")]
    pub every_examples: usize,
    /// Let the model as it is before the first finetuning stage answer the probed
    /// prompts, as kind `chosen_initial`, where the data does not bring it: longest
    /// answer in tokens, or 0 for none.
    #[serde(default)]
    pub initial_answer_tokens: usize,
}

/// Prediction against measurement during finetuning: see [`crate::dynamics::gauge`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dynamics {
    /// Optimiser steps in a window, over which the change of every kind is predicted to first order
    /// and measured; 0 switches the gauge off.
    #[serde(default)]
    pub every_steps: usize,
    /// Probed prompts that take part: the first this many.
    #[serde(default = "default_gauged")]
    pub prompts: usize,
}

impl Default for Dynamics {
    fn default() -> Self {
        Self { every_steps: 0, prompts: default_gauged() }
    }
}

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

/// TRL's default of `f_alpha_divergence_coef`.
const DEFAULT_ALPHA_COEFFICIENT: f64 = 0.5;

fn default_title() -> String {
    "Learning dynamics study".into()
}
fn default_seed() -> u64 {
    1024
}
fn default_device() -> String {
    "cpu".into()
}
fn default_dtype() -> String {
    "f32".into()
}
fn default_max_length() -> usize {
    Lengths::default().max_length
}
fn default_max_prompt_length() -> usize {
    Lengths::default().max_prompt_length
}
fn default_prompts() -> usize {
    100
}
fn default_gauged() -> usize {
    20
}
fn default_every_examples() -> usize {
    100
}
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
fn default_true() -> bool {
    true
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

impl Default for Data {
    fn default() -> Self {
        toml::Table::new().try_into().expect("every field has a default")
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            data: None,
            prompts: default_prompts(),
            kinds: Vec::new(),
            every_examples: default_every_examples(),
            initial_answer_tokens: 0,
        }
    }
}

/// Reads a study file and applies `--set` overrides in order.
///
/// # Errors
/// A missing or broken file, an override without `=`, an unknown key, a value
/// out of its range; each says which.
pub fn load(path: &Path, overrides: &[String]) -> Result<Study> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text, overrides).with_context(|| format!("in {}", path.display()))
}

/// As [`load`], from text.
///
/// # Errors
/// As [`load`].
///
/// ```
/// let text = "output = 'out'\n[model]\npath = 'm'\n[data]\ntrain = 'd.jsonl'\n[[stages]]\nobjective = 'dpo'";
/// let study = ldyn::config::parse(text, &["stages.dpo.beta=0.2".into()]).unwrap();
/// assert_eq!(study.stages[0].beta, Some(0.2));
/// let error = ldyn::config::parse(&format!("tite = 'x'\n{text}"), &[]).unwrap_err();
/// assert!(format!("{error:#}").contains("tite"));
/// ```
pub fn parse(text: &str, overrides: &[String]) -> Result<Study> {
    // Straight from the text first: its errors carry line and column.
    let mut study: Study = toml::from_str(text).map_err(|e| anyhow::anyhow!("{e}"))?;
    if !overrides.is_empty() {
        let mut tree: toml::Value = toml::from_str(text)?;
        for o in overrides {
            set(&mut tree, o).with_context(|| format!("--set {o}"))?;
        }
        study = tree.try_into().with_context(|| format!("after --set {}", overrides.join(" --set ")))?;
    }
    study.complete()?;
    Ok(study)
}

/// The study with overrides applied, checked as a file is.
///
/// # Errors
/// As [`load`].
pub fn with_overrides(study: &Study, overrides: &[String]) -> Result<Study> {
    parse(&study.to_toml()?, overrides)
}

/// Applies one `a.b=value`. The value is TOML where it parses as such, else a
/// string, and nothing takes the key away; stages are named by index, name or objective.
fn set(tree: &mut toml::Value, assignment: &str) -> Result<()> {
    let Some((key, value)) = assignment.split_once('=') else {
        bail!("expected `key=value`, such as `stages.dpo.beta=0.2`")
    };
    let value = match toml::from_str::<toml::Table>(&format!("v = {value}")) {
        Ok(mut table) => table.remove("v").expect("parsed from `v = …`"),
        Err(_) => toml::Value::String(value.to_owned()),
    };
    let parts: Vec<&str> = key.split('.').collect();
    let (last, path) = parts.split_last().expect("split yields at least one part");
    let mut node = tree;
    for part in path {
        node = match node {
            toml::Value::Table(t) => t.entry(*part).or_insert_with(|| toml::Value::Table(toml::Table::new())),
            toml::Value::Array(stages) => {
                let named = |s: &toml::Value| {
                    ["name", "objective", "loss_type"]
                        .iter()
                        .find_map(|k| s.get(k))
                        .and_then(toml::Value::as_str)
                        == Some(part)
                };
                let n = stages.len();
                match part.parse().ok().or_else(|| stages.iter().position(named)) {
                    Some(i) if i < n => &mut stages[i],
                    _ => bail!("no stage `{part}` among {n}; name it by index from 0, `name` or `objective`"),
                }
            }
            _ => bail!("`{part}` lies below a value that is not a table"),
        };
    }
    match node {
        toml::Value::Table(t) => {
            // The settings of one optimiser mean nothing to another.
            if path.last() == Some(&"optimizer") && *last == "name" {
                t.clear();
            }
            match value.as_str() {
                Some("") => t.remove(*last),
                _ => t.insert((*last).to_owned(), value),
            };
        }
        _ => bail!("`{last}` lies below a value that is not a table"),
    };
    Ok(())
}

impl Study {
    /// Fills in names and checks what types alone cannot.
    fn complete(&mut self) -> Result<()> {
        match (&self.model.path, &self.model.config) {
            (Some(_), Some(_)) => {
                bail!("[model] has both `path` and `config`: give a folder to load or a shape to initialise")
            }
            (None, None) => {
                bail!("[model] needs `path` (a folder) or `config` (a config.json to initialise)")
            }
            _ => {}
        }
        self.data.lengths().check(None).context("[data]")?;
        self.monitor.check().context("[monitor]")?;
        let mut names = std::collections::BTreeSet::new();
        for (i, stage) in self.stages.iter_mut().enumerate() {
            let context = format!("stages[{i}] ({})", stage.objective);
            stage.complete().context(context.clone())?;
            if self.data.train.is_none() && !(stage.is_pretrain() && stage.text.is_some()) {
                bail!("{context} needs data.train")
            }
            let base = stage.name.clone();
            let mut n = 2;
            while !names.insert(stage.name.clone()) {
                stage.name = format!("{base}-{n}");
                n += 1;
            }
        }
        Ok(())
    }

    /// A study of one stage with every default; the model is still to be named.
    ///
    /// # Errors
    /// None so far; the stage is checked when the study is completed.
    pub fn one_stage(objective: &str, data: Option<&Path>, output: &Path) -> Result<Self> {
        let table = toml::Table::from_iter([
            ("output".to_owned(), toml::Value::try_from(output)?),
            ("model".to_owned(), toml::Table::new().into()),
        ]);
        let mut study: Self = table.try_into()?;
        study.data.train = data.map(Path::to_owned);
        study.stages.push(Stage::new(objective));
        Ok(study)
    }

    /// Where reference log-probabilities are kept.
    pub fn cache_folder(&self) -> PathBuf {
        self.cache.clone().unwrap_or_else(|| self.output.with_file_name(CACHE))
    }

    /// The study as TOML, every default written out.
    ///
    /// # Errors
    /// A path that is not valid Unicode.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string_pretty(self)?)
    }
}

impl Data {
    /// The lengths to cut to.
    pub fn lengths(&self) -> Lengths {
        Lengths {
            max_length: self.max_length,
            max_prompt_length: self.max_prompt_length,
            truncation_mode: self.truncation_mode,
            cut: self.cut,
        }
    }
}

impl ModelSource {
    /// The source in words.
    pub fn describe(&self) -> String {
        match (&self.path, &self.config) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(config)) => format!("random initialisation of {}", config.display()),
            (None, None) => "none".into(),
        }
    }
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
    /// As [`Stage::loss`].
    pub fn preference(&self) -> Result<Preference> {
        let ld = self.ld_alpha.map(LengthDesensitised::new).transpose()?;
        Ok(Preference { loss: self.loss()?, ld, weighted: self.use_weighting == Some(true), anchor: 0.0 })
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
    fn options(&self) -> [(&'static str, bool); 7] {
        [
            ("rpo_alpha", self.rpo_alpha.is_some()),
            ("reference_free", self.reference_free.is_some()),
            ("f_divergence_type", self.f_divergence_type.is_some()),
            ("f_alpha_divergence_coef", self.f_alpha_divergence_coef.is_some()),
            ("anchor", self.anchor.is_some()),
            ("ld_alpha", self.ld_alpha.is_some()),
            ("use_weighting", self.use_weighting.is_some()),
        ]
    }

    /// Writes the defaults of the parameters that the loss reads, and refuses what has no effect.
    fn complete_parameters(&mut self) -> Result<()> {
        let loss = self.preference()?.loss;
        let row = loss.row();
        let objective = self.objective.clone();
        let mut reads = [row.parameters, row.options].concat();
        reads.extend((row.name == "slic").then_some("anchor"));
        if !self.is_pretrain() && objective != "sft" {
            reads.push("ld_alpha");
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
        let reduction = match self.reduction {
            Reduction::Sum => "sums over tokens, mean over the batch",
            Reduction::TokenMean => "mean over the batch's response tokens",
        };
        Ok(format!("{text}; {reduction}; {} at {:e}", self.optimizer.name(), self.learning_rate))
    }

    /// Examples between probes; 0 for the two ends only.
    pub fn probe_every(&self, probe: &Probe) -> usize {
        let default = if self.is_pretrain() { 0 } else { probe.every_examples };
        self.probe_every_examples.unwrap_or(default)
    }

    fn complete(&mut self) -> Result<()> {
        if self.name.is_empty() {
            self.name.clone_from(&self.objective);
        }
        if self.name.contains(['/', '\\']) || self.name.starts_with('.') {
            bail!("name = {:?}: it becomes a folder, so no slashes and no leading dot", self.name)
        }
        if self.name == CHECKPOINTS {
            bail!("name = {:?}: the folder of that name is for checkpoints, choose another", self.name)
        }
        self.complete_parameters()?;
        if self.reduction == Reduction::TokenMean && !self.is_pretrain() && self.objective != "sft" {
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

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "output='o'\n[model]\npath='m'\n[data]\ntrain='d'\n";

    fn error(text: &str, overrides: &[&str]) -> String {
        let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        format!("{:#}", parse(text, &overrides).unwrap_err())
    }

    #[test]
    fn the_resolved_copy_reads_back_equal() {
        let text = format!(
            "{MINIMAL}[[stages]]\nobjective='sft'\n[[stages]]\nobjective='sft'\n[[stages]]\nobjective='dpo'\nbeta=0.3\n"
        );
        let study = parse(&text, &[]).unwrap();
        assert_eq!(parse(&study.to_toml().unwrap(), &[]).unwrap(), study);
        assert_eq!(study.stages[1].name, "sft-2");
    }

    #[test]
    fn unknown_keys_are_named() {
        assert!(error(&format!("{MINIMAL}\nlimt=3"), &[]).contains("limt"));
        assert!(error(&format!("{MINIMAL}[[stages]]\nobjective='dpo'\nbetta=1"), &[]).contains("betta"));
        assert!(error(MINIMAL, &["data.limt=3"]).contains("limt"));
        assert!(
            error(&format!("{MINIMAL}[[stages]]\nobjective='dpo'\noptimizer={{name='adamw', betas=3}}"), &[])
                .contains("betas")
        );
    }

    #[test]
    fn an_empty_override_takes_a_key_away() {
        let text = format!("{MINIMAL}[[stages]]\nobjective='dpo'\nbeta=0.3\nlabel_smoothing=0.1\n");
        let changed = ["stages.0.objective=ipo", "stages.0.label_smoothing="].map(String::from);
        let study = parse(&text, &changed).unwrap();
        assert_eq!((study.stages[0].beta, study.stages[0].label_smoothing), (Some(0.3), None));
        assert!(error(&text, &["stages.0.objective=ipo"]).contains("label_smoothing"));
        assert!(error(&text, &["output="]).contains("output"));
    }

    #[test]
    fn overrides_reach_stages_by_index_name_and_objective() {
        let text =
            format!("{MINIMAL}[[stages]]\nobjective='sft'\nname='warm'\n[[stages]]\nobjective='dpo'\n");
        for (key, stage) in [("stages.0.lr=1", 0), ("stages.warm.lr=1", 0), ("stages.dpo.lr=1", 1)] {
            let study = parse(&text, &[key.into()]).unwrap();
            assert_eq!(study.stages[stage].learning_rate, 1.0, "{key}");
        }
        let resolved = parse(&text, &[]).unwrap();
        let study = with_overrides(&resolved, &["stages.dpo.optimizer.name=adamw".into()]).unwrap();
        assert_eq!(study.stages[1].optimizer.name(), "adamw");
        assert!(error(&text, &["stages.kto.lr=1"]).contains("no stage `kto`"));
        assert!(error(&text, &["seed"]).contains("key=value"));
        assert_eq!(parse(&text, &["title=plain words".into()]).unwrap().title, "plain words");
    }

    fn stage(objective: &str, keys: &str) -> String {
        format!("{MINIMAL}[[stages]]\nobjective='{objective}'\n{keys}\n")
    }

    #[test]
    fn every_loss_of_the_core_but_kto_is_an_objective() {
        use ldyn_core::loss::{OTHERS, TABLE};
        let names = TABLE.iter().flat_map(|row| std::iter::once(row.name).chain(row.aliases.iter().copied()));
        for name in names.chain(OTHERS.iter().map(|row| row.name)) {
            let keys = if ["exo_pair", "exo", "cdpo"].contains(&name) { "label_smoothing=0.1" } else { "" };
            let text = stage(name, keys);
            if name == "kto" {
                assert!(error(&text, &[]).contains("apo_zero"), "{}", error(&text, &[]));
                continue;
            }
            let study = parse(&text, &[]).unwrap();
            let stage = &study.stages[0];
            assert!(stage.summary().unwrap().starts_with(stage.loss().unwrap().row().loss));
            assert_eq!(parse(&study.to_toml().unwrap(), &[]).unwrap(), study, "{name}");
        }
    }

    #[test]
    fn parameters_and_options_reach_the_loss_under_trls_names() {
        let keys = "beta=2.0\ngamma=1.6\nrpo_alpha=0.5\nld_alpha=0.25\nuse_weighting=true";
        let study = parse(&stage("simpo", keys), &[]).unwrap();
        let stage_read = &study.stages[0];
        let expected = Parameters { beta: 2.0, simpo_gamma: 1.6, rpo_alpha: 0.5, ..Parameters::default() };
        let preference = stage_read.preference().unwrap();
        assert_eq!(preference.loss, PairLoss::parse("simpo", &expected, false).unwrap());
        assert_eq!(preference.ld, Some(LengthDesensitised::new(0.25).unwrap()));
        assert!(preference.weighted);
        let summary = stage_read.summary().unwrap();
        for part in ["γ = 1.6", "− ν·ℓ₊/L₊", "ν = 0.5", "weigh 0.25", "WPO"] {
            assert!(summary.contains(part), "{summary}");
        }
        let study =
            parse(&stage("dpo", "f_divergence_type='alpha_divergence'\nreference_free=true"), &[]).unwrap();
        assert_eq!(study.stages[0].f_alpha_divergence_coef, Some(0.5));
        assert!(!study.stages[0].loss().unwrap().uses_reference());
        assert!(parse(&stage("slic", "anchor='chosen_initial'"), &[]).is_ok());
    }

    #[test]
    fn parameters_and_options_without_an_effect_are_refused() {
        for (objective, key, found) in [
            ("dpo", "simpo_gamma=1.0", "simpo_gamma has no effect"),
            ("simpo", "cpo_alpha=1.0", "cpo_alpha has no effect"),
            ("simpo", "reference_free=true", "reference_free has no effect"),
            ("sppo", "f_divergence_type='forward_kl'", "f_divergence_type has no effect"),
            ("dpo", "f_divergence_type='kl'", "js_divergence"),
            ("dpo", "f_alpha_divergence_coef=0.5", "f_alpha_divergence_coef is read with"),
            ("aot", "use_weighting=true", "use_weighting has no effect"),
            ("aot", "rpo_alpha=1.0", "rpo_alpha has no effect"),
            ("orpo", "rpo_alpha=1.0", "rpo_alpha has no effect"),
            ("sft", "ld_alpha=0.5", "ld_alpha has no effect"),
            ("sft", "label_smoothing=0.1", "it reads: nothing"),
            ("dpo", "ld_alpha=1.5", "ld_alpha"),
            ("dpo", "anchor='chosen'", "anchor has no effect"),
            ("discopop", "discopop_tau=2.0", "discopop_tau"),
            ("exo_pair", "", "label_smoothing"),
        ] {
            let message = error(&stage(objective, key), &[]);
            assert!(message.contains(found), "{objective} {key}: {message}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        assert!(error(&format!("{MINIMAL}max_prompt_length=512"), &[]).contains("max_prompt_length"));
        assert!(error(&format!("{MINIMAL}[[stages]]\nobjective='dpo'\nbeta=-1.0"), &[]).contains("beta"));
        assert!(error(&format!("{MINIMAL}[[stages]]\nobjective='dpoo'"), &[]).contains("dpoo"));
        assert!(error(&stage("dpoo", ""), &[]).contains("orpo, aot, aot_unpaired"));
        assert!(error(&format!("{MINIMAL}[[stages]]\nobjective='sft'\nbeta=0.1"), &[]).contains("beta"));
        assert!(
            error(&format!("{MINIMAL}[[stages]]\nobjective='sft'\nlearning_rate=nan"), &[])
                .contains("learning_rate")
        );
        assert!(error("output='o'\n[model]\n[data]\ntrain='d'", &[]).contains("`path`"));
        for (key, word) in [
            ("monitor.rate_factor=2", "rate_factor"),
            ("monitor.limits.fall=0", "limits.fall"),
            ("monitor.limits.fal=0.1", "fal"),
            ("monitor.actions.squeez=stop", "squeez"),
            ("monitor.actions.squeeze=halt", "halt"),
            ("monitor.actions.not-finite=warn", "not-finite"),
        ] {
            assert!(error(MINIMAL, &[key]).contains(word), "{key}");
        }
    }
}
