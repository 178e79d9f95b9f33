//! The one large matrix product of the fused operations: the `gemm` crate's on pieces of the result, which threads
//! share. Nothing but the wrapper of one piece touches raw pointers.
//!
//! A row of a product must not depend, bit for bit, on the rows beside it: cached reference log-probabilities are
//! compared with those of the policy. Each element is a sum over k in an order that k alone decides, but `gemm` has
//! other orders for products of one row, of few elements (256) and of small matrices (64 × 64). [`least_rows`] and
//! the size of the pieces keep away from these, so that neither rows nor threads decide a bit.

use super::cpu::Elem;
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::ops::Range;

/// A matrix inside a slice: element (i, j) lies at `i·row + j·col`.
#[derive(Clone, Copy)]
pub(super) struct Mat<'a, T> {
    pub data: &'a [T],
    pub row: usize,
    pub col: usize,
}

impl<'a, T> Mat<'a, T> {
    /// Row after row of `columns` elements.
    pub(super) fn rows(data: &'a [T], columns: usize) -> Self {
        Self { data, row: columns, col: 1 }
    }

    /// Rows and columns exchanged.
    pub(super) fn t(self) -> Self {
        Self { data: self.data, row: self.col, col: self.row }
    }

    /// The rows from `row` and columns from `column` on.
    fn from(self, row: usize, column: usize) -> Self {
        Self { data: &self.data[row * self.row + column * self.col..], ..self }
    }

    fn holds(self, rows: usize, columns: usize) -> bool {
        rows * columns == 0 || (rows - 1) * self.row + (columns - 1) * self.col < self.data.len()
    }
}

/// Rows of a piece, at the least, if the product is cut across its rows.
const LEAST: usize = 128;

/// Columns are cut at multiples of this: as many as the innermost loop of `gemm` takes with registers of 64 bytes.
const COLUMNS: usize = 64;

/// Rows in whose product with a piece of b goes about as much time as into copying that piece together: measured as 12
/// to 83, the more so where b is given transposed.
const COPY: usize = 80;

/// The least number of rows of a product with `columns` columns for which `gemm` sums in the
/// order of large products.
pub(super) fn least_rows(columns: usize) -> usize {
    match columns {
        0..4 => 257,
        4..=64 => 65,
        _ => 4,
    }
}

/// c = a·b, or c += a·b with `add`, by all threads: `[m, k]·[k, n]`; c row after row.
///
/// # Errors
/// Slices that are too short for the sizes.
pub(super) fn product<T: Elem>(
    c: &mut [T],
    [m, n, k]: [usize; 3],
    a: Mat<T>,
    b: Mat<T>,
    add: bool,
) -> Result<()> {
    check(c.len(), [m, n, k], a, b)?;
    // SAFETY: c is m × n, which was checked.
    #[allow(unsafe_code)]
    unsafe {
        all_pieces(Pointer(c.as_mut_ptr()), [m, n, k], a, b, add);
    }
    Ok(())
}

/// c = a·b by all threads in the place of whatever `c` holds; what it has to grow by is not filled with zeros before.
///
/// # Errors
/// As [`product`].
pub(super) fn product_anew<T: Elem>(
    c: &mut Vec<T>,
    [m, n, k]: [usize; 3],
    a: Mat<T>,
    b: Mat<T>,
) -> Result<()> {
    c.clear();
    if k == 0 {
        c.resize(m * n, T::ZERO);
        return Ok(());
    }
    check(m * n, [m, n, k], a, b)?;
    c.reserve_exact(m * n);
    // SAFETY: there is room for m × n numbers. The pieces cover them, and a sum of k > 0 products that is not added to
    // what is there writes every one and reads none.
    #[allow(unsafe_code)]
    unsafe {
        all_pieces(Pointer(c.as_mut_ptr()), [m, n, k], a, b, false);
        c.set_len(m * n);
    }
    Ok(())
}

/// # Safety
/// `c` points to memory for m × n numbers that nobody else reads or writes meanwhile.
#[allow(unsafe_code)]
unsafe fn all_pieces<T: Elem>(c: Pointer<T>, [m, n, k]: [usize; 3], a: Mat<T>, b: Mat<T>, add: bool) {
    let (by_rows, by_columns) = cut(m, n, rayon::current_num_threads());
    (0..by_rows * by_columns).into_par_iter().for_each(|piece| {
        let rows = share(m, 1, by_rows, piece / by_columns);
        let columns = share(n, COLUMNS, by_columns, piece % by_columns);
        let (a, b) = (a.from(rows.start, 0), b.from(0, columns.start));
        // SAFETY: c is m × n; the shares of its rows and columns do not overlap.
        unsafe {
            one_piece(c, n, [rows, columns], k, [a, b], add);
        }
    });
}

/// [`product`] by this thread alone.
///
/// # Errors
/// As [`product`].
pub(super) fn serial<T: Elem>(
    c: &mut [T],
    [m, n, k]: [usize; 3],
    a: Mat<T>,
    b: Mat<T>,
    add: bool,
) -> Result<()> {
    check(c.len(), [m, n, k], a, b)?;
    // SAFETY: c is m × n, which was checked, and this is the only piece of it.
    #[allow(unsafe_code)]
    unsafe {
        one_piece(Pointer(c.as_mut_ptr()), n, [0..m, 0..n], k, [a, b], add);
    }
    Ok(())
}

fn check<T>(c: usize, [m, n, k]: [usize; 3], a: Mat<T>, b: Mat<T>) -> Result<()> {
    if c != m * n || !a.holds(m, k) || !b.holds(k, n) {
        bail!("a product of {m} × {k} and {k} × {n} elements in slices that are too short")
    }
    Ok(())
}

/// Into how many pieces across its rows and its columns a product is cut, so that the threads end together: no fewer
/// than there are threads if it is large enough, and several each where that costs nothing, for a thread may be held up.
fn cut(m: usize, n: usize, threads: usize) -> (usize, usize) {
    // A piece that is small both ways would be summed in another order.
    let least_columns = if m < least_rows(COLUMNS) { 2 * COLUMNS } else { COLUMNS };
    let most =
        |extent: usize, least: usize| if threads == 1 { 1 } else { (extent / least).clamp(1, 4 * threads) };
    let (most_rows, most_columns) = (most(m, LEAST), most(n, least_columns));
    let cuts = (1..=most_rows).flat_map(|r| (1..=most_columns).rev().map(move |c| (r, c)));
    let time = |&(r, c): &(usize, usize)| {
        (r * c).div_ceil(threads) * (m.div_ceil(r) + COPY) * n.div_ceil(COLUMNS).div_ceil(c)
    };
    cuts.min_by_key(time).expect("one piece at the least")
}

/// The `i`-th of `parts` even parts of `0..n`, which begin at multiples of `unit`.
fn share(n: usize, unit: usize, parts: usize, i: usize) -> Range<usize> {
    let at = |i: usize| (n.div_ceil(unit) * i / parts * unit).min(n);
    at(i)..at(i + 1)
}

/// Where a product is written; its pieces do not overlap.
#[derive(Clone, Copy)]
struct Pointer<T>(*mut T);

#[allow(unsafe_code)]
// SAFETY: only `one_piece` reads the pointer, in pieces that do not overlap.
unsafe impl<T: Send> Send for Pointer<T> {}
#[allow(unsafe_code)]
// SAFETY: as above.
unsafe impl<T: Send> Sync for Pointer<T> {}

/// The `rows` and `columns` of c, whose rows lie `c_row` apart, from the same rows of a and columns of b.
///
/// # Safety
/// These rows and columns of c are memory that nobody else reads or writes meanwhile.
#[allow(unsafe_code)]
unsafe fn one_piece<T: Elem>(
    c: Pointer<T>,
    c_row: usize,
    [rows, columns]: [Range<usize>; 2],
    k: usize,
    [a, b]: [Mat<T>; 2],
    add: bool,
) {
    let (m, n) = (rows.len(), columns.len());
    assert!(a.holds(m, k) && b.holds(k, n), "a piece of a product outside its matrices");
    // SAFETY: `gemm` reads a[0..m, 0..k] and b[0..k, 0..n], which the line above has checked, and reads and writes c
    // in these rows and columns alone, which are the caller's.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.0.add(rows.start * c_row + columns.start),
            1,
            c_row as isize,
            add,
            a.data.as_ptr(),
            a.col as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.col as isize,
            b.row as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(n: usize, step: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * step).sin()).collect()
    }

    /// Whether a product can be waited for: under Miri a number takes a microsecond and more.
    fn in_time(size: &[usize; 3]) -> bool {
        !cfg!(miri) || size.iter().product::<usize>() < 500_000
    }

    fn plain(c: &mut [f64], [m, n, k]: [usize; 3], a: Mat<f64>, b: Mat<f64>) {
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let terms = (0..k).map(|p| a.data[i * a.row + p * a.col] * b.data[p * b.row + j * b.col]);
            c[i * n + j] += terms.sum::<f64>();
        }
    }

    #[test]
    fn every_form_equals_the_sum_of_products() {
        let sizes = [[1, 1, 1], [3, 5, 2], [300, 7, 30], [20, 700, 9], [290, 290, 11], [3, 4, 900]];
        for [m, n, k] in sizes.into_iter().filter(in_time) {
            let (a, b) = (draw(m * k, 0.7), draw(k * n, 1.3));
            for (a_t, b_t, add) in [(false, false, false), (true, false, true), (false, true, true)] {
                let a = if a_t { Mat::rows(&a, m).t() } else { Mat::rows(&a, k) };
                let b = if b_t { Mat::rows(&b, k).t() } else { Mat::rows(&b, n) };
                let mut found = draw(m * n, 0.1);
                let mut expected = if add { found.clone() } else { vec![0.0; m * n] };
                product(&mut found, [m, n, k], a, b, add).unwrap();
                plain(&mut expected, [m, n, k], a, b);
                if !add {
                    let mut anew = vec![f64::NAN; 5];
                    product_anew(&mut anew, [m, n, k], a, b).unwrap();
                    assert!(anew == found, "{m} × {n} × {k}");
                }
                for (x, y) in found.iter().zip(&expected) {
                    assert!((x - y).abs() < 1e-11 * k as f64, "{m} × {n} × {k}: {x} for {y}");
                }
            }
        }
    }

    #[test]
    fn slices_that_are_too_short_are_refused() {
        let (a, b) = (draw(6, 0.7), draw(6, 1.3));
        let mut c = vec![0.0; 4];
        let mut try_with = |a: &[f64], b: &[f64]| {
            product(&mut c, [2, 2, 3], Mat::rows(a, 3), Mat::rows(b, 2), false).is_ok()
        };
        assert!(try_with(&a, &b));
        assert!(!try_with(&a[..5], &b) && !try_with(&a, &b[..5]));
        assert!(product(&mut c[..3], [2, 2, 3], Mat::rows(&a, 3), Mat::rows(&b, 2), false).is_err());
        assert!(product_anew(&mut c, [2, 2, 3], Mat::rows(&a, 3), Mat::rows(&b[..5], 2)).is_err());
        assert!(product_anew(&mut c, [2, 2, 0], Mat::rows(&a, 0), Mat::rows(&b, 2)).is_ok() && c == [0.0; 4]);
    }

    #[test]
    fn threads_end_together_and_no_piece_is_small_both_ways() {
        for (m, n) in
            [(670, 128), (670, 384), (300, 70), (64, 200), (4, 50_304), (2048, 512), (1, 1), (90, 0)]
        {
            for threads in [1, 2, 3, 16] {
                let (r, c) = cut(m, n, threads);
                assert!((1..=4 * threads).contains(&r) && (1..=4 * threads).contains(&c));
                let rows: Vec<_> = (0..r).map(|i| share(m, 1, r, i)).collect();
                let columns: Vec<_> = (0..c).map(|i| share(n, COLUMNS, c, i)).collect();
                for (cuts, n) in [(&rows, m), (&columns, n)] {
                    assert!(cuts[0].start == 0 && cuts.windows(2).all(|w| w[0].end == w[1].start));
                    assert_eq!(cuts.last().unwrap().end, n);
                }
                let small = |rows: &Range<usize>, columns: &Range<usize>| {
                    rows.len() < least_rows(columns.len()) && (rows.len() < m || columns.len() < n)
                };
                assert!(!rows.iter().any(|r| columns.iter().any(|c| small(r, c))), "{m} × {n}, {threads}");
            }
        }
        // Three pieces of 128 columns for two threads took a third longer than six of 64.
        assert_eq!([cut(670, 128, 2), cut(670, 384, 2), cut(670, 64, 2)], [(1, 2), (1, 6), (2, 1)]);
    }

    #[test]
    fn no_bit_depends_on_the_number_of_threads_or_rows() {
        let sizes =
            [[700, 70, 600], [70, 3000, 130], [9, 11, 2000], [300, 128, 50], [60, 200, 40], [260, 400, 600]];
        let sizes = sizes.into_iter().filter(in_time);
        for ([m, n, k], turned) in sizes.flat_map(|size| [(size, false), (size, true)]) {
            let a: Vec<f32> = draw(m * k, 0.7).iter().map(|x| *x as f32).collect();
            let b: Vec<f32> = draw(k * n, 1.3).iter().map(|x| *x as f32).collect();
            let with = |threads: usize, rows: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (a, mut c) = (Mat::rows(&a[..rows * k], k), vec![0.0; rows * n]);
                let b = if turned { Mat::rows(&b, k).t() } else { Mat::rows(&b, n) };
                pool.install(|| product(&mut c, [rows, n, k], a, b, false).unwrap());
                c
            };
            let one = with(1, m);
            assert!(one == with(3, m), "{m} × {n} × {k}, turned: {turned}");
            let fewer = m.min(least_rows(n).max(m / 2));
            assert!(one[..fewer * n] == with(2, fewer), "{m} × {n} × {k}, {fewer} rows, turned: {turned}");
        }
    }
}
