//! log π(target) under a linear head on a GPU: products by cuBLAS, and what is made of the logits by kernels.

use super::call::{Machine, Memory};
use super::device::{Gpu, Number};
use super::ops::{self, STATS};
use super::product::{gradients, logits, times_transposed};
use crate::value::Precision;
use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, Layout, Result, Tensor, bail};
use ldyn_core::Real;
use ldyn_core::diagnostics::TokenStats;

/// What the forward leaves on the GPU for the backward, and for who asks for statistics.
pub(in crate::value) struct Head {
    labels: CudaStorage,
    stats: CudaStorage,
    /// All logits `[M, V]`, if they were to be kept; used up by the first backward.
    logits: Option<CudaStorage>,
}

impl Head {
    /// log π(target) `[M]`, with so many rows of logits in memory at once; with `keep`, these are all rows.
    pub(in crate::value) fn forward<T: Number>(
        [(h, hl), (w, wl)]: [(&CudaStorage, &Layout); 2],
        targets: &[u32],
        precision: Precision,
        rows: usize,
        keep: bool,
    ) -> Result<(CudaStorage, Self)> {
        let gpu = Gpu::<T>::new(&h.device)?;
        let (m, vocabulary) = (targets.len(), wl.dims()[0]);
        if vocabulary > 1 << 24 {
            bail!("log_probs: a head of at most 2^24 labels expected on a GPU, found {vocabulary}")
        }
        let labels = gpu.table(targets)?;
        let (stats, logp) = (gpu.buffer(STATS * m)?, gpu.buffer(m)?);
        let mut kept = None;
        for first in (0..m).step_by(rows) {
            let n = rows.min(m - first);
            let logits = times_transposed([(h, &hl.narrow(0, first, n)?), (w, wl)], precision)?;
            let stats = gpu.at(&stats).part(STATS * first, STATS * n, size_of::<T>())?;
            let out = [stats, gpu.at(&logp).part(first, n, size_of::<T>())?];
            let labels = gpu.labels(&labels).part(first, n, size_of::<u32>())?;
            ops::token_stats(&gpu, gpu.whole(&logits)?, labels, out, vocabulary)?;
            kept = keep.then_some(logits);
        }
        let labels = CudaStorage::wrap_cuda_slice(labels, h.device.clone());
        Ok((gpu.storage(logp), Self { labels, stats: gpu.storage(stats), logits: kept }))
    }

    /// The rows' statistics. Waits for the GPU.
    pub(in crate::value) fn stats(&self) -> Result<Vec<TokenStats<f64>>> {
        let stats = self.stats.to_cpu_storage()?;
        let numbers: Vec<f64> = match &stats {
            candle_core::CpuStorage::F32(numbers) => numbers.iter().map(|x| x.to_f64()).collect(),
            candle_core::CpuStorage::F64(numbers) => numbers.clone(),
            other => bail!("statistics in f32 or f64 expected, found {:?}", other.dtype()),
        };
        let one = |s: &[f64]| TokenStats {
            logp: s[0],
            argmax: s[1] as usize,
            argmax_logp: s[2],
            rest_logp: s[3],
            sum_sq: s[4],
            rest_sq: s[5],
            entropy: s[6],
            log_z: s[7],
        };
        Ok(numbers.chunks_exact(STATS).map(one).collect())
    }

    /// Gradients by the rows and the head, with `rows` rows of logits in memory at once where they were not kept.
    pub(in crate::value) fn backward<T: Number>(
        &mut self,
        [h, w, grad]: [&Tensor; 3],
        precision: Precision,
        rows: usize,
    ) -> Result<(Tensor, Tensor)> {
        let (m, vocabulary) = (h.dim(0)?, w.dim(0)?);
        let (w, h) = (w.detach(), h.detach());
        let mut kept = self.logits.take();
        let rows = if kept.is_some() { m } else { rows };
        let (mut dh, mut dw): (Vec<Tensor>, Option<Tensor>) = (Vec::new(), None);
        for first in (0..m).step_by(rows) {
            let n = rows.min(m - first);
            let h = h.narrow(0, first, n)?;
            let z = match kept.take() {
                Some(logits) => Tensor::from_storage(
                    candle_core::Storage::Cuda(logits),
                    (n, vocabulary),
                    candle_core::op::BackpropOp::none(),
                    false,
                ),
                None => logits([&h, &w], precision)?,
            };
            super::device::with::<T, _, 1>([&grad.narrow(0, first, n)?], |gpu, [grad]| {
                let stats = gpu.whole(&self.stats)?.part(STATS * first, STATS * n, size_of::<T>())?;
                let labels = gpu.table_at(&self.labels)?.part(first, n, size_of::<u32>())?;
                let at: [Memory; 3] = [labels, stats, grad];
                super::device::in_place::<T>(&z, |gpu, z| ops::residual(gpu, z, at, vocabulary))
            })?;
            // By now the gradient by the logits.
            let [part_h, part] = gradients([&z, &h, &w], precision)?;
            dh.push(part_h);
            dw = Some(match dw {
                Some(dw) => (dw + part)?,
                None => part,
            });
        }
        let Some(dw) = dw else { bail!("log_probs: no rows") };
        Ok((Tensor::cat(&dh, 0)?, dw))
    }
}
