//! `config.json` of a Hugging Face model folder, read into what the models
//! need. Both key layouts are understood: `rotary_pct`, `rotary_emb_base`,
//! `rope_theta`, `torch_dtype`, and the `rope_parameters`, `dtype` of
//! transformers 5. An absent or null key takes transformers' default. What
//! would change the numbers and is not supported is refused by name.
//!
//! Dropout is never applied, whatever `attention_dropout` and `hidden_dropout`
//! say: a step must be a function of weights and data alone.

use crate::files;
use crate::value::{Activation, Attention, QkvOrder};
use anyhow::{Context, Result, bail, ensure};
use candle_core::DType;
use serde_json::{Map, Value as Json};
use std::path::Path;

/// Name of the file in a model folder.
pub const CONFIG: &str = "config.json";

/// Largest accepted size of any dimension; larger ones are typing errors.
const MAX_SIZE: u64 = 10_000_000;

/// The same of the number of layers, and of the number of weights that all sizes make together.
const MAX_LAYERS: usize = 10_000;
const MAX_WEIGHTS: u128 = 10_000_000_000_000;

/// The supported model families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// GPT-NeoX, the family of Pythia.
    GptNeoX(GptNeoX),
    /// Qwen2, the family of Qwen1.5 and Qwen2 (dense).
    Qwen2,
}

/// The switches that only GPT-NeoX has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GptNeoX {
    /// Attention and MLP read the same input and are added together;
    /// otherwise the MLP reads the sum of input and attention.
    pub parallel_residual: bool,
    /// Attention's two projections have biases.
    pub attention_bias: bool,
}

/// Everything that decides a model's shape and arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Model family and its switches.
    pub architecture: Architecture,
    /// Rows of the embedding V; may exceed the tokenizer's size.
    pub vocab_size: usize,
    /// Width d of the residual stream.
    pub hidden_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Inner width of the MLP.
    pub intermediate_size: usize,
    /// Non-linearity of the MLP.
    pub activation: Activation,
    /// Longest sequence.
    pub max_positions: usize,
    /// Standard deviation of initial weights.
    pub initializer_range: f64,
    /// The head is the embedding.
    pub tied: bool,
    /// ε of the norms.
    pub norm_eps: f64,
    /// Heads and rotation.
    pub attention: Attention,
    raw: Map<String, Json>,
}

impl ModelConfig {
    /// Reads `config.json` in a model folder.
    ///
    /// # Errors
    /// A missing or broken file, or a setting that is not supported, by name.
    pub fn load(folder: &Path) -> Result<Self> {
        ensure!(
            folder.is_dir(),
            "there is no model folder {}, nor a model of that name in the Hugging Face cache: check the path, or fetch it with \
             `hf download`",
            folder.display()
        );
        Self::read(&folder.join(CONFIG))
    }

    /// Reads a file in the form of `config.json`.
    ///
    /// # Errors
    /// As [`ModelConfig::load`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path).with_context(|| {
            format!("cannot read {}: a model folder needs a Hugging Face {CONFIG}", path.display())
        })?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Parses the text of a `config.json`.
    ///
    /// ```
    /// use ldyn::model::ModelConfig;
    /// let config = ModelConfig::parse(r#"{"model_type": "gpt_neox", "hidden_size": 128, "num_attention_heads": 4}"#)?;
    /// assert_eq!(config.attention.rotary_dim, 8); // a quarter of each head of 32
    /// let refused = ModelConfig::parse(r#"{"model_type": "llama"}"#).unwrap_err();
    /// assert!(refused.to_string().contains("llama"));
    /// # anyhow::Ok(())
    /// ```
    ///
    /// # Errors
    /// Broken JSON, or a setting that is not supported, by name.
    pub fn parse(text: &str) -> Result<Self> {
        let raw: Map<String, Json> = serde_json::from_str(text).context("not a JSON object")?;
        let keys = Keys(&raw);
        let model_type = keys.text("model_type", "")?;
        let Some(family) = FAMILIES.iter().find(|f| f.model_type == model_type) else {
            bail!(
                "`model_type` is {model_type:?}; supported are \"gpt_neox\" (Pythia) and \"qwen2\" (Qwen1.5, dense Qwen2): choose such a model"
            )
        };
        if let Some(found) = keys.get("quantization_config") {
            bail!(
                "`quantization_config` is {found}; only plain weights are supported: choose the model that was not quantised"
            )
        }
        let hidden_size = keys.size("hidden_size", family.hidden_size)?;
        let heads = keys.size("num_attention_heads", family.heads)?;
        let (architecture, attention) = (family.read)(&keys, hidden_size, heads)?;
        let config = Self {
            architecture,
            vocab_size: keys.size("vocab_size", family.vocab_size)?,
            hidden_size,
            layers: keys.size("num_hidden_layers", family.layers)?,
            intermediate_size: keys.size("intermediate_size", family.intermediate_size)?,
            activation: keys.activation(family.activation)?,
            max_positions: keys.size("max_position_embeddings", family.max_positions)?,
            initializer_range: keys.number("initializer_range", 0.02, |x| x >= 0.0)?,
            tied: keys.flag("tie_word_embeddings", false)?,
            norm_eps: keys.number(family.norm_eps.0, family.norm_eps.1, |x| x > 0.0)?,
            attention,
            raw,
        };
        config.check_sizes()?;
        Ok(config)
    }

    /// Refuses sizes that no machine holds, before anything is computed from them.
    fn check_sizes(&self) -> Result<()> {
        ensure!(
            self.layers <= MAX_LAYERS,
            "`num_hidden_layers` is {}; expected at most {MAX_LAYERS}",
            self.layers
        );
        let list = self.parameters().0;
        let weights: u128 = list.iter().map(|p| p.shape.iter().map(|&n| n as u128).product::<u128>()).sum();
        ensure!(
            weights <= MAX_WEIGHTS,
            "its sizes make {weights} weights; expected at most {MAX_WEIGHTS}: correct `hidden_size`, \
             `intermediate_size`, `num_hidden_layers` or `vocab_size`"
        );
        Ok(())
    }

    /// The text of a `config.json` for weights stored as `dtype`: every key
    /// that was read, with only `dtype` (`torch_dtype` in the old layout) changed.
    ///
    /// # Errors
    /// A `dtype` that no model folder stores.
    pub fn to_json(&self, dtype: DType) -> Result<String> {
        let name = match dtype {
            DType::F64 => "float64",
            DType::F32 => "float32",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            other => bail!("weights cannot be stored as {other:?}: use f32, f16, bf16 or f64"),
        };
        let mut raw = self.raw.clone();
        let new_layout = raw.contains_key("dtype") || raw.contains_key("rope_parameters");
        raw.remove(if new_layout { "torch_dtype" } else { "dtype" });
        raw.insert(if new_layout { "dtype" } else { "torch_dtype" }.into(), name.into());
        Ok(serde_json::to_string_pretty(&raw)? + "\n")
    }

    /// The family's name in `model_type`.
    pub fn model_type(&self) -> &'static str {
        match self.architecture {
            Architecture::GptNeoX(_) => FAMILIES[0].model_type,
            Architecture::Qwen2 => FAMILIES[1].model_type,
        }
    }
}

/// What transformers assumes where a family's `config.json` is silent.
struct Family {
    model_type: &'static str,
    vocab_size: usize,
    hidden_size: usize,
    layers: usize,
    heads: usize,
    intermediate_size: usize,
    activation: &'static str,
    max_positions: usize,
    norm_eps: (&'static str, f64),
    read: fn(&Keys, usize, usize) -> Result<(Architecture, Attention)>,
}

const FAMILIES: [Family; 2] = [
    Family {
        model_type: "gpt_neox",
        vocab_size: 50_432,
        hidden_size: 6144,
        layers: 44,
        heads: 64,
        intermediate_size: 24_576,
        activation: "gelu",
        max_positions: 2048,
        norm_eps: ("layer_norm_eps", 1e-5),
        read: gpt_neox,
    },
    Family {
        model_type: "qwen2",
        vocab_size: 151_936,
        hidden_size: 4096,
        layers: 32,
        heads: 32,
        intermediate_size: 22_016,
        activation: "silu",
        max_positions: 32_768,
        norm_eps: ("rms_norm_eps", 1e-6),
        read: qwen2,
    },
];

fn gpt_neox(keys: &Keys, hidden_size: usize, heads: usize) -> Result<(Architecture, Attention)> {
    let head_dim = divide(hidden_size, heads)?;
    let found = keys.size("head_dim", head_dim)?;
    ensure!(
        found == head_dim,
        "`head_dim` is {found}; GPT-NeoX heads have hidden_size / num_attention_heads = {head_dim} dimensions: remove the key"
    );
    let (theta, partial) = rope(keys, "rotary_emb_base", ("rotary_pct", 0.25))?;
    // transformers takes n = int(head_dim·pct) as the denominator of the exponents and, when n is
    // odd, rotates n + 1 dimensions; base^(−2i/n) over n + 1 dimensions is a rotation to another base.
    let n = (head_dim as f64 * partial) as usize;
    let rotary_dim = n.checked_next_multiple_of(2).unwrap_or(usize::MAX);
    ensure!(
        n > 0 && rotary_dim <= head_dim,
        "`rotary_pct` = {partial} rotates {n} of the {head_dim} dimensions of a head; supported is at least 1, and at most {}: change it",
        head_dim / 2 * 2
    );
    let architecture = Architecture::GptNeoX(GptNeoX {
        parallel_residual: keys.flag("use_parallel_residual", true)?,
        attention_bias: keys.flag("attention_bias", true)?,
    });
    let rope_theta = if rotary_dim == n { theta } else { theta.powf(rotary_dim as f64 / n as f64) };
    let order = QkvOrder::PerHead;
    Ok((architecture, Attention { heads, kv_heads: heads, head_dim, rotary_dim, rope_theta, order }))
}

fn qwen2(keys: &Keys, hidden_size: usize, heads: usize) -> Result<(Architecture, Attention)> {
    // Absent means 32, null means one for each query head.
    let kv_heads = match keys.0.get("num_key_value_heads") {
        Some(Json::Null) => heads,
        _ => keys.size("num_key_value_heads", 32)?,
    };
    ensure!(
        heads.is_multiple_of(kv_heads),
        "`num_key_value_heads` is {kv_heads}, which does not divide `num_attention_heads` = {heads}: choose a divisor"
    );
    let head_dim = match keys.get("head_dim") {
        Some(_) => keys.size("head_dim", 0)?,
        None => divide(hidden_size, heads)?,
    };
    ensure!(
        head_dim.is_multiple_of(2),
        "heads of {head_dim} dimensions cannot rotate in pairs: change `hidden_size`, `num_attention_heads` or `head_dim`"
    );
    if keys.flag("use_sliding_window", false)? {
        bail!(
            "`use_sliding_window` is true; only full attention is supported: set it to false if no sequence reaches the window"
        )
    }
    if let Some(found) = keys.get("layer_types") {
        let full = |kind: &Json| kind.as_str() == Some("full_attention");
        ensure!(
            found.as_array().is_some_and(|kinds| kinds.iter().all(full)),
            "`layer_types` is {found}; only \"full_attention\" in every layer is supported, no sliding window: choose another model"
        );
    }
    let (rope_theta, partial) = rope(keys, "rope_theta", ("partial_rotary_factor", 1.0))?;
    ensure!(
        partial == 1.0,
        "`partial_rotary_factor` is {partial}; Qwen2 rotates whole heads: remove the key"
    );
    let order = QkvOrder::Grouped;
    let attention = Attention { heads, kv_heads, head_dim, rotary_dim: head_dim, rope_theta, order };
    Ok((Architecture::Qwen2, attention))
}

fn divide(hidden_size: usize, heads: usize) -> Result<usize> {
    ensure!(
        hidden_size.is_multiple_of(heads),
        "`num_attention_heads` is {heads}, which does not divide `hidden_size` = {hidden_size}: choose a divisor"
    );
    Ok(hidden_size / heads)
}

/// Base and rotated fraction. `rope_scaling` goes before `rope_parameters`, either before the
/// family's own top-level keys, as in transformers; contradicting spellings are refused.
fn rope(keys: &Keys, theta_key: &str, partial: (&str, f64)) -> Result<(f64, f64)> {
    let empty = Map::new();
    let (mut place, mut inner) = ("rope_parameters", &empty);
    for key in ["rope_parameters", "rope_scaling"] {
        match keys.get(key) {
            None => {}
            Some(Json::Object(map)) if map.is_empty() => {}
            Some(Json::Object(map)) => (place, inner) = (key, map),
            Some(other) => bail!("`{key}` is {other}; expected an object or null"),
        }
    }
    if let Some((key, value)) = inner.iter().find(|(_, value)| value.is_object()) {
        bail!("`{place}` differs by layer (`{key}` is {value}); one rotation for all layers is supported")
    }
    let inner = Keys(inner);
    let kind = inner.text("rope_type", inner.text("type", "default")?)?;
    ensure!(
        kind == "default",
        "`{place}` asks for rope_type {kind:?}; only \"default\" is supported, no scaling of positions: remove the key if no sequence exceeds the original context"
    );
    let one = |inner_key: &str, outer_key: &str, default: f64| -> Result<f64> {
        let outer = keys.number(outer_key, default, |x| x > 0.0)?;
        let chosen = inner.number(inner_key, outer, |x| x > 0.0)?;
        for key in [outer_key, inner_key] {
            let found = keys.number(key, chosen, |x| x > 0.0)?;
            ensure!(
                found == chosen,
                "`{key}` is {found}, but transformers computes with {chosen} for this model: make the spellings of `{inner_key}` agree"
            );
        }
        Ok(chosen)
    };
    let theta = one("rope_theta", theta_key, 10_000.0)?;
    let fraction = one("partial_rotary_factor", partial.0, partial.1)?;
    Ok((theta, fraction))
}

/// Typed look-ups that take null for absent.
struct Keys<'a>(&'a Map<String, Json>);

impl<'a> Keys<'a> {
    fn get(&self, key: &str) -> Option<&'a Json> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str, default: &'a str) -> Result<&'a str> {
        match self.get(key) {
            None => Ok(default),
            Some(found) => found.as_str().with_context(|| format!("`{key}` is {found}; expected a string")),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(found) => {
                found.as_bool().with_context(|| format!("`{key}` is {found}; expected true or false"))
            }
        }
    }

    fn size(&self, key: &str, default: usize) -> Result<usize> {
        match self.get(key) {
            None => Ok(default),
            Some(found) => {
                found.as_u64().filter(|n| (1..=MAX_SIZE).contains(n)).map(|n| n as usize).with_context(|| {
                    format!("`{key}` is {found}; expected a whole number from 1 to {MAX_SIZE}")
                })
            }
        }
    }

    fn number(&self, key: &str, default: f64, valid: fn(f64) -> bool) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            Some(found) => found
                .as_f64()
                .filter(|x| x.is_finite() && valid(*x))
                .with_context(|| format!("`{key}` is {found}; expected a positive number")),
        }
    }

    fn activation(&self, default: &'a str) -> Result<Activation> {
        Ok(match self.text("hidden_act", default)? {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "silu" | "swish" => Activation::Silu,
            "relu" => Activation::Relu,
            other => bail!(
                "`hidden_act` is {other:?}; supported are gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, silu and relu: choose another model"
            ),
        })
    }
}
