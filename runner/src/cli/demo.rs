use crate::progress::Progress;
use crate::{config, demo};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// The main job on an embedded default: SFT and DPO of a small base model, every
/// response kind probed, and a report.
///
/// Example: ldyn demo --output demo-run --seed 2
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder that receives corpus, study file, models, records and report.
    #[arg(long, short, default_value = "ldyn-demo")]
    output: PathBuf,
    /// Seed of the corpus and the data order, and of the initial weights with `--pretrain`.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Pretrain the base model anew, as the embedded one was made: some minutes more.
    #[arg(long)]
    pretrain: bool,
    /// Override a key of the study: `a.b=value`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    resume: super::run::Resume,
    #[command(flatten)]
    pub(super) stream: super::run::Stream,
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    if args.output.exists() && !args.resume.is_given() {
        bail!(
            "{} exists already: give --resume to go on with an interrupted demo, remove it, or name another folder \
             with --output",
            args.output.display()
        )
    }
    let start = if args.pretrain { demo::Start::Pretraining } else { demo::Start::Embedded };
    let study = args.output.join(demo::STUDY);
    // The study file is written last: where it is, the rest is.
    if !study.exists() {
        demo::materialise(&args.output, args.seed, start)
            .with_context(|| format!("writing the demo's files to {}", args.output.display()))?;
        progress.say(&format!("corpus and study file written to {}", args.output.display()));
    }
    let study = config::load(&study, &args.set)?;
    let pretrains = study.stages.iter().any(config::Stage::is_pretrain);
    if study.seed != args.seed || pretrains != args.pretrain {
        bail!(
            "{} holds a demo with seed {} {} pretraining: resume it with the options that it was begun with",
            args.output.display(),
            study.seed,
            if pretrains { "and" } else { "without" }
        )
    }
    super::run::finish(&study, &args.resume, progress)
}
