//! A launch of a kernel as plain data, and what can run one: a GPU, or in tests this machine's processor.

use crate::value::cpu::Elem;
use candle_core::{Result, bail};

/// Numbers in the memory of a [`Machine`].
#[derive(Clone, Copy)]
pub(in crate::value) struct Memory {
    pub address: u64,
    pub len: usize,
}

impl Memory {
    /// `len` numbers of `size` bytes from number `start` on.
    ///
    /// # Errors
    /// They are not all inside.
    pub(super) fn part(self, start: usize, len: usize, size: usize) -> Result<Self> {
        if start.checked_add(len).is_none_or(|end| end > self.len) {
            bail!("numbers {start} to {start} + {len} of {} on the device", self.len)
        }
        Ok(Self { address: self.address + (start * size) as u64, len })
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::value) enum Arg {
    /// A pointer into the machine's memory; 0 for none.
    Address(u64),
    /// A `size_t`.
    Size(u64),
    /// A number of the kernels' type.
    Real(f64),
}

/// A kernel, how often it runs and on what.
pub(in crate::value) struct Call {
    pub kernel: &'static str,
    pub blocks: usize,
    /// Numbers of the kernels' type in dynamic shared memory.
    pub shared: usize,
    pub args: Vec<Arg>,
}

impl Call {
    /// `blocks` blocks of `kernel`, without arguments so far.
    pub(super) fn new(kernel: &'static str, blocks: usize) -> Self {
        Self { kernel, blocks, shared: 0, args: Vec::new() }
    }

    /// With so many numbers of shared memory.
    pub(super) fn shared(self, shared: usize) -> Self {
        Self { shared, ..self }
    }

    /// With memory of which the kernel touches the first `needed` numbers.
    ///
    /// # Errors
    /// There are fewer.
    pub(super) fn memory(mut self, memory: Memory, needed: usize) -> Result<Self> {
        if memory.len < needed {
            bail!(
                "argument {} of kernel `{}`: {needed} numbers expected, found {}",
                self.args.len(),
                self.kernel,
                memory.len
            )
        }
        self.args.push(Arg::Address(memory.address));
        Ok(self)
    }

    /// As [`Call::memory`], or a null pointer.
    ///
    /// # Errors
    /// There are fewer.
    pub(super) fn optional(mut self, memory: Option<Memory>, needed: usize) -> Result<Self> {
        if let Some(memory) = memory {
            return self.memory(memory, needed);
        }
        self.args.push(Arg::Address(0));
        Ok(self)
    }

    pub(super) fn sizes<const N: usize>(mut self, sizes: [usize; N]) -> Self {
        self.args.extend(sizes.map(|n| Arg::Size(n as u64)));
        self
    }

    pub(super) fn reals(mut self, reals: &[f64]) -> Self {
        self.args.extend(reals.iter().copied().map(Arg::Real));
        self
    }

    /// Runs it, unless there is nothing to do.
    ///
    /// # Errors
    /// The machine refuses it.
    pub(super) fn on(self, machine: &impl Machine) -> Result<()> {
        if self.blocks == 0 {
            return Ok(());
        }
        if u32::try_from(self.blocks).is_err() {
            bail!("kernel `{}`: {} blocks are more than a grid has", self.kernel, self.blocks)
        }
        machine.launch(&self)
    }
}

/// What kernels run on, for one number type. Calls run in their order.
pub(in crate::value) trait Machine {
    /// The number type.
    type Real: Elem;
    /// Owned numbers.
    type Buffer;
    /// Owned labels, rows and positions.
    type Table;

    /// Threads of a block.
    fn threads(&self) -> usize;
    /// Memory for `n` numbers, with numbers that mean nothing.
    fn buffer(&self, n: usize) -> Result<Self::Buffer>;
    /// A copy of these numbers.
    fn numbers(&self, numbers: &[Self::Real]) -> Result<Self::Buffer>;
    /// A copy of these labels.
    fn table(&self, labels: &[u32]) -> Result<Self::Table>;
    /// Where a buffer's numbers are.
    fn at(&self, buffer: &Self::Buffer) -> Memory;
    /// Where a table's labels are.
    fn labels(&self, table: &Self::Table) -> Memory;
    /// Starts a call.
    fn launch(&self, call: &Call) -> Result<()>;
}
