use crate::config;
use crate::files;
use crate::monitor::{self, Records, Watched};
use crate::progress::Progress;
use crate::record::{self, StageInfo};
use crate::report::{self, Member};
use crate::study;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

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
    /// Look for alarms first, and keep them in `alarms.jsonl`: in the records of another program, which had no monitor
    /// as it trained. Without β of its loss the rule `rewards-fall` is not looked at.
    #[arg(long)]
    alarms: bool,
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
    if args.alarms {
        find_alarms(run)?;
    }
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
    ensure!(!args.alarms, "--alarms looks at one run; give one");
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

/// Writes the alarms that the monitor's defaults would have raised.
fn find_alarms(folder: &Path) -> Result<()> {
    let own = folder.join(study::CONFIG);
    ensure!(
        !own.exists(),
        "{} is there: the run had a monitor, and its alarms are in the report; --alarms is for records of another program",
        own.display()
    );
    let run = report::load(folder)?;
    let (metrics, probes) = (&run.metrics[..], &run.probes[..]);
    let (answers, gauge) = (&run.answers[..], &run.gauge[..]);
    let records = Records { metrics, probes, answers, gauge };
    let config = config::Monitor::default();
    let stages = run.manifest.stages.iter();
    let alarms = stages.flat_map(|stage| monitor::replay(&config, &stage.name, watched(stage), records));
    files::write_jsonl(&folder.join(record::ALARMS), alarms)
}

/// What a stage of another program learns from, as far as its manifest says.
fn watched(stage: &StageInfo) -> Watched {
    match &*stage.objective {
        "pretrain" => Watched::Text,
        "sft" => Watched::Responses,
        _ => Watched::Pairs(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{AlarmRow, Manifest, ProbeRow, Rule, SCHEMA_VERSION};

    #[test]
    fn alarms_are_found_in_records_of_another_program_and_a_run_of_ones_own_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let stage = StageInfo { name: "dpo".into(), objective: "dpo".into(), ..StageInfo::default() };
        let manifest = Manifest { schema: SCHEMA_VERSION, stages: vec![stage], ..Manifest::default() };
        files::write(&path.join(record::MANIFEST), &serde_json::to_vec(&manifest).unwrap()).unwrap();
        // Every kind falls by about a nat per token, and greedy confidence stays.
        let row = |step: usize, example: usize, kind: &str| {
            let logp_mean = -2.0 - step as f64 * (1.0 + 0.01 * example as f64);
            ProbeRow {
                stage: Some("dpo".into()),
                step: Some(step),
                examples_seen: Some(4 * step),
                example,
                kind: kind.into(),
                n_tokens: 10,
                logp: 10.0 * logp_mean,
                logp_mean,
                argmax_logp: -5.0,
                ..ProbeRow::default()
            }
        };
        let kinds = ["chosen", "rejected", "chosen_initial"];
        let prompts = (0..2).flat_map(|step| (0..8).map(move |example| (step, example)));
        let rows = prompts.flat_map(|(step, example)| kinds.map(|kind| row(step, example, kind)));
        files::write_jsonl(&path.join(record::PROBES), rows).unwrap();

        for _ in 0..2 {
            find_alarms(path).unwrap();
            let alarms: Vec<AlarmRow> = record::read_jsonl(&path.join(record::ALARMS)).unwrap();
            let rules: Vec<Rule> = alarms.iter().map(|alarm| alarm.rule).collect();
            assert_eq!(rules, [Rule::UnsureOfEverything]);
        }
        std::fs::write(path.join(study::CONFIG), "").unwrap();
        assert!(find_alarms(path).unwrap_err().to_string().contains("the run had a monitor"));
    }
}
