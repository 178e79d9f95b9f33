//! Checkpoints on disk: written whole or not at all, read only if every bit is as it was written.

use super::{Checkpoint, State, VERSION};
use crate::model::write_tensors;
use crate::record::CHECKPOINTS;
use crate::value::Census;
use crate::{files, log};
use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor, safetensors};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tracing::info;

const STATE: &str = "state.json";
const TENSORS: &str = "tensors.safetensors";
const SUMS: &str = "SHA256SUMS";

/// Writes a checkpoint of the run in the folder `run` and returns where it lies.
///
/// # Errors
/// A failed write, such as a full disk; nothing of it is left then.
pub fn save(run: &Path, state: &State, tensors: Vec<(String, Tensor)>) -> Result<PathBuf> {
    let started = Instant::now();
    let folder = run.join(CHECKPOINTS).join(state.name());
    // One of the same moment, from before the run was continued, says the same.
    files::remove_folder(&folder)?;
    let written = files::write_folder(&folder, |partial| {
        let text = serde_json::to_string_pretty(state)? + "\n";
        fs::write(partial.join(STATE), text)?;
        write_tensors(&partial.join(TENSORS), tensors, None)?;
        Ok(fs::write(partial.join(SUMS), sums(partial)?)?)
    });
    written.with_context(|| {
        format!(
            "cannot write the checkpoint {}; the run can go on from the one before with --resume",
            folder.display()
        )
    })?;
    info!(
        folder = %folder.display(),
        bytes = files::bytes(&folder),
        seconds = log::seconds(started),
        "checkpoint written"
    );
    Ok(folder)
}

/// Reads the checkpoint in `folder`; its tensors go to `device`.
///
/// # Errors
/// A missing, cut or changed file, a checkpoint of another version, or one with a number that is NaN or infinite.
pub fn load(folder: &Path, device: &Device) -> Result<Checkpoint> {
    let read = || -> Result<Checkpoint> {
        let expected = files::read_text(&folder.join(SUMS)).context(SUMS)?;
        let found = sums(folder)?;
        let changed = |(line, _): &(&str, &str)| expected.lines().all(|other| other != *line);
        let changed = found.lines().zip([STATE, TENSORS]).find(changed);
        ensure!(
            found == expected,
            "{} is not as {SUMS} has it: it was cut or damaged",
            changed.map_or("the list of files", |(_, name)| name)
        );
        let text = files::read_text(&folder.join(STATE))?;
        let version = serde_json::from_str::<serde_json::Value>(&text)?["version"].clone();
        ensure!(
            version == VERSION,
            "it has version {version}, this program reads {VERSION}: continue the run with the ldyn that began it"
        );
        let state: State = serde_json::from_str(&text).context(STATE)?;
        state.check().context(STATE)?;
        let tensors: BTreeMap<_, _> = safetensors::load(folder.join(TENSORS), device)?.into_iter().collect();
        for (name, tensor) in &tensors {
            let dtype = tensor.dtype();
            // What stands for candle's types without numbers has no elements that could be counted.
            ensure!(
                matches!(dtype, DType::F32 | DType::F64),
                "`{name}` is of type {dtype:?}, a checkpoint holds f32 or f64"
            );
            let census = Census::of(tensor)?;
            ensure!(census.is_finite(), "`{name}` holds numbers that are not finite: {census}");
        }
        Ok(Checkpoint { state, tensors })
    };
    let started = Instant::now();
    let checkpoint = read().with_context(|| format!("checkpoint {}", folder.display()))?;
    info!(
        folder = %folder.display(),
        bytes = files::bytes(folder),
        seconds = log::seconds(started),
        "checkpoint verified"
    );
    Ok(checkpoint)
}

/// The checkpoints of the run in the folder `run`, oldest first.
///
/// # Errors
/// A folder that cannot be read.
pub fn list(run: &Path) -> Result<Vec<PathBuf>> {
    let folder = run.join(CHECKPOINTS);
    let context = || format!("cannot read {}", folder.display());
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(context)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(context)?.path();
        let moment = path.file_name().and_then(|name| moment(name.to_str()?));
        found.extend(moment.map(|moment| (moment, path)));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Removes all but the newest `keep` checkpoints; none for `keep` = 0.
///
/// # Errors
/// A checkpoint that cannot be removed.
pub fn prune(run: &Path, keep: usize) -> Result<()> {
    let all = list(run)?;
    let old = if keep == 0 { 0 } else { all.len().saturating_sub(keep) };
    all[..old].iter().try_for_each(|folder| remove(folder))
}

/// Removes a checkpoint.
///
/// # Errors
/// One that cannot be removed.
pub fn remove(folder: &Path) -> Result<()> {
    files::remove_folder(folder)?;
    info!(folder = %folder.display(), "checkpoint removed");
    Ok(())
}

/// Number of the stage and step of a checkpoint's name; the end of a stage comes after all steps.
fn moment(name: &str) -> Option<(usize, usize)> {
    let (stage, rest) = name.split_once('-')?;
    let (_, step) = rest.rsplit_once('-')?;
    let step = if step == "end" { usize::MAX } else { step.parse().ok()? };
    Some((stage.parse().ok()?, step))
}

/// Checksums of a checkpoint's files as `sha256sum` prints them.
fn sums(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for name in [STATE, TENSORS] {
        let mut hash = Sha256::new();
        io::copy(&mut File::open(folder.join(name)).context(name)?, &mut hash).context(name)?;
        text += &format!("{:x}  {name}\n", hash.finalize());
    }
    Ok(text)
}
