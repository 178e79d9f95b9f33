//! The records of a run as event files for TensorBoard, and how to read the records elsewhere.
//!
//! `metrics.jsonl` and `probes.jsonl` are the truth; event files are made from them, by
//!
//! ```toml
//! [tracking]
//! tensorboard = true             # while the run goes on
//! ```
//!
//! or afterwards by `ldyn export runs/hh --tensorboard`. Each stage is a run of TensorBoard's of its own, because its
//! steps begin at 1: `tensorboard/sft/`, `tensorboard/dpo/`. A run that is resumed begins their files anew from the
//! records, which were cut back to the checkpoint; so no step stands there twice.
//!
//! | tag | value |
//! |---|---|
//! | `train/loss`, `train/rewards/margins`, `train/logps/chosen`, … | every number of `metrics.jsonl`, under its name there, which is TRL's |
//! | `eval/logps/chosen`, `eval/logps/rejected`, `eval/logps/irr_train`, … | mean over prompts of a kind's `logp` in `probes.jsonl` |
//! | `eval/argmax_logp/chosen`, … | the same of `argmax_logp`, `rest_logp`, `a_norm`, `gap_norm`, `energy`, `entropy`, `logp_mean` |
//!
//! Event files hold numbers in single precision. The wall time of an event is when it was measured; of one that was made
//! afterwards, the file's time less the seconds of the steps that followed.
//!
//! # Pandas
//!
//! ```python
//! import pandas as pd
//!
//! metrics = pd.read_json("runs/hh/metrics.jsonl", lines=True)
//! metrics[metrics.stage == "dpo"].plot(x="step", y=["logps/chosen", "logps/rejected"])
//!
//! probes = pd.read_json("runs/hh/probes.jsonl", lines=True)
//! curves = probes.pivot_table(index=["stage", "examples_seen"], columns="kind", values="logp")  # means over prompts
//! print(curves.loc["dpo"])
//! ```
//!
//! A run that is still going may have half a last line: give `read_json` the lines that end.
//!
//! # Weights & Biases
//!
//! ```python
//! import json, wandb
//!
//! manifest = json.load(open("runs/hh/manifest.json"))
//! for stage in manifest["stages"]:
//!     run = wandb.init(project="ldyn", group=manifest["title"], name=stage["name"], config=manifest)
//!     for line in open("runs/hh/metrics.jsonl"):
//!         row = json.loads(line)
//!         if row.pop("stage") == stage["name"]:
//!             run.log(row, step=row.pop("step"))
//!     run.finish()
//! ```
//!
//! The rows of `curves` above are logged in the same way, with `examples_seen` or the step as their place.

// tensorboard-rs had its last release in 2022 and tfrecord brings a dozen crates (prost, itertools, …): the format is a
// length and a checksum around three nested messages.
mod encode;

use crate::record::{self, METRICS, Metrics, PROBES, ProbeRow};
use anyhow::{Context, Result};
use encode::{Event, Summary, framed};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Folder of the event files in a run folder.
pub const FOLDER: &str = "tensorboard";
/// What the names of event files begin with.
const EVENTS: &str = "events.out.tfevents";
/// A number of a probe row.
type Quantity = fn(&ProbeRow) -> f64;
/// Those that are shown, by their tags.
const PROBED: [(&str, Quantity); 8] = [
    ("logps", |row| row.logp),
    ("logp_mean", |row| row.logp_mean),
    ("argmax_logp", |row| row.argmax_logp),
    ("rest_logp", |row| row.rest_logp),
    ("a_norm", |row| row.a_norm),
    ("gap_norm", |row| row.gap_norm),
    ("energy", |row| row.energy),
    ("entropy", |row| row.entropy),
];

/// The event file of a stage.
pub struct Board {
    path: PathBuf,
    file: File,
}

impl Board {
    /// Begins the event file of a stage anew, in `folder`, with what the records of `run` have of it.
    ///
    /// # Errors
    /// Broken records, or a failed write.
    pub fn open(run: &Path, stage: &str, folder: &Path) -> Result<Self> {
        let folder = folder.join(stage);
        let context = || format!("cannot write to {}", folder.display());
        fs::create_dir_all(&folder).with_context(context)?;
        let mut last = 0;
        for entry in fs::read_dir(&folder).with_context(context)? {
            let path = entry.with_context(context)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(number) = name.strip_prefix(EVENTS).and_then(|rest| rest.strip_prefix('.')) {
                last = last.max(number.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0));
                fs::remove_file(&path).with_context(context)?;
            }
        }
        let now = now();
        // A later name than before: TensorBoard looks for new files in their order.
        let number = (now as u64).max(last + 1);
        let path = folder.join(format!("{EVENTS}.{number:010}.ldyn"));
        let file = OpenOptions::new().write(true).create_new(true).open(&path).with_context(context)?;
        let mut board = Self { path, file };
        let metrics: Vec<Metrics> = of_stage(&run.join(METRICS), |row: &Metrics| row.stage == stage)?;
        let probes: Vec<ProbeRow> =
            of_stage(&run.join(PROBES), |row: &ProbeRow| row.stage.as_deref() == Some(stage))?;
        let end = modified(&run.join(METRICS)).unwrap_or(now);
        board.append(&[Event::version(now), Event::start(now)])?;
        board.append(&derived(&metrics, &probes, end)?)?;
        Ok(board)
    }

    /// An optimiser step was made.
    ///
    /// # Errors
    /// A failed write.
    pub fn stepped(&mut self, metrics: &Metrics) -> Result<()> {
        self.append(&[of_metrics(metrics, now())?])
    }

    /// A probe was taken.
    ///
    /// # Errors
    /// A failed write.
    pub fn probed(&mut self, rows: &[ProbeRow]) -> Result<()> {
        self.append(&of_probe(rows, now()).into_iter().collect::<Vec<_>>())
    }

    fn append(&mut self, events: &[Event]) -> Result<()> {
        let bytes: Vec<u8> = events.iter().flat_map(|event| framed(&event.encoded())).collect();
        self.file.write_all(&bytes).with_context(|| format!("writing {}", self.path.display()))
    }
}

/// Makes the event files of every stage of a run, in the folder `to`. Returns the files' paths.
///
/// # Errors
/// A folder that is no run, broken records, or a failed write.
pub fn export(run: &Path, to: &Path) -> Result<Vec<PathBuf>> {
    let manifest = record::read_manifest(run)?;
    manifest.stages.iter().map(|stage| Ok(Board::open(run, &stage.name, to)?.path)).collect()
}

fn of_stage<T: serde::de::DeserializeOwned>(path: &Path, is_of: impl Fn(&T) -> bool) -> Result<Vec<T>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(record::read_jsonl(path)?.into_iter().filter(|row| is_of(row)).collect())
}

/// The events of a stage's rows, by step; the last step ended at `end`.
fn derived(metrics: &[Metrics], probes: &[ProbeRow], end: f64) -> Result<Vec<Event>> {
    let mut time = end - metrics.iter().map(|row| row.seconds).sum::<f64>();
    let mut by_step: BTreeMap<usize, Vec<ProbeRow>> = BTreeMap::new();
    for row in probes {
        by_step.entry(row.step.unwrap_or(0)).or_default().push(row.clone());
    }
    let mut events: Vec<Event> =
        by_step.remove(&0).and_then(|rows| of_probe(&rows, time)).into_iter().collect();
    for row in metrics {
        time += row.seconds;
        events.push(of_metrics(row, time)?);
        events.extend(by_step.remove(&row.step).and_then(|rows| of_probe(&rows, time)));
    }
    Ok(events)
}

/// Every number of a row, under its name.
fn of_metrics(row: &Metrics, time: f64) -> Result<Event> {
    let Value::Object(fields) = serde_json::to_value(row)? else { unreachable!("a struct is an object") };
    let numbers = fields.into_iter().filter(|(name, _)| name != "step");
    let values = numbers.filter_map(|(name, value)| Some((format!("train/{name}"), value.as_f64()? as f32)));
    Ok(Event::scalars(time, row.step, Summary(values.collect())))
}

/// Means over prompts, kind by kind; `None` of no rows.
fn of_probe(rows: &[ProbeRow], time: f64) -> Option<Event> {
    let step = rows.first()?.step.unwrap_or(0);
    let mut by_kind: BTreeMap<&str, Vec<&ProbeRow>> = BTreeMap::new();
    rows.iter().for_each(|row| by_kind.entry(&row.kind).or_default().push(row));
    let mut values = Vec::new();
    for (kind, rows) in by_kind {
        for (tag, of) in PROBED {
            let mean = rows.iter().map(|row| of(row)).sum::<f64>() / rows.len() as f64;
            values.push((format!("eval/{tag}/{kind}"), mean as f32));
        }
    }
    Some(Event::scalars(time, step, Summary(values)))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// When a file was written to last, in seconds since 1970.
fn modified(path: &Path) -> Option<f64> {
    let time = fs::metadata(path).ok()?.modified().ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

#[cfg(test)]
mod tests;
