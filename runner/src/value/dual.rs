//! Forward mode: a tensor and its derivative along one direction.

use super::cpu::fused;
use super::norm::Norm;
use super::{Activation, Attention, Layout, Value, check, head, tangent};
use anyhow::{Result, ensure};
use candle_core::Tensor;
use ldyn_core::diagnostics::TokenStats;

/// A tensor and its derivative along one direction. A model run over `Dual`s, with the direction
/// as the tangents of its parameters, gives the Jacobian–vector product beside its output.
///
/// Nothing is recorded for a backward: both parts are detached.
#[derive(Clone, Debug)]
pub struct Dual {
    /// The value.
    pub primal: Tensor,
    /// Its derivative, of the same shape; `None` is zero and costs nothing.
    pub tangent: Option<Tensor>,
}

impl Dual {
    /// A value that moves along `tangent`.
    ///
    /// # Errors
    /// The two differ in shape, number type or device.
    pub fn new(primal: &Tensor, tangent: Option<&Tensor>) -> Result<Self> {
        if let Some(tangent) = tangent {
            ensure!(
                tangent.dims() == primal.dims()
                    && tangent.dtype() == primal.dtype()
                    && tangent.device().same_device(primal.device()),
                "a tangent like its value expected ({:?} {:?}), found {:?} {:?} (or another device)",
                primal.dims(),
                primal.dtype(),
                tangent.dims(),
                tangent.dtype()
            );
        }
        Ok(Self { primal: primal.detach(), tangent: tangent.map(Tensor::detach) })
    }

    /// x̂∘weight + bias, with the derivatives of all three.
    fn norm(&self, norm: Norm, primal: Tensor, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        let dbias = bias.and_then(|b| b.tangent.as_ref());
        let mut total = dbias.map(|db| db.broadcast_as(primal.shape())).transpose()?;
        if self.tangent.is_some() || weight.tangent.is_some() {
            let (unit, dunit) = tangent::normalise(&self.primal, self.tangent.as_ref(), norm)?;
            let along_x = dunit.map(|d| d.broadcast_mul(&weight.primal)).transpose()?;
            let along_weight = weight.tangent.as_ref().map(|dw| unit.broadcast_mul(dw)).transpose()?;
            total = tangent::sum(tangent::sum(along_x, along_weight)?, total)?;
        }
        Ok(Self { primal, tangent: total })
    }
}

impl Value for Dual {
    fn constant(tensor: Tensor) -> Self {
        Self { primal: tensor.detach(), tangent: None }
    }

    fn primal(&self) -> &Tensor {
        &self.primal
    }

    fn rows(&self, ids: &Tensor) -> Result<Self> {
        let tangent = self.tangent.as_ref().map(|t| Value::rows(t, ids)).transpose()?;
        Ok(Self { primal: Value::rows(&self.primal, ids)?, tangent })
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        let primal = self.primal.linear(&weight.primal, bias.map(|b| &b.primal))?;
        let along_x = self.tangent.as_ref().map(|dx| dx.linear(&weight.primal, None)).transpose()?;
        let along_weight = weight.tangent.as_ref().map(|dw| self.primal.linear(dw, None)).transpose()?;
        let dbias = bias.and_then(|b| b.tangent.as_ref());
        let along_bias = dbias.map(|db| db.broadcast_as(primal.shape())).transpose()?;
        let tangent = tangent::sum(tangent::sum(along_x, along_weight)?, along_bias)?;
        Ok(Self { primal, tangent })
    }

    fn add(&self, other: &Self) -> Result<Self> {
        let tangent = tangent::sum(self.tangent.clone(), other.tangent.clone())?;
        Ok(Self { primal: Value::add(&self.primal, &other.primal)?, tangent })
    }

    fn mul(&self, other: &Self) -> Result<Self> {
        let left = self.tangent.as_ref().map(|d| d.mul(&other.primal)).transpose()?;
        let right = other.tangent.as_ref().map(|d| self.primal.mul(d)).transpose()?;
        Ok(Self { primal: Value::mul(&self.primal, &other.primal)?, tangent: tangent::sum(left, right)? })
    }

    fn activate(&self, activation: Activation) -> Result<Self> {
        let along = |dx: &Tensor| tangent::activate(&self.primal, dx, activation);
        let tangent = self.tangent.as_ref().map(along).transpose()?;
        Ok(Self { primal: self.primal.activate(activation)?, tangent })
    }

    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        let primal = self.primal.layer_norm(&weight.primal, &bias.primal, eps)?;
        self.norm(Norm { centred: true, eps }, primal, weight, Some(bias))
    }

    fn rms_norm(&self, weight: &Self, eps: f64) -> Result<Self> {
        let primal = self.primal.rms_norm(&weight.primal, eps)?;
        self.norm(Norm { centred: false, eps }, primal, weight, None)
    }

    fn concat(parts: &[&Self]) -> Result<Self> {
        let primals: Vec<&Tensor> = parts.iter().map(|p| &p.primal).collect();
        let primal = Value::concat(&primals)?;
        if parts.iter().all(|p| p.tangent.is_none()) {
            return Ok(Self { primal, tangent: None });
        }
        let tangents = parts.iter().map(|p| match &p.tangent {
            Some(tangent) => Ok(tangent.clone()),
            None => p.primal.zeros_like(),
        });
        let tangents = tangents.collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Self { primal, tangent: Some(Tensor::cat(&tangents, 1)?) })
    }

    fn attention(&self, attention: &Attention, layout: &Layout) -> Result<Self> {
        let primal = self.primal.attention(attention, layout)?;
        let along = |dqkv: &Tensor| tangent::attention(&self.primal, dqkv, attention, layout);
        Ok(Self { primal, tangent: self.tangent.as_ref().map(along).transpose()? })
    }

    fn log_probs(
        &self,
        head: &Self,
        targets: &[u32],
        stats: Option<&mut Vec<TokenStats<f64>>>,
    ) -> Result<Self> {
        let primals = [&self.primal, &head.primal];
        let tangents = [self.tangent.as_ref(), head.tangent.as_ref()];
        if fused(&primals) && tangents.iter().any(Option::is_some) {
            check::log_probs(primals[0], primals[1], targets)?;
            let (primal, rows, tangent) = head::log_probs_along(primals, tangents, targets)?;
            stats.into_iter().for_each(|stats| stats.extend_from_slice(&rows));
            return Ok(Self { primal, tangent: Some(tangent) });
        }
        let primal = self.primal.log_probs(&head.primal, targets, stats)?;
        let tangent = tangent::log_probs(primals, tangents, targets)?;
        Ok(Self { primal, tangent })
    }
}
