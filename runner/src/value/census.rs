//! How many numbers of a tensor are NaN or infinite: for the words of an error, when something has gone wrong.

use candle_core::{DType, Result, Tensor};

/// Numbers that are copied at a time.
const BLOCK: usize = 1 << 20;

/// The numbers of a tensor by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Census {
    pub nan: usize,
    pub infinite: usize,
    pub all: usize,
    /// The largest |x| among the finite ones.
    pub largest: f64,
}

impl Census {
    /// Counts.
    ///
    /// # Errors
    /// A failed operation.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let flat = tensor.flatten_all()?;
        let mut census = Self { all: flat.elem_count(), ..Self::default() };
        for from in (0..census.all).step_by(BLOCK) {
            let block = flat.narrow(0, from, BLOCK.min(census.all - from))?.to_dtype(DType::F64)?;
            for x in block.to_vec1::<f64>()? {
                match x {
                    x if x.is_nan() => census.nan += 1,
                    x if x.is_infinite() => census.infinite += 1,
                    x => census.largest = census.largest.max(x.abs()),
                }
            }
        }
        Ok(census)
    }

    /// Whether no number is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.nan + self.infinite == 0
    }
}

impl std::fmt::Display for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.nan, self.infinite) {
            (0, 0) => write!(f, "all {} finite, up to {:.1e}", self.all, self.largest),
            (nan, 0) => write!(f, "{nan} of {} NaN", self.all),
            (0, infinite) => write!(f, "{infinite} of {} infinite", self.all),
            (nan, infinite) => write!(f, "{nan} NaN and {infinite} infinite of {}", self.all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn every_number_is_counted_once() {
        let words = |values: &[f32]| {
            let tensor = Tensor::new(values, &Device::Cpu).unwrap();
            Census::of(&tensor).unwrap().to_string()
        };
        assert_eq!(words(&[1.0, -3e20, 0.0]), "all 3 finite, up to 3.0e20");
        assert_eq!(words(&[f32::NAN, 1.0]), "1 of 2 NaN");
        assert_eq!(words(&[f32::NEG_INFINITY, f32::INFINITY, 2.0]), "2 of 3 infinite");
        assert_eq!(words(&[f32::NAN, f32::INFINITY, 2.0, f32::NAN]), "2 NaN and 1 infinite of 4");
    }
}
