//! A grid of runs: every arm with every seed, one after the other, and what they say side by side.

use crate::config::{self, Cell, Grid};
use crate::interrupt::Interrupt;
use crate::progress::{Event, Progress};
use crate::record::{self, StageInfo};
use crate::report::{self, Comparison, Member};
use crate::study::{self, Begin, CONFIG};
use anyhow::{Context, Result, ensure};
use tracing::info_span;

/// File name of the comparison's page in a grid's folder; `.json` beside it.
pub const COMPARISON: &str = "comparison.html";

/// Where a cell of the grid stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No run in its folder.
    Open,
    /// Its run was cut off.
    Begun,
    /// Its run is over.
    Done,
}

/// Looks into the cell's folder.
///
/// # Errors
/// A run of another configuration lies there.
pub fn state(cell: &Cell) -> Result<State> {
    let folder = &cell.study.output;
    let path = folder.join(CONFIG);
    if !path.exists() {
        return Ok(State::Open);
    }
    let changes = config::changes(&config::load(&path, &[])?, &cell.study)?;
    ensure!(
        changes.is_empty(),
        "{} holds a run of another configuration ({}): remove the folder, or choose another `output` for the grid",
        folder.display(),
        changes.join("; ")
    );
    if !folder.join(record::MANIFEST).exists() {
        return Ok(State::Begun);
    }
    let manifest = record::read_manifest(folder)?;
    let over = |i: usize| manifest.stages.get(i).is_some_and(StageInfo::is_over);
    let stopped = manifest.stages.last().is_some_and(|s| s.stopped_by.is_some());
    let done = stopped || (0..cell.study.stages.len()).all(over);
    Ok(if done { State::Done } else { State::Begun })
}

/// Runs what is not done, from the checkpoint of a run that was cut off, and writes the comparison after every
/// run. A cell whose run an alarm stopped counts as done.
///
/// # Errors
/// A folder that holds something else; what a run meets, such as a signal.
pub fn run(grid: &Grid, interrupt: &Interrupt, progress: &Progress) -> Result<Comparison> {
    let cells = grid.cells()?;
    let states = cells.iter().map(state).collect::<Result<Vec<_>>>()?;
    for (i, (cell, state)) in cells.iter().zip(states).enumerate() {
        let done = state == State::Done;
        let (number, of) = (i + 1, cells.len());
        let (arm, output) = (&grid.arms[cell.arm].name, &cell.study.output);
        let words =
            format!("{number} of {of}: {}{}", cell.study.title, if done { ": done already" } else { "" });
        progress.say_or_tell(&words, &Event::Cell { arm, seed: cell.seed, number, of, done, output });
        if done {
            continue;
        }
        let _span = info_span!("run", arm = grid.arms[cell.arm].name, seed = cell.seed).entered();
        study::run(&cell.study, &Begin::Newest, interrupt, progress)
            .with_context(|| cell.study.title.clone())?;
        write(grid, &cells)?;
    }
    write(grid, &cells)
}

/// Compares the runs that are there.
fn write(grid: &Grid, cells: &[Cell]) -> Result<Comparison> {
    let mut members = Vec::new();
    for cell in cells.iter().filter(|c| c.study.output.join(CONFIG).exists()) {
        members.push(Member::read(&grid.arms[cell.arm].name, &cell.study.output)?);
    }
    let comparison = report::compare(&grid.title, &members);
    report::write_comparison(&grid.output.join(COMPARISON), &comparison)?;
    Ok(comparison)
}
