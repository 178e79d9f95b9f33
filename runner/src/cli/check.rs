use crate::config::{self, Study};
use crate::hub::{self, Missing};
use crate::memory;
use crate::plan::{self, Plan};
use crate::progress::Progress;
use crate::report;
use crate::study::Inputs;
use anyhow::{Result, bail};
use std::path::PathBuf;

/// Read everything that a study needs, and print its steps, memory and time; nothing is trained or written.
///
/// Example: ldyn check examples/configs/hh-sft-dpo.toml
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The study file (TOML).
    study: PathBuf,
    /// Override a key, as for `run`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    let mut study = config::load(&args.study, &args.set)?;
    let missing = missing(&mut study)?;
    if !missing.is_empty() {
        if args.json {
            out!("{}", serde_json::to_string_pretty(&serde_json::json!({ "downloads": missing }))?);
        } else {
            for missing in &missing {
                out!("to download: {missing}");
            }
        }
        bail!(
            "not everything is here yet: `ldyn fetch {}` downloads it, and so does `ldyn run`; nothing more was checked",
            args.study.display()
        )
    }
    let plan = plan::plan(&study, &Inputs::read(&study)?)?;
    plan.notes.iter().for_each(|note| progress.say(note));
    let rate = plan::rate(&study)?;
    let seconds = |operations| plan::seconds(operations, rate);
    let whole = seconds(plan.operations());
    if args.json {
        let mut json = serde_json::to_value(&plan)?;
        json["seconds"] = whole.into();
        json["operations_per_second"] = rate.into();
        out!("{}", serde_json::to_string_pretty(&json)?);
    } else {
        out!("{}; {}", plan.model, plan.arithmetic);
        out!("{}", text(&plan, seconds));
        out!("about {} at the rate of a matrix product just now", report::duration(whole));
    }
    plan.refuse_too_much(&study)
}

/// What the study names on the hub and the cache lacks, a repository once.
fn missing(study: &mut Study) -> Result<Vec<Missing>> {
    let mut found: Vec<Missing> = Vec::new();
    for (role, path) in study.named_mut() {
        let Some(missing) = hub::missing(role, path)? else { continue };
        match found.iter_mut().find(|other| other.address == missing.address) {
            Some(other) => {
                let new = missing.files.into_iter().filter(|file| !other.files.contains(file));
                let new: Vec<_> = new.collect();
                other.files.extend(new);
            }
            None => found.push(missing),
        }
    }
    Ok(found)
}

/// A line a stage.
fn text(plan: &Plan, seconds: impl Fn(f64) -> f64) -> String {
    let heads =
        ["stage", "examples", "steps", "a step", "tokens read", "predicted", "sweeps", "a sweep", "memory"];
    let mut lines = vec![heads.map(String::from).to_vec()];
    for stage in &plan.stages {
        lines.push(vec![
            stage.name.clone(),
            stage.examples.to_string(),
            stage.steps.to_string(),
            report::duration(seconds(stage.step_operations)),
            stage.work.rows.to_string(),
            stage.work.targets.to_string(),
            stage.sweeps.to_string(),
            report::duration(seconds(plan.probe.operations)),
            memory::text(stage.memory.total()),
        ]);
    }
    report::aligned(&lines, 1)
}
