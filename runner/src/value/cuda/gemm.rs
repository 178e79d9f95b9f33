//! What cuBLAS is told of a matrix product. It reads matrices column after column, so a product of matrices that lie
//! row after row is told as that of the transposed ones in the other order: cᵀ = bᵀ·aᵀ.

use candle_core::{Result, bail};

/// The arguments of a product c = a·b `[m, k]·[k, n]`, c row after row, in cuBLAS's order: its first matrix is b.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gemm {
    /// Whether b and a are to be transposed.
    pub transposed: [bool; 2],
    /// Columns of c, rows of c, and terms of each sum.
    pub sizes: [i32; 3],
    /// How far columns of b, of a and of c lie apart.
    pub apart: [i32; 3],
}

impl Gemm {
    /// Of matrices whose element (i, j) lies at `i·strides[0] + j·strides[1]`.
    ///
    /// # Errors
    /// A matrix that lies neither row after row nor column after column, or is too large for cuBLAS.
    pub(super) fn new([m, n, k]: [usize; 3], a: [usize; 2], b: [usize; 2]) -> Result<Self> {
        let small = |x: usize| match i32::try_from(x) {
            Ok(x) => Ok(x),
            Err(_) => bail!("a product of {m} × {k} and {k} × {n} elements is too large for cuBLAS"),
        };
        let place = |[rows, columns]: [usize; 2], [row, column]: [usize; 2]| match (row, column) {
            // The stride of a dimension of one element says nothing.
            (row, 1) if row == columns || rows == 1 => Ok((false, small(columns)?)),
            (1, column) if column == rows || columns == 1 => Ok((true, small(rows)?)),
            _ => bail!(
                "a product's matrix of {rows} × {columns} elements that lie {row} and {column} apart: make it contiguous"
            ),
        };
        let ((b_transposed, b_apart), (a_transposed, a_apart)) = (place([k, n], b)?, place([m, k], a)?);
        Ok(Self {
            transposed: [b_transposed, a_transposed],
            sizes: [small(n)?, small(m)?, small(k)?],
            apart: [b_apart, a_apart, small(n)?],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cuBLAS promises for these arguments, on matrices that lie column after column.
    fn blas(call: Gemm, first: &[f64], second: &[f64]) -> Vec<f64> {
        let [[rows, columns, k], [first_apart, second_apart, out_apart]] =
            [call.sizes, call.apart].map(|all| all.map(|x| x as usize));
        let at = |data: &[f64], transposed: bool, apart: usize, i: usize, j: usize| {
            if transposed { data[j + i * apart] } else { data[i + j * apart] }
        };
        let mut out = vec![f64::NAN; out_apart * columns];
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            let term = |p| {
                at(first, call.transposed[0], first_apart, i, p)
                    * at(second, call.transposed[1], second_apart, p, j)
            };
            out[i + j * out_apart] = (0..k).map(term).sum();
        }
        out
    }

    #[test]
    fn every_layout_gives_the_sum_of_products_row_after_row() {
        for [m, n, k] in [[3, 5, 2], [1, 4, 3], [4, 1, 3], [3, 4, 1], [1, 1, 6], [2, 2, 2]] {
            let draw =
                |n: usize, step: f64| -> Vec<f64> { (0..n).map(|i| (i as f64 * step).sin()).collect() };
            let (a, b) = (draw(m * k, 0.7), draw(k * n, 1.3));
            for a_strides in [[k, 1], [1, m]] {
                for b_strides in [[n, 1], [1, k]] {
                    let call = Gemm::new([m, n, k], a_strides, b_strides).unwrap();
                    let mut expected = Vec::new();
                    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                        let term = |p: usize| {
                            a[i * a_strides[0] + p * a_strides[1]] * b[p * b_strides[0] + j * b_strides[1]]
                        };
                        expected.push((0..k).map(term).sum::<f64>());
                    }
                    assert_eq!(blas(call, &b, &a), expected, "{m} × {n} × {k}, {a_strides:?}, {b_strides:?}");
                }
            }
        }
    }

    #[test]
    fn matrices_with_gaps_and_beyond_cublas_are_refused() {
        let refused = |sizes, a, b| format!("{}", Gemm::new(sizes, a, b).unwrap_err());
        assert!(refused([3, 5, 4], [8, 1], [5, 1]).contains("3 × 4 elements that lie 8 and 1 apart"));
        assert!(refused([3, 5, 4], [4, 1], [2, 3]).contains("4 × 5 elements that lie 2 and 3 apart"));
        let large = 1 << 31;
        assert!(refused([large, 5, 4], [4, 1], [5, 1]).contains("too large for cuBLAS"));
    }
}
