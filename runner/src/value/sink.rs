//! Gradients of parameters, added where they stay: the fused operations write them into buffers that are kept from
//! step to step.

use super::cpu::{Elem, add_into};
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

/// Runs a backward pass in which the gradient of every parameter is added to its buffer, or takes the place of what is
/// there unless `add`. Returns whether each buffer was written to.
///
/// # Errors
/// Those of `pass`.
pub(super) fn collect(
    parameters: &[Var],
    buffers: &[Tensor],
    add: bool,
    pass: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<bool>> {
    let sink = |buffer: &Tensor| Sink { buffer: buffer.clone(), holds: add, written: false };
    SINKS.set(parameters.iter().zip(buffers).map(|(p, buffer)| (p.id(), sink(buffer))).collect());
    let result = pass();
    let sinks = SINKS.take();
    result?;
    Ok(parameters.iter().map(|p| sinks.get(&p.id()).is_some_and(|sink| sink.written)).collect())
}

/// Lets `write` put a gradient into the buffer of `parameter`: it adds to what is there if it is given `true`, and
/// replaces it otherwise. Returns false, without calling it, if there is no buffer.
pub(super) fn write<T: Elem>(
    parameter: &Tensor,
    write: impl FnOnce(&mut [T], bool) -> Result<()>,
) -> Result<bool> {
    let Some((buffer, add)) = buffer(parameter.id()) else { return Ok(false) };
    buffer.inplace_op1(&Write(Cell::new(Some(|data: &mut [T]| write(data, add))), PhantomData))?;
    Ok(true)
}

/// Adds a gradient to the buffer of a parameter, or puts it in the place of what is there. Returns false if there is no buffer.
pub(super) fn give(parameter: TensorId, gradient: &Tensor) -> Result<bool> {
    let Some((buffer, add)) = buffer(parameter) else { return Ok(false) };
    if add {
        add_into(&buffer, gradient)?;
    } else {
        buffer.slice_set(&gradient.contiguous()?, 0, 0)?;
    }
    Ok(true)
}

/// The buffer of a parameter that is about to be written to, and whether what it holds counts.
fn buffer(parameter: TensorId) -> Option<(Tensor, bool)> {
    SINKS.with_borrow_mut(|sinks| {
        let sink = sinks.get_mut(&parameter)?;
        let add = sink.holds || sink.written;
        sink.written = true;
        Some((sink.buffer.clone(), add))
    })
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
