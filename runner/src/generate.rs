//! Sampling of continuations: greedy, or by temperature with top-k and top-p.

use crate::model::Model;
use crate::value::{Layout, Value};
use anyhow::{Result, bail};
use candle_core::{DType, Tensor};
use rand::Rng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;

/// How the next token is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Longest continuation in tokens, EOS included.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f64,
    /// Draw among this many most likely tokens; 0 for all.
    pub top_k: usize,
    /// Draw among the fewest most likely tokens whose mass reaches this.
    pub top_p: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { max_new_tokens: 128, temperature: 1.0, top_k: 0, top_p: 1.0 }
    }
}

/// Continues every prompt until EOS or the longest length; an EOS that was drawn
/// is kept. All prompts go through the model together; every token recomputes its
/// sequence, so the cost is quadratic in the length.
///
/// # Errors
/// An empty prompt, a prompt that leaves no position free, settings out of range.
pub fn generate(
    model: &Model,
    prompts: &[&[u32]],
    eos_id: u32,
    sampling: &Sampling,
    rng: &mut impl Rng,
) -> Result<Vec<Vec<u32>>> {
    sampling.check()?;
    let room = |prompt: &[u32]| model.max_positions().saturating_sub(prompt.len());
    for (i, prompt) in prompts.iter().enumerate() {
        if prompt.is_empty() {
            bail!("prompt {i} is empty: give at least one token to continue")
        }
        if room(prompt) == 0 {
            bail!(
                "prompt {i} has {} tokens and fills the model's {} positions",
                prompt.len(),
                model.max_positions()
            )
        }
    }
    let mut sequences: Vec<Vec<u32>> = prompts.iter().map(|p| p.to_vec()).collect();
    let mut open: Vec<usize> = (0..prompts.len()).collect();
    for _ in 0..sampling.max_new_tokens {
        if open.is_empty() {
            break;
        }
        let (mut layout, mut ids, mut last) = (Layout::new(), Vec::new(), Vec::new());
        for &i in &open {
            layout.push(sequences[i].len(), None)?;
            ids.extend_from_slice(&sequences[i]);
            last.push(ids.len() as u32 - 1);
        }
        let hidden = model.hidden_detached(&ids, &layout)?;
        let rows = Value::rows(&hidden, &Tensor::new(last, model.device())?)?;
        let logits: Vec<Vec<f64>> =
            rows.linear(&model.head_detached()?, None)?.to_dtype(DType::F64)?.to_vec2()?;
        for (&i, logits) in open.iter().zip(logits) {
            sequences[i].push(sampling.draw(&logits, rng)?);
        }
        open.retain(|&i| {
            sequences[i].last() != Some(&eos_id) && sequences[i].len() - prompts[i].len() < room(prompts[i])
        });
    }
    Ok(sequences.into_iter().zip(prompts).map(|(s, p)| s[p.len()..].to_vec()).collect())
}

impl Sampling {
    fn check(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            bail!("temperature = {}: expected 0 (greedy) or a positive number", self.temperature)
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            bail!("top_p = {}: expected a number in (0, 1]", self.top_p)
        }
        Ok(())
    }

    /// Draws a token from logits `[V]`.
    fn draw(&self, logits: &[f64], rng: &mut impl Rng) -> Result<u32> {
        let mut ranked: Vec<(usize, f64)> = logits.iter().copied().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.temperature == 0.0 {
            return Ok(ranked[0].0 as u32);
        }
        if self.top_k > 0 {
            ranked.truncate(self.top_k);
        }
        let best = ranked[0].1;
        let weights: Vec<f64> = ranked.iter().map(|(_, z)| ((z - best) / self.temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut mass = 0.0;
        let kept = weights.iter().position(|w| {
            mass += w;
            mass >= self.top_p * total
        });
        let kept = kept.map_or(weights.len(), |i| i + 1);
        Ok(ranked[WeightedIndex::new(&weights[..kept])?.sample(rng)].0 as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    fn drawn(sampling: Sampling) -> Vec<u32> {
        let logits = [0.0, 2.0, 1.0, -1.0];
        let mut rng = seed::rng(5, "draw");
        let mut seen: Vec<u32> = (0..2000).map(|_| sampling.draw(&logits, &mut rng).unwrap()).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }

    #[test]
    fn top_k_and_top_p_keep_the_most_likely_tokens() {
        let all = Sampling::default();
        assert_eq!(drawn(all), [0, 1, 2, 3]);
        assert_eq!(drawn(Sampling { temperature: 0.0, ..all }), [1]);
        assert_eq!(drawn(Sampling { top_k: 2, ..all }), [1, 2]);
        // softmax: 0.087, 0.644, 0.237, 0.032
        assert_eq!(drawn(Sampling { top_p: 0.6, ..all }), [1]);
        assert_eq!(drawn(Sampling { top_p: 0.9, ..all }), [0, 1, 2]);
    }

    #[test]
    fn draws_follow_the_softmax() {
        let mut rng = seed::rng(6, "draw");
        let n = 20_000;
        let ones = (0..n).filter(|_| Sampling::default().draw(&[0.0, 1.0], &mut rng).unwrap() == 1).count();
        // σ(1) = 0.7311, standard error 0.0031
        assert!((ones as f64 / f64::from(n) - 0.7311).abs() < 0.0125);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (sampling, name) in [
            (Sampling { temperature: -1.0, ..Sampling::default() }, "temperature"),
            (Sampling { top_p: 0.0, ..Sampling::default() }, "top_p"),
        ] {
            assert!(sampling.check().unwrap_err().to_string().contains(name));
        }
    }
}
