//! One update on observed responses: what the identity predicts, what really
//! happens when the step is taken on a copy, and what remains; split by cause, by
//! group of parameters and by token.

use super::predict::{self, PerToken};
use crate::config::Stage;
use crate::data::TokenizedRecord;
use crate::model::{Direction, Model};
use crate::score::Item;
use crate::statistics::{self, Fit};
use crate::train::{self, Cause, Example, Loss, Update, UpdateToken};
use anyhow::Result;
use ldyn_core::diagnostics::{TokenStats, a_norm, gap_norm};
use serde::Serialize;

/// What is to be worked out besides predicted, actual and remainder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail {
    /// Split the prediction by embedding, blocks, norm and head: one more Jacobian–vector product a group.
    pub groups: bool,
    /// Token by token of the update and of the first observed record: one backward pass and one
    /// Jacobian–vector product for each token of the update.
    pub tokens: bool,
    /// Halvings of the step on which the remainder's order is measured; 0 for none.
    pub halvings: usize,
}

/// An update decomposed. Kind of truth: predictions are *first order*, the rest is *measured*.
#[derive(Clone, Debug, Serialize)]
pub struct Decomposition {
    /// The update.
    pub update: Step,
    /// Every observed response.
    pub responses: Vec<Response>,
    /// Measured against predicted over all tokens.
    pub token_fit: Option<Fit>,
    /// Measured against predicted over all responses.
    pub response_fit: Option<Fit>,
    /// Remainders at fractions of the step, the whole first.
    pub scales: Vec<Scale>,
    /// Slope of log |remainder| over log step, least squares over `scales`: 2 where the remainder is O(η²).
    pub order: Option<f64>,
    /// Token by token, if asked for.
    pub tokens: Option<TokenMap>,
}

/// The update in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Objective with its settings in words.
    pub objective: String,
    /// Optimiser.
    pub optimizer: &'static str,
    /// Learning rate of this step, warm-up included.
    pub learning_rate: f64,
    /// Lines of the data file that it learns.
    pub examples: Vec<usize>,
    /// Loss of the batch.
    pub loss: f64,
    /// Mean log π of chosen and rejected responses.
    pub logps: [f64; 2],
    /// Mean sequence weights w₊ and w₋.
    pub weights: [f64; 2],
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Factor that clipping put on it.
    pub clip: f64,
    /// ‖Δθ‖ of each part.
    pub parts: Vec<(Cause, f64)>,
    /// Size of the G-factor through each response, √(Σ_l w²‖π − e_y‖²) over the batch: y⁺, y⁻.
    pub g_norms: [f64; 2],
}

/// An observed response.
#[derive(Clone, Debug, Serialize)]
pub struct Response {
    /// Line of the data file.
    pub example: usize,
    /// Kind.
    pub kind: String,
    /// log π(y) before the update.
    pub logp: f64,
    /// First-order Δ log π(y).
    pub predicted: f64,
    /// Δ log π(y) measured.
    pub actual: f64,
    /// `actual − predicted`.
    pub remainder: f64,
    /// `predicted` by cause.
    pub causes: Vec<(Cause, f64)>,
    /// `predicted` by group of parameters, if asked for.
    pub groups: Vec<(String, f64)>,
    /// ‖A‖_F over its tokens, √(Σ_m ‖A_m‖²_F).
    pub a_norm: f64,
    /// The response's tokens.
    pub tokens: Vec<Token>,
}

/// A scored token of an observed response.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Token {
    /// Token id.
    pub token: u32,
    /// log π before the update.
    pub logp: f64,
    /// First-order Δ log π.
    pub predicted: f64,
    /// Δ log π measured.
    pub actual: f64,
}

/// Remainders at a fraction of the step.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Scale {
    /// Fraction of the step.
    pub scale: f64,
    /// Root mean square, over tokens, of the predicted change.
    pub predicted: f64,
    /// Root mean square, over tokens, of the remainder.
    pub remainder: f64,
}

/// Predicted Δ log π of every observed token (columns) through every token of the update (rows).
#[derive(Clone, Debug, Serialize)]
pub struct TokenMap {
    /// The observed record's line.
    pub example: usize,
    /// Rows: tokens of the update's responses.
    pub rows: Vec<MapToken>,
    /// Columns: tokens of the observed record's responses.
    pub columns: Vec<MapToken>,
    /// Row-major values in nats.
    pub values: Vec<f64>,
}

/// A row or column of a [`TokenMap`].
#[derive(Clone, Debug, Serialize)]
pub struct MapToken {
    /// Response kind; for a row of a batch with its line.
    pub response: String,
    /// Position among the response's scored tokens.
    pub position: usize,
    /// Token id.
    pub token: u32,
}

/// Decomposes `update`, made of `examples` under `stage` and `loss`, on the observed records.
///
/// # Errors
/// Failures of the model.
pub fn decompose(
    model: &Model,
    stage: &Stage,
    loss: &Loss,
    examples: &[&Example],
    update: &Update,
    observed: &[TokenizedRecord],
    detail: Detail,
) -> Result<Decomposition> {
    let items: Vec<Item> = observed.iter().map(Item::from).collect();
    let whole = update.whole()?;
    let parts = update.parts.iter().map(|(_, part)| predict::predicted(model, part, &items));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    let groups = if detail.groups { by_group(model, &whole, &items)? } else { Vec::new() };
    let before = predict::measured(model, &items)?;
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
            let at = |values: &PerToken<f64>| values[i][j].iter().sum::<f64>();
            let tokens: Vec<Token> = (0..before[i][j].len())
                .map(|t| Token {
                    token: target(&items[i], j, t),
                    logp: before[i][j][t].logp,
                    predicted: parts.iter().map(|p| p[i][j][t]).sum(),
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
                causes: update.parts.iter().zip(&parts).map(|((cause, _), p)| (*cause, at(p))).collect(),
                groups: groups.iter().map(|(name, p)| (name.clone(), at(p))).collect(),
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
        (true, Some(record)) => Some(token_map(model, loss, examples, update, record)?),
        _ => None,
    };
    let tokens_of =
        |f: fn(&Token) -> f64| -> Vec<f64> { responses.iter().flat_map(|r| &r.tokens).map(f).collect() };
    let responses_of = |f: fn(&Response) -> f64| -> Vec<f64> { responses.iter().map(f).collect() };
    Ok(Decomposition {
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
    let mut g_sq = [0.0; 2];
    for example in examples {
        let mut means = train::Means::default();
        let pass = train::Pass::new(model, loss, std::slice::from_ref(example), whole, &mut means)?;
        let stats = crate::score::token_stats(model, &pass.packed)?;
        for (response, range) in pass.packed.ranges.iter().enumerate() {
            let residuals = stats[range.clone()].iter().zip(&pass.coefficients[range.clone()]);
            g_sq[response.min(1)] += residuals.map(|(s, c)| (c * gap_norm(s)).powi(2)).sum::<f64>();
        }
    }
    let length = |part: &Direction| -> Result<f64> {
        part.values().try_fold(0.0, |sum, t| Ok(sum + train::sum_of_squares(t)?)).map(f64::sqrt)
    };
    let m = &update.means;
    Ok(Step {
        objective: stage.summary()?,
        optimizer: stage.optimizer.name(),
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

/// The prediction through each group of parameters alone; by linearity they add up to the whole.
fn by_group(model: &Model, direction: &Direction, items: &[Item]) -> Result<Vec<(String, PerToken<f64>)>> {
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
    groups.into_iter().map(|(g, part)| Ok((g, predict::predicted(model, &part, items)?))).collect()
}

fn token_map(
    model: &Model,
    loss: &Loss,
    examples: &[&Example],
    update: &Update,
    record: &TokenizedRecord,
) -> Result<TokenMap> {
    let item = Item::from(record);
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    update.token_by_token(model, loss, examples, |token: UpdateToken, direction| {
        let predicted = predict::predicted(model, &direction, std::slice::from_ref(&item))?;
        values.extend(predicted.into_iter().flatten().flatten());
        let response = ["chosen", "rejected"][token.response.min(1)];
        let line = examples[token.example].example;
        rows.push(MapToken {
            response: if examples.len() == 1 {
                response.into()
            } else {
                format!("{response} of line {line}")
            },
            position: token.position,
            token: token.token,
        });
        Ok(())
    })?;
    let columns = record.responses.iter().enumerate().flat_map(|(j, (kind, ids))| {
        let n = ids.len() - usize::from(item.prompt.is_empty());
        let item = &item;
        (0..n).map(move |t| MapToken { response: kind.clone(), position: t, token: target(item, j, t) })
    });
    Ok(TokenMap { example: record.example, columns: columns.collect(), rows, values })
}
