//! Kernels against the CPU's forms: on this machine's processor, and, from the same bodies, on a GPU.

use super::attention::{Run, Tables};
use super::call::Machine;
#[cfg(feature = "cuda")]
use super::device::Gpu;
use super::host::Host;
use super::ops;
use crate::value::cpu::Elem;
use crate::value::norm::Norm;
use crate::value::{Activation, Attention, Layout, QkvOrder, Value};
use candle_core::{Device, Tensor, Var, WithDType};
use ldyn_core::diagnostics::{residual_in_place, token_stats};
use rand::Rng;

/// Numbers of the kernels, and what tensors are made of.
trait Number: Elem + WithDType {
    /// Of forms that compute the same with another order of summation.
    const TOLERANCE: f64;
}

impl Number for f32 {
    const TOLERANCE: f64 = 1e-5;
}

impl Number for f64 {
    const TOLERANCE: f64 = 1e-13;
}

/// A machine whose results can be seen.
pub(super) trait Readable: Machine {
    /// The numbers of a buffer.
    fn read(&self, buffer: &Self::Buffer) -> Vec<Self::Real>;
}

/// Tests that run a check for both number types: on the processor in blocks of one thread, of fewer and of more than a
/// row has numbers, and on a GPU.
macro_rules! on_every_machine {
    ($($check:ident: $host:ident, $gpu:ident;)*) => {$(
        #[test]
        fn $host() {
            for threads in [1, 8, 64] {
                if let (Some(single), Some(double)) = (Host::<f32>::new(threads), Host::<f64>::new(threads)) {
                    $check(&single);
                    $check(&double);
                }
            }
        }

        #[cfg(feature = "cuda")]
        #[test]
        fn $gpu() {
            if let Some(gpu) = crate::device::gpu() {
                let device = gpu.as_cuda_device().unwrap();
                $check(&Gpu::<f32>::new(device).unwrap());
                $check(&Gpu::<f64>::new(device).unwrap());
            }
        }
    )*};
}

on_every_machine! {
    norms: norms_agree, cuda_norms_agree;
    activations: activations_agree, cuda_activations_agree;
    sums: sums_agree, cuda_sums_agree;
    rows_of_logits: rows_of_logits_agree, cuda_rows_of_logits_agree;
    attention: attention_agrees, cuda_attention_agrees;
}

#[test]
fn every_test_that_waits_for_a_gpu_is_listed() {
    let sources = [
        include_str!("tests.rs"),
        include_str!("../precision/tests.rs"),
        include_str!("../selftest/tests.rs"),
        include_str!("../squares.rs"),
        include_str!("../tests.rs"),
        include_str!("../../train/optimizer.rs"),
    ];
    let listed = include_str!("mod.rs");
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    for source in sources {
        let words = source.split(|c| !is_name(c));
        let mut waiting = words.filter(|word| word.starts_with("cuda_") && *word != "cuda_").peekable();
        assert!(waiting.peek().is_some(), "no test was found");
        waiting.for_each(|name| assert!(listed.contains(&format!("`{name}`")), "{name}"));
    }
}

fn random<T: Number>(stream: &str, n: usize) -> Vec<T> {
    let mut rng = crate::seed::rng(0, stream);
    (0..n).map(|_| <T as ldyn_core::Real>::from_f64(rng.random_range(-2.0..2.0))).collect()
}

fn tensor<T: Number>(numbers: &[T], shape: &[usize]) -> Var {
    Var::from_tensor(&Tensor::from_slice(numbers, shape, &Device::Cpu).unwrap()).unwrap()
}

/// The value, and the gradients of ⟨g, value⟩ by the inputs, as the CPU computes them.
fn expected<T: Number>(
    inputs: &[&Var],
    g: &[T],
    f: impl Fn(&[&Tensor]) -> anyhow::Result<Tensor>,
) -> Vec<Tensor> {
    let y = f(&inputs.iter().map(|x| x.as_tensor()).collect::<Vec<_>>()).unwrap();
    let g = Tensor::from_slice(g, y.dims(), &Device::Cpu).unwrap();
    let store = (&y * g).unwrap().sum_all().unwrap().backward().unwrap();
    let mut all = vec![y];
    all.extend(inputs.iter().map(|x| store.get(x).unwrap().clone()));
    all
}

/// ‖found − expected‖ is within the tolerance of ‖expected‖; neither has a NaN.
#[track_caller]
fn close<T: Number>(found: &[T], expected: &Tensor) {
    let expected: Vec<T> = expected.flatten_all().unwrap().to_vec1().unwrap();
    close_slices(found, &expected);
}

#[track_caller]
fn close_slices<T: Number>(found: &[T], expected: &[T]) {
    assert_eq!(found.len(), expected.len());
    let [mut far, mut size] = [0.0; 2];
    for (a, b) in found.iter().zip(expected) {
        let (a, b) = (ldyn_core::Real::to_f64(*a), ldyn_core::Real::to_f64(*b));
        far += (a - b) * (a - b);
        size += b * b;
    }
    let (far, size): (f64, f64) = (f64::sqrt(far), f64::sqrt(size));
    assert!(far <= T::TOLERANCE * size, "{far:e} apart, of {size:e}: {found:?} {expected:?}");
}

fn norms<T: Number, M: Readable<Real = T>>(machine: &M) {
    for [rows, d] in [[1, 1], [3, 19], [130, 5], [2, 100]] {
        let [x, w, b, g] = ["x", "w", "b", "g"]
            .map(|stream| random::<T>(stream, if stream == "x" || stream == "g" { rows * d } else { d }));
        let [vx, vw, vb] = [tensor(&x, &[rows, d]), tensor(&w, &[d]), tensor(&b, &[d])];
        let u = tensor(&g, &[rows, d]);
        let [hx, hw, hb, hg] = [&x, &w, &b, &g].map(|numbers| machine.numbers(numbers).unwrap());
        let [x, w, b, on_g] = [&hx, &hw, &hb, &hg].map(|buffer| machine.at(buffer));
        for (centred, eps) in [(true, 1e-5), (false, 1e-6)] {
            let norm = Norm { centred, eps };
            let found = norm.run(machine, x, w, centred.then_some(b)).unwrap();
            let [dx, vectors] = norm.run_backward(machine, [x, w, on_g]).unwrap();
            let vectors = machine.read(&vectors);
            let all = if centred {
                expected(&[&vx, &vw, &vb], &g, |x| x[0].layer_norm(x[1], x[2], eps))
            } else {
                expected(&[&vx, &vw], &g, |x| x[0].rms_norm(x[1], eps))
            };
            close(&machine.read(&found), &all[0]);
            if d > 1 {
                // A centred row of one number is 0 whatever it is: its derivatives are noise.
                close(&machine.read(&dx), &all[1]);
                close(&vectors[..d], &all[2]);
            }
            if centred {
                close(&vectors[d..], &all[3]);
            }
            let [along, _] = norm.run_derivative(machine, [x, on_g], None, d).unwrap();
            let along_expected = norm.derivative_along(&vx, &u).unwrap();
            if d > 1 {
                close(&machine.read(&along), &along_expected);
            }
        }
    }
}

fn activations<T: Number, M: Readable<Real = T>>(machine: &M) {
    let wide: Vec<T> =
        random::<T>("x", 301).into_iter().map(|x| x * <T as ldyn_core::Real>::from_f64(4.0)).collect();
    let g = random::<T>("g", 301);
    for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu] {
        let [hx, hg] = [&wide, &g].map(|numbers| machine.numbers(numbers).unwrap());
        let found = ops::activate(machine, activation, machine.at(&hx), None).unwrap();
        let slope = ops::activate(machine, activation, machine.at(&hx), Some(machine.at(&hg))).unwrap();
        let all = expected(&[&tensor(&wide, &[301])], &g, |x| x[0].activate(activation));
        close(&machine.read(&found), &all[0]);
        close(&machine.read(&slope), &all[1]);
        // Far out, where exponentials overflow and vanish.
        let ends = [-1e9, -200.0, -0.0, 0.0, 200.0, 1e9].map(<T as ldyn_core::Real>::from_f64).to_vec();
        let ones = vec![T::ONE; ends.len()];
        let [hx, hg] = [&ends, &ones].map(|numbers| machine.numbers(numbers).unwrap());
        let found = ops::activate(machine, activation, machine.at(&hx), None).unwrap();
        let slope = ops::activate(machine, activation, machine.at(&hx), Some(machine.at(&hg))).unwrap();
        let all = expected(&[&tensor(&ends, &[6])], &ones, |x| x[0].activate(activation));
        close(&machine.read(&found), &all[0]);
        close(&machine.read(&slope), &all[1]);
    }
}

fn sums<T: Number, M: Readable<Real = T>>(machine: &M) {
    for [rows, d] in [[1, 1], [3, 70], [200, 3], [5000, 1]] {
        let x = random::<T>("x", rows * d);
        let tensor = tensor(&x, &[rows, d]);
        let y = machine.numbers(&x).unwrap();
        let found = ops::column_sums(machine, machine.at(&y), d).unwrap();
        close(&machine.read(&found), &tensor.sum(0).unwrap());
        let bias = random::<T>("bias", d);
        let held = machine.numbers(&bias).unwrap();
        ops::add_bias(machine, machine.at(&y), machine.at(&held)).unwrap();
        let bias = Tensor::new(bias, &Device::Cpu).unwrap();
        close(&machine.read(&y), &tensor.broadcast_add(&bias).unwrap());
    }
    let parts = [1, 70_000, 3].map(|n| random::<T>("part", n));
    let held = parts.each_ref().map(|part| machine.numbers(part).unwrap());
    let found = ops::squares(machine, &held.each_ref().map(|part| machine.at(part))).unwrap();
    let square = |part: &[T]| part.iter().map(|x| *x * *x).fold(T::ZERO, |a, b| a + b);
    let [a, b, c] = parts.each_ref().map(Vec::as_slice);
    let (b, rest) = b.split_at(ops::SQUARES);
    close_slices(&machine.read(&found), &[a, b, rest, c].map(square));
}

fn rows_of_logits<T: Number, M: Readable<Real = T>>(machine: &M) {
    let from = <T as ldyn_core::Real>::from_f64;
    let mut cases: Vec<(Vec<T>, usize)> = vec![
        (vec![from(3.0)], 0),
        (vec![from(3.0), T::NEG_INFINITY], 0),
        (vec![T::NEG_INFINITY, from(-1.0)], 0),
        (vec![from(0.0), from(200.0), from(0.0)], 1),
        (vec![from(0.0), from(80.0), from(-20.0)], 2),
        (vec![from(7.0); 5], 3),
        (vec![T::NEG_INFINITY, from(1.0), from(2.0), T::NEG_INFINITY, from(2.0)], 4),
    ];
    for (v, scale) in [(2, 1.0), (97, 1.0), (1000, 30.0), (1000, 0.001)] {
        let row = random::<T>(&format!("logits {v} {scale}"), v);
        cases.push((row.into_iter().map(|x| x * from(scale)).collect(), v / 2));
    }
    for (row, label) in cases {
        let vocabulary = row.len();
        // Among other rows.
        let logits = machine.numbers(&[vec![from(0.5); vocabulary], row.clone()].concat()).unwrap();
        let labels = machine.table(&[0, label as u32]).unwrap();
        let [held, logp] = [2 * ops::STATS, 2].map(|n| machine.buffer(n).unwrap());
        let out = [machine.at(&held), machine.at(&logp)];
        ops::token_stats(machine, machine.at(&logits), machine.labels(&labels), out, vocabulary).unwrap();
        let (stats, logp) = (machine.read(&held), machine.read(&logp));
        let s = token_stats(&row, label).unwrap();
        let argmax = from(s.argmax as f64);
        let fields = [s.logp, argmax, s.argmax_logp, s.rest_logp, s.sum_sq, s.rest_sq, s.entropy, s.log_z];
        for (i, (found, expected)) in stats[8..].iter().zip(fields).enumerate() {
            // As `token_stats` promises; d is the distance of maximum and runner-up, at most 200 here.
            let scale = T::ONE.max_of(if expected > T::ZERO { expected } else { -expected });
            let far = ldyn_core::Real::to_f64(*found - expected);
            let same =
                *found == expected || far.abs() <= 20.0 * T::TOLERANCE * ldyn_core::Real::to_f64(scale);
            assert!(same, "field {i} of {row:?}: {found} {expected}");
        }
        assert_eq!(logp[1], stats[8]);
        let g = machine.numbers(&[from(0.25), from(-1.5)]).unwrap();
        let at = [machine.labels(&labels), machine.at(&held), machine.at(&g)];
        ops::residual(machine, machine.at(&logits), at, vocabulary).unwrap();
        let mut expected = row.clone();
        residual_in_place(&mut expected, label, s.log_z, from(1.5)).unwrap();
        close_slices(&machine.read(&logits)[vocabulary..], &expected);
    }
    for wrong in [T::NAN, T::INFINITY, T::NEG_INFINITY] {
        for row in
            [vec![wrong; 3], vec![wrong], vec![from(1.0), wrong, from(2.0)], vec![T::NEG_INFINITY, wrong]]
        {
            let labels = machine.table(&[0]).unwrap();
            let [stats, logp] = [ops::STATS, 1].map(|n| machine.buffer(n).unwrap());
            let (logits, out) = (machine.numbers(&row).unwrap(), [machine.at(&stats), machine.at(&logp)]);
            ops::token_stats(machine, machine.at(&logits), machine.labels(&labels), out, row.len()).unwrap();
            let undefined = token_stats(&row, 0).is_err();
            assert_eq!(machine.read(&logp)[0].is_nan_(), undefined, "{row:?}");
            assert_eq!(
                machine.read(&stats).iter().filter(|x| x.is_nan_()).count(),
                if undefined { 7 } else { 0 },
                "{row:?}"
            );
        }
    }
}

/// Two comparisons that the numbers' own traits do not share.
trait Compare: Sized + PartialOrd + Copy {
    fn max_of(self, other: Self) -> Self {
        if other > self { other } else { self }
    }

    #[allow(clippy::eq_op)]
    fn is_nan_(self) -> bool {
        self != self
    }
}

impl<T: Number> Compare for T {}

fn attention<T: Number, M: Readable<Real = T>>(machine: &M) {
    let base = Attention {
        heads: 2,
        kv_heads: 2,
        head_dim: 6,
        rotary_dim: 6,
        rope_theta: 10_000.0,
        order: QkvOrder::PerHead,
    };
    let grouped = Attention {
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        rotary_dim: 4,
        order: QkvOrder::Grouped,
        ..base.clone()
    };
    let still = Attention { rotary_dim: 0, ..base.clone() };
    let wide = Attention { heads: 1, kv_heads: 1, head_dim: 130, ..base.clone() };
    let mut shared = Layout::new();
    let first = shared.push(21, None).unwrap();
    let second = shared.push(2, None).unwrap();
    for (len, parent) in [(3, first), (1, second), (40, first), (17, second)] {
        shared.push(len, Some(parent)).unwrap();
    }
    for a in [base, grouped, still, wide] {
        for layout in [Layout::single(1).unwrap(), Layout::single(35).unwrap(), shared.clone()] {
            let rows = layout.n_rows();
            let width = (a.heads + 2 * a.kv_heads) * a.head_dim;
            let (qkv, g) = (random::<T>("qkv", rows * width), random::<T>("g", rows * a.heads * a.head_dim));
            let tables = Tables::new(machine, &a, &layout).unwrap();
            let run = Run { machine, attention: &a, rows, tables: &tables };
            let all = expected(&[&tensor(&qkv, &[rows, width])], &g, |x| x[0].attention(&a, &layout));
            let [qkv, g] = [&qkv, &g].map(|numbers| machine.numbers(numbers).unwrap());
            close(&machine.read(&run.forward(machine.at(&qkv)).unwrap()[0]), &all[0]);
            close(&machine.read(&run.backward([machine.at(&qkv), machine.at(&g)]).unwrap()), &all[1]);
        }
    }
}
