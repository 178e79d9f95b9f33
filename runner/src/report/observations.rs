//! Probe rows arranged for comparison: in each stage and kind, the same
//! prompts at every probe point.

use super::load::Run;
use super::quantity::Quantity;
use super::text::count;
use crate::record::{ProbeRow, StageInfo};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// When a probe was taken within its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Point {
    /// Training examples consumed.
    pub examples_seen: usize,
    /// Optimiser steps done.
    pub step: usize,
}

/// All comparable probe rows of a run.
#[derive(Debug)]
pub struct Observations<'a> {
    /// Every stage of the manifest in order, probed or not.
    pub stages: Vec<StageRows<'a>>,
    /// Kinds in display order: those of the manifest, then any others that were found.
    pub kinds: Vec<&'a str>,
    /// What was left out and why, one sentence each.
    pub remarks: Vec<String>,
}

/// The comparable probe rows of one stage.
#[derive(Debug)]
pub struct StageRows<'a> {
    /// The stage as the manifest tells it.
    pub info: &'a StageInfo,
    /// Probe points in order.
    pub points: Vec<Point>,
    kinds: BTreeMap<&'a str, KindRows<'a>>,
}

#[derive(Debug)]
struct KindRows<'a> {
    examples: Vec<usize>,
    at: Vec<Vec<&'a ProbeRow>>,
}

/// One quantity over time: `values[point][i]` belongs to prompt `examples[i]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Probe points in order.
    pub points: Vec<Point>,
    /// Prompts (line of the probe file), ascending.
    pub examples: Vec<usize>,
    /// Values by point and prompt.
    pub values: Vec<Vec<f64>>,
}

type Probe<'a> = BTreeMap<(&'a str, usize), &'a ProbeRow>;

/// Arranges the probe rows of a run.
pub fn observe(run: &Run) -> Observations<'_> {
    let manifest = &run.manifest;
    let mut remarks = run.missing.clone();
    let mut kinds: Vec<&str> = manifest.kinds.iter().map(String::as_str).collect();
    let mut probes: Vec<BTreeMap<Point, Probe>> = manifest.stages.iter().map(|_| BTreeMap::new()).collect();
    let (mut homeless, mut repeated) = (0, 0);
    for row in &run.probes {
        let stage = manifest.stages.iter().position(|s| Some(&s.name) == row.stage.as_ref());
        let (Some(stage), Some(step), Some(examples_seen)) = (stage, row.step, row.examples_seen) else {
            homeless += 1;
            continue;
        };
        if !kinds.contains(&row.kind.as_str()) {
            kinds.push(&row.kind);
        }
        let probe = probes[stage].entry(Point { examples_seen, step }).or_default();
        repeated += usize::from(probe.insert((&row.kind, row.example), row).is_some());
    }
    if homeless > 0 {
        remarks.push(format!(
            "{} probe rows belong to no stage of the manifest and are unused.",
            count(homeless)
        ));
    }
    if repeated > 0 {
        remarks.push(format!("{} probe rows occur twice; the later one counts.", count(repeated)));
    }
    drop_unfinished_probe(&manifest.stages, &mut probes, &mut remarks);
    drop_beyond_peaks(&manifest.stages, &mut probes, &mut remarks);
    let stages = manifest
        .stages
        .iter()
        .zip(&probes)
        .map(|(info, probes)| StageRows::comparable(info, &kinds, probes, &mut remarks))
        .collect();
    Observations { stages, kinds, remarks }
}

/// A run killed while probing leaves a last point with fewer rows than the
/// ones before; keeping it would shrink the prompts compared everywhere.
fn drop_unfinished_probe(
    infos: &[StageInfo],
    probes: &mut [BTreeMap<Point, Probe>],
    remarks: &mut Vec<String>,
) {
    let Some(stage) = probes.iter().rposition(|p| !p.is_empty()) else { return };
    let Some((&last, size)) = probes[stage].last_key_value().map(|(point, probe)| (point, probe.len()))
    else {
        return;
    };
    let others = |stage: &BTreeMap<Point, Probe>| {
        stage.iter().filter(|(point, _)| **point != last).map(|(_, probe)| probe.len()).max()
    };
    let whole = others(&probes[stage]).or_else(|| probes[..stage].iter().rev().find_map(others));
    if !infos[stage].finished && whole.is_some_and(|whole| size < whole) {
        probes[stage].remove(&last);
        remarks.push(format!(
            "The last probe (stage {}, {} examples) stopped at {} of {} rows and is left out.",
            infos[stage].name,
            count(last.examples_seen),
            count(size),
            count(whole.unwrap_or(0)),
        ));
    }
}

/// A stage that went back to its peak ends there: later probes are of weights that it gave up.
fn drop_beyond_peaks(infos: &[StageInfo], probes: &mut [BTreeMap<Point, Probe>], remarks: &mut Vec<String>) {
    for (info, probes) in infos.iter().zip(probes) {
        let Some(peak) = &info.peak else { continue };
        let all = probes.len();
        probes.retain(|point, _| !info.gave_up(point.step));
        if probes.len() < all {
            remarks.push(format!(
                "Stage {} went back to its peak at {} examples: the {} probes after it, of weights that were given up, \
                 are left out.",
                info.name,
                count(peak.examples_seen),
                count(all - probes.len())
            ));
        }
    }
}

impl<'a> StageRows<'a> {
    fn comparable(
        info: &'a StageInfo,
        kinds: &[&'a str],
        probes: &BTreeMap<Point, Probe<'a>>,
        remarks: &mut Vec<String>,
    ) -> Self {
        let mut found = BTreeMap::new();
        for &kind in kinds {
            let sets: Vec<BTreeSet<usize>> = probes
                .values()
                .map(|p| p.range((kind, 0)..=(kind, usize::MAX)).map(|((_, example), _)| *example).collect())
                .collect();
            let all: BTreeSet<usize> = sets.iter().flatten().copied().collect();
            let examples: Vec<usize> =
                all.iter().copied().filter(|e| sets.iter().all(|s| s.contains(e))).collect();
            if examples.len() < all.len() {
                remarks.push(format!(
                    "Stage {}, kind {kind}: {} of {} prompts were not probed at every point and are left out.",
                    info.name,
                    count(all.len() - examples.len()),
                    count(all.len())
                ));
            }
            if !examples.is_empty() {
                let at = probes.values().map(|p| examples.iter().map(|&e| p[&(kind, e)]).collect()).collect();
                found.insert(kind, KindRows { examples, at });
            }
        }
        Self { info, points: probes.keys().copied().collect(), kinds: found }
    }

    /// Whether the stage has comparable rows of a kind.
    pub fn has(&self, kind: &str) -> bool {
        self.kinds.contains_key(kind)
    }

    /// The rows of a kind, in the order of prompts, at each probe point; `None` when it was not probed.
    pub fn rows(&self, kind: &str) -> Option<impl Iterator<Item = (Point, &[&'a ProbeRow])>> {
        let at = &self.kinds.get(kind)?.at;
        Some(self.points.iter().copied().zip(at.iter().map(Vec::as_slice)))
    }

    /// Mean number of scored tokens of a kind; `None` when it was not probed.
    pub fn mean_tokens(&self, kind: &str) -> Option<f64> {
        let rows = self.kinds.get(kind)?.at.first()?;
        Some(rows.iter().map(|row| row.n_tokens as f64).sum::<f64>() / rows.len() as f64)
    }

    /// A quantity over the stage; `None` when the stage has no comparable rows for it.
    pub fn series(&self, quantity: Quantity) -> Option<Series> {
        match quantity {
            Quantity::Of(measure, kind) => {
                let rows = self.kinds.get(kind)?;
                let values =
                    rows.at.iter().map(|at| at.iter().map(|row| measure.value(row)).collect()).collect();
                Some(Series { points: self.points.clone(), examples: rows.examples.clone(), values })
            }
            Quantity::Margin(measure) => {
                let chosen = self.series(Quantity::Of(measure, "chosen"))?;
                let rejected = self.series(Quantity::Of(measure, "rejected"))?;
                let (a, b) = chosen.paired(&rejected)?;
                let values = a.values.iter().zip(&b.values).map(|(a, b)| minus(a, b)).collect();
                Some(Series { values, ..a })
            }
        }
    }
}

impl Series {
    /// Both series on the prompts that they share; `None` when there are none.
    pub fn paired(&self, other: &Series) -> Option<(Series, Series)> {
        let shared: Vec<usize> =
            self.examples.iter().copied().filter(|e| other.examples.binary_search(e).is_ok()).collect();
        (!shared.is_empty()).then(|| (self.on(&shared), other.on(&shared)))
    }

    fn on(&self, examples: &[usize]) -> Series {
        let keep: Vec<usize> =
            (0..self.examples.len()).filter(|&i| examples.binary_search(&self.examples[i]).is_ok()).collect();
        let values = self.values.iter().map(|at| keep.iter().map(|&i| at[i]).collect()).collect();
        Series { points: self.points.clone(), examples: examples.to_vec(), values }
    }

    /// Mean over prompts at each point.
    pub fn means(&self) -> Vec<f64> {
        self.values.iter().map(|at| at.iter().sum::<f64>() / at.len() as f64).collect()
    }
}

/// a − b, prompt by prompt.
pub fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}
