//! Objectives against finite differences, against their formulas in [`TABLE`], and at the points
//! where the literature slips.

use super::*;
use crate::testing::noise;
extern crate std;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

fn pair(chosen: f64, rejected: f64, ref_chosen: f64, ref_rejected: f64) -> PairLogps<f64> {
    PairLogps { chosen, rejected, ref_chosen, ref_rejected, chosen_len: 7, rejected_len: 4 }
}

/// A pair with the given log-ratios.
fn ratios(chosen: f64, rejected: f64) -> PairLogps<f64> {
    pair(chosen - 40.0, rejected - 50.0, -40.0, -50.0)
}

fn parameters() -> Vec<Parameters<f64>> {
    let p =
        |beta, label_smoothing, delta, sft_weight| Parameters { beta, label_smoothing, delta, sft_weight };
    vec![Parameters::default(), p(0.05, 0.1, 2.0, 0.0), p(0.5, 0.4, 10.0, 1.0), p(2.0, 0.25, 0.5, 0.3)]
}

fn pairs() -> Vec<PairLogps<f64>> {
    noise(400, 60.0).chunks(4).map(|c| pair(c[0] - 40.0, c[1] - 40.0, c[2] - 40.0, c[3] - 40.0)).collect()
}

fn objective(name: &str, p: &Parameters<f64>) -> Objective<f64> {
    Objective::parse(name, p).unwrap()
}

/// Every objective at every setting.
fn objectives() -> Vec<(Objective<f64>, Parameters<f64>)> {
    let all = TABLE.iter().map(|row| row.name);
    all.flat_map(|name| parameters().into_iter().map(move |p| (objective(name, &p), p))).collect()
}

#[test]
fn weights_are_the_derivatives_of_the_loss() {
    // Central differences of fourth order.
    let derivative = |f: &dyn Fn(f64) -> f64| {
        let d = 1e-3;
        (8.0 * (f(d) - f(-d)) - (f(2.0 * d) - f(-2.0 * d))) / (12.0 * d)
    };
    for (objective, p) in objectives() {
        for pair in pairs() {
            let kink = match objective {
                Objective::Hinge(_) => p.beta * pair.margin() - 1.0,
                Objective::Slic(_) => pair.chosen - pair.rejected - p.delta,
                _ => 1.0,
            };
            if kink.abs() < 0.02 {
                continue;
            }
            let by_chosen = derivative(&|d| objective.loss(&PairLogps { chosen: pair.chosen + d, ..pair }));
            let by_rejected =
                derivative(&|d| objective.loss(&PairLogps { rejected: pair.rejected + d, ..pair }));
            let Outcome { loss, chosen_weight, rejected_weight } = objective.outcome(&pair);
            assert!(loss.is_finite());
            for (weight, exact) in [(chosen_weight, -by_chosen), (rejected_weight, by_rejected)] {
                assert!((weight - exact).abs() <= 1e-8 * (1.0 + exact.abs()), "{objective:?} {pair:?}");
            }
        }
    }
}

#[test]
fn the_reference_is_read_exactly_by_those_that_say_so() {
    for (objective, _) in objectives() {
        let pair = pair(-30.0, -35.0, -30.5, -35.25);
        let moved = PairLogps { ref_chosen: -30.75, ref_rejected: -36.0, ..pair };
        let changed = objective.outcome(&pair) != objective.outcome(&moved);
        let hinge_is_flat = matches!(objective, Objective::Hinge(_)) && objective.loss(&pair) == 0.0;
        assert!(changed == objective.uses_reference() || hinge_is_flat, "{objective:?}");
    }
}

#[test]
fn f32_agrees_with_f64() {
    for (name, p) in TABLE.iter().flat_map(|row| parameters().into_iter().map(|p| (row.name, p))) {
        let narrow = Parameters {
            beta: p.beta as f32,
            label_smoothing: p.label_smoothing as f32,
            delta: p.delta as f32,
            sft_weight: p.sft_weight as f32,
        };
        let narrow = Objective::parse(name, &narrow).unwrap();
        for pair in pairs() {
            let found = narrow.outcome(&PairLogps {
                chosen: pair.chosen as f32,
                rejected: pair.rejected as f32,
                ref_chosen: pair.ref_chosen as f32,
                ref_rejected: pair.ref_rejected as f32,
                chosen_len: pair.chosen_len,
                rejected_len: pair.rejected_len,
            });
            let exact = objective(name, &p).outcome(&pair);
            for (found, exact) in [
                (found.loss, exact.loss),
                (found.chosen_weight, exact.chosen_weight),
                (found.rejected_weight, exact.rejected_weight),
            ] {
                assert!((f64::from(found) - exact).abs() <= 1e-4 * (1.0 + exact.abs()), "{name} {pair:?}");
            }
        }
    }
}

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
    let slic = Objective::Slic(Slic::new(2.0, 0.25).unwrap());
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
fn small_beta_and_saturated_margins_reach_their_limits() {
    let tiny = 1e-9;
    for (name, smoothing) in [("dpo", 0.0), ("dpo", 0.2), ("robust", 0.2)] {
        let p = Parameters { beta: tiny, label_smoothing: smoothing, ..Parameters::default() };
        let Outcome { loss, chosen_weight, .. } = objective(name, &p).outcome(&ratios(3.0, -4.0));
        assert!((loss - core::f64::consts::LN_2).abs() < 1e-7);
        let limit = if name == "dpo" { 0.5 - smoothing } else { 0.5 / (1.0 - 2.0 * smoothing) };
        assert!((chosen_weight / tiny - limit).abs() < 1e-7);
    }
    let dpo = Dpo::new(0.1, 0.0).unwrap();
    let far = dpo.outcome(&ratios(4000.0, -4000.0));
    let tail = 0.1 * (-800.0_f64).exp();
    assert_eq!((far.loss, far.chosen_weight), (tail, tail), "vanishing, never NaN");
    let wrong = dpo.outcome(&ratios(-4000.0, 4000.0));
    assert_eq!((wrong.loss, wrong.chosen_weight), (800.0, 0.1));
    let impossible = dpo.outcome(&ratios(0.0, f64::NEG_INFINITY));
    assert_eq!((impossible.loss, impossible.chosen_weight), (0.0, 0.0));
    let smooth = Dpo::new(0.1, 0.2).unwrap();
    assert!((smooth.weights(&ratios(4000.0, -4000.0)).0 + 0.1 * 0.2).abs() < 1e-15);
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
    assert!(Objective::parse("cdpo", &Parameters::<f64>::default()).is_err());
    assert!(Slic::new(0.0, 0.1).is_err() && Slic::new(1.0, -0.1).is_err() && Slic::new(1.0, 0.0).is_ok());
    let message = format!("{}", Objective::<f64>::parse("DPO", &Parameters::default()).unwrap_err());
    assert!(message.contains("sft, dpo (or sigmoid), cdpo, robust"), "{message}");
    for row in TABLE {
        assert!(message.contains(row.name), "{message} lacks {}", row.name);
    }
}

#[test]
fn implicit_rewards_are_beta_times_the_log_ratios() {
    assert_eq!(ratios(3.0, -2.0).implicit_rewards(0.5), (1.5, -1.0));
}

#[test]
fn an_empty_response_counts_as_one_token_in_means() {
    let pair = PairLogps { rejected_len: 0, ..ratios(7.0, 2.0) };
    assert_eq!(pair.mean_margin(), 1.0 - 2.0);
}

// The table.

#[test]
fn the_table_says_what_the_code_computes() {
    for (objective, p) in objectives() {
        let row = objective.info();
        assert_eq!(objective, self::objective(row.name, &p), "{} has another's row", row.name);
        for pair in pairs() {
            let outcome = objective.outcome(&pair);
            for (text, found) in [
                (row.loss, outcome.loss),
                (row.chosen_weight, outcome.chosen_weight),
                (row.rejected_weight, outcome.rejected_weight),
            ] {
                let exact = Formula::evaluate(text, &p, &pair);
                assert!((found - exact).abs() <= 1e-12 * (1.0 + exact.abs()), "{}: {text}", row.name);
            }
        }
    }
}

#[test]
fn the_table_in_the_docs_is_the_table() {
    let written: Vec<&str> = include_str!("mod.rs").lines().filter(|l| l.starts_with("//! | `")).collect();
    let rendered: Vec<String> = TABLE
        .iter()
        .map(|r| {
            format!(
                "//! | `{}` | `{}` | `{}` | `{}` | {} |",
                r.name, r.loss, r.chosen_weight, r.rejected_weight, r.source
            )
        })
        .collect();
    assert_eq!(written, rendered);
}

/// Reads the table's formulas: sums of products of atoms, with ², brackets, `max(a, b)`, `σ(x)`,
/// `logσ(x)` and the indicator `[a < b]`.
struct Formula<'a> {
    rest: &'a str,
    parameters: &'a Parameters<f64>,
    pair: &'a PairLogps<f64>,
}

impl Formula<'_> {
    fn evaluate(text: &str, parameters: &Parameters<f64>, pair: &PairLogps<f64>) -> f64 {
        let mut formula = Formula { rest: text, parameters, pair };
        let value = formula.sum();
        assert_eq!(formula.rest, "", "cannot read the end of {text}");
        value
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest.trim_start().strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn expect(&mut self, token: &str) {
        assert!(self.take(token), "expected {token} at {}", self.rest);
    }

    fn sum(&mut self) -> f64 {
        let mut value = if self.take("−") { -self.product() } else { self.product() };
        loop {
            if self.take("+") {
                value += self.product();
            } else if self.take("−") {
                value -= self.product();
            } else {
                return value;
            }
        }
    }

    fn product(&mut self) -> f64 {
        let mut value = self.power();
        loop {
            if self.take("·") {
                value *= self.power();
            } else if self.take("/") {
                value /= self.power();
            } else {
                return value;
            }
        }
    }

    fn power(&mut self) -> f64 {
        let value = self.atom();
        if self.take("²") { value * value } else { value }
    }

    fn atom(&mut self) -> f64 {
        if self.take("max(") {
            let a = self.sum();
            self.expect(",");
            let b = self.sum();
            self.expect(")");
            return a.max(b);
        }
        if self.take("[") {
            let a = self.sum();
            self.expect("<");
            let b = self.sum();
            self.expect("]");
            return if a < b { 1.0 } else { 0.0 };
        }
        for (name, function) in [
            ("logσ(", (|x| -(-x).exp().ln_1p()) as fn(f64) -> f64),
            ("σ(", |x| 1.0 / (1.0 + (-x).exp())),
            ("(", |x| x),
        ] {
            if self.take(name) {
                let x = self.sum();
                self.expect(")");
                return function(x);
            }
        }
        let (pair, p) = (self.pair, self.parameters);
        let (r_chosen, r_rejected) = (pair.chosen - pair.ref_chosen, pair.rejected - pair.ref_rejected);
        let (l_chosen, l_rejected) = (pair.chosen_len as f64, pair.rejected_len as f64);
        for (name, value) in [
            ("ℓ₊", pair.chosen),
            ("r₊", r_chosen),
            ("r₋", r_rejected),
            ("L₊", l_chosen),
            ("L₋", l_rejected),
            ("h", r_chosen - r_rejected),
            ("m", r_chosen / l_chosen - r_rejected / l_rejected),
            ("g", pair.chosen - pair.rejected),
            ("β", p.beta),
            ("ε", p.label_smoothing),
            ("δ", p.delta),
            ("λ", p.sft_weight),
            ("0", 0.0),
            ("1", 1.0),
            ("2", 2.0),
        ] {
            if self.take(name) {
                return value;
            }
        }
        panic!("cannot read {}", self.rest)
    }
}
