//! A model folder that `transformers` loads, written whole or not at all.

use super::load::{INDEX, WEIGHTS};
use super::{CONFIG, Model, narrowed};
use crate::{files, log};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Tensor};
use std::collections::HashMap;
use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::time::Instant;
use tracing::info;

/// Files beside config and weights that are copied along when the source has them.
const ASSETS: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
];

impl Model {
    /// Writes the model folder `folder` with weights as f32, and copies the tokenizer's files
    /// from the folder `assets`.
    ///
    /// # Errors
    /// As [`Model::save_as`].
    pub fn save(&self, folder: &Path, assets: Option<&Path>) -> Result<()> {
        self.save_as(folder, assets, DType::F32)
    }

    /// [`Model::save`] with weights as `dtype`: f32, f16, bf16 or f64.
    ///
    /// Everything is written to a folder beside `folder` that takes its name at the end, so
    /// `folder` never holds half a model. A tied head is not written twice.
    ///
    /// # Errors
    /// `folder` exists and is not empty, `assets` is no folder, `dtype` is none of the four or too narrow
    /// for a weight, or a failed write; nothing is left behind.
    pub fn save_as(&self, folder: &Path, assets: Option<&Path>, dtype: DType) -> Result<()> {
        let config = self.config.to_json(dtype)?;
        if let Some(assets) = assets {
            ensure!(assets.is_dir(), "there is no folder {} to copy the tokenizer from", assets.display());
        }
        refuse_to_overwrite(folder)?;
        let started = Instant::now();
        files::write_folder(folder, |partial| self.write(partial, &config, assets, dtype))
            .with_context(|| format!("cannot write the model folder {}", folder.display()))?;
        info!(
            folder = %folder.display(),
            dtype = ?dtype,
            bytes = files::bytes(folder),
            seconds = log::seconds(started),
            "model written"
        );
        Ok(())
    }

    fn write(&self, folder: &Path, config: &str, assets: Option<&Path>, dtype: DType) -> Result<()> {
        fs::write(folder.join(CONFIG), config)?;
        let tensors = self
            .parameters()
            .map(|(name, var)| {
                let Some(stored) = narrowed(var, dtype)? else {
                    bail!("`{name}` has weights that {dtype:?} cannot hold: save as bf16 or f32")
                };
                Ok((name, stored))
            })
            .collect::<Result<Vec<(&str, Tensor)>>>()?;
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        write_tensors(&folder.join(WEIGHTS), tensors, Some(metadata))?;
        let Some(assets) = assets else { return Ok(()) };
        for name in ASSETS {
            let from = assets.join(name);
            if from.is_file() {
                fs::copy(&from, folder.join(name)).with_context(|| format!("copying {}", from.display()))?;
            }
        }
        Ok(())
    }
}

/// Writes a safetensors file with the permissions of any other new file.
///
/// # Errors
/// A failed write.
pub(crate) fn write_tensors<S: AsRef<str> + Ord + Display>(
    path: &Path,
    tensors: impl IntoIterator<Item = (S, Tensor)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    // `serialize_to_file` renames a temporary file that its owner alone can read.
    let ordinary = fs::File::create(path)?.metadata()?.permissions();
    safetensors::serialize_to_file(tensors, metadata, path)?;
    Ok(fs::set_permissions(path, ordinary)?)
}

fn refuse_to_overwrite(folder: &Path) -> Result<()> {
    for file in [CONFIG, WEIGHTS, INDEX] {
        ensure!(
            !folder.join(file).exists(),
            "{} holds a model already ({file}), and earlier output is never overwritten: remove it or choose another folder",
            folder.display()
        );
    }
    let empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    ensure!(empty, "{} exists and is not an empty folder: choose another", folder.display());
    Ok(())
}
