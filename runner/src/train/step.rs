//! Loss and gradient of a batch. The loss is a function of sequence
//! log-probabilities defined in `ldyn_core::loss`; its weights become the
//! coefficients of the token log-probabilities that are differentiated, so
//! that training is the formula.

use crate::config::{Reduction, Stage};
use crate::model::{Direction, Model};
use crate::score::{self, Item, NotFinite, Packed};
use anyhow::{Context, Result};
use candle_core::{DType, Tensor, Var};
use ldyn_core::loss::{Objective, PairLogps, PreferenceLoss};

/// One training example as token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Line of the data file, from 0.
    pub example: usize,
    /// Prompt ids; empty for plain text.
    pub prompt: Vec<u32>,
    /// The response to learn, or chosen and rejected.
    pub responses: Vec<Vec<u32>>,
    /// log π_ref of chosen and rejected, where the loss uses a reference.
    pub reference: Option<[f64; 2]>,
}

impl Example {
    /// Scored tokens: behind an empty prompt the first has no context.
    fn predicted_tokens(&self) -> usize {
        let unscored = usize::from(self.prompt.is_empty());
        self.responses.iter().map(|r| r.len() - unscored).sum()
    }

    /// The example as it is packed.
    pub fn item(&self) -> Item<'_> {
        Item { prompt: &self.prompt, responses: self.responses.iter().map(Vec::as_slice).collect() }
    }
}

/// What is minimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// −log π of single responses.
    Nll(Reduction),
    /// A preference loss of pairs, mean over the batch.
    Preference(Objective<f64>),
    /// The same with the mean NLL of y⁺ added, −ν·ℓ₊/L₊ (RPO): the mitigation of the monitor.
    Anchored(Objective<f64>, f64),
}

impl Loss {
    /// What the stage minimises.
    ///
    /// # Errors
    /// An unknown objective, or parameters out of range.
    pub fn of(stage: &Stage) -> Result<Self> {
        Ok(if stage.is_pretrain() || stage.objective == "sft" {
            Self::Nll(stage.reduction)
        } else {
            Self::Preference(stage.loss()?)
        })
    }

    /// Whether log-probabilities of the reference are needed.
    pub fn uses_reference(&self) -> bool {
        self.of_pairs().is_some_and(|objective| PreferenceLoss::<f64>::uses_reference(objective))
    }

    /// The loss of pairs without an anchor; `None` for single responses.
    pub fn of_pairs(&self) -> Option<&Objective<f64>> {
        match self {
            Self::Nll(_) => None,
            Self::Preference(objective) | Self::Anchored(objective, _) => Some(objective),
        }
    }

    /// The loss of pairs with −ν·ℓ₊/L₊ added; that of single responses as it is.
    #[must_use]
    pub fn anchored(self, anchor: f64) -> Self {
        match self {
            Self::Nll(_) => self,
            Self::Preference(objective) | Self::Anchored(objective, _) => Self::Anchored(objective, anchor),
        }
    }
}

/// Batch means for the metrics of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Means {
    /// Loss under its reduction.
    pub loss: f64,
    /// Mean of log π(y⁺) (or of the single response), nats.
    pub chosen: f64,
    /// Mean of log π(y⁻).
    pub rejected: f64,
    /// Mean log-ratio to the reference of y⁺.
    pub ratio_chosen: f64,
    /// Mean log-ratio to the reference of y⁻.
    pub ratio_rejected: f64,
    /// Fraction of pairs whose log-ratio of y⁺ exceeds that of y⁻.
    pub accuracy: f64,
    /// Mean w₊.
    pub weight_chosen: f64,
    /// Mean w₋.
    pub weight_rejected: f64,
    /// Packed rows and predicted tokens.
    pub tokens: usize,
}

/// Gradients by parameter, in the model's order.
pub struct Gradients {
    names: Vec<String>,
    /// The parameters themselves.
    pub parameters: Vec<Var>,
    /// Their gradients; empty before the first backward pass.
    pub values: Vec<Tensor>,
}

impl Gradients {
    /// None yet, for every parameter of the model.
    pub fn new(model: &Model) -> Self {
        let (names, parameters) = model.parameters().map(|(n, v)| (n.to_owned(), v.clone())).unzip();
        Self { names, parameters, values: Vec::new() }
    }

    /// Adds the gradient of a scalar.
    ///
    /// # Errors
    /// A parameter that no gradient reaches, by name.
    pub fn backward(&mut self, scalar: &Tensor) -> Result<()> {
        let mut store = scalar.backward()?;
        let mut fresh = Vec::with_capacity(self.parameters.len());
        for (name, parameter) in self.names.iter().zip(&self.parameters) {
            let gradient = store
                .remove(parameter)
                .with_context(|| format!("no gradient reached `{name}`: an operation lacks its backward"))?;
            fresh.push(gradient);
        }
        self.add(fresh)
    }

    /// Adds gradients in the order of the parameters.
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn add(&mut self, gradients: Vec<Tensor>) -> Result<()> {
        if self.values.is_empty() {
            self.values = gradients;
            return Ok(());
        }
        for (sum, g) in self.values.iter_mut().zip(gradients) {
            *sum = (&*sum + g)?;
        }
        Ok(())
    }

    /// `scale` times the gradients, by name.
    ///
    /// # Errors
    /// A failed operation.
    pub fn direction(&self, scale: f64) -> Result<Direction> {
        self.names.iter().zip(&self.values).map(|(name, g)| Ok((name.clone(), (g * scale)?))).collect()
    }

    /// Global L2 norm.
    ///
    /// # Errors
    /// [`NotFinite`] for a gradient, by name.
    pub fn norm(&self) -> Result<f64> {
        let mut total = 0.0;
        for (name, gradient) in self.names.iter().zip(&self.values) {
            let square = sum_of_squares(gradient)?;
            if !square.is_finite() {
                return Err(NotFinite(format!("the gradient of `{name}` is not finite")).into());
            }
            total += square;
        }
        Ok(total.sqrt())
    }
}

/// Σ t² in f64.
///
/// # Errors
/// A failed operation.
pub fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    // Row by row: a partial sum in f32 covers one row only.
    let rows = tensor.sqr()?.flatten_all()?;
    let n = rows.elem_count();
    let width = 1 << 12;
    let whole = n / width * width;
    let mut total = 0.0;
    for (start, len, shape) in [(0, whole, (whole / width, width)), (whole, n - whole, (1, n - whole))] {
        if len > 0 {
            let sums = rows.narrow(0, start, len)?.reshape(shape)?.sum(1)?;
            total += sums.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
        }
    }
    Ok(total)
}

/// One forward pass with what the loss makes of it: L changes by Σ coefficients · Δ log π(target).
pub struct Pass {
    /// The examples as one batch; its ranges are the examples' responses in order.
    pub packed: Packed,
    /// log π of every target, with candle's graph behind it.
    pub log_probs: Tensor,
    /// ∂L/∂log π of every target: minus the token's weight for a response to be raised.
    pub coefficients: Vec<f64>,
}

impl Pass {
    /// Scores `examples` and asks the loss for its coefficients; adds their share to the step's
    /// means. The step has `n` examples with `predicted` scored tokens in all.
    ///
    /// # Errors
    /// [`NotFinite`] for a loss, naming the example; failures of the model.
    pub fn new(
        model: &Model,
        loss: &Loss,
        examples: &[&Example],
        [n, predicted]: [usize; 2],
        means: &mut Means,
    ) -> Result<Self> {
        let n = n as f64;
        let items: Vec<Item> = examples.iter().map(|e| e.item()).collect();
        let packed = score::pack(&items)?;
        let log_probs = score::log_probs(model, &packed)?;
        let values: Vec<f64> = log_probs.to_dtype(DType::F64)?.to_vec1()?;
        let mut coefficients = vec![0.0f64; values.len()];
        let mut ranges = packed.ranges.iter();
        for example in examples {
            let first = ranges.next().expect("a range a response");
            let chosen: f64 = values[first.clone()].iter().sum();
            means.chosen += chosen / n;
            let example_loss = match loss {
                Loss::Nll(reduction) => {
                    let scale = match reduction {
                        Reduction::Sum => n,
                        Reduction::TokenMean => predicted as f64,
                    };
                    coefficients[first.clone()].fill(-1.0 / scale);
                    -chosen / scale
                }
                Loss::Preference(objective) | Loss::Anchored(objective, _) => {
                    let second = ranges.next().expect("a pair has two ranges");
                    let rejected: f64 = values[second.clone()].iter().sum();
                    let [ref_chosen, ref_rejected] = example.reference.unwrap_or([0.0; 2]);
                    let pair = PairLogps {
                        chosen,
                        rejected,
                        ref_chosen,
                        ref_rejected,
                        chosen_len: first.len(),
                        rejected_len: second.len(),
                    };
                    let mut outcome = objective.outcome(&pair);
                    if let Loss::Anchored(_, anchor) = loss {
                        outcome.loss -= anchor * chosen / first.len() as f64;
                        outcome.chosen_weight += anchor / first.len() as f64;
                    }
                    coefficients[first.clone()].fill(-outcome.chosen_weight / n);
                    coefficients[second.clone()].fill(outcome.rejected_weight / n);
                    let ratios = [chosen - ref_chosen, rejected - ref_rejected];
                    means.rejected += rejected / n;
                    means.ratio_chosen += ratios[0] / n;
                    means.ratio_rejected += ratios[1] / n;
                    means.accuracy += f64::from(u8::from(ratios[0] > ratios[1])) / n;
                    means.weight_chosen += outcome.chosen_weight / n;
                    means.weight_rejected += outcome.rejected_weight / n;
                    outcome.loss / n
                }
            };
            if !example_loss.is_finite() {
                return Err(
                    NotFinite(format!("the loss of example {} is {example_loss}", example.example)).into()
                );
            }
            means.loss += example_loss;
        }
        means.tokens += packed.ids.len();
        Ok(Self { packed, log_probs, coefficients })
    }

    /// Σ coefficients · log π over the targets that `keep` accepts: its gradient is the part of the
    /// loss's gradient that passes through them.
    ///
    /// # Errors
    /// A failed operation.
    pub fn through(&self, keep: impl Fn(usize) -> bool) -> Result<Tensor> {
        let kept = self.coefficients.iter().enumerate().map(|(t, &c)| if keep(t) { c } else { 0.0 });
        let kept = Tensor::new(kept.collect::<Vec<f64>>(), self.log_probs.device())?;
        Ok((&self.log_probs * kept.to_dtype(self.log_probs.dtype())?)?.sum_all()?)
    }
}

/// Adds loss and gradient of one optimiser step's examples, in passes of
/// `batch_size`, and returns the step's means.
///
/// # Errors
/// As [`Pass::new`].
pub fn accumulate(
    model: &Model,
    loss: &Loss,
    examples: &[&Example],
    batch_size: usize,
    gradients: &mut Gradients,
) -> Result<Means> {
    let whole = [examples.len(), predicted_tokens(examples)];
    let mut means = Means::default();
    for pass in examples.chunks(batch_size) {
        let pass = Pass::new(model, loss, pass, whole, &mut means)?;
        gradients.backward(&pass.through(|_| true)?)?;
    }
    Ok(means)
}

/// Scored tokens of all examples.
pub fn predicted_tokens(examples: &[&Example]) -> usize {
    examples.iter().map(|e| e.predicted_tokens()).sum()
}
