//! `x · weightᵀ + bias` for the few rows of a decoding step, without a backward.
//!
//! With so few rows a matrix product reads every weight for a handful of sums, and packing the weights for
//! it (as `gemm` does) costs more than the sums. Here each element is a dot product of two rows as they lie in
//! memory, summed in lanes: its bits depend on these two rows and on nothing else. Measured for a head of
//! 50,304 labels and 128 dimensions in f32 on one core with AVX2: 3 ms for one row and 5 ms for eight, `gemm` with its
//! padding 7 and 8 ms; at 16 rows both take 10 ms.

use super::cpu::{Elem, LANES, Machine, by_type, simd_on, tensor, total, with};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// Products of numbers that are worth a task.
const PRODUCTS: usize = 1 << 16;

/// Rows of the weight that are worked on together.
const TILE: usize = 4;

/// `x · weightᵀ + bias`: `[n, k]`, `[o, k]`, `[o]` → `[n, o]`.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (n, k) = x.dims2()?;
    let o = weight.dim(0)?;
    by_type!(x, T => with::<T, _>(x, |x| with::<T, _>(weight, |weight| {
        let mut out = products(x, weight, [n, o, k]);
        if let Some(bias) = bias {
            with::<T, _>(bias, |bias| {
                let add = |row: &mut [T]| row.iter_mut().zip(bias).for_each(|(y, b)| *y += *b);
                out.chunks_exact_mut(o).for_each(add);
                Ok(())
            })?;
        }
        Ok(tensor(out, (n, o)))
    })))
}

fn products<T: Elem>(x: &[T], weight: &[T], [n, o, k]: [usize; 3]) -> Vec<T> {
    if n * k == 0 {
        return vec![T::ZERO; n * o];
    }
    let block = (PRODUCTS / (n * k)).next_multiple_of(TILE).max(TILE);
    let parts: Vec<Vec<T>> = weight
        .par_chunks(block * k)
        .map(|weight| {
            let width = weight.len() / k;
            let mut out = vec![T::ZERO; n * width];
            simd_on(
                #[inline(always)]
                |machine| {
                    for (first, weight) in (0..).step_by(TILE).zip(weight.chunks(TILE * k)) {
                        let whole = weight.len() == TILE * k;
                        for (x, out) in x.chunks_exact(k).zip(out.chunks_exact_mut(width)) {
                            if whole {
                                out[first..][..TILE].copy_from_slice(&dots::<T, TILE>(x, weight, machine));
                            } else {
                                for (y, w) in out[first..].iter_mut().zip(weight.chunks_exact(k)) {
                                    [*y] = dots(x, w, machine);
                                }
                            }
                        }
                    }
                },
            );
            out
        })
        .collect();
    let mut out = Vec::with_capacity(n * o);
    for row in 0..n {
        for part in &parts {
            let width = part.len() / n;
            out.extend_from_slice(&part[row * width..][..width]);
        }
    }
    out
}

/// The products of x with `C` rows of the weight, each as long as x. Loops over indices: what a closure of
/// `array::from_fn` or `for_each` holds is not compiled for the instruction set.
#[inline(always)]
fn dots<T: Elem, const C: usize>(x: &[T], weight: &[T], machine: Machine) -> [T; C] {
    let k = x.len();
    let (x, x_rest) = x.as_chunks();
    let (mut rows, mut rests) = ([x; C], [x_rest; C]);
    for c in 0..C {
        (rows[c], rests[c]) = weight[c * k..][..k].as_chunks();
    }
    let mut sums = lanes(x, rows, machine);
    if !x_rest.is_empty() {
        let x = filled_up(x_rest);
        for c in 0..C {
            let w = filled_up(rests[c]);
            for l in 0..LANES {
                sums[c][l] += x[l] * w[l];
            }
        }
    }
    let mut out = [T::ZERO; C];
    for c in 0..C {
        out[c] = total(sums[c]);
    }
    out
}

/// What is left of a row, with zeros behind it.
#[inline(always)]
fn filled_up<T: Elem>(rest: &[T]) -> [T; LANES] {
    let mut lanes = [T::ZERO; LANES];
    lanes[..rest.len()].copy_from_slice(rest);
    lanes
}

/// Sums in lanes. Apart from the rest of the work, so that they stay in registers.
#[inline(always)]
fn lanes<T: Elem, const C: usize>(
    x: &[[T; LANES]],
    weight: [&[[T; LANES]]; C],
    machine: Machine,
) -> [[T; LANES]; C] {
    let mut sums = [[T::ZERO; LANES]; C];
    for (p, x) in x.iter().enumerate() {
        for c in 0..C {
            for l in 0..LANES {
                let (w, sum) = (weight[c][p][l], &mut sums[c][l]);
                *sum = if machine.fused { x[l].mul_add(w, *sum) } else { *sum + x[l] * w };
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Precision, Value};
    use candle_core::{DType, Device};

    fn random(rows: usize, columns: usize, step: f64) -> Tensor {
        let data: Vec<f64> = (0..rows * columns).map(|i| (i as f64 * step).sin()).collect();
        Tensor::from_vec(data, (rows, columns), &Device::Cpu).unwrap()
    }

    #[test]
    fn rows_equal_the_matrix_product_and_do_not_depend_on_each_other() {
        for [n, o, k] in [[1, 1, 1], [3, 9, 17], [5, 70, 40], [2, 600, 64], [1, 3, 0]] {
            for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-13)] {
                // candle does not cast what has no elements.
                let cast = |x: Tensor| {
                    if k == 0 { Tensor::zeros(x.dims(), dtype, &Device::Cpu) } else { x.to_dtype(dtype) }
                };
                let cast = |x: Tensor| cast(x).unwrap();
                let (x, w) = (cast(random(n, k, 0.7)), cast(random(o, k, 1.3)));
                let bias = cast(random(1, o, 0.3)).squeeze(0).unwrap();
                let rows = |x: &Tensor| -> Vec<Vec<f64>> {
                    let y = linear(x, &w, Some(&bias)).unwrap();
                    y.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
                };
                let found = rows(&x);
                let alone: Vec<_> = (0..n).flat_map(|i| rows(&x.narrow(0, i, 1).unwrap())).collect();
                assert_eq!(found, alone, "{n} {o} {k}");
                if k > 0 {
                    let expected = Value::linear(&x, &w, Some(&bias), Precision::Full).unwrap();
                    let expected = expected.to_dtype(DType::F64).unwrap();
                    for (a, b) in found.concat().iter().zip(expected.to_vec2::<f64>().unwrap().concat()) {
                        assert!((a - b).abs() < tolerance, "{n} {o} {k}: {a} {b}");
                    }
                }
            }
        }
    }
}
