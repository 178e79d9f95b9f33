//! Probes as the rules compare them: the same prompts at two moments.

use crate::config::Limits;
use crate::record::ProbeRow;
use crate::statistics::{Estimate, estimate, estimate_of_enough};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A moment of a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// Optimiser steps done.
    pub step: usize,
    /// Training examples consumed.
    pub examples_seen: usize,
}

/// What a probe says of one response.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ledger {
    /// log π of the response, nats.
    pub logp: f64,
    /// The same per token.
    pub label: f64,
    /// log π of the most likely tokens in its contexts, nats per token.
    pub argmax: f64,
}

/// One probe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sweep {
    pub at: Moment,
    kinds: BTreeMap<String, BTreeMap<usize, Ledger>>,
}

impl Sweep {
    pub fn new(at: Moment, rows: &[ProbeRow]) -> Self {
        let mut kinds: BTreeMap<String, BTreeMap<usize, Ledger>> = BTreeMap::new();
        for row in rows {
            let argmax = row.argmax_logp / row.n_tokens.max(1) as f64;
            let ledger = Ledger { logp: row.logp, label: row.logp_mean, argmax };
            kinds.entry(row.kind.clone()).or_default().insert(row.example, ledger);
        }
        Self { at, kinds }
    }

    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    fn mean(&self, kind: &str, of: fn(&Ledger) -> f64) -> Option<f64> {
        Some(estimate(&self.kinds.get(kind)?.values().map(of).collect::<Vec<_>>())?.mean)
    }

    /// log π(y⁺) − log π(y⁻) by prompt.
    fn margins(&self) -> Option<BTreeMap<usize, f64>> {
        let rejected = self.kinds.get("rejected")?;
        let chosen = self.kinds.get("chosen")?.iter();
        Some(chosen.filter_map(|(e, l)| Some((*e, l.logp - rejected.get(e)?.logp))).collect())
    }

    /// Mean change of the margin since `from`, nats.
    pub fn margin_change(&self, from: &Sweep) -> Option<Estimate> {
        let (before, now) = (from.margins()?, self.margins()?);
        estimate_of_enough(&now.iter().filter_map(|(e, m)| Some(m - before.get(e)?)).collect::<Vec<_>>())
    }

    /// Mean change of one kind since `from`, prompt by prompt; `None` for too few prompts.
    pub fn change(&self, from: &Sweep, kind: &str, of: fn(&Ledger) -> f64) -> Option<Estimate> {
        let before = from.kinds.get(kind)?;
        let now = self.kinds.get(kind)?.iter();
        estimate_of_enough(&now.filter_map(|(e, l)| Some(of(l) - of(before.get(e)?))).collect::<Vec<_>>())
    }
}

/// The probes of a stage that rules compare.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sweeps {
    /// The first.
    pub start: Sweep,
    /// The one with the highest mean log π(y⁺) so far.
    pub peak: Sweep,
    /// The last.
    pub now: Sweep,
}

impl Sweeps {
    pub fn after(earlier: Option<Self>, now: Sweep) -> Self {
        let Some(Self { start, peak, .. }) = earlier else {
            return Self { start: now.clone(), peak: now.clone(), now };
        };
        let height = |sweep: &Sweep| sweep.mean("chosen", |l| l.logp).unwrap_or(f64::NEG_INFINITY);
        let peak = if height(&now) > height(&peak) { now.clone() } else { peak };
        Self { start, peak, now }
    }
}

/// Whether a mean change is several standard errors below 0.
pub fn below_zero(e: &Estimate, limits: &Limits) -> bool {
    e.se.is_some_and(|se| e.mean < -limits.standard_errors * se)
}

/// Whether a mean change is several standard errors above 0.
pub fn above_zero(e: &Estimate, limits: &Limits) -> bool {
    e.se.is_some_and(|se| e.mean > limits.standard_errors * se)
}

/// Whether a mean change of log π per token is a fall that counts.
pub fn falls(e: &Estimate, limits: &Limits) -> bool {
    e.mean < -limits.fall && below_zero(e, limits)
}
