use crate::config;
use crate::progress::Progress;
use anyhow::Result;
use std::path::PathBuf;

/// Train a randomly initialised model on plain text, or on the text of preference data.
///
/// Example: ldyn pretrain --config config.json --tokenizer tokenizer.json --data hh.jsonl --output runs/base
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `config.json` of the shape to initialise, its folder, or a model on the hub: OWNER/NAME[@REVISION].
    #[arg(long)]
    config: PathBuf,
    /// `tokenizer.json`, its folder, or a model on the hub [default: beside the config].
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    /// Plain text (.txt, or .jsonl with `text` fields) to train on instead of the data's own text.
    #[arg(long)]
    text: Option<PathBuf>,
    /// Preference data: its text is trained on (unless --text) and its responses are probed.
    #[arg(long, required_unless_present = "text")]
    data: Option<PathBuf>,
    /// Folder that receives records, the model (in `pretrain/`) and the report.
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
    let mut study = config::Study::one_stage("pretrain", args.data.as_deref(), &args.output)?;
    study.model.config = Some(args.config.clone());
    study.model.tokenizer.clone_from(&args.tokenizer);
    study.stages[0].text.clone_from(&args.text);
    super::run::finish(&config::with_overrides(&study, &args.set)?, &args.resume, progress)
}
