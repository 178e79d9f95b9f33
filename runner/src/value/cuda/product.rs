//! Products of weights and activations on a GPU, by cuBLAS: as candle has them, or of rounded operands with sums and
//! results in f32. (candle's own product of bf16 rounds its results to bf16, and its switch for tf32 is one for the whole
//! process, attention included.)

use super::gemm::Gemm;
use crate::value::Precision;
use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::cublas::{result, sys};
use candle_core::cuda_backend::cudarc::driver::{CudaView, DevicePtr, DevicePtrMut};
use candle_core::cuda_backend::{CudaDType, CudaStorage};
use candle_core::op::BackpropOp;
use candle_core::{DType, Error, Layout, Result, Shape, Storage, Tensor, bail};
use std::ops::Deref;
use std::ptr::from_ref;
use std::rc::Rc;

/// A matrix on a GPU and how it lies.
type Matrix<'a> = (&'a CudaStorage, &'a Layout);

/// x · weightᵀ for rows x `[n, k]` and a weight `[o, k]`.
pub(in crate::value) fn times_transposed([x, w]: [Matrix; 2], precision: Precision) -> Result<CudaStorage> {
    let (x, w) = (Operand::new(x, precision)?, Operand::new(w, precision)?);
    product(&x, &w.transposed()?, precision)
}

/// [`times_transposed`] of tensors: logits `[n, V]` of rows `[n, d]` under a head `[V, d]`.
pub(super) fn logits([x, w]: [&Tensor; 2], precision: Precision) -> Result<Tensor> {
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    let held = [&x, &w].map(Tensor::storage_and_layout);
    let storage = times_transposed([on_gpu(&held[0])?, on_gpu(&held[1])?], precision)?;
    Ok(tensor(storage, (x.dim(0)?, w.dim(0)?)))
}

/// Gradients of x · weightᵀ by x and the weight, from the gradient g by the product: g·weight and gᵀ·x, of tensors g
/// `[n, o]`, x `[n, k]` and a weight `[o, k]` on one GPU.
pub(in crate::value) fn gradients([g, x, w]: [&Tensor; 3], precision: Precision) -> Result<[Tensor; 2]> {
    let tensors = [g.detach().contiguous()?, x.detach().contiguous()?, w.detach().contiguous()?];
    let [held_g, held_x, held_w] = tensors.each_ref().map(|tensor| tensor.storage_and_layout());
    let g = Operand::new(on_gpu(&held_g)?, precision)?;
    let dx = product(&g, &Operand::new(on_gpu(&held_w)?, precision)?, precision)?;
    let dw = product(&g.transposed()?, &Operand::new(on_gpu(&held_x)?, precision)?, precision)?;
    Ok([tensor(dx, x.shape()), tensor(dw, w.shape())])
}

fn tensor(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

fn on_gpu<'a>((storage, layout): &'a (impl Deref<Target = Storage>, &Layout)) -> Result<Matrix<'a>> {
    match &**storage {
        Storage::Cuda(storage) => Ok((storage, layout)),
        _ => bail!("a tensor on a GPU expected"),
    }
}

/// A matrix as a product takes it.
#[derive(Clone)]
struct Operand<'a> {
    storage: Held<'a>,
    layout: Layout,
}

#[derive(Clone)]
enum Held<'a> {
    AsItIs(&'a CudaStorage),
    Rounded(Rc<CudaStorage>),
}

impl<'a> Operand<'a> {
    /// tf32 is cuBLAS's own rounding; candle's conversion to bf16 is to nearest, ties to even.
    fn new((storage, layout): Matrix<'a>, precision: Precision) -> Result<Self> {
        if precision != Precision::Bf16 {
            return Ok(Self { storage: Held::AsItIs(storage), layout: layout.clone() });
        }
        let rounded = storage.to_dtype(layout, DType::BF16)?;
        let layout = Layout::contiguous(layout.shape());
        Ok(Self { storage: Held::Rounded(rounded.into()), layout })
    }

    fn transposed(&self) -> Result<Self> {
        Ok(Self { layout: self.layout.transpose(0, 1)?, ..self.clone() })
    }

    fn storage(&self) -> &CudaStorage {
        match &self.storage {
            Held::AsItIs(storage) => storage,
            Held::Rounded(storage) => storage,
        }
    }

    fn numbers<T: CudaDType>(&self) -> Result<CudaView<'_, T>> {
        Ok(self.storage().as_cuda_slice::<T>()?.slice(self.layout.start_offset()..))
    }

    fn strides(&self) -> Result<[usize; 2]> {
        match *self.layout.stride() {
            [row, column] => Ok([row, column]),
            _ => bail!("a matrix expected, found {:?}", self.layout),
        }
    }
}

/// a·b, row after row.
fn product(a: &Operand, b: &Operand, precision: Precision) -> Result<CudaStorage> {
    let ((m, k), n) = (a.layout.shape().dims2()?, b.layout.dims()[1]);
    match precision {
        Precision::Full => a.storage().matmul(b.storage(), (1, m, n, k), &a.layout, &b.layout),
        Precision::Tf32 => {
            let tf32 = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32;
            gemm::<f32>([a, b], [m, n, k], sys::cudaDataType_t::CUDA_R_32F, tf32)
        }
        Precision::Bf16 => {
            let f32 = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
            gemm::<half::bf16>([a, b], [m, n, k], sys::cudaDataType_t::CUDA_R_16BF, f32)
        }
    }
}

/// a·b of numbers T, which cuBLAS calls `number`, in f32, row after row.
fn gemm<T: CudaDType>(
    [a, b]: [&Operand; 2],
    [m, n, k]: [usize; 3],
    number: sys::cudaDataType_t,
    compute: sys::cublasComputeType_t,
) -> Result<CudaStorage> {
    let device = &a.storage().device;
    let stream = device.cuda_stream();
    let (major, minor) = stream.context().compute_capability().map_err(Error::wrap)?;
    if major < 8 {
        bail!(
            "products of tf32 and bf16 need a GPU of compute capability 8.0 or more, this one has {major}.{minor}: set \
             precision = \"full\""
        )
    }
    let call = Gemm::new([m, n, k], a.strides()?, b.strides()?)?;
    let [first, second] = call.transposed.map(|transposed| match transposed {
        true => sys::cublasOperation_t::CUBLAS_OP_T,
        false => sys::cublasOperation_t::CUBLAS_OP_N,
    });
    // SAFETY: the product below writes every number.
    #[allow(unsafe_code)]
    let mut out = unsafe { device.alloc::<f32>(m * n)? };
    {
        let (a, b) = (a.numbers::<T>()?, b.numbers::<T>()?);
        let ((a, _a), (b, _b)) = (a.device_ptr(&stream), b.device_ptr(&stream));
        let (c, _c) = out.device_ptr_mut(&stream);
        let (one, zero) = (1.0_f32, 0.0_f32);
        // SAFETY: the tensors hold what their layouts say, and `Gemm::new` has put these layouts, checked, into
        // cuBLAS's terms; c has m·n numbers of f32, which is also the type of both factors in either way to compute;
        // all belong to this stream, which the handle runs on.
        #[allow(unsafe_code)]
        unsafe {
            result::gemm_ex(
                *device.cublas_handle().handle(),
                first,
                second,
                call.sizes[0],
                call.sizes[1],
                call.sizes[2],
                from_ref(&one).cast(),
                b as *const _,
                number,
                call.apart[0],
                a as *const _,
                number,
                call.apart[1],
                from_ref(&zero).cast(),
                c as *mut _,
                sys::cudaDataType_t::CUDA_R_32F,
                call.apart[2],
                compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(Error::wrap)?;
    }
    Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
}
