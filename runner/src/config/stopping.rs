//! Whether a stage gives the weights of its best probe, and when it stops for want of a better one.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// A stage that ends at the peak of log π of one kind of response.
///
/// At each of the stage's probes, the one before its first step too, log π of the kind is averaged over the probed
/// prompts (nats, summed over tokens). The weights of the probe where that mean was highest are kept, of equal ones
/// those of the first. However the stage ends, by its last step, by `patience` or by an alarm, its weights are
/// then these: they are saved, and the next stage goes on from them.
///
/// ```
/// let text = "output = 'o'\n[model]\npath = 'm'\n[data]\ntrain = 'd'\n[[stages]]\nobjective = 'dpo'\n\
///             early_stopping = { patience = 3 }";
/// let study = ldyn::config::parse(text, &[])?;
/// let stopping = study.stages[0].early_stopping.as_ref().unwrap();
/// assert_eq!((stopping.kind.as_str(), stopping.patience), ("chosen", Some(3)));
/// # anyhow::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// The kind whose mean log π is followed; it must be probed.
    pub kind: String,
    /// Probes in a row without a new peak after which the stage stops; absent, it takes all its steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { kind: "chosen".into(), patience: None }
    }
}

impl EarlyStopping {
    /// Checks what types alone cannot: `probed` are the kinds that the study names for probing, none for all, and
    /// `probe_every` the examples between two of the stage's probes.
    ///
    /// # Errors
    /// A patience of 0, a kind that is not probed, a stage that probes at its two ends only.
    pub(super) fn check(&self, probed: &[String], probe_every: usize) -> Result<()> {
        if self.patience == Some(0) {
            bail!("patience = 0: give at least 1, or leave it out for a stage that takes all its steps")
        }
        if !probed.is_empty() && !probed.contains(&self.kind) {
            bail!(
                "kind = {:?} is not among probe.kinds ({}): add it there, or name one of them",
                self.kind,
                probed.join(", ")
            )
        }
        if probe_every == 0 {
            bail!(
                "the stage probes at its two ends only: set probe_every_examples to what a peak may be off by"
            )
        }
        Ok(())
    }

    /// In words.
    pub(super) fn summary(&self) -> String {
        let patience = match self.patience {
            Some(1) => ", given up after 1 probe without a new one".into(),
            Some(n) => format!(", given up after {n} probes without a new one"),
            None => String::new(),
        };
        format!("ends at the peak of log π of `{}`{patience}", self.kind)
    }
}
