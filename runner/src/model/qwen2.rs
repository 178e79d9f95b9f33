//! Qwen2, the architecture of Qwen1.5 and of the dense Qwen2 models.
//! Parameters have their names in Hugging Face's files.

use super::config::ModelConfig;
use super::layers::{Lookup, Module, Parameters};
use crate::value::{Layout, Precision, Value};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(super) const HEAD: &str = "lm_head.weight";
/// Ends of the names of buffers that old files carry and nobody reads.
pub(super) const BUFFERS: [&str; 1] = [".self_attn.rotary_emb.inv_freq"];

/// Hidden rows `[N, d]` after the last norm, for `ids` (u32 `[N]`) packed as `layout` says.
///
/// # Errors
/// A parameter that `params` does not know, or a failed operation.
pub fn hidden<V: Value>(
    config: &ModelConfig,
    params: &Lookup<V>,
    precision: Precision,
    ids: &Tensor,
    layout: &Layout,
) -> Result<V> {
    let model = Module::new(params, precision, "model".into());
    let mut x = model.embed("embed_tokens", ids)?;
    for layer in 0..config.layers {
        x = x.block(layer, &|x| block(config, params, precision, layer, x, layout))?;
    }
    model.rms_norm("norm", config.norm_eps, &x)
}

/// One layer, on the rows `[N, d]` before it.
pub(super) fn block<V: Value>(
    config: &ModelConfig,
    params: &Lookup<V>,
    precision: Precision,
    layer: usize,
    x: &V,
    layout: &Layout,
) -> Result<V> {
    let eps = config.norm_eps;
    let m = Module::new(params, precision, format!("model.layers.{layer}"));
    let normed = m.rms_norm("input_layernorm", eps, x)?;
    let query = m.linear("self_attn.q_proj", true, &normed)?;
    let key = m.linear("self_attn.k_proj", true, &normed)?;
    let value = m.linear("self_attn.v_proj", true, &normed)?;
    let attended = V::concat(&[&query, &key, &value])?.attention(&config.attention, layout)?;
    let x = x.add(&m.linear("self_attn.o_proj", false, &attended)?)?;
    let normed = m.rms_norm("post_attention_layernorm", eps, &x)?;
    let gate = m.linear("mlp.gate_proj", false, &normed)?.activate(config.activation)?;
    let inner = gate.mul(&m.linear("mlp.up_proj", false, &normed)?)?;
    x.add(&m.linear("mlp.down_proj", false, &inner)?)
}

/// Numbers that a row leaves behind in one layer: two norms, queries, keys and values apart and together, the
/// attention with its output, gate (both sides of its activation), up and their product, the MLP's output and the two sums.
pub(super) fn kept_per_row(config: &ModelConfig) -> usize {
    let (d, inner) = (config.hidden_size, config.intermediate_size);
    let queries = config.attention.heads * config.attention.head_dim;
    let keys = config.attention.kv_heads * config.attention.head_dim;
    2 * d + 2 * (queries + 2 * keys) + queries + d + 4 * inner + d + 2 * d
}

/// Every parameter, from the embedding to the head.
pub(super) fn parameters(config: &ModelConfig) -> Parameters {
    let (d, inner) = (config.hidden_size, config.intermediate_size);
    let queries = config.attention.heads * config.attention.head_dim;
    let keys = config.attention.kv_heads * config.attention.head_dim;
    let mut list = Parameters::default();
    list.matrix("model.embed_tokens", config.vocab_size, d);
    for layer in 0..config.layers {
        let at = |name: &str| format!("model.layers.{layer}.{name}");
        list.rms_norm(&at("input_layernorm"), d);
        list.linear(&at("self_attn.q_proj"), queries, d, true);
        list.linear(&at("self_attn.k_proj"), keys, d, true);
        list.linear(&at("self_attn.v_proj"), keys, d, true);
        list.linear(&at("self_attn.o_proj"), d, queries, false);
        list.rms_norm(&at("post_attention_layernorm"), d);
        list.linear(&at("mlp.gate_proj"), inner, d, false);
        list.linear(&at("mlp.up_proj"), inner, d, false);
        list.linear(&at("mlp.down_proj"), d, inner, false);
    }
    list.rms_norm("model.norm", d);
    if !config.tied {
        list.matrix("lm_head", config.vocab_size, d);
    }
    list
}
