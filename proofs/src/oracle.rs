//! Plain forms of what `ldyn-core` computes: straight from the definitions, slow, and sharing no
//! code with it.

/// Σ with Kahan's compensation.
pub fn sum(terms: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for term in terms {
        let term = term - lost;
        let next = sum + term;
        lost = (next - sum) - term;
        sum = next;
    }
    sum
}

/// log softmax(z).
pub fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = sum(logits.iter().map(|z| (z - max).exp())).ln();
    logits.iter().map(|z| (z - max) - log_sum).collect()
}

/// softmax(z).
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    log_softmax(logits).into_iter().map(f64::exp).collect()
}

/// z + s(π − e_y): the logits after a negative step.
pub fn negative_step(logits: &[f64], label: usize, step: f64) -> Vec<f64> {
    let pi = softmax(logits);
    let hit = |i| if i == label { 1.0 } else { 0.0 };
    logits.iter().zip(pi).enumerate().map(|(i, (z, p))| z + step * (p - hit(i))).collect()
}

/// z + s(e_y − π): the logits after a positive step.
pub fn positive_step(logits: &[f64], label: usize, step: f64) -> Vec<f64> {
    negative_step(logits, label, -step)
}

/// z + s[w₊(e₊ − π) − w₋(e₋ − π)]: the logits after a step on a pair in one context.
pub fn pair_step(logits: &[f64], pair: (usize, usize), weights: (f64, f64), step: f64) -> Vec<f64> {
    let pi = softmax(logits);
    let hit = |i, label| if i == label { 1.0 } else { 0.0 };
    let pull = |i: usize| weights.0 * (hit(i, pair.0) - pi[i]) - weights.1 * (hit(i, pair.1) - pi[i]);
    logits.iter().enumerate().map(|(i, z)| z + step * pull(i)).collect()
}

/// z + Δz.
pub fn moved(logits: &[f64], delta: &[f64]) -> Vec<f64> {
    logits.iter().zip(delta).map(|(z, d)| z + d).collect()
}

/// The size at which logits and what is added to them are rounded, at least 1.
pub fn scale(logits: &[f64], step: f64) -> f64 {
    logits.iter().fold(1.0 + step, |a, z| z.abs().max(a))
}

/// −Σ π log π.
pub fn entropy(logits: &[f64]) -> f64 {
    -sum(log_softmax(logits).iter().map(|l| l.exp() * l))
}

/// log π′ − log π for two rows of logits.
pub fn log_growth(before: &[f64], after: &[f64]) -> Vec<f64> {
    log_softmax(after).iter().zip(log_softmax(before)).map(|(a, b)| a - b).collect()
}

/// KL(π ‖ π′) from logs.
pub fn kl(before: &[f64], after: &[f64]) -> f64 {
    let before = log_softmax(before);
    let after = log_softmax(after);
    sum(before.iter().zip(after).map(|(b, a)| b.exp() * (b - a)))
}

/// The position of the largest number, the first of equals.
pub fn argmax(v: &[f64]) -> usize {
    first_largest(v, 0..v.len())
}

/// The most likely label other than `label`, the first of equals.
pub fn runner_up(pi: &[f64], label: usize) -> usize {
    first_largest(pi, (0..pi.len()).filter(|&i| i != label))
}

fn first_largest(v: &[f64], among: impl Iterator<Item = usize>) -> usize {
    among.reduce(|best, i| if v[i] > v[best] { i } else { best }).expect("at least one label")
}

/// ‖π‖².
pub fn sum_sq(pi: &[f64]) -> f64 {
    sum(pi.iter().map(|p| p * p))
}
