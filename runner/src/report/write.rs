//! The report's files in a run folder.

use super::{Comparison, Summary, comparison_html, comparison_json, html, json, load, markdown, summarise};
use crate::record::Fault;
use crate::{compat, files};
use anyhow::{Context, Result};
use std::path::Path;

/// File name of the self-contained page.
pub const HTML: &str = "report.html";
/// File name of the report in Markdown.
pub const MARKDOWN: &str = "report.md";
/// File name of the report's numbers.
pub const JSON: &str = "report.json";

/// Writes the report of a run folder into it, in all three forms, and returns its content.
///
/// # Errors
/// Records that cannot be read, or a failed write.
pub fn write(run: &Path) -> Result<Summary> {
    let records = load(run)?;
    let logs = records.manifest.compat.map(|_| compat::logs(&records.manifest, &records.probes));
    for (stage, text) in logs.into_iter().flatten() {
        let path = run.join(compat::log_name(&stage));
        let before = match records.manifest.faults.contains(&Fault::LogAppended) && path.exists() {
            true => {
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?
            }
            false => String::new(),
        };
        files::write(&path, (before + &text).as_bytes())?;
    }
    let summary = summarise(&records);
    for (name, text) in [(HTML, html(&summary)?), (MARKDOWN, markdown(&summary)), (JSON, json(&summary)?)] {
        files::write(&run.join(name), text.as_bytes())?;
    }
    Ok(summary)
}

/// Writes a comparison as the page `path` and as JSON beside it.
///
/// # Errors
/// A failed write.
pub fn write_comparison(path: &Path, comparison: &Comparison) -> Result<()> {
    for (path, text) in [
        (path.to_owned(), comparison_html(comparison)?),
        (path.with_extension("json"), comparison_json(comparison)?),
    ] {
        files::write(&path, text.as_bytes())?;
    }
    Ok(())
}
