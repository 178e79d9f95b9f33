//! A synthetic run with known curves, for tests: by default every finding that
//! one run can show is there to be seen.

use super::Run;
use crate::data::KINDS;
use crate::record::{
    self, Action, AlarmRow, Hashes, JsonlWriter, Manifest, Metrics, Number, ProbeRow, RELIABILITY_BINS,
    Reliability, Rule, StageInfo,
};
use ldyn_core::diagnostics::Bin;
use std::collections::BTreeMap;
use std::path::Path;

/// Change since the stage's start at time 0 to 1.
pub type Shape = fn(f64) -> f64;

/// What a shape moves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// log π(y).
    Logp,
    /// Greedy confidence.
    Greedy,
    /// ‖A‖_F.
    ANorm,
}

pub struct Fixture {
    pub manifest: Manifest,
    pub kinds: Vec<String>,
    pub prompts: usize,
    /// Probe points of a stage.
    pub points: usize,
    /// Spread of a change over prompts, as a share of the change.
    pub spread: f64,
    pub alarms: Vec<AlarmRow>,
    shapes: BTreeMap<(String, String, Field), Shape>,
    levels: BTreeMap<(String, Field), f64>,
}

/// Ways out of text, attributes, styles, scripts and comments; a bar for tables and an escape for terminals.
pub const ATTACK: &str = "<script>document.title='pwned'</script></style></title>--><img src=x onerror=\"document.title='pwned'\">|\u{1b}[31m\"'&";

pub const STEPS: usize = 100;
pub const BATCH: usize = 4;

/// Straight up to `top` at time `at`, then straight to `end`.
fn peak(t: f64, at: f64, top: f64, end: f64) -> f64 {
    if t <= at { top * t / at } else { top + (end - top) * (t - at) / (1.0 - at) }
}

const SFT: [(&str, Shape); 12] = [
    ("chosen", |t| 50.0 * t),
    ("chosen_initial", |t| peak(t, 0.1, 3.0, -12.0)),
    ("chosen_gptsemantic", |t| peak(t, 0.3, 8.0, 2.0)),
    ("chosen_gptformat", |t| peak(t, 0.3, 7.0, 1.0)),
    ("rejected", |t| peak(t, 0.4, 15.0, 5.0)),
    ("reject_gptsemantic", |t| peak(t, 0.3, 6.0, -3.0)),
    ("reject_gptformat", |t| peak(t, 0.3, 5.0, -4.0)),
    ("irr_train", |t| 25.0 * t),
    ("irr_test", |t| peak(t, 0.4, 15.0, 2.0)),
    ("irr_hum", |t| peak(t, 0.3, 4.0, -8.0)),
    ("random_permute", |t| peak(t, 0.1, 1.0, -30.0)),
    ("random_nonhum", |t| peak(t, 0.1, 1.0, -25.0)),
];

const DPO: [(&str, Shape); 12] = [
    ("chosen", |t| peak(t, 0.3, 5.0, -10.0)),
    ("chosen_initial", |t| -70.0 * t),
    ("chosen_gptsemantic", |t| -50.0 * t),
    ("chosen_gptformat", |t| -45.0 * t),
    ("rejected", |t| -100.0 * t),
    ("reject_gptsemantic", |t| -80.0 * t),
    ("reject_gptformat", |t| -75.0 * t),
    ("irr_train", |t| -60.0 * t),
    ("irr_test", |t| -72.0 * t),
    ("irr_hum", |t| -55.0 * t),
    ("random_permute", |t| -120.0 * t),
    ("random_nonhum", |t| -110.0 * t),
];

const LEVELS: [(&str, f64); 12] = [
    ("chosen", -152.0),
    ("chosen_initial", -151.7),
    ("chosen_gptsemantic", -155.9),
    ("chosen_gptformat", -136.0),
    ("rejected", -121.4),
    ("reject_gptsemantic", -135.3),
    ("reject_gptformat", -121.8),
    ("irr_train", -193.4),
    ("irr_test", -161.2),
    ("irr_hum", -187.9),
    ("random_permute", -401.3),
    ("random_nonhum", -361.8),
];

impl Fixture {
    /// SFT, then DPO, both finished, 12 kinds, 24 prompts, 11 probe points a stage.
    pub fn new() -> Self {
        let stage = |objective: &str, summary: &str| StageInfo {
            name: objective.into(),
            objective: objective.into(),
            targets: Vec::new(),
            summary: summary.into(),
            steps: STEPS,
            finished: true,
            stopped_by: None,
            peak: None,
            train_seconds: 74.0,
            probe_seconds: 12.5,
            notes: Vec::new(),
        };
        let manifest = Manifest {
            schema: record::SCHEMA_VERSION,
            version: "0.1.0".into(),
            title: "A synthetic run".into(),
            seed: 7,
            threads: 2,
            peak_memory: Some(3 << 29),
            device: "cpu f32".into(),
            environment: None,
            model: "gpt_neox, 6 layers, hidden 128".into(),
            parameters: 14_067_712,
            vocab_size: 50_304,
            hashes: Hashes { data: "ab".repeat(32), tokenizer: "cd".repeat(32), model: String::new() },
            train_examples: 400,
            probe_prompts: 24,
            kinds: KINDS.iter().map(|(kind, ..)| (*kind).to_string()).collect(),
            compat: None,
            faults: Vec::new(),
            planned_stages: 2,
            stages: vec![
                stage("sft", "−Σ log π(y⁺) over tokens, mean over the batch"),
                stage("dpo", "−log σ(β·h), sums over tokens, mean over the batch; β = 0.1"),
            ],
            notes: vec!["3 prompts were cut at their beginning to 256 tokens.".into()],
        };
        let mut fixture = Self {
            kinds: manifest.kinds.clone(),
            manifest,
            prompts: 24,
            points: 11,
            spread: 0.2,
            alarms: Vec::new(),
            shapes: BTreeMap::new(),
            levels: BTreeMap::new(),
        };
        for (stage, shapes) in [("sft", SFT), ("dpo", DPO)] {
            for (kind, shape) in shapes {
                fixture.set(stage, kind, Field::Logp, shape);
                let greedy: Shape = if stage == "sft" { |t| 15.0 * t } else { |t| 20.0 * t };
                fixture.set(stage, kind, Field::Greedy, greedy);
                fixture.set(stage, kind, Field::ANorm, |t| 8.0 * t);
            }
        }
        for (kind, level) in LEVELS {
            fixture.level(kind, Field::Logp, level);
            let greedy = if kind.starts_with("random") { -113.5 } else { -61.6 };
            fixture.level(kind, Field::Greedy, greedy);
            fixture.level(kind, Field::ANorm, 251.7);
        }
        fixture
    }

    pub fn set(&mut self, stage: &str, kind: &str, field: Field, shape: Shape) {
        self.shapes.insert((stage.into(), kind.into(), field), shape);
    }

    pub fn level(&mut self, kind: &str, field: Field, level: f64) {
        self.levels.insert((kind.into(), field), level);
    }

    /// Puts `text` wherever a run holds words of its own.
    pub fn attack(&mut self, text: &str) {
        // A slash in a stage's name is refused when the records are read.
        let stage = format!("dpo{}", text.replace('/', ""));
        let manifest = &mut self.manifest;
        for place in
            [&mut manifest.title, &mut manifest.model, &mut manifest.device, &mut manifest.hashes.data]
        {
            *place = text.into();
        }
        manifest.notes = vec![text.into()];
        manifest.stages[0].summary = text.into();
        manifest.stages[0].objective = text.into();
        manifest.stages[0].notes = vec![text.into()];
        manifest.stages[1].name = stage.clone();
        self.kinds.push(text.into());
        self.set("sft", text, Field::Logp, |t| -t);
        self.alarms.push(AlarmRow {
            stage,
            rule: Rule::ChosenDisplaced,
            step: 60,
            examples_seen: 240,
            since_step: 30,
            since_examples: 120,
            kind: Some(text.into()),
            statement: text.into(),
            numbers: vec![Number { what: text.into(), value: -0.25, se: None, unit: text.into() }],
            action: Action::Stop,
            done: text.into(),
        });
    }

    pub fn without(&mut self, kinds: &[&str]) {
        self.kinds.retain(|kind| !kinds.contains(&kind.as_str()));
    }

    pub fn only(&mut self, kinds: &[&str]) {
        self.kinds.retain(|kind| kinds.contains(&kind.as_str()));
    }

    pub fn without_stage(&mut self, stage: &str) {
        self.manifest.stages.retain(|s| s.name != stage);
        self.manifest.planned_stages = self.manifest.stages.len();
    }

    /// Mean value of a field when `past` stages are done and `stage` is at time `t`.
    fn mean(&self, past: &[StageInfo], stage: &str, kind: &str, field: Field, t: f64) -> f64 {
        let key = |stage: &str| (stage.to_string(), kind.to_string(), field);
        let change = |stage: &str, t| self.shapes.get(&key(stage)).map_or(0.0, |shape| shape(t));
        let done: f64 = past.iter().map(|s| change(&s.name, 1.0)).sum();
        self.levels.get(&(kind.to_string(), field)).copied().unwrap_or(-100.0) + done + change(stage, t)
    }

    fn row(&self, stage: usize, point: usize, kind: &str, example: usize) -> ProbeRow {
        let (past, info) = (&self.manifest.stages[..stage], &self.manifest.stages[stage]);
        let t = if self.points > 1 { point as f64 / (self.points - 1) as f64 } else { 0.0 };
        // Half of the prompts of each parity change more, the others less.
        let lean = if (example / 2).is_multiple_of(2) { 1.0 } else { -1.0 };
        let offset = (example % 6) as f64 - 2.5;
        let value = |field| {
            let start = self.mean(past, &info.name, kind, field, 0.0);
            let change = self.mean(past, &info.name, kind, field, t) - start;
            let settled = start - self.mean(&[], &info.name, kind, field, 0.0);
            start - settled + offset + (settled + change) * (1.0 + self.spread * lean)
        };
        let n_tokens = 48 + example % 6;
        let (logp, greedy) = (value(Field::Logp), value(Field::Greedy));
        ProbeRow {
            stage: Some(info.name.clone()),
            step: Some((t * STEPS as f64).round() as usize),
            examples_seen: Some((t * STEPS as f64).round() as usize * BATCH),
            example,
            kind: kind.into(),
            n_tokens,
            logp,
            logp_mean: logp / n_tokens as f64,
            argmax_logp: greedy,
            rest_logp: n_tokens as f64 * (1.0 - (greedy / n_tokens as f64).exp()).max(1e-6).ln(),
            a_norm: value(Field::ANorm),
            a_norm_reference: value(Field::ANorm),
            gap_norm: 0.75 - 0.1 * (stage as f64 + t),
            energy: 0.69 - 0.2 * (stage as f64 + t),
            entropy: 2.1 - 0.5 * (stage as f64 + t),
            reliability: (kind == "chosen").then(|| reliability(stage as f64 + t, n_tokens)),
        }
    }

    fn metrics(&self, stage: usize, step: usize) -> Metrics {
        let info = &self.manifest.stages[stage];
        let t = step as f64 / STEPS as f64;
        let pairs = info.objective != "sft";
        Metrics {
            stage: info.name.clone(),
            step,
            examples_seen: step * BATCH,
            epoch: t,
            loss: if pairs { 0.693 - 0.4 * t } else { 152.0 - 50.0 * t },
            learning_rate: 5e-7 * (step as f64 / 20.0).min(1.0),
            grad_norm: 1150.0 - 300.0 * t,
            num_tokens: 800,
            rewards_chosen: pairs.then_some(-t),
            rewards_rejected: pairs.then_some(-10.0 * t),
            rewards_margins: pairs.then_some(9.0 * t),
            rewards_accuracies: pairs.then_some(0.5 + 0.4 * t),
            seconds: 0.7,
            ..Metrics::default()
        }
    }

    fn rows(&self) -> Vec<ProbeRow> {
        let stages = 0..self.manifest.stages.len();
        let probes = stages.flat_map(|stage| (0..self.points).map(move |point| (stage, point)));
        let kinds = probes.flat_map(|(stage, point)| self.kinds.iter().map(move |kind| (stage, point, kind)));
        kinds.flat_map(|(s, p, kind)| (0..self.prompts).map(move |e| self.row(s, p, kind, e))).collect()
    }

    fn steps(&self) -> Vec<Metrics> {
        let stages = 0..self.manifest.stages.len();
        stages.flat_map(|stage| (1..=STEPS).map(move |step| self.metrics(stage, step))).collect()
    }

    /// Writes the run folder.
    pub fn write(&self, folder: &Path) {
        fn write<T: serde::Serialize>(path: &Path, rows: &[T]) {
            let mut file = JsonlWriter::create(path).unwrap();
            rows.iter().for_each(|row| file.write(row).unwrap());
            file.flush().unwrap();
        }
        record::write_manifest(folder, &self.manifest).unwrap();
        write(&folder.join(record::METRICS), &self.steps());
        write(&folder.join(record::PROBES), &self.rows());
        write(&folder.join(record::ALARMS), &self.alarms);
    }

    /// The run as it is after reading.
    pub fn run(&self) -> Run {
        let missing = Vec::new();
        Run {
            answers: Vec::new(),
            manifest: self.manifest.clone(),
            metrics: self.steps(),
            probes: self.rows(),
            gauge: Vec::new(),
            alarms: self.alarms.clone(),
            missing,
        }
    }
}

/// 40 tokens at a confidence of 0.95, of which 20 are right at first and 10 more after each stage; the others at
/// 0.45, of which 4 are right.
fn reliability(stages: f64, tokens: usize) -> Reliability {
    let mut bins = [Bin::default(); RELIABILITY_BINS];
    bins[9] = Bin { count: 40, correct: 20 + (10.0 * stages).round() as usize, confidence: 38.0 };
    bins[4] = Bin { count: tokens - 40, correct: 4, confidence: 0.45 * (tokens - 40) as f64 };
    Reliability::from(&bins)
}
