use crate::bench::{self, Bench};
use crate::config;
use crate::progress::Progress;
use crate::report;
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Time the parts of a study's step and of a probe, beside a matrix product and a copy measured in the same run: where
/// the time goes, and how close that is to what the machine can do. Weights may be random: `--set model.path=
/// --set model.config=config.json`.
///
/// Example: ldyn bench examples/configs/hh-sft-dpo.toml --stage dpo
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Study file (TOML).
    study: PathBuf,
    /// The stage, by name [default: the last].
    #[arg(long)]
    stage: Option<String>,
    /// Times that each part is run.
    #[arg(long, default_value_t = 7)]
    repeat: usize,
    /// Override a key of the file: `a.b=value`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    let mut study = config::load(&args.study, &args.set)?;
    super::fetch_all(study.named_mut(), progress)?;
    let stage = match &args.stage {
        None => study.stages.len().checked_sub(1).context("the study has no stage")?,
        Some(name) => study.stages.iter().position(|stage| stage.name == *name).with_context(|| {
            let names: Vec<&str> = study.stages.iter().map(|stage| stage.name.as_str()).collect();
            format!("no stage `{name}`: the study has {}", names.join(", "))
        })?,
    };
    let found = bench::bench(&study, stage, args.repeat)?;
    if args.json {
        out!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        out!("{}", text(&found));
    }
    Ok(())
}

fn text(found: &Bench) -> String {
    let heads = ["part", "of", "median", "least", "most", "GFLOP", "GFLOP/s", "of product", "GB", "of copy"];
    let mut lines = vec![heads.map(String::from).to_vec()];
    let share = |share: f64| if share > 0.0 { format!("{:.0} %", 100.0 * share) } else { "–".into() };
    let number = |n: f64| if n > 0.0 { format!("{n:.3}") } else { "–".into() };
    for part in &found.parts {
        let [median, least, most] = part.seconds.map(|s| format!("{:.2} ms", 1e3 * s));
        lines.push(vec![
            part.name.into(),
            format!("{} {}", part.count, part.unit),
            median,
            least,
            most,
            number(part.operations / 1e9),
            number(part.operations / part.seconds[0] / 1e9),
            share(part.share_of_product(found)),
            number(part.bytes / 1e9),
            share(part.share_of_copy(found)),
        ]);
    }
    format!(
        "{}, {} threads; a matrix product {:.1} GFLOP/s, a copy {:.1} GB/s; a batch of {} examples, {} rows\n{}",
        found.model,
        found.threads,
        found.product / 1e9,
        found.copy / 1e9,
        found.examples,
        found.work.rows,
        report::aligned(&lines, 2)
    )
}
