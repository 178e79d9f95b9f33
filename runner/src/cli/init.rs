use crate::config;
use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Write a commented study file to start from: SFT, then DPO, with every common key and its default.
///
/// Example: ldyn init study.toml --model pythia-410m --data hh.jsonl
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write; it must not exist.
    #[arg(default_value = "study.toml")]
    file: PathBuf,
    /// Model folder in the Hugging Face layout, tokenizer included, or a name on the hub: OWNER/NAME[@REVISION].
    #[arg(long, default_value = "pythia-410m")]
    model: PathBuf,
    /// Preference pairs: .jsonl, .jsonl.gz or .parquet.
    #[arg(long, default_value = "pairs.jsonl")]
    data: PathBuf,
    /// Folder for records, models and the report.
    #[arg(long, default_value = "runs/study")]
    output: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let text = config::template(&args.model, &args.data, &args.output)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&args.file).with_context(|| {
        format!("cannot create {}: choose a file that does not exist", args.file.display())
    })?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", args.file.display()))?;
    out!("{}: edit it, then `ldyn run {}`", args.file.display(), args.file.display());
    Ok(())
}
