//! Rules on the metrics of every step, which cost no probe.

use super::sweep::{Moment, Sweep, falls};
use super::{Found, number, plain};
use crate::config::Limits;
use crate::record::Metrics;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Steps in a row that a fall of the rewards must last.
const IN_A_ROW: usize = 3;

/// What a step says of its pairs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Step {
    accuracy: f64,
    weight: f64,
}

/// The last steps of a stage.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Steps {
    recent: VecDeque<Step>,
    first_weight: Option<f64>,
    first_ratio: Option<f64>,
    /// Steps in a row with a large fall, and the moment before them.
    falling: usize,
    before: Moment,
    /// The first probe at which the pairs were learned, since when they are.
    learned: Option<Sweep>,
}

impl Steps {
    /// Takes in a step. The log-ratio of y⁺ to the reference is the change of log π(y⁺) on the step's
    /// own pairs, against the first step's, before they are learned from.
    pub fn rewards_fall(&mut self, m: &Metrics, unit: Option<f64>, limits: &Limits) -> Option<Found> {
        if let (Some(accuracy), Some(weight)) = (m.rewards_accuracies, m.weight_chosen) {
            self.first_weight.get_or_insert(weight);
            self.recent.push_back(Step { accuracy, weight });
            if self.recent.len() > limits.window {
                self.recent.pop_front();
            }
        }
        let ratio = m.rewards_chosen? / unit?;
        let level = m.logps_chosen? - ratio;
        let change = ratio - *self.first_ratio.get_or_insert(ratio);
        let share = change / level.abs();
        // A level of 0 gives no share, and no fall.
        if share.is_nan() || share >= -limits.reward_fall {
            self.falling = 0;
            self.before = Moment { step: m.step, examples_seen: m.examples_seen };
            return None;
        }
        self.falling += 1;
        (self.falling >= IN_A_ROW).then(|| Found {
            since: self.before,
            kind: Some("chosen".into()),
            numbers: vec![
                plain("log π(y⁺) against the reference, on the step's pairs", change, "nats"),
                plain("as a share of its level", share, ""),
                plain("margin of the rewards", m.rewards_margins.unwrap_or(0.0), ""),
            ],
        })
    }

    /// At a probe: nothing is left to learn from the pairs, and y⁺ falls since that is so.
    pub fn saturated(&mut self, now: &Sweep, limits: &Limits) -> Option<Found> {
        let n = self.recent.len() as f64;
        let accuracy = self.recent.iter().map(|s| s.accuracy).sum::<f64>() / n;
        let weight = self.recent.iter().map(|s| s.weight.abs()).sum::<f64>() / n;
        let full = self.recent.len() == limits.window;
        let share = weight / self.first_weight.filter(|w| *w != 0.0)?.abs();
        if !(full && accuracy >= limits.accuracy && share <= limits.weight) {
            self.learned = None;
            return None;
        }
        let Some(then) = &self.learned else {
            self.learned = Some(now.clone());
            return None;
        };
        let fall = now.change(then, "chosen", |l| l.label).filter(|e| falls(e, limits))?;
        Some(Found {
            since: then.at,
            kind: Some("chosen".into()),
            numbers: vec![
                plain("accuracy", accuracy, ""),
                plain("w₊ as a share of its start", share, ""),
                number("log π(y⁺) since then", &fall, "nats/token"),
            ],
        })
    }
}
