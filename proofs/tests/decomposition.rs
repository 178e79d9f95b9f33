//! Predicted, actual, remainder (paper: §2 eq. 3, App. B.1).

use ldyn_core::decomposition::{
    NEGATIVE_REMAINDER, POSITIVE_REMAINDER, exact_into, negative_remainder_bound, positive_remainder_bound,
    predicted_into, regression_step_into, remainder, remainder_bound,
};
use ldyn_core::simplex::Distribution;
use ldyn_proofs::tolerance::{EXACT, GROWTH, LIMIT, REMAINDER, SLOPE};
use ldyn_proofs::{oracle, strategies};
use proptest::prelude::*;
use proptest::sample::Index;

/// Logits and a change of them of any size.
fn changes() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let size = prop_oneof![Just(1e-6), Just(1e-2), Just(1.0), Just(30.0)];
    (strategies::logits(), size).prop_flat_map(|(z, size)| {
        let delta = prop::collection::vec(-size..size, z.len());
        (Just(z), delta)
    })
}

fn scale(z: &[f64], delta: &[f64]) -> f64 {
    z.iter().chain(delta).fold(1.0, |a, z| z.abs().max(a))
}

fn moved(z: &[f64], delta: &[f64]) -> Vec<f64> {
    z.iter().zip(delta).map(|(z, d)| z + d).collect()
}

fn regression(pi: &[f64], label: usize, step: f64) -> Vec<f64> {
    let mut delta = vec![0.0; pi.len()];
    regression_step_into(&Distribution::new(pi).unwrap(), label, step, &mut delta).unwrap();
    delta
}

proptest! {
    #[test]
    fn the_exact_change_is_that_of_the_moved_logits((z, delta) in changes()) {
        let pi = oracle::softmax(&z);
        let mut found = vec![0.0; z.len()];
        exact_into(&Distribution::new(&pi).unwrap(), &delta, &mut found).unwrap();
        for (a, b) in oracle::log_growth(&z, &moved(&z, &delta)).iter().zip(&found) {
            prop_assert!(GROWTH.equal(*b, *a, scale(&z, &delta)), "{b} {a}");
        }
    }

    #[test]
    fn the_remainder_is_minus_kl_and_the_same_for_every_label((z, delta) in changes()) {
        let pi = oracle::softmax(&z);
        let distribution = Distribution::new(&pi).unwrap();
        let found = remainder(&distribution, &delta).unwrap();
        let after = moved(&z, &delta);
        let scale = scale(&z, &delta);
        prop_assert!(REMAINDER.equal(found, -oracle::kl(&z, &after), scale));
        let mut predicted = vec![0.0; z.len()];
        predicted_into(&distribution, &delta, &mut predicted).unwrap();
        for (actual, predicted) in oracle::log_growth(&z, &after).iter().zip(&predicted) {
            prop_assert!(REMAINDER.equal(found, actual - predicted, scale));
        }
    }

    #[test]
    fn the_remainder_lies_between_hoeffdings_bound_and_0((z, delta) in changes()) {
        let pi = oracle::softmax(&z);
        let found = remainder(&Distribution::new(&pi).unwrap(), &delta).unwrap();
        let range = delta.iter().copied().fold(f64::MIN, f64::max)
            - delta.iter().copied().fold(f64::MAX, f64::min);
        prop_assert!(REMAINDER.holds(-found, range * range));
        prop_assert!(REMAINDER.holds(found - remainder_bound(&delta), range * range));
    }

    #[test]
    fn a_regression_step_leaves_at_most_its_own_bound(
        z in strategies::logits(), at in any::<Index>(), step in strategies::steps(), learns in any::<bool>()
    ) {
        let pi = oracle::softmax(&z);
        let label = strategies::label(at, z.len());
        let signed = if learns { step } else { -step };
        let found = remainder(&Distribution::new(&pi).unwrap(), &regression(&pi, label, signed)).unwrap();
        let spread = step * (1.0 + pi[oracle::runner_up(&pi, label)] - pi[label]);
        prop_assert!(REMAINDER.holds(found + spread * spread / 8.0, step * step));
    }

    #[test]
    fn the_regression_step_is_the_oracles(
        z in strategies::logits(), at in any::<Index>(), step in strategies::steps()
    ) {
        let label = strategies::label(at, z.len());
        let delta = regression(&oracle::softmax(&z), label, -step);
        let after = oracle::negative_step(&z, label, step);
        for ((z, d), after) in z.iter().zip(&delta).zip(after) {
            prop_assert!(GROWTH.equal(z + d, after, z.abs() + step));
        }
    }

    #[test]
    fn the_remainder_shrinks_as_the_square_of_the_step(
        z in strategies::moderate_logits(), at in any::<Index>()
    ) {
        let pi = oracle::softmax(&z);
        let label = strategies::label(at, z.len());
        let at = |step: f64| remainder(&Distribution::new(&pi).unwrap(), &regression(&pi, label, -step)).unwrap();
        let (large, small) = (at(2e-3), at(1e-3));
        prop_assert!(EXACT.holds(-small, 1.0) && small < 0.0);
        let slope = (large / small).log2();
        prop_assert!(SLOPE.equal(slope, 2.0, 1.0), "slope {slope}");
    }

    #[test]
    fn a_negative_step_leaves_at_most_27_128_of_the_squared_step((z, label, s) in strategies::cases()) {
        let kl = oracle::kl(&z, &oracle::negative_step(&z, label, s));
        prop_assert!(REMAINDER.holds(27.0 / 128.0 * s * s - kl, s * s + oracle::scale(&z, s)));
        let pi = oracle::softmax(&z);
        let found = remainder(&Distribution::new(&pi).unwrap(), &regression(&pi, label, -s)).unwrap();
        prop_assert!(REMAINDER.holds(27.0 / 128.0 * s * s + found, s * s));
    }

    #[test]
    fn a_wide_negative_step_leaves_less((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let tau = 1.0 - pi[label] + pi[oracle::runner_up(&pi, label)];
        let sharp = if tau >= 1.0 { s * s * tau.powi(3) * (2.0 - tau) / 8.0 } else { f64::MAX };
        let kl = oracle::kl(&z, &oracle::negative_step(&z, label, s));
        prop_assert!(REMAINDER.holds(sharp - kl, s * s + oracle::scale(&z, s)));
        let bound = negative_remainder_bound(&Distribution::new(&pi).unwrap(), label, s).unwrap();
        let written_out = sharp.min(27.0 / 128.0 * s * s).min(s * s * tau * tau / 8.0);
        prop_assert!(REMAINDER.equal(bound, -written_out, s * s));
    }

    #[test]
    fn a_positive_step_leaves_at_most_the_constant_of_kearns_and_saul((z, label, s) in strategies::cases()) {
        let kl = oracle::kl(&z, &oracle::positive_step(&z, label, s));
        prop_assert!(REMAINDER.holds(POSITIVE_REMAINDER * s * s - kl, s * s + oracle::scale(&z, s)));
        let pi = oracle::softmax(&z);
        let tau = 1.0 - pi[label] + pi[oracle::runner_up(&pi, label)];
        let bound = positive_remainder_bound(&Distribution::new(&pi).unwrap(), label, s).unwrap();
        prop_assert!(REMAINDER.equal(bound, -s * s * POSITIVE_REMAINDER.min(tau * tau / 8.0), s * s));
        prop_assert!(REMAINDER.holds(-bound - kl, s * s + oracle::scale(&z, s)));
    }

    #[test]
    fn two_labels_come_as_close_to_27_128_as_one_likes(s in 1e-4..0.66_f64) {
        let pi = [0.25, 0.75];
        let kl = -remainder(&Distribution::new(&pi).unwrap(), &regression(&pi, 0, -s)).unwrap();
        prop_assert!(LIMIT.holds(kl - 27.0 / 128.0 * s * s * (1.0 - 1.5 * s), s * s));
        prop_assert!(LIMIT.holds(NEGATIVE_REMAINDER * s * s - kl, s * s));
    }
}

#[test]
fn the_constant_of_the_positive_step_is_attained() {
    // max_p (1 − 2p)(1 − p)²/ln((1 − p)/p), and a step that leaves as much.
    let f = |p: f64| (1.0 - 2.0 * p) * (1.0 - p) * (1.0 - p) / ((1.0 - p) / p).ln();
    let best = (1..500_000).map(|i| i as f64 * 1e-6).max_by(|a, b| f(*a).total_cmp(&f(*b))).unwrap();
    assert!(f(best) <= POSITIVE_REMAINDER && POSITIVE_REMAINDER - f(best) < 1e-7);
    let s = ((1.0 - best) / best).ln() / (1.0 - best);
    let pi = [best, 1.0 - best];
    let kl = -remainder(&Distribution::new(&pi).unwrap(), &regression(&pi, 0, s)).unwrap();
    assert!(LIMIT.equal(kl / (s * s), f(best), 1.0), "{} {}", kl / (s * s), f(best));
}
