//! The same step again and again on one context.

use ldyn_core::decomposition::Influence;
use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::repeated::{collapse_bound, collapse_rate, label_bound, log_odds_bound};
use ldyn_core::squeezing::{NegativeStep, Trajectory};
use ldyn_proofs::tolerance::{EXACT, GROWTH, LIMIT};
use ldyn_proofs::{oracle, strategies};
use proptest::prelude::*;

/// z(0), z(1), …: negative steps on `label`, by the oracle.
fn path(z: &[f64], label: usize, steps: &[f64]) -> Vec<Vec<f64>> {
    let mut path = vec![z.to_vec()];
    for &s in steps {
        path.push(oracle::negative_step(path.last().unwrap(), label, s));
    }
    path
}

/// The size at which the logits along a path are rounded, once for each step.
fn scale(z: &[f64], steps: &[f64]) -> f64 {
    (1.0 + steps.len() as f64) * oracle::scale(z, 2.0 * steps.iter().sum::<f64>())
}

fn others(vocab: usize, label: usize) -> Vec<usize> {
    (0..vocab).filter(|&i| i != label).collect()
}

proptest! {
    #[test]
    fn the_trajectory_is_the_oracles_path((z, label, steps) in strategies::runs(), learns in any::<bool>()) {
        let (mut logits, mut pi) = (z.clone(), vec![0.0; z.len()]);
        let mut run = Trajectory::new(&mut logits, &mut pi).unwrap();
        let mut exact = z.clone();
        for &s in &steps {
            let s = if learns { s } else { -s };
            run.step(label, s).unwrap();
            exact = oracle::positive_step(&exact, label, s);
        }
        for (found, exact) in run.logits().iter().zip(&exact) {
            // A rounding error of one step grows by at most e^{2s} in the next.
            prop_assert!(GROWTH.equal(*found, *exact, scale(&z, &steps) * steps.iter().sum::<f64>().exp()));
        }
    }

    #[test]
    fn the_unlearned_label_falls_at_every_step((z, label, steps) in strategies::runs()) {
        let path = path(&z, label, &steps);
        let start = oracle::softmax(&z)[label];
        let slack = scale(&z, &steps);
        for (pair, &s) in path.windows(2).zip(&steps) {
            let growth = oracle::log_growth(&pair[0], &pair[1]);
            let pi = oracle::softmax(&pair[0]);
            prop_assert!(GROWTH.holds(-growth[label], slack));
            for i in others(z.len(), label) {
                let gained = growth[i] - growth[label];
                prop_assert!(GROWTH.equal(gained, s * (1.0 + pi[i] - pi[label]), slack));
                prop_assert!(GROWTH.holds(gained - s * (1.0 - start), slack), "label {i}");
            }
        }
    }

    #[test]
    fn the_order_of_the_others_never_changes((z, label, steps) in strategies::runs()) {
        let (mut logits, mut pi) = (z.clone(), vec![0.0; z.len()]);
        let mut run = Trajectory::new(&mut logits, &mut pi).unwrap();
        let others = others(z.len(), label);
        let start = run.pi().runner_up(label).unwrap();
        let mut argmax = vec![run.pi().argmax()];
        for &s in &steps {
            run.step(label, -s).unwrap();
            prop_assert_eq!(run.pi().runner_up(label).unwrap(), start);
            argmax.push(run.pi().argmax());
            for &i in &others {
                for &j in &others {
                    prop_assert!(z[i] < z[j] || EXACT.holds(run.logits()[i] - run.logits()[j], 1.0), "{i} {j}");
                }
            }
        }
        argmax.dedup();
        prop_assert!(argmax.len() <= 2 && (argmax.len() == 1 || argmax[0] == label));
    }

    #[test]
    fn the_runner_up_rises_and_gaps_widen_at_every_step((z, label, steps) in strategies::runs()) {
        let top = oracle::runner_up(&oracle::softmax(&z), label);
        let slack = scale(&z, &steps);
        for pair in path(&z, label, &steps).windows(2) {
            let growth = oracle::log_growth(&pair[0], &pair[1]);
            prop_assert!(GROWTH.holds(growth[top], slack));
            let others = others(z.len(), label);
            for &i in &others {
                for &j in others.iter().filter(|&&j| z[i] > z[j]) {
                    prop_assert!(GROWTH.holds(growth[i] - growth[j], slack), "{i} {j}");
                }
            }
        }
    }

    #[test]
    fn odds_against_the_runner_up_fall_at_least_at_their_rate((z, label, steps) in strategies::runs()) {
        let pi = oracle::softmax(&z);
        let top = oracle::runner_up(&pi, label);
        let end = oracle::log_softmax(path(&z, label, &steps).last().unwrap());
        for i in 0..z.len() {
            let bound = log_odds_bound(&Distribution::new(&pi).unwrap(), label, i, steps.iter().sum()).unwrap();
            prop_assert!(GROWTH.holds(bound - (end[i] - end[top]), scale(&z, &steps)), "label {i}");
        }
    }

    #[test]
    fn the_distribution_collapses_at_least_at_its_rate((z, label, steps) in strategies::runs()) {
        let pi = oracle::softmax(&z);
        let distribution = Distribution::new(&pi).unwrap();
        let top = oracle::runner_up(&pi, label);
        let next = others(z.len(), label).into_iter().filter(|&i| i != top).map(|i| pi[i]).fold(0.0, f64::max);
        prop_assert!(GROWTH.equal(collapse_rate(&distribution, label).unwrap(), pi[top] - next, 1.0));
        // Long enough for the bound to say something, in most cases.
        let steps: Vec<f64> = steps.iter().map(|s| 20.0 * s).collect();
        let end = oracle::softmax(path(&z, label, &steps).last().unwrap());
        let rest = oracle::sum(others(z.len(), top).into_iter().map(|i| end[i]));
        let bound = collapse_bound(&distribution, label, steps.iter().sum()).unwrap();
        prop_assert!(GROWTH.holds(bound - rest, scale(&z, &steps)), "{rest} {bound}");
    }

    #[test]
    fn the_unlearned_label_vanishes_at_least_at_its_rate((z, label, steps) in strategies::runs()) {
        let pi = oracle::softmax(&z);
        let distribution = Distribution::new(&pi).unwrap();
        let mut now = z.clone();
        let mut total = 0.0;
        for &s in steps.iter().chain(&[40.0]) {
            now = oracle::negative_step(&now, label, s);
            total += s;
            let bound = label_bound(&distribution, label, total).unwrap();
            prop_assert!(GROWTH.holds(bound - oracle::softmax(&now)[label], scale(&z, &steps)), "{bound}");
        }
        // The rate is at least π_{y*}, so that S = 1000/π_{y*} leaves nothing.
        let top = pi[oracle::runner_up(&pi, label)];
        prop_assert_eq!(label_bound(&distribution, label, 1000.0 / top).unwrap(), 0.0);
    }

    #[test]
    fn repeated_learning_takes_everything_in_the_limit((z, label, _) in strategies::moderate_cases()) {
        let (mut logits, mut pi) = (z.clone(), vec![0.0; z.len()]);
        let mut run = Trajectory::new(&mut logits, &mut pi).unwrap();
        for t in 0..48 {
            run.step(label, 2.0_f64.powi(t)).unwrap();
        }
        prop_assert!(LIMIT.equal(run.pi().as_slice()[label], 1.0, 1.0));
    }

    #[test]
    fn tied_labels_stay_tied((z, label, steps) in strategies::runs()) {
        let (mut logits, mut pi) = (z.clone(), vec![0.0; z.len()]);
        let mut run = Trajectory::new(&mut logits, &mut pi).unwrap();
        for &s in &steps {
            run.step(label, -s).unwrap();
        }
        let others = others(z.len(), label);
        for &i in &others {
            for &j in others.iter().filter(|&&j| z[i] == z[j]) {
                prop_assert!(EXACT.equal(run.logits()[i], run.logits()[j], 1.0));
            }
        }
    }

    #[test]
    fn at_the_end_a_step_takes_s_from_the_others_and_2s_from_the_label((z, label, s) in strategies::cases()) {
        let pi = oracle::softmax(&z);
        let step = NegativeStep::new(Distribution::new(&pi).unwrap(), label, s).unwrap();
        let growth = oracle::log_growth(&z, &oracle::negative_step(&z, label, s));
        let surprise = -oracle::log_softmax(&z)[oracle::runner_up(&pi, label)];
        for (i, growth) in growth.iter().enumerate() {
            let above = growth - step.growth_bound(i).unwrap();
            prop_assert!(GROWTH.holds(above, oracle::scale(&z, s)), "label {i}");
            prop_assert!(GROWTH.holds(surprise - above, oracle::scale(&z, s)), "label {i}");
        }
    }

    #[test]
    fn repeated_learning_lifts_the_label_and_lowers_whoever_is_strongest((z, label, steps) in strategies::runs()) {
        let mut now = z.clone();
        for &s in &steps {
            let after = oracle::positive_step(&now, label, s);
            let growth = oracle::log_growth(&now, &after);
            let competitor = oracle::runner_up(&oracle::softmax(&now), label);
            let slack = oracle::scale(&now, s);
            prop_assert!(GROWTH.holds(growth[label], slack) && GROWTH.holds(-growth[competitor], slack));
            now = after;
        }
    }

    #[test]
    fn predictions_and_remainders_add_up_to_what_is_measured((z, label, steps) in strategies::runs(), learns in any::<bool>()) {
        let mut predicted = vec![0.0; z.len()];
        let mut influence = Influence::new(&mut predicted);
        let mut now = z.clone();
        for &s in &steps {
            let s = if learns { s } else { -s };
            let after = oracle::positive_step(&now, label, s);
            let delta: Vec<f64> = after.iter().zip(&now).map(|(a, b)| a - b).collect();
            influence.add(&Distribution::new(&oracle::softmax(&now)).unwrap(), &delta).unwrap();
            now = after;
        }
        prop_assert_eq!(influence.steps(), steps.len());
        prop_assert!(influence.remainder() <= 0.0);
        for (i, measured) in oracle::log_growth(&z, &now).into_iter().enumerate() {
            let left = influence.shortfall(i, measured).unwrap();
            prop_assert!(GROWTH.equal(left, 0.0, scale(&z, &steps)), "label {i}: {left}");
        }
    }
}

#[test]
fn a_unique_runner_up_takes_everything_and_tied_ones_share_it() {
    let run = |mut z: Vec<f64>, steps: usize| {
        let mut pi = vec![0.0; z.len()];
        let mut run = Trajectory::new(&mut z, &mut pi).unwrap();
        for _ in 0..steps {
            run.step(0, -0.5).unwrap();
        }
        pi
    };
    for p in run(vec![0.0, 1.0, 1.0, 0.0], 2000)[1..3].iter() {
        assert!(LIMIT.equal(*p, 0.5, 1.0));
    }
    let (before, after) = (run(vec![0.0, 1.0, 0.9, 0.0], 200), run(vec![0.0, 1.0, 0.9, 0.0], 201));
    let slopes = [1, 2, 3, 0].map(|i| after[i].ln() - before[i].ln());
    for (slope, limit) in slopes.iter().zip([0.0, -0.5, -0.5, -1.0]) {
        assert!(LIMIT.equal(*slope, limit, 1.0), "{slopes:?}");
    }
}
