//! The study file of the demo.

use super::{BASE, HELD_OUT, PRETRAIN, SHAPE, Start, TRAIN};
use crate::config::{self, ModelSource};
use crate::files;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Name of the study file within the demo's folder.
pub const STUDY: &str = "study.toml";

/// Writes [`STUDY`] with paths into `folder`, and returns its path.
///
/// # Errors
/// A folder whose path is not Unicode, or a failed write.
pub(super) fn write_study(folder: &Path, seed: u64, start: Start) -> Result<PathBuf> {
    let path = |name: &str| toml::Value::try_from(folder.join(name)).map(|v| v.to_string());
    let overrides = [
        format!("seed={seed}"),
        format!("output={}", path("run")?),
        format!("model.config={}", path(&format!("{SHAPE}/config.json"))?),
        format!("data.train={}", path(TRAIN)?),
        format!("data.held_out={}", path(HELD_OUT)?),
        format!("stages.pretrain.text={}", path(PRETRAIN)?),
    ];
    let mut study = config::parse(include_str!("study.toml"), &overrides)?;
    if start == Start::Embedded {
        study.stages.retain(|stage| !stage.is_pretrain());
        study.model = ModelSource { path: Some(folder.join(BASE)), ..ModelSource::default() };
    }
    let file = folder.join(STUDY);
    files::write(&file, study.to_toml()?.as_bytes())?;
    Ok(file)
}
