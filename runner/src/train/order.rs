//! The order in which training examples are seen, and the moments at which a stage is probed, as pure functions.

use crate::config::{Stage, Study};
use crate::record::Fault;
use crate::{compat, seed};
use rand::seq::SliceRandom;

/// The first `total` indices of the examples that a stage consumes: seeded shuffles of `0..n`, one
/// an epoch, of which the last may be partial.
///
/// ```
/// let order = ldyn::train::order(4, 6, 7, "sft");
/// assert_eq!(order.len(), 6);
/// assert_eq!(order, ldyn::train::order(4, 6, 7, "sft"));
/// ```
pub fn order(n: usize, total: usize, seed: u64, stage: &str) -> Vec<usize> {
    let mut order = Vec::new();
    let mut epoch = 0;
    while order.len() < total && n > 0 {
        let mut indices: Vec<usize> = (0..n).collect();
        indices.shuffle(&mut seed::rng(seed, &format!("order/{stage}/{epoch}")));
        order.append(&mut indices);
        epoch += 1;
    }
    order.truncate(total);
    order
}

/// The examples of `n` that a stage of the study consumes, in order: [`order`], or the reference code's.
pub fn stage_order(study: &Study, stage: &Stage, n: usize) -> Vec<usize> {
    let most = stage.max_steps.map(|steps| steps.saturating_mul(stage.examples_per_step()));
    let endless = study.has_fault(Fault::EpochsNeverEnd) && !stage.is_pretrain();
    let total = match (most, (n as f64 * stage.epochs).round() as usize) {
        (Some(most), _) if endless => most,
        (most, passes) => passes.min(most.unwrap_or(usize::MAX)),
    };
    match study.compat {
        Some(_) if !stage.is_pretrain() => compat::order(n, stage.examples_per_step(), total),
        _ => order(n, total, study.seed, &stage.name),
    }
}

/// When a stage is probed, besides before its first update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Whenever this many further examples were consumed (0: never), and after the last update.
    Every(usize),
    /// As the reference code: before an update, where the examples consumed are a multiple of this (0: never).
    Before(usize),
}

impl Cadence {
    /// The cadence of a stage.
    pub fn of(study: &Study, stage: &Stage) -> Self {
        let every = stage.probe_every(&study.probe);
        if study.compat.is_some() && !stage.is_pretrain() { Self::Before(every) } else { Self::Every(every) }
    }

    /// Whether a probe is due after an update that took the examples consumed from `before` to `now`.
    pub fn is_due(self, before: usize, now: usize, is_last: bool) -> bool {
        match self {
            Self::Every(every) => is_last || now.checked_div(every) > before.checked_div(every),
            Self::Before(every) => !is_last && every > 0 && now.is_multiple_of(every),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(cadence: Cadence, last: usize) -> Vec<usize> {
        (1..=last)
            .map(|step| 4 * step)
            .filter(|now| cadence.is_due(now - 4, *now, *now == 4 * last))
            .collect()
    }

    #[test]
    fn the_reference_code_probes_at_exact_multiples_and_not_at_the_end() {
        assert_eq!(due(Cadence::Every(10), 6), [12, 20, 24]);
        assert_eq!(due(Cadence::Before(10), 6), [20]);
        assert_eq!(due(Cadence::Before(8), 6), [8, 16]);
        assert_eq!((due(Cadence::Every(0), 3), due(Cadence::Before(0), 3)), (vec![12], vec![]));
    }

    fn study(rest: &str) -> Study {
        let text = format!(
            "output = 'o'\n{rest}\n[model]\npath = 'm'\n[data]\ntrain = 'd'\n[[stages]]\nobjective = 'sft'\nmax_steps = 10"
        );
        crate::config::parse(&text, &[]).unwrap()
    }

    #[test]
    fn epochs_never_end_goes_on_to_max_steps() {
        let compat = "compat = 'learning-dynamics-2025-05'";
        let [right, faulty] = ["", "faults = ['epochs_never_end']"].map(|faults| {
            let study = study(&format!("{compat}\n{faults}"));
            stage_order(&study, &study.stages[0], 8)
        });
        // One epoch of 8 examples is two steps of four; max_steps = 10 allows 40 examples.
        assert_eq!((right.len(), faulty.len()), (8, 40));
        assert_eq!(right[..], faulty[..8]);
        assert_ne!(right, stage_order(&study(""), &study("").stages[0], 8));
    }

    #[test]
    fn every_epoch_sees_every_example_once_in_an_order_of_its_own() {
        let order = order(50, 100, 3, "dpo");
        let (a, b) = order.split_at(50);
        assert_ne!(a, b);
        for epoch in [a, b] {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
        assert!(super::order(0, 3, 1, "x").is_empty());
    }
}
