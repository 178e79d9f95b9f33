//! Rules on probes and on the gauge.

use super::sweep::{Sweeps, above_zero, falls};
use super::{Found, number, plain};
use crate::config::Limits;
use crate::record::{GaugeRow, Number};
use crate::statistics::{Estimate, MIN_PROMPTS, fit};

const PER_TOKEN: &str = "nats/token";

/// Words in random order: contexts in which no fluent response is expected.
fn shuffled(kind: &str) -> bool {
    kind.starts_with("random")
}

/// Mass moves to the argmax. In the contexts of y⁻, or of shuffled words, the most likely tokens gain;
/// y⁺ loses against its peak, and so does nearly everything else that is tracked.
pub fn squeeze(sweeps: &Sweeps, limits: &Limits) -> Option<Found> {
    let Sweeps { start, peak, now } = sweeps;
    let chosen = now.change(peak, "chosen", |l| l.label).filter(|e| falls(e, limits))?;
    let (context, rise) = now
        .kinds()
        .filter(|kind| *kind == "rejected" || shuffled(kind))
        .filter_map(|kind| Some((kind, now.change(start, kind, |l| l.argmax)?)))
        .filter(|(_, e)| e.mean > limits.rise && above_zero(e, limits))
        .max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
    let others: Vec<Estimate> = now
        .kinds()
        .filter(|kind| *kind != "chosen")
        .filter_map(|kind| now.change(start, kind, |l| l.label))
        .collect();
    let fallen = 1 + others.iter().filter(|e| falls(e, limits)).count();
    let share = fallen as f64 / (1 + others.len()) as f64;
    let index = squeeze_index(sweeps)?;
    (share >= limits.share).then(|| Found {
        since: peak.at,
        kind: Some(context.to_owned()),
        numbers: vec![
            number("greedy confidence in its contexts changed by", &rise, PER_TOKEN),
            number("log π(y⁺) against its peak", &chosen, PER_TOKEN),
            number("squeeze index in the contexts of y⁺", &index, PER_TOKEN),
            plain("share of the tracked kinds that fell", share, ""),
        ],
    })
}

/// The squeeze index in the contexts of y⁺: what the most likely tokens have gained since the start on the response's
/// own, log(π(argmax)/π(y)) per token. A negative step on a softmax raises it for every response (exactly, with frozen
/// features).
pub fn squeeze_index(sweeps: &Sweeps) -> Option<Estimate> {
    sweeps.now.change(&sweeps.start, "chosen", |l| l.argmax - l.label)
}

/// y⁺ lies below its peak and its start while the margin grows: the pairs are told apart at the cost of both.
pub fn chosen_displaced(sweeps: &Sweeps, limits: &Limits) -> Option<Found> {
    let Sweeps { start, peak, now } = sweeps;
    let from_peak = now.change(peak, "chosen", |l| l.label).filter(|e| falls(e, limits))?;
    let from_start = now.change(start, "chosen", |l| l.label).filter(|e| falls(e, limits))?;
    let margin = now.margin_change(start).filter(|e| above_zero(e, limits))?;
    Some(Found {
        since: peak.at,
        kind: Some("chosen".into()),
        numbers: vec![
            number("log π(y⁺) against its peak", &from_peak, PER_TOKEN),
            number("against its start", &from_start, PER_TOKEN),
            number("margin against its start", &margin, "nats"),
        ],
    })
}

/// Fewest fluent kinds that make an "everything".
const MIN_KINDS: usize = 3;

/// Every fluent kind falls, y⁺ too.
pub fn unsure_of_everything(sweeps: &Sweeps, limits: &Limits) -> Option<Found> {
    let Sweeps { start, now, .. } = sweeps;
    let changes: Vec<(&str, Estimate)> = now
        .kinds()
        .filter(|kind| !shuffled(kind))
        .filter_map(|kind| Some((kind, now.change(start, kind, |l| l.label)?)))
        .collect();
    let chosen = changes.iter().find(|(kind, _)| *kind == "chosen")?.1;
    if changes.len() < MIN_KINDS || !changes.iter().all(|(_, e)| falls(e, limits)) {
        return None;
    }
    let (least, change) = changes.iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
    Some(Found {
        since: start.at,
        kind: None,
        numbers: vec![
            plain("fluent kinds that fell, all of", changes.len() as f64, ""),
            number("log π(y⁺) against its start", &chosen, PER_TOKEN),
            number(format!("least of all {least}"), change, PER_TOKEN),
        ],
    })
}

/// Changes smaller than this on average are as likely rounding as learning.
const MEASURABLE: f64 = 0.1;

/// R² of a window of the gauge, if it is below its limit.
pub fn poor_prediction(rows: &[GaugeRow], limits: &Limits) -> Option<Number> {
    let predicted: Vec<f64> = rows.iter().map(|r| r.predicted).collect();
    let measured: Vec<f64> = rows.iter().map(|r| r.measured).collect();
    let size = measured.iter().map(|m| m.abs()).sum::<f64>() / rows.len() as f64;
    let fit = fit(&predicted, &measured)?;
    (rows.len() >= MIN_PROMPTS && size >= MEASURABLE && fit.r2 < limits.r2)
        .then(|| plain("R² of predicted against measured changes", fit.r2, ""))
}
