//! Progress for scripts: JSON on standard output, an object a line.

use super::write;
use crate::record::{AlarmRow, Metrics, Peak, Rule};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write, stdout};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a line of [`super::Progress::Json`] says; its field `event` has the variant's name, such as `stage_end`. Numbers
/// have the names that they have in the [records](crate::record); one that is not finite is `null`.
///
/// ```
/// use ldyn::progress::Event;
/// let line = serde_json::to_string(&Event::Note { text: "hello" })?;
/// assert_eq!(line, r#"{"event":"note","text":"hello"}"#);
/// # anyhow::Ok(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// What people would be told in a line of its own.
    Note {
        /// The line.
        text: &'a str,
    },
    /// Something that went wrong and was got over; it stands on standard error as well.
    Warning {
        /// The line.
        text: &'a str,
    },
    /// A file is downloaded.
    Download {
        /// Its name.
        file: &'a str,
        /// Its size, where the server says it.
        bytes: Option<u64>,
        /// Bytes that are there from an earlier attempt.
        there: u64,
    },
    /// All its bytes are there, and are checked next.
    Downloaded {
        /// Its name.
        file: &'a str,
    },
    /// A run of a grid; what follows, up to the next one, is about it.
    Cell {
        /// The arm.
        arm: &'a str,
        /// The seed.
        seed: u64,
        /// Its number, from 1.
        number: usize,
        /// Runs of the grid.
        of: usize,
        /// Whether it was over before.
        done: bool,
        /// Its folder.
        #[serde(serialize_with = "path")]
        output: &'a Path,
    },
    /// Everything is read, training begins.
    Run {
        /// The run folder.
        #[serde(serialize_with = "path")]
        output: &'a Path,
        /// Title of the study.
        title: &'a str,
        /// Seed of every random choice.
        seed: u64,
        /// Threads used for computation.
        threads: usize,
        /// Device and number type.
        device: &'a str,
        /// The model in words.
        model: &'a str,
        /// Training examples.
        train_examples: usize,
        /// Probed prompts.
        probe_prompts: usize,
        /// Names of the stages in order.
        stages: Vec<&'a str>,
        /// The checkpoint that it goes on from.
        checkpoint: Option<String>,
    },
    /// A stage begins, or goes on.
    Stage {
        /// Its name.
        stage: &'a str,
        /// Its objective.
        objective: &'a str,
        /// The objective's settings in words.
        summary: &'a str,
        /// Optimiser steps done already.
        step: usize,
        /// Optimiser steps in all.
        steps: usize,
        /// Training examples (pairs, for preference losses).
        examples: usize,
    },
    /// An optimiser step.
    Step {
        /// The row of `metrics.jsonl`.
        #[serde(flatten)]
        metrics: &'a Metrics,
        /// Optimiser steps of the stage in all.
        steps: usize,
        /// Since the stage began or went on, probes between the steps included.
        steps_per_second: f64,
        /// Seconds until the stage ends, at that rate.
        eta_seconds: f64,
    },
    /// A probe sweep; its rows are in `probes.jsonl`.
    Probe {
        /// The stage.
        stage: &'a str,
        /// Optimiser steps done in it.
        step: usize,
        /// Training examples consumed in it.
        examples_seen: usize,
        /// Rows.
        rows: usize,
        /// Mean over the prompts of log π, nats, by kind of response.
        logp: BTreeMap<&'a str, f64>,
        /// The monitor's squeeze index, nats, where there is one.
        squeeze_index: Option<f64>,
        /// Wall seconds, greedy answers included.
        seconds: f64,
    },
    /// An alarm: the row of `alarms.jsonl`.
    Alarm(&'a AlarmRow),
    /// A checkpoint is written.
    Checkpoint {
        /// The stage.
        stage: &'a str,
        /// Optimiser steps done in it; `null` when it is over.
        step: Option<usize>,
        /// Where it lies.
        #[serde(serialize_with = "path")]
        folder: &'a Path,
        /// Its size.
        bytes: u64,
    },
    /// A stage ends.
    StageEnd {
        /// Its name.
        stage: &'a str,
        /// Optimiser steps done.
        step: usize,
        /// Optimiser steps planned.
        steps: usize,
        /// Whether it ran to its end.
        finished: bool,
        /// The alarm that stopped it.
        stopped_by: Option<Rule>,
        /// The probe whose weights it gave, with early stopping.
        peak: Option<&'a Peak>,
        /// Wall seconds spent training.
        train_seconds: f64,
        /// Wall seconds spent probing.
        probe_seconds: f64,
    },
    /// The report is written; its numbers are in `json`.
    Report {
        /// The run folder.
        #[serde(serialize_with = "path")]
        output: &'a Path,
        /// The page.
        #[serde(serialize_with = "path")]
        html: &'a Path,
        /// The numbers.
        #[serde(serialize_with = "path")]
        json: &'a Path,
    },
    /// The comparison of a grid is written.
    Comparison {
        /// The page.
        #[serde(serialize_with = "path")]
        html: &'a Path,
        /// The numbers.
        #[serde(serialize_with = "path")]
        json: &'a Path,
        /// The curves.
        #[serde(serialize_with = "path")]
        csv: &'a Path,
    },
    /// The last line of a program that was not killed.
    End {
        /// Its exit status.
        exit_status: u8,
        /// What went wrong.
        error: Option<String>,
    },
}

fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Writes a line to standard output. A reader that has gone has seen enough; another failure is told once, and what is
/// told about goes on.
pub(super) fn emit(event: &Event) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let line = serde_json::to_string(event).map(|line| line + "\n");
    let written = line.map_err(Into::into).and_then(|line| stdout().lock().write_all(line.as_bytes()));
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe && !TOLD.swap(true, Ordering::Relaxed) => {
            write(format!("warning: progress cannot be written to standard output: {error}\n").as_bytes());
        }
        _ => {}
    }
}
