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
use candle_core::{Tensor, Var};

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
    batch_size: usize,
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
        let most = examples.iter().map(|e| e.responses.len()).max().unwrap_or(0);
        let mut causes = Vec::with_capacity(most);
        for cause in RESPONSES.into_iter().take(most) {
            causes.push((cause, Gradients::new(model)?));
        }
        for examples in examples.chunks(stage.batch_size) {
            let pass = Pass::new(model, loss, examples, whole, &mut means)?;
            let cause: Vec<Cause> = targets(&pass, examples).map(|t| RESPONSES[t.response]).collect();
            for (c, gradients) in &mut causes {
                pass.backward(gradients, |t| cause[t] == *c)?;
            }
        }
        let mut total = Gradients::new(model)?;
        for (_, gradients) in &causes {
            total.add(gradients)?;
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
        Ok(Self { parts, means, grad_norm, clip, learning_rate, batch_size: stage.batch_size, linear })
    }

    /// The first step of a fresh optimiser, at the full learning rate.
    ///
    /// # Errors
    /// As [`Update::new`].
    pub fn fresh(model: &Model, stage: &Stage, loss: &Loss, examples: &[&Example]) -> Result<Self> {
        let parameters: Vec<Var> = model.parameters().map(|(_, var)| var.clone()).collect();
        let optimizer = Optimizer::new(stage.optimizer, &parameters)?;
        Self::new(model, stage, loss, examples, &optimizer, [stage.warmup_steps, usize::MAX])
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
        let mut gradients = Gradients::new(model)?;
        for (chunk, examples) in examples.chunks(self.batch_size).enumerate() {
            let pass = Pass::new(model, loss, examples, whole, &mut Means::default())?;
            for (target, token) in targets(&pass, examples).enumerate() {
                gradients.restart();
                pass.backward(&mut gradients, |t| t == target)?;
                let tensors = descend(&self.linear, &gradients.values)?;
                let direction = model.parameters().map(|(name, _)| name.to_owned()).zip(tensors).collect();
                each(UpdateToken { example: chunk * self.batch_size + token.example, ..token }, direction)?;
            }
        }
        Ok(())
    }
}

/// What the responses of an example cause, in their order.
const RESPONSES: [Cause; 3] = [Cause::Chosen, Cause::Rejected, Cause::Anchor];

/// A scored token of the update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateToken {
    /// Index of the example in the batch.
    pub example: usize,
    /// 0 for y⁺ (or the single response), 1 for y⁻, 2 for an anchor.
    pub response: usize,
    /// Position among the response's scored tokens.
    pub position: usize,
    /// Token id.
    pub token: u32,
    /// ∂L/∂log π of the token.
    pub coefficient: f64,
}

/// The targets of a pass of these examples in order, each with its place.
pub fn targets<'a>(pass: &'a Pass, examples: &'a [&Example]) -> impl Iterator<Item = UpdateToken> + 'a {
    let places = examples.iter().enumerate().flat_map(|(i, e)| (0..e.responses.len()).map(move |r| (i, r)));
    places.zip(&pass.packed.ranges).flat_map(move |((example, response), range)| {
        range.clone().map(move |target| UpdateToken {
            example,
            response,
            position: target - range.start,
            token: pass.packed.targets[target],
            coefficient: pass.coefficients[target],
        })
    })
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
