//! K for `faer` matrices: the Gram matrix of two Jacobians and its product with a residual.
//!
//! For dense kernels of toy models, where J fits in memory. Only here is K formed with blocked,
//! vectorised products; everything about the softmax stays on slices.

use crate::{Error, Real};
use ::faer::linalg::matmul::matmul;
use ::faer::traits::ComplexField;
use ::faer::{Accum, ColMut, ColRef, Mat, MatRef, Par};

/// K(x_o, x_u) = J(x_o)·J(x_u)ᵀ with J = ∂z/∂θ, the empirical neural tangent kernel.
///
/// # Definition
///
/// ```text
/// K = J_o · J_uᵀ        paper: §2, eq. 3
/// ```
///
/// # Accuracy
///
/// As faer's product: within P·ε·‖row of J_o‖·‖row of J_u‖ for P parameters. Sums are taken in T.
///
/// # Shapes
///
/// `jacobian_o`: V_o×P, `jacobian_u`: V_u×P, one row a logit (several positions are stacked);
/// the result: V_o×V_u. [`MatRef::from_row_major_slice`] reads a Jacobian kept as a slice.
///
/// # Errors
///
/// [`Error::Length`] if the numbers of parameters differ.
///
/// # Examples
///
/// ```
/// use faer::mat;
/// use ldyn_core::faer::gram;
/// let (j_o, j_u) = (mat![[1.0_f64, 2.0], [0.0, 1.0]], mat![[3.0, 0.0], [1.0, 1.0]]);
/// assert_eq!(gram(j_o.as_ref(), j_u.as_ref())?, mat![[3.0, 3.0], [0.0, 1.0]]);
/// assert!(gram(j_o.as_ref(), mat![[1.0]].as_ref()).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn gram<T: Real + ComplexField>(
    jacobian_o: MatRef<'_, T>,
    jacobian_u: MatRef<'_, T>,
) -> Result<Mat<T>, Error> {
    let (found, expected) = (jacobian_u.ncols(), jacobian_o.ncols());
    if found != expected {
        return Err(Error::Length { name: "a row of jacobian_u", found, expected });
    }
    let mut kernel = Mat::zeros(jacobian_o.nrows(), jacobian_u.nrows());
    matmul(&mut kernel, Accum::Replace, jacobian_o, jacobian_u.transpose(), T::ONE, Par::Seq);
    Ok(kernel)
}

/// Δz(x_o) = −η·K·G, written to `out`: what one step does to the logits, to first order.
///
/// # Shapes
///
/// `kernel`: V_o×V_u; `residual` G: V_u; `out`: V_o.
///
/// # Errors
///
/// [`Error::Length`].
///
/// # Examples
///
/// ```
/// use faer::mat;
/// use ldyn_core::{Error, faer::delta_z_into};
/// let mut delta_z = [0.0_f64; 2];
/// let kernel = mat![[2.0, 0.0], [0.0, 2.0]];
/// delta_z_into(kernel.as_ref(), &[0.5, -0.5], 0.1, &mut delta_z)?;
/// assert_eq!(delta_z, [-0.1, 0.1]);
/// let short = delta_z_into(kernel.as_ref(), &[0.5], 0.1, &mut delta_z);
/// assert_eq!(short, Err(Error::Length { name: "residual", found: 1, expected: 2 }));
/// # Ok::<(), Error>(())
/// ```
pub fn delta_z_into<T: Real + ComplexField>(
    kernel: MatRef<'_, T>,
    residual: &[T],
    learning_rate: T,
    out: &mut [T],
) -> Result<(), Error> {
    for (name, found, expected) in
        [("residual", residual.len(), kernel.ncols()), ("out", out.len(), kernel.nrows())]
    {
        if found != expected {
            return Err(Error::Length { name, found, expected });
        }
    }
    let (out, residual) = (ColMut::from_slice_mut(out), ColRef::from_slice(residual));
    matmul(out.as_mat_mut(), Accum::Replace, kernel, residual.as_mat(), -learning_rate, Par::Seq);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{exact_sum, noise};

    #[test]
    fn gram_and_its_product_are_the_sums_they_stand_for() {
        let (v_o, v_u, params) = (7, 5, 301);
        let (a, b) = (noise(v_o * params, 2.0), noise(v_u * params + 3, 2.0)[3..].to_vec());
        let j_o = MatRef::from_row_major_slice(&a, v_o, params);
        let j_u = MatRef::from_row_major_slice(&b, v_u, params);
        let kernel = gram(j_o, j_u).unwrap();
        for i in 0..v_o {
            for j in 0..v_u {
                let expected = exact_sum((0..params).map(|k| a[i * params + k] * b[j * params + k]));
                assert!((kernel[(i, j)] - expected).abs() < 1e-12, "{i}, {j}");
            }
        }
        let (residual, mut out) = (noise(v_u, 1.0), [0.0; 7]);
        delta_z_into(kernel.as_ref(), &residual, 0.25, &mut out).unwrap();
        for (i, found) in out.iter().enumerate() {
            let expected = -0.25 * exact_sum((0..v_u).map(|j| kernel[(i, j)] * residual[j]));
            assert!((found - expected).abs() < 1e-12, "{i}");
        }
        // K(x_u, x_o) is the transpose of K(x_o, x_u).
        assert!((&gram(j_u, j_o).unwrap().transpose().to_owned() - &kernel).norm_max() < 1e-12);
    }

    #[test]
    fn lengths_are_checked() {
        let kernel = Mat::<f32>::zeros(2, 3);
        assert!(delta_z_into(kernel.as_ref(), &[0.0; 2], 1.0, &mut [0.0; 2]).is_err());
        assert!(delta_z_into(kernel.as_ref(), &[0.0; 3], 1.0, &mut [0.0; 3]).is_err());
        assert!(gram(kernel.as_ref(), kernel.transpose()).is_err());
    }
}
