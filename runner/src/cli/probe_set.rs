use super::{Named, named};
use crate::chat::{Client, Endpoint, Key, complete_all};
use crate::data::probe_set::{self, Select};
use crate::data::{self, ProbeOptions, Record};
use crate::progress::Progress;
use crate::record::{self, JsonlWriter};
use crate::rephrase::{self, REPHRASED};
use crate::study;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Make a probe set of preference data: prompts with every kind of response that needs no model and, with an endpoint,
/// rephrasings by a chat model.
///
/// Examples:
///   ldyn probe-set --data hh.jsonl --held-out hh-test.jsonl --prompts 500 --out probe.jsonl
///   ldyn probe-set --data hh.jsonl --endpoint http://localhost:8000/v1 --chat-model qwen --out probe.jsonl
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Preference data: .jsonl, .jsonl.gz or .parquet.
    #[arg(long)]
    data: PathBuf,
    /// Records outside the training set, for answers of unseen questions.
    #[arg(long)]
    held_out: Option<PathBuf>,
    /// File that receives a row a prompt. With an endpoint, the same command line goes on where it was cut off.
    #[arg(long, short)]
    out: PathBuf,
    /// Prompts.
    #[arg(long, default_value_t = 500)]
    prompts: usize,
    /// Draw the prompts at random instead of taking the first.
    #[arg(long)]
    random: bool,
    /// Answers of other training questions come from the first so many records [default: all].
    #[arg(long)]
    donors: Option<usize>,
    /// Build anew the kinds that the data has already.
    #[arg(long)]
    rebuild: bool,
    /// Leave out records that cannot be used instead of stopping.
    #[arg(long)]
    skip_bad: bool,
    /// Model folder whose chat template renders conversational data.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Base URL of an OpenAI-compatible endpoint that rephrases, such as http://localhost:8000/v1.
    #[arg(long, value_name = "URL", requires = "chat_model")]
    endpoint: Option<String>,
    /// The chat model's name at the endpoint.
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    chat_model: Option<String>,
    /// Environment variable that holds the endpoint's key.
    #[arg(long, value_name = "VARIABLE", default_value = "OPENAI_API_KEY")]
    api_key_env: String,
    /// Temperature of the rephrasings; the paper's is 0.7.
    #[arg(long, default_value_t = 0.7)]
    temperature: f64,
    /// Calls at a time.
    #[arg(long, default_value_t = 4)]
    concurrency: usize,
    /// Seconds to wait for a reply.
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0)]
    timeout: f64,
    /// Attempts after the first, when the endpoint is busy, fails or is out of reach.
    #[arg(long, default_value_t = 6)]
    max_retries: usize,
    /// Seed of every choice, and of the rephrasings where the server has seeds.
    #[arg(long, default_value_t = 1024)]
    seed: u64,
}

/// Prompts between two writes: what a run that is cut off asks for again.
const BATCH: usize = 8;

impl Args {
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        named(&mut self.model, [Some(&mut self.data), self.held_out.as_mut()].into_iter().flatten())
    }
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    ensure!(args.concurrency > 0, "--concurrency 0: expected at least one call at a time");
    let settings = crate::config::Data { skip_bad: args.skip_bad, ..Default::default() };
    let folder = args.model.as_deref().unwrap_or(Path::new("."));
    let options = study::read_options(&settings, folder)?;
    let read = data::read(&args.data, &options)?;
    let held_out = match &args.held_out {
        Some(path) => data::read(path, &options)?.records,
        None => Vec::new(),
    };
    let wanted = ProbeOptions {
        prompts: Some(args.prompts.min(read.records.len())),
        select: if args.random { Select::Random } else { Select::First },
        seed: args.seed,
        donors: args.donors,
        rebuild: args.rebuild,
    };
    let mut set = probe_set::build(&read.records, &held_out, &wanted)?;
    if args.endpoint.is_some() {
        set.notes.retain(|note| !REPHRASED.iter().any(|r| note.contains(r.kind)));
    }
    read.notes().iter().chain(&set.notes).for_each(|note| progress.say(note));
    match &args.endpoint {
        None => {
            JsonlWriter::create(&args.out)?.write_all(&set.records.iter().map(row).collect::<Vec<_>>())?
        }
        Some(url) => rephrase_all(args, url, &set.records, progress)?,
    }
    progress.say(&format!("{} prompts in {}", set.records.len(), args.out.display()));
    Ok(())
}

/// A record as the readers of probe files know it.
fn row(record: &Record) -> Map<String, Value> {
    let texts = record.responses.iter().map(|(kind, text)| (kind.clone(), text.clone().into()));
    let prompt = ("prompt".to_owned(), record.prompt.clone().into());
    std::iter::once(prompt).chain(texts).chain(record.extra.clone()).collect()
}

fn rephrase_all(args: &Args, url: &str, records: &[Record], progress: &Progress) -> Result<()> {
    let timeout = Duration::try_from_secs_f64(args.timeout).ok().filter(|t| !t.is_zero());
    let client = Client::new(Endpoint {
        url: url.to_owned(),
        key: Key::from_env(&args.api_key_env)?,
        timeout: timeout.with_context(|| format!("--timeout {}: expected seconds above 0", args.timeout))?,
        max_retries: args.max_retries,
        seed: args.seed,
    })?;
    let model = args.chat_model.as_deref().context("--chat-model is missing")?;
    let (done, length) = written(&args.out, records)?;
    if done > 0 {
        progress.say(&format!("{done} prompts are there already"));
    }
    let mut writer = JsonlWriter::cut(&args.out, length)?;
    for (i, batch) in records[done..].chunks(BATCH).enumerate() {
        let mut batch = batch.to_vec();
        let asked = rephrase::missing(&batch);
        let request = |(place, what): &(usize, &rephrase::Rephrased)| {
            let text = batch[*place].response(what.of).unwrap_or_default();
            what.request(model, text, args.temperature, args.seed)
        };
        let requests: Vec<_> = asked.iter().map(request).collect();
        let mut replies = vec![String::new(); requests.len()];
        let all = complete_all(&client, &requests, args.concurrency, |index, reply| {
            replies[index] = reply.text;
            Ok(())
        });
        all.map_err(|(index, error)| {
            let (place, what) = asked[index];
            error.context(format!("`{}` of record {}", what.kind, batch[place].example))
        })?;
        let places: Vec<(usize, &str)> = asked.iter().map(|(place, what)| (*place, what.kind)).collect();
        for ((place, kind), reply) in places.into_iter().zip(replies) {
            rephrase::insert(&mut batch[place], kind, &reply);
        }
        writer.write_all(&batch.iter().map(row).collect::<Vec<_>>())?;
        progress.say(&format!("{} of {} prompts", done + (i * BATCH) + batch.len(), records.len()));
    }
    Ok(())
}

/// How many of the records are in the file, and the bytes that they take.
fn written(out: &Path, records: &[Record]) -> Result<(usize, u64)> {
    if !out.exists() {
        return Ok((0, 0));
    }
    let rows: Vec<Map<String, Value>> = record::read_jsonl(out)?;
    let same = |(found, record): (&Map<String, Value>, &Record)| {
        row(record).iter().all(|(key, value)| found.get(key) == Some(value))
    };
    if rows.len() > records.len() || !rows.iter().zip(records).all(same) {
        bail!("{} holds another probe set: remove it or choose another output", out.display())
    }
    let text = std::fs::read(out).with_context(|| format!("cannot read {}", out.display()))?;
    let lines = text.split_inclusive(|b| *b == b'\n').take(rows.len());
    Ok((rows.len(), lines.map(|line| line.len() as u64).sum()))
}
