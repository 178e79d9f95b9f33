//! Sweeps over one row: the maximum, sums of exponentials below it, sums of products.
//!
//! Rows are read in blocks. Within a block several independent lanes run side by side, which
//! is what makes the loops vector code; block totals are added up in `f64` with compensation, so
//! that the error does not grow with the vocabulary.
//!
//! With the feature `std` a sweep is compiled once for the target's baseline and once for each
//! wider instruction set that `pulp` knows, and the machine chooses when it runs: callers put
//! the work of a whole row into one [`wide`]. The order of all additions is fixed by [`LANES`] and
//! [`BLOCK`], and no product is fused into a sum: every choice gives the same digits. Fused
//! multiply–add would be faster still, but not the same.

use crate::Real;

const LANES: usize = 16;
const BLOCK: usize = 512;

/// Runs `work` in the widest vector instructions of this machine. Only what is inlined into
/// `work` gains.
#[cfg(feature = "std")]
#[inline(always)]
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Work<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> R {
            simd.vectorize(self.0)
        }
    }
    pulp::Arch::new().dispatch(Work(work))
}

/// Runs `work`: without `std` there is no asking the machine what it has.
#[cfg(not(feature = "std"))]
#[inline(always)]
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// The largest element and the first place where it stands; NaN is passed over. `(0, −∞)` for
/// a row in which nothing exceeds −∞.
#[inline(always)]
pub(crate) fn maximum<T: Real>(row: &[T]) -> (usize, T) {
    let mut best = T::NEG_INFINITY;
    let mut at = 0;
    for (i, block) in row.chunks(BLOCK).enumerate() {
        let m = largest(block);
        if m > best {
            best = m;
            at = i;
        }
    }
    let start = at * BLOCK;
    let within = row.iter().skip(start).position(|&z| z == best).unwrap_or(0);
    (start + within, best)
}

/// The largest element, −∞ if nothing exceeds it; NaN is passed over.
#[inline(always)]
pub(crate) fn largest<T: Real>(row: &[T]) -> T {
    let mut lanes = [T::NEG_INFINITY; LANES];
    in_chunks(
        row,
        #[inline(always)]
        |chunk| {
            for (m, &z) in lanes.iter_mut().zip(chunk) {
                *m = if z > *m { z } else { *m };
            }
        },
    );
    halve(lanes, |a, b| if b > a { b } else { a })
}

/// Calls `f` with [`LANES`] elements after the other; −∞ fills the last chunk up.
#[inline(always)]
fn in_chunks<T: Real>(row: &[T], mut f: impl FnMut(&[T; LANES])) {
    let (chunks, rest) = row.as_chunks();
    for chunk in chunks {
        f(chunk);
    }
    if !rest.is_empty() {
        f(&filled_up(rest));
    }
}

#[inline(always)]
fn filled_up<T: Real>(rest: &[T]) -> [T; LANES] {
    let mut chunk = [T::NEG_INFINITY; LANES];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
}

/// A sum of block totals that keeps what rounding takes from it (Kahan).
#[derive(Clone, Copy, Default)]
struct Total {
    sum: f64,
    lost: f64,
}

impl Total {
    #[inline(always)]
    fn add(&mut self, lanes: [f64; LANES]) {
        let term = halve(lanes, |a, b| a + b) - self.lost;
        let next = self.sum + term;
        self.lost = (next - self.sum) - term;
        self.sum = next;
    }
}

/// Sums over labels with x = z − origin: Σ eˣ, Σ e²ˣ and Σ x·eˣ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpSums {
    pub(crate) e: f64,
    pub(crate) e_sq: f64,
    pub(crate) e_x: f64,
}

/// Terms below this are flushed to 0 by [`exp_sums`], so that their squares never become
/// subnormal numbers, which are slow.
pub(crate) fn sums_cutoff<T: Real>() -> T {
    T::EXP_CUTOFF * T::HALF
}

/// The sums over both parts of a row. `origin` is finite and no element exceeds it.
#[inline(always)]
pub(crate) fn exp_sums<T: Real>(parts: [&[T]; 2], origin: T) -> ExpSums {
    let cutoff = sums_cutoff::<T>();
    let (mut e_total, mut e_sq_total, mut e_x_total) = (Total::default(), Total::default(), Total::default());
    for block in parts.into_iter().flat_map(|part| part.chunks(BLOCK)) {
        let mut e = [T::ZERO; LANES];
        let mut e_sq = [T::ZERO; LANES];
        let mut e_x = [T::ZERO; LANES];
        in_chunks(
            block,
            #[inline(always)]
            |chunk| {
                for (lane, &z) in chunk.iter().enumerate() {
                    let x = z - origin;
                    let v = x.exp_flushed(cutoff);
                    let x = if cutoff > x { cutoff } else { x };
                    e[lane] += v;
                    e_sq[lane] += v * v;
                    e_x[lane] += v * x;
                }
            },
        );
        for (total, lanes) in [(&mut e_total, e), (&mut e_sq_total, e_sq), (&mut e_x_total, e_x)] {
            total.add(lanes.map(T::to_f64));
        }
    }
    ExpSums { e: e_total.sum, e_sq: e_sq_total.sum, e_x: e_x_total.sum }
}

/// Σ e^(z − origin) over a row none of whose elements exceeds `origin`.
#[inline(always)]
pub(crate) fn exp_sum<T: Real>(row: &[T], origin: T) -> f64 {
    let mut total = Total::default();
    for block in row.chunks(BLOCK) {
        let mut lanes = [T::ZERO; LANES];
        in_chunks(
            block,
            #[inline(always)]
            |chunk| {
                exp_chunk(chunk, origin, &mut lanes);
            },
        );
        total.add(lanes.map(T::to_f64));
    }
    total.sum
}

/// Writes e^(z − origin) to `out` and returns the sum. No element exceeds `origin`; `out` is as
/// long as `row`.
#[inline(always)]
pub(crate) fn exp_into<T: Real>(row: &[T], origin: T, out: &mut [T]) -> f64 {
    let mut total = Total::default();
    for (block, out) in row.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        let mut lanes = [T::ZERO; LANES];
        let (chunks, rest) = block.as_chunks();
        let (out_chunks, out_rest) = out.as_chunks_mut();
        for (out, chunk) in out_chunks.iter_mut().zip(chunks) {
            *out = exp_chunk(chunk, origin, &mut lanes);
        }
        if !rest.is_empty() {
            let e = exp_chunk(&filled_up(rest), origin, &mut lanes);
            out_rest.copy_from_slice(&e[..rest.len()]);
        }
        total.add(lanes.map(T::to_f64));
    }
    total.sum
}

/// e^(z − origin) for each z, also added to `lanes`.
#[inline(always)]
fn exp_chunk<T: Real>(chunk: &[T; LANES], origin: T, lanes: &mut [T; LANES]) -> [T; LANES] {
    let mut out = [T::ZERO; LANES];
    for lane in 0..LANES {
        out[lane] = (chunk[lane] - origin).exp_flushed(T::EXP_CUTOFF);
        lanes[lane] += out[lane];
    }
    out
}

/// All lanes joined into one, half with half.
#[inline(always)]
fn halve<T: Copy>(mut lanes: [T; LANES], join: impl Fn(T, T) -> T) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = join(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// ⟨p, v⟩ in `f64`. Both are equally long.
#[inline(always)]
pub(crate) fn dot<T: Real>(p: &[T], v: &[T]) -> f64 {
    sum_of_pairs(
        p,
        v,
        #[inline(always)]
        |p, v| p * v,
    )
}

/// Σ f(p, v) in `f64`. Both are equally long.
#[inline(always)]
pub(crate) fn sum_of_pairs<T: Real>(p: &[T], v: &[T], f: impl Fn(f64, f64) -> f64) -> f64 {
    let mut total = Total::default();
    for (p, v) in p.chunks(BLOCK).zip(v.chunks(BLOCK)) {
        let mut lanes = [0.0; LANES];
        let ((p, p_rest), (v, v_rest)) = (p.as_chunks::<LANES>(), v.as_chunks::<LANES>());
        for (p, v) in p.iter().zip(v) {
            for lane in 0..LANES {
                lanes[lane] += f(p[lane].to_f64(), v[lane].to_f64());
            }
        }
        for ((sum, p), v) in lanes.iter_mut().zip(p_rest).zip(v_rest) {
            *sum += f(p.to_f64(), v.to_f64());
        }
        total.add(lanes);
    }
    total.sum
}

/// Σ v in `f64`.
#[inline(always)]
pub(crate) fn sum_of<T: Real>(v: &[T]) -> f64 {
    let mut total = Total::default();
    for block in v.chunks(BLOCK) {
        let mut lanes = [0.0; LANES];
        let (chunks, rest) = block.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += chunk[lane].to_f64();
            }
        }
        for (sum, v) in lanes.iter_mut().zip(rest) {
            *sum += v.to_f64();
        }
        total.add(lanes);
    }
    total.sum
}

/// Σ p_i f(i, p_i) in `f64`.
#[inline(always)]
pub(crate) fn expectation<T: Real>(p: &[T], f: impl Fn(usize, f64) -> f64) -> f64 {
    let mut total = Total::default();
    for (block, start) in p.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
        let mut lanes = [0.0; LANES];
        let (chunks, rest) = block.as_chunks::<LANES>();
        for (chunk, at) in chunks.iter().zip((start..).step_by(LANES)) {
            for lane in 0..LANES {
                let p = chunk[lane].to_f64();
                lanes[lane] += p * f(at + lane, p);
            }
        }
        let at = start + chunks.len() * LANES;
        for ((lane, sum), p) in lanes.iter_mut().enumerate().zip(rest) {
            *sum += p.to_f64() * f(at + lane, p.to_f64());
        }
        total.add(lanes);
    }
    total.sum
}

/// The smallest and the largest f(i, p_i), in `f64`; (+∞, −∞) of nothing. NaN is passed over.
#[inline(always)]
pub(crate) fn range<T: Real>(p: &[T], f: impl Fn(usize, f64) -> f64) -> (f64, f64) {
    let (mut low, mut high) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let (chunks, rest) = p.as_chunks::<LANES>();
    for (chunk, at) in chunks.iter().zip((0..).step_by(LANES)) {
        for lane in 0..LANES {
            let x = f(at + lane, chunk[lane].to_f64());
            low[lane] = if x < low[lane] { x } else { low[lane] };
            high[lane] = if x > high[lane] { x } else { high[lane] };
        }
    }
    for (i, p) in rest.iter().enumerate() {
        let x = f(chunks.len() * LANES + i, p.to_f64());
        (low[0], high[0]) = (if x < low[0] { x } else { low[0] }, if x > high[0] { x } else { high[0] });
    }
    (halve(low, |a, b| if b < a { b } else { a }), halve(high, |a, b| if b > a { b } else { a }))
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use crate::testing::noise;
    use std::vec;
    use std::vec::Vec;

    fn same_digits<T: Real>() {
        for n in [0, 1, 15, 16, 17, 511, 512, 513, 1000, 5000] {
            let row: Vec<T> = noise(n, 60.0).into_iter().map(T::from_f64).collect();
            let origin = T::from_f64(30.0);
            let (mut out, mut wide_out) = (vec![T::ZERO; n], vec![T::ZERO; n]);
            let all = |out: &mut [T]| {
                let sums = exp_sums([&row[..n / 3], &row[n / 3..]], origin);
                let others =
                    [exp_sum(&row, origin), exp_into(&row, origin, out), dot(&row, &row), sum_of(&row)];
                (maximum(&row), largest(&row), [sums.e, sums.e_sq, sums.e_x], others)
            };
            let plain = all(&mut out);
            let in_wide = wide(
                #[inline(always)]
                || all(&mut wide_out),
            );
            assert_eq!((plain, out), (in_wide, wide_out), "V = {n}");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_digits() {
        same_digits::<f32>();
        same_digits::<f64>();
    }

    #[test]
    fn the_maximum_is_the_first_of_equals_and_passes_over_nan() {
        let mut row = vec![1.0_f64; 1100];
        (row[3], row[600], row[1090]) = (f64::NAN, 2.0, 2.0);
        assert_eq!((maximum(&row), largest(&row)), ((600, 2.0), 2.0));
        assert_eq!(maximum::<f32>(&[]), (0, f32::NEG_INFINITY));
    }

    #[test]
    fn small_blocks_are_not_lost_beside_a_large_one() {
        // A block of 1 and 1999 of 2⁻⁵⁵ each, every one of which rounds away beside the 1.
        let mut row = vec![2.0_f64.powi(-64); 512 * 2000];
        row[..512].fill(2.0_f64.powi(-9));
        let exact = 1.0 + 1999.0 * 2.0_f64.powi(-55);
        assert!((sum_of(&row) - exact).abs() <= f64::EPSILON);
    }
}
