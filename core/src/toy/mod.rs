//! Two small models whose Jacobians are known in closed form: the decomposition can be computed on
//! them factor by factor, K included, and held against what a step really does.
//!
//! | model | z | Δz after a step | item |
//! |---|---|---|---|
//! | softmax regression on frozen features | W·φ | exactly −η·K·G | [`Regression`] |
//! | multilayer perceptron | layers of tanh or ReLU | −η·K·G + O(η²) | [`Mlp`] |
//!
//! Neither draws its own numbers: parameters come from the caller.
//!
//! # Examples
//!
//! ```
//! use ldyn_core::toy::{Model, Regression, log_probs, predict, step};
//!
//! // Two labels, features φ = (1, 2); one small step on label 1.
//! let mut model = Regression::new(2, vec![0.0_f64; 4])?;
//! let (phi, rate) = ([1.0, 2.0], 1e-3);
//! let (before, predicted) = (log_probs(&model, &phi)?, predict(&model, &phi, &phi, 1, rate)?);
//! step(&mut model, &phi, 1, rate)?;
//! let change = log_probs(&model, &phi)?[1] - before[1];
//! assert!((predicted[1] - 0.0025).abs() < 1e-15); // η‖φ‖²/2
//! assert!(change < predicted[1] && change > predicted[1] - 1e-5);
//! # Ok::<(), ldyn_core::Error>(())
//! ```

mod mlp;
mod regression;
#[cfg(test)]
mod tests;

pub use mlp::{Activation, Mlp};
pub use regression::Regression;

use crate::simplex::Distribution;
use crate::softmax::{log_softmax_into, softmax_into};
use crate::{Error, Real, decomposition};
use alloc::vec;
use alloc::vec::Vec;

/// A model with V logits, P parameters θ and a Jacobian J = ∂z/∂θ.
pub trait Model<T: Real> {
    /// The number of inputs.
    fn inputs(&self) -> usize;

    /// V.
    fn vocab(&self) -> usize;

    /// θ.
    fn parameters(&self) -> &[T];

    /// θ, to be changed.
    fn parameters_mut(&mut self) -> &mut [T];

    /// z(x), written to `out`.
    ///
    /// # Shapes
    ///
    /// `x`: the inputs; `out`: V.
    ///
    /// # Errors
    ///
    /// [`Error::Length`].
    fn logits_into(&self, x: &[T], out: &mut [T]) -> Result<(), Error>;

    /// J(x)ᵀ·`cotangent`, written to `out`: from ∂L/∂z the gradient ∂L/∂θ.
    ///
    /// # Shapes
    ///
    /// `x`: the inputs; `cotangent`: V; `out`: P.
    ///
    /// # Errors
    ///
    /// [`Error::Length`].
    fn pullback_into(&self, x: &[T], cotangent: &[T], out: &mut [T]) -> Result<(), Error>;

    /// J(x), one row a logit, written to `out`.
    ///
    /// # Method
    ///
    /// One pullback a row: Jᵀe_i is row i.
    ///
    /// # Shapes
    ///
    /// `x`: the inputs; `out`: V·P, row-major.
    ///
    /// # Errors
    ///
    /// [`Error::Length`].
    fn jacobian_into(&self, x: &[T], out: &mut [T]) -> Result<(), Error> {
        let (vocab, parameters) = (self.vocab(), self.parameters().len());
        length("out", out.len(), vocab * parameters)?;
        let mut unit = vec![T::ZERO; vocab];
        for (i, row) in out.chunks_exact_mut(parameters).enumerate() {
            unit[i] = T::ONE;
            self.pullback_into(x, &unit, row)?;
            unit[i] = T::ZERO;
        }
        Ok(())
    }
}

/// log π(·|x).
///
/// # Errors
///
/// As [`Model::logits_into`]; [`Error::Logit`] where the model has diverged.
pub fn log_probs<T: Real>(model: &impl Model<T>, x: &[T]) -> Result<Vec<T>, Error> {
    let (mut z, mut out) = (vec![T::ZERO; model.vocab()], vec![T::ZERO; model.vocab()]);
    model.logits_into(x, &mut z)?;
    log_softmax_into(&z, &mut out)?;
    Ok(out)
}

/// π(·|x).
///
/// # Errors
///
/// As [`log_probs`].
pub fn probs<T: Real>(model: &impl Model<T>, x: &[T]) -> Result<Vec<T>, Error> {
    let (mut z, mut out) = (vec![T::ZERO; model.vocab()], vec![T::ZERO; model.vocab()]);
    model.logits_into(x, &mut z)?;
    softmax_into(&z, &mut out)?;
    Ok(out)
}

/// One step of gradient descent on −log π(label | x): θ ← θ − η·Jᵀ(π − e_y).
///
/// A negative `learning_rate` unlearns the label.
///
/// # Errors
///
/// As [`log_probs`]; [`Error::Label`].
pub fn step<T: Real>(
    model: &mut impl Model<T>,
    x: &[T],
    label: usize,
    learning_rate: T,
) -> Result<(), Error> {
    let residual = residual(model, x, label)?;
    let mut gradient = vec![T::ZERO; model.parameters().len()];
    model.pullback_into(x, &residual, &mut gradient)?;
    for (parameter, g) in model.parameters_mut().iter_mut().zip(gradient) {
        *parameter -= learning_rate * g;
    }
    Ok(())
}

/// K(x_o, x_u) = J(x_o)·J(x_u)ᵀ, formed from the two Jacobians.
///
/// # Accuracy
///
/// Sums are taken in `f64`: each entry within P·2⁻⁵³·Σ|J_o J_u|, and one rounding.
///
/// # Shapes
///
/// The result: V·V, row-major; a row belongs to a logit at x_o.
///
/// # Errors
///
/// As [`Model::jacobian_into`].
pub fn kernel<T: Real>(model: &impl Model<T>, x_o: &[T], x_u: &[T]) -> Result<Vec<T>, Error> {
    let (vocab, parameters) = (model.vocab(), model.parameters().len());
    let (mut j_o, mut j_u) = (vec![T::ZERO; vocab * parameters], vec![T::ZERO; vocab * parameters]);
    model.jacobian_into(x_o, &mut j_o)?;
    model.jacobian_into(x_u, &mut j_u)?;
    let rows = j_o.chunks_exact(parameters);
    Ok(rows.flat_map(|o| j_u.chunks_exact(parameters).map(move |u| dot(o, u))).collect())
}

/// Δ log π(·|x_o) = −η·A(x_o)·K(x_o, x_u)·G(x_u, label), to first order in η.
///
/// The step itself is [`step`]; what it really does is the difference of [`log_probs`].
///
/// # Errors
///
/// As [`step`].
pub fn predict<T: Real>(
    model: &impl Model<T>,
    x_o: &[T],
    x_u: &[T],
    label: usize,
    learning_rate: T,
) -> Result<Vec<T>, Error> {
    let residual = residual(model, x_u, label)?;
    let kernel = kernel(model, x_o, x_u)?;
    let delta_z: Vec<T> =
        kernel.chunks_exact(model.vocab()).map(|row| -learning_rate * dot(row, &residual)).collect();
    let (pi, mut out) = (probs(model, x_o)?, vec![T::ZERO; model.vocab()]);
    decomposition::predicted_into(&Distribution::new(&pi)?, &delta_z, &mut out)?;
    Ok(out)
}

/// G = π − e_y at x.
fn residual<T: Real>(model: &impl Model<T>, x: &[T], label: usize) -> Result<Vec<T>, Error> {
    let mut pi = probs(model, x)?;
    let vocab = pi.len();
    *pi.get_mut(label).ok_or(Error::Label { found: label, vocab })? -= T::ONE;
    Ok(pi)
}

fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    T::from_f64(a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum())
}

fn length(name: &'static str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Length { name, found, expected }) }
}
