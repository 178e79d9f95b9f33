//! On-policy responses: drawn from the policy when a stage begins, ranked, kept, and put in the place of the data's.

use crate::config::{Replace, Reward, Samples};
use crate::data::Tokenizer;
use crate::generate::{Prompt, Sampling, Stop, generate};
use crate::model::Model;
use crate::score::{self, Item};
use crate::train::Example;
use anyhow::{Context, Result, bail, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The responses to one prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Line of the data file, from 0.
    pub example: usize,
    /// Their tokens, in the order in which they were drawn.
    pub ids: Vec<Vec<u32>>,
    /// Their texts.
    pub texts: Vec<String>,
    /// Their rewards, where they are ranked.
    pub rewards: Vec<f64>,
}

/// Draws and ranks responses to the examples' prompts.
///
/// # Errors
/// A reward model or command that fails, by name; a prompt that leaves no room for a response.
pub fn draw(
    samples: &Samples,
    model: &Model,
    tokenizer: &Tokenizer,
    examples: &[Example],
    rng: &mut impl Rng,
) -> Result<Vec<Row>> {
    let drawn = samples.drawn();
    let prompts: Vec<Prompt> = examples
        .iter()
        .flat_map(|e| (0..drawn).map(|k| Prompt { ids: &e.prompt, stream: e.example * drawn + k }))
        .collect();
    let sampling = Sampling {
        max_new_tokens: samples.max_new_tokens,
        temperature: samples.temperature,
        top_p: samples.top_p,
        seed: rng.random(),
        ..Sampling::default()
    };
    let responses = generate(model, &prompts, &Stop::at(tokenizer.eos_id()), &sampling)?;
    let rewards = match &samples.reward {
        Some(reward) => rewards(reward, model, tokenizer, &prompts, &responses)?,
        None => Vec::new(),
    };
    let rows = examples.iter().zip(responses.chunks(drawn)).enumerate().map(|(i, (example, ids))| {
        let texts =
            ids.iter().map(|ids| tokenizer.decode(without_eos(ids, tokenizer))).collect::<Result<_>>()?;
        let own = rewards.chunks(drawn).nth(i).unwrap_or_default();
        Ok(Row { example: example.example, ids: ids.to_vec(), texts, rewards: own.to_vec() })
    });
    rows.collect()
}

fn without_eos<'a>(ids: &'a [u32], tokenizer: &Tokenizer) -> &'a [u32] {
    ids.strip_suffix(&[tokenizer.eos_id()]).unwrap_or(ids)
}

/// Puts the responses in the place of the examples'. Prompts whose responses are all alike make no pair; returns how
/// many there were.
///
/// # Errors
/// Rows of other examples.
pub fn replace(samples: &Samples, rows: &[Row], examples: &mut Vec<Example>) -> Result<usize> {
    let before = examples.len();
    ensure!(
        rows.len() == before && rows.iter().zip(&*examples).all(|(row, e)| row.example == e.example),
        "the samples are of other prompts: remove their file to draw them anew"
    );
    let mut rows = rows.iter();
    examples.retain_mut(|example| {
        let row = rows.next().expect("as many rows as examples");
        let pair = match samples.replace {
            Replace::Rejected => [example.responses[0].clone(), row.ids[0].clone()],
            Replace::Pair => best_and_worst(row).map(|i| row.ids[i].clone()),
        };
        let differ = pair[0] != pair[1];
        example.responses.splice(..2, pair);
        differ
    });
    Ok(before - examples.len())
}

/// Places of the highest and the lowest reward, the first of equals.
fn best_and_worst(row: &Row) -> [usize; 2] {
    let by = |better: fn(f64, f64) -> bool| {
        (1..row.rewards.len())
            .fold(0, |best, i| if better(row.rewards[i], row.rewards[best]) { i } else { best })
    };
    [by(|a, b| a > b), by(|a, b| a < b)]
}

fn rewards(
    reward: &Reward,
    model: &Model,
    tokenizer: &Tokenizer,
    prompts: &[Prompt],
    responses: &[Vec<u32>],
) -> Result<Vec<f64>> {
    let score = |folder: &Path, mean: bool| -> Result<Vec<f64>> {
        let judge = model.load_another(folder).context("samples.reward")?;
        ensure!(
            judge.vocab_size() == model.vocab_size(),
            "samples.reward: {} has {} token ids, the policy {}: take a model with the same tokenizer",
            folder.display(),
            judge.vocab_size(),
            model.vocab_size()
        );
        let items: Vec<Item> =
            prompts.iter().zip(responses).map(|(p, r)| Item { prompt: p.ids, responses: vec![r] }).collect();
        let scored = score::score(&judge, &items)?;
        Ok(scored.iter().map(|s| if mean { s[0].logp_mean } else { s[0].logp }).collect())
    };
    let found = match reward {
        Reward::Likelihood(folder) => score(folder, true)?,
        Reward::LogRatio(folder, reference) => {
            let (a, b) = (score(folder, false)?, score(reference, false)?);
            a.iter().zip(&b).map(|(a, b)| a - b).collect()
        }
        Reward::Command(command) => by_command(command, tokenizer, prompts, responses)?,
    };
    ensure!(found.iter().all(|r| r.is_finite()), "samples.reward: a reward is not a finite number");
    Ok(found)
}

/// What a command answers to the rows on its standard input.
fn by_command(
    command: &[String],
    tokenizer: &Tokenizer,
    prompts: &[Prompt],
    responses: &[Vec<u32>],
) -> Result<Vec<f64>> {
    let Some((program, arguments)) = command.split_first() else {
        bail!("samples.reward: the command is empty")
    };
    let context = || format!("samples.reward: the command {command:?}");
    let mut input = String::new();
    for (prompt, response) in prompts.iter().zip(responses) {
        let row = serde_json::json!({
            "prompt": tokenizer.decode(prompt.ids)?,
            "response": tokenizer.decode(without_eos(response, tokenizer))?,
        });
        input += &format!("{row}\n");
    }
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(context)?;
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    // Beside the reading of its answers: it may answer before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().with_context(context)?;
    // One that ended early says more by its status.
    let written = writer.join().expect("writing does not panic");
    ensure!(output.status.success(), "{} ended with {}", context(), output.status);
    written.with_context(context)?;
    let text = String::from_utf8(output.stdout).with_context(context)?;
    let found: Vec<f64> = text
        .lines()
        .enumerate()
        .map(|(i, line)| {
            line.trim()
                .parse()
                .with_context(|| format!("{}, line {}: {line:?} is no number", context(), i + 1))
        })
        .collect::<Result<_>>()?;
    ensure!(
        found.len() == responses.len(),
        "{} answered with {} numbers to {} rows",
        context(),
        found.len(),
        responses.len()
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rewards: &[f64]) -> Row {
        let ids = (0..rewards.len() as u32).map(|i| vec![10 + i, 0]).collect();
        Row { example: 3, ids, texts: vec![String::new(); rewards.len()], rewards: rewards.to_vec() }
    }

    fn example() -> Example {
        Example { example: 3, prompt: vec![1], responses: vec![vec![5, 0], vec![6, 0]], reference: None }
    }

    #[test]
    fn the_best_and_the_worst_make_a_pair_and_equals_make_none() {
        let samples = Samples { per_prompt: 3, ..Samples::default() };
        let mut examples = vec![example()];
        assert_eq!(replace(&samples, &[row(&[0.5, -1.0, 2.0])], &mut examples).unwrap(), 0);
        assert_eq!(examples[0].responses, [[12, 0], [11, 0]]);
        let mut alike = row(&[1.0, 1.0]);
        alike.ids[1] = alike.ids[0].clone();
        let mut examples = vec![example()];
        assert_eq!(replace(&samples, &[alike], &mut examples).unwrap(), 1);
        assert!(examples.is_empty());
    }

    #[test]
    fn self_play_keeps_the_datas_chosen() {
        let samples = Samples { replace: Replace::Rejected, ..Samples::default() };
        let mut examples = vec![example()];
        let drawn = Row { ids: vec![vec![10, 0]], rewards: Vec::new(), ..row(&[]) };
        assert_eq!(replace(&samples, &[drawn], &mut examples).unwrap(), 0);
        assert_eq!(examples[0].responses, [[5, 0], [10, 0]]);
        // Rows of another prompt are none of this one.
        assert!(replace(&samples, &[Row { example: 4, ..row(&[0.0]) }], &mut examples).is_err());
    }
}
