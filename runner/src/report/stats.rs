//! Means with standard errors, and the correlation coefficient.

use serde::Serialize;

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

/// Pearson's correlation coefficient; `None` when either side does not vary.
pub fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let (mx, my) = (estimate(x)?.mean, estimate(y)?.mean);
    let sum = |f: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum::<f64>();
    let (xx, yy, xy) = (sum(&|a, _| a * a), sum(&|_, b| b * b), sum(&|a, b| a * b));
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
