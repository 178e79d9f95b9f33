//! What a study takes, known before it begins: steps, tokens, memory, time.

use crate::config::{Stage, Study};
use crate::model::ModelConfig;
use crate::score::Item;
use crate::study::Inputs;
use crate::train::{self, Cadence, Example};
use crate::value::{self, Precision, Value};
use crate::{device, memory};
use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};
use serde::Serialize;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// What a study takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The model in words.
    pub model: String,
    /// Its weights.
    pub parameters: usize,
    /// The device and what is computed in, such as `cpu f32` or `cuda f32, products of bf16`.
    pub arithmetic: String,
    /// One probe sweep.
    pub probe: Sweep,
    /// The stages in order.
    pub stages: Vec<StagePlan>,
    /// Remarks on what was read, such as cut examples.
    pub notes: Vec<String>,
}

/// One sweep over what is probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sweep {
    /// Prompts.
    pub prompts: usize,
    /// Responses behind them.
    pub responses: usize,
    /// Its work.
    pub work: Work,
    /// Its floating-point operations.
    pub operations: f64,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StagePlan {
    /// Its name.
    pub name: String,
    /// Training examples (pairs, for preference losses).
    pub examples: usize,
    /// Optimiser steps.
    pub steps: usize,
    /// Probe sweeps.
    pub sweeps: usize,
    /// Forward passes of all steps together.
    pub work: Work,
    /// Floating-point operations of a step, on average.
    pub step_operations: f64,
    /// Floating-point operations of steps, sweeps and reference scores.
    pub operations: f64,
    /// Bytes at the largest step.
    pub memory: Memory,
}

/// What forward passes go through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Work {
    /// Packed rows: tokens that are read.
    pub rows: usize,
    /// Tokens that are predicted, which is what reaches the head.
    pub targets: usize,
    /// Pairs of a query and a key that it attends to.
    pub attended: usize,
}

/// Bytes in memory at once, beside the program and the data that it has read.
///
/// Measured in Pythia-14M's and 70M's shapes (SFT and DPO, RMSprop and AdamW, batches of 2,200 to 11,200 rows), a run
/// took 40 to 120 MiB more than this, of which the program, a tokenizer of 50,277 entries and its data are 60.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Weights: the model, and the copies of it that a gauge, a reference and a peak are.
    pub weights: u64,
    /// The optimiser's averages.
    pub optimizer: u64,
    /// Gradients.
    pub gradients: u64,
    /// What the forward pass of the largest batch leaves for the backward, and the head's logits.
    pub activations: u64,
    /// One more copy of the largest weight matrix, for sums over it; and the rounded operands of the largest product,
    /// which are there while it is computed.
    pub temporary: u64,
}

/// Share of the rate of a matrix product that a whole study reaches.
const EFFICIENCY: f64 = 0.5;

impl Plan {
    /// Floating-point operations of all stages.
    pub fn operations(&self) -> f64 {
        self.stages.iter().map(|stage| stage.operations).sum()
    }

    /// Refuses a study on the CPU that does not fit into memory, with the numbers.
    ///
    /// # Errors
    /// The stage that takes most, and what would make it smaller.
    pub fn refuse_too_much(&self, study: &Study) -> Result<()> {
        let most = self.stages.iter().max_by_key(|stage| stage.memory.total());
        let (Some(stage), Some(free)) = (most, memory::available()) else { return Ok(()) };
        let Memory { weights, optimizer, gradients, activations, .. } = stage.memory;
        ensure!(
            study.device != "cpu" || !study.memory_check || stage.memory.total() <= free,
            "stage `{}` needs about {} of memory ({} weights, {} optimiser, {} gradients, {} activations of the largest \
             batch), and {} are free: choose a smaller batch_size with gradient_accumulation_steps, a shorter max_length \
             or a smaller model; memory_check = false starts it in any case",
            stage.name,
            memory::text(stage.memory.total()),
            memory::text(weights),
            memory::text(optimizer),
            memory::text(gradients),
            memory::text(activations),
            memory::text(free)
        );
        Ok(())
    }
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.optimizer + self.gradients + self.activations + self.temporary
    }
}

impl Work {
    /// One pass over items: prompts once, and the last token of a response only predicted.
    pub fn of(items: &[Item]) -> Self {
        let mut work = Self::default();
        for item in items {
            let prompt = item.prompt.len();
            work.rows += item.rows();
            work.attended += prompt * (prompt + 1) / 2;
            for response in &item.responses {
                let read = response.len().saturating_sub(1);
                work.targets += response.len() - usize::from(prompt == 0);
                work.attended += read * prompt + read * (read + 1) / 2;
            }
        }
        work
    }

    /// Floating-point operations of a forward pass; a backward takes twice as many.
    pub fn forward(&self, config: &ModelConfig) -> f64 {
        self.body(config) + self.head(config)
    }

    /// Those of the blocks, attention included.
    pub fn body(&self, config: &ModelConfig) -> f64 {
        let weights = config.n_parameters() - config.embedding_size() * if config.tied { 1 } else { 2 };
        let heads = config.layers * config.attention.heads * config.attention.head_dim;
        2.0 * (self.rows as f64 * weights as f64 + 2.0 * self.attended as f64 * heads as f64)
    }

    /// Those of the head.
    pub fn head(&self, config: &ModelConfig) -> f64 {
        2.0 * self.targets as f64 * config.embedding_size() as f64
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.targets += other.targets;
        self.attended += other.attended;
    }
}

/// A guess at the seconds that so many floating-point operations take where a matrix product has this [`rate`]; of a whole
/// study, generated answers, the gauge and what is written come on top.
pub fn seconds(operations: f64, rate: f64) -> f64 {
    operations / (EFFICIENCY * rate)
}

/// Floating-point operations a second of a matrix product on the study's device, in its number type and precision,
/// measured now.
///
/// # Errors
/// A device that cannot multiply.
pub fn rate(study: &Study) -> Result<f64> {
    let device = device::open(&study.device)?;
    let (n, dtype) = (512, device::dtype(&study.dtype)?);
    let a = Tensor::ones((n, n), dtype, &device)?;
    let started = Instant::now();
    let mut best = f64::INFINITY;
    while best.is_infinite() || started.elapsed() < Duration::from_millis(100) {
        let one = Instant::now();
        let product = match study.precision {
            Precision::Full => a.matmul(&a)?,
            precision => a.linear(&a, None, precision)?,
        };
        product.device().synchronize()?;
        best = best.min(one.elapsed().as_secs_f64());
    }
    Ok(2.0 * (n as f64).powi(3) / best)
}

/// Plans a study from what it reads.
///
/// # Errors
/// As [`Inputs::examples`].
pub fn plan(study: &Study, inputs: &Inputs) -> Result<Plan> {
    let items: Vec<Item> = inputs.probes.iter().map(Item::from).collect();
    let work = Work::of(&items);
    let probe = Sweep {
        prompts: items.len(),
        responses: items.iter().map(|item| item.responses.len()).sum(),
        operations: work.forward(&inputs.config),
        work,
    };
    let of_stage = |stage| plan_stage(study, &inputs.config, stage, &inputs.examples(stage)?, &probe);
    Ok(Plan {
        model: inputs.config.describe(),
        parameters: inputs.config.n_parameters(),
        arithmetic: study.arithmetic()?,
        probe,
        stages: study.stages.iter().map(of_stage).collect::<Result<_>>()?,
        notes: inputs.notes.clone(),
    })
}

fn plan_stage(
    study: &Study,
    config: &ModelConfig,
    stage: &Stage,
    examples: &[Example],
    probe: &Sweep,
) -> Result<StagePlan> {
    let order = train::stage_order(study, stage, examples.len());
    let steps = stage.steps(order.len());
    ensure!(
        steps > 0,
        "stage `{}`: {} epochs of {} examples are no step: give it data, or raise epochs or max_steps",
        stage.name,
        stage.epochs,
        examples.len()
    );
    let (mut work, mut largest) = (Work::default(), Work::default());
    for batch in order.chunks(stage.batch_size) {
        let items: Vec<Item> = batch.iter().map(|&i| examples[i].item()).collect();
        let pass = Work::of(&items);
        largest.rows = largest.rows.max(pass.rows);
        largest.targets = largest.targets.max(pass.targets);
        work += pass;
    }
    let cadence = Cadence::of(study, stage);
    let seen = |step: usize| (step * stage.examples_per_step()).min(order.len());
    let due = |step: &usize| cadence.is_due(seen(step - 1), seen(*step), *step == steps);
    let sweeps = 1 + (1..=steps).filter(due).count();
    let reference = match train::Loss::of(stage)?.uses_reference() {
        true => Work::of(&examples.iter().map(Example::item).collect::<Vec<_>>()).forward(config),
        false => 0.0,
    };
    let training = 3.0 * work.forward(config);
    let operations = training + sweeps as f64 * probe.operations + reference;
    let memory = memory(study, config, stage, &largest)?;
    Ok(StagePlan {
        name: stage.name.clone(),
        examples: examples.len(),
        steps,
        sweeps,
        work,
        step_operations: training / steps as f64,
        operations,
        memory,
    })
}

/// Bytes at a step whose largest batch is `largest`.
fn memory(study: &Study, config: &ModelConfig, stage: &Stage, largest: &Work) -> Result<Memory> {
    let number = device::dtype(&study.dtype)?.size_in_bytes();
    let model = config.n_parameters() * number;
    let gauged = study.dynamics.every_steps > 0 && !stage.is_pretrain();
    let copies = [gauged, stage.reference.is_some(), stage.early_stopping.is_some()];
    let copies = copies.into_iter().filter(|copy| *copy).count();
    let rows = largest.rows * config.kept_per_row(study.checkpoint) * number;
    let logits = value::logits_bytes(largest.targets, config.vocab_size, number);
    let rounded = match study.precision {
        Precision::Bf16 => rounded_bytes(study, config, largest),
        Precision::Full | Precision::Tf32 => 0,
    };
    Ok(Memory {
        weights: (model * (1 + copies)) as u64,
        optimizer: (model * stage.optimizer.averages()) as u64,
        gradients: model as u64,
        activations: (rows + logits) as u64,
        temporary: (config.embedding_size() * number + rounded) as u64,
    })
}

/// Bytes of the rounded operands of the largest product: on a CPU in f32; on a GPU in bf16, the residual of the
/// logits among them.
fn rounded_bytes(study: &Study, config: &ModelConfig, largest: &Work) -> usize {
    let numbers = config.largest_operands(largest.rows, largest.targets);
    if study.device == "cpu" {
        return numbers * size_of::<f32>();
    }
    let number = DType::BF16.size_in_bytes();
    numbers * number + value::logits_bytes(largest.targets, config.vocab_size, size_of::<f32>()) / 2
}
