//! Products of rounded operands against plain sums in f64, on a CPU and, from the same bodies, on a GPU.

use super::*;
use crate::value::cpu::composed_only;
use crate::value::{Attention, Cache, Dual, Layout, Pass, QkvOrder, Tape, Traced, Value};
use candle_core::{Device, Var};
use rand::Rng;

/// The number of bf16 that is nearest, by the definition: of the two neighbours the nearer one, of two as near the one
/// whose last bit is 0.
fn nearest(x: f32) -> f32 {
    let [below, above] = [x.to_bits() & 0xffff_0000, (x.to_bits() & 0xffff_0000).wrapping_add(0x1_0000)];
    let [down, up] = [below, above].map(|bits| (f64::from(x) - f64::from(f32::from_bits(bits))).abs());
    let even = below & 0x1_0000 == 0;
    f32::from_bits(if down < up || (down == up && even) { below } else { above })
}

#[test]
fn numbers_are_rounded_to_the_nearest_and_ties_to_even() {
    let known = [
        (1.0 + 1.0 / 256.0, 1.0),          // a tie, below is even
        (1.0 + 3.0 / 256.0, 1.015_625),    // a tie, above is even
        (1.0 + 1.01 / 256.0, 1.007_812_5), // beyond the tie
        (-1.0 - 3.0 / 256.0, -1.015_625),
        (0.1, 0.100_097_656),
    ];
    for (x, rounded) in known {
        assert_eq!((x.to_bf16(), nearest(x)), (rounded, rounded), "{x}");
    }
    for x in draw("rounded", &[1000]).into_iter().chain([0.0, -0.0, 1e-40, -3e-39]) {
        assert_eq!(x.to_bf16().to_bits(), nearest(x).to_bits(), "{x:e}");
        assert_eq!(f64::from(x).to_bf16(), f64::from(nearest(x)), "{x:e}");
        let mut there = [x];
        Precision::Bf16.round(&mut there);
        assert_eq!((there[0], Precision::Bf16.operand(&[x])[0]), (nearest(x), nearest(x)));
    }
    assert_eq!(f32::MAX.to_bf16(), f32::INFINITY);
    assert!(f32::NAN.to_bf16().is_nan() && f32::NEG_INFINITY.to_bf16() == f32::NEG_INFINITY);
    let x = draw("rounded", &[5]);
    assert!(matches!(Precision::Full.operand(&x), Cow::Borrowed(_)), "f32 is not copied");
}

/// Numbers of both signs and several sizes, every fifth half way between two numbers of bf16.
fn draw(stream: &str, shape: &[usize]) -> Vec<f32> {
    let mut rng = crate::seed::rng(0, stream);
    let number = |i: usize| {
        let x = rng.random_range(-1.5_f32..1.5) * [1.0, 0.01, 3.0][i % 3];
        if i.is_multiple_of(5) { f32::from_bits((x.to_bits() & 0xffff_0000) | 0x8000) } else { x }
    };
    (0..shape.iter().product()).map(number).collect()
}

/// A matrix as a function of row and column.
type Matrix<'a> = &'a dyn Fn(usize, usize) -> f64;

/// a·b `[m, k]·[k, n]` in f64, and the sums of the terms' sizes.
fn plain([m, n, k]: [usize; 3], a: Matrix, b: Matrix) -> Vec<[f64; 2]> {
    let pairs = (0..m).flat_map(|i| (0..n).map(move |j| (i, j)));
    let sum = |(i, j)| {
        (0..k)
            .map(|p| a(i, p) * b(p, j))
            .fold([0.0, 0.0], |[sum, size], term| [sum + term, size + term.abs()])
    };
    pairs.map(sum).collect()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Every element is the sum but for `tolerance` of its terms' sizes.
#[track_caller]
fn close(what: &str, found: &Tensor, expected: &[[f64; 2]], tolerance: f64) {
    let found = numbers(found);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, [sum, size])) in found.iter().zip(expected).enumerate() {
        assert!((found - sum).abs() <= tolerance * size, "{what}, element {i}: {found} for {sum} of {size}");
    }
}

/// ‖found − expected‖ is at most `tolerance` of ‖expected‖.
#[track_caller]
fn near(what: &str, found: &Tensor, expected: &[[f64; 2]], tolerance: f64) {
    let found = numbers(found);
    let norm = |all: &mut dyn Iterator<Item = f64>| all.map(|x| x * x).sum::<f64>().sqrt();
    let far = norm(&mut found.iter().zip(expected).map(|(found, [sum, _])| found - sum));
    let size = norm(&mut expected.iter().map(|[sum, _]| *sum));
    assert!(found.len() == expected.len() && far <= tolerance * size, "{what}: {far:e} apart, of {size:e}");
}

/// Of sums in f32 in any order.
const SUMS: f64 = 1e-6;

/// Of sums over a residual that was rounded from f32: one in some 10⁴ is so near the middle of two numbers of bf16 that
/// it falls to the other side. A product without rounding is 1e-3 away.
const RESIDUALS: f64 = 3e-4;

fn variable(device: &Device, data: &[f32], shape: &[usize]) -> Var {
    Var::from_tensor(&Tensor::from_slice(data, shape, device).unwrap()).unwrap()
}

/// Value and gradients of what `f` makes of parameters, in its fused form or its composed one, on a tape.
fn on_tape(
    parameters: &[Var],
    g: &[f32],
    composed: bool,
    f: impl Fn(&[Traced]) -> anyhow::Result<Traced>,
) -> Vec<Tensor> {
    let run = || {
        let tape = Tape::new();
        let y = f(&parameters.iter().map(|p| tape.parameter(p)).collect::<Vec<_>>()).unwrap();
        let seed = Tensor::from_slice(g, y.primal().dims(), y.primal().device()).unwrap();
        let gradients = y.gradients(&seed, parameters).unwrap();
        let mut all = vec![y.primal().clone()];
        all.extend(gradients.into_iter().map(|gradient| gradient.expect("a gradient")));
        all
    };
    if composed { composed_only(run) } else { run() }
}

const SHAPES: [[usize; 3]; 5] = [[1, 1, 1], [3, 6, 20], [70, 5, 33], [4, 90, 48], [300, 140, 17]];

/// Forward and backward of `linear` are sums of products of what `round` makes of the operands.
fn linear_agrees(device: &Device, precision: Precision, tolerance: f64, round: fn(f32) -> f32) {
    for [n, o, k] in SHAPES {
        let [x, w, b, g] = [("x", vec![n, k]), ("w", vec![o, k]), ("b", vec![o]), ("g", vec![n, o])]
            .map(|(stream, shape)| draw(stream, &shape));
        let parameters =
            [variable(device, &x, &[n, k]), variable(device, &w, &[o, k]), variable(device, &b, &[o])];
        let at = |data: &[f32], i: usize| f64::from(round(data[i]));
        let mut y = plain([n, o, k], &|i, p| at(&x, i * k + p), &|p, j| at(&w, j * k + p));
        y.iter_mut().enumerate().for_each(|(i, y)| y[0] += f64::from(b[i % o]));
        let dx = plain([n, k, o], &|i, p| at(&g, i * o + p), &|p, j| at(&w, p * k + j));
        let dw = plain([o, k, n], &|i, p| at(&g, p * o + i), &|p, j| at(&x, p * k + j));
        // The bias meets no product.
        let db = plain([1, o, n], &|_, _| 1.0, &|p, j| f64::from(g[p * o + j]));
        // Another form is made for a CPU's rounding alone.
        for composed in if precision == Precision::Bf16 { vec![false, true] } else { vec![false] } {
            let found = on_tape(&parameters, &g, composed, |p| p[0].linear(&p[1], Some(&p[2]), precision));
            for (name, (found, expected)) in
                ["y", "dx", "dw", "db"].iter().zip(found.iter().zip([&y, &dx, &dw, &db]))
            {
                // y has the bias's own rounding.
                let tolerance = if *name == "y" { tolerance + SUMS } else { tolerance };
                let bias = |[sum, size]: &[f64; 2]| [*sum, size + if *name == "y" { 2.0 } else { 0.0 }];
                let expected: Vec<_> = expected.iter().map(bias).collect();
                let tolerance = if *name == "db" { SUMS } else { tolerance };
                close(
                    &format!("{name} of {n} × {o} × {k}, composed: {composed}"),
                    found,
                    &expected,
                    tolerance,
                );
            }
        }
    }
}

/// So are logits and both products of the head's backward.
fn log_probs_agree(device: &Device) {
    for [n, vocabulary, d] in [[3, 7, 20], [70, 90, 33], [300, 310, 17]] {
        let [h, w, g] = [("h", vec![n, d]), ("head", vec![vocabulary, d]), ("g", vec![n])]
            .map(|(stream, shape)| draw(stream, &shape));
        let targets: Vec<u32> = (0..n).map(|i| ((i * 7) % vocabulary) as u32).collect();
        let parameters = [variable(device, &h, &[n, d]), variable(device, &w, &[vocabulary, d])];
        let at = |data: &[f32], i: usize| f64::from(nearest(data[i]));
        let z = plain([n, vocabulary, d], &|i, p| at(&h, i * d + p), &|p, j| at(&w, j * d + p));
        let log_z: Vec<f64> =
            z.chunks(vocabulary).map(|row| row.iter().map(|z| z[0].exp()).sum::<f64>().ln()).collect();
        let logp: Vec<[f64; 2]> =
            (0..n).map(|i| [z[i * vocabulary + targets[i] as usize][0] - log_z[i], 10.0]).collect();
        let residual = |i: usize, v: usize| {
            let pi = (z[i * vocabulary + v][0] - log_z[i]).exp();
            let hit = f64::from(u8::from(targets[i] as usize == v));
            f64::from(nearest((f64::from(g[i]) * (hit - pi)) as f32))
        };
        let dh = plain([n, d, vocabulary], &residual, &|p, j| at(&w, p * d + j));
        let dw = plain([vocabulary, d, n], &|i, p| residual(p, i), &|p, j| at(&h, p * d + j));
        for composed in [false, true] {
            let [found, found_dh, found_dw] = &on_tape(&parameters, &g, composed, |p| {
                p[0].log_probs(&p[1], &targets, Precision::Bf16, None)
            })[..] else {
                panic!("three tensors")
            };
            let of = |name| format!("{name} of {n} × {vocabulary} × {d}, composed: {composed}");
            close(&of("log π"), found, &logp, SUMS);
            near(&of("dh"), found_dh, &dh, RESIDUALS);
            near(&of("dw"), found_dw, &dw, RESIDUALS);
        }
    }
}

#[test]
fn products_of_rounded_operands_are_plain_sums() {
    linear_agrees(&Device::Cpu, Precision::Bf16, SUMS, nearest);
    log_probs_agree(&Device::Cpu);
    linear_agrees(&Device::Cpu, Precision::Full, SUMS, |x| x);
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_products_of_rounded_operands_are_plain_sums() {
    let Some(gpu) = crate::device::gpu() else { return };
    linear_agrees(&gpu, Precision::Bf16, SUMS, nearest);
    log_probs_agree(&gpu);
    // A GPU rounds tf32 in a way of its own, to 11 significant bits.
    linear_agrees(&gpu, Precision::Tf32, 2.0_f64.powi(-10), |x| x);
    linear_agrees(&gpu, Precision::Full, SUMS, |x| x);
}

/// A value over duals is the forward pass's own, and its tangent the sum of products of tangents as they are with
/// operands as the forward pass rounded them.
fn tangents_agree(device: &Device) {
    for [n, o, k] in SHAPES {
        let [x, w, dx, dw] = [("x", vec![n, k]), ("w", vec![o, k]), ("dx", vec![n, k]), ("dw", vec![o, k])]
            .map(|(stream, shape)| draw(stream, &shape));
        let dual = |value: &[f32], tangent: &[f32], shape: [usize; 2]| {
            let [value, tangent] = [value, tangent].map(|data| variable(device, data, &shape));
            Dual::new(&value, &[Some(tangent.as_tensor())]).unwrap()
        };
        let (x_, w_) = (dual(&x, &dx, [n, k]), dual(&w, &dw, [o, k]));
        let [rounded_x, rounded_w] =
            [&x, &w].map(|data| data.iter().map(|x| f64::from(nearest(*x))).collect::<Vec<_>>());
        let along_x = plain([n, o, k], &|i, p| f64::from(dx[i * k + p]), &|p, j| rounded_w[j * k + p]);
        let along_w = plain([n, o, k], &|i, p| rounded_x[i * k + p], &|p, j| f64::from(dw[j * k + p]));
        let dz: Vec<_> = along_x.iter().zip(&along_w).map(|(a, b)| [a[0] + b[0], a[1] + b[1]]).collect();
        let y = x_.linear(&w_, None, Precision::Bf16).unwrap();
        close("tangent of linear", y.tangent(0).unwrap(), &dz, SUMS);
        let forward = x_.primal.linear(&w_.primal, None, Precision::Bf16).unwrap();
        assert_eq!(numbers(&y.primal), numbers(&forward));

        let targets: Vec<u32> = (0..n).map(|i| (i % o) as u32).collect();
        let z = plain([n, o, k], &|i, p| rounded_x[i * k + p], &|p, j| rounded_w[j * k + p]);
        let along = |i: usize| {
            let row = |i: usize| i * o..(i + 1) * o;
            let total: f64 = z[row(i)].iter().map(|z| z[0].exp()).sum();
            let mean: f64 = z[row(i)].iter().zip(&dz[row(i)]).map(|(z, dz)| z[0].exp() / total * dz[0]).sum();
            let largest = dz[row(i)].iter().map(|dz| dz[1]).fold(0.0, f64::max);
            [dz[i * o + targets[i] as usize][0] - mean, largest]
        };
        let expected: Vec<_> = (0..n).map(along).collect();
        for composed in [false, true] {
            let run = || x_.log_probs(&w_, &targets, Precision::Bf16, None).unwrap();
            let found = if composed { composed_only(run) } else { run() };
            // π is of exponentials, with errors of its own.
            close("tangent of log π", found.tangent(0).unwrap(), &expected, 10.0 * SUMS);
        }
    }
}

#[test]
fn tangents_are_not_rounded_but_what_they_meet_is() {
    tangents_agree(&Device::Cpu);
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_tangents_are_not_rounded_but_what_they_meet_is() {
    if let Some(gpu) = crate::device::gpu() {
        tangents_agree(&gpu);
    }
}

#[test]
fn products_of_a_decoding_step_are_of_rounded_operands_too() {
    let attention = Attention {
        heads: 1,
        kv_heads: 1,
        head_dim: 2,
        rotary_dim: 0,
        rope_theta: 1e4,
        order: QkvOrder::Grouped,
    };
    let (mut cache, begin) = (Cache::new(), Layout::single(2).unwrap());
    let qkv = variable(&Device::Cpu, &draw("qkv", &[12]), &[2, 6]).as_detached_tensor();
    Pass::new(&mut cache, &begin, 1).unwrap().value(qkv).attention(&attention, &begin).unwrap();
    let step = cache.step();
    let pass = Pass::new(&mut cache, &step, 1).unwrap();
    let [o, k] = [70, 33];
    let (x, w) = (draw("x", &[k]), draw("w", &[o, k]));
    let value = |data: &[f32], shape: [usize; 2]| {
        pass.value(variable(&Device::Cpu, data, &shape).as_detached_tensor())
    };
    let found = value(&x, [1, k]).linear(&value(&w, [o, k]), None, Precision::Bf16).unwrap();
    let at = |data: &[f32], i: usize| f64::from(nearest(data[i]));
    close("a step", found.primal(), &plain([1, o, k], &|_, p| at(&x, p), &|p, j| at(&w, j * k + p)), SUMS);
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let said = |error: anyhow::Error, parts: &[&str]| {
        let error = format!("{error:#}");
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    said(Precision::Tf32.check(DType::F32, false).unwrap_err(), &["tf32", "on a CPU", "device = \"cuda\""]);
    for precision in [Precision::Bf16, Precision::Tf32] {
        said(
            precision.check(DType::F64, true).unwrap_err(),
            &[precision.name(), "dtype = \"f64\"", "\"f32\""],
        );
        assert!(precision.check(DType::F32, true).is_ok());
    }
    assert!(
        Precision::Full.check(DType::F64, false).is_ok() && Precision::Bf16.check(DType::F32, false).is_ok()
    );
    for name in ["f16", "fp16", "float16"] {
        said(name.parse::<Precision>().unwrap_err(), &[name, "the loss is scaled", "use \"bf16\""]);
    }
    said("f64".parse::<Precision>().unwrap_err(), &["\"f64\"", "\"full\"", "`dtype`"]);
    for precision in [Precision::Full, Precision::Tf32, Precision::Bf16] {
        assert_eq!(precision.name().parse::<Precision>().unwrap(), precision);
    }
    // The operations ask too: a model's precision can be set by whoever has it.
    let x = variable(&Device::Cpu, &draw("x", &[6]), &[2, 3]);
    let double = x.to_dtype(DType::F64).unwrap();
    said(x.linear(&x, None, Precision::Tf32).unwrap_err(), &["on a CPU"]);
    said(double.linear(&double, None, Precision::Bf16).unwrap_err(), &["f64"]);
    said(double.log_probs(&double, &[0, 1], Precision::Bf16, None).unwrap_err(), &["f64"]);
    let tape = Tape::new();
    let traced = tape.parameter(&x);
    assert!(traced.linear(&traced, None, Precision::Tf32).is_err());
    assert!(traced.log_probs(&traced, &[0, 1], Precision::Tf32, None).is_err());
}
