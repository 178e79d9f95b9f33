//! `x · weightᵀ + bias`.

use super::cpu::{Elem, by_type, simd, sum_rows, tensor, view, with};
#[cfg(feature = "cuda")]
use super::cuda;
use super::product::{Mat, least_rows, product, product_anew};
use super::{Precision, sink};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// The operation, with products in a precision.
#[derive(Clone, Copy)]
pub(super) struct Linear(pub Precision);

/// `x · weightᵀ + bias`, with a backward.
pub(super) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    precision: Precision,
) -> Result<Tensor> {
    let (x, weight, op) = (x.contiguous()?, weight.contiguous()?, Linear(precision));
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op),
        None => x.apply_op2(&weight, op),
    }
}

/// `x · weightᵀ` for n rows x of k numbers and weight `[o, k]`, in the place of whatever `out` holds: n·o numbers.
pub(super) fn times_transposed<T: Elem>(out: &mut Vec<T>, x: &[T], weight: &[T], k: usize) -> Result<()> {
    let (n, o) = (x.len() / k.max(1), weight.len() / k.max(1));
    let rows = n.max(least_rows(o));
    let padded = (rows > n).then(|| [x, &vec![T::ZERO; (rows - n) * k]].concat());
    let x = padded.as_deref().unwrap_or(x);
    product_anew(out, [rows, o, k], Mat::rows(x, k), Mat::rows(weight, k).t())?;
    out.truncate(n * o);
    Ok(())
}

/// g · weight for g `[n, o]` and weight `[o, k]`: `[n, k]`.
fn times<T: Elem>(g: &[T], weight: &[T], k: usize) -> Result<Vec<T>> {
    let o = weight.len() / k.max(1);
    let n = g.len() / o.max(1);
    let mut out = Vec::new();
    product_anew(&mut out, [n, k, o], Mat::rows(g, o), Mat::rows(weight, k))?;
    Ok(out)
}

/// The gradient gᵀ·x by a weight `[o, k]`, for rows g `[n, o]` and x `[n, k]`: straight into the buffer that keeps
/// it, if there is one.
fn weight_gradient<T: Elem>(weight: &Tensor, g: &[T], x: &[T]) -> Result<Option<Tensor>> {
    let (o, k) = weight.dims2()?;
    let n = x.len() / k.max(1);
    sink::gradient(weight, |out, add| product(out, [o, k, n], Mat::rows(g, o).t(), Mat::rows(x, k), add))
}

impl Linear {
    fn forward<T: Elem>(
        self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(Vec<T>, (usize, usize))> {
        let (o, k) = wl.shape().dims2()?;
        let mut out = Vec::new();
        times_transposed::<T>(&mut out, &self.0.operand(view(x, xl)?), &self.0.operand(view(w, wl)?), k)?;
        Ok((out, (xl.dims()[0], o)))
    }
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
        by_type!(x, T => {
            let (out, shape) = self.forward::<T>(x, xl, w, wl)?;
            Ok((T::storage(out), shape.into()))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        w: &CudaStorage,
        wl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Ok((cuda::times_transposed([(x, xl), (w, wl)], self.0)?, (xl.dims()[0], wl.dims()[0]).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let [dx, dw] = cuda::gradients([grad, x, w], self.0)?;
            return Ok((Some(dx), Some(dw)));
        }
        by_type!(x, T => with::<T, _>(grad, |g| {
            let g = &self.0.operand(g);
            let dx = with::<T, _>(w, |w| Ok(tensor(times(g, &self.0.operand(w), x.dim(1)?)?, x.shape())))?;
            let dw = with::<T, _>(x, |x| weight_gradient(w, g, &self.0.operand(x)))?;
            Ok((Some(dx), dw))
        }))
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
        by_type!(x, T => {
            let (mut out, shape) = self.forward::<T>(x, xl, w, wl)?;
            let bias = view::<T>(b, bl)?;
            if !bias.is_empty() {
                out.par_chunks_mut(bias.len()).with_min_len(16).for_each(|row| {
                    row.iter_mut().zip(bias).for_each(|(y, b)| *y += *b);
                });
            }
            Ok((T::storage(out), shape.into()))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        w: &CudaStorage,
        wl: &Layout,
        b: &CudaStorage,
        bl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (out, shape) = CustomOp2::cuda_fwd(self, x, xl, w, wl)?;
        by_type!(x, T => cuda::add_bias::<T>(&out, (b, bl)))?;
        Ok((out, shape))
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
        #[cfg(feature = "cuda")]
        if grad.device().is_cuda() {
            let db = by_type!(grad, T => cuda::with::<T, _, 1>([grad], |gpu, [g]| {
                Ok(gpu.tensor(cuda::ops::column_sums(gpu, g, o)?, o))
            }))?;
            return Ok((dx, dw, Some(db)));
        }
        let db = by_type!(grad, T => with::<T, _>(grad, |g| {
            let sums = sum_rows::<T>(g.len() / o.max(1), o, |rows, sums| simd(#[inline(always)] || {
                for row in rows {
                    sums.iter_mut().zip(&g[row * o..][..o]).for_each(|(s, g)| *s += *g);
                }
            }));
            Ok(tensor(sums, o))
        }))?;
        Ok((dx, dw, Some(db)))
    }
}
