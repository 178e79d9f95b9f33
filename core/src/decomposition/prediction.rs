//! −η·A·K·G: what one training step is predicted to do, for one position, a response, a pair.

use crate::ntk::{Kernel, Shape};
use crate::simplex::Distribution;
use crate::{Error, Real, adaptation};

/// What a step is taken on: a kernel, and the residuals G of the objective at the positions of χ_u.
///
/// A residual is w·(π − e_y): see [`residual_into`](crate::diagnostics::residual_into). The paper writes G as
/// V×L; here each token has its row.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a, K, T> {
    /// K(χ_o, χ_u).
    pub kernel: &'a K,
    /// G, L rows of V numbers.
    pub residuals: &'a [T],
}

impl<K: Kernel<T>, T: Real> Cause<'_, K, T> {
    fn check(&self, observed: Shape) -> Result<(), Error> {
        let shape = self.kernel.shape();
        for (name, found, expected) in [
            ("kernel", shape.vocab, observed.vocab),
            ("kernel", shape.observed, observed.observed),
            ("residuals", self.residuals.len(), shape.updated * shape.vocab),
        ] {
            if found != expected {
                return Err(Error::Length { name, found, expected });
            }
        }
        Ok(())
    }

    /// `out`_m += scale·Σ_l K_{m,l}·G_l.
    fn add(&self, scale: T, out: &mut [T]) {
        let Shape { vocab, .. } = self.kernel.shape();
        for (m, out) in out.chunks_exact_mut(vocab).enumerate() {
            for (l, residual) in self.residuals.chunks_exact(vocab).enumerate() {
                self.kernel.add_product(m, l, scale, residual, out);
            }
        }
    }
}

/// The predicted change of the logits of every position of χ_o.
///
/// # Definition
///
/// ```text
/// Δz_m = −η Σ_l K_{m,l}·G_l        paper: eq. 4–5; exact if z is linear in θ
/// ```
///
/// # Shapes
///
/// `cause.residuals`: L·V; `out`: M·V, overwritten.
///
/// # Errors
///
/// [`Error::Length`].
pub fn logit_change_into<T: Real>(
    cause: Cause<'_, impl Kernel<T>, T>,
    learning_rate: T,
    out: &mut [T],
) -> Result<(), Error> {
    let shape = cause.kernel.shape();
    cause.check(shape)?;
    rows("out", out.len(), shape)?;
    out.fill(T::ZERO);
    cause.add(-learning_rate, out);
    Ok(())
}

/// The predicted change of all log-probabilities at every position of χ_o.
///
/// # Definition
///
/// ```text
/// [Δ log π]_m = −η Σ_l A_m·K_{m,l}·G_l        paper: eq. 3 with M = L = 1, eq. 4–5
/// ```
///
/// # Shapes
///
/// `pi`: M·V, a distribution a row; `cause.residuals`: L·V; `out`: M·V.
///
/// # Errors
///
/// [`Error::Length`]; as [`Distribution::new`] for a row of `pi`.
///
/// # Examples
///
/// ```
/// use ldyn_core::{decomposition::{Cause, predicted_step_into}, ntk::ScaledIdentity};
/// let kernel = ScaledIdentity { factor: 2.0_f64, vocab: 2 };
/// let cause = Cause { kernel: &kernel, residuals: &[0.5, -0.5] }; // π − e₁ for π = (½, ½)
/// let mut change = [0.0; 2];
/// predicted_step_into(&[0.75, 0.25], cause, 0.1, &mut change)?;
/// assert!((change[1] - 0.15).abs() < 1e-15 && (change[0] + 0.05).abs() < 1e-15);
/// assert!(predicted_step_into(&[1.0], cause, 0.1, &mut change).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn predicted_step_into<T: Real>(
    pi: &[T],
    cause: Cause<'_, impl Kernel<T>, T>,
    learning_rate: T,
    out: &mut [T],
) -> Result<(), Error> {
    let shape = cause.kernel.shape();
    rows("pi", pi.len(), shape)?;
    logit_change_into(cause, learning_rate, out)?;
    adapt(pi, shape, out)
}

/// The predicted change of all log-probabilities when a preference pair is learned.
///
/// # Definition
///
/// ```text
/// [Δ log π]_m = −η Σ_l A_m·(K⁺_{m,l}·G₊_l − K⁻_{m,l}·G₋_l),   G± = w±·(π − e_{y±})        paper: eq. 7
/// ```
///
/// The minus of y⁻ stands here, outside: `rejected.residuals` is +w₋(π − e), with the weights of
/// [`loss`](crate::loss). (∂L/∂z of the rejected response is −G₋.)
///
/// # Shapes
///
/// `pi`: M·V; `chosen.residuals`: L⁺·V; `rejected.residuals`: L⁻·V; `out`: M·V.
///
/// # Errors
///
/// As [`predicted_step_into`]; [`Error::Length`] if the two kernels look at different positions.
pub fn predicted_pair_into<T: Real>(
    pi: &[T],
    chosen: Cause<'_, impl Kernel<T>, T>,
    rejected: Cause<'_, impl Kernel<T>, T>,
    learning_rate: T,
    out: &mut [T],
) -> Result<(), Error> {
    let shape = chosen.kernel.shape();
    rows("pi", pi.len(), shape)?;
    rejected.check(shape)?;
    logit_change_into(chosen, learning_rate, out)?;
    rejected.add(learning_rate, out);
    adapt(pi, shape, out)
}

/// A_m·v for each row v of `changes`, in place.
fn adapt<T: Real>(pi: &[T], shape: Shape, changes: &mut [T]) -> Result<(), Error> {
    for (pi, row) in pi.chunks_exact(shape.vocab).zip(changes.chunks_exact_mut(shape.vocab)) {
        adaptation::apply_in_place(&Distribution::new(pi)?, row)?;
    }
    Ok(())
}

fn rows(name: &'static str, found: usize, shape: Shape) -> Result<(), Error> {
    let expected = shape.observed * shape.vocab;
    if found == expected && shape.vocab > 0 { Ok(()) } else { Err(Error::Length { name, found, expected }) }
}
