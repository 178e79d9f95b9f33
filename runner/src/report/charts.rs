//! Which charts a report shows, and what their captions say.

use super::answer_charts::{answers, calibration};
use super::curves::{CONTEXTS, Curve};
use super::quantity::{Measure, Quantity};
use super::summary::{Stage, Summary};
use super::svg::{Chart, Line, Sample, Style, draw};
use super::text::{count, symbol};
use anyhow::Result;
use serde::Serialize;

/// Charts with one caption.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Anchor in the page.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// What is drawn, with units and n.
    pub caption: String,
    /// Whether the charts are small multiples.
    pub small: bool,
    /// The charts as SVG.
    pub charts: Vec<String>,
}

const LARGE: (u32, u32) = (470, 345);
/// Shown size of a chart among others.
pub const SMALL: (u32, u32) = (380, 270);
/// Standard errors shown as a band, to each side.
const BAND: f64 = 2.0;
const SOLID: &str = "";
/// Dashes that tell lines of one colour apart.
pub const DASHES: [&str; 3] = [SOLID, "14 7", "4 6"];

/// Every figure that the records allow, in reading order.
///
/// # Errors
/// The charting library refuses.
pub fn figures(summary: &Summary) -> Result<Vec<Figure>> {
    let all = [
        changes(
            summary,
            "change",
            "Change of log π for every kind",
            Measure::Logp,
            "in nats per response. Sums grow with length: compare directions and order, not sizes across kinds",
        ),
        changes(
            summary,
            "change-per-token",
            "Change of log π per token",
            Measure::LogpMean,
            "in nats per token, which takes the length of a response out",
        ),
        levels(summary),
        margin(summary),
        greedy(summary),
        ledger(summary),
        shape(summary),
        calibration(summary),
        answers(summary),
        training(summary),
        accumulated(summary),
    ];
    all.into_iter()
        .filter(|plan| !plan.charts.is_empty())
        .map(|plan| {
            Ok(Figure {
                id: plan.id,
                title: plan.title,
                caption: plan.caption,
                small: plan.charts.iter().all(|c| c.size == SMALL),
                charts: plan.charts.iter().map(draw).collect::<Result<_>>()?,
            })
        })
        .collect()
}

/// A figure before its charts are drawn.
pub struct Plan {
    pub id: &'static str,
    pub title: &'static str,
    pub caption: String,
    pub charts: Vec<Chart>,
}

/// Colour by family and dash within it, so that neither alone has to tell kinds apart.
pub fn style(kind: &str) -> Style {
    let (colour, dash) = match kind {
        "chosen" => ("--preferred", 0),
        "chosen_gptsemantic" => ("--preferred", 1),
        "chosen_gptformat" => ("--preferred", 2),
        "rejected" => ("--dispreferred", 0),
        "reject_gptsemantic" => ("--dispreferred", 1),
        "reject_gptformat" => ("--dispreferred", 2),
        "irr_train" => ("--others", 0),
        "irr_test" => ("--others", 1),
        "chosen_initial" => ("--fluent", 0),
        "irr_hum" => ("--fluent", 1),
        "random_permute" => ("--shuffled", 0),
        "random_nonhum" => ("--shuffled", 1),
        _ => ("--unknown", kind.bytes().map(usize::from).sum::<usize>() % DASHES.len()),
    };
    Style { colour, dash: DASHES[dash] }
}

/// Styles that only tell the lines of one chart apart.
pub fn plain(i: usize) -> Style {
    const COLOURS: [&str; 3] = ["--preferred", "--dispreferred", "--shuffled"];
    Style { colour: COLOURS[i % COLOURS.len()], dash: DASHES[i % DASHES.len()] }
}

/// How many prompts: one number, or the range over curves.
fn prompts<'a>(curves: impl Iterator<Item = &'a Curve>) -> String {
    let ns: Vec<usize> = curves.map(|c| c.n).collect();
    match (ns.iter().min(), ns.iter().max()) {
        (Some(low), Some(high)) if low == high => format!("n = {} prompts", count(*low)),
        (Some(low), Some(high)) => {
            format!("n = {} to {} prompts, as each kind allows", count(*low), count(*high))
        }
        _ => "no prompts".into(),
    }
}

fn curves_of<'a>(summary: &'a Summary, quantities: &'a [Quantity<'a>]) -> impl Iterator<Item = &'a Curve> {
    summary.stages.iter().flat_map(move |s| quantities.iter().filter_map(|q| s.curve(*q)))
}

fn changes(
    summary: &Summary,
    id: &'static str,
    title: &'static str,
    measure: Measure,
    unit: &'static str,
) -> Plan {
    let quantities: Vec<Quantity> = summary.kinds.iter().map(|k| Quantity::Of(measure, &k.name)).collect();
    let chart = |stage: &Stage| {
        let lines: Vec<Line> = summary
            .kinds
            .iter()
            .filter_map(|kind| {
                let curve = stage.curve(Quantity::Of(measure, &kind.name))?;
                let sample =
                    |p: &super::CurvePoint| Sample { x: p.examples_seen as f64, y: p.change, band: 0.0 };
                let piece = curve.points.iter().map(sample).collect();
                Some(Line { label: kind.symbol.clone(), style: style(&kind.name), pieces: vec![piece] })
            })
            .collect();
        (!lines.is_empty()).then(|| Chart {
            title: format!("Stage {}", stage.name),
            x_label: "examples seen in the stage".into(),
            y_label: format!("change of log π, {}", measure.unit()),
            lines,
            zero: true,
            size: LARGE,
            ..Chart::default()
        })
    };
    let caption = format!(
        "Mean change of log π(y) since the start of each stage, {unit}. Prompt by prompt; {}. Standard errors of \
         the changes at the end of a stage stand in its table.",
        prompts(curves_of(summary, &quantities))
    );
    Plan { id, title, caption, charts: summary.stages.iter().filter_map(chart).collect() }
}

/// Where each probed stage begins on the run's time line, and its name.
fn separators(summary: &Summary) -> Vec<(f64, String)> {
    let mut begin = 0;
    let mut out = Vec::new();
    for stage in &summary.stages {
        if stage.probe_points > 0 {
            out.push((begin as f64, stage.name.clone()));
        }
        begin += stage.examples_seen;
    }
    out
}

/// One chart over all stages; `None` when nothing in it was measured.
fn timeline(
    summary: &Summary,
    title: String,
    y_label: String,
    lines: &[(String, Style, Quantity)],
    size: (u32, u32),
) -> Option<Chart> {
    let line = |(label, style, quantity): &(String, Style, Quantity)| {
        let mut begin = 0;
        let mut pieces = Vec::new();
        for stage in &summary.stages {
            if let Some(curve) = stage.curve(*quantity) {
                let sample = |p: &super::CurvePoint| Sample {
                    x: (begin + p.examples_seen) as f64,
                    y: p.mean,
                    band: BAND * p.change_se.unwrap_or(0.0),
                };
                pieces.push(curve.points.iter().map(sample).collect());
            }
            begin += stage.examples_seen;
        }
        (!pieces.is_empty()).then(|| Line { label: label.clone(), style: *style, pieces })
    };
    let lines: Vec<Line> = lines.iter().filter_map(line).collect();
    (!lines.is_empty()).then(|| Chart {
        title,
        x_label: "examples seen in the run".into(),
        y_label,
        lines,
        separators: separators(summary),
        zero: false,
        size,
    })
}

const BANDS: &str = "Bands are ±2 standard errors of the change since the stage began, prompt by prompt; vertical \
                     lines are beginnings of stages";

fn levels(summary: &Summary) -> Plan {
    let quantities: Vec<Quantity> =
        summary.kinds.iter().map(|k| Quantity::Of(Measure::Logp, &k.name)).collect();
    let charts = summary.kinds.iter().zip(&quantities).filter_map(|(kind, quantity)| {
        let lines = [(kind.symbol.clone(), style(&kind.name), *quantity)];
        timeline(summary, kind.name.clone(), "log π, nats".into(), &lines, SMALL)
    });
    let charts: Vec<Chart> = charts.collect();
    let caption = format!(
        "Mean log π(y) over the run, a scale for each kind; {}. {BANDS}.",
        prompts(curves_of(summary, &quantities))
    );
    Plan { id: "levels", title: "Every kind on its own scale", caption, charts }
}

fn margin(summary: &Summary) -> Plan {
    let quantities = [Quantity::Margin(Measure::Logp), Quantity::Margin(Measure::LogpMean)];
    let charts = quantities.iter().filter_map(|q| {
        let unit = q.measure().unit();
        let lines = [("margin".to_string(), style("chosen"), *q)];
        timeline(summary, format!("Margin, {unit}"), format!("margin, {unit}"), &lines, LARGE)
    });
    let charts = charts.collect();
    let caption = format!(
        "Margin log π(y⁺) − log π(y⁻), of sums and of means per token; {}. {BANDS}.",
        prompts(curves_of(summary, &quantities))
    );
    Plan { id: "margin", title: "Margin", caption, charts }
}

fn greedy(summary: &Summary) -> Plan {
    let quantities: Vec<Quantity> = CONTEXTS.iter().map(|k| Quantity::Of(Measure::Greedy, k)).collect();
    let charts = CONTEXTS.iter().filter_map(|kind| {
        let lines = [
            ("argmax".to_string(), plain(1), Quantity::Of(Measure::Greedy, kind)),
            (symbol(kind).to_string(), plain(0), Quantity::Of(Measure::Logp, kind)),
        ];
        let title = format!("Contexts of {}", symbol(kind).replace('_', " "));
        timeline(summary, title, "Σ log π, nats".into(), &lines, SMALL)
    });
    let charts = charts.collect();
    let caption = format!(
        "Greedy confidence Σ log max π (argmax) and log π of the response itself, over the same tokens, \
         teacher-forced, in three contexts; {}. Within a chart the two levels compare; between charts they do \
         not. {BANDS}.",
        prompts(curves_of(summary, &quantities))
    );
    Plan { id: "greedy", title: "Greedy confidence by context", caption, charts }
}

fn ledger(summary: &Summary) -> Plan {
    let quantities: Vec<Quantity> = CONTEXTS.iter().map(|k| Quantity::Of(Measure::LabelMass, k)).collect();
    let charts = CONTEXTS.iter().filter_map(|kind| {
        let lines = [
            ("argmax".to_string(), plain(1), Quantity::Of(Measure::ArgmaxMass, kind)),
            ("label".to_string(), plain(0), Quantity::Of(Measure::LabelMass, kind)),
            ("mean".to_string(), style(""), Quantity::Of(Measure::LabelMean, kind)),
            ("rest".to_string(), plain(2), Quantity::Of(Measure::RestMass, kind)),
        ];
        let title = format!("Contexts of {}", symbol(kind).replace('_', " "));
        timeline(summary, title, "probability".into(), &lines, SMALL)
    });
    let charts = charts.collect();
    let caption = format!(
        "Probability per token position, teacher-forced. Argmax, label and rest (what is outside the argmax) are \
         geometric means over the tokens of a response, exp(Σ log / tokens), because the records hold sums of \
         logarithms: label stays below argmax, and they do not add up to 1. Mean is the arithmetic mean of the \
         label's probability, 1 − energy; where it stands far above label, a few tokens are very unlikely. Means over responses; {}. {BANDS}.",
        prompts(curves_of(summary, &quantities))
    );
    Plan { id: "ledger", title: "Mass ledger", caption, charts }
}

fn shape(summary: &Summary) -> Plan {
    let measures = [
        (Measure::ANorm, "‖A‖, Frobenius norm"),
        (Measure::GapNorm, "‖π − e‖, distance to the label"),
        (Measure::Entropy, "Entropy, nats/token"),
    ];
    let quantities: Vec<Quantity> = CONTEXTS.iter().map(|k| Quantity::Of(Measure::ANorm, k)).collect();
    let charts = measures.iter().filter_map(|&(measure, title)| {
        let lines = CONTEXTS.map(|kind| (symbol(kind).to_string(), style(kind), Quantity::Of(measure, kind)));
        let y_label = if measure == Measure::Entropy { "nats/token" } else { "norm" };
        timeline(summary, title.to_string(), y_label.into(), &lines, SMALL)
    });
    let charts = charts.collect();
    let v = summary.run.vocab_size as f64;
    let caption = format!(
        "Mean over the tokens of a response in three contexts. ‖A‖ = √(V‖π‖² + V − 2) lies between {:.1} (uniform) \
         and {:.1} (one-hot) for V = {}; {}. {BANDS}.",
        (v - 1.0).max(0.0).sqrt(),
        (2.0 * v - 2.0).max(0.0).sqrt(),
        count(summary.run.vocab_size),
        prompts(curves_of(summary, &quantities))
    );
    Plan { id: "shape", title: "Peakiness of the distribution", caption, charts }
}

/// Training metrics that share a chart.
struct Panel {
    title: &'static str,
    y_label: &'static str,
    /// Names in the records with the lines' labels.
    lines: &'static [(&'static str, &'static str)],
}

const PANELS: [Panel; 6] = [
    Panel { title: "loss", y_label: "loss", lines: &[("loss", "loss")] },
    Panel { title: "gradient norm", y_label: "norm before clipping", lines: &[("grad_norm", "norm")] },
    Panel { title: "learning rate", y_label: "learning rate", lines: &[("learning_rate", "rate")] },
    Panel {
        title: "rewards",
        y_label: "reward, nats",
        lines: &[
            ("rewards/chosen", "chosen"),
            ("rewards/rejected", "rejected"),
            ("rewards/margins", "margin"),
        ],
    },
    Panel {
        title: "reward accuracy",
        y_label: "pairs with positive margin",
        lines: &[("rewards/accuracies", "accuracy")],
    },
    Panel {
        title: "weights on the responses",
        y_label: "size of ∂loss / ∂log π",
        lines: &[("weight_chosen", "chosen"), ("weight_rejected", "rejected")],
    },
];

impl Panel {
    fn chart(&self, stage: &Stage) -> Option<Chart> {
        let line = |(i, (name, label)): (usize, &(&str, &str))| {
            let points = &stage.training.iter().find(|c| c.name == *name)?.points;
            let piece = points.iter().map(|&(x, y)| Sample { x: x as f64, y, band: 0.0 }).collect();
            Some(Line { label: (*label).into(), style: plain(i), pieces: vec![piece] })
        };
        let lines: Vec<Line> = self.lines.iter().enumerate().filter_map(line).collect();
        (!lines.is_empty()).then(|| Chart {
            title: format!("{}: {}", stage.name, self.title),
            x_label: "examples seen in the stage".into(),
            y_label: self.y_label.into(),
            lines,
            size: SMALL,
            ..Chart::default()
        })
    }
}

fn training(summary: &Summary) -> Plan {
    let charts: Vec<Chart> = summary
        .stages
        .iter()
        .flat_map(|stage| PANELS.iter().filter_map(|panel| panel.chart(stage)))
        .collect();
    let bins = summary.stages.iter().flat_map(|s| &s.training).map(|c| c.steps_per_point).max().unwrap_or(1);
    let thinned =
        if bins > 1 { format!(" Points are means over up to {bins} steps.") } else { String::new() };
    let caption = format!(
        "What the optimiser saw, step by step, over training batches (not the probe set). The reduction of each \
         loss stands with its stage above.{thinned}"
    );
    Plan { id: "training", title: "Training metrics", caption, charts }
}

/// Accumulated influence: Σ predicted (dashed) beside Σ measured for each kind.
fn accumulated(summary: &Summary) -> Plan {
    let mut charts = Vec::new();
    for gauge in &summary.gauges {
        for kind in &gauge.kinds {
            let line = |label: &str, column: usize, dash| {
                let piece = std::iter::once(&[0.0; 3]).chain(&kind.points);
                let piece = piece.map(|p| Sample { x: p[0], y: p[column], band: 0.0 }).collect();
                Line { label: label.into(), style: Style { dash, ..style(&kind.kind) }, pieces: vec![piece] }
            };
            charts.push(Chart {
                title: format!("{} in {}", symbol(&kind.kind), gauge.stage),
                x_label: "examples".into(),
                y_label: "Δ log π, nats".into(),
                lines: vec![line("measured", 2, SOLID), line("predicted", 1, DASHES[1])],
                zero: true,
                size: SMALL,
                ..Chart::default()
            });
        }
    }
    let words: Vec<String> =
        summary.gauges.iter().map(|g| format!("Stage {}: {}", g.stage, g.words())).collect();
    Plan {
        id: "gauge",
        title: "Predicted and measured",
        caption: format!(
            "Accumulated influence: at the start of every window of steps a Jacobian–vector product along the change of the \
             weights predicts Δ log π of every response to first order; the predictions are added up and shown beside what \
             was measured, means over n = {} prompts. {}",
            summary.gauges.iter().flat_map(|g| &g.kinds).map(|k| k.n).max().unwrap_or(0),
            words.join(" ")
        ),
        charts,
    }
}
