//! One negative step, exact for every s (paper: §3.3, App. E, and what can be said beyond it).

use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::{NegativeStep, small_step_threshold, third_labels_gain_more, uniform_growth};
use ldyn_proofs::tolerance::{EXACT, GROWTH, LIMIT};
use ldyn_proofs::{oracle, strategies};
use proptest::prelude::*;
use proptest::sample::Index;

/// One negative step, as `ldyn-core` sees it and as the oracle does.
#[derive(Debug)]
struct Case {
    pi: Vec<f64>,
    label: usize,
    step: f64,
    /// log α of every label from two log-softmaxes.
    growth: Vec<f64>,
    /// The size at which z and s are rounded.
    scale: f64,
}

impl Case {
    fn new(z: &[f64], at: Index, step: f64) -> Self {
        let label = strategies::label(at, z.len());
        let growth = oracle::log_growth(z, &oracle::negative_step(z, label, step));
        let scale = z.iter().fold(1.0 + step, |a, z| z.abs().max(a));
        Case { pi: oracle::softmax(z), label, step, growth, scale }
    }

    fn distribution(&self) -> Distribution<'_, f64> {
        Distribution::new(&self.pi).unwrap()
    }

    fn step(&self) -> NegativeStep<'_, f64> {
        self.with_step(self.step)
    }

    fn with_step(&self, step: f64) -> NegativeStep<'_, f64> {
        NegativeStep::new(self.distribution(), self.label, step).unwrap()
    }

    fn runner_up(&self) -> usize {
        oracle::runner_up(&self.pi, self.label)
    }

    fn others(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.pi.len()).filter(|&i| i != self.label)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (strategies::logits(), any::<Index>(), strategies::steps()).prop_map(|(z, at, s)| Case::new(&z, at, s))
}

/// Cases in which strict inequalities are strict in rounded numbers too.
fn moderate_cases() -> impl Strategy<Value = Case> {
    (strategies::moderate_logits(), any::<Index>(), strategies::steps())
        .prop_map(|(z, at, s)| Case::new(&z, at, s))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases * 4))]

    #[test]
    fn growth_is_that_of_the_moved_logits(case in cases()) {
        let step = case.step();
        let mut after = vec![0.0; case.pi.len()];
        step.after_into(&mut after).unwrap();
        for (i, &exact) in case.growth.iter().enumerate() {
            prop_assert!(GROWTH.equal(step.log_growth(i).unwrap(), exact, case.scale), "label {i}");
            prop_assert!(GROWTH.equal(after[i], case.pi[i] * exact.exp(), case.scale));
        }
    }

    #[test]
    fn the_penalised_label_falls_most(case in cases()) {
        let lowest = case.growth.iter().copied().fold(f64::MAX, f64::min);
        prop_assert!(GROWTH.holds(lowest - case.growth[case.label], case.scale));
        prop_assert!(GROWTH.holds(-case.growth[case.label], case.scale));
        prop_assert!(GROWTH.holds(case.step().label_falls_most().margin, 1.0 + case.step));
    }

    #[test]
    fn the_penalised_label_falls_strictly(case in moderate_cases()) {
        prop_assert!(case.step().log_growth(case.label).unwrap() < 0.0);
    }

    #[test]
    fn the_runner_up_rises_most(case in cases()) {
        let top = case.runner_up();
        let step = case.step();
        prop_assert_eq!(step.runner_up(), top);
        let highest = case.growth.iter().copied().fold(f64::MIN, f64::max);
        prop_assert!(GROWTH.holds(case.growth[top] - highest, case.scale));
        prop_assert!(GROWTH.holds(case.growth[top], case.scale));
        prop_assert!(EXACT.holds(step.runner_up_rises_most().margin, 1.0));
    }

    #[test]
    fn the_runner_up_rises_strictly(case in moderate_cases()) {
        prop_assert!(case.step().log_growth(case.runner_up()).unwrap() > 0.0);
    }

    #[test]
    fn the_rich_get_richer_in_odds(case in cases()) {
        let step = case.step();
        for i in case.others() {
            for j in case.others() {
                let exact = case.growth[i] - case.growth[j];
                let law = case.step * (case.pi[i] - case.pi[j]);
                prop_assert!(GROWTH.equal(law, exact, case.scale));
                let change = step.log_odds_change(i, j).unwrap();
                prop_assert!(GROWTH.equal(change, law, case.step));
                // The likelier gains, and those that are as likely as y* gain as much.
                let gains = if case.pi[i] > case.pi[j] { change } else { -change };
                prop_assert!(gains >= 0.0);
                prop_assert!(case.pi[i] != case.pi[j] || change == 0.0);
            }
            let exact = case.growth[i] - case.growth[case.label];
            let law = case.step * (1.0 + case.pi[i] - case.pi[case.label]);
            prop_assert!(GROWTH.equal(law, exact, case.scale) && law >= 0.0);
            prop_assert!(GROWTH.equal(step.log_odds_change(i, case.label).unwrap(), law, case.step));
        }
    }

    #[test]
    fn a_label_rises_exactly_above_the_threshold(case in cases()) {
        let threshold = case.step().threshold();
        let slack = GROWTH.relative * case.scale;
        for i in case.others() {
            let above = case.pi[i] - threshold;
            if above.abs() * case.step > slack {
                let (rises, falls) = (case.growth[i] > 0.0, case.growth[i] < 0.0);
                let as_said = rises == (above > 0.0) && falls == (above < 0.0);
                prop_assert!(as_said || case.growth[i].abs() <= slack, "label {i}");
            }
        }
        let (low, high) = (case.pi[case.label] - 1.0, case.pi[case.runner_up()]);
        prop_assert!(threshold <= high && GROWTH.holds(threshold - low, 1.0 + 1.0 / case.step));
    }

    #[test]
    fn the_threshold_does_not_fall_as_the_step_grows(case in cases(), factor in 1.0..100.0_f64) {
        let (small, large) = (case.step(), case.with_step(case.step * factor));
        prop_assert!(GROWTH.holds(large.threshold() - small.threshold(), 1.0 + 1.0 / case.step));
    }

    #[test]
    fn the_threshold_runs_from_its_small_step_limit_to_the_runner_up(case in moderate_cases()) {
        let start = small_step_threshold(&case.distribution(), case.label).unwrap();
        // log Z is a cumulant function of range at most 2: τ(s) − τ(0) lies in [0, s/2].
        let tiny = 1e-6;
        let rise = case.with_step(tiny).threshold() - start;
        prop_assert!(GROWTH.holds(rise, 1.0 / tiny) && GROWTH.holds(0.5 * tiny - rise, 1.0 / tiny), "{rise}");
        // Z ≥ π_{y*} e^{s π_{y*}}, so π_{y*} − τ(s) ≤ −log π_{y*} / s.
        let (top, huge) = (case.pi[case.runner_up()], 1e6);
        let gap = top - case.with_step(huge).threshold();
        prop_assert!(gap >= 0.0 && GROWTH.holds(-top.ln() / huge - gap, 1.0));
    }

    #[test]
    fn every_other_label_rises_at_first_if_the_penalised_one_is_likely(case in moderate_cases()) {
        if case.pi[case.label] >= oracle::sum_sq(&case.pi) {
            let step = case.with_step(1e-3);
            for i in case.others().filter(|&i| case.pi[i] > 1e-3) {
                prop_assert!(step.log_growth(i).unwrap() > 0.0, "label {i}");
            }
        }
    }

    #[test]
    fn a_label_not_above_the_start_falls_at_any_step_and_one_above_it_rises_at_small_ones(case in cases()) {
        let start = small_step_threshold(&case.distribution(), case.label).unwrap();
        let range = 1.0 - case.pi[case.label] + case.pi[case.runner_up()];
        let small = 8.0 / (range * range);
        // Half of the largest step at which the label that is least above the start must rise.
        let lead = case.others().map(|i| case.pi[i] - start).filter(|lead| *lead > 1e-6).fold(f64::MAX, f64::min);
        for s in [case.step, (0.5 * lead * small).min(case.step)] {
            let step = case.with_step(s);
            let growth = |i: usize| step.log_growth(i).unwrap();
            let falls: Vec<usize> = case.others().filter(|&i| case.pi[i] <= start).collect();
            let rises: Vec<usize> = case.others().filter(|&i| s < (case.pi[i] - start) * small).collect();
            prop_assert!(falls.iter().all(|&i| GROWTH.holds(-growth(i), 1.0 + s)));
            prop_assert!(rises.iter().all(|&i| GROWTH.holds(growth(i), 1.0 + s)));
            for (witness, labels) in [(step.falls_below_start(), &falls), (step.rises_above_start(), &rises)] {
                prop_assert_eq!(witness.is_some(), !labels.is_empty());
                if let Some(witness) = witness {
                    prop_assert!(labels.contains(&witness.label) && GROWTH.holds(witness.margin, 1.0 + s));
                    let tightest = labels.iter().map(|&i| growth(i).abs()).fold(f64::MAX, f64::min);
                    prop_assert!(GROWTH.equal(witness.margin, tightest, 2.0 + s));
                }
            }
        }
        if lead < f64::MAX {
            prop_assert!(case.with_step((0.5 * lead * small).min(case.step)).rises_above_start().is_some());
        }
    }

    #[test]
    fn all_others_fall_if_the_runner_up_exceeds_one_over_root_three(case in cases()) {
        let top = case.runner_up();
        let witness = case.step().all_others_fall();
        prop_assert_eq!(witness.is_some(), 3.0 * case.pi[top] * case.pi[top] > 1.0);
        if let Some(witness) = witness {
            prop_assert!(GROWTH.holds(witness.margin, 1.0 + case.step));
            for i in (0..case.pi.len()).filter(|&i| i != top) {
                prop_assert!(GROWTH.holds(-case.growth[i], case.scale), "label {i}");
            }
        }
    }

    #[test]
    fn log_growth_is_concave_in_the_step_and_monotone_at_both_ends(case in cases()) {
        let (near, mid, far) = (case.with_step(0.5 * case.step), case.step(), case.with_step(1.5 * case.step));
        for i in 0..case.pi.len() {
            let [near, mid, far] = [&near, &mid, &far].map(|s| s.log_growth(i).unwrap());
            prop_assert!(GROWTH.holds(2.0 * mid - near - far, 1.0 + case.step), "label {i}");
            if i == case.runner_up() {
                prop_assert!(GROWTH.holds(mid - near, 1.0 + case.step));
            }
            if i == case.label {
                prop_assert!(GROWTH.holds(near - mid, 1.0 + case.step));
            }
        }
    }

    #[test]
    fn no_label_falls_by_more_than_the_step_nor_the_penalised_one_by_twice_that(case in cases()) {
        let top = case.pi[case.runner_up()];
        for i in case.others() {
            prop_assert!(GROWTH.holds(case.growth[i] + case.step * (top - case.pi[i]), case.scale));
        }
        let bound = case.step * (1.0 + top - case.pi[case.label]);
        prop_assert!(GROWTH.holds(case.growth[case.label] + bound, case.scale));
        prop_assert!(bound <= 2.0 * case.step);
    }

    #[test]
    fn unlearning_the_less_likely_label_leaves_third_labels_less(case in cases(), other in any::<Index>()) {
        let other = strategies::label(other, case.pi.len());
        let (a, b) = if case.pi[case.label] < case.pi[other] { (case.label, other) } else { (other, case.label) };
        let witness = third_labels_gain_more(case.distribution(), a, b, case.step).unwrap();
        prop_assert_eq!(witness.is_some(), case.pi[a] < case.pi[b] && case.pi.len() > 2);
        if let Some(witness) = witness {
            prop_assert!(witness.label != a && witness.label != b);
            prop_assert!(GROWTH.holds(witness.margin, 1.0 + case.step));
        }
    }

    #[test]
    fn a_uniform_distribution_spreads_the_mass_evenly(
        vocab in strategies::VOCAB, at in any::<Index>(), step in strategies::steps()
    ) {
        let case = Case::new(&vec![0.3; vocab], at, step);
        let exact = (vocab as f64 / (vocab as f64 - 1.0 + (-step).exp())).ln();
        prop_assert!(GROWTH.equal(uniform_growth(vocab, step), exact, 1.0));
        for i in case.others() {
            prop_assert!(GROWTH.equal(case.growth[i], exact, case.scale));
        }
    }
}

#[test]
fn one_over_root_three_is_sharp() {
    let risers = |m: f64| {
        let pi = [m, 0.5 * (1.0 - m), 0.5 * (1.0 - m)];
        NegativeStep::new(Distribution::new(&pi).unwrap(), 2, 1e-5).unwrap().risers()
    };
    assert_eq!((risers(0.577), risers(0.5774)), (2, 1));
}

#[test]
fn the_lower_bounds_are_approached() {
    // π = (m, (1 − m)/2, (1 − m)/2†) with m → 1: the second label loses s, the third 2s.
    for s in [0.1, 1.0, 5.0] {
        let gaps = [1e-2, 1e-5, 1e-14].map(|rest: f64| {
            let pi = [1.0 - rest, 0.5 * rest, 0.5 * rest];
            let step = NegativeStep::new(Distribution::new(&pi).unwrap(), 2, s).unwrap();
            [(1, s), (2, 2.0 * s)].map(|(i, limit)| step.log_growth(i).unwrap() + limit)
        });
        for [second, third] in gaps {
            assert!(second > 0.0 && third > 0.0, "{gaps:?}");
        }
        assert!(gaps[2].iter().all(|&gap| LIMIT.equal(gap, 0.0, 1.0)), "{gaps:?}");
    }
}
