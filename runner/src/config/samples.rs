//! Responses that the policy gives itself when a stage begins: on-policy pairs, and SPIN's.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Responses drawn from the policy as it is when the stage begins, in place of the data's. They are kept in the run
/// folder, in `<stage>-samples.jsonl`. Several such stages, one after the other, are as many iterations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Samples {
    /// What they take the place of.
    pub replace: Replace,
    /// Responses to each prompt; of a pair the best and the worst are taken.
    pub per_prompt: usize,
    /// Longest response in tokens, EOS included.
    pub max_new_tokens: usize,
    /// Divides the logits.
    pub temperature: f64,
    /// Draw among the fewest most likely tokens whose mass reaches this.
    pub top_p: f64,
    /// What ranks them: required for a pair, and nothing to `rejected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<Reward>,
}

/// What the policy's responses take the place of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replace {
    /// y⁺ and y⁻: on-policy preference training.
    #[default]
    Pair,
    /// y⁻, while y⁺ is the data's: self-play (SPIN).
    Rejected,
}

/// What ranks responses to the same prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Reward {
    /// log π of the response under the model in this folder, mean over its tokens (sums would prefer short ones).
    Likelihood(PathBuf),
    /// log π of the response under the first model minus the second's: the reward that a preference-trained model and
    /// its reference stand for.
    LogRatio(PathBuf, PathBuf),
    /// A command, run once: rows `{"prompt", "response"}` come on its standard input as JSON lines, and it
    /// answers with a number a row, each on a line.
    Command(Vec<String>),
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            replace: Replace::Pair,
            per_prompt: 2,
            max_new_tokens: 128,
            temperature: 1.0,
            top_p: 1.0,
            reward: None,
        }
    }
}

impl Samples {
    pub(super) fn check(&self) -> Result<()> {
        match (self.replace, &self.reward) {
            (Replace::Pair, None) => {
                bail!(
                    "samples.reward is missing: a pair is ranked by `likelihood` (a model folder), `log_ratio` (two) or \
                     `command`"
                )
            }
            (Replace::Rejected, Some(_)) => {
                bail!("samples.reward has no effect with replace = \"rejected\": remove it")
            }
            (Replace::Pair, _) if self.per_prompt < 2 => {
                bail!("samples.per_prompt = {}: a pair takes at least 2", self.per_prompt)
            }
            (Replace::Rejected, _)
                if self.per_prompt != 1 && self.per_prompt != Self::default().per_prompt =>
            {
                bail!(
                    "samples.per_prompt = {}: replace = \"rejected\" takes one response a prompt",
                    self.per_prompt
                )
            }
            _ => {}
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            bail!("samples.temperature = {}: expected a positive number", self.temperature)
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            bail!("samples.top_p = {}: expected a number in (0, 1]", self.top_p)
        }
        if self.max_new_tokens == 0 {
            bail!("samples.max_new_tokens = 0: give at least 1")
        }
        Ok(())
    }

    /// Responses drawn for each prompt.
    pub fn drawn(&self) -> usize {
        match self.replace {
            Replace::Pair => self.per_prompt,
            Replace::Rejected => 1,
        }
    }

    /// In words, for the loss's summary.
    pub fn summary(&self) -> String {
        match self.replace {
            Replace::Pair => format!("y± the best and worst of {} answers of the policy", self.per_prompt),
            Replace::Rejected => "y⁻ an answer of the policy".into(),
        }
    }
}
