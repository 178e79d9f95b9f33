//! Greedy answers to probed prompts: how much they repeat themselves, and borrow from other questions.

use super::When;
use crate::data::{TokenizedRecord, Tokenizer};
use crate::generate::{Prompt, Sampling, Stop, generate};
use crate::model::Model;
use crate::record::AnswerRow;
use anyhow::Result;
use ldyn_core::diagnostics::{borrowed, distinct_n, longest_loop, repetition};

/// Tokens of a phrase that can be repeated or borrowed.
const PHRASE: usize = 4;

/// Answers the prompts of the first `most` of `probes` greedily, up to `max_new_tokens` each: a row a prompt that
/// leaves the model room for an answer. What an answer borrows is looked for in y⁺ of all other `probes`.
///
/// # Errors
/// As [`generate`]; tokens without a text.
pub fn answers(
    model: &Model,
    tokenizer: &Tokenizer,
    probes: &[TokenizedRecord],
    most: usize,
    when: &When,
    max_new_tokens: usize,
) -> Result<Vec<AnswerRow>> {
    let room = |r: &&TokenizedRecord| !r.prompt.is_empty() && r.prompt.len() < model.max_positions();
    let answered: Vec<&TokenizedRecord> = probes.iter().take(most).filter(room).collect();
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
                repetition: repetition(answer, PHRASE)?,
                distinct: distinct_n(answer, 2)?,
                looped: looped as f64 / answer.len().max(1) as f64,
                borrowed: from_others(answer, record, probes)?,
                text: tokenizer.decode(answer)?,
            })
        })
        .collect()
}

/// Share of the phrases of `answer` that y⁺ of other questions have, and neither the own prompt nor the own y⁺;
/// `None` where no other question has a y⁺.
fn from_others(answer: &[u32], own: &TokenizedRecord, probes: &[TokenizedRecord]) -> Result<Option<f64>> {
    let others: Vec<&[u32]> = probes.iter().filter(|r| r.prompt != own.prompt).filter_map(chosen).collect();
    if others.is_empty() {
        return Ok(None);
    }
    let excluded: Vec<&[u32]> = chosen(own).into_iter().chain([own.prompt.as_slice()]).collect();
    Ok(Some(borrowed(answer, &others, &excluded, PHRASE)?))
}

fn chosen(record: &TokenizedRecord) -> Option<&[u32]> {
    record.responses.iter().find(|(kind, _)| kind == "chosen").map(|(_, ids)| ids.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(example: usize, prompt: &[u32], chosen: &[u32]) -> TokenizedRecord {
        let responses = vec![("rejected".into(), vec![9, 9, 9, 9]), ("chosen".into(), chosen.to_vec())];
        TokenizedRecord { example, prompt: prompt.to_vec(), responses }
    }

    #[test]
    fn phrases_of_other_questions_are_borrowed_and_those_of_the_own_are_not() {
        let probes = [
            question(0, &[1, 2, 3, 4, 5], &[11, 12, 13, 14, 0]),
            question(1, &[6], &[21, 22, 23, 24, 25, 0]),
            question(2, &[7], &[1, 2, 3, 4, 0]),
            question(3, &[1, 2, 3, 4, 5], &[31, 32, 33, 34, 0]),
        ];
        let share = |answer: &[u32]| from_others(answer, &probes[0], &probes).unwrap();
        // Two phrases, both of question 1.
        assert_eq!(share(&[21, 22, 23, 24, 25]), Some(1.0));
        // One of two.
        assert_eq!(share(&[8, 22, 23, 24, 25]), Some(0.5));
        // The own answer; the own prompt, which question 2 answers with; the same question once more; another y⁻.
        for own in [[11, 12, 13, 14], [1, 2, 3, 4], [31, 32, 33, 34], [9, 9, 9, 9]] {
            assert_eq!(share(&own), Some(0.0), "{own:?}");
        }
        assert_eq!(from_others(&[1, 2, 3, 4], &probes[0], &probes[..1]).unwrap(), None);
        let without = [probes[0].clone(), TokenizedRecord { responses: Vec::new(), ..probes[1].clone() }];
        assert_eq!(from_others(&[1, 2, 3, 4], &without[0], &without).unwrap(), None);
    }
}
