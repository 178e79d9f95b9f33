//! A whole study: model and data in, stages in order, probes as they fall due,
//! records and a report out; continued from a checkpoint where it was interrupted.

mod inputs;
mod recorder;
mod resume;
mod samples;

pub use inputs::{Inputs, examples, read_options, tokenize};
pub use resume::Begin;

use crate::checkpoint::{self, Checkpoint, Identity, State};
use crate::config::{Samples, Stage, Study};
use crate::data::{self, TokenizedRecord};
use crate::environment::Environment;
use crate::files::{self, Lock};
use crate::generate;
use crate::interrupt::{Interrupt, Interrupted};
use crate::model::{self, Model, ModelConfig};
use crate::monitor::{Moment, Monitor, Watched};
use crate::objective::Preference;
use crate::progress::{Event, Progress};
use crate::record::{self, Hashes, Journal, Lengths, Manifest, Rule, StageInfo};
use crate::tensorboard::{self, Board};
use crate::train::{self, Cadence, Course, End, Example, Loss};
use crate::{device, log, memory, plan, report, seed};
use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use inputs::folder_of;
use recorder::{Clock, Recorder, Saver, Watch, go_on_from, tell_checkpoint};
use resume::{best, continue_examples, continued, gauge};
use std::path::PathBuf;
use std::time::Instant;
use tracing::{Level, debug, enabled, info, info_span};

/// The kind of the answers that the model gives before finetuning.
const INITIAL: &str = "chosen_initial";

/// File name of the resolved configuration in a run folder.
pub const CONFIG: &str = "config.toml";

/// A run that one of its alarms has stopped; its records and its report are written.
#[derive(Clone, Debug, PartialEq)]
pub struct Stopped {
    /// The alarm's rule.
    pub rule: Rule,
    /// The stage.
    pub stage: String,
    /// Where the model lies as it was then, or at its peak; absent when its weights were no longer finite.
    pub model: Option<PathBuf>,
    /// The step of the peak that the model went back to, where the stage has early stopping.
    pub peak: Option<usize>,
    /// The last checkpoint before a number that is not finite; absent for other rules.
    pub before: Option<PathBuf>,
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the alarm `{}` stopped stage `{}`; ", self.rule.id(), self.stage)?;
        match (&self.model, self.peak) {
            (Some(folder), None) => write!(f, "the model as it was then is in {}", folder.display()),
            (Some(folder), Some(step)) => {
                write!(f, "the model as it was at its peak, step {step}, is in {}", folder.display())
            }
            (None, _) => write!(f, "no model was saved, because its weights are not finite"),
        }?;
        match &self.before {
            Some(checkpoint) => write!(f, "; {}", go_on_from(checkpoint, &self.stage)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Stopped {}

/// Runs the study until it is done, or until an alarm whose action is `stop`. The report is written
/// in both cases.
///
/// A run that is continued ends with the same records and weights, byte for byte, as one that never was
/// interrupted, on a CPU with the same number of threads. Wall-clock seconds alone differ.
///
/// # Errors
/// Anything wrong with the configuration, the data, the model or the disk, before
/// any work where it can be seen before; [`Interrupted`] when a signal ended the run.
pub fn run(
    study: &Study,
    begin: &Begin,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<Option<Stopped>> {
    let (mut run, mut from) = Run::prepare(study, begin, interrupt, progress)?;
    let first = from.as_ref().map_or(0, |checkpoint| checkpoint.state.stage);
    let mut stopped = None;
    for (i, stage) in study.stages.iter().enumerate().skip(first) {
        let _span = info_span!("stage", name = stage.name).entered();
        stopped = run.stage(i, stage, from.take()).with_context(|| format!("stage `{}`", stage.name))?;
        if stopped.is_some() {
            break;
        }
    }
    report::write(&study.output)?;
    Ok(stopped)
}

struct Run<'a> {
    study: &'a Study,
    interrupt: &'a Interrupt,
    progress: &'a Progress,
    identity: Identity,
    model: Model,
    inputs: Inputs,
    /// Answers of the model before finetuning, by index of the probe.
    initial_answers: Vec<(usize, Vec<u32>)>,
    manifest: Manifest,
    journal: Journal,
    /// Held while the run lives.
    _lock: Lock,
}

impl<'a> Run<'a> {
    /// Reads what the study needs and opens its folder; also returns the checkpoint to go on from.
    fn prepare(
        study: &'a Study,
        begin: &Begin,
        interrupt: &'a Interrupt,
        progress: &'a Progress,
    ) -> Result<(Self, Option<Checkpoint>)> {
        if *begin == Begin::New {
            resume::refuse_a_run(study)?;
        }
        let device = device::open(&study.device)?;
        let dtype = device::dtype(&study.dtype)?;
        info!(
            title = study.title,
            output = %study.output.display(),
            device = study.device,
            dtype = study.dtype,
            threads = rayon::current_num_threads(),
            seed = study.seed,
            "study"
        );
        progress.say(&format!("model: {}", study.model.describe()));
        let mut inputs = Inputs::read(study)?;
        let plan = plan::plan(study, &inputs)?;
        tell(&plan, study)?;
        plan.refuse_too_much(study)?;
        let model = open_model(study, &inputs.config, dtype, &device)?;
        let [data, probes] = inputs.hashes.clone();
        let hashes = Hashes { data, tokenizer: inputs.tokenizer.sha256().to_owned(), model: model.sha256()? };
        debug!(data = hashes.data, tokenizer = hashes.tokenizer, model = hashes.model, probes, "hashes");
        let identity = Identity { study: study.clone(), model_config: model.config.to_json(dtype)?, probes };

        std::fs::create_dir_all(&study.output)
            .with_context(|| format!("cannot create the output folder {}", study.output.display()))?;
        let lock = Lock::take(&study.output)?;
        if !lock.held {
            progress.warn("this file system has no locks: do not start a second run in the same folder");
        }
        let (from, lengths) = resume::find(study, begin, &identity, &hashes, &device, progress)?;
        let now = Manifest {
            schema: record::SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            title: study.title.clone(),
            seed: study.seed,
            threads: rayon::current_num_threads(),
            device: study.arithmetic()?,
            environment: Some(Environment::here()),
            peak_memory: None,
            model: model.describe(),
            parameters: model.n_parameters(),
            vocab_size: model.vocab_size(),
            hashes,
            train_examples: inputs.records.len(),
            probe_prompts: inputs.probes.len(),
            kinds: kinds(&inputs.probes),
            compat: study.compat,
            faults: study.faults.clone(),
            planned_stages: study.stages.len(),
            stages: Vec::new(),
            notes: std::mem::take(&mut inputs.notes),
        };
        let (manifest, initial_answers) = match &from {
            Some(Checkpoint { state, .. }) => {
                (continued(&state.manifest, &now), state.initial_answers.clone())
            }
            None => (now, Vec::new()),
        };
        // First the files that say whose records these are, then the records.
        files::write(&study.output.join(CONFIG), study.to_toml()?.as_bytes())?;
        record::write_manifest(&study.output, &manifest)?;
        let journal =
            Journal::open(&study.output, [study.dynamics.every_steps > 0, study.monitor.enabled], &lengths)?;
        let mut run = Self {
            study,
            interrupt,
            progress,
            identity,
            model,
            inputs,
            initial_answers,
            manifest,
            journal,
            _lock: lock,
        };
        if let Some(checkpoint) = &from {
            checkpoint.set_weights("model", &run.model)?;
            run.probe_initial_answers();
        }
        let Manifest { title, seed, threads, device, model, train_examples, probe_prompts, .. } =
            &run.manifest;
        progress.tell(&Event::Run {
            output: &study.output,
            title,
            seed: *seed,
            threads: *threads,
            device,
            model,
            train_examples: *train_examples,
            probe_prompts: *probe_prompts,
            stages: study.stages.iter().map(|stage| stage.name.as_str()).collect(),
            checkpoint: from.as_ref().map(|checkpoint| checkpoint.state.name()),
        });
        Ok((run, from))
    }

    /// Runs a stage, or what is left of it after the checkpoint `from`.
    fn stage(&mut self, index: usize, stage: &Stage, from: Option<Checkpoint>) -> Result<Option<Stopped>> {
        if from.as_ref().is_some_and(|checkpoint| checkpoint.state.position.is_none()) {
            return self.close(stage, true);
        }
        let loss = Loss::of(stage)?.with_faults(&self.study.faults);
        let mut examples = self.inputs.examples(stage)?;
        if let Some(wanted) = &stage.samples {
            self.sample(stage, wanted, from.is_some(), &mut examples)?;
        }
        let hash = train::hash(&examples);
        let order = train::stage_order(self.study, stage, examples.len());
        let steps = stage.steps(order.len());
        match &from {
            None => self.begin(index, stage, &loss, steps, &mut examples)?,
            Some(checkpoint) => continue_examples(checkpoint, &hash, &loss, &mut examples)?,
        }
        let resumed = from.as_ref().and_then(|from| Some((from, from.state.position.as_ref()?)));
        let reference: Vec<f64> = examples.iter().flat_map(|e| e.reference.into_iter().flatten()).collect();
        let saver = Saver {
            run: &self.study.output,
            config: self.study.checkpoints,
            interrupt: self.interrupt,
            state: State {
                version: checkpoint::VERSION,
                identity: self.identity.clone(),
                manifest: self.manifest.clone(),
                lengths: Lengths::new(),
                initial_answers: self.initial_answers.clone(),
                stage: index,
                position: None,
            },
            examples: hash,
            reference: (!reference.is_empty()).then_some(Tensor::new(reference, &Device::Cpu)?),
        };
        let watch = self.study.monitor.enabled.then(|| {
            let monitor = Monitor::new(&self.study.monitor, &stage.name, watched(stage, &loss));
            let seen = resumed.and_then(|(_, position)| position.monitor.clone());
            Watch {
                config: &self.study.monitor,
                monitor: monitor.after(seen.unwrap_or_default()),
                tokenizer: &self.inputs.tokenizer,
            }
        });
        let place = match resumed {
            Some((from, position)) => Some((position.course, from.optimizer(stage.optimizer, &self.model)?)),
            None => None,
        };
        let board = match self.study.tracking.tensorboard {
            true => {
                let run = &self.study.output;
                Some(Board::open(run, &stage.name, &run.join(tensorboard::FOLDER))?)
            }
            false => None,
        };
        let at = resumed.map(|(_, position)| moment(&position.course)).unwrap_or_default();
        let info = self.manifest.stages.last().expect("pushed when the stage began");
        let mut observer = Recorder {
            progress: self.progress,
            bar: self.progress.stage(info, at.step, examples.len()),
            probes: &self.inputs.probes,
            gauge: gauge(self.study, stage, &self.model, &self.inputs.probes, resumed)?,
            watch,
            best: best(stage, &self.model, resumed)?,
            journal: &mut self.journal,
            board,
            saver,
            steps,
            at,
            stopped_by: None,
            halted: false,
            clock: Clock::after(resumed.map_or([0.0; 2], |(_, p)| [p.train_seconds, p.probe_seconds])),
        };
        let started = Instant::now();
        info!(
            loss = stage.summary()?,
            steps,
            from_step = observer.at.step,
            examples = examples.len(),
            probed = self.inputs.probes.len(),
            "stage begins"
        );
        // Its weights are the model's by now.
        drop(from);
        let trained = train::train_from(
            place,
            &self.model,
            stage,
            &loss,
            &examples,
            &order,
            Cadence::of(self.study, stage),
            &mut observer,
        );
        observer.bar.finish();
        let end = observer.after(trained)?;
        let (stopped_by, seconds, taken) = (observer.stopped_by, observer.clock.seconds(), observer.at.step);
        let (best, state) = (observer.best, observer.saver.state);
        info!(
            ?end,
            step = taken,
            train = log::rounded(seconds[0]),
            probe = log::rounded(seconds[1]),
            seconds = log::seconds(started),
            "stage ends"
        );
        let peak = best.map(|best| best.restore(&self.model)).transpose()?.flatten();

        let info = self.manifest.stages.last_mut().expect("pushed when the stage began");
        info.finished = end != End::Stopped;
        info.stopped_by = stopped_by;
        [info.train_seconds, info.probe_seconds] = seconds;
        if let Some(peak) = &peak {
            let words = peak.words(taken, info.steps);
            self.progress.say(&format!("{}: {words}", stage.name));
            info.notes.push(words);
        }
        info.peak = peak;
        let ended = Event::StageEnd {
            stage: &info.name,
            step: taken,
            steps: info.steps,
            finished: info.finished,
            stopped_by,
            peak: info.peak.as_ref(),
            train_seconds: info.train_seconds,
            probe_seconds: info.probe_seconds,
        };
        self.progress.tell(&ended);
        self.manifest.peak_memory = self.manifest.peak_memory.max(memory::peak());
        let state = State { manifest: self.manifest.clone(), lengths: self.journal.sync()?, ..state };
        let run = &self.study.output;
        let checkpoint = checkpoint::save(run, &state, checkpoint::weights("model", &self.model))?;
        tell_checkpoint(self.progress, &state, &checkpoint);
        // The one before a number that is not finite stays in any case.
        if stopped_by != Some(Rule::NotFinite) {
            checkpoint::prune(run, self.study.checkpoints.save_total_limit)?;
        }
        let stopped = self.close(stage, false)?;
        match self.interrupt.signal() {
            Some(signal) if stopped.is_none() && index + 1 < self.study.stages.len() => {
                Err(Interrupted { signal, checkpoint }.into())
            }
            _ => Ok(stopped),
        }
    }

    /// Gives the examples the policy's own responses: drawn now, or read where the stage is `resumed`.
    fn sample(
        &mut self,
        stage: &Stage,
        wanted: &Samples,
        resumed: bool,
        examples: &mut Vec<Example>,
    ) -> Result<()> {
        let path = self.study.output.join(format!("{}-samples.jsonl", stage.name));
        let rows = if resumed {
            record::read_jsonl(&path)?
        } else {
            self.progress.say(&format!("{}: the policy answers {} prompts", stage.name, examples.len()));
            let rng = &mut seed::rng(self.study.seed, &format!("samples/{}", stage.name));
            let rows = samples::draw(wanted, &self.model, &self.inputs.tokenizer, examples, rng)?;
            files::write_jsonl(&path, &rows)?;
            rows
        };
        let alike = samples::replace(wanted, &rows, examples)?;
        if alike > 0 && !resumed {
            let note = format!(
                "{}: {alike} prompts made no pair, because the policy's answers are alike",
                stage.name
            );
            self.manifest.notes.push(note);
        }
        Ok(())
    }

    /// What a stage does before its first step, besides probing.
    fn begin(
        &mut self,
        index: usize,
        stage: &Stage,
        loss: &Loss,
        steps: usize,
        examples: &mut [Example],
    ) -> Result<()> {
        let first_finetuning = self.study.stages[..index].iter().all(Stage::is_pretrain);
        if !stage.is_pretrain() && first_finetuning {
            self.answer_initially()?;
        }
        let mut info = StageInfo {
            name: stage.name.clone(),
            objective: stage.objective.clone(),
            targets: stage.trained_kinds(),
            summary: stage.summary()?,
            steps,
            finished: false,
            stopped_by: None,
            peak: None,
            train_seconds: 0.0,
            probe_seconds: 0.0,
            notes: Vec::new(),
        };
        if let Loss::Preference(preference) = loss
            && loss.uses_reference()
        {
            info.notes.push(self.add_reference(stage, preference, examples)?);
        }
        self.manifest.stages.push(info);
        record::write_manifest(&self.study.output, &self.manifest)
    }

    /// What is left to do for the stage that the manifest names last, once it has its checkpoint. The model's
    /// folder may be there already if a run was `resumed` that wrote it.
    fn close(&self, stage: &Stage, resumed: bool) -> Result<Option<Stopped>> {
        let info = self.manifest.stages.last();
        let stopped_by = info.and_then(|info| info.stopped_by);
        // A stopped run leaves its model in any case: that is what one wants to look at.
        let save = stage.save || stopped_by.is_some();
        let folder = self.study.output.join(&stage.name);
        let finite = stopped_by != Some(Rule::NotFinite) || self.model.is_finite()?;
        let saved = resumed && folder.join(model::CONFIG).is_file();
        if save && finite && !saved {
            let dtype = stage.save_dtype.dtype();
            self.model.save_as(&folder, Some(folder_of(&self.inputs.assets)), dtype)?;
        }
        record::write_manifest(&self.study.output, &self.manifest)?;
        let model = finite.then_some(folder);
        let peak = info.and_then(|info| Some(info.peak.as_ref()?.step));
        // The newest is the stage's end.
        let before = match stopped_by {
            Some(Rule::NotFinite) => checkpoint::list(&self.study.output)?.into_iter().rev().nth(1),
            _ => None,
        };
        Ok(stopped_by.map(|rule| Stopped { rule, stage: stage.name.clone(), model, peak, before }))
    }

    /// Scores the pairs under the reference, which is the policy as it is now or
    /// the stage's `reference` folder.
    fn add_reference(
        &self,
        stage: &Stage,
        preference: &Preference,
        examples: &mut [Example],
    ) -> Result<String> {
        let other = match &stage.reference {
            Some(folder) => Some(self.model.load_another(folder)?),
            None => None,
        };
        let reference = other.as_ref().unwrap_or(&self.model);
        let rounded = self.study.compat.map(|_| reference.rounded(DType::F16)).transpose()?;
        let reference = rounded.as_ref().unwrap_or(reference);
        self.progress.say(&format!(
            "{}: reference log-probabilities of {} pairs",
            stage.name,
            examples.len()
        ));
        let folder = self.study.cache_folder();
        let (logps, cached) = train::reference_log_probs(reference, preference, examples, &folder)?;
        for (example, logps) in examples.iter_mut().zip(logps) {
            example.reference = Some(logps);
        }
        let source = match &stage.reference {
            Some(folder) => format!("the model in {}", folder.display()),
            None => "the policy at the start of the stage".into(),
        };
        if cached {
            self.progress.say("they were in the cache");
        }
        let half = if rounded.is_some() { ", its weights rounded to half precision" } else { "" };
        Ok(format!("reference: {source}{half}"))
    }

    /// Lets the model before finetuning answer, for the kind `chosen_initial`.
    fn answer_initially(&mut self) -> Result<()> {
        let max_new_tokens = self.study.probe.initial_answer_tokens;
        let kind = INITIAL;
        let wanted = self.study.probe.kinds.is_empty() || self.study.probe.kinds.iter().any(|k| k == kind);
        if max_new_tokens == 0 || !wanted {
            return Ok(());
        }
        self.progress.say("the model before finetuning answers the probed prompts");
        let seed = self.study.seed;
        let sampling = generate::Sampling { max_new_tokens, seed, ..generate::Sampling::default() };
        let missing: Vec<usize> = (0..self.inputs.probes.len())
            .filter(|&i| self.inputs.probes[i].responses.iter().all(|(k, _)| k != kind))
            .collect();
        let prompts: Vec<generate::Prompt> = missing
            .iter()
            .map(|&i| generate::Prompt {
                ids: &self.inputs.probes[i].prompt,
                stream: self.inputs.probes[i].example,
            })
            .collect();
        let stop = generate::Stop::at(self.inputs.tokenizer.eos_id());
        let answers = generate::generate(&self.model, &prompts, &stop, &sampling)?;
        for (&i, mut answer) in missing.iter().zip(answers) {
            answer.truncate(self.study.data.max_length - self.inputs.probes[i].prompt.len());
            self.initial_answers.push((i, answer));
        }
        self.probe_initial_answers();
        Ok(())
    }

    /// Adds the initial answers to what is probed.
    fn probe_initial_answers(&mut self) {
        for (i, answer) in &self.initial_answers {
            if let Some(probe) = self.inputs.probes.get_mut(*i) {
                let place = probe.responses.len().min(1);
                probe.responses.insert(place, (INITIAL.to_owned(), answer.clone()));
            }
        }
        self.manifest.kinds = kinds(&self.inputs.probes);
    }
}

/// Logs what the study takes.
fn tell(plan: &plan::Plan, study: &Study) -> Result<()> {
    if !enabled!(Level::INFO) {
        return Ok(());
    }
    let rate = plan::rate(study)?;
    for stage in &plan.stages {
        info!(
            stage = stage.name,
            steps = stage.steps,
            sweeps = stage.sweeps,
            tokens = stage.work.rows,
            memory = memory::text(stage.memory.total()),
            time = report::duration(plan::seconds(stage.operations, rate)),
            "planned"
        );
    }
    info!(
        time = report::duration(plan::seconds(plan.operations(), rate)),
        memory_free = memory::available().map(memory::text),
        "planned in all, at the rate of a matrix product just now"
    );
    Ok(())
}

fn moment(course: &Course) -> Moment {
    Moment { step: course.step, examples_seen: course.examples_seen }
}

/// Kinds of the tokenised records, in display order.
fn kinds(probes: &[TokenizedRecord]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (kind, _) in probes.iter().flat_map(|r| &r.responses) {
        if !found.contains(kind) {
            found.push(kind.clone());
        }
    }
    found.sort_by_key(|kind| data::rank(kind));
    found
}

/// Opens the model, or initialises one of this shape.
///
/// # Errors
/// A folder that is no model.
pub fn open_model(study: &Study, config: &ModelConfig, dtype: DType, device: &Device) -> Result<Model> {
    let mut model = match &study.model.path {
        Some(folder) => Model::load(folder, dtype, device),
        None => Model::init(config.clone(), dtype, device, &mut seed::rng(study.seed, "init")),
    }?;
    (model.checkpoint, model.precision) = (study.checkpoint, study.precision);
    Ok(model)
}

/// What the monitor needs to know of a stage.
fn watched(stage: &Stage, loss: &Loss) -> Watched {
    match loss.of_pairs() {
        Some(_) => Watched::Pairs(loss.uses_reference().then(|| stage.beta.unwrap_or(1.0))),
        None if stage.is_pretrain() => Watched::Text,
        None => Watched::Responses,
    }
}
