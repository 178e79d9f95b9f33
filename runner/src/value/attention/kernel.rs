//! Forward, backward and tangent of one query head over one family.

use super::family::{BLOCK, Block, Family};
use super::tile::{product, transposed};
use crate::value::cpu::{Elem, LANES, maximum, simd, sum};
use crate::value::product::Mat;

/// Products of `[rows, head_dim]` matrices over the columns that a block sees: those of the
/// parent, then its own.
struct Pieces<'a> {
    block: &'a Block,
    hd: usize,
    family_rows: usize,
    stride: usize,
}

impl Pieces<'_> {
    fn parts(&self) -> [(usize, usize, usize); 2] {
        // (first column among those seen, first local row, number)
        [(0, 0, self.block.prefix), (self.block.prefix, self.block.own, self.block.own_len)]
    }

    /// s = x·yᵀ, with y given transposed `[head_dim, family]`.
    fn scores<T: Elem>(&self, s: &mut [T], x: &[T], y_t: &[T], add: bool) {
        let x = Mat { data: &x[self.block.row * self.hd..], row: self.hd, col: 1 };
        for (column, local, n) in self.parts() {
            let y = Mat { data: &y_t[local..], row: self.family_rows, col: 1 };
            product(&mut s[column..], self.stride, [self.block.rows, n, self.hd], x, y, add);
        }
    }

    /// out += s·y for the block's rows of out.
    fn gather<T: Elem>(&self, out: &mut [T], s: &[T], y: &[T]) {
        for (column, local, n) in self.parts() {
            let s = Mat { data: &s[column..], row: self.stride, col: 1 };
            let y = Mat { data: &y[local * self.hd..], row: self.hd, col: 1 };
            product(&mut out[self.block.row * self.hd..], self.hd, [self.block.rows, self.hd, n], s, y, true);
        }
    }

    /// out += sᵀ·x, spread over the columns' rows of out.
    fn spread<T: Elem>(&self, out: &mut [T], s: &[T], x: &[T]) {
        let x = Mat { data: &x[self.block.row * self.hd..], row: self.hd, col: 1 };
        for (column, local, n) in self.parts() {
            let s = Mat { data: &s[column..], row: 1, col: self.stride };
            product(&mut out[local * self.hd..], self.hd, [n, self.hd, self.block.rows], s, x, true);
        }
    }
}

/// Softmax of each row of a block over what it sees, 0 behind.
pub(super) fn softmax<T: Elem>(s: &mut [T], stride: usize, block: &Block) {
    for i in 0..block.rows {
        let (row, hidden) = s[i * stride..][..block.columns()].split_at_mut(block.seen(i));
        hidden.fill(T::ZERO);
        simd(
            #[inline(always)]
            || {
                let max = maximum(row);
                for x in row.iter_mut() {
                    *x = (*x - max).exp_flushed(T::EXP_CUTOFF);
                }
                let e: &[T] = row;
                let inverse = T::ONE
                    / sum(
                        e.len(),
                        #[inline(always)]
                        |j| e[j],
                    );
                for x in row.iter_mut() {
                    *x *= inverse;
                }
            },
        );
    }
}

/// d ↦ p∘(d − mean), the softmax's derivative when mean = ⟨p, d⟩.
fn centre<T: Elem>(d: &mut [T], p: &[T], mean: T) {
    simd(
        #[inline(always)]
        || {
            d.iter_mut().zip(p).for_each(
                #[inline(always)]
                |(d, p)| *d = *p * (*d - mean),
            )
        },
    );
}

fn stride(family: &Family) -> usize {
    family.most_columns().next_multiple_of(LANES)
}

/// Outputs `[rows, head_dim]`.
pub(super) fn forward<T: Elem>(family: &Family, hd: usize, [q, k, v]: &[Vec<T>; 3]) -> Vec<T> {
    let (family_rows, stride) = (family.rows, stride(family));
    let k_t = transposed(k, family_rows, hd);
    let mut s = vec![T::ZERO; BLOCK * stride];
    let mut out = vec![T::ZERO; family_rows * hd];
    for block in family.blocks() {
        let pieces = Pieces { block: &block, hd, family_rows, stride };
        pieces.scores(&mut s, q, &k_t, false);
        softmax(&mut s, stride, &block);
        pieces.gather(&mut out, &s, v);
    }
    out
}

/// Gradients of the (rotated, scaled) queries, the keys and the values, from the outputs and
/// their gradients. The probabilities are computed again.
pub(super) fn backward<T: Elem>(
    family: &Family,
    hd: usize,
    [q, k, v]: &[Vec<T>; 3],
    out: &[T],
    grad: &[T],
) -> [Vec<T>; 3] {
    let (family_rows, stride) = (family.rows, stride(family));
    let (k_t, v_t) = (transposed(k, family_rows, hd), transposed(v, family_rows, hd));
    let [mut p, mut dp] = [(); 2].map(|()| vec![T::ZERO; BLOCK * stride]);
    let [mut dq, mut dk, mut dv] = [(); 3].map(|()| vec![T::ZERO; family_rows * hd]);
    for block in family.blocks() {
        let pieces = Pieces { block: &block, hd, family_rows, stride };
        pieces.scores(&mut p, q, &k_t, false);
        softmax(&mut p, stride, &block);
        pieces.spread(&mut dv, &p, grad);
        pieces.scores(&mut dp, grad, &v_t, false);
        for i in 0..block.rows {
            let at = (block.row + i) * hd;
            let (o, g) = (&out[at..][..hd], &grad[at..][..hd]);
            let mean = sum(
                hd,
                #[inline(always)]
                |j| o[j] * g[j],
            );
            centre(&mut dp[i * stride..][..block.columns()], &p[i * stride..], mean);
        }
        pieces.gather(&mut dq, &dp, k);
        pieces.spread(&mut dk, &dp, q);
    }
    [dq, dk, dv]
}

/// Tangents of the outputs, from the tangents of the (rotated, scaled) queries, keys and values.
pub(super) fn tangent<T: Elem>(
    family: &Family,
    hd: usize,
    [q, k, v]: &[Vec<T>; 3],
    [dq, dk, dv]: &[Vec<T>; 3],
) -> Vec<T> {
    let (family_rows, stride) = (family.rows, stride(family));
    let (k_t, dk_t) = (transposed(k, family_rows, hd), transposed(dk, family_rows, hd));
    let [mut p, mut ds] = [(); 2].map(|()| vec![T::ZERO; BLOCK * stride]);
    let mut out = vec![T::ZERO; family_rows * hd];
    for block in family.blocks() {
        let pieces = Pieces { block: &block, hd, family_rows, stride };
        pieces.scores(&mut p, q, &k_t, false);
        softmax(&mut p, stride, &block);
        pieces.scores(&mut ds, dq, &k_t, false);
        pieces.scores(&mut ds, q, &dk_t, true);
        for i in 0..block.rows {
            let p = &p[i * stride..][..block.columns()];
            let ds = &mut ds[i * stride..][..block.columns()];
            let mean = sum(
                p.len(),
                #[inline(always)]
                |j| p[j] * ds[j],
            );
            centre(ds, p, mean);
        }
        pieces.gather(&mut out, &ds, v);
        pieces.gather(&mut out, &p, dv);
    }
    out
}
