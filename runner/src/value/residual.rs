//! The backward of the head: both products with the residual, tile by tile while a tile lies in the cache. The residual
//! of all rows and labels is never in memory, and the logits are read once.

use super::Precision;
use super::cpu::{Elem, simd};
use super::product::{Mat, serial};
use candle_core::{Error, Result};
use ldyn_core::Real;
use ldyn_core::diagnostics::{TokenStats, residual_part_into};
use rayon::prelude::*;
use std::ops::Range;

/// Parts of the vocabulary, each a task: as many for any number of threads, because sums over parts are in the
/// gradient of the rows.
const PARTS: usize = 16;

/// Rows and labels of a tile.
const TILE: usize = 256;

/// −g·(π − e_y) of M rows, by what it is made of: M rows of V logits; targets, statistics and g of each. Its products
/// take it in a precision.
pub(super) struct Residual<'a, T> {
    pub logits: &'a [T],
    pub targets: &'a [u32],
    pub stats: &'a [TokenStats<f64>],
    pub grad: &'a [T],
    pub precision: Precision,
}

impl<T: Elem> Residual<'_, T> {
    /// dh `[M, d]` += R·w and, with `add`, dw `[V, d]` += Rᵀ·h, else dw = Rᵀ·h; for rows h `[M, d]` and the head w
    /// `[V, d]`, both as a product takes them.
    pub(super) fn products(
        &self,
        [dh, dw]: [&mut [T]; 2],
        add: bool,
        [h, w]: [&[T]; 2],
        d: usize,
    ) -> Result<()> {
        let vocabulary = w.len() / d.max(1);
        let width = vocabulary.div_ceil(PARTS).max(TILE);
        let at_once = rayon::current_num_threads();
        for (wave, dw) in dw.chunks_mut((at_once * width * d).max(1)).enumerate() {
            let parts: Vec<Vec<T>> = dw
                .par_chunks_mut(width * d)
                .enumerate()
                .map(|(part, dw)| self.part(dw, (wave * at_once + part) * width, add, [h, w], d))
                .collect::<Result<_>>()?;
            for part in parts {
                dh.iter_mut().zip(part).for_each(|(dh, x)| *dh += x);
            }
        }
        Ok(())
    }

    /// The rows of dw from label `first` on, and what their labels add to dh.
    fn part(&self, dw: &mut [T], first: usize, add: bool, [h, w]: [&[T]; 2], d: usize) -> Result<Vec<T>> {
        let mut dh = vec![T::ZERO; h.len()];
        let mut tile = vec![T::ZERO; TILE.min(self.targets.len()) * TILE];
        for (i, dw) in dw.chunks_mut(TILE * d).enumerate() {
            let labels = first + i * TILE..first + i * TILE + dw.len() / d;
            let w = &w[labels.start * d..labels.end * d];
            for (block, (h, dh)) in h.chunks(TILE * d).zip(dh.chunks_mut(TILE * d)).enumerate() {
                let [rows, columns] = [h.len() / d, labels.len()];
                let tile = &mut tile[..rows * columns];
                simd(
                    #[inline(always)]
                    || self.fill(tile, block * TILE, labels.clone()),
                )
                .map_err(Error::wrap)?;
                self.precision.round(tile);
                let tile = Mat::rows(tile, columns);
                serial(dh, [rows, d, columns], tile, Mat::rows(w, d), i > 0)?;
                serial(dw, [columns, d, rows], tile.t(), Mat::rows(h, d), add || block > 0)?;
            }
        }
        Ok(dh)
    }

    /// The rows of R from `row` on, for some labels.
    #[inline(always)]
    fn fill(
        &self,
        tile: &mut [T],
        row: usize,
        labels: Range<usize>,
    ) -> std::result::Result<(), ldyn_core::Error> {
        let vocabulary = self.logits.len() / self.targets.len();
        for (row, out) in (row..).zip(tile.chunks_mut(labels.len())) {
            let logits = &self.logits[row * vocabulary..][labels.clone()];
            let target = self.targets[row] as usize;
            let label = labels.contains(&target).then(|| target - labels.start);
            let log_z = <T as Real>::from_f64(self.stats[row].log_z);
            residual_part_into(logits, label, log_z, -self.grad[row], out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldyn_core::diagnostics::{residual_into, token_stats};

    #[test]
    fn tiles_add_up_to_the_products_with_the_whole_residual_for_any_number_of_threads() {
        let draw = |n: usize, step: f64| -> Vec<f64> { (0..n).map(|i| (i as f64 * step).sin()).collect() };
        // Three parts of the vocabulary, each with a narrower last tile; two blocks of rows.
        let [m, vocabulary, d] = [TILE + 44, 2 * TILE + 188, 7];
        let (logits, h, w) = (draw(m * vocabulary, 0.7), draw(m * d, 1.3), draw(vocabulary * d, 0.9));
        let (grad, there) = (draw(m, 2.1), draw(vocabulary * d, 0.3));
        let targets: Vec<u32> = (0..m).map(|i| ((i * 97) % vocabulary) as u32).collect();
        let rows = || logits.chunks(vocabulary).zip(&targets);
        let stats: Vec<_> = rows().map(|(z, y)| token_stats(z, *y as usize).unwrap()).collect();
        let residual = Residual {
            logits: &logits,
            targets: &targets,
            stats: &stats,
            grad: &grad,
            precision: Precision::Full,
        };

        let (mut dh, mut dw) = (vec![0.0; m * d], there.clone());
        let mut r = vec![0.0; vocabulary];
        for (row, (z, y)) in rows().enumerate() {
            residual_into(z, *y as usize, stats[row].log_z, -grad[row], &mut r).unwrap();
            for (v, i) in (0..vocabulary).flat_map(|v| (0..d).map(move |i| (v, i))) {
                dh[row * d + i] += r[v] * w[v * d + i];
                dw[v * d + i] += r[v] * h[row * d + i];
            }
        }
        let with = |threads: usize, add: bool| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut found = (vec![0.0; m * d], there.clone());
            let to = [&mut found.0[..], &mut found.1[..]];
            pool.install(|| residual.products(to, add, [&h, &w], d)).unwrap();
            found
        };
        let one = with(1, true);
        let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far(&one.0, &dh) < 1e-12 && far(&one.1, &dw) < 1e-12);
        let anew = with(2, false);
        let without: Vec<f64> = dw.iter().zip(&there).map(|(a, b)| a - b).collect();
        assert!(far(&anew.1, &without) < 1e-12);
        assert!(one == with(3, true) && one.0 == anew.0);
    }
}
