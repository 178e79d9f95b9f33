//! One update on observed responses: what the identity predicts, what really
//! happens when the step is taken on a copy, and what remains; split by cause, by
//! group of parameters and by token.

use super::predict::{self, PerToken};
use crate::config::Stage;
use crate::data::TokenizedRecord;
use crate::model::{Direction, Model};
use crate::record::{Cause, Cost, Decomposition, MapToken, Response, Scale, Step, Token, TokenMap};
use crate::score::Item;
use crate::statistics;
use crate::train::{self, Example, Loss, Update, UpdateToken};
use crate::value::sum_of_squares;
use anyhow::Result;
use ldyn_core::diagnostics::{TokenStats, a_norm, gap_norm};
use std::time::Instant;

/// What is to be worked out besides predicted, actual and remainder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail {
    /// Split the prediction by embedding, blocks, norm and head: a Jacobian–vector product more a group.
    pub groups: bool,
    /// Token by token of the update and of the first observed record: one backward pass and one
    /// Jacobian–vector product for each token of the update.
    pub tokens: bool,
    /// Halvings of the step on which the remainder's order is measured; 0 for none.
    pub halvings: usize,
}

/// Decomposes `update`, made of `examples` under `stage` and `loss`, on the observed records;
/// `text` names tokens. The kernel is left out.
///
/// # Errors
/// Failures of the model.
#[allow(clippy::too_many_arguments)]
pub fn decompose(
    model: &Model,
    stage: &Stage,
    loss: &Loss,
    examples: &[&Example],
    update: &Update,
    observed: &[TokenizedRecord],
    detail: Detail,
    text: &dyn Fn(u32) -> String,
) -> Result<Decomposition> {
    let items: Vec<Item> = observed.iter().map(Item::from).collect();
    let whole = update.whole()?;
    let started = Instant::now();
    let (causes, parts): (Vec<Cause>, Vec<&Direction>) = update.parts.iter().map(|(c, p)| (*c, p)).unzip();
    let by_part = predict::predicted(model, &parts, &items)?;
    let prediction = started.elapsed().as_secs_f64() / parts.len() as f64;
    let (mut groups, mut by_group) = (Vec::new(), PerToken::new());
    if detail.groups {
        groups = self::groups(model, &whole);
        by_group = predict::predicted(model, &groups.iter().map(|(_, g)| g).collect::<Vec<_>>(), &items)?;
    }
    let started = Instant::now();
    let before = predict::measured(model, &items)?;
    let forward = started.elapsed().as_secs_f64();
    let copy = model.copy()?;
    let after = |scale: f64| -> Result<PerToken<TokenStats<f64>>> {
        copy.set_weights(model)?;
        train::move_along(&copy, &whole, scale)?;
        predict::measured(&copy, &items)
    };
    let actual = after(1.0)?;

    let mut responses = Vec::new();
    for (i, record) in observed.iter().enumerate() {
        for (j, (kind, _)) in record.responses.iter().enumerate() {
            let sums =
                |values: &PerToken<Vec<f64>>, along: usize| values[i][j].iter().map(|t| t[along]).sum();
            let tokens: Vec<Token> = (0..before[i][j].len())
                .map(|t| Token {
                    token: target(&items[i], j, t),
                    text: text(target(&items[i], j, t)),
                    logp: before[i][j][t].logp,
                    predicted: by_part[i][j][t].iter().sum(),
                    actual: actual[i][j][t].logp - before[i][j][t].logp,
                })
                .collect();
            let sum = |f: fn(&Token) -> f64| tokens.iter().map(f).sum::<f64>();
            let (predicted, actual) = (sum(|t| t.predicted), sum(|t| t.actual));
            let a_sq = before[i][j].iter().map(|s| a_norm(s.sum_sq, model.vocab_size()).powi(2));
            responses.push(Response {
                example: record.example,
                kind: kind.clone(),
                logp: sum(|t| t.logp),
                predicted,
                actual,
                remainder: actual - predicted,
                causes: causes.iter().enumerate().map(|(k, cause)| (*cause, sums(&by_part, k))).collect(),
                groups: groups
                    .iter()
                    .enumerate()
                    .map(|(k, (g, _))| (g.clone(), sums(&by_group, k)))
                    .collect(),
                a_norm: a_sq.sum::<f64>().sqrt(),
                tokens,
            });
        }
    }
    let mut scales = vec![scale(1.0, &responses, |t| t.actual)];
    for halving in 1..=detail.halvings {
        let fraction = 0.5f64.powi(halving as i32);
        let moved = after(fraction)?;
        let mut logps = moved.iter().flatten().flatten().map(|s| s.logp);
        scales.push(scale(fraction, &responses, |t| logps.next().expect("a number a token") - t.logp));
    }
    let tokens = match (detail.tokens, observed.first()) {
        (true, Some(record)) => Some(token_map(model, loss, examples, update, record, text)?),
        _ => None,
    };
    let tokens_of =
        |f: fn(&Token) -> f64| -> Vec<f64> { responses.iter().flat_map(|r| &r.tokens).map(f).collect() };
    let responses_of = |f: fn(&Response) -> f64| -> Vec<f64> { responses.iter().map(f).collect() };
    Ok(Decomposition {
        model: model.describe(),
        dtype: model.precision.words(model.dtype()),
        kernel: Vec::new(),
        cost: Cost { prediction, forward },
        update: describe(model, stage, examples, update, loss)?,
        token_fit: statistics::fit(&tokens_of(|t| t.predicted), &tokens_of(|t| t.actual)),
        response_fit: statistics::fit(&responses_of(|r| r.predicted), &responses_of(|r| r.actual)),
        order: order(&scales),
        responses,
        scales,
        tokens,
    })
}

/// The token that the response's `t`-th scored position predicts.
fn target(item: &Item, response: usize, t: usize) -> u32 {
    item.responses[response][t + usize::from(item.prompt.is_empty())]
}

fn scale(fraction: f64, responses: &[Response], mut actual: impl FnMut(&Token) -> f64) -> Scale {
    let (mut predicted, mut remainder, mut n) = (0.0, 0.0, 0.0);
    for token in responses.iter().flat_map(|r| &r.tokens) {
        let p = fraction * token.predicted;
        predicted += p * p;
        remainder += (actual(token) - p).powi(2);
        n += 1.0;
    }
    Scale { scale: fraction, predicted: f64::sqrt(predicted / n), remainder: f64::sqrt(remainder / n) }
}

/// The slope of log remainder over log step.
fn order(scales: &[Scale]) -> Option<f64> {
    let logs = |f: fn(&Scale) -> f64| -> Vec<f64> { scales.iter().map(|s| f(s).ln()).collect() };
    let fit = statistics::fit(&logs(|s| s.scale), &logs(|s| s.remainder))?;
    fit.slope.is_finite().then_some(fit.slope)
}

fn describe(
    model: &Model,
    stage: &Stage,
    examples: &[&Example],
    update: &Update,
    loss: &Loss,
) -> Result<Step> {
    let whole = [examples.len(), train::predicted_tokens(examples)];
    let mut g_sq = [0.0; 3];
    for examples in examples.chunks(stage.batch_size) {
        let pass = train::Pass::new(model, loss, examples, whole, &mut train::Means::default())?;
        let stats = crate::score::token_stats(model, &pass.packed)?;
        for (token, s) in train::targets(&pass, examples).zip(&stats) {
            g_sq[token.response] += (token.coefficient * gap_norm(s)).powi(2);
        }
    }
    let length = |part: &Direction| -> Result<f64> {
        part.values().try_fold(0.0, |sum, t| Ok(sum + sum_of_squares(t)?)).map(f64::sqrt)
    };
    let m = &update.means;
    Ok(Step {
        objective: stage.summary()?,
        optimizer: stage.optimizer.name().into(),
        learning_rate: update.learning_rate,
        examples: examples.iter().map(|e| e.example).collect(),
        loss: m.loss,
        logps: [m.chosen, m.rejected],
        weights: [m.weight_chosen, m.weight_rejected],
        grad_norm: update.grad_norm,
        clip: update.clip,
        parts: update.parts.iter().map(|(c, part)| Ok((*c, length(part)?))).collect::<Result<_>>()?,
        g_norms: g_sq.map(f64::sqrt),
    })
}

/// A direction split by groups of parameters; by linearity predictions along them add up to the whole.
fn groups(model: &Model, direction: &Direction) -> Vec<(String, Direction)> {
    let mut groups: Vec<(String, Direction)> = Vec::new();
    for (name, _) in model.parameters() {
        let Some(tensor) = direction.get(name) else { continue };
        let group = model.group(name);
        let entry = (name.to_owned(), tensor.clone());
        match groups.iter_mut().find(|(g, _)| *g == group) {
            Some((_, members)) => members.extend([entry]),
            None => groups.push((group, Direction::from([entry]))),
        }
    }
    groups
}

fn token_map(
    model: &Model,
    loss: &Loss,
    examples: &[&Example],
    update: &Update,
    record: &TokenizedRecord,
    text: &dyn Fn(u32) -> String,
) -> Result<TokenMap> {
    let item = Item::from(record);
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    update.token_by_token(model, loss, examples, |token: UpdateToken, direction| {
        let predicted = predict::predicted(model, &[&direction], std::slice::from_ref(&item))?;
        values.extend(predicted.into_iter().flatten().flatten().flatten());
        let response = ["chosen", "rejected", "anchor"][token.response];
        let line = examples[token.example].example;
        rows.push(MapToken {
            response: if examples.len() == 1 {
                response.into()
            } else {
                format!("{response} of line {line}")
            },
            position: token.position,
            token: token.token,
            text: text(token.token),
        });
        Ok(())
    })?;
    let columns = record.responses.iter().enumerate().flat_map(|(j, (kind, ids))| {
        let n = ids.len() - usize::from(item.prompt.is_empty());
        let item = &item;
        (0..n).map(move |t| {
            let token = target(item, j, t);
            MapToken { response: kind.clone(), position: t, token, text: text(token) }
        })
    });
    Ok(TokenMap { example: record.example, columns: columns.collect(), rows, values })
}
