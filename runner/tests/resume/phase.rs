//! When a run is struck, and what it was doing then.

use crate::tiny::{Place, wait_until, whole_run};
use ldyn::record::{Metrics, ProbeRow, read_jsonl, read_manifest};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

/// What a run does, as its folder shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It reads, or clears what is later than its checkpoint.
    Starting,
    /// It takes steps.
    Training,
    /// It scores and answers probes, and pairs under the reference.
    Probing,
    /// It writes a checkpoint or a model.
    Checkpointing,
    /// It writes its report.
    Reporting,
}

impl Phase {
    pub const ALL: [Self; 5] =
        [Self::Starting, Self::Training, Self::Probing, Self::Checkpointing, Self::Reporting];

    /// Of a run that was just killed, from what it left and what it had said.
    pub fn of(place: &Place, resumed: bool, said: &str) -> Self {
        let run = place.run();
        let begun = ["resuming from", "the run starts"].iter().any(|words| said.contains(words));
        let Ok(manifest) = read_manifest(&run) else { return Self::Starting };
        if resumed && !begun {
            return Self::Starting;
        }
        if let Some(name) = partial(&run) {
            return match name {
                name if name.contains("config.toml") => Self::Starting,
                name if name.contains("report") => Self::Reporting,
                _ => Self::Checkpointing,
            };
        }
        let Some(stage) = manifest.stages.last() else { return Self::Starting };
        if stage.finished {
            let last = manifest.stages.len() == manifest.planned_stages;
            return if last { Self::Reporting } else { Self::Probing };
        }
        let metrics: Vec<Metrics> = read_jsonl(&run.join("metrics.jsonl")).unwrap_or_default();
        let step = metrics.iter().rfind(|row| row.stage == stage.name).map_or(0, |row| row.step);
        let probed = |run: &Path| {
            let rows: Vec<ProbeRow> = read_jsonl(&run.join("probes.jsonl")).unwrap_or_default();
            rows.iter().any(|row| row.stage.as_ref() == Some(&stage.name) && row.step == Some(step))
        };
        let due = probed(&whole_run().0.run());
        if due && !probed(&run) { Self::Probing } else { Self::Training }
    }
}

/// A moment at which something happens to a run.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// After so many seconds.
    After(f64),
    /// Some milliseconds after the records have this share of the length that they come to.
    Recorded(f64, u64),
    /// Some milliseconds into the writing of the checkpoint or model of this number.
    Writing(usize, u64),
    /// Some milliseconds after the last stage.
    Ended(u64),
}

impl Moment {
    /// Two thirds of them anywhere in the life of a run, by the clock and by what it has recorded; the others where it
    /// writes checkpoints and its report, which takes little of that life.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        match rng.random_range(0..6) {
            0 => Self::Writing(rng.random_range(1..=12), rng.random_range(0..4)),
            1 => Self::Ended(rng.random_range(0..40)),
            2 | 3 => Self::Recorded(rng.random(), rng.random_range(0..40)),
            _ => Self::After(rng.random_range(0.0..whole_run().1)),
        }
    }

    /// Waits for it, or until the run is over.
    pub fn wait(self, child: &mut Child, place: &Place) {
        let run = place.run();
        let (seen, writes) = (Cell::new(false), Cell::new(0));
        match self {
            Self::After(seconds) => std::thread::sleep(Duration::from_secs_f64(seconds)),
            Self::Recorded(share, delay) => {
                let whole = recorded(&whole_run().0.run()) as f64;
                wait_until(child, || recorded(&run) as f64 >= share * whole);
                std::thread::sleep(Duration::from_millis(delay));
            }
            Self::Writing(number, delay) => {
                wait_until(child, || {
                    let before = seen.replace(partial(&run).is_some());
                    writes.set(writes.get() + usize::from(seen.get() && !before));
                    writes.get() >= number
                });
                std::thread::sleep(Duration::from_millis(delay));
            }
            Self::Ended(delay) => {
                let over = |run: &Path| {
                    read_manifest(run).is_ok_and(|m| {
                        m.stages.len() == m.planned_stages && m.stages.iter().all(|stage| stage.finished)
                    })
                };
                wait_until(child, || over(&run));
                std::thread::sleep(Duration::from_millis(delay));
            }
        }
    }
}

/// Bytes of what is recorded as a run trains.
fn recorded(run: &Path) -> u64 {
    let length = |name: &str| fs::metadata(run.join(name)).map_or(0, |file| file.len());
    ["metrics.jsonl", "probes.jsonl", "answers.jsonl"].into_iter().map(length).sum()
}

/// The temporary name of something that is being written.
fn partial(run: &Path) -> Option<String> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let all = [names(run), names(&run.join("checkpoints"))].concat();
    all.into_iter().find(|name| name.starts_with('.') && name.ends_with(".partial"))
}
