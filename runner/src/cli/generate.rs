use super::{Named, data_table, named};
use crate::data::{self, HH_HUMAN, HH_MARKER, Need, ReadOptions, Tokenizer};
use crate::generate::{Prompt, Sampling, Stop, check, generate};
use crate::model::Model;
use crate::progress::Progress;
use crate::record::JsonlWriter;
use crate::{device, study};
use anyhow::{Result, bail};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

/// Continue prompts with a model folder; one JSON line `{"prompt", "response"}` each.
///
/// Examples:
///   ldyn generate --model runs/hh/dpo --prompt "What is a horseshoe?" --human --temperature 0
///   ldyn generate --model runs/hh/dpo --data hh.jsonl --limit 100 --stop '\n\nHuman:' --top-p 0.95 --out dpo.jsonl
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Model folder in the Hugging Face layout, tokenizer included, or a name on the hub: OWNER/NAME[@REVISION].
    #[arg(long)]
    model: PathBuf,
    /// A prompt. Repeatable.
    #[arg(long)]
    prompt: Vec<String>,
    /// A file whose prompts are continued, as for training and probing: .jsonl, .jsonl.gz or .parquet.
    #[arg(long, conflicts_with = "prompt")]
    data: Option<PathBuf>,
    /// Wrap each prompt as "\n\nHuman: … \n\nAssistant:", the form of the HH data, and end at the next human turn.
    #[arg(long)]
    human: bool,
    /// Continue only the first prompts of the file.
    #[arg(long)]
    limit: Option<usize>,
    /// File that receives the lines; it must not exist [default: standard output].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Text that ends a response, which is cut before it; \n is a new line. Repeatable.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Longest continuation in tokens.
    #[arg(long, default_value_t = 128)]
    max_new_tokens: usize,
    /// Divides the logits; 0 takes the most likely token.
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Draw among this many most likely tokens; 0 for all.
    #[arg(long, default_value_t = 0)]
    top_k: usize,
    /// Draw among the fewest tokens whose mass reaches this.
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Seed of the draws. A prompt's draws depend on it and on the prompt's place in the file alone.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Override a key of a study's data table: `data.skip_bad=true`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "data")]
    set: Vec<String>,
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, default_value = "cpu")]
    device: String,
}

#[derive(Serialize)]
struct Generated<'a> {
    prompt: &'a str,
    response: String,
}

/// Responses between two writes.
const BATCH: usize = 64;

impl Args {
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        named([&mut self.model], &mut self.data)
    }
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    let mut prompts = prompts(args, progress)?;
    if prompts.is_empty() {
        bail!("nothing to continue: give --prompt TEXT or --data FILE")
    }
    if args.human {
        prompts.iter_mut().for_each(|(_, p)| *p = format!("{HH_HUMAN} {p}{HH_MARKER}"));
    }
    let model = Model::load(&args.model, device::dtype("f32")?, &device::open(&args.device)?)?;
    let tokenizer = Tokenizer::load(&args.model, None)?;
    let mut texts: Vec<String> = args.stop.iter().map(|text| text.replace("\\n", "\n")).collect();
    texts.extend(args.human.then(|| HH_HUMAN.to_owned()));
    let stop = Stop::at(tokenizer.eos_id()).or_texts(&tokenizer, &texts)?;
    let sampling = Sampling {
        max_new_tokens: args.max_new_tokens,
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        seed: args.seed,
    };
    let mut ids = prompts.iter().map(|(_, p)| tokenizer.encode(p)).collect::<Result<Vec<_>>>()?;
    if args.data.is_some() {
        cut(&mut ids, &model, args.max_new_tokens, progress);
    }
    let tokenized: Vec<Prompt> =
        prompts.iter().zip(&ids).map(|((stream, _), ids)| Prompt { ids, stream: *stream }).collect();
    check(&model, &tokenized, &sampling)?;
    let mut writer = args.out.as_deref().map(JsonlWriter::create).transpose()?;
    let (mut written, mut tokens, mut seconds) = (0, 0, 0.0);
    for (batch, prompts) in tokenized.chunks(BATCH).zip(prompts.chunks(BATCH)) {
        let started = Instant::now();
        let answers = generate(&model, batch, &stop, &sampling)?;
        seconds += started.elapsed().as_secs_f64();
        tokens += answers.iter().map(Vec::len).sum::<usize>();
        let rows = prompts
            .iter()
            .zip(&answers)
            .map(|((_, prompt), answer)| Ok(Generated { prompt, response: stop.text(&tokenizer, answer)? }));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        match &mut writer {
            Some(writer) => writer.write_all(&rows)?,
            None => {
                for row in &rows {
                    out!("{}", serde_json::to_string(row)?);
                }
            }
        }
        written += rows.len();
        if let Some(path) = &args.out {
            progress.say(&format!("{written} of {} responses in {}", ids.len(), path.display()));
        }
    }
    progress.say(&format!("{tokens} tokens in {seconds:.3} s, {:.0} a second", tokens as f64 / seconds));
    Ok(())
}

/// Keeps the ends of prompts that leave no room for an answer.
fn cut(prompts: &mut [Vec<u32>], model: &Model, max_new_tokens: usize, progress: &Progress) {
    let room = model.max_positions().saturating_sub(max_new_tokens);
    let long: Vec<&mut Vec<u32>> = prompts.iter_mut().filter(|ids| room > 0 && ids.len() > room).collect();
    if !long.is_empty() {
        progress.say(&format!(
            "{} prompts were cut to their last {room} tokens: the model reads {} and {max_new_tokens} are for the answer",
            long.len(),
            model.max_positions()
        ));
    }
    long.into_iter().for_each(|ids| drop(ids.drain(..ids.len() - room)));
}

/// The prompts with their places, from 0.
fn prompts(args: &Args, progress: &Progress) -> Result<Vec<(usize, String)>> {
    let Some(path) = &args.data else {
        return Ok(args.prompt.iter().take(args.limit.unwrap_or(usize::MAX)).cloned().enumerate().collect());
    };
    let settings = data_table(&args.model, path, args.limit, &args.set)?;
    let options = study::read_options(&settings, &args.model)?;
    let read = data::read(path, &ReadOptions { need: Need::Prompt, limit: settings.limit, ..options })?;
    read.notes().iter().for_each(|note| progress.say(note));
    Ok(read.records.into_iter().map(|record| (record.example, record.prompt)).collect())
}
