//! One training stage, in the order in which it happens.

mod fault;
#[cfg(test)]
mod fault_tests;
mod optimizer;
mod order;
mod peak;
#[cfg(test)]
mod preference_tests;
mod reference;
mod schedule;
mod step;
mod update;

pub use optimizer::{Linearised, Optimizer};
pub use order::{Cadence, order, stage_order};
pub use peak::{Best, Standing};
pub use reference::{add_reference, hash, reference_log_probs};
pub use schedule::learning_rate;
pub use step::{Example, Gradients, Loss, Means, Pass, accumulate, predicted_tokens};
pub use update::{Update, UpdateToken, displacement, move_along, sum, targets};

use crate::config::Stage;
use crate::model::Model;
use crate::probe::When;
use crate::record::Metrics;
use crate::score::NotFinite;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tracing::trace;

/// What an observer asks for while a stage runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Intervention {
    /// No further step: something is wrong.
    Stop,
    /// No further step: the stage has reached what it was for.
    Finish,
    /// The learning rate is multiplied by this from here on.
    ScaleRate(f64),
    /// A loss of pairs has this times the mean NLL of y⁺ added from here on: see [`Loss::anchored`].
    Anchor(f64),
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After its last step.
    Done,
    /// Before its last step, when the observer found that it had reached what it was for.
    Early,
    /// When the observer found something wrong.
    Stopped,
}

/// What a stage reports while it runs, and what it is asked for then.
pub trait Observer {
    /// Called before the first update, whenever the stage's probe cadence is
    /// reached, and after the last update, be it an early one.
    ///
    /// # Errors
    /// What the observer meets; the stage stops.
    fn probe(&mut self, model: &Model, when: &When) -> Result<Vec<Intervention>>;

    /// Called after every optimiser step, `steps` in all, with the model as it is then.
    ///
    /// # Errors
    /// What the observer meets; the stage stops.
    fn step(
        &mut self,
        model: &Model,
        when: &When,
        metrics: &Metrics,
        steps: usize,
    ) -> Result<Vec<Intervention>>;

    /// Called when a step's log-probabilities, loss, gradient or size were found not to be finite, before it has changed
    /// anything: model, course and optimiser are as they were before it.
    ///
    /// # Errors
    /// What the observer meets; it is told instead of the fault.
    fn halted(&mut self, _: &Model, _: &Course, _: &Optimizer) -> Result<()> {
        Ok(())
    }

    /// Called between two steps, after the probes: before the first update and after every step. An
    /// error here ends the stage, which can then go on from this place.
    ///
    /// # Errors
    /// What the observer meets; the stage stops.
    fn between(&mut self, _: &Model, _: &Course, _: &Optimizer) -> Result<()> {
        Ok(())
    }
}

/// A stage between two steps: with the weights and the optimiser's state, all that decides how it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Optimiser steps done, which is the place in the schedule.
    pub step: usize,
    /// Examples consumed, which is the place in the order.
    pub examples_seen: usize,
    /// Factor of interventions on the learning rate.
    pub rate: f64,
    /// Anchor of an intervention on the loss.
    pub anchor: Option<f64>,
    /// Whether an intervention has stopped the stage.
    pub stopped: bool,
    /// Whether one has ended it early, with nothing wrong.
    #[serde(default)]
    pub finished: bool,
}

impl Course {
    /// Before the first step.
    const START: Self =
        Self { step: 0, examples_seen: 0, rate: 1.0, anchor: None, stopped: false, finished: false };

    /// Whether an intervention has ended it.
    pub fn is_over(&self) -> bool {
        self.stopped || self.finished
    }

    fn take(&mut self, interventions: Vec<Intervention>) {
        for intervention in interventions {
            match intervention {
                Intervention::Stop => self.stopped = true,
                Intervention::Finish => self.finished = true,
                Intervention::ScaleRate(factor) => self.rate *= factor,
                Intervention::Anchor(weight) => self.anchor = Some(weight),
            }
        }
    }
}

/// Trains the model in place on the examples in this `order`, [`stage_order`]'s or another one. The observer probes when
/// the cadence says. What it asks for holds from the next step on.
///
/// # Errors
/// No examples; [`NotFinite`] for a step that has not been taken, with what and where; whatever the observer returns.
pub fn train(
    model: &Model,
    stage: &Stage,
    loss: &Loss,
    examples: &[Example],
    order: &[usize],
    cadence: Cadence,
    observer: &mut dyn Observer,
) -> Result<End> {
    train_from(None, model, stage, loss, examples, order, cadence, observer)
}

/// [`train`], where given from the place that [`Observer::between`] was told of, with the weights as they were
/// then.
///
/// # Errors
/// As [`train`]; a place of another stage.
#[allow(clippy::too_many_arguments)]
pub fn train_from(
    place: Option<(Course, Optimizer)>,
    model: &Model,
    stage: &Stage,
    loss: &Loss,
    examples: &[Example],
    order: &[usize],
    cadence: Cadence,
    observer: &mut dyn Observer,
) -> Result<End> {
    if examples.is_empty() {
        bail!("stage `{}`: no training examples", stage.name)
    }
    let per_step = stage.examples_per_step();
    let steps = stage.steps(order.len());
    let mut gradients = Gradients::new(model)?;
    let mut when = When { stage: stage.name.clone(), step: 0, examples_seen: 0 };
    let (mut course, mut optimizer) = match place {
        Some((course, optimizer)) => {
            let seen = (course.step * per_step).min(order.len());
            if course.step > steps || course.examples_seen != seen {
                bail!(
                    "stage `{}` has {steps} steps and after step {} seen {seen} examples, not {}",
                    stage.name,
                    course.step,
                    course.examples_seen
                )
            }
            (course, optimizer)
        }
        None => {
            let mut course = Course::START;
            let optimizer = Optimizer::new(stage.optimizer, &gradients.parameters)?;
            course.take(observer.probe(model, &when)?);
            observer.between(model, &course, &optimizer)?;
            (course, optimizer)
        }
    };

    for chunk in order.chunks(per_step).skip(course.step) {
        if course.is_over() {
            break;
        }
        let started = Instant::now();
        let batch: Vec<&Example> = chunk.iter().map(|&i| &examples[i]).collect();
        let context = || format!("stage `{}`, step {}", stage.name, course.step + 1);
        let anchored = course.anchor.map_or(*loss, |anchor| loss.anchored(anchor));
        let lr = course.rate * learning_rate(stage, course.step, steps);
        let taken = take_step(model, stage, &anchored, &batch, lr, &mut gradients, &mut optimizer);
        if let Some(found) = taken.as_ref().err().and_then(|error| error.downcast_ref::<NotFinite>()) {
            observer.halted(model, &course, &optimizer)?;
            return Err(fault::account(found, model, &batch)?).with_context(context);
        }
        let (means, norm) = taken.with_context(context)?;

        let seen_before = course.examples_seen;
        course.step += 1;
        course.examples_seen += batch.len();
        (when.step, when.examples_seen) = (course.step, course.examples_seen);
        let epoch = when.examples_seen as f64 / examples.len() as f64;
        let seconds = started.elapsed().as_secs_f64();
        let row = metrics(stage, loss, &when, epoch, &means, lr, norm, seconds);
        trace!(
            step = row.step,
            loss = row.loss,
            margin = row.rewards_margins,
            grad_norm = row.grad_norm,
            learning_rate = row.learning_rate,
            tokens = row.num_tokens,
            seconds,
            "step"
        );
        course.take(observer.step(model, &when, &row, steps)?);
        let is_last = when.step == steps;
        if cadence.is_due(seen_before, when.examples_seen, is_last) || course.is_over() {
            course.take(observer.probe(model, &when)?);
        }
        observer.between(model, &course, &optimizer)?;
    }
    Ok(match course {
        Course { stopped: true, .. } => End::Stopped,
        Course { step, .. } if step < steps => End::Early,
        _ => End::Done,
    })
}

/// Takes one optimiser step; returns the batch's means and the norm of its gradient. What is not finite is found before
/// weights or averages change.
fn take_step(
    model: &Model,
    stage: &Stage,
    loss: &Loss,
    batch: &[&Example],
    lr: f64,
    gradients: &mut Gradients,
    optimizer: &mut Optimizer,
) -> Result<(Means, f64)> {
    gradients.restart();
    let means = accumulate(model, loss, batch, stage.batch_size, gradients)?;
    let norm = match gradients.norm() {
        Err(error) if error.is::<NotFinite>() => {
            return Err(fault::of_batch(model, loss, batch, gradients)?.into());
        }
        norm => norm?,
    };
    let clip = clip(norm, stage.max_grad_norm);
    fault::refuse_overflow(optimizer, gradients, lr, clip)?;
    optimizer.step(&gradients.parameters, &gradients.values, lr, clip)?;
    Ok((means, norm))
}

/// Factor on the gradients, as `torch.nn.utils.clip_grad_norm_` has it.
pub fn clip(norm: f64, max_norm: f64) -> f64 {
    if max_norm == 0.0 { 1.0 } else { (max_norm / (norm + 1e-6)).min(1.0) }
}

#[allow(clippy::too_many_arguments)]
fn metrics(
    stage: &Stage,
    loss: &Loss,
    when: &When,
    epoch: f64,
    means: &Means,
    learning_rate: f64,
    grad_norm: f64,
    seconds: f64,
) -> Metrics {
    let mut row = Metrics {
        stage: when.stage.clone(),
        step: when.step,
        examples_seen: when.examples_seen,
        epoch,
        loss: means.loss,
        learning_rate,
        grad_norm,
        num_tokens: means.tokens,
        logps_chosen: Some(means.chosen),
        seconds,
        ..Metrics::default()
    };
    if loss.of_pairs().is_some() {
        // A loss without beta has rewards in nats of log-ratio.
        let beta = stage.beta.unwrap_or(1.0);
        row.logps_rejected = Some(means.rejected);
        row.rewards_chosen = Some(beta * means.ratio_chosen);
        row.rewards_rejected = Some(beta * means.ratio_rejected);
        row.rewards_margins = Some(beta * (means.ratio_chosen - means.ratio_rejected));
        row.rewards_accuracies = Some(means.accuracy);
        row.weight_chosen = Some(means.weight_chosen);
        row.weight_rejected = Some(means.weight_rejected);
    }
    row
}
