//! Small steps: derivatives at s = 0 of the negative step.

use crate::simplex::Distribution;
use crate::{Error, Real};

/// dπ/ds of a negative step at s = 0, written to `out`.
///
/// # Definition
///
/// ```text
/// dπ_i/ds = π_i (v_i − ⟨π, v⟩),   v = π − e_y;      = π_i (π_i − ‖π‖² + π_y) for i ≠ y
/// ```
///
/// The entries add up to 0.
///
/// # Accuracy
///
/// In `f64` the entries add up to 0 within 20ε.
///
/// # Shapes
///
/// `pi`, `out`: V.
///
/// # Errors
///
/// [`Error::Label`], [`Error::Length`].
///
/// # Examples
///
/// ```
/// use ldyn_core::{simplex::Distribution, squeezing::drift_into};
/// let pi = Distribution::new(&[0.75_f64, 0.25])?;
/// let mut drift = [0.0; 2];
/// drift_into(&pi, 1, &mut drift)?;
/// assert_eq!(drift, [0.28125, -0.28125]);
/// assert!(drift_into(&pi, 2, &mut drift).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn drift_into<T: Real>(pi: &Distribution<'_, T>, label: usize, out: &mut [T]) -> Result<(), Error> {
    pi.check(label)?;
    pi.same_length("out", out.len())?;
    let mean = pi.sum_sq() - pi.as_slice()[label];
    for (o, &p) in out.iter_mut().zip(pi.as_slice()) {
        *o = p * (p - mean);
    }
    let p = pi.as_slice()[label];
    out[label] = p * ((p - T::ONE) - mean);
    Ok(())
}

/// N10: π_i(π_i − ‖π‖²), the limit of [`drift_into`] as π_y → 0: a replicator drift that no longer
/// depends on y.
///
/// No entry of the two differs by more than π_y. Unlike the positive step, whose residual vanishes
/// as π_y → 1, the negative step keeps its force: ‖π − e_y‖ → √(1 + ‖π‖²). The mass comes from the other labels.
///
/// # Accuracy
///
/// In `f64` every entry is within 20ε.
///
/// # Shapes
///
/// `pi`, `out`: V.
///
/// # Errors
///
/// [`Error::Length`].
pub fn replicator_drift_into<T: Real>(pi: &Distribution<'_, T>, out: &mut [T]) -> Result<(), Error> {
    pi.same_length("out", out.len())?;
    let mean = pi.sum_sq();
    for (o, &p) in out.iter_mut().zip(pi.as_slice()) {
        *o = p * (p - mean);
    }
    Ok(())
}

/// N11: dH/ds of a negative step at s = 0, in nats.
///
/// # Definition
///
/// ```text
/// dH/ds = −Cov_π(log π, π) + π_y (log π_y + H)
/// ```
///
/// The covariance is never negative, so H falls if y is at least as surprising as the average
/// (−log π_y ≥ H) and π is not uniform. Penalising a very likely label can raise H.
///
/// # Special cases
///
/// 0 log 0 = 0.
///
/// # Accuracy
///
/// In `f64` within 80ε.
///
/// # Errors
///
/// [`Error::Label`] if `label` ≥ V.
///
/// # Examples
///
/// ```
/// use ldyn_core::{simplex::Distribution, squeezing::entropy_rate};
/// let pi = Distribution::new(&[0.7_f64, 0.15, 0.15])?;
/// assert!(entropy_rate(&pi, 0)? > 0.0); // unlearning the top label flattens
/// assert!(entropy_rate(&pi, 2)? < 0.0); // unlearning a rare one sharpens
/// assert!(entropy_rate(&pi, 3).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn entropy_rate<T: Real>(pi: &Distribution<'_, T>, label: usize) -> Result<T, Error> {
    pi.check(label)?;
    let log = |p: f64| if p > 0.0 { p.ln() } else { 0.0 };
    let mean_log = pi.expectation(|_, p| log(p));
    let mean = pi.expectation(|_, p| p);
    let covariance = pi.expectation(|_, p| (log(p) - mean_log) * (p - mean));
    let p = pi.as_slice()[label].to_f64();
    Ok(T::from_f64(p * (log(p) - mean_log) - covariance))
}
