//! Charts of what the model would say: the calibration of its greedy choice, and its greedy answers.

use super::answers::{ANSWERS_COMPARED, AnswerPoint, Answers, WORDS_COMPARED};
use super::calibration::{Calibration, CalibrationPoint};
use super::charts::{DASHES, Plan, SMALL, plain};
use super::summary::Summary;
use super::svg::{Chart, Line, Sample, Style};

/// A reliability diagram and its numbers over time for each stage.
pub fn calibration(summary: &Summary) -> Plan {
    let charts = summary.calibrations.iter().flat_map(|c| [diagram(c), over_time(c)]);
    let words: Vec<String> =
        summary.calibrations.iter().map(|c| format!("Stage {}: {}", c.stage, c.words())).collect();
    Plan {
        id: "calibration",
        title: "Calibration of the greedy choice",
        caption: format!(
            "How sure the most likely token is, max π, and how often it is the label, over the tokens of y⁺ of all prompts \
             together, teacher-forced. A point of a reliability diagram is a bin of a tenth of the confidences that holds \
             tokens; on the dashed diagonal confidence is right, below it too high. Accuracy: share of tokens whose \
             argmax is the label. ECE: expected calibration error, the mean distance from the diagonal, weighted by \
             tokens. ± is one standard error over prompts, by leaving one out. {}",
            words.join(" ")
        ),
        charts: charts.collect(),
    }
}

fn diagram(calibration: &Calibration) -> Chart {
    let line = |label: &str, i: usize, point: &CalibrationPoint| {
        let piece = point.bins.iter().map(|b| sample(b.confidence, b.accuracy)).collect();
        Line { label: label.into(), style: plain(i), pieces: vec![piece] }
    };
    let diagonal = Line {
        label: "calibrated".into(),
        style: Style { colour: "--unknown", dash: DASHES[2] },
        pieces: vec![vec![sample(0.0, 0.0), sample(1.0, 1.0)]],
    };
    let ends = match calibration.points.len() {
        1 => vec![line("only probe", 0, calibration.start())],
        _ => vec![line("start", 1, calibration.start()), line("end", 0, calibration.end())],
    };
    let title = format!("Reliability in {}", calibration.stage);
    small(title, "confidence, max π", "accuracy", ends.into_iter().chain([diagonal]).collect())
}

fn over_time(calibration: &Calibration) -> Chart {
    type Read = fn(&CalibrationPoint) -> f64;
    const SHARES: [(&str, Read); 3] =
        [("accuracy", |p| p.accuracy), ("confidence", |p| p.confidence), ("ECE", |p| p.ece)];
    let line = |(i, (label, of)): (usize, &(&str, Read))| {
        let piece = calibration.points.iter().map(|p| sample(p.examples_seen as f64, of(p))).collect();
        Line { label: (*label).into(), style: plain(i), pieces: vec![piece] }
    };
    let title = format!("Calibration in {}", calibration.stage);
    small(title, SEEN, "share of tokens", SHARES.iter().enumerate().map(line).collect())
}

type Share = fn(&AnswerPoint) -> Option<f64>;

/// What an answer does to itself.
const OWN: [(&str, Share); 3] = [
    ("repeated", |p| Some(p.repetition)),
    ("distinct", |p| Some(p.distinct)),
    ("looped", |p| Some(p.looped)),
];
/// What it shares with others, and how much of it is new.
const SHARED: [(&str, Share); 3] =
    [("borrowed", |p| p.borrowed), ("phrases", |p| Some(p.phrase_ratio)), ("self-BLEU", |p| p.self_bleu)];

/// Two charts for each stage that has answers.
pub fn answers(summary: &Summary) -> Plan {
    let charts =
        summary.answers.iter().flat_map(|a| [shares(a, "answers", &OWN), shares(a, "likeness", &SHARED)]);
    let n = summary.answers.iter().flat_map(|a| &a.points).map(|p| p.n).max().unwrap_or(0);
    Plan {
        id: "answers",
        title: "Greedy answers",
        caption: format!(
            "Greedy answers to the first n = {n} probed prompts at every probe, means over answers; the answers are in \
             answers.jsonl. In tokens, as shares of the answer: repeated, 4-grams that occurred before; distinct, bigrams \
             that differ from one another; looped, the longest stretch that repeats itself; borrowed, 4-grams that y⁺ of \
             other probed questions have and neither the own prompt nor the own y⁺. Phrases of common language are borrowed \
             by all texts: look at the change. In words of the text, the first {WORDS_COMPARED} of each answer: phrases, \
             Lempel–Ziv phrases per word, 1 where no word comes twice and near 0 in a loop; self-BLEU of the first \
             {ANSWERS_COMPARED} answers, BLEU-4 of each against the others, 1 where all say the same."
        ),
        charts: charts.collect(),
    }
}

fn shares(stage: &Answers, what: &str, shares: &[(&str, Share)]) -> Chart {
    let line = |(i, (label, share)): (usize, &(&str, Share))| {
        let at = |p: &AnswerPoint| Some(sample(p.examples_seen as f64, share(p)?));
        let piece: Vec<Sample> = stage.points.iter().filter_map(at).collect();
        (!piece.is_empty()).then(|| Line { label: (*label).into(), style: plain(i), pieces: vec![piece] })
    };
    let title = format!("Stage {}: {what}", stage.stage);
    small(title, SEEN, "share", shares.iter().enumerate().filter_map(line).collect())
}

const SEEN: &str = "examples seen in the stage";

/// A small chart of numbers that begin at 0.
fn small(title: String, x_label: &str, y_label: &str, lines: Vec<Line>) -> Chart {
    let (x_label, y_label) = (x_label.into(), y_label.into());
    Chart { title, x_label, y_label, lines, zero: true, size: SMALL, ..Chart::default() }
}

fn sample(x: f64, y: f64) -> Sample {
    Sample { x, y, band: 0.0 }
}
