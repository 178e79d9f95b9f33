use crate::config;
use crate::interrupt::Interrupt;
use crate::progress::{Event, Progress};
use crate::study::Begin;
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
    #[command(flatten)]
    resume: Resume,
    #[command(flatten)]
    pub(super) stream: Stream,
}

/// What scripts read while a run goes on.
#[derive(Debug, clap::Args)]
pub(super) struct Stream {
    /// Progress as JSON on standard output, an object a line, instead of bars and table: steps and probes with rate and
    /// time left, alarms, checkpoints, stages, and at last `end` with the exit status.
    #[arg(long)]
    pub(super) json: bool,
}

/// Going on with a run that was interrupted.
#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    /// Go on with the run in the output folder from its newest good checkpoint, or from the one that is named;
    /// a run that has none yet starts over. The rest of the command line as it was.
    #[arg(long, value_name = "CHECKPOINT", require_equals = true)]
    resume: Option<Option<PathBuf>>,
}

impl Resume {
    /// Whether an earlier run is gone on with.
    pub(super) fn is_given(&self) -> bool {
        self.resume.is_some()
    }

    fn begin(&self) -> Begin {
        match &self.resume {
            None => Begin::New,
            Some(None) => Begin::Newest,
            Some(Some(checkpoint)) => Begin::Checkpoint(checkpoint.clone()),
        }
    }
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    finish(&config::load(&args.study, &args.set)?, &args.resume, progress)
}

/// Runs the study, prints its table and says where everything lies; an error if an alarm or a signal stopped it.
pub(super) fn finish(study: &config::Study, resume: &Resume, progress: &Progress) -> Result<()> {
    let mut study = study.clone();
    // Before signals are caught, so that one ends a download.
    super::fetch_all(study.named_mut(), progress)?;
    let study = &study;
    let stopped = study::run(study, &resume.begin(), &Interrupt::on_signals()?, progress)?;
    let folder = &study.output;
    if *progress == Progress::Json {
        let (html, json) = (&folder.join(report::HTML), &folder.join(report::JSON));
        progress.tell(&Event::Report { output: folder, html, json });
    } else {
        let run = report::load(folder)?;
        out!("{}", report::terminal(&report::summarise(&run)));
        out!("report: {}", folder.join(report::HTML).display());
    }
    stopped.map_or(Ok(()), |stopped| Err(stopped.into()))
}
