//! Reading a run folder, whole, half-finished or killed.

use crate::record::{self, AlarmRow, AnswerRow, GaugeRow, Manifest, Metrics, ProbeRow};
use anyhow::Result;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Everything that a run wrote, and what was missing.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the run is.
    pub manifest: Manifest,
    /// Optimiser steps in file order; empty when there is no file yet.
    pub metrics: Vec<Metrics>,
    /// Probe rows in file order; empty when there is no file yet.
    pub probes: Vec<ProbeRow>,
    /// Predicted and measured changes; empty where the run did not compare them.
    pub gauge: Vec<GaugeRow>,
    /// Greedy answers; empty where the run had no monitor, or asked for none.
    pub answers: Vec<AnswerRow>,
    /// Alarms of the monitor in file order; empty where there was none, or no monitor.
    pub alarms: Vec<AlarmRow>,
    /// Files that were expected and are absent or empty, one sentence each.
    pub missing: Vec<String>,
}

/// Reads the records of a run folder. A run that is still going or was killed
/// is read as far as it got: absent or empty record files are named in
/// [`Run::missing`], and a torn last line is dropped.
///
/// # Errors
/// No readable manifest, or a broken line that is not the last of its file.
pub fn load(run: &Path) -> Result<Run> {
    let manifest = record::read_manifest(run)?;
    let mut missing = Vec::new();
    let metrics = rows(run, record::METRICS, "no training curve can be shown", &mut missing)?;
    let probes = rows(run, record::PROBES, "no response kind can be followed", &mut missing)?;
    let gauge = optional(&run.join(record::GAUGE))?;
    let answers = optional(&run.join(record::ANSWERS))?;
    let alarms = optional(&run.join(record::ALARMS))?;
    Ok(Run { manifest, metrics, probes, gauge, answers, alarms, missing })
}

fn rows<T: DeserializeOwned>(
    run: &Path,
    name: &str,
    consequence: &str,
    missing: &mut Vec<String>,
) -> Result<Vec<T>> {
    let path = run.join(name);
    if !path.exists() {
        missing.push(format!("The run has no {name}: {consequence}."));
        return Ok(Vec::new());
    }
    let rows = record::read_jsonl(&path)?;
    if rows.is_empty() {
        missing.push(format!("{name} holds no whole row yet: {consequence}."));
    }
    Ok(rows)
}

/// The rows of a file that only some runs have.
fn optional<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if path.exists() { record::read_jsonl(path) } else { Ok(Vec::new()) }
}
