//! A stage's table: start, extrema and end of every curve, as finished text.

use super::curves::{CONTEXTS, Curve, CurvePoint};
use super::quantity::{Measure, Quantity};
use super::summary::{Stage, Summary};
use super::text::{count, number, symbol, with_error};
use crate::statistics::Estimate;
use serde::Serialize;

/// One row of a stage's table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The paper's symbol, or what the row is.
    pub symbol: String,
    /// Name of the kind in the records; empty for other rows.
    pub kind: String,
    /// Prompts.
    pub n: String,
    /// Mean tokens of a response.
    pub tokens: String,
    /// Mean at the first probe.
    pub start: String,
    /// Highest mean above both ends and where, or a dash.
    pub highest: String,
    /// Lowest mean below both ends and where, or a dash.
    pub lowest: String,
    /// Mean at the last probe.
    pub end: String,
    /// Mean change prompt by prompt ± standard error.
    pub change: String,
    /// The same per token.
    pub per_token: String,
}

/// Headings that go with [`Row::cells`].
pub const HEADINGS: [&str; 10] = [
    "response",
    "kind",
    "n",
    "tokens",
    "start",
    "highest @ examples",
    "lowest @ examples",
    "end",
    "change ± SE",
    "per token ± SE",
];

impl Row {
    /// The cells in the order of [`HEADINGS`].
    pub fn cells(&self) -> [&str; 10] {
        [
            &self.symbol,
            &self.kind,
            &self.n,
            &self.tokens,
            &self.start,
            &self.highest,
            &self.lowest,
            &self.end,
            &self.change,
            &self.per_token,
        ]
    }
}

/// log π of every kind, then the margin, then greedy confidence by context.
pub fn rows(summary: &Summary, stage: &Stage) -> Vec<Row> {
    let kinds = summary.kinds.iter().map(|kind| {
        let tokens = kind.mean_tokens.map_or(String::new(), |t| number(t, 1));
        let name = kind.name.clone();
        (kind.symbol.clone(), name, tokens, Quantity::Of(Measure::Logp, &kind.name))
    });
    let margin = [("margin".to_string(), String::new(), String::new(), Quantity::Margin(Measure::Logp))];
    let greedy = CONTEXTS.iter().map(|kind| {
        let label = format!("greedy, {}", symbol(kind));
        (label, String::new(), String::new(), Quantity::Of(Measure::Greedy, kind))
    });
    kinds
        .chain(margin)
        .chain(greedy)
        .filter_map(|(symbol, kind, tokens, quantity)| {
            let curve = stage.curve(quantity)?;
            let per_token = quantity.per_token().and_then(|q| stage.curve(q));
            Some(row(symbol, kind, tokens, curve, per_token))
        })
        .collect()
}

fn row(symbol: String, kind: String, tokens: String, curve: &Curve, per_token: Option<&Curve>) -> Row {
    const DECIMALS: usize = 2;
    let rounding = 0.5 * 0.1_f64.powi(DECIMALS as i32);
    let at = |p: Option<&CurvePoint>| {
        p.map_or("–".to_string(), |p| format!("{} @ {}", number(p.mean, DECIMALS), count(p.examples_seen)))
    };
    let change = |curve: &Curve, decimals| {
        let end = curve.end();
        if curve.points.len() < 2 {
            return "–".to_string();
        }
        with_error(&Estimate { mean: end.change, se: end.change_se, n: curve.n }, decimals)
    };
    Row {
        symbol,
        kind,
        n: count(curve.n),
        tokens,
        start: number(curve.start().mean, DECIMALS),
        highest: at(curve.highest(rounding)),
        lowest: at(curve.lowest(rounding)),
        end: number(curve.end().mean, DECIMALS),
        change: change(curve, DECIMALS),
        per_token: per_token.map_or("–".to_string(), |c| change(c, 3)),
    }
}
