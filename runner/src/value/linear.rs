//! `x · weightᵀ + bias`, and the one matrix product of the fused operations.
//!
//! A row of a product must not depend, bit for bit, on the rows beside it: cached reference
//! log-probabilities are compared with those of the policy. Each element is a sum over k in a
//! fixed order, but the `gemm` crate has other orders for products of one row, of few elements
//! (256) and of small matrices (64 × 64). So rows of zeros are added until a product is past
//! these sizes whatever the number of rows; see [`least_rows`].

use super::cpu::{Elem, by_type, simd, sum_rows, tensor, view, with};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

struct Linear;

/// `x · weightᵀ + bias`, with a backward.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Linear),
        None => x.apply_op2(&weight, Linear),
    }
}

/// The least number of rows of a product with `columns` columns for which `gemm` sums in the
/// order of large products.
fn least_rows(columns: usize) -> usize {
    match columns {
        0..4 => 257,
        4..=64 => 65,
        _ => 4,
    }
}

/// `x · weightᵀ` for contiguous rows x `[n, k]` from element `from` on and weight `[o, k]`: n·o numbers.
pub(super) fn times_transposed<T: Elem>(
    x: &CpuStorage,
    from: usize,
    n: usize,
    weight: &CpuStorage,
    wl: &Layout,
) -> Result<Vec<T>> {
    let (o, k) = wl.shape().dims2()?;
    let rows = n.max(least_rows(o));
    let padded = if rows > n {
        let mut rest = vec![T::ZERO; rows * k];
        let layout = Layout::contiguous_with_offset((n, k), from);
        rest[..n * k].copy_from_slice(view(x, &layout)?);
        Some(T::storage(rest))
    } else {
        None
    };
    let (x, from) = padded.as_ref().map_or((x, from), |padded| (padded, 0));
    let layout = Layout::contiguous_with_offset((rows, k), from);
    let product = x.matmul(weight, (1, rows, o, k), &layout, &wl.transpose(0, 1)?)?;
    let Some(mut out) = T::into_vec(product) else {
        candle_core::bail!("the product changed its number type")
    };
    out.truncate(n * o);
    Ok(out)
}

fn forward(x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
    let (n, o) = (xl.dims()[0], wl.dims()[0]);
    by_type!(x, T => Ok((T::storage(times_transposed::<T>(x, xl.start_offset(), n, w, wl)?), (n, o).into())))
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        forward(x, xl, w, wl)
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = x.track_op().then(|| grad.matmul(&w.detach())).transpose()?;
        let dw = w.track_op().then(|| grad.t()?.matmul(&x.detach())).transpose()?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (out, shape) = forward(x, xl, w, wl)?;
        by_type!(x, T => {
            let (Some(mut out), bias) = (T::into_vec(out), view::<T>(b, bl)?) else {
                candle_core::bail!("the product changed its number type")
            };
            if !bias.is_empty() {
                out.par_chunks_mut(bias.len()).with_min_len(16).for_each(|row| {
                    row.iter_mut().zip(bias).for_each(|(y, b)| *y += *b);
                });
            }
            Ok((T::storage(out), shape))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = CustomOp2::bwd(self, x, w, res, grad)?;
        let o = bias.elem_count();
        let db = bias.track_op().then(|| {
            by_type!(grad, T => with::<T, _>(grad, |g| {
                let sums = sum_rows::<T>(g.len() / o.max(1), o, |rows, sums| simd(#[inline(always)] || {
                    for row in rows {
                        sums.iter_mut().zip(&g[row * o..][..o]).for_each(|(s, g)| *s += *g);
                    }
                }));
                Ok(tensor(sums, o))
            }))
        });
        Ok((dx, dw, db.transpose()?))
    }
}
