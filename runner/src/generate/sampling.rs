//! How the next token is drawn from logits.

use crate::value::{maximum, simd};
use anyhow::{Context, Result, bail};
use ldyn_core::Real;
use ldyn_core::softmax::softmax_into;
use rand::Rng;
use std::cmp::Ordering;

/// How the next token is drawn: from the softmax of logits / temperature, of which `top_k`, then `top_p` may
/// leave a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Longest continuation in tokens, EOS included.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 takes the most likely token.
    pub temperature: f64,
    /// Draw among this many most likely tokens; 0 for all.
    pub top_k: usize,
    /// Draw among the fewest most likely tokens whose mass reaches this share of what `top_k` leaves.
    pub top_p: f64,
    /// Seed of the prompts' random streams.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { max_new_tokens: 128, temperature: 1.0, top_k: 0, top_p: 1.0, seed: 0 }
    }
}

/// Tokens that are ranked for top-p at first; four times as many while their mass is too small.
const FIRST: usize = 64;

impl Sampling {
    pub(super) fn check(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            bail!("temperature = {}: expected 0 (greedy) or a positive number", self.temperature)
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            bail!("top_p = {}: expected a number in (0, 1]", self.top_p)
        }
        Ok(())
    }

    /// Draws a token from logits `[V]`; the first one is the most likely of equals.
    pub(super) fn draw<T: Real>(&self, logits: &[T], rng: &mut impl Rng) -> Result<u32> {
        let top = simd(
            #[inline(always)]
            || maximum(logits),
        );
        if self.temperature == 0.0 {
            return Ok(logits.iter().position(|z| *z == top).unwrap_or(0) as u32);
        }
        // Below ε only equals share the mass.
        let temperature = T::from_f64(self.temperature).max(T::EPSILON);
        let scaled: Vec<T> = logits.iter().map(|z| (*z - top) / temperature).collect();
        let mut pi = vec![T::ZERO; logits.len()];
        softmax_into(&scaled, &mut pi)
            .context("nothing can be drawn from the model's logits: have its weights diverged?")?;
        if self.top_k == 0 && self.top_p == 1.0 {
            return Ok(pick(pi.iter().map(|p| p.to_f64()), rng) as u32);
        }
        let kept = self.kept(logits, &pi);
        let drawn = pick(kept.iter().map(|&id| pi[id as usize].to_f64()), rng);
        Ok(kept[drawn])
    }

    /// What top-k and top-p leave, from the most likely token on.
    fn kept<T: Real>(&self, logits: &[T], pi: &[T]) -> Vec<u32> {
        let p = |id: &u32| pi[*id as usize].to_f64();
        let (limit, mut size) = match self.top_k {
            0 => (pi.len(), FIRST.min(pi.len())),
            k => (k.min(pi.len()), k.min(pi.len())),
        };
        loop {
            let mut ranked = most_likely(logits, size);
            let whole = if self.top_k == 0 { 1.0 } else { ranked.iter().map(p).sum() };
            let mut mass = 0.0;
            let last = ranked.iter().position(|id| {
                mass += p(id);
                mass >= self.top_p * whole
            });
            if last.is_some() || size == limit {
                ranked.truncate(last.map_or(size, |last| last + 1));
                return ranked;
            }
            size = limit.min(4 * size);
        }
    }
}

/// The `k` most likely tokens in order, `1 ≤ k ≤ V`, in one sweep over the logits.
fn most_likely<T: Real>(logits: &[T], k: usize) -> Vec<u32> {
    let z = |id: &u32| logits[*id as usize];
    let order = |a: &u32, b: &u32| z(b).partial_cmp(&z(a)).unwrap_or(Ordering::Equal).then(a.cmp(b));
    let mut ids: Vec<u32> = Vec::with_capacity(2 * k);
    let mut least = T::NEG_INFINITY;
    for (id, z) in (0..).zip(logits) {
        // Of equals the earlier ones are kept.
        if ids.len() < k || *z > least {
            ids.push(id);
        }
        if ids.len() == 2 * k {
            ids.select_nth_unstable_by(k - 1, order);
            ids.truncate(k);
            least = logits[ids[k - 1] as usize];
        }
    }
    ids.sort_unstable_by(order);
    ids.truncate(k);
    ids
}

/// A place drawn in proportion to the weights, which are not all 0.
fn pick(weights: impl Iterator<Item = f64> + Clone, rng: &mut impl Rng) -> usize {
    let aim = rng.random::<f64>() * weights.clone().sum::<f64>();
    let (mut mass, mut last) = (0.0, 0);
    for (i, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0.0) {
        mass += weight;
        last = i;
        if aim < mass {
            break;
        }
    }
    last
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
        assert_eq!(drawn(Sampling { temperature: 1e-300, ..all }), [1]);
        assert_eq!(drawn(Sampling { top_k: 2, ..all }), [1, 2]);
        // softmax: 0.087, 0.644, 0.237, 0.032
        assert_eq!(drawn(Sampling { top_p: 0.6, ..all }), [1]);
        assert_eq!(drawn(Sampling { top_p: 0.9, ..all }), [0, 1, 2]);
        // of the first two, 0.731 and 0.269
        assert_eq!(drawn(Sampling { top_k: 2, top_p: 0.7, ..all }), [1]);
        assert_eq!(drawn(Sampling { top_k: 2, top_p: 0.75, ..all }), [1, 2]);
    }

    /// What a sort of the whole vocabulary keeps.
    fn by_sorting(sampling: &Sampling, logits: &[f64], pi: &[f64]) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
        ids.sort_by(|a, b| logits[*b as usize].partial_cmp(&logits[*a as usize]).unwrap());
        if sampling.top_k > 0 {
            ids.truncate(sampling.top_k);
        }
        let mass = |n: usize| ids[..n].iter().map(|&id| pi[id as usize]).sum::<f64>();
        let kept = (1..=ids.len()).find(|&n| mass(n) >= sampling.top_p * mass(ids.len()));
        ids.truncate(kept.unwrap_or(ids.len()));
        ids
    }

    #[test]
    fn a_partial_ranking_keeps_what_a_sort_keeps() {
        let mut rng = seed::rng(7, "ranking");
        // Flat logits, so that top-p needs several rounds; whole numbers, so that there are equals.
        for (spread, whole) in [(0.5, false), (4.0, false), (4.0, true)] {
            let draw = |_| spread * rng.random_range(-1.0..1.0);
            let logits: Vec<f64> =
                (0..700).map(draw).map(|z: f64| if whole { z.round() } else { z }).collect();
            let mut pi = vec![0.0; logits.len()];
            softmax_into(&logits, &mut pi).unwrap();
            for top_k in [0, 1, 5, 64, 65, 699, 700, 9000] {
                for top_p in [1e-6, 0.3, 0.77, 0.999, 1.0] {
                    let sampling = Sampling { top_k, top_p, ..Sampling::default() };
                    let (mut kept, mut expected) =
                        (sampling.kept(&logits, &pi), by_sorting(&sampling, &logits, &pi));
                    if top_p == 1.0 {
                        // Rounding decides whether the last ones are needed.
                        kept.truncate(650);
                        expected.truncate(650);
                    }
                    assert_eq!(kept, expected, "top_k {top_k}, top_p {top_p}");
                }
            }
        }
    }

    #[test]
    fn draws_follow_the_softmax_at_each_temperature() {
        let mut rng = seed::rng(6, "draw");
        let n = 20_000;
        let mut share = |sampling: Sampling| {
            let one = |_: &usize| sampling.draw(&[0.0_f32, -9.0, 1.0], &mut rng).unwrap() == 2;
            (0..n).filter(one).count() as f64 / n as f64
        };
        let all = Sampling::default();
        // σ(1) = 0.7311, σ(½) = 0.6225, standard errors 0.003
        assert!((share(all) - 0.7311).abs() < 0.0125);
        assert!((share(Sampling { top_k: 2, ..all }) - 0.7311).abs() < 0.0125);
        assert!((share(Sampling { temperature: 2.0, top_p: 0.99, ..all }) - 0.6225).abs() < 0.0135);
    }

    #[test]
    fn logits_that_are_not_finite_draw_nothing_and_greedy_passes_over_nan() {
        let mut rng = seed::rng(0, "draw");
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        assert_eq!(greedy.draw(&[f64::NAN, 1.0, 3.0, 3.0], &mut rng).unwrap(), 2);
        assert_eq!(greedy.draw(&[f64::NAN, f64::NAN], &mut rng).unwrap(), 0);
        for logits in [[f64::NAN, 1.0], [f64::INFINITY, 1.0], [f64::NEG_INFINITY; 2]] {
            let error = Sampling::default().draw(&logits, &mut rng).unwrap_err();
            assert!(error.to_string().contains("diverged"));
        }
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
