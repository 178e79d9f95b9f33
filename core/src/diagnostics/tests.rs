//! The statistics against their definitions, and where digits are at stake.

use super::*;
extern crate std;
use crate::softmax::log1mexp;
use crate::testing::{exact_sum, noise};
use std::vec;
use std::vec::Vec;

/// Every field by its definition, in f64 and term after term.
fn plain(logits: &[f64], label: usize) -> TokenStats<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let argmax = logits.iter().position(|&z| z == max).unwrap();
    let total = exact_sum(logits.iter().map(|z| (z - max).exp()));
    let log_pi: Vec<f64> = logits.iter().map(|z| z - max - total.ln()).collect();
    let others = || log_pi.iter().enumerate().filter(|&(v, _)| v != argmax).map(|(_, l)| l);
    TokenStats {
        logp: log_pi[label],
        argmax,
        argmax_logp: log_pi[argmax],
        rest_logp: exact_sum(others().map(|l| l.exp())).ln(),
        sum_sq: exact_sum(log_pi.iter().map(|l| (2.0 * l).exp())),
        rest_sq: exact_sum(others().map(|l| (2.0 * l).exp())),
        entropy: -exact_sum(log_pi.iter().filter(|l| l.is_finite()).map(|l| l.exp() * l)),
        log_z: max + total.ln(),
    }
}

fn close(found: TokenStats<f64>, exact: TokenStats<f64>, tolerance: f64, scale: f64) {
    assert_eq!(found.argmax, exact.argmax);
    for (name, a, b, size) in [
        ("logp", found.logp, exact.logp, scale),
        ("argmax_logp", found.argmax_logp, exact.argmax_logp, 1.0),
        ("rest_logp", found.rest_logp, exact.rest_logp, 1.0),
        ("sum_sq", found.sum_sq, exact.sum_sq, 0.0),
        ("rest_sq", found.rest_sq, exact.rest_sq, scale * exact.rest_sq),
        ("entropy", found.entropy, exact.entropy, 1.0),
        ("log_z", found.log_z, exact.log_z, 1.0),
    ] {
        // Squares below f32's normal numbers keep fewer digits.
        let floor = if tolerance > 1e-10 { f64::from(f32::MIN_POSITIVE) * 1e-6 } else { 0.0 };
        let allowed = tolerance * (size + b.abs()) + floor;
        assert!((a - b).abs() <= allowed, "{name}: {a}, exact {b}");
    }
}

#[test]
fn token_stats_agree_with_their_definitions() {
    for n in [1, 2, 7, 8, 9, 600, 50_304] {
        for scale in [0.0, 1e-6, 4.0, 60.0] {
            let mut logits = noise(n, scale);
            for label in [0, n / 2, n - 1] {
                let narrow: Vec<f32> = logits.iter().map(|&z| z as f32).collect();
                let exact = plain(&logits, label);
                if n > 1 {
                    close(token_stats(&logits, label).unwrap(), exact, 1e-13, 1.0 + scale);
                    close(token_stats(&narrow, label).unwrap().to_f64(), exact, 1e-6, 1.0 + scale);
                }
                logits[n / 3] = 12.0; // a sharper row for the next label
            }
        }
    }
}

#[test]
fn one_label_leaves_no_rest() {
    let stats = token_stats(&[3.0_f32], 0).unwrap();
    assert_eq!((stats.logp, stats.argmax, stats.argmax_logp, stats.log_z), (0.0, 0, 0.0, 3.0));
    assert_eq!((stats.rest_logp, stats.sum_sq, stats.entropy), (f32::NEG_INFINITY, 1.0, 0.0));
    assert_eq!(gap_norm(&stats), 0.0);
}

#[test]
fn the_rest_is_finite_as_long_as_another_logit_is() {
    // The others' exponentials underflow in every type; their log does not.
    for gap in [20.0, 60.0, 90.0, 800.0, 1e4, 1e30] {
        let stats = token_stats(&[-gap, 0.0, -gap, f64::NEG_INFINITY], 1).unwrap();
        let exact = 2.0_f64.ln() - gap - (2.0 * (-gap).exp()).ln_1p();
        assert!((stats.rest_logp - exact).abs() <= 1e-15 * gap, "gap {gap}: {}", stats.rest_logp);
        let stats = token_stats(&[-gap as f32, 0.0, -gap as f32, f32::NEG_INFINITY], 1).unwrap();
        assert!((f64::from(stats.rest_logp) - exact).abs() <= 1e-7 * gap, "gap {gap}: {}", stats.rest_logp);
        assert!(stats.entropy >= 0.0 && stats.energy_is_a_number());
    }
    // Some of the others flushed by the first sweep, and one of them not.
    for gap in [43.0_f32, 43.6, 43.7, 44.0] {
        let mut logits = vec![-44.0_f32; 1000];
        logits.extend([0.0, -gap]);
        let exact = (1000.0 * (-44.0_f64).exp() + (-f64::from(gap)).exp()).ln();
        let found = token_stats(&logits, 0).unwrap().rest_logp;
        assert!((f64::from(found) - exact).abs() < 1e-5, "gap {gap}: {found}, exact {exact}");
    }
    let alone = token_stats(&[f64::NEG_INFINITY, 0.0], 0).unwrap();
    assert_eq!((alone.logp, alone.rest_logp, alone.entropy), (f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0));
}

impl TokenStats<f32> {
    fn energy_is_a_number(&self) -> bool {
        let energy = energy(self.logp);
        (0.0..=1.0).contains(&energy)
    }
}

#[test]
fn logits_further_apart_than_numbers_reach_leave_nothing_to_the_others() {
    let stats = token_stats(&[f64::MAX, f64::MIN], 0).unwrap();
    assert_eq!((stats.logp, stats.entropy, stats.rest_logp), (0.0, 0.0, f64::NEG_INFINITY));
    assert_eq!((stats.sum_sq, gap_norm(&stats)), (1.0, 0.0));
}

#[test]
fn the_rest_agrees_with_log1mexp_where_that_is_accurate() {
    let stats = token_stats(&noise(500, 10.0), 3).unwrap();
    assert!((stats.rest_logp - log1mexp(stats.argmax_logp)).abs() < 1e-13);
}

#[test]
fn ties_go_to_the_first() {
    assert_eq!(token_stats(&[1.0_f64, 2.0, 2.0], 0).unwrap().argmax, 1);
    let flat = token_stats(&vec![0.5_f32; 2000], 9).unwrap();
    assert_eq!(flat.argmax, 0);
    assert!((flat.entropy - 2000.0_f32.ln()).abs() < 1e-5);
}

#[test]
fn a_bad_logit_is_named_wherever_it_stands() {
    for bad in [f32::NAN, f32::INFINITY] {
        for index in 0..20 {
            let mut logits = [0.25_f32; 20];
            logits[index] = bad;
            assert_eq!(token_stats(&logits, 5), Err(Error::Logit { index }));
        }
    }
    assert_eq!(token_stats(&[f32::NEG_INFINITY; 3], 0), Err(Error::NoMass));
    assert_eq!(token_stats::<f64>(&[], 0), Err(Error::Label { found: 0, vocab: 0 }));
}

#[test]
fn residuals_agree_with_their_definition_and_sum_to_zero() {
    let logits = noise(1001, 20.0);
    let stats = token_stats(&logits, 77).unwrap();
    let mut g = vec![0.0; 1001];
    residual_into(&logits, 77, stats.log_z, -0.5, &mut g).unwrap();
    let mut in_place = logits.clone();
    residual_in_place(&mut in_place, 77, stats.log_z, -0.5).unwrap();
    assert_eq!(in_place, g);
    for (v, (g, z)) in g.iter().zip(&logits).enumerate() {
        let pi = (z - stats.log_z).exp();
        let exact = -0.5 * (pi - if v == 77 { 1.0 } else { 0.0 });
        assert!((g - exact).abs() <= 1e-14 * exact.abs(), "{v}: {g}, exact {exact}");
    }
    assert!(g.iter().sum::<f64>().abs() < 1e-15);
    let norm: f64 = g.iter().map(|g| 4.0 * g * g).sum::<f64>().sqrt();
    assert!((norm - gap_norm(&stats)).abs() < 1e-14);
}

#[test]
fn norms_of_a_nearly_certain_prediction_keep_their_digits() {
    // 1 − π(y) = 2e^{−30} ≈ 1.9e-13: sum_sq rounds to 1, and in f32 the energy would be 0.
    let stats = token_stats(&[30.0_f32, 0.0, 0.0], 0).unwrap();
    let rest = 2.0 * (-30.0_f64).exp();
    assert!((f64::from(energy(stats.logp)) / rest - 1.0).abs() < 1e-6);
    let exact = (rest * rest + 0.5 * rest * rest).sqrt();
    assert!((f64::from(gap_norm(&stats)) / exact - 1.0).abs() < 1e-6);
}

#[test]
fn gap_norm_is_right_for_likely_and_unlikely_labels() {
    let logits = noise(40, 14.0);
    for label in 0..40 {
        let stats = token_stats(&logits, label).unwrap();
        let exact: f64 = logits
            .iter()
            .enumerate()
            .map(|(v, z)| ((z - stats.log_z).exp() - if v == label { 1.0 } else { 0.0 }).powi(2))
            .sum::<f64>()
            .sqrt();
        assert!((gap_norm(&stats) - exact).abs() < 1e-14);
    }
}

#[test]
fn responses_sum_and_average_their_tokens() {
    let rows = [[0.0, 1.0, 2.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]];
    let tokens = rows.map(|row: [f64; 3]| token_stats(&row, 0).unwrap());
    let r = ResponseStats::from_tokens(&tokens, 3).unwrap();
    let mean = |f: fn(&TokenStats<f64>) -> f64| tokens.iter().map(f).sum::<f64>() / 3.0;
    assert_eq!(r.n_tokens, 3);
    assert!((r.logp - 3.0 * r.logp_mean).abs() < 1e-15);
    assert!((r.argmax_logp / 3.0 - mean(|t| t.argmax_logp)).abs() < 1e-15);
    assert!((r.rest_logp / 3.0 - mean(|t| t.rest_logp)).abs() < 1e-15);
    assert!((r.a_norm - mean(|t| (3.0 * t.sum_sq + 1.0).sqrt())).abs() < 1e-15);
    let norm = mean(|t| t.sum_sq.sqrt());
    assert!((r.a_norm_reference - (3.0 * norm * norm + 1.0).sqrt()).abs() < 1e-15);
    assert!(r.a_norm_reference < r.a_norm);
    assert!((r.energy - mean(|t| 1.0 - t.logp.exp())).abs() < 1e-15);
    assert!((r.entropy - mean(|t| t.entropy)).abs() < 1e-15);
    assert_eq!(ResponseStats::from_tokens(&[], 3), Err(Error::Empty { name: "tokens" }));
}

#[cfg(feature = "serde")]
#[test]
fn token_stats_are_read_back_as_they_were_written() {
    let stats = token_stats(&noise(20, 6.0), 3).unwrap();
    let text = serde_json::to_string(&stats).unwrap();
    assert!(text.starts_with("{\"logp\":-"), "{text}");
    assert_eq!(serde_json::from_str::<TokenStats<f64>>(&text).unwrap(), stats);
    assert!(serde_json::from_str::<TokenStats<f64>>(&text.replace("entropy", "entropie")).is_err());
}

#[cfg(feature = "serde")]
#[test]
fn records_are_read_back_as_they_were_written() {
    use crate::loss::{ExampleOutcome, Outcome, PairLogps};
    use crate::squeezing::{Ledger, Witness};

    fn check<R: serde::Serialize + serde::de::DeserializeOwned + PartialEq + core::fmt::Debug>(record: R) {
        let value = serde_json::to_value(&record).unwrap();
        assert_eq!(serde_json::from_value::<R>(value.clone()).unwrap(), record);
        // Every field is there by its name, and none may be missing.
        for (name, _) in value.as_object().unwrap() {
            let mut rest = value.clone();
            rest.as_object_mut().unwrap().remove(name);
            assert!(serde_json::from_value::<R>(rest).is_err(), "{name}");
        }
    }

    let stats = token_stats(&noise(20, 6.0), 3).unwrap();
    check(stats);
    check(ResponseStats::from_tokens(&[stats, stats], 20).unwrap());
    check(Loop { start: 1, period: 2, len: 4 });
    check(PairLogps {
        chosen: -12.5,
        rejected: -9.25,
        ref_chosen: -12.0,
        ref_rejected: -10.0,
        chosen_len: 7,
        rejected_len: 4,
    });
    check(Outcome { loss: 0.75, chosen_weight: 0.5, rejected_weight: 0.25 });
    check(ExampleOutcome { loss: 0.75, weight: 0.5 });
    check(Witness { label: 3, margin: 0.125 });
    check(Ledger { label: -0.5, runner_up: 0.375, risen: 0.25, fallen: -0.125 });
}
