//! Continuations of prompts: greedy, or by temperature with top-k and top-p.

mod sampling;
mod stop;

pub use sampling::Sampling;
pub use stop::Stop;

use crate::model::Model;
use crate::score::MAX_ROWS;
use crate::value::{self, Cache, Layout};
use crate::{log, seed};
use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::time::Instant;
use tracing::debug;

/// A prompt to continue.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'a> {
    /// Its tokens, at least one.
    pub ids: &'a [u32],
    /// The random stream that its tokens are drawn from, such as its line in a file: draws depend on
    /// the seed and on this number, not on the prompts beside it.
    pub stream: usize,
}

/// Sequences that grow together.
const BATCH: usize = 16;

/// A sequence that is being continued.
struct Open<'a> {
    /// Its place among the prompts.
    index: usize,
    prompt: &'a [u32],
    ids: Vec<u32>,
    rng: ChaCha8Rng,
}

/// Continues every prompt until `stop`, the longest length or the model's last position; returns the new
/// tokens in the order of the prompts, with those that ended them.
///
/// A prompt is computed once; then a token costs one row, against the keys and values of the rows before it. Prompts
/// go through the model together, and where one ends the next one takes its place. On the CPU a
/// continuation has the same tokens whatever the other prompts are.
///
/// ```
/// use ldyn::generate::{Prompt, Sampling, Stop, generate};
/// # use candle_core::{DType, Device};
/// # let config = r#"{"model_type": "gpt_neox", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
/// #     "num_attention_heads": 2, "intermediate_size": 16, "rotary_pct": 0.5}"#;
/// # let rng = &mut ldyn::seed::rng(0, "example");
/// # let config = ldyn::model::ModelConfig::parse(config)?;
/// # let model = ldyn::model::Model::init(config, DType::F32, &Device::Cpu, rng)?;
/// let prompts = [[1, 2].as_slice(), &[3]].map(|ids| Prompt { ids, stream: 0 });
/// let greedy = Sampling { temperature: 0.0, max_new_tokens: 5, ..Sampling::default() };
/// let answers = generate(&model, &prompts, &Stop::at(0), &greedy)?;
/// assert!(answers.iter().all(|ids| ids.len() == 5 || ids.ends_with(&[0])));
/// # anyhow::Ok(())
/// ```
///
/// # Errors
/// As [`check`]; sampling from logits that are not finite; a stop text that cannot be looked for.
pub fn generate(
    model: &Model,
    prompts: &[Prompt],
    stop: &Stop,
    sampling: &Sampling,
) -> Result<Vec<Vec<u32>>> {
    check(model, prompts, sampling)?;
    if sampling.max_new_tokens == 0 {
        return Ok(vec![Vec::new(); prompts.len()]);
    }
    let started = Instant::now();
    // On a thread of the pool, so that its many small tasks need not be handed over one by one.
    let answers = rayon::scope(|_| continue_all(model, prompts, stop, sampling))?;
    let tokens = answers.iter().map(Vec::len).sum::<usize>();
    debug!(prompts = prompts.len(), tokens, seconds = log::seconds(started), "answers generated");
    Ok(answers)
}

/// Whether the prompts can be continued.
///
/// # Errors
/// An empty prompt, one that leaves no position free, settings out of range.
pub fn check(model: &Model, prompts: &[Prompt], sampling: &Sampling) -> Result<()> {
    sampling.check()?;
    for (i, prompt) in prompts.iter().enumerate() {
        if prompt.ids.is_empty() {
            bail!("prompt {i} is empty: give at least one token to continue")
        }
        if prompt.ids.len() >= model.max_positions() {
            bail!(
                "prompt {i} has {} tokens and fills the model's {} positions: cut it shorter",
                prompt.ids.len(),
                model.max_positions()
            )
        }
    }
    Ok(())
}

fn continue_all(
    model: &Model,
    prompts: &[Prompt],
    stop: &Stop,
    sampling: &Sampling,
) -> Result<Vec<Vec<u32>>> {
    let mut done = vec![Vec::new(); prompts.len()];
    let mut waiting = prompts.iter().enumerate().peekable();
    let mut open: Vec<Open> = Vec::new();
    let mut cache = Cache::new();
    loop {
        let mut new = Vec::new();
        let mut rows = 0;
        while let Some((_, prompt)) = waiting.peek()
            && open.len() + new.len() < BATCH
            && (new.is_empty() || rows + prompt.ids.len() <= MAX_ROWS)
        {
            rows += prompt.ids.len();
            new.extend(waiting.next().map(|(index, prompt)| {
                let rng = seed::rng(sampling.seed, &format!("generate {}", prompt.stream));
                Open { index, prompt: prompt.ids, ids: Vec::new(), rng }
            }));
        }
        if !new.is_empty() {
            let (mut layout, mut fresh) = (Layout::new(), Cache::new());
            for sequence in &new {
                layout.push(sequence.prompt.len(), None)?;
            }
            let ids = new.iter().map(|s| s.prompt).collect::<Vec<_>>().concat();
            let logits = model.next_logits(&ids, &layout, &mut fresh)?;
            draw(&logits, &mut new, sampling)?;
            cache.append(fresh)?;
            open.append(&mut new);
        } else if open.is_empty() {
            return Ok(done);
        } else {
            let last: Vec<u32> = open.iter().map(|s| s.ids[s.ids.len() - 1]).collect();
            let logits = model.next_logits(&last, &cache.step(), &mut cache)?;
            draw(&logits, &mut open, sampling)?;
        }
        let going = |s: &Open| -> Result<bool> {
            let free = model.max_positions() - s.prompt.len();
            Ok(s.ids.len() < sampling.max_new_tokens.min(free) && !stop.reached(&s.ids)?)
        };
        let keep = open.iter().map(going).collect::<Result<Vec<bool>>>()?;
        cache.retain(&keep)?;
        let mut keep = keep.into_iter();
        for ended in open.extract_if(.., |_| keep.next() == Some(false)) {
            done[ended.index] = ended.ids;
        }
    }
}

/// Draws a token for every sequence from its row of logits `[n, V]`.
fn draw(logits: &Tensor, open: &mut [Open], sampling: &Sampling) -> Result<()> {
    let vocabulary = logits.dim(1)?;
    let logits = logits.to_device(&Device::Cpu)?;
    match logits.dtype() {
        DType::F64 => value::with(&logits, |rows: &[f64]| Ok(draw_rows(rows, vocabulary, open, sampling)))?,
        _ => {
            let logits = logits.to_dtype(DType::F32)?;
            value::with(&logits, |rows: &[f32]| Ok(draw_rows(rows, vocabulary, open, sampling)))?
        }
    }
}

fn draw_rows<T: ldyn_core::Real>(
    rows: &[T],
    vocabulary: usize,
    open: &mut [Open],
    sampling: &Sampling,
) -> Result<()> {
    open.par_iter_mut().zip(rows.par_chunks(vocabulary)).try_for_each(|(sequence, logits)| {
        sequence.ids.push(sampling.draw(logits, &mut sequence.rng)?);
        Ok(())
    })
}

#[cfg(test)]
mod tests;
