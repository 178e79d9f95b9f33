//! β → 0, saturated margins, impossible responses.

use super::*;
use core::f64::consts::LN_2;
use std::collections::BTreeSet;

fn close(found: f64, exact: f64, relative: f64) -> bool {
    (found - exact).abs() <= relative * (1.0 + exact.abs())
}

#[test]
fn as_beta_vanishes_losses_and_weights_over_beta_have_their_limits() {
    let beta = 1e-9;
    let p = Parameters {
        beta,
        label_smoothing: 0.2,
        reward_shift: 0.0,
        simpo_gamma: 0.0,
        ..Parameters::default()
    };
    let (e, tau) = (p.label_smoothing, p.discopop_tau);
    let pair = ratios(3.0, -4.0);
    let (n_chosen, n_rejected) = (7.0, 4.0);
    let nll = -pair.chosen / n_chosen;
    let discopop = 0.75 - (1.0 - LN_2) / (4.0 * tau);
    let limits = [
        ("dpo", LN_2, 0.5 - e, 0.5 - e),
        ("robust", LN_2, 0.5 / (1.0 - 2.0 * e), 0.5 / (1.0 - 2.0 * e)),
        ("hinge", 1.0, 1.0, 1.0),
        (
            "exo_pair",
            -LN_2 - 0.5 * (e * (1.0 - e)).ln(),
            0.25 * (1.0 / e - 1.0).ln(),
            0.25 * (1.0 / e - 1.0).ln(),
        ),
        ("discopop", 0.5 * (1.0 + LN_2), discopop, discopop),
        ("sigmoid_norm", LN_2, 0.5 / n_chosen, 0.5 / n_rejected),
        ("spin", LN_2, 0.5, 0.5),
        ("dpop", LN_2, 0.5, 0.5),
        ("nca_pair", 2.0 * LN_2, 0.25, 0.25),
        ("bco_pair", 2.0 * LN_2, 0.5, 0.5),
        ("apo_zero", 1.0, 0.25, 0.25),
        ("apo_down", 1.0, 0.0, 0.25),
        ("simpo", LN_2, (0.5 - e) / n_chosen, (0.5 - e) / n_rejected),
        // Their SFT terms stay, and dominate the weight over β.
        ("cpo", LN_2 + nll, 0.5 - e + 1.0 / n_chosen / beta, 0.5 - e),
        ("orpo", nll, 1.0 / n_chosen / beta, f64::NAN),
    ];
    for (name, loss, chosen, rejected) in limits {
        let found = objective(name, &p).outcome(&pair);
        assert!(close(found.loss, loss, 1e-6), "{name}: {found:?}");
        assert!(close(found.chosen_weight / beta, chosen, 1e-6), "{name}: {found:?} {chosen}");
        assert!(
            rejected.is_nan() || close(found.rejected_weight / beta, rejected, 1e-6),
            "{name}: {found:?}"
        );
    }
    // These diverge: β²L and βw have limits.
    for (name, loss) in [("ipo", 0.25), ("ipo_mean", 0.25), ("sppo", 0.5), ("cal_dpo", 0.5)] {
        let found = objective(name, &p).outcome(&pair);
        assert!(close(found.loss * beta * beta, loss, 1e-6), "{name}: {found:?}");
        let (up, down) = if name == "ipo_mean" { (n_chosen, n_rejected) } else { (1.0, 1.0) };
        assert!(close(found.chosen_weight * beta * up, 1.0, 1e-6), "{name}: {found:?}");
        assert!(close(found.rejected_weight * beta * down, 1.0, 1e-6), "{name}: {found:?}");
    }
    let covered: BTreeSet<&str> =
        limits.iter().map(|l| l.0).chain(["ipo", "ipo_mean", "sppo", "cal_dpo", "sft", "slic"]).collect();
    assert_eq!(covered, TABLE.iter().map(|row| row.name).collect(), "the other two have no β");
}

/// The squares of a distance from a target: loss and weights grow with the margin on either side. Their names.
fn growing_margins_do_not_saturate_squares(p: &Parameters<f64>) -> [&'static str; 4] {
    let far = 1e6;
    let squares = [
        // L/far² and w±/far for log-ratios of ±far.
        ("ipo", 4.0, 4.0, 4.0),
        ("ipo_mean", (11.0_f64 / 28.0).powi(2), 2.0 * 11.0 / 28.0 / 7.0, 2.0 * 11.0 / 28.0 / 4.0),
        ("sppo", 2.0, 2.0, 2.0),
        ("cal_dpo", 2.0, 2.0, 2.0),
    ];
    for (name, loss, chosen, rejected) in squares {
        for side in [1.0, -1.0] {
            let found = objective(name, p).outcome(&ratios(side * far, -side * far));
            assert!(close(found.loss / (far * far), loss, 1e-4), "{name}: {found:?}");
            assert!(close(found.chosen_weight / far, -side * chosen, 1e-4), "{name}: {found:?}");
            assert!(close(found.rejected_weight / far, -side * rejected, 1e-4), "{name}: {found:?}");
        }
    }
    squares.map(|square| square.0)
}

/// (loss, w₊, w₋) of every objective, for a margin far on the right and on the wrong side.
#[test]
fn saturated_margins_reach_their_limits() {
    let p = Parameters { beta: 0.1, label_smoothing: 0.2, ..Parameters::default() };
    let (b, e, far) = (p.beta, p.label_smoothing, 4000.0);
    let x = 2.0 * b * far;
    let robust = b * e / (1.0 - 2.0 * e);
    let of_ratios = [
        ("dpo", (e * x, -b * e, -b * e), ((1.0 - e) * x, b * (1.0 - e), b * (1.0 - e))),
        (
            "robust",
            (-e * x / (1.0 - 2.0 * e), robust, robust),
            (
                (1.0 - e) * x / (1.0 - 2.0 * e),
                b * (1.0 - e) / (1.0 - 2.0 * e),
                b * (1.0 - e) / (1.0 - 2.0 * e),
            ),
        ),
        ("hinge", (0.0, 0.0, 0.0), (1.0 + x, b, b)),
        ("exo_pair", (-(1.0 - e).ln(), 0.0, 0.0), (-e.ln(), 0.0, 0.0)),
        ("discopop", (0.0, 0.0, 0.0), (x, b, b)),
        ("sigmoid_norm", (0.0, 0.0, 0.0), (b * far * (1.0 / 7.0 + 1.0 / 4.0), b / 7.0, b / 4.0)),
        ("spin", (0.0, 0.0, 0.0), (x, b, b)),
        ("dpop", (0.0, 0.0, 0.0), (x + b * 50.0 * far, b * 51.0, b)),
        ("nca_pair", (0.5 * b * far, -0.5 * b, 0.0), (b * far * 1.5, b, 0.5 * b)),
        ("bco_pair", (0.0, 0.0, 0.0), (x, b, b)),
        ("apo_zero", (0.0, 0.0, 0.0), (2.0, 0.0, 0.0)),
        ("apo_down", (1.0, 0.0, 0.0), (1.0, 0.0, 0.0)),
    ];
    // Without a reference a response can be certain at best, and is far below that at worst.
    let (near, below, (n_chosen, n_rejected)) = (-7.0, -far, (7.0, 4.0));
    let g = near - below;
    let [s_right, s_wrong] = [(near, below), (below, near)].map(|(c, r)| c / n_chosen - r / n_rejected);
    let [x_right, x_wrong] = [s_right, s_wrong].map(|s| b * s - p.simpo_gamma);
    let (lambda, alpha) = (p.sft_weight, p.cpo_alpha / n_chosen);
    // p₋ of the certain response where it is the rejected one, and the log-odds o there.
    let p_near = (near / n_rejected).exp();
    let o = (below / n_chosen - near / n_rejected) + (1.0 - p_near).ln();
    let of_likelihoods = [
        ("sft", (-near, 1.0, 0.0), (-below, 1.0, 0.0)),
        ("slic", (-lambda * near, lambda, 0.0), (p.delta + g - lambda * below, 1.0 + lambda, 1.0)),
        (
            "cpo",
            (e * b * g - alpha * near, alpha - b * e, -b * e),
            ((1.0 - e) * b * g - alpha * below, b * (1.0 - e) + alpha, b * (1.0 - e)),
        ),
        (
            "simpo",
            (e * x_right, -b * e / n_chosen, -b * e / n_rejected),
            (-(1.0 - e) * x_wrong, b * (1.0 - e) / n_chosen, b * (1.0 - e) / n_rejected),
        ),
        (
            "orpo",
            (-near / n_chosen, 1.0 / n_chosen, 0.0),
            (-below / n_chosen - b * o, (1.0 + b) / n_chosen, b / (1.0 - p_near) / n_rejected),
        ),
    ];
    let pairs_of_ratios = [ratios(far, -far), ratios(-far, far)];
    let pairs_of_likelihoods = [pair(near, below, 0.0, 0.0), pair(below, near, 0.0, 0.0)];
    let by_ratios = of_ratios.iter().map(|limit| (limit, pairs_of_ratios));
    let by_likelihoods = of_likelihoods.iter().map(|limit| (limit, pairs_of_likelihoods));
    for ((name, right, wrong), pairs) in by_ratios.chain(by_likelihoods) {
        for (pair, (loss, chosen, rejected)) in pairs.iter().zip([right, wrong]) {
            let found = objective(name, &p).outcome(pair);
            assert!(close(found.loss, *loss, 1e-12), "{name}: {found:?} {loss}");
            assert!(close(found.chosen_weight, *chosen, 1e-12), "{name}: {found:?} {chosen}");
            assert!(close(found.rejected_weight, *rejected, 1e-12), "{name}: {found:?} {rejected}");
        }
    }
    let grows = growing_margins_do_not_saturate_squares(&p);
    let covered: BTreeSet<&str> =
        of_ratios.iter().chain(&of_likelihoods).map(|limit| limit.0).chain(grows).collect();
    assert_eq!(covered, TABLE.iter().map(|row| row.name).collect());
    let far = Dpo::new(0.1, 0.0).unwrap().outcome(&ratios(far, -far));
    let tail = 0.1 * (-800.0_f64).exp();
    assert_eq!((far.loss, far.chosen_weight), (tail, tail), "vanishing, never NaN");
}

fn extremes() -> Vec<PairLogps<f64>> {
    let ends = [0.0, 1e-30, 1.0, 79.0, 81.0, 1e3, 1e5];
    let ends: Vec<f64> = ends.iter().flat_map(|&x| [x, -x]).collect();
    ends.iter().flat_map(|&c| ends.iter().map(move |&r| ratios(c, r))).collect()
}

#[test]
fn extreme_margins_give_numbers() {
    for (objective, p) in objectives() {
        let name = objective.info().name;
        let single = Objective::parse(name, &narrow(&p)).unwrap();
        for pair in extremes() {
            // Log-probabilities are at most 0.
            let pair = PairLogps { chosen: pair.chosen.min(0.0), rejected: pair.rejected.min(0.0), ..pair };
            let Outcome { loss, chosen_weight, rejected_weight } = objective.outcome(&pair);
            for x in [loss, chosen_weight, rejected_weight] {
                assert!(x.is_finite(), "{objective:?} {pair:?}: {x}");
            }
            let Outcome { loss, chosen_weight, rejected_weight } = single.outcome(&narrow_pair(&pair));
            assert!(
                !loss.is_nan() && !chosen_weight.is_nan() && !rejected_weight.is_nan(),
                "{single:?} {pair:?}: {loss} {chosen_weight} {rejected_weight}"
            );
        }
    }
}

#[test]
fn an_impossible_rejected_response_is_no_accident() {
    let p = Parameters { label_smoothing: 0.0, ..Parameters::default() };
    let pair = ratios(0.0, f64::NEG_INFINITY);
    let settled =
        ["dpo", "robust", "hinge", "discopop", "sigmoid_norm", "spin", "dpop", "bco_pair", "slic", "simpo"];
    for name in settled {
        let found = objective(name, &p).outcome(&pair);
        let bystander = match name {
            "bco_pair" => (LN_2, 0.05),
            "slic" => (0.0, 0.1),
            _ => (0.0, 0.0),
        };
        assert!(close(found.loss, bystander.0, 1e-15), "{name}: {found:?}");
        assert!(close(found.chosen_weight, bystander.1, 1e-15), "{name}: {found:?}");
        assert_eq!(found.rejected_weight, 0.0, "{name}");
    }
    let p = Parameters { label_smoothing: 0.1, ..p };
    for name in ["exo_pair", "nca_pair", "apo_zero", "apo_down", "orpo", "cpo"] {
        let p = if name == "cpo" { Parameters { label_smoothing: 0.0, ..p } } else { p };
        let Outcome { loss, chosen_weight, rejected_weight } = objective(name, &p).outcome(&pair);
        assert!(loss.is_finite() && chosen_weight.is_finite(), "{name}: {loss} {chosen_weight}");
        assert_eq!(rejected_weight, 0.0, "{name}");
    }
}

#[test]
fn discopop_first_narrows_the_margin_below_a_temperature_of_a_tenth() {
    let weight = |tau, h| DiscoPop::new(1.0, tau).unwrap().weights(&ratios(h, 0.0)).0;
    let turn = (1.0 - LN_2) / 3.0;
    assert!(weight(turn * 1.001, 0.0) > 0.0 && weight(turn * 0.999, 0.0) < 0.0);
    assert!(weight(0.05, 0.0) < 0.0 && weight(0.05, 1.0) > 0.0 && weight(0.05, -1.0) > 0.0);
}

#[test]
fn orpo_keeps_its_odds_finite_where_a_response_is_certain() {
    let orpo = Orpo::new(0.1).unwrap();
    let certain = orpo.outcome(&pair(0.0, -4.0, 0.0, 0.0));
    let p = (-1.0_f64).exp();
    assert!(close(certain.chosen_weight, (1.0 + 0.1 * p / (1.0 - p)) / 7.0, 1e-12), "{certain:?}");
    for pair in [pair(0.0, 0.0, 0.0, 0.0), pair(-3.0, 0.0, 0.0, 0.0), pair(-1e5, -3.0, 0.0, 0.0)] {
        let found = orpo.outcome(&pair);
        assert!(
            found.loss.is_finite() && found.chosen_weight.is_finite() && found.rejected_weight.is_finite()
        );
        let found = Orpo::new(0.1_f32).unwrap().outcome(&narrow_pair(&pair));
        assert!(
            found.loss.is_finite() && found.chosen_weight.is_finite() && found.rejected_weight.is_finite()
        );
    }
}
