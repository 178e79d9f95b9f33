//! What a study reads besides its model: training records, what is probed, text, and their token ids.

use super::INITIAL;
use crate::config::{self, Stage, Study};
use crate::data::{
    self, ChatTemplate, CutReport, Format, Need, ProbeOptions, ReadOptions, Record, TokenizedRecord,
    Tokenizer,
};
use crate::model::ModelConfig;
use crate::train::Example;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// What a study reads besides its weights, checked against one another.
pub struct Inputs {
    /// The model's shape.
    pub config: ModelConfig,
    /// The tokenizer's file or folder, whose files are copied along with saved models.
    pub assets: PathBuf,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Training records.
    pub records: Vec<Record>,
    /// The same as token ids, where a stage trains on them.
    tokenized: Vec<TokenizedRecord>,
    /// What is probed, as token ids.
    pub probes: Vec<TokenizedRecord>,
    /// Hash of the training records, and of what is probed.
    pub hashes: [String; 2],
    /// Remarks on what was read.
    pub notes: Vec<String>,
}

impl Inputs {
    /// Reads everything but the weights.
    ///
    /// # Errors
    /// The first thing that cannot be used: which file, line or key, and what to do.
    pub fn read(study: &Study) -> Result<Self> {
        let (config, assets) = shape(study)?;
        let tokenizer = Tokenizer::load(&assets, None)?;
        if tokenizer.vocab_size() > config.vocab_size {
            bail!(
                "the tokenizer has {} entries, the model's embedding {} rows: they do not belong together",
                tokenizer.vocab_size(),
                config.vocab_size
            )
        }
        study.data.lengths().check(Some(config.max_positions)).context("[data]")?;
        for (i, stage) in study.stages.iter().enumerate() {
            check_models(study, i, &config).with_context(|| format!("stage `{}`", stage.name))?;
        }
        let (mut records, mut format, mut probed, mut probe_format) =
            (Vec::new(), Format::Text, Vec::new(), Format::Text);
        let mut notes = Vec::new();
        if let Some(train) = &study.data.train {
            let any = ReadOptions { extra_kinds: named_kinds(study), ..read_options(&study.data, &assets)? };
            let read = data::read(
                train,
                &ReadOptions { need: need(study), limit: study.data.limit, ..any.clone() },
            )?;
            notes.extend(read.notes());
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
            check_kinds(study, &set.records)?;
            if !study.probe.kinds.is_empty() {
                for record in &mut set.records {
                    record.responses.retain(|(kind, _)| study.probe.kinds.contains(kind));
                }
            }
            notes.extend(set.notes);
            (probed, probe_format) = (set.records, source.format);
            (records, format) = (read.records, read.format);
        }
        let (probes, cut) = tokenize(&study.data, probe_format, &probed, &tokenizer).context("probe set")?;
        notes.extend(cut.notes().into_iter().map(|n| format!("probe set: {n}")));
        let mut tokenized = Vec::new();
        if study.stages.iter().any(|stage| !stage.is_pretrain()) {
            let (ids, cut) = tokenize(&study.data, format, &records, &tokenizer)?;
            notes.extend(cut.notes().into_iter().map(|n| format!("training data: {n}")));
            tokenized = ids;
        }
        let hashes = [data::hash(&records), data::hash(&probed)];
        Ok(Self { config, assets, tokenizer, records, tokenized, probes, hashes, notes })
    }

    /// The examples of a stage.
    ///
    /// # Errors
    /// As [`examples`]; a text that cannot be read, a block longer than the model's positions.
    pub fn examples(&self, stage: &Stage) -> Result<Vec<Example>> {
        if stage.is_pretrain() {
            let blocks =
                pretraining_blocks(stage, &self.records, &self.tokenizer, self.config.max_positions)?;
            let example = |(example, block)| Example {
                example,
                prompt: Vec::new(),
                responses: vec![block],
                reference: None,
            };
            return Ok(blocks.into_iter().enumerate().map(example).collect());
        }
        examples(stage, &self.tokenized)
    }
}

/// Refuses further models of a stage that are not there or speak another vocabulary. What an earlier stage of the
/// run saves need not be there yet.
fn check_models(study: &Study, index: usize, config: &ModelConfig) -> Result<()> {
    let saved = || study.stages[..index].iter().filter(|stage| stage.save);
    for (key, folder) in study.stages[index].further_models() {
        if saved().any(|stage| study.output.join(&stage.name) == *folder) {
            continue;
        }
        let further = ModelConfig::load(folder).context(key)?;
        if further.vocab_size != config.vocab_size {
            bail!(
                "{key}: {} has {} token ids, the model {}: take one with the same tokenizer",
                folder.display(),
                further.vocab_size,
                config.vocab_size
            )
        }
    }
    Ok(())
}

/// The model's shape, and where its tokenizer files lie.
fn shape(study: &Study) -> Result<(ModelConfig, PathBuf)> {
    let source = &study.model;
    let (config, beside) = match (&source.path, &source.config) {
        (Some(folder), _) => (ModelConfig::load(folder)?, folder.clone()),
        (None, Some(file)) => (ModelConfig::read(file)?, crate::files::parent(file).to_owned()),
        (None, None) => bail!("[model] needs `path` or `config`"),
    };
    Ok((config, source.tokenizer.clone().unwrap_or(beside)))
}

/// Every kind that the study names, tracked by the paper or not.
fn named_kinds(study: &Study) -> Vec<String> {
    let trained = study.stages.iter().flat_map(Stage::trained_kinds);
    let followed = study.stages.iter().filter_map(|stage| Some(stage.early_stopping.as_ref()?.kind.clone()));
    study.probe.kinds.iter().cloned().chain(trained).chain(followed).collect()
}

/// Refuses kinds that are to be probed and that no record has.
fn check_kinds(study: &Study, probed: &[Record]) -> Result<()> {
    let has = |kind: &str| probed.iter().any(|r| r.response(kind).is_some());
    let answered = |kind: &str| kind == INITIAL && study.probe.initial_answer_tokens > 0;
    let listed = study.probe.kinds.iter().map(|kind| ("probe.kinds", kind));
    let followed = study.stages.iter().filter_map(|stage| Some(&stage.early_stopping.as_ref()?.kind));
    let mut named = listed.chain(followed.map(|kind| ("early_stopping.kind", kind)));
    if let Some((key, absent)) = named.find(|(_, kind)| !has(kind) && !answered(kind)) {
        let there: Vec<&str> = data::KINDS.iter().map(|(kind, ..)| *kind).filter(|kind| has(kind)).collect();
        bail!(
            "{key} names `{absent}`, which no probed record has: correct the name, or give `probe.data` with \
             that field (of the known kinds there are {})",
            there.join(", ")
        )
    }
    Ok(())
}

/// What the study's stages need of every training record.
fn need(study: &Study) -> Need {
    let finetuning = || study.stages.iter().filter(|s| !s.is_pretrain());
    if study.stages.iter().any(Stage::is_preference) {
        Need::Pair
    } else if finetuning().next().is_some() {
        Need::Chosen
    } else {
        Need::Any
    }
}

/// The folder that a tokenizer's file lies in, or the folder itself.
pub(super) fn folder_of(assets: &Path) -> &Path {
    if assets.is_dir() { assets } else { crate::files::parent(assets) }
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
        template: match data.chat_template.as_deref() {
            None => ChatTemplate::load(folder_of(assets))?,
            Some("hh") => Some(ChatTemplate::hh()?),
            Some(file) => Some(ChatTemplate::read(Path::new(file), folder_of(assets))?),
        },
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
    let kinds = stage.trained_kinds();
    let wanted: Vec<&[String]> = match stage.objective.as_str() {
        "sft" => kinds.chunks(1).collect(),
        _ => vec![&kinds],
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
