//! Several runs side by side: arms of an experiment, each over seeds. What is compared are means over
//! prompts of one run; the spread is between seeds.

use super::curves::{CONTEXTS, Curve, CurvePoint};
use super::findings::Verdict;
use super::load::load;
use super::quantity::{Measure, Quantity};
use super::summary::{REPORT_SCHEMA, Stage, Summary, summarise};
use super::text::symbol;
use crate::statistics::{Estimate, estimate, student_t};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Confidence of the intervals.
pub const CONFIDENCE: f64 = 0.95;

/// A run with its place in the comparison.
#[derive(Clone, Debug)]
pub struct Member {
    /// Name of its arm.
    pub arm: String,
    /// What pairs it with the runs of other arms.
    pub seed: u64,
    /// What its records say.
    pub summary: Summary,
}

/// Arms side by side; the others are compared with the first.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// [`REPORT_SCHEMA`].
    pub report_schema: u32,
    /// Title.
    pub title: String,
    /// The arms in order.
    pub arms: Vec<Arm>,
    /// Numbers, stage by stage.
    pub rows: Vec<Row>,
    /// The paper's findings: how many runs of each arm showed them.
    pub findings: Vec<Tally>,
    /// Curves, stage by stage.
    pub curves: Vec<ArmCurves>,
    /// The change of log π of every kind since its stage began.
    pub changes: Vec<ArmCurves>,
}

/// One way to train.
#[derive(Clone, Debug, Serialize)]
pub struct Arm {
    /// Name.
    pub name: String,
    /// Seeds whose runs are finished; the others are left out.
    pub seeds: Vec<u64>,
    /// Seeds whose runs are not.
    pub unfinished: Vec<u64>,
    /// Optimiser steps of each stage of its first run.
    pub steps: Vec<(String, usize)>,
    /// Alarms of the monitor with the number of runs that raised them.
    pub alarms: Vec<(String, usize)>,
    /// Training time of a run without probing, mean over its runs, seconds.
    pub train_seconds: f64,
}

/// What is read off a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Mean over prompts at the stage's last probe.
    End,
    /// End minus start.
    Change,
    /// End minus the curve's highest point.
    FromPeak,
}

impl Reading {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Change => "end − start",
            Self::FromPeak => "end − peak",
        }
    }

    fn of(self, curve: &Curve) -> Option<f64> {
        let (first, last) = (curve.points.first()?.mean, curve.points.last()?.mean);
        let peak = curve.points.iter().map(|p| p.mean).fold(f64::NEG_INFINITY, f64::max);
        Some(match self {
            Self::End => last,
            Self::Change => last - first,
            Self::FromPeak => last - peak,
        })
    }
}

/// One number for every arm.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Stage name.
    pub stage: String,
    /// What is measured, in words.
    pub quantity: String,
    /// The kind of response; absent for a margin.
    pub kind: Option<String>,
    /// What is read off its curve.
    pub reading: Reading,
    /// Unit.
    pub unit: &'static str,
    /// One entry an arm.
    pub arms: Vec<Number>,
}

/// An arm's number over its seeds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Number {
    /// Mean with its standard error over seeds; absent where the arm has no such stage or kind.
    pub value: Option<Estimate>,
    /// Minus that of the first arm, seed by seed.
    pub difference: Option<Estimate>,
    /// Confidence interval of the difference (Student's t over seeds); absent for one seed.
    pub interval: Option<[f64; 2]>,
}

/// How often a finding was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Tally {
    /// Identifier of the finding.
    pub id: &'static str,
    /// The statement.
    pub statement: &'static str,
    /// For each arm: checks that showed it and checks that could be made (a run may have several stages).
    pub arms: Vec<[usize; 2]>,
}

/// A quantity of one stage, a curve an arm.
#[derive(Clone, Debug, Serialize)]
pub struct ArmCurves {
    /// Stage name.
    pub stage: String,
    /// What is measured, in words.
    pub quantity: String,
    /// The kind of response; absent for a margin.
    pub kind: Option<String>,
    /// Unit.
    pub unit: &'static str,
    /// For each arm the points that all of its runs have: examples seen, mean, standard error over seeds.
    pub arms: Vec<Vec<(usize, Estimate)>>,
}

/// Compares finished runs. Arms come in order of appearance.
pub fn compare(title: &str, members: &[Member]) -> Comparison {
    let mut arms: Vec<(&str, Vec<&Member>)> = Vec::new();
    for member in members {
        match arms.iter_mut().find(|(name, _)| *name == member.arm) {
            Some((_, runs)) => runs.push(member),
            None => arms.push((&member.arm, vec![member])),
        }
    }
    let described = arms.iter().map(|(name, runs)| Arm::new(name, runs)).collect();
    let finished: Vec<Vec<&Member>> =
        arms.iter().map(|(_, runs)| runs.iter().copied().filter(|m| is_finished(m)).collect()).collect();
    let stages =
        in_order(finished.iter().flatten().flat_map(|m| m.summary.stages.iter().map(|s| s.name.as_str())));
    let kinds =
        in_order(finished.iter().flatten().flat_map(|m| m.summary.kinds.iter().map(|k| k.name.as_str())));
    let (mut rows, mut curves, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for stage in &stages {
        for (quantity, readings) in quantities(&kinds) {
            rows.extend(readings.iter().filter_map(|reading| row(stage, quantity, *reading, &finished)));
        }
        let of = |quantity: Quantity, read| arm_curves(stage, quantity, read, &finished);
        curves.extend(shown(&kinds).filter_map(|quantity| of(quantity, |p| p.mean)));
        let every = kinds.iter().map(|kind| Quantity::Of(Measure::Logp, kind));
        changes.extend(every.filter_map(|quantity| of(quantity, |p| p.change)));
    }
    Comparison {
        report_schema: REPORT_SCHEMA,
        title: title.to_owned(),
        arms: described,
        rows,
        findings: tallies(&finished),
        curves,
        changes,
    }
}

fn is_finished(member: &Member) -> bool {
    member.summary.run.is_over()
}

impl Member {
    /// The run in `folder` as it is now, with the seed of its manifest.
    ///
    /// # Errors
    /// As [`load`].
    pub fn read(arm: &str, folder: &Path) -> Result<Self> {
        let summary = summarise(&load(folder)?);
        Ok(Self { arm: arm.to_owned(), seed: summary.run.seed, summary })
    }
}

impl Arm {
    fn new(name: &str, runs: &[&Member]) -> Self {
        let (finished, unfinished): (Vec<&Member>, Vec<&Member>) = runs.iter().partition(|m| is_finished(m));
        let mut alarms: BTreeMap<&str, usize> = BTreeMap::new();
        for member in &finished {
            let raised = in_order(member.summary.alarms.iter().map(|a| a.rule.id()));
            raised.into_iter().for_each(|rule| *alarms.entry(rule).or_default() += 1);
        }
        let seconds = |m: &&Member| m.summary.run.stages.iter().map(|s| s.train_seconds).sum::<f64>();
        Self {
            name: name.to_owned(),
            seeds: finished.iter().map(|m| m.seed).collect(),
            unfinished: unfinished.iter().map(|m| m.seed).collect(),
            steps: finished.first().map_or_else(Vec::new, |m| {
                m.summary.stages.iter().map(|s| (s.name.clone(), s.steps)).collect()
            }),
            alarms: alarms.into_iter().map(|(rule, n)| (rule.to_owned(), n)).collect(),
            train_seconds: estimate(&finished.iter().map(seconds).collect::<Vec<_>>())
                .map_or(0.0, |e| e.mean),
        }
    }
}

/// The different ones in order of appearance.
pub fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// What the tables hold.
fn quantities<'a>(kinds: &[&'a str]) -> Vec<(Quantity<'a>, &'static [Reading])> {
    const PAIR: &[Reading] = &[Reading::End, Reading::Change, Reading::FromPeak];
    const OTHER: &[Reading] = &[Reading::Change];
    let mut out = vec![(Quantity::Margin(Measure::Logp), PAIR)];
    for kind in kinds {
        let readings = if matches!(*kind, "chosen" | "rejected") { PAIR } else { OTHER };
        out.push((Quantity::Of(Measure::Logp, kind), readings));
    }
    for kind in contexts(kinds) {
        out.push((Quantity::Of(Measure::Greedy, kind), &[Reading::End, Reading::Change]));
        out.push((Quantity::Of(Measure::Entropy, kind), OTHER));
    }
    out
}

fn contexts<'a>(kinds: &[&'a str]) -> impl Iterator<Item = &'a str> {
    kinds.iter().copied().filter(|kind| CONTEXTS.contains(kind) || *kind == "random_nonhum")
}

/// What is drawn.
fn shown<'a>(kinds: &'a [&'a str]) -> impl Iterator<Item = Quantity<'a>> {
    let pair = ["chosen", "rejected"].map(|kind| Quantity::Of(Measure::Logp, kind));
    let greedy = contexts(kinds).map(|kind| Quantity::Of(Measure::Greedy, kind));
    pair.into_iter().chain([Quantity::Margin(Measure::Logp)]).chain(greedy)
}

fn stage_of<'a>(member: &'a Member, name: &str) -> Option<&'a Stage> {
    member.summary.stages.iter().find(|s| s.name == name)
}

fn row(stage: &str, quantity: Quantity, reading: Reading, arms: &[Vec<&Member>]) -> Option<Row> {
    let read = |m: &Member| reading.of(stage_of(m, stage)?.curve(quantity)?);
    let by_seed = |runs: &[&Member]| -> BTreeMap<u64, f64> {
        runs.iter().filter_map(|m| Some((m.seed, read(m)?))).collect()
    };
    let values: Vec<BTreeMap<u64, f64>> = arms.iter().map(|runs| by_seed(runs)).collect();
    values.iter().any(|v| !v.is_empty()).then(|| Row {
        stage: stage.to_owned(),
        quantity: quantity.name(),
        kind: quantity.kind().map(str::to_owned),
        reading,
        unit: quantity.measure().unit(),
        arms: values
            .iter()
            .enumerate()
            .map(|(arm, own)| Number::new(own, (arm > 0).then(|| &values[0])))
            .collect(),
    })
}

impl Number {
    fn new(own: &BTreeMap<u64, f64>, first: Option<&BTreeMap<u64, f64>>) -> Self {
        let shared = own.iter().filter_map(|(seed, x)| Some(x - first?.get(seed)?)).collect::<Vec<f64>>();
        let difference = estimate(&shared);
        let interval = difference.and_then(|d| {
            let se = d.se?;
            let reach = student_t(CONFIDENCE, d.n - 1) * se;
            Some([d.mean - reach, d.mean + reach])
        });
        Self { value: estimate(&own.values().copied().collect::<Vec<_>>()), difference, interval }
    }
}

fn tallies(arms: &[Vec<&Member>]) -> Vec<Tally> {
    let mut found: Vec<Tally> = Vec::new();
    for (arm, runs) in arms.iter().enumerate() {
        for finding in runs.iter().flat_map(|m| &m.summary.findings) {
            if finding.verdict == Verdict::NotMeasured {
                continue;
            }
            let at = found.iter().position(|t| t.id == finding.id).unwrap_or_else(|| {
                let (id, statement) = (finding.id, finding.statement);
                found.push(Tally { id, statement, arms: vec![[0; 2]; arms.len()] });
                found.len() - 1
            });
            let [seen, measured] = &mut found[at].arms[arm];
            *seen += usize::from(finding.verdict == Verdict::Seen);
            *measured += 1;
        }
    }
    found
}

fn arm_curves(
    stage: &str,
    quantity: Quantity,
    read: fn(&CurvePoint) -> f64,
    arms: &[Vec<&Member>],
) -> Option<ArmCurves> {
    let over_seeds = |runs: &Vec<&Member>| -> Vec<(usize, Estimate)> {
        let mut points: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for curve in runs.iter().filter_map(|m| stage_of(m, stage)?.curve(quantity)) {
            for p in &curve.points {
                points.entry(p.examples_seen).or_default().push(read(p));
            }
        }
        let whole = points.values().map(Vec::len).max().unwrap_or(0);
        let at = |(examples, values): (&usize, &Vec<f64>)| Some((*examples, estimate(values)?));
        points.iter().filter(|(_, values)| values.len() == whole).filter_map(at).collect()
    };
    let arms: Vec<_> = arms.iter().map(over_seeds).collect();
    arms.iter().any(|points| points.len() > 1).then(|| ArmCurves {
        stage: stage.to_owned(),
        quantity: match quantity {
            Quantity::Of(Measure::Greedy, kind) => format!("greedy confidence along {}", symbol(kind)),
            other => other.name(),
        },
        kind: quantity.kind().map(str::to_owned),
        unit: quantity.measure().unit(),
        arms,
    })
}
