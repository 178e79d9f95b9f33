//! Operations of [`Value`](crate::value::Value) as sequences of kernels, on any [`Machine`].

use super::call::{Call, Machine, Memory};
use crate::value::Activation;
use crate::value::norm::Norm;
use candle_core::{Result, bail};

/// Rows that one thread adds up before its sums are added to others'.
const CHUNK: usize = 64;

/// Numbers whose squares one block adds.
pub(super) const SQUARES: usize = 1 << 16;

/// Blocks of a kernel with a thread for each of `n` numbers.
fn blocks(machine: &impl Machine, n: usize) -> usize {
    n.div_ceil(machine.threads())
}

/// Rows of width `d`.
fn rows(memory: Memory, d: usize) -> Result<usize> {
    if d == 0 || !memory.len.is_multiple_of(d) {
        bail!("rows of {d} numbers expected, found {} numbers", memory.len)
    }
    Ok(memory.len / d)
}

/// Sums of the columns of x `[rows, d]`.
pub(in crate::value) fn column_sums<M: Machine>(machine: &M, x: Memory, d: usize) -> Result<M::Buffer> {
    let (mut rows, mut sums) = (rows(x, d)?, None);
    loop {
        let from = sums.as_ref().map_or(x, |sums| machine.at(sums));
        let parts = rows.div_ceil(CHUNK).max(1);
        let next = machine.buffer(parts * d)?;
        Call::new("column_sums", parts * blocks(machine, d))
            .memory(from, rows * d)?
            .memory(machine.at(&next), parts * d)?
            .sizes([rows, d, CHUNK])
            .on(machine)?;
        if parts == 1 {
            return Ok(next);
        }
        (rows, sums) = (parts, Some(next));
    }
}

/// Sums of the squares of every [`SQUARES`] numbers of each part, all side by side.
pub(in crate::value) fn squares<M: Machine>(machine: &M, parts: &[Memory]) -> Result<M::Buffer> {
    let out = machine.buffer(parts.iter().map(|part| part.len.div_ceil(SQUARES)).sum())?;
    let mut from = 0;
    for part in parts {
        let blocks = part.len.div_ceil(SQUARES);
        let sums = machine.at(&out).part(from, blocks, size_of::<M::Real>())?;
        Call::new("squares", blocks)
            .memory(*part, part.len)?
            .memory(sums, blocks)?
            .sizes([part.len, SQUARES])
            .on(machine)?;
        from += blocks;
    }
    Ok(out)
}

/// y += bias in every row.
pub(in crate::value) fn add_bias(machine: &impl Machine, y: Memory, bias: Memory) -> Result<()> {
    let rows = rows(y, bias.len)?;
    Call::new("add_bias", rows)
        .memory(y, rows * bias.len)?
        .memory(bias, bias.len)?
        .sizes([bias.len])
        .on(machine)
}

impl Norm {
    /// x̂∘weight + bias for rows x.
    pub(in crate::value) fn run<M: Machine>(
        self,
        machine: &M,
        x: Memory,
        weight: Memory,
        bias: Option<Memory>,
    ) -> Result<M::Buffer> {
        let (d, y) = (weight.len, machine.buffer(x.len)?);
        let rows = rows(x, d)?;
        Call::new("normalise", rows)
            .memory(x, rows * d)?
            .memory(weight, d)?
            .optional(bias, d)?
            .memory(machine.at(&y), rows * d)?
            .sizes([d, usize::from(self.centred)])
            .reals(&[self.eps])
            .on(machine)?;
        Ok(y)
    }

    /// The derivative of x̂ by rows x of width `d`, applied to u (∘ weight, if given), and the rows' moments.
    pub(in crate::value) fn run_derivative<M: Machine>(
        self,
        machine: &M,
        [x, u]: [Memory; 2],
        weight: Option<Memory>,
        d: usize,
    ) -> Result<[M::Buffer; 2]> {
        let rows = rows(x, d)?;
        let (out, moments) = (machine.buffer(x.len)?, machine.buffer(2 * rows)?);
        Call::new("norm_derivative", rows)
            .memory(x, rows * d)?
            .optional(weight, d)?
            .memory(u, rows * d)?
            .memory(machine.at(&out), rows * d)?
            .memory(machine.at(&moments), 2 * rows)?
            .sizes([d, usize::from(self.centred)])
            .reals(&[self.eps])
            .on(machine)?;
        Ok([out, moments])
    }

    /// Gradients by the rows, and by weight and bias side by side.
    pub(in crate::value) fn run_backward<M: Machine>(
        self,
        machine: &M,
        [x, weight, grad]: [Memory; 3],
    ) -> Result<[M::Buffer; 2]> {
        let d = weight.len;
        let rows = rows(x, d)?;
        let [dx, moments] = self.run_derivative(machine, [x, grad], Some(weight), d)?;
        let parts = rows.div_ceil(CHUNK).max(1);
        let sums = machine.buffer(parts * 2 * d)?;
        Call::new("norm_vector_gradients", parts * blocks(machine, d))
            .memory(x, rows * d)?
            .memory(grad, rows * d)?
            .memory(machine.at(&moments), 2 * rows)?
            .memory(machine.at(&sums), parts * 2 * d)?
            .sizes([rows, d, CHUNK])
            .on(machine)?;
        Ok([dx, column_sums(machine, machine.at(&sums), 2 * d)?])
    }
}

/// f(x), or f'(x)∘u.
pub(in crate::value) fn activate<M: Machine>(
    machine: &M,
    activation: Activation,
    x: Memory,
    u: Option<Memory>,
) -> Result<M::Buffer> {
    let which = match activation {
        Activation::Gelu => 0,
        Activation::GeluTanh => 1,
        Activation::Silu => 2,
        Activation::Relu => 3,
    };
    let y = machine.buffer(x.len)?;
    Call::new("activate", blocks(machine, x.len))
        .memory(x, x.len)?
        .optional(u, x.len)?
        .memory(machine.at(&y), x.len)?
        .sizes([x.len, which])
        .on(machine)?;
    Ok(y)
}

/// The fields of `TokenStats`.
pub(in crate::value) const STATS: usize = 8;

/// Statistics of rows of logits and their labels (each below `vocabulary`) into `stats`, in the order of the fields
/// of `TokenStats`: `[rows, 8]`; and log π(label) into `logp` `[rows]`.
pub(in crate::value) fn token_stats(
    machine: &impl Machine,
    logits: Memory,
    labels: Memory,
    [stats, logp]: [Memory; 2],
    vocabulary: usize,
) -> Result<()> {
    let rows = rows(logits, vocabulary)?;
    Call::new("token_stats", rows)
        .memory(logits, rows * vocabulary)?
        .memory(labels, rows)?
        .memory(stats, STATS * rows)?
        .memory(logp, rows)?
        .sizes([vocabulary])
        .on(machine)
}

/// −g·(π − e_y) in the place of logits, with what [`token_stats`] made of them.
pub(in crate::value) fn residual(
    machine: &impl Machine,
    logits: Memory,
    [labels, stats, grad]: [Memory; 3],
    vocabulary: usize,
) -> Result<()> {
    let rows = rows(logits, vocabulary)?;
    Call::new("residual", rows)
        .memory(logits, rows * vocabulary)?
        .memory(labels, rows)?
        .memory(stats, STATS * rows)?
        .memory(grad, rows)?
        .sizes([vocabulary])
        .on(machine)
}

/// An optimiser's step on a parameter.
pub(crate) struct Kernel {
    /// `rmsprop`, `adamw` or `sgd`.
    pub name: &'static str,
    /// The kernel's constants in order.
    pub constants: Vec<f64>,
}

impl Kernel {
    /// Changes the weights and the optimiser's averages, of which the kernel has one or two, in place.
    pub(in crate::value) fn run(
        &self,
        machine: &impl Machine,
        weights: Memory,
        gradient: Memory,
        averages: &[Memory],
    ) -> Result<()> {
        let n = weights.len;
        let mut call = Call::new(self.name, blocks(machine, n)).memory(weights, n)?.memory(gradient, n)?;
        for average in averages {
            call = call.memory(*average, n)?;
        }
        call.sizes([n]).reals(&self.constants).on(machine)
    }
}
