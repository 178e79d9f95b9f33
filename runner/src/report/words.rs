//! What happened to every kind, in words: the two or three numbers that carry it.

use super::claims::SIGNIFICANT;
use super::curves::{Curve, CurvePoint};
use super::quantity::{Measure, Quantity};
use super::summary::{Kind, Stage};
use super::text::{count, number, with_error};
use crate::statistics::Estimate;

/// A sentence or two for every kind that was probed more than once, in display order.
pub fn words(stage: &Stage, kinds: &[Kind]) -> Vec<String> {
    kinds.iter().filter_map(|kind| of_kind(stage, kind)).collect()
}

fn of_kind(stage: &Stage, kind: &Kind) -> Option<String> {
    let curve = stage.curve(Quantity::Of(Measure::Logp, &kind.name)).filter(|c| c.points.len() > 1)?;
    let (start, end) = (curve.start(), curve.end());
    let turned = |what: &str, p: Option<&CurvePoint>| {
        p.map_or(String::new(), |p| {
            format!(", {what} {} at {} examples", number(p.mean, 1), count(p.examples_seen))
        })
    };
    // A turn of less than a tenth of a nat would be printed as none.
    const TURN: f64 = 0.1;
    let mut text = format!(
        "log π({}) went from {}{}{} to {}: {} nats.",
        kind.symbol,
        number(start.mean, 1),
        turned("over", curve.highest(TURN)),
        turned("under", curve.lowest(TURN)),
        number(end.mean, 1),
        with_error(&Estimate { mean: end.change, se: end.change_se, n: curve.n }, 1)
    );
    let of = |measure| stage.curve(Quantity::Of(measure, &kind.name));
    if let (Some(label), Some(argmax), Some(rest)) =
        (of(Measure::LabelMass), of(Measure::ArgmaxMass), of(Measure::RestMass))
    {
        let from_to = |c: &Curve| format!("{} → {}", number(c.start().mean, 3), number(c.end().mean, 3));
        text += &format!(
            " In its contexts π of the response's tokens went {}, of the most likely token {}, outside it {}{}.",
            from_to(label),
            from_to(argmax),
            from_to(rest),
            ledger(label.end(), argmax.end())
        );
    }
    Some(text)
}

/// Where the mass went; nothing where one of the changes is within its error.
fn ledger(label: &CurvePoint, argmax: &CurvePoint) -> &'static str {
    let clear = |p: &CurvePoint| p.change.abs() > SIGNIFICANT * p.change_se.unwrap_or(f64::INFINITY);
    if !(clear(label) && clear(argmax)) {
        return "";
    }
    match (label.change < 0.0, argmax.change > 0.0) {
        (true, true) => ": the response lost mass and the most likely tokens gained it",
        (true, false) => ": both lost mass, to the rest of the vocabulary",
        (false, true) => ": both gained mass, from the rest of the vocabulary",
        (false, false) => ": the response gained mass and the most likely tokens lost it",
    }
}
