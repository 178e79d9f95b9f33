use crate::progress::Progress;
use crate::report::{self, Member};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// Make the report of a run folder anew, also of one that still runs or that died; or lay several runs side by
/// side.
///
/// Example: ldyn report runs/hh --json
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run folder; several are compared, each an arm, with the first.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Print the report as JSON instead of the table.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the report of one run as Markdown instead of the table.
    #[arg(long)]
    markdown: bool,
    /// File that receives the page of a comparison; its numbers go beside it as `.json`, its curves as `.csv`.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Folder that receives every figure as an SVG that stands alone (for a paper), every curve in curves.csv, and
    /// the captions.
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    let [run] = &args.runs[..] else { return compare(args, progress) };
    ensure!(args.html.is_none(), "--html is for several runs; one run's page is {}", report::HTML);
    let summary = report::write(run)?;
    if let Some(folder) = &args.figures {
        report::write_figures(folder, &report::figure_files(&summary)?)?;
    }
    if args.json {
        out!("{}", report::json(&summary)?);
    } else if args.markdown {
        out!("{}", report::markdown(&summary));
    } else {
        out!("{}", report::terminal(&summary));
        out!("report: {}", run.join(report::HTML).display());
    }
    Ok(())
}

fn compare(args: &Args, progress: &Progress) -> Result<()> {
    ensure!(!args.markdown, "--markdown shows one run; give one, or use --json or --html");
    let mut members = Vec::new();
    for run in &args.runs {
        let name = run.display().to_string();
        members.push(Member::read(&name, run).context(name)?);
    }
    let comparison = report::compare(&format!("{} runs", members.len()), &members);
    for arm in comparison.arms.iter().filter(|a| a.seeds.is_empty()) {
        progress.say(&format!("{}: unfinished, left out", arm.name));
    }
    if args.json {
        out!("{}", report::comparison_json(&comparison)?);
    } else {
        out!("{}", report::comparison_text(&comparison));
    }
    if let Some(folder) = &args.figures {
        report::write_figures(folder, &report::comparison_figure_files(&comparison)?)?;
    }
    args.html.as_ref().map_or(Ok(()), |path| report::write_comparison(path, &comparison))
}
