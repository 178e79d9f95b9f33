//! The same negative step again and again: what is certain about the way, and about the end.
//!
//! Any positive step sizes s_t on one context and one label y, S = Σ s_t; π is the start, π(t) the
//! distribution on the way, y* the likeliest label other than y at the start (frozen features):
//!
//! | id | statement |
//! |---|---|
//! | T1 | π_y(t) falls at every step; log(π_i/π_y) grows by s_t(1 + π_i − π_y) ≥ s_t(1 − π_y(0)) |
//! | T2 | the order of the labels other than y never changes, so y* stays; the argmax changes at most once |
//! | T3 | π_{y*}(t) rises at every step, and the odds between any two distinct labels other than y widen |
//! | T4 | log(π_i/π_{y*}) is at most [`log_odds_bound`] after steps that add up to S |
//! | T5 | 1 − π_{y*} is at most [`collapse_bound`]: if y* is unique, π → e_{y*} as S → ∞ |
//! | T6 | tied labels stay tied: π tends to the uniform distribution on the labels tied with y* |
//! | T7 | at the end each step takes s from log π_i, 2s from log π_y, nothing from log π_{y*}, within −log π_{y*} |
//! | T9 | π_y is at most [`label_bound`]: it vanishes as S → ∞ |
//!
//! Under repeated *positive* steps π_y rises at every step, the strongest competitor *of the moment* falls (L6), and
//! π_y → 1 as S → ∞ (L8).

use super::{check_runner_up, check_step};
use crate::simplex::Distribution;
use crate::{Error, Real};

/// T4: an upper bound of log(π_i/π_{y*}) after negative steps on y that add up to `total` = S.
///
/// # Definition
///
/// ```text
/// log(π_i/π_{y*}) − S·(π_{y*} − π_i) for i ≠ y;      log(π_y/π_{y*}) − S·(1 − π_y + π_{y*})
/// ```
///
/// # Special cases
///
/// −∞ for a label without mass; 0 for y* itself.
///
/// # Errors
///
/// [`Error::Label`]; [`Error::Range`] if V < 2 or unless 0 < S < ∞.
///
/// # Examples
///
/// ```
/// use ldyn_core::{simplex::Distribution, squeezing::repeated::log_odds_bound};
/// let pi = Distribution::new(&[0.5_f64, 0.25, 0.25])?;
/// let bound = log_odds_bound(&pi, 2, 1, 8.0)?;
/// assert_eq!(bound, 0.5_f64.ln() - 2.0);
/// assert!(log_odds_bound(&pi, 2, 1, 0.0).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn log_odds_bound<T: Real>(
    pi: &Distribution<'_, T>,
    label: usize,
    i: usize,
    total: T,
) -> Result<T, Error> {
    pi.check(i)?;
    let s = check_step(total)?;
    let runner_up = check_runner_up(pi, label)?;
    let [top, p] = [runner_up, i].map(|k| pi.as_slice()[k].to_f64());
    let rate = if i == label { (1.0 - p) + top } else { top - p };
    // Where both have underflowed, nothing is known but that y* is the largest.
    let log_odds = if i != label && p == top { 0.0 } else { (p / top).ln() };
    Ok(T::from_f64(log_odds - s * rate))
}

/// T5: δ, by how much y* is ahead of every label other than y: the rate of the collapse. π_{y*} if V = 2;
/// 0 if y* is tied.
///
/// # Errors
///
/// [`Error::Label`]; [`Error::Range`] if V < 2.
pub fn collapse_rate<T: Real>(pi: &Distribution<'_, T>, label: usize) -> Result<T, Error> {
    let runner_up = check_runner_up(pi, label)?;
    let others = (0..pi.vocab()).filter(|&i| i != label && i != runner_up);
    let next = others.map(|i| pi.as_slice()[i]).fold(T::ZERO, T::max);
    Ok(pi.as_slice()[runner_up] - next)
}

/// T5: an upper bound of 1 − π_{y*} after negative steps on y that add up to `total` = S.
///
/// # Definition
///
/// ```text
/// (V + π_y/π_{y*})·e^{−δS},   δ = collapse_rate
/// ```
///
/// It says nothing while it exceeds 1.
///
/// # Errors
///
/// As [`log_odds_bound`].
///
/// # Examples
///
/// ```
/// use ldyn_core::{simplex::Distribution, squeezing::repeated::collapse_bound};
/// let pi = Distribution::new(&[0.5_f64, 0.25, 0.25])?;
/// assert!(collapse_bound(&pi, 2, 100.0)? < 1e-10);
/// assert!(collapse_bound(&pi, 2, f64::INFINITY).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn collapse_bound<T: Real>(pi: &Distribution<'_, T>, label: usize, total: T) -> Result<T, Error> {
    let s = check_step(total)?;
    let rate = collapse_rate(pi, label)?.to_f64();
    let runner_up = check_runner_up(pi, label)?;
    let [top, own] = [runner_up, label].map(|k| pi.as_slice()[k].to_f64());
    Ok(T::from_f64((pi.vocab() as f64 + own / top) * (-rate * s).exp()))
}

/// T9: an upper bound of π_y after negative steps on y that add up to `total` = S.
///
/// # Definition
///
/// ```text
/// (π_y/π_{y*})·e^{−S(1 − π_y + π_{y*})}
/// ```
///
/// It says nothing while it exceeds π_y, and tends to 0 whatever y* is, tied or not.
///
/// # Errors
///
/// As [`log_odds_bound`].
///
/// # Examples
///
/// ```
/// use ldyn_core::{simplex::Distribution, squeezing::repeated::label_bound};
/// let pi = Distribution::new(&[0.25_f64, 0.25, 0.5])?;
/// assert_eq!(label_bound(&pi, 2, 4.0)?, 2.0 * (-3.0_f64).exp());
/// assert!(label_bound(&pi, 2, -4.0).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn label_bound<T: Real>(pi: &Distribution<'_, T>, label: usize, total: T) -> Result<T, Error> {
    let s = check_step(total)?;
    let runner_up = check_runner_up(pi, label)?;
    let [top, own] = [runner_up, label].map(|k| pi.as_slice()[k].to_f64());
    Ok(T::from_f64(own / top * (-s * (1.0 - own + top)).exp()))
}
