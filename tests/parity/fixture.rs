//! The fixtures as `make_fixtures.py` writes them: a model folder with `expected.json`,
//! `expected.safetensors` and, for some, `training.safetensors`.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use ldyn::config::Stage;
use ldyn::model::Model;
use ldyn::score::Item;
use ldyn::train::{Example, Loss};
use ldyn::value::Precision;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Version of the layout that this reader knows.
const SCHEMA: u32 = 2;
/// A loss of this name is trained on single responses.
const SFT: &str = "sft";

/// One tiny model and what Python says of it.
#[derive(Debug)]
pub struct Fixture {
    /// The model folder.
    pub folder: PathBuf,
    /// `expected.json`.
    pub expected: Expected,
    /// `expected.safetensors`: `logits.PAIR.KIND` `[T, V]` of some sequences, `logps.PAIR.KIND` of all.
    pub tensors: HashMap<String, Tensor>,
    /// `training.safetensors`: `OBJECTIVE.OPTIMISER.PARAMETER`, what the steps of a run add.
    pub updates: HashMap<String, Tensor>,
}

#[derive(Debug, Deserialize)]
pub struct Expected {
    schema: u32,
    pub variant: String,
    pub pairs: Vec<Pair>,
    pub responses: Vec<Response>,
    /// Names of the parameters in files, in the order of `gradient_norms`.
    pub parameters: Vec<String>,
    pub losses: Vec<LossCase>,
    pub generation: Vec<Continuation>,
    pub training: Vec<Run>,
}

#[derive(Debug, Deserialize)]
pub struct Pair {
    pub prompt: Vec<u32>,
    pub chosen: Vec<u32>,
    pub rejected: Vec<u32>,
}

/// A response of a pair; the numbers are those of `ResponseStats`.
#[derive(Debug, Deserialize)]
pub struct Response {
    pub pair: usize,
    pub kind: String,
    pub reference_logp: f64,
    pub argmax: Vec<usize>,
    pub argmax_min_margin: f64,
    pub n_tokens: usize,
    pub logp: f64,
    pub logp_mean: f64,
    pub argmax_logp: f64,
    pub rest_logp: f64,
    pub a_norm: f64,
    pub a_norm_reference: f64,
    pub gap_norm: f64,
    pub energy: f64,
    pub entropy: f64,
}

/// A loss of all pairs and its gradient.
#[derive(Debug, Deserialize)]
pub struct LossCase {
    pub name: String,
    pub source: Source,
    pub stage: Stage,
    pub loss: f64,
    pub gradient_norm: f64,
    pub gradient_norms: Vec<f64>,
}

/// Who computed a loss.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// TRL's own code.
    Trl,
    /// The formula in `make_fixtures.py`.
    Formula,
}

#[derive(Debug, Deserialize)]
pub struct Continuation {
    pub prompt: Vec<u32>,
    pub ids: Vec<u32>,
    /// By how much each token's logit leads.
    pub gaps: Vec<f64>,
}

/// Optimiser steps from the stored weights on.
#[derive(Debug, Deserialize)]
pub struct Run {
    pub stage: Stage,
    pub steps: Vec<Step>,
    pub final_logps: FinalLogps,
}

#[derive(Debug, Deserialize)]
pub struct Step {
    /// Indices of the batch's pairs.
    pub pairs: Vec<usize>,
    pub loss: f64,
    pub gradient_norm: f64,
    pub learning_rate: f64,
}

/// Summed log-probabilities of all pairs after a run.
#[derive(Debug, Deserialize)]
pub struct FinalLogps {
    pub chosen: Vec<f64>,
    pub rejected: Vec<f64>,
}

impl Fixture {
    fn read(folder: PathBuf) -> Result<Self> {
        let path = folder.join("expected.json");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let expected: Expected =
            serde_json::from_str(&text).with_context(|| format!("{} is broken", path.display()))?;
        ensure!(
            expected.schema == SCHEMA,
            "{} has schema {}, this reader knows {SCHEMA}: make the fixtures again with make_fixtures.py",
            path.display(),
            expected.schema
        );
        let tensors = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu)?;
        let updates = if expected.training.is_empty() {
            HashMap::new()
        } else {
            candle_core::safetensors::load(folder.join("training.safetensors"), &Device::Cpu)?
        };
        Ok(Self { folder, expected, tensors, updates })
    }

    /// The model, computed in f32.
    pub fn model(&self) -> Result<Model> {
        Model::load(&self.folder, DType::F32, &Device::Cpu)
    }

    /// [`Fixture::model`], with products in a precision.
    pub fn model_in(&self, precision: Precision) -> Result<Model> {
        let mut model = self.model()?;
        model.precision = precision;
        Ok(model)
    }

    /// Every pair as one item: the prompt with chosen and rejected.
    pub fn items(&self) -> Vec<Item<'_>> {
        let responses = |pair| ["chosen", "rejected"].map(|kind| Pair::response(pair, kind)).to_vec();
        self.expected
            .pairs
            .iter()
            .map(|pair| Item { prompt: &pair.prompt, responses: responses(pair) })
            .collect()
    }

    /// A pair as a training example of the stage.
    pub fn example(&self, stage: &Stage, i: usize) -> Example {
        let Pair { prompt, chosen, rejected } = &self.expected.pairs[i];
        let prompt = prompt.clone();
        if stage.objective == SFT {
            return Example { example: i, prompt, responses: vec![chosen.clone()], reference: None };
        }
        let reference = ["chosen", "rejected"].map(|kind| self.response(i, kind).reference_logp);
        Example {
            example: i,
            prompt,
            responses: vec![chosen.clone(), rejected.clone()],
            reference: Some(reference),
        }
    }

    /// What is expected of a pair's response.
    pub fn response(&self, pair: usize, kind: &str) -> &Response {
        let found = self.expected.responses.iter().find(|r| r.pair == pair && r.kind == kind);
        found.unwrap_or_else(|| panic!("{}: no response {kind} of pair {pair}", self.expected.variant))
    }
}

impl Pair {
    /// The ids of a response kind.
    pub fn response(&self, kind: &str) -> &[u32] {
        if kind == "chosen" { &self.chosen } else { &self.rejected }
    }
}

/// The stage's loss, as a run makes it.
pub fn loss(stage: &Stage) -> Result<Loss> {
    Ok(if stage.objective == SFT {
        Loss::Nll(stage.reduction)
    } else {
        Loss::Preference(stage.preference()?)
    })
}

/// What torch's autocast to bf16 makes of a fixture: summed log-probabilities, and losses of all pairs.
#[derive(Debug, Deserialize)]
pub struct Autocast {
    pub chosen: Vec<f64>,
    pub rejected: Vec<f64>,
    pub losses: Vec<AutocastLoss>,
}

#[derive(Debug, Deserialize)]
pub struct AutocastLoss {
    pub name: String,
    pub loss: f64,
    pub gradient_norm: f64,
}

/// `autocast.json`, by fixture.
pub fn autocast() -> HashMap<String, Autocast> {
    let text = std::fs::read_to_string(root().join("autocast.json")).expect("autocast.json is there");
    serde_json::from_str(&text).expect("autocast.json is as `make_fixtures.py autocast` writes it")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures")
}

/// Every fixture, by name.
pub fn all() -> Vec<Fixture> {
    let root = root();
    let entries = std::fs::read_dir(&root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.into_iter().map(|folder| Fixture::read(folder).unwrap()).collect()
}
