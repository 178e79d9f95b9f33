//! Checks: one positive step.

use super::negative::{full_support, strictly as strict};
use super::{Case, Outcome};

pub(super) fn growth(c: &Case<'_>) -> Outcome {
    c.equal(c.logit_scale(), c.labels().map(|i| (i, c.positive.log(i), c.log_growth(&c.moved[1], i))))
}

pub(super) fn label_rises_most(c: &Case<'_>) -> Outcome {
    let own = c.positive.log(c.label);
    let others = c.others().map(|i| (i, own - c.positive.log(i)));
    c.holds(c.step_scale(), [(c.label, own)].into_iter().chain(others))
}

pub(super) fn competitor_falls_most(c: &Case<'_>) -> Outcome {
    let low = c.positive.log(c.runner_up);
    let others = c.labels().map(|i| (i, c.positive.log(i) - low));
    c.holds(c.step_scale(), [(c.runner_up, -low)].into_iter().chain(others))
}

pub(super) fn strictly(c: &Case<'_>) -> Outcome {
    if !full_support(c) {
        return Outcome::NotApplicable;
    }
    let [rise, fall] = [c.positive.log(c.label), -c.positive.log(c.runner_up)];
    if fall < rise { strict(c, c.runner_up, fall) } else { strict(c, c.label, rise) }
}

pub(super) fn odds(c: &Case<'_>) -> Outcome {
    let [low, own] = [c.runner_up, c.label].map(|i| c.positive.log(i));
    let pairs = c.others().flat_map(|i| {
        let growth = c.positive.log(i);
        [
            (i, growth - low, -c.step * (c.p(i) - c.p(c.runner_up))),
            (i, own - growth, c.step * (1.0 + c.p(i) - c.p(c.label))),
        ]
    });
    c.equal(c.step_scale(), pairs)
}

/// With s·θ = −log Z from the logits.
pub(super) fn threshold(c: &Case<'_>) -> Outcome {
    let minus_log_z = c.log_z - c.moved[1].log_z;
    let rises = c.others().map(|i| {
        let growth = c.positive.log(i);
        (i, if c.step * c.p(i) < minus_log_z { growth } else { -growth })
    });
    let range = [
        (c.label, minus_log_z - c.step * (c.p(c.label) - 1.0)),
        (c.runner_up, c.step * c.p(c.runner_up) - minus_log_z),
    ];
    c.holds(c.logit_scale(), rises.chain(range))
}

pub(super) fn threshold_monotone(c: &Case<'_>) -> Outcome {
    // θ = (log α_y − s(1 − π_y))/s.
    let at = |growth: f64, s: f64| growth / s - (1.0 - c.p(c.label));
    let [here, long] =
        [at(c.positive.log(c.label), c.step), at(c.longer_positive.log(c.label), 1.5 * c.step)];
    let start = c.sum_sq - c.p(c.label);
    c.holds(1.0 + 1.0 / c.step, [(c.label, start - here), (c.label, here - long)])
}

pub(super) fn all_others_fall(c: &Case<'_>) -> Outcome {
    let likely = c.p(c.label) >= c.sum_sq;
    c.holds(c.step_scale(), c.others().filter(|_| likely).map(|i| (i, -c.positive.log(i))))
}

pub(super) fn small_labels_rise(c: &Case<'_>) -> Outcome {
    let range = 1.0 - c.p(c.label) + c.p(c.runner_up);
    let below = c.sum_sq - c.p(c.label) - c.step * range * range / 8.0;
    c.holds(c.step_scale(), c.others().filter(|&i| c.p(i) < below).map(|i| (i, c.positive.log(i))))
}
