//! Which charts a report shows, and what their captions say.

use super::answer_charts::{answers, calibration};
use super::curves::{CONTEXTS, Curve, CurvePoint};
use super::quantity::{Measure, Quantity};
use super::summary::{Kind, Stage, Summary};
use super::svg::{Chart, Key, Line, Marker, Piece, Sample, Style, marker};
use super::text::{count, symbol};

/// Charts with one caption.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Anchor in a page, and the beginning of its files' names.
    pub id: String,
    /// Heading.
    pub title: String,
    /// What is drawn, with units and n.
    pub caption: String,
    /// The charts.
    pub charts: Vec<Chart>,
}

impl Figure {
    /// Whether the charts are small multiples.
    pub fn is_small(&self) -> bool {
        self.charts.iter().all(|chart| chart.size == SMALL)
    }
}

/// Shown size of a chart beside one other.
pub const LARGE: (u32, u32) = (470, 345);
/// Shown size of a chart among others.
pub const SMALL: (u32, u32) = (380, 270);
/// Standard errors shown as a band, to each side.
const BAND: f64 = 2.0;
const SOLID: &str = "";
/// Dashes that tell lines of one colour apart.
pub const DASHES: [&str; 3] = [SOLID, "14 7", "4 6"];

/// Every figure that the records allow, in reading order.
pub fn figures(summary: &Summary) -> Vec<Figure> {
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
    all.into_iter().filter(|figure| !figure.charts.is_empty()).collect()
}

/// The colours of lines.
pub const LINE_COLOURS: [&str; 6] =
    ["--preferred", "--dispreferred", "--others", "--fluent", "--shuffled", "--unknown"];
const MARKERS: [Marker; 6] =
    [marker::UP, marker::DOWN, marker::ROUND, marker::DIAMOND, marker::SQUARE, marker::NONE];

/// The style of a family of lines and a member of it.
fn member(family: usize, member: usize) -> Style {
    Style { colour: LINE_COLOURS[family], dash: DASHES[member % DASHES.len()], marker: MARKERS[family] }
}

/// Colour and marker by family and dash within it, so that neither alone has to tell kinds apart.
pub fn style(kind: &str) -> Style {
    let (family, within) = match kind {
        "chosen" => (0, 0),
        "chosen_gptsemantic" => (0, 1),
        "chosen_gptformat" => (0, 2),
        "rejected" => (1, 0),
        "reject_gptsemantic" => (1, 1),
        "reject_gptformat" => (1, 2),
        "irr_train" => (2, 0),
        "irr_test" => (2, 1),
        "chosen_initial" => (3, 0),
        "irr_hum" => (3, 1),
        "random_permute" => (4, 0),
        "random_nonhum" => (4, 1),
        _ => (5, kind.bytes().map(usize::from).sum::<usize>()),
    };
    member(family, within)
}

/// Styles of a list, such as the runs of a comparison: another colour and marker for each, then another dash.
pub fn listed(i: usize) -> Style {
    const FAMILIES: usize = LINE_COLOURS.len() - 1;
    member(i % FAMILIES, i / FAMILIES)
}

/// Styles that only tell the lines of one chart apart.
pub fn plain(i: usize) -> Style {
    const FAMILIES: [usize; 3] = [0, 1, 4];
    Style { marker: marker::NONE, ..member(FAMILIES[i % FAMILIES.len()], i) }
}

/// The key of a kind's lines.
pub fn key(kind: &str) -> Key {
    Key::Kind(kind.to_owned())
}

/// What is drawn of a curve, `after` examples of earlier stages.
fn piece(stage: &Stage, curve: &Curve, after: usize, read: fn(&CurvePoint) -> Sample) -> Piece {
    let sample = |p: &CurvePoint| Sample {
        x: (after + p.examples_seen) as f64,
        examples: Some(p.examples_seen),
        step: Some(p.step),
        n: Some(curve.n),
        ..read(p)
    };
    Piece { stage: stage.name.clone(), samples: curve.points.iter().map(sample).collect() }
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
) -> Figure {
    let quantities: Vec<Quantity> = summary.kinds.iter().map(|k| Quantity::Of(measure, &k.name)).collect();
    let line = |stage: &Stage, kind: &Kind| {
        let curve = stage.curve(Quantity::Of(measure, &kind.name))?;
        let change = |p: &CurvePoint| Sample { y: p.change, se: p.change_se, ..Sample::default() };
        Some(Line {
            label: kind.symbol.clone(),
            keys: vec![key(&kind.name)],
            style: style(&kind.name),
            pieces: vec![piece(stage, curve, 0, change)],
        })
    };
    let chart = |stage: &Stage| {
        let lines: Vec<Line> = summary.kinds.iter().filter_map(|kind| line(stage, kind)).collect();
        (!lines.is_empty()).then(|| Chart {
            name: stage.name.clone(),
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
        "Mean change of log π(y) since the start of each stage, {unit}. Prompt by prompt; {}.",
        prompts(curves_of(summary, &quantities))
    );
    Figure {
        id: id.into(),
        title: title.into(),
        caption,
        charts: summary.stages.iter().filter_map(chart).collect(),
    }
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

/// A line of a [`timeline`]: its label, its style, what it follows.
type Followed<'a> = (String, Style, Quantity<'a>);

/// `chart` over all stages with its lines; `None` when nothing in it was measured.
fn timeline(summary: &Summary, chart: Chart, followed: &[Followed]) -> Option<Chart> {
    let line = |(label, style, quantity): &Followed| {
        let mut begin = 0;
        let mut pieces = Vec::new();
        for stage in &summary.stages {
            if let Some(curve) = stage.curve(*quantity) {
                pieces.push(piece(stage, curve, begin, |p| Sample {
                    y: p.mean,
                    se: p.se,
                    band: BAND * p.change_se.unwrap_or(0.0),
                    ..Sample::default()
                }));
            }
            begin += stage.examples_seen;
        }
        let keys = quantity.kind().map(key).into_iter().collect();
        (!pieces.is_empty()).then(|| Line { label: label.clone(), keys, style: *style, pieces })
    };
    let lines: Vec<Line> = followed.iter().filter_map(line).collect();
    (!lines.is_empty()).then(|| Chart {
        x_label: "examples seen in the run".into(),
        lines,
        separators: separators(summary),
        ..chart
    })
}

const BANDS: &str = "Bands are ±2 standard errors of the change since the stage began, prompt by prompt; vertical \
                     lines are beginnings of stages";

fn levels(summary: &Summary) -> Figure {
    let quantities: Vec<Quantity> =
        summary.kinds.iter().map(|k| Quantity::Of(Measure::Logp, &k.name)).collect();
    let charts = summary.kinds.iter().zip(&quantities).filter_map(|(kind, quantity)| {
        let lines = [(kind.symbol.clone(), style(&kind.name), *quantity)];
        timeline(summary, small(&kind.name, kind.name.clone(), "log π, nats"), &lines)
    });
    let charts: Vec<Chart> = charts.collect();
    let caption = format!(
        "Mean log π(y) over the run, a scale for each kind; {}. {BANDS}.",
        prompts(curves_of(summary, &quantities))
    );
    Figure { id: "levels".into(), title: "Every kind on its own scale".into(), caption, charts }
}

fn margin(summary: &Summary) -> Figure {
    let quantities = [Quantity::Margin(Measure::Logp), Quantity::Margin(Measure::LogpMean)];
    let charts = quantities.iter().filter_map(|q| {
        let unit = q.measure().unit();
        let lines = [("margin".to_string(), style("chosen"), *q)];
        let (title, y_label) = (format!("Margin, {unit}"), format!("margin, {unit}"));
        let chart = Chart { name: q.measure().key().into(), title, y_label, size: LARGE, ..Chart::default() };
        timeline(summary, chart, &lines)
    });
    let charts = charts.collect();
    let caption = format!(
        "Margin log π(y⁺) − log π(y⁻), of sums and of means per token; {}. {BANDS}.",
        prompts(curves_of(summary, &quantities))
    );
    Figure { id: "margin".into(), title: "Margin".into(), caption, charts }
}

fn greedy(summary: &Summary) -> Figure {
    let quantities: Vec<Quantity> = CONTEXTS.iter().map(|k| Quantity::Of(Measure::Greedy, k)).collect();
    let charts = CONTEXTS.iter().filter_map(|kind| {
        let lines = [
            ("argmax".to_string(), plain(1), Quantity::Of(Measure::Greedy, kind)),
            (symbol(kind).to_string(), plain(0), Quantity::Of(Measure::Logp, kind)),
        ];
        timeline(summary, small(kind, format!("Contexts of {}", symbol(kind)), "Σ log π, nats"), &lines)
    });
    let charts = charts.collect();
    let caption = format!(
        "Greedy confidence Σ log max π (argmax) and log π of the response itself, over the same tokens, \
         teacher-forced, in three contexts; {}. Within a chart the two levels compare; between charts they do \
         not. {BANDS}.",
        prompts(curves_of(summary, &quantities))
    );
    Figure { id: "greedy".into(), title: "Greedy confidence by context".into(), caption, charts }
}

fn ledger(summary: &Summary) -> Figure {
    let quantities: Vec<Quantity> = CONTEXTS.iter().map(|k| Quantity::Of(Measure::LabelMass, k)).collect();
    let charts = CONTEXTS.iter().filter_map(|kind| {
        let lines = [
            ("argmax".to_string(), plain(1), Quantity::Of(Measure::ArgmaxMass, kind)),
            ("label".to_string(), plain(0), Quantity::Of(Measure::LabelMass, kind)),
            ("mean".to_string(), style(""), Quantity::Of(Measure::LabelMean, kind)),
            ("rest".to_string(), plain(2), Quantity::Of(Measure::RestMass, kind)),
        ];
        timeline(summary, small(kind, format!("Contexts of {}", symbol(kind)), "probability"), &lines)
    });
    let charts = charts.collect();
    let caption = format!(
        "Probability per token position, teacher-forced. Argmax, label and rest (what is outside the argmax) are \
         geometric means over the tokens of a response, exp(Σ log / tokens), because the records hold sums of \
         logarithms: label stays below argmax, and they do not add up to 1. Mean is the arithmetic mean of the \
         label's probability, 1 − energy; where it stands far above label, a few tokens are very unlikely. Means over responses; {}. {BANDS}.",
        prompts(curves_of(summary, &quantities))
    );
    Figure { id: "ledger".into(), title: "Mass ledger".into(), caption, charts }
}

fn shape(summary: &Summary) -> Figure {
    let measures = [
        (Measure::ANorm, "‖A‖, Frobenius norm"),
        (Measure::GapNorm, "‖π − e‖, distance to the label"),
        (Measure::Entropy, "Entropy, nats/token"),
    ];
    let quantities: Vec<Quantity> = CONTEXTS.iter().map(|k| Quantity::Of(Measure::ANorm, k)).collect();
    let charts = measures.iter().filter_map(|&(measure, title)| {
        let lines = CONTEXTS.map(|kind| (symbol(kind).to_string(), style(kind), Quantity::Of(measure, kind)));
        let y_label = if measure == Measure::Entropy { "nats/token" } else { "norm" };
        timeline(summary, small(measure.key(), title.to_string(), y_label), &lines)
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
    Figure { id: "shape".into(), title: "Peakiness of the distribution".into(), caption, charts }
}

/// A small chart without lines yet.
pub fn small(name: &str, title: String, y_label: &str) -> Chart {
    Chart { name: name.into(), title, y_label: y_label.into(), size: SMALL, ..Chart::default() }
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
            let curve = stage.training.iter().find(|c| c.name == *name)?;
            let sample = |(&(x, y), &step): (&(usize, f64), &usize)| Sample {
                x: x as f64,
                y,
                examples: Some(x),
                step: Some(step),
                ..Sample::default()
            };
            let samples = curve.points.iter().zip(&curve.steps).map(sample).collect();
            let pieces = vec![Piece { stage: stage.name.clone(), samples }];
            Some(Line { label: (*label).into(), keys: Vec::new(), style: plain(i), pieces })
        };
        let lines: Vec<Line> = self.lines.iter().enumerate().filter_map(line).collect();
        (!lines.is_empty()).then(|| Chart {
            x_label: "examples seen in the stage".into(),
            lines,
            ..small(
                &format!("{}-{}", stage.name, self.title),
                format!("{}: {}", stage.name, self.title),
                self.y_label,
            )
        })
    }
}

fn training(summary: &Summary) -> Figure {
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
    Figure { id: "training".into(), title: "Training metrics".into(), caption, charts }
}

/// Accumulated influence: Σ predicted (dashed) beside Σ measured for each kind.
fn accumulated(summary: &Summary) -> Figure {
    let mut charts = Vec::new();
    for gauge in &summary.gauges {
        for kind in &gauge.kinds {
            let line = |label: &str, column: usize, dash| {
                let start = std::iter::once((0, &[0.0; 3]));
                let windows = gauge.windows.iter().map(|w| w.step).zip(&kind.points);
                let sample = |(step, p): (usize, &[f64; 3])| Sample {
                    x: p[0],
                    y: p[column],
                    examples: Some(p[0] as usize),
                    step: Some(step),
                    n: Some(kind.n),
                    ..Sample::default()
                };
                let samples = start.chain(windows).map(sample).collect();
                Line {
                    label: label.into(),
                    keys: vec![key(&kind.kind)],
                    style: Style { dash, ..style(&kind.kind) },
                    pieces: vec![Piece { stage: gauge.stage.clone(), samples }],
                }
            };
            charts.push(Chart {
                x_label: "examples".into(),
                lines: vec![line("measured", 2, SOLID), line("predicted", 1, DASHES[1])],
                zero: true,
                ..small(
                    &format!("{}-{}", gauge.stage, kind.kind),
                    format!("{}: {}", gauge.stage, symbol(&kind.kind)),
                    "Δ log π, nats",
                )
            });
        }
    }
    let words: Vec<String> =
        summary.gauges.iter().map(|g| format!("Stage {}: {}", g.stage, g.words())).collect();
    Figure {
        id: "gauge".into(),
        title: "Predicted and measured".into(),
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
