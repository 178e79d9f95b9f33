//! Sums of squares: norms of gradients and steps.

#[cfg(feature = "cuda")]
use super::cpu::fused_anywhere;
use super::cpu::{Elem, by_type, fused, simd, sum, with};
use candle_core::Result;
use candle_core::{DType, Tensor};
use rayon::prelude::*;

/// Numbers whose squares are added in their own type; these sums are added in f64.
const ROW: usize = 1 << 12;

/// Σ t² in f64, in an order that threads do not decide.
///
/// # Errors
/// A failed operation.
pub(crate) fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    if fused(&[tensor]) {
        return by_type!(tensor, T => with::<T, _>(tensor, |data| Ok(of_slice::<T>(data))));
    }
    let rows = tensor.sqr()?.flatten_all()?;
    let n = rows.elem_count();
    let whole = n / ROW * ROW;
    let mut total = 0.0;
    for (start, len, shape) in [(0, whole, (whole / ROW, ROW)), (whole, n - whole, (1, n - whole))] {
        if len > 0 {
            let sums = rows.narrow(0, start, len)?.reshape(shape)?.sum(1)?;
            total += sums.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
        }
    }
    Ok(total)
}

/// Σ t² of every tensor, as [`sum_of_squares`]; on a GPU in one read.
///
/// # Errors
/// A failed operation.
pub(crate) fn sums_of_squares(tensors: &[Tensor]) -> Result<Vec<f64>> {
    #[cfg(feature = "cuda")]
    if tensors
        .first()
        .is_some_and(|t| t.device().is_cuda() && fused_anywhere(&tensors.iter().collect::<Vec<_>>()))
    {
        return super::cuda::sums_of_squares(tensors);
    }
    tensors.iter().map(sum_of_squares).collect()
}

fn of_slice<T: Elem>(data: &[T]) -> f64 {
    let of_row = |row: &[T]| {
        simd(
            #[inline(always)]
            || {
                sum(
                    row.len(),
                    #[inline(always)]
                    |i| row[i] * row[i],
                )
            },
        )
        .to_f64()
    };
    let sums: Vec<f64> = data.par_chunks(ROW).with_min_len(4).map(of_row).collect();
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::super::composed_only;
    use super::*;
    use candle_core::Device;

    #[test]
    fn both_forms_find_the_sum() {
        find_the_sums(&Device::Cpu);
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn cuda_both_forms_find_the_sum() {
        if let Some(gpu) = crate::device::gpu() {
            find_the_sums(&gpu);
        }
    }

    fn find_the_sums(device: &Device) {
        let data = [1, 4095, 4096, 20_000, 200_000]
            .map(|n| -> Vec<f32> { (0..n).map(|i| (i as f32 * 0.37).cos()).collect() });
        let exact = data.each_ref().map(|data| data.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>());
        let tensors = data.map(|data| Tensor::new(data, device).unwrap());
        let together = sums_of_squares(&tensors).unwrap();
        for ((tensor, exact), together) in tensors.iter().zip(exact).zip(together) {
            let alone =
                [sum_of_squares(tensor), composed_only(|| sum_of_squares(tensor))].map(Result::unwrap);
            for found in [alone[0], alone[1], together] {
                assert!((found / exact - 1.0).abs() < 1e-6, "{:?}", tensor.dims());
            }
        }
    }
}
