//! Softmax and its relatives, in logs where that keeps precision.
//!
//! All of them subtract the row's maximum first, so that the largest exponential is 1: nothing
//! overflows, and at least one term of the sum is exact. See [`Real::exp_flushed`] for the
//! exponential and its bound; sums are taken in short blocks whose totals are added in `f64`.
//!
//! Bounds are in ε, the type's [`EPSILON`](Real::EPSILON), and were measured against exact values for
//! V up to 200,000 and logits up to ±10⁴ (statements numeric/F3 and on of the proofs). What
//! is guaranteed is wider by the sum's worst case, in which all its roundings agree: 32·ε for V up to
//! 10⁷.
//!
//! With `std`, rows are swept in the widest vector instructions that the machine has when the program
//! runs. Exponentials and sums have the same digits on every machine, with or without `std`; only
//! the one logarithm of a row is the platform's.

use crate::sweep::{exp_into, exp_sum, largest, wide};
use crate::{Error, Real};

/// log Σ eᶻ, the log-partition function.
///
/// # Special cases
///
/// The empty sum and a row of −∞ give −∞. NaN anywhere gives NaN; else +∞ gives +∞.
///
/// # Accuracy
///
/// Within ε·(1 + |max z| + |result|): the sum is off by 1ε or so relatively, its logarithm and the result
/// are rounded once each.
///
/// # Examples
///
/// ```
/// use ldyn_core::softmax::log_sum_exp;
/// assert!((log_sum_exp(&[1000.0_f64, 1000.0]) - (1000.0 + 2.0_f64.ln())).abs() < 1e-12);
/// assert_eq!(log_sum_exp::<f64>(&[]), f64::NEG_INFINITY);
/// ```
pub fn log_sum_exp<T: Real>(logits: &[T]) -> T {
    let (max, sum) = wide(
        #[inline(always)]
        || {
            let max = largest(logits);
            (max, if max.is_finite() { exp_sum(logits, max) } else { 1.0 })
        },
    );
    let has_nan = !max.is_finite() && logits.iter().any(|z| z.is_nan());
    if has_nan { T::NAN } else { T::from_f64(max.to_f64() + sum.ln()) }
}

/// π = softmax(z), written to `out`.
///
/// # Definition
///
/// ```text
/// π(v) = e^{z_v} / Σ_j e^{z_j}
/// ```
///
/// # Special cases
///
/// A logit of −∞ gets exactly 0; V = 1 gives 1. Probabilities below the smallest normal number
/// are flushed to 0.
///
/// # Accuracy
///
/// Relative error of each probability: 2ε·(1 + |x|) with x = z − max z, because x is rounded before
/// its exponential is taken. Equal logits get equal probabilities.
///
/// # Shapes
///
/// `logits` and `out`: V.
///
/// # Errors
///
/// [`Error::Empty`], [`Error::Length`]; [`Error::Logit`] for NaN and +∞; [`Error::NoMass`] if all
/// logits are −∞. What `out` holds after an error is unspecified.
///
/// # Examples
///
/// ```
/// use ldyn_core::{Error, softmax::softmax_into};
/// let mut pi = [0.0_f64; 2];
/// softmax_into(&[0.0, f64::NEG_INFINITY], &mut pi)?;
/// assert_eq!(pi, [1.0, 0.0]);
/// assert_eq!(softmax_into(&[f64::NAN, 0.0], &mut pi), Err(Error::Logit { index: 0 }));
/// # Ok::<(), Error>(())
/// ```
pub fn softmax_into<T: Real>(logits: &[T], out: &mut [T]) -> Result<(), Error> {
    check_lengths(logits, out.len())?;
    wide(
        #[inline(always)]
        || {
            let max = checked(largest(logits), logits)?;
            let sum = checked(exp_into(logits, max, out), logits)?;
            let scale = T::from_f64(1.0 / sum);
            for o in out {
                *o *= scale;
            }
            Ok(())
        },
    )
}

/// log π = z − log Σ eᶻ, written to `out`.
///
/// # Special cases
///
/// A logit of −∞ gives −∞; V = 1 gives 0.
///
/// # Accuracy
///
/// Absolute error: 1.5·ε·(1 + |log π|), of which ε is the sum's. Equal logits get equal results.
///
/// # Shapes
///
/// `logits` and `out`: V.
///
/// # Errors
///
/// As [`softmax_into`].
///
/// # Examples
///
/// ```
/// use ldyn_core::{Error, softmax::log_softmax_into};
/// let mut log_pi = [0.0_f64; 2];
/// log_softmax_into(&[5000.0, 0.0], &mut log_pi)?;
/// assert_eq!(log_pi, [0.0, -5000.0]);
/// assert_eq!(log_softmax_into(&[f64::NEG_INFINITY; 2], &mut log_pi), Err(Error::NoMass));
/// # Ok::<(), Error>(())
/// ```
pub fn log_softmax_into<T: Real>(logits: &[T], out: &mut [T]) -> Result<(), Error> {
    check_lengths(logits, out.len())?;
    wide(
        #[inline(always)]
        || {
            let max = checked(largest(logits), logits)?;
            let log_sum = T::from_f64(checked(exp_sum(logits, max), logits)?.ln());
            for (o, &z) in out.iter_mut().zip(logits) {
                *o = (z - max) - log_sum;
            }
            Ok(())
        },
    )
}

fn check_lengths<T: Real>(logits: &[T], out_len: usize) -> Result<(), Error> {
    if out_len != logits.len() {
        return Err(Error::Length { name: "out", found: out_len, expected: logits.len() });
    }
    if logits.is_empty() { Err(Error::Empty { name: "logits" }) } else { Ok(()) }
}

/// `found`, the maximum or a sum over `logits`, if it is finite. NaN goes unnoticed in the maximum
/// and shows in the sums.
#[inline(always)]
pub(crate) fn checked<T: Real, F: Real>(found: F, logits: &[T]) -> Result<F, Error> {
    if found.is_finite() { Ok(found) } else { Err(bad_logit(logits)) }
}

/// The reason why a row has no softmax.
#[cold]
fn bad_logit<T: Real>(logits: &[T]) -> Error {
    match logits.iter().position(|&z| z.is_nan() || z == T::INFINITY) {
        Some(index) => Error::Logit { index },
        None => Error::NoMass,
    }
}

/// σ(x) = 1 / (1 + e⁻ˣ).
///
/// # Special cases
///
/// σ(−∞) = 0, σ(∞) = 1; NaN gives NaN.
///
/// # Accuracy
///
/// 4 ulp; never overflows.
///
/// # Examples
///
/// ```
/// use ldyn_core::softmax::sigmoid;
/// assert_eq!(sigmoid(0.0_f64), 0.5);
/// assert_eq!(sigmoid(-1e4_f64), 0.0);
/// ```
pub fn sigmoid<T: Real>(x: T) -> T {
    let e = (-x.abs()).exp();
    if x < T::ZERO { e / (T::ONE + e) } else { T::ONE / (T::ONE + e) }
}

/// log σ(x) = −log(1 + e⁻ˣ).
///
/// # Special cases
///
/// −∞ gives −∞, ∞ gives 0; NaN gives NaN.
///
/// # Accuracy
///
/// 4 ulp for every x, to where the result is subnormal: for large |x| it is x or −e⁻ˣ, where
/// `sigmoid(x).ln()` loses all digits.
///
/// # Examples
///
/// ```
/// use ldyn_core::softmax::log_sigmoid;
/// assert_eq!(log_sigmoid(-1e4_f64), -1e4);
/// assert!(log_sigmoid(40.0_f64) < 0.0);
/// ```
pub fn log_sigmoid<T: Real>(x: T) -> T {
    let tail = (-x.abs()).exp().ln_1p();
    if x < T::ZERO { x - tail } else { -tail }
}

/// log(1 − eˣ) for x ≤ 0: from the log of a probability, the log of what it leaves.
///
/// # Method
///
/// ln(−expm1(x)) above −ln 2 and ln1p(−eˣ) below: each where the other cancels (Mächler 2012).
///
/// # Special cases
///
/// 0 gives −∞, −∞ gives 0; x > 0 and NaN give NaN.
///
/// # Accuracy
///
/// 4 ulp.
///
/// # Examples
///
/// ```
/// use ldyn_core::softmax::log1mexp;
/// assert_eq!(log1mexp(0.0_f64), f64::NEG_INFINITY);
/// assert!((log1mexp(-1e-20_f64) - 1e-20_f64.ln()).abs() < 1e-12);
/// ```
pub fn log1mexp<T: Real>(x: T) -> T {
    if x > -T::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use crate::testing::{exact_sum, noise};
    use std::vec;
    use std::vec::Vec;

    /// log Σ eᶻ by the definition, term after term with compensation.
    fn plain_log_sum_exp(logits: &[f64]) -> f64 {
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        max + exact_sum(logits.iter().map(|z| (z - max).exp())).ln()
    }

    #[test]
    fn the_sweeps_agree_with_the_definition_at_every_length() {
        for n in (1..40).chain([511, 512, 513, 1000, 50_304, 200_000]) {
            let row = noise(n, 30.0);
            let exact = plain_log_sum_exp(&row);
            let found = log_sum_exp(&row);
            assert!((found - exact).abs() <= 1e-13 * (1.0 + exact.abs()), "V = {n}: {found} {exact}");

            let row: Vec<f32> = row.iter().map(|&z| z as f32).collect();
            let exact = plain_log_sum_exp(&row.iter().map(|&z| f64::from(z)).collect::<Vec<_>>());
            let found = f64::from(log_sum_exp(&row));
            assert!((found - exact).abs() <= 5e-7 * (1.0 + exact.abs()), "V = {n}: {found} {exact}");
        }
    }

    #[test]
    fn the_sum_does_not_lose_digits_in_a_uniform_row_of_200000_f32() {
        let mut pi = vec![0.0_f32; 200_000];
        softmax_into(&vec![3.0_f32; 200_000], &mut pi).unwrap();
        assert!(pi.iter().all(|&p| (p * 200_000.0 - 1.0).abs() < 3e-7));
    }

    #[test]
    fn softmax_sums_to_one_and_matches_log_softmax() {
        let row = noise(1000, 50.0);
        let (mut pi, mut log_pi) = (vec![0.0; 1000], vec![0.0; 1000]);
        softmax_into(&row, &mut pi).unwrap();
        log_softmax_into(&row, &mut log_pi).unwrap();
        assert!((pi.iter().sum::<f64>() - 1.0).abs() < 1e-14);
        for (p, l) in pi.iter().zip(&log_pi) {
            assert!((p.ln() - l).abs() < 1e-13 * (1.0 + l.abs()));
        }
    }

    #[test]
    fn one_label_has_all_the_mass() {
        for z in [0.0_f64, -1e4, 1e4] {
            let (mut pi, mut log_pi) = ([0.5], [0.5]);
            softmax_into(&[z], &mut pi).unwrap();
            log_softmax_into(&[z], &mut log_pi).unwrap();
            assert_eq!((pi, log_pi, log_sum_exp(&[z])), ([1.0], [0.0], z));
        }
    }

    #[test]
    fn logits_of_minus_infinity_have_no_mass() {
        let row = [f64::NEG_INFINITY, 1.0, f64::NEG_INFINITY, 1.0];
        let (mut pi, mut log_pi) = ([9.0; 4], [9.0; 4]);
        softmax_into(&row, &mut pi).unwrap();
        log_softmax_into(&row, &mut log_pi).unwrap();
        assert_eq!(pi, [0.0, 0.5, 0.0, 0.5]);
        assert_eq!(log_pi[0], f64::NEG_INFINITY);
        assert_eq!(log_sum_exp(&row), 1.0 + 2.0_f64.ln());
    }

    #[test]
    fn rows_without_a_distribution_are_refused_with_the_reason() {
        let mut out = [0.0_f32; 3];
        let none = f32::NEG_INFINITY;
        assert_eq!(softmax_into(&[none; 3], &mut out), Err(Error::NoMass));
        assert_eq!(softmax_into(&[0.0, f32::NAN, 1.0], &mut out), Err(Error::Logit { index: 1 }));
        assert_eq!(softmax_into(&[none, none, f32::NAN], &mut out), Err(Error::Logit { index: 2 }));
        assert_eq!(log_softmax_into(&[0.0, 0.0, f32::INFINITY], &mut out), Err(Error::Logit { index: 2 }));
        assert_eq!(softmax_into::<f32>(&[], &mut []), Err(Error::Empty { name: "logits" }));
        let short = Error::Length { name: "out", found: 3, expected: 1 };
        assert_eq!(softmax_into(&[0.0], &mut out), Err(short));
    }

    #[test]
    fn log_sum_exp_keeps_infinities_and_nan() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        assert_eq!(log_sum_exp(&[-inf, -inf]), -inf);
        assert_eq!(log_sum_exp(&[0.0, inf]), inf);
        assert!(log_sum_exp(&[0.0, nan]).is_nan());
        assert!(log_sum_exp(&[inf, nan]).is_nan());
        assert!(log_sum_exp(&[-inf, nan]).is_nan());
    }

    #[test]
    fn sigmoid_and_its_log_hold_at_both_ends() {
        for x in [-800.0, -40.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 40.0, 800.0] {
            let reference = if x > -700.0 { 1.0 / (1.0 + Real::exp(-x)) } else { 0.0 };
            assert!((sigmoid(x) - reference).abs() <= 1e-15 * reference);
            assert!((sigmoid(x) + sigmoid(-x) - 1.0).abs() <= 1e-15);
            assert!((log_sigmoid(x) - log_sigmoid(-x) - x).abs() <= 1e-15 * (1.0 + x.abs()));
        }
        assert_eq!(log_sigmoid(f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(log_sigmoid(f64::INFINITY), 0.0);
        assert!(log_sigmoid(f64::NAN).is_nan() && sigmoid(f64::NAN).is_nan());
        // Where log(sigmoid(x)) is 0 in f32.
        assert!((log_sigmoid(20.0_f32) + 2.061_153_6e-9).abs() < 1e-15);
    }

    #[test]
    fn log1mexp_holds_at_both_ends() {
        for x in [-1e-300, -1e-18, -1e-3, -0.5, -0.7, -3.0, -40.0] {
            // e^x + e^{log1mexp x} = 1, in the form that keeps the smaller part.
            let y = log1mexp(x);
            let back = if x > -0.7 { -y.exp() - x.exp_m1() } else { y.exp_m1() + x.exp() };
            let size = if x > -0.7 { x.abs() } else { x.exp() };
            assert!(back.abs() <= 1e-14 * size * (1.0 + y.abs()), "x = {x}: {y}");
        }
        assert_eq!(log1mexp(0.0_f64), f64::NEG_INFINITY);
        assert_eq!(log1mexp(f64::NEG_INFINITY), 0.0);
        assert!(log1mexp(1.0_f64).is_nan());
    }
}
