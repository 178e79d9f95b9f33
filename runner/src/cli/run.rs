use crate::config;
use crate::progress::Progress;
use crate::{report, study};
use anyhow::Result;
use std::path::PathBuf;

/// Run a whole study from one file: model, data, stages, probes, report.
///
/// Example: ldyn run examples/configs/hh-sft-dpo.toml --set stages.dpo.beta=0.2
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The study file (TOML).
    study: PathBuf,
    /// Override a key: `a.b=value`, or `a.b=` for its default; stages by index, name or objective. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    finish(&config::load(&args.study, &args.set)?, progress)
}

/// Runs the study, prints its table and says where everything lies; an error if an alarm stopped it.
pub(super) fn finish(study: &config::Study, progress: &Progress) -> Result<()> {
    let stopped = study::run(study, progress)?;
    let folder = &study.output;
    let run = report::load(folder)?;
    println!("{}", report::terminal(&report::summarise(&run)));
    println!("report: {}", folder.join(report::HTML).display());
    stopped.map_or(Ok(()), |stopped| Err(stopped.into()))
}
