//! The charts of a comparison: runs over one another, and side by side on the same axes.

use super::charts::{Figure, LARGE, SMALL, key, listed, small, style};
use super::comparison::{ArmCurves, Comparison};
use super::paint::ranges;
use super::svg::{Chart, Key, Line, Piece, Sample};
use super::text::{one_line, symbol};
use crate::statistics::Estimate;

/// Every figure of a stage.
pub fn stage_figures(c: &Comparison, stage: &str) -> Vec<Figure> {
    let figures = [over_one_another(c, stage), side_by_side(c, stage)];
    figures.into_iter().filter(|figure| !figure.charts.is_empty()).collect()
}

/// The key of a run's lines.
pub fn run_key(name: &str) -> Key {
    Key::Run(name.to_owned())
}

fn samples(points: &[(usize, Estimate)], band: f64) -> Vec<Sample> {
    let sample = |(examples, value): &(usize, Estimate)| Sample {
        x: *examples as f64,
        y: value.mean,
        se: value.se,
        band: band * value.se.unwrap_or(0.0),
        examples: Some(*examples),
        n: Some(value.n),
        ..Sample::default()
    };
    points.iter().map(sample).collect()
}

const SEEN: &str = "examples seen in the stage";

fn over_one_another(c: &Comparison, stage: &str) -> Figure {
    let chart = |curves: &ArmCurves| {
        let arms = c.arms.iter().zip(&curves.arms).enumerate().filter(|(_, (_, points))| !points.is_empty());
        let lines = arms.map(|(i, (arm, points))| Line {
            label: shortened(&one_line(&arm.name)),
            keys: std::iter::once(run_key(&arm.name)).chain(curves.kind.as_deref().map(key)).collect(),
            style: listed(i),
            pieces: vec![Piece { stage: stage.to_owned(), samples: samples(points, 1.0) }],
        });
        let quantity = one_line(&curves.quantity);
        Chart {
            x_label: SEEN.into(),
            lines: lines.collect(),
            ..small(&quantity, quantity.clone(), curves.unit)
        }
    };
    Figure {
        id: format!("{stage}-runs"),
        title: "Runs over one another".into(),
        caption: "Means over prompts, then over seeds; bands are ± one standard error over seeds.".into(),
        charts: c.curves.iter().filter(|curves| curves.stage == stage).map(chart).collect(),
    }
}

fn side_by_side(c: &Comparison, stage: &str) -> Figure {
    let changes: Vec<&ArmCurves> = c.changes.iter().filter(|curves| curves.stage == stage).collect();
    let lines = |arm: usize| -> Vec<Line> {
        let line = |curves: &&ArmCurves| {
            let (kind, points) = (curves.kind.as_deref()?, &curves.arms[arm]);
            (!points.is_empty()).then(|| Line {
                label: symbol(kind).to_owned(),
                keys: vec![key(kind), run_key(&c.arms[arm].name)],
                style: style(kind),
                pieces: vec![Piece { stage: stage.to_owned(), samples: samples(points, 0.0) }],
            })
        };
        changes.iter().filter_map(line).collect()
    };
    let arms: Vec<(usize, Vec<Line>)> =
        (0..c.arms.len()).map(|arm| (arm, lines(arm))).filter(|(_, lines)| !lines.is_empty()).collect();
    let every: Vec<Line> = arms.iter().flat_map(|(_, lines)| lines.clone()).collect();
    let shared = ranges(&every, true);
    let size = if arms.len() > 2 { SMALL } else { LARGE };
    let chart = |(arm, lines): (usize, Vec<Line>)| {
        let name = one_line(&c.arms[arm].name);
        Chart {
            x_label: SEEN.into(),
            lines,
            zero: true,
            ranges: Some(shared),
            size,
            ..small(&name, name.clone(), "change of log π, nats")
        }
    };
    Figure {
        id: format!("{stage}-kinds"),
        title: "Runs side by side".into(),
        caption: "Change of log π(y) of every kind since the stage began, a chart for each run, all on the same axes. \
                  Means over prompts, then over seeds. Sums grow with length: compare a kind between charts, and directions \
                  within one."
            .into(),
        charts: arms.into_iter().map(chart).collect(),
    }
}

/// A name that leaves room for the lines: its middle is left out.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 15;
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= LONGEST {
        return name.to_owned();
    }
    let (head, tail) = (&chars[..LONGEST / 2], &chars[chars.len() - LONGEST / 2..]);
    format!("{}…{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_long_name_keeps_both_its_ends() {
        assert_eq!(super::shortened("runs/π-baseline"), "runs/π-baseline");
        assert_eq!(super::shortened("runs/a-tenth-of-the-rate"), "runs/a-…he-rate");
    }
}
