//! The learning rate as a pure function of the step.

use crate::config::{LrSchedule, Stage, Warmup};

/// Learning rate of optimiser step `step` (from 0) out of `steps`.
///
/// ```
/// use ldyn::config::Stage;
/// let stage = Stage::new("sft"); // 150 warm-up steps in the reference's form
/// let rate = |t| ldyn::train::learning_rate(&stage, t, 1000) / stage.learning_rate;
/// assert_eq!(rate(0), 1.0 / 151.0);
/// assert_eq!(rate(150), 1.0);
/// assert_eq!(rate(999), 1.0);
/// ```
pub fn learning_rate(stage: &Stage, step: usize, steps: usize) -> f64 {
    let (t, w) = (step as f64, stage.warmup_steps as f64);
    let warmup = match stage.warmup {
        Warmup::Reference => ((t + 1.0) / (w + 1.0)).min(1.0),
        Warmup::Transformers if stage.warmup_steps == 0 => 1.0,
        Warmup::Transformers => (t / w).min(1.0),
    };
    let left = ((t - w) / (steps as f64 - w).max(1.0)).clamp(0.0, 1.0);
    let decay = match stage.lr_schedule {
        LrSchedule::Constant => 1.0,
        LrSchedule::Linear => 1.0 - left,
        LrSchedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * left).cos()),
    };
    stage.learning_rate * warmup * decay
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(warmup: Warmup, lr_schedule: LrSchedule) -> Vec<f64> {
        let stage = Stage { warmup_steps: 2, learning_rate: 1.0, warmup, lr_schedule, ..Stage::new("sft") };
        (0..6).map(|t| (learning_rate(&stage, t, 6) * 1e4).round() / 1e4).collect()
    }

    #[test]
    fn the_first_step_of_transformers_warmup_has_rate_zero() {
        assert_eq!(rates(Warmup::Transformers, LrSchedule::Constant), [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(rates(Warmup::Reference, LrSchedule::Constant), [0.3333, 0.6667, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn decay_follows_transformers_schedules() {
        // transformers.get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup, 2 of 6 steps.
        assert_eq!(rates(Warmup::Transformers, LrSchedule::Linear), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
        assert_eq!(rates(Warmup::Transformers, LrSchedule::Cosine), [0.0, 0.5, 1.0, 0.8536, 0.5, 0.1464]);
    }
}
