//! [`Value`] for candle's tensors: fused on the CPU in f32 and f64, composed elsewhere.

use super::cpu::{self, fused, fused_anywhere};
use super::{
    Activation, Attention, Layout, Precision, Value, activation, attention as fused_attention, check,
    composed, head, linear, norm, rows,
};
use anyhow::{Result, ensure};
use candle_core::Tensor;
use ldyn_core::diagnostics::TokenStats;

impl Value for Tensor {
    fn constant(tensor: Tensor) -> Self {
        tensor.detach()
    }

    fn primal(&self) -> &Tensor {
        self
    }

    fn rows(&self, ids: &Tensor) -> Result<Self> {
        check::rows(self, ids)?;
        if fused(&[self]) {
            return Ok(rows::rows(self, ids)?);
        }
        Ok(self.contiguous()?.index_select(ids, 0)?)
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>, precision: Precision) -> Result<Self> {
        check::linear(self, weight, bias, precision)?;
        let bias_too = bias.unwrap_or(weight);
        if fused_anywhere(&[self, weight, bias_too]) {
            return Ok(linear::linear(self, weight, bias, precision)?);
        }
        composed::linear(self, weight, bias, precision)
    }

    fn add(&self, other: &Self) -> Result<Self> {
        check::same_shape("add", self, other)?;
        Ok(cpu::add(self, other)?)
    }

    fn mul(&self, other: &Self) -> Result<Self> {
        check::same_shape("mul", self, other)?;
        Ok(cpu::mul(self, other)?)
    }

    fn activate(&self, activation: Activation) -> Result<Self> {
        if fused_anywhere(&[self]) {
            return Ok(activation::activate(self, activation)?);
        }
        composed::activate(self, activation)
    }

    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        check::norm("layer_norm", self, &[weight, bias])?;
        if fused_anywhere(&[self, weight, bias]) {
            return Ok(norm::layer_norm(self, weight, bias, eps)?);
        }
        composed::layer_norm(self, weight, bias, eps)
    }

    fn rms_norm(&self, weight: &Self, eps: f64) -> Result<Self> {
        check::norm("rms_norm", self, &[weight])?;
        if fused_anywhere(&[self, weight]) {
            return Ok(norm::rms_norm(self, weight, eps)?);
        }
        composed::rms_norm(self, weight, eps)
    }

    fn concat(parts: &[&Self]) -> Result<Self> {
        ensure!(!parts.is_empty(), "concat: at least one part expected");
        Ok(Tensor::cat(parts, 1)?)
    }

    fn attention(&self, attention: &Attention, layout: &Layout) -> Result<Self> {
        check::attention(self, attention, layout)?;
        check::without_past(layout)?;
        if fused_attention::fused(self, attention) {
            return Ok(fused_attention::attention(self, attention, layout)?);
        }
        composed::attention(self, attention, layout)
    }

    fn log_probs(
        &self,
        head: &Self,
        targets: &[u32],
        precision: Precision,
        stats: Option<&mut Vec<TokenStats<f64>>>,
    ) -> Result<Self> {
        check::log_probs(self, head, targets, precision)?;
        if fused_anywhere(&[self, head]) {
            return Ok(head::log_probs(self, head, targets, precision, stats)?);
        }
        composed::log_probs(self, head, targets, precision, stats)
    }
}
