//! log π(target) of rows under a linear head, without the logits of all rows at once.
//!
//! The backward of log π(y) by the logits is −(π − e_y): the residual that `ldyn-core` defines.

use super::cpu::{Elem, by_type, simd, tensor, view, with};
use super::linear::times_transposed;
use super::tangent;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Error, Layout, Result, Shape, Tensor};
use ldyn_core::Real;
use ldyn_core::diagnostics::{TokenStats, residual_into, token_stats};
use rayon::prelude::*;
use std::sync::{Arc, Mutex};

/// Rows of logits in memory at a time when nothing is kept.
const ROWS: usize = 64;

/// Logits up to this size in bytes are kept for the backward, which then need not multiply by
/// the head again (measured: a training step a fifth faster). Beyond it the backward computes
/// them again in chunks of this size.
const KEPT_BYTES: usize = 256 << 20;

/// Rows of logits that fit into `kept_bytes`, but [`ROWS`] in any case.
fn rows_kept(kept_bytes: usize, vocabulary: usize, number: usize) -> usize {
    (kept_bytes / (vocabulary * number).max(1)).max(ROWS)
}

/// The most bytes of logits that are in memory at once while `targets` rows go forward and back, with numbers of
/// `number` bytes.
pub fn logits_bytes(targets: usize, vocabulary: usize, number: usize) -> usize {
    targets.min(rows_kept(KEPT_BYTES, vocabulary, number)) * vocabulary * number
}

/// log π(target) of each row `[M]`, with a backward, and the rows' statistics.
pub(super) fn log_probs(
    h: &Tensor,
    head: &Tensor,
    targets: &[u32],
) -> Result<(Tensor, Vec<TokenStats<f64>>)> {
    let saved = Arc::new(Mutex::new(Saved::default()));
    let op = Head {
        targets: targets.to_vec(),
        keep: h.track_op() || head.track_op(),
        kept_bytes: KEPT_BYTES,
        saved: saved.clone(),
    };
    let logp = h.contiguous()?.apply_op2(&head.contiguous()?, op)?;
    let stats = lock(&saved).stats.clone();
    Ok((logp, stats))
}

/// [`log_probs`] without a backward, and its derivatives `[M]` when rows and head move along the directions
/// `dh` and `dhead` (as in a `Dual`). The residual e_y − π takes the place of the logits: with it the
/// derivative is ⟨(e_y − π)·W, dh⟩ + ⟨(e_y − π)·dW, h⟩, and no second set of logits is made.
pub(super) fn log_probs_along(
    [h, head]: [&Tensor; 2],
    [dh, dhead]: [&[Option<Tensor>]; 2],
    targets: &[u32],
    mut stats: Option<&mut Vec<TokenStats<f64>>>,
) -> Result<(Tensor, Vec<Option<Tensor>>)> {
    let (h, head) = (h.contiguous()?, head.contiguous()?);
    let directions = dh.len().max(dhead.len());
    let (mut logp, mut along) = (Vec::new(), vec![Vec::new(); directions]);
    for (chunk, targets) in targets.chunks(ROWS).enumerate() {
        let narrow = |x: &Tensor| x.narrow(0, chunk * ROWS, targets.len());
        let rows = narrow(&h)?;
        let op = Head { targets: targets.to_vec(), keep: true, kept_bytes: 0, saved: Arc::default() };
        logp.push(rows.apply_op2_no_bwd(&head, &op)?);
        let residual = by_type!(h, T => op.ascent::<T>(head.dim(0)?)?);
        let by_rows = if dh.iter().any(Option::is_some) { Some(residual.matmul(&head)?) } else { None };
        for (i, along) in along.iter_mut().enumerate() {
            let (mut moved, mut turned) = (None, None);
            if let (Some(by_rows), Some(Some(dh))) = (&by_rows, dh.get(i)) {
                moved = Some((by_rows * narrow(dh)?)?.sum(1)?);
            }
            if let Some(Some(dhead)) = dhead.get(i) {
                turned = Some((residual.matmul(dhead)? * &rows)?.sum(1)?);
            }
            along.extend(tangent::sum(moved, turned)?);
        }
        if let Some(stats) = stats.as_deref_mut() {
            stats.append(&mut lock(&op.saved).stats);
        }
    }
    let whole =
        |parts: Vec<Tensor>| if parts.is_empty() { Ok(None) } else { Tensor::cat(&parts, 0).map(Some) };
    Ok((Tensor::cat(&logp, 0)?, along.into_iter().map(whole).collect::<Result<_>>()?))
}

struct Head {
    targets: Vec<u32>,
    keep: bool,
    kept_bytes: usize,
    saved: Arc<Mutex<Saved>>,
}

/// What the forward leaves for the backward.
#[derive(Default)]
struct Saved {
    stats: Vec<TokenStats<f64>>,
    /// All logits `[M, V]`, if they are small enough; used up by the first backward.
    logits: Option<CpuStorage>,
}

fn lock(saved: &Mutex<Saved>) -> std::sync::MutexGuard<'_, Saved> {
    saved.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Statistics of a row with a logit that is NaN or +∞: it has no distribution. Who asked for them can
/// say of which example and parameter they are.
fn undefined<T: Real>() -> TokenStats<T> {
    TokenStats {
        logp: T::NAN,
        argmax: 0,
        argmax_logp: T::NAN,
        rest_logp: T::NAN,
        sum_sq: T::NAN,
        rest_sq: T::NAN,
        entropy: T::NAN,
        log_z: T::NAN,
    }
}

impl Head {
    fn forward<T: Elem>(&self, h: &CpuStorage, hl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<Vec<T>> {
        let (vocabulary, d) = wl.shape().dims2()?;
        let m = self.targets.len();
        let keep = self.keep && m <= rows_kept(self.kept_bytes, vocabulary, size_of::<T>());
        let rows = if keep { m } else { ROWS };
        let mut stats = Vec::with_capacity(m);
        let mut kept = None;
        for (chunk, targets) in self.targets.chunks(rows).enumerate() {
            let from = hl.start_offset() + chunk * rows * d;
            let logits = times_transposed::<T>(h, from, targets.len(), w, wl)?;
            let chunk: std::result::Result<Vec<_>, ldyn_core::Error> = logits
                .par_chunks(vocabulary)
                .zip(targets)
                .map(|(z, y)| {
                    simd(
                        #[inline(always)]
                        || token_stats(z, *y as usize),
                    )
                    .or_else(|e| {
                        if matches!(e, ldyn_core::Error::Logit { .. }) { Ok(undefined()) } else { Err(e) }
                    })
                })
                .collect();
            stats.extend(chunk.map_err(Error::wrap)?);
            kept = keep.then(|| T::storage(logits));
        }
        let logp = stats.iter().map(|s| s.logp).collect();
        let mut saved = lock(&self.saved);
        saved.logits = kept;
        saved.stats = stats.into_iter().map(TokenStats::to_f64).collect();
        Ok(logp)
    }

    /// e_y − π `[M, V]`, from the logits that the forward has kept.
    fn ascent<T: Elem>(&self, vocabulary: usize) -> Result<Tensor> {
        let kept = lock(&self.saved).logits.take();
        let Some(mut logits) = kept.and_then(T::into_vec) else {
            candle_core::bail!("log_probs: no logits were kept")
        };
        self.residuals(&mut logits, 0, vocabulary, &vec![T::ONE; self.targets.len()])?;
        Ok(tensor(logits, (self.targets.len(), vocabulary)))
    }

    /// −g·(π − e_y) in the place of logits, for the rows from `first` on.
    fn residuals<T: Elem>(
        &self,
        logits: &mut [T],
        first: usize,
        vocabulary: usize,
        grad: &[T],
    ) -> Result<()> {
        let stats = &lock(&self.saved).stats;
        logits
            .par_chunks_mut(vocabulary)
            .enumerate()
            .try_for_each_init(Vec::new, |scratch: &mut Vec<T>, (row, z)| {
                scratch.clear();
                scratch.extend_from_slice(z);
                let (label, row) = (self.targets[first + row] as usize, first + row);
                let log_z = <T as Real>::from_f64(stats[row].log_z);
                simd(
                    #[inline(always)]
                    || residual_into(scratch, label, log_z, -grad[row], z),
                )
            })
            .map_err(Error::wrap)
    }

    fn backward<T: Elem>(
        &self,
        h: &Tensor,
        w: &Tensor,
        grad: &[T],
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (vocabulary, d) = w.dims2()?;
        let m = self.targets.len();
        let mut kept = lock(&self.saved).logits.take();
        let rows = if kept.is_some() { m } else { rows_kept(self.kept_bytes, vocabulary, size_of::<T>()) };
        let (h_, w_) = (h.detach(), w.detach());
        let mut dh = Vec::new();
        let mut dw: Option<Tensor> = None;
        for first in (0..m).step_by(rows) {
            let n = rows.min(m - first);
            let mut g = match kept.take().and_then(T::into_vec) {
                Some(logits) => logits,
                None => {
                    let ((h, hl), (w, wl)) = (h_.storage_and_layout(), w_.storage_and_layout());
                    let (candle_core::Storage::Cpu(h), candle_core::Storage::Cpu(w)) = (&*h, &*w) else {
                        candle_core::bail!("tensors on the CPU expected")
                    };
                    times_transposed::<T>(h, hl.start_offset() + first * d, n, w, wl)?
                }
            };
            self.residuals(&mut g, first, vocabulary, grad)?;
            let g = tensor(g, (n, vocabulary));
            if h.track_op() {
                dh.push(g.matmul(&w_)?);
            }
            if w.track_op() {
                let part = g.t()?.matmul(&h_.narrow(0, first, n)?)?;
                dw = Some(match dw {
                    Some(dw) => (dw + part)?,
                    None => part,
                });
            }
        }
        let dh = if dh.is_empty() { None } else { Some(Tensor::cat(&dh, 0)?) };
        Ok((dh, dw))
    }
}

impl CustomOp2 for Head {
    fn name(&self) -> &'static str {
        "log_probs"
    }

    fn cpu_fwd(
        &self,
        h: &CpuStorage,
        hl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        by_type!(h, T => {
            view::<T>(h, hl)?;
            Ok((T::storage(self.forward::<T>(h, hl, w, wl)?), self.targets.len().into()))
        })
    }

    fn bwd(
        &self,
        h: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        by_type!(h, T => with::<T, _>(grad, |grad| self.backward::<T>(h, w, grad)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn gradients_are_the_same_whether_logits_were_kept_or_computed_again() {
        let run = |kept_bytes| {
            let draw = |n: usize, d: usize, step: f64| {
                let data: Vec<f64> = (0..n * d).map(|i| (i as f64 * step).sin()).collect();
                Var::from_tensor(&Tensor::from_vec(data, (n, d), &Device::Cpu).unwrap()).unwrap()
            };
            let (h, w) = (draw(150, 5, 0.7), draw(90, 5, 1.3));
            let saved = Arc::new(Mutex::new(Saved::default()));
            let targets = (0..150).map(|i| i % 90).collect();
            let op = Head { targets, keep: true, kept_bytes, saved: saved.clone() };
            let logp = h.apply_op2(&w, op).unwrap();
            let kept = lock(&saved).logits.is_some();
            let store = logp.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let gradient = |x: &Var| store.get(x).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            (kept, gradient(&h), gradient(&w))
        };
        let (kept, again) = (run(KEPT_BYTES), run(0));
        assert_eq!((kept.0, again.0), (true, false));
        let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far(&kept.1, &again.1) < 1e-12 && far(&kept.2, &again.2) < 1e-10);
    }
}
