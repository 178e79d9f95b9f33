//! What of a training step is not finite, and where: which parameter, which examples of which batch.
//!
//! Log-probabilities, loss, the gradient's norm and the step's size are looked at in every step, before a weight is
//! changed. They are numbers that the step has anyway; what costs more is only done once one of them is not finite.

use super::{Example, Gradients, Loss, Means, Optimizer, Pass, predicted_tokens};
use crate::model::Model;
use crate::score::NotFinite;
use crate::value::{Census, sum_of_squares};
use anyhow::Result;
use candle_core::Tensor;
use ldyn_core::loss::Outcome;
use std::ops::Range;

/// Names that are listed in an error.
const LISTED: usize = 4;

/// Examples of a batch that are listed in an error.
const EXAMPLES: usize = 32;

/// Responses of an example that has more than one.
const RESPONSES: [&str; 3] = ["y⁺", "y⁻", "the anchor"];

/// Refuses log-probabilities that are not finite: those of the tokens of each response, in the examples' order.
pub(super) fn refuse_log_probs(
    examples: &[&Example],
    ranges: &[Range<usize>],
    log_probs: &[f64],
) -> Result<(), NotFinite> {
    if log_probs.iter().all(|x| x.is_finite()) {
        return Ok(());
    }
    let responses = examples.iter().flat_map(|e| (0..e.responses.len()).map(move |r| (*e, r)));
    let mut found = Vec::new();
    for ((example, response), range) in responses.zip(ranges) {
        let tokens = &log_probs[range.clone()];
        if let Some(token) = tokens.iter().position(|x| !x.is_finite()) {
            let place = example.example;
            let of = if example.responses.len() == 1 { "the response" } else { RESPONSES[response] };
            found.push(format!("{of} of example {place} (token {token}: {})", tokens[token]));
        }
    }
    Err(NotFinite(format!("log π is not finite in {}", listed(&found, LISTED))))
}

/// Refuses a loss of a pair, or weights of its responses, that are not finite although the log-probabilities are.
pub(super) fn refuse_outcome(outcome: &Outcome<f64>, example: &Example) -> Result<(), NotFinite> {
    let Outcome { loss, chosen_weight, rejected_weight } = *outcome;
    if [loss, chosen_weight, rejected_weight].iter().all(|x| x.is_finite()) {
        return Ok(());
    }
    Err(NotFinite(format!(
        "example {}: the loss is {loss} with weights {chosen_weight} on y⁺ and {rejected_weight} on y⁻",
        example.example
    )))
}

/// The gradients that are not finite, or that are so large that their squares are not.
pub(super) fn of_gradients(gradients: &Gradients) -> Result<NotFinite> {
    let (mut broken, mut large) = (Vec::new(), Vec::new());
    for (name, gradient) in gradients.names.iter().zip(&gradients.values) {
        if sum_of_squares(gradient)?.is_finite() {
            continue;
        }
        let census = Census::of(gradient)?;
        let list = if census.is_finite() { &mut large } else { &mut broken };
        list.push(format!("`{name}` ({census})"));
    }
    Ok(NotFinite(match broken.is_empty() {
        false => format!("the gradient is not finite in {}", listed(&broken, LISTED)),
        true => {
            let numbers = listed(&large, LISTED);
            format!("the gradient is too large for the sum of its squares in {numbers}")
        }
    }))
}

/// Refuses a step that would leave weights or averages that are not finite. Only where rate and settings leave that
/// open is it tried, on copies.
pub(super) fn refuse_overflow(
    optimizer: &Optimizer,
    gradients: &Gradients,
    lr: f64,
    clip: f64,
) -> Result<()> {
    if !optimizer.may_overflow(lr) {
        return Ok(());
    }
    let (moved, next) = optimizer.tried(&gradients.parameters, &gradients.values, lr, clip)?;
    let moved: Vec<Tensor> = moved.iter().map(|var| var.as_detached_tensor()).collect();
    let [second, first] = next.averages();
    let mut found = Vec::new();
    for (what, tensors) in [("", &moved[..]), ("an average of ", second), ("an average of ", first)] {
        for (name, tensor) in gradients.names.iter().zip(tensors) {
            let census = Census::of(tensor)?;
            if !census.is_finite() {
                found.push(format!("{what}`{name}` ({census})"));
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let numbers = listed(&found, LISTED);
    Err(NotFinite(format!(
        "a step with learning rate {lr:e} would leave numbers that are not finite in {numbers}"
    ))
    .into())
}

/// What is known about a fault of a batch, besides what was `found`: the state of the weights, and the batch.
pub(super) fn account(found: &NotFinite, model: &Model, batch: &[&Example]) -> Result<NotFinite> {
    Ok(NotFinite(format!("{found}; {}; the batch is {}", of_weights(model)?, examples(batch))))
}

/// The weights that are not finite, or the largest one.
fn of_weights(model: &Model) -> Result<String> {
    let (mut broken, mut largest) = (Vec::new(), (0.0, ""));
    for (name, var) in model.parameters() {
        let census = Census::of(var)?;
        if !census.is_finite() {
            broken.push(format!("`{name}` ({census})"));
        }
        if census.largest > largest.0 {
            largest = (census.largest, name);
        }
    }
    Ok(match broken.is_empty() {
        true => format!("all weights are finite, the largest, {:.1e}, is in `{}`", largest.0, largest.1),
        false => format!("weights are not finite in {}", listed(&broken, LISTED)),
    })
}

/// [`of_gradients`], and the examples whose own gradients are not finite. The gradients are overwritten.
pub(super) fn of_batch(
    model: &Model,
    loss: &Loss,
    batch: &[&Example],
    gradients: &mut Gradients,
) -> Result<NotFinite> {
    let NotFinite(mut found) = of_gradients(gradients)?;
    let whole = [batch.len(), predicted_tokens(batch)];
    let mut alone = Vec::new();
    for example in batch {
        gradients.restart();
        Pass::new(model, loss, &[*example], whole, &mut Means::default())?.backward(gradients, |_| true)?;
        if gradients.norm().is_err() {
            alone.push(*example);
        }
    }
    match alone.is_empty() {
        true => found += ", for no example alone",
        false => found += &format!(", for {} alone", examples(&alone)),
    }
    Ok(NotFinite(found))
}

fn examples(list: &[&Example]) -> String {
    let numbers: Vec<String> = list.iter().map(|e| e.example.to_string()).collect();
    format!("example{} {}", if list.len() == 1 { "" } else { "s" }, listed(&numbers, EXAMPLES))
}

/// The first `most` of a list, and how many more there are.
fn listed(list: &[String], most: usize) -> String {
    let shown = list[..most.min(list.len())].join(", ");
    match list.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
