//! Predicted and measured changes of log π, token by token.

use crate::model::{Direction, Model};
use crate::score::{self, Item, Packed};
use crate::value::{Dual, Precision, Value};
use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use ldyn_core::diagnostics::TokenStats;

/// A number for every scored token: `[item][response][token]`.
pub type PerToken<T> = Vec<Vec<Vec<T>>>;

/// First-order Δ log π of every scored token when the weights move along each of `directions`, a number
/// a direction: one Jacobian–vector product each, −η·A·K·G where the direction is a gradient step. What
/// the products have in common is computed once.
///
/// # Errors
/// A direction of other parameters; items as in [`score::pack`].
pub fn predicted(model: &Model, directions: &[&Direction], items: &[Item]) -> Result<PerToken<Vec<f64>>> {
    // A value and a tangent a direction are held of each row.
    per_token(items, score::MAX_ROWS / (1 + directions.len()), |packed| {
        let (hidden, head) = rows(model, directions, packed)?;
        let log_probs = hidden.log_probs(&head, &packed.targets, model.precision, None)?;
        let along: Vec<_> = (0..directions.len()).map(|i| numbers(&log_probs, i)).collect::<Result<_>>()?;
        Ok((0..packed.targets.len()).map(|t| along.iter().map(|d| d[t]).collect()).collect())
    })
}

/// First-order Δ log π of the target of every row, a list for each of the rows' `N` directions.
///
/// # Errors
/// Targets of other rows.
pub(super) fn tangents<const N: usize>(
    hidden: &Dual,
    head: &Dual,
    targets: &[u32],
    precision: Precision,
) -> Result<[Vec<f64>; N]> {
    let log_probs = hidden.log_probs(head, targets, precision, None)?;
    let mut out = [const { Vec::new() }; N];
    for (i, out) in out.iter_mut().enumerate() {
        *out = numbers(&log_probs, i)?;
    }
    Ok(out)
}

/// The derivative along direction `i`.
fn numbers(log_probs: &Dual, i: usize) -> Result<Vec<f64>> {
    Ok(match log_probs.tangent(i) {
        Some(tangent) => tangent.to_dtype(DType::F64)?.to_vec1()?,
        None => vec![0.0; log_probs.primal.elem_count()],
    })
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

/// Hidden rows that predict the targets, and the head, with their derivatives along each direction.
pub(super) fn rows(model: &Model, directions: &[&Direction], packed: &Packed) -> Result<(Dual, Dual)> {
    let (hidden, head) = model.duals(directions, &packed.ids, &packed.layout)?;
    let picked = Tensor::new(packed.rows.as_slice(), model.device())?;
    Ok((hidden.rows(&picked)?, head))
}
