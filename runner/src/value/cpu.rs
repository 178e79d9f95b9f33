//! What the fused CPU operations share: numbers, slices of storages, vector code, parallel rows.

use super::erfc::Erfc;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Result, Shape, Storage, Tensor, bail};
use ldyn_core::Real;
use rayon::prelude::*;
use std::cell::Cell;
use std::marker::PhantomData;

/// Numbers that the fused operations are written for: `f32` and `f64`.
pub(crate) trait Elem: Erfc {
    /// The numbers of a storage of this type.
    fn slice(storage: &CpuStorage) -> Option<&[Self]>;

    /// A storage that holds `data`.
    fn storage(data: Vec<Self>) -> CpuStorage;

    /// The numbers of a storage of this type, which may grow.
    fn vec(storage: &mut CpuStorage) -> Option<&mut Vec<Self>>;

    /// The numbers of a storage of this type, given up.
    fn into_vec(storage: CpuStorage) -> Option<Vec<Self>>;

    /// self·a + b, rounded once: fast where the machine has an instruction for it, slow elsewhere.
    fn mul_add(self, a: Self, b: Self) -> Self;

    /// The nearest number that bf16 holds, of two as near the even one.
    fn to_bf16(self) -> Self;
}

macro_rules! elem {
    ($t:ident, $variant:ident, $from:ident, $to:ident) => {
        impl Elem for $t {
            fn slice(storage: &CpuStorage) -> Option<&[Self]> {
                if let CpuStorage::$variant(data) = storage { Some(data) } else { None }
            }

            fn storage(data: Vec<Self>) -> CpuStorage {
                CpuStorage::$variant(data)
            }

            fn vec(storage: &mut CpuStorage) -> Option<&mut Vec<Self>> {
                if let CpuStorage::$variant(data) = storage { Some(data) } else { None }
            }

            fn into_vec(storage: CpuStorage) -> Option<Vec<Self>> {
                if let CpuStorage::$variant(data) = storage { Some(data) } else { None }
            }

            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                $t::mul_add(self, a, b)
            }

            #[inline(always)]
            fn to_bf16(self) -> Self {
                half::bf16::$from(self).$to()
            }
        }
    };
}

elem!(f32, F32, from_f32, to_f32);
elem!(f64, F64, from_f64, to_f64);

/// Runs `$body` with `$T` standing for the number type of a storage (f32 or f64).
macro_rules! by_type {
    ($storage:expr, $T:ident => $body:expr) => {
        match $storage.dtype() {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("the fused operations compute in f32 and f64, found {other:?}"),
        }
    };
}
pub(super) use by_type;

thread_local! {
    static COMPOSED_ONLY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with the fused operations switched off on this thread: the oracle of their tests.
pub(crate) fn composed_only<R>(f: impl FnOnce() -> R) -> R {
    let before = COMPOSED_ONLY.replace(true);
    let result = f();
    COMPOSED_ONLY.set(before);
    result
}

/// Whether all these tensors are on the CPU and of one of the two number types.
pub(super) fn fused(tensors: &[&Tensor]) -> bool {
    let dtype = tensors[0].dtype();
    !COMPOSED_ONLY.get()
        && matches!(dtype, DType::F32 | DType::F64)
        && tensors.iter().all(|t| matches!(t.device(), Device::Cpu) && t.dtype() == dtype)
}

/// As [`fused`], or all on one GPU: for operations that have kernels.
pub(super) fn fused_anywhere(tensors: &[&Tensor]) -> bool {
    let (dtype, device) = (tensors[0].dtype(), tensors[0].device());
    let kernels = cfg!(feature = "cuda")
        && device.is_cuda()
        && !COMPOSED_ONLY.get()
        && matches!(dtype, DType::F32 | DType::F64)
        && tensors.iter().all(|t| t.device().same_device(device) && t.dtype() == dtype);
    kernels || fused(tensors)
}

/// The numbers of a contiguous tensor inside its storage.
pub(super) fn view<'a, T: Elem>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let (Some(data), Some((from, to))) = (T::slice(storage), layout.contiguous_offsets()) else {
        bail!("contiguous numbers of one type expected, found {:?} {layout:?}", storage.dtype())
    };
    Ok(&data[from..to])
}

/// Calls `f` with the numbers of a tensor, copied first where they are not contiguous.
pub(crate) fn with<T: Elem, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.detach().contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(view(storage, layout)?),
        _ => bail!("a tensor on the CPU expected"),
    }
}

/// A tensor on the CPU.
pub(super) fn tensor<T: Elem>(data: Vec<T>, shape: impl Into<Shape>) -> Tensor {
    let none = candle_core::op::BackpropOp::none();
    Tensor::from_storage(Storage::Cpu(T::storage(data)), shape, none, false)
}

/// a + b of equal shapes: by all threads on the CPU, where candle has one.
pub(super) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !alone(a, b) {
        return a + b;
    }
    by_type!(a, T => pairwise::<T>(a, b, #[inline(always)] |a, b| a + b))
}

/// a∘b of equal shapes, as [`add`].
pub(super) fn mul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !alone(a, b) {
        return a * b;
    }
    by_type!(a, T => pairwise::<T>(a, b, #[inline(always)] |a, b| a * b))
}

/// Whether these are fused and candle does not record what is done with them.
fn alone(a: &Tensor, b: &Tensor) -> bool {
    fused(&[a, b]) && !a.track_op() && !b.track_op()
}

fn pairwise<T: Elem>(a: &Tensor, b: &Tensor, f: impl Fn(T, T) -> T + Sync) -> Result<Tensor> {
    with::<T, _>(a, |x| {
        with::<T, _>(b, |y| {
            let mut out = vec![T::ZERO; x.len()];
            fill_rows(&mut out, 1, |start, out| {
                let n = out.len();
                for ((out, x), y) in out.iter_mut().zip(&x[start..][..n]).zip(&y[start..][..n]) {
                    *out = f(*x, *y);
                }
            });
            Ok(tensor(out, a.shape()))
        })
    })
}

/// target += other, in place on the CPU.
pub(super) fn add_into(target: &Tensor, other: &Tensor) -> Result<()> {
    if !fused(&[target, other]) {
        return target.slice_set(&(target + other)?, 0, 0);
    }
    by_type!(target, T => with::<T, _>(other, |other| in_place::<T>(target, |target| {
        fill_rows(target, 1, |start, target| {
            target.iter_mut().zip(&other[start..]).for_each(|(t, x)| *t += *x);
        });
        Ok(())
    })))
}

/// Calls `f` with the numbers of a contiguous tensor, to be changed where they are.
pub(super) fn in_place<T: Elem>(target: &Tensor, f: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
    target.inplace_op1(&InPlace(Cell::new(Some(f)), PhantomData))
}

struct InPlace<T, F>(Cell<Option<F>>, PhantomData<fn(&mut [T])>);

impl<T: Elem, F: FnOnce(&mut [T]) -> Result<()>> InplaceOp1 for InPlace<T, F> {
    fn name(&self) -> &'static str {
        "in-place"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (self.0.take(), T::vec(storage), layout.contiguous_offsets()) {
            (Some(f), Some(data), Some((from, to))) => f(&mut data[from..to]),
            _ => bail!("contiguous numbers of one type expected, found {layout:?}"),
        }
    }
}

/// Numbers that one vector-sized accumulator holds. Sums run over this many lanes, so that a
/// result depends on the length of a row and on nothing else.
pub(super) const LANES: usize = 16;

/// Compiles `f` for each instruction set that this build knows and runs the best that the
/// machine has. Everything hot inside must be inlined into `f`.
#[inline(always)]
pub(crate) fn simd<R>(f: impl FnOnce() -> R) -> R {
    simd_on(
        #[inline(always)]
        |_| f(),
    )
}

/// What the chosen instruction set can do: constants in the code that is compiled for it.
#[derive(Clone, Copy)]
pub(super) struct Machine {
    /// Whether it multiplies and adds in one instruction.
    pub fused: bool,
    /// Bytes of a register.
    pub register: usize,
}

/// [`simd`] for code that depends on the instruction set.
#[inline(always)]
pub(super) fn simd_on<R>(f: impl FnOnce(Machine) -> R) -> R {
    struct Run<F>(F);
    impl<R, F: FnOnce(Machine) -> R> pulp::WithSimd for Run<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> R {
            let machine = Machine { fused: !S::IS_SCALAR, register: size_of::<S::f32s>() };
            simd.vectorize(
                #[inline(always)]
                || (self.0)(machine),
            )
        }
    }
    pulp::Arch::new().dispatch(Run(f))
}

/// Σ f(i) over `0..n`, in [`LANES`] lanes.
#[inline(always)]
pub(super) fn sum<T: Elem>(n: usize, f: impl Fn(usize) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let whole = n - n % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, acc) in lanes.iter_mut().enumerate() {
            *acc += f(start + lane);
        }
    }
    for i in whole..n {
        lanes[i - whole] += f(i);
    }
    total(lanes)
}

/// The sum of the lanes: the upper half onto the lower one, four times.
#[inline(always)]
pub(super) fn total<T: Elem>(lanes: [T; LANES]) -> T {
    let (mut eight, mut four) = ([T::ZERO; 8], [T::ZERO; 4]);
    for l in 0..8 {
        eight[l] = lanes[l] + lanes[l + 8];
    }
    for l in 0..4 {
        four[l] = eight[l] + eight[l + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

/// The largest number; NaN is passed over.
#[inline(always)]
pub(crate) fn maximum<T: Real>(row: &[T]) -> T {
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut lanes = [T::NEG_INFINITY; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        for l in 0..LANES {
            lanes[l] = larger(lanes[l], chunk[l]);
        }
    }
    let rest = chunks.remainder().iter().fold(T::NEG_INFINITY, |a, b| larger(a, *b));
    lanes.iter().fold(rest, |a, b| larger(a, *b))
}

/// Numbers in the piece of work of one task: enough to be worth handing to another thread.
const GRAIN: usize = 1 << 14;

/// Fills rows of width `width` in parallel: `f(first row, rows)` for consecutive blocks of rows.
pub(super) fn fill_rows<T: Elem>(out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let rows = (GRAIN / width.max(1)).max(1);
    out.par_chunks_mut(rows * width.max(1)).enumerate().for_each(|(block, out)| f(block * rows, out));
}

/// Sums over rows, in an order that does not depend on threads: `f(rows, sums)` adds a block of
/// rows onto `sums` (of length `n`); blocks are added in order.
pub(super) fn sum_rows<T: Elem>(
    rows: usize,
    n: usize,
    f: impl Fn(std::ops::Range<usize>, &mut [T]) + Sync,
) -> Vec<T> {
    const BLOCK: usize = 64;
    let blocks: Vec<Vec<T>> = (0..rows.div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let mut sums = vec![T::ZERO; n];
            f(block * BLOCK..rows.min((block + 1) * BLOCK), &mut sums);
            sums
        })
        .collect();
    let mut total = vec![T::ZERO; n];
    for block in blocks {
        for (t, x) in total.iter_mut().zip(block) {
            *t += x;
        }
    }
    total
}
