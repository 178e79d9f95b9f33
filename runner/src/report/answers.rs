//! Greedy answers over a run: whether they come to repeat themselves.

use super::claims::{Check, SIGNIFICANT};
use super::text::with_error;
use crate::record::AnswerRow;
use crate::statistics::{Estimate, estimate, estimate_of_enough};
use serde::Serialize;
use std::collections::BTreeMap;

/// The answers of one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answers {
    /// Stage name.
    pub stage: String,
    /// Means over answers at each probe.
    pub points: Vec<AnswerPoint>,
    /// Change of the share of repeated 4-grams from the first probe to the last, prompt by prompt; absent for
    /// too few prompts.
    pub change: Option<Estimate>,
}

/// The answers of one probe: means over prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnswerPoint {
    /// Training examples consumed in the stage.
    pub examples_seen: usize,
    /// Answers.
    pub n: usize,
    /// Tokens.
    pub tokens: f64,
    /// Share of answers that ended by themselves.
    pub ended: f64,
    /// Share of 4-grams that occurred before.
    pub repetition: f64,
    /// Share of bigrams that differ from one another.
    pub distinct: f64,
    /// Longest stretch that repeats itself, as a share of the answer.
    pub looped: f64,
}

/// The answers of every stage that has some, in order of appearance.
pub fn answers(rows: &[AnswerRow]) -> Vec<Answers> {
    let mut stages: Vec<(&str, BTreeMap<usize, Vec<&AnswerRow>>)> = Vec::new();
    for row in rows {
        let stage = match stages.iter().position(|(stage, _)| *stage == row.stage) {
            Some(i) => i,
            None => {
                stages.push((&row.stage, BTreeMap::new()));
                stages.len() - 1
            }
        };
        stages[stage].1.entry(row.examples_seen).or_default().push(row);
    }
    stages
        .into_iter()
        .map(|(stage, probes)| Answers {
            stage: stage.to_owned(),
            change: change(&probes),
            points: probes.iter().map(|(examples_seen, rows)| point(*examples_seen, rows)).collect(),
        })
        .collect()
}

fn point(examples_seen: usize, rows: &[&AnswerRow]) -> AnswerPoint {
    let mean = |of: fn(&AnswerRow) -> f64| {
        estimate(&rows.iter().map(|row| of(row)).collect::<Vec<_>>()).map_or(0.0, |e| e.mean)
    };
    AnswerPoint {
        examples_seen,
        n: rows.len(),
        tokens: mean(|row| row.n_tokens as f64),
        ended: mean(|row| f64::from(u8::from(row.ended))),
        repetition: mean(|row| row.repetition),
        distinct: mean(|row| row.distinct),
        looped: mean(|row| row.looped),
    }
}

/// Last minus first, of the prompts that were answered both times.
fn change(probes: &BTreeMap<usize, Vec<&AnswerRow>>) -> Option<Estimate> {
    let (first, last) = (probes.first_key_value()?.1, probes.last_key_value()?.1);
    let of = |row: &AnswerRow| first.iter().find(|f| f.example == row.example).map(|f| f.repetition);
    let changes: Vec<f64> = last.iter().filter_map(|row| Some(row.repetition - of(row)?)).collect();
    estimate_of_enough(&changes).filter(|_| probes.len() > 1)
}

impl Answers {
    /// The claim that answers come to repeat themselves, checked.
    pub fn repeat_more(&self) -> Option<Check> {
        let change = self.change?;
        Some(Check {
            claim: REPEAT_MORE.into(),
            holds: change.mean > SIGNIFICANT * change.se.unwrap_or(f64::INFINITY),
            measured: format!("{} over {} greedy answers", with_error(&change, 3), change.n),
            estimate: Some(change),
            per_token: None,
        })
    }
}

/// What is claimed of answers.
pub const REPEAT_MORE: &str = "the share of repeated 4-grams in greedy answers rises from start to end";

#[cfg(test)]
mod tests {
    use super::*;

    fn row(examples_seen: usize, example: usize, repetition: f64) -> AnswerRow {
        AnswerRow {
            stage: "dpo".into(),
            examples_seen,
            example,
            repetition,
            n_tokens: 8,
            ..Default::default()
        }
    }

    #[test]
    fn repetition_is_compared_prompt_by_prompt() {
        // Every prompt repeats a tenth more at the end; their levels differ by far more.
        let first = (0..6).map(|i| row(0, i, 0.1 * i as f64));
        let last = (0..6).map(|i| row(100, i, 0.1 * i as f64 + if i == 0 { 0.11 } else { 0.1 }));
        let rows: Vec<AnswerRow> = first.clone().chain(last).collect();
        let found = answers(&rows).remove(0);
        assert_eq!((found.points.len(), found.points[1].n), (2, 6));
        let check = found.repeat_more().unwrap();
        assert!(check.holds && (check.estimate.unwrap().mean - 0.101_666).abs() < 1e-5, "{check:?}");
        // The same answers twice repeat themselves no more; one probe tells nothing.
        let still: Vec<AnswerRow> =
            first.clone().chain((0..6).map(|i| row(100, i, 0.1 * i as f64))).collect();
        assert!(!answers(&still)[0].repeat_more().unwrap().holds);
        assert!(answers(&first.collect::<Vec<_>>())[0].repeat_more().is_none());
    }
}
