//! Curves of means over prompts, as reports show them.

use super::observations::{Series, StageRows, minus};
use super::quantity::{Measure, Quantity};
use crate::record::Metrics;
use crate::statistics::estimate;
use serde::Serialize;

/// One quantity over one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// What is measured, such as `logp` or `margin_logp`.
    pub quantity: String,
    /// Response kind; absent for the margin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Unit; empty for a pure number.
    pub unit: &'static str,
    /// Prompts in every mean of this curve: the same at each point.
    pub n: usize,
    /// Probe points in order; never empty.
    pub points: Vec<CurvePoint>,
}

/// Mean over prompts at one probe point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Training examples consumed in the stage.
    pub examples_seen: usize,
    /// Optimiser steps done in the stage.
    pub step: usize,
    /// Mean over prompts.
    pub mean: f64,
    /// Standard error of that mean: the spread between prompts, not of the change.
    pub se: Option<f64>,
    /// Mean change since the stage's first probe, prompt by prompt.
    pub change: f64,
    /// Standard error of that change.
    pub change_se: Option<f64>,
}

/// What reports follow of every kind.
pub const OF_EVERY_KIND: [Measure; 2] = [Measure::Logp, Measure::LogpMean];
/// What reports follow in the contexts of [`CONTEXTS`].
pub const OF_CONTEXTS: [Measure; 9] = [
    Measure::Greedy,
    Measure::GreedyMean,
    Measure::LabelMean,
    Measure::LabelMass,
    Measure::ArgmaxMass,
    Measure::RestMass,
    Measure::ANorm,
    Measure::GapNorm,
    Measure::Entropy,
];
/// Kinds along whose tokens the whole distribution is followed.
pub const CONTEXTS: [&str; 3] = ["chosen", "rejected", "random_permute"];

/// Every curve of a stage: kinds in the given order, then the margin, then the contexts.
pub fn curves(stage: &StageRows, kinds: &[&str]) -> Vec<Curve> {
    let of_kinds = kinds.iter().flat_map(|kind| OF_EVERY_KIND.map(|measure| Quantity::Of(measure, kind)));
    let margins = OF_EVERY_KIND.map(Quantity::Margin);
    let contexts = CONTEXTS.iter().flat_map(|kind| OF_CONTEXTS.map(|measure| Quantity::Of(measure, kind)));
    let all = of_kinds.chain(margins).chain(contexts);
    all.filter_map(|quantity| Curve::new(quantity, &stage.series(quantity)?)).collect()
}

impl Curve {
    fn new(quantity: Quantity, series: &Series) -> Option<Self> {
        let first = series.values.first()?;
        let points = series
            .points
            .iter()
            .zip(&series.values)
            .map(|(point, values)| {
                let (level, change) = (estimate(values)?, estimate(&minus(values, first))?);
                Some(CurvePoint {
                    examples_seen: point.examples_seen,
                    step: point.step,
                    mean: level.mean,
                    se: level.se,
                    change: change.mean,
                    change_se: change.se,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            quantity: quantity.key(),
            kind: quantity.kind().map(str::to_string),
            unit: quantity.measure().unit(),
            n: series.examples.len(),
            points,
        })
    }

    /// First point.
    pub fn start(&self) -> &CurvePoint {
        &self.points[0]
    }

    /// Last point.
    pub fn end(&self) -> &CurvePoint {
        &self.points[self.points.len() - 1]
    }

    /// Highest point, if it stands above both ends by more than `rounding`.
    pub fn highest(&self, rounding: f64) -> Option<&CurvePoint> {
        let top = self.points.iter().max_by(|a, b| a.mean.total_cmp(&b.mean))?;
        (top.mean > self.start().mean.max(self.end().mean) + rounding).then_some(top)
    }

    /// Lowest point, if it lies below both ends by more than `rounding`.
    pub fn lowest(&self, rounding: f64) -> Option<&CurvePoint> {
        let bottom = self.points.iter().min_by(|a, b| a.mean.total_cmp(&b.mean))?;
        (bottom.mean < self.start().mean.min(self.end().mean) - rounding).then_some(bottom)
    }
}

/// A training metric over one stage, thinned to bins of consecutive steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingCurve {
    /// Name as in the records, such as `loss` or `rewards/margins`.
    pub name: &'static str,
    /// Steps averaged in each point; 1 when nothing was thinned.
    pub steps_per_point: usize,
    /// Examples seen at the end of a bin, and the mean over the bin.
    pub points: Vec<(usize, f64)>,
    /// Optimiser steps done in the stage at the end of each bin.
    pub steps: Vec<usize>,
}

/// Most points of a training curve.
pub const TRAINING_POINTS: usize = 200;

type Read = fn(&Metrics) -> Option<f64>;
const TRAINING: [(&str, Read); 9] = [
    ("loss", |m| Some(m.loss)),
    ("grad_norm", |m| Some(m.grad_norm)),
    ("learning_rate", |m| Some(m.learning_rate)),
    ("rewards/chosen", |m| m.rewards_chosen),
    ("rewards/rejected", |m| m.rewards_rejected),
    ("rewards/margins", |m| m.rewards_margins),
    ("rewards/accuracies", |m| m.rewards_accuracies),
    ("weight_chosen", |m| m.weight_chosen),
    ("weight_rejected", |m| m.weight_rejected),
];

/// The training curves of one stage from its steps in order.
pub fn training(steps: &[&Metrics]) -> Vec<TrainingCurve> {
    let steps_per_point = steps.len().div_ceil(TRAINING_POINTS).max(1);
    let curve = |&(name, read): &(&'static str, Read)| {
        let bin = |bin: &[&Metrics]| {
            let values: Vec<f64> = bin.iter().filter_map(|m| read(m)).collect();
            let last = bin[bin.len() - 1];
            Some(((last.examples_seen, estimate(&values)?.mean), last.step))
        };
        let (points, steps): (Vec<_>, Vec<_>) = steps.chunks(steps_per_point).filter_map(bin).unzip();
        (!points.is_empty()).then_some(TrainingCurve { name, steps_per_point, points, steps })
    };
    TRAINING.iter().filter_map(curve).collect()
}
