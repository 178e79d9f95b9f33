//! Rotary positions and causal attention over packed spans, fused: no matrix is larger than 32
//! rows by the columns that one sequence has.
//!
//! The work is cut into a prompt with the responses behind it (a family), times a query head.
//! Within it everything is summed in one order, so results depend neither on threads nor on
//! what else is packed. A response behind a shared prompt has the bits that it has behind a
//! prompt of its own.

mod cached;
mod family;
mod kernel;
mod tile;

pub(super) use cached::{KeyValues, attention as cached};

use super::cpu::{self, Elem, by_type, fill_rows, tensor, view, with};
#[cfg(feature = "cuda")]
use super::cuda;
use super::{Attention, Layout};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout as Strides, Result, Shape, Tensor};
use family::{Family, Heads, columns};
use rayon::prelude::*;

/// Whether there is a fused form for these rows on their device.
pub(super) fn fused(qkv: &Tensor, a: &Attention) -> bool {
    #[cfg(feature = "cuda")]
    if qkv.device().is_cuda() {
        return cpu::fused_anywhere(&[qkv]) && cuda::fits(a, qkv.dtype());
    }
    let _ = a;
    cpu::fused(&[qkv])
}

/// Attention of fused rows, with a backward.
pub(super) fn attention(qkv: &Tensor, attention: &Attention, layout: &Layout) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(Op { attention: attention.clone(), layout: layout.clone() })
}

/// The tangent of the attention of `qkv` along `tangent`.
pub(super) fn tangent(qkv: &Tensor, along: &Tensor, a: &Attention, layout: &Layout) -> Result<Tensor> {
    by_type!(qkv, T => with::<T, _>(qkv, |qkv| with::<T, _>(along, |along| {
        let out = outputs::<T>(a, layout, |heads, family, head| {
            let (x, dx) = (heads.load(qkv, family, head), heads.load(along, family, head));
            kernel::tangent(family, a.head_dim, &x, &dx)
        });
        Ok(tensor(out, (layout.n_rows(), a.heads * a.head_dim)))
    })))
}

/// The operation.
pub(super) struct Op {
    pub(super) attention: Attention,
    pub(super) layout: Layout,
}

/// Runs `work` for every family and head in parallel; results by family, then head.
fn each<R: Send>(a: &Attention, families: &[Family], work: impl Fn(&Family, usize) -> R + Sync) -> Vec<R> {
    (0..families.len() * a.heads).into_par_iter().map(|i| work(&families[i / a.heads], i % a.heads)).collect()
}

/// For each packed row, its family, its local row and its position.
fn places(families: &[Family], rows: usize) -> Vec<[usize; 3]> {
    let mut places = vec![[0; 3]; rows];
    for (f, family) in families.iter().enumerate() {
        for m in &family.members {
            for i in 0..m.len {
                places[m.start + i] = [f, m.local + i, m.prefix + i];
            }
        }
    }
    places
}

/// Puts the outputs `[family rows, head_dim]` of every family and head together: `[N, heads·head_dim]`.
fn outputs<T: Elem>(
    a: &Attention,
    layout: &Layout,
    work: impl Fn(&Heads<T>, &Family, usize) -> Vec<T> + Sync,
) -> Vec<T> {
    let families = Family::all(layout);
    let heads = Heads::new(a, layout);
    let parts = each(a, &families, |family, head| work(&heads, family, head));
    let places = places(&families, layout.n_rows());
    let hd = a.head_dim;
    let width = a.heads * hd;
    let mut out = vec![T::ZERO; layout.n_rows() * width];
    fill_rows(&mut out, width, |first, out| {
        for (i, row) in out.chunks_exact_mut(width).enumerate() {
            let [family, local, _] = places[first + i];
            for (head, out) in row.chunks_exact_mut(hd).enumerate() {
                out.copy_from_slice(&parts[family * a.heads + head][local * hd..][..hd]);
            }
        }
    });
    out
}

impl Op {
    fn backward<T: Elem>(&self, qkv: &[T], out: &[T], grad: &[T]) -> Vec<T> {
        let (a, layout) = (&self.attention, &self.layout);
        let families = Family::all(layout);
        let heads = Heads::new(a, layout);
        let hd = a.head_dim;
        let parts = each(a, &families, |family, head| {
            let (out, grad) = (heads.load_output(out, family, head), heads.load_output(grad, family, head));
            kernel::backward(family, hd, &heads.load(qkv, family, head), &out, &grad)
        });
        let places = places(&families, layout.n_rows());
        let width = heads.width();
        let mut dqkv = vec![T::ZERO; layout.n_rows() * width];
        fill_rows(&mut dqkv, width, |first, rows| {
            for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                let [family, local, position] = places[first + i];
                for head in 0..a.heads {
                    let part = &parts[family * a.heads + head];
                    for (from, part) in columns(a, head).into_iter().zip(part) {
                        let part = &part[local * hd..][..hd];
                        row[from..][..hd].iter_mut().zip(part).for_each(|(d, x)| *d += *x);
                    }
                }
                for head in 0..a.heads {
                    let [q, k, _] = columns(a, head);
                    row[q..][..hd].iter_mut().for_each(|x| *x *= heads.scale);
                    heads.rotate(&mut row[q..][..hd], position, true);
                    if head % (a.heads / a.kv_heads) == 0 {
                        heads.rotate(&mut row[k..][..hd], position, true);
                    }
                }
            }
        });
        dqkv
    }
}

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, strides: &Strides) -> Result<(CpuStorage, Shape)> {
        let a = &self.attention;
        by_type!(qkv, T => {
            let qkv = view::<T>(qkv, strides)?;
            let out = outputs::<T>(a, &self.layout, |heads, family, head| {
                kernel::forward(family, a.head_dim, &heads.load(qkv, family, head))
            });
            Ok((T::storage(out), (self.layout.n_rows(), a.heads * a.head_dim).into()))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, qkv: &CudaStorage, strides: &Strides) -> Result<(CudaStorage, Shape)> {
        let a = &self.attention;
        let out = by_type!(qkv, T => cuda::forward::<T, 1>([(qkv, strides)], |gpu, [qkv]| {
            cuda::attend(gpu, a, &self.layout, |run| run.forward(qkv).map(|[out, ..]| out))
        }))?;
        Ok((out, (self.layout.n_rows(), a.heads * a.head_dim).into()))
    }

    fn bwd(&self, qkv: &Tensor, out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        #[cfg(feature = "cuda")]
        if qkv.device().is_cuda() {
            return by_type!(qkv, T => cuda::with::<T, _, 2>([qkv, grad], |gpu, inputs| {
                let dqkv = cuda::attend(gpu, &self.attention, &self.layout, |run| run.backward(inputs))?;
                Ok(Some(gpu.tensor(dqkv, qkv.shape())))
            }));
        }
        by_type!(qkv, T => with::<T, _>(qkv, |x| with::<T, _>(out, |out| with::<T, _>(grad, |grad| {
            Ok(Some(tensor(self.backward::<T>(x, out, grad), qkv.shape())))
        }))))
    }
}
