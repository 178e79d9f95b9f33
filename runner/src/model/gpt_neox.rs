//! GPT-NeoX, the architecture of Pythia. Parameters have their names in
//! Hugging Face's files.

use super::config::{GptNeoX, ModelConfig};
use super::layers::{Lookup, Module, Parameters};
use crate::value::{Layout, Precision, Value};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const EMBEDDING: &str = "gpt_neox.embed_in.weight";
pub(super) const HEAD: &str = "embed_out.weight";
/// Ends of the names of buffers that old files carry and nobody reads: causal
/// masks and a copy of the rotation's frequencies.
pub(super) const BUFFERS: [&str; 3] =
    [".attention.bias", ".attention.masked_bias", ".attention.rotary_emb.inv_freq"];

/// Hidden rows `[N, d]` after the last norm, for `ids` (u32 `[N]`) packed as `layout` says.
///
/// # Errors
/// A parameter that `params` does not know, or a failed operation.
pub fn hidden<V: Value>(
    config: &ModelConfig,
    switches: GptNeoX,
    params: &Lookup<V>,
    precision: Precision,
    ids: &Tensor,
    layout: &Layout,
) -> Result<V> {
    let model = Module::new(params, precision, "gpt_neox".into());
    let mut x = model.embed("embed_in", ids)?;
    for layer in 0..config.layers {
        x = x.block(layer, &|x| block(config, switches, params, precision, layer, x, layout))?;
    }
    model.layer_norm("final_layer_norm", config.norm_eps, &x)
}

/// One layer, on the rows `[N, d]` before it.
pub(super) fn block<V: Value>(
    config: &ModelConfig,
    switches: GptNeoX,
    params: &Lookup<V>,
    precision: Precision,
    layer: usize,
    x: &V,
    layout: &Layout,
) -> Result<V> {
    let eps = config.norm_eps;
    let m = Module::new(params, precision, format!("gpt_neox.layers.{layer}"));
    let normed = m.layer_norm("input_layernorm", eps, x)?;
    let attended = m
        .linear("attention.query_key_value", switches.attention_bias, &normed)?
        .attention(&config.attention, layout)?;
    let attended = m.linear("attention.dense", switches.attention_bias, &attended)?;
    let mlp = |input: &V| -> Result<V> {
        let normed = m.layer_norm("post_attention_layernorm", eps, input)?;
        let inner = m.linear("mlp.dense_h_to_4h", true, &normed)?.activate(config.activation)?;
        m.linear("mlp.dense_4h_to_h", true, &inner)
    };
    if switches.parallel_residual {
        mlp(x)?.add(&attended)?.add(x)
    } else {
        let sum = attended.add(x)?;
        mlp(&sum)?.add(&sum)
    }
}

/// Numbers that a row leaves behind in one layer: two norms, the fused projection and the attention with its
/// output, both sides of the activation, the MLP's output and the two sums.
pub(super) fn kept_per_row(config: &ModelConfig) -> usize {
    let (d, inner) = (config.hidden_size, config.intermediate_size);
    2 * d + 3 * d + 2 * d + 2 * inner + d + 2 * d
}

/// Every parameter, from the embedding to the head.
pub(super) fn parameters(config: &ModelConfig, switches: GptNeoX) -> Parameters {
    let (d, inner) = (config.hidden_size, config.intermediate_size);
    let mut list = Parameters::default();
    list.matrix("gpt_neox.embed_in", config.vocab_size, d);
    for layer in 0..config.layers {
        let at = |name: &str| format!("gpt_neox.layers.{layer}.{name}");
        list.layer_norm(&at("input_layernorm"), d);
        list.linear(&at("attention.query_key_value"), 3 * d, d, switches.attention_bias);
        list.linear(&at("attention.dense"), d, d, switches.attention_bias);
        list.layer_norm(&at("post_attention_layernorm"), d);
        list.linear(&at("mlp.dense_h_to_4h"), inner, d, true);
        list.linear(&at("mlp.dense_4h_to_h"), d, inner, true);
    }
    list.layer_norm("gpt_neox.final_layer_norm", d);
    if !config.tied {
        list.matrix("embed_out", config.vocab_size, d);
    }
    list
}
