use crate::config::{self, Grid, Study};
use crate::grid::{self, COMPARISON, State};
use crate::hub;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::study::Inputs;
use crate::{memory, plan, report};
use anyhow::{Result, ensure};
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
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    let grid = config::load_grid(&args.grid, &args.set)?;
    if args.dry_run {
        out!("{}", planned(&grid)?);
        return Ok(());
    }
    // A cell finds them in the cache.
    for mut cell in grid.cells()? {
        super::fetch_all(cell.study.named_mut(), progress)?;
    }
    out!("{}", report::comparison_text(&grid::run(&grid, &Interrupt::on_signals()?, progress)?));
    out!("comparison: {}", grid.output.join(COMPARISON).display());
    Ok(())
}

/// A line a run.
fn planned(grid: &Grid) -> Result<String> {
    let heads = ["arm", "seed", "state", "stages", "steps", "a step", "a probe", "memory", "time", "folder"];
    let mut lines = vec![heads.map(String::from).to_vec()];
    let mut unread = None;
    // A device and number type are measured once.
    let mut rates = BTreeMap::new();
    for cell in grid.cells()? {
        let state = match grid::state(&cell)? {
            State::Open => "to run",
            State::Begun => "begun",
            State::Done => "done",
        };
        let stages: Vec<&str> = cell.study.stages.iter().map(|s| s.name.as_str()).collect();
        let takes = match takes(&cell.study, &mut rates) {
            Ok(takes) => takes,
            Err(error) => {
                unread.get_or_insert(error);
                ["–"; 5].map(String::from)
            }
        };
        let [steps, step, probe, memory, time] = takes;
        lines.push(vec![
            grid.arms[cell.arm].name.clone(),
            cell.seed.to_string(),
            state.into(),
            stages.join(" → "),
            steps,
            step,
            probe,
            memory,
            time,
            cell.study.output.display().to_string(),
        ]);
    }
    let note = unread.map(|error| format!("\nnot all can be read yet: {error:#}"));
    Ok(report::aligned(&lines, 10) + &note.unwrap_or_default())
}

/// Steps of a study, seconds of its longest step and of a probe, its memory and time.
fn takes(study: &Study, rates: &mut BTreeMap<[String; 3], f64>) -> Result<[String; 5]> {
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
    let time = |operations| report::duration(plan::seconds(operations, rate));
    let memory = plan.stages.iter().map(|stage| stage.memory.total()).max().unwrap_or(0);
    Ok([
        plan.stages.iter().map(|stage| stage.steps).sum::<usize>().to_string(),
        time(plan.stages.iter().map(|stage| stage.step_operations).fold(0.0, f64::max)),
        time(plan.probe.operations),
        memory::text(memory),
        time(plan.operations()),
    ])
}
