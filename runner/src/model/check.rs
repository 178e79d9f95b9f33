//! Does every parameter receive the gradient it should? Three ways to the
//! same directional derivative of a loss, compared parameter by parameter:
//! the backward pass, the forward-mode tangent and finite differences.

use super::{Model, ModelConfig, normal};
use crate::seed;
use crate::value::{Layout, Precision, Tape, Value};
use anyhow::{Result, bail, ensure};
use candle_core::{DType, Device, Tensor, Var};
use rand::Rng;
use std::collections::BTreeMap;

/// Largest accepted error of backward and forward against finite differences, relative to the
/// derivative. Rounding and the stencil itself leave up to 1e-9; a wrong term leaves far more.
const TOLERANCE: f64 = 1e-7;
/// Largest accepted difference of backward and forward: both are exact up to rounding.
const ADJOINT_TOLERANCE: f64 = 1e-10;
/// Derivatives below this part of the largest one are compared to that part of it. Some are
/// zero, such as those of key biases where nothing rotates.
const FLOOR: f64 = 1e-3;
/// Step of the finite differences along a direction of length 1.
const STEP: f64 = 1e-3;

/// One parameter's derivative of the loss along a random direction of length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorCheck {
    /// The parameter.
    pub name: String,
    /// ⟨∇L, u⟩ with the gradient of the backward pass, ∇L = Jᵀw.
    pub backward: f64,
    /// ⟨w, J·u⟩ with the tangent of the forward mode.
    pub forward: f64,
    /// Central difference of fourth order.
    pub difference: f64,
}

/// Every parameter of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientCheck {
    /// The model in words.
    pub model: String,
    /// One entry a parameter.
    pub tensors: Vec<TensorCheck>,
}

impl GradientCheck {
    /// Largest error of the backward pass or the tangent against finite differences, relative to
    /// each derivative, with a floor for derivatives that vanish.
    pub fn worst(&self) -> f64 {
        self.tensors.iter().map(|t| self.error(t)).fold(0.0, nan_max)
    }

    /// Accepts the check or names the parameters that failed.
    ///
    /// # Errors
    /// A derivative is beyond tolerance or not a number.
    pub fn verdict(&self) -> Result<()> {
        let failed: Vec<String> = self
            .tensors
            .iter()
            // Written so that NaN fails.
            .filter(|t| !(self.error(t) <= TOLERANCE && self.adjoint_error(t) <= ADJOINT_TOLERANCE))
            .map(|t| {
                format!(
                    "`{}`: backward {:e}, forward {:e}, finite differences {:e}",
                    t.name, t.backward, t.forward, t.difference
                )
            })
            .collect();
        ensure!(
            failed.is_empty(),
            "{}: wrong derivatives of {} of {} parameters:\n{}",
            self.model,
            failed.len(),
            self.tensors.len(),
            failed.join("\n")
        );
        Ok(())
    }

    fn error(&self, t: &TensorCheck) -> f64 {
        let worst = nan_max((t.backward - t.difference).abs(), (t.forward - t.difference).abs());
        worst / self.scale(t)
    }

    fn adjoint_error(&self, t: &TensorCheck) -> f64 {
        (t.backward - t.forward).abs() / self.scale(t)
    }

    fn scale(&self, t: &TensorCheck) -> f64 {
        let largest = self.tensors.iter().map(|t| t.difference.abs()).fold(0.0, f64::max);
        t.difference.abs().max(FLOOR * largest).max(f64::MIN_POSITIVE)
    }
}

/// The larger one, NaN above all.
fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// A loss with all that training uses: a prompt shared by two responses beside a sequence of its
/// own, picked rows, the log-prob head. L = Σ w · log π(target), with random weights w.
struct Objective {
    layout: Layout,
    ids: Vec<u32>,
    rows: Vec<u32>,
    targets: Vec<u32>,
    weights: Tensor,
}

impl Objective {
    fn new(model: &Model, rng: &mut impl Rng) -> Result<Self> {
        let mut layout = Layout::new();
        let prompt = layout.push(4, None)?;
        layout.push(3, Some(prompt))?;
        layout.push(2, Some(prompt))?;
        layout.push(5, None)?;
        let vocab = model.vocab_size() as u32;
        let mut draw = |n: usize| -> Vec<u32> { (0..n).map(|_| rng.random_range(0..vocab)).collect() };
        let ids = draw(layout.n_rows());
        let rows: Vec<u32> = (1..layout.n_rows() as u32).collect();
        let targets = draw(rows.len());
        let weights = Tensor::new(normal(rows.len(), 1.0, rng), model.device())?;
        Ok(Self { layout, ids, rows, targets, weights })
    }

    fn log_probs<V: Value>(&self, hidden: &V, head: &V) -> Result<V> {
        let rows = Tensor::new(self.rows.as_slice(), self.weights.device())?;
        hidden.rows(&rows)?.log_probs(head, &self.targets, Precision::Full, None)
    }

    /// By every parameter, in the model's order.
    fn gradients(&self, model: &Model) -> Result<Vec<Option<Tensor>>> {
        let tape = Tape::new();
        let hidden = model.hidden(&tape, &self.ids, &self.layout)?;
        let parameters: Vec<Var> = model.parameters().map(|(_, var)| var.clone()).collect();
        self.log_probs(&hidden, &model.head(&tape)?)?.gradients(&self.weights, &parameters)
    }

    fn value(&self, model: &Model) -> Result<f64> {
        let hidden = model.hidden_detached(&self.ids, &self.layout)?;
        let log_probs = self.log_probs(&hidden, &model.head_detached()?)?;
        Ok((log_probs * &self.weights)?.sum_all()?.to_scalar()?)
    }

    fn tangent(&self, model: &Model, name: &str, direction: &Tensor) -> Result<f64> {
        let tangents = BTreeMap::from([(name.to_owned(), direction.clone())]);
        let (hidden, head) = model.duals(&[&tangents], &self.ids, &self.layout)?;
        match self.log_probs(&hidden, &head)?.tangent(0) {
            Some(tangent) => Ok((tangent * &self.weights)?.sum_all()?.to_scalar()?),
            None => Ok(0.0),
        }
    }
}

/// Compares backward pass, tangent and finite differences for every parameter of an f64 `model`.
///
/// # Errors
/// A model in another type, or a failed operation. Wrong derivatives are no error here but of
/// [`GradientCheck::verdict`].
pub fn gradient_check(model: &Model, seed: u64) -> Result<GradientCheck> {
    if model.dtype() != DType::F64 {
        bail!(
            "a gradient check needs f64, the model is {:?}: finite differences drown in rounding",
            model.dtype()
        )
    }
    let rng = &mut seed::rng(seed, "gradient check");
    let objective = Objective::new(model, rng)?;
    let gradients = objective.gradients(model)?;
    let moved = model.copy()?;
    let mut tensors = Vec::new();
    for ((name, var), gradient) in model.parameters().zip(gradients) {
        let direction = Tensor::from_vec(normal(var.elem_count(), 1.0, rng), var.dims(), model.device())?;
        let length = direction.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt();
        let direction = (direction / length)?;
        let backward = match gradient {
            Some(gradient) => (gradient * &direction)?.sum_all()?.to_scalar()?,
            None => 0.0,
        };
        let along = |steps: f64| -> Result<f64> {
            moved.var(name)?.set(&(var.as_detached_tensor() + (&direction * (steps * STEP))?)?)?;
            objective.value(&moved)
        };
        let difference = (8.0 * (along(1.0)? - along(-1.0)?) - (along(2.0)? - along(-2.0)?)) / (12.0 * STEP);
        moved.var(name)?.set(&var.as_detached_tensor())?;
        let forward = objective.tangent(model, name, &direction)?;
        tensors.push(TensorCheck { name: name.to_owned(), backward, forward, difference });
    }
    Ok(GradientCheck { model: model.describe(), tensors })
}

/// Small models that between them have every branch of the two architectures.
const SMALL: [(&str, &str); 4] = [
    (
        "GPT-NeoX, parallel residual",
        r#"{"model_type": "gpt_neox", "vocab_size": 19, "hidden_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 16,
            "rotary_pct": 0.25, "initializer_range": 0.3}"#,
    ),
    (
        "GPT-NeoX, sequential residual, no attention bias, odd rotation, tied",
        r#"{"model_type": "gpt_neox", "vocab_size": 19, "hidden_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 16,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100, "partial_rotary_factor": 0.4},
            "use_parallel_residual": false, "attention_bias": false, "tie_word_embeddings": true,
            "hidden_act": "gelu_new", "initializer_range": 0.3}"#,
    ),
    (
        "Qwen2, two query heads a key head",
        r#"{"model_type": "qwen2", "vocab_size": 19, "hidden_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 12,
            "max_position_embeddings": 16, "rope_theta": 1000000.0, "initializer_range": 0.3}"#,
    ),
    (
        "Qwen2, one key head, wide heads, tied",
        r#"{"model_type": "qwen2", "vocab_size": 19, "hidden_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 6, "intermediate_size": 12,
            "max_position_embeddings": 16, "tie_word_embeddings": true, "initializer_range": 0.3}"#,
    ),
];

/// Small random f64 models, one for each branch of the architectures, with a name.
///
/// # Errors
/// None in practice: a failed allocation.
pub(crate) fn small_models(seed: u64) -> Result<Vec<(&'static str, Model)>> {
    let small = |(name, config)| -> Result<_> {
        let rng = &mut seed::rng(seed, name);
        let mut model = Model::init(ModelConfig::parse(config)?, DType::F64, &Device::Cpu, rng)?;
        // Biases away from 0 and scales away from 1, where mistakes could hide.
        for var in model.params.values_mut() {
            let noise = Tensor::from_vec(normal(var.elem_count(), 0.2, rng), var.dims(), &Device::Cpu)?;
            *var = Var::from_tensor(&(var.as_detached_tensor() + noise)?)?;
        }
        Ok((name, model))
    };
    SMALL.into_iter().map(small).collect()
}

/// Checks every gradient of small models that between them have every branch of both
/// architectures. [`GradientCheck::verdict`] says whether a check passed.
///
/// # Errors
/// A failed operation.
pub fn self_test(seed: u64) -> Result<Vec<GradientCheck>> {
    let check = |(name, model): (&str, Model)| -> Result<_> {
        Ok(GradientCheck { model: name.to_owned(), ..gradient_check(&model, seed)? })
    };
    small_models(seed)?.into_iter().map(check).collect()
}
