//! Forward mode: a tensor and its derivatives along directions.

use super::cpu::fused;
use super::norm::Norm;
use super::{Activation, Attention, Layout, Precision, Value, check, head, tangent};
use anyhow::{Result, ensure};
use candle_core::Tensor;
use ldyn_core::diagnostics::TokenStats;

/// A tensor and its derivative along each of some directions. A model run over `Dual`s, with the
/// directions as the tangents of its parameters, gives the Jacobian–vector products beside its output;
/// what does not depend on the direction is computed once for all.
///
/// Nothing is recorded for a backward: all parts are detached. Tangents are never rounded: see [`Precision`].
#[derive(Clone, Debug)]
pub struct Dual {
    /// The value.
    pub primal: Tensor,
    /// Its derivatives, one a direction, of the value's shape; `None`, or a missing end of the list, is
    /// zero and costs nothing.
    pub tangents: Vec<Option<Tensor>>,
}

/// The derivatives of what `f` computes from those of `parts` along one direction.
fn along(
    parts: &[&Dual],
    f: impl Fn(&[Option<&Tensor>]) -> Result<Option<Tensor>>,
) -> Result<Vec<Option<Tensor>>> {
    let directions = parts.iter().map(|p| p.tangents.len()).max().unwrap_or(0);
    (0..directions).map(|i| f(&parts.iter().map(|p| p.tangent(i)).collect::<Vec<_>>())).collect()
}

impl Dual {
    /// A value that moves along `tangents`.
    ///
    /// # Errors
    /// One of them differs from the value in shape, number type or device.
    pub fn new(primal: &Tensor, tangents: &[Option<&Tensor>]) -> Result<Self> {
        for tangent in tangents.iter().flatten() {
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
        let tangents = tangents.iter().map(|t| t.map(Tensor::detach)).collect();
        Ok(Self { primal: primal.detach(), tangents })
    }

    /// The derivative along direction `i`, where it is not zero.
    pub fn tangent(&self, i: usize) -> Option<&Tensor> {
        self.tangents.get(i)?.as_ref()
    }

    /// x̂∘weight + bias, with the derivatives of all three.
    fn norm(&self, norm: Norm, primal: Tensor, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        let parts: Vec<&Self> = [self, weight].into_iter().chain(bias).collect();
        let tangents = along(&parts, |d| {
            let shift = d.get(2).copied().flatten();
            let mut total = shift.map(|db| db.broadcast_as(primal.shape())).transpose()?;
            if d[0].is_some() || d[1].is_some() {
                let (unit, dunit) = tangent::normalise(&self.primal, d[0], norm)?;
                let along_x = dunit.map(|du| du.broadcast_mul(&weight.primal)).transpose()?;
                let along_weight = d[1].map(|dw| unit.broadcast_mul(dw)).transpose()?;
                total = tangent::sum(tangent::sum(along_x, along_weight)?, total)?;
            }
            Ok(total)
        })?;
        Ok(Self { primal, tangents })
    }
}

impl Value for Dual {
    fn constant(tensor: Tensor) -> Self {
        Self { primal: tensor.detach(), tangents: Vec::new() }
    }

    fn primal(&self) -> &Tensor {
        &self.primal
    }

    fn rows(&self, ids: &Tensor) -> Result<Self> {
        let tangents = along(&[self], |d| d[0].map(|t| Value::rows(t, ids)).transpose())?;
        Ok(Self { primal: Value::rows(&self.primal, ids)?, tangents })
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>, precision: Precision) -> Result<Self> {
        let primal = self.primal.linear(&weight.primal, bias.map(|b| &b.primal), precision)?;
        let (x, w) = (precision.rounded(&self.primal)?, precision.rounded(&weight.primal)?);
        let parts: Vec<&Self> = [self, weight].into_iter().chain(bias).collect();
        let tangents = along(&parts, |d| {
            let along_x = d[0].map(|dx| dx.linear(&w, None, Precision::Full)).transpose()?;
            let along_weight = d[1].map(|dw| x.linear(dw, None, Precision::Full)).transpose()?;
            let shift = d.get(2).copied().flatten();
            let along_bias = shift.map(|db| db.broadcast_as(primal.shape())).transpose()?;
            Ok(tangent::sum(tangent::sum(along_x, along_weight)?, along_bias)?)
        })?;
        Ok(Self { primal, tangents })
    }

    fn add(&self, other: &Self) -> Result<Self> {
        let tangents = along(&[self, other], |d| Ok(tangent::sum(d[0].cloned(), d[1].cloned())?))?;
        Ok(Self { primal: Value::add(&self.primal, &other.primal)?, tangents })
    }

    fn mul(&self, other: &Self) -> Result<Self> {
        let tangents = along(&[self, other], |d| {
            let left = d[0].map(|d| d.mul(&other.primal)).transpose()?;
            let right = d[1].map(|d| self.primal.mul(d)).transpose()?;
            Ok(tangent::sum(left, right)?)
        })?;
        Ok(Self { primal: Value::mul(&self.primal, &other.primal)?, tangents })
    }

    fn activate(&self, activation: Activation) -> Result<Self> {
        let one = |dx: &Tensor| tangent::activate(&self.primal, dx, activation);
        let tangents = along(&[self], |d| d[0].map(one).transpose())?;
        Ok(Self { primal: self.primal.activate(activation)?, tangents })
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
        let tangents = along(parts, |d| {
            if d.iter().all(Option::is_none) {
                return Ok(None);
            }
            let filled =
                d.iter().zip(&primals).map(|(d, p)| d.map_or_else(|| p.zeros_like(), |d| Ok(d.clone())));
            Ok(Some(Tensor::cat(&filled.collect::<candle_core::Result<Vec<_>>>()?, 1)?))
        })?;
        Ok(Self { primal: Value::concat(&primals)?, tangents })
    }

    fn attention(&self, attention: &Attention, layout: &Layout) -> Result<Self> {
        let primal = self.primal.attention(attention, layout)?;
        let one = |dqkv: &Tensor| tangent::attention(&self.primal, dqkv, attention, layout);
        Ok(Self { primal, tangents: along(&[self], |d| d[0].map(one).transpose())? })
    }

    fn log_probs(
        &self,
        head: &Self,
        targets: &[u32],
        precision: Precision,
        stats: Option<&mut Vec<TokenStats<f64>>>,
    ) -> Result<Self> {
        let primals = [&self.primal, &head.primal];
        let moves = |x: &Self| x.tangents.iter().any(Option::is_some);
        if fused(&primals) && (moves(self) || moves(head)) {
            check::log_probs(primals[0], primals[1], targets, precision)?;
            let moves = [&self.tangents[..], &head.tangents];
            let (primal, tangents) = head::log_probs_along(primals, moves, targets, precision, stats)?;
            return Ok(Self { primal, tangents });
        }
        let primal = self.primal.log_probs(&head.primal, targets, precision, stats)?;
        let tangents =
            along(&[self, head], |d| tangent::log_probs(primals, [d[0], d[1]], targets, precision))?;
        Ok(Self { primal, tangents })
    }
}
