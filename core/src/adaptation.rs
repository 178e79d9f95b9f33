//! A = I − 1πᵀ: how a change of logits becomes a change of log-probabilities.
//!
//! A = ∂ log π / ∂z is V×V (paper: §2, eq. 3). It is never formed: with the weighted mean
//! ⟨π, v⟩ it acts in O(V). Its Frobenius norm is [`a_norm`](crate::diagnostics::a_norm).
//!
//! It is an oblique projection: A·1 = 0, πᵀA = 0, A² = A, rank V − 1; and diag(π)·A is the
//! softmax's Jacobian.

use crate::simplex::Distribution;
use crate::sweep::{sum_of, wide};
use crate::{Error, Real};

/// A·v = v − ⟨π, v⟩·1, written to `out`.
///
/// # Accuracy
///
/// Each entry within 2ε·max |v|, ε of the type: the mean is taken in `f64` and rounded once. What is
/// guaranteed adds 32ε of `f64`, the worst case of its sum, whatever V.
///
/// # Shapes
///
/// `pi`, `v`, `out`: V.
///
/// # Errors
///
/// [`Error::Length`].
///
/// # Examples
///
/// ```
/// use ldyn_core::{Error, adaptation, simplex::Distribution};
/// let pi = Distribution::new(&[0.5_f64, 0.5])?;
/// let mut out = [0.0; 2];
/// adaptation::apply_into(&pi, &[3.0, 1.0], &mut out)?;
/// assert_eq!(out, [1.0, -1.0]);
/// let short = adaptation::apply_into(&pi, &[3.0], &mut out);
/// assert_eq!(short, Err(Error::Length { name: "v", found: 1, expected: 2 }));
/// # Ok::<(), Error>(())
/// ```
pub fn apply_into<T: Real>(pi: &Distribution<'_, T>, v: &[T], out: &mut [T]) -> Result<(), Error> {
    lengths(pi, v, out)?;
    let mean = mean(pi, v);
    wide(
        #[inline(always)]
        || out.iter_mut().zip(v).for_each(|(o, &v)| *o = v - mean),
    );
    Ok(())
}

/// A·v in place.
///
/// # Shapes
///
/// `pi`, `v`: V.
///
/// # Errors
///
/// [`Error::Length`].
pub fn apply_in_place<T: Real>(pi: &Distribution<'_, T>, v: &mut [T]) -> Result<(), Error> {
    pi.same_length("v", v.len())?;
    let mean = mean(pi, v);
    for v in v {
        *v -= mean;
    }
    Ok(())
}

/// ⟨π, v⟩; `v` is as long as π.
pub(crate) fn mean<T: Real>(pi: &Distribution<'_, T>, v: &[T]) -> T {
    T::from_f64(pi.mean(v))
}

/// Aᵀ·v = v − (Σ v)·π, written to `out`: a gradient with respect to log π becomes one with
/// respect to z.
///
/// # Shapes
///
/// `pi`, `v`, `out`: V.
///
/// # Errors
///
/// [`Error::Length`].
///
/// # Examples
///
/// ```
/// use ldyn_core::{adaptation, simplex::Distribution};
/// let pi = Distribution::new(&[0.75_f64, 0.25])?;
/// let mut residual = [0.0; 2];
/// // The gradient of −log π(1): −e₁ with respect to log π, π − e₁ with respect to z.
/// adaptation::apply_transpose_into(&pi, &[0.0, -1.0], &mut residual)?;
/// assert_eq!(residual, [0.75, -0.75]);
/// assert!(adaptation::apply_transpose_into(&pi, &[0.0], &mut residual).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn apply_transpose_into<T: Real>(pi: &Distribution<'_, T>, v: &[T], out: &mut [T]) -> Result<(), Error> {
    lengths(pi, v, out)?;
    let total = T::from_f64(wide(
        #[inline(always)]
        || sum_of(v),
    ));
    wide(
        #[inline(always)]
        || out.iter_mut().zip(v).zip(pi.as_slice()).for_each(|((o, &v), &p)| *o = v - total * p),
    );
    Ok(())
}

/// A itself, row-major: for tests and for looking at it.
///
/// # Shapes
///
/// `pi`: V; `out`: V·V.
///
/// # Errors
///
/// [`Error::Length`].
pub fn dense_into<T: Real>(pi: &Distribution<'_, T>, out: &mut [T]) -> Result<(), Error> {
    let vocab = pi.vocab();
    if out.len() != vocab * vocab {
        return Err(Error::Length { name: "out", found: out.len(), expected: vocab * vocab });
    }
    for (i, row) in out.chunks_exact_mut(vocab).enumerate() {
        for (j, (o, &p)) in row.iter_mut().zip(pi.as_slice()).enumerate() {
            *o = if i == j { T::ONE - p } else { -p };
        }
    }
    Ok(())
}

/// ‖A‖_op = √V·‖π‖, the largest stretch of a change of logits.
///
/// 1 for the uniform distribution, √V for a one-hot one. (The paper gives ‖π‖² = 1/√V for the
/// uniform π; it is 1/V.) For V = 1, A = 0 and so is its norm.
///
/// # Accuracy
///
/// 6ε relatively, as [`Distribution::sum_sq`].
pub fn operator_norm<T: Real>(pi: &Distribution<'_, T>) -> T {
    if pi.vocab() == 1 {
        return T::ZERO;
    }
    (T::from_f64(pi.vocab() as f64) * pi.sum_sq()).sqrt()
}

fn lengths<T: Real>(pi: &Distribution<'_, T>, v: &[T], out: &[T]) -> Result<(), Error> {
    pi.same_length("v", v.len())?;
    pi.same_length("out", out.len())
}
