//! Gradients of parameters, added where they stay: the fused operations write them into buffers that are kept from
//! step to step.

use super::cpu::{Elem, add_into, in_place, tensor};
use candle_core::{Result, Tensor, TensorId, Var};
use std::cell::RefCell;
use std::collections::HashMap;

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

/// The gradient by `parameter` that `fill` makes, which adds to what is there if it is given `true` and replaces it
/// otherwise: in the parameter's buffer, or returned where there is none.
pub(super) fn gradient<T: Elem>(
    parameter: &Tensor,
    fill: impl FnOnce(&mut [T], bool) -> Result<()>,
) -> Result<Option<Tensor>> {
    if let Some((buffer, add)) = buffer(parameter.id()) {
        in_place(&buffer, |data| fill(data, add))?;
        return Ok(None);
    }
    let mut out = vec![T::ZERO; parameter.elem_count()];
    fill(&mut out, false)?;
    Ok(Some(tensor(out, parameter.shape())))
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
