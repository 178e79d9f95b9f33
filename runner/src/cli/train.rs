use crate::config::{self, Study};
use crate::progress::Progress;
use anyhow::Result;
use std::path::PathBuf;

/// One training stage on one model: `ldyn train sft`, `ldyn train dpo`, `ldyn train ipo` …
///
/// Example: ldyn train dpo --model pythia-410m --data hh.jsonl --output runs/dpo --set stages.0.beta=0.2
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `sft`, or a preference loss such as dpo, ipo, simpo, orpo; an unknown name is answered with all.
    objective: String,
    /// Model folder in the Hugging Face layout, tokenizer included, or a name on the hub: OWNER/NAME[@REVISION].
    #[arg(long)]
    model: PathBuf,
    /// Training data: .jsonl, .jsonl.gz or .parquet.
    #[arg(long)]
    data: PathBuf,
    /// Folder that receives records, the trained model and the report.
    #[arg(long, short)]
    output: PathBuf,
    /// Override any key of a study file: `a.b=value`; the stage is `stages.0`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    resume: super::run::Resume,
    #[command(flatten)]
    pub(super) stream: super::run::Stream,
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    let mut study = Study::one_stage(&args.objective, Some(&args.data), &args.output)?;
    study.title = format!("{} of {}", args.objective, args.model.display());
    study.model.path = Some(args.model.clone());
    super::run::finish(&config::with_overrides(&study, &args.set)?, &args.resume, progress)
}
