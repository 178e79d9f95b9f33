//! Weights are derivatives, in both number types.

use super::*;
use std::println;

/// On which side of its kinks a pair lies; nothing where differences cannot follow the loss.
fn piece(objective: &Objective<f64>, p: &Parameters<f64>, pair: &PairLogps<f64>) -> Option<[bool; 3]> {
    let info = objective.info();
    let free = p.reference_free && info.reads("reference_free");
    let pair = if free { pair.without_reference() } else { *pair };
    let (r_chosen, r_rejected) = pair.log_ratios();
    let divergence = if info.reads("f_divergence_type") { p.divergence } else { Divergence::ReverseKl };
    // Steeper scores are compared with differences by themselves, below.
    let steep = |r| divergence.slope(r) > 30.0 || divergence.slope(r) == 0.0;
    let lead = divergence.score(r_chosen) - divergence.score(r_rejected);
    let sides = [
        info.name == "hinge" && p.beta * lead < 1.0,
        info.name == "slic" && pair.gap() < p.delta,
        info.name == "dpop" && r_chosen < 0.0,
    ];
    (!steep(r_chosen) && !steep(r_rejected)).then_some(sides)
}

#[test]
fn weights_are_the_derivatives_of_the_loss() {
    let mut worst = (0.0, std::string::String::new());
    let mut compared = 0;
    for (objective, p) in objectives() {
        for pair in pairs() {
            let by_chosen = |d| PairLogps { chosen: pair.chosen + d, ..pair };
            let by_rejected = |d| PairLogps { rejected: pair.rejected + d, ..pair };
            let Some(here) = piece(&objective, &p, &pair) else { continue };
            let around = [by_chosen(REACH), by_chosen(-REACH), by_rejected(REACH), by_rejected(-REACH)];
            if around.iter().any(|moved| piece(&objective, &p, moved) != Some(here)) {
                continue;
            }
            let Outcome { loss, chosen_weight, rejected_weight } = objective.outcome(&pair);
            assert!(loss.is_finite(), "{objective:?} {pair:?}");
            for (weight, exact) in [
                (chosen_weight, -derivative(|d| objective.loss(&by_chosen(d)))),
                (rejected_weight, derivative(|d| objective.loss(&by_rejected(d)))),
            ] {
                // The last term is what rounding of the loss leaves of a difference at small steps.
                compared += 1;
                let error = (weight - exact).abs() / (1.0 + exact.abs() + 1e-4 * loss.abs());
                if error.is_nan() || error > worst.0 {
                    worst = (error, std::format!("{objective:?} {pair:?}: {weight} and {exact}"));
                }
            }
        }
    }
    println!("{} objectives, {compared} weights, worst finite-difference error {:.1e}", TABLE.len(), worst.0);
    assert!(worst.0 <= 1e-8, "{worst:?}");
}

#[test]
fn f32_agrees_with_f64() {
    for (name, p) in TABLE.iter().flat_map(|row| parameters().into_iter().map(move |p| (row.name, p))) {
        let single = Objective::parse(name, &narrow(&p)).unwrap();
        for pair in pairs() {
            let found = single.outcome(&narrow_pair(&pair));
            let exact = objective(name, &p).outcome(&pair);
            for (found, exact) in [
                (found.loss, exact.loss),
                (found.chosen_weight, exact.chosen_weight),
                (found.rejected_weight, exact.rejected_weight),
            ] {
                if exact.abs() > 1e37 {
                    assert!(found.abs() > 1e36, "{name} {p:?} {pair:?}: {found} and {exact}");
                } else {
                    let error = (f64::from(found) - exact).abs();
                    assert!(
                        error <= 1e-4 * (1.0 + exact.abs()),
                        "{name} {p:?} {pair:?}: {found} and {exact}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_reference_is_read_exactly_by_those_that_say_so() {
    for (objective, p) in objectives() {
        let pair = pair(-30.0, -35.0, -30.5, -35.25);
        let moved = PairLogps { ref_chosen: -30.75, ref_rejected: -36.0, ..pair };
        let changed = objective.outcome(&pair) != objective.outcome(&moved);
        let hinge_is_flat = objective.info().name == "hinge" && objective.weights(&pair).1 == 0.0;
        assert!(changed == objective.uses_reference() || hinge_is_flat, "{objective:?} {p:?}");
    }
}

#[test]
fn options_do_what_their_names_say() {
    let default = Parameters { label_smoothing: 0.1, ..Parameters::default() };
    let pair = pair(-30.0, -35.0, -31.0, -34.5);
    for row in TABLE {
        let plain = objective(row.name, &default).outcome(&pair);
        let free = objective(row.name, &Parameters { reference_free: true, ..default });
        let expected = if row.reads("reference_free") {
            objective(row.name, &default).outcome(&pair.without_reference())
        } else {
            plain
        };
        assert_eq!(free.outcome(&pair), expected, "{}", row.name);
        let with_sft = objective(row.name, &Parameters { rpo_alpha: 0.7, ..default }).outcome(&pair);
        let (loss, weight) = if row.reads("rpo_alpha") { (0.7 * 30.0 / 7.0, 0.7 / 7.0) } else { (0.0, 0.0) };
        assert!((with_sft.loss - plain.loss - loss).abs() < 1e-12, "{}", row.name);
        assert!((with_sft.chosen_weight - plain.chosen_weight - weight).abs() < 1e-12, "{}", row.name);
        assert_eq!(with_sft.rejected_weight, plain.rejected_weight, "{}", row.name);
        let other = Parameters { divergence: Divergence::ForwardKl, ..default };
        let changed = objective(row.name, &other).outcome(&pair) != plain;
        assert_eq!(changed, row.reads("f_divergence_type"), "{}", row.name);
    }
    assert!(Objective::parse("dpo", &Parameters { rpo_alpha: -1.0, ..default }).is_err());
}

#[test]
fn divergences_have_the_derivatives_and_limits_that_they_say() {
    for divergence in [
        Divergence::ReverseKl,
        Divergence::ForwardKl,
        Divergence::JsDivergence,
        Divergence::AlphaDivergence(0.5),
        Divergence::AlphaDivergence(2.0),
    ] {
        for r in [-30.0, -2.0, 0.0, 0.5, 3.0, 30.0] {
            let exact = derivative(|d| divergence.score(r + d));
            assert!((divergence.slope(r) - exact).abs() <= 1e-8 * (1.0 + exact.abs()), "{divergence:?} {r}");
        }
        assert_eq!(
            (divergence.score(0.0), divergence.slope(0.0)),
            match divergence {
                Divergence::JsDivergence => (0.0, 0.5),
                _ => (0.0, 1.0),
            }
        );
        assert!(divergence.score(-1e30).is_finite() && !divergence.slope(-1e30).is_nan());
    }
    let near = Divergence::AlphaDivergence(1.0 + 1e-5);
    assert!((near.score(3.0) - 3.0).abs() < 1e-4 && (near.slope(3.0) - 1.0).abs() < 1e-4);
    assert_eq!(Divergence::AlphaDivergence(1.0).score(3.0), 3.0);
    assert!((Divergence::AlphaDivergence(0.0).score(2.0) - Divergence::ForwardKl.score(2.0)).abs() < 1e-15);
    assert!(Divergence::parse("alpha_divergence", f64::NAN).is_err());
    for info in DIVERGENCES {
        assert_eq!(Divergence::parse(info.name, 0.5).unwrap().info(), info);
    }
}
