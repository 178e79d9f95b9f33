//! Language models: GPT-NeoX (all of Pythia) and Qwen2 (all of Qwen1.5 and
//! the dense Qwen2), each written once over [`Value`],
//! read from and written to Hugging Face's folder layout.
//!
//! The forward pass is computed without dropout. Batches are packed rows
//! without padding, see [`Layout`]; a prompt that
//! several responses share is computed once.

mod check;
mod config;
pub mod gpt_neox;
mod layers;
mod load;
pub mod qwen2;
mod save;

#[cfg(test)]
pub(crate) use check::small_models;
pub use check::{GradientCheck, TensorCheck, gradient_check, self_test};
pub use config::{Architecture, CONFIG, GptNeoX, ModelConfig};
pub use layers::Lookup;
pub(crate) use load::{INDEX, WEIGHTS, files as weight_files};
pub(crate) use save::write_tensors;

use crate::log;
use crate::value::{Cache, Dual, Layout, Pass, Precision, Tape, Traced, Value};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor, Var};
use layers::{Parameter, Parameters, Start};
use rand::Rng;
use safetensors::View;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;
use tracing::{debug, info};

/// A direction in weight space: a tensor for each parameter that moves, by name.
pub type Direction = BTreeMap<String, Tensor>;

/// A language model with its weights.
#[derive(Debug)]
pub struct Model {
    /// Shape and arithmetic.
    pub config: ModelConfig,
    params: BTreeMap<String, Var>,
    device: Device,
    dtype: DType,
    /// What a forward pass keeps for the backward pass.
    pub checkpoint: Checkpoint,
    /// How products of weights and activations are computed; what cannot be is refused by them.
    pub precision: Precision,
}

/// What a forward pass keeps for the backward pass (gradient checkpointing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkpoint {
    /// All that the backward pass reads.
    #[default]
    None,
    /// What every block begins with: the backward pass runs each block again. A third more work, and of activations
    /// hardly more than one block's.
    Blocks,
}

impl Model {
    /// Reads a Hugging Face model folder; weights are converted to `dtype`.
    ///
    /// # Errors
    /// A folder that is missing, incomplete, damaged or of an unsupported model: the message
    /// names the file, the key or the tensor, and what to do.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let started = Instant::now();
        let config = ModelConfig::load(folder)?;
        let expected = load::Expected {
            shapes: config.parameters().0.into_iter().map(|p| (p.name, p.shape)).collect(),
            buffers: match config.architecture {
                Architecture::GptNeoX(_) => &gpt_neox::BUFFERS,
                Architecture::Qwen2 => &qwen2::BUFFERS,
            },
            tied: config.tied.then(|| config.head_and_embedding()),
        };
        let params = load::weights(folder, &expected, dtype, device)?;
        info!(
            folder = %folder.display(),
            model = config.describe(),
            dtype = ?dtype,
            seconds = log::seconds(started),
            "model read"
        );
        Ok(Self::of(config, params, dtype, device))
    }

    /// A model with fresh weights as transformers draws them: normal with `initializer_range`
    /// for matrices, 0 for biases, 1 for norms. The draws do not depend on `dtype`.
    ///
    /// # Errors
    /// A device that cannot hold the weights.
    pub fn init(config: ModelConfig, dtype: DType, device: &Device, rng: &mut impl Rng) -> Result<Self> {
        info!(model = config.describe(), dtype = ?dtype, "model initialised at random");
        let mut params = BTreeMap::new();
        for parameter in config.parameters().0 {
            let n = parameter.shape.iter().product();
            let values = match parameter.start {
                Start::Normal => normal(n, config.initializer_range, rng),
                Start::Zeros => vec![0.0; n],
                Start::Ones => vec![1.0; n],
            };
            let tensor = Tensor::from_vec(values, parameter.shape, &Device::Cpu)?;
            let tensor = tensor.to_dtype(dtype)?.to_device(device)?;
            params.insert(parameter.name, Var::from_tensor(&tensor)?);
        }
        Ok(Self::of(config, params, dtype, device))
    }

    fn of(config: ModelConfig, params: BTreeMap<String, Var>, dtype: DType, device: &Device) -> Self {
        let (checkpoint, precision) = (Checkpoint::None, Precision::Full);
        Self { config, params, device: device.clone(), dtype, checkpoint, precision }
    }

    /// The model in another folder, on the same device and with the same arithmetic.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_another(&self, folder: &Path) -> Result<Self> {
        Ok(Self { precision: self.precision, ..Self::load(folder, self.dtype, &self.device)? })
    }

    /// A model of its own with the same weights.
    ///
    /// # Errors
    /// A device that cannot hold the weights twice.
    pub fn copy(&self) -> Result<Self> {
        let params = self
            .params
            .iter()
            .map(|(name, var)| Ok((name.clone(), Var::from_tensor(&var.as_detached_tensor().copy()?)?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            config: self.config.clone(),
            params,
            device: self.device.clone(),
            dtype: self.dtype,
            checkpoint: self.checkpoint,
            precision: self.precision,
        })
    }

    /// The same model, its weights shared, with products in another precision.
    pub fn in_precision(&self, precision: Precision) -> Self {
        let shared = Self::of(self.config.clone(), self.params.clone(), self.dtype, &self.device);
        Self { checkpoint: self.checkpoint, precision, ..shared }
    }

    /// A model of its own, its weights rounded to numbers of another type; it computes in its own.
    ///
    /// # Errors
    /// As [`Model::copy`]; a weight that the type cannot hold, by parameter.
    pub fn rounded(&self, dtype: DType) -> Result<Self> {
        let rounded = self.copy()?;
        for (name, var) in &rounded.params {
            let Some(stored) = narrowed(var, dtype)? else {
                bail!("`{name}` has weights that {dtype:?} cannot hold")
            };
            var.set(&stored.to_dtype(self.dtype)?)?;
        }
        Ok(rounded)
    }

    /// Takes over the weights of a model of the same shape.
    ///
    /// # Errors
    /// Another shape, by parameter.
    pub fn set_weights(&self, from: &Self) -> Result<()> {
        for (name, var) in &self.params {
            var.set(&from.var(name)?.as_detached_tensor()).with_context(|| format!("parameter `{name}`"))?;
        }
        Ok(())
    }

    /// Every parameter with its name in Hugging Face's files, sorted by name. A tied head is
    /// the embedding and comes once.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.params.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Whether no weight is NaN or infinite.
    ///
    /// # Errors
    /// A failed operation.
    pub fn is_finite(&self) -> Result<bool> {
        for (_, var) in self.parameters() {
            if !is_finite(var)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The part of the model that a parameter belongs to: `embedding`, `block 3`, `last norm`, `head`.
    pub fn group(&self, name: &str) -> String {
        let (head, embedding) = self.config.head_and_embedding();
        let block = name.split_once(".layers.").and_then(|(_, rest)| rest.split('.').next());
        match block {
            Some(block) => format!("block {block}"),
            None if name == embedding && self.config.tied => "embedding and head".into(),
            None if name == embedding => "embedding".into(),
            None if name == head => "head".into(),
            None => "last norm".into(),
        }
    }

    /// Number of weights.
    pub fn n_parameters(&self) -> usize {
        self.config.n_parameters()
    }

    /// Number of token ids V, which may exceed the tokenizer's.
    pub fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    /// Longest sequence, prompt and response together.
    pub fn max_positions(&self) -> usize {
        self.config.max_positions
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Type of weights and activations.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The model in words, such as `gpt_neox, 6 layers, hidden 128, 14.1 M parameters`.
    pub fn describe(&self) -> String {
        self.config.describe()
    }

    /// A tape for one forward pass over rows that are packed as `layout` says, which keeps what
    /// [`Model::checkpoint`] wants.
    pub fn tape(&self, layout: &Layout) -> Tape {
        if self.checkpoint == Checkpoint::None {
            return Tape::new();
        }
        let (config, params, layout) = (self.config.clone(), self.params.clone(), layout.clone());
        let precision = self.precision;
        let block = move |layer: usize, x: &Traced, tape: Option<&Tape>| {
            let find = |name: &str| {
                let var = find(&params, name)?;
                Ok(match tape {
                    Some(tape) => tape.parameter(var),
                    None => Traced::constant(var.as_detached_tensor()),
                })
            };
            match config.architecture {
                Architecture::GptNeoX(switches) => {
                    gpt_neox::block(&config, switches, &find, precision, layer, x, &layout)
                }
                Architecture::Qwen2 => qwen2::block(&config, &find, precision, layer, x, &layout),
            }
        };
        Tape::forgetting(Rc::new(block))
    }

    /// Hidden rows `[N, d]` after the last norm, with the steps for a backward pass on `tape`.
    ///
    /// # Errors
    /// `ids` do not fit `layout`, the vocabulary or the longest sequence.
    pub fn hidden(&self, tape: &Tape, ids: &[u32], layout: &Layout) -> Result<Traced> {
        self.forward(&|name| Ok(tape.parameter(self.var(name)?)), ids, layout)
    }

    /// [`Model::hidden`] without a tape: activations are freed as soon as they are used.
    ///
    /// # Errors
    /// As [`Model::hidden`].
    pub fn hidden_detached(&self, ids: &[u32], layout: &Layout) -> Result<Tensor> {
        self.forward(&|name| Ok(self.var(name)?.as_detached_tensor()), ids, layout)
    }

    /// The head `[V, d]` (the embedding where they are tied), as a parameter on `tape`.
    ///
    /// # Errors
    /// None for a model that was loaded or initialised.
    pub fn head(&self, tape: &Tape) -> Result<Traced> {
        Ok(tape.parameter(self.var(self.config.head())?))
    }

    /// The head itself. It shows the weights as they are, updates included.
    ///
    /// # Errors
    /// As [`Model::head`].
    pub fn head_detached(&self) -> Result<Tensor> {
        Ok(self.var(self.config.head())?.as_detached_tensor())
    }

    /// Logits `[N, V]` of every row, without a tape. For tests and generation; scoring never
    /// holds them all.
    ///
    /// # Errors
    /// As [`Model::hidden`].
    pub fn logits(&self, ids: &[u32], layout: &Layout) -> Result<Tensor> {
        self.hidden_detached(ids, layout)?.linear(&self.head_detached()?, None, self.precision)
    }

    /// Logits `[spans, V]` behind the last row of every span, without a tape. Spans go on where the
    /// sequences in `cache` have ended, and their keys and values are added to it: span i is behind all
    /// rows of sequence i, or, in an empty cache, begins it.
    ///
    /// ```
    /// use ldyn::model::{Model, ModelConfig};
    /// use ldyn::value::{Cache, Layout};
    /// # use candle_core::{DType, Device};
    /// let config = r#"{"model_type": "gpt_neox", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
    ///     "num_attention_heads": 2, "intermediate_size": 16, "rotary_pct": 0.5}"#;
    /// let rng = &mut ldyn::seed::rng(0, "example");
    /// let model = Model::init(ModelConfig::parse(config)?, DType::F64, &Device::Cpu, rng)?;
    /// let mut cache = Cache::new();
    /// model.next_logits(&[1, 2, 3], &Layout::single(3)?, &mut cache)?;
    /// let last = model.next_logits(&[4], &cache.step(), &mut cache)?; // computes one row
    /// assert_eq!((last.dims(), cache.lens()), (&[1, 9][..], vec![4]));
    /// # anyhow::Ok(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::hidden`]; a layout that does not go on where the cache ends, or a cache of another model.
    pub fn next_logits(&self, ids: &[u32], layout: &Layout, cache: &mut Cache) -> Result<Tensor> {
        let pass = Pass::new(cache, layout, self.config.layers)?;
        let value = |name: &str| Ok(pass.value(self.var(name)?.as_detached_tensor()));
        let hidden = self.forward(&value, ids, layout)?;
        let last: Vec<u32> = layout.spans().iter().map(|span| (span.start + span.len - 1) as u32).collect();
        let last = hidden.rows(&Tensor::new(last, &self.device)?)?;
        let logits = last.linear(&value(self.config.head())?, None, self.precision)?;
        Ok(logits.primal().clone())
    }

    /// Hidden rows `[N, d]` and head `[V, d]` with their derivatives along each of `directions`, which
    /// map names to tangents of the parameters' shapes; absent names do not move. No graph is
    /// kept.
    ///
    /// # Errors
    /// A tangent without a parameter or of another shape, or as [`Model::hidden`].
    pub fn duals(&self, directions: &[&Direction], ids: &[u32], layout: &Layout) -> Result<(Dual, Dual)> {
        for name in directions.iter().flat_map(|d| d.keys()) {
            self.var(name)?;
        }
        let params = |name: &str| {
            let tangents: Vec<_> = directions.iter().map(|d| d.get(name)).collect();
            Dual::new(self.var(name)?, &tangents)
                .with_context(|| format!("in the direction of parameter `{name}`"))
        };
        Ok((self.forward(&params, ids, layout)?, params(self.config.head())?))
    }

    /// SHA-256 over names, types, shapes and bytes of the weights, hexadecimal.
    ///
    /// # Errors
    /// Weights that cannot be fetched from their device.
    pub fn sha256(&self) -> Result<String> {
        let started = Instant::now();
        let mut hash = Sha256::new();
        for (name, var) in self.parameters() {
            hash.update(format!("{name} {:?} {:?}\n", var.dtype(), var.dims()));
            // Piece by piece: no copy of a whole table is made.
            let numbers = var.as_detached_tensor().flatten_all()?;
            let n = numbers.elem_count();
            for from in (0..n).step_by(HASHED) {
                hash.update(bytes(&numbers.narrow(0, from, HASHED.min(n - from))?)?);
            }
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        debug!(sha256, seconds = log::seconds(started), "weights hashed");
        Ok(sha256)
    }

    fn var(&self, name: &str) -> Result<&Var> {
        find(&self.params, name)
    }

    fn forward<V: Value>(&self, params: &Lookup<V>, ids: &[u32], layout: &Layout) -> Result<V> {
        let n = layout.n_rows();
        ensure!(n > 0 && ids.len() == n, "{} token ids for a layout of {n} rows", ids.len());
        if let Some(row) = ids.iter().position(|&id| id as usize >= self.config.vocab_size) {
            bail!(
                "token id {} in row {row}, but the model has {} ids: the tokenizer is of another model",
                ids[row],
                self.config.vocab_size
            )
        }
        let longest = layout.longest();
        ensure!(
            longest <= self.config.max_positions,
            "a sequence of {longest} tokens, but the model reads at most {} (`max_position_embeddings`): cut it shorter",
            self.config.max_positions
        );
        let ids = Tensor::new(ids, &self.device)?;
        match self.config.architecture {
            Architecture::GptNeoX(switches) => {
                gpt_neox::hidden(&self.config, switches, params, self.precision, &ids, layout)
            }
            Architecture::Qwen2 => qwen2::hidden(&self.config, params, self.precision, &ids, layout),
        }
    }
}

fn find<'a>(params: &'a BTreeMap<String, Var>, name: &str) -> Result<&'a Var> {
    params.get(name).with_context(|| format!("the model has no parameter `{name}`"))
}

impl ModelConfig {
    /// Number of weights of the embedding, and of the head.
    pub fn embedding_size(&self) -> usize {
        self.vocab_size * self.hidden_size
    }

    /// Number of weights; a tied head is the embedding and counts once.
    pub fn n_parameters(&self) -> usize {
        self.parameters().0.iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// The model in words, such as `gpt_neox, 6 layers, hidden 128, 14.1 M parameters`.
    pub fn describe(&self) -> String {
        let n = self.n_parameters() as f64;
        let (n, unit) = match n {
            n if n < 1e6 => (n / 1e3, "k"),
            n if n < 1e9 => (n / 1e6, "M"),
            n => (n / 1e9, "G"),
        };
        let (family, layers, d) = (self.model_type(), self.layers, self.hidden_size);
        format!("{family}, {layers} layers, hidden {d}, {n:.1} {unit} parameters")
    }

    /// Numbers that a row leaves in memory between the forward pass and the backward.
    pub fn kept_per_row(&self, checkpoint: Checkpoint) -> usize {
        let block = match self.architecture {
            Architecture::GptNeoX(_) => gpt_neox::kept_per_row(self),
            Architecture::Qwen2 => qwen2::kept_per_row(self),
        };
        let blocks = match checkpoint {
            Checkpoint::None => self.layers * block,
            Checkpoint::Blocks => self.layers * self.hidden_size + block,
        };
        // Beside the blocks: the embedded row and the last norm.
        blocks + 2 * self.hidden_size
    }

    /// Numbers of the operands of the largest matrix product and of those of its backward, which has their gradient
    /// too: of so many rows in a block, or of so many predicted tokens and the head.
    pub fn largest_operands(&self, rows: usize, targets: usize) -> usize {
        let (head, embedding) = (self.head(), self.head_and_embedding().1);
        let product = |p: &Parameter| match p.shape[..] {
            [o, k] if p.name == head => targets * k + o * k,
            [o, k] if p.name != embedding => rows * (o + k) + o * k,
            _ => 0,
        };
        self.parameters().0.iter().map(product).max().unwrap_or(0)
    }

    /// Every parameter, from the embedding to the head.
    fn parameters(&self) -> Parameters {
        match self.architecture {
            Architecture::GptNeoX(switches) => gpt_neox::parameters(self, switches),
            Architecture::Qwen2 => qwen2::parameters(self),
        }
    }

    fn head_and_embedding(&self) -> (&'static str, &'static str) {
        match self.architecture {
            Architecture::GptNeoX(_) => (gpt_neox::HEAD, gpt_neox::EMBEDDING),
            Architecture::Qwen2 => (qwen2::HEAD, qwen2::EMBEDDING),
        }
    }

    /// Name of the parameter that is the head.
    fn head(&self) -> &'static str {
        let (head, embedding) = self.head_and_embedding();
        if self.tied { embedding } else { head }
    }
}

/// Numbers that are hashed at a time.
const HASHED: usize = 1 << 16;

/// The numbers of a tensor as little-endian bytes, row-major.
fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    Ok(View::data(&tensor.to_device(&Device::Cpu)?.contiguous()?).into_owned())
}

/// A parameter's weights as `dtype`; none if there are finite ones that the type cannot hold.
fn narrowed(var: &Var, dtype: DType) -> Result<Option<Tensor>> {
    let stored = var.as_detached_tensor().to_dtype(dtype)?;
    let fits = dtype == var.dtype() || is_finite(&stored)? || !is_finite(var)?;
    Ok(fits.then_some(stored))
}

/// Whether no number is NaN or infinite.
fn is_finite(tensor: &Tensor) -> Result<bool> {
    // 0·x is 0 for every finite x and NaN otherwise.
    let zero = (tensor * 0.0)?.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
    Ok(zero == 0.0)
}

/// `n` draws from a normal distribution with mean 0 (Box and Muller's transformation).
fn normal(n: usize, deviation: f64, rng: &mut impl Rng) -> Vec<f64> {
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        let radius = deviation * (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
        values.extend([radius * cos, radius * sin]);
    }
    values.truncate(n);
    values
}

#[cfg(test)]
mod tests;
