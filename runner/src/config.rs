//! One typed configuration for a whole study. Unknown keys are errors, every
//! default is written out in the copy that is saved with the run, and the
//! names that TRL's users know are accepted as aliases.

mod checkpoints;
mod grid;
mod monitor;
mod samples;
mod stage;
mod stopping;
mod template;
mod tracking;

pub use checkpoints::{Checkpoints, changes, changes_before};
pub use grid::{Arm, Cell, Grid, load_grid};
pub use monitor::{Limits, Monitor};
pub use samples::{Replace, Reward, Samples};
pub use stage::{LrSchedule, Optimizer, Reduction, SaveDtype, Stage, Warmup};
pub use stopping::EarlyStopping;
pub use template::template;
pub use tracking::Tracking;

use crate::data::{Cut, EosInText, Format, Lengths, TruncationMode};
use crate::hub::{self, Role};
use crate::model::Checkpoint;
use crate::record::{Compat, Fault};
use crate::value::Precision;
use crate::{device, files};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Most parts of a key.
const MAX_DEPTH: usize = 8;

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
    /// What products of weights and activations round their operands to: `full` for not at all, `bf16`, or `tf32` on a
    /// GPU. Weights, activations, log-probabilities and the optimiser stay in `dtype`.
    #[serde(default)]
    pub precision: Precision,
    /// What a forward pass keeps for the backward pass: `none` to keep all that it reads, `blocks` to run each block again
    /// (gradient checkpointing: less memory, a third more work).
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// Refuse what does not fit into memory before it starts.
    #[serde(default = "default_true")]
    pub memory_check: bool,
    /// Reference mode, `learning-dynamics-2025-05`: see [`crate::compat`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compat: Option<Compat>,
    /// Faults of the reference code to bring back in reference mode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
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
    /// Forms of other programs that the records are written in as well.
    #[serde(default, skip_serializing_if = "Tracking::is_none")]
    pub tracking: Tracking,
    /// Folder of the cached reference log-probabilities; by default `ldyn-cache` beside `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Training stages, in order.
    #[serde(default)]
    pub stages: Vec<Stage>,
}

/// A model folder, or a shape to initialise at random.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSource {
    /// Folder in the Hugging Face layout, tokenizer included, or a name on the hub: see [`crate::hub`].
    #[serde(alias = "model_name_or_path", skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// `config.json` of a model to initialise at random, instead of `path`; its folder, or a name on the hub, of which
    /// no weights are fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// `tokenizer.json`, the folder that holds it, or a name on the hub; by default that of `path` or beside `config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
}

/// Training data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Preference pairs or single responses: `.jsonl`, `.jsonl.gz` or `.parquet`; a path, or a file on the hub such as
    /// `hf://datasets/OWNER/NAME/train.jsonl.gz` (see [`crate::hub`]).
    /// Only pretraining on a `text` of its own does without.
    #[serde(alias = "dataset_name", skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// Records outside the training set, donors of the kind `irr_test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<PathBuf>,
    /// Layout of the records; detected where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Chat template of conversational records: `hh` for HH's `Human:` and `Assistant:`, or a Jinja file; by default
    /// the one in the model's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// Use the first `limit` records only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Drop and count records that cannot be used instead of stopping.
    pub skip_bad: bool,
    /// Longest prompt + response, in tokens.
    pub max_length: usize,
    /// Longest prompt, in tokens.
    pub max_prompt_length: usize,
    /// Which end of a long prompt is kept: `keep_end` (as the reference for HH) or `keep_start`.
    pub truncation_mode: TruncationMode,
    /// `independent`, or `reference` for the cutting rule of the reference code.
    pub cut: Cut,
    /// Text that contains the end-of-sequence token: `error`, `encode_as_text` or `allow`.
    pub eos_in_text: EosInText,
}

impl Default for Data {
    fn default() -> Self {
        let Lengths { max_length, max_prompt_length, truncation_mode, cut } = Lengths::default();
        Self {
            train: None,
            held_out: None,
            format: None,
            chat_template: None,
            limit: None,
            skip_bad: false,
            max_length,
            max_prompt_length,
            truncation_mode,
            cut,
            eos_in_text: EosInText::default(),
        }
    }
}

/// What is probed, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// Records with the responses to probe; by default the training records,
    /// with every kind that needs no language model built from them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Probed prompts: the first this many.
    pub prompts: usize,
    /// Kinds to probe; empty means all.
    pub kinds: Vec<String>,
    /// Probe whenever this many examples were consumed; 0 probes only before
    /// the first update and after the last.
    #[serde(alias = "eval_every")]
    pub every_examples: usize,
    /// Let the model as it is before the first finetuning stage answer the probed
    /// prompts, as kind `chosen_initial`, where the data does not bring it: longest
    /// answer in tokens, or 0 for none.
    pub initial_answer_tokens: usize,
}

impl Default for Probe {
    fn default() -> Self {
        Self { data: None, prompts: 100, kinds: Vec::new(), every_examples: 100, initial_answer_tokens: 0 }
    }
}

/// Prediction against measurement during finetuning: see [`crate::dynamics::gauge`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dynamics {
    /// Optimiser steps in a window, over which the change of every kind is predicted to first order
    /// and measured; 0 switches the gauge off.
    pub every_steps: usize,
    /// Probed prompts that take part: the first this many.
    pub prompts: usize,
}

impl Default for Dynamics {
    fn default() -> Self {
        Self { every_steps: 0, prompts: 20 }
    }
}

fn default_title() -> String {
    "Learning dynamics study".into()
}
fn default_seed() -> u64 {
    1024
}
fn default_device() -> String {
    "cpu".into()
}
fn default_true() -> bool {
    true
}
fn default_dtype() -> String {
    "f32".into()
}

/// Reads a study file and applies `--set` overrides in order.
///
/// # Errors
/// A missing or broken file, an override without `=`, an unknown key, a value
/// out of its range; each says which.
pub fn load(path: &Path, overrides: &[String]) -> Result<Study> {
    let text = files::read_text(path).with_context(|| format!("cannot read {}", path.display()))?;
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
    if parts.len() > MAX_DEPTH {
        bail!("a key of {} parts, but none lies deeper than {MAX_DEPTH}", parts.len())
    }
    let (last, path) = parts.split_last().expect("split yields at least one part");
    let mut node = tree;
    for part in path {
        node = match node {
            toml::Value::Table(t) => t.entry(*part).or_insert_with(|| toml::Value::Table(toml::Table::new())),
            toml::Value::Array(stages) => {
                let named = |s: &toml::Value| {
                    let is = |key: &&str| s.get(key).and_then(toml::Value::as_str) == Some(part);
                    ["name", "objective", "loss_type"].iter().any(is)
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
        // Beside a `config.json` on the hub is the tokenizer of the same name.
        if let (Some(config), None) = (&self.model.config, &self.model.tokenizer)
            && hub::is_named(Role::Config, config)?
        {
            self.model.tokenizer = Some(config.clone());
        }
        for (role, named) in self.named_mut() {
            *named = hub::cached(role, named)?;
        }
        self.precision.check(device::dtype(&self.dtype)?, self.device.starts_with("cuda"))?;
        self.complete_compat()?;
        self.data.lengths().check(None).context("[data]")?;
        self.monitor.check().context("[monitor]")?;
        let mut names = std::collections::BTreeSet::new();
        for (i, stage) in self.stages.iter_mut().enumerate() {
            let context = format!("stages[{i}] ({})", stage.objective);
            stage.complete(&self.probe).context(context.clone())?;
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

    /// Fills in what reference mode decides, and refuses faults that nothing would come of.
    fn complete_compat(&mut self) -> Result<()> {
        let Some(_) = self.compat else {
            if let Some(fault) = self.faults.first() {
                bail!(
                    "faults names `{fault}` without `compat`: add compat = \"{}\"",
                    Compat::LearningDynamics202505
                )
            }
            return Ok(());
        };
        self.data.cut = Cut::Reference;
        if self.has_fault(Fault::EpochsNeverEnd)
            && let Some(stage) = self.stages.iter().find(|s| !s.is_pretrain() && s.max_steps.is_none())
        {
            bail!(
                "with the fault `{}` nothing ends stage `{}`: give it max_steps",
                Fault::EpochsNeverEnd,
                stage.objective
            )
        }
        Ok(())
    }

    /// Every model and data file that it reads and that may be on the hub; models that its own stages save are not.
    pub fn named_mut(&mut self) -> Vec<(Role, &mut PathBuf)> {
        let mut files = vec![&mut self.data.train, &mut self.data.held_out, &mut self.probe.data];
        let ModelSource { path, config, tokenizer } = &mut self.model;
        let shape = [(Role::Config, config), (Role::Tokenizer, tokenizer)];
        let shape = shape.into_iter().filter_map(|(role, named)| Some((role, named.as_mut()?)));
        let mut models: Vec<&mut PathBuf> = path.iter_mut().collect();
        for stage in &mut self.stages {
            files.push(&mut stage.text);
            models.extend(stage.reference.iter_mut());
            match stage.samples.as_mut().and_then(|samples| samples.reward.as_mut()) {
                Some(Reward::Likelihood(folder)) => models.push(folder),
                Some(Reward::LogRatio(folder, reference)) => models.extend([folder, reference]),
                Some(Reward::Command(_)) | None => {}
            }
        }
        models.retain(|folder| !folder.starts_with(&self.output));
        let files = files.into_iter().flatten().map(|file| (Role::File, file));
        models.into_iter().map(|folder| (Role::Model, folder)).chain(shape).chain(files).collect()
    }

    /// Whether a fault of the reference code is brought back.
    pub fn has_fault(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
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

    /// The device and what is computed in, such as `cpu f32` or `cuda f32, products of bf16`.
    ///
    /// # Errors
    /// A `dtype` that there is not.
    pub fn arithmetic(&self) -> Result<String> {
        Ok(format!("{} {}", self.device, self.precision.words(device::dtype(&self.dtype)?)))
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

#[cfg(test)]
mod tests;
