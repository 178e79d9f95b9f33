//! One positive step, exact for every s: what learning a label does to the others.

use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::{PositiveStep, small_step_threshold};
use ldyn_proofs::tolerance::{EXACT, GROWTH};
use ldyn_proofs::{oracle, strategies};
use proptest::prelude::*;

/// log α of every label from two log-softmaxes.
fn growth(z: &[f64], label: usize, s: f64) -> Vec<f64> {
    oracle::log_growth(z, &oracle::positive_step(z, label, s))
}

fn step(pi: &[f64], label: usize, s: f64) -> PositiveStep<'_, f64> {
    PositiveStep::new(Distribution::new(pi).unwrap(), label, s).unwrap()
}

fn others(pi: &[f64], label: usize) -> impl Iterator<Item = usize> + '_ {
    (0..pi.len()).filter(move |&i| i != label)
}

proptest! {
    #[test]
    fn learning_grows_as_the_moved_logits((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let mut after = vec![0.0; pi.len()];
        step(&pi, label, s).after_into(&mut after).unwrap();
        for (i, &exact) in growth(&z, label, s).iter().enumerate() {
            let found = step(&pi, label, s).log_growth(i).unwrap();
            prop_assert!(GROWTH.equal(found, exact, oracle::scale(&z, s)), "label {i}: {found} {exact}");
            prop_assert!(GROWTH.equal(after[i], pi[i] * exact.exp(), oracle::scale(&z, s)));
        }
    }

    #[test]
    fn the_learned_label_rises_most((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let growth = growth(&z, label, s);
        let highest = growth.iter().copied().fold(f64::MIN, f64::max);
        prop_assert!(GROWTH.holds(growth[label], oracle::scale(&z, s)));
        prop_assert!(GROWTH.holds(growth[label] - highest, oracle::scale(&z, s)));
        prop_assert!(EXACT.holds(step(&pi, label, s).label_rises_most().margin, 1.0));
    }

    #[test]
    fn the_strongest_competitor_falls_most((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let growth = growth(&z, label, s);
        let competitor = oracle::runner_up(&pi, label);
        let lowest = growth.iter().copied().fold(f64::MAX, f64::min);
        prop_assert_eq!(step(&pi, label, s).competitor(), competitor);
        prop_assert!(GROWTH.holds(-growth[competitor], oracle::scale(&z, s)));
        prop_assert!(GROWTH.holds(lowest - growth[competitor], oracle::scale(&z, s)));
        prop_assert!(EXACT.holds(step(&pi, label, s).competitor_falls_most().margin, 1.0));
    }

    #[test]
    fn both_move_strictly((z, label, s) in strategies::moderate_cases()) {
        let pi = oracle::softmax(&z);
        let step = step(&pi, label, s);
        prop_assert!(step.log_growth(label).unwrap() > 0.0);
        prop_assert!(step.log_growth(step.competitor()).unwrap() < 0.0);
    }

    #[test]
    fn gaps_among_the_others_shrink_in_odds((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let growth = growth(&z, label, s);
        let step = step(&pi, label, s);
        for i in others(&pi, label) {
            for j in others(&pi, label) {
                let law = -s * (pi[i] - pi[j]);
                prop_assert!(GROWTH.equal(law, growth[i] - growth[j], oracle::scale(&z, s)));
                let change = step.log_odds_change(i, j).unwrap();
                prop_assert!(GROWTH.equal(change, law, s));
                let gains = if pi[i] > pi[j] { -change } else { change };
                prop_assert!(gains >= 0.0);
            }
            let law = s * (1.0 + pi[i] - pi[label]);
            prop_assert!(GROWTH.equal(law, growth[label] - growth[i], oracle::scale(&z, s)) && law >= 0.0);
            prop_assert!(GROWTH.equal(step.log_odds_change(label, i).unwrap(), law, s));
        }
    }

    #[test]
    fn a_label_rises_along_exactly_below_the_threshold((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let growth = growth(&z, label, s);
        let threshold = step(&pi, label, s).threshold();
        let slack = GROWTH.relative * oracle::scale(&z, s);
        for i in others(&pi, label) {
            let below = threshold - pi[i];
            if below.abs() * s > slack {
                prop_assert!((growth[i] > 0.0) == (below > 0.0) || growth[i].abs() <= slack, "label {i}");
            }
        }
        let (low, high) = (pi[label] - 1.0, pi[oracle::runner_up(&pi, label)]);
        let scale = 1.0 + 1.0 / s;
        prop_assert!(GROWTH.holds(threshold - low, scale) && GROWTH.holds(high - threshold, scale));
    }

    #[test]
    fn the_threshold_of_learning_does_not_rise_with_the_step(
        (z, label, s) in strategies::cases(), factor in 1.0..100.0_f64
    ) {
        let pi = oracle::softmax(&z);
        let [small, large] = [s, factor * s].map(|s| step(&pi, label, s).threshold());
        prop_assert!(GROWTH.holds(small - large, 1.0 + 1.0 / s));
        let start = small_step_threshold(&Distribution::new(&pi).unwrap(), label).unwrap();
        prop_assert!(GROWTH.holds(start - small, 1.0 + 1.0 / s));
    }

    #[test]
    fn all_others_fall_once_the_learned_label_is_likely((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let witness = step(&pi, label, s).all_others_fall();
        let spare = pi[label] - oracle::sum_sq(&pi);
        if spare.abs() > GROWTH.relative {
            prop_assert_eq!(witness.is_some(), spare > 0.0);
        }
        if oracle::argmax(&pi) == label && spare > GROWTH.relative {
            prop_assert!(witness.is_some());
        }
        if let Some(witness) = witness {
            prop_assert!(GROWTH.holds(witness.margin, 1.0 + s));
            for (i, growth) in growth(&z, label, s).iter().enumerate() {
                prop_assert!(i == label || GROWTH.holds(-growth, oracle::scale(&z, s)), "label {i}");
            }
        }
    }
    #[test]
    fn a_label_below_the_start_rises_along_at_small_steps((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let start = small_step_threshold(&Distribution::new(&pi).unwrap(), label).unwrap();
        let range = 1.0 - pi[label] + pi[oracle::runner_up(&pi, label)];
        let small = 8.0 / (range * range);
        let lead = others(&pi, label).map(|i| start - pi[i]).filter(|lead| *lead > 1e-6).fold(f64::MAX, f64::min);
        for s in [s, (0.5 * lead * small).min(s)] {
            let rises: Vec<usize> = others(&pi, label).filter(|&i| s < (start - pi[i]) * small).collect();
            let growth = growth(&z, label, s);
            prop_assert!(rises.iter().all(|&i| GROWTH.holds(growth[i], oracle::scale(&z, s))));
            let witness = step(&pi, label, s).small_labels_rise();
            prop_assert_eq!(witness.is_some(), !rises.is_empty());
            if let Some(witness) = witness {
                prop_assert!(rises.contains(&witness.label) && GROWTH.holds(witness.margin, 1.0 + s));
            }
        }
        if lead < f64::MAX {
            prop_assert!(step(&pi, label, (0.5 * lead * small).min(s)).small_labels_rise().is_some());
        }
    }
}
