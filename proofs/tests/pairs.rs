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

fn contexts<'a>(pi: [&'a [f64]; 2], pair: (usize, usize), s: f64, overlap: f64) -> TwoContexts<'a, f64> {
    let [plus, minus] = pi.map(|pi| Distribution::new(pi).unwrap());
    TwoContexts::new((plus, pair.0), (minus, pair.1), s, overlap).unwrap()
}

/// Δz in χ⁺ and in χ⁻, from the definition.
fn moves(pi: [&[f64]; 2], pair: (usize, usize), s: f64, overlap: f64) -> [Vec<f64>; 2] {
    let residual = |k: usize, label: usize, i: usize| if i == label { 1.0 - pi[k][i] } else { -pi[k][i] };
    let both = (0..pi[0].len()).map(|i| [residual(0, pair.0, i), residual(1, pair.1, i)]);
    let both = both.map(|[plus, minus]| (s * (plus - overlap * minus), s * (overlap * plus - minus)));
    let (in_plus, in_minus) = both.unzip();
    [in_plus, in_minus]
}

/// A second row of logits, which makes χ⁺ another context than χ⁻.
fn tilted(z: &[f64], tilt: f64) -> Vec<f64> {
    z.iter().enumerate().map(|(i, z)| z + tilt * (i % 3) as f64).collect()
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
        // A subnormal probability has lost the digits that decide.
        let normal = pi[pair.0].min(pi[pair.1]) >= f64::MIN_POSITIVE;
        if normal && lead.abs() > GROWTH.relative * oracle::scale(&z, s) {
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
    fn a_context_grows_as_its_moved_logits(
        (z, pair, s) in pairs(), overlap in -1.0..=1.0_f64, tilt in -2.0..2.0_f64
    ) {
        let rows = [tilted(&z, tilt), z];
        let pi = rows.each_ref().map(|z| oracle::softmax(z));
        let contexts = contexts([&pi[0], &pi[1]], pair, s, overlap);
        let exact = moves([&pi[0], &pi[1]], pair, s, overlap);
        let mut after = vec![f64::NAN; pi[0].len()];
        let mut moved = [after.clone(), after.clone()];
        contexts.chosen_context_into(&mut moved[0]).unwrap();
        contexts.rejected_context_into(&mut moved[1]).unwrap();
        for (k, step) in [contexts.chosen_context(), contexts.rejected_context()].iter().enumerate() {
            let scale = oracle::scale(&rows[k], 3.0 * s);
            prop_assert!(moved[k].iter().zip(&exact[k]).all(|(found, exact)| GROWTH.equal(*found, *exact, s)));
            step.after_into(&mut after).unwrap();
            let growth = oracle::log_growth(&rows[k], &oracle::moved(&rows[k], &exact[k]));
            for (i, &growth) in growth.iter().enumerate() {
                let found = step.log_growth(i).unwrap();
                prop_assert!(GROWTH.equal(found, growth, scale), "context {k}, label {i}: {found} {growth}");
                prop_assert!(GROWTH.equal(after[i], pi[k][i] * growth.exp(), scale));
            }
        }
    }

    #[test]
    fn contexts_without_overlap_see_one_sign_each((z, pair, s) in pairs(), tilt in -3.0..3.0_f64) {
        let other = tilted(&z, tilt);
        let pi = [oracle::softmax(&z), oracle::softmax(&other)];
        let contexts = contexts([&pi[0], &pi[1]], pair, s, 0.0);
        let learned = oracle::log_growth(&z, &oracle::positive_step(&z, pair.0, s));
        for (i, &exact) in learned.iter().enumerate() {
            let found = contexts.chosen_context().log_growth(i).unwrap();
            prop_assert!(GROWTH.equal(found, exact, oracle::scale(&z, s)), "{found} {exact}");
        }
        let unlearned = oracle::log_growth(&other, &oracle::negative_step(&other, pair.1, s));
        for (i, &exact) in unlearned.iter().enumerate() {
            let found = contexts.rejected_context().log_growth(i).unwrap();
            prop_assert!(GROWTH.equal(found, exact, oracle::scale(&other, s)), "{found} {exact}");
        }
    }

    #[test]
    fn contexts_that_are_one_see_a_pair((z, pair, s) in pairs()) {
        let pi = oracle::softmax(&z);
        let exact = oracle::log_growth(&z, &oracle::pair_step(&z, pair, (1.0, 1.0), s));
        let contexts = contexts([&pi, &pi], pair, s, 1.0);
        for step in [contexts.chosen_context(), contexts.rejected_context()] {
            for (i, &exact) in exact.iter().enumerate() {
                prop_assert!(GROWTH.equal(step.log_growth(i).unwrap(), exact, oracle::scale(&z, s)));
            }
        }
    }

    #[test]
    fn what_remains_of_the_squeeze_is_what_the_overlap_leaves(
        (z, pair, s) in pairs(), overlap in -1.0..1.0_f64, tilt in -2.0..2.0_f64
    ) {
        let pi = [oracle::softmax(&tilted(&z, tilt)), oracle::softmax(&z)];
        let step = contexts([&pi[0], &pi[1]], pair, s, overlap).rejected_context();
        let left = |i: usize| s * (pi[1][i] - overlap * pi[0][i]);
        let others: Vec<usize> = (0..z.len()).filter(|&i| i != pair.0 && i != pair.1).collect();
        for &i in &others {
            for &j in &others {
                let change = step.log_odds_change(i, j).unwrap();
                prop_assert!(GROWTH.equal(change, left(i) - left(j), 3.0 * s));
                let growth = step.log_growth(i).unwrap() - step.log_growth(j).unwrap();
                prop_assert!(GROWTH.equal(growth, change, 1.0 + 4.0 * s));
            }
        }
    }

    #[test]
    fn between_equal_contexts_the_squeeze_fades_as_the_overlap_grows((z, pair, s) in pairs(), overlap in 0.0..=1.0_f64) {
        let pi = oracle::softmax(&z);
        let step = contexts([&pi, &pi], pair, s, overlap).rejected_context();
        let growth = oracle::log_growth(&z, &oracle::moved(&z, &moves([&pi, &pi], pair, s, overlap)[1]));
        let others: Vec<usize> = (0..z.len()).filter(|&i| i != pair.0 && i != pair.1).collect();
        for &i in &others {
            for &j in &others {
                let law = (1.0 - overlap) * s * (pi[i] - pi[j]);
                prop_assert!(GROWTH.equal(step.log_odds_change(i, j).unwrap(), law, 3.0 * s));
                prop_assert!(GROWTH.equal(growth[i] - growth[j], law, oracle::scale(&z, 3.0 * s)));
            }
        }
    }

    #[test]
    fn the_rejected_label_falls_most_at_small_overlap_and_between_equal_contexts(
        (z, pair, s) in pairs(), share in 0.0..=1.0_f64, tilt in -2.0..2.0_f64, equal in any::<bool>()
    ) {
        let pi = [oracle::softmax(&tilted(&z, if equal { 0.0 } else { tilt })), oracle::softmax(&z)];
        let room = 1.0 - pi[1][pair.1];
        let same = pi[0] == pi[1];
        for overlap in [share, share * room, -share] {
            let contexts = contexts([&pi[0], &pi[1]], pair, s, overlap);
            let found = contexts.rejected_falls_most();
            prop_assert_eq!(found.is_some(), overlap >= 0.0 && (overlap <= room || same), "{} {}", overlap, room);
            let Some(witness) = found else { continue };
            prop_assert!(GROWTH.holds(witness.margin, 1.0 + 2.0 * s), "{witness:?}");
            let growth = oracle::log_growth(&z, &oracle::moved(&z, &moves([&pi[0], &pi[1]], pair, s, overlap)[1]));
            let scale = oracle::scale(&z, 3.0 * s);
            prop_assert!(GROWTH.holds(-growth[pair.1], scale));
            prop_assert!(growth.iter().all(|other| GROWTH.holds(other - growth[pair.1], scale)));
        }
    }

    #[test]
    fn the_chosen_label_rises_most_between_equal_contexts_from_half_overlap_on(
        (z, pair, s) in pairs(), overlap in 0.0..=1.0_f64
    ) {
        let pi = oracle::softmax(&z);
        let witness = contexts([&pi, &pi], pair, s, overlap).chosen_rises_most();
        prop_assert_eq!(witness.is_some(), overlap >= 0.5);
        let Some(witness) = witness else { return Ok(()) };
        prop_assert!(GROWTH.holds(witness.margin, 1.0 + 2.0 * s), "{witness:?}");
        let growth = oracle::log_growth(&z, &oracle::moved(&z, &moves([&pi, &pi], pair, s, overlap)[1]));
        let scale = oracle::scale(&z, 3.0 * s);
        prop_assert!(GROWTH.holds(growth[pair.0], scale));
        prop_assert!(growth.iter().all(|other| GROWTH.holds(growth[pair.0] - other, scale)));
    }
}

#[test]
fn the_squeeze_dissolves_as_the_overlap_grows() {
    let z = [4.0, 1.0, 0.0, -1.0, -3.0];
    let pi = oracle::softmax(&z);
    for (overlap, quoted) in
        [(0.0, [1.044, 0.431, 0.419]), (0.5, [1.024, 0.658, 0.649]), (1.0, [0.990, 0.990, 0.990])]
    {
        let step = contexts([&pi, &pi], (3, 4), 1.0, overlap).rejected_context();
        for (i, quoted) in quoted.into_iter().enumerate() {
            let growth = step.log_growth(i).unwrap().exp();
            assert!(QUOTED.equal(growth, quoted, 1e-3), "{overlap}: {growth} {quoted}");
        }
    }
}
