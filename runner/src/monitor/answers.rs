//! The rule on greedy answers.

use super::sweep::{Moment, above_zero};
use super::{Found, number, plain};
use crate::config::Limits;
use crate::record::{AnswerRow, Number};
use crate::statistics::{Estimate, estimate_of_enough};
use serde::{Deserialize, Serialize};

/// Probes in a row that a degeneration must last.
const IN_A_ROW: usize = 2;

/// The first answers of a stage, and for how long the last ones have been worse.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Answers {
    first: Vec<AnswerRow>,
    worse: usize,
    before: Moment,
}

type Read = fn(&AnswerRow) -> f64;

/// Shares that must not rise, each from 0 to 1, and whether they are about length.
const SHARES: [(&str, Read, bool); 3] = [
    ("share of repeated 4-grams in greedy answers", |a| a.repetition, false),
    ("share of greedy answers that loops take up", |a| a.looped, false),
    ("share of empty greedy answers", |a| f64::from(u8::from(a.n_tokens == 0)), true),
];

impl Answers {
    /// Takes in the answers of a probe.
    pub fn degenerate(
        &mut self,
        at: Moment,
        now: &[AnswerRow],
        lengths: bool,
        limits: &Limits,
    ) -> Option<Found> {
        if self.first.is_empty() {
            self.first = now.to_vec();
            return None;
        }
        let numbers = self.worse_than_first(now, lengths, limits);
        if numbers.is_empty() {
            self.worse = 0;
            self.before = at;
            return None;
        }
        self.worse += 1;
        (self.worse >= IN_A_ROW).then_some(Found { since: self.before, kind: None, numbers })
    }

    fn worse_than_first(&self, now: &[AnswerRow], lengths: bool, limits: &Limits) -> Vec<Number> {
        let shares = SHARES.iter().filter(|(.., length)| lengths || !length);
        let mut numbers: Vec<Number> = shares
            .filter_map(|(what, of, _)| {
                let change = self.change(now, *of)?;
                (change.mean > limits.repetition && above_zero(&change, limits))
                    .then(|| number(format!("{what}, against the first probe"), &change, ""))
            })
            .collect();
        if lengths && let Some(e) = self.change(now, |a| a.n_tokens as f64) {
            let first = self.first.iter().map(|a| a.n_tokens as f64).sum::<f64>() / self.first.len() as f64;
            if first + e.mean > limits.lengthening * first && above_zero(&e, limits) {
                numbers.push(number("length against the first probe", &e, "tokens"));
                numbers.push(plain("from", first, "tokens"));
            }
        }
        numbers
    }

    fn change(&self, now: &[AnswerRow], of: Read) -> Option<Estimate> {
        let before = |a: &AnswerRow| self.first.iter().find(|f| f.example == a.example).map(of);
        let changes: Vec<f64> = now.iter().filter_map(|a| Some(of(a) - before(a)?)).collect();
        estimate_of_enough(&changes)
    }
}
