//! All that a report says about a run, as data.

use super::answers::{Answers, answers};
use super::calibration::{Calibration, calibrations};
use super::claims::conventions;
use super::curves::{Curve, TrainingCurve, curves, training};
use super::findings::{Finding, findings};
use super::gauge::{Gauge, gauges};
use super::load::Run;
use super::observations::observe;
use super::quantity::Quantity;
use super::text::{description, symbol};
use super::words::words;
use crate::record::{AlarmRow, AnswerRow, Manifest, Metrics};
use serde::Serialize;

/// Version of the layout of `report.json`.
pub const REPORT_SCHEMA: u32 = 1;

/// What a run's records say; `report.json` is this, and every other form of a report is made from it.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// [`REPORT_SCHEMA`].
    pub report_schema: u32,
    /// What was run.
    pub run: Manifest,
    /// What is missing in the records or was left out, one sentence each.
    pub remarks: Vec<String>,
    /// What the monitor raised while the run went on, in order.
    pub alarms: Vec<AlarmRow>,
    /// The paper's findings with their verdicts.
    pub findings: Vec<Finding>,
    /// How the findings' rules are to be read.
    pub conventions: String,
    /// Probed kinds in display order.
    pub kinds: Vec<Kind>,
    /// The stages in order.
    pub stages: Vec<Stage>,
    /// Predicted against measured, for the stages that were gauged.
    pub gauges: Vec<Gauge>,
    /// Calibration of the greedy choice, for the stages whose records tell it.
    pub calibrations: Vec<Calibration>,
    /// Greedy answers, for the stages that have some.
    pub answers: Vec<Answers>,
}

/// A probed response kind.
#[derive(Clone, Debug, Serialize)]
pub struct Kind {
    /// Name in the records.
    pub name: String,
    /// The paper's symbol; the name again for a kind that it does not have.
    pub symbol: String,
    /// What it is; empty for an unknown kind.
    pub description: &'static str,
    /// Mean number of scored tokens; absent when no comparable row was found.
    pub mean_tokens: Option<f64>,
}

/// The records of one stage.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// Name in the manifest.
    pub name: String,
    /// Whether it ran to its end.
    pub finished: bool,
    /// Optimiser steps recorded.
    pub steps: usize,
    /// Training examples consumed, as far as recorded.
    pub examples_seen: usize,
    /// Probe points used.
    pub probe_points: usize,
    /// Means over prompts.
    pub curves: Vec<Curve>,
    /// Training metrics.
    pub training: Vec<TrainingCurve>,
    /// What happened to each kind, in words.
    pub words: Vec<String>,
}

/// Summarises a run's records.
pub fn summarise(run: &Run) -> Summary {
    let observations = observe(run);
    let mut stages: Vec<Stage> = observations
        .stages
        .iter()
        .map(|stage| {
            let steps = steps_of(&run.metrics, &stage.info.name);
            let trained = steps.last().map_or(0, |m| m.examples_seen);
            let probed = stage.points.last().map_or(0, |p| p.examples_seen);
            Stage {
                name: stage.info.name.clone(),
                finished: stage.info.finished,
                steps: steps.len(),
                examples_seen: trained.max(probed),
                probe_points: stage.points.len(),
                curves: curves(stage, &observations.kinds),
                training: training(&steps),
                words: Vec::new(),
            }
        })
        .collect();
    let kinds: Vec<Kind> = observations
        .kinds
        .iter()
        .map(|kind| Kind {
            name: (*kind).to_string(),
            symbol: symbol(kind).to_string(),
            description: description(kind),
            mean_tokens: observations.stages.iter().find_map(|stage| stage.mean_tokens(kind)),
        })
        .collect();
    for stage in &mut stages {
        stage.words = words(stage, &kinds);
    }
    let gave_up = |a: &AnswerRow| run.manifest.stages.iter().any(|s| s.name == a.stage && s.gave_up(a.step));
    let kept: Vec<AnswerRow> = run.answers.iter().filter(|a| !gave_up(a)).cloned().collect();
    let answers = answers(&kept);
    Summary {
        report_schema: REPORT_SCHEMA,
        run: run.manifest.clone(),
        alarms: run.alarms.clone(),
        findings: findings(&observations, &answers),
        conventions: conventions(),
        kinds,
        stages,
        gauges: gauges(&run.gauge),
        calibrations: calibrations(&observations),
        answers,
        remarks: observations.remarks,
    }
}

/// Steps of a stage in order; of a step that occurs twice, as after a resume, the later row.
fn steps_of<'a>(metrics: &'a [Metrics], stage: &str) -> Vec<&'a Metrics> {
    let rows = metrics.iter().filter(|m| m.stage == stage);
    rows.map(|m| (m.step, m)).collect::<std::collections::BTreeMap<_, _>>().into_values().collect()
}

impl Stage {
    /// The curve of a quantity, if it was measured.
    pub fn curve(&self, quantity: Quantity) -> Option<&Curve> {
        self.curves.iter().find(|c| c.kind.as_deref() == quantity.kind() && c.quantity == quantity.key())
    }

    /// Optimiser steps done at the probe after `examples`; absent where none was made there.
    pub fn step_at(&self, examples: usize) -> Option<usize> {
        let point = self.curves.first()?.points.iter().find(|p| p.examples_seen == examples)?;
        Some(point.step)
    }
}

/// The summary as indented JSON.
///
/// # Errors
/// None in practice: every number comes from JSON or a mean of such.
pub fn json(summary: &Summary) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(summary)? + "\n")
}
