use crate::data::Tokenizer;
use crate::generate::{Sampling, generate};
use crate::model::Model;
use crate::{device, record, seed, study};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;

/// Continue prompts with a model folder; one JSON line `{"prompt", "response"}` each.
///
/// Example: ldyn generate --model runs/hh/dpo --prompt "What is a horseshoe?" --human
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Model folder in the Hugging Face layout, tokenizer included.
    #[arg(long)]
    model: PathBuf,
    /// A prompt. Repeatable.
    #[arg(long)]
    prompt: Vec<String>,
    /// A JSONL file whose `prompt` fields are continued.
    #[arg(long, conflicts_with = "prompt")]
    data: Option<PathBuf>,
    /// Wrap each prompt as "\n\nHuman: … \n\nAssistant:", the form of the HH data.
    #[arg(long)]
    human: bool,
    /// Continue only the first prompts of the file.
    #[arg(long)]
    limit: Option<usize>,
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
    /// Seed of the draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, default_value = "cpu")]
    device: String,
}

#[derive(Deserialize)]
struct Prompt {
    prompt: String,
}

#[derive(Serialize)]
struct Generated<'a> {
    prompt: &'a str,
    response: String,
}

/// Prompts that go through the model together.
const BATCH: usize = 16;

pub(super) fn run(args: &Args) -> Result<()> {
    let mut prompts: Vec<String> = match &args.data {
        Some(path) => record::read_jsonl::<Prompt>(path)?.into_iter().map(|p| p.prompt).collect(),
        None => args.prompt.clone(),
    };
    prompts.truncate(args.limit.unwrap_or(usize::MAX));
    if prompts.is_empty() {
        bail!("nothing to continue: give --prompt TEXT or --data FILE.jsonl with `prompt` fields")
    }
    if args.human {
        prompts.iter_mut().for_each(|p| *p = format!("\n\nHuman: {p}\n\nAssistant:"));
    }
    let model = Model::load(&args.model, study::dtype("f32")?, &device::open(&args.device)?)?;
    let tokenizer = Tokenizer::load(&args.model, None)?;
    let sampling = Sampling {
        max_new_tokens: args.max_new_tokens,
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
    };
    let mut rng = seed::rng(args.seed, "generate");
    let mut out = std::io::stdout().lock();
    for batch in prompts.chunks(BATCH) {
        let ids = batch.iter().map(|p| tokenizer.encode(p)).collect::<Result<Vec<_>>>()?;
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let answers = generate(&model, &ids, tokenizer.eos_id(), &sampling, &mut rng)?;
        for (prompt, answer) in batch.iter().zip(answers) {
            let text = answer.strip_suffix(&[tokenizer.eos_id()]).unwrap_or(&answer);
            let row = Generated { prompt, response: tokenizer.decode(text)? };
            writeln!(out, "{}", serde_json::to_string(&row)?).context("writing to standard output")?;
        }
    }
    Ok(())
}
