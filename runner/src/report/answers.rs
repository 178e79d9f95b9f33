//! Greedy answers over a run: whether they come to repeat themselves, one another, and the answers to other questions.

use super::claims::{Check, SIGNIFICANT};
use super::text::{count, number, with_error};
use crate::record::AnswerRow;
use crate::statistics::{Estimate, estimate, estimate_of_enough};
use ldyn_core::diagnostics::{phrase_ratio, self_bleu};
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
    /// The same of the share of borrowed 4-grams; absent in older records too.
    pub borrowed_change: Option<Estimate>,
}

/// Most answers of a probe that self-BLEU compares: the first ones, in the order of the data.
pub const ANSWERS_COMPARED: usize = 32;
/// Most words of an answer that self-BLEU and the phrase ratio read.
pub const WORDS_COMPARED: usize = 128;

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
    /// Share of 4-grams that occur in y⁺ of other probed questions, and in neither the own prompt nor the own y⁺; a
    /// mean over the answers that tell it, absent where none does.
    pub borrowed: Option<f64>,
    /// Lempel–Ziv phrases per word of the text: 1 where no word comes twice, near 0 in a loop.
    pub phrase_ratio: f64,
    /// Self-BLEU of the answers' words, up to 4-grams: how alike answers to different questions are; absent for
    /// fewer than two answers.
    pub self_bleu: Option<f64>,
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
            change: change(&probes, |row| Some(row.repetition)),
            borrowed_change: change(&probes, |row| row.borrowed),
            points: probes.iter().map(|(examples_seen, rows)| point(*examples_seen, rows)).collect(),
        })
        .collect()
}

/// The records hold no tokens of an answer but its text, so that what is made here is made of its words: what stands
/// between white space.
fn words(row: &AnswerRow) -> Vec<&str> {
    row.text.split_whitespace().take(WORDS_COMPARED).collect()
}

fn likeness(rows: &[&AnswerRow]) -> Option<f64> {
    let mut first = rows.to_vec();
    first.sort_by_key(|row| row.example);
    let texts: Vec<Vec<&str>> = first.iter().take(ANSWERS_COMPARED).map(|row| words(row)).collect();
    self_bleu(&texts, 4).ok()
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
        borrowed: estimate(&rows.iter().filter_map(|row| row.borrowed).collect::<Vec<_>>()).map(|e| e.mean),
        phrase_ratio: mean(|row| phrase_ratio(&words(row))),
        self_bleu: likeness(rows),
    }
}

/// Last minus first, of the prompts that were answered both times.
fn change(probes: &BTreeMap<usize, Vec<&AnswerRow>>, of: fn(&AnswerRow) -> Option<f64>) -> Option<Estimate> {
    let (first, last) = (probes.first_key_value()?.1, probes.last_key_value()?.1);
    let before = |row: &AnswerRow| first.iter().find(|f| f.example == row.example).and_then(|f| of(f));
    let changes: Vec<f64> = last.iter().filter_map(|row| Some(of(row)? - before(row)?)).collect();
    estimate_of_enough(&changes).filter(|_| probes.len() > 1)
}

impl Answers {
    /// The claim that answers come to repeat themselves, checked.
    pub fn repeat_more(&self) -> Option<Check> {
        Some(rises(REPEAT_MORE, self.change?))
    }

    /// The claim that answers come to borrow from the answers to other questions, checked.
    pub fn borrow_more(&self) -> Option<Check> {
        Some(rises(BORROW_MORE, self.borrowed_change?))
    }

    /// From the first probe to the last, in words.
    pub fn words(&self) -> String {
        let (first, last) = (&self.points[0], &self.points[self.points.len() - 1]);
        let went = |what: &str, of: fn(&AnswerPoint) -> Option<f64>, decimals| {
            let (from, to) = (of(first)?, of(last)?);
            Some(format!("{what} {} → {}", number(from, decimals), number(to, decimals)))
        };
        let parts = [
            went("tokens", |p| Some(p.tokens), 1),
            went("ended by themselves", |p| Some(p.ended), 3),
            went("repeated 4-grams", |p| Some(p.repetition), 3),
            went("distinct bigrams", |p| Some(p.distinct), 3),
            went("looped", |p| Some(p.looped), 3),
            went("phrases per word", |p| Some(p.phrase_ratio), 3),
            went("self-BLEU", |p| p.self_bleu, 3),
            went("borrowed 4-grams", |p| p.borrowed, 3),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{} answers at the last probe; {}.", count(last.n), parts.join(", "))
    }
}

fn rises(claim: &str, change: Estimate) -> Check {
    Check {
        claim: claim.into(),
        holds: change.mean > SIGNIFICANT * change.se.unwrap_or(f64::INFINITY),
        measured: format!("{} over {} greedy answers", with_error(&change, 3), change.n),
        estimate: Some(change),
        per_token: None,
    }
}

/// What is claimed of answers.
pub const REPEAT_MORE: &str = "the share of repeated 4-grams in greedy answers rises from start to end";

/// What is claimed of borrowing.
pub const BORROW_MORE: &str = "the share of 4-grams in greedy answers that occur in y⁺ of other probed questions, and in \
                               neither their own prompt nor their own y⁺, rises from start to end";

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

    #[test]
    fn borrowing_is_measured_only_where_it_was_recorded() {
        let borrowing = |examples_seen, example: usize, borrowed| AnswerRow {
            borrowed,
            ..row(examples_seen, example, 0.0)
        };
        let rows = |first: Option<f64>, last: Option<f64>| -> Vec<AnswerRow> {
            let more = |i: usize, share: Option<f64>| share.map(|s| s + 0.01 * i as f64);
            let first = (0..6).map(|i| borrowing(0, i, more(i, first)));
            first.chain((0..6).map(|i| borrowing(100, i, more(i % 3, last)))).collect()
        };
        let check = |first, last| answers(&rows(first, last))[0].borrow_more();
        // Changes of 0.2 for three prompts and of 0.17 for the others.
        let rises = check(Some(0.1), Some(0.3)).unwrap();
        assert!(rises.holds && (rises.estimate.unwrap().mean - 0.185).abs() < 1e-12, "{rises:?}");
        assert!(!check(Some(0.3), Some(0.1)).unwrap().holds);
        assert!(!check(Some(0.1), Some(0.115)).unwrap().holds, "within the spread over prompts");
        assert_eq!((check(None, None), check(None, Some(0.3))), (None, None));
        let old = answers(&rows(None, None)).remove(0);
        assert_eq!(old.points[0].borrowed, None);
        assert!(!old.words().contains("borrowed"));
        assert!(answers(&rows(Some(0.1), Some(0.3)))[0].words().contains("borrowed 4-grams 0.125 → 0.310"));
    }

    #[test]
    fn likeness_and_phrases_are_those_of_the_words() {
        let said = |example, text: &str| AnswerRow { text: text.into(), ..row(0, example, 0.0) };
        let same: Vec<AnswerRow> = (0..3).map(|i| said(i, "I do not  know that\n")).collect();
        let point = &answers(&same)[0].points[0];
        assert_eq!((point.self_bleu, point.phrase_ratio), (Some(1.0), 1.0));
        // Ten times a word: the word, and the copy of all before it.
        let looped = [said(0, &"ha ".repeat(10)), said(1, "one two three four")];
        let point = &answers(&looped)[0].points[0];
        assert_eq!((point.self_bleu, point.phrase_ratio), (Some(0.0), 0.6));
        assert_eq!(answers(&same[..1])[0].points[0].self_bleu, None);
        // Answers beyond the first, by prompt, are not compared; words beyond the first are not read.
        let mut many: Vec<AnswerRow> =
            (0..ANSWERS_COMPARED).map(|i| said(i, "the same words here")).collect();
        many.insert(0, said(ANSWERS_COMPARED, "others"));
        assert_eq!(answers(&many)[0].points[0].self_bleu, Some(1.0));
        let long: Vec<String> = (0..2 * WORDS_COMPARED).map(|i| (i % WORDS_COMPARED).to_string()).collect();
        assert_eq!(answers(&[said(0, &long.join(" "))])[0].points[0].phrase_ratio, 1.0);
    }
}
