//! Activations: value and slope in one formula.

use super::Activation;
use super::cpu::{Elem, by_type, fill_rows, simd, tensor, view, with};
#[cfg(feature = "cuda")]
use super::cuda;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// √(2/π) and the cubic coefficient of the tanh approximation: u = √(2/π)·(x + 0.044715·x³).
pub(super) const GELU_TANH: (f64, f64) = (FRAC_2_SQRT_PI * FRAC_1_SQRT_2, 0.044_715);

pub(super) struct Activate(pub(super) Activation);

/// f(x) elementwise, with a backward.
pub(super) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Activate(activation))
}

/// f'(x) ∘ u: the backward and the tangent.
pub(super) fn slope_times(x: &Tensor, u: &Tensor, activation: Activation) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return by_type!(x, T => cuda::with::<T, _, 2>([x, u], |gpu, [x_, u]| {
            Ok(gpu.tensor(cuda::ops::activate(gpu, activation, x_, Some(u))?, x.shape()))
        }));
    }
    by_type!(x, T => with::<T, _>(x, |x_| with::<T, _>(u, |u| {
        let mut out = vec![0.0; x_.len()];
        fill_rows(&mut out, 1, |start, out| {
            let n = out.len();
            map::<T>(activation, out, &x_[start..][..n], Some(&u[start..][..n]));
        });
        Ok(tensor(out, x.shape()))
    })))
}

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_type!(x, T => {
            let x = view::<T>(x, layout)?;
            let mut out = vec![0.0; x.len()];
            fill_rows(&mut out, 1, |start, out| {
                let n = out.len();
                map::<T>(self.0, out, &x[start..][..n], None);
            });
            Ok((T::storage(out), layout.shape().clone()))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let run = |x: &CudaStorage| {
            by_type!(x, T => cuda::forward::<T, 1>([(x, layout)], |gpu, [x]| {
                cuda::ops::activate(gpu, self.0, x, None)
            }))
        };
        Ok((run(x)?, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        slope_times(x, grad, self.0).map(Some)
    }
}

/// out = f(x), or f'(x)·u. Plain loops: what `for_each` calls would not be compiled for the instruction set.
fn map<T: Elem>(activation: Activation, out: &mut [T], x: &[T], u: Option<&[T]>) {
    macro_rules! each {
        ($f:ident) => {
            match u {
                None => simd(
                    #[inline(always)]
                    || {
                        for (o, x) in out.iter_mut().zip(x) {
                            *o = $f(*x).0;
                        }
                    },
                ),
                Some(u) => simd(
                    #[inline(always)]
                    || {
                        for ((o, x), u) in out.iter_mut().zip(x).zip(u) {
                            *o = $f(*x).1 * *u;
                        }
                    },
                ),
            }
        };
    }
    match activation {
        Activation::Gelu => each!(gelu),
        Activation::GeluTanh => each!(gelu_tanh),
        Activation::Silu => each!(silu),
        Activation::Relu => each!(relu),
    }
}

/// x·Φ(x) and Φ(x) + x·φ(x).
#[inline(always)]
fn gelu<T: Elem>(x: T) -> (T, T) {
    let bell = (-T::HALF * x * x).exp_flushed(T::EXP_CUTOFF);
    let tail = T::HALF * bell * (x.abs() * T::from_f64(FRAC_1_SQRT_2)).scaled_erfc();
    let phi = if x < T::ZERO { tail } else { T::ONE - tail };
    let density = bell * T::from_f64(0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
    (x * phi, phi + x * density)
}

/// σ(x).
#[inline(always)]
fn sigmoid<T: Elem>(x: T) -> T {
    let e = (-x.abs()).exp_flushed(T::EXP_CUTOFF);
    let high = T::ONE / (T::ONE + e);
    if x < T::ZERO { e * high } else { high }
}

/// ½x(1 + tanh u) = x·σ(2u) with u as at [`GELU_TANH`], and its slope.
#[inline(always)]
fn gelu_tanh<T: Elem>(x: T) -> (T, T) {
    let scale = T::from_f64(2.0 * GELU_TANH.0);
    let cubic = T::from_f64(GELU_TANH.1);
    let s = sigmoid(scale * (x + cubic * x * x * x));
    let inner = scale * (T::ONE + T::from_f64(3.0) * cubic * x * x);
    (x * s, s + x * s * (T::ONE - s) * inner)
}

/// x·σ(x) and its slope.
#[inline(always)]
fn silu<T: Elem>(x: T) -> (T, T) {
    let s = sigmoid(x);
    (x * s, s + x * s * (T::ONE - s))
}

/// max(x, 0) and its slope, 0 at 0.
#[inline(always)]
fn relu<T: Elem>(x: T) -> (T, T) {
    if x > T::ZERO { (x, T::ONE) } else { (T::ZERO, T::ZERO) }
}
