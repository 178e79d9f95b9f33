//! Rounding: what `ldyn-core` states under *Accuracy*, against exact values, in `f32` and `f64`.
//!
//! Each test prints the worst error it met, in the unit that its statement uses: `cargo test
//! -p ldyn-proofs --test accuracy -- --nocapture`.

use ldyn_core::diagnostics::{a_norm, energy, gap_norm, residual_into, token_stats};
use ldyn_core::simplex::Distribution;
use ldyn_core::softmax::{log_sigmoid, log_softmax_into, log_sum_exp, log1mexp, sigmoid, softmax_into};
use ldyn_core::{Real, adaptation, decomposition};
use ldyn_proofs::precise::{Big, Row, Softmax, VOCABS, big, distance, noise, ulp};
use ldyn_proofs::tolerance::*;

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
    fn within(self, what: &str, allowed: Tolerance) {
        println!("{what:<28} {:8.3} of {:8.3}  {}", self.error, allowed.relative, self.place);
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
    let types = std::any::type_name::<T>();
    VOCABS.into_iter().flat_map(Row::all).map(move |row| {
        let place = format!("{types}, V = {}, {}", row.at.len(), row.kind);
        (row, place)
    })
}

/// The different results of each level: one function gives equal logits equal results, up to where
/// they stand.
fn extremes<T: Real>(row: &Row<T>, out: &[T]) -> Vec<[T; 2]> {
    let mut found = vec![[T::INFINITY, T::NEG_INFINITY]; row.levels.len()];
    for (&level, &o) in row.at.iter().zip(out) {
        let [low, high] = &mut found[level];
        // NaN must not get lost here.
        *low = if *low <= o { *low } else { o };
        *high = if *high >= o { *high } else { o };
    }
    found
}

fn both(test: impl Fn(bool)) {
    test(false);
    test(true);
}

fn exp_in<T: Real>() {
    let mut worst = Worst::default();
    let mut next = noise(1);
    for i in 0..1200 {
        let x = match i % 3 {
            0 => T::from_f64(-next()),
            1 => T::EXP_CUTOFF * T::from_f64(next()),
            _ => -T::from_f64(0.5_f64.powi(i / 3 % 60)),
        };
        let exact = big(x).exp();
        worst.see(distance(x.exp_flushed(T::EXP_CUTOFF), &exact), ulp::<T>(&exact), || format!("{x:?}"));
    }
    worst.within(std::any::type_name::<T>(), EXP);
}

#[test]
fn the_exponential_of_the_sweeps_is_within_2_ulp() {
    exp_in::<f32>();
    exp_in::<f64>();
    let _ = EXP.holds(0.0, 0.0);
}

fn softmax_in<T: Real>() {
    let (mut p_worst, mut l_worst, mut s_worst) = (Worst::default(), Worst::default(), Worst::default());
    for (row, place) in rows::<T>() {
        let z = row.logits();
        let exact = Softmax::of(&row);
        let (mut pi, mut log_pi) = (vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]);
        softmax_into(&z, &mut pi).unwrap();
        log_softmax_into(&z, &mut log_pi).unwrap();
        let (pi, log_pi) = (extremes(&row, &pi), extremes(&row, &log_pi));
        let total = exact.total();
        for term in &exact.terms {
            let (p, l) = (&term.e / &total, &term.x - &exact.log_total);
            let here = || format!("{place}, x = {}", size(&term.x));
            let flushed = -size(&term.x) <= T::EXP_CUTOFF.to_f64();
            for found in pi[term.level] {
                if flushed {
                    assert_eq!(found, T::ZERO, "{}", here());
                } else {
                    p_worst.see(distance(found, &p), eps::<T>() * (1.0 + 0.5 * size(&term.x)) * size(&p), here);
                }
            }
            for found in log_pi[term.level] {
                l_worst.see(distance(found, &l), eps::<T>() * (1.0 + size(&l)), here);
            }
        }
        for (level, &z) in row.levels.iter().enumerate() {
            if z == T::NEG_INFINITY && row.at.contains(&level) {
                assert_eq!((pi[level], log_pi[level]), ([T::ZERO; 2], [z; 2]), "{place}");
            }
        }
        let log_sum = &exact.max + &exact.log_total;
        let unit = eps::<T>() * (1.0 + size(&log_sum));
        s_worst.see(distance(log_sum_exp(&z), &log_sum), unit, || place.clone());
    }
    p_worst.within("softmax_into", SOFTMAX);
    l_worst.within("log_softmax_into", LOG_SOFTMAX);
    s_worst.within("log_sum_exp", LOG_SUM_EXP);
}

#[test]
fn softmax_is_exact() {
    softmax_in::<f32>();
    softmax_in::<f64>();
}
