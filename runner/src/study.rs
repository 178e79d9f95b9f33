//! A whole study: model and data in, stages in order, probes as they fall due,
//! records and a report out.

use crate::config::{self, Stage, Study};
use crate::data::{
    self, ChatTemplate, CutReport, Format, Need, ProbeOptions, ReadOptions, Record, TokenizedRecord,
    Tokenizer,
};
use crate::dynamics::gauge::Gauge;
use crate::generate;
use crate::model::{Model, ModelConfig};
use crate::monitor::{Moment, Monitor, Watched};
use crate::objective::Preference;
use crate::probe::{self, When};
use crate::progress::Progress;
use crate::record::{self, Action, AlarmRow, Hashes, JsonlWriter, Manifest, Metrics, Rule, StageInfo};
use crate::score::NotFinite;
use crate::train::{self, End, Example, Intervention, Loss};
use crate::{device, report, seed};
use anyhow::{Context, Result, bail};
use candle_core::DType;
use std::path::{Path, PathBuf};
use std::time::Instant;

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
/// # Errors
/// Anything wrong with the configuration, the data, the model or the disk, before
/// any work where it can be seen before.
pub fn run(study: &Study, progress: &Progress) -> Result<Option<Stopped>> {
    let mut run = Run::prepare(study, progress)?;
    let mut stopped = None;
    for (i, stage) in study.stages.iter().enumerate() {
        stopped = run.stage(i, stage).with_context(|| format!("stage `{}`", stage.name))?;
        if stopped.is_some() {
            break;
        }
    }
    report::write(&study.output)?;
    Ok(stopped)
}

struct Run<'a> {
    study: &'a Study,
    progress: &'a Progress,
    model: Model,
    tokenizer: Tokenizer,
    /// The tokenizer's file or folder, whose files are copied along with saved models.
    assets: PathBuf,
    records: Vec<Record>,
    format: Format,
    probes: Vec<TokenizedRecord>,
    manifest: Manifest,
    metrics: JsonlWriter,
    rows: JsonlWriter,
    gauge: Option<JsonlWriter>,
    /// Answers and alarms, where the monitor is on.
    watch: Option<[JsonlWriter; 2]>,
}

impl<'a> Run<'a> {
    fn prepare(study: &'a Study, progress: &'a Progress) -> Result<Self> {
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

        std::fs::create_dir_all(&study.output)
            .with_context(|| format!("cannot create the output folder {}", study.output.display()))?;
        let metrics = JsonlWriter::create(&study.output.join(record::METRICS))?;
        let rows = JsonlWriter::create(&study.output.join(record::PROBES))?;
        let gauge = match study.dynamics.every_steps {
            0 => None,
            _ => Some(JsonlWriter::create(&study.output.join(record::GAUGE))?),
        };
        let watch = match study.monitor.enabled {
            true => Some([
                JsonlWriter::create(&study.output.join(record::ANSWERS))?,
                JsonlWriter::create(&study.output.join(record::ALARMS))?,
            ]),
            false => None,
        };
        let config = study.output.join(CONFIG);
        std::fs::write(&config, study.to_toml()?).with_context(|| format!("writing {}", config.display()))?;

        let manifest = Manifest {
            schema: record::SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            title: study.title.clone(),
            seed: study.seed,
            threads: rayon::current_num_threads(),
            device: format!("{} {}", study.device, study.dtype),
            model: model.describe(),
            parameters: model.n_parameters(),
            vocab_size: model.vocab_size(),
            hashes: Hashes {
                data: data.hash,
                tokenizer: tokenizer.sha256().to_owned(),
                model: model.sha256()?,
            },
            train_examples: data.train.len(),
            probe_prompts: probes.len(),
            kinds: kinds(&probes),
            stages: Vec::new(),
            notes,
        };
        record::write_manifest(&study.output, &manifest)?;
        Ok(Self {
            study,
            progress,
            model,
            tokenizer,
            assets,
            records: data.train,
            format: data.format,
            probes,
            manifest,
            metrics,
            rows,
            gauge,
            watch,
        })
    }

    fn stage(&mut self, index: usize, stage: &Stage) -> Result<Option<Stopped>> {
        let first_finetuning = self.study.stages[..index].iter().all(Stage::is_pretrain);
        if !stage.is_pretrain() && first_finetuning {
            self.answer_initially()?;
        }
        let (mut examples, loss) = self.examples(stage)?;
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
        if let Loss::Preference(preference) = &loss
            && preference.loss.uses_reference()
        {
            info.notes.push(self.add_reference(stage, preference, &mut examples)?);
        }
        self.manifest.stages.push(info);
        record::write_manifest(&self.study.output, &self.manifest)?;

        let probe_every = stage.probe_every(&self.study.probe);
        let started = Instant::now();
        let gauged = &self.probes[..self.study.dynamics.prompts.min(self.probes.len())];
        let gauge = match &mut self.gauge {
            Some(writer) if !stage.is_pretrain() => {
                Some((Gauge::new(&self.model, gauged, self.study.dynamics.every_steps)?, writer))
            }
            _ => None,
        };
        let watch = self.watch.as_mut().map(|[answers, alarms]| Watch {
            config: &self.study.monitor,
            monitor: Monitor::new(&self.study.monitor, &stage.name, watched(stage, &loss)),
            tokenizer: &self.tokenizer,
            answers,
            alarms,
            progress: self.progress,
        });
        let mut observer = Recorder {
            progress: self.progress.stage(&stage.name),
            probes: &self.probes,
            metrics: &mut self.metrics,
            rows: &mut self.rows,
            gauge,
            watch,
            at: Moment::default(),
            stopped_by: None,
            probe_seconds: 0.0,
        };
        let trained =
            train::train(&self.model, stage, &loss, &examples, self.study.seed, probe_every, &mut observer);
        let probe_seconds = observer.probe_seconds;
        observer.progress.finish();
        let end = observer.after(trained)?;
        let stopped_by = observer.stopped_by;

        let info = self.manifest.stages.last_mut().expect("pushed above");
        info.finished = end == End::Done;
        info.stopped_by = stopped_by;
        info.probe_seconds = probe_seconds;
        info.train_seconds = started.elapsed().as_secs_f64() - probe_seconds;
        // A stopped run leaves its model in any case: that is what one wants to look at.
        let save = stage.save || stopped_by.is_some();
        let folder = self.study.output.join(&stage.name);
        let finite = stopped_by != Some(Rule::NotFinite) || self.model.is_finite()?;
        if save && finite {
            let dtype = stage.save_dtype.dtype();
            self.model.save_as(&folder, Some(folder_of(&self.assets)), dtype)?;
        }
        record::write_manifest(&self.study.output, &self.manifest)?;
        let model = finite.then_some(folder);
        Ok(stopped_by.map(|rule| Stopped { rule, stage: stage.name.clone(), model }))
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
        Ok(format!("reference: {source}{}", if cached { ", log-probabilities from the cache" } else { "" }))
    }

    /// Lets the model before finetuning answer, for the kind `chosen_initial`.
    fn answer_initially(&mut self) -> Result<()> {
        let max_new_tokens = self.study.probe.initial_answer_tokens;
        let kind = "chosen_initial";
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
            self.probes[i].responses.insert(1, (kind.to_owned(), answer));
        }
        self.manifest.kinds = kinds(&self.probes);
        Ok(())
    }
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

/// The monitor of a stage with what it reads and writes.
struct Watch<'a> {
    config: &'a config::Monitor,
    monitor: Monitor<'a>,
    tokenizer: &'a Tokenizer,
    answers: &'a mut JsonlWriter,
    alarms: &'a mut JsonlWriter,
    progress: &'a Progress,
}

impl Watch<'_> {
    /// Writes and shows alarms; what is to be done about them.
    fn raise(&mut self, alarms: &[AlarmRow]) -> Result<Vec<Intervention>> {
        self.alarms.write_all(alarms)?;
        alarms.iter().for_each(|alarm| self.progress.say(&alarm.line()));
        let interventions = alarms.iter().filter_map(|alarm| match alarm.action {
            Action::Warn => None,
            Action::Stop => Some(Intervention::Stop),
            Action::LowerRate => Some(Intervention::ScaleRate(self.config.rate_factor)),
            Action::Mitigate => Some(Intervention::Anchor(self.config.anchor)),
        });
        Ok(interventions.collect())
    }
}

/// Writes what a stage reports.
struct Recorder<'a> {
    progress: crate::progress::StageBar,
    probes: &'a [TokenizedRecord],
    metrics: &'a mut JsonlWriter,
    rows: &'a mut JsonlWriter,
    gauge: Option<(Gauge<'a>, &'a mut JsonlWriter)>,
    watch: Option<Watch<'a>>,
    /// The last step.
    at: Moment,
    stopped_by: Option<Rule>,
    probe_seconds: f64,
}

impl Recorder<'_> {
    /// Hands alarms on, and remembers the one that stops the stage.
    fn raise(&mut self, alarms: &[AlarmRow]) -> Result<Vec<Intervention>> {
        let stops = |a: &&AlarmRow| a.action == Action::Stop;
        self.stopped_by = self.stopped_by.or(alarms.iter().find(stops).map(|a| a.rule));
        match &mut self.watch {
            Some(watch) if !alarms.is_empty() => watch.raise(alarms),
            _ => Ok(Vec::new()),
        }
    }

    /// How the stage ended. A number that is not finite is an alarm, where the monitor is on, and an
    /// error otherwise.
    fn after(&mut self, trained: Result<End>) -> Result<End> {
        let (error, watch) = match (trained, &mut self.watch) {
            (Err(error), Some(watch)) if error.is::<NotFinite>() => (error, watch),
            (other, _) => return other,
        };
        let alarm = watch.monitor.not_finite(self.at, &error.root_cause().to_string());
        self.metrics.flush()?;
        self.rows.flush()?;
        self.raise(&[alarm])?;
        Ok(End::Stopped)
    }
}

impl train::Observer for Recorder<'_> {
    fn probe(&mut self, model: &Model, when: &When) -> Result<Vec<Intervention>> {
        let started = Instant::now();
        let rows = probe::sweep(model, self.probes, Some(when))?;
        self.rows.write_all(&rows)?;
        self.metrics.flush()?;
        self.progress.probed(&rows);
        let mut alarms = Vec::new();
        if let Some(watch) = &mut self.watch {
            let answered = &self.probes[..watch.config.answers.min(self.probes.len())];
            let answers = match watch.monitor.watched() {
                Watched::Text => Vec::new(),
                _ => probe::answers(model, watch.tokenizer, answered, when, watch.config.answer_tokens)?,
            };
            watch.answers.write_all(&answers)?;
            alarms = watch.monitor.probe(moment(when), &rows, &answers);
        }
        self.probe_seconds += started.elapsed().as_secs_f64();
        self.raise(&alarms)
    }

    fn step(
        &mut self,
        model: &Model,
        when: &When,
        metrics: &Metrics,
        steps: usize,
    ) -> Result<Vec<Intervention>> {
        self.at = moment(when);
        self.metrics.write(metrics)?;
        let mut alarms = Vec::new();
        if let Some(watch) = &mut self.watch {
            alarms = watch.monitor.step(metrics);
        }
        self.progress.stepped(metrics, steps);
        if let Some((gauge, writer)) = &mut self.gauge {
            let started = Instant::now();
            let rows = gauge.after_step(model, when, steps)?;
            writer.write_all(&rows)?;
            if let Some(watch) = &mut self.watch {
                alarms.extend(watch.monitor.gauge(&rows));
            }
            self.probe_seconds += started.elapsed().as_secs_f64();
        }
        self.raise(&alarms)
    }
}

fn moment(when: &When) -> Moment {
    Moment { step: when.step, examples_seen: when.examples_seen }
}
