//! Observation: every response kind of every probed prompt, scored by teacher
//! forcing. Probing never touches weights.

mod answers;

pub use answers::answers;

use crate::data::TokenizedRecord;
use crate::model::Model;
use crate::record::ProbeRow;
use crate::score::{self, Item, NotFinite};
use anyhow::Result;

/// Where in a run a probe is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// Stage name.
    pub stage: String,
    /// Optimiser steps done in the stage.
    pub step: usize,
    /// Training examples consumed in the stage.
    pub examples_seen: usize,
}

/// Scores every response of every record: a row each, in order.
///
/// # Errors
/// As [`score::score`]; [`NotFinite`] for a log-probability, by example and kind.
pub fn sweep(model: &Model, records: &[TokenizedRecord], when: Option<&When>) -> Result<Vec<ProbeRow>> {
    let items: Vec<Item> = records.iter().map(Item::from).collect();
    let scored = score::score(model, &items)?;
    let mut rows = Vec::new();
    for (record, responses) in records.iter().zip(scored) {
        for ((kind, _), s) in record.responses.iter().zip(responses) {
            if !s.logp.is_finite() {
                return Err(NotFinite(format!(
                    "example {}, kind `{kind}`: log π = {} over {} tokens; the weights have diverged",
                    record.example, s.logp, s.n_tokens
                ))
                .into());
            }
            rows.push(ProbeRow {
                stage: when.map(|w| w.stage.clone()),
                step: when.map(|w| w.step),
                examples_seen: when.map(|w| w.examples_seen),
                example: record.example,
                kind: kind.clone(),
                n_tokens: s.n_tokens,
                logp: s.logp,
                logp_mean: s.logp_mean,
                argmax_logp: s.argmax_logp,
                rest_logp: s.rest_logp,
                a_norm: s.a_norm,
                a_norm_reference: s.a_norm_reference,
                gap_norm: s.gap_norm,
                energy: s.energy,
                entropy: s.entropy,
            });
        }
    }
    Ok(rows)
}

/// Mean log π of one kind over the rows that have it.
pub fn mean_logp(rows: &[ProbeRow], kind: &str) -> Option<f64> {
    let values: Vec<f64> = rows.iter().filter(|r| r.kind == kind).map(|r| r.logp).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
