//! The small JSON files beside a tokenizer: `tokenizer_config.json` and its relatives.

use crate::files;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

/// `tokenizer_config.json`: special tokens and the chat template.
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// A JSON file of the folder, or `None` where the folder has none.
pub(super) fn json(folder: &Path, name: &str) -> Result<Option<Value>> {
    let path = folder.join(name);
    let bytes = match files::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let value = serde_json::from_slice(&bytes).with_context(|| format!("{} is broken", path.display()))?;
    Ok(Some(value))
}

/// A special token such as `eos_token`, written either as a string or as an object with `content`.
pub(super) fn special_token(config: &Value, name: &str) -> Option<String> {
    let token = config.get(name)?;
    token.as_str().or_else(|| token.get("content")?.as_str()).map(str::to_owned)
}
