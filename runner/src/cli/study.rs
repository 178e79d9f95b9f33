use crate::config::{self, Grid};
use crate::grid::{self, COMPARISON, State};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::report;
use anyhow::Result;
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
    /// Print what would run, and run nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    let grid = config::load_grid(&args.grid, &args.set)?;
    if args.dry_run {
        println!("{}", plan(&grid)?);
        return Ok(());
    }
    println!("{}", report::comparison_text(&grid::run(&grid, &Interrupt::on_signals()?, progress)?));
    println!("comparison: {}", grid.output.join(COMPARISON).display());
    Ok(())
}

/// A line a run.
fn plan(grid: &Grid) -> Result<String> {
    let mut lines = vec![["arm", "seed", "state", "stages", "folder"].map(String::from).to_vec()];
    for cell in grid.cells()? {
        let state = match grid::state(&cell)? {
            State::Open => "to run",
            State::Begun => "begun",
            State::Done => "done",
        };
        let stages: Vec<&str> = cell.study.stages.iter().map(|s| s.name.as_str()).collect();
        lines.push(vec![
            grid.arms[cell.arm].name.clone(),
            cell.seed.to_string(),
            state.into(),
            stages.join(" → "),
            cell.study.output.display().to_string(),
        ]);
    }
    Ok(report::aligned(&lines, 5))
}
