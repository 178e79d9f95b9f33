//! The schema of everything that a run writes: one versioned manifest and
//! append-only JSONL files. Training and probing write records; reports read
//! them and nothing else.
//!
//! A run folder holds
//!
//! | file | rows | written |
//! |---|---|---|
//! | `config.toml` | the resolved configuration | before any work |
//! | `manifest.json` | one [`Manifest`] | before any work, rewritten when a stage ends |
//! | `metrics.jsonl` | one [`Metrics`] row an optimiser step | flushed as it goes |
//! | `probes.jsonl` | one [`ProbeRow`] an example and kind at each probe | flushed as it goes |
//! | `gauge.jsonl` | one [`GaugeRow`] an example and kind for each window of steps, if `[dynamics]` asks for it | flushed as it goes |
//! | `answers.jsonl` | one [`AnswerRow`] a greedy answer at each probe of finetuning | flushed as it goes |
//! | `alarms.jsonl` | one [`AlarmRow`] an alarm of the monitor | flushed as it goes |
//! | `<stage>-samples.jsonl` | a row a prompt: the policy's own responses and their rewards, for a stage that trains on them | when the stage begins |
//! | `<stage>-prob_train_metrics.json` | means over prompts at each probe, as the paper's reference code logs them, in [reference mode](crate::compat) | with the report |
//! | `tensorboard/<stage>/` | event files, if `[tracking]` asks for them: see [`crate::tensorboard`] | as it goes |
//! | `<stage>/` | the model folder after the stage | when the stage ends |
//! | `checkpoints/` | what a [`crate::checkpoint`] holds | every few steps, and when a stage ends |

mod alarm;
mod compat;
mod dynamics;
mod journal;
mod reliability;

pub use alarm::{Action, AlarmRow, AnswerRow, Number, Rule};
pub use compat::{Compat, Fault};
pub use dynamics::{
    Cause, Cost, Decomposition, GaugeRow, Influence, MapToken, Response, Scale, Step, Token, TokenMap,
    TriageRow,
};
pub use journal::{Journal, Lengths, check_lengths, emptied};
pub use reliability::{RELIABILITY_BINS, Reliability};

use crate::environment::Environment;
use crate::{files, memory};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tracing::{Level, enabled, info};

/// Version of the record schema; a reader refuses a newer one.
pub const SCHEMA_VERSION: u32 = 1;
/// File name of the [`Manifest`].
pub const MANIFEST: &str = "manifest.json";
/// File name of the [`Metrics`] rows.
pub const METRICS: &str = "metrics.jsonl";
/// File name of the [`ProbeRow`] rows.
pub const PROBES: &str = "probes.jsonl";

/// File name of the [`GaugeRow`] rows.
pub const GAUGE: &str = "gauge.jsonl";

/// File name of the [`AnswerRow`] rows.
pub const ANSWERS: &str = "answers.jsonl";

/// File name of the [`AlarmRow`] rows.
pub const ALARMS: &str = "alarms.jsonl";

/// Folder of the checkpoints: see [`crate::checkpoint`].
pub const CHECKPOINTS: &str = "checkpoints";

/// What a run is: enough to say what its numbers mean and to repeat it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] at writing.
    pub schema: u32,
    /// Version of `ldyn` that wrote the run.
    pub version: String,
    /// Title for reports.
    pub title: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Threads used for computation.
    pub threads: usize,
    /// Device and number type, such as `cpu f32` or `cuda f32, products of bf16`.
    pub device: String,
    /// What the program was built from and ran on; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The most bytes of main memory in use at once, so far; absent where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// The model in words, such as `gpt_neox, 6 layers, hidden 128, 14.1 M parameters`.
    pub model: String,
    /// Number of parameters.
    pub parameters: usize,
    /// Vocabulary size V seen by the metrics.
    pub vocab_size: usize,
    /// SHA-256 of training data, tokenizer and start weights, hexadecimal.
    pub hashes: Hashes,
    /// Training examples and probe prompts.
    pub train_examples: usize,
    /// Number of probed prompts.
    pub probe_prompts: usize,
    /// Probed response kinds in display order.
    pub kinds: Vec<String>,
    /// The reference code whose protocol the run follows: see [`crate::compat`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compat: Option<Compat>,
    /// Its faults that the run brings back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Stages that the run is to have; 0 in records from before they were counted.
    #[serde(default)]
    pub planned_stages: usize,
    /// The stages begun so far, in order.
    pub stages: Vec<StageInfo>,
    /// Remarks that a reader of the numbers needs, such as cut examples.
    pub notes: Vec<String>,
}

impl Manifest {
    /// Whether the run has come to its end, or an alarm has stopped it.
    pub fn is_over(&self) -> bool {
        let Some((last, before)) = self.stages.split_last() else { return false };
        let all = self.stages.len() >= self.planned_stages;
        before.iter().all(|stage| stage.finished) && (last.stopped_by.is_some() || (all && last.finished))
    }

    /// Refuses names of stages that could lead out of the run folder: they become parts of file names.
    ///
    /// # Errors
    /// The first such name.
    pub fn check_names(&self) -> Result<()> {
        for (i, StageInfo { name, .. }) in self.stages.iter().enumerate() {
            if !files::is_plain_name(name) {
                bail!("stages[{i}].name is {name:?}, expected the plain name of a folder: correct it by hand")
            }
        }
        Ok(())
    }

    /// What it ran on, in words.
    pub fn machine(&self) -> String {
        let threads = if self.threads == 1 { "1 thread".into() } else { format!("{} threads", self.threads) };
        let peak = self.peak_memory.map(|bytes| format!(", at most {} of memory", memory::text(bytes)));
        format!("{}, {threads}{}", self.device, peak.unwrap_or_default())
    }
}

/// Hashes that tie records to their inputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hashes {
    /// Training data as read.
    pub data: String,
    /// `tokenizer.json`.
    pub tokenizer: String,
    /// Weights at the start of the run.
    pub model: String,
}

/// One stage of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageInfo {
    /// Unique name within the run, such as `sft` or `dpo`.
    pub name: String,
    /// Objective, such as `pretrain`, `sft`, `dpo`, `ipo`.
    pub objective: String,
    /// The kinds of response that it trains on; empty for plain text.
    #[serde(default)]
    pub targets: Vec<String>,
    /// The objective's settings in words, with its reduction and length convention.
    pub summary: String,
    /// Optimiser steps planned.
    pub steps: usize,
    /// Whether the stage ran to its end.
    pub finished: bool,
    /// The alarm that stopped it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<Rule>,
    /// The probe whose weights the stage gave when it ended, with early stopping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<Peak>,
    /// Wall seconds spent training.
    pub train_seconds: f64,
    /// Wall seconds spent probing.
    pub probe_seconds: f64,
    /// Remarks made when the stage began and ended.
    pub notes: Vec<String>,
}

impl StageInfo {
    /// Whether it is SFT on y⁺ and nothing else; records from before targets were kept say so by their silence.
    pub fn trains_chosen(&self) -> bool {
        self.objective == "sft" && (self.targets.is_empty() || self.targets == ["chosen"])
    }

    /// Whether it went back to a peak that lies before `step`, so that the weights then are not its own.
    pub fn gave_up(&self, step: usize) -> bool {
        self.peak.as_ref().is_some_and(|peak| step > peak.step)
    }

    /// Whether it has come to its end, or an alarm has stopped it.
    pub fn is_over(&self) -> bool {
        self.finished || self.stopped_by.is_some()
    }
}

/// The probe of a stage at which a kind of response was likeliest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// The kind.
    pub kind: String,
    /// Optimiser steps done in the stage.
    pub step: usize,
    /// Training examples consumed in the stage.
    pub examples_seen: usize,
    /// Mean over the probed prompts of log π, summed over a response's tokens, nats.
    pub mean: f64,
}

impl Peak {
    /// How a stage ended of which `taken` of `planned` steps were done, in words.
    pub fn words(&self, taken: usize, planned: usize) -> String {
        let Self { kind, step, mean, .. } = self;
        let early = if taken < planned { format!(" of {planned}, early") } else { String::new() };
        let back = match *step == taken {
            true => "at its peak".into(),
            false => format!("with the weights of its peak at step {step}"),
        };
        format!(
            "ended after step {taken}{early}, {back}: the mean log π of `{kind}` was {mean:.3} nats there"
        )
    }
}

/// One optimiser step. Names follow TRL; log-probabilities are sums over a
/// response in nats, averaged over the batch. Fields that an objective does
/// not have are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Stage name.
    pub stage: String,
    /// Optimiser step within the stage, from 1.
    pub step: usize,
    /// Examples consumed in the stage after this step.
    pub examples_seen: usize,
    /// Fraction of epochs done.
    pub epoch: f64,
    /// Loss under the stage's reduction.
    pub loss: f64,
    /// Learning rate used by this step.
    pub learning_rate: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Tokens processed in this step.
    pub num_tokens: usize,
    /// log π(y⁺).
    #[serde(rename = "logps/chosen", default, skip_serializing_if = "Option::is_none")]
    pub logps_chosen: Option<f64>,
    /// log π(y⁻).
    #[serde(rename = "logps/rejected", default, skip_serializing_if = "Option::is_none")]
    pub logps_rejected: Option<f64>,
    /// β·(log π − log π_ref)(y⁺).
    #[serde(rename = "rewards/chosen", default, skip_serializing_if = "Option::is_none")]
    pub rewards_chosen: Option<f64>,
    /// β·(log π − log π_ref)(y⁻).
    #[serde(rename = "rewards/rejected", default, skip_serializing_if = "Option::is_none")]
    pub rewards_rejected: Option<f64>,
    /// Difference of the two rewards.
    #[serde(rename = "rewards/margins", default, skip_serializing_if = "Option::is_none")]
    pub rewards_margins: Option<f64>,
    /// Fraction of pairs with a positive margin.
    #[serde(rename = "rewards/accuracies", default, skip_serializing_if = "Option::is_none")]
    pub rewards_accuracies: Option<f64>,
    /// Mean sequence weight w₊ of the loss on log π(y⁺).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_chosen: Option<f64>,
    /// Mean sequence weight w₋ of the loss on log π(y⁻).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_rejected: Option<f64>,
    /// Wall seconds of this step.
    pub seconds: f64,
}

/// One response of one example, scored by teacher forcing. Log quantities are
/// in nats; sums run over the response's scored tokens, its EOS included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeRow {
    /// Stage name; absent outside training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Optimiser steps done in the stage; absent outside training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// Training examples consumed in the stage; absent outside training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples_seen: Option<usize>,
    /// Line of the data file, from 0.
    pub example: usize,
    /// Response kind, such as `chosen` or `random_permute`.
    pub kind: String,
    /// Scored tokens.
    pub n_tokens: usize,
    /// Σ log π(y_l).
    pub logp: f64,
    /// `logp / n_tokens`.
    pub logp_mean: f64,
    /// Σ max_v log π(v): teacher-forced greedy confidence in this response's contexts.
    pub argmax_logp: f64,
    /// Σ log(1 − max_v π(v)).
    pub rest_logp: f64,
    /// Mean of ‖A‖_F = √(V‖π‖² + V − 2).
    pub a_norm: f64,
    /// The reference code's √(V·(mean ‖π‖)² + V − 2).
    pub a_norm_reference: f64,
    /// Mean of ‖π − e_y‖₂.
    pub gap_norm: f64,
    /// Mean of 1 − π(y).
    pub energy: f64,
    /// Mean entropy of π.
    pub entropy: f64,
    /// Whether the greedy choice was right where it was sure; of `chosen` alone, absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reliability: Option<Reliability>,
}

/// Appends rows to a JSONL file; each call to [`JsonlWriter::flush`] leaves whole lines.
pub struct JsonlWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl JsonlWriter {
    /// Creates a new file.
    ///
    /// # Errors
    /// The file exists already (earlier output is never overwritten) or cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path).with_context(|| {
            format!("cannot create {}: remove it or choose another output", path.display())
        })?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Goes on after the first `length` bytes of a file, which is made if it is not there; what follows
    /// them is cut off.
    ///
    /// # Errors
    /// The file is shorter, or cannot be written to.
    pub fn cut(path: &Path, length: u64) -> Result<Self> {
        let context = || format!("cannot write to {}", path.display());
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let mut file = file.with_context(context)?;
        let found = file.metadata().with_context(context)?.len();
        if found < length {
            bail!("{} has {found} bytes, expected at least {length}", path.display())
        }
        if found > length && enabled!(Level::INFO) {
            let rows = rows_from(path, length).with_context(context)?;
            info!(file = %path.display(), rows, bytes = found - length, left = length, "records cut");
        }
        file.set_len(length).and_then(|()| file.seek(SeekFrom::End(0))).with_context(context)?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Writes one row.
    ///
    /// # Errors
    /// A number that JSON cannot hold (NaN or infinite) or a failed write.
    pub fn write<T: Serialize>(&mut self, row: &T) -> Result<()> {
        let value = serde_json::to_value(row)?;
        // What JSON cannot hold becomes null, which would not read back.
        let fields = value.as_object().into_iter().flatten();
        if let Some((field, _)) = fields.into_iter().find(|(_, v)| v.is_null()) {
            bail!("{}: `{field}` is not a finite number in {value}", self.path.display())
        }
        writeln!(self.file, "{value}").with_context(|| format!("writing {}", self.path.display()))
    }

    /// Writes rows and hands them to the operating system.
    ///
    /// # Errors
    /// As [`JsonlWriter::write`] and [`JsonlWriter::flush`].
    pub fn write_all<T: Serialize>(&mut self, rows: &[T]) -> Result<()> {
        rows.iter().try_for_each(|row| self.write(row))?;
        self.flush()
    }

    /// Hands every row written so far to the operating system.
    ///
    /// # Errors
    /// A failed write, such as a full disk.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().with_context(|| format!("writing {}", self.path.display()))
    }

    /// Puts every row written so far on the disk. Returns the file's length in bytes.
    ///
    /// # Errors
    /// As [`JsonlWriter::flush`].
    pub fn sync(&mut self) -> Result<u64> {
        self.flush()?;
        let file = self.file.get_ref();
        let synced = file.sync_data().and_then(|()| Ok(file.metadata()?.len()));
        synced.with_context(|| format!("writing {}", self.path.display()))
    }
}

/// Rows behind the first `length` bytes of a file, a torn one included.
fn rows_from(path: &Path, length: u64) -> std::io::Result<usize> {
    let mut reader = BufReader::new(File::open(path)?);
    reader.seek(SeekFrom::Start(length))?;
    let (mut rows, mut torn) = (0, false);
    loop {
        let bytes = reader.fill_buf()?;
        let Some(last) = bytes.last() else { return Ok(rows + usize::from(torn)) };
        rows += bytes.iter().filter(|byte| **byte == b'\n').count();
        torn = *last != b'\n';
        let read = bytes.len();
        reader.consume(read);
    }
}

/// Longest accepted row of a record file, in bytes.
pub const MAX_ROW: u64 = 16 << 20;

/// Reads every whole row of a JSONL file. A torn last line, as a killed run
/// leaves it, is dropped.
///
/// # Errors
/// A missing file, a broken line that is not the last one, or a line longer than [`MAX_ROW`].
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut reader = BufReader::new(file);
    let mut rows = Vec::new();
    // Bytes, not text: a line may be torn within a character.
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let read = (&mut reader).take(MAX_ROW + 1).read_until(b'\n', &mut line);
        let read = read.with_context(|| format!("reading {}", path.display()))?;
        number += 1;
        if read == 0 {
            return Ok(rows);
        }
        if read as u64 > MAX_ROW {
            bail!(
                "{}, line {number} is longer than {MAX_ROW} bytes: no run writes such a row",
                path.display()
            )
        }
        match serde_json::from_slice(line.trim_ascii_end()) {
            Ok(row) => rows.push(row),
            Err(_) if !line.ends_with(b"\n") => return Ok(rows),
            Err(e) => {
                let what = e.to_string();
                let what = what.split(" at line ").next().unwrap_or(&what);
                bail!("{}, line {number}, column {}: {what}", path.display(), e.column())
            }
        }
    }
}

/// Reads a run's manifest.
///
/// # Errors
/// A missing or broken file, or a schema newer than this program's.
pub fn read_manifest(run: &Path) -> Result<Manifest> {
    let path = run.join(MANIFEST);
    let text = files::read_text(&path).with_context(|| {
        format!("cannot read {}: is {} the output folder of a run?", path.display(), run.display())
    })?;
    let manifest: Manifest =
        serde_json::from_str(&text).with_context(|| format!("{} is broken", path.display()))?;
    if manifest.schema > SCHEMA_VERSION {
        bail!(
            "{} has schema {}, this program reads up to {SCHEMA_VERSION}: use a newer ldyn",
            path.display(),
            manifest.schema
        );
    }
    manifest.check_names().with_context(|| format!("in {}", path.display()))?;
    Ok(manifest)
}

/// Writes a run's manifest whole or not at all.
///
/// # Errors
/// A failed write.
pub fn write_manifest(run: &Path, manifest: &Manifest) -> Result<()> {
    let text = serde_json::to_string_pretty(manifest)? + "\n";
    files::write(&run.join(MANIFEST), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_json_cannot_hold_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let mut writer = JsonlWriter::create(&path).unwrap();
        writer.write(&ProbeRow::default()).unwrap();
        let broken = ProbeRow { rest_logp: f64::NEG_INFINITY, ..ProbeRow::default() };
        assert!(writer.write(&broken).unwrap_err().to_string().contains("rest_logp"));
        writer.flush().unwrap();
        assert_eq!(read_jsonl::<ProbeRow>(&path).unwrap(), [ProbeRow::default()]);
    }

    #[test]
    fn a_torn_last_line_is_dropped_and_a_broken_one_before_it_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let whole = serde_json::to_string(&ProbeRow::default()).unwrap();
        std::fs::write(&path, format!("{whole}\n{}", &whole[..20])).unwrap();
        assert_eq!(read_jsonl::<ProbeRow>(&path).unwrap().len(), 1);
        std::fs::write(&path, format!("{}\n{whole}\n", &whole[..20])).unwrap();
        assert!(read_jsonl::<ProbeRow>(&path).unwrap_err().to_string().contains("line 1, column "));
        // Torn within a character.
        std::fs::write(&path, [whole.as_bytes(), b"\n{\"kind\": \"na\xc3"].concat()).unwrap();
        assert_eq!(read_jsonl::<ProbeRow>(&path).unwrap().len(), 1);
    }

    #[test]
    fn a_row_without_an_end_is_refused_before_it_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        File::create(&path).unwrap().set_len(1 << 30).unwrap();
        let message = read_jsonl::<ProbeRow>(&path).unwrap_err().to_string();
        assert!(message.contains("line 1 is longer than 16777216 bytes"), "{message}");
    }

    #[test]
    fn a_stage_whose_name_leads_out_of_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, fine) in [("sft-2", true), ("../x", false), ("/x", false), ("", false), ("..", false)] {
            let stages = vec![StageInfo { name: name.into(), ..StageInfo::default() }];
            write_manifest(folder.path(), &Manifest { stages, ..Manifest::default() }).unwrap();
            let read = read_manifest(folder.path());
            assert_eq!(read.is_ok(), fine, "{name:?}");
            assert!(fine || format!("{:#}", read.unwrap_err()).contains("stages[0].name"));
        }
    }

    #[test]
    fn rows_behind_a_place_are_counted_with_the_torn_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        for (text, from, rows) in [("{}\n{}\n", 3, 1), ("{}\n{}\n{", 3, 2), ("{}\n{}\n", 6, 0), ("{", 0, 1)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(rows_from(&path, from).unwrap(), rows, "{text:?}");
        }
        std::fs::write(&path, "{}\n".repeat(10_000)).unwrap();
        assert_eq!(rows_from(&path, 3).unwrap(), 9_999);
    }

    #[test]
    fn a_file_that_exists_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, "precious").unwrap();
        assert!(JsonlWriter::create(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
