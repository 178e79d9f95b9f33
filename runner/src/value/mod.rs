//! Values that a model is written over: a [`Tensor`] gives the ordinary
//! forward pass, a [`Traced`] tensor remembers the steps that made it and gives gradients, a [`Dual`]
//! carries a tangent beside it and gives the Jacobian–vector product from the same lines of code, and a
//! tensor of a pass with a [`Cache`] goes on where earlier passes have ended.

mod activation;
mod attention;
mod cache;
mod census;
mod check;
mod composed;
mod cpu;
#[cfg(any(feature = "cuda", test))]
mod cuda;
mod dot;
mod dual;
mod erfc;
mod head;
mod layout;
mod linear;
mod norm;
mod precision;
mod product;
mod residual;
mod rotary;
mod rows;
mod selftest;
mod sink;
mod squares;
mod tangent;
mod tape;
mod tensor;
#[cfg(test)]
mod tests;

pub use cache::Cache;
pub(crate) use cache::Pass;
pub(crate) use census::Census;
#[cfg(test)]
pub(crate) use cpu::composed_only;
pub(crate) use cpu::{maximum, simd, with};
#[cfg(any(feature = "cuda", test))]
pub(crate) use cuda::Kernel;
#[cfg(feature = "cuda")]
pub(crate) use cuda::optimise;
#[cfg(test)]
pub(crate) use cuda::run_on_host;
pub use dual::Dual;
pub use head::logits_bytes;
pub use layout::{Layout, Span};
pub use precision::Precision;
pub use selftest::{OpReport, self_test, self_test_on};
pub(crate) use squares::{sum_of_squares, sums_of_squares};
pub use tape::{Tape, Traced};

use anyhow::Result;
use candle_core::Tensor;
use ldyn_core::diagnostics::TokenStats;

/// The Gaussian error linear units in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Exact GELU, x·Φ(x).
    Gelu,
    /// The tanh approximation (`gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`).
    GeluTanh,
    /// x·σ(x).
    Silu,
    /// max(x, 0).
    Relu,
}

/// Where the heads lie in a fused query–key–value row, and the rotation.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; query head h reads key head h / (heads / kv_heads).
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Leading dimensions of each head that rotate (even, at most `head_dim`), in the
    /// half-split form of GPT-NeoX and Qwen2: dimension i pairs with i + rotary_dim/2.
    pub rotary_dim: usize,
    /// Base of the rotation's frequencies: θ_i = base^(−2i/rotary_dim).
    pub rope_theta: f64,
    /// How a row of width (heads + 2·kv_heads)·head_dim is laid out.
    pub order: QkvOrder,
}

/// Order of the columns of a fused query–key–value row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkvOrder {
    /// For each head its query, key and value (GPT-NeoX); heads = kv_heads.
    PerHead,
    /// All queries, then all keys, then all values (Qwen2 after concatenation).
    Grouped,
}

/// What a model is computed with. Rows are packed tokens (see [`Layout`]):
/// every activation is a matrix `[rows, width]`.
pub trait Value: Clone {
    /// A value that does not depend on what is differentiated.
    fn constant(tensor: Tensor) -> Self;

    /// The value itself, without tangent.
    fn primal(&self) -> &Tensor;

    /// Block `number` of a model, which `run` computes from this value. A [`Tape`] may forget what happens in it and
    /// run it again for the backward pass.
    fn block(&self, number: usize, run: &dyn Fn(&Self) -> Result<Self>) -> Result<Self> {
        let _ = number;
        run(self)
    }

    /// Rows of the table `self` `[V, d]` at `ids` (u32 `[N]`): `[N, d]`. Also
    /// used to pick rows of an activation.
    fn rows(&self, ids: &Tensor) -> Result<Self>;

    /// `self · weightᵀ + bias`: `[N, i]`, `[o, i]`, `[o]` → `[N, o]`.
    fn linear(&self, weight: &Self, bias: Option<&Self>, precision: Precision) -> Result<Self>;

    /// Elementwise sum of equal shapes.
    fn add(&self, other: &Self) -> Result<Self>;

    /// Elementwise product of equal shapes.
    fn mul(&self, other: &Self) -> Result<Self>;

    /// Elementwise activation.
    fn activate(&self, activation: Activation) -> Result<Self>;

    /// Layer normalisation over the last dimension with scale and shift `[d]`.
    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self>;

    /// Root-mean-square normalisation over the last dimension with scale `[d]`.
    fn rms_norm(&self, weight: &Self, eps: f64) -> Result<Self>;

    /// Columns of several values side by side.
    fn concat(parts: &[&Self]) -> Result<Self>;

    /// Rotary positions and causal attention within the spans of `layout`, on fused
    /// rows: `[N, (heads + 2·kv_heads)·head_dim]` → `[N, heads·head_dim]`.
    fn attention(&self, attention: &Attention, layout: &Layout) -> Result<Self>;

    /// log π(target) of every row under the linear head `[V, d]`: `[M, d]` → `[M]`.
    /// The logits `[M, V]` are only ever held in chunks of rows. With `stats`, the
    /// rows' statistics of the primal are appended in order, from the same pass.
    fn log_probs(
        &self,
        head: &Self,
        targets: &[u32],
        precision: Precision,
        stats: Option<&mut Vec<TokenStats<f64>>>,
    ) -> Result<Self>;
}
