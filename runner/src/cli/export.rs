use crate::files::{self, Lock};
use crate::{compat, record, tensorboard};
use anyhow::{Result, ensure};
use std::path::PathBuf;

/// Write the records of a run in the forms of other programs: event files for TensorBoard, or the log of the paper's
/// reference code. What lies there is written anew. Of a run that still goes on, only with --out.
///
/// Example: ldyn export runs/hh --tensorboard
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run folder.
    run: PathBuf,
    /// Event files, a folder a stage, in `tensorboard/`.
    #[arg(long, required_unless_present = "reference_log")]
    tensorboard: bool,
    /// The log of the reference code, a file a stage, under its own names (`logps_eval_prob_train/chosen`, …): means
    /// over prompts at each probe, as `ldyn import-curves` reads them.
    #[arg(long)]
    reference_log: bool,
    /// Folder that receives them instead of the run folder.
    #[arg(long, short)]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let manifest = record::read_manifest(&args.run)?;
    ensure!(!manifest.stages.is_empty(), "{} has no stage yet: nothing to export", args.run.display());
    // A run that goes on may be writing its own event files.
    let _lock = if args.out.is_none() { Some(Lock::take(&args.run)?) } else { None };
    let folder = args.out.as_ref().unwrap_or(&args.run);
    let mut written = Vec::new();
    if args.tensorboard {
        written.extend(tensorboard::export(&args.run, &folder.join(tensorboard::FOLDER))?);
    }
    if args.reference_log {
        let rows: Vec<record::ProbeRow> = record::read_jsonl(&args.run.join(record::PROBES))?;
        std::fs::create_dir_all(folder)?;
        for (stage, text) in compat::logs(&manifest, &rows) {
            let path = folder.join(compat::log_name(&stage));
            files::write(&path, text.as_bytes())?;
            written.push(path);
        }
    }
    for path in written {
        out!("{}", path.display());
    }
    Ok(())
}
