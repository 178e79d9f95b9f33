//! "A smaller π_y squeezes harder", in the settings in which it is a theorem.

use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::{FixedProportions, least_likely_falls_more, third_labels_lose_after_transfer};
use ldyn_proofs::tolerance::{EXACT, GROWTH, RATE};
use ldyn_proofs::{oracle, strategies};
use proptest::prelude::*;
use proptest::sample::Index;

/// The logits of π(p): all labels but y keep their proportions.
fn with_probability(z: &[f64], label: usize, p: f64) -> Vec<f64> {
    let others: Vec<f64> = (0..z.len()).filter(|&i| i != label).map(|i| z[i]).collect();
    let high = others.iter().copied().fold(f64::MIN, f64::max);
    let log_rest = high + oracle::sum(others.iter().map(|z| (z - high).exp())).ln();
    let mut z = z.to_vec();
    z[label] = log_rest + (p / (1.0 - p)).ln();
    z
}

fn growth(z: &[f64], label: usize, p: f64, s: f64) -> Vec<f64> {
    let z = with_probability(z, label, p);
    oracle::log_growth(&z, &oracle::negative_step(&z, label, s))
}

/// A case and two probabilities of y, the smaller first.
fn families() -> impl Strategy<Value = (Vec<f64>, usize, f64, (f64, f64))> {
    let p = || prop_oneof![1e-6..1e-2_f64, 1e-2..0.99_f64, 0.99..0.9999_f64];
    (strategies::moderate_cases(), p(), p()).prop_map(|((z, label, s), a, b)| {
        let (small, large) = if a < b { (a, b) } else { (b, a + 1e-5) };
        (z, label, s, (small, large))
    })
}

proptest! {
    #[test]
    fn the_family_grows_as_its_moved_logits((z, label, s, (p, _)) in families()) {
        let pi = oracle::softmax(&z);
        let family = FixedProportions::new(Distribution::new(&pi).unwrap(), label).unwrap();
        for (i, &exact) in growth(&z, label, p, s).iter().enumerate() {
            let found = family.log_growth(i, p, s).unwrap();
            prop_assert!(GROWTH.equal(found, exact, 10.0 + oracle::scale(&z, s)), "label {i}: {found} {exact}");
        }
    }

    #[test]
    fn losers_stay_losers_as_the_label_gets_less_likely((z, label, s, (small, large)) in families()) {
        let pi = oracle::softmax(&z);
        let family = FixedProportions::new(Distribution::new(&pi).unwrap(), label).unwrap();
        let witness = family.losers_stay(small, large, s).unwrap();
        prop_assert!(GROWTH.holds(witness.margin, 1.0 + s), "{witness:?}");
        let [at_small, at_large] = [small, large].map(|p| growth(&z, label, p, s));
        let slack = GROWTH.relative * (20.0 + oracle::scale(&z, s));
        for i in (0..z.len()).filter(|&i| i != label) {
            prop_assert!(at_large[i] >= -slack || at_small[i] <= slack, "label {i}");
        }
    }

    #[test]
    fn odds_open_further_the_less_likely_the_label((z, label, s, (small, large)) in families()) {
        let pi = oracle::softmax(&z);
        let family = FixedProportions::new(Distribution::new(&pi).unwrap(), label).unwrap();
        let [at_small, at_large] = [small, large].map(|p| growth(&z, label, p, s));
        let scale = 20.0 + oracle::scale(&z, s);
        for i in (0..z.len()).filter(|&i| i != label) {
            for j in (0..z.len()).filter(|&j| j != label && z[i] < z[j]) {
                let law = family.log_odds_change(i, j, small, s).unwrap();
                prop_assert!(GROWTH.equal(law, at_small[i] - at_small[j], scale));
                prop_assert!(GROWTH.holds((at_large[i] - at_large[j]) - (at_small[i] - at_small[j]), scale));
            }
        }
    }

    #[test]
    fn the_runner_ups_share_is_larger_the_less_likely_the_label((z, label, s, (small, large)) in families()) {
        let pi = oracle::softmax(&z);
        let top = oracle::runner_up(&pi, label);
        let share = |p: f64| {
            let z = with_probability(&z, label, p);
            let mut after = oracle::negative_step(&z, label, s);
            after[label] = f64::NEG_INFINITY;
            oracle::log_softmax(&after)[top]
        };
        let scale = 20.0 + oracle::scale(&z, s);
        prop_assert!(GROWTH.holds(share(small) - share(large), scale));
        let family = FixedProportions::new(Distribution::new(&pi).unwrap(), label).unwrap();
        let witness = family.runner_up_share_grows(small, large, s).unwrap();
        prop_assert!(GROWTH.equal(witness.margin, share(small) - share(large), scale) && witness.label == top);
        prop_assert!(GROWTH.holds(witness.margin, 1.0 + s));
    }

    #[test]
    fn the_label_falls_further_the_less_likely_it_is((z, label, s, (small, large)) in families()) {
        let [at_small, at_large] = [small, large].map(|p| growth(&z, label, p, s)[label]);
        let scale = 20.0 + oracle::scale(&z, s);
        prop_assert!(GROWTH.holds(at_large - at_small, scale));
        let pi = oracle::softmax(&z);
        let family = FixedProportions::new(Distribution::new(&pi).unwrap(), label).unwrap();
        let witness = family.label_falls_more(small, large, s).unwrap();
        prop_assert!(GROWTH.equal(witness.margin, at_large - at_small, scale));
        prop_assert!(GROWTH.holds(witness.margin, 1.0 + s));
    }

    #[test]
    fn the_rest_grows_less_the_less_likely_the_label((z, label, s, (small, large)) in families()) {
        let pi = oracle::softmax(&z);
        let top = oracle::runner_up(&pi, label);
        let family = FixedProportions::new(Distribution::new(&pi).unwrap(), label).unwrap();
        let witness = family.rest_grows_less(small, large, s).unwrap();
        prop_assert_eq!(witness.is_some(), large <= 0.5 && z.len() > 2);
        let Some(witness) = witness else { return Ok(()) };
        prop_assert!(witness.label != label && witness.label != top);
        let rest = || (0..z.len()).filter(|&i| i != label && i != top);
        let [at_small, at_large] = [small, large].map(|p| {
            let growth = growth(&z, label, p, s);
            (oracle::sum(rest().map(|i| pi[i] * growth[i].exp())) / oracle::sum(rest().map(|i| pi[i]))).ln()
        });
        prop_assert!(GROWTH.equal(witness.margin, at_large - at_small, 20.0 + oracle::scale(&z, s)));
        prop_assert!(GROWTH.holds(witness.margin, 1.0 + s), "{witness:?}");
    }

    #[test]
    fn the_least_likely_label_falls_more_the_peakier_the_others(
        (z, label, s) in strategies::cases(), power in prop_oneof![Just(1.0), 1.0..2.0_f64, 2.0..20.0_f64]
    ) {
        let pi = oracle::softmax(&z);
        if pi[oracle::runner_up(&pi, label)] == 0.0 {
            return Ok(());
        }
        let witness = least_likely_falls_more(Distribution::new(&pi).unwrap(), label, power, s).unwrap();
        let others = || (0..z.len()).filter(|&i| i != label);
        let least = others().reduce(|low, i| if pi[i] < pi[low] { i } else { low }).unwrap();
        prop_assert_eq!(witness.label, least);
        prop_assert!(GROWTH.holds(witness.margin, 1.0 + s), "{witness:?}");
        // The powers, and the step on both, over π itself: α_k = e^{s π_k}/Z for k ≠ y.
        let high = others().map(|i| z[i]).fold(f64::MIN, f64::max);
        let weight = |i: usize| (power * (z[i] - high)).exp();
        let mass = oracle::sum(others().map(|i| pi[i])) / oracle::sum(others().map(weight));
        let peakier: Vec<f64> = (0..z.len()).map(|i| if i == label { pi[i] } else { mass * weight(i) }).collect();
        let growth = |pi: &[f64]| {
            let e = |i: usize| s * (pi[i] - if i == label { 1.0 } else { 0.0 });
            let high = (0..pi.len()).map(e).fold(f64::MIN, f64::max);
            e(least) - high - oracle::sum((0..pi.len()).map(|i| pi[i] * (e(i) - high).exp())).ln()
        };
        prop_assert!(GROWTH.equal(witness.margin, growth(&pi) - growth(&peakier), power * oracle::scale(&z, s)));
    }

    #[test]
    fn at_small_steps_a_label_loses_below_its_own_probability_of_the_label((z, label, any_s, (p, _)) in families()) {
        let pi = oracle::softmax(&z);
        let family = FixedProportions::new(Distribution::new(&pi).unwrap(), label).unwrap();
        let s = 1e-5;
        let [growth, with_step] = [s, any_s].map(|s| growth(&z, label, p, s));
        let others = || (0..z.len()).filter(|&i| i != label);
        let rest = oracle::sum(others().map(|i| pi[i]));
        let q = |i: usize| pi[i] / rest;
        let concentration = oracle::sum(others().map(|i| q(i) * q(i)));
        for i in others() {
            let rate = family.rate(i, p).unwrap();
            prop_assert!(RATE.equal(growth[i] / s, rate, s + 1e-13 * oracle::scale(&z, 10.0) / s), "label {i}");
            let crossing = (concentration - q(i)) / (1.0 + concentration);
            if (p - crossing).abs() > 1e-9 {
                prop_assert_eq!(rate < 0.0, p < crossing);
                // Who loses at first loses at every s.
                prop_assert!(rate >= 0.0 || GROWTH.holds(-with_step[i], 20.0 + oracle::scale(&z, any_s)));
            }
        }
    }

    #[test]
    fn third_labels_lose_when_mass_moves_from_the_label_to_another(
        (z, label, s) in strategies::cases(), at in any::<Index>(), share in 0.01..1.0_f64
    ) {
        let pi = oracle::softmax(&z);
        let to = (label + 1 + at.index(z.len() - 1)) % z.len();
        let mass = share * pi[label];
        if mass == 0.0 {
            return Ok(());
        }
        let found = third_labels_lose_after_transfer(Distribution::new(&pi).unwrap(), label, to, mass, s).unwrap();
        prop_assert_eq!(found.is_some(), pi.len() > 2 && pi[label] <= pi[to] + 0.5);
        let Some(witness) = found else { return Ok(()) };
        prop_assert!(witness.label != label && witness.label != to);
        prop_assert!(GROWTH.holds(witness.margin, 1.0 + s), "{witness:?}");
        // The step on both distributions, over π itself: α_k = e^{s π_k}/Z for a third label k.
        let log_z = |pi: &[f64]| {
            let e = |i: usize| s * (pi[i] - if i == label { 1.0 } else { 0.0 });
            let high = (0..pi.len()).map(e).fold(f64::MIN, f64::max);
            high + oracle::sum((0..pi.len()).map(|i| pi[i] * (e(i) - high).exp())).ln()
        };
        let mut light = pi.clone();
        light[label] -= mass;
        light[to] += mass;
        prop_assert!(GROWTH.equal(witness.margin, log_z(&light) - log_z(&pi), 1.0 + s));
    }
}

#[test]
fn one_half_is_the_best_condition_for_the_transfer() {
    // π_y − π_to = ½ ± 0.02: the third label loses by the move on one side and gains on the other.
    let third = |pi: [f64; 3]| {
        let z = pi.map(f64::ln);
        oracle::log_growth(&z, &oracle::negative_step(&z, 2, 1e-3))[0]
    };
    let change = |y: f64, to: f64| {
        let rest = 1.0 - y - to;
        third([rest, to + 1e-3, y - 1e-3]) - third([rest, to, y])
    };
    assert!(EXACT.holds(-change(0.69, 0.21), 1.0) && EXACT.holds(change(0.71, 0.19), 1.0));
}
