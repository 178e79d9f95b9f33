//! The report's files in a run folder.

use super::{
    Comparison, Summary, comparison_csv, comparison_html, comparison_json, html, json, load, markdown,
    summarise,
};
use crate::record::Fault;
use crate::{compat, files, log};
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Instant;
use tracing::info;

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
    let started = Instant::now();
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
    info!(file = %run.join(HTML).display(), seconds = log::seconds(started), "report written");
    Ok(summary)
}

/// Writes a comparison as the page `path`, and beside it as JSON and its curves as CSV.
///
/// # Errors
/// A failed write.
pub fn write_comparison(path: &Path, comparison: &Comparison) -> Result<()> {
    for (path, text) in [
        (path.to_owned(), comparison_html(comparison)?),
        (path.with_extension("json"), comparison_json(comparison)?),
        (path.with_extension("csv"), comparison_csv(comparison)),
    ] {
        files::write(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Writes figures, such as those of [`super::figure_files`], into a folder, which is made where it is absent.
///
/// # Errors
/// A failed write.
pub fn write_figures(folder: &Path, figures: &[(String, String)]) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    figures.iter().try_for_each(|(name, text)| files::write(&folder.join(name), text.as_bytes()))
}
