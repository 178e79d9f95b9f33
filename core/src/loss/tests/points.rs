//! Points where the literature slips, and parameters out of range.

use super::*;
// The paper's slips: spec sentences that follow from the losses, not from its App. B.

#[test]
fn dpo_starts_at_log_2_with_half_of_beta() {
    let start = objective("dpo", &Parameters::default()).outcome(&ratios(0.0, 0.0));
    assert_eq!(start, Outcome { loss: core::f64::consts::LN_2, chosen_weight: 0.05, rejected_weight: 0.05 });
}

#[test]
fn ipo_starts_with_one_over_beta_and_rests_at_half_of_it() {
    let ipo = objective("ipo", &Parameters::default());
    assert_eq!(ipo.weights(&ratios(0.0, 0.0)), (10.0, 10.0));
    assert_eq!(ipo.outcome(&ratios(3.0, -2.0)).loss, 0.0);
    assert_eq!(ipo.weights(&ratios(3.0, -2.0)), (0.0, 0.0));
    assert!(ipo.weights(&ratios(4.0, -2.0)).0 < 0.0, "an over-separated pair is pulled together");
    let mean = objective("ipo_mean", &Parameters::default());
    assert_eq!(mean.weights(&ratios(35.0, 0.0)), (0.0, 0.0));
    assert_eq!(mean.weights(&ratios(0.0, 0.0)), (10.0 / 7.0, 10.0 / 4.0));
}

#[test]
fn slic_weighs_by_the_bare_indicator_and_its_anchor() {
    let slic = Slic::new(2.0, 0.25).unwrap();
    assert_eq!(slic.weights(&pair(-10.0, -11.0, 0.0, 0.0)), (1.25, 1.0));
    assert_eq!(slic.weights(&pair(-10.0, -13.0, 0.0, 0.0)), (0.25, 0.0));
    assert_eq!(slic.loss(&pair(-10.0, -11.0, 0.0, 0.0)), 1.0 + 2.5);
}

#[test]
fn sppo_pushes_both_equally_at_first_and_lets_go_independently() {
    let sppo = objective("sppo_hard", &Parameters::default());
    assert_eq!(sppo.weights(&ratios(0.0, 0.0)), (10.0, 10.0));
    assert_eq!(sppo.weights(&ratios(5.0, -1.0)), (0.0, 8.0));
    assert_eq!(sppo.weights(&ratios(0.0, -6.0)), (10.0, -2.0));
}

#[test]
fn conservative_dpo_changes_sign_where_a_exceeds_one_minus_epsilon() {
    let (beta, smoothing) = (0.5, 0.1);
    let cdpo = Dpo::new(beta, smoothing).unwrap();
    let turn = ((1.0 - smoothing) / smoothing).ln() / beta;
    assert!(cdpo.weights(&ratios(turn, 0.0)).0.abs() < 1e-15);
    assert!(cdpo.weights(&ratios(turn + 0.1, 0.0)).0 < 0.0);
    assert!(RobustDpo::new(beta, smoothing).unwrap().weights(&ratios(turn + 50.0, 0.0)).0 > 0.0);
}

#[test]
fn a_larger_beta_weakens_dpo_only_beyond_a_margin_of_1_28_over_beta() {
    let weight = |beta, h| Dpo::new(beta, 0.0).unwrap().weights(&ratios(h, 0.0)).0;
    assert!(weight(0.2, 1.0) > weight(0.1, 1.0));
    assert!(weight(2.0, 1.0) < weight(1.3, 1.0));
    let peak = 1.278_464_542_761_074; // x with x·σ(x) = 1
    assert!(weight(peak, 1.0) > weight(peak * 1.01, 1.0) && weight(peak, 1.0) > weight(peak * 0.99, 1.0));
}

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    for beta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        for row in TABLE.iter().filter(|row| !["sft", "slic"].contains(&row.name)) {
            let p = Parameters { beta, ..Parameters::default() };
            let refused = Objective::parse(row.name, &p);
            assert!(matches!(refused, Err(Error::Range { name: "beta", .. })), "{} {beta}", row.name);
        }
    }
    for label_smoothing in [-0.1, 0.5, 1.0, f64::NAN] {
        for name in ["dpo", "cdpo", "robust"] {
            let p = Parameters { label_smoothing, ..Parameters::default() };
            assert!(matches!(Objective::parse(name, &p), Err(Error::Range { name: "label_smoothing", .. })));
        }
    }
    for tau in [0.0, 1.5, f64::NAN] {
        assert!(matches!(DiscoPop::new(0.1, tau), Err(Error::Range { name: "discopop_tau", .. })));
    }
    for unsure in [0.0, 0.5] {
        assert!(matches!(Exo::new(0.1, unsure), Err(Error::Range { name: "label_smoothing", .. })));
    }
    assert!(Cpo::new(0.1, 0.0, -1.0).is_err() && SimPo::new(0.1, 0.0, f64::INFINITY).is_err());
    assert!(Dpop::new(0.1, -1.0).is_err() && Bco::new(0.1, f64::NAN).is_err());
    assert!(Slic::new(0.0, 0.1).is_err() && Slic::new(1.0, -0.1).is_err() && Slic::new(1.0, 0.0).is_ok());
}

#[test]
fn implicit_rewards_are_beta_times_the_log_ratios() {
    assert_eq!(ratios(3.0, -2.0).implicit_rewards(0.5), (1.5, -1.0));
}

#[test]
fn an_empty_response_counts_as_one_token_in_means() {
    let pair = PairLogps { rejected_len: 0, ..ratios(7.0, 2.0) };
    assert_eq!(Margin { token_mean: true, ..Margin::default() }.value(&pair), 1.0 - 2.0);
}
