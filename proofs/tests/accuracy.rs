//! Rounding: what `ldyn-core` states under *Accuracy*, against exact values, in `f32` and `f64`.
//!
//! Each test prints the worst error it met, in the unit that its statement uses: `cargo test
//! -p ldyn-proofs --test accuracy -- --nocapture`.

use ldyn_core::diagnostics::{a_norm, energy, gap_norm, residual_into, token_stats};
use ldyn_core::loss::{Dpo, Exo, Ipo, Kto, MarginLoss, Orpo, PairLogps, PreferenceLoss};
use ldyn_core::ntk::{Dense, Features, Jacobians, Kernel, Shape};
use ldyn_core::simplex::Distribution;
use ldyn_core::softmax::{log_sigmoid, log_softmax_into, log_sum_exp, log1mexp, sigmoid, softmax_into};
use ldyn_core::squeezing::{NegativeStep, PositiveStep};
use ldyn_core::{Real, adaptation, decomposition};
use ldyn_proofs::precise::{Big, Row, Softmax, VOCABS, big, distance, exp, noise, ulp};
use ldyn_proofs::tolerance::*;
use std::any::type_name;

/// The largest error met, in a stated unit, and where.
#[derive(Default)]
struct Worst {
    error: f64,
    place: String,
}

impl Worst {
    /// Takes note of an error of `error` in units of `unit`, both absolute.
    fn see(&mut self, error: f64, unit: f64, place: impl FnOnce() -> String) {
        let units = if error == 0.0 { 0.0 } else { error / unit };
        if units > self.error || units.is_nan() {
            *self = Worst { error: units, place: place() };
        }
    }

    /// Asserts that no error exceeds what `allowed` says.
    fn within<T>(self, what: &str, allowed: Tolerance) {
        let what = format!("{what} {}", type_name::<T>());
        println!("{what:<28} {:6.3} of {:6.3}  {}", self.error, allowed.relative, self.place);
        assert!(allowed.holds(-self.error, 1.0), "{what}: {} at {}", self.error, self.place);
    }
}

fn eps<T: Real>() -> f64 {
    T::EPSILON.to_f64()
}

fn size(x: &Big) -> f64 {
    x.to_f64().value().abs()
}

fn rows<T: Real>() -> impl Iterator<Item = (Row<T>, String)> {
    VOCABS.into_iter().flat_map(Row::all).map(|row| {
        let place = format!("V = {}, {}", row.at.len(), row.kind);
        (row, place)
    })
}

macro_rules! in_both_types {
    ($test:ident, $allowed:ident) => {
        $test::<f32>($allowed);
        $test::<f64>($allowed);
    };
}

/// The result for each level; equal logits must have equal results, wherever they stand.
fn by_level<T: Real>(row: &Row<T>, out: &[T], place: &str) -> Vec<T> {
    let mut found = vec![None; row.levels.len()];
    for (&level, &o) in row.at.iter().zip(out) {
        let first = *found[level].get_or_insert(o);
        assert!(first == o, "{place}: {first} and {o} for equal logits");
    }
    found.into_iter().map(|o| o.unwrap_or(T::NAN)).collect()
}

/// softmax(z) rounded to `T`: what the statements about a given π start from.
fn probabilities<T: Real>(row: &Row<T>, place: &str) -> (Vec<T>, Vec<T>) {
    let mut pi = vec![T::ZERO; row.at.len()];
    softmax_into(&row.logits(), &mut pi).unwrap();
    let levels = by_level(row, &pi, place);
    (pi, levels)
}

/// Σ f(level) over the labels of a row.
fn sum<T: Real>(row: &Row<T>, f: impl Fn(usize) -> Big) -> Big {
    let counts = row.counts().into_iter().enumerate().filter(|&(_, n)| n > 0);
    counts.fold(big(0.0), |sum, (level, n)| sum + f(level) * big(n as f64))
}

fn exp_in<T: Real>(allowed: Tolerance) {
    let mut worst = Worst::default();
    let mut next = noise(1);
    for i in 0..1500 {
        let x = match i % 3 {
            0 => T::from_f64(-next()),
            1 => T::EXP_CUTOFF * T::from_f64(next()),
            _ => -T::from_f64(0.5_f64.powi(i / 3 % 60)),
        };
        let exact = exp(&big(x));
        worst.see(distance(x.exp_flushed(T::EXP_CUTOFF), &exact), ulp::<T>(&exact), || format!("{x}"));
    }
    worst.within::<T>("exp_flushed", allowed);
}

#[test]
fn the_exponential_of_the_sweeps_is_within_2_ulp() {
    in_both_types!(exp_in, EXP);
}

fn softmax_in<T: Real>(allowed: Tolerance) {
    let (mut p_worst, mut l_worst) = (Worst::default(), Worst::default());
    for (row, place) in rows::<T>() {
        let exact = Softmax::of(&row);
        let (_, pi) = probabilities(&row, &place);
        let mut log_pi = vec![T::ZERO; row.at.len()];
        log_softmax_into(&row.logits(), &mut log_pi).unwrap();
        let log_pi = by_level(&row, &log_pi, &place);
        for term in &exact.terms {
            let (p, l) = (&term.e / exact.total(), &term.x - &exact.log_total);
            let here = || format!("{place}, {} below the maximum", size(&term.x));
            if -size(&term.x) <= T::EXP_CUTOFF.to_f64() {
                assert_eq!(pi[term.level], T::ZERO, "{}", here());
            } else {
                let unit = eps::<T>() * (1.0 + size(&term.x)) * size(&p);
                p_worst.see(distance(pi[term.level], &p), unit, here);
            }
            l_worst.see(distance(log_pi[term.level], &l), eps::<T>() * (1.0 + size(&l)), here);
        }
        let missing =
            (0..row.levels.len()).filter(|&i| row.levels[i] == T::NEG_INFINITY && row.at.contains(&i));
        for level in missing {
            assert_eq!((pi[level], log_pi[level]), (T::ZERO, T::NEG_INFINITY), "{place}");
        }
    }
    p_worst.within::<T>("softmax_into", allowed);
    l_worst.within::<T>("log_softmax_into", LOG_SOFTMAX);
}

#[test]
fn softmax_and_its_log_are_within_their_bounds() {
    in_both_types!(softmax_in, SOFTMAX);
}

fn log_sum_exp_in<T: Real>(allowed: Tolerance) {
    let mut worst = Worst::default();
    for (row, place) in rows::<T>() {
        let exact = Softmax::of(&row);
        let log_sum = &exact.max + &exact.log_total;
        let unit = eps::<T>() * (1.0 + size(&exact.max) + size(&log_sum));
        worst.see(distance(log_sum_exp(&row.logits()), &log_sum), unit, || place);
    }
    worst.within::<T>("log_sum_exp", allowed);
}

#[test]
fn log_sum_exp_is_within_its_bound() {
    in_both_types!(log_sum_exp_in, LOG_SUM_EXP);
}

/// Numbers of both signs and all sizes, to where results become subnormal.
fn arguments<T: Real>() -> Vec<T> {
    let mut next = noise(2);
    let largest = -1.03 * T::EXP_CUTOFF.to_f64();
    let random = (0..150).map(|_| largest * (2.0 * next() - 1.0)).collect::<Vec<_>>();
    let near = (0..150).map(|_| 4.0 * next() - 2.0).collect::<Vec<_>>();
    let small = (1..60).flat_map(|i| [0.5_f64.powi(2 * i), -0.6_f64.powi(2 * i)]);
    let ends = [0.0, 1e4, -1e4, largest, -std::f64::consts::LN_2, 1e-310, -1e-310, -1e-40, 1e-40];
    random.into_iter().chain(near).chain(small).chain(ends).map(T::from_f64).collect()
}

fn sigmoids_in<T: Real>(allowed: Tolerance) {
    let (mut s_worst, mut l_worst, mut m_worst) = (Worst::default(), Worst::default(), Worst::default());
    for x in arguments::<T>() {
        let here = || format!("{x}");
        let e = exp(&-big(x.abs()));
        let sigmoid_exact = if x < T::ZERO { &e / (&e + big(1.0)) } else { big(1.0) / (&e + big(1.0)) };
        s_worst.see(distance(sigmoid(x), &sigmoid_exact), ulp::<T>(&sigmoid_exact), here);
        let log = if x < T::ZERO { big(x) } else { big(0.0) } - e.ln_1p();
        l_worst.see(distance(log_sigmoid(x), &log), ulp::<T>(&log), here);
        let x = -x.abs();
        if x < T::ZERO {
            let e = exp(&big(x));
            let rest = if e < big(0.5) { (-e).ln_1p() } else { (-big(x).exp_m1()).ln() };
            m_worst.see(distance(log1mexp(x), &rest), ulp::<T>(&rest), || format!("{x}"));
        }
    }
    s_worst.within::<T>("sigmoid", allowed);
    l_worst.within::<T>("log_sigmoid", allowed);
    m_worst.within::<T>("log1mexp", allowed);
}

#[test]
fn sigmoid_its_log_and_log1mexp_are_within_their_bounds() {
    in_both_types!(sigmoids_in, SCALAR);
}

/// Numbers for the levels of a row: of both signs; far from 0 and close together.
fn changes<T: Real>(levels: usize) -> [Vec<T>; 2] {
    let mut next = noise(levels + 3);
    [(0.0, 20.0), (1e4, 1.0)]
        .map(|(middle, width)| (0..levels).map(|_| T::from_f64(middle + width * (next() - 0.5))).collect())
}

fn adaptation_in<T: Real>(allowed: Tolerance) {
    let (mut a_worst, mut t_worst) = (Worst::default(), Worst::default());
    for (row, place) in rows::<T>() {
        let (pi, p) = probabilities(&row, &place);
        let pi = Distribution::new(&pi).unwrap();
        let mut out = vec![T::ZERO; row.at.len()];
        for v in changes::<T>(row.levels.len()) {
            let at_labels: Vec<T> = row.at.iter().map(|&level| v[level]).collect();
            let largest = v.iter().fold(0.0, |a, v| v.abs().to_f64().max(a));

            adaptation::apply_into(&pi, &at_labels, &mut out).unwrap();
            let mean = sum(&row, |i| big(p[i]) * big(v[i]));
            for (level, found) in present(by_level(&row, &out, &place)) {
                let exact = big(v[level]) - &mean;
                a_worst.see(distance(found, &exact), eps::<T>() * largest, || place.clone());
            }

            adaptation::apply_transpose_into(&pi, &at_labels, &mut out).unwrap();
            let total = sum(&row, |i| big(v[i]));
            let absolute = size(&sum(&row, |i| big(v[i].abs())));
            for (level, found) in present(by_level(&row, &out, &place)) {
                let exact = big(v[level]) - &total * big(p[level]);
                let unit = eps::<T>() * (v[level].abs().to_f64() + absolute * p[level].to_f64());
                t_worst.see(distance(found, &exact), unit, || place.clone());
            }
        }
    }
    a_worst.within::<T>("adaptation::apply_into", allowed);
    t_worst.within::<T>("apply_transpose_into", allowed);
}

fn present<T: Real>(by_level: Vec<T>) -> impl Iterator<Item = (usize, T)> {
    by_level.into_iter().enumerate().filter(|(_, found)| !found.is_nan())
}

#[test]
fn products_with_the_adaptation_matrix_are_within_their_bounds() {
    in_both_types!(adaptation_in, ADAPTATION);
}

fn distribution_in<T: Real>(allowed: Tolerance) {
    let (mut h_worst, mut s_worst, mut n_worst) = (Worst::default(), Worst::default(), Worst::default());
    for (row, place) in rows::<T>() {
        let (pi, p) = probabilities(&row, &place);
        let pi = Distribution::new(&pi).unwrap();
        let log = |p: T| if p > T::ZERO { big(p).ln() } else { big(0.0) };
        let entropy = -sum(&row, |i| big(p[i]) * log(p[i]));
        h_worst.see(distance(pi.entropy(), &entropy), eps::<T>() * size(&entropy), || place.clone());
        let squares = sum(&row, |i| big(p[i]) * big(p[i]));
        s_worst.see(distance(pi.sum_sq(), &squares), eps::<T>() * size(&squares), || place.clone());
        if row.at.len() > 1 {
            let norm = (squares * big(row.at.len() as f64)).sqrt();
            let found = adaptation::operator_norm(&pi);
            n_worst.see(distance(found, &norm), eps::<T>() * size(&norm), || place.clone());
        }
    }
    h_worst.within::<T>("Distribution::entropy", allowed);
    s_worst.within::<T>("Distribution::sum_sq", allowed);
    n_worst.within::<T>("operator_norm", allowed);
}

#[test]
fn entropy_and_squared_norm_are_within_their_bounds() {
    in_both_types!(distribution_in, DISTRIBUTION);
}

fn token_stats_in<T: Real>(allowed: Tolerance) {
    let names = [
        "logp",
        "argmax_logp",
        "rest_logp",
        "sum_sq",
        "rest_sq",
        "entropy",
        "log_z",
        "energy",
        "gap_norm",
        "a_norm",
    ];
    let mut worst = names.map(|_| Worst::default());
    let smallest_normal = T::from_f64(ulp::<T>(&big(0.0)) / eps::<T>());
    for (row, place) in rows::<T>() {
        let z = row.logits();
        let exact = Softmax::of(&row);
        let one = big(1.0);
        let total = exact.total();
        let rest_sq = exact.over_rest(|t| &t.e * &t.e) / (&total * &total);
        let sum_sq = &one / (&total * &total) + &rest_sq;
        let entropy = &exact.log_total - exact.over_rest(|t| &t.x * &t.e) / &total;
        let log_z = &exact.max + &exact.log_total;
        let nearest =
            exact.terms.iter().filter(|t| t.others > 0).map(|t| size(&t.x)).fold(f64::INFINITY, f64::min);
        let nearest = if nearest.is_finite() { nearest } else { 0.0 };
        for at in [0, z.len() / 3, z.len() - 1] {
            let stats = token_stats(&z, at).unwrap();
            let Some(label) = exact.terms.iter().find(|t| t.level == row.at[at]) else {
                assert_eq!(stats.logp, T::NEG_INFINITY, "{place}");
                continue;
            };
            let logp = &label.x - &exact.log_total;
            let vocab = big(z.len() as f64);
            let mut see = |name: &str, found: T, exact: &Big, floor: f64| {
                let i = names.iter().position(|n| *n == name).unwrap();
                // A relative error, but for numbers too small for the type.
                let unit = eps::<T>() * (1.0 + nearest) * (size(exact) + floor) + ulp::<T>(&big(0.0));
                worst[i].see(distance(found, exact), unit, || format!("{place}, label {at}"));
            };
            see("logp", stats.logp, &logp, 0.0);
            see("argmax_logp", stats.argmax_logp, &-&exact.log_total, 0.0);
            if exact.rest == big(0.0) {
                assert_eq!(stats.rest_logp, T::NEG_INFINITY, "{place}");
            } else {
                see("rest_logp", stats.rest_logp, &(exact.rest.ln() - &exact.log_total), 1.0);
            }
            see("sum_sq", stats.sum_sq, &sum_sq, 0.0);
            see("rest_sq", stats.rest_sq, &rest_sq, 0.0);
            see("entropy", stats.entropy, &entropy, 0.0);
            see("log_z", stats.log_z, &log_z, 1.0 + size(&exact.max));
            let missing = -logp.exp_m1();
            see("energy", energy(stats.logp), &missing, 0.0);
            let p = exp(&logp);
            let others = if label.x == big(0.0) { rest_sq.clone() } else { &sum_sq - &p * &p };
            let gap = (&missing * &missing + others).sqrt();
            // Squares below the smallest normal number leave the larger part, at least 1/√2.
            let squares_lost = stats.rest_sq < smallest_normal && label.x == big(0.0);
            see("gap_norm", gap_norm(&stats), &gap, if squares_lost { size(&gap) / eps::<T>() } else { 0.0 });
            let a_sq = &vocab * &sum_sq + &vocab - big(2.0);
            let a = if z.len() == 1 { big(0.0) } else { a_sq.sqrt() };
            see("a_norm", a_norm(stats.sum_sq, z.len()), &a, 0.0);
        }
    }
    for (name, worst) in names.into_iter().zip(worst) {
        worst.within::<T>(name, allowed);
    }
}

#[test]
fn token_statistics_are_within_their_bounds() {
    in_both_types!(token_stats_in, TOKEN);
}

fn residual_in<T: Real>(allowed: Tolerance) {
    let mut worst = Worst::default();
    let weight = 0.375;
    for (row, place) in rows::<T>() {
        let exact = Softmax::of(&row);
        let z = row.logits();
        let log_z = log_sum_exp(&z);
        let label = z.len() - 1;
        let mut g = vec![T::ZERO; z.len()];
        residual_into(&z, label, log_z, T::from_f64(weight), &mut g).unwrap();
        for term in &exact.terms {
            let p = &term.e / exact.total();
            let exponents = size(&big(row.levels[term.level])) + log_z.abs().to_f64();
            let flushed = T::EXP_CUTOFF.to_f64().exp();
            let unit = weight * (eps::<T>() * (1.0 + exponents) * size(&p) + flushed);
            if let Some(i) = row.at[..label].iter().position(|&level| level == term.level) {
                worst.see(distance(g[i], &(&p * big(weight))), unit, || place.clone());
            }
            if row.at[label] == term.level {
                let exact = (p - big(1.0)) * big(weight);
                let unit = unit + eps::<T>() * weight;
                worst.see(distance(g[label], &exact), unit, || format!("{place}, at the label"));
            }
        }
    }
    worst.within::<T>("residual_into", allowed);
}

#[test]
fn the_residual_is_within_its_bound() {
    in_both_types!(residual_in, RESIDUAL);
}

fn remainder_in<T: Real>(allowed: Tolerance) {
    let mut worst = Worst::default();
    for (row, place) in rows::<T>() {
        let (pi, p) = probabilities(&row, &place);
        let pi = Distribution::new(&pi).unwrap();
        let mass = sum(&row, |i| big(p[i]));
        let mut next = noise(row.levels.len() + 5);
        for width in [1e-9, 0.9, 2000.0] {
            let v: Vec<T> = (0..row.levels.len()).map(|_| T::from_f64(width * (next() - 0.5))).collect();
            let at_labels: Vec<T> = row.at.iter().map(|&level| v[level]).collect();
            let mean = sum(&row, |i| big(p[i]) * big(v[i])) / &mass;
            let change = |i: usize| big(v[i]) - &mean;
            let exact = -(sum(&row, |i| big(p[i]) * (change(i).exp_m1() - change(i))) / &mass).ln_1p();
            let widest = (0..v.len()).map(|i| size(&change(i))).fold(0.0, f64::max);
            let f64_scale = if widest <= 1.0 { size(&exact) } else { 1.0 + width };
            let of_mean = (eps::<f64>() * width).powi(2);
            let unit = eps::<f64>() * f64_scale + eps::<T>() * size(&exact) + of_mean + ulp::<T>(&big(0.0));
            let found = decomposition::remainder(&pi, &at_labels).unwrap();
            worst.see(distance(found, &exact), unit, || format!("{place}, width {width}: {found}"));
        }
    }
    worst.within::<T>("remainder", allowed);
}

#[test]
fn the_remainder_is_within_its_bound() {
    in_both_types!(remainder_in, KL);
}

fn growth_in<T: Real>(allowed: Tolerance) {
    let (mut ends, mut others) = (Worst::default(), Worst::default());
    for (row, place) in rows::<T>().filter(|(row, _)| row.at.len() > 1) {
        let (pi, p) = probabilities(&row, &place);
        let pi = Distribution::new(&pi).unwrap();
        let label = row.at.len() / 2;
        let own = row.at[label];
        let mass = sum(&row, |i| big(p[i]));
        for (s, learns) in
            [1e-6, 0.7, 60.0].into_iter().flat_map(|s| [(T::from_f64(s), false), (T::from_f64(s), true)])
        {
            let (unlearn, learn) =
                (NegativeStep::new(pi, label, s).unwrap(), PositiveStep::new(pi, label, s).unwrap());
            let runner_up = row.at[unlearn.runner_up()];
            // Moves relative to the largest of them: Σ π (e^x − 1) has terms of one sign.
            let below = |at: T, hit: f64| {
                let away = big(at) - big(hit);
                let lag = if learns { big(p[own]) - big(1.0) - away } else { away - big(p[runner_up]) };
                big(s) * lag
            };
            let mean = |f: fn(&Big) -> Big| {
                let term = |p: T, hit: f64| big(p) * f(&below(p, hit));
                (sum(&row, |i| term(p[i], 0.0)) - term(p[own], 0.0) + term(p[own], 1.0)) / &mass
            };
            let change = mean(|x| x.exp_m1().with_precision(160).value());
            let log_top = if change > big(-0.5) { -change.ln_1p() } else { -mean(exp).ln() };
            let here = || format!("{place}, s = {s}, learns: {learns}");
            // Moves are rounded before they are subtracted; and no unit is below the smallest number.
            let floor = ulp::<T>(&big(0.0)) + eps::<f64>() * s.to_f64() * p[runner_up].to_f64();
            let mut see = |i: usize, x: &Big, is_end: bool| {
                let exact = x + &log_top;
                let found = if learns { learn.log_growth(i) } else { unlearn.log_growth(i) }.unwrap();
                let (worst, of) =
                    if is_end { (&mut ends, size(&exact)) } else { (&mut others, size(x) + size(&log_top)) };
                worst.see(distance(found, &exact), eps::<T>() * of + floor, here);
            };
            see(label, &below(p[own], 1.0), true);
            for (level, &at) in p.iter().enumerate() {
                if let Some(i) = (0..row.at.len()).find(|&i| i != label && row.at[i] == level) {
                    see(i, &below(at, 0.0), level == runner_up);
                }
            }
        }
    }
    ends.within::<T>("log_growth of y and y*", allowed);
    others.within::<T>("log_growth of the others", allowed);
}

#[test]
fn growth_is_within_its_bound() {
    in_both_types!(growth_in, GROWN);
}

/// Inner products and products with a kernel of d parameters: V = 3, and as many positions.
fn kernel_in<T: Real>(allowed: Tolerance) {
    let names = ["factor", "dense_into", "frobenius", "add_product", "Dense::add_product"];
    let mut worst = names.map(|_| Worst::default());
    for d in [1, 7, 300] {
        let mut next = noise(d);
        let mut numbers = |n: usize| (0..n).map(|_| T::from_f64(4.0 * next() - 2.0)).collect::<Vec<T>>();
        let (observed, updated, residual) = (numbers(3 * d), numbers(3 * d), numbers(3));
        let place = || format!("d = {d}");
        let row = |rows: &'_ [T], i: usize| rows[i * d..(i + 1) * d].to_vec();
        let products = |i: usize, j: usize| -> Vec<Big> {
            row(&observed, i).iter().zip(row(&updated, j)).map(|(a, b)| big(*a) * big(b)).collect()
        };
        let total = |terms: Vec<Big>| terms.into_iter().fold(big(0.0), |sum, term| sum + term);
        let absolute = |i, j| products(i, j).iter().map(size).sum::<f64>();
        let of_dot =
            |i, j| eps::<T>() * size(&total(products(i, j))) + d as f64 * eps::<f64>() * absolute(i, j);

        let features = Features::new(&observed, &updated, d, 3).unwrap();
        let jacobians = Jacobians::new(&observed, &updated, d, 3).unwrap();
        let mut dense = [T::ZERO; 9];
        jacobians.dense_into(0, 0, &mut dense).unwrap();
        let mut squares = big(0.0);
        for (i, j) in (0..9).map(|k| (k / 3, k % 3)) {
            let exact = total(products(i, j));
            worst[0].see(distance(features.factor(i, j), &exact), of_dot(i, j), place);
            worst[1].see(distance(dense[3 * i + j], &exact), of_dot(i, j), place);
            squares += &exact * &exact;
        }
        let largest = (0..9).map(|k| of_dot(k / 3, k % 3)).fold(0.0, f64::max);
        let norm = squares.sqrt();
        worst[2].see(
            distance(jacobians.frobenius(0, 0), &norm),
            eps::<T>() * size(&norm) + 3.0 * largest,
            place,
        );

        let shape = Shape { observed: 1, updated: 1, vocab: 3 };
        let mut out = [[T::ZERO; 3]; 2];
        jacobians.add_product(0, 0, T::ONE, &residual, &mut out[0]);
        Dense::new(&dense, shape).unwrap().add_product(0, 0, T::ONE, &residual, &mut out[1]);
        for i in 0..3 {
            let exact = (0..3).fold(big(0.0), |sum, j| sum + total(products(i, j)) * big(residual[j]));
            let sizes: f64 = (0..3).map(|j| absolute(i, j) * residual[j].abs().to_f64()).sum();
            worst[3].see(distance(out[0][i], &exact), (d + 3) as f64 * eps::<T>() * sizes, place);
            let exact = (0..3).fold(big(0.0), |sum, j| sum + big(dense[3 * i + j]) * big(residual[j]));
            let sizes: f64 = (0..3).map(|j| (dense[3 * i + j] * residual[j]).abs().to_f64()).sum();
            worst[4].see(
                distance(out[1][i], &exact),
                eps::<T>() * size(&exact) + 3.0 * eps::<f64>() * sizes,
                place,
            );
        }
    }
    for (name, worst) in names.into_iter().zip(worst) {
        worst.within::<T>(name, allowed);
    }
}

#[test]
fn kernels_are_within_their_bounds() {
    in_both_types!(kernel_in, KERNEL);
}

/// σ(x) and −log σ(x).
fn logistic(x: &Big) -> (Big, Big) {
    let e = exp(&if *x < big(0.0) { x.clone() } else { -x });
    let sigmoid = if *x < big(0.0) { &e / (&e + big(1.0)) } else { big(1.0) / (&e + big(1.0)) };
    let loss = if *x < big(0.0) { -x + e.ln_1p() } else { e.ln_1p() };
    (sigmoid, loss)
}

/// One loss of each form: logistic, square, divergence, sigmoid, odds.
fn losses_in<T: Real>(allowed: Tolerance) {
    let forms = ["dpo", "dpo, smoothed", "ipo", "exo", "kto", "orpo"];
    let mut worst = forms.map(|_| [Worst::default(), Worst::default()]);
    let (beta, flips) = (T::from_f64(0.3), T::from_f64(0.125));
    let (b, e, one) = (big(beta), big(flips), big(1.0));
    let dpo = [T::ZERO, flips].map(|flips| Dpo::new(beta, flips).unwrap());
    let (ipo, exo) = (Ipo::new(beta).unwrap(), Exo::new(beta, flips).unwrap());
    let (kto, orpo) = (Kto::new(beta, T::ONE, T::ONE).unwrap(), Orpo::new(beta).unwrap());
    let mut next = noise(7);
    let margins = (0..400).map(|i| T::from_f64([1.0, 30.0, 200.0, 1e-3][i % 4] * (2.0 * next() - 1.0)));
    for h in margins {
        let x = &b * big(h);
        let relative = eps::<T>() * (1.0 + size(&x));
        let ((up, loss_up), (down, loss_down)) = (logistic(&x), logistic(&-&x));
        let mut see = |form: usize, found: [T; 2], exact: [&Big; 2], unit: [f64; 2]| {
            for k in 0..2 {
                worst[form][k].see(distance(found[k], exact[k]), unit[k], || format!("h = {h}"));
            }
        };
        let floor = ulp::<T>(&big(0.0));
        let of = |exact: &Big| relative * size(exact) + floor;

        let weight = &b * &down;
        see(0, [dpo[0].loss_at(h), dpo[0].pull_at(h)], [&loss_up, &weight], [of(&loss_up), of(&weight)]);
        let loss = (&one - &e) * &loss_up + &e * &loss_down;
        let weight = &b * (&one - &e - &up);
        see(1, [dpo[1].loss_at(h), dpo[1].pull_at(h)], [&loss, &weight], [of(&loss), relative * size(&b)]);

        let target = big(0.5) / &b;
        let (loss, weight) = ((big(h) - &target) * (big(h) - &target), &one / &b - big(2.0) * big(h));
        let sizes = size(&target) + h.abs().to_f64();
        let unit = [eps::<T>() * sizes * sizes, eps::<T>() * sizes];
        see(2, [ipo.loss_at(h), ipo.pull_at(h)], [&loss, &weight], unit);

        let labels = ((&one - &e).ln(), e.ln());
        let (keep, flip) = (&up * (-&loss_up - &labels.0), &down * (-&loss_down - &labels.1));
        let weight = &b * &up * &down * (&labels.0 - &labels.1 - &x);
        let pull = &b * &up * &down * big(2.0 + size(&x));
        see(
            3,
            [exo.loss_at(h), exo.pull_at(h)],
            [&(keep.clone() + &flip), &weight],
            [relative * (size(&keep) + size(&flip) + 1.0), of(&pull)],
        );

        let good = kto.desirable(h, T::ZERO);
        let weight = &b * &up * &down;
        see(4, [good.loss, good.weight], [&down, &weight], [of(&down), of(&weight)]);

        let mean = |x: T| if x < T::ZERO { x } else { -x };
        let pair = PairLogps {
            chosen: mean(h),
            rejected: T::from_f64(-0.75),
            ref_chosen: T::ZERO,
            ref_rejected: T::ZERO,
            chosen_len: 1,
            rejected_len: 1,
        };
        if -pair.chosen > T::EPSILON {
            let (c, r) = (big(pair.chosen), big(pair.rejected));
            let q = |x: &Big| -x.exp_m1();
            let odds = (&c - &r) - (q(&c).ln() - q(&r).ln());
            let (u, loss_odds) = (logistic(&-&odds).0 / q(&c), logistic(&odds).1);
            let loss = -&c + &b * &loss_odds;
            let weight = &one + &b * &u;
            see(
                5,
                [orpo.loss(&pair), orpo.weights(&pair).0],
                [&loss, &weight],
                [eps::<T>() * (1.0 + size(&c)), eps::<T>() * (1.0 + size(&c)) * size(&weight)],
            );
        }
    }
    for (form, [loss, weight]) in forms.into_iter().zip(worst) {
        loss.within::<T>(&format!("loss of {form}"), allowed);
        weight.within::<T>(&format!("weight of {form}"), allowed);
    }
}

#[test]
fn losses_and_weights_are_within_their_bounds() {
    in_both_types!(losses_in, LOSS);
}
