//! Rules in words, with their limits.

use crate::config::Limits;
use crate::record::Rule;

/// What a rule says, with its limits.
pub fn statement(rule: Rule, limits: &Limits) -> String {
    let Limits { standard_errors: z, fall, rise, .. } = limits;
    let percent = |share: f64| format!("{} %", 100.0 * share);
    match rule {
        Rule::NotFinite => "A loss, a gradient or a log-probability is not finite.".into(),
        Rule::Squeeze => format!(
            "Mass moves to the most likely tokens: in the contexts of y⁻ or of shuffled words greedy confidence \
             has risen by more than {rise} nats/token since the stage's start, while log π(y⁺) has fallen by more \
             than {fall} nats/token from its peak and, y⁺ counted, at least {} of the tracked kinds have fallen by \
             that much; each by {z} standard errors over prompts.",
            percent(limits.share)
        ),
        Rule::ChosenDisplaced => format!(
            "log π(y⁺) lies more than {fall} nats/token below both its peak and its start, while the margin has \
             grown; each by {z} standard errors over prompts."
        ),
        Rule::RewardsFall => format!(
            "In three steps in a row the pairs' mean log-ratio of y⁺ to the reference lies below the first step's by \
             more than {} of the level of log π(y⁺).",
            percent(limits.reward_fall)
        ),
        Rule::UnsureOfEverything => format!(
            "Every fluent kind, y⁺ too, has fallen by more than {fall} nats/token since the stage's start; each by \
             {z} standard errors over prompts."
        ),
        Rule::MarginSaturated => format!(
            "Over {} steps the accuracy is at least {} and w₊ at most {} of its start, so that the pairs teach \
             nothing more, and since then log π(y⁺) has fallen by more than {fall} nats/token, by {z} standard \
             errors over prompts.",
            limits.window,
            limits.accuracy,
            percent(limits.weight)
        ),
        Rule::Degenerate => format!(
            "In two probes in a row, against the stage's first, greedy answers repeat 4-grams or loop in a share \
             that is larger by {0}; in a stage of preferences also: {0} more of them are empty, or they are {1} \
             times as long; by {z} standard errors over prompts.",
            limits.repetition, limits.lengthening
        ),
        Rule::PredictionOff => format!(
            "In {} windows in a row the changes of log π that the steps predict to first order have an R² below \
             {} with the measured ones: the steps are too large for first order.",
            limits.windows, limits.r2
        ),
    }
}
