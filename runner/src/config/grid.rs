//! A grid: the arms of an experiment, each a study with overrides, times seeds.

use super::Study;
use crate::files;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Arms that are compared over seeds. Relative paths are taken from the working directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Title of the comparison.
    pub title: String,
    /// Folder that receives a run folder an arm and seed, and the comparison.
    pub output: PathBuf,
    /// Study file of the arms that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<PathBuf>,
    /// Seeds; every arm runs with each.
    pub seeds: Vec<u64>,
    /// Overrides of every arm, before its own.
    #[serde(default)]
    pub set: Vec<String>,
    /// The arms; the others are compared with the first.
    pub arms: Vec<Arm>,
}

/// One way to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Name in the comparison and of the arm's folder.
    pub name: String,
    /// Its study file, if it is not the grid's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<PathBuf>,
    /// Overrides `a.b=value`, as for `ldyn run --set`; `a.b=` takes a key away.
    #[serde(default)]
    pub set: Vec<String>,
}

/// One run of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Index of its arm.
    pub arm: usize,
    /// Its seed.
    pub seed: u64,
    /// What runs.
    pub study: Study,
}

/// Reads a grid file and applies the command line's overrides to every arm, after its own.
///
/// # Errors
/// A missing or broken file, an unknown key, no arm or seed, names that are not those of folders or occur twice.
pub fn load_grid(path: &Path, overrides: &[String]) -> Result<Grid> {
    let text = files::read_text(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut grid: Grid = toml::from_str(&text)
        .map_err(|e| anyhow::anyhow!("{e}"))
        .with_context(|| format!("in {}", path.display()))?;
    grid.check().with_context(|| format!("in {}", path.display()))?;
    for arm in &mut grid.arms {
        arm.set.extend(overrides.iter().cloned());
    }
    Ok(grid)
}

impl Grid {
    fn check(&self) -> Result<()> {
        ensure!(!self.arms.is_empty(), "`arms` is empty: give at least one `[[arms]]` with a `name`");
        ensure!(!self.seeds.is_empty(), "`seeds` is empty: give at least one, such as `seeds = [1, 2, 3]`");
        for (i, seed) in self.seeds.iter().enumerate() {
            ensure!(!self.seeds[..i].contains(seed), "seed {seed} stands twice in `seeds`");
        }
        for (i, arm) in self.arms.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            ensure!(
                !arm.name.is_empty() && !arm.name.starts_with('.') && arm.name.chars().all(plain),
                "arm `{}`: a name becomes a folder; use letters, digits, `-`, `_` and `.`",
                arm.name
            );
            ensure!(self.arms[..i].iter().all(|a| a.name != arm.name), "two arms are named `{}`", arm.name);
            ensure!(
                arm.study.is_some() || self.study.is_some(),
                "arm `{}` has no study file: set `study` for it or for the grid",
                arm.name
            );
        }
        Ok(())
    }

    /// Every run, seed by seed, so that all arms are compared after the first seed already.
    ///
    /// # Errors
    /// A study file or an override that [`super::load`] refuses.
    pub fn cells(&self) -> Result<Vec<Cell>> {
        let mut cells = Vec::new();
        for &seed in &self.seeds {
            for (arm, Arm { name, study, set }) in self.arms.iter().enumerate() {
                let file =
                    study.as_ref().or(self.study.as_ref()).context("checked when the grid was read")?;
                let overrides: Vec<String> = self.set.iter().chain(set).cloned().collect();
                let mut study = super::load(file, &overrides).with_context(|| format!("arm `{name}`"))?;
                study.cache.get_or_insert_with(|| self.output.join(super::CACHE));
                study.seed = seed;
                study.title = format!("{}: {name}, seed {seed}", self.title);
                study.output = self.output.join(name).join(format!("seed-{seed}"));
                cells.push(Cell { arm, seed, study });
            }
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<Grid> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("grid.toml");
        std::fs::write(&path, text).unwrap();
        load_grid(&path, &["stages.dpo.epochs=2".into()])
    }

    #[test]
    fn every_arm_runs_with_every_seed_and_the_last_override_counts() {
        let place = tempfile::tempdir().unwrap();
        let study = place.path().join("study.toml");
        std::fs::write(
            &study,
            "output = 'o'\n[model]\npath = 'm'\n[data]\ntrain = 'd'\n[[stages]]\nobjective = 'dpo'\nepochs = 9",
        )
        .unwrap();
        let text = format!(
            "title = 't'\noutput = 'g'\nstudy = '{}'\nseeds = [1, 7]\nset = ['stages.dpo.beta=0.2']\n\
             [[arms]]\nname = 'a'\n[[arms]]\nname = 'b'\nset = ['stages.dpo.beta=0.3']",
            study.display()
        );
        let cells = written(&text).unwrap().cells().unwrap();
        let found: Vec<_> = cells
            .iter()
            .map(|c| (c.arm, c.seed, c.study.seed, c.study.stages[0].beta, c.study.stages[0].epochs))
            .collect();
        assert_eq!(
            found,
            [
                (0, 1, 1, Some(0.2), 2.0),
                (1, 1, 1, Some(0.3), 2.0),
                (0, 7, 7, Some(0.2), 2.0),
                (1, 7, 7, Some(0.3), 2.0)
            ]
        );
        assert_eq!(cells[3].study.output, Path::new("g/b/seed-7"));
    }

    #[test]
    fn what_cannot_be_a_grid_is_refused_with_the_reason() {
        let head = "title = 't'\noutput = 'g'\nstudy = 's'\n";
        for (rest, word) in [
            ("seeds = [1]\narms = []", "`arms` is empty"),
            ("seeds = []\n[[arms]]\nname = 'a'", "`seeds` is empty"),
            ("seeds = [1, 1]\n[[arms]]\nname = 'a'", "seed 1"),
            ("seeds = [1]\n[[arms]]\nname = 'a'\n[[arms]]\nname = 'a'", "two arms"),
            ("seeds = [1]\n[[arms]]\nname = '../a'", "`../a`"),
            ("seeds = [1]\n[[arms]]\nnam = 'a'", "nam"),
        ] {
            let error = format!("{:#}", written(&format!("{head}{rest}")).unwrap_err());
            assert!(error.contains(word) && error.contains("grid.toml"), "{error}");
        }
        let error = written("title = 't'\noutput = 'g'\nseeds = [1]\n[[arms]]\nname = 'a'").unwrap_err();
        assert!(format!("{error:#}").contains("no study file"));
    }
}
