//! Gate-DPO's factor on w₋: its formula, its limits, and what it does to weights.

use super::formula::evaluate;
use super::*;
use crate::softmax::sigmoid;

/// Log-probabilities of the tokens of a rejected response with the sum and length that `pair` has.
fn tokens(pair: &PairLogps<f64>) -> Vec<f64> {
    let n = pair.rejected_len as f64;
    let step = pair.rejected / (n * (n + 1.0) / 2.0);
    (1..=pair.rejected_len).map(|l| step * l as f64).collect()
}

#[test]
fn the_gate_is_its_formula_of_the_geometric_mean() {
    for (alpha, tau) in [(0.5, 0.0), (10.0, 0.1), (60.0, 0.5), (1e3, 1.0)] {
        let gate = Gate::new(alpha, tau).unwrap();
        for pair in pairs() {
            let symbols = [("α", alpha), ("τ", tau), ("ℓ₋", pair.rejected), ("L₋", pair.rejected_len as f64)];
            let exact = evaluate("σ(α·(exp(ℓ₋/L₋) − τ))", &symbols);
            let found = gate.factor(&tokens(&pair));
            assert!((found - exact).abs() <= 1e-12 * exact, "{gate:?} {pair:?}: {found} {exact}");
        }
    }
    // Length alone does not shut it: 2 and 200 tokens at 0.5 each.
    let gate = Gate::new(20.0, 0.25).unwrap();
    let [short, long] = [2, 200].map(|n| gate.factor(&std::vec![0.5_f64.ln(); n]));
    assert!((short - sigmoid(5.0)).abs() < 1e-12 && (long - short).abs() < 1e-12, "{short} {long}");
}

#[test]
fn the_gate_reaches_its_limits_and_refuses_what_is_none() {
    let gate = Gate::new(40.0, 0.25).unwrap();
    assert_eq!(gate.factor(&[0.25_f64.ln()]), 0.5);
    assert_eq!(gate.factor(&[-1.0, f64::NEG_INFINITY]), sigmoid(-10.0));
    assert_eq!(gate.factor(&[0.0, 0.0]), sigmoid(30.0));
    assert_eq!(gate.factor(&[]), sigmoid(30.0), "as a certain one");
    let single = Gate::new(40.0_f32, 0.25).unwrap().factor(&[-0.5, -2.0]);
    assert!((f64::from(single) - gate.factor(&[-0.5, -2.0])).abs() < 1e-5);
    let nan = f64::NAN;
    for (alpha, tau) in [(0.0, 0.5), (-1.0, 0.5), (f64::INFINITY, 0.5), (nan, 0.5), (1.0, -0.1), (1.0, nan)] {
        assert!(matches!(Gate::new(alpha, tau), Err(Error::Range { .. })), "{alpha} {tau}");
    }
}

/// The derivatives of the loss as automatic differentiation has them when the rejected response enters as
/// stop(ℓ₋) + stop(gate)·(ℓ₋ − stop(ℓ₋)).
#[test]
fn gated_weights_are_derivatives_with_the_gate_detached() {
    let gate = Gate::new(12.0, 0.2).unwrap();
    let p = Parameters { label_smoothing: 0.1, ..Parameters::default() };
    let pair = pair(-9.0, -6.5, -8.0, -7.5);
    let factor = gate.factor(&tokens(&pair));
    assert!(factor > 0.05 && factor < 0.95, "{factor}");
    for row in TABLE {
        let objective = objective(row.name, &p);
        let plain = objective.outcome(&pair);
        let gated = gate.gated(plain, &tokens(&pair));
        let by_chosen = |d| objective.loss(&PairLogps { chosen: pair.chosen + d, ..pair });
        let by_rejected = |d| objective.loss(&PairLogps { rejected: pair.rejected + factor * d, ..pair });
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-8 * (1.0 + b.abs());
        assert!(close(gated.chosen_weight, -derivative(by_chosen)), "{}: {gated:?}", row.name);
        assert!(close(gated.rejected_weight, derivative(by_rejected)), "{}: {gated:?}", row.name);
        assert_eq!((gated.loss, gated.chosen_weight), (plain.loss, plain.chosen_weight), "{}", row.name);
    }
}

/// ∂w₊/∂ℓ₋ + ∂w₋/∂ℓ₊ is 0 for the weights of a loss, and for gated DPO it is not.
#[test]
fn gated_weights_are_the_gradient_of_no_loss() {
    let gate = Gate::new(12.0, 0.2).unwrap();
    let pair = pair(-9.0, -6.5, -8.0, -7.5);
    let curl = |name: &str, gated: bool| {
        let objective = objective(name, &Parameters::default());
        let outcome = |pair: PairLogps<f64>| {
            let plain = objective.outcome(&pair);
            if gated { gate.gated(plain, &tokens(&pair)) } else { plain }
        };
        derivative(|d| outcome(PairLogps { rejected: pair.rejected + d, ..pair }).chosen_weight)
            + derivative(|d| outcome(PairLogps { chosen: pair.chosen + d, ..pair }).rejected_weight)
    };
    for name in ["dpo", "ipo", "spin"] {
        assert!(curl(name, false).abs() < 1e-9 && curl(name, true).abs() > 1e-4, "{name}");
    }
    // Where each weight is a function of its own response there is one, which is not the loss that is gated.
    for name in ["sppo", "apo_zero"] {
        assert!(curl(name, true).abs() < 1e-9, "{name}");
    }
}
