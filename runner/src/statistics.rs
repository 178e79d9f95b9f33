//! Means with standard errors; how well one series foretells another: lines, ranks, areas under curves.

use rand::Rng;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Fewer prompts than this decide nothing.
pub const MIN_PROMPTS: usize = 5;

/// A mean over prompts with its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard error of the mean, s/√n with s² = Σ(x − x̄)²/(n − 1); absent for n = 1.
    pub se: Option<f64>,
    /// Number of prompts.
    pub n: usize,
}

/// Mean and standard error; `None` for no values.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let se = (n > 1).then(|| {
        let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
        (squares / (n - 1) as f64 / n as f64).sqrt()
    });
    Some(Estimate { mean, se, n })
}

/// [`estimate`] of enough prompts; `None` for fewer than [`MIN_PROMPTS`].
pub fn estimate_of_enough(values: &[f64]) -> Option<Estimate> {
    estimate(values).filter(|e| e.n >= MIN_PROMPTS)
}

/// A number over `n` prompts that is no mean of theirs, with its standard error by the jackknife: `of(None)` is of
/// all prompts, `of(Some(i))` of all but the `i`-th.
///
/// se = √((n − 1)/n · Σ_i (of(Some(i)) − their mean)²), which for a mean is that of [`estimate`]. `None` for no
/// prompts.
///
/// ```
/// use ldyn::statistics::{estimate, jackknife};
/// let values = [1.0, 2.0, 6.0];
/// let mean = |out: Option<usize>| {
///     let kept: Vec<f64> = (0..3).filter(|&i| Some(i) != out).map(|i| values[i]).collect();
///     kept.iter().sum::<f64>() / kept.len() as f64
/// };
/// let (left_out, direct) = (jackknife(3, mean).unwrap(), estimate(&values).unwrap());
/// assert!((left_out.se.unwrap() - direct.se.unwrap()).abs() < 1e-15 && left_out.mean == 3.0);
/// assert!(jackknife(0, mean).is_none());
/// ```
pub fn jackknife(n: usize, of: impl Fn(Option<usize>) -> f64) -> Option<Estimate> {
    if n == 0 {
        return None;
    }
    let se = (n > 1).then(|| {
        let without: Vec<f64> = (0..n).map(|i| of(Some(i))).collect();
        let mean = without.iter().sum::<f64>() / n as f64;
        let squares: f64 = without.iter().map(|x| (x - mean) * (x - mean)).sum();
        (squares * (n - 1) as f64 / n as f64).sqrt()
    });
    Some(Estimate { mean: of(None), se, n })
}

/// Half-width of the central interval of Student's distribution that holds the share `confidence`,
/// in standard errors.
///
/// ```
/// use ldyn::statistics::student_t;
/// assert!((student_t(0.95, 2) - 4.302_653).abs() < 1e-5);
/// assert!((student_t(0.95, 30) - 2.042_272).abs() < 1e-5);
/// ```
///
/// # Panics
/// No degrees of freedom, or a confidence outside (0, 1).
pub fn student_t(confidence: f64, degrees_of_freedom: usize) -> f64 {
    let t = StudentsT::new(0.0, 1.0, degrees_of_freedom as f64).expect("at least one degree of freedom");
    t.inverse_cdf(f64::midpoint(1.0, confidence))
}

/// Pearson's correlation coefficient; `None` when either side does not vary.
pub fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let (mx, my) = (estimate(x)?.mean, estimate(y)?.mean);
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum::<f64>();
    let (xx, yy, xy) = (sum(&|a, _| a * a), sum(&|_, b| b * b), sum(&|a, b| a * b));
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// The least-squares line y = intercept + slope·x.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Change of y per unit of x; 1 for a perfect prediction.
    pub slope: f64,
    /// y at x = 0.
    pub intercept: f64,
    /// Share of the variance of y that the *prediction itself* explains, 1 − Σ(y − x)²/Σ(y − ȳ)²:
    /// not that of the fitted line, which forgives a wrong scale.
    pub r2: f64,
    /// Number of pairs.
    pub n: usize,
}

/// Compares measured `y` with predicted `x`; `None` where either does not vary.
///
/// # Panics
/// Slices that differ in length.
///
/// ```
/// use ldyn::statistics::fit;
/// let line = fit(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).unwrap();
/// assert_eq!((line.slope, line.r2, line.n), (1.0, 1.0, 3));
/// assert!(fit(&[1.0, 1.0], &[1.0, 2.0]).is_none());
/// ```
pub fn fit(x: &[f64], y: &[f64]) -> Option<Fit> {
    assert_eq!(x.len(), y.len(), "a prediction for each measurement");
    let n = x.len() as f64;
    let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
    let (mx, my) = (mean(x), mean(y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(&a, &b)| f(a, b)).sum::<f64>();
    let xx = sum(&|a, _| (a - mx) * (a - mx));
    let yy = sum(&|_, b| (b - my) * (b - my));
    if !(xx > 0.0 && yy > 0.0) {
        return None;
    }
    let slope = sum(&|a, b| (a - mx) * (b - my)) / xx;
    let r2 = 1.0 - sum(&|a, b| (b - a) * (b - a)) / yy;
    Some(Fit { slope, intercept: my - slope * mx, r2, n: x.len() })
}

/// Ranks from 1; equal values share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && values[order[end]] == values[order[start]] {
            end += 1;
        }
        for &i in &order[start..end] {
            ranks[i] = (start + 1 + end) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}

/// Spearman's rank correlation; `None` where either side does not vary.
///
/// ```
/// use ldyn::statistics::spearman;
/// assert_eq!(spearman(&[1.0, 5.0, 9.0], &[0.1, 0.2, 70.0]), Some(1.0));
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    correlation(&ranks(x), &ranks(y))
}

/// Area under the ROC curve: the chance that a positive case scores above a negative one, ties
/// counting one half. `None` unless there are both.
///
/// ```
/// use ldyn::statistics::auroc;
/// assert_eq!(auroc(&[0.9, 0.8, 0.1], &[true, false, false]), Some(1.0));
/// assert_eq!(auroc(&[0.5, 0.5], &[true, false]), Some(0.5));
/// ```
pub fn auroc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let ranks = ranks(scores);
    let n_pos = positive.iter().filter(|&&p| p).count() as f64;
    let n_neg = positive.len() as f64 - n_pos;
    if n_pos == 0.0 || n_neg == 0.0 {
        return None;
    }
    let sum: f64 = ranks.iter().zip(positive).filter(|(_, p)| **p).map(|(r, _)| r).sum();
    Some((sum - n_pos * (n_pos + 1.0) / 2.0) / (n_pos * n_neg))
}

/// [`auroc`] with the 2.5 % and 97.5 % points of a bootstrap over cases.
pub fn auroc_interval(
    scores: &[f64],
    positive: &[bool],
    resamples: usize,
    rng: &mut impl Rng,
) -> Option<(f64, [f64; 2])> {
    let area = auroc(scores, positive)?;
    let n = scores.len();
    let mut areas: Vec<f64> = (0..resamples)
        .filter_map(|_| {
            let drawn: Vec<usize> = (0..n).map(|_| rng.random_range(0..n)).collect();
            let scores: Vec<f64> = drawn.iter().map(|&i| scores[i]).collect();
            let positive: Vec<bool> = drawn.iter().map(|&i| positive[i]).collect();
            auroc(&scores, &positive)
        })
        .collect();
    areas.sort_by(f64::total_cmp);
    let at = |q: f64| areas.get(((areas.len() as f64 - 1.0) * q).round() as usize).copied().unwrap_or(area);
    Some((area, [at(0.025), at(0.975)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;

    #[test]
    fn the_standard_error_is_the_textbook_one() {
        let e = estimate(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((e.mean, e.n), (2.5, 4));
        // s² = 5/3, s/√4 = √(5/12)
        assert!((e.se.unwrap() - (5.0_f64 / 12.0).sqrt()).abs() < 1e-15);
        assert_eq!(estimate(&[7.0]), Some(Estimate { mean: 7.0, se: None, n: 1 }));
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn a_line_correlates_fully_and_a_constant_not_at_all() {
        let x = [0.0, 1.0, 2.0, 5.0];
        let line: Vec<f64> = x.iter().map(|x| 3.0 - 2.0 * x).collect();
        assert!((correlation(&x, &line).unwrap() + 1.0).abs() < 1e-15);
        assert_eq!(correlation(&x, &[4.0; 4]), None);
    }

    #[test]
    fn a_wrong_scale_costs_r2_and_shows_in_the_slope() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let half: Vec<f64> = x.iter().map(|x| 0.5 * x).collect();
        let f = fit(&x, &half).unwrap();
        assert_eq!(f.slope, 0.5);
        // Σ(y − x)² = 7.5 and Σ(y − ȳ)² = 1.25.
        assert_eq!(f.r2, 1.0 - 7.5 / 1.25);
    }

    #[test]
    fn ties_share_their_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 0.0]), [3.5, 2.0, 3.5, 1.0]);
        // By hand: ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4) correlate by 4.5/√(4.5·5).
        let found = spearman(&[0.0, 1.0, 1.0, 2.0], &[0.0, 1.0, 2.0, 3.0]).unwrap();
        assert!((found - 4.5 / (4.5_f64 * 5.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn the_area_counts_ordered_pairs() {
        let scores = [0.1, 0.4, 0.35, 0.8];
        let positive = [false, false, true, true];
        // Of four pairs (positive, negative) three are in order.
        assert_eq!(auroc(&scores, &positive), Some(0.75));
        assert_eq!(auroc(&scores, &[true; 4]), None);
        let (area, [low, high]) =
            auroc_interval(&scores, &positive, 200, &mut seed::rng(1, "bootstrap")).unwrap();
        assert!(low <= area && area <= high && low < high);
    }
}
