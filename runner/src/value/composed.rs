//! Every operation of [`Value`](super::Value) out of candle operations that have a backward.
//!
//! This is the definition that the fused forms are tested against, and what runs on devices and
//! in number types without a fused form. Nothing here looks at the device.

use super::activation::GELU_TANH;
use super::cache::Past;
use super::rotary::Rotary;
use super::{Activation, Attention, Layout, Precision, QkvOrder};
use anyhow::{Result, ensure};
use candle_core::{D, DType, Tensor};
use ldyn_core::diagnostics::TokenStats;
use std::f64::consts::FRAC_1_SQRT_2;

/// Rows of the head that are held at a time.
const HEAD_ROWS: usize = 256;

pub(super) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    precision: Precision,
) -> Result<Tensor> {
    let y = match precision {
        Precision::Bf16 => round_gradient(&rounded(x)?.matmul(&rounded(weight)?.t()?)?)?,
        Precision::Full | Precision::Tf32 => x.matmul(&weight.t()?)?,
    };
    Ok(match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    })
}

/// x rounded to bf16, whose gradient passes as if it were not: x + (r − x) is r exactly, so near do they lie.
fn rounded(x: &Tensor) -> Result<Tensor> {
    Ok((x + (Precision::Bf16.rounded(&x.detach())? - x.detach())?)?)
}

/// y itself, whose gradient is rounded to bf16: candle gives a tensor the gradient in its own type.
fn round_gradient(y: &Tensor) -> Result<Tensor> {
    let through = Precision::Bf16.rounded(y)?;
    Ok((y.detach() + (&through - through.detach())?)?)
}

/// From elementary functions: candle's own GELUs have a backward with constants of six digits.
pub(super) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Gelu => (x * (x * FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?)?,
        Activation::GeluTanh => {
            let inner = (x * x.sqr()?.affine(GELU_TANH.1 * GELU_TANH.0, GELU_TANH.0)?)?;
            (x * inner.tanh()?.affine(0.5, 0.5)?)?
        }
        Activation::Silu => x.silu()?,
        Activation::Relu => x.relu()?,
    })
}

pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    Ok(rms_norm(&centred, weight, eps)?.broadcast_add(bias)?)
}

pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let rms = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    Ok(x.broadcast_div(&rms)?.broadcast_mul(weight)?)
}

/// Queries `[heads, N, head_dim]` (rotated and scaled by 1/√head_dim), keys (rotated) and values
/// with one copy for each query head.
pub(super) fn heads(qkv: &Tensor, a: &Attention, layout: &Layout) -> Result<[Tensor; 3]> {
    let (n, hd) = (qkv.dim(0)?, a.head_dim);
    let parts = match a.order {
        QkvOrder::PerHead => {
            let split = qkv.reshape((n, a.heads, 3, hd))?;
            [0, 1, 2].map(|part| split.narrow(2, part, 1)?.squeeze(2))
        }
        QkvOrder::Grouped => {
            let part = |from, heads| qkv.narrow(1, from * hd, heads * hd)?.reshape((n, heads, hd));
            [part(0, a.heads), part(a.heads, a.kv_heads), part(a.heads + a.kv_heads, a.kv_heads)]
        }
    };
    let [q, k, v] = parts;
    let (q, k, v) = (q?, k?, v?);
    let rotary = Rotary::new(a, layout);
    let q = (rotate(&q, &rotary, layout)? * (1.0 / (hd as f64).sqrt()))?;
    let k = rotate(&k, &rotary, layout)?;
    let per_query = |x: Tensor| -> Result<Tensor> {
        let shared = a.heads / a.kv_heads;
        let x = x.unsqueeze(2)?.expand((n, a.kv_heads, shared, hd))?.reshape((n, a.heads, hd))?;
        Ok(x.transpose(0, 1)?.contiguous()?)
    };
    Ok([q.transpose(0, 1)?.contiguous()?, per_query(k)?, per_query(v)?])
}

fn rotate(x: &Tensor, rotary: &Rotary, layout: &Layout) -> Result<Tensor> {
    let half = rotary.half();
    let (n, _, head_dim) = x.dims3()?;
    let angles = |table: &[f64]| -> Result<Tensor> {
        let positions = Tensor::from_vec(layout.positions(), n, x.device())?;
        let table = Tensor::from_slice(table, (table.len() / half.max(1), half), x.device())?;
        Ok(table.to_dtype(x.dtype())?.index_select(&positions, 0)?.unsqueeze(1)?)
    };
    if half == 0 {
        return Ok(x.clone());
    }
    let (cos, sin) = (angles(rotary.cos())?, angles(rotary.sin())?);
    let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
    let pass = x.narrow(2, 2 * half, head_dim - 2 * half)?;
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    Ok(Tensor::cat(&[first, second, pass], 2)?)
}

/// 0 where a row attends, −∞ where it does not: `[N, N]`.
pub(super) fn mask(layout: &Layout, like: &Tensor) -> Result<Tensor> {
    let n = layout.n_rows();
    let mut mask = vec![f32::NEG_INFINITY; n * n];
    for span in layout.spans() {
        for row in span.start..span.start + span.len {
            if let Some(parent) = span.parent.map(|p| layout.spans()[p]) {
                mask[row * n + parent.start..][..parent.len].fill(0.0);
            }
            mask[row * n + span.start..=row * n + row].fill(0.0);
        }
    }
    Ok(Tensor::from_vec(mask, (n, n), like.device())?.to_dtype(like.dtype())?)
}

/// Softmax over the last dimension.
pub(super) fn softmax(scores: &Tensor) -> Result<Tensor> {
    let exp = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    Ok(exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?)
}

/// `[heads, N, head_dim]` → `[N, heads·head_dim]`.
pub(super) fn merge_heads(x: &Tensor) -> Result<Tensor> {
    Ok(x.transpose(0, 1)?.contiguous()?.flatten_from(1)?)
}

pub(super) fn attention(qkv: &Tensor, a: &Attention, layout: &Layout) -> Result<Tensor> {
    let [q, k, v] = heads(qkv, a, layout)?;
    let scores = q.matmul(&k.t()?)?.broadcast_add(&mask(layout, qkv)?)?;
    merge_heads(&softmax(&scores)?.matmul(&v)?)
}

/// Attention of the rows that `layout` puts behind `pasts`, which grow by their keys and values.
pub(super) fn cached_attention(
    qkv: &Tensor,
    a: &Attention,
    layout: &Layout,
    pasts: &mut [Past],
) -> Result<Tensor> {
    let new = heads(qkv, a, layout)?;
    let mut parts = Vec::with_capacity(pasts.len());
    for (span, past) in layout.spans().iter().zip(pasts) {
        let [q, k, v] = new.each_ref().map(|x| x.narrow(1, span.start, span.len)?.contiguous());
        let (mut k, mut v) = (k?, v?);
        match &past.tensors {
            Some([keys, values]) => (k, v) = (Tensor::cat(&[keys, &k], 1)?, Tensor::cat(&[values, &v], 1)?),
            None => ensure!(past.len == 0, "a cache of another number type or device: begin with a new one"),
        }
        past.len += span.len;
        let mut scores = q?.matmul(&k.t()?)?;
        if span.len > 1 {
            let hidden = |i: usize| {
                (0..past.len).map(move |j| if j > span.past + i { f32::NEG_INFINITY } else { 0.0 })
            };
            let mask: Vec<f32> = (0..span.len).flat_map(hidden).collect();
            let mask = Tensor::from_vec(mask, (span.len, past.len), qkv.device())?;
            scores = scores.broadcast_add(&mask.to_dtype(qkv.dtype())?)?;
        }
        parts.push(softmax(&scores)?.matmul(&v)?);
        past.tensors = Some([k, v]);
    }
    merge_heads(&Tensor::cat(&parts, 1)?)
}

pub(super) fn log_probs(
    h: &Tensor,
    head: &Tensor,
    targets: &[u32],
    precision: Precision,
    mut stats: Option<&mut Vec<TokenStats<f64>>>,
) -> Result<Tensor> {
    let mut parts = Vec::new();
    for (chunk, targets) in targets.chunks(HEAD_ROWS).enumerate() {
        let rows = h.narrow(0, chunk * HEAD_ROWS, targets.len())?;
        let logits = linear(&rows, head, None, precision)?;
        let max = logits.max_keepdim(1)?.detach();
        let log_z = (logits.broadcast_sub(&max)?.exp()?.sum_keepdim(1)?.log()? + max)?;
        let ids = Tensor::from_slice(targets, (targets.len(), 1), h.device())?;
        let logp = (logits.gather(&ids, 1)? - &log_z)?.squeeze(1)?;
        if let Some(stats) = stats.as_deref_mut() {
            row_stats(&logits.detach(), &log_z.detach(), &logp.detach(), stats)?;
        }
        parts.push(logp);
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// Appends the statistics of each row of `logits` `[m, V]`.
fn row_stats(logits: &Tensor, log_z: &Tensor, logp: &Tensor, stats: &mut Vec<TokenStats<f64>>) -> Result<()> {
    let vocabulary = logits.dim(1)?;
    let log_pi = logits.broadcast_sub(log_z)?;
    let pi = log_pi.exp()?;
    let max = logits.max_keepdim(1)?;
    let labels = Tensor::arange(0, vocabulary as u32, logits.device())?.broadcast_as(logits.shape())?;
    let last = Tensor::new(vocabulary as u32, logits.device())?.broadcast_as(logits.shape())?;
    let argmax = logits.broadcast_eq(&max)?.where_cond(&labels, &last)?.min_keepdim(1)?;
    let rest = labels.broadcast_ne(&argmax)?.where_cond(&pi, &pi.zeros_like()?)?;
    let column = |x: &Tensor| -> Result<Vec<f64>> { Ok(x.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?) };
    let (logp, log_z, argmax_logp) = (column(logp)?, column(log_z)?, column(&max.sub(log_z)?)?);
    let (rest_sq, sum_sq) = (column(&rest.sqr()?.sum(1)?)?, column(&pi.sqr()?.sum(1)?)?);
    let rest = column(&rest.sum(1)?)?;
    // 0·(−∞) is 0 here: a label without mass adds nothing.
    let surprise = pi.ne(0.0)?.where_cond(&(&pi * &log_pi)?, &pi.zeros_like()?)?;
    let entropy = column(&surprise.sum(1)?.neg()?)?;
    let argmax = argmax.flatten_all()?.to_vec1::<u32>()?;
    for row in 0..logp.len() {
        stats.push(TokenStats {
            logp: logp[row],
            argmax: argmax[row] as usize,
            argmax_logp: argmax_logp[row],
            rest_logp: rest[row].ln(),
            sum_sq: sum_sq[row],
            rest_sq: rest_sq[row],
            entropy: entropy[row],
            log_z: log_z[row],
        });
    }
    Ok(())
}
