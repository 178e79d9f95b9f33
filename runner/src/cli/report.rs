use crate::report;
use anyhow::Result;
use std::path::PathBuf;

/// Make the report of a run folder anew, also of one that still runs or that died.
///
/// Example: ldyn report runs/hh --json
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run folder.
    run: PathBuf,
    /// Print the report as JSON instead of the table.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the report as Markdown instead of the table.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let summary = report::write(&args.run)?;
    if args.json {
        println!("{}", report::json(&summary)?);
    } else if args.markdown {
        println!("{}", report::markdown(&summary));
    } else {
        println!("{}", report::terminal(&summary));
        println!("report: {}", args.run.join(report::HTML).display());
    }
    Ok(())
}
