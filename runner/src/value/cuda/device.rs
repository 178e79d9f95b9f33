//! The kernels on a GPU: compiled by NVRTC, on candle's memory and in candle's stream of work.

use super::SOURCE;
use super::attention::{Run, Tables};
use super::call::{Arg, Call, Machine, Memory};
use super::ops::{self, Kernel, SQUARES};
use crate::value::cpu::{Elem, by_type};
use crate::value::{Attention, Layout as Rows};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr, LaunchConfig};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorage, DeviceId};
use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, Error, InplaceOp1, Layout, Result, Shape, Storage, Tensor, bail};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

/// Threads of a block: at most `MOST_THREADS` of the kernels.
const THREADS: usize = 256;

/// Number types of the kernels.
pub(in crate::value) trait Number: Elem + CudaDType + DeviceRepr {
    /// Its name in the kernels' language.
    const NAME: &'static str;
    /// The name of its kernels among those that candle loads.
    const KERNELS: &'static str;
}

impl Number for f32 {
    const NAME: &'static str = "float";
    const KERNELS: &'static str = "ldyn f32";
}

impl Number for f64 {
    const NAME: &'static str = "double";
    const KERNELS: &'static str = "ldyn f64";
}

/// A GPU, for one number type.
pub(in crate::value) struct Gpu<T> {
    device: CudaDevice,
    program: &'static str,
    number: PhantomData<T>,
}

impl<T: Number> Gpu<T> {
    /// The kernels are compiled when a device first asks for them.
    pub(in crate::value) fn new(device: &CudaDevice) -> Result<Self> {
        static PROGRAMS: Mutex<Option<HashMap<(DeviceId, &str), &str>>> = Mutex::new(None);
        let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
        let programs = programs.get_or_insert_default();
        let program = match programs.get(&(device.id(), T::NAME)) {
            Some(program) => program,
            None => {
                let capability = device.cuda_stream().context().compute_capability().map_err(Error::wrap)?;
                // Kept for good: candle asks for the text at every launch.
                let program: &str = compile(T::NAME, capability)?.leak();
                programs.insert((device.id(), T::NAME), program);
                program
            }
        };
        Ok(Self { device: device.clone(), program, number: PhantomData })
    }

    /// A tensor of these numbers.
    pub(in crate::value) fn tensor(&self, numbers: CudaSlice<T>, shape: impl Into<Shape>) -> Tensor {
        let storage = Storage::Cuda(self.storage(numbers));
        Tensor::from_storage(storage, shape, BackpropOp::none(), false)
    }

    /// A storage of these numbers.
    pub(in crate::value) fn storage(&self, numbers: CudaSlice<T>) -> CudaStorage {
        CudaStorage::wrap_cuda_slice(numbers, self.device.clone())
    }

    /// Where the numbers of a contiguous tensor are inside its storage.
    pub(in crate::value) fn view(&self, storage: &CudaStorage, layout: &Layout) -> Result<Memory> {
        let Some((from, to)) = layout.contiguous_offsets() else {
            bail!("contiguous numbers expected, found {layout:?}")
        };
        self.whole(storage)?.part(from, to - from, size_of::<T>())
    }

    /// Where all numbers of a storage are.
    pub(in crate::value) fn whole(&self, storage: &CudaStorage) -> Result<Memory> {
        Ok(self.at(storage.as_cuda_slice::<T>()?))
    }

    /// Where all labels of a storage are.
    pub(in crate::value) fn table_at(&self, storage: &CudaStorage) -> Result<Memory> {
        Ok(self.labels(storage.as_cuda_slice::<u32>()?))
    }

    fn address<N>(&self, slice: &CudaSlice<N>) -> Memory {
        let stream = self.device.cuda_stream();
        let (address, _) = slice.device_ptr(&stream);
        Memory { address, len: slice.len() }
    }
}

/// The kernels for a number type and a compute capability, in the driver's language.
fn compile(real: &str, (major, minor): (i32, i32)) -> Result<String> {
    let architecture = format!("compute_{major}{minor}");
    let options = CompileOptions {
        name: Some("ldyn.cu".into()),
        options: vec![
            format!("--gpu-architecture={architecture}"),
            "--std=c++17".into(),
            format!("-DReal={real}"),
        ],
        ..CompileOptions::default()
    };
    match compile_ptx_with_opts(SOURCE.concat(), options) {
        Ok(program) => Ok(program.to_src()),
        Err(CompileError::CompileError { nvrtc, log, .. }) => {
            bail!(
                "NVRTC refuses the kernels for {real}, {architecture} ({nvrtc:?}):\n{}",
                log.to_string_lossy()
            )
        }
        Err(error) => bail!("NVRTC fails on the kernels for {real}, {architecture}: {error}"),
    }
}

impl<T: Number> Machine for Gpu<T> {
    type Real = T;
    type Buffer = CudaSlice<T>;
    type Table = CudaSlice<u32>;

    fn threads(&self) -> usize {
        THREADS
    }

    fn buffer(&self, n: usize) -> Result<CudaSlice<T>> {
        // SAFETY: every number of a buffer is written by a kernel before one reads it, as the tests on a processor
        // see, where buffers begin as NaN; and any bits are a number. A device has no memory of length 0.
        #[allow(unsafe_code)]
        unsafe {
            self.device.alloc::<T>(n.max(1))
        }
    }

    fn numbers(&self, numbers: &[T]) -> Result<CudaSlice<T>> {
        self.device.clone_htod(numbers)
    }

    fn table(&self, labels: &[u32]) -> Result<CudaSlice<u32>> {
        self.device.clone_htod(labels)
    }

    fn at(&self, buffer: &CudaSlice<T>) -> Memory {
        self.address(buffer)
    }

    fn labels(&self, table: &CudaSlice<u32>) -> Memory {
        self.address(table)
    }

    fn launch(&self, call: &Call) -> Result<()> {
        let function = self.device.get_or_load_custom_func(call.kernel, T::KERNELS, self.program)?;
        let real = |arg: &Arg| if let Arg::Real(x) = arg { *x } else { 0.0 };
        let reals: Vec<T> = call.args.iter().map(|arg| <T as ldyn_core::Real>::from_f64(real(arg))).collect();
        let mut launch = function.builder();
        for (arg, real) in call.args.iter().zip(&reals) {
            use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
            match arg {
                Arg::Address(word) | Arg::Size(word) => launch.arg(word),
                Arg::Real(_) => launch.arg(real),
            };
        }
        let config = LaunchConfig {
            grid_dim: (call.blocks as u32, 1, 1),
            block_dim: (THREADS as u32, 1, 1),
            shared_mem_bytes: (call.shared * size_of::<T>()) as u32,
        };
        // SAFETY: the kinds and the order of the arguments are those of the kernel, which the tests on a processor
        // compare for every call; `Call::memory` has checked that the memory is as long as what the kernel touches; it
        // belongs to buffers and tensors that the caller holds, and is given back in the order of this stream.
        #[allow(unsafe_code)]
        unsafe { launch.launch(config) }
            .map_err(|error| Error::Cuda(Box::new(error)).context(format!("kernel `{}`", call.kernel)))?;
        Ok(())
    }
}

#[cfg(test)]
impl<T: Number> super::tests::Readable for Gpu<T> {
    fn read(&self, buffer: &CudaSlice<T>) -> Vec<T> {
        self.device.clone_dtoh(buffer).unwrap()
    }
}

/// Calls `f` with the memory of tensors on one GPU, copied first where they are not contiguous.
pub(in crate::value) fn with<T: Number, R, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce(&Gpu<T>, [Memory; N]) -> Result<R>,
) -> Result<R> {
    let tensors = tensors.iter().map(|t| t.detach().contiguous()).collect::<Result<Vec<_>>>()?;
    let held: Vec<_> = tensors.iter().map(|t| t.storage_and_layout()).collect();
    let mut inputs = Vec::with_capacity(N);
    for (storage, layout) in &held {
        let Storage::Cuda(storage) = &**storage else { bail!("a tensor on a GPU expected") };
        inputs.push((storage, *layout));
    }
    on::<T, R, N>(&inputs, f)
}

/// Calls `f` with the memory of N contiguous inputs.
fn on<T: Number, R, const N: usize>(
    inputs: &[(&CudaStorage, &Layout)],
    f: impl FnOnce(&Gpu<T>, [Memory; N]) -> Result<R>,
) -> Result<R> {
    let Some((first, _)) = inputs.first() else { bail!("an input expected") };
    let gpu = Gpu::new(&first.device)?;
    let mut memory = [Memory { address: 0, len: 0 }; N];
    for (memory, (storage, layout)) in memory.iter_mut().zip(inputs) {
        *memory = gpu.view(storage, layout)?;
    }
    f(&gpu, memory)
}

/// What an operation's kernels make of contiguous inputs.
pub(in crate::value) fn forward<T: Number, const N: usize>(
    inputs: [(&CudaStorage, &Layout); N],
    f: impl FnOnce(&Gpu<T>, [Memory; N]) -> Result<CudaSlice<T>>,
) -> Result<CudaStorage> {
    on::<T, _, N>(&inputs, |gpu, memory| Ok(gpu.storage(f(gpu, memory)?)))
}

/// y += bias in every row, where y is.
pub(in crate::value) fn add_bias<T: Number>(
    y: &CudaStorage,
    (bias, layout): (&CudaStorage, &Layout),
) -> Result<()> {
    let gpu = Gpu::<T>::new(&y.device)?;
    ops::add_bias(&gpu, gpu.whole(y)?, gpu.view(bias, layout)?)
}

/// Calls `f` with the memory of a contiguous tensor, to be changed where it is.
pub(in crate::value) fn in_place<T: Number>(
    target: &Tensor,
    f: impl FnOnce(&Gpu<T>, Memory) -> Result<()>,
) -> Result<()> {
    target.inplace_op1(&InPlace(Cell::new(Some(f)), PhantomData))
}

struct InPlace<T, F>(Cell<Option<F>>, PhantomData<fn(T)>);

impl<T: Number, F: FnOnce(&Gpu<T>, Memory) -> Result<()>> InplaceOp1 for InPlace<T, F> {
    fn name(&self) -> &'static str {
        "in-place"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
        bail!("a tensor on a GPU expected")
    }

    fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<()> {
        let Some(f) = self.0.take() else { bail!("an operation in place ran twice") };
        let gpu = Gpu::new(&storage.device)?;
        f(&gpu, gpu.view(storage, layout)?)
    }
}

/// The sum of squares of every tensor on one GPU, in one read.
pub(in crate::value) fn sums_of_squares(tensors: &[Tensor]) -> Result<Vec<f64>> {
    let Some(first) = tensors.first() else { return Ok(Vec::new()) };
    by_type!(first, T => {
        let tensors = tensors.iter().map(|t| t.detach().contiguous()).collect::<Result<Vec<_>>>()?;
        let device = first.device().as_cuda_device()?;
        let gpu = Gpu::<T>::new(device)?;
        let mut parts = Vec::with_capacity(tensors.len());
        let held: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
        for (storage, layout) in &held {
            let Storage::Cuda(storage) = &**storage else { bail!("a tensor on a GPU expected") };
            parts.push(gpu.view(storage, layout)?);
        }
        let sums = device.clone_dtoh(&ops::squares(&gpu, &parts)?)?;
        let mut sums = sums.into_iter().map(ldyn_core::Real::to_f64);
        Ok(parts.iter().map(|part| sums.by_ref().take(part.len.div_ceil(SQUARES)).sum()).collect())
    })
}

/// One step of an optimiser on a parameter and its averages, in place, in one kernel.
///
/// # Errors
/// Shapes or number types that differ.
pub(crate) fn optimise(
    kernel: &Kernel,
    [weights, gradient]: [&Tensor; 2],
    averages: &[&Tensor],
) -> Result<()> {
    by_type!(weights, T => in_place::<T>(weights, |gpu, weights| with::<T, _, 1>([gradient], |_, [gradient]| {
        match averages {
            [v] => in_place::<T>(v, |_, v| kernel.run(gpu, weights, gradient, &[v])),
            [v, m] => in_place::<T>(v, |_, v| in_place::<T>(m, |_, m| kernel.run(gpu, weights, gradient, &[v, m]))),
            _ => bail!("one or two averages expected, found {}", averages.len()),
        }
    })))
}

thread_local! {
    /// The tables of the last attention: all layers of a pass have the same.
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Tables, of one of the number types, and what they belong to.
struct Last {
    device: DeviceId,
    attention: Attention,
    rows: Rows,
    tables: Rc<dyn Any>,
}

fn tables<T: Number>(gpu: &Gpu<T>, a: &Attention, rows: &Rows) -> Result<Rc<Tables<Gpu<T>>>> {
    LAST.with_borrow_mut(|last| {
        if let Some(last) = last
            && (last.device, &last.attention, &last.rows) == (gpu.device.id(), a, rows)
            && let Ok(tables) = last.tables.clone().downcast()
        {
            return Ok(tables);
        }
        let tables = Rc::new(Tables::new(gpu, a, rows)?);
        let (device, attention) = (gpu.device.id(), a.clone());
        *last = Some(Last { device, attention, rows: rows.clone(), tables: tables.clone() });
        Ok(tables)
    })
}

/// Runs `f` with the attention of rows laid out like this.
pub(in crate::value) fn attend<T: Number>(
    gpu: &Gpu<T>,
    attention: &Attention,
    layout: &Rows,
    f: impl FnOnce(Run<Gpu<T>>) -> Result<CudaSlice<T>>,
) -> Result<CudaSlice<T>> {
    let tables = tables(gpu, attention, layout)?;
    f(Run { machine: gpu, attention, rows: layout.n_rows(), tables: &tables })
}
