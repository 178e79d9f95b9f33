//! Small negative steps: drift, entropy, and the books of a step.

use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::{NegativeStep, drift_into, entropy_rate, replicator_drift_into};
use ldyn_proofs::tolerance::{EXACT, GROWTH, RATE};
use ldyn_proofs::{oracle, strategies};
use proptest::prelude::*;

fn drift(pi: &[f64], label: usize) -> Vec<f64> {
    let mut out = vec![0.0; pi.len()];
    drift_into(&Distribution::new(pi).unwrap(), label, &mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn a_small_step_moves_along_the_drift((z, label, _) in strategies::moderate_cases()) {
        let pi = oracle::softmax(&z);
        let s = 1e-4;
        let mut after = vec![0.0; pi.len()];
        NegativeStep::new(Distribution::new(&pi).unwrap(), label, s).unwrap().after_into(&mut after).unwrap();
        let drift = drift(&pi, label);
        prop_assert!(GROWTH.equal(oracle::sum(drift.iter().copied()), 0.0, 1.0));
        for i in 0..pi.len() {
            prop_assert!(RATE.equal((after[i] - pi[i]) / s, drift[i], s + 1e-12 / s), "label {i}");
        }
    }

    #[test]
    fn the_drift_of_an_unlikely_label_is_the_replicators((z, label, _) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let drift = drift(&pi, label);
        let mut replicator = vec![0.0; pi.len()];
        replicator_drift_into(&Distribution::new(&pi).unwrap(), &mut replicator).unwrap();
        let sum_sq = oracle::sum_sq(&pi);
        for i in 0..pi.len() {
            prop_assert!(GROWTH.equal(replicator[i], pi[i] * (pi[i] - sum_sq), 1.0));
            prop_assert!(GROWTH.holds(pi[label] - (drift[i] - replicator[i]).abs(), 1.0), "label {i}");
        }
        // The force does not vanish: ‖π − e_y‖² = 1 + ‖π‖² − 2π_y.
        let hit = |i| if i == label { 1.0 } else { 0.0 };
        let force = oracle::sum(pi.iter().enumerate().map(|(i, p)| (p - hit(i)) * (p - hit(i))));
        prop_assert!(GROWTH.equal(force, 1.0 + sum_sq - 2.0 * pi[label], 4.0));
    }

    #[test]
    fn the_entropy_changes_at_its_rate((z, label, _) in strategies::moderate_cases()) {
        let pi = oracle::softmax(&z);
        let distribution = Distribution::new(&pi).unwrap();
        let rate = entropy_rate(&distribution, label).unwrap();
        let s = 1e-4;
        let step = NegativeStep::new(distribution, label, s).unwrap();
        let size = 1.0 + z.iter().fold(0.0_f64, |a, z| a.max(z.abs()));
        prop_assert!(RATE.equal(step.entropy_change() / s, rate, size * (s + 1e-12 / s)));
    }

    #[test]
    fn the_entropy_change_is_that_of_the_moved_logits((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let step = NegativeStep::new(Distribution::new(&pi).unwrap(), label, s).unwrap();
        let exact = oracle::entropy(&oracle::negative_step(&z, label, s)) - oracle::entropy(&z);
        prop_assert!(GROWTH.equal(step.entropy_change(), exact, 4.0 * oracle::scale(&z, s)));
    }

    #[test]
    fn unlearning_a_surprising_label_sharpens_at_first((z, label, _) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let surprise = -oracle::log_softmax(&z)[label];
        let rate = entropy_rate(&Distribution::new(&pi).unwrap(), label).unwrap();
        if surprise >= oracle::entropy(&z) {
            prop_assert!(GROWTH.holds(-rate, 1.0), "{rate}");
        }
        // The exact form, whatever the label: −Cov(log π, π) + π_y(log π_y + H).
        let log_pi = oracle::log_softmax(&z);
        let mean = |f: &dyn Fn(usize) -> f64| {
            oracle::sum((0..pi.len()).filter(|&i| pi[i] > 0.0).map(|i| pi[i] * f(i)))
        };
        let covariance = mean(&|i| log_pi[i] * pi[i]) - mean(&|i| log_pi[i]) * mean(&|i| pi[i]);
        let own = if pi[label] > 0.0 { pi[label] * (log_pi[label] + oracle::entropy(&z)) } else { 0.0 };
        prop_assert!(GROWTH.equal(rate, own - covariance, 4.0));
    }

    #[test]
    fn unlearning_a_surprising_label_sharpens_at_every_step_size((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let step = NegativeStep::new(Distribution::new(&pi).unwrap(), label, s).unwrap();
        let spare = -oracle::log_softmax(&z)[label] - oracle::entropy(&z);
        let slack = GROWTH.relative * oracle::scale(&z, s);
        let witness = step.entropy_falls();
        if spare.abs() > slack {
            prop_assert_eq!(witness.is_some(), spare > 0.0);
        }
        // A label that is no likelier than the average one is surprising: H ≤ log V.
        prop_assert!(pi[label] * pi.len() as f64 > 1.0 - GROWTH.relative || spare >= -slack);
        if let Some(witness) = witness {
            let exact = oracle::entropy(&z) - oracle::entropy(&oracle::negative_step(&z, label, s));
            prop_assert!(GROWTH.equal(witness.margin, exact, 4.0 * oracle::scale(&z, s)));
            prop_assert!(GROWTH.holds(witness.margin, 1.0 + s) && witness.label == label);
        }
    }

    #[test]
    fn the_books_of_a_step_balance((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let step = NegativeStep::new(Distribution::new(&pi).unwrap(), label, s).unwrap();
        let books = step.ledger();
        let total = books.label + books.runner_up + books.risen + books.fallen;
        prop_assert!(GROWTH.equal(total, 0.0, 1.0 + s), "{books:?}");
        let growth = oracle::log_growth(&z, &oracle::negative_step(&z, label, s));
        prop_assert!(GROWTH.equal(books.label, pi[label] * growth[label].exp_m1(), oracle::scale(&z, s)));
        prop_assert!(EXACT.holds(-books.label, 1.0) && EXACT.holds(books.runner_up, 1.0));
        prop_assert!(books.risen >= 0.0 && books.fallen <= 0.0);
    }
}
