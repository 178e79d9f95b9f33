//! What the monitor looks for while a stage trains, and what it does then.

use crate::record::{Action, Rule};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The live monitor: see [`crate::monitor`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Monitor {
    /// Whether the records are watched at all.
    pub enabled: bool,
    /// Action `lower_rate` multiplies the learning rate by this. A decade by default: what needs more
    /// than that needs a person.
    pub rate_factor: f64,
    /// Action `mitigate` adds this times the mean NLL of y⁺ to a preference loss (RPO). 1 by default,
    /// the weight of the paper that proposed it.
    pub anchor: f64,
    /// Probed prompts that are answered greedily at each probe of a finetuning stage; 0 for none.
    pub answers: usize,
    /// Longest such answer in tokens: enough for a loop to show.
    pub answer_tokens: usize,
    /// What is done when a rule's alarm is raised, by the rule's name: `warn` (the default), `stop`,
    /// `lower_rate` or `mitigate`. `not-finite` always stops.
    pub actions: BTreeMap<Rule, Action>,
    /// Where the rules draw their lines.
    pub limits: Limits,
}

/// Limits of the monitor's rules. They separate a change that matters from one that does not; whether it
/// is a change at all is decided against its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Standard errors over prompts that a mean change must be away from 0. Three, not two as in the
    /// report: a run is looked at many times.
    pub standard_errors: f64,
    /// Least fall of log π that counts, nats per token: 0.05 takes 5 % off every token's probability.
    pub fall: f64,
    /// Least rise of greedy confidence that counts, nats per token. Smaller than `fall`, because the
    /// most likely token has less room to gain than a response has to lose.
    pub rise: f64,
    /// Share of the tracked kinds that must fall for "nearly everything".
    pub share: f64,
    /// Fall of log π(y⁺) against the reference, as a share of its level, that needs no probe to be seen.
    pub reward_fall: f64,
    /// Accuracy from which the pairs are taken as learned.
    pub accuracy: f64,
    /// Weight w₊, as a share of its start, below which a pair teaches nothing more.
    pub weight: f64,
    /// Optimiser steps over which accuracy and weight are averaged.
    pub window: usize,
    /// Rise of a share of answers, or of the share of repeated 4-grams in them, that counts.
    pub repetition: f64,
    /// Growth of the answers' length that counts.
    pub lengthening: f64,
    /// R² of predicted against measured changes below which first order has stopped being enough.
    pub r2: f64,
    /// Windows of the gauge in a row that must lie below it.
    pub windows: usize,
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            enabled: true,
            rate_factor: 0.1,
            anchor: 1.0,
            answers: 8,
            answer_tokens: 32,
            actions: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            standard_errors: 3.0,
            fall: 0.05,
            rise: 0.02,
            share: 0.9,
            reward_fall: 0.2,
            accuracy: 0.99,
            weight: 0.1,
            window: 10,
            repetition: 0.2,
            lengthening: 2.0,
            r2: 0.5,
            windows: 3,
        }
    }
}

impl Monitor {
    /// What is done when `rule` is crossed.
    pub fn action(&self, rule: Rule) -> Action {
        match rule {
            Rule::NotFinite => Action::Stop,
            _ => self.actions.get(&rule).copied().unwrap_or_default(),
        }
    }

    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// A number out of its range, or another action than `stop` for `not-finite`.
    pub fn check(&self) -> Result<()> {
        let limits = &self.limits;
        if self.actions.get(&Rule::NotFinite).is_some_and(|a| *a != Action::Stop) {
            bail!("actions.not-finite: a run that is no longer finite cannot go on; remove the key")
        }
        if !(self.rate_factor > 0.0 && self.rate_factor < 1.0) {
            bail!("rate_factor = {}: expected a number between 0 and 1", self.rate_factor)
        }
        for (key, value) in [
            ("anchor", self.anchor),
            ("limits.standard_errors", limits.standard_errors),
            ("limits.fall", limits.fall),
            ("limits.rise", limits.rise),
            ("limits.share", limits.share),
            ("limits.reward_fall", limits.reward_fall),
            ("limits.accuracy", limits.accuracy),
            ("limits.weight", limits.weight),
            ("limits.repetition", limits.repetition),
        ] {
            if !(value.is_finite() && value > 0.0) {
                bail!("{key} = {value}: expected a positive number")
            }
        }
        if !(limits.lengthening.is_finite() && limits.lengthening > 1.0) {
            bail!("limits.lengthening = {}: expected a number above 1", limits.lengthening)
        }
        if limits.share > 1.0 || limits.accuracy > 1.0 {
            bail!("limits.share and limits.accuracy are shares: expected at most 1")
        }
        if !limits.r2.is_finite() || limits.r2 > 1.0 {
            bail!("limits.r2 = {}: expected a number up to 1", limits.r2)
        }
        if limits.window == 0 || limits.windows == 0 {
            bail!("limits.window and limits.windows count steps and windows: expected at least 1")
        }
        Ok(())
    }
}
