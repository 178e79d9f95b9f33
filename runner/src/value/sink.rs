//! Gradients of parameters, added where they stay: the fused operations write them into buffers that are kept from
//! step to step, instead of handing candle a new tensor each, which it would add to another new one.

use super::cpu::Elem;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, TensorId, Var, bail};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::marker::PhantomData;

struct Sink {
    buffer: Tensor,
    /// Whether what the buffer holds counts; else the first gradient replaces it.
    holds: bool,
    /// Whether this pass has written to it.
    written: bool,
}

thread_local! {
    static SINKS: RefCell<HashMap<TensorId, Sink>> = RefCell::default();
}

/// The backward pass of a scalar: the gradient of every parameter is added to its buffer, or takes the place of what is
/// there unless `add`. Buffers have the shapes and types of the parameters, are contiguous and belong to
/// the caller alone. Returns whether each parameter was reached.
///
/// # Errors
/// A failed operation; buffers that do not fit.
pub(crate) fn backward_into(
    scalar: &Tensor,
    parameters: &[Var],
    buffers: &mut [Tensor],
    add: bool,
) -> Result<Vec<bool>> {
    let sink = |buffer: &Tensor| Sink { buffer: buffer.clone(), holds: add, written: false };
    SINKS.set(parameters.iter().zip(&*buffers).map(|(p, buffer)| (p.id(), sink(buffer))).collect());
    let store = scalar.backward();
    let sinks = SINKS.take();
    let mut store = store?;
    let mut reached = Vec::with_capacity(parameters.len());
    for (parameter, buffer) in parameters.iter().zip(buffers) {
        let written = sinks.get(&parameter.id()).is_some_and(|sink| sink.written);
        let rest = store.remove(parameter);
        reached.push(written || rest.is_some());
        match rest {
            Some(gradient) if written || add => *buffer = (&*buffer + gradient)?,
            Some(gradient) => *buffer = gradient,
            None => {}
        }
    }
    Ok(reached)
}

/// Lets `write` put a gradient into the buffer of `parameter`: it adds to what is there if it is given `true`, and
/// replaces it otherwise. Returns false, without calling it, if there is no buffer.
pub(super) fn write<T: Elem>(
    parameter: &Tensor,
    write: impl FnOnce(&mut [T], bool) -> Result<()>,
) -> Result<bool> {
    let found = SINKS.with_borrow_mut(|sinks| {
        let sink = sinks.get_mut(&parameter.id())?;
        let add = sink.holds || sink.written;
        sink.written = true;
        Some((sink.buffer.clone(), add))
    });
    let Some((buffer, add)) = found else { return Ok(false) };
    buffer.inplace_op1(&Write(Cell::new(Some(|data: &mut [T]| write(data, add))), PhantomData))?;
    Ok(true)
}

struct Write<T, F>(Cell<Option<F>>, PhantomData<fn(&mut [T])>);

impl<T: Elem, F: FnOnce(&mut [T]) -> Result<()>> InplaceOp1 for Write<T, F> {
    fn name(&self) -> &'static str {
        "gradient"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (self.0.take(), T::vec(storage), layout.contiguous_offsets()) {
            (Some(write), Some(data), Some((from, to))) => write(&mut data[from..to]),
            _ => bail!("a gradient of one number type for a buffer of another"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Value;
    use super::*;
    use candle_core::Device;

    fn draw(rows: usize, columns: usize, step: f64) -> Var {
        let data: Vec<f64> = (0..rows * columns).map(|i| (i as f64 * step).sin()).collect();
        Var::from_tensor(&Tensor::from_vec(data, (rows, columns), &Device::Cpu).unwrap()).unwrap()
    }

    /// A tied table: rows of it, then a head, then plain tensor operations on it.
    fn scalar([table, weight, _]: &[Var; 3]) -> Tensor {
        let ids = Tensor::new(&[1_u32, 0, 1, 5], &Device::Cpu).unwrap();
        let x = Value::linear(&Value::rows(table.as_tensor(), &ids).unwrap(), weight, None).unwrap();
        let logp = Value::log_probs(&x, table.as_tensor(), &[0, 3, 5, 2], None).unwrap();
        (logp.sum_all().unwrap() + table.sqr().unwrap().sum_all().unwrap()).unwrap()
    }

    fn numbers(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn buffers_hold_what_candle_would_return() {
        let parameters = [draw(6, 3, 0.7), draw(3, 3, 1.3), draw(2, 2, 0.2)];
        let scalar = scalar(&parameters);
        let store = scalar.backward().unwrap();
        let mut buffers = [draw(6, 3, 9.0), draw(3, 3, 8.0), draw(2, 2, 7.0)].map(|v| v.as_detached_tensor());
        let reached = backward_into(&scalar, &parameters, &mut buffers, false).unwrap();
        assert_eq!(reached, [true, true, false]);
        let close = |a: &[f64], b: &[f64], times: f64| a.iter().zip(b).all(|(a, b)| (a - times * b).abs() < 1e-12);
        for (parameter, buffer) in parameters.iter().zip(&buffers).take(2) {
            assert!(close(&numbers(buffer), &numbers(store.get(parameter).unwrap()), 1.0));
        }
        backward_into(&scalar, &parameters, &mut buffers, true).unwrap();
        for (parameter, buffer) in parameters.iter().zip(&buffers).take(2) {
            assert!(close(&numbers(buffer), &numbers(store.get(parameter).unwrap()), 2.0));
        }
        assert_eq!(numbers(&buffers[2]), numbers(&draw(2, 2, 7.0)), "what nothing reaches stays as it is");
    }
}
