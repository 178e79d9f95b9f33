use crate::files;
use crate::progress::Progress;
use crate::report::{self, Member, Published};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// Lay curves that the paper's reference code logged beside a run: means over prompts at each evaluation.
///
/// Example: ldyn import-curves prob_pythia410m_dpo.jsonl --stage dpo --run runs/hh --html published.html
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File of the reference code: JSON objects, one an evaluation.
    file: PathBuf,
    /// Run folder to compare with.
    #[arg(long)]
    run: Option<PathBuf>,
    /// The stage that was logged; compared with the run's stage of that name.
    #[arg(long, default_value = "dpo")]
    stage: String,
    /// Training examples between evaluations.
    #[arg(long, default_value_t = 100)]
    every_examples: usize,
    /// Kind in whose contexts the logged greedy confidence was measured [default: told by the order of
    /// the keys; before May 2025 the code overwrote it with `random_nonhum`'s].
    #[arg(long)]
    argmax_of: Option<String>,
    /// File that receives the page; its numbers go beside it as `.json`.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Print the comparison as JSON instead of the table.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    ensure!(args.every_examples > 0, "--every-examples 0: expected a positive number");
    let name = args.file.file_stem().map_or_else(|| "published".into(), |n| n.to_string_lossy().into_owned());
    let text =
        files::read_text(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let settings = Published {
        stage: args.stage.clone(),
        every_examples: args.every_examples,
        argmax_of: args.argmax_of.clone(),
    };
    let published =
        report::published(&name, &text, &settings).with_context(|| format!("in {}", args.file.display()))?;
    published.summary.remarks.iter().for_each(|remark| progress.say(remark));
    let mut members = vec![published];
    if let Some(run) = &args.run {
        let mut own = Member::read(&run.display().to_string(), run)?;
        let summary = &mut own.summary;
        let stages: Vec<&str> = summary.stages.iter().map(|s| s.name.as_str()).collect();
        ensure!(
            stages.contains(&args.stage.as_str()),
            "{} has no stage `{}`: its stages are {}; name one with --stage",
            run.display(),
            args.stage,
            stages.join(", ")
        );
        summary.stages.retain(|s| s.name == args.stage);
        summary.findings.clear();
        own.seed = members[0].seed;
        members.push(own);
    }
    let comparison = report::compare(&format!("Published: {name}"), &members);
    match args.json {
        true => out!("{}", report::comparison_json(&comparison)?),
        false => out!("{}", report::comparison_text(&comparison)),
    }
    args.html.as_ref().map_or(Ok(()), |path| report::write_comparison(path, &comparison))
}
