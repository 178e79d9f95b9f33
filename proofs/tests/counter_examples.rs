//! Statements of the literature that hold as trends at most, each with a case where it fails.

use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::NegativeStep;
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
