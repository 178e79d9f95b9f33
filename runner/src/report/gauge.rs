//! Predicted against measured: what the first order explained of a stage, and from
//! where on it no longer did.

use crate::record::GaugeRow;
use crate::statistics::{Fit, fit};
use serde::Serialize;
use std::collections::BTreeMap;

/// A window's prediction counts as good enough at this R² or above.
pub const ENOUGH: f64 = 0.9;

/// The gauge of one stage. Kind of truth: predictions are *first order*, the rest is *measured*.
#[derive(Clone, Debug, Serialize)]
pub struct Gauge {
    /// Stage name.
    pub stage: String,
    /// Optimiser steps in a window (the last one may have fewer).
    pub window: usize,
    /// Measured against predicted over all windows, prompts and kinds.
    pub fit: Option<Fit>,
    /// Every window in order.
    pub windows: Vec<Window>,
    /// Accumulated influence: one entry a kind, in order of appearance.
    pub kinds: Vec<Accumulated>,
}

/// One window over all prompts and kinds.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// Optimiser steps done at its end.
    pub step: usize,
    /// Examples consumed at its end.
    pub examples_seen: usize,
    /// Measured against predicted.
    pub fit: Option<Fit>,
}

/// The telescoped sum of predictions beside the measured change of one kind, means over prompts.
#[derive(Clone, Debug, Serialize)]
pub struct Accumulated {
    /// Kind.
    pub kind: String,
    /// Prompts.
    pub n: usize,
    /// Examples consumed, Σ predicted, Σ measured after each window, nats.
    pub points: Vec<[f64; 3]>,
}

impl Gauge {
    /// Examples consumed when the first window began whose R² is below [`ENOUGH`].
    pub fn enough_until(&self) -> Option<usize> {
        let failed = self.windows.iter().position(|w| w.fit.is_some_and(|f| f.r2 < ENOUGH))?;
        Some(if failed == 0 { 0 } else { self.windows[failed - 1].examples_seen })
    }

    /// What the gauge says, in one paragraph.
    pub fn words(&self) -> String {
        let Some(f) = self.fit else { return "The measured changes do not vary.".into() };
        let until = match self.enough_until() {
            None => format!("In every window R² is at least {ENOUGH}: first order is enough throughout."),
            Some(n) => format!(
                "First order stops being enough (R² < {ENOUGH}) in the window that begins after {n} examples."
            ),
        };
        format!(
            "Over {} changes of a response in a window of {} step{}, the measured change is {:.3} times the predicted one and R² = {:.4}. {until}",
            f.n,
            self.window,
            if self.window == 1 { "" } else { "s" },
            f.slope,
            f.r2
        )
    }
}

/// The gauges of all stages that have one, in order of appearance.
pub fn gauges(rows: &[GaugeRow]) -> Vec<Gauge> {
    let mut stages: Vec<(&str, Vec<&GaugeRow>)> = Vec::new();
    for row in rows {
        match stages.iter_mut().find(|(stage, _)| *stage == row.stage) {
            Some((_, rows)) => rows.push(row),
            None => stages.push((&row.stage, vec![row])),
        }
    }
    stages.into_iter().map(|(stage, rows)| gauge(stage, &rows)).collect()
}

fn gauge(stage: &str, rows: &[&GaugeRow]) -> Gauge {
    let compare = |rows: &[&GaugeRow]| {
        let of = |f: fn(&GaugeRow) -> f64| rows.iter().map(|r| f(r)).collect::<Vec<_>>();
        fit(&of(|r| r.predicted), &of(|r| r.measured))
    };
    let mut windows: BTreeMap<usize, Vec<&GaugeRow>> = BTreeMap::new();
    let mut kinds: Vec<Accumulated> = Vec::new();
    for row in rows {
        windows.entry(row.step).or_default().push(row);
        if !kinds.iter().any(|k| k.kind == row.kind) {
            kinds.push(Accumulated { kind: row.kind.clone(), n: 0, points: Vec::new() });
        }
    }
    for kind in &mut kinds {
        let mut sums = [0.0; 2];
        for rows in windows.values() {
            let mine: Vec<&&GaugeRow> = rows.iter().filter(|r| r.kind == kind.kind).collect();
            let n = mine.len().max(1) as f64;
            sums[0] += mine.iter().map(|r| r.predicted).sum::<f64>() / n;
            sums[1] += mine.iter().map(|r| r.measured).sum::<f64>() / n;
            kind.n = kind.n.max(mine.len());
            kind.points.push([rows[0].examples_seen as f64, sums[0], sums[1]]);
        }
    }
    Gauge {
        stage: stage.to_owned(),
        window: rows.first().map_or(0, |r| r.step - r.from_step),
        fit: compare(rows),
        windows: windows
            .iter()
            .map(|(&step, rows)| Window { step, examples_seen: rows[0].examples_seen, fit: compare(rows) })
            .collect(),
        kinds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: usize, kind: &str, example: usize, predicted: f64, measured: f64) -> GaugeRow {
        GaugeRow {
            stage: "dpo".into(),
            from_step: step - 5,
            step,
            examples_seen: 4 * step,
            example,
            kind: kind.into(),
            predicted,
            measured,
        }
    }

    #[test]
    fn sums_run_on_and_a_window_that_first_order_misses_is_found() {
        let mut rows = Vec::new();
        for (step, miss) in [(5, 0.0), (10, 0.0), (15, 3.0)] {
            for example in 0..4 {
                let x = f64::from(example as i32);
                rows.push(row(step, "chosen", example, x, x + miss * (1.5 - x)));
                rows.push(row(step, "rejected", example, -2.0 * x, -2.0 * x));
            }
        }
        let found = gauges(&rows);
        assert_eq!(found.len(), 1);
        let g = &found[0];
        assert_eq!((g.window, g.windows.len(), g.kinds.len()), (5, 3, 2));
        assert_eq!(g.kinds[1].points, [[20.0, -3.0, -3.0], [40.0, -6.0, -6.0], [60.0, -9.0, -9.0]]);
        assert_eq!(g.enough_until(), Some(40));
        assert!(g.words().contains("after 40 examples"));
        assert_eq!(gauges(&rows[..16])[0].enough_until(), None);
    }
}
