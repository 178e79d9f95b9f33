//! Softmax regression on frozen features.

use super::{Model, dot, length};
use crate::{Error, Real};
use alloc::vec::Vec;

/// z = W·φ: the features φ are given, only W is learnt.
///
/// # Definition
///
/// ```text
/// J(φ) = I_V ⊗ φᵀ,   K(φ_o, φ_u) = ⟨φ_o, φ_u⟩·I        paper: App. E
/// ```
///
/// The logits are linear in W, so that a step changes them by exactly −η·K·G: all that
/// [`squeezing`](crate::squeezing) says holds on φ_u with s = η‖φ_u‖². A bias is a feature that is 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression<T> {
    weights: Vec<T>,
    features: usize,
}

impl<T: Real> Regression<T> {
    /// The model with these weights, one row of `features` numbers a label.
    ///
    /// # Shapes
    ///
    /// `weights`: V·`features`, row-major.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] without features or weights; [`Error::Length`] if the last row is not full.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::toy::{Model, Regression};
    /// let model = Regression::new(2, vec![1.0_f64, 0.0, 0.0, 1.0, 1.0, 1.0])?;
    /// let mut z = [0.0; 3];
    /// model.logits_into(&[2.0, 3.0], &mut z)?;
    /// assert_eq!(z, [2.0, 3.0, 5.0]);
    /// assert!(Regression::new(2, vec![1.0_f64; 5]).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(features: usize, weights: Vec<T>) -> Result<Self, Error> {
        if features == 0 {
            return Err(Error::Empty { name: "features" });
        }
        if weights.is_empty() {
            return Err(Error::Empty { name: "weights" });
        }
        length("weights", weights.len(), weights.len().next_multiple_of(features))?;
        Ok(Regression { weights, features })
    }
}

impl<T: Real> Model<T> for Regression<T> {
    fn inputs(&self) -> usize {
        self.features
    }

    fn vocab(&self) -> usize {
        self.weights.len() / self.features
    }

    fn parameters(&self) -> &[T] {
        &self.weights
    }

    fn parameters_mut(&mut self) -> &mut [T] {
        &mut self.weights
    }

    fn logits_into(&self, x: &[T], out: &mut [T]) -> Result<(), Error> {
        length("x", x.len(), self.features)?;
        length("out", out.len(), self.vocab())?;
        for (z, row) in out.iter_mut().zip(self.weights.chunks_exact(self.features)) {
            *z = dot(row, x);
        }
        Ok(())
    }

    fn pullback_into(&self, x: &[T], cotangent: &[T], out: &mut [T]) -> Result<(), Error> {
        length("x", x.len(), self.features)?;
        length("cotangent", cotangent.len(), self.vocab())?;
        length("out", out.len(), self.weights.len())?;
        for (row, &g) in out.chunks_exact_mut(self.features).zip(cotangent) {
            for (o, &x) in row.iter_mut().zip(x) {
                *o = g * x;
            }
        }
        Ok(())
    }
}
