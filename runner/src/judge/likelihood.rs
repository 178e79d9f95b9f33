//! A local model as judge: the answer that it finds more likely.

use super::{Judged, Pair};
use crate::data::{EosInText, Lengths, Record, Tokenizer, tokenize};
use crate::model::Model;
use crate::score::{self, Item};
use anyhow::{Context, Result, bail, ensure};
use ldyn_core::diagnostics::ResponseStats;
use serde::Serialize;

/// What is compared of two answers of different lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// log π(y | x) / L, nats per token: the sum falls with every token, so that it would favour the shorter
    /// answer nearly always. The mean has a bias of its own, to answers that repeat themselves.
    #[default]
    Mean,
    /// log π(y | x), nats: the probability of the answer itself.
    Sum,
}

/// Judges pairs by their likelihood under `model`, EOS included. Returns also what a reader of the numbers needs
/// to know. Long prompts lose their beginning, long answers their end, and with it EOS, where the model's
/// positions do not suffice.
///
/// Each answer is scored by itself, so there is no order to depend on; equal answers are a tie.
///
/// # Errors
/// An empty prompt, a model that gives no number.
pub fn by_likelihood(
    pairs: &[Pair],
    model: &Model,
    tokenizer: &Tokenizer,
    normalise: Normalise,
) -> Result<(Vec<Judged>, Vec<String>)> {
    let positions = model.max_positions();
    let lengths = Lengths { max_length: positions, max_prompt_length: positions / 2, ..Lengths::default() };
    // Special tokens in a text become their ids, as in generation.
    let (tokenized, cut) =
        tokenize(&pairs.iter().map(record).collect::<Vec<_>>(), tokenizer, &lengths, EosInText::Allow)?;
    if let Some(record) = tokenized.iter().find(|r| r.prompt.is_empty()) {
        bail!("line {} of A: the prompt is empty, and a likelihood needs one", record.example + 1)
    }
    let items: Vec<Item> = tokenized.iter().map(Item::from).collect();
    let likelihood = |stats: &ResponseStats| {
        let likelihood = match normalise {
            Normalise::Mean => stats.logp_mean,
            Normalise::Sum => stats.logp,
        };
        ensure!(
            likelihood.is_finite(),
            "the likelihood of an answer is {likelihood}: are the weights sound?"
        );
        Ok(likelihood)
    };
    let scores = score::score(model, &items)?;
    let judged = pairs.iter().zip(&scores).map(|(pair, scores)| {
        let of = |response: &String| {
            let at = texts(pair).iter().position(|&text| text == response);
            likelihood(at.and_then(|at| scores.get(at)).context("a likelihood for each answer")?)
        };
        let [a, b] = &pair.responses;
        Ok(Judged::by_likelihoods([of(a)?, of(b)?]))
    });
    let cut_responses: usize = cut.responses.values().sum();
    let notes = [(cut.prompts, "prompts lost their beginning"), (cut_responses, "answers lost their end")];
    let notes = notes.into_iter().filter(|(count, _)| *count > 0);
    let notes = notes.map(|(count, what)| format!("{count} {what}: the model has {positions} positions"));
    Ok((judged.collect::<Result<_>>()?, notes.collect()))
}

/// The distinct answers of a pair, in an order that does not depend on whose they are: which batch an answer is
/// scored in must not tell A from B.
fn texts(pair: &Pair) -> Vec<&String> {
    let mut texts: Vec<&String> = pair.responses.iter().collect();
    texts.sort();
    texts.dedup();
    texts
}

fn record(pair: &Pair) -> Record {
    let responses =
        texts(pair).into_iter().enumerate().map(|(i, text)| (format!("answer {i}"), text.clone()));
    Record {
        example: pair.line - 1,
        prompt: pair.prompt.clone(),
        responses: responses.collect(),
        extra: serde_json::Map::new(),
    }
}
