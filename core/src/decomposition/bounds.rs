//! How large the remainder of one regression step can be.

use crate::simplex::Distribution;
use crate::{Error, Real};

/// The bound of Hoeffding's lemma: −(max Δz − min Δz)²/8 ≤ r. NaN gives NaN.
pub fn remainder_bound<T: Real>(delta_z: &[T]) -> T {
    let Some(&first) = delta_z.first() else { return T::ZERO };
    let (mut high, mut low) = (first, first);
    for &d in delta_z {
        // `max` and `min` would pass it over.
        if d.partial_cmp(&T::ZERO).is_none() {
            return d;
        }
        (high, low) = (high.max(d), low.min(d));
    }
    let range = high - low;
    -(range * range) / T::from_f64(8.0)
}

/// The largest −r/s² of a negative step, over all π and s: 27/128.
///
/// Exact, and the best constant: V = 2, π_y = ¼ approaches it as s → 0 (R8).
pub const NEGATIVE_REMAINDER: f64 = 27.0 / 128.0;

/// The largest −r/s² of a *positive* step, over all π and s, rounded up in the seventh digit.
///
/// ```text
/// max_p (1 − 2p)(1 − p)²/ln((1 − p)/p) = 0.2955457…  at p = 0.1131, s = 2.3217      (Kearns & Saul 1998)
/// ```
///
/// Numeric: the reduction to two labels is a theorem, the maximum was found by computation. 27/128 does
/// not hold for a positive step.
pub const POSITIVE_REMAINDER: f64 = 0.295_545_8;

/// A lower bound of the remainder of a negative step on `label`, −s²·C with the smallest C that holds.
///
/// # Definition
///
/// ```text
/// −r ≤ s²·min(27/128, τ²/8),  and  −r ≤ s²·τ³(2 − τ)/8  if τ ≥ 1;      τ = 1 − π_y + π_{y*}
/// ```
///
/// τ is the range of v = π − e_y.
///
/// # Special cases
///
/// 0 for V = 1.
///
/// # Errors
///
/// [`Error::Label`] if `label` ≥ V.
///
/// # Examples
///
/// ```
/// use ldyn_core::{decomposition::negative_remainder_bound, simplex::Distribution};
/// let pi = Distribution::new(&[0.75_f64, 0.25])?;
/// assert_eq!(negative_remainder_bound(&pi, 1, 1.0)?, -27.0 / 128.0); // τ = 3/2: the worst case
/// assert!(negative_remainder_bound(&pi, 2, 1.0).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn negative_remainder_bound<T: Real>(
    pi: &Distribution<'_, T>,
    label: usize,
    step: T,
) -> Result<T, Error> {
    let Some(range) = range(pi, label)? else { return Ok(T::ZERO) };
    let hoeffding = range * range / 8.0;
    let sharp = if range >= 1.0 { range * range * range * (2.0 - range) / 8.0 } else { hoeffding };
    let s = step.to_f64();
    Ok(T::from_f64(-s * s * NEGATIVE_REMAINDER.min(hoeffding).min(sharp)))
}

/// A lower bound of the remainder of a positive step on `label`: −s²·min([`POSITIVE_REMAINDER`], τ²/8).
///
/// τ = 1 − π_y + π_{y*}. The first constant is numeric, the second exact.
///
/// # Special cases
///
/// 0 for V = 1.
///
/// # Errors
///
/// [`Error::Label`] if `label` ≥ V.
pub fn positive_remainder_bound<T: Real>(
    pi: &Distribution<'_, T>,
    label: usize,
    step: T,
) -> Result<T, Error> {
    let Some(range) = range(pi, label)? else { return Ok(T::ZERO) };
    let s = step.to_f64();
    Ok(T::from_f64(-s * s * POSITIVE_REMAINDER.min(range * range / 8.0)))
}

/// τ, the range of π − e_y.
fn range<T: Real>(pi: &Distribution<'_, T>, label: usize) -> Result<Option<f64>, Error> {
    let at = |i: usize| pi.as_slice()[i].to_f64();
    Ok(pi.runner_up(label)?.map(|top| (1.0 - at(label)) + at(top)))
}
