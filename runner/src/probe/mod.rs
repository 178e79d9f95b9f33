//! Observation: every response kind of every probed prompt, scored by teacher
//! forcing. Probing never touches weights.

mod answers;

pub use answers::answers;

use crate::data::TokenizedRecord;
use crate::model::Model;
use crate::record::{ProbeRow, RELIABILITY_BINS, Reliability};
use crate::score::{self, Item, NotFinite};
use anyhow::Result;
use ldyn_core::Error;
use ldyn_core::diagnostics::{Bin, ResponseStats, TokenStats, reliability_into};
use std::collections::{BTreeMap, BTreeSet};

/// The kind in whose contexts the greedy choice is compared with the label.
const CALIBRATED: &str = "chosen";

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
    let scored = score::score_with(model, &items, |stats, labels| {
        // What the bins refuse waits until the log-probability has been looked at.
        Ok((ResponseStats::from_tokens(stats, model.vocab_size())?, reliability(stats, labels)))
    })?;
    let mut rows = Vec::new();
    for (record, responses) in records.iter().zip(scored) {
        for ((kind, _), (s, reliability)) in record.responses.iter().zip(responses) {
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
                reliability: if kind == CALIBRATED { Some(reliability?) } else { None },
            });
        }
    }
    Ok(rows)
}

/// Greedy confidence against whether the argmax was the label, over the tokens of a response.
fn reliability(stats: &[TokenStats<f64>], labels: &[u32]) -> Result<Reliability, Error> {
    let mut bins = [Bin::default(); RELIABILITY_BINS];
    let greedy =
        stats.iter().zip(labels).map(|(s, &label)| (s.argmax_logp.exp(), s.argmax == label as usize));
    reliability_into(greedy, &mut bins)?;
    Ok(Reliability::from(&bins))
}

/// Mean log π by kind.
pub fn mean_logps(rows: &[ProbeRow]) -> BTreeMap<&str, f64> {
    let kinds: BTreeSet<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
    kinds.into_iter().filter_map(|kind| Some((kind, mean_logp(rows, kind)?))).collect()
}

/// Mean log π of one kind over the rows that have it.
pub fn mean_logp(rows: &[ProbeRow], kind: &str) -> Option<f64> {
    let values: Vec<f64> = rows.iter().filter(|r| r.kind == kind).map(|r| r.logp).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldyn_core::diagnostics::token_stats;

    #[test]
    fn a_token_is_right_where_the_argmax_is_its_label() {
        // π = (0.8, 0.1, 0.1) twice, right and wrong; a tie, which goes to the first; π = (1, 0).
        let ln4 = 8.0_f64.ln();
        let rows: [(&[f64], u32); 4] =
            [(&[ln4, 0.0, 0.0], 0), (&[ln4, 0.0, 0.0], 2), (&[1.0, 1.0], 1), (&[0.0, f64::NEG_INFINITY], 0)];
        let stats: Vec<_> = rows.iter().map(|(z, label)| token_stats(z, *label as usize).unwrap()).collect();
        let found = reliability(&stats, &rows.map(|(_, label)| label)).unwrap();
        assert_eq!(found.tokens, [0, 0, 0, 0, 1, 0, 0, 2, 0, 1]);
        assert_eq!(found.correct, [0, 0, 0, 0, 0, 0, 0, 1, 0, 1]);
        assert!((found.confidence[7] - 1.6).abs() < 1e-12 && found.confidence[9] == 1.0, "{found:?}");
    }
}
