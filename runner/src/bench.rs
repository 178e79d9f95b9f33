//! Where the time of a study goes: each part timed alone, beside what the machine can do.

use crate::config::{self, Study};
use crate::data;
use crate::plan::{self, Work};
use crate::probe;
use crate::record::{JsonlWriter, Metrics};
use crate::score::Item;
use crate::study::{self, Inputs};
use crate::train::{self, Example, Gradients, Loss, Means, Optimizer, Pass};
use crate::{device, score};
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Bytes of the buffer whose copy is timed: larger than caches.
const COPIED: usize = 128 << 20;

/// What a study's parts take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bench {
    /// The model in words.
    pub model: String,
    /// Threads used.
    pub threads: usize,
    /// Floating-point operations a second of a matrix product, the best of this run.
    pub product: f64,
    /// Bytes a second that a copy reads and writes together, the best of this run.
    pub copy: f64,
    /// Examples, rows and predicted tokens of the step.
    pub examples: usize,
    /// What its forward pass goes through.
    pub work: Work,
    /// The parts in the order in which they happen.
    pub parts: Vec<Part>,
}

/// One part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// What is counted, such as tokens.
    pub unit: &'static str,
    /// How many of them.
    pub count: usize,
    /// Seconds: median, least, most.
    pub seconds: [f64; 3],
    /// Floating-point operations of its matrix products; 0 where there are none.
    pub operations: f64,
    /// Bytes that it moves at the least: weights, gradients, averages and what is kept for the backward, each once for
    /// each use.
    pub bytes: f64,
}

impl Part {
    /// Share of the machine's matrix product that it reaches.
    pub fn share_of_product(&self, bench: &Bench) -> f64 {
        self.operations / self.seconds[0] / bench.product
    }

    /// Share of the machine's copy that it reaches.
    pub fn share_of_copy(&self, bench: &Bench) -> f64 {
        self.bytes / self.seconds[0] / bench.copy
    }
}

/// Times the parts of a study's stage `repeat` times each, on its batch of the most usual size, and one probe sweep.
/// The weights move as they do in training; nothing is written but to a temporary file.
///
/// # Errors
/// What the study would meet; `repeat` = 0 counts as 1.
pub fn bench(study: &Study, stage: usize, repeat: usize) -> Result<Bench> {
    let stage = study.stages.get(stage).context("no such stage")?;
    let inputs = Inputs::read(study)?;
    let device = device::open(&study.device)?;
    let model = study::open_model(study, &inputs.config, device::dtype(&study.dtype)?, &device)?;
    let loss = Loss::of(stage)?;
    let examples = inputs.examples(stage)?;
    let order = train::stage_order(study, stage, examples.len());
    let chosen = usual(&order, &examples, stage.batch_size);
    let mut batch: Vec<Example> = chosen.iter().map(|&i| examples[i].clone()).collect();
    train::add_reference(&model, &loss, &mut batch)?;
    let batch: Vec<&Example> = batch.iter().collect();
    let items: Vec<Item> = batch.iter().map(|example| example.item()).collect();
    let packed = score::pack(&items)?;
    let whole = [batch.len(), train::predicted_tokens(&batch)];
    let probes: Vec<Item> = inputs.probes.iter().map(Item::from).collect();
    let (work, swept) = (Work::of(&items), Work::of(&probes));

    let mut gradients = Gradients::new(&model)?;
    let mut optimizer = Optimizer::new(stage.optimizer, &gradients.parameters)?;
    let folder = tempfile::tempdir()?;
    let mut rows = JsonlWriter::create(&folder.path().join("rows.jsonl"))?;
    let mut clock = Clock { device: &device, times: Default::default() };
    let (mut product, mut copy) = (0.0_f64, 0.0_f64);
    let mut tokens = 0;
    // The first round warms up.
    for round in 0..=repeat.max(1) {
        product = product.max(plan::rate(study)?);
        copy = copy.max(copy_rate(&device)?);
        if round == 1 {
            clock.times.iter_mut().for_each(Vec::clear);
        }
        tokens = clock.time(TOKENISE, || tokenise(study, &inputs))?;
        clock.time(BODY, || model.hidden(&model.tape(&packed.layout), &packed.ids, &packed.layout))?;
        let pass = clock.time(FORWARD, || Pass::new(&model, &loss, &batch, whole, &mut Means::default()))?;
        gradients.restart();
        clock.time(BACKWARD, || pass.backward(&mut gradients, |_| true))?;
        clock.time(OPTIMISER, || {
            let norm = gradients.norm()?;
            let factor = train::clip(norm, stage.max_grad_norm);
            optimizer.step(&gradients.parameters, &gradients.values, stage.learning_rate, factor)
        })?;
        let found = clock.time(PROBE, || probe::sweep(&model, &inputs.probes, None))?;
        clock.time(RECORD, || {
            rows.write_all(&found)?;
            rows.write_all(&[Metrics { loss: 1.0, ..Metrics::default() }])
        })?;
    }
    let config = &inputs.config;
    let number = device::dtype(&study.dtype)?.size_in_bytes() as f64;
    let weights = config.n_parameters() as f64 * number;
    let head = config.embedding_size() as f64 * number;
    let kept = (work.rows * config.kept_per_row(study.checkpoint)) as f64 * number;
    let [tokenise, body, forward, backward, optimiser, probe, record] = clock.medians();
    // What the head takes is what a whole forward pass takes beyond the blocks.
    let rest = [0, 1, 2].map(|i| (forward[i] - body[0]).max(0.0));
    let step = [0, 1, 2].map(|i| body[i] + rest[i] + backward[i] + optimiser[i]);
    let moved = weights * moved_by(&stage.optimizer);
    let part = |name, unit, count, seconds, operations, bytes| Part {
        name,
        unit,
        count,
        seconds,
        operations,
        bytes,
    };
    let [of_body, of_head] = [work.body(config), work.head(config)];
    let parts = vec![
        part("tokenise", "tokens", tokens, tokenise, 0.0, 0.0),
        part("forward: blocks", "rows", work.rows, body, of_body, weights - head + kept),
        part("forward: head and loss", "targets", work.targets, rest, of_head, head),
        part("backward", "rows", work.rows, backward, 2.0 * (of_body + of_head), 2.0 * weights + kept),
        part("clip and optimiser", "weights", config.n_parameters(), optimiser, 0.0, moved),
        part(
            "a step",
            "examples",
            batch.len(),
            step,
            3.0 * (of_body + of_head),
            3.0 * weights + 2.0 * kept + moved,
        ),
        part(
            "a probe sweep",
            "responses",
            probes.iter().map(|p| p.responses.len()).sum(),
            probe,
            swept.forward(config),
            weights,
        ),
        part("record", "rows", probes.iter().map(|p| p.responses.len()).sum::<usize>() + 1, record, 0.0, 0.0),
    ];
    Ok(Bench {
        model: config.describe(),
        threads: rayon::current_num_threads(),
        product,
        copy,
        examples: batch.len(),
        work,
        parts,
    })
}

/// Times one weight is read or written by clipping and the optimiser: the gradient for its norm, then gradient, weight and
/// averages, of which the last two are written too.
fn moved_by(optimizer: &config::Optimizer) -> f64 {
    2.0 + 2.0 + 2.0 * optimizer.averages() as f64
}

/// The batch whose rows are closest to the mean.
fn usual(order: &[usize], examples: &[Example], batch_size: usize) -> Vec<usize> {
    let rows = |batch: &[usize]| batch.iter().map(|&i| examples[i].item().rows()).sum::<usize>() as f64;
    let batches: Vec<&[usize]> = order.chunks_exact(batch_size.min(order.len()).max(1)).collect();
    let mean = batches.iter().map(|b| rows(b)).sum::<f64>() / batches.len().max(1) as f64;
    let distance = |batch: &&&[usize]| (rows(batch) - mean).abs();
    let closest = batches.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    closest.map_or_else(Vec::new, |batch| batch.to_vec())
}

/// Tokenises the first training records as the study does, and counts the tokens.
fn tokenise(study: &Study, inputs: &Inputs) -> Result<usize> {
    let eos_in_text = data::EosInText::EncodeAsText;
    let records = &inputs.records[..inputs.records.len().min(TOKENISED)];
    let (records, _) = data::tokenize(records, &inputs.tokenizer, &study.data.lengths(), eos_in_text)?;
    let tokens = |r: &data::TokenizedRecord| {
        r.prompt.len() + r.responses.iter().map(|(_, ids)| ids.len()).sum::<usize>()
    };
    Ok(records.iter().map(tokens).sum())
}

/// Records that are tokenised.
const TOKENISED: usize = 200;

const TOKENISE: usize = 0;
const BODY: usize = 1;
const FORWARD: usize = 2;
const BACKWARD: usize = 3;
const OPTIMISER: usize = 4;
const PROBE: usize = 5;
const RECORD: usize = 6;

/// Times of every part.
struct Clock<'a> {
    device: &'a Device,
    times: [Vec<f64>; 7],
}

impl Clock<'_> {
    fn time<T>(&mut self, part: usize, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = run()?;
        self.device.synchronize()?;
        self.times[part].push(started.elapsed().as_secs_f64());
        Ok(result)
    }

    /// Median, least and most of each.
    fn medians(mut self) -> [[f64; 3]; 7] {
        self.times.each_mut().map(|times| {
            times.sort_by(f64::total_cmp);
            [times[times.len() / 2], times[0], times[times.len() - 1]]
        })
    }
}

/// Bytes a second that a copy between two buffers that are there reads and writes, by all threads.
fn copy_rate(device: &Device) -> Result<f64> {
    let (from, mut to) = (vec![1.0_f32; COPIED / 4], vec![0.0_f32; COPIED / 4]);
    let on_device = match device {
        Device::Cpu => None,
        _ => Some([Tensor::new(from.as_slice(), device)?, Tensor::new(to.as_slice(), device)?]),
    };
    let started = Instant::now();
    let mut best = f64::INFINITY;
    while best.is_infinite() || started.elapsed() < Duration::from_millis(100) {
        let one = Instant::now();
        match &on_device {
            None => {
                let chunks = to.par_chunks_mut(1 << 16).zip(from.par_chunks(1 << 16));
                chunks.for_each(|(to, from)| to.copy_from_slice(from));
            }
            Some([from, to]) => {
                to.slice_set(from, 0, 0)?;
                device.synchronize()?;
            }
        }
        best = best.min(one.elapsed().as_secs_f64());
    }
    std::hint::black_box(&to);
    Ok(2.0 * COPIED as f64 / best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_batch_is_the_one_nearest_to_the_mean() {
        let example =
            |n: usize| Example { example: n, prompt: vec![0; n], responses: vec![vec![0]], reference: None };
        let examples: Vec<Example> = [1, 9, 30, 4, 5, 2].map(example).into();
        // Rows of the batches: 10, 34, 7; their mean is 17.
        assert_eq!(usual(&[0, 1, 2, 3, 4, 5], &examples, 2), [0, 1]);
        assert_eq!(usual(&[2, 3, 5], &examples, 2), [2, 3], "a batch that is not whole is none");
        assert_eq!(usual(&[5], &examples, 2), [5]);
        assert!(usual(&[], &examples, 2).is_empty());
    }

    #[test]
    fn every_part_of_a_small_study_is_timed() {
        let folder = tempfile::tempdir().unwrap();
        crate::demo::materialise(folder.path(), 1, crate::demo::Start::Embedded).unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let text = format!(
            "output = '{}'\nprobe.prompts = 2\n[model]\npath = '{}'\n[data]\ntrain = '{}'\nlimit = 8\nmax_length = 256\nmax_prompt_length = 128\n[[stages]]\nobjective = 'dpo'",
            at("run"),
            at("base"),
            at("train.jsonl")
        );
        let study = config::parse(&text, &[]).unwrap();
        let found = bench(&study, 0, 1).unwrap();
        assert_eq!(found.examples, 4);
        assert!(found.parts.iter().all(|p| p.count > 0 && p.seconds[0] >= 0.0));
        let part = |name: &str| found.parts.iter().find(|p| p.name == name).unwrap();
        let step = part("a step");
        let forward = part("forward: blocks").operations + part("forward: head and loss").operations;
        assert!((step.operations / forward - 3.0).abs() < 1e-12);
        assert!(step.share_of_product(&found) > 0.0 && part("record").share_of_product(&found) == 0.0);
        assert!(!folder.path().join("run").exists(), "a measurement leaves no run");
        assert!(bench(&study, 1, 1).is_err());
    }
}
