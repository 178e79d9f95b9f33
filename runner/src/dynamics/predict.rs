//! Predicted and measured changes of log π, token by token.

use crate::model::{Direction, Model};
use crate::score::{self, Item, Packed};
use crate::value::{Dual, Value};
use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use ldyn_core::diagnostics::TokenStats;

/// A number for every scored token: `[item][response][token]`.
pub type PerToken<T> = Vec<Vec<Vec<T>>>;

/// Rows that a Jacobian–vector product holds at a time: it keeps a value and a tangent of each.
const MAX_ROWS: usize = score::MAX_ROWS / 2;

/// First-order Δ log π of every scored token when the weights move along `direction`: one
/// Jacobian–vector product, −η·A·K·G where the direction is a gradient step.
///
/// # Errors
/// A direction of other parameters; items as in [`score::pack`].
pub fn predicted(model: &Model, direction: &Direction, items: &[Item]) -> Result<PerToken<f64>> {
    per_token(items, MAX_ROWS, |packed| tangents(model, direction, packed))
}

/// First-order Δ log π of every packed target along `direction`.
///
/// # Errors
/// As [`predicted`].
pub fn tangents(model: &Model, direction: &Direction, packed: &Packed) -> Result<Vec<f64>> {
    let (hidden, head) = rows(model, direction, packed)?;
    let log_probs = hidden.log_probs(&head, &packed.targets, None)?;
    match log_probs.tangent {
        Some(tangent) => Ok(tangent.to_dtype(DType::F64)?.to_vec1()?),
        None => Ok(vec![0.0; packed.targets.len()]),
    }
}

/// Statistics of every scored token as the model is.
///
/// # Errors
/// As [`score::token_stats`].
pub fn measured(model: &Model, items: &[Item]) -> Result<PerToken<TokenStats<f64>>> {
    per_token(items, score::MAX_ROWS, |packed| score::token_stats(model, packed))
}

/// What `f` makes of each packed batch, sorted back into items and responses.
fn per_token<T>(
    items: &[Item],
    max_rows: usize,
    f: impl Fn(&Packed) -> Result<Vec<T>>,
) -> Result<PerToken<T>> {
    let mut out = Vec::with_capacity(items.len());
    for batch in score::batches(items, max_rows) {
        let packed = score::pack(&items[batch.clone()]).with_context(|| format!("items {batch:?}"))?;
        let mut values = f(&packed)?.into_iter();
        let mut ranges = packed.ranges.iter();
        for item in &items[batch] {
            let responses = ranges.by_ref().take(item.responses.len());
            out.push(responses.map(|range| values.by_ref().take(range.len()).collect()).collect());
        }
    }
    Ok(out)
}

/// Hidden rows that predict the targets, and the head, with their derivatives.
pub(super) fn rows(model: &Model, direction: &Direction, packed: &Packed) -> Result<(Dual, Dual)> {
    let (hidden, head) = model.duals(direction, &packed.ids, &packed.layout)?;
    let picked = Tensor::new(packed.rows.as_slice(), model.device())?;
    Ok((hidden.rows(&picked)?, head))
}
