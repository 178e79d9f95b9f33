//! Label smoothing, momentum, weight decay and RMSprop: what of the negative step survives them.

use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::{SignStep, SmoothedStep, Trajectory};
use ldyn_proofs::tolerance::{EXACT, GROWTH, LIMIT, QUOTED};
use ldyn_proofs::{oracle, strategies};
use proptest::prelude::*;

/// z + s(π − (1 − ε)e_y − ε/V): the whole smoothed target, with its uniform part.
fn smoothed(z: &[f64], label: usize, smoothing: f64, s: f64) -> Vec<f64> {
    let even = smoothing / z.len() as f64;
    let target = |i| even + if i == label { 1.0 - smoothing } else { 0.0 };
    z.iter().zip(oracle::softmax(z)).enumerate().map(|(i, (z, p))| z + s * (p - target(i))).collect()
}

proptest! {
    #[test]
    fn the_uniform_part_of_a_smoothed_target_changes_nothing(
        (z, label, s) in strategies::cases(), smoothing in 0.0..1.0_f64
    ) {
        let pi = oracle::softmax(&z);
        let step = SmoothedStep::new(Distribution::new(&pi).unwrap(), label, smoothing, s).unwrap();
        for (i, &exact) in oracle::log_growth(&z, &smoothed(&z, label, smoothing, s)).iter().enumerate() {
            prop_assert!(GROWTH.equal(step.log_growth(i).unwrap(), exact, oracle::scale(&z, s)), "label {i}");
        }
    }

    #[test]
    fn a_smoothed_label_falls_if_it_is_not_likelier_than_its_target_allows(
        (z, label, s) in strategies::cases(), smoothing in 0.0..1.0_f64
    ) {
        let pi = oracle::softmax(&z);
        let step = SmoothedStep::new(Distribution::new(&pi).unwrap(), label, smoothing, s).unwrap();
        let least = (0..pi.len()).filter(|&i| i != label).map(|i| pi[i]).fold(1.0, f64::min);
        let spare = 1.0 - smoothing + least - pi[label];
        if spare.abs() > GROWTH.relative {
            prop_assert_eq!(step.label_falls().is_some(), spare > 0.0);
        }
        if let Some(witness) = step.label_falls() {
            let exact = oracle::log_growth(&z, &smoothed(&z, label, smoothing, s))[label];
            prop_assert!(GROWTH.holds(-exact, oracle::scale(&z, s)));
            prop_assert!(GROWTH.holds(witness.margin, 1.0 + s));
        }
    }

    #[test]
    fn the_runner_up_of_a_smoothed_step_rises_if_it_is_likely_enough(
        (z, label, s) in strategies::cases(), smoothing in 0.0..1.0_f64
    ) {
        let pi = oracle::softmax(&z);
        let step = SmoothedStep::new(Distribution::new(&pi).unwrap(), label, smoothing, s).unwrap();
        let top = oracle::runner_up(&pi, label);
        let spare = pi[top] - (pi[label] - (1.0 - smoothing));
        if spare.abs() > GROWTH.relative {
            prop_assert_eq!(step.runner_up_rises().is_some(), spare > 0.0);
        }
        if let Some(witness) = step.runner_up_rises() {
            prop_assert_eq!(witness.label, top);
            let exact = oracle::log_growth(&z, &smoothed(&z, label, smoothing, s))[top];
            prop_assert!(GROWTH.holds(exact, oracle::scale(&z, s)));
            prop_assert!(GROWTH.holds(witness.margin, 1.0 + s));
        }
    }

    #[test]
    fn momentum_keeps_both_guarantees_and_the_order(
        (z, label, steps) in strategies::runs(), momentum in 0.0..0.99_f64
    ) {
        let (mut logits, mut pi, mut velocity) = (z.clone(), vec![0.0; z.len()], vec![0.0; z.len()]);
        let mut run = Trajectory::new(&mut logits, &mut pi).unwrap();
        let others: Vec<usize> = (0..z.len()).filter(|&i| i != label).collect();
        let top = run.pi().runner_up(label).unwrap();
        for &s in &steps {
            let before = run.logits().to_vec();
            run.step_with_momentum(label, -s, momentum, &mut velocity).unwrap();
            let after = run.logits().to_vec();
            let growth = oracle::log_growth(&before, &after);
            let slack = oracle::scale(&before, 0.0).max(oracle::scale(&after, 0.0));
            prop_assert!(GROWTH.holds(-growth[label], slack) && GROWTH.holds(growth[top.unwrap()], slack));
            prop_assert_eq!(run.pi().runner_up(label).unwrap(), top);
            for &i in &others {
                for &j in others.iter().filter(|&&j| z[i] >= z[j]) {
                    prop_assert!(EXACT.holds(after[i] - after[j], 1.0), "order of {i} and {j}");
                    prop_assert!(GROWTH.holds(growth[i] - growth[j], slack), "gap of {i} and {j}");
                }
            }
        }
    }

    #[test]
    fn weight_decay_keeps_the_order_of_the_others(
        (z, label, steps) in strategies::runs(), decay in 0.0..1.0_f64
    ) {
        let (mut logits, mut pi) = (z.clone(), vec![0.0; z.len()]);
        let mut run = Trajectory::new(&mut logits, &mut pi).unwrap();
        for &s in &steps {
            let exact: Vec<f64> = {
                let v = oracle::negative_step(run.logits(), label, s);
                v.iter().zip(run.logits()).map(|(v, z)| v - decay * z).collect()
            };
            let slack = oracle::scale(run.logits(), s);
            run.step_with_decay(label, -s, decay).unwrap();
            for (found, exact) in run.logits().iter().zip(&exact) {
                prop_assert!(GROWTH.equal(*found, *exact, slack));
            }
            for i in (0..z.len()).filter(|&i| i != label) {
                for j in (0..z.len()).filter(|&j| j != label && z[i] >= z[j]) {
                    prop_assert!(EXACT.holds(run.logits()[i] - run.logits()[j], 1.0), "{i} {j}");
                }
            }
        }
    }

    #[test]
    fn the_first_rmsprop_step_lifts_all_others_by_one_factor((z, label, c) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let step = SignStep::new(&Distribution::new(&pi).unwrap(), label, c).unwrap();
        let by_sign: Vec<f64> = z.iter().enumerate().map(|(i, z)| z + if i == label { -c } else { c }).collect();
        for (i, &exact) in oracle::log_growth(&z, &by_sign).iter().enumerate() {
            prop_assert!(GROWTH.equal(step.log_growth(i), exact, oracle::scale(&z, 2.0 * c)), "label {i}");
        }
        let other = (label + 1) % z.len();
        prop_assert!(EXACT.holds(step.log_growth(other), 1.0) && EXACT.holds(-step.log_growth(label), 1.0));
    }

    #[test]
    fn that_step_is_ten_times_the_learning_rate(
        feature in prop::collection::vec(-2.0..2.0_f64, 1..6), rate in 1e-4..1e-1_f64, (z, label, _) in strategies::moderate_cases()
    ) {
        // The optimiser on the read-out itself: w_{k,i} += lr·g/√((1 − α)g²), g = φ_k·v_i.
        let pi = oracle::softmax(&z);
        let l1 = oracle::sum(feature.iter().map(|f| f.abs()));
        let c = SignStep::rmsprop_increment(rate, l1, 0.99);
        prop_assert!(LIMIT.equal(c, 10.0 * rate * l1, c));
        for (i, p) in pi.iter().enumerate() {
            let v = if i == label { p - 1.0 } else { *p };
            let change = oracle::sum(feature.iter().filter(|f| **f != 0.0).map(|f| {
                let g = f * v;
                f * rate * g / (0.01 * g * g).sqrt()
            }));
            prop_assert!(LIMIT.equal(change, c * v.signum(), c), "label {i}");
        }
    }
}

#[test]
fn weight_decay_stops_the_collapse_at_its_fixed_point() {
    for (decay, quoted) in [(0.05, "0.99986"), (0.2, "0.2472")] {
        let (mut z, mut pi) = (vec![1.0, 0.75, 0.5, 0.25, 0.0], vec![0.0; 5]);
        let mut run = Trajectory::new(&mut z, &mut pi).unwrap();
        for _ in 0..5000 {
            run.step_with_decay(4, -0.5, decay).unwrap();
        }
        let v = |i: usize| pi[i] - if i == 4 { 1.0 } else { 0.0 };
        for i in 0..5 {
            for j in 0..5 {
                let law = 0.5 / decay * (v(i) - v(j));
                assert!(LIMIT.equal(z[i] - z[j], law, 20.0), "{decay}: {i} {j}");
            }
        }
        let unit = 10.0_f64.powi(2 - quoted.len() as i32);
        assert!(QUOTED.equal(pi[0], quoted.parse().unwrap(), unit), "{pi:?}");
    }
}
