//! What DPO would do to each pair, before it is run: how deep y⁻ lies, how peaked
//! the model is there, what one step on the pair alone and one step on all pairs
//! together would do to log π(y⁺), and the hidden-state scores of Razin et al.

use super::predict;
use crate::model::{Direction, Model};
use crate::record::TriageRow;
use crate::score::{self, Packed};
use crate::train::{Example, Update};
use crate::value::Value;
use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor};
use ldyn_core::diagnostics::TokenStats;
use ldyn_core::sequence::{first_difference, shared_prefix_len};
use std::ops::Range;

/// Scores every pair. `data` is the direction of one step on all the pairs that will be trained on
/// (these or others), and `own` makes the update of one pair alone.
///
/// # Errors
/// Examples that are not pairs; failures of the model.
pub fn triage(
    model: &Model,
    examples: &[Example],
    data: &Direction,
    own: &dyn Fn(&Example) -> Result<Update>,
    mut each: impl FnMut(TriageRow) -> Result<()>,
) -> Result<()> {
    for example in examples {
        let [chosen, rejected] = &example.responses[..] else {
            anyhow::bail!(
                "example {}: triage needs a pair, found {} responses",
                example.example,
                example.responses.len()
            )
        };
        let item = example.item();
        let packed = score::pack(std::slice::from_ref(&item))?;
        let stats = score::token_stats(model, &packed)?;
        let [y, n] = [packed.ranges[0].clone(), packed.ranges[1].clone()];
        let sum = |range: &Range<usize>| stats[range.clone()].iter().map(|s| s.logp).sum::<f64>();
        let (depth, deepest, deepest_at) = depth(&stats[n.clone()]);
        let (ches, ches_normalised) = ches(model, &packed)?;
        let direction = own(example)?.whole()?;
        let (hidden, head) = predict::rows(model, &[&direction, data], &packed)?;
        let [by_own, by_data] = predict::tangents(&hidden, &head, &packed.targets, model.precision)?;
        let top: Vec<u32> = stats[n.clone()].iter().map(|s| s.argmax as u32).collect();
        let along_rejected = Tensor::arange(n.start as u32, n.end as u32, model.device())?;
        let [top_by_own, top_by_data] =
            predict::tangents(&hidden.rows(&along_rejected)?, &head, &top, model.precision)?;
        each(TriageRow {
            example: example.example,
            n_tokens: [y.len(), n.len()],
            shared_prefix: shared_prefix_len(chosen, rejected),
            first_difference: first_difference(chosen, rejected),
            logp_chosen: sum(&y),
            logp_rejected: sum(&n),
            rejected_depth: depth,
            deepest,
            deepest_at,
            peakiness: stats[n.clone()].iter().map(|s| s.sum_sq).sum::<f64>() / n.len() as f64,
            ches,
            ches_normalised,
            own_chosen: by_own[y.clone()].iter().sum(),
            own_rejected: by_own[n.clone()].iter().sum(),
            own_argmax: top_by_own.iter().sum(),
            data_chosen: by_data[y].iter().sum(),
            data_rejected: by_data[n].iter().sum(),
            data_argmax: top_by_data.iter().sum(),
        })?;
    }
    Ok(())
}

/// Mean depth below the most likely token, the largest depth and where it is.
fn depth(tokens: &[TokenStats<f64>]) -> (f64, f64, usize) {
    let depths = || tokens.iter().map(|t| t.argmax_logp - t.logp);
    let mean = depths().sum::<f64>() / tokens.len() as f64;
    let deepest = depths().enumerate().fold((0, 0.0), |best, (i, d)| if d > best.1 { (i, d) } else { best });
    (mean, deepest.1, deepest.0)
}

/// CHES and its length-normalised form of a packed pair: h are the rows that the head reads, one for
/// each scored token, added up in f64 so that half precision storage cannot overflow.
fn ches(model: &Model, packed: &Packed) -> Result<(f64, f64)> {
    ensure!(packed.ranges.len() == 2, "CHES compares two responses");
    let hidden = model.hidden_detached(&packed.ids, &packed.layout)?;
    let rows = hidden.index_select(&Tensor::new(packed.rows.as_slice(), model.device())?, 0)?;
    let sum = |range: &Range<usize>| -> Result<Tensor> {
        Ok(rows.narrow(0, range.start, range.len())?.to_dtype(DType::F64)?.sum(0)?)
    };
    let (chosen, rejected) = (sum(&packed.ranges[0])?, sum(&packed.ranges[1])?);
    let dot = |a: &Tensor, b: &Tensor| -> Result<f64> {
        (a * b)?.sum_all()?.to_scalar().context("a sum of hidden states")
    };
    let (cross, own) = (dot(&chosen, &rejected)?, dot(&chosen, &chosen)?);
    let [y, n] = [packed.ranges[0].len() as f64, packed.ranges[1].len() as f64];
    Ok((cross - own, cross / (y * n) - own / (y * y)))
}

/// A pair in words: the numbers that say what DPO would do to it.
pub fn explain(row: &TriageRow) -> String {
    let direction = |x: f64| if x < 0.0 { "falls" } else { "rises" };
    let mut parts = vec![
        format!("y⁺ {} by {:.3e} in a step on all pairs", direction(row.data_chosen), row.data_chosen.abs()),
        format!("{} by {:.3e} in a step on this pair", direction(row.own_chosen), row.own_chosen.abs()),
        format!(
            "y⁻ lies {:.1} nats a token below the most likely tokens, {:.1} at token {}",
            row.rejected_depth, row.deepest, row.deepest_at
        ),
    ];
    match row.first_difference {
        None => parts.push("one response begins the other".into()),
        Some(at) if at > 0 => parts.push(format!("the first {at} tokens are shared and cancel")),
        Some(_) => {}
    }
    parts.join("; ")
}

/// A number of a pair, with its name.
pub type Score = (&'static str, fn(&TriageRow) -> f64);

/// The scores that may foretell that y⁺ falls, larger meaning likelier.
pub const SCORES: [Score; 6] = [
    ("data influence", |r| -r.data_chosen),
    ("own influence", |r| -r.own_chosen),
    ("ches", |r| r.ches),
    ("ches normalised", |r| r.ches_normalised),
    ("margin", |r| r.logp_chosen - r.logp_rejected),
    ("log π(y⁺)", |r| r.logp_chosen),
];
