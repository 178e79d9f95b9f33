//! A small matrix product whose elements are summed in one order, whatever their place.

use crate::value::cpu::{Elem, simd};

/// A matrix inside a slice: element (i, j) lies at `i·row + j·col`.
#[derive(Clone, Copy)]
pub(super) struct Mat<'a, T> {
    pub data: &'a [T],
    pub row: usize,
    pub col: usize,
}

/// c = a·b, or c += a·b with `add`: `[m, k]·[k, n]`. Rows of b (`b.col` = 1) and c lie close.
///
/// Every element starts from 0 (or c) and adds its k products in order, so that further
/// columns, rows or zeros at the end of k change no bit of it.
pub(super) fn product<T: Elem>(c: &mut [T], c_row: usize, size: [usize; 3], a: Mat<T>, b: Mat<T>, add: bool) {
    simd(
        #[inline(always)]
        || {
            let mut j = 0;
            band::<T, 16>(c, c_row, size, &mut j, a, b, add);
            band::<T, 8>(c, c_row, size, &mut j, a, b, add);
            band::<T, 1>(c, c_row, size, &mut j, a, b, add);
        },
    );
}

/// As many bands of `W` columns from column `j` on as there are.
#[inline(always)]
fn band<T: Elem, const W: usize>(
    c: &mut [T],
    c_row: usize,
    [m, n, k]: [usize; 3],
    j: &mut usize,
    a: Mat<T>,
    b: Mat<T>,
    add: bool,
) {
    while *j + W <= n {
        let mut i = 0;
        while i + 4 <= m {
            tile::<T, 4, W>(c, c_row, [i, *j, k], a, b, add);
            i += 4;
        }
        while i < m {
            tile::<T, 1, W>(c, c_row, [i, *j, k], a, b, add);
            i += 1;
        }
        *j += W;
    }
}

#[inline(always)]
fn tile<T: Elem, const R: usize, const W: usize>(
    c: &mut [T],
    c_row: usize,
    [i, j, k]: [usize; 3],
    a: Mat<T>,
    b: Mat<T>,
    add: bool,
) {
    let mut sums = [[T::ZERO; W]; R];
    if add {
        for (r, sums) in sums.iter_mut().enumerate() {
            sums.copy_from_slice(&c[(i + r) * c_row + j..][..W]);
        }
    }
    for p in 0..k {
        let b = &b.data[p * b.row + j..][..W];
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = a.data[(i + r) * a.row + p * a.col];
            for l in 0..W {
                sums[l] += x * b[l];
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        c[(i + r) * c_row + j..][..W].copy_from_slice(sums);
    }
}

/// The transpose of `[rows, cols]`.
pub(super) fn transposed<T: Elem>(x: &[T], rows: usize, cols: usize) -> Vec<T> {
    let mut out = vec![T::ZERO; x.len()];
    for (i, row) in x.chunks_exact(cols).enumerate() {
        for (j, x) in row.iter().enumerate() {
            out[j * rows + i] = *x;
        }
    }
    out
}
