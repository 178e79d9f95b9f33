//! Records in, alarms out, while a stage trains: what goes wrong, since when, in which kind of
//! response, and the two or three numbers that carry it.
//!
//! Every rule compares moments of the same stage, prompt by prompt; a change counts where it is both
//! larger than its limit and several standard errors away from 0. A rule raises its alarm once a stage.
//!
//! | rule | reads | in stages |
//! |---|---|---|
//! | `not-finite` | what stopped the training | all |
//! | `squeeze`, `chosen-displaced` | probe rows | of preferences |
//! | `rewards-fall` | metrics of each step | of preferences with a reference |
//! | `unsure-of-everything` | probe rows | of finetuning |
//! | `margin-saturated` | metrics and probe rows | of preferences |
//! | `degenerate` | greedy answers; their length only in stages of preferences | of finetuning |
//! | `prediction-off` | rows of the gauge | of finetuning, where `[dynamics]` asks for it |
//!
//! Kind of truth: *measured*. An alarm says what the records show of this run; limits are choices.

mod answers;
mod rules;
mod steps;
mod sweep;
#[cfg(test)]
mod tests;
mod words;

pub use sweep::Moment;
pub use words::statement;

use crate::config::Monitor as Config;
use crate::record::{Action, AlarmRow, AnswerRow, GaugeRow, Metrics, Number, ProbeRow, Rule};
use crate::statistics::Estimate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a stage learns from, as far as rules differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Watched {
    /// Plain text: only what is not finite is an alarm.
    Text,
    /// Single responses.
    Responses,
    /// Pairs; with a reference, what a nat of log-ratio counts in `rewards/chosen`.
    Pairs(Option<f64>),
}

/// The rules in one stage.
pub struct Monitor<'a> {
    config: &'a Config,
    stage: String,
    watched: Watched,
    state: State,
}

/// What the rules remember of a stage.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    sweeps: Option<sweep::Sweeps>,
    steps: steps::Steps,
    answers: answers::Answers,
    poor_windows: Vec<(Moment, Number)>,
    raised: BTreeSet<Rule>,
    mitigated: bool,
}

/// A rule that is crossed.
struct Found {
    /// The moment that the numbers compare with.
    since: Moment,
    kind: Option<String>,
    numbers: Vec<Number>,
}

impl<'a> Monitor<'a> {
    /// Nothing seen yet.
    pub fn new(config: &'a Config, stage: &str, watched: Watched) -> Self {
        Self { config, stage: stage.to_owned(), watched, state: State::default() }
    }

    /// What has been seen so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The monitor goes on from what another one of the same stage had seen.
    #[must_use]
    pub fn after(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// What the stage learns from.
    pub fn watched(&self) -> Watched {
        self.watched
    }

    /// The squeeze index at the last probe, in nats per token.
    pub fn squeeze_index(&self) -> Option<f64> {
        Some(rules::squeeze_index(self.state.sweeps.as_ref()?)?.mean)
    }

    /// Alarms of a probe: its rows, and the greedy answers taken with it.
    pub fn probe(&mut self, at: Moment, rows: &[ProbeRow], answers: &[AnswerRow]) -> Vec<AlarmRow> {
        if self.watched == Watched::Text {
            return Vec::new();
        }
        let limits = &self.config.limits;
        let sweeps = sweep::Sweeps::after(self.state.sweeps.take(), sweep::Sweep::new(at, rows));
        let pairs = matches!(self.watched, Watched::Pairs(_));
        let mut found = vec![(Rule::UnsureOfEverything, rules::unsure_of_everything(&sweeps, limits))];
        if pairs {
            found.push((Rule::Squeeze, rules::squeeze(&sweeps, limits)));
            found.push((Rule::ChosenDisplaced, rules::chosen_displaced(&sweeps, limits)));
            found.push((Rule::MarginSaturated, self.state.steps.saturated(&sweeps.now, limits)));
        }
        found.push((Rule::Degenerate, self.state.answers.degenerate(at, answers, pairs, limits)));
        self.state.sweeps = Some(sweeps);
        found.into_iter().filter_map(|(rule, found)| self.raise(rule, at, found?)).collect()
    }

    /// Alarms of an optimiser step.
    pub fn step(&mut self, metrics: &Metrics) -> Vec<AlarmRow> {
        let Watched::Pairs(reward_unit) = self.watched else { return Vec::new() };
        let at = Moment { step: metrics.step, examples_seen: metrics.examples_seen };
        let found = self.state.steps.rewards_fall(metrics, reward_unit, &self.config.limits);
        found.and_then(|found| self.raise(Rule::RewardsFall, at, found)).into_iter().collect()
    }

    /// Alarms of a window of the gauge; `rows` are all of one window.
    pub fn gauge(&mut self, rows: &[GaugeRow]) -> Vec<AlarmRow> {
        let Some(last) = rows.last() else { return Vec::new() };
        let at = Moment { step: last.step, examples_seen: last.examples_seen };
        match rules::poor_prediction(rows, &self.config.limits) {
            Some(r2) => self.state.poor_windows.push((Moment { step: last.from_step, ..at }, r2)),
            None => self.state.poor_windows.clear(),
        }
        if self.state.poor_windows.len() < self.config.limits.windows {
            return Vec::new();
        }
        let (since, numbers) = (self.state.poor_windows[0].0, vec![self.state.poor_windows.swap_remove(0).1]);
        self.raise(Rule::PredictionOff, at, Found { since, kind: None, numbers }).into_iter().collect()
    }

    /// The alarm of a stage that ended because a number was not finite.
    pub fn not_finite(&mut self, at: Moment, what: &str) -> AlarmRow {
        let number = plain(format!("{what}, after step"), at.step as f64, "");
        self.row(Rule::NotFinite, at, Found { since: at, kind: None, numbers: vec![number] })
    }

    fn raise(&mut self, rule: Rule, at: Moment, found: Found) -> Option<AlarmRow> {
        self.state.raised.insert(rule).then(|| self.row(rule, at, found))
    }

    fn row(&mut self, rule: Rule, at: Moment, found: Found) -> AlarmRow {
        let (action, done) = self.act(rule);
        AlarmRow {
            stage: self.stage.clone(),
            rule,
            step: at.step,
            examples_seen: at.examples_seen,
            since_step: found.since.step,
            since_examples: found.since.examples_seen,
            kind: found.kind,
            statement: statement(rule, &self.config.limits),
            numbers: found.numbers,
            action,
            done,
        }
    }

    /// What is done about a rule, and in words.
    fn act(&mut self, rule: Rule) -> (Action, String) {
        let (factor, anchor) = (self.config.rate_factor, self.config.anchor);
        match (self.config.action(rule), self.watched) {
            (Action::Stop, _) => (Action::Stop, "The run stops here.".into()),
            (Action::LowerRate, _) => {
                (Action::LowerRate, format!("The learning rate is multiplied by {factor} from here on."))
            }
            (Action::Mitigate, Watched::Pairs(_)) if !self.state.mitigated => {
                self.state.mitigated = true;
                (Action::Mitigate, format!("The loss has −{anchor}·log π(y⁺)/L₊ added from here on."))
            }
            (Action::Mitigate, Watched::Pairs(_)) => {
                (Action::Warn, "A warning only: the mitigation is on already.".into())
            }
            (Action::Mitigate, _) => {
                (Action::Warn, "A warning only: this objective has no pairs to mitigate.".into())
            }
            (Action::Warn, _) => (Action::Warn, "A warning only.".into()),
        }
    }
}

/// The records of one stage, each in file order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Records<'a> {
    /// Optimiser steps.
    pub metrics: &'a [Metrics],
    /// Rows of all probes.
    pub probes: &'a [ProbeRow],
    /// Answers of all probes.
    pub answers: &'a [AnswerRow],
    /// Rows of all windows.
    pub gauge: &'a [GaugeRow],
}

/// The alarms of a stage in hindsight: what the monitor would have raised live, with the actions that it
/// would have taken.
pub fn replay(config: &Config, stage: &str, watched: Watched, records: Records) -> Vec<AlarmRow> {
    let mut monitor = Monitor::new(config, stage, watched);
    let moment = |r: &ProbeRow| {
        Some(Moment { step: r.step?, examples_seen: r.examples_seen? })
            .filter(|_| r.stage.as_deref() == Some(stage))
    };
    let probes: BTreeSet<Moment> = records.probes.iter().filter_map(moment).collect();
    let steps: BTreeSet<usize> = (probes.iter().map(|at| at.step))
        .chain(records.metrics.iter().map(|m| m.step))
        .chain(records.gauge.iter().map(|g| g.step))
        .collect();
    let mut alarms = Vec::new();
    for step in steps {
        for metrics in records.metrics.iter().filter(|m| m.step == step && m.stage == stage) {
            alarms.extend(monitor.step(metrics));
        }
        let window: Vec<GaugeRow> =
            records.gauge.iter().filter(|g| g.step == step && g.stage == stage).cloned().collect();
        alarms.extend(monitor.gauge(&window));
        for at in probes.iter().filter(|at| at.step == step) {
            let rows: Vec<ProbeRow> =
                records.probes.iter().filter(|r| moment(r) == Some(*at)).cloned().collect();
            let answers: Vec<AnswerRow> =
                records.answers.iter().filter(|a| a.step == step && a.stage == stage).cloned().collect();
            alarms.extend(monitor.probe(*at, &rows, &answers));
        }
    }
    alarms
}

/// A mean over prompts as evidence.
fn number(what: impl Into<String>, e: &Estimate, unit: &str) -> Number {
    Number { what: what.into(), value: e.mean, se: e.se, unit: unit.into() }
}

/// A plain number as evidence.
fn plain(what: impl Into<String>, value: f64, unit: &str) -> Number {
    Number { what: what.into(), value, se: None, unit: unit.into() }
}
