use super::{Arithmetic, Named, named, refuse_existing};
use crate::checkpoint::{self, Checkpoint};
use crate::config::{self, Study};
use crate::data::{self, Need, ProbeOptions, ReadOptions, TokenizedRecord, Tokenizer};
use crate::dynamics::decompose::{Detail, decompose};
use crate::dynamics::kernel;
use crate::model::Model;
use crate::progress::Progress;
use crate::train::{self, Example, Loss, Optimizer, Update};
use crate::{report, seed, study};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// Why does log π of a response change? Predict one update's effect on observed responses, take the
/// step on a copy, and compare: Δ log π = −η·A·K·G + remainder.
///
/// Example: ldyn decompose --model pythia-410m --data hh.jsonl --objective dpo --lines 0-3
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Model folder in the Hugging Face layout, tokenizer included, or a name on the hub: OWNER/NAME[@REVISION].
    #[arg(long)]
    model: PathBuf,
    /// Preference data that the update learns: .jsonl, .jsonl.gz or .parquet.
    #[arg(long)]
    data: PathBuf,
    /// `sft`, or a preference loss as for `ldyn train` [default: dpo, or the checkpoint's stage].
    #[arg(long)]
    objective: Option<String>,
    /// Checkpoint within a stage of a run: its weights, and the step that its optimiser would take there. Without
    /// one the step is the first of a fresh optimiser.
    #[arg(long, conflicts_with = "objective")]
    checkpoint: Option<PathBuf>,
    /// Records of the batch, from 0: `3`, `0-3` or `0,2,5`. Of a range, records that cannot be used are left out
    /// with `--set data.skip_bad=true`.
    #[arg(long, default_value = "0", value_parser = lines)]
    lines: Lines,
    /// File with the responses to observe [default: the data, with the kinds that need no language model].
    #[arg(long)]
    observe: Option<PathBuf>,
    /// Observed records, from 0 [default: the lines of the batch].
    #[arg(long, value_parser = lines)]
    observe_lines: Option<Lines>,
    /// Kinds to observe [default: all].
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
    /// Also split by embedding, blocks, last norm and head.
    #[arg(long)]
    groups: bool,
    /// Also work out the map of update tokens × tokens of the first observed record; --html has it in any case.
    #[arg(long)]
    tokens: bool,
    /// Halve the step this often to measure the order of the remainder.
    #[arg(long, default_value_t = 3)]
    halvings: usize,
    /// Random vectors that estimate ‖K‖_F for the first record of the batch; 0 for none.
    #[arg(long, default_value_t = 0)]
    kernel_probes: usize,
    /// Folder of the reference model [default: the model itself; with --checkpoint, what the stage began with].
    #[arg(long)]
    reference: Option<PathBuf>,
    /// Optimiser step that the update is, for the warm-up [default: past it, or the checkpoint's].
    #[arg(long)]
    at_step: Option<usize>,
    /// Override any key of a study file; the stage is `stages.0`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write everything as JSON to this file; without one, print it instead of the tables.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    json: Option<Option<PathBuf>>,
    /// Write a page with the heat map to this file.
    #[arg(long)]
    html: Option<PathBuf>,
    #[command(flatten)]
    arithmetic: Arithmetic,
    /// Seed of built kinds and random vectors.
    #[arg(long, default_value_t = 1024)]
    seed: u64,
}

/// Most records of a range: a batch is one forward pass.
const MAX_LINES: usize = 1 << 16;

/// Record numbers in order.
#[derive(Clone, Debug)]
struct Lines(Vec<usize>);

fn lines(text: &str) -> Result<Lines, String> {
    let number = |s: &str| s.trim().parse::<usize>().map_err(|_| format!("`{s}` is no record number"));
    let mut found = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            Some((from, to)) => {
                let (from, to) = (number(from)?, number(to)?);
                if from > to || to - from >= MAX_LINES {
                    return Err(format!("`{part}`: expected up to {MAX_LINES} records in ascending order"));
                }
                found.extend(from..=to);
            }
            None => found.push(number(part)?),
        }
    }
    if found.is_empty() { Err(format!("`{text}` names no record")) } else { Ok(Lines(found)) }
}

impl Args {
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        named(
            [Some(&mut self.model), self.reference.as_mut()].into_iter().flatten(),
            [Some(&mut self.data), self.observe.as_mut()].into_iter().flatten(),
        )
    }
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    let json = args.json.as_ref().and_then(Option::as_ref);
    for path in [json, args.html.as_ref()].into_iter().flatten() {
        refuse_existing(path)?;
    }
    let device = args.arithmetic.device()?;
    let checkpoint = args.checkpoint.as_ref().map(|folder| checkpoint::load(folder, &device)).transpose()?;
    let study = settings(args, checkpoint.as_ref())?;
    let stage = &study.stages[0];
    let model = args.arithmetic.load(&args.model)?;
    let tokenizer = Tokenizer::load(&args.model, None)?;
    let loss = Loss::of(stage)?;
    if let Some(checkpoint) = &checkpoint {
        ensure!(
            stage.reference.is_some() || !loss.uses_reference(),
            "`{}` has a reference: give --reference with the model that the stage began with, such as the folder of \
             the stage before",
            stage.objective
        );
        checkpoint.set_weights("model", &model)?;
    }
    let examples = examples(args, &study, &model, &tokenizer, &loss)?;
    let examples: Vec<&Example> = examples.iter().collect();
    let observed = observed(args, &study.data, &tokenizer)?;

    let (optimizer, next) = match &checkpoint {
        Some(checkpoint) => {
            let done = checkpoint.state.position.as_ref().map_or(0, |position| position.course.step);
            (checkpoint.optimizer(stage.optimizer, &model)?, done)
        }
        None => {
            let parameters: Vec<_> = model.parameters().map(|(_, var)| var.clone()).collect();
            (Optimizer::new(stage.optimizer, &parameters)?, stage.warmup_steps)
        }
    };
    let step = args.at_step.unwrap_or(next);
    let update = Update::new(&model, stage, &loss, &examples, &optimizer, [step, usize::MAX])?;
    progress.say(&format!(
        "update: {} on {} record{}; observing {} responses",
        stage.summary()?,
        examples.len(),
        if examples.len() == 1 { "" } else { "s" },
        observed.iter().map(|r| r.responses.len()).sum::<usize>()
    ));
    let detail =
        Detail { groups: args.groups, tokens: args.tokens || args.html.is_some(), halvings: args.halvings };
    let text = |id| tokenizer.decode(&[id]).unwrap_or_else(|_| format!("#{id}"));
    let mut found = decompose(&model, stage, &loss, &examples, &update, &observed, detail, &text)?;
    if args.kernel_probes > 0 {
        let rng = &mut seed::rng(args.seed, "kernel");
        found.kernel = kernel::influence(&model, &loss, examples[0], &observed, args.kernel_probes, rng)?;
    }
    match args.json {
        Some(None) => out!("{}", serde_json::to_string_pretty(&found)?),
        _ => out!("{}", report::decomposition_text(&found)),
    }
    if let Some(path) = json {
        write(path, &(serde_json::to_string_pretty(&found)? + "\n"))?;
    }
    if let Some(path) = &args.html {
        write(path, &report::decomposition_html(&found)?)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// The command line as a study of one stage.
fn settings(args: &Args, checkpoint: Option<&Checkpoint>) -> Result<Study> {
    let objective = args.objective.as_deref().unwrap_or("dpo");
    let mut study = Study::one_stage(objective, Some(&args.data), Path::new("none"))?;
    study.model.path = Some(args.model.clone());
    if let Some(Checkpoint { state, .. }) = checkpoint {
        let run = &state.identity.study;
        study.data = config::Data { train: study.data.train, limit: None, ..run.data.clone() };
        study.stages = vec![run.stages[state.stage].clone()];
    }
    if args.reference.is_some() {
        study.stages[0].reference.clone_from(&args.reference);
    }
    config::with_overrides(&study, &args.set)
}

/// The batch, scored under the reference where the loss wants it.
fn examples(
    args: &Args,
    study: &Study,
    model: &Model,
    tokenizer: &Tokenizer,
    loss: &Loss,
) -> Result<Vec<Example>> {
    let stage = &study.stages[0];
    let need = if loss.of_pairs().is_some() { Need::Pair } else { Need::Chosen };
    let last = args.lines.0.iter().max().copied().unwrap_or(0);
    let options =
        ReadOptions { need, limit: last.checked_add(1), ..study::read_options(&study.data, &args.model)? };
    let read = data::read(&args.data, &options)?;
    let records = pick(&read.records, &args.lines.0, &args.data, study.data.skip_bad)?;
    let (records, _) = study::tokenize(&study.data, read.format, &records, tokenizer)?;
    let mut examples = study::examples(stage, &records)?;
    let other = match &stage.reference {
        Some(folder) => Some(model.load_another(folder)?),
        None => None,
    };
    train::add_reference(other.as_ref().unwrap_or(model), loss, &mut examples)?;
    Ok(examples)
}

fn observed(args: &Args, settings: &config::Data, tokenizer: &Tokenizer) -> Result<Vec<TokenizedRecord>> {
    let path = args.observe.as_ref().unwrap_or(&args.data);
    let lines = &args.observe_lines.as_ref().unwrap_or(&args.lines).0;
    let read = data::read(path, &study::read_options(settings, &args.model)?)?;
    let mut records = pick(&read.records, lines, path, settings.skip_bad)?;
    if args.observe.is_none() {
        let options = ProbeOptions { seed: args.seed, ..ProbeOptions::default() };
        records = data::probe_set::build_for(&records, &read.records, &[], &options)?.records;
    }
    if !args.kinds.is_empty() {
        for record in &mut records {
            record.responses.retain(|(kind, _)| args.kinds.contains(kind));
        }
    }
    if records.iter().all(|r| r.responses.is_empty()) {
        bail!(
            "{}: the observed records have no response of the kinds {}",
            path.display(),
            args.kinds.join(", ")
        )
    }
    Ok(study::tokenize(settings, read.format, &records, tokenizer)?.0)
}

/// The records of these numbers; with `skip_bad`, those that could not be read are left out.
fn pick(records: &[data::Record], lines: &[usize], path: &Path, skip_bad: bool) -> Result<Vec<data::Record>> {
    let found = |line: &usize| records.iter().find(|r| r.example == *line);
    if let Some(line) = lines.iter().find(|line| found(line).is_none())
        && !(skip_bad && lines.iter().any(|line| found(line).is_some()))
    {
        bail!("{} has no usable record {line}; it has {}, numbered from 0", path.display(), records.len())
    }
    Ok(lines.iter().filter_map(found).cloned().collect())
}
