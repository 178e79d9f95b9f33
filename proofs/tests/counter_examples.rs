//! Statements of the literature that hold as trends at most, each with a case where it fails.

use ldyn_core::decomposition::{NEGATIVE_REMAINDER, regression_step_into, remainder};
use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::{
    FixedProportions, NegativeStep, PairStep, PositiveStep, SignStep, SmoothedStep, Trajectory, TwoContexts,
};
use ldyn_proofs::oracle;
use ldyn_proofs::tolerance::{ALGEBRA, QUOTED};

/// π after unlearning `label`, from the logits log π.
fn after(pi: &[f64], label: usize, step: f64) -> Vec<f64> {
    let z: Vec<f64> = pi.iter().map(|p| p.ln()).collect();
    let by_logits = oracle::softmax(&oracle::negative_step(&z, label, step));
    let mut found = vec![0.0; pi.len()];
    NegativeStep::new(Distribution::new(pi).unwrap(), label, step).unwrap().after_into(&mut found).unwrap();
    for (a, b) in found.iter().zip(&by_logits) {
        assert!(ALGEBRA.equal(*a, *b, 1.0));
    }
    found
}

/// Compares with numbers as printed: the scale is one unit of the last printed digit.
fn assert_quoted(found: &[f64], quoted: &[&str]) {
    assert_eq!(found.len(), quoted.len());
    for (f, text) in found.iter().zip(quoted) {
        let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let decimals = digits.split_once('.').map_or(0, |(_, after)| after.len() as i32);
        let unit = 10.0_f64.powi(exponent.parse::<i32>().unwrap() - decimals);
        assert!(QUOTED.equal(*f, text.parse().unwrap(), unit), "{found:?}, quoted {quoted:?}");
    }
}

fn entropy(pi: &[f64]) -> f64 {
    Distribution::new(pi).unwrap().entropy()
}

#[test]
fn the_mass_need_not_go_to_the_runner_up() {
    let pi = [1.0 / 50.0; 50];
    let moved = after(&pi, 49, 1.0);
    let (lost, gained) = (pi[49] - moved[49], moved[0] - pi[0]);
    assert_quoted(&[lost, gained, gained / lost], &["0.01255", "2.56e-4", "0.0204"]);
    assert!(gained / lost < 0.03);
}

#[test]
fn not_all_other_labels_need_fall() {
    let pi = [0.5, 0.25, 0.25];
    let moved = after(&pi, 2, 0.1);
    assert_quoted(&moved, &["0.518", "0.253", "0.229"]);
    assert!(moved[1] > pi[1]);
}

#[test]
fn a_less_likely_rejected_label_does_not_give_the_runner_up_more() {
    let pi = [0.6, 0.3, 0.0999, 0.0001];
    let top = [1, 2, 3].map(|label| after(&pi, label, 1.0)[0]);
    assert_quoted(&top, &["0.808", "0.710", "0.680"]);
    assert!(top[0] > top[1] && top[1] > top[2]);
}

#[test]
fn nor_when_its_mass_is_moved_in_and_the_rest_rescaled() {
    let growth = [1e-6, 1e-2, 0.1, 0.3].map(|e: f64| {
        let mut pi = [0.6, 0.25, 0.1, 0.05].map(|p| p * (1.0 - e)).to_vec();
        pi.push(e);
        after(&pi, 4, 1.0)[0] / pi[0]
    });
    assert_quoted(&growth, &["1.155", "1.163", "1.230", "1.374"]);
    assert!(growth.is_sorted());
}

#[test]
fn a_larger_step_does_not_amplify_every_change() {
    let pi = [0.45, 0.35, 0.2];
    let second = [0.2, 1.0, 2.0, 5.0, 20.0].map(|s| after(&pi, 2, s)[1]);
    assert_quoted(&second, &["0.362", "0.384", "0.381", "0.320", "0.095"]);
    assert!(second[0] > pi[1] && second[4] < pi[1], "it rises, then falls");
}

#[test]
fn a_peakier_distribution_does_not_gain_more_mass() {
    // p*, then the penalised label, then eight equal others.
    let at = |top: f64| {
        let mut pi = vec![top, 1e-4];
        pi.extend([(1.0 - top - 1e-4) / 8.0; 8]);
        let moved = after(&pi, 1, 1.0);
        (moved[0] - pi[0], moved[2] / pi[2])
    };
    let rows = [0.35, 0.5, 0.6, 0.8, 0.9, 0.99, 0.999].map(at);
    assert_quoted(&rows.map(|r| r.0), &["0.063", "0.108", "0.122", "0.097", "0.056", "0.006", "0.0007"]);
    assert!(rows.windows(2).all(|w| w[1].1 < w[0].1), "the others do lose a larger share");
    assert!(rows[6].0 < rows[0].0);
}

#[test]
fn a_negative_step_can_flatten() {
    let pi = [0.7, 0.15, 0.15];
    let moved = after(&pi, 0, 1.0);
    assert_quoted(&moved, &["0.598", "0.201", "0.201"]);
    assert_quoted(&[entropy(&pi), entropy(&moved)], &["0.819", "0.952"]);
    assert!(entropy(&moved) > entropy(&pi));
}

#[test]
fn unlearning_a_tiny_label_does_squeeze() {
    let pi = [0.6, 0.3, 0.0999, 0.0001];
    let moved = after(&pi, 3, 1.0);
    assert_quoted(&moved, &["0.680", "0.252", "0.069", "2e-5"]);
    assert_quoted(&[entropy(&pi), entropy(&moved)], &["0.899", "0.794"]);
}

#[test]
fn the_uniform_distribution_has_squared_norm_one_over_v() {
    // The paper's App. C has 1/√V, which is the norm.
    let pi = [0.25; 4];
    assert_eq!(Distribution::new(&pi).unwrap().sum_sq(), 0.25);
}

/// π after learning `label`.
fn learned(pi: &[f64], label: usize, step: f64) -> Vec<f64> {
    let mut found = vec![0.0; pi.len()];
    PositiveStep::new(Distribution::new(pi).unwrap(), label, step).unwrap().after_into(&mut found).unwrap();
    let z: Vec<f64> = pi.iter().map(|p| p.ln()).collect();
    for (a, b) in found.iter().zip(oracle::softmax(&oracle::positive_step(&z, label, step))) {
        assert!(ALGEBRA.equal(*a, b, 1.0));
    }
    found
}

#[test]
fn learning_a_label_need_not_lower_all_others() {
    let pi = [0.9, 0.05, 0.05];
    let third = [0.1, 0.5, 1.0, 5.0].map(|s| learned(&pi, 1, s)[2]);
    assert_quoted(&third, &["0.0537", "0.0694", "0.0876", "0.0067"]);
    assert!(third[0] > pi[2] && third[3] < pi[2], "it rises along, then falls");
}

#[test]
fn a_large_positive_step_can_turn_the_order_of_the_others() {
    let after = oracle::positive_step(&[1.0, 0.9, 0.0], 2, 5.0);
    assert_quoted(&after, &["-1.200", "-1.091", "4.191"]);
    assert!(after[0] < after[1]);
    let pi = oracle::softmax(&[1.0, 0.9, 0.0]);
    let moved = learned(&pi, 2, 5.0);
    assert!(pi[0] > pi[1] && moved[0] < moved[1]);
}

#[test]
fn the_runner_up_can_fall_under_weight_decay() {
    let (mut z, mut pi) = ([3.0, 0.0, -3.0], [0.0; 3]);
    let mut run = Trajectory::new(&mut z, &mut pi).unwrap();
    let before = run.pi().as_slice()[0];
    run.step_with_decay(2, -0.01, 0.1).unwrap();
    assert_quoted(&[before, run.pi().as_slice()[0]], &["0.950", "0.934"]);
    assert!(run.pi().as_slice()[0] < before);
}

#[test]
fn unlearning_a_smoothed_label_can_raise_it() {
    let at = |p: f64| {
        let pi = [1.0 - p, p];
        let step = SmoothedStep::new(Distribution::new(&pi).unwrap(), 1, 0.2, 0.5).unwrap();
        let mut after = [0.0; 2];
        step.after_into(&mut after).unwrap();
        after[1]
    };
    assert_quoted(&[at(0.95), at(0.85)], &["0.9523", "0.8435"]);
    assert!(at(0.95) > 0.95 && at(0.85) < 0.85);
}

#[test]
fn under_rmsprop_the_rich_do_not_get_richer() {
    let pi = [0.6, 0.3, 0.1];
    let step = SignStep::new(&Distribution::new(&pi).unwrap(), 2, 0.1).unwrap();
    assert_eq!(step.log_growth(0), step.log_growth(1));
    let gradient = NegativeStep::new(Distribution::new(&pi).unwrap(), 2, 0.1).unwrap();
    assert!(gradient.log_growth(0).unwrap() > gradient.log_growth(1).unwrap());
}

#[test]
fn a_rejected_label_with_the_smaller_weight_can_rise_and_a_chosen_one_fall() {
    let at = |pi: [f64; 3], weights: (f64, f64), step: f64| {
        let mut after = [0.0; 3];
        let pair = PairStep::new(Distribution::new(&pi).unwrap(), (1, 2), weights, step).unwrap();
        pair.after_into(&mut after).unwrap();
        after
    };
    let (rejected, chosen) =
        (at([0.9, 0.05, 0.05], (1.0, 0.01), 0.1)[2], at([0.6, 0.01, 0.39], (0.01, 1.0), 1.0)[1]);
    assert_quoted(&[rejected, chosen], &["0.0536", "0.0078"]);
    assert!(rejected > 0.05 && chosen < 0.01);
}

#[test]
fn the_runner_up_does_not_grow_more_as_the_label_gets_less_likely() {
    let pi = [0.5_f64, 0.5];
    let family = FixedProportions::new(Distribution::new(&pi).unwrap(), 1).unwrap();
    let growth = [0.01, 0.5, 0.99].map(|p: f64| family.log_growth(0, p, 1.0).unwrap().exp());
    assert_quoted(&growth, &["1.009", "1.462", "1.020"]);
    assert!(growth[0] < growth[1] && growth[1] > growth[2]);
}

#[test]
fn third_labels_do_not_lose_more_and_more_all_the_way() {
    let pi = [0.5_f64, 0.3, 0.2];
    let mut pi = pi.map(|q| 0.5 * q).to_vec();
    pi.push(0.5);
    let family = FixedProportions::new(Distribution::new(&pi).unwrap(), 3).unwrap();
    let growth = [0.001, 0.5, 0.99].map(|p: f64| family.log_growth(1, p, 1.0).unwrap().exp());
    assert_quoted(&growth, &["0.917", "1.278", "1.013"]);
    assert!(growth[0] < growth[1] && growth[1] > growth[2]);
}

#[test]
fn nor_for_every_label_while_the_unlearned_one_has_less_than_half() {
    // q = (0.4, 0.35, five times 0.05): q₁ > Σ q², so that its growth turns before ½.
    let mut pi = vec![0.2, 0.175];
    pi.extend([0.025; 5]);
    pi.push(0.5);
    let family = FixedProportions::new(Distribution::new(&pi).unwrap(), 7).unwrap();
    let at = |p: f64| family.log_growth(1, p, 0.01).unwrap();
    assert!(at(0.48) > at(0.5) && at(0.48) > at(0.3));
}

#[test]
fn the_runner_up_does_not_grow_more_as_the_others_get_peakier() {
    let at = |b: f64| {
        let q = [0.5_f64, 0.3, 0.2].map(|q| q.powf(b));
        let total: f64 = q.iter().sum();
        let mut pi = q.map(|q| 0.99 * q / total).to_vec();
        pi.push(0.01);
        after(&pi, 3, 1.0)[0] / pi[0]
    };
    let growth = [0.2, 2.0, 8.0].map(at);
    assert_quoted(&growth, &["1.038", "1.152", "1.019"]);
    assert!(growth[0] < growth[1] && growth[1] > growth[2]);
}

#[test]
fn the_bound_of_the_negative_step_is_not_one_of_the_positive_step() {
    let pi = [0.1131, 0.8869];
    let kl = |step: f64| {
        let mut delta = [0.0; 2];
        regression_step_into(&Distribution::new(&pi).unwrap(), 0, step, &mut delta).unwrap();
        -remainder(&Distribution::new(&pi).unwrap(), &delta).unwrap()
    };
    let s = 2.3217;
    assert_quoted(&[kl(s) / (s * s)], &["0.29555"]);
    assert!(kl(s) > NEGATIVE_REMAINDER * s * s && kl(-s) < NEGATIVE_REMAINDER * s * s);
}

#[test]
fn a_rejected_label_can_rise_in_its_own_context() {
    let (chosen, rejected) = ([0.05, 0.05, 0.9], [0.01, 0.89, 0.1]);
    let [chosen, rejected] = [&chosen, &rejected].map(|pi| Distribution::new(pi).unwrap());
    let at = |overlap: f64| {
        let both = TwoContexts::new((chosen, 0), (rejected, 1), 1.0, overlap).unwrap();
        assert_eq!(both.rejected_falls_most().is_some(), overlap <= 0.11);
        let mut after = [0.0; 3];
        both.rejected_context().after_into(&mut after).unwrap();
        after[1]
    };
    assert_quoted(&[at(0.1), at(1.0)], &["0.876", "0.914"]);
    assert!(at(0.1) < 0.89 && at(1.0) > 0.89);
}
