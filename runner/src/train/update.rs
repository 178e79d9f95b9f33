//! What a batch does to the weights: Δθ as the optimiser makes it, and the parts
//! of it that pass through the chosen and the rejected responses, that earlier
//! gradients cause, and that weight decay causes.

use super::{
    Example, Gradients, Linearised, Loss, Means, Optimizer, Pass, clip, learning_rate, predicted_tokens,
};
use crate::config::Stage;
use crate::model::{Direction, Model};
use crate::record::Cause;
use anyhow::{Result, bail};
use candle_core::Tensor;

/// One optimiser step that has not been taken.
pub struct Update {
    /// Its parts; Δθ is their sum.
    pub parts: Vec<(Cause, Direction)>,
    /// Loss, log-probabilities and weights of the batch.
    pub means: Means,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Factor that clipping put on the gradient.
    pub clip: f64,
    /// Learning rate of the step, warm-up included.
    pub learning_rate: f64,
    linear: Linearised,
}

impl Update {
    /// The step that `optimizer` would take on this batch as step `step` (from 0) of `steps`.
    /// The model and the optimiser stay as they are.
    ///
    /// # Errors
    /// No examples; a loss or gradient that is not finite; failures of the model.
    pub fn new(
        model: &Model,
        stage: &Stage,
        loss: &Loss,
        examples: &[&Example],
        optimizer: &Optimizer,
        [step, steps]: [usize; 2],
    ) -> Result<Self> {
        if examples.is_empty() {
            bail!("an update needs at least one example")
        }
        let whole = [examples.len(), predicted_tokens(examples)];
        let mut means = Means::default();
        let mut causes = vec![(Cause::Chosen, Gradients::new(model))];
        if loss.of_pairs().is_some() {
            causes.push((Cause::Rejected, Gradients::new(model)));
        }
        for examples in examples.chunks(stage.batch_size) {
            let pass = Pass::new(model, loss, examples, whole, &mut means)?;
            let cause = causes_of(&pass, causes.len());
            for (c, gradients) in &mut causes {
                gradients.backward(&pass.through(|t| cause[t] == *c)?)?;
            }
        }
        let mut total = Gradients::new(model);
        for (_, gradients) in &causes {
            total.add(gradients.values.clone())?;
        }
        let grad_norm = total.norm()?;
        let learning_rate = learning_rate(stage, step, steps);
        let clip = clip(grad_norm, stage.max_grad_norm);
        let linear = optimizer.linearised(&total.parameters, &total.values, learning_rate, clip)?;
        let named = |tensors: Vec<Tensor>| -> Direction {
            model.parameters().map(|(name, _)| name.to_owned()).zip(tensors).collect()
        };
        let mut parts = Vec::new();
        for (cause, gradients) in causes {
            parts.push((cause, named(descend(&linear, &gradients.values)?)));
        }
        for (cause, part) in [(Cause::History, &linear.history), (Cause::Decay, &linear.decay)] {
            parts.extend(part.clone().map(|tensors| (cause, named(tensors))));
        }
        Ok(Self { parts, means, grad_norm, clip, learning_rate, linear })
    }

    /// Δθ.
    ///
    /// # Errors
    /// A failed operation.
    pub fn whole(&self) -> Result<Direction> {
        sum(self.parts.iter().map(|(_, part)| part))
    }

    /// The part of Δθ that passes through one target of one example's pass, for every target in
    /// turn, at the gain of the whole step: they add up to the chosen and rejected parts.
    ///
    /// # Errors
    /// What `each` returns; failures of the model.
    pub fn token_by_token(
        &self,
        model: &Model,
        loss: &Loss,
        examples: &[&Example],
        mut each: impl FnMut(UpdateToken, Direction) -> Result<()>,
    ) -> Result<()> {
        let whole = [examples.len(), predicted_tokens(examples)];
        for (i, example) in examples.iter().enumerate() {
            let pass = Pass::new(model, loss, std::slice::from_ref(example), whole, &mut Means::default())?;
            for (response, range) in pass.packed.ranges.iter().enumerate() {
                for target in range.clone() {
                    let mut gradients = Gradients::new(model);
                    gradients.backward(&pass.through(|t| t == target)?)?;
                    let tensors = descend(&self.linear, &gradients.values)?;
                    let direction =
                        model.parameters().map(|(name, _)| name.to_owned()).zip(tensors).collect();
                    let token = UpdateToken {
                        example: i,
                        response,
                        position: target - range.start,
                        token: pass.packed.targets[target],
                        coefficient: pass.coefficients[target],
                    };
                    each(token, direction)?;
                }
            }
        }
        Ok(())
    }
}

/// A scored token of the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateToken {
    /// Index of the example in the batch.
    pub example: usize,
    /// 0 for y⁺ (or the single response), 1 for y⁻.
    pub response: usize,
    /// Position among the response's scored tokens.
    pub position: usize,
    /// Token id.
    pub token: u32,
    /// ∂L/∂log π of the token.
    pub coefficient: f64,
}

/// Which response each target of a pass belongs to; with one cause all are `Chosen`.
fn causes_of(pass: &Pass, n: usize) -> Vec<Cause> {
    let mut causes = vec![Cause::Chosen; pass.coefficients.len()];
    for (i, range) in pass.packed.ranges.iter().enumerate() {
        if i % n == 1 {
            causes[range.clone()].fill(Cause::Rejected);
        }
    }
    causes
}

/// −gain ∘ g.
fn descend(linear: &Linearised, gradients: &[Tensor]) -> Result<Vec<Tensor>> {
    linear.gain.iter().zip(gradients).map(|(gain, g)| Ok((gain * g)?.neg()?)).collect()
}

/// The sum of directions.
///
/// # Errors
/// Tensors of one name that differ in shape or type.
pub fn sum<'a>(directions: impl IntoIterator<Item = &'a Direction>) -> Result<Direction> {
    let mut total = Direction::new();
    for direction in directions {
        for (name, tensor) in direction {
            let so_far = total.remove(name);
            let tensor = so_far.map_or_else(|| Ok(tensor.clone()), |sum| sum + tensor)?;
            total.insert(name.clone(), tensor);
        }
    }
    Ok(total)
}

/// θ′ − θ for two models of one shape.
///
/// # Errors
/// Models with other parameters.
pub fn displacement(from: &Model, to: &Model) -> Result<Direction> {
    let pairs = from.parameters().zip(to.parameters());
    pairs
        .map(|((name, a), (other, b))| {
            if name != other {
                bail!("the models differ in their parameters: `{name}` and `{other}`")
            }
            Ok((name.to_owned(), (b.as_detached_tensor() - a.as_detached_tensor())?))
        })
        .collect()
}

/// Adds `scale`·`direction` to the weights.
///
/// # Errors
/// A direction of other parameters.
pub fn move_along(model: &Model, direction: &Direction, scale: f64) -> Result<()> {
    for (name, var) in model.parameters() {
        if let Some(tensor) = direction.get(name) {
            var.set(&(var.as_detached_tensor() + (tensor * scale)?)?)?;
        }
    }
    Ok(())
}
