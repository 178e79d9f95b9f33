//! Derivatives along a direction, one function an operation: fused where
//! [`fused`](super::cpu::fused) or [`fused_anywhere`](super::cpu::fused_anywhere) says so, out of candle operations elsewhere.

use super::cpu::{fused, fused_anywhere};
use super::{Activation, Attention, Layout, Precision, activation, attention, composed, norm};
use anyhow::Result;
use candle_core::{D, Tensor};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// Rows of the head that are held at a time.
const HEAD_ROWS: usize = 64;

/// f'(x) ∘ dx.
pub(super) fn activate(x: &Tensor, dx: &Tensor, activation: Activation) -> Result<Tensor> {
    if fused_anywhere(&[x, dx]) {
        return Ok(activation::slope_times(x, dx, activation)?);
    }
    let slope = match activation {
        Activation::Gelu => {
            let phi = (x * FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?;
            let density = (x.sqr()? * -0.5)?.exp()?.affine(0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2, 0.0)?;
            (phi + (x * density)?)?
        }
        Activation::GeluTanh => {
            let (root, cubic) = activation::GELU_TANH;
            let tanh = (x * x.sqr()?.affine(cubic * root, root)?)?.tanh()?;
            let steep = x.sqr()?.affine(3.0 * cubic * root, root)?;
            let curve = (tanh.sqr()?.affine(-0.5, 0.5)? * (x * steep)?)?;
            (tanh.affine(0.5, 0.5)? + curve)?
        }
        Activation::Silu => {
            let s = (x.neg()?.exp()? + 1.0)?.recip()?;
            (&s * (x * s.affine(-1.0, 1.0)?)?.affine(1.0, 1.0)?)?
        }
        Activation::Relu => x.gt(0.0)?.to_dtype(x.dtype())?,
    };
    Ok((slope * dx)?)
}

/// The normalised rows x̂, and their derivative along dx.
pub(super) fn normalise(
    x: &Tensor,
    dx: Option<&Tensor>,
    norm: norm::Norm,
) -> Result<(Tensor, Option<Tensor>)> {
    let centre = |x: &Tensor| -> Result<Tensor> {
        Ok(if norm.centred { x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)? } else { x.clone() })
    };
    let centred = centre(x)?;
    let rms = (centred.sqr()?.mean_keepdim(D::Minus1)? + norm.eps)?.sqrt()?;
    let unit = centred.broadcast_div(&rms)?;
    let Some(dx) = dx else { return Ok((unit, None)) };
    if fused_anywhere(&[x, dx]) {
        return Ok((unit, Some(norm.derivative_along(x, dx)?)));
    }
    let along = (&unit * dx)?.mean_keepdim(D::Minus1)?;
    let derivative = (centre(dx)? - unit.broadcast_mul(&along)?)?.broadcast_div(&rms)?;
    Ok((unit, Some(derivative)))
}

/// The derivative of the attention along `dqkv`.
pub(super) fn attention(qkv: &Tensor, dqkv: &Tensor, a: &Attention, layout: &Layout) -> Result<Tensor> {
    if fused(&[qkv, dqkv]) {
        return Ok(attention::tangent(qkv, dqkv, a, layout)?);
    }
    let [q, k, v] = composed::heads(qkv, a, layout)?;
    let [dq, dk, dv] = composed::heads(dqkv, a, layout)?;
    let scores = q.matmul(&k.t()?)?.broadcast_add(&composed::mask(layout, qkv)?)?;
    let p = composed::softmax(&scores)?;
    let ds = (dq.matmul(&k.t()?)? + q.matmul(&dk.t()?)?)?;
    let dp = (&p * ds.broadcast_sub(&(&p * &ds)?.sum_keepdim(D::Minus1)?)?)?;
    composed::merge_heads(&(dp.matmul(&v)? + p.matmul(&dv)?)?)
}

/// The derivative of log π(target): (dz)_y − ⟨π, dz⟩ with dz = dh·Wᵀ + h·dWᵀ, h and W as the product z took them.
pub(super) fn log_probs(
    [h, head]: [&Tensor; 2],
    [dh, dhead]: [Option<&Tensor>; 2],
    targets: &[u32],
    precision: Precision,
) -> Result<Option<Tensor>> {
    if dh.is_none() && dhead.is_none() {
        return Ok(None);
    }
    let taken = precision.rounded(head)?;
    let mut parts = Vec::new();
    for (chunk, targets) in targets.chunks(HEAD_ROWS).enumerate() {
        let narrow = |x: &Tensor| x.narrow(0, chunk * HEAD_ROWS, targets.len());
        let times = |x: &Tensor, w: &Tensor, precision| composed::linear(x, w, None, precision);
        let rows = narrow(h)?;
        let along_h = dh.map(|dh| times(&narrow(dh)?, &taken, Precision::Full)).transpose()?;
        let along_head =
            dhead.map(|dhead| times(&precision.rounded(&rows)?, dhead, Precision::Full)).transpose()?;
        let Some(dz) = sum(along_h, along_head)? else { continue };
        let pi = composed::softmax(&times(&rows, head, precision)?)?;
        let ids = Tensor::from_slice(targets, (targets.len(), 1), h.device())?;
        parts.push((dz.gather(&ids, 1)?.squeeze(1)? - (pi * dz)?.sum(1)?)?);
    }
    Ok(Some(Tensor::cat(&parts, 0)?))
}

/// The sum of what is there.
pub(super) fn sum(a: Option<Tensor>, b: Option<Tensor>) -> candle_core::Result<Option<Tensor>> {
    Ok(match (a, b) {
        (Some(a), Some(b)) => Some((a + b)?),
        (a, b) => a.or(b),
    })
}
