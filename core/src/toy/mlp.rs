//! A multilayer perceptron.

use super::{Model, dot, length};
use crate::{Error, Real};
use alloc::vec;
use alloc::vec::Vec;

/// The function between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// tanh: smooth, so that the remainder of the decomposition is O(η²).
    Tanh,
    /// max(0, x): the same as long as no unit changes sign during the step. Its slope at 0 is taken as 0.
    Relu,
}

impl Activation {
    fn apply<T: Real>(self, x: T) -> T {
        match self {
            Activation::Tanh => {
                let m = (-T::TWO * x.abs()).exp_m1();
                let t = -m / (m + T::TWO);
                if x < T::ZERO { -t } else { t }
            }
            // Written so that NaN passes through.
            Activation::Relu => {
                if x < T::ZERO {
                    T::ZERO
                } else {
                    x
                }
            }
        }
    }

    /// The slope where the function has the value `y`.
    fn slope<T: Real>(self, y: T) -> T {
        match self {
            Activation::Tanh => T::ONE - y * y,
            Activation::Relu => {
                if y > T::ZERO {
                    T::ONE
                } else {
                    T::ZERO
                }
            }
        }
    }
}

/// h₀ = x, h_k = f(W_k·h_{k−1} + b_k), z = W_n·h_{n−1} + b_n.
///
/// θ holds, layer after layer, W_k row by row and then b_k.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp<T> {
    sizes: Vec<usize>,
    activation: Activation,
    parameters: Vec<T>,
}

impl<T: Real> Mlp<T> {
    /// The model with layers of these sizes, from the inputs to V; weights are `draw`() scaled by 1/√(inputs
    /// of the layer), biases are 0.
    ///
    /// `draw` gives numbers with mean 0 and variance 1, one a weight in θ's order. For others, see
    /// [`Model::parameters_mut`].
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] for fewer than two sizes; [`Error::Range`] for a layer of size 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::toy::{Activation, Mlp, Model};
    /// let model = Mlp::new(&[4, 8, 3], Activation::Tanh, || 1.0_f64)?;
    /// assert_eq!((model.inputs(), model.vocab(), model.parameters().len()), (4, 3, 40 + 27));
    /// let mut z = [0.0; 3];
    /// model.logits_into(&[0.5; 4], &mut z)?;
    /// assert!((z[0] - 8.0_f64.sqrt() * 1.0_f64.tanh()).abs() < 1e-15);
    /// assert!(Mlp::new(&[4, 0, 3], Activation::Tanh, || 1.0_f64).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(sizes: &[usize], activation: Activation, mut draw: impl FnMut() -> T) -> Result<Self, Error> {
        if sizes.len() < 2 {
            return Err(Error::Empty { name: "the layers between inputs and logits" });
        }
        if sizes.contains(&0) {
            return Err(Error::Range { name: "the size of a layer", found: 0.0, expected: "at least 1" });
        }
        let mut parameters = Vec::new();
        for pair in sizes.windows(2) {
            let scale = T::ONE / T::from_f64(pair[0] as f64).sqrt();
            parameters.extend((0..pair[0] * pair[1]).map(|_| scale * draw()));
            parameters.resize(parameters.len() + pair[1], T::ZERO);
        }
        Ok(Mlp { sizes: sizes.to_vec(), activation, parameters })
    }

    /// Each layer's place in θ: (inputs, outputs, start of W, start of b).
    fn layers(&self) -> Vec<(usize, usize, usize, usize)> {
        let mut at = 0;
        let place = |pair: &[usize]| {
            let start = at;
            at += pair[0] * pair[1] + pair[1];
            (pair[0], pair[1], start, start + pair[0] * pair[1])
        };
        self.sizes.windows(2).map(place).collect()
    }

    /// The values of all layers: x, h₁, …, z.
    fn forward(&self, x: &[T]) -> Result<Vec<Vec<T>>, Error> {
        length("x", x.len(), self.sizes[0])?;
        let mut values = vec![x.to_vec()];
        for (k, (inputs, outputs, weights, biases)) in self.layers().into_iter().enumerate() {
            let input = &values[k];
            let rows = self.parameters[weights..biases].chunks_exact(inputs);
            let sums = rows.zip(&self.parameters[biases..biases + outputs]).map(|(w, &b)| dot(w, input) + b);
            let last = k + 2 == self.sizes.len();
            let output = sums.map(|a| if last { a } else { self.activation.apply(a) }).collect();
            values.push(output);
        }
        Ok(values)
    }
}

impl<T: Real> Model<T> for Mlp<T> {
    fn inputs(&self) -> usize {
        self.sizes[0]
    }

    fn vocab(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }

    fn parameters(&self) -> &[T] {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut [T] {
        &mut self.parameters
    }

    fn logits_into(&self, x: &[T], out: &mut [T]) -> Result<(), Error> {
        length("out", out.len(), self.vocab())?;
        let values = self.forward(x)?;
        out.copy_from_slice(&values[values.len() - 1]);
        Ok(())
    }

    fn pullback_into(&self, x: &[T], cotangent: &[T], out: &mut [T]) -> Result<(), Error> {
        length("cotangent", cotangent.len(), self.vocab())?;
        length("out", out.len(), self.parameters.len())?;
        let values = self.forward(x)?;
        let mut upper = cotangent.to_vec();
        for (k, (inputs, outputs, weights, biases)) in self.layers().into_iter().enumerate().rev() {
            let input = &values[k];
            for (row, &g) in out[weights..biases].chunks_exact_mut(inputs).zip(&upper) {
                for (o, &h) in row.iter_mut().zip(input) {
                    *o = g * h;
                }
            }
            out[biases..biases + outputs].copy_from_slice(&upper);
            if k > 0 {
                let mut lower = vec![0.0; inputs];
                for (row, &g) in self.parameters[weights..biases].chunks_exact(inputs).zip(&upper) {
                    for (l, &w) in lower.iter_mut().zip(row) {
                        *l += g.to_f64() * w.to_f64();
                    }
                }
                let slopes = input.iter().map(|&h| self.activation.slope(h));
                upper = lower.into_iter().zip(slopes).map(|(l, slope)| T::from_f64(l) * slope).collect();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Activation;

    #[test]
    fn tanh_keeps_its_digits_and_nan() {
        for x in [-30.0, -1.0, -1e-9, 0.0, 1e-300, 0.3, 2.0, 800.0_f64] {
            let found = Activation::Tanh.apply(x);
            assert!((found - x.tanh()).abs() <= 4.0 * f64::EPSILON * x.tanh().abs(), "{x}: {found}");
        }
        assert!(Activation::Tanh.apply(f64::NAN).is_nan() && Activation::Relu.apply(f64::NAN).is_nan());
    }
}
