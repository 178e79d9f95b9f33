//! Objectives against finite differences, against their formulas in the tables, at their limits,
//! and at the points where the literature slips.

mod beyond_pairs;
mod derivatives;
mod formula;
mod gate;
mod limits;
mod points;
mod tables;

use super::*;
use crate::testing::noise;
extern crate std;
use std::vec::Vec;

fn pair(chosen: f64, rejected: f64, ref_chosen: f64, ref_rejected: f64) -> PairLogps<f64> {
    PairLogps { chosen, rejected, ref_chosen, ref_rejected, chosen_len: 7, rejected_len: 4 }
}

/// A pair with the given log-ratios.
fn ratios(chosen: f64, rejected: f64) -> PairLogps<f64> {
    let pair = pair(chosen - 40.0, rejected - 50.0, -40.0, -50.0);
    // Sums of 40 and a huge number would round.
    if chosen.abs().max(rejected.abs()) < 1e6 { pair } else { self::pair(chosen, rejected, 0.0, 0.0) }
}

/// Settings without options, from small to extreme.
fn plain_parameters() -> Vec<Parameters<f64>> {
    let default = Parameters::default();
    std::vec![
        Parameters { label_smoothing: 0.001, ..default },
        Parameters {
            beta: 0.05,
            label_smoothing: 0.1,
            delta: 2.0,
            sft_weight: 0.0,
            discopop_tau: 0.2,
            dpop_lambda: 0.0,
            reward_shift: 0.7,
            cpo_alpha: 0.0,
            simpo_gamma: 0.0,
            ..default
        },
        Parameters {
            beta: 0.5,
            label_smoothing: 0.4,
            delta: 10.0,
            sft_weight: 1.0,
            discopop_tau: 1.0,
            dpop_lambda: 5.0,
            reward_shift: -3.0,
            cpo_alpha: 0.25,
            simpo_gamma: 1.6,
            ..default
        },
        Parameters { beta: 2.0, label_smoothing: 0.25, delta: 0.5, discopop_tau: 0.02, ..default },
        Parameters { beta: 1e-6, label_smoothing: 0.49, ..default },
    ]
}

/// Those, and each option on some of them.
fn parameters() -> Vec<Parameters<f64>> {
    let mut all = plain_parameters();
    let divergences = [Divergence::ForwardKl, Divergence::JsDivergence]
        .into_iter()
        .chain([-0.5, 0.5, 1.0, 1.25].map(Divergence::AlphaDivergence));
    for (i, divergence) in divergences.enumerate() {
        all.push(Parameters { divergence, ..all[i % 4] });
    }
    all.push(Parameters { reference_free: true, ..all[0] });
    all.push(Parameters { rpo_alpha: 0.3, ..all[1] });
    all.push(Parameters {
        rpo_alpha: 2.0,
        reference_free: true,
        divergence: Divergence::JsDivergence,
        ..all[2]
    });
    all
}

/// Pairs without structure, and pairs on a grid that reaches into both tails.
fn pairs() -> Vec<PairLogps<f64>> {
    let mut pairs: Vec<_> = noise(400, 60.0)
        .chunks(4)
        .map(|c| pair(c[0] - 40.0, c[1] - 40.0, c[2] - 40.0, c[3] - 40.0))
        .collect();
    let grid = [-150.0, -31.0, -3.0, -0.25, 0.125, 4.0, 40.0];
    pairs.extend(grid.iter().flat_map(|&c| grid.map(|r| pair(c - 160.0, r - 160.0, -160.0, -160.0))));
    pairs
}

fn objective(name: &str, p: &Parameters<f64>) -> Objective<f64> {
    Objective::parse(name, p).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Every objective at every setting.
fn objectives() -> Vec<(Objective<f64>, Parameters<f64>)> {
    let all = TABLE.iter().map(|row| row.name);
    all.flat_map(|name| parameters().into_iter().map(move |p| (objective(name, &p), p))).collect()
}

fn narrow(p: &Parameters<f64>) -> Parameters<f32> {
    let mut narrow = Parameters {
        divergence: match p.divergence {
            Divergence::AlphaDivergence(c) => Divergence::AlphaDivergence(c as f32),
            Divergence::ReverseKl => Divergence::ReverseKl,
            Divergence::ForwardKl => Divergence::ForwardKl,
            Divergence::JsDivergence => Divergence::JsDivergence,
        },
        reference_free: p.reference_free,
        ..Parameters::default()
    };
    for ((_, _, to), (_, _, from)) in narrow.numbers().into_iter().zip(p.clone().numbers()) {
        *to = *from as f32;
    }
    narrow
}

fn narrow_pair(pair: &PairLogps<f64>) -> PairLogps<f32> {
    PairLogps {
        chosen: pair.chosen as f32,
        rejected: pair.rejected as f32,
        ref_chosen: pair.ref_chosen as f32,
        ref_rejected: pair.ref_rejected as f32,
        chosen_len: pair.chosen_len,
        rejected_len: pair.rejected_len,
    }
}

/// f′(0) by Ridders' method: central differences at shrinking steps, extrapolated; of all the
/// estimates the one that agrees best with those beside it.
fn derivative(mut f: impl FnMut(f64) -> f64) -> f64 {
    const FIRST: f64 = REACH;
    const SHRINK: f64 = 1.4;
    let mut row: Vec<f64> = Vec::new();
    let (mut best, mut error, mut step) = (f64::NAN, f64::INFINITY, FIRST);
    for _ in 0..16 {
        let mut next = std::vec![(f(step) - f(-step)) / (2.0 * step)];
        let mut factor = SHRINK * SHRINK;
        for (i, &old) in row.iter().enumerate() {
            let better = (next[i] * factor - old) / (factor - 1.0);
            let worst = (better - next[i]).abs().max((better - old).abs());
            if worst <= error {
                (best, error) = (better, worst);
            }
            next.push(better);
            factor *= SHRINK * SHRINK;
        }
        row = next;
        step /= SHRINK;
    }
    best
}

/// How far [`derivative`] looks to each side.
const REACH: f64 = 0.05;
