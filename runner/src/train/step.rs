//! Loss and gradient of a batch. The loss is a function of sequence
//! log-probabilities defined in `ldyn_core::loss`; its weights become the
//! coefficients of the token log-probabilities that are differentiated, so
//! that training is the formula.

use super::fault;
use crate::config::{Reduction, Stage};
use crate::model::{Direction, Model};
use crate::objective::Preference;
use crate::record::Fault;
use crate::score::{self, Item, Packed};
use crate::value::{Traced, Value, sums_of_squares};
use anyhow::{Result, bail};
use candle_core::{DType, Tensor, Var};
use ldyn_core::diagnostics::TokenStats;
use ldyn_core::loss::PairLogps;
use std::ops::Range;

/// One training example as token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Line of the data file, from 0.
    pub example: usize,
    /// Prompt ids; empty for plain text.
    pub prompt: Vec<u32>,
    /// The response to learn, or chosen and rejected, and an anchor where the loss has one.
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
    Preference(Preference),
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
            Self::Preference(stage.preference()?)
        })
    }

    /// Whether log-probabilities of a reference model are needed.
    pub fn uses_reference(&self) -> bool {
        self.of_pairs().is_some_and(|p| p.loss.uses_reference() && !p.policy_as_reference)
    }

    /// The loss with those faults of the reference code that touch it.
    #[must_use]
    pub fn with_faults(self, faults: &[Fault]) -> Self {
        let policy_as_reference = faults.contains(&Fault::PolicyAsReference);
        match self {
            Self::Preference(p) => Self::Preference(Preference { policy_as_reference, ..p }),
            Self::Nll(_) => self,
        }
    }

    /// The loss of pairs; `None` for single responses.
    pub fn of_pairs(&self) -> Option<&Preference> {
        match self {
            Self::Nll(_) => None,
            Self::Preference(preference) => Some(preference),
        }
    }

    /// The loss of pairs with the mean NLL of y⁺ added, −anchor·ℓ₊/L₊ (RPO): the mitigation of the
    /// monitor; that of single responses as it is.
    #[must_use]
    pub fn anchored(self, anchor: f64) -> Self {
        match self {
            Self::Nll(_) => self,
            Self::Preference(preference) => Self::Preference(Preference { anchor, ..preference }),
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

/// Gradients by parameter, in the model's order: sums over backward passes, in buffers that stay.
pub struct Gradients {
    /// Names of the parameters.
    pub(super) names: Vec<String>,
    /// The parameters themselves.
    pub parameters: Vec<Var>,
    /// Their gradients; 0 before the first backward pass.
    pub values: Vec<Tensor>,
    /// Whether the values count; else the next pass replaces them.
    begun: bool,
}

impl Gradients {
    /// None yet, for every parameter of the model.
    ///
    /// # Errors
    /// Out of device memory.
    pub fn new(model: &Model) -> Result<Self> {
        let (names, parameters): (_, Vec<Var>) =
            model.parameters().map(|(n, v)| (n.to_owned(), v.clone())).unzip();
        let values = parameters.iter().map(|p| p.zeros_like()).collect::<candle_core::Result<_>>()?;
        Ok(Self { names, parameters, values, begun: false })
    }

    /// Begins a new sum: the next backward pass takes the place of what is there.
    pub fn restart(&mut self) {
        self.begun = false;
    }

    /// Adds the gradient of ⟨seed, output⟩.
    ///
    /// # Errors
    /// A parameter that no gradient reaches, by name.
    pub fn backward(&mut self, output: &Traced, seed: &Tensor) -> Result<()> {
        let reached = output.backward(seed, &self.parameters, &self.values, self.begun)?;
        self.begun = true;
        if let Some(missed) = reached.iter().position(|reached| !reached) {
            bail!("no gradient reached `{}`: an operation lacks its backward", self.names[missed])
        }
        Ok(())
    }

    /// Adds the gradients of another sum over the same parameters.
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        for (sum, g) in self.values.iter_mut().zip(&other.values) {
            *sum = if self.begun { (&*sum + g)? } else { g.copy()? };
        }
        self.begun = true;
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
    /// [`crate::score::NotFinite`] for gradients, by name.
    pub fn norm(&self) -> Result<f64> {
        let total: f64 = sums_of_squares(&self.values)?.iter().sum();
        match total.is_finite() {
            true => Ok(total.sqrt()),
            false => Err(fault::of_gradients(self)?.into()),
        }
    }
}

/// One forward pass with what the loss makes of it: L changes by Σ coefficients · Δ log π(target).
pub struct Pass {
    /// The examples as one batch; its ranges are the examples' responses in order.
    pub packed: Packed,
    /// log π of every target, with the steps that lead to it.
    pub log_probs: Traced,
    /// ∂L/∂log π of every target: minus the token's weight for a response to be raised.
    pub coefficients: Vec<f64>,
}

impl Pass {
    /// Scores `examples` and asks the loss for its coefficients; adds their share to the step's
    /// means. The step has `n` examples with `predicted` scored tokens in all.
    ///
    /// # Errors
    /// [`crate::score::NotFinite`] for a log-probability or a loss, naming examples; failures of the model.
    pub fn new(
        model: &Model,
        loss: &Loss,
        examples: &[&Example],
        [n, predicted]: [usize; 2],
        means: &mut Means,
    ) -> Result<Self> {
        let items: Vec<Item> = examples.iter().map(|e| e.item()).collect();
        let packed = score::pack(&items)?;
        let weighted = matches!(loss, Loss::Preference(p) if p.weighted);
        let mut stats = weighted.then(Vec::new);
        let log_probs = score::log_probs(model, &packed, stats.as_mut())?;
        let values: Vec<f64> = log_probs.primal().to_dtype(DType::F64)?.to_vec1()?;
        fault::refuse_log_probs(examples, &packed.ranges, &values)?;
        let coefficients = vec![0.0; values.len()];
        let mut scored = Scored { examples, n: n as f64, ranges: &packed.ranges, values, coefficients };
        match loss {
            Loss::Nll(Reduction::Sum) => scored.nll(n as f64, means)?,
            Loss::Nll(Reduction::TokenMean) => scored.nll(predicted as f64, means)?,
            Loss::Preference(preference) => scored.preference(preference, stats.as_deref(), means)?,
        }
        let coefficients = scored.coefficients;
        means.tokens += packed.ids.len();
        Ok(Self { packed, log_probs, coefficients })
    }

    /// Adds the part of the loss's gradient that passes through the targets that `keep` accepts: the gradient of
    /// Σ coefficients · log π over them.
    ///
    /// # Errors
    /// As [`Gradients::backward`].
    pub fn backward(&self, gradients: &mut Gradients, keep: impl Fn(usize) -> bool) -> Result<()> {
        let kept = self.coefficients.iter().enumerate().map(|(t, &c)| if keep(t) { c } else { 0.0 });
        let log_probs = self.log_probs.primal();
        let kept = Tensor::new(kept.collect::<Vec<f64>>(), log_probs.device())?;
        gradients.backward(&self.log_probs, &kept.to_dtype(log_probs.dtype())?)
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
        pass.backward(gradients, |_| true)?;
    }
    Ok(means)
}

/// Scored tokens of all examples.
pub fn predicted_tokens(examples: &[&Example]) -> usize {
    examples.iter().map(|e| e.predicted_tokens()).sum()
}

/// Examples of one forward pass, with what it gave.
struct Scored<'a> {
    examples: &'a [&'a Example],
    /// Examples of the whole optimiser step.
    n: f64,
    /// Where each response's tokens lie, example after example.
    ranges: &'a [Range<usize>],
    /// log π of the tokens.
    values: Vec<f64>,
    /// What each log π is multiplied with before it is differentiated; from 0.
    coefficients: Vec<f64>,
}

impl Scored<'_> {
    /// Each example with the tokens of its responses.
    fn responses(&self) -> impl Iterator<Item = (&Example, &[Range<usize>])> {
        let mut rest = self.ranges;
        self.examples.iter().map(move |example| {
            let (own, others) = rest.split_at(example.responses.len());
            rest = others;
            (*example, own)
        })
    }

    /// −log π of the first responses, over `scale`.
    fn nll(&mut self, scale: f64, means: &mut Means) -> Result<()> {
        let mut targets = Vec::with_capacity(self.examples.len());
        for (_, own) in self.responses() {
            let logp: f64 = self.values[own[0].clone()].iter().sum();
            means.chosen += logp / self.n;
            means.loss += -logp / scale;
            targets.push(own[0].clone());
        }
        for range in targets {
            self.coefficients[range].fill(-1.0 / scale);
        }
        Ok(())
    }

    fn preference(
        &mut self,
        preference: &Preference,
        stats: Option<&[TokenStats<f64>]>,
        means: &mut Means,
    ) -> Result<()> {
        let (mut pairs, mut anchors) = (Vec::new(), Vec::new());
        for (example, own) in self.responses() {
            let [chosen_len, rejected_len] = [own[0].len(), own[1].len()];
            let chosen = preference.sum(&self.values[own[0].clone()], rejected_len);
            let rejected = preference.sum(&self.values[own[1].clone()], chosen_len);
            let [ref_chosen, ref_rejected] = match preference.policy_as_reference {
                true => [chosen, rejected],
                false => example.reference.unwrap_or([0.0; 2]),
            };
            pairs.push(PairLogps { chosen, rejected, ref_chosen, ref_rejected, chosen_len, rejected_len });
            anchors.extend(own.get(2).map(|range| self.values[range.clone()].iter().sum::<f64>()));
        }
        let outcomes = preference.outcomes(&pairs, &anchors)?;
        let sum_sq: Option<Vec<f64>> = stats.map(|stats| stats.iter().map(|s| s.sum_sq).collect());
        let mut coefficients = std::mem::take(&mut self.coefficients);
        let n = self.n;
        for (((example, own), pair), (outcome, anchor_weight)) in self.responses().zip(&pairs).zip(outcomes) {
            let outcome = match &sum_sq {
                None => outcome,
                Some(sum_sq) => {
                    let tokens = |i: usize| (&self.values[own[i].clone()], &sum_sq[own[i].clone()]);
                    outcome.scaled(preference.pair_weight(tokens(0), tokens(1))?)
                }
            };
            let outcome = preference.gated(outcome, &self.values[own[1].clone()]);
            fault::refuse_outcome(&outcome, example)?;
            means.loss += outcome.loss / n;
            let sides = [(-outcome.chosen_weight, own[1].len()), (outcome.rejected_weight, own[0].len())];
            for (range, (weight, other_len)) in own.iter().zip(sides) {
                for (l, c) in coefficients[range.clone()].iter_mut().enumerate() {
                    *c = weight * preference.token_weight(l, other_len) / n;
                }
            }
            if let Some(range) = own.get(2) {
                coefficients[range.clone()].fill(-anchor_weight / n);
            }
            let (ratio_chosen, ratio_rejected) = pair.log_ratios();
            means.chosen += pair.chosen / n;
            means.rejected += pair.rejected / n;
            means.ratio_chosen += ratio_chosen / n;
            means.ratio_rejected += ratio_rejected / n;
            means.accuracy += f64::from(u8::from(ratio_chosen > ratio_rejected)) / n;
            means.weight_chosen += outcome.chosen_weight / n;
            means.weight_rejected += outcome.rejected_weight / n;
        }
        self.coefficients = coefficients;
        Ok(())
    }
}
