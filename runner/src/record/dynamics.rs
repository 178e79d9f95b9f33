//! What predictions, measurements and the kernel say: rows of a run, and the
//! decomposition of one update.

use crate::statistics::Fit;
use serde::{Deserialize, Serialize};

/// What a part of an update goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The residuals G₊ at the tokens of y⁺ (or of the single response of SFT).
    Chosen,
    /// The residuals G₋ at the tokens of y⁻.
    Rejected,
    /// The residuals at the tokens of an anchor response.
    Anchor,
    /// Earlier gradients, through the optimiser's momentum.
    History,
    /// Weight decay.
    Decay,
}

impl Cause {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Chosen => "through y⁺",
            Self::Rejected => "through y⁻",
            Self::Anchor => "through the anchor",
            Self::History => "earlier gradients",
            Self::Decay => "weight decay",
        }
    }
}

/// What a window of training did to one response: the change of log π(y) that the change of the
/// weights predicts to first order at the window's start, and the change that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GaugeRow {
    /// Stage name.
    pub stage: String,
    /// Optimiser steps done in the stage when the window began.
    pub from_step: usize,
    /// Optimiser steps done when it ended.
    pub step: usize,
    /// Training examples consumed in the stage when it ended.
    pub examples_seen: usize,
    /// Line of the data file, from 0.
    pub example: usize,
    /// Response kind.
    pub kind: String,
    /// ⟨∇ log π(y), Δθ⟩ at the window's start, nats.
    pub predicted: f64,
    /// Δ log π(y), nats.
    pub measured: f64,
}

/// How learning one example acts on one observed response, per unit of learning rate, by plain SGD.
///
/// Kind of truth: *first order*; ‖K‖_F is an estimate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Influence {
    /// Line of the data file of the example that is learned.
    pub update: usize,
    /// Line of the data file of the observed prompt.
    pub example: usize,
    /// Observed response kind.
    pub kind: String,
    /// Scored tokens of the observed response.
    pub n_tokens: usize,
    /// −Σ_m [A·K·G]_m at the response's tokens: d log π / dη, in nats. Positive: it is pulled up.
    pub influence: f64,
    /// ‖K‖_F over all pairs of tokens, √(Σ_{m,l} ‖K_{m,l}‖²_F).
    pub k_norm: f64,
    /// Standard error of `k_norm` over the random vectors; 0 for a single one.
    pub k_norm_se: f64,
    /// ‖A‖_F over the observed tokens, √(Σ_m ‖A_m‖²_F).
    pub a_norm: f64,
    /// ‖G‖_F over the tokens of the update, √(Σ_l ‖G_l‖²).
    pub g_norm: f64,
    /// The paper's proxy LBK = ‖Δ log π‖²_F/(‖A‖²_F·‖G‖²_F) at η = 1, at most ‖K‖²_F (App. C).
    pub lbk: f64,
    /// The paper's SignDelta: mean of Δ log π over all labels and observed tokens, at η = 1 (App. C).
    pub sign_delta: f64,
}

/// An update decomposed. Kind of truth: predictions are *first order*, the rest is *measured*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decomposition {
    /// The model in words.
    pub model: String,
    /// Number type that everything was computed in, such as `f64` or `f32, products of bf16`.
    pub dtype: String,
    /// The update.
    pub update: Step,
    /// Every observed response.
    pub responses: Vec<Response>,
    /// Measured against predicted over all tokens.
    pub token_fit: Option<Fit>,
    /// Measured against predicted over all responses.
    pub response_fit: Option<Fit>,
    /// Remainders at fractions of the step, the whole first.
    pub scales: Vec<Scale>,
    /// Slope of log |remainder| over log step, least squares over `scales`: 2 where the remainder is O(η²).
    pub order: Option<f64>,
    /// Token by token, if asked for.
    pub tokens: Option<TokenMap>,
    /// What it took.
    pub cost: Cost,
    /// The kernel between the first record of the batch and every observed response, if asked for.
    pub kernel: Vec<Influence>,
}

/// Wall seconds of a decomposition's parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// One Jacobian–vector product over all observed responses.
    pub prediction: f64,
    /// One scoring of all observed responses, the forward pass that a probe sweep is.
    pub forward: f64,
}

/// The update in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Objective with its settings in words.
    pub objective: String,
    /// Optimiser.
    pub optimizer: String,
    /// Learning rate of this step, warm-up included.
    pub learning_rate: f64,
    /// Lines of the data file that it learns.
    pub examples: Vec<usize>,
    /// Loss of the batch.
    pub loss: f64,
    /// Mean log π of chosen and rejected responses.
    pub logps: [f64; 2],
    /// Mean sequence weights w₊ and w₋.
    pub weights: [f64; 2],
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Factor that clipping put on it.
    pub clip: f64,
    /// ‖Δθ‖ of each part.
    pub parts: Vec<(Cause, f64)>,
    /// Size of the G-factor through each response, √(Σ_l w²‖π − e_y‖²) over the batch: y⁺, y⁻, anchor.
    pub g_norms: [f64; 3],
}

/// An observed response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Line of the data file.
    pub example: usize,
    /// Kind.
    pub kind: String,
    /// log π(y) before the update.
    pub logp: f64,
    /// First-order Δ log π(y).
    pub predicted: f64,
    /// Δ log π(y) measured.
    pub actual: f64,
    /// `actual − predicted`.
    pub remainder: f64,
    /// `predicted` by cause.
    pub causes: Vec<(Cause, f64)>,
    /// `predicted` by group of parameters, if asked for.
    pub groups: Vec<(String, f64)>,
    /// ‖A‖_F over its tokens, √(Σ_m ‖A_m‖²_F).
    pub a_norm: f64,
    /// The response's tokens.
    pub tokens: Vec<Token>,
}

/// A scored token of an observed response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Token id.
    pub token: u32,
    /// The token as text.
    pub text: String,
    /// log π before the update.
    pub logp: f64,
    /// First-order Δ log π.
    pub predicted: f64,
    /// Δ log π measured.
    pub actual: f64,
}

/// Remainders at a fraction of the step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// Fraction of the step.
    pub scale: f64,
    /// Root mean square, over tokens, of the predicted change.
    pub predicted: f64,
    /// Root mean square, over tokens, of the remainder.
    pub remainder: f64,
}

/// Predicted Δ log π of every observed token (columns) through every token of the update (rows).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenMap {
    /// The observed record's line.
    pub example: usize,
    /// Rows: tokens of the update's responses.
    pub rows: Vec<MapToken>,
    /// Columns: tokens of the observed record's responses.
    pub columns: Vec<MapToken>,
    /// Row-major values in nats.
    pub values: Vec<f64>,
}

/// A row or column of a [`TokenMap`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapToken {
    /// Response kind; for a row of a batch with its line.
    pub response: String,
    /// Position among the response's scored tokens.
    pub position: usize,
    /// Token id.
    pub token: u32,
    /// The token as text.
    pub text: String,
}

/// A preference pair before training: what the model makes of it, and what DPO would do to it.
///
/// Kind of truth: what starts with `own` or `data` is *first order*, the rest is *measured*.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TriageRow {
    /// Line of the data file, from 0.
    pub example: usize,
    /// Scored tokens of y⁺ and y⁻.
    pub n_tokens: [usize; 2],
    /// Leading tokens that y⁺ and y⁻ share: there their residuals cancel.
    pub shared_prefix: usize,
    /// First position at which both have a token and the tokens differ; absent if one begins the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_difference: Option<usize>,
    /// log π(y⁺), nats.
    pub logp_chosen: f64,
    /// log π(y⁻), nats.
    pub logp_rejected: f64,
    /// How deep in the valley y⁻ lies: mean over its tokens of max log π − log π(token), nats.
    pub rejected_depth: f64,
    /// Depth at its deepest token.
    pub deepest: f64,
    /// Position of that token among the scored ones.
    pub deepest_at: usize,
    /// Mean of ‖π‖² in the contexts of y⁻: 1 for one-hot, 1/V for flat.
    pub peakiness: f64,
    /// ⟨Σh⁺, Σh⁻⟩ − ‖Σh⁺‖² of the last hidden states (CHES; Razin et al. 2024).
    pub ches: f64,
    /// The same with means instead of sums (length-normalised CHES).
    pub ches_normalised: f64,
    /// Δ log π(y⁺) that a step on this pair alone would make.
    pub own_chosen: f64,
    /// Δ log π(y⁻) of that step.
    pub own_rejected: f64,
    /// Δ of the summed log-probability of the most likely tokens in the contexts of y⁻: the squeeze.
    pub own_argmax: f64,
    /// Δ log π(y⁺) that one step on all pairs of the batch together would make.
    pub data_chosen: f64,
    /// Δ log π(y⁻) of that step.
    pub data_rejected: f64,
    /// What that step would do to the most likely tokens along y⁻, as `own_argmax`.
    pub data_argmax: f64,
}
