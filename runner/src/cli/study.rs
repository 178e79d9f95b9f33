use crate::config::{self, Grid, Study};
use crate::grid::{self, COMPARISON, State};
use crate::hub;
use crate::interrupt::Interrupt;
use crate::progress::{Event, Progress};
use crate::study::Inputs;
use crate::{memory, plan, report};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

/// Run a grid, every arm with every seed, and compare: one page with intervals over seeds. What is done
/// already is not run again, and a run that was cut off goes on from its checkpoint.
///
/// Example: ldyn study examples/configs/hh-extension.toml --dry-run
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The grid file (TOML): `title`, `output`, `study`, `seeds`, `[[arms]]` with `name` and `set`.
    grid: PathBuf,
    /// Override a key of every arm's study: `a.b=value`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print what would run, its steps, memory and time, and run nothing.
    #[arg(long)]
    dry_run: bool,
    /// JSON on standard output: progress as with `ldyn run --json`, or what --dry-run would run.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether standard output is for progress as JSON.
    pub(super) fn streams(&self) -> bool {
        self.json && !self.dry_run
    }
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    let grid = config::load_grid(&args.grid, &args.set)?;
    if args.dry_run {
        let planned = planned(&grid)?;
        match args.json {
            true => out!("{}", serde_json::to_string_pretty(&planned)?),
            false => out!("{}", text(&planned)),
        }
        return Ok(());
    }
    // A cell finds them in the cache.
    for mut cell in grid.cells()? {
        super::fetch_all(cell.study.named_mut(), progress)?;
    }
    let comparison = grid::run(&grid, &Interrupt::on_signals()?, progress)?;
    let html = &grid.output.join(COMPARISON);
    if args.json {
        let (json, csv) = (&html.with_extension("json"), &html.with_extension("csv"));
        progress.tell(&Event::Comparison { html, json, csv });
    } else {
        out!("{}", report::comparison_text(&comparison));
        out!("comparison: {}", html.display());
    }
    Ok(())
}

/// What `--dry-run` says.
#[derive(Serialize)]
struct Planned {
    runs: Vec<PlannedRun>,
    /// Why not all of them could be read yet.
    unread: Option<String>,
}

#[derive(Serialize)]
struct PlannedRun {
    arm: String,
    seed: u64,
    state: &'static str,
    stages: Vec<String>,
    output: String,
    /// Absent where it could not be read yet.
    #[serde(flatten)]
    takes: Option<Takes>,
}

#[derive(Clone, Copy, Serialize)]
struct Takes {
    steps: usize,
    /// Of the longest step on average.
    step_seconds: f64,
    probe_seconds: f64,
    /// Bytes.
    memory: u64,
    seconds: f64,
}

fn planned(grid: &Grid) -> Result<Planned> {
    let (mut runs, mut unread) = (Vec::new(), None);
    // A device and number type are measured once.
    let mut rates = BTreeMap::new();
    for cell in grid.cells()? {
        let state = match grid::state(&cell)? {
            State::Open => "to run",
            State::Begun => "begun",
            State::Done => "done",
        };
        let takes = takes(&cell.study, &mut rates).map_err(|error| {
            unread.get_or_insert(format!("{error:#}"));
        });
        runs.push(PlannedRun {
            arm: grid.arms[cell.arm].name.clone(),
            seed: cell.seed,
            state,
            stages: cell.study.stages.iter().map(|stage| stage.name.clone()).collect(),
            output: cell.study.output.display().to_string(),
            takes: takes.ok(),
        });
    }
    Ok(Planned { runs, unread })
}

/// A line a run.
fn text(planned: &Planned) -> String {
    let heads = ["arm", "seed", "state", "stages", "steps", "a step", "a probe", "memory", "time", "folder"];
    let mut lines = vec![heads.map(String::from).to_vec()];
    for run in &planned.runs {
        let takes = run.takes.map_or(["–"; 5].map(String::from), |takes| {
            [
                takes.steps.to_string(),
                report::duration(takes.step_seconds),
                report::duration(takes.probe_seconds),
                memory::text(takes.memory),
                report::duration(takes.seconds),
            ]
        });
        let before = [run.arm.clone(), run.seed.to_string(), run.state.to_owned(), run.stages.join(" → ")];
        lines.push(before.into_iter().chain(takes).chain([run.output.clone()]).collect());
    }
    let note = planned.unread.as_ref().map(|why| format!("\nnot all can be read yet: {why}"));
    report::aligned(&lines, 10) + &note.unwrap_or_default()
}

/// Steps of a study, seconds of its longest step and of a probe, its memory and time.
fn takes(study: &Study, rates: &mut BTreeMap<[String; 3], f64>) -> Result<Takes> {
    for (role, named) in study.clone().named_mut() {
        ensure!(
            !hub::is_remote(role, named)?,
            "`ldyn fetch {}` downloads what is on the hub only",
            named.display()
        );
    }
    let plan = plan::plan(study, &Inputs::read(study)?)?;
    let rate = match rates.entry([study.device.clone(), study.dtype.clone(), study.precision.to_string()]) {
        Entry::Occupied(known) => *known.get(),
        Entry::Vacant(new) => *new.insert(plan::rate(study)?),
    };
    let seconds = |operations| plan::seconds(operations, rate);
    Ok(Takes {
        steps: plan.stages.iter().map(|stage| stage.steps).sum(),
        step_seconds: seconds(plan.stages.iter().map(|stage| stage.step_operations).fold(0.0, f64::max)),
        probe_seconds: seconds(plan.probe.operations),
        memory: plan.stages.iter().map(|stage| stage.memory.total()).max().unwrap_or(0),
        seconds: seconds(plan.operations()),
    })
}
