//! Greedy answers to probed prompts, and how much they repeat themselves.

use super::When;
use crate::data::{TokenizedRecord, Tokenizer};
use crate::generate::{Prompt, Sampling, Stop, generate};
use crate::model::Model;
use crate::record::AnswerRow;
use anyhow::Result;
use ldyn_core::diagnostics::{distinct_n, longest_loop, repetition};

/// Answers the prompts of `records` greedily, up to `max_new_tokens` each: a row a prompt that leaves
/// the model room for an answer.
///
/// # Errors
/// As [`generate`]; tokens without a text.
pub fn answers(
    model: &Model,
    tokenizer: &Tokenizer,
    records: &[TokenizedRecord],
    when: &When,
    max_new_tokens: usize,
) -> Result<Vec<AnswerRow>> {
    let answered: Vec<&TokenizedRecord> =
        records.iter().filter(|r| !r.prompt.is_empty() && r.prompt.len() < model.max_positions()).collect();
    let prompts: Vec<Prompt> =
        answered.iter().map(|r| Prompt { ids: &r.prompt, stream: r.example }).collect();
    let sampling = Sampling { max_new_tokens, temperature: 0.0, ..Sampling::default() };
    let answers = generate(model, &prompts, &Stop::at(tokenizer.eos_id()), &sampling)?;
    answered
        .iter()
        .zip(answers)
        .map(|(record, ids)| {
            let ended = ids.last() == Some(&tokenizer.eos_id());
            let answer = &ids[..ids.len() - usize::from(ended)];
            let looped = longest_loop(answer).map_or(0, |found| found.len);
            Ok(AnswerRow {
                stage: when.stage.clone(),
                step: when.step,
                examples_seen: when.examples_seen,
                example: record.example,
                n_tokens: answer.len(),
                ended,
                repetition: repetition(answer, 4)?,
                distinct: distinct_n(answer, 2)?,
                looped: looped as f64 / answer.len().max(1) as f64,
                text: tokenizer.decode(answer)?,
            })
        })
        .collect()
}
