//! Reverse mode: a tensor with the steps that made it, so that gradients can go back through them.
//!
//! The steps are those of [`Value`]: where an operation is fused its own backward is called, and elsewhere candle
//! differentiates the composed form, run again for it. Gradients of activations are added in place, those of parameters go
//! into the buffers that the caller keeps (see [`super::sink`]); candle's own backward pass makes two
//! new tensors for each.

use super::activation::Activate;
use super::attention::{self, Op as FusedAttention};
use super::cpu::{add, add_into, fused, fused_anywhere, mul};
use super::head::Head;
use super::linear::Linear;
use super::norm::Norm;
use super::rows::Rows;
use super::{Activation, Attention, Layout, Precision, Value, check, composed, sink};
use anyhow::{Result, ensure};
use candle_core::{CustomOp1, CustomOp2, CustomOp3, Tensor, TensorId, Var};
use ldyn_core::diagnostics::TokenStats;
use std::cell::RefCell;
use std::rc::Rc;

/// The steps of a forward pass, in their order.
#[derive(Clone, Default)]
pub struct Tape {
    steps: Rc<RefCell<Vec<Step>>>,
    again: Option<Again>,
}

/// Runs a block of a model on its input once more: with a tape for a backward pass, or without.
pub(crate) type Again = Rc<dyn Fn(usize, &Traced, Option<&Tape>) -> Result<Traced>>;

type Backward = Box<dyn Fn(&Tensor) -> Result<Vec<Option<Tensor>>>>;

struct Step {
    inputs: Vec<Origin>,
    /// Gradients by the inputs from the gradient by the output.
    backward: Backward,
    /// Whether what it returns may be the gradient that it was given, which others may hold.
    passes_on: bool,
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    Constant,
    Parameter(TensorId),
    Step(usize),
    /// What a block begins with.
    Input,
}

/// A tensor and where it comes from.
#[derive(Clone)]
pub struct Traced {
    tensor: Tensor,
    origin: Origin,
    tape: Option<Tape>,
}

impl Tape {
    /// Without a step, for all that is to be kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without a step, for a pass that keeps what its blocks begin with and runs them again in the backward pass
    /// (gradient checkpointing).
    pub(crate) fn forgetting(again: Again) -> Self {
        Self { again: Some(again), ..Self::default() }
    }

    /// A parameter: gradients by it go into its buffer.
    pub fn parameter(&self, var: &Var) -> Traced {
        let tensor = var.as_tensor().clone();
        Traced { origin: Origin::Parameter(tensor.id()), tensor, tape: Some(self.clone()) }
    }

    fn push(&self, inputs: &[&Traced], tensor: Tensor, passes_on: bool, backward: Backward) -> Traced {
        let mut steps = self.steps.borrow_mut();
        let inputs = inputs.iter().map(|x| x.origin).collect();
        steps.push(Step { inputs, backward, passes_on });
        Traced { tensor, origin: Origin::Step(steps.len() - 1), tape: Some(self.clone()) }
    }
}

/// The value of a step, recorded if one of its inputs is.
fn step(
    inputs: &[&Traced],
    tensor: Tensor,
    backward: impl Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + 'static,
) -> Traced {
    record(inputs, tensor, false, backward)
}

fn record(
    inputs: &[&Traced],
    tensor: Tensor,
    passes_on: bool,
    backward: impl Fn(&Tensor) -> Result<Vec<Option<Tensor>>> + 'static,
) -> Traced {
    match inputs.iter().find_map(|x| x.tape.as_ref()) {
        Some(tape) => tape.push(inputs, tensor, passes_on, Box::new(backward)),
        None => Traced::constant(tensor),
    }
}

/// A step in its composed form, which candle differentiates.
fn composed_step(inputs: &[&Traced], f: impl Fn(&[&Tensor]) -> Result<Tensor> + 'static) -> Result<Traced> {
    let tensors: Vec<Tensor> = inputs.iter().map(|x| x.tensor.detach()).collect();
    let y = f(&tensors.iter().collect::<Vec<_>>())?;
    Ok(step(inputs, y, move |g| {
        let vars = tensors.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
        let y = f(&vars.iter().map(Var::as_tensor).collect::<Vec<_>>())?;
        let store = (y * g)?.sum_all()?.backward()?;
        Ok(vars.iter().map(|var| store.get(var).cloned()).collect())
    }))
}

/// A gradient, and whether nobody else holds it.
type Sum = Option<(Tensor, bool)>;

/// Adds `part` to what there is, in place where that is allowed.
fn accumulate(sum: &mut Sum, part: Tensor, own: bool) -> Result<()> {
    *sum = Some(match sum.take() {
        None => (part, own),
        Some((sum, true)) => {
            add_into(&sum, &part)?;
            (sum, true)
        }
        Some((sum, false)) if own => {
            add_into(&part, &sum)?;
            (part, true)
        }
        Some((sum, false)) => (add(&sum, &part)?, true),
    });
    Ok(())
}

impl Traced {
    /// Adds the gradient of ⟨seed, self⟩ by every parameter to its buffer, or puts it in the place of what is there
    /// unless `add`. Buffers have the shapes and types of the parameters, are contiguous and belong to
    /// the caller alone. Returns whether each parameter was reached.
    ///
    /// # Errors
    /// A failed operation; buffers that do not fit.
    pub(crate) fn backward(
        &self,
        seed: &Tensor,
        parameters: &[Var],
        buffers: &[Tensor],
        add: bool,
    ) -> Result<Vec<bool>> {
        check::same_shape("backward", &self.tensor, seed)?;
        sink::collect(parameters, buffers, add, || self.pull(seed.clone()).map(|_| ()))
    }

    /// The gradients of ⟨seed, self⟩ by these parameters, where they are reached.
    ///
    /// # Errors
    /// As [`Traced::backward`].
    pub(crate) fn gradients(&self, seed: &Tensor, parameters: &[Var]) -> Result<Vec<Option<Tensor>>> {
        let buffers = parameters.iter().map(|p| p.zeros_like()).collect::<candle_core::Result<Vec<_>>>()?;
        let reached = self.backward(seed, parameters, &buffers, false)?;
        Ok(buffers.into_iter().zip(reached).map(|(buffer, reached)| reached.then_some(buffer)).collect())
    }

    /// Goes back through the steps: gradients by parameters go to their buffers. Returns the gradient by the tape's
    /// input, if it has one.
    fn pull(&self, seed: Tensor) -> Result<Option<Tensor>> {
        // Without a tape no parameter leads here.
        let Some(tape) = &self.tape else { return Ok(None) };
        let steps = tape.steps.borrow();
        let (mut sums, mut input): (Vec<Sum>, Sum) = (vec![None; steps.len()], None);
        let mut give = |sums: &mut Vec<Sum>, origin: Origin, part: Tensor, own: bool| match origin {
            Origin::Constant => Ok(()),
            Origin::Parameter(id) => Ok(sink::give(id, &part).map(|_| ())?),
            Origin::Step(i) => accumulate(&mut sums[i], part, own),
            Origin::Input => accumulate(&mut input, part, own),
        };
        give(&mut sums, self.origin, seed, false)?;
        for (i, step) in steps.iter().enumerate().rev() {
            let Some((gradient, _)) = sums[i].take() else { continue };
            for (origin, part) in step.inputs.iter().zip((step.backward)(&gradient)?) {
                if let Some(part) = part {
                    give(&mut sums, *origin, part, !step.passes_on)?;
                }
            }
        }
        Ok(input.map(|(gradient, _)| gradient))
    }
}

impl Value for Traced {
    fn constant(tensor: Tensor) -> Self {
        Self { tensor: tensor.detach(), origin: Origin::Constant, tape: None }
    }

    fn block(&self, number: usize, run: &dyn Fn(&Self) -> Result<Self>) -> Result<Self> {
        let Some(again) = self.tape.as_ref().and_then(|tape| tape.again.clone()) else { return run(self) };
        let x = self.tensor.clone();
        let y = again(number, &Self::constant(x.clone()), None)?;
        Ok(step(&[self], y.tensor, move |g| {
            let tape = Tape::new();
            let x = Self { tensor: x.detach(), origin: Origin::Input, tape: Some(tape.clone()) };
            Ok(vec![again(number, &x, Some(&tape))?.pull(g.clone())?])
        }))
    }

    fn primal(&self) -> &Tensor {
        &self.tensor
    }

    fn rows(&self, ids: &Tensor) -> Result<Self> {
        check::rows(&self.tensor, ids)?;
        if !fused(&[&self.tensor]) {
            let ids = ids.clone();
            return composed_step(&[self], move |x| Value::rows(x[0], &ids));
        }
        let (x, op) = (self.tensor.contiguous()?, Rows(ids.to_vec1()?));
        let y = x.apply_op1_no_bwd(&op)?;
        Ok(step(&[self], y, move |g| Ok(vec![op.bwd(&x, &x, g)?])))
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>, precision: Precision) -> Result<Self> {
        check::linear(&self.tensor, &weight.tensor, bias.map(|b| &b.tensor), precision)?;
        let inputs: Vec<&Self> = [self, weight].into_iter().chain(bias).collect();
        if !fused_anywhere(&inputs.iter().map(|x| &x.tensor).collect::<Vec<_>>()) {
            return composed_step(&inputs, move |x| {
                composed::linear(x[0], x[1], x.get(2).copied(), precision)
            });
        }
        let (x, w) = (self.tensor.contiguous()?, weight.tensor.contiguous()?);
        let op = Linear(precision);
        let Some(bias) = bias else {
            let y = x.apply_op2_no_bwd(&w, &op)?;
            return Ok(step(&inputs, y, move |g| {
                let (dx, dw) = CustomOp2::bwd(&op, &x, &w, &x, g)?;
                Ok(vec![dx, dw])
            }));
        };
        let b = bias.tensor.contiguous()?;
        let y = x.apply_op3_no_bwd(&w, &b, &op)?;
        Ok(step(&inputs, y, move |g| {
            let (dx, dw, db) = CustomOp3::bwd(&op, &x, &w, &b, &x, g)?;
            Ok(vec![dx, dw, db])
        }))
    }

    fn add(&self, other: &Self) -> Result<Self> {
        let y = Value::add(&self.tensor.detach(), &other.tensor.detach())?;
        Ok(record(&[self, other], y, true, |g| Ok(vec![Some(g.clone()), Some(g.clone())])))
    }

    fn mul(&self, other: &Self) -> Result<Self> {
        let (a, b) = (self.tensor.detach(), other.tensor.detach());
        let y = Value::mul(&a, &b)?;
        Ok(step(&[self, other], y, move |g| Ok(vec![Some(mul(g, &b)?), Some(mul(g, &a)?)])))
    }

    fn activate(&self, activation: Activation) -> Result<Self> {
        if !fused_anywhere(&[&self.tensor]) {
            return composed_step(&[self], move |x| composed::activate(x[0], activation));
        }
        let (x, op) = (self.tensor.contiguous()?, Activate(activation));
        let y = x.apply_op1_no_bwd(&op)?;
        Ok(step(&[self], y, move |g| Ok(vec![op.bwd(&x, &x, g)?])))
    }

    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        check::norm("layer_norm", &self.tensor, &[&weight.tensor, &bias.tensor])?;
        let inputs = [self, weight, bias];
        if !fused_anywhere(&inputs.map(|x| &x.tensor)) {
            return composed_step(&inputs, move |x| composed::layer_norm(x[0], x[1], x[2], eps));
        }
        let norm = Norm { centred: true, eps };
        let [x, w, b] = inputs.map(|x| x.tensor.contiguous());
        let (x, w, b) = (x?, w?, b?);
        let y = x.apply_op3_no_bwd(&w, &b, &norm)?;
        Ok(step(&inputs, y, move |g| {
            let (dx, dw, db) = CustomOp3::bwd(&norm, &x, &w, &b, &x, g)?;
            Ok(vec![dx, dw, db])
        }))
    }

    fn rms_norm(&self, weight: &Self, eps: f64) -> Result<Self> {
        check::norm("rms_norm", &self.tensor, &[&weight.tensor])?;
        let inputs = [self, weight];
        if !fused_anywhere(&inputs.map(|x| &x.tensor)) {
            return composed_step(&inputs, move |x| composed::rms_norm(x[0], x[1], eps));
        }
        let norm = Norm { centred: false, eps };
        let (x, w) = (self.tensor.contiguous()?, weight.tensor.contiguous()?);
        let y = x.apply_op2_no_bwd(&w, &norm)?;
        Ok(step(&inputs, y, move |g| {
            let (dx, dw) = CustomOp2::bwd(&norm, &x, &w, &x, g)?;
            Ok(vec![dx, dw])
        }))
    }

    fn concat(parts: &[&Self]) -> Result<Self> {
        ensure!(!parts.is_empty(), "concat: at least one part expected");
        let tensors: Vec<Tensor> = parts.iter().map(|x| x.tensor.detach()).collect();
        let widths = tensors.iter().map(|x| x.dim(1)).collect::<candle_core::Result<Vec<_>>>()?;
        let y = Tensor::cat(&tensors, 1)?;
        // A single part is the whole gradient.
        Ok(record(parts, y, true, move |g| {
            let mut from = 0;
            let mut part = |width: &usize| {
                from += width;
                Ok(Some(g.narrow(1, from - width, *width)?.contiguous()?))
            };
            widths.iter().map(&mut part).collect()
        }))
    }

    fn attention(&self, attention: &Attention, layout: &Layout) -> Result<Self> {
        check::attention(&self.tensor, attention, layout)?;
        check::without_past(layout)?;
        let (attention, layout) = (attention.clone(), layout.clone());
        if !attention::fused(&self.tensor, &attention) {
            return composed_step(&[self], move |x| composed::attention(x[0], &attention, &layout));
        }
        let (x, op) = (self.tensor.contiguous()?, FusedAttention { attention, layout });
        let y = x.apply_op1_no_bwd(&op)?;
        let out = y.clone();
        Ok(step(&[self], y, move |g| Ok(vec![op.bwd(&x, &out, g)?])))
    }

    fn log_probs(
        &self,
        head: &Self,
        targets: &[u32],
        precision: Precision,
        stats: Option<&mut Vec<TokenStats<f64>>>,
    ) -> Result<Self> {
        let (h, w) = (self.tensor.detach(), head.tensor.clone());
        check::log_probs(&h, &w, targets, precision)?;
        if !fused_anywhere(&[&h, &w]) {
            if let Some(stats) = stats {
                composed::log_probs(&h, &w.detach(), targets, precision, Some(stats))?;
            }
            let targets = targets.to_vec();
            return composed_step(&[self, head], move |x| {
                composed::log_probs(x[0], x[1], &targets, precision, None)
            });
        }
        let (h, w) = (h.contiguous()?, w.contiguous()?);
        let recorded = self.tape.is_some() || head.tape.is_some();
        let op = Head::new(targets, precision, recorded);
        let y = h.apply_op2_no_bwd(&w, &op)?;
        if let Some(stats) = stats {
            stats.append(&mut op.stats()?);
        }
        Ok(step(&[self, head], y, move |g| {
            let (dh, dw) = op.bwd(&h, &w, &h, g)?;
            Ok(vec![dh, dw])
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn draw(rows: usize, columns: usize, step: f64) -> Var {
        let data: Vec<f64> = (0..rows * columns).map(|i| (i as f64 * step).sin()).collect();
        Var::from_tensor(&Tensor::from_vec(data, (rows, columns), &Device::Cpu).unwrap()).unwrap()
    }

    /// A table whose rows are picked and which is the head too, one value that is used three times, and a parameter that
    /// leads nowhere.
    fn run<V: Value>([table, weight, _]: &[V; 3]) -> V {
        let ids = Tensor::new(&[1_u32, 0, 1, 5], &Device::Cpu).unwrap();
        let x = table.rows(&ids).unwrap().linear(weight, None, Precision::Full).unwrap();
        let sum = x.add(&x).unwrap().add(&x.mul(&x).unwrap()).unwrap();
        V::concat(&[&sum])
            .unwrap()
            .add(&x)
            .unwrap()
            .log_probs(table, &[0, 3, 5, 2], Precision::Full, None)
            .unwrap()
    }

    fn numbers(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn buffers_hold_what_candle_would_return() {
        let parameters = [draw(6, 3, 0.7), draw(3, 3, 1.3), draw(2, 2, 0.2)];
        let y = run(&[0, 1, 2].map(|i| parameters[i].as_tensor().clone()));
        let seed = Tensor::new(&[0.5, -1.0, 2.0, 1.0], &Device::Cpu).unwrap();
        let store = (y * &seed).unwrap().sum_all().unwrap().backward().unwrap();
        let close = |found: &Tensor, parameter: &Var, times: f64| {
            let expected = numbers(store.get(parameter).unwrap());
            assert!(numbers(found).iter().zip(&expected).all(|(a, b)| (a - times * b).abs() < 1e-12));
        };
        let fresh = || [draw(6, 3, 9.0), draw(3, 3, 8.0), draw(2, 2, 7.0)].map(|v| v.as_detached_tensor());
        let run_both = || {
            let tape = Tape::new();
            let y = run(&[0, 1, 2].map(|i| tape.parameter(&parameters[i])));
            let buffers = fresh();
            for (add, times) in [(false, 1.0), (true, 2.0)] {
                let reached = y.backward(&seed, &parameters, &buffers, add).unwrap();
                assert_eq!(reached, [true, true, false]);
                (0..2).for_each(|i| close(&buffers[i], &parameters[i], times));
            }
            assert_eq!(numbers(&buffers[2]), numbers(&fresh()[2]), "what nothing reaches stays as it is");
        };
        run_both();
        super::super::composed_only(run_both);
    }

    #[test]
    fn no_gradient_comes_from_a_constant_and_a_seed_of_another_shape_is_refused() {
        let x = draw(2, 2, 0.3);
        let buffers = [x.as_detached_tensor()];
        let seed = x.as_detached_tensor();
        let y = Traced::constant(x.as_detached_tensor());
        let y = y.add(&y).unwrap();
        assert_eq!(y.backward(&seed, std::slice::from_ref(&x), &buffers, false).unwrap(), [false]);
        assert!(y.backward(&seed.narrow(0, 0, 1).unwrap(), &[], &[], false).is_err());
    }
}
