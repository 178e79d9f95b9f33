//! When a run writes checkpoints, and what may differ when it is continued.

use super::Study;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// When a run writes checkpoints, and how many it keeps. The end of a stage is one in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoints {
    /// Optimiser steps between two; 0 for the ends of stages only. By default a write takes well under
    /// a hundredth of the time of these steps.
    pub save_steps: usize,
    /// Checkpoints kept, the newest; 0 for all. With one there is none to fall back to.
    pub save_total_limit: usize,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { save_steps: 200, save_total_limit: 2 }
    }
}

/// What does not decide a run's numbers: where things lie, of which the content is compared instead, and
/// what is kept.
const FREE: [&str; 11] = [
    "memory_check",
    "output",
    "cache",
    "checkpoints",
    "tracking",
    "model.path",
    "model.config",
    "model.tokenizer",
    "data.train",
    "data.held_out",
    "probe.data",
];

/// Keys of a stage that may change from a checkpoint on: what to try where a stage has diverged.
const OF_STEPS: [&str; 2] = ["learning_rate", "max_grad_norm"];

/// What keeps a run of `before` from being continued as `now`: a line a key.
///
/// # Errors
/// A path that is not valid Unicode.
///
/// ```
/// # let text = "output = 'o'\n[model]\npath = 'm'\n[data]\ntrain = 'd'\n[[stages]]\nobjective = 'dpo'";
/// use ldyn::config::{changes, parse};
/// let before = parse(text, &[])?;
/// let free = parse(text, &["output=p".into(), "checkpoints.save_total_limit=5".into()])?;
/// assert!(changes(&before, &free)?.is_empty());
/// let other = parse(text, &["stages.dpo.beta=0.2".into()])?;
/// assert_eq!(changes(&before, &other)?, ["stages.0.beta was 0.1, is 0.2"]);
/// # anyhow::Ok(())
/// ```
pub fn changes(before: &Study, now: &Study) -> Result<Vec<String>> {
    Ok(differing(before, now)?.into_iter().map(|(_, change)| change).collect())
}

/// [`changes`], apart: those that keep a run from being continued, and those of `learning_rate` and `max_grad_norm` in
/// the stage `open` and later ones, which only decide the steps to come.
///
/// # Errors
/// As [`changes`].
pub fn changes_before(open: usize, before: &Study, now: &Study) -> Result<(Vec<String>, Vec<String>)> {
    let to_come = |key: &str| {
        let of_stage = key.strip_prefix("stages.").and_then(|rest| rest.split_once('.'));
        of_stage.is_some_and(|(stage, key)| {
            stage.parse().is_ok_and(|i: usize| i >= open) && OF_STEPS.contains(&key)
        })
    };
    let (mut kept, mut free) = (Vec::new(), Vec::new());
    for (key, change) in differing(before, now)? {
        if to_come(&key) { free.push(change) } else { kept.push(change) }
    }
    Ok((kept, free))
}

/// Keys that decide a run's numbers and differ, each with its line.
fn differing(before: &Study, now: &Study) -> Result<Vec<(String, String)>> {
    let (before, now) = (leaves(before)?, leaves(now)?);
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let of = |side: &BTreeMap<String, String>, key| side.get(key).cloned().unwrap_or("absent".into());
    Ok(keys
        .into_iter()
        .filter(|key| !FREE.iter().any(|free| key.strip_prefix(free).is_some_and(below)))
        .filter(|key| before.get(*key) != now.get(*key))
        .map(|key| (key.clone(), format!("{key} was {}, is {}", of(&before, key), of(&now, key))))
        .collect())
}

/// Whether what follows a key's beginning leaves the key whole.
fn below(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('.')
}

/// Every value that is no table, by its key.
fn leaves(study: &Study) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    flatten("", &toml::Value::try_from(study)?, &mut found);
    Ok(found)
}

fn flatten(key: &str, value: &toml::Value, found: &mut BTreeMap<String, String>) {
    let inner = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(k, v)| flatten(&inner(k), v, found)),
        toml::Value::Array(tables) if tables.iter().any(toml::Value::is_table) => {
            tables.iter().enumerate().for_each(|(i, v)| flatten(&inner(&i.to_string()), v, found));
        }
        leaf => {
            found.insert(key.to_owned(), leaf.to_string());
        }
    }
}
