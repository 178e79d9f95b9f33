//! The core's numerics: the form that a textbook would write beside the form that is used.
//!
//! `cargo bench --bench core` runs everything under criterion; a filter such as `softmax/f32` picks.
//! With `--json` the program reads names of cases from standard input, one a line, and answers
//! each with one line of JSON: that is how `core_vs_numpy_torch.py` measures in turns with its peers.

use criterion::{Criterion, Throughput};
use ldyn_core::decomposition::{predicted_into, regression_step_into};
use ldyn_core::ntk::{Jacobians, Kernel};
use ldyn_core::simplex::Distribution;
use ldyn_core::softmax::{log_softmax_into, softmax_into};
use ldyn_core::squeezing::NegativeStep;
use ldyn_core::toy::{Activation, Mlp, Model, kernel, probs};
use ldyn_core::{Real, adaptation};
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

/// GPT-NeoX' and Qwen2's vocabularies, a small one and a tiny one.
const VOCABS: [usize; 4] = [50, 1000, 50_304, 151_936];

/// V×V matrices beyond this size do not fit.
const LARGEST_DENSE: usize = 1000;

/// Jacobians of more than this many numbers do not fit.
const LARGEST_JACOBIAN: usize = 1 << 20;

/// One form of one computation: `<computation>/<type>/<V>/<form>`.
struct Case {
    name: String,
    elements: usize,
    run: Box<dyn FnMut()>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for vocab in VOCABS {
        softmax::<f32>(vocab, &mut cases);
        softmax::<f64>(vocab, &mut cases);
        adaptation_product::<f32>(vocab, &mut cases);
        adaptation_product::<f64>(vocab, &mut cases);
        decomposition(vocab, &mut cases);
        squeezing(vocab, &mut cases);
        kernel_product(vocab, &mut cases);
    }
    cases
}

fn case<T>(what: &str, vocab: usize, form: &str, run: impl FnMut() + 'static) -> Case {
    let name = format!("{what}/{}/{vocab}/{form}", std::any::type_name::<T>());
    Case { name, elements: vocab, run: Box::new(run) }
}

/// Numbers without structure in [−scale/2, scale/2].
fn noise<T: Real>(n: usize, scale: f64) -> Vec<T> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n).map(|_| T::from_f64((next() - 0.5) * scale)).collect()
}

/// A distribution that lives as long as the program, so that cases can keep it.
fn softmax_of<T: Real>(vocab: usize) -> Distribution<'static, T> {
    let pi = vec![T::ZERO; vocab].leak();
    softmax_into(&noise(vocab, 20.0), pi).expect("finite logits");
    Distribution::new(pi).expect("a softmax")
}

/// Softmax and log-softmax, with what they cannot do without: to copy the row, and its exponentials.
fn softmax<T: Real>(vocab: usize, cases: &mut Vec<Case>) {
    let row = || (noise::<T>(vocab, 20.0), vec![T::ZERO; vocab]);
    let (z, mut out) = row();
    cases.push(case::<T>("softmax", vocab, "copy", move || {
        out.copy_from_slice(black_box(&z));
        black_box(&mut out);
    }));
    let (z, mut out) = row();
    cases.push(case::<T>("softmax", vocab, "exp", move || {
        exponentials(black_box(&z), &mut out);
        black_box(&mut out);
    }));
    let (z, mut out) = row();
    cases.push(case::<T>("softmax", vocab, "naive", move || {
        let z = black_box(&z);
        let max = z.iter().fold(T::NEG_INFINITY, |a, &z| a.max(z));
        for (o, &z) in out.iter_mut().zip(z) {
            *o = (z - max).exp();
        }
        let sum = out.iter().fold(T::ZERO, |sum, &e| sum + e);
        for o in &mut out {
            *o /= sum;
        }
        black_box(&mut out);
    }));
    let (z, mut out) = row();
    cases.push(case::<T>("softmax", vocab, "core", move || {
        softmax_into(black_box(&z), &mut out).expect("finite logits");
        black_box(&mut out);
    }));
    let (z, mut out) = row();
    cases.push(case::<T>("log_softmax", vocab, "naive", move || {
        let z = black_box(&z);
        let max = z.iter().fold(T::NEG_INFINITY, |a, &z| a.max(z));
        let log_sum = z.iter().fold(T::ZERO, |sum, &z| sum + (z - max).exp()).ln();
        for (o, &z) in out.iter_mut().zip(z) {
            *o = (z - max) - log_sum;
        }
        black_box(&mut out);
    }));
    let (z, mut out) = row();
    cases.push(case::<T>("log_softmax", vocab, "core", move || {
        log_softmax_into(black_box(&z), &mut out).expect("finite logits");
        black_box(&mut out);
    }));
}

/// The exponential of the sweeps alone, in the instructions that the sweeps run in.
fn exponentials<T: Real>(z: &[T], out: &mut [T]) {
    struct Work<'a, T>(&'a [T], &'a mut [T]);
    impl<T: Real> pulp::WithSimd for Work<'_, T> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) {
            simd.vectorize(
                #[inline(always)]
                || {
                    for (o, &z) in self.1.iter_mut().zip(self.0) {
                        *o = z.exp_flushed(T::EXP_CUTOFF);
                    }
                },
            );
        }
    }
    pulp::Arch::new().dispatch(Work(z, out));
}

/// A·v with A as a matrix, and without.
fn adaptation_product<T: Real>(vocab: usize, cases: &mut Vec<Case>) {
    let (pi, v, mut out) = (softmax_of::<T>(vocab), noise::<T>(vocab, 2.0), vec![T::ZERO; vocab]);
    if vocab <= LARGEST_DENSE {
        let (a, v, mut out) = (dense_a(&pi), v.clone(), out.clone());
        cases.push(case::<T>("adaptation", vocab, "dense", move || {
            product(black_box(&a), &v, &mut out);
            black_box(&mut out);
        }));
    }
    cases.push(case::<T>("adaptation", vocab, "core", move || {
        adaptation::apply_into(black_box(&pi), &v, &mut out).expect("equal lengths");
        black_box(&mut out);
    }));
}

/// The first-order change −η·A·K·G of one step, with A and K as matrices, and without.
fn decomposition(vocab: usize, cases: &mut Vec<Case>) {
    let (pi, step, label) = (softmax_of::<f64>(vocab), 0.1, vocab / 2);
    let (mut delta_z, mut out) = (vec![0.0; vocab], vec![0.0; vocab]);
    if vocab <= LARGEST_DENSE {
        let (a, mut kg, mut out) = (dense_a(&pi), delta_z.clone(), out.clone());
        let mut k = vec![0.0; vocab * vocab];
        k.iter_mut().step_by(vocab + 1).for_each(|k| *k = -step);
        cases.push(case::<f64>("decomposition", vocab, "dense", move || {
            let mut g = black_box(&pi).as_slice().to_vec();
            g[label] -= 1.0;
            product(&k, &g, &mut kg);
            product(&a, &kg, &mut out);
            black_box(&mut out);
        }));
    }
    cases.push(case::<f64>("decomposition", vocab, "core", move || {
        regression_step_into(black_box(&pi), label, step, &mut delta_z).expect("a label");
        predicted_into(&pi, &delta_z, &mut out).expect("equal lengths");
        black_box(&mut out);
    }));
}

/// Whether y falls most and y* rises most: by two softmaxes, and by the growth factors.
fn squeezing(vocab: usize, cases: &mut Vec<Case>) {
    let (step, label) = (0.5, vocab / 2);
    let (z, mut before, mut after) = (noise::<f64>(vocab, 20.0), vec![0.0; vocab], vec![0.0; vocab]);
    cases.push(case::<f64>("squeezing", vocab, "two softmaxes", move || {
        log_softmax_into(black_box(&z), &mut before).expect("finite logits");
        let mut moved: Vec<f64> = z.iter().zip(&before).map(|(z, log)| z + step * log.exp()).collect();
        moved[label] -= step;
        log_softmax_into(&moved, &mut after).expect("finite logits");
        let growth = |i: usize| after[i] - before[i];
        let least = (0..vocab).fold(0, |a, b| if growth(b) < growth(a) { b } else { a });
        let most = (0..vocab).fold(0, |a, b| if growth(b) > growth(a) { b } else { a });
        black_box((least, most));
    }));
    let pi = softmax_of::<f64>(vocab);
    cases.push(case::<f64>("squeezing", vocab, "core", move || {
        let step = NegativeStep::new(black_box(pi), label, step).expect("a step");
        black_box((step.label_falls_most(), step.runner_up_rises_most()));
    }));
}

/// K·G of a multilayer perceptron at two inputs: K written out from two Jacobians, J_o·(J_uᵀ·G) with the same
/// two, and without any: d = J_uᵀ·G by one pullback, J_o·d by a central difference of the logits along d.
fn kernel_product(vocab: usize, cases: &mut Vec<Case>) {
    let (inputs, width, label) = (16, 32, vocab / 2);
    let mut weights = noise::<f64>(inputs * width + width * vocab, 12.0_f64.sqrt()).into_iter();
    let draw = || weights.next().expect("a number for each weight");
    let model = Mlp::new(&[inputs, width, vocab], Activation::Tanh, draw).expect("layers");
    let (x_o, x_u) = (noise::<f64>(inputs, 2.0), noise::<f64>(2 * inputs, 2.0).split_off(inputs));
    let mut g = probs(&model, &x_u).expect("finite logits");
    g[label] -= 1.0;
    let parameters = model.parameters().len();
    if vocab * parameters <= LARGEST_JACOBIAN {
        let own = || (model.clone(), x_o.clone(), x_u.clone(), g.clone(), g.clone());
        let (model, x_o, x_u, g, mut out) = own();
        cases.push(case::<f64>("kernel", vocab, "dense", move || {
            let k = kernel(black_box(&model), &x_o, &x_u).expect("equal lengths");
            product(&k, &g, &mut out);
            black_box(&mut out);
        }));
        let (model, x_o, x_u, g, mut out) = own();
        let (mut j_o, mut j_u) = (vec![0.0; vocab * parameters], vec![0.0; vocab * parameters]);
        cases.push(case::<f64>("kernel", vocab, "jacobians", move || {
            model.jacobian_into(black_box(&x_o), &mut j_o).expect("equal lengths");
            model.jacobian_into(&x_u, &mut j_u).expect("equal lengths");
            out.fill(0.0);
            let k = Jacobians::new(&j_o, &j_u, parameters, vocab).expect("whole Jacobians");
            k.add_product(0, 0, 1.0, &g, &mut out);
            black_box(&mut out);
        }));
    }
    let (mut moved, mut direction, mut far, mut near) =
        (model.clone(), vec![0.0; parameters], g.clone(), g.clone());
    cases.push(case::<f64>("kernel", vocab, "core", move || {
        model.pullback_into(black_box(&x_u), &g, &mut direction).expect("equal lengths");
        let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
        let size = f64::EPSILON.cbrt() / length;
        for (out, size) in [(&mut far, size), (&mut near, -size)] {
            let moves = moved.parameters_mut().iter_mut().zip(model.parameters()).zip(&direction);
            moves.for_each(|((m, p), d)| *m = p + size * d);
            moved.logits_into(&x_o, out).expect("equal lengths");
        }
        far.iter_mut().zip(&near).for_each(|(f, n)| *f = (*f - n) / (2.0 * size));
        black_box(&mut far);
    }));
}

fn dense_a<T: Real>(pi: &Distribution<'_, T>) -> Vec<T> {
    let mut a = vec![T::ZERO; pi.vocab() * pi.vocab()];
    adaptation::dense_into(pi, &mut a).expect("room for V·V");
    a
}

/// out = matrix·v, row-major.
fn product<T: Real>(matrix: &[T], v: &[T], out: &mut [T]) {
    for (o, row) in out.iter_mut().zip(matrix.chunks_exact(v.len())) {
        *o = row.iter().zip(v).map(|(&a, &v)| a * v).sum();
    }
}

/// Under criterion: a group for each computation, type and V.
fn with_criterion(mut cases: Vec<Case>) {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    criterion = criterion.sample_size(20).configure_from_args();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    for Case { name, elements, mut run } in cases {
        let (group, form) = name.rsplit_once('/').expect("a name with a form");
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(elements as u64));
        group.bench_function(form, |bencher| bencher.iter(&mut run));
        group.finish();
    }
    criterion.final_summary();
}

/// The median time of one run, in nanoseconds, from 31 samples so short that other programs on
/// the machine disturb only some of them.
fn nanoseconds(run: &mut dyn FnMut()) -> f64 {
    let sample = Duration::from_micros(300);
    let (start, mut runs) = (Instant::now(), 0_u32);
    while start.elapsed() < sample {
        run();
        runs += 1;
    }
    let mut samples = [0.0; 31].map(|_: f64| {
        let start = Instant::now();
        (0..runs).for_each(|_| run());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(runs)
    });
    samples.sort_by(f64::total_cmp);
    samples[15]
}

fn answer_in_json(mut cases: Vec<Case>) -> std::io::Result<()> {
    for name in std::io::stdin().lock().lines() {
        let name = name?;
        let answer = match cases.iter_mut().find(|case| case.name == name) {
            Some(case) => serde_json::json!({ "case": name, "ns": nanoseconds(&mut *case.run) }),
            None => serde_json::json!({ "case": name, "error": "no such case" }),
        };
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    if std::env::args().any(|arg| arg == "--json") {
        return answer_in_json(cases());
    }
    with_criterion(cases());
    Ok(())
}
