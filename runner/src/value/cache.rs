//! [`Value`] for a forward pass that goes on where earlier ones have ended: the keys and values of
//! all rows so far are kept in a [`Cache`], so that a further token costs one row.
//!
//! On the CPU the attention has the bits that it has without a cache. Products of a step, in which
//! every sequence grows by one row, are summed in an order of their own (see [`dot`]); it
//! does not depend on the other sequences either.

use super::cpu::fused;
use super::{Activation, Attention, Layout, Precision, Value, attention, check, composed, dot};
use anyhow::{Result, bail, ensure};
use candle_core::Tensor;
use ldyn_core::diagnostics::TokenStats;
use std::cell::{Cell, RefCell};

/// The keys and values that a batch of sequences has left in every layer of a model. It is filled
/// by [`Model::next_logits`](crate::model::Model::next_logits); nothing in it can be differentiated.
#[derive(Debug, Default)]
pub struct Cache {
    /// By layer, then by sequence.
    layers: Vec<Vec<Past>>,
}

/// The keys and values of one sequence in one layer.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Rows held.
    pub len: usize,
    /// By key head, where the fused operations compute.
    pub heads: Vec<attention::KeyValues>,
    /// Keys and values `[heads, len, head_dim]`, where the composed ones do.
    pub tensors: Option<[Tensor; 2]>,
}

impl Cache {
    /// A cache of no sequences.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows held of each sequence.
    pub fn lens(&self) -> Vec<usize> {
        self.layers.first().map_or(Vec::new(), |pasts| pasts.iter().map(|past| past.len).collect())
    }

    /// The layout of a pass in which every sequence grows by one row.
    pub fn step(&self) -> Layout {
        let mut layout = Layout::new();
        for past in self.lens() {
            layout.push_behind(1, past).expect("a span of one row");
        }
        layout
    }

    /// Drops the sequences whose place in `keep` is false; the others move up.
    ///
    /// # Errors
    /// `keep` is not one choice a sequence.
    pub fn retain(&mut self, keep: &[bool]) -> Result<()> {
        let held = self.lens().len();
        ensure!(keep.len() == held, "{} choices for the {held} sequences of a cache", keep.len());
        for pasts in &mut self.layers {
            let mut keep = keep.iter();
            pasts.retain(|_| keep.next() == Some(&true));
        }
        Ok(())
    }

    /// Takes over the sequences of another cache of the same model, behind its own.
    ///
    /// # Errors
    /// The other is of a model with another number of layers.
    pub fn append(&mut self, other: Self) -> Result<()> {
        if self.layers.is_empty() {
            *self = other;
            return Ok(());
        }
        let layers = [self.layers.len(), other.layers.len()];
        ensure!(layers[0] == layers[1], "caches of {} and of {} layers: use one model", layers[0], layers[1]);
        for (pasts, more) in self.layers.iter_mut().zip(other.layers) {
            pasts.extend(more);
        }
        Ok(())
    }
}

const OTHER: &str =
    "it is of another model, or a pass that failed has left it unfinished; begin with a new one";

/// A forward pass over the rows that `layout` adds to the sequences of a cache.
pub(crate) struct Pass<'a> {
    cache: RefCell<&'a mut Cache>,
    /// Attentions so far.
    layer: Cell<usize>,
    /// Every sequence grows by one row.
    step: bool,
}

impl<'a> Pass<'a> {
    /// A pass of a model with so many `layers`.
    ///
    /// # Errors
    /// `layout` does not go on where the cache ends: span i must be behind all rows of its
    /// sequence i, or no sequence be held and none be behind any. A cache with other layers.
    pub(crate) fn new(cache: &'a mut Cache, layout: &Layout, layers: usize) -> Result<Self> {
        let held = cache.layers.len();
        ensure!(held == 0 || held == layers, "a cache of {held} layers for {layers}: {OTHER}");
        let spans = layout.spans();
        if let Some(i) = spans.iter().position(|span| span.parent.is_some()) {
            bail!("span {i} shares its prompt, which a cache cannot: give it a sequence of its own")
        }
        let mut held = cache.lens();
        if held.is_empty() {
            held = vec![0; spans.len()];
        }
        let past: Vec<usize> = spans.iter().map(|span| span.past).collect();
        ensure!(
            past == held,
            "a cache that holds {held:?} rows of its sequences, and a layout behind {past:?} rows: \
             give every sequence one span behind all its rows"
        );
        let step = spans.iter().all(|span| span.past > 0 && span.len == 1);
        Ok(Self { cache: RefCell::new(cache), layer: Cell::new(0), step })
    }

    /// A value of this pass.
    pub(crate) fn value(&self, tensor: Tensor) -> Cached<'_, 'a> {
        Cached { tensor, pass: Some(self) }
    }
}

/// A tensor of a [`Pass`].
#[derive(Clone)]
pub(crate) struct Cached<'p, 'a> {
    tensor: Tensor,
    pass: Option<&'p Pass<'a>>,
}

impl Cached<'_, '_> {
    fn with(&self, tensor: Tensor) -> Self {
        Self { tensor, pass: self.pass }
    }
}

impl Value for Cached<'_, '_> {
    fn constant(tensor: Tensor) -> Self {
        Self { tensor: tensor.detach(), pass: None }
    }

    fn primal(&self) -> &Tensor {
        &self.tensor
    }

    fn rows(&self, ids: &Tensor) -> Result<Self> {
        Ok(self.with(Value::rows(&self.tensor, ids)?))
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>, precision: Precision) -> Result<Self> {
        let (x, weight, bias) = (&self.tensor, &weight.tensor, bias.map(|b| &b.tensor));
        if self.pass.is_some_and(|pass| pass.step) && fused(&[x, weight, bias.unwrap_or(weight)]) {
            check::linear(x, weight, bias, precision)?;
            let (x, weight) = (precision.rounded(x)?, precision.rounded(weight)?);
            return Ok(self.with(dot::linear(&x, &weight, bias)?));
        }
        Ok(self.with(x.linear(weight, bias, precision)?))
    }

    fn add(&self, other: &Self) -> Result<Self> {
        Ok(self.with(Value::add(&self.tensor, &other.tensor)?))
    }

    fn mul(&self, other: &Self) -> Result<Self> {
        Ok(self.with(Value::mul(&self.tensor, &other.tensor)?))
    }

    fn activate(&self, activation: Activation) -> Result<Self> {
        Ok(self.with(self.tensor.activate(activation)?))
    }

    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        Ok(self.with(self.tensor.layer_norm(&weight.tensor, &bias.tensor, eps)?))
    }

    fn rms_norm(&self, weight: &Self, eps: f64) -> Result<Self> {
        Ok(self.with(self.tensor.rms_norm(&weight.tensor, eps)?))
    }

    fn concat(parts: &[&Self]) -> Result<Self> {
        let tensors: Vec<&Tensor> = parts.iter().map(|part| &part.tensor).collect();
        Ok(Self { tensor: Value::concat(&tensors)?, pass: parts[0].pass })
    }

    /// Attends to the cached rows of each sequence too, and adds the new ones to the cache. A model
    /// asks for one attention a layer, in order.
    fn attention(&self, a: &Attention, layout: &Layout) -> Result<Self> {
        let Some(pass) = self.pass else {
            return Ok(self.with(self.tensor.attention(a, layout)?));
        };
        check::attention(&self.tensor, a, layout)?;
        let layer = pass.layer.replace(pass.layer.get() + 1);
        let layers = &mut pass.cache.borrow_mut().layers;
        if layer == layers.len() {
            layers.push(Vec::new());
        }
        let pasts = &mut layers[layer];
        if pasts.is_empty() {
            pasts.resize_with(layout.spans().len(), Past::default);
        }
        let fits = |(past, span): (&Past, &super::Span)| past.len == span.past;
        ensure!(
            pasts.len() == layout.spans().len() && pasts.iter().zip(layout.spans()).all(fits),
            "the cache holds other rows in layer {layer} than in the first: {OTHER}"
        );
        Ok(self.with(if fused(&[&self.tensor]) {
            attention::cached(&self.tensor, a, layout, pasts)?
        } else {
            composed::cached_attention(&self.tensor, a, layout, pasts)?
        }))
    }

    fn log_probs(
        &self,
        head: &Self,
        targets: &[u32],
        precision: Precision,
        stats: Option<&mut Vec<TokenStats<f64>>>,
    ) -> Result<Self> {
        Ok(self.with(self.tensor.log_probs(&head.tensor, targets, precision, stats)?))
    }
}
