//! Learning one image of a 4 also teaches the model to say "4" to a 9: the paper's first example (§2, Fig. 1).
//!
//! A perceptron learns digits that the example draws itself (a folder with MNIST's four unpacked IDX files
//! as argument takes those). On the way, a step on one 4 is predicted for other images by −η·A·K·G,
//! with K = J·Jᵀ formed exactly, and then taken. A 9 is pulled most: K is large where images look alike, and A
//! leaves little to gain where the model says "4" already. What one step hints at shows after many:
//! the mean probabilities of 4 and 9 lean towards each other.
//!
//! ```text
//! after a step on one 4, mean over 10 images: Δ log π(4)
//! class    ‖K‖  predicted  actual  error
//! 0       82.0   +0.0456   +0.0456 0.0004
//! 1       44.0   +0.0419   +0.0423 0.0007
//! 2       60.2   +0.0531   +0.0543 0.0018
//! 3       85.0   +0.0668   +0.0675 0.0017
//! 4      163.3   +0.0560   +0.0520 0.0083
//! 5       89.5   +0.0818   +0.0830 0.0032
//! 6       60.1   +0.0353   +0.0350 0.0020
//! 7       64.7   +0.0520   +0.0524 0.0007
//! 8      115.9   +0.1243   +0.1259 0.0035
//! 9      152.2   +0.1899   +0.1890 0.0052
//!
//! mean π(column | images of row), percent
//! 0   91   0   2   1   1   2   2   0   1   0
//! 1    0  81   1   3   0   3   1   5   2   3
//! 2    1   1  87   3   0   0   1   5   2   0
//! 3    1   4   2  83   0   2   1   4   3   1
//! 4    0   0   0   0  89   1   1   0   0   8
//! 5    1   1   0   1   1  92   2   0   1   0
//! 6    1   0   0   0   1   3  90   0   4   0
//! 7    1   2   3   4   1   0   0  86   0   1
//! 8    1   2   1   3   2   3   6   0  80   2
//! 9    0   1   0   1  10   0   0   2   2  84
//! ```
//!
//! The matrix is drawn to `class_similarity.svg`.

mod shared {
    pub mod digits;
    pub mod heat_map;
    pub mod idx;
    #[cfg(test)]
    pub mod quoted;
    pub mod random;
}

use ldyn_core::toy::{self, Activation, Mlp};
use shared::idx::{self, Images};
use shared::{digits, heat_map, random};
use std::fmt::Write;
use std::path::Path;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
type Matrix = [[f64; 10]; 10];

const TITLE: &str = "mean π(column | images of row)";
const TRAIN: usize = 2000;
const TEST: usize = 1000;
const RATE: f64 = 0.01;
/// The class that is learnt in the experiment with one step.
const LEARNT: usize = 4;

fn main() -> Outcome<()> {
    let (train, test) = match std::env::args().nth(1) {
        Some(folder) => {
            let read = |name, limit| idx::read(Path::new(&folder), name, limit);
            (read("train", TRAIN)?, read("t10k", TEST)?)
        }
        None => (digits::draw(TRAIN, 1), digits::draw(TEST, 2)),
    };
    let (report, matrix) = run(&train, &test)?;
    print!("{report}");
    std::fs::write("class_similarity.svg", heat_map::draw(TITLE, &matrix)?)?;
    Ok(())
}

fn run(train: &Images, test: &Images) -> Outcome<(String, Matrix)> {
    let mut random = random::seeded(3);
    let sizes = [train.size.0 * train.size.1, 24, 10];
    let mut model = Mlp::new(&sizes, Activation::Tanh, || random::normal(&mut random))?;
    let epoch = |model: &mut Mlp<f64>| -> Outcome<()> {
        for (x, &digit) in train.pixels.iter().zip(&train.digits) {
            toy::step(model, x, digit, RATE)?;
        }
        Ok(())
    };
    epoch(&mut model)?;
    let mut report = one_step(&model, test)?;
    epoch(&mut model)?;
    let matrix = mean_probabilities(&model, test)?;
    let _ = writeln!(report, "\n{TITLE}, percent");
    for (digit, row) in matrix.iter().enumerate() {
        let _ = write!(report, "{digit} ");
        row.iter().for_each(|p| {
            let _ = write!(report, " {:>3.0}", 100.0 * p);
        });
        report.push('\n');
    }
    Ok((report, matrix))
}

/// One step on a 4, seen from ten other images of each class.
fn one_step(model: &Mlp<f64>, test: &Images) -> Outcome<String> {
    let of = |digit: usize| {
        (0..test.digits.len()).filter(move |&i| test.digits[i] == digit).map(|i| &test.pixels[i])
    };
    let learnt = of(LEARNT).next().ok_or("no image of a 4")?;
    let mut stepped = model.clone();
    toy::step(&mut stepped, learnt, LEARNT, RATE)?;
    let mut out = format!(
        "after a step on one {LEARNT}, mean over 10 images: Δ log π({LEARNT})\nclass    ‖K‖  predicted  actual  error\n"
    );
    for digit in 0..10 {
        let (mut norm, mut predicted, mut actual, mut error, mut n) = (0.0, 0.0, 0.0, 0.0_f64, 0.0);
        for x in of(digit).skip(1).take(10) {
            let kernel = toy::kernel(model, x, learnt)?;
            let expected = toy::predict(model, x, learnt, LEARNT, RATE)?[LEARNT];
            let found = toy::log_probs(&stepped, x)?[LEARNT] - toy::log_probs(model, x)?[LEARNT];
            norm += kernel.iter().map(|k| k * k).sum::<f64>().sqrt();
            (predicted, actual, n) = (predicted + expected, actual + found, n + 1.0);
            error = error.max((found - expected).abs());
        }
        let _ = writeln!(
            out,
            "{digit:<5} {:>6.1} {:>+9.4} {:>+9.4} {error:.4}",
            norm / n,
            predicted / n,
            actual / n
        );
    }
    Ok(out)
}

fn mean_probabilities(model: &Mlp<f64>, test: &Images) -> Outcome<Matrix> {
    let (mut sums, mut counts) = ([[0.0; 10]; 10], [0.0_f64; 10]);
    for (x, &digit) in test.pixels.iter().zip(&test.digits) {
        counts[digit] += 1.0;
        for (sum, p) in sums[digit].iter_mut().zip(toy::probs(model, x)?) {
            *sum += p;
        }
    }
    for (row, count) in sums.iter_mut().zip(counts) {
        row.iter_mut().for_each(|sum| *sum /= count.max(1.0));
    }
    Ok(sums)
}

#[test]
fn prints_what_the_header_says_and_draws_it() {
    let (report, matrix) = run(&digits::draw(TRAIN, 1), &digits::draw(TEST, 2)).unwrap();
    assert_eq!(report, shared::quoted::quoted(include_str!("class_similarity.rs")));
    let svg = heat_map::draw(TITLE, &matrix).unwrap();
    assert!(svg.matches("<rect").count() > 100 && !svg.contains("NaN"));
}
