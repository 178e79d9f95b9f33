//! log π(target) of rows under a linear head, without the logits of all rows at once.
//!
//! The backward of log π(y) by the logits is −(π − e_y): the residual that `ldyn-core` defines.

use super::cpu::{Elem, by_type, simd, tensor, view, with};
#[cfg(feature = "cuda")]
use super::cuda;
use super::linear::times_transposed;
use super::residual::Residual;
use super::{Precision, sink, tangent};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Error, Layout, Result, Shape, Tensor};
use ldyn_core::Real;
use ldyn_core::diagnostics::{TokenStats, residual_in_place, token_stats};
use rayon::prelude::*;
use std::sync::{Arc, Mutex};

/// Rows of logits in memory at a time, at the least.
const ROWS: usize = 64;

/// Logits of this size in bytes are in memory at a time when nothing is kept: enough rows for a product that does not
/// spend its time on reordering the head.
const CHUNK_BYTES: usize = 64 << 20;

/// Logits up to this size in bytes are kept for the backward, which then need not multiply by
/// the head again (measured: a training step a fifth faster). Those of the rows beyond it the backward computes
/// again in chunks of this size: what a row costs grows slowly, not at once.
const KEPT_BYTES: usize = 256 << 20;

/// Rows of logits that fit into so many bytes, but [`ROWS`] in any case.
fn rows_within(bytes: usize, vocabulary: usize, number: usize) -> usize {
    (bytes / (vocabulary * number).max(1)).max(ROWS)
}

/// The most bytes of logits that are in memory at once while `targets` rows go forward and back, with numbers of
/// `number` bytes.
pub fn logits_bytes(targets: usize, vocabulary: usize, number: usize) -> usize {
    let within = |bytes| rows_within(bytes, vocabulary, number);
    let kept = targets.min(within(KEPT_BYTES));
    (kept + (targets - kept).min(within(CHUNK_BYTES))) * vocabulary * number
}

/// log π(target) of each row `[M]`, with a backward; the rows' statistics are appended to `stats`.
pub(super) fn log_probs(
    h: &Tensor,
    head: &Tensor,
    targets: &[u32],
    precision: Precision,
    stats: Option<&mut Vec<TokenStats<f64>>>,
) -> Result<Tensor> {
    let op = Head::new(targets, precision, h.track_op() || head.track_op());
    let saved = op.saved.clone();
    let logp = h.contiguous()?.apply_op2(&head.contiguous()?, op)?;
    if let Some(stats) = stats {
        stats.append(&mut lock(&saved).stats()?);
    }
    Ok(logp)
}

/// [`log_probs`] without a backward, and its derivatives `[M]` when rows and head move along the directions
/// `dh` and `dhead` (as in a `Dual`). The residual e_y − π takes the place of the logits: with it the
/// derivative is ⟨(e_y − π)·W, dh⟩ + ⟨(e_y − π)·dW, h⟩, and no second set of logits is made. h and W are as the
/// logits' product takes them.
pub(super) fn log_probs_along(
    [h, head]: [&Tensor; 2],
    [dh, dhead]: [&[Option<Tensor>]; 2],
    targets: &[u32],
    precision: Precision,
    mut stats: Option<&mut Vec<TokenStats<f64>>>,
) -> Result<(Tensor, Vec<Option<Tensor>>)> {
    let (h, head) = (precision.rounded(h)?.contiguous()?, precision.rounded(head)?.contiguous()?);
    let directions = dh.len().max(dhead.len());
    let (mut logp, mut along) = (Vec::new(), vec![Vec::new(); directions]);
    let rows_at_once = rows_within(CHUNK_BYTES, head.dim(0)?, h.dtype().size_in_bytes());
    for (chunk, targets) in targets.chunks(rows_at_once).enumerate() {
        let narrow = |x: &Tensor| x.narrow(0, chunk * rows_at_once, targets.len());
        let rows = narrow(&h)?;
        let op = Head { kept_bytes: CHUNK_BYTES, ..Head::new(targets, precision, true) };
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

/// The operation, for one batch of rows.
pub(super) struct Head {
    targets: Vec<u32>,
    precision: Precision,
    keep: bool,
    kept_bytes: usize,
    saved: Arc<Mutex<Saved>>,
}

/// What the forward leaves for the backward.
#[derive(Default)]
struct Saved {
    stats: Vec<TokenStats<f64>>,
    /// The logits of the first rows, as many as may be kept; used up by the first backward.
    logits: Option<CpuStorage>,
    /// The same and more on a GPU.
    #[cfg(feature = "cuda")]
    gpu: Option<cuda::Head>,
}

impl Saved {
    fn stats(&self) -> Result<Vec<TokenStats<f64>>> {
        #[cfg(feature = "cuda")]
        if let Some(head) = &self.gpu {
            return head.stats();
        }
        Ok(self.stats.clone())
    }
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
    /// For rows with these targets; with `keep`, logits are kept for a backward as far as they fit.
    pub(super) fn new(targets: &[u32], precision: Precision, keep: bool) -> Self {
        let targets = targets.to_vec();
        Self { targets, precision, keep, kept_bytes: KEPT_BYTES, saved: Arc::default() }
    }

    /// The rows' statistics, after the forward pass.
    ///
    /// # Errors
    /// A failed read of a device.
    pub(super) fn stats(&self) -> Result<Vec<TokenStats<f64>>> {
        lock(&self.saved).stats()
    }

    /// The first rows, whose logits are kept for a backward.
    fn kept_rows(&self, vocabulary: usize, number: usize) -> usize {
        let most = if self.keep { rows_within(self.kept_bytes, vocabulary, number) } else { 0 };
        self.targets.len().min(most)
    }

    fn forward<T: Elem>(&self, h: &[T], w: &[T], [vocabulary, d]: [usize; 2]) -> Result<Vec<T>> {
        let m = self.targets.len();
        let kept_rows = self.kept_rows(vocabulary, size_of::<T>());
        let at_once = rows_within(CHUNK_BYTES, vocabulary, size_of::<T>());
        let [h, w] = [h, w].map(|numbers| self.precision.operand(numbers));
        let (mut stats, mut kept) = (Vec::with_capacity(m), None);
        while stats.len() < m {
            let from = stats.len();
            let n = if from < kept_rows { kept_rows } else { at_once.min(m - from) };
            let mut logits = spare::<T>();
            times_transposed::<T>(&mut logits, &h[from * d..][..n * d], &w, d)?;
            let chunk: std::result::Result<Vec<_>, ldyn_core::Error> = logits
                .par_chunks(vocabulary)
                .zip(&self.targets[from..])
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
            if from < kept_rows {
                kept = Some(T::storage(logits));
            } else {
                put_back(logits);
            }
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
        let stats = &lock(&self.saved).stats;
        let rows = logits.par_chunks_mut(vocabulary).zip(&self.targets).zip(stats);
        rows.try_for_each(|((z, y), stats)| {
            let log_z = <T as Real>::from_f64(stats.log_z);
            simd(
                #[inline(always)]
                || residual_in_place(z, *y as usize, log_z, -T::ONE),
            )
        })
        .map_err(Error::wrap)?;
        Ok(tensor(logits, (self.targets.len(), vocabulary)))
    }

    fn backward<T: Elem>(
        &self,
        h: &Tensor,
        w: &Tensor,
        grad: &[T],
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (vocabulary, d) = w.dims2()?;
        let m = self.targets.len();
        let mut kept = lock(&self.saved).logits.take().and_then(T::into_vec);
        let rows = rows_within(self.kept_bytes, vocabulary, size_of::<T>());
        let stats = &lock(&self.saved).stats;
        let (mut dh, mut dw) = (vec![T::ZERO; m * d], None);
        with::<T, _>(h, |h| {
            with::<T, _>(w, |w_| {
                let [h, w_] = [h, w_].map(|numbers| self.precision.operand(numbers));
                for (chunk, (h, dh)) in h.chunks(rows * d).zip(dh.chunks_mut(rows * d)).enumerate() {
                    let logits = kept.take().map_or_else(
                        || {
                            let mut logits = spare();
                            times_transposed(&mut logits, h, &w_, d).map(|()| logits)
                        },
                        Ok,
                    )?;
                    let these = chunk * rows..m.min((chunk + 1) * rows);
                    let residual = Residual {
                        logits: &logits,
                        targets: &self.targets[these.clone()],
                        stats: &stats[these.clone()],
                        grad: &grad[these],
                        precision: self.precision,
                    };
                    let part = sink::gradient(w, |dw, add| residual.products([dh, dw], add, [h, &w_], d))?;
                    dw = match (dw.take(), part) {
                        (Some(dw), Some(part)) => Some((dw + part)?),
                        (dw, part) => dw.or(part),
                    };
                    put_back(logits);
                }
                Ok(())
            })
        })?;
        Ok((Some(tensor(dh, (m, d))), dw))
    }
}

/// The largest block of logits that was given back: the next one needs no new memory.
static SPARE: Mutex<Option<CpuStorage>> = Mutex::new(None);

/// Memory for logits, with numbers that mean nothing.
fn spare<T: Elem>() -> Vec<T> {
    let spare = SPARE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    spare.and_then(T::into_vec).unwrap_or_default()
}

fn put_back<T: Elem>(logits: Vec<T>) {
    let mut spare = SPARE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let there = spare.as_mut().and_then(T::vec).map_or(0, |data| data.capacity());
    if logits.capacity() > there {
        *spare = Some(T::storage(logits));
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
        let (vocabulary, d) = wl.shape().dims2()?;
        by_type!(h, T => {
            let logp = self.forward::<T>(view(h, hl)?, view(w, wl)?, [vocabulary, d])?;
            Ok((T::storage(logp), self.targets.len().into()))
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        h: &CudaStorage,
        hl: &Layout,
        w: &CudaStorage,
        wl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (vocabulary, number) = (wl.dims()[0], h.dtype().size_in_bytes());
        let (m, kept) = (self.targets.len(), self.kept_rows(vocabulary, number));
        let keep = self.keep && kept == m;
        let rows = if keep { m } else { rows_within(CHUNK_BYTES, vocabulary, number) };
        let (logp, head) = by_type!(h, T => {
            cuda::Head::forward::<T>([(h, hl), (w, wl)], &self.targets, self.precision, rows, keep)
        })?;
        lock(&self.saved).gpu = Some(head);
        Ok((logp, self.targets.len().into()))
    }

    fn bwd(
        &self,
        h: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if h.device().is_cuda() {
            let rows = rows_within(self.kept_bytes, w.dim(0)?, h.dtype().size_in_bytes());
            let mut saved = lock(&self.saved);
            let Some(head) = &mut saved.gpu else {
                candle_core::bail!("log_probs: a backward before the forward")
            };
            let (dh, dw) = by_type!(h, T => head.backward::<T>([h, w, grad], self.precision, rows))?;
            return Ok((Some(dh), Some(dw)));
        }
        by_type!(h, T => with::<T, _>(grad, |grad| self.backward::<T>(h, w, grad)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    #[test]
    fn gradients_are_the_same_however_many_logits_were_kept() {
        let run = |kept_bytes, precision, dtype| {
            let draw = |n: usize, d: usize, step: f64| {
                let data: Vec<f64> = (0..n * d).map(|i| (i as f64 * step).sin()).collect();
                let tensor = Tensor::from_vec(data, (n, d), &Device::Cpu).unwrap();
                Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()
            };
            let (h, w) = (draw(150, 5, 0.7), draw(90, 5, 1.3));
            let saved = Arc::new(Mutex::new(Saved::default()));
            let targets = (0..150).map(|i| i % 90).collect();
            let op = Head { targets, precision, keep: true, kept_bytes, saved: saved.clone() };
            let logp = h.apply_op2(&w, op).unwrap();
            let kept = match &lock(&saved).logits {
                Some(CpuStorage::F32(logits)) => logits.len() / 90,
                Some(CpuStorage::F64(logits)) => logits.len() / 90,
                _ => 0,
            };
            let store = logp.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let gradient = |x: &Var| -> Vec<f64> {
                store.get(x).unwrap().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
            };
            (kept, gradient(&h), gradient(&w))
        };
        // At least 64 rows are; the backward's second chunk has 64 as well, and the third is what is left.
        for (precision, dtype, tolerance) in
            [(Precision::Full, DType::F64, 1e-12), (Precision::Bf16, DType::F32, 1e-6)]
        {
            let (kept, again) = (run(KEPT_BYTES, precision, dtype), run(0, precision, dtype));
            assert_eq!((kept.0, again.0), (150, ROWS));
            let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far(&kept.1, &again.1) < tolerance && far(&kept.2, &again.2) < 100.0 * tolerance);
        }
    }
}
