//! Sweeps over one row of logits: the maximum, and sums of exponentials below it.
//!
//! Rows are read in blocks. Within a block several independent lanes run side by side, which
//! is what makes the loops vector code; block totals are added up in `f64`, so that the error
//! does not grow with the vocabulary.

use crate::Real;

const LANES: usize = 8;
const BLOCK: usize = 512;

/// The largest element and the first place where it stands; NaN is passed over. `(0, −∞)` for
/// a row in which nothing exceeds −∞.
pub(crate) fn maximum<T: Real>(row: &[T]) -> (usize, T) {
    let mut best = T::NEG_INFINITY;
    let mut at = 0;
    for (i, block) in row.chunks(BLOCK).enumerate() {
        let m = block_maximum(block);
        if m > best {
            best = m;
            at = i;
        }
    }
    let start = at * BLOCK;
    let within = row.iter().skip(start).position(|&z| z == best).unwrap_or(0);
    (start + within, best)
}

#[inline]
fn block_maximum<T: Real>(block: &[T]) -> T {
    let mut lanes = [T::NEG_INFINITY; LANES];
    let mut chunks = block.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (m, &z) in lanes.iter_mut().zip(chunk) {
            *m = if z > *m { z } else { *m };
        }
    }
    for (m, &z) in lanes.iter_mut().zip(chunks.remainder()) {
        *m = if z > *m { z } else { *m };
    }
    lanes.iter().fold(T::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

/// Sums over a row with x = z − origin: Σ eˣ, Σ e²ˣ and Σ x·eˣ.
#[derive(Clone, Copy, Debug, Default)]
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

/// Adds the sums of `row` to `total`. `origin` is finite and no element exceeds it.
pub(crate) fn exp_sums<T: Real>(row: &[T], origin: T, total: &mut ExpSums) {
    let cutoff = sums_cutoff::<T>();
    for block in row.chunks(BLOCK) {
        let mut e = [T::ZERO; LANES];
        let mut e_sq = [T::ZERO; LANES];
        let mut e_x = [T::ZERO; LANES];
        let mut add = |lane: usize, z: T| {
            let x = z - origin;
            let v = x.exp_flushed(cutoff);
            let x = if cutoff > x { cutoff } else { x };
            e[lane] += v;
            e_sq[lane] += v * v;
            e_x[lane] += v * x;
        };
        let mut chunks = block.chunks_exact(LANES);
        for chunk in &mut chunks {
            for (lane, &z) in chunk.iter().enumerate() {
                add(lane, z);
            }
        }
        for (lane, &z) in chunks.remainder().iter().enumerate() {
            add(lane, z);
        }
        for lane in 0..LANES {
            total.e += e[lane].to_f64();
            total.e_sq += e_sq[lane].to_f64();
            total.e_x += e_x[lane].to_f64();
        }
    }
}

/// Σ e^(z − origin) over a row none of whose elements exceeds `origin`.
pub(crate) fn exp_sum<T: Real>(row: &[T], origin: T) -> f64 {
    let mut total = 0.0;
    for block in row.chunks(BLOCK) {
        let mut e = [T::ZERO; LANES];
        let mut chunks = block.chunks_exact(LANES);
        for chunk in &mut chunks {
            for (e, &z) in e.iter_mut().zip(chunk) {
                *e += (z - origin).exp_flushed(T::EXP_CUTOFF);
            }
        }
        for (e, &z) in e.iter_mut().zip(chunks.remainder()) {
            *e += (z - origin).exp_flushed(T::EXP_CUTOFF);
        }
        total += e.iter().map(|v| v.to_f64()).sum::<f64>();
    }
    total
}

/// Writes e^(z − origin) to `out` and returns the sum. No element exceeds `origin`; `out` is as
/// long as `row`.
pub(crate) fn exp_into<T: Real>(row: &[T], origin: T, out: &mut [T]) -> f64 {
    let mut total = 0.0;
    for (block, out) in row.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        for (o, &z) in out.iter_mut().zip(block) {
            *o = (z - origin).exp_flushed(T::EXP_CUTOFF);
        }
        let mut lanes = [T::ZERO; LANES];
        let chunks = out.chunks_exact(LANES);
        let tail = chunks.remainder();
        for chunk in chunks.chain([tail]) {
            for (lane, &e) in lanes.iter_mut().zip(chunk) {
                *lane += e;
            }
        }
        total += lanes.iter().map(|e| e.to_f64()).sum::<f64>();
    }
    total
}
