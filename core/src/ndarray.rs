//! The functions of this crate for `ndarray`: views in, arrays out.
//!
//! Thin adapters: every number is made by the function on slices that bears the same name, and
//! its docs hold here. A view that is not contiguous, such as a column, is copied first.

use crate::simplex::Distribution;
use crate::squeezing::NegativeStep;
use crate::{Error, Real, adaptation, decomposition, softmax};
use ::ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// π = softmax(z): [`softmax_into`](softmax::softmax_into).
///
/// # Shapes
///
/// `logits` and the result: V.
///
/// # Errors
///
/// [`Error::Empty`], [`Error::Logit`], [`Error::NoMass`].
///
/// # Examples
///
/// ```
/// use ldyn_core::{Error, ndarray::softmax};
/// use ndarray::{array, aview1};
/// assert_eq!(softmax(array![0.0_f64, 0.0].view())?, aview1(&[0.5, 0.5]));
/// assert_eq!(softmax(array![f64::NAN].view()), Err(Error::Logit { index: 0 }));
/// # Ok::<(), Error>(())
/// ```
pub fn softmax<T: Real>(logits: ArrayView1<'_, T>) -> Result<Array1<T>, Error> {
    filled(logits.len(), |out| with_slice(logits, |z| softmax::softmax_into(z, out)))
}

/// log π = z − log Σ eᶻ: [`log_softmax_into`](softmax::log_softmax_into).
///
/// # Shapes
///
/// `logits` and the result: V.
///
/// # Errors
///
/// As [`softmax`].
pub fn log_softmax<T: Real>(logits: ArrayView1<'_, T>) -> Result<Array1<T>, Error> {
    filled(logits.len(), |out| with_slice(logits, |z| softmax::log_softmax_into(z, out)))
}

/// The softmax of each row: one row a position.
///
/// # Shapes
///
/// `logits` and the result: L×V.
///
/// # Errors
///
/// As [`softmax`], for the first row at fault.
///
/// # Examples
///
/// ```
/// use ldyn_core::ndarray::softmax_rows;
/// use ndarray::array;
/// let logits = array![[0.0_f64, 0.0], [0.0, f64::NEG_INFINITY]];
/// assert_eq!(softmax_rows(logits.view())?, array![[0.5, 0.5], [1.0, 0.0]]);
/// assert!(softmax_rows(array![[0.0, f64::NAN]].view()).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn softmax_rows<T: Real>(logits: ArrayView2<'_, T>) -> Result<Array2<T>, Error> {
    rows(logits, softmax)
}

/// The log-softmax of each row: one row a position.
///
/// # Shapes
///
/// `logits` and the result: L×V.
///
/// # Errors
///
/// As [`softmax`], for the first row at fault.
pub fn log_softmax_rows<T: Real>(logits: ArrayView2<'_, T>) -> Result<Array2<T>, Error> {
    rows(logits, log_softmax)
}

/// A·v = v − ⟨π, v⟩·1: [`apply_into`](adaptation::apply_into); with v = Δz, the predicted Δ log π.
///
/// # Shapes
///
/// `pi`, `v` and the result: V.
///
/// # Errors
///
/// [`Error::Length`]; as [`Distribution::new`] if `pi` is none.
///
/// # Examples
///
/// ```
/// use ldyn_core::ndarray::adapt;
/// use ndarray::array;
/// let pi = array![0.5_f64, 0.5];
/// assert_eq!(adapt(pi.view(), array![3.0, 1.0].view())?, array![1.0, -1.0]);
/// assert!(adapt(pi.view(), array![3.0].view()).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn adapt<T: Real>(pi: ArrayView1<'_, T>, v: ArrayView1<'_, T>) -> Result<Array1<T>, Error> {
    with_distribution(pi, |pi| {
        filled(pi.vocab(), |out| with_slice(v, |v| adaptation::apply_into(&pi, v, out)))
    })
}

/// The exact Δ log π for logits that change by Δz: [`exact_into`](decomposition::exact_into).
///
/// # Shapes
///
/// `pi`, `delta_z` and the result: V.
///
/// # Errors
///
/// As [`adapt`].
pub fn exact_change<T: Real>(pi: ArrayView1<'_, T>, delta_z: ArrayView1<'_, T>) -> Result<Array1<T>, Error> {
    with_distribution(pi, |pi| {
        filled(pi.vocab(), |out| with_slice(delta_z, |dz| decomposition::exact_into(&pi, dz, out)))
    })
}

/// r = −KL(π ‖ π′), what the exact change has and the prediction lacks:
/// [`remainder`](decomposition::remainder).
///
/// # Shapes
///
/// `pi`, `delta_z`: V.
///
/// # Errors
///
/// As [`adapt`].
pub fn remainder<T: Real>(pi: ArrayView1<'_, T>, delta_z: ArrayView1<'_, T>) -> Result<T, Error> {
    with_distribution(pi, |pi| with_slice(delta_z, |dz| decomposition::remainder(&pi, dz)))
}

/// Δz of one step of softmax regression: [`regression_step_into`](decomposition::regression_step_into).
///
/// # Shapes
///
/// `pi` and the result: V.
///
/// # Errors
///
/// [`Error::Label`]; as [`Distribution::new`] if `pi` is none.
pub fn regression_step<T: Real>(pi: ArrayView1<'_, T>, label: usize, step: T) -> Result<Array1<T>, Error> {
    with_distribution(pi, |pi| {
        filled(pi.vocab(), |out| decomposition::regression_step_into(&pi, label, step, out))
    })
}

/// π′ after one negative step on `label`: [`NegativeStep::after_into`].
///
/// # Shapes
///
/// `pi` and the result: V.
///
/// # Errors
///
/// As [`NegativeStep::new`] and [`Distribution::new`].
pub fn negative_step<T: Real>(pi: ArrayView1<'_, T>, label: usize, step: T) -> Result<Array1<T>, Error> {
    with_distribution(pi, |pi| {
        let step = NegativeStep::new(pi, label, step)?;
        filled(pi.vocab(), |out| step.after_into(out))
    })
}

fn with_slice<T: Real, R>(view: ArrayView1<'_, T>, f: impl FnOnce(&[T]) -> R) -> R {
    match view.as_slice() {
        Some(slice) => f(slice),
        None => f(&view.to_vec()),
    }
}

fn with_distribution<T: Real, R>(
    pi: ArrayView1<'_, T>,
    f: impl FnOnce(Distribution<'_, T>) -> Result<R, Error>,
) -> Result<R, Error> {
    with_slice(pi, |pi| f(Distribution::new(pi)?))
}

fn filled<T: Real>(len: usize, fill: impl FnOnce(&mut [T]) -> Result<(), Error>) -> Result<Array1<T>, Error> {
    let mut out = alloc::vec![T::ZERO; len];
    fill(&mut out)?;
    Ok(Array1::from_vec(out))
}

fn rows<T: Real>(
    logits: ArrayView2<'_, T>,
    row: impl Fn(ArrayView1<'_, T>) -> Result<Array1<T>, Error>,
) -> Result<Array2<T>, Error> {
    let mut out = Array2::from_elem(logits.dim(), T::ZERO);
    for (z, mut o) in logits.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
        o.assign(&row(z)?);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::ndarray::array;
    use alloc::vec;

    #[test]
    fn arrays_give_the_numbers_of_slices() {
        let (logits, delta_z) = (array![1.0_f64, -0.5, 0.25], array![0.3, 0.0, -0.1]);
        let mut expected = [0.0; 3];
        softmax::softmax_into(logits.as_slice().unwrap(), &mut expected).unwrap();
        let pi = softmax(logits.view()).unwrap();
        assert_eq!(pi.as_slice().unwrap(), expected);
        let dist = Distribution::new(&expected).unwrap();
        let same = |found: Array1<f64>, fill: &dyn Fn(&mut [f64]) -> Result<(), Error>| {
            let mut expected = [0.0; 3];
            fill(&mut expected).unwrap();
            assert_eq!(found.as_slice().unwrap(), expected);
        };
        let dz = delta_z.as_slice().unwrap();
        same(adapt(pi.view(), delta_z.view()).unwrap(), &|out| adaptation::apply_into(&dist, dz, out));
        same(exact_change(pi.view(), delta_z.view()).unwrap(), &|out| {
            decomposition::exact_into(&dist, dz, out)
        });
        same(regression_step(pi.view(), 1, 0.5).unwrap(), &|out| {
            decomposition::regression_step_into(&dist, 1, 0.5, out)
        });
        same(negative_step(pi.view(), 1, 0.5).unwrap(), &|out| {
            NegativeStep::new(dist, 1, 0.5)?.after_into(out)
        });
        assert_eq!(remainder(pi.view(), delta_z.view()), decomposition::remainder(&dist, dz));
    }

    #[test]
    fn columns_and_reversed_rows_are_read_in_their_order() {
        let logits = array![[1.0_f32, 7.0, 0.0], [2.0, 8.0, -1.0]];
        let column = log_softmax(logits.column(0)).unwrap();
        assert_eq!(column, log_softmax(array![1.0_f32, 2.0].view()).unwrap());
        let mut reversed = logits.view();
        reversed.invert_axis(Axis(1));
        let mut reversed = softmax_rows(reversed).unwrap();
        reversed.invert_axis(Axis(1));
        for (a, b) in reversed.iter().zip(&softmax_rows(logits.view()).unwrap()) {
            assert!((a - b).abs() <= f32::EPSILON);
        }
        let transposed = log_softmax_rows(logits.t()).unwrap();
        assert_eq!(transposed.row(0), column);
    }

    #[test]
    fn faults_are_those_of_the_slices() {
        let pi = array![0.5_f64, 0.5];
        assert_eq!(softmax(Array1::<f64>::zeros(0).view()), Err(Error::Empty { name: "logits" }));
        assert!(softmax_rows(array![[0.0], [f64::INFINITY]].view()).is_err());
        assert!(adapt(array![0.5, 0.6].view(), pi.view()).is_err());
        assert!(exact_change(pi.view(), array![1.0].view()).is_err());
        assert!(negative_step(pi.view(), 2, 1.0).is_err());
    }
}
