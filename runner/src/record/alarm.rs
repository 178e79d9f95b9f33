//! What the monitor raises, what it does about it, and the answers that it reads.

use serde::{Deserialize, Serialize};

/// What an alarm is about. The name in files is in kebab-case, such as `chosen-displaced`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A loss, gradient or log-probability is NaN or infinite.
    NotFinite,
    /// Mass moves to the most likely tokens while the responses lose it.
    Squeeze,
    /// log π(y⁺) falls below its start while the margin grows.
    ChosenDisplaced,
    /// Step by step, y⁺ falls far below the reference.
    RewardsFall,
    /// Every fluent kind falls, y⁺ too.
    UnsureOfEverything,
    /// Nothing is left to learn from the pairs, and log π(y⁺) falls all the same.
    MarginSaturated,
    /// Greedy answers repeat themselves, run on, or end at once.
    Degenerate,
    /// First order no longer predicts what the steps do.
    PredictionOff,
}

impl Rule {
    /// Every rule, in the order in which they are looked at.
    pub const ALL: [Self; 8] = [
        Self::NotFinite,
        Self::Squeeze,
        Self::ChosenDisplaced,
        Self::RewardsFall,
        Self::UnsureOfEverything,
        Self::MarginSaturated,
        Self::Degenerate,
        Self::PredictionOff,
    ];

    /// Its name in files and configurations.
    pub fn id(self) -> &'static str {
        match self {
            Self::NotFinite => "not-finite",
            Self::Squeeze => "squeeze",
            Self::ChosenDisplaced => "chosen-displaced",
            Self::RewardsFall => "rewards-fall",
            Self::UnsureOfEverything => "unsure-of-everything",
            Self::MarginSaturated => "margin-saturated",
            Self::Degenerate => "degenerate",
            Self::PredictionOff => "prediction-off",
        }
    }
}

/// What is done when an alarm is raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The alarm is recorded and shown.
    #[default]
    Warn,
    /// The run stops; the model is saved as it is.
    Stop,
    /// The learning rate is multiplied by `monitor.rate_factor` from here on.
    LowerRate,
    /// The loss becomes L − ν·log π(y⁺)/L₊ from here on, ν = `monitor.anchor`.
    Mitigate,
}

/// A number that carries an alarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// What it is, in words.
    pub what: String,
    /// The value, a mean over prompts where `se` is given.
    pub value: f64,
    /// Standard error over prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub se: Option<f64>,
    /// Unit; empty for a pure number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

/// An alarm: a rule's first crossing in a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmRow {
    /// Stage name.
    pub stage: String,
    /// The rule that was crossed.
    pub rule: Rule,
    /// Optimiser steps done in the stage when it was raised.
    pub step: usize,
    /// Training examples consumed in the stage when it was raised.
    pub examples_seen: usize,
    /// Optimiser steps done at the moment that the numbers compare with.
    pub since_step: usize,
    /// Training examples consumed at that moment.
    pub since_examples: usize,
    /// Response kind, or kind whose contexts are meant; absent where it is about the whole model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The rule in words, with its limits.
    pub statement: String,
    /// The numbers that crossed it.
    pub numbers: Vec<Number>,
    /// What was done.
    pub action: Action,
    /// The same in words.
    pub done: String,
}

impl AlarmRow {
    /// The numbers as one line.
    pub fn evidence(&self) -> String {
        let mut words: Vec<String> = self.numbers.iter().map(Number::words).collect();
        if let Some(kind) = &self.kind {
            words.insert(0, format!("kind {kind}"));
        }
        words.join("; ")
    }

    /// The alarm as one line for a log.
    pub fn line(&self) -> String {
        format!(
            "alarm `{}` in stage {}, step {} ({} examples), against step {}: {}. {}",
            self.rule.id(),
            self.stage,
            self.step,
            self.examples_seen,
            self.since_step,
            self.evidence(),
            self.done
        )
    }
}

impl Number {
    /// Name, value, standard error and unit.
    pub fn words(&self) -> String {
        // Counts are whole.
        let whole = self.se.is_none() && self.value.fract() == 0.0 && self.value.abs() < 1e9;
        let minus = |x: f64| if whole { x.to_string() } else { format!("{x:.3}") }.replace('-', "−");
        let error = self.se.map_or(String::new(), |se| format!(" ± {}", minus(se)));
        let gap = if self.unit.is_empty() { "" } else { " " };
        format!("{} {}{error}{gap}{}", self.what, minus(self.value), self.unit)
    }
}

/// A greedy answer to a probed prompt, measured in tokens without its EOS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerRow {
    /// Stage name.
    pub stage: String,
    /// Optimiser steps done in the stage.
    pub step: usize,
    /// Training examples consumed in the stage.
    pub examples_seen: usize,
    /// Line of the data file, from 0.
    pub example: usize,
    /// Tokens.
    pub n_tokens: usize,
    /// Whether it ended by itself; otherwise it was cut at the longest length.
    pub ended: bool,
    /// Share of its 4-grams that occurred before.
    pub repetition: f64,
    /// Share of its bigrams that differ from one another.
    pub distinct: f64,
    /// Tokens of the longest stretch that repeats itself, as a share of the answer.
    pub looped: f64,
    /// Share of its 4-grams that occur in y⁺ of other probed questions, and in neither its own prompt nor its own
    /// y⁺; absent where no other question has a y⁺, and in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub borrowed: Option<f64>,
    /// The answer.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_called_the_same_in_words_and_in_files() {
        for rule in Rule::ALL {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.id());
        }
    }
}
