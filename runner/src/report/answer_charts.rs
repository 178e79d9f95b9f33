//! Charts of what the model would say: the calibration of its greedy choice, and its greedy answers.

use super::answers::{ANSWERS_COMPARED, AnswerPoint, Answers, WORDS_COMPARED};
use super::calibration::{Calibration, CalibrationPoint, ReliabilityBin};
use super::charts::{DASHES, Figure, plain, small};
use super::summary::Summary;
use super::svg::{Chart, Line, Piece, Sample, Style, marker};

/// A reliability diagram and its numbers over time for each stage.
pub fn calibration(summary: &Summary) -> Figure {
    let charts = summary.calibrations.iter().flat_map(|c| [diagram(c), over_time(summary, c)]);
    let words: Vec<String> =
        summary.calibrations.iter().map(|c| format!("Stage {}: {}", c.stage, c.words())).collect();
    Figure {
        id: "calibration".into(),
        title: "Calibration of the greedy choice".into(),
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
    let line = |label: &str, style: Style, samples| Line {
        label: label.into(),
        style,
        pieces: vec![Piece { stage: calibration.stage.clone(), samples }],
        ..Line::default()
    };
    let of = |label: &str, i: usize, point: &CalibrationPoint| {
        let bin = |b: &ReliabilityBin| Sample { n: Some(b.tokens), ..sample(b.confidence, b.accuracy) };
        line(label, plain(i), point.bins.iter().map(bin).collect())
    };
    let diagonal = Style { colour: "--unknown", dash: DASHES[2], marker: marker::NONE };
    let diagonal = line("calibrated", diagonal, vec![sample(0.0, 0.0), sample(1.0, 1.0)]);
    let ends = match calibration.points.len() {
        1 => vec![of("only probe", 0, calibration.start())],
        _ => vec![of("start", 1, calibration.start()), of("end", 0, calibration.end())],
    };
    let title = format!("Reliability in {}", calibration.stage);
    Chart {
        x_label: "confidence, max π".into(),
        lines: ends.into_iter().chain([diagonal]).collect(),
        zero: true,
        ..small(&format!("{}-reliability", calibration.stage), title, "accuracy")
    }
}

fn over_time(summary: &Summary, calibration: &Calibration) -> Chart {
    type Read = fn(&CalibrationPoint) -> f64;
    const SHARES: [(&str, Read); 3] =
        [("accuracy", |p| p.accuracy), ("confidence", |p| p.confidence), ("ECE", |p| p.ece)];
    let stage = &calibration.stage;
    let line = |(i, (label, of)): (usize, &(&str, Read))| {
        let seen = |p: &CalibrationPoint| seen(summary, stage, p.examples_seen, calibration.n, of(p));
        seen_line(label, i, stage, calibration.points.iter().map(seen).collect())
    };
    let chart = small(&format!("{stage}-over-time"), format!("Calibration in {stage}"), "share of tokens");
    Chart { x_label: SEEN.into(), lines: SHARES.iter().enumerate().map(line).collect(), zero: true, ..chart }
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
pub fn answers(summary: &Summary) -> Figure {
    let charts = summary
        .answers
        .iter()
        .flat_map(|a| [shares(summary, a, "answers", &OWN), shares(summary, a, "likeness", &SHARED)]);
    let n = summary.answers.iter().flat_map(|a| &a.points).map(|p| p.n).max().unwrap_or(0);
    Figure {
        id: "answers".into(),
        title: "Greedy answers".into(),
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

fn shares(summary: &Summary, answers: &Answers, what: &str, shares: &[(&str, Share)]) -> Chart {
    let stage = &answers.stage;
    let line = |(i, (label, share)): (usize, &(&str, Share))| {
        let at = |p: &AnswerPoint| Some(seen(summary, stage, p.examples_seen, p.n, share(p)?));
        let samples: Vec<Sample> = answers.points.iter().filter_map(at).collect();
        (!samples.is_empty()).then(|| seen_line(label, i, stage, samples))
    };
    let chart = small(&format!("{stage}-{what}"), format!("Stage {stage}: {what}"), "share");
    Chart {
        x_label: SEEN.into(),
        lines: shares.iter().enumerate().filter_map(line).collect(),
        zero: true,
        ..chart
    }
}

const SEEN: &str = "examples seen in the stage";

fn seen_line(label: &str, i: usize, stage: &str, samples: Vec<Sample>) -> Line {
    let pieces = vec![Piece { stage: stage.to_owned(), samples }];
    Line { label: label.into(), style: plain(i), pieces, ..Line::default() }
}

/// A number of a probe.
fn seen(summary: &Summary, stage: &str, examples: usize, n: usize, y: f64) -> Sample {
    let step = summary.stages.iter().find(|s| s.name == stage).and_then(|s| s.step_at(examples));
    Sample { examples: Some(examples), step, n: Some(n), ..sample(examples as f64, y) }
}

fn sample(x: f64, y: f64) -> Sample {
    Sample { x, y, ..Sample::default() }
}
