//! Reference log-probabilities: computed once by the reference model, kept on
//! disk under a hash of everything that they depend on.

use super::{Example, Loss};
use crate::model::Model;
use crate::objective::Preference;
use crate::score::{self, Item, NotFinite};
use crate::value::Precision;
use crate::{files, log};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tracing::info;

/// Version of the cache file's layout and of what its hash covers.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct CacheFile {
    version: u32,
    /// Hash of the reference weights and of every token id scored.
    key: String,
    /// log π_ref of chosen and rejected, nats, a row an example.
    logps: Vec<[f64; 2]>,
}

/// log π_ref of every pair, as the loss sums it, from the cache in `folder` if it holds them. Returns
/// whether it did. The values are those of the reference scored as the policy is,
/// bit for bit on a CPU, so that policy = reference gives a margin of exactly 0.
///
/// # Errors
/// [`NotFinite`] for a log-probability, by example; failures of the model or the disk; a cache file that is broken or does not fit
/// (remove it).
pub fn reference_log_probs(
    reference: &Model,
    preference: &Preference,
    examples: &[Example],
    folder: &Path,
) -> Result<(Vec<[f64; 2]>, bool)> {
    let key = key(reference, preference, examples)?;
    let path = folder.join(format!("reference-{}.json", &key[..16]));
    let file = path.display();
    if path.exists() {
        let logps = read(&path, &key, examples.len())?;
        info!(%file, pairs = logps.len(), "reference log-probabilities found in the cache");
        return Ok((logps, true));
    }
    let started = Instant::now();
    let logps = pair_log_probs(reference, preference, examples)?;
    info!(%file, pairs = logps.len(), seconds = log::seconds(started), "reference log-probabilities computed");
    let file = CacheFile { version: VERSION, key, logps };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    files::write(&path, &serde_json::to_vec(&file)?)?;
    Ok((file.logps, false))
}

/// Gives every pair log π_ref under `reference` where the loss uses it; nothing is kept on disk.
///
/// # Errors
/// Failures of the model.
pub fn add_reference(reference: &Model, loss: &Loss, examples: &mut [Example]) -> Result<()> {
    if let Loss::Preference(preference) = loss
        && preference.loss.uses_reference()
    {
        let logps = pair_log_probs(reference, preference, examples)?;
        examples.iter_mut().zip(logps).for_each(|(example, logps)| example.reference = Some(logps));
    }
    Ok(())
}

fn pair_log_probs(reference: &Model, preference: &Preference, examples: &[Example]) -> Result<Vec<[f64; 2]>> {
    let items: Vec<Item> = examples.iter().map(Example::item).collect();
    let tokens = score::score_with(reference, &items, |stats, _| {
        Ok(stats.iter().map(|s| s.logp).collect::<Vec<f64>>())
    })?;
    let pair = |r: Vec<Vec<f64>>| [preference.sum(&r[0], r[1].len()), preference.sum(&r[1], r[0].len())];
    let pairs: Vec<[f64; 2]> = tokens.into_iter().map(pair).collect();
    match pairs.iter().zip(examples).find(|(pair, _)| pair.iter().any(|logp| !logp.is_finite())) {
        None => Ok(pairs),
        Some(([chosen, rejected], Example { example, .. })) => Err(NotFinite(format!(
            "example {example}: log π_ref(y⁺) = {chosen}, log π_ref(y⁻) = {rejected} under the reference model"
        ))
        .into()),
    }
}

fn key(reference: &Model, preference: &Preference, examples: &[Example]) -> Result<String> {
    let mut hash = Sha256::new();
    // The device and number type belong to the values' last bits, and a precision to more.
    hash.update(format!(
        "{VERSION} {} {:?} {:?}",
        reference.sha256()?,
        reference.device().location(),
        reference.dtype()
    ));
    if reference.precision != Precision::Full {
        hash.update(reference.precision.name());
    }
    if let Some(ld) = preference.ld {
        hash.update(format!("{ld:?}"));
    }
    add_ids(&mut hash, examples);
    Ok(format!("{:x}", hash.finalize()))
}

/// SHA-256 over the token ids of the examples in order, hexadecimal.
pub fn hash(examples: &[Example]) -> String {
    let mut hash = Sha256::new();
    add_ids(&mut hash, examples);
    format!("{:x}", hash.finalize())
}

fn add_ids(hash: &mut Sha256, examples: &[Example]) {
    for ids in examples.iter().flat_map(|e| std::iter::once(&e.prompt).chain(&e.responses)) {
        hash.update((ids.len() as u64).to_le_bytes());
        ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
    }
}

fn read(path: &PathBuf, key: &str, n: usize) -> Result<Vec<[f64; 2]>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: CacheFile = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is broken: remove it to compute it anew", path.display()))?;
    if file.version != VERSION || file.key != key || file.logps.len() != n {
        bail!(
            "{} holds {} rows of version {} under key {}, expected {n} of version {VERSION} under {key}: remove it to compute it anew",
            path.display(),
            file.logps.len(),
            file.version,
            file.key
        )
    }
    Ok(file.logps)
}
