//! Batches, single examples, tokens.

use super::formula::evaluate;
use super::*;
use crate::softmax::log_sum_exp;

fn settings() -> [(f64, f64); 4] {
    [(0.1, 0.0), (0.5, 0.2), (2.0, 0.45), (1e-6, 0.0)]
}

fn outcomes(aot: &Aot<f64>, pairs: &[PairLogps<f64>]) -> Vec<Outcome<f64>> {
    let zero = Outcome { loss: 0.0, chosen_weight: 0.0, rejected_weight: 0.0 };
    let mut out = std::vec![zero; pairs.len()];
    aot.outcomes_into(pairs, &mut std::vec![7; 2 * pairs.len()], &mut out).unwrap();
    out
}

fn both(beta: f64, smoothing: f64) -> [Aot<f64>; 2] {
    [Aot::paired(beta, smoothing).unwrap(), Aot::unpaired(beta, smoothing).unwrap()]
}

#[test]
fn aot_weights_are_the_derivatives_of_the_batch_loss() {
    let total =
        |aot: &Aot<f64>, batch: &[PairLogps<f64>]| outcomes(aot, batch).iter().map(|o| o.loss).sum::<f64>();
    for (beta, smoothing) in settings() {
        for aot in both(beta, smoothing) {
            for batch in pairs()[..100].chunks(9) {
                let mut moved = batch.to_vec();
                for (i, found) in outcomes(&aot, batch).iter().enumerate() {
                    // Scores in a batch of noise lie further apart than the steps taken here.
                    let mut by = |set: &dyn Fn(&mut PairLogps<f64>, f64)| {
                        let slope = derivative(|d| {
                            set(&mut moved[i], d * 1e-2);
                            total(&aot, &moved)
                        });
                        moved[i] = batch[i];
                        slope * 1e2
                    };
                    let chosen = -by(&|pair, d| pair.chosen = batch[i].chosen + d);
                    let rejected = by(&|pair, d| pair.rejected = batch[i].rejected + d);
                    let near = |a: f64, b: f64| (a - b).abs() <= 1e-8 * (1.0 + b.abs());
                    assert!(near(found.chosen_weight, chosen), "{aot:?} {i}: {found:?} {chosen}");
                    assert!(near(found.rejected_weight, rejected), "{aot:?} {i}: {found:?} {rejected}");
                }
            }
        }
    }
}

#[test]
fn aot_is_dpo_on_one_pair_and_does_not_see_the_order_of_a_batch() {
    for (beta, smoothing) in settings() {
        for aot in both(beta, smoothing) {
            let batch = &pairs()[..20];
            for pair in batch {
                let (found, dpo) =
                    (outcomes(&aot, &[*pair])[0], Dpo::new(beta, smoothing).unwrap().outcome(pair));
                let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * (1.0 + b.abs());
                assert!(near(found.loss, dpo.loss) && near(found.chosen_weight, dpo.chosen_weight));
            }
            let reversed: Vec<_> = batch.iter().rev().copied().collect();
            let mut backwards = outcomes(&aot, &reversed);
            backwards.reverse();
            assert_eq!(outcomes(&aot, batch), backwards);
            assert!(outcomes(&aot, &[]).is_empty());
        }
    }
}

#[test]
fn aot_pairs_equal_ranks() {
    let batch = [ratios(3.0, 1.0), ratios(-2.0, 0.0), ratios(0.5, 4.0)];
    let dpo = Dpo::new(0.1, 0.0).unwrap();
    // r₊ sorted: −2, 0.5, 3; r₋ sorted: 0, 1, 4.
    let found = outcomes(&Aot::unpaired(0.1, 0.0).unwrap(), &batch);
    for (i, t) in [(0, 3.0 - 4.0), (1, -2.0 - 0.0), (2, 0.5 - 1.0)] {
        assert!((found[i].loss - dpo.loss_at(t)).abs() < 1e-15);
        assert!((found[i].chosen_weight - dpo.pull_at(t)).abs() < 1e-15);
    }
    for (i, t) in [(0, 0.5 - 1.0), (1, -2.0 - 0.0), (2, 3.0 - 4.0)] {
        assert!((found[i].rejected_weight - dpo.pull_at(t)).abs() < 1e-15);
    }
    // A NaN spoils its own rank and panics nowhere.
    let mut spoilt = batch.to_vec();
    spoilt[1].chosen = f64::NAN;
    spoilt.extend((0..60).map(|i| ratios(if i % 3 == 0 { f64::NAN } else { f64::from(i) }, 1.0)));
    assert!(outcomes(&Aot::paired(0.1, 0.0).unwrap(), &spoilt).iter().any(|o| o.loss.is_finite()));
    let out = &mut outcomes(&Aot::paired(0.1, 0.0).unwrap(), &batch);
    let short = Aot::paired(0.1, 0.0).unwrap().outcomes_into(&batch, &mut [0; 5], out);
    assert_eq!(short, Err(Error::Length { name: "scratch", found: 5, expected: 6 }));
}

/// All of [`OTHERS`]: what of them depends on β and on how far a response is from its baseline.
#[test]
fn kto_and_aot_have_their_limits_in_beta_and_in_the_tails() {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * (1.0 + b.abs());
    let (beta, smoothing) = (1e-9, 0.2);
    for name in OTHERS.iter().map(|row| row.name) {
        match name {
            "kto" => {
                let kto = Kto::new(beta, 1.5, 0.25).unwrap();
                for (found, omega) in [(kto.desirable(3.0, 1.0), 1.5), (kto.undesirable(3.0, 1.0), 0.25)] {
                    assert!(
                        near(found.loss, omega / 2.0) && near(found.weight / beta, omega / 4.0),
                        "{found:?}"
                    );
                }
                let kto = Kto::new(0.1, 1.5, 0.25).unwrap();
                let tails = [kto.desirable(4e3, 1.0), kto.desirable(-4e3, 1.0)];
                assert!(near(tails[0].loss, 0.0) && near(tails[1].loss, 1.5), "{tails:?}");
                let tails_of_bad = [kto.undesirable(-4e3, 1.0), kto.undesirable(4e3, 1.0)];
                assert!(
                    near(tails_of_bad[0].loss, 0.0) && near(tails_of_bad[1].loss, 0.25),
                    "{tails_of_bad:?}"
                );
                assert!(tails.iter().chain(&tails_of_bad).all(|tail| tail.weight < 1e-100));
            }
            "aot" | "aot_unpaired" => {
                let of = |beta| both(beta, smoothing)[usize::from(name == "aot_unpaired")];
                for found in outcomes(&of(beta), &pairs()[..9]) {
                    assert!(near(found.loss, core::f64::consts::LN_2), "{found:?}");
                    assert!(near(found.chosen_weight / beta, 0.5 - smoothing), "{found:?}");
                    assert!(near(found.rejected_weight / beta, 0.5 - smoothing), "{found:?}");
                }
                for (r, pull) in [(4e3, -0.1 * smoothing), (-4e3, 0.1 * (1.0 - smoothing))] {
                    let found = outcomes(&of(0.1), &[ratios(r, 0.0), ratios(r, 0.0)]);
                    for weight in found.iter().flat_map(|o| [o.chosen_weight, o.rejected_weight]) {
                        assert!(near(weight, pull), "{found:?} {pull}");
                    }
                }
            }
            other => panic!("the limits of {other} are not stated"),
        }
    }
}

#[test]
fn kto_weights_are_derivatives_and_its_pairs_at_baseline_0_are_apo_zero() {
    for (beta, _) in settings() {
        let kto = Kto::new(beta, 1.5, 0.25).unwrap();
        for r in [-1e5, -800.0, -40.0, -1.0, 0.0, 0.5, 3.0, 90.0, 1e5] {
            for z in [0.0, 2.5, 60.0] {
                let (good, bad) = (kto.desirable(r, z), kto.undesirable(r, z));
                let slope = derivative(|d| kto.desirable(r + d, z).loss);
                assert!((good.weight + slope).abs() <= 1e-8, "{beta} {r} {z}");
                let slope = derivative(|d| kto.undesirable(r + d, z).loss);
                assert!((bad.weight - slope).abs() <= 1e-8, "{beta} {r} {z}");
                assert!(good.weight >= 0.0 && bad.weight >= 0.0);
                let single = Kto::new(beta as f32, 1.5, 0.25).unwrap().desirable(r as f32, z as f32);
                assert!((f64::from(single.loss) - good.loss).abs() < 1e-5);
                assert!((f64::from(single.weight) - good.weight).abs() < 1e-5);
            }
        }
        let (kto, apo) = (Kto::new(beta, 1.0, 1.0).unwrap(), ApoZero::new(beta).unwrap());
        for pair in pairs() {
            let (r_chosen, r_rejected) = pair.log_ratios();
            let (good, bad) = (kto.desirable(r_chosen, 0.0), kto.undesirable(r_rejected, 0.0));
            let outcome = apo.outcome(&pair);
            assert!((outcome.loss - good.loss - bad.loss).abs() < 1e-15);
            assert!((outcome.chosen_weight - good.weight).abs() < 1e-15);
            assert!((outcome.rejected_weight - bad.weight).abs() < 1e-15);
        }
    }
    assert!(Kto::new(0.0, 1.0, 1.0).is_err() && Kto::new(1.0, 1.0, f64::NAN).is_err());
}

#[test]
fn the_table_beyond_pairs_says_what_the_code_computes() {
    let (good, bad) = (1.5, 0.25);
    for (beta, smoothing) in settings() {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * (1.0 + b.abs());
        for x in [-30.0, -2.0, 0.0, 0.5, 40.0] {
            for row in OTHERS {
                let z = if row.name == "kto" { 1.25 } else { 0.0 };
                let symbols =
                    [("ω₊", good), ("ω₋", bad), ("β", beta), ("ε", smoothing), ("r", x), ("t", x), ("z", z)];
                let kto = Kto::new(beta, good, bad).unwrap();
                let aot = |aot: Aot<f64>| {
                    let outcome = outcomes(&aot, &[ratios(x, 0.0)])[0];
                    (outcome.loss, outcome.chosen_weight)
                };
                let example = |e: ExampleOutcome<f64>| (e.loss, e.weight);
                let (loss, weight) = match (row.name, row.of) {
                    ("kto", "desirable") => example(kto.desirable(x, z)),
                    ("kto", "undesirable") => example(kto.undesirable(x, z)),
                    ("aot", _) => aot(Aot::paired(beta, smoothing).unwrap()),
                    ("aot_unpaired", _) => aot(Aot::unpaired(beta, smoothing).unwrap()),
                    _ => panic!("no code for {row:?}"),
                };
                assert!(near(loss, evaluate(row.loss, &symbols)), "{row:?} {symbols:?}");
                assert!(near(weight, evaluate(row.weight, &symbols)), "{row:?} {symbols:?}");
            }
        }
    }
}

#[test]
fn slic_with_an_anchor_of_its_own_is_slic_where_the_anchor_is_chosen() {
    let slic = Slic::new(1.0, 0.3).unwrap();
    for pair in pairs() {
        let (anchored, weight) = slic.anchored(&pair, pair.chosen);
        let outcome = slic.outcome(&pair);
        assert_eq!(outcome.loss, anchored.loss);
        assert_eq!(outcome.chosen_weight, anchored.chosen_weight + weight);
        assert_eq!(outcome.rejected_weight, anchored.rejected_weight);
        let slope = derivative(|d| slic.anchored(&pair, -9.0 + d).0.loss);
        assert!((weight + slope).abs() < 1e-8);
    }
}

#[test]
fn length_desensitised_weights_are_derivatives_by_token() {
    let (chosen, rejected) = ([-1.0, -0.5, -3.0, -2.0, -0.25], [-2.0, -1.0]);
    for alpha in [0.0, 0.3, 1.0] {
        let ld = LengthDesensitised::new(alpha).unwrap();
        let pair = |chosen: &[f64], rejected: &[f64]| PairLogps {
            chosen: ld.sum(chosen, rejected.len()),
            rejected: ld.sum(rejected, chosen.len()),
            ref_chosen: -6.0,
            ref_rejected: -3.5,
            chosen_len: chosen.len(),
            rejected_len: rejected.len(),
        };
        for row in TABLE {
            let objective =
                objective(row.name, &Parameters { label_smoothing: 0.1, ..Parameters::default() });
            let (up, down) = objective.weights(&pair(&chosen, &rejected));
            let token = |l: usize, d: f64| {
                let mut moved = chosen;
                moved[l] += d;
                objective.loss(&pair(&moved, &rejected))
            };
            for l in 0..chosen.len() {
                let expected = -up * ld.token_weight(l, rejected.len());
                assert!(
                    (derivative(|d| token(l, d)) - expected).abs() < 1e-8 * (1.0 + expected.abs()),
                    "{}",
                    row.name
                );
            }
            let slope = derivative(|d| objective.loss(&pair(&chosen, &[rejected[0], rejected[1] + d])));
            let expected = down * ld.token_weight(1, chosen.len());
            assert!((slope - expected).abs() < 1e-8 * (1.0 + expected.abs()), "{}", row.name);
        }
    }
    let whole = LengthDesensitised::new(1.0).unwrap();
    assert_eq!(whole.sum(&chosen, 2), chosen.iter().sum::<f64>());
    let cut = LengthDesensitised::new(0.0).unwrap();
    assert_eq!(cut.sum(&[-1.0, f64::NEG_INFINITY], 2), f64::NEG_INFINITY);
    assert_eq!((cut.sum(&chosen, 2), cut.sum(&chosen, 0)), (-1.5, 0.0));
}

#[test]
fn wpo_weighs_by_the_policy_and_scales_everything() {
    let uniform = [-(8.0_f64.ln()); 3];
    assert!((wpo_weight(&uniform, &[0.125; 3]).unwrap() - 1.0).abs() < 1e-15);
    assert_eq!(wpo_weight::<f64>(&[], &[]).unwrap(), 1.0);
    let likely = wpo_weight(&[-0.1_f64, -0.2], &[0.5, 0.6]).unwrap();
    assert!(
        (likely - (0.5 * ((-0.1_f64).exp() / 0.5).ln() + 0.5 * ((-0.2_f64).exp() / 0.6).ln()).exp()).abs()
            < 1e-15
    );
    assert_eq!(wpo_weight(&[f64::NEG_INFINITY], &[0.5]).unwrap(), 0.0);
    let outcome = Outcome { loss: 3.0, chosen_weight: -1.0, rejected_weight: 2.0 };
    assert_eq!(outcome.scaled(0.5), Outcome { loss: 1.5, chosen_weight: -0.5, rejected_weight: 1.0 });
}

#[test]
fn smoothed_residuals_are_the_gradient_of_the_smoothed_loss() {
    for (i, row) in noise(60, 12.0).chunks(6).enumerate() {
        let label = i % 6;
        for smoothing in [0.0, 0.1, 0.9] {
            let mut residual = [0.0; 6];
            smoothed_residual_into(row, label, log_sum_exp(row), smoothing, &mut residual).unwrap();
            for v in 0..6 {
                let slope = derivative(|d| {
                    let mut moved = row.to_vec();
                    moved[v] += d;
                    smoothed_nll(&moved, label, smoothing).unwrap()
                });
                assert!((residual[v] - slope).abs() < 1e-8, "{smoothing} {v}: {residual:?} {slope}");
            }
            assert!(residual.iter().sum::<f64>().abs() < 1e-14);
            let single: Vec<f32> = row.iter().map(|&z| z as f32).collect();
            let narrow = smoothed_nll(&single, label, smoothing as f32).unwrap();
            assert!((f64::from(narrow) - smoothed_nll(row, label, smoothing).unwrap()).abs() < 1e-5);
        }
    }
    // The least loss is the entropy of the target, at π = q.
    let q = [0.9 + 0.025, 0.025, 0.025, 0.025_f64];
    let entropy = -q.iter().map(|q| q * q.ln()).sum::<f64>();
    assert!((smoothed_nll(&q.map(f64::ln), 0, 0.1).unwrap() - entropy).abs() < 1e-15);
    let impossible = [0.0, f64::NEG_INFINITY, 1.0];
    assert!(smoothed_nll(&impossible, 2, 0.0).unwrap().is_finite());
    assert_eq!(smoothed_nll(&impossible, 2, 0.1).unwrap(), f64::INFINITY);
    assert!(smoothed_nll(&impossible, 2, -0.1).is_err());
}
