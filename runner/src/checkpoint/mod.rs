//! Checkpoints: everything that a run needs to go on as if it had never been interrupted.
//!
//! A run folder keeps its newest few in `checkpoints/`, one folder each. A name such as `02-dpo-000400` says
//! after how many steps of which stage it was taken; `-end` marks a stage that is over.
//!
//! | file | what |
//! |---|---|
//! | `state.json` | a [`State`] |
//! | `tensors.safetensors` | weights (`model.…`); within a stage also averages or velocities of the optimiser (`optimizer.second.…`, `optimizer.first.…`), the weights at the gauge's last look (`gauge.…`), the weights at the peak (`peak.…`, with early stopping, where they are not the model's) and log π_ref of the pairs (`reference`) |
//! | `SHA256SUMS` | checksums of the two, as `sha256sum -c` reads them |
//!
//! Weights and averages are stored in the type in which they are computed, so nothing is rounded.

mod store;

pub use store::{list, load, prune, remove, save};

use crate::config::{self, Study};
use crate::model::Model;
use crate::monitor;
use crate::record::{Lengths, Manifest};
use crate::train::{Course, Optimizer, Standing};
use anyhow::{Context, Result, ensure};
use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the layout and of the meaning of its fields; a reader refuses any other.
pub const VERSION: u32 = 1;

/// A checkpoint in memory.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// All but the tensors.
    pub state: State,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// What a checkpoint says besides its tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// [`VERSION`] at writing.
    pub version: u32,
    /// What the run is, as far as it decides its numbers.
    pub identity: Identity,
    /// The manifest at that moment.
    pub manifest: Manifest,
    /// How long each record file was.
    pub lengths: Lengths,
    /// Answers of the model before finetuning, by index of the probed prompt, once they are given.
    pub initial_answers: Vec<(usize, Vec<u32>)>,
    /// Index of the stage.
    pub stage: usize,
    /// Where the stage is; absent when it is over.
    pub position: Option<Position>,
}

/// What a run is, as far as it decides its numbers. The manifest has the hashes of training data, tokenizer
/// and start weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The study with every default.
    pub study: Study,
    /// `config.json` of the model.
    pub model_config: String,
    /// Hash of the probed prompts and responses.
    pub probes: String,
}

/// Where a stage is between two steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Position {
    /// Steps, place in the data, what interventions changed.
    pub course: Course,
    /// Steps that the optimiser counts.
    pub optimizer_steps: i32,
    /// Hash of the stage's examples.
    pub examples: String,
    /// Step of the gauge's last look, where there is a gauge.
    pub gauge_step: Option<usize>,
    /// The peak so far, where the stage ends at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<Standing>,
    /// What the monitor remembers, where it is on.
    pub monitor: Option<monitor::State>,
    /// Wall seconds spent training so far.
    pub train_seconds: f64,
    /// Wall seconds spent probing so far.
    pub probe_seconds: f64,
}

/// The weights of a model, each under `prefix` and its own name.
pub fn weights(prefix: &str, model: &Model) -> Vec<(String, Tensor)> {
    model.parameters().map(|(name, var)| (format!("{prefix}.{name}"), var.as_detached_tensor())).collect()
}

impl Checkpoint {
    /// The tensor called `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).with_context(|| format!("the checkpoint has no tensor `{name}`"))
    }

    /// Gives `model` the weights that [`weights`] wrote under `prefix`.
    ///
    /// # Errors
    /// A model with other parameters.
    pub fn set_weights(&self, prefix: &str, model: &Model) -> Result<()> {
        for (name, var) in model.parameters() {
            let name = format!("{prefix}.{name}");
            var.set(self.tensor(&name)?).with_context(|| name)?;
        }
        Ok(())
    }

    /// The optimiser as it was, for a model whose stage has these settings.
    ///
    /// # Errors
    /// A checkpoint between two stages, or one of another optimiser or model.
    pub fn optimizer(&self, settings: config::Optimizer, model: &Model) -> Result<Optimizer> {
        let position = self.state.position.as_ref().with_context(|| {
            format!(
                "{} is the end of a stage, which has no optimiser: take one from within",
                self.state.name()
            )
        })?;
        let parameters: Vec<Var> = model.parameters().map(|(_, var)| var.clone()).collect();
        let mut optimizer = Optimizer::new(settings, &parameters)?;
        let averages = ["optimizer.second", "optimizer.first"].map(|prefix| {
            let name = |(name, _)| self.tensors.get(&format!("{prefix}.{name}")).cloned();
            model.parameters().filter_map(name).collect()
        });
        optimizer.restore(averages, position.optimizer_steps)?;
        Ok(optimizer)
    }
}

impl State {
    /// Refuses what no run writes, and what [`State::name`] could not be made of.
    pub(super) fn check(&self) -> Result<()> {
        let stages = self.identity.study.stages.len();
        ensure!(self.stage < stages, "`stage` is {}, but its study has {stages} stages", self.stage);
        ensure!(!self.manifest.stages.is_empty(), "its manifest has no stage that was begun");
        self.manifest.check_names()
    }

    /// Index of the first stage that is not over.
    pub fn first_open_stage(&self) -> usize {
        self.stage + usize::from(self.position.is_none())
    }

    /// Its folder's name.
    pub fn name(&self) -> String {
        let stage = &self.manifest.stages.last().expect("a checkpoint is one of a stage").name;
        name(self.stage, stage, self.position.as_ref().map(|position| position.course.step))
    }
}

/// The name of a checkpoint's folder: the stage's index and name, and the steps done; none when it is over.
pub fn name(stage: usize, name: &str, step: Option<usize>) -> String {
    let number = stage + 1;
    match step {
        Some(step) => format!("{number:02}-{name}-{step:06}"),
        None => format!("{number:02}-{name}-end"),
    }
}
