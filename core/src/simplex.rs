//! Probability vectors: a checked view, and what it can say about itself.

use crate::sweep::{self, dot, sum_of, wide};
use crate::{Error, Real};

/// A slice that was checked to be a probability vector π.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution<'a, T> {
    probabilities: &'a [T],
}

impl<'a, T: Real> Distribution<'a, T> {
    /// Checks that `probabilities` are at least 0 and sum to 1 within 1024 ε.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`]; [`Error::Range`] for a negative entry, NaN or another sum.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::simplex::Distribution;
    /// let pi = Distribution::new(&[0.5_f64, 0.25, 0.25])?;
    /// assert_eq!((pi.argmax(), pi.sum_sq()), (0, 0.375));
    /// assert!(Distribution::new(&[0.5_f64, 0.4]).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(probabilities: &'a [T]) -> Result<Self, Error> {
        if probabilities.is_empty() {
            return Err(Error::Empty { name: "probabilities" });
        }
        let fine = |p: &T| *p >= T::ZERO;
        let (all_fine, sum) = wide(
            #[inline(always)]
            || (probabilities.iter().fold(true, |all, p| all & fine(p)), sum_of(probabilities)),
        );
        if let Some(p) = probabilities.iter().find(|p| !all_fine && !fine(p)) {
            let found = p.to_f64();
            return Err(Error::Range { name: "a probability", found, expected: "a number >= 0" });
        }
        if (sum - 1.0).abs() <= 1024.0 * T::EPSILON.to_f64() {
            Ok(Distribution { probabilities })
        } else {
            Err(Error::Range { name: "the sum of the probabilities", found: sum, expected: "1" })
        }
    }

    /// The probabilities.
    pub fn as_slice(&self) -> &'a [T] {
        self.probabilities
    }

    /// The vocabulary size V.
    pub fn vocab(&self) -> usize {
        self.probabilities.len()
    }

    /// The most likely label; among equals the first.
    pub fn argmax(&self) -> usize {
        first_largest(self.probabilities.iter().copied().enumerate()).map_or(0, |(label, _)| label)
    }

    /// y*: the most likely label other than `label` (among equals the first); `None` if V = 1.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if `label` ≥ V.
    pub fn runner_up(&self, label: usize) -> Result<Option<usize>, Error> {
        self.check(label)?;
        let others = self.probabilities.iter().copied().enumerate().filter(|&(i, _)| i != label);
        Ok(first_largest(others).map(|(i, _)| i))
    }

    /// ‖π‖², added up in `f64`; between 1/V and 1.
    ///
    /// # Accuracy
    ///
    /// Relative error 6ε of the type; guaranteed 40ε in `f64`, whatever V.
    pub fn sum_sq(&self) -> T {
        T::from_f64(self.mean(self.probabilities))
    }

    /// −Σ π log π in nats, with 0 log 0 = 0; between 0 and log V.
    ///
    /// # Accuracy
    ///
    /// As [`sum_sq`](Self::sum_sq): no term is negative.
    pub fn entropy(&self) -> T {
        T::from_f64(-self.expectation(|_, p| if p > 0.0 { p.ln() } else { 0.0 }))
    }

    /// ⟨π, v⟩, added up in `f64`; `v` is as long as π.
    pub(crate) fn mean(&self, v: &[T]) -> f64 {
        wide(
            #[inline(always)]
            || dot(self.probabilities, v),
        )
    }

    /// E_π f(i, π_i), added up in `f64`.
    #[inline(always)]
    pub(crate) fn expectation(&self, f: impl Fn(usize, f64) -> f64) -> f64 {
        sweep::expectation(self.probabilities, f)
    }

    /// A vector that is a softmax, or the like, by how it was made.
    pub(crate) fn trusted(probabilities: &'a [T]) -> Self {
        Distribution { probabilities }
    }

    pub(crate) fn same_length(&self, name: &'static str, found: usize) -> Result<(), Error> {
        let expected = self.vocab();
        if found == expected { Ok(()) } else { Err(Error::Length { name, found, expected }) }
    }

    pub(crate) fn check(&self, label: usize) -> Result<(), Error> {
        if label < self.vocab() { Ok(()) } else { Err(Error::Label { found: label, vocab: self.vocab() }) }
    }
}

fn first_largest<T: Real>(labels: impl Iterator<Item = (usize, T)>) -> Option<(usize, T)> {
    labels.fold(None, |best, (i, p)| match best {
        Some((_, b)) if p <= b => best,
        _ => Some((i, p)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first_and_the_label_is_left_out() {
        let pi = Distribution::new(&[0.2_f64, 0.4, 0.4]).unwrap();
        assert_eq!(pi.argmax(), 1);
        assert_eq!(pi.runner_up(1), Ok(Some(2)));
        assert_eq!(pi.runner_up(0), Ok(Some(1)));
        assert_eq!(pi.runner_up(3), Err(Error::Label { found: 3, vocab: 3 }));
        assert_eq!(Distribution::new(&[1.0_f32]).unwrap().runner_up(0), Ok(None));
    }

    #[test]
    fn entropy_counts_absent_labels_as_nothing() {
        let pi = Distribution::new(&[0.0_f64, 1.0]).unwrap();
        assert_eq!((pi.entropy(), pi.sum_sq()), (0.0, 1.0));
        let flat = [0.25_f64; 4];
        assert!((Distribution::new(&flat).unwrap().entropy() - 4.0_f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn vectors_off_the_simplex_are_refused() {
        for bad in [[1.5_f64, -0.5], [f64::NAN, 1.0], [0.5, 0.5 + 1e-9], [f64::INFINITY, 0.0]] {
            assert!(matches!(Distribution::new(&bad), Err(Error::Range { .. })), "{bad:?}");
        }
        assert_eq!(Distribution::<f32>::new(&[]), Err(Error::Empty { name: "probabilities" }));
    }
}
