//! Which of two models answers better: win rates from a judge that is asked in both orders, or from a likelihood.
//!
//! [`pairs`] puts two files of answers side by side, [`by_chat`] or [`by_likelihood`] judges them, and
//! [`Statistics`] counts. Three things that bend win rates are dealt with here:
//!
//! - **Position.** A judge sees each pair in both orders, and only what it says twice counts ([`Outcome`]).
//! - **Length.** A second rate is given for answers of equal length ([`length_control`]).
//! - **Chance.** Rates have intervals, from a bootstrap over pairs.
//!
//! No answer is left out for being long or degenerate, and a reply without a clear verdict is never guessed at.

mod cache;
pub mod length_control;
mod likelihood;
mod outcome;
mod pairing;
mod prompt;
mod statistics;
mod verdict;

pub use cache::{Call, Order, Transcripts};
pub use likelihood::{Normalise, by_likelihood};
pub use outcome::{Judged, Outcome};
pub use pairing::{Pair, cut_at_human_turn, pairs};
pub use prompt::{candidates, question};
pub use statistics::{RESAMPLES, Rate, Statistics};
pub use verdict::Verdict;

use crate::chat::{Client, Request, complete_all};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::HashSet;

/// How a chat endpoint judges.
#[derive(Clone, Debug)]
pub struct ChatJudge {
    /// The model's name at the endpoint.
    pub model: String,
    /// Temperature of its replies.
    pub temperature: f64,
    /// Seed that is sent along where the temperature is not 0.
    pub seed: u64,
    /// Calls at a time.
    pub concurrency: usize,
}

impl ChatJudge {
    /// The request for a pair in one order.
    fn request(&self, pair: &Pair, order: Order) -> Request {
        let [a, b] = &pair.responses;
        let (first, second) = match order {
            Order::Ab => (a, b),
            Order::Ba => (b, a),
        };
        Request::new(&self.model, question(&pair.prompt, first, second), self.temperature, self.seed)
    }
}

/// What judging took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls that were made and answered.
    pub made: usize,
    /// Verdicts that came from the transcripts, or from the same question of another pair.
    pub reused: usize,
}

/// Judges pairs by a chat model, in both orders. Replies that the transcripts have are not asked for again; new ones
/// are added as they come, and told of to `progress` with their number and that of all that are needed.
///
/// # Errors
/// What the endpoint refuses, with the pair; a failed write.
pub fn by_chat(
    pairs: &[Pair],
    judge: &ChatJudge,
    client: &Client,
    transcripts: &mut Transcripts,
    mut progress: impl FnMut(usize, usize),
) -> Result<(Vec<Judged>, Calls)> {
    let mut hashes = Vec::with_capacity(pairs.len());
    // Equal answers make one question of both orders, and a prompt that comes twice may do so too.
    let (mut asked, mut needed, mut requests) = (HashSet::new(), Vec::new(), Vec::new());
    for (i, pair) in pairs.iter().enumerate() {
        hashes.push([Order::Ab, Order::Ba].map(|order| {
            let request = judge.request(pair, order);
            let hash = request.hash();
            if transcripts.reply(&hash).is_none() && asked.insert(hash.clone()) {
                needed.push((i, order, hash.clone()));
                requests.push(request);
            }
            hash
        }));
    }
    let mut made = 0;
    let all = complete_all(client, &requests, judge.concurrency, |index, reply| {
        let (pair, order, request) = needed[index].clone();
        transcripts.add(Call {
            pair,
            order,
            request,
            model: judge.model.clone(),
            temperature: judge.temperature,
            verdict: Verdict::read(&reply.text),
            reply: reply.text,
            attempts: reply.attempts,
        })?;
        made += 1;
        progress(made, requests.len());
        Ok(())
    });
    all.map_err(|(index, error)| {
        error.context(format!("the pair of line {} of A", pairs[needed[index].0].line))
    })?;
    let verdict =
        |hash: &String| transcripts.reply(hash).map(Verdict::read).context("every question was asked");
    let judged = hashes.iter().map(|[ab, ba]| Ok(Judged::by_verdicts([verdict(ab)?, verdict(ba)?])));
    Ok((judged.collect::<Result<_>>()?, Calls { made, reused: 2 * pairs.len() - made }))
}

/// Words of the answers of A and B: what stands between blanks.
pub fn words(pair: &Pair) -> [usize; 2] {
    [0, 1].map(|side| pair.responses[side].split_whitespace().count())
}

/// A pair with all that was compared and found, as a row of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairRow<'a> {
    /// Number of the pair, from 0.
    pub pair: usize,
    /// Line of A's file, from 1.
    pub line: usize,
    /// The prompt of both.
    pub prompt: &'a str,
    /// The answer of A as it was judged.
    pub response_a: &'a str,
    /// The answer of B as it was judged.
    pub response_b: &'a str,
    /// Words of the answer of A.
    pub words_a: usize,
    /// Words of the answer of B.
    pub words_b: usize,
    /// The verdict with A's answer shown first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict_ab: Option<Verdict>,
    /// The verdict with B's answer shown first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict_ba: Option<Verdict>,
    /// log π of A's answer, in nats, or nats per token as the judge was told to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likelihood_a: Option<f64>,
    /// log π of B's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likelihood_b: Option<f64>,
    /// What the pair says.
    pub outcome: Outcome,
    /// The share of A: 1, ½ or 0; absent where a verdict is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

impl<'a> PairRow<'a> {
    /// The row of a pair.
    pub fn of(number: usize, pair: &'a Pair, judged: &Judged) -> Self {
        let [response_a, response_b] = &pair.responses;
        let [words_a, words_b] = words(pair);
        Self {
            pair: number,
            line: pair.line,
            prompt: &pair.prompt,
            response_a,
            response_b,
            words_a,
            words_b,
            verdict_ab: judged.verdicts.map(|v| v[0]),
            verdict_ba: judged.verdicts.map(|v| v[1]),
            likelihood_a: judged.likelihoods.map(|l| l[0]),
            likelihood_b: judged.likelihoods.map(|l| l[1]),
            outcome: judged.outcome,
            score: judged.outcome.score(),
        }
    }
}
