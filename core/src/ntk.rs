//! K, the empirical neural tangent kernel: how strongly learning one context moves the logits of another.
//!
//! ```text
//! K_{m,l} = J_m(χ_o)·J_l(χ_u)ᵀ,   J = ∂z/∂θ          V×V for each pair of positions     paper: eq. 3–5
//! ```
//!
//! A prediction needs K only through its products with residuals, so [`Kernel`] is that product and
//! nothing more: a kernel need never be formed. Four are here, of growing generality:
//!
//! | kernel | K_{m,l} | cost of one product |
//! |---|---|---|
//! | [`ScaledIdentity`] | k·I: softmax regression, one position | V |
//! | [`Features`] | ⟨φ_m, φ_l⟩·I: a linear read-out on frozen features | V + d |
//! | [`Jacobians`] | J_m J_lᵀ from two Jacobians | 2·V·d |
//! | [`Dense`] | any matrix | V² |
//!
//! K(χ_u, χ_o) is the transpose of K(χ_o, χ_u). K(χ, χ), taken over all positions, is symmetric and positive
//! semidefinite (K1, K2); across contexts it need not be either.

use crate::{Error, Real};

/// How many positions o and u have, and the vocabulary size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// M, the positions of χ_o; 1 for classification.
    pub observed: usize,
    /// L, the positions of χ_u; 1 for classification.
    pub updated: usize,
    /// V.
    pub vocab: usize,
}

/// K as a product: all that a prediction needs.
///
/// # Accuracy
///
/// An inner product of d numbers, as in [`Features::factor`] and [`Jacobians::dense_into`], is added up in `f64`: it
/// is within ε of itself with the ε of the type, and within d·ε·Σ|a·b| with that of `f64`. The norms are as exact. A
/// product with [`Dense`] is such a sum over V; one with [`Jacobians`] adds d numbers of the type, each rounded,
/// and is within (d + V)·ε of the sum of all their absolute values.
pub trait Kernel<T: Real> {
    /// M, L and V.
    fn shape(&self) -> Shape;

    /// Adds `scale`·K_{m,l}·`residual` to `out`.
    ///
    /// Called by this crate with m < M, l < L and slices of length V only.
    fn add_product(&self, m: usize, l: usize, scale: T, residual: &[T], out: &mut [T]);
}

/// K = k·I, one position: softmax regression with k = ⟨φ_o, φ_u⟩.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaledIdentity<T> {
    /// k.
    pub factor: T,
    /// V.
    pub vocab: usize,
}

impl<T: Real> ScaledIdentity<T> {
    /// ‖K‖_F = |k|·√V.
    pub fn frobenius(&self) -> T {
        self.factor.abs() * T::from_f64(self.vocab as f64).sqrt()
    }
}

impl<T: Real> Kernel<T> for ScaledIdentity<T> {
    fn shape(&self) -> Shape {
        Shape { observed: 1, updated: 1, vocab: self.vocab }
    }

    fn add_product(&self, _: usize, _: usize, scale: T, residual: &[T], out: &mut [T]) {
        add_scaled(scale * self.factor, residual, out);
    }
}

/// K_{m,l} = ⟨φ_m, φ_l⟩·I: a linear read-out on frozen features.
///
/// With it the change of the logits is exactly linear in the step, and only the softmax is not.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a, T> {
    observed: &'a [T],
    updated: &'a [T],
    dim: usize,
    vocab: usize,
}

impl<'a, T: Real> Features<'a, T> {
    /// The features of χ_o and χ_u, one row of `dim` numbers a position. A bias is one more feature, 1.
    ///
    /// # Shapes
    ///
    /// `observed`: M·d; `updated`: L·d.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless `dim` and `vocab` are positive; [`Error::Length`] if a slice does not hold whole rows.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::ntk::Features;
    /// let k = Features::new(&[1.0_f64, 0.0, 0.6, 0.8], &[1.0, 0.0], 2, 50)?;
    /// assert_eq!((k.factor(0, 0), k.factor(1, 0)), (1.0, 0.6));
    /// assert!(Features::new(&[1.0_f64, 0.0, 0.6], &[1.0, 0.0], 2, 50).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(observed: &'a [T], updated: &'a [T], dim: usize, vocab: usize) -> Result<Self, Error> {
        positive("dim", dim)?;
        positive("vocab", vocab)?;
        whole("observed", observed.len(), dim)?;
        whole("updated", updated.len(), dim)?;
        Ok(Features { observed, updated, dim, vocab })
    }

    /// ⟨φ_m, φ_l⟩; 0 for a position that there is not.
    pub fn factor(&self, m: usize, l: usize) -> T {
        dot(row(self.observed, m, self.dim), row(self.updated, l, self.dim))
    }

    /// ‖K_{m,l}‖_F = |⟨φ_m, φ_l⟩|·√V.
    pub fn frobenius(&self, m: usize, l: usize) -> T {
        ScaledIdentity { factor: self.factor(m, l), vocab: self.vocab }.frobenius()
    }
}

impl<T: Real> Kernel<T> for Features<'_, T> {
    fn shape(&self) -> Shape {
        let rows = |s: &[T]| s.len() / self.dim;
        Shape { observed: rows(self.observed), updated: rows(self.updated), vocab: self.vocab }
    }

    fn add_product(&self, m: usize, l: usize, scale: T, residual: &[T], out: &mut [T]) {
        add_scaled(scale * self.factor(m, l), residual, out);
    }
}

/// K_{m,l} = J_m·J_lᵀ from the Jacobians of two contexts, without forming it.
#[derive(Clone, Copy, Debug)]
pub struct Jacobians<'a, T> {
    observed: &'a [T],
    updated: &'a [T],
    parameters: usize,
    vocab: usize,
}

impl<'a, T: Real> Jacobians<'a, T> {
    /// ∂z/∂θ of χ_o and χ_u: V rows of `parameters` = d numbers for each position, position after position.
    ///
    /// # Shapes
    ///
    /// `observed`: M·V·d; `updated`: L·V·d.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless `parameters` and `vocab` are positive; [`Error::Length`] if a slice does not hold
    /// whole positions.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::ntk::{Jacobians, Kernel};
    /// let j = [1.0_f64, 0.0, 2.0, 1.0]; // V = 2, d = 2: K = [[1, 2], [2, 5]]
    /// let k = Jacobians::new(&j, &j, 2, 2)?;
    /// let mut out = [0.0; 2];
    /// k.add_product(0, 0, 1.0, &[1.0, 0.0], &mut out);
    /// assert_eq!((out, k.frobenius(0, 0)), ([1.0, 2.0], 34.0_f64.sqrt()));
    /// assert!(Jacobians::new(&j[..3], &j, 2, 2).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(observed: &'a [T], updated: &'a [T], parameters: usize, vocab: usize) -> Result<Self, Error> {
        positive("parameters", parameters)?;
        positive("vocab", vocab)?;
        let size = vocab.saturating_mul(parameters);
        whole("observed", observed.len(), size)?;
        whole("updated", updated.len(), size)?;
        Ok(Jacobians { observed, updated, parameters, vocab })
    }

    fn blocks(&self, m: usize, l: usize) -> (&'a [T], &'a [T]) {
        let size = self.vocab * self.parameters;
        (row(self.observed, m, size), row(self.updated, l, size))
    }

    /// ‖K_{m,l}‖_F, from the V² inner products of rows; 0 for a position that there is not.
    pub fn frobenius(&self, m: usize, l: usize) -> T {
        let (observed, updated) = self.blocks(m, l);
        let squares = observed.chunks_exact(self.parameters).flat_map(|a| {
            updated.chunks_exact(self.parameters).map(move |b| {
                let k = dot(a, b).to_f64();
                k * k
            })
        });
        T::from_f64(squares.sum::<f64>()).sqrt()
    }

    /// K_{m,l}, row-major.
    ///
    /// # Shapes
    ///
    /// `out`: V·V.
    ///
    /// # Errors
    ///
    /// [`Error::Length`]; [`Error::Range`] for a position that there is not.
    pub fn dense_into(&self, m: usize, l: usize, out: &mut [T]) -> Result<(), Error> {
        let shape = self.shape();
        position("m", m, shape.observed)?;
        position("l", l, shape.updated)?;
        length("out", out.len(), self.vocab * self.vocab)?;
        let (observed, updated) = self.blocks(m, l);
        for (a, out) in observed.chunks_exact(self.parameters).zip(out.chunks_exact_mut(self.vocab)) {
            for (b, o) in updated.chunks_exact(self.parameters).zip(out) {
                *o = dot(a, b);
            }
        }
        Ok(())
    }
}

impl<T: Real> Kernel<T> for Jacobians<'_, T> {
    fn shape(&self) -> Shape {
        let positions = |s: &[T]| s.len() / (self.vocab * self.parameters);
        Shape { observed: positions(self.observed), updated: positions(self.updated), vocab: self.vocab }
    }

    /// One parameter after another: its gradient (J_lᵀg)_k, then what that moves. No memory is needed.
    fn add_product(&self, m: usize, l: usize, scale: T, residual: &[T], out: &mut [T]) {
        let (observed, updated) = self.blocks(m, l);
        for k in 0..self.parameters {
            let gradient =
                updated.chunks_exact(self.parameters).zip(residual).map(|(j, g)| j[k].to_f64() * g.to_f64());
            let change = scale * T::from_f64(gradient.sum::<f64>());
            for (j, o) in observed.chunks_exact(self.parameters).zip(out.iter_mut()) {
                *o += change * j[k];
            }
        }
    }
}

/// K as M·L matrices of V×V.
#[derive(Clone, Copy, Debug)]
pub struct Dense<'a, T> {
    blocks: &'a [T],
    shape: Shape,
}

impl<'a, T: Real> Dense<'a, T> {
    /// The blocks K_{m,l}, row-major, l running faster than m.
    ///
    /// # Shapes
    ///
    /// `blocks`: M·L·V·V.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] for V = 0; [`Error::Length`].
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::ntk::{Dense, Kernel, Shape};
    /// let shape = Shape { observed: 1, updated: 1, vocab: 2 };
    /// let k = Dense::new(&[1.0_f32, 2.0, 3.0, 4.0], shape)?;
    /// let mut out = [0.0; 2];
    /// k.add_product(0, 0, 1.0, &[1.0, 1.0], &mut out);
    /// assert_eq!(out, [3.0, 7.0]);
    /// assert!(Dense::new(&[1.0_f32; 3], shape).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(blocks: &'a [T], shape: Shape) -> Result<Self, Error> {
        positive("vocab", shape.vocab)?;
        let sizes = [shape.observed, shape.updated, shape.vocab, shape.vocab];
        length("blocks", blocks.len(), sizes.into_iter().fold(1, usize::saturating_mul))?;
        Ok(Dense { blocks, shape })
    }

    fn block(&self, m: usize, l: usize) -> &'a [T] {
        row(self.blocks, m * self.shape.updated + l, self.shape.vocab * self.shape.vocab)
    }

    /// ‖K_{m,l}‖_F; 0 for a position that there is not.
    pub fn frobenius(&self, m: usize, l: usize) -> T {
        T::from_f64(self.block(m, l).iter().map(|k| k.to_f64() * k.to_f64()).sum::<f64>()).sqrt()
    }
}

impl<T: Real> Kernel<T> for Dense<'_, T> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn add_product(&self, m: usize, l: usize, scale: T, residual: &[T], out: &mut [T]) {
        for (row, o) in self.block(m, l).chunks_exact(self.shape.vocab).zip(out) {
            *o += scale * dot(row, residual);
        }
    }
}

/// ‖K_{m,l}‖_F of any kernel from its V products with unit vectors.
///
/// # Shapes
///
/// `unit`, `column`: V; what they hold does not matter.
///
/// # Errors
///
/// [`Error::Length`]; [`Error::Range`] for a position that there is not.
pub fn frobenius<T: Real>(
    kernel: &impl Kernel<T>,
    (m, l): (usize, usize),
    unit: &mut [T],
    column: &mut [T],
) -> Result<T, Error> {
    let shape = kernel.shape();
    position("m", m, shape.observed)?;
    position("l", l, shape.updated)?;
    length("unit", unit.len(), shape.vocab)?;
    length("column", column.len(), shape.vocab)?;
    unit.fill(T::ZERO);
    let mut squares = 0.0;
    for i in 0..shape.vocab {
        unit[i] = T::ONE;
        column.fill(T::ZERO);
        kernel.add_product(m, l, T::ONE, unit, column);
        squares += column.iter().map(|k| k.to_f64() * k.to_f64()).sum::<f64>();
        unit[i] = T::ZERO;
    }
    Ok(T::from_f64(squares).sqrt())
}

fn add_scaled<T: Real>(factor: T, residual: &[T], out: &mut [T]) {
    for (o, &g) in out.iter_mut().zip(residual) {
        *o += factor * g;
    }
}

fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    T::from_f64(a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum())
}

/// The `at`-th row of `size` elements; empty if there is none.
fn row<T>(rows: &[T], at: usize, size: usize) -> &[T] {
    rows.chunks_exact(size).nth(at).unwrap_or_default()
}

fn positive(name: &'static str, found: usize) -> Result<(), Error> {
    if found > 0 { Ok(()) } else { Err(Error::Range { name, found: 0.0, expected: "> 0" }) }
}

fn whole(name: &'static str, found: usize, size: usize) -> Result<(), Error> {
    let rows = found.div_ceil(size).max(1);
    length(name, found, rows * size)
}

fn length(name: &'static str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Length { name, found, expected }) }
}

fn position(name: &'static str, found: usize, positions: usize) -> Result<(), Error> {
    if found < positions {
        Ok(())
    } else {
        Err(Error::Range { name, found: found as f64, expected: "a position below the kernel's" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_that_are_not_there_and_ragged_slices_are_refused() {
        let k = ScaledIdentity { factor: 2.0_f64, vocab: 2 };
        let (mut unit, mut column) = ([9.0; 2], [9.0; 2]);
        assert_eq!(frobenius(&k, (0, 0), &mut unit, &mut column), Ok(k.frobenius()));
        assert!(matches!(frobenius(&k, (1, 0), &mut unit, &mut column), Err(Error::Range { name: "m", .. })));
        assert!(matches!(frobenius(&k, (0, 1), &mut unit, &mut column), Err(Error::Range { name: "l", .. })));
        assert!(frobenius(&k, (0, 0), &mut unit[..1], &mut column).is_err());
        assert!(Features::<f64>::new(&[], &[1.0], 1, 2).is_err());
        assert!(Features::new(&[1.0], &[1.0], 0, 2).is_err());
        assert_eq!(Features::new(&[1.0], &[1.0], 1, 2).unwrap().factor(5, 0), 0.0);
    }
}
