//! Predicted, actual, remainder: what a change Δz of the logits does to log π.
//!
//! For a model that is linear in its parameters Δz = −η·K·G exactly, and
//!
//! ```text
//! Δ log π  =  A·Δz  +  r·1,      r = −KL(π ‖ π′) ≤ 0          paper: §2, eq. 3
//!             predicted
//! ```
//!
//! The remainder r is one number, the same for every label: the prediction is wrong only in how
//! much mass it hands out, never in how it ranks labels. For other models Δz itself is a first
//! order approximation, and the remainder is O(η²) in sum.
//!
//! | what | item |
//! |---|---|
//! | −η·A·K·G for one position or a response, for a preference pair | [`predicted_step_into`], [`predicted_pair_into`] |
//! | A·Δz, the exact change, r | [`predicted_into`], [`exact_into`], [`remainder`] |
//! | bounds of r, for any Δz and for one regression step | [`remainder_bound`], [`negative_remainder_bound`], [`positive_remainder_bound`] |
//! | many steps | [`Influence`] |

mod bounds;
mod influence;
mod prediction;

pub use bounds::{
    NEGATIVE_REMAINDER, POSITIVE_REMAINDER, negative_remainder_bound, positive_remainder_bound,
    remainder_bound,
};
pub use influence::Influence;
pub use prediction::{Cause, logit_change_into, predicted_pair_into, predicted_step_into};

use crate::simplex::Distribution;
use crate::sweep::{sum_of_pairs, wide};
use crate::{Error, Real, adaptation};

/// Δz of one step of softmax regression on (x_u, y) as seen at x_o.
///
/// # Definition
///
/// ```text
/// Δz(x_o) = −η · K · G = −s · (π_u − e_y),      K = ⟨φ_o, φ_u⟩·I,   s = η⟨φ_o, φ_u⟩
/// ```
///
/// `step` is s: positive for a step that learns y, negative for one that unlearns it.
///
/// # Shapes
///
/// `pi_u`, `out`: V.
///
/// # Errors
///
/// [`Error::Label`], [`Error::Length`].
///
/// # Examples
///
/// ```
/// use ldyn_core::{decomposition::regression_step_into, simplex::Distribution};
/// let pi = Distribution::new(&[0.75_f64, 0.25])?;
/// let mut delta_z = [0.0; 2];
/// regression_step_into(&pi, 1, 2.0, &mut delta_z)?;
/// assert_eq!(delta_z, [-1.5, 1.5]);
/// assert!(regression_step_into(&pi, 2, 2.0, &mut delta_z).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn regression_step_into<T: Real>(
    pi_u: &Distribution<'_, T>,
    label: usize,
    step: T,
    out: &mut [T],
) -> Result<(), Error> {
    pi_u.check(label)?;
    pi_u.same_length("out", out.len())?;
    for (o, &p) in out.iter_mut().zip(pi_u.as_slice()) {
        *o = -step * p;
    }
    out[label] = step * (T::ONE - pi_u.as_slice()[label]);
    Ok(())
}

/// The first-order change A·Δz of all log-probabilities.
///
/// It conserves probability to first order: ⟨π, A·Δz⟩ = 0.
///
/// # Shapes
///
/// `pi`, `delta_z`, `out`: V.
///
/// # Errors
///
/// [`Error::Length`].
pub fn predicted_into<T: Real>(pi: &Distribution<'_, T>, delta_z: &[T], out: &mut [T]) -> Result<(), Error> {
    adaptation::apply_into(pi, delta_z, out)
}

/// The exact change log π′ − log π for logits that change by Δz.
///
/// # Definition
///
/// ```text
/// Δ log π = Δz − log Σ_j π_j e^{Δz_j}
/// ```
///
/// # Shapes
///
/// `pi`, `delta_z`, `out`: V.
///
/// # Errors
///
/// [`Error::Length`].
///
/// # Examples
///
/// ```
/// use ldyn_core::{decomposition::exact_into, simplex::Distribution};
/// let pi = Distribution::new(&[0.5_f64, 0.5])?;
/// let mut change = [0.0; 2];
/// exact_into(&pi, &[3.0_f64.ln(), 0.0], &mut change)?; // (½, ½) becomes (¾, ¼)
/// assert!((change[0] - 1.5_f64.ln()).abs() < 1e-15);
/// assert!(exact_into(&pi, &[0.0], &mut change).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn exact_into<T: Real>(pi: &Distribution<'_, T>, delta_z: &[T], out: &mut [T]) -> Result<(), Error> {
    let remainder = remainder(pi, delta_z)?;
    predicted_into(pi, delta_z, out)?;
    for o in out {
        *o += remainder;
    }
    Ok(())
}

/// r = −KL(π ‖ π′): what the exact change has and the prediction lacks, the same for every label.
///
/// # Definition
///
/// ```text
/// r = −log E_π[e^d],   d = Δz − E_π Δz;      −(max Δz − min Δz)²/8 ≤ r ≤ 0    (Jensen, Hoeffding)
/// ```
///
/// # Method
///
/// For small d, E_π[e^d] − 1 = E_π[e^d − 1 − d], whose terms are positive and need no
/// subtraction: r keeps its digits when it is much smaller than Δz.
///
/// # Special cases
///
/// 0 for V = 1 and for equal Δz. Δz must be finite.
///
/// # Accuracy
///
/// With x = max |Δz|: within 16·ε of |r| if no |d| exceeds 1 and of 1 + x otherwise, with the ε of
/// `f64`; (ε·x)²; and one rounding. π need not sum to 1 more precisely than [`Distribution`] asks.
///
/// # Shapes
///
/// `pi`, `delta_z`: V.
///
/// # Errors
///
/// [`Error::Length`].
pub fn remainder<T: Real>(pi: &Distribution<'_, T>, delta_z: &[T]) -> Result<T, Error> {
    pi.same_length("delta_z", delta_z.len())?;
    // A label without mass has no part in it, however far its logit moves. Σ π is 1 but for the
    // rounding of π.
    let mass = pi.expectation(|_, _| 1.0);
    let mean = sum_with_mass(pi, delta_z, |z| z) / mass;
    let d = |i: usize| delta_z[i].to_f64() - mean;
    let with_mass = (0..pi.vocab()).filter(|&i| pi.as_slice()[i] > T::ZERO);
    let (low, high) = with_mass.fold((0.0, 0.0), |(low, high), i| {
        let d = d(i);
        (if d < low { d } else { low }, if d > high { d } else { high })
    });
    let kl = if high <= 1.0 && low >= -1.0 {
        let bend = sum_with_mass(
            pi,
            delta_z,
            #[inline(always)]
            |z| exp_minus_line(z - mean),
        );
        (bend / mass).ln_1p()
    } else {
        high + (sum_with_mass(pi, delta_z, |z| ((z - mean) - high).exp()) / mass).ln()
    };
    Ok(T::from_f64(-kl))
}

/// Σ π f(Δz) over the labels that have mass.
fn sum_with_mass<T: Real>(pi: &Distribution<'_, T>, delta_z: &[T], f: impl Fn(f64) -> f64) -> f64 {
    wide(
        #[inline(always)]
        || {
            sum_of_pairs(
                pi.as_slice(),
                delta_z,
                #[inline(always)]
                |p, z| if p > 0.0 { p * f(z) } else { 0.0 },
            )
        },
    )
}

/// e^d − 1 − d for |d| ≤ 1 by its series: 18 terms leave less than 2⁻⁵³ of it.
#[inline(always)]
fn exp_minus_line(d: f64) -> f64 {
    let mut sum = 0.0;
    for k in (3..=20).rev() {
        sum = (1.0 + sum) * (d * (1.0 / f64::from(k)));
    }
    0.5 * d * d * (1.0 + sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_exp_minus_line_joins_the_function() {
        for i in -100..=100 {
            let d = f64::from(i) / 100.0;
            // The right side loses digits as d → 0; 1e-16 absolute is what it has.
            assert!((exp_minus_line(d) - (d.exp_m1() - d)).abs() <= 2.5e-16, "{d}");
        }
        assert!((exp_minus_line(1e-9) - 5e-19).abs() < 2e-28);
    }

    #[test]
    fn the_two_forms_of_the_remainder_meet_where_they_change_over() {
        let pi = [0.4_f64, 0.35, 0.25];
        let pi = Distribution::new(&pi).unwrap();
        let at = |scale: f64| remainder(&pi, &[scale, 0.0, -scale * 0.7]).unwrap();
        let edge = 1.0 / (1.0 - (0.4 - 0.25 * 0.7));
        let (below, above) = (at(edge * (1.0 - 1e-12)), at(edge * (1.0 + 1e-12)));
        assert!((below - above).abs() < 1e-11 && below < -0.1);
    }

    #[test]
    fn lengths_and_labels_are_checked() {
        let pi = Distribution::new(&[0.5_f64, 0.5]).unwrap();
        let mut out = [0.0; 2];
        assert_eq!(regression_step_into(&pi, 2, 1.0, &mut out), Err(Error::Label { found: 2, vocab: 2 }));
        assert!(regression_step_into(&pi, 0, 1.0, &mut out[..1]).is_err());
        assert!(exact_into(&pi, &[0.0], &mut out).is_err());
        assert!(remainder(&pi, &[0.0; 3]).is_err());
    }
}
