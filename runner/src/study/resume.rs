//! Where a run begins: at its start, or at a checkpoint, and what a checkpoint gives back.

use super::CONFIG;
use crate::checkpoint::{self, Checkpoint, Identity, Position};
use crate::config::{self, Stage, Study};
use crate::data::TokenizedRecord;
use crate::dynamics::gauge::Gauge;
use crate::files;
use crate::model::{self, Model};
use crate::progress::Progress;
use crate::record::{self, CHECKPOINTS, Hashes, Lengths, Manifest};
use crate::train::{Best, Example, Loss};
use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;
use std::path::{Path, PathBuf};
use tracing::info;

/// Where a run begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// At its start, in a folder that holds no run.
    #[default]
    New,
    /// At the newest checkpoint in its folder that is good; at its start where there is none yet.
    Newest,
    /// At this checkpoint in its folder.
    Checkpoint(PathBuf),
}

/// Refuses a folder that holds a run, and says what can be done.
///
/// # Errors
/// The folder holds a run.
pub fn refuse_a_run(study: &Study) -> Result<()> {
    let run = &study.output;
    let models = study.stages.iter().map(|stage| format!("{}/{}", stage.name, model::CONFIG));
    let mut files =
        std::iter::once(record::MANIFEST.to_owned()).chain(record::emptied(run).into_keys()).chain(models);
    let Some(found) = files.find(|file| run.join(file).exists()) else { return Ok(()) };
    let (kind, resume) = match is_unfinished(run) {
        true => ("an unfinished run", "give --resume to go on with it, or "),
        false => ("a run", ""),
    };
    bail!(
        "{} holds {kind} already ({found}), and earlier output is never overwritten: {resume}choose another output \
         folder",
        run.display()
    )
}

/// Whether the folder holds a run with stages to go.
fn is_unfinished(run: &Path) -> bool {
    let (Ok(manifest), Ok(study)) = (record::read_manifest(run), config::load(&run.join(CONFIG), &[])) else {
        return false;
    };
    let finished = manifest.stages.iter().filter(|stage| stage.finished).count();
    finished < study.stages.len() && manifest.stages.iter().all(|stage| stage.stopped_by.is_none())
}

/// The checkpoint to begin at, checked against the run as it is now; `None` for the start. The folder is then
/// as it was at that moment, but for the record files, whose lengths come along.
pub fn find(
    study: &Study,
    begin: &Begin,
    identity: &Identity,
    hashes: &Hashes,
    device: &Device,
    progress: &Progress,
) -> Result<(Option<Checkpoint>, Lengths)> {
    let run = &study.output;
    let found = match begin {
        Begin::New => {
            refuse_a_run(study)?;
            return Ok((None, Lengths::new()));
        }
        Begin::Newest => newest(run, device, progress)?,
        Begin::Checkpoint(folder) => {
            let folder = own(run, folder)?;
            let checkpoint = read(run, &folder, device)?;
            Some((folder, checkpoint))
        }
    };
    let Some((folder, mut checkpoint)) = found else {
        return start_over(study, identity, hashes, progress);
    };
    let state = &mut checkpoint.state;
    let open = state.first_open_stage();
    // The newest one may lie behind the steps that the user thinks of.
    let named = *begin != Begin::Newest;
    let to_come = if named { open } else { 0 };
    let rates = refuse_changes(run, [&state.identity, identity], [&state.manifest.hashes, hashes], to_come)?;
    ensure!(
        named || rates.is_empty(),
        "{} was begun with another rate: {}; restore it, or name the checkpoint from which on it changes: \
         --resume=CHECKPOINT, one of those in {}",
        run.display(),
        rates.join("; "),
        run.join(CHECKPOINTS).display()
    );
    let name = state.name();
    info!(checkpoint = name, records = ?state.lengths, "the run goes on");
    let note = |change| format!("continued from {name} with another rate: {change}");
    state.manifest.notes.extend(rates.into_iter().map(note));
    cut_back(run, &folder, study.stages.iter().map(|s| s.name.as_str()).skip(open))?;
    progress.say(&format!("resuming from {}", folder.display()));
    let lengths = state.lengths.clone();
    Ok((Some(checkpoint), lengths))
}

/// The checkpoint of the run that a user has named.
fn own(run: &Path, named: &Path) -> Result<PathBuf> {
    let same = |folder: &PathBuf| folder.canonicalize().ok() == named.canonicalize().ok();
    checkpoint::list(run)?.into_iter().find(same).with_context(|| {
        format!(
            "{} is no checkpoint of the run in {}: name one that lies in {}",
            named.display(),
            run.display(),
            run.join(CHECKPOINTS).display()
        )
    })
}

/// The newest good checkpoint. Each one that is not is told of.
fn newest(run: &Path, device: &Device, progress: &Progress) -> Result<Option<(PathBuf, Checkpoint)>> {
    let mut bad = 0;
    for folder in checkpoint::list(run)?.into_iter().rev() {
        match read(run, &folder, device) {
            Ok(checkpoint) => return Ok(Some((folder, checkpoint))),
            Err(error) => progress.warn(&format!("{error:#}; trying the one before")),
        }
        bad += 1;
    }
    ensure!(
        bad == 0,
        "no checkpoint in {} can be used: choose another output folder, or remove this one to start over",
        run.display()
    );
    Ok(None)
}

/// A checkpoint that fits the record files.
fn read(run: &Path, folder: &Path, device: &Device) -> Result<Checkpoint> {
    let checkpoint = checkpoint::load(folder, device)?;
    record::check_lengths(run, &checkpoint.state.lengths)
        .with_context(|| format!("checkpoint {} does not fit the records", folder.display()))?;
    Ok(checkpoint)
}

/// A run that has no checkpoint yet begins anew, if it is the same run.
fn start_over(
    study: &Study,
    identity: &Identity,
    hashes: &Hashes,
    progress: &Progress,
) -> Result<(Option<Checkpoint>, Lengths)> {
    let run = &study.output;
    remove_partial(run)?;
    if !run.join(record::MANIFEST).exists() {
        refuse_a_run(study)?;
        progress.say(&format!("nothing to resume in {}: the run starts", run.display()));
        return Ok((None, Lengths::new()));
    }
    let manifest = record::read_manifest(run)?;
    ensure!(
        !manifest.stages.iter().any(|stage| stage.finished || stage.stopped_by.is_some()),
        "{} holds finished stages but no checkpoint to go on from: choose another output folder, or remove it to \
         start over",
        run.display()
    );
    let before = Identity { study: config::load(&run.join(CONFIG), &[])?, ..identity.clone() };
    refuse_changes(run, [&before, identity], [&manifest.hashes, hashes], study.stages.len())?;
    progress.say(&format!("no checkpoint in {} yet: the run starts over", run.display()));
    Ok((None, record::emptied(run)))
}

/// Refuses to go on with another run than the one that was begun, and names what differs. Returns what differs in
/// rates of steps to come, those of the stage `open` and later ones.
fn refuse_changes(
    run: &Path,
    [before, now]: [&Identity; 2],
    [then, here]: [&Hashes; 2],
    open: usize,
) -> Result<Vec<String>> {
    let (mut changes, rates) = config::changes_before(open, &before.study, &now.study)?;
    for (what, same) in [
        ("the training data", then.data == here.data),
        ("the tokenizer", then.tokenizer == here.tokenizer),
        ("the start model's weights", then.model == here.model),
        ("the model's config.json", before.model_config == now.model_config),
        ("the probed prompts and responses", before.probes == now.probes),
    ] {
        if !same {
            changes.push(format!("{what} changed"));
        }
    }
    ensure!(
        changes.is_empty(),
        "{} was begun as another run: {}; restore what it was, or choose another output folder",
        run.display(),
        changes.join("; ")
    );
    Ok(rates)
}

/// Brings the run folder, but for its record files, back to the moment of a checkpoint: removes later
/// checkpoints, and models that were saved later.
fn cut_back<'a>(run: &Path, checkpoint: &Path, open_stages: impl Iterator<Item = &'a str>) -> Result<()> {
    remove_partial(run)?;
    let name = checkpoint.file_name();
    let all = checkpoint::list(run)?;
    let mut later = all.iter().rev().take_while(|folder| folder.file_name() != name);
    later.try_for_each(|folder| checkpoint::remove(folder))?;
    for stage in open_stages {
        let folder = run.join(stage);
        if folder.join(model::CONFIG).is_file() {
            info!(folder = %folder.display(), "model of a later moment removed");
            files::remove_folder(&folder)?;
        }
    }
    Ok(())
}

/// Removes what a kill left half written in the run folder, at whatever moment it came.
fn remove_partial(run: &Path) -> Result<()> {
    files::remove_partial(run)?;
    let checkpoints = run.join(CHECKPOINTS);
    if checkpoints.exists() { files::remove_partial(&checkpoints) } else { Ok(()) }
}

/// A manifest of a run that goes on as `now` says.
pub(super) fn continued(before: &Manifest, now: &Manifest) -> Manifest {
    let mut manifest = before.clone();
    let mut differs = |what: String| {
        let note = format!("continued {what}: its last bits may differ from those of a run in one go");
        if !manifest.notes.contains(&note) {
            manifest.notes.push(note);
        }
    };
    if before.threads != now.threads {
        differs(format!("with {} threads, begun with {}", now.threads, before.threads));
    }
    if before.version != now.version {
        differs(format!("by ldyn {}, begun by {}", now.version, before.version));
    }
    manifest
}

/// Gives the examples of a stage the log π_ref that they had at a checkpoint.
pub(super) fn continue_examples(
    from: &Checkpoint,
    hash: &str,
    loss: &Loss,
    examples: &mut [Example],
) -> Result<()> {
    if from.state.position.as_ref().is_none_or(|position| position.examples != hash) {
        bail!(
            "the stage's examples are not those that the run was begun with: restore its data and text files"
        )
    }
    if loss.uses_reference() {
        let logps: Vec<f64> = from.tensor("reference")?.to_vec1()?;
        for (example, logps) in examples.iter_mut().zip(logps.chunks_exact(2)) {
            example.reference = Some([logps[0], logps[1]]);
        }
    }
    Ok(())
}

/// The gauge of a stage, where there is one; as it was at a checkpoint.
pub(super) fn gauge<'a>(
    study: &Study,
    stage: &Stage,
    model: &Model,
    probes: &'a [TokenizedRecord],
    resumed: Option<(&Checkpoint, &Position)>,
) -> Result<Option<Gauge<'a>>> {
    let every = study.dynamics.every_steps;
    if every == 0 || stage.is_pretrain() {
        return Ok(None);
    }
    let gauged = &probes[..study.dynamics.prompts.min(probes.len())];
    let Some((from, position)) = resumed else {
        return Gauge::new(model, gauged, every).map(Some);
    };
    let step = position.gauge_step.context("the checkpoint has no gauge")?;
    let start = model.copy()?;
    if step != position.course.step {
        from.set_weights("gauge", &start)?;
    }
    Gauge::since(step, start, gauged, every).map(Some)
}

/// What a stage that ends at its peak remembers of its probes; as it was at a checkpoint.
pub(super) fn best<'a>(
    stage: &'a Stage,
    model: &Model,
    resumed: Option<(&Checkpoint, &Position)>,
) -> Result<Option<Best<'a>>> {
    let Some(settings) = &stage.early_stopping else { return Ok(None) };
    let Some((from, position)) = resumed else { return Ok(Some(Best::new(settings))) };
    let standing = position.peak.clone().context("the checkpoint has no peak")?;
    let weights = model.copy()?;
    if standing.peak.step != position.course.step {
        from.set_weights("peak", &weights)?;
    }
    Ok(Some(Best::after(settings, standing, weights)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_later_than_the_checkpoint_goes_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let checkpoints = ["01-a-000003", "01-a-end", "02-b-000003", ".02-b-000006.partial"];
        let made = checkpoints.map(|name| format!("{CHECKPOINTS}/{name}"));
        for name in made.iter().map(String::as_str).chain(["a", "b", ".b.partial", "mine"]) {
            fs::create_dir_all(run.join(name)).unwrap();
            fs::write(run.join(name).join(model::CONFIG), "{}").unwrap();
        }
        cut_back(run, &run.join(CHECKPOINTS).join("01-a-end"), ["b", "c"].into_iter()).unwrap();
        let names = |folder: &Path| {
            let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(run), ["a", CHECKPOINTS, "mine"]);
        assert_eq!(names(&run.join(CHECKPOINTS)), ["01-a-000003", "01-a-end"]);
    }
}
