//! Layer and root-mean-square normalisation of rows.
//!
//! With x̂ the normalised row and r its reciprocal deviation, the derivative of x̂ by x is the
//! symmetric map u ↦ r·(u − mean(u) − x̂·mean(u∘x̂)) (without mean(u) for the root mean square):
//! one function serves the backward and the tangent.

use super::cpu::{Elem, by_type, fill_rows, simd, sum, sum_rows, tensor, view, with};
#[cfg(feature = "cuda")]
use super::cuda;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

/// Which normalisation.
#[derive(Clone, Copy)]
pub(super) struct Norm {
    /// Whether the mean of the row is taken off first.
    pub centred: bool,
    /// Added to the mean square.
    pub eps: f64,
}

/// x̂∘weight + bias for rows x `[N, d]`, with a backward.
pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let norm = Norm { centred: true, eps };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, norm)
}

/// x̂∘weight for rows x `[N, d]`, with a backward.
pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, Norm { centred: false, eps })
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "layer_norm"
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
            let out = self.forward::<T>(view(x, xl)?, view(w, wl)?, Some(view(b, bl)?));
            Ok((T::storage(out), xl.shape().clone()))
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
        let inputs = [(x, xl), (w, wl), (b, bl)];
        let out =
            by_type!(x, T => cuda::forward::<T, 3>(inputs, |gpu, [x, w, b]| self.run(gpu, x, w, Some(b))))?;
        Ok((out, xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, db) = self.backward(x, w, grad)?;
        Ok((Some(dx), Some(dw), Some(db.reshape(b.shape())?)))
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        by_type!(x, T => Ok((T::storage(self.forward::<T>(view(x, xl)?, view(w, wl)?, None)), xl.shape().clone())))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        w: &CudaStorage,
        wl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let inputs = [(x, xl), (w, wl)];
        let out = by_type!(x, T => cuda::forward::<T, 2>(inputs, |gpu, [x, w]| self.run(gpu, x, w, None)))?;
        Ok((out, xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = self.backward(x, w, grad)?;
        Ok((Some(dx), Some(dw)))
    }
}

impl Norm {
    /// Mean (0 unless centred) and reciprocal deviation of a row.
    #[inline(always)]
    fn moments<T: Elem>(self, x: &[T]) -> (T, T) {
        let n = T::from_f64(x.len() as f64);
        let mean = if self.centred {
            sum(
                x.len(),
                #[inline(always)]
                |i| x[i],
            ) / n
        } else {
            T::ZERO
        };
        let square = sum(
            x.len(),
            #[inline(always)]
            |i| (x[i] - mean) * (x[i] - mean),
        ) / n;
        (mean, T::ONE / (square + T::from_f64(self.eps)).sqrt())
    }

    fn forward<T: Elem>(self, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
        let d = weight.len();
        let mut out = vec![T::ZERO; x.len()];
        fill_rows(&mut out, d, |first, out| {
            simd(
                #[inline(always)]
                || {
                    for (row, out) in out.chunks_exact_mut(d).enumerate() {
                        let x = &x[(first + row) * d..][..d];
                        let (mean, r) = self.moments(x);
                        for i in 0..d {
                            out[i] = (x[i] - mean) * r * weight[i];
                        }
                        if let Some(bias) = bias {
                            for i in 0..d {
                                out[i] += bias[i];
                            }
                        }
                    }
                },
            );
        });
        out
    }

    /// The derivative of x̂ along dx.
    pub(super) fn derivative_along(self, x: &Tensor, dx: &Tensor) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let d = x.dim(1)?;
            return by_type!(x, T => cuda::with::<T, _, 2>([x, dx], |gpu, inputs| {
                let [along, _] = self.run_derivative(gpu, inputs, None, d)?;
                Ok(gpu.tensor(along, x.shape()))
            }));
        }
        by_type!(x, T => with::<T, _>(x, |x_| with::<T, _>(dx, |dx| {
            Ok(tensor(self.derivative(x_, dx, None, x.dim(1)?), x.shape()))
        })))
    }

    /// The derivative of x̂ by x, applied to u (∘ weight, if given).
    fn derivative<T: Elem>(self, x: &[T], u: &[T], weight: Option<&[T]>, d: usize) -> Vec<T> {
        let mut out = vec![T::ZERO; x.len()];
        fill_rows(&mut out, d, |first, out| {
            simd(
                #[inline(always)]
                || {
                    for (row, out) in out.chunks_exact_mut(d).enumerate() {
                        let x = &x[(first + row) * d..][..d];
                        out.copy_from_slice(&u[(first + row) * d..][..d]);
                        if let Some(weight) = weight {
                            for i in 0..d {
                                out[i] *= weight[i];
                            }
                        }
                        let (mean, r) = self.moments(x);
                        let n = T::from_f64(d as f64);
                        let u: &[T] = out;
                        let shift = if self.centred {
                            sum(
                                d,
                                #[inline(always)]
                                |i| u[i],
                            ) / n
                        } else {
                            T::ZERO
                        };
                        let along = sum(
                            d,
                            #[inline(always)]
                            |i| u[i] * (x[i] - mean) * r,
                        ) / n;
                        for i in 0..d {
                            out[i] = r * (out[i] - shift - (x[i] - mean) * r * along);
                        }
                    }
                },
            );
        });
        out
    }

    /// Σ g∘x̂ and Σ g over the rows, side by side.
    fn vector_gradients<T: Elem>(self, x: &[T], g: &[T], d: usize) -> Vec<T> {
        sum_rows(x.len() / d, 2 * d, |rows, sums| {
            let (dw, db) = sums.split_at_mut(d);
            simd(
                #[inline(always)]
                || {
                    for row in rows {
                        let (x, g) = (&x[row * d..][..d], &g[row * d..][..d]);
                        let (mean, r) = self.moments(x);
                        for i in 0..d {
                            dw[i] += g[i] * (x[i] - mean) * r;
                            db[i] += g[i];
                        }
                    }
                },
            );
        })
    }

    fn backward(self, x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let d = w.elem_count();
            return by_type!(x, T => cuda::with::<T, _, 3>([x, w, grad], |gpu, inputs| {
                let [dx, vectors] = self.run_backward(gpu, inputs)?;
                let vectors = gpu.tensor(vectors, 2 * d);
                Ok((gpu.tensor(dx, x.shape()), vectors.narrow(0, 0, d)?, vectors.narrow(0, d, d)?))
            }));
        }
        by_type!(x, T => with::<T, _>(x, |x_| with::<T, _>(w, |w_| with::<T, _>(grad, |g| {
            let d = w_.len();
            let mut dw = self.vector_gradients(x_, g, d);
            let db = dw.split_off(d);
            let dx = self.derivative(x_, g, Some(w_), d);
            Ok((tensor(dx, x.shape()), tensor(dw, d), tensor(db, d)))
        }))))
    }
}
