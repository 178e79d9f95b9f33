//! y⁺ and y⁻ at once, in one context and in two.

use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::{PairStep, TwoContexts};
use ldyn_proofs::tolerance::{EXACT, GROWTH, QUOTED};
use ldyn_proofs::{oracle, strategies};
use proptest::prelude::*;
use proptest::sample::Index;

/// Logits, two labels that differ, a step size.
fn pairs() -> impl Strategy<Value = (Vec<f64>, (usize, usize), f64)> {
    (strategies::cases(), any::<Index>()).prop_map(|((z, chosen, s), at)| {
        let rejected = (chosen + 1 + at.index(z.len() - 1)) % z.len();
        (z, (chosen, rejected), s)
    })
}

fn weights() -> impl Strategy<Value = (f64, f64)> {
    prop_oneof![Just((1.0, 1.0)), Just((1.0, 0.0)), Just((0.0, 1.0)), (0.0..2.0, 0.0..2.0)]
}

fn step<'a>(pi: &'a [f64], pair: (usize, usize), weights: (f64, f64), s: f64) -> PairStep<'a, f64> {
    PairStep::new(Distribution::new(pi).unwrap(), pair, weights, s).unwrap()
}

/// Δz in χ⁺ and in χ⁻.
fn both(pi: [&[f64]; 2], pair: (usize, usize), s: f64, overlap: f64) -> [Vec<f64>; 2] {
    let [plus, minus] = pi.map(|pi| Distribution::new(pi).unwrap());
    let contexts = TwoContexts::new((plus, pair.0), (minus, pair.1), s, overlap).unwrap();
    let (mut in_plus, mut in_minus) = (vec![0.0; pi[0].len()], vec![0.0; pi[0].len()]);
    contexts.chosen_context_into(&mut in_plus).unwrap();
    contexts.rejected_context_into(&mut in_minus).unwrap();
    [in_plus, in_minus]
}

proptest! {
    #[test]
    fn a_pair_grows_as_the_moved_logits((z, pair, s) in pairs(), weights in weights()) {
        let pi = oracle::softmax(&z);
        let exact = oracle::log_growth(&z, &oracle::pair_step(&z, pair, weights, s));
        for (i, &exact) in exact.iter().enumerate() {
            let found = step(&pi, pair, weights, s).log_growth(i).unwrap();
            prop_assert!(GROWTH.equal(found, exact, oracle::scale(&z, 3.0 * s)), "label {i}: {found} {exact}");
        }
    }

    #[test]
    fn equal_weights_leave_one_factor_for_all_others((z, pair, s) in pairs()) {
        let pi = oracle::softmax(&z);
        let step = step(&pi, pair, (1.0, 1.0), s);
        let common = step.common_growth().unwrap();
        let exact = oracle::log_growth(&z, &oracle::pair_step(&z, pair, (1.0, 1.0), s));
        for i in (0..z.len()).filter(|&i| i != pair.0 && i != pair.1) {
            prop_assert!(GROWTH.equal(common, exact[i], oracle::scale(&z, s)));
            prop_assert!(GROWTH.equal(common, step.log_growth(i).unwrap(), 1.0 + s));
        }
        // Z′ written out; e^{s} stays finite for the steps of the strategies.
        let z_prime = 1.0 + pi[pair.0] * s.exp_m1() + pi[pair.1] * (-s).exp_m1();
        prop_assert!(z_prime < 0.5 || GROWTH.equal(common, -z_prime.ln(), 1.0 + s));
    }

    #[test]
    fn others_fall_exactly_if_the_chosen_label_outgrows_the_rejected_one((z, pair, s) in pairs()) {
        let pi = oracle::softmax(&z);
        let step = step(&pi, pair, (1.0, 1.0), s);
        let falls = step.others_fall().unwrap();
        let lead = pi[pair.0].ln() + s - pi[pair.1].ln();
        let common = step.common_growth().unwrap();
        if lead.abs() > GROWTH.relative * oracle::scale(&z, s) {
            prop_assert_eq!(falls, lead > 0.0);
        }
        let as_said = if falls { -common } else { common };
        prop_assert!(GROWTH.holds(as_said, 1.0 + s));
    }

    #[test]
    fn the_label_that_is_pulled_harder_moves_most((z, pair, s) in pairs(), weights in weights()) {
        let pi = oracle::softmax(&z);
        let step = step(&pi, pair, weights, s);
        prop_assert!(EXACT.holds(step.pulled_labels_move_most().margin, 1.0));
        let growth = oracle::log_growth(&z, &oracle::pair_step(&z, pair, weights, s));
        let scale = oracle::scale(&z, 3.0 * s);
        for (i, &other) in growth.iter().enumerate() {
            if weights.0 >= weights.1 {
                prop_assert!(GROWTH.holds(growth[pair.0], scale) && GROWTH.holds(growth[pair.0] - other, scale), "{i}");
            }
            if weights.1 >= weights.0 {
                prop_assert!(GROWTH.holds(-growth[pair.1], scale) && GROWTH.holds(other - growth[pair.1], scale), "{i}");
            }
        }
    }

    #[test]
    fn the_heavier_side_decides_who_gets_richer((z, pair, s) in pairs(), weights in weights()) {
        let pi = oracle::softmax(&z);
        let step = step(&pi, pair, weights, s);
        let growth = oracle::log_growth(&z, &oracle::pair_step(&z, pair, weights, s));
        let others: Vec<usize> = (0..z.len()).filter(|&i| i != pair.0 && i != pair.1).collect();
        for &i in &others {
            for &j in &others {
                let law = -s * (weights.0 - weights.1) * (pi[i] - pi[j]);
                prop_assert!(GROWTH.equal(step.log_odds_change(i, j).unwrap(), law, 4.0 * s));
                prop_assert!(GROWTH.equal(growth[i] - growth[j], law, oracle::scale(&z, 3.0 * s)));
            }
        }
    }

    #[test]
    fn contexts_without_overlap_see_one_sign_each((z, pair, s) in pairs(), shift in -3.0..3.0_f64) {
        let other: Vec<f64> = z.iter().rev().map(|z| z * 0.5 + shift).collect();
        let pi = [oracle::softmax(&z), oracle::softmax(&other)];
        let [in_plus, in_minus] = both([&pi[0], &pi[1]], pair, s, 0.0);
        let exact = [oracle::positive_step(&z, pair.0, s), oracle::negative_step(&other, pair.1, s)];
        for i in 0..z.len() {
            prop_assert!(GROWTH.equal(z[i] + in_plus[i], exact[0][i], oracle::scale(&z, s)));
            prop_assert!(GROWTH.equal(other[i] + in_minus[i], exact[1][i], oracle::scale(&other, s)));
        }
    }

    #[test]
    fn contexts_that_are_one_see_a_pair((z, pair, s) in pairs()) {
        let pi = oracle::softmax(&z);
        let exact = oracle::pair_step(&z, pair, (1.0, 1.0), s);
        for change in both([&pi, &pi], pair, s, 1.0) {
            for i in 0..z.len() {
                prop_assert!(GROWTH.equal(z[i] + change[i], exact[i], oracle::scale(&z, s)));
            }
        }
    }

    #[test]
    fn what_remains_of_the_squeeze_is_what_the_overlap_leaves(
        (z, pair, s) in pairs(), overlap in -1.0..1.0_f64, tilt in -2.0..2.0_f64
    ) {
        let other: Vec<f64> = z.iter().enumerate().map(|(i, z)| z + tilt * (i % 3) as f64).collect();
        let pi = [oracle::softmax(&z), oracle::softmax(&other)];
        let [_, in_minus] = both([&pi[0], &pi[1]], pair, s, overlap);
        let growth = oracle::log_growth(&other, &oracle::moved(&other, &in_minus));
        let left = |i: usize| s * (pi[1][i] - overlap * pi[0][i]);
        let others: Vec<usize> = (0..z.len()).filter(|&i| i != pair.0 && i != pair.1).collect();
        for &i in &others {
            for &j in &others {
                prop_assert!(GROWTH.equal(growth[i] - growth[j], left(i) - left(j), oracle::scale(&other, 3.0 * s)));
            }
        }
    }
}

#[test]
fn the_squeeze_dissolves_as_the_overlap_grows() {
    let z = [4.0, 1.0, 0.0, -1.0, -3.0];
    let pi = oracle::softmax(&z);
    for (overlap, quoted) in
        [(0.0, [1.044, 0.431, 0.419]), (0.5, [1.024, 0.658, 0.649]), (1.0, [0.990, 0.990, 0.990])]
    {
        let [_, in_minus] = both([&pi, &pi], (3, 4), 1.0, overlap);
        let growth = oracle::log_growth(&z, &oracle::moved(&z, &in_minus));
        for (growth, quoted) in growth.iter().zip(quoted) {
            assert!(QUOTED.equal(growth.exp(), quoted, 1e-3), "{overlap}: {} {quoted}", growth.exp());
        }
    }
}
