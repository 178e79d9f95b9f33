//! A small matrix product whose elements are summed in one order, whatever their place.

use crate::value::cpu::{Elem, Machine, simd_on};
use crate::value::product::Mat;

/// c = a·b, or c += a·b with `add`: `[m, k]·[k, n]`. Rows of b (`b.col` = 1) and c lie close.
///
/// Every element starts from 0 (or c) and adds its k products in order, so that further
/// columns, rows or zeros at the end of k change no bit of it.
pub(super) fn product<T: Elem>(c: &mut [T], c_row: usize, size: [usize; 3], a: Mat<T>, b: Mat<T>, add: bool) {
    simd_on(
        #[inline(always)]
        |machine| {
            // A single row, as in generation, is not filled up to four.
            if size[0] == 1 {
                strips::<T, 1>(c, c_row, size, [a, b], add, machine);
            } else {
                strips::<T, 4>(c, c_row, size, [a, b], add, machine);
            }
        },
    );
}

/// Goes through c in strips of `R` rows. A strip's part of a is copied together first, with zeros for rows that c
/// does not have.
#[inline(always)]
fn strips<T: Elem, const R: usize>(
    c: &mut [T],
    c_row: usize,
    [m, n, k]: [usize; 3],
    [a, b]: [Mat<T>; 2],
    add: bool,
    machine: Machine,
) {
    let mut strip = vec![[T::ZERO; R]; k];
    let mut last = Vec::new();
    for i in (0..m).step_by(R) {
        let rows = R.min(m - i);
        for (p, column) in strip.iter_mut().enumerate() {
            for (r, x) in column.iter_mut().enumerate() {
                *x = if r < rows { a.data[(i + r) * a.row + p * a.col] } else { T::ZERO };
            }
        }
        let mut tile = Strip { c: &mut c[i * c_row..], c_row, rows, add, fused: machine.fused };
        let mut j = 0;
        if machine.register == 64 {
            tile.bands::<R, 32>(&strip, b, &mut j, n);
        }
        tile.bands::<R, 16>(&strip, b, &mut j, n);
        tile.bands::<R, LAST>(&strip, b, &mut j, n);
        if j < n {
            if last.is_empty() {
                last.resize(k * LAST, T::ZERO);
                for p in 0..k {
                    last[p * LAST..][..n - j].copy_from_slice(&b.data[p * b.row + j..][..n - j]);
                }
            }
            tile.sums::<R, LAST>(&strip, &last, LAST, j, n - j);
        }
    }
}

/// Columns of the last band, which is filled up with zeros.
const LAST: usize = 8;

/// At most `R` rows of c.
struct Strip<'a, T> {
    c: &'a mut [T],
    c_row: usize,
    rows: usize,
    add: bool,
    fused: bool,
}

impl<T: Elem> Strip<'_, T> {
    /// As many bands of `W` columns from column `j` on as there are.
    #[inline(always)]
    fn bands<const R: usize, const W: usize>(&mut self, a: &[[T; R]], b: Mat<T>, j: &mut usize, n: usize) {
        while *j + W <= n {
            self.sums::<R, W>(a, &b.data[*j..], b.row, *j, W);
            *j += W;
        }
    }

    /// The `columns` sums from column `j` on, with rows of b that begin `b_row` apart.
    #[inline(always)]
    fn sums<const R: usize, const W: usize>(
        &mut self,
        a: &[[T; R]],
        b: &[T],
        b_row: usize,
        j: usize,
        columns: usize,
    ) {
        let mut sums = [[T::ZERO; W]; R];
        if self.add {
            for (r, sums) in sums.iter_mut().enumerate().take(self.rows) {
                sums[..columns].copy_from_slice(&self.c[r * self.c_row + j..][..columns]);
            }
        }
        // Loops over indices: what is not inlined here is not compiled for the instruction set.
        let mut p = 0;
        while p < a.len() {
            let (a, b) = (&a[p], &b[p * b_row..][..W]);
            for r in 0..R {
                for l in 0..W {
                    sums[r][l] =
                        if self.fused { a[r].mul_add(b[l], sums[r][l]) } else { sums[r][l] + a[r] * b[l] };
                }
            }
            p += 1;
        }
        for (r, sums) in sums.iter().enumerate().take(self.rows) {
            self.c[r * self.c_row + j..][..columns].copy_from_slice(&sums[..columns]);
        }
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
