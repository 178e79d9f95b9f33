//! The win rate that is left when both answers are equally long.
//!
//! Judges like long answers, so a model wins by saying more. As in AlpacaEval 2 (Dubois et al., 2024,
//! *Length-Controlled AlpacaEval*), the score of pair i is regressed on a constant and on the difference of
//! lengths Δᵢ,
//!
//! ```text
//! P(A wins pair i) = σ(α + β·xᵢ),   xᵢ = tanh(Δᵢ / sd(Δ)),
//! ```
//!
//! and the win rate at x = 0 is σ(α). AlpacaEval's third term, the difficulty of each prompt, needs the answers of
//! many models and is left out.
//!
//! # Method
//! The penalised log-likelihood Σ [yᵢ log pᵢ + (1 − yᵢ) log(1 − pᵢ)] − ½(λ_α α² + λ_β β²) with scores yᵢ ∈ {0, ½, 1}
//! is strictly concave; Newton's method climbs it, with steps halved where they would lead down. λ_β = 1 is
//! a standard normal prior of β, and keeps it finite where length foretells every verdict. λ_α = 10⁻³ only keeps α
//! finite where one model wins every pair.
//!
//! # What it cannot do
//! Where one model's answers are nearly always the longer ones, α and β explain the same wins, and σ(α) is an
//! extrapolation to pairs that nobody has seen.

/// λ_α and λ_β.
const RIDGE: [f64; 2] = [1e-3, 1.0];
/// Newton's method needs about ten steps; a bound on them.
const MAX_STEPS: usize = 100;
/// Steps shorter than this end it.
const TOLERANCE: f64 = 1e-9;

/// xᵢ = tanh(Δᵢ / sd(Δ)) with the standard deviation over all pairs; `None` where the differences are all the same
/// and not 0, so that nothing is known of equal lengths.
pub fn regressor(differences: &[f64]) -> Option<Vec<f64>> {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let sd = (differences.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / n).sqrt();
    if sd > 0.0 {
        Some(differences.iter().map(|d| (d / sd).tanh()).collect())
    } else {
        differences.iter().all(|&d| d == 0.0).then(|| vec![0.0; differences.len()])
    }
}

/// α and β for scores yᵢ and regressors xᵢ that count `weights` times, by Newton's method from `start`.
///
/// ```
/// use ldyn::judge::length_control::fit;
/// // Two of three won at equal length: σ(α) = 2/3, α = log 2, up to the ridge.
/// let [alpha, beta] = fit(&[1.0, 1.0, 0.0], &[0.0; 3], &[1.0; 3], [0.0; 2]);
/// assert!((alpha - 2_f64.ln()).abs() < 2e-3 && beta == 0.0);
/// ```
///
/// # Panics
/// Slices that differ in length.
pub fn fit(scores: &[f64], x: &[f64], weights: &[f64], start: [f64; 2]) -> [f64; 2] {
    assert!(scores.len() == x.len() && x.len() == weights.len(), "a score, an x and a weight for each pair");
    let rows =
        || scores.iter().zip(x).zip(weights).map(|((&y, &x), &w)| (y, x, w)).filter(|&(.., w)| w > 0.0);
    let value = |[alpha, beta]: [f64; 2]| {
        let fitted: f64 = rows()
            .map(|(y, x, w)| {
                let logit = alpha + beta * x;
                // y log σ(t) + (1 − y) log σ(−t) = y t − log(1 + eᵗ)
                w * (y * logit - logit.max(0.0) - (-logit.abs()).exp().ln_1p())
            })
            .sum();
        fitted - 0.5 * (RIDGE[0] * alpha * alpha + RIDGE[1] * beta * beta)
    };
    let mut at = start;
    let mut reached = value(at);
    for _ in 0..MAX_STEPS {
        let [alpha, beta] = at;
        let (mut gradient, mut curvature) =
            ([-RIDGE[0] * alpha, -RIDGE[1] * beta], [RIDGE[0], 0.0, RIDGE[1]]);
        for (y, x, w) in rows() {
            let p = win_rate(alpha + beta * x);
            let (residual, variance) = (w * (y - p), w * p * (1.0 - p));
            gradient[0] += residual;
            gradient[1] += residual * x;
            curvature[0] += variance;
            curvature[1] += variance * x;
            curvature[2] += variance * x * x;
        }
        let [aa, ab, bb] = curvature;
        let determinant = aa * bb - ab * ab;
        let mut step = [
            (bb * gradient[0] - ab * gradient[1]) / determinant,
            (aa * gradient[1] - ab * gradient[0]) / determinant,
        ];
        loop {
            if step[0].abs().max(step[1].abs()) < TOLERANCE {
                return at;
            }
            let next = [at[0] + step[0], at[1] + step[1]];
            let gained = value(next);
            if gained >= reached {
                (at, reached) = (next, gained);
                break;
            }
            step = step.map(|s| s / 2.0);
        }
    }
    at
}

/// σ(α), the win rate at equal length.
pub fn win_rate(alpha: f64) -> f64 {
    1.0 / (1.0 + (-alpha).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;
    use rand::Rng;

    #[test]
    fn the_fit_is_where_the_gradient_vanishes_from_wherever_it_starts() {
        let rng = &mut seed::rng(1, "length control");
        for n in [1, 2, 5, 50] {
            let scores: Vec<f64> = (0..n).map(|_| f64::from(rng.random_range(0..3)) / 2.0).collect();
            let x: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
            let weights: Vec<f64> = (0..n).map(|_| f64::from(rng.random_range(0..3))).collect();
            let [alpha, beta] = fit(&scores, &x, &weights, [0.0; 2]);
            let residual = |i: usize| weights[i] * (scores[i] - win_rate(alpha + beta * x[i]));
            let gradient = [
                (0..n).map(residual).sum::<f64>() - RIDGE[0] * alpha,
                (0..n).map(|i| residual(i) * x[i]).sum::<f64>() - RIDGE[1] * beta,
            ];
            assert!(gradient.iter().all(|g| g.abs() < 1e-6), "{n}: {gradient:?}");
            for start in [[40.0, -30.0], [-40.0, 30.0]] {
                let [a, b] = fit(&scores, &x, &weights, start);
                assert!((a - alpha).abs() < 1e-5 && (b - beta).abs() < 1e-5, "{n}: {a} {alpha}, {b} {beta}");
            }
        }
    }

    #[test]
    fn what_made_the_scores_is_found_again() {
        // Scores drawn from α = 0.4, β = 1.5: σ(0.4) = 0.599, although A, mostly longer, wins more often.
        let rng = &mut seed::rng(2, "length control");
        let x: Vec<f64> = (0..40_000).map(|_| rng.random_range(-0.4..1.0)).collect();
        let won = |x: &f64, rng: &mut rand_chacha::ChaCha8Rng| {
            f64::from(u8::from(rng.random::<f64>() < win_rate(0.4 + 1.5 * x)))
        };
        let scores: Vec<f64> = x.iter().map(|x| won(x, rng)).collect();
        let [alpha, beta] = fit(&scores, &x, &vec![1.0; x.len()], [0.0; 2]);
        assert!((alpha - 0.4).abs() < 0.05 && (beta - 1.5).abs() < 0.1, "{alpha} {beta}");
        let raw = scores.iter().sum::<f64>() / scores.len() as f64;
        assert!(raw > win_rate(alpha) + 0.05, "{raw}");
    }

    #[test]
    fn what_length_alone_decides_is_even_at_equal_length() {
        let x: Vec<f64> = (-20..=20).filter(|&d| d != 0).map(|d| (f64::from(d) / 10.0).tanh()).collect();
        let scores: Vec<f64> = x.iter().map(|&x| f64::from(u8::from(x > 0.0))).collect();
        let [alpha, beta] = fit(&scores, &x, &[1.0; 40], [0.0; 2]);
        assert!((win_rate(alpha) - 0.5).abs() < 1e-9 && beta > 2.0, "{alpha} {beta}");
    }

    #[test]
    fn a_weight_is_a_repetition_and_exchanging_the_models_mirrors_the_fit() {
        let (scores, x) = ([1.0, 0.5, 0.0, 1.0], [0.9, -0.2, 0.1, 0.9]);
        let [alpha, beta] = fit(&scores, &x, &[1.0; 4], [0.0; 2]);
        let [a, b] = fit(&scores[..3], &x[..3], &[2.0, 1.0, 1.0], [0.0; 2]);
        assert!((alpha - a).abs() < 1e-8 && (beta - b).abs() < 1e-8);
        let [a, b] = fit(&scores.map(|y| 1.0 - y), &x.map(|x| -x), &[1.0; 4], [0.0; 2]);
        assert!((alpha + a).abs() < 1e-8 && (beta - b).abs() < 1e-8);
    }

    #[test]
    fn differences_are_taken_in_standard_deviations() {
        assert_eq!(regressor(&[0.0, 0.0]), Some(vec![0.0, 0.0]));
        assert_eq!(regressor(&[5.0, 5.0]), None);
        // Around their mean of 2·σ the differences vary by σ√(2/3); stretched by √1.5, that is 10 for σ = 10.
        let x = regressor(&[10.0, 30.0, 20.0, 20.0, 10.0, 30.0].map(|d| d * 1.5_f64.sqrt())).unwrap();
        assert!((x[0] - 1.5_f64.sqrt().tanh()).abs() < 1e-12, "{x:?}");
    }
}
