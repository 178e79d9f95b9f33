//! A whole study: model and data in, stages in order, probes as they fall due,
//! records and a report out; continued from a checkpoint where it was interrupted.

mod recorder;
mod resume;

pub use resume::Begin;

use crate::checkpoint::{self, Checkpoint, Identity, Position, State};
use crate::config::{self, Stage, Study};
use crate::data::{
    self, ChatTemplate, CutReport, Format, Need, ProbeOptions, ReadOptions, Record, TokenizedRecord,
    Tokenizer,
};
use crate::dynamics::gauge::Gauge;
use crate::files::{self, Lock};
use crate::generate;
use crate::interrupt::{Interrupt, Interrupted};
use crate::model::{self, Model, ModelConfig};
use crate::monitor::{Moment, Monitor, Watched};
use crate::objective::Preference;
use crate::progress::Progress;
use crate::record::{self, Hashes, Journal, Lengths, Manifest, Rule, StageInfo};
use crate::train::{self, Course, End, Example, Loss, Optimizer};
use crate::{device, report, seed};
use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor, Var};
use recorder::{Clock, Recorder, Saver, Watch};
use std::path::{Path, PathBuf};

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
    /// Where the model lies as it was then; absent when its weights were no longer finite.
    pub model: Option<PathBuf>,
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the alarm `{}` stopped stage `{}`; ", self.rule.id(), self.stage)?;
        match &self.model {
            Some(folder) => write!(f, "the model as it was then is in {}", folder.display()),
            None => write!(f, "no model was saved, because its weights are not finite"),
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
    tokenizer: Tokenizer,
    /// The tokenizer's file or folder, whose files are copied along with saved models.
    assets: PathBuf,
    records: Vec<Record>,
    format: Format,
    probes: Vec<TokenizedRecord>,
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
        let dtype = dtype(&study.dtype)?;
        progress.say(&format!("model: {}", study.model.describe()));
        let (model, assets) = open_model(study, dtype, &device)?;
        let tokenizer = Tokenizer::load(&assets, None)?;
        if tokenizer.vocab_size() > model.vocab_size() {
            bail!(
                "the tokenizer has {} entries, the model's embedding {} rows: they do not belong together",
                tokenizer.vocab_size(),
                model.vocab_size()
            )
        }
        study.data.lengths().check(Some(model.max_positions())).context("[data]")?;
        let data = Inputs::read(study, &assets)?;
        let mut notes = data.notes;
        let (probes, cut) =
            tokenize(&study.data, data.probe_format, &data.probes, &tokenizer).context("probe set")?;
        notes.extend(cut.notes().into_iter().map(|n| format!("probe set: {n}")));
        let hashes =
            Hashes { data: data.hash, tokenizer: tokenizer.sha256().to_owned(), model: model.sha256()? };
        let identity = Identity {
            study: study.clone(),
            model_config: model.config.to_json(dtype)?,
            probes: data::hash(&data.probes),
        };

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
            device: format!("{} {}", study.device, study.dtype),
            model: model.describe(),
            parameters: model.n_parameters(),
            vocab_size: model.vocab_size(),
            hashes,
            train_examples: data.train.len(),
            probe_prompts: probes.len(),
            kinds: kinds(&probes),
            stages: Vec::new(),
            notes,
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
            tokenizer,
            assets,
            records: data.train,
            format: data.format,
            probes,
            initial_answers,
            manifest,
            journal,
            _lock: lock,
        };
        if let Some(checkpoint) = &from {
            checkpoint.set_weights("model", &run.model)?;
            run.probe_initial_answers();
        }
        Ok((run, from))
    }

    /// Runs a stage, or what is left of it after the checkpoint `from`.
    fn stage(&mut self, index: usize, stage: &Stage, from: Option<Checkpoint>) -> Result<Option<Stopped>> {
        if from.as_ref().is_some_and(|checkpoint| checkpoint.state.position.is_none()) {
            return self.close(stage, true);
        }
        let (mut examples, loss) = self.examples(stage)?;
        let hash = train::hash(&examples);
        match &from {
            None => self.begin(index, stage, &loss, &mut examples)?,
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
                tokenizer: &self.tokenizer,
            }
        });
        let place = match resumed {
            Some((from, position)) => Some((position.course, self.optimizer(stage, from, position)?)),
            None => None,
        };
        let mut observer = Recorder {
            progress: self.progress,
            bar: self.progress.stage(&stage.name),
            probes: &self.probes,
            gauge: gauge(self.study, stage, &self.model, &self.probes, resumed)?,
            watch,
            journal: &mut self.journal,
            saver,
            steps: train::planned_steps(stage, examples.len()),
            at: resumed.map(|(_, position)| moment(&position.course)).unwrap_or_default(),
            stopped_by: None,
            clock: Clock::after(resumed.map_or([0.0; 2], |(_, p)| [p.train_seconds, p.probe_seconds])),
        };
        // Its weights are the model's by now.
        drop(from);
        let trained = train::train_from(
            place,
            &self.model,
            stage,
            &loss,
            &examples,
            self.study.seed,
            stage.probe_every(&self.study.probe),
            &mut observer,
        );
        observer.bar.finish();
        let end = observer.after(trained)?;
        let (stopped_by, seconds) = (observer.stopped_by, observer.clock.seconds());
        let state = observer.saver.state;

        let info = self.manifest.stages.last_mut().expect("pushed when the stage began");
        info.finished = end == End::Done;
        info.stopped_by = stopped_by;
        [info.train_seconds, info.probe_seconds] = seconds;
        let state = State { manifest: self.manifest.clone(), lengths: self.journal.sync()?, ..state };
        let run = &self.study.output;
        let checkpoint = checkpoint::save(run, &state, checkpoint::weights("model", &self.model))?;
        checkpoint::prune(run, self.study.checkpoints.save_total_limit)?;
        let stopped = self.close(stage, false)?;
        match self.interrupt.signal() {
            Some(signal) if stopped.is_none() && index + 1 < self.study.stages.len() => {
                Err(Interrupted { signal, checkpoint }.into())
            }
            _ => Ok(stopped),
        }
    }

    /// What a stage does before its first step, besides probing.
    fn begin(&mut self, index: usize, stage: &Stage, loss: &Loss, examples: &mut [Example]) -> Result<()> {
        let first_finetuning = self.study.stages[..index].iter().all(Stage::is_pretrain);
        if !stage.is_pretrain() && first_finetuning {
            self.answer_initially()?;
        }
        let mut info = StageInfo {
            name: stage.name.clone(),
            objective: stage.objective.clone(),
            summary: stage.summary()?,
            steps: train::planned_steps(stage, examples.len()),
            finished: false,
            stopped_by: None,
            train_seconds: 0.0,
            probe_seconds: 0.0,
            notes: Vec::new(),
        };
        if let Loss::Preference(preference) = loss
            && preference.loss.uses_reference()
        {
            info.notes.push(self.add_reference(stage, preference, examples)?);
        }
        self.manifest.stages.push(info);
        record::write_manifest(&self.study.output, &self.manifest)
    }

    /// What is left to do for the stage that the manifest names last, once it has its checkpoint. The model's
    /// folder may be there already if a run was `resumed` that wrote it.
    fn close(&self, stage: &Stage, resumed: bool) -> Result<Option<Stopped>> {
        let stopped_by = self.manifest.stages.last().and_then(|info| info.stopped_by);
        // A stopped run leaves its model in any case: that is what one wants to look at.
        let save = stage.save || stopped_by.is_some();
        let folder = self.study.output.join(&stage.name);
        let finite = stopped_by != Some(Rule::NotFinite) || self.model.is_finite()?;
        let saved = resumed && folder.join(model::CONFIG).is_file();
        if save && finite && !saved {
            let dtype = stage.save_dtype.dtype();
            self.model.save_as(&folder, Some(folder_of(&self.assets)), dtype)?;
        }
        record::write_manifest(&self.study.output, &self.manifest)?;
        let model = finite.then_some(folder);
        Ok(stopped_by.map(|rule| Stopped { rule, stage: stage.name.clone(), model }))
    }

    /// The optimiser as it was at a checkpoint.
    fn optimizer(&self, stage: &Stage, from: &Checkpoint, position: &Position) -> Result<Optimizer> {
        let parameters: Vec<Var> = self.model.parameters().map(|(_, var)| var.clone()).collect();
        let mut optimizer = Optimizer::new(stage.optimizer, &parameters)?;
        let averages = ["optimizer.second", "optimizer.first"].map(|prefix| {
            let name = |(name, _)| from.tensors.get(&format!("{prefix}.{name}")).cloned();
            self.model.parameters().filter_map(name).collect()
        });
        optimizer.restore(averages, position.optimizer_steps)?;
        Ok(optimizer)
    }

    /// The stage's examples and loss.
    fn examples(&mut self, stage: &Stage) -> Result<(Vec<Example>, Loss)> {
        if stage.is_pretrain() {
            let blocks =
                pretraining_blocks(stage, &self.records, &self.tokenizer, self.model.max_positions())?;
            let example = |(example, block)| Example {
                example,
                prompt: Vec::new(),
                responses: vec![block],
                reference: None,
            };
            return Ok((blocks.into_iter().enumerate().map(example).collect(), Loss::of(stage)?));
        }
        let (records, cut) = tokenize(&self.study.data, self.format, &self.records, &self.tokenizer)?;
        for note in cut.notes().into_iter().map(|n| format!("training data: {n}")) {
            if !self.manifest.notes.contains(&note) {
                self.manifest.notes.push(note);
            }
        }
        Ok((examples(stage, &records)?, Loss::of(stage)?))
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
            Some(folder) => Some(Model::load(folder, self.model.dtype(), self.model.device())?),
            None => None,
        };
        let reference = other.as_ref().unwrap_or(&self.model);
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
        Ok(format!("reference: {source}"))
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
        let missing: Vec<usize> = (0..self.probes.len())
            .filter(|&i| self.probes[i].responses.iter().all(|(k, _)| k != kind))
            .collect();
        let prompts: Vec<generate::Prompt> = missing
            .iter()
            .map(|&i| generate::Prompt { ids: &self.probes[i].prompt, stream: self.probes[i].example })
            .collect();
        let stop = generate::Stop::at(self.tokenizer.eos_id());
        let answers = generate::generate(&self.model, &prompts, &stop, &sampling)?;
        for (&i, mut answer) in missing.iter().zip(answers) {
            answer.truncate(self.study.data.max_length - self.probes[i].prompt.len());
            self.initial_answers.push((i, answer));
        }
        self.probe_initial_answers();
        Ok(())
    }

    /// Adds the initial answers to what is probed.
    fn probe_initial_answers(&mut self) {
        for (i, answer) in &self.initial_answers {
            if let Some(probe) = self.probes.get_mut(*i) {
                probe.responses.insert(1, (INITIAL.to_owned(), answer.clone()));
            }
        }
        self.manifest.kinds = kinds(&self.probes);
    }
}

/// A manifest of a run that goes on as `now` says.
fn continued(before: &Manifest, now: &Manifest) -> Manifest {
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
fn continue_examples(from: &Checkpoint, hash: &str, loss: &Loss, examples: &mut [Example]) -> Result<()> {
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
fn gauge<'a>(
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
    let rank = |kind: &String| data::KINDS.iter().position(|(k, ..)| k == kind).unwrap_or(data::KINDS.len());
    found.sort_by_key(rank);
    found
}

/// What a study reads besides the model.
struct Inputs {
    train: Vec<Record>,
    format: Format,
    probes: Vec<Record>,
    probe_format: Format,
    hash: String,
    notes: Vec<String>,
}

impl Inputs {
    fn read(study: &Study, assets: &Path) -> Result<Self> {
        let Some(train) = &study.data.train else {
            return Ok(Self {
                train: Vec::new(),
                format: Format::Text,
                probes: Vec::new(),
                probe_format: Format::Text,
                hash: String::new(),
                notes: Vec::new(),
            });
        };
        let any = read_options(&study.data, assets)?;
        let read =
            data::read(train, &ReadOptions { need: need(study), limit: study.data.limit, ..any.clone() })?;
        let mut notes = read.notes();
        let held_out = match &study.data.held_out {
            Some(path) => data::read(path, &any)?.records,
            None => Vec::new(),
        };
        let own = match &study.probe.data {
            Some(path) => Some(data::read(path, &ReadOptions { format: None, ..any })?),
            None => None,
        };
        notes.extend(own.iter().flat_map(data::Dataset::notes));
        let source = own.as_ref().unwrap_or(&read);
        let options = ProbeOptions {
            prompts: Some(study.probe.prompts.min(source.records.len())),
            seed: study.seed,
            ..ProbeOptions::default()
        };
        let mut set = data::probe_set::build(&source.records, &held_out, &options)?;
        if !study.probe.kinds.is_empty() {
            for record in &mut set.records {
                record.responses.retain(|(kind, _)| study.probe.kinds.contains(kind));
            }
        }
        notes.extend(set.notes);
        Ok(Self {
            probes: set.records,
            probe_format: source.format,
            hash: data::hash(&read.records),
            format: read.format,
            train: read.records,
            notes,
        })
    }
}

/// What the study's stages need of every training record.
fn need(study: &Study) -> Need {
    let finetuning = || study.stages.iter().filter(|s| !s.is_pretrain());
    if finetuning().any(|s| s.objective != "sft") {
        Need::Pair
    } else if finetuning().next().is_some() {
        Need::Chosen
    } else {
        Need::Any
    }
}

/// The folder that a tokenizer's file lies in, or the folder itself.
fn folder_of(assets: &Path) -> &Path {
    if assets.is_dir() { assets } else { assets.parent().unwrap_or(Path::new(".")) }
}

/// How the data table is read, asking nothing of the records.
///
/// # Errors
/// A broken chat template beside the tokenizer.
pub fn read_options(data: &config::Data, assets: &Path) -> Result<ReadOptions> {
    Ok(ReadOptions {
        format: data.format,
        need: Need::Any,
        skip_bad: data.skip_bad,
        template: ChatTemplate::load(folder_of(assets))?,
        ..ReadOptions::default()
    })
}

/// Token ids of the records under the data table's rules.
///
/// # Errors
/// Text that contains the end-of-sequence token, by line and field.
pub fn tokenize(
    data: &config::Data,
    format: Format,
    records: &[Record],
    tokenizer: &Tokenizer,
) -> Result<(Vec<TokenizedRecord>, CutReport)> {
    data::tokenize(records, tokenizer, &data.lengths(), data.eos_in_text.for_format(format))
}

/// The examples that a finetuning stage makes of its records: pairs, or for SFT one example for each
/// record and target.
///
/// # Errors
/// A record without a response that the stage trains on, by line and kind.
pub fn examples(stage: &Stage, records: &[TokenizedRecord]) -> Result<Vec<Example>> {
    let wanted: Vec<Vec<&str>> = if stage.objective == "sft" {
        stage.targets.iter().map(|t| vec![t.as_str()]).collect()
    } else {
        vec![["chosen", "rejected"].into_iter().chain(stage.anchor.as_deref()).collect()]
    };
    let mut examples = Vec::new();
    for record in records {
        for kinds in &wanted {
            let responses = kinds.iter().map(|kind| {
                let found = record.responses.iter().find(|(k, _)| k == kind);
                found.map(|(_, ids)| ids.clone()).with_context(|| {
                    format!(
                        "training data, line {}: no response `{kind}`, which `{}` trains on",
                        record.example + 1,
                        stage.objective
                    )
                })
            });
            examples.push(Example {
                example: record.example,
                prompt: record.prompt.clone(),
                responses: responses.collect::<Result<_>>()?,
                reference: None,
            });
        }
    }
    Ok(examples)
}

fn pretraining_blocks(
    stage: &Stage,
    records: &[Record],
    tokenizer: &Tokenizer,
    max_positions: usize,
) -> Result<Vec<Vec<u32>>> {
    if stage.block_length > max_positions {
        bail!("block_length = {} exceeds the model's {max_positions} positions", stage.block_length)
    }
    let texts = match &stage.text {
        Some(path) => {
            let texts = data::read(path, &ReadOptions { need: Need::Any, ..ReadOptions::default() })?.records;
            data::pretraining_texts(&texts, true)
        }
        None => data::pretraining_texts(records, stage.all_responses),
    };
    data::blocks(&texts, tokenizer, stage.block_length)
}

/// Opens or initialises the model; also returns where its tokenizer files lie.
fn open_model(study: &Study, dtype: DType, device: &candle_core::Device) -> Result<(Model, PathBuf)> {
    let source = &study.model;
    match (&source.path, &source.config) {
        (Some(folder), _) => {
            let model = Model::load(folder, dtype, device)?;
            Ok((model, source.tokenizer.clone().unwrap_or_else(|| folder.clone())))
        }
        (None, Some(config)) => {
            let beside = config.parent().unwrap_or(Path::new(".")).to_owned();
            let mut rng = seed::rng(study.seed, "init");
            let model = Model::init(ModelConfig::read(config)?, dtype, device, &mut rng)?;
            Ok((model, source.tokenizer.clone().unwrap_or(beside)))
        }
        (None, None) => bail!("[model] needs `path` or `config`"),
    }
}

/// The number type called `name`.
///
/// # Errors
/// A type that training does not support.
pub fn dtype(name: &str) -> Result<DType> {
    match name {
        "f32" | "float32" => Ok(DType::F32),
        "f64" | "float64" => Ok(DType::F64),
        _ => bail!(
            "dtype = {name:?}: use \"f32\" or \"f64\" (weights stored in f16 or bf16 are converted on loading)"
        ),
    }
}

/// What the monitor needs to know of a stage.
fn watched(stage: &Stage, loss: &Loss) -> Watched {
    match loss.of_pairs() {
        Some(_) => Watched::Pairs(loss.uses_reference().then(|| stage.beta.unwrap_or(1.0))),
        None if stage.is_pretrain() => Watched::Text,
        None => Watched::Responses,
    }
}
