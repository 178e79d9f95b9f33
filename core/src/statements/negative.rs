//! Checks: one negative step.

use super::case::TINY;
use super::{Case, Outcome};
#[cfg(not(feature = "std"))]
use crate::Real;
use crate::squeezing;
use crate::sweep::sum_of_pairs;

pub(super) fn growth(c: &Case<'_>) -> Outcome {
    c.equal(c.logit_scale(), c.labels().map(|i| (i, c.negative.log(i), c.log_growth(&c.moved[0], i))))
}

pub(super) fn label_falls_most(c: &Case<'_>) -> Outcome {
    let own = c.negative.log(c.label);
    let others = c.others().map(|i| (i, c.negative.log(i) - own));
    c.holds(c.step_scale(), [(c.label, -own)].into_iter().chain(others))
}

/// Whether no probability has come near to underflow or been rounded to 1, so that strict signs are strict in
/// rounded numbers.
pub(super) fn full_support(c: &Case<'_>) -> bool {
    c.labels().all(|i| c.p(i) > 1e-250 && c.p(i) < 1.0)
}

/// Holds if the number is above 0, not merely at 0.
pub(super) fn strictly(c: &Case<'_>, label: usize, margin: f64) -> Outcome {
    if !full_support(c) {
        Outcome::NotApplicable
    } else if margin > 0.0 {
        Outcome::Holds { label, margin }
    } else {
        Outcome::Fails { label, margin }
    }
}

pub(super) fn label_falls_strictly(c: &Case<'_>) -> Outcome {
    strictly(c, c.label, -c.negative.log(c.label))
}

pub(super) fn runner_up_rises_most(c: &Case<'_>) -> Outcome {
    let top = c.negative.log(c.runner_up);
    let others = c.labels().map(|i| (i, top - c.negative.log(i)));
    c.holds(c.step_scale(), [(c.runner_up, top)].into_iter().chain(others))
}

pub(super) fn runner_up_rises_strictly(c: &Case<'_>) -> Outcome {
    strictly(c, c.runner_up, c.negative.log(c.runner_up))
}

pub(super) fn odds(c: &Case<'_>) -> Outcome {
    let [top, own] = [c.runner_up, c.label].map(|i| c.negative.log(i));
    let pairs = c.others().flat_map(|i| {
        let growth = c.negative.log(i);
        [
            (i, growth - top, c.step * (c.p(i) - c.p(c.runner_up))),
            (i, growth - own, c.step * (1.0 + c.p(i) - c.p(c.label))),
        ]
    });
    c.equal(c.step_scale(), pairs)
}

/// With s·τ = log Z from the logits.
pub(super) fn threshold(c: &Case<'_>) -> Outcome {
    let log_z = c.moved[0].log_z - c.log_z;
    let rises = c.others().map(|i| {
        let growth = c.negative.log(i);
        (i, if c.step * c.p(i) > log_z { growth } else { -growth })
    });
    let range =
        [(c.label, log_z - c.step * (c.p(c.label) - 1.0)), (c.runner_up, c.step * c.p(c.runner_up) - log_z)];
    c.holds(c.logit_scale(), rises.chain(range))
}

/// π_{y*} − τ of the step of size `s` with log α_{y*} = `top`.
fn below_top(top: f64, s: f64) -> f64 {
    top / s
}

pub(super) fn threshold_monotone(c: &Case<'_>) -> Outcome {
    let at = |step: &super::case::Step<'_>, factor: f64| below_top(step.log(c.runner_up), factor * c.step);
    let [short, here, long] = [at(&c.shorter, 0.5), at(&c.negative, 1.0), at(&c.longer, 1.5)];
    c.holds(1.0 + 1.0 / c.step, [(c.runner_up, short - here), (c.runner_up, here - long)])
}

pub(super) fn threshold_limits(c: &Case<'_>) -> Outcome {
    let top = c.negative.log(c.runner_up);
    let rise = c.step * c.p(c.runner_up) - top - c.step * (c.sum_sq - c.p(c.label));
    let scale = c.step_scale() * c.step_scale();
    let margins = [rise, 0.5 * c.step * c.step - rise, top, -c.log_p(c.runner_up) - top];
    c.holds(scale.max(c.logit_scale()), margins.map(|m| (c.runner_up, m)))
}

/// At s = [`TINY`], where τ is at most s/2 above its limit.
pub(super) fn all_rise_at_first(c: &Case<'_>) -> Outcome {
    let likely = c.p(c.label) >= c.sum_sq;
    let others = c.others().filter(|_| likely);
    c.holds(1.0, others.map(|i| (i, c.tiny.log(i) + 0.5 * TINY * TINY)))
}

/// Of the labels between, which fall from some s on, nothing is said.
pub(super) fn each_at_first(c: &Case<'_>) -> Outcome {
    let start = c.sum_sq - c.p(c.label);
    let range = 1.0 - c.p(c.label) + c.p(c.runner_up);
    let above = start + c.step * range * range / 8.0;
    let margins = c.others().filter_map(|i| {
        let growth = c.negative.log(i);
        let falls = (c.p(i) <= start).then_some(-growth);
        falls.or((c.p(i) > above).then_some(growth)).map(|margin| (i, margin))
    });
    c.holds(c.step_scale(), margins)
}

pub(super) fn all_others_fall(c: &Case<'_>) -> Outcome {
    let peaked = 3.0 * c.p(c.runner_up) * c.p(c.runner_up) > 1.0;
    let others = c.labels().filter(|&i| peaked && i != c.runner_up);
    c.holds(c.step_scale(), others.map(|i| (i, -c.negative.log(i))))
}

pub(super) fn concave(c: &Case<'_>) -> Outcome {
    let bend = c.labels().map(|i| (i, 2.0 * c.negative.log(i) - c.shorter.log(i) - c.longer.log(i)));
    let up = [(&c.shorter, &c.negative), (&c.negative, &c.longer)];
    let ends = up.into_iter().flat_map(|(near, far)| {
        [
            (c.runner_up, far.log(c.runner_up) - near.log(c.runner_up)),
            (c.label, near.log(c.label) - far.log(c.label)),
        ]
    });
    c.holds(2.0 * c.step_scale(), bend.chain(ends))
}

pub(super) fn bounded(c: &Case<'_>) -> Outcome {
    let bound = |i: usize| c.step * (c.v(i) - c.p(c.runner_up));
    let margins = c.labels().map(|i| (i, c.negative.log(i) - bound(i)));
    let twice = [(c.label, bound(c.label) + 2.0 * c.step)];
    c.holds(c.step_scale(), margins.chain(twice))
}

pub(super) fn third_labels(c: &Case<'_>) -> Outcome {
    let (less, more) =
        if c.p(c.label) < c.p(c.other) { (&c.negative, &c.on_other) } else { (&c.on_other, &c.negative) };
    let differ = c.p(c.label) != c.p(c.other);
    c.holds(c.step_scale(), c.third().filter(|_| differ).map(|k| (k, more.log(k) - less.log(k))))
}

/// dπ_i/ds from the definition.
fn drift_of(c: &Case<'_>, i: usize) -> f64 {
    c.p(i) * (c.v(i) - (c.sum_sq - c.p(c.label)))
}

/// At s = [`TINY`]: |π_i·(α_i − 1) − s·drift| ≤ 2s² since the second derivative is below 4.
pub(super) fn drift(c: &Case<'_>) -> Outcome {
    let error = |i: usize| (c.p(i) * c.tiny.log(i).exp_m1() - TINY * drift_of(c, i)).abs();
    c.holds(1.0, c.labels().map(|i| (i, 2.0 * TINY * TINY - error(i))))
}

pub(super) fn replicator(c: &Case<'_>) -> Outcome {
    let limit = |i: usize| c.p(i) * (c.p(i) - c.sum_sq);
    c.holds(1.0, c.labels().map(|i| (i, c.p(c.label) - (drift_of(c, i) - limit(i)).abs())))
}

/// At s = [`TINY`]: the second derivative of the entropy is below 16·(1 + H).
pub(super) fn entropy_rate(c: &Case<'_>) -> Outcome {
    let Ok(rate) = squeezing::entropy_rate(&c.pi, c.label) else { return Outcome::NotApplicable };
    let error = (c.tiny.entropy_change() - TINY * rate).abs();
    let bend = 8.0 * (1.0 + c.pi.entropy()) * TINY * TINY;
    c.holds(c.logit_scale(), [(c.label, bend - error)])
}

pub(super) fn entropy_rate_form(c: &Case<'_>) -> Outcome {
    let Ok(rate) = squeezing::entropy_rate(&c.pi, c.label) else { return Outcome::NotApplicable };
    let entropy = -c.pi.expectation(|i, _| c.log_p(i));
    let mean_product = c.pi.expectation(|i, p| c.log_p(i) * p);
    let own = c.p(c.label) * (c.log_p(c.label) + entropy);
    let exact = own - (mean_product + entropy * c.sum_sq);
    let falls = if -c.log_p(c.label) >= entropy { -rate } else { f64::INFINITY };
    c.holds(c.logit_scale(), [(c.label, -(rate - exact).abs()), (c.label, falls)])
}

pub(super) fn entropy_falls(c: &Case<'_>) -> Outcome {
    let entropy = -c.pi.expectation(|i, _| c.log_p(i));
    let surprising = -c.log_p(c.label) >= entropy;
    c.holds(2.0 * c.logit_scale(), surprising.then(|| (c.label, -c.negative.entropy_change())))
}

pub(super) fn entropy_change(c: &Case<'_>) -> Outcome {
    let entropy =
        |logits: &[f64], log_z: f64| -sum_of_pairs(logits, logits, |z, _| (z - log_z).exp() * (z - log_z));
    let after = entropy(c.moved[0].logits, c.moved[0].log_z);
    let before = entropy(c.logits, c.log_z);
    c.equal(2.0 * c.logit_scale(), [(c.label, c.negative.entropy_change(), after - before)])
}

pub(super) fn uniform(c: &Case<'_>) -> Outcome {
    let flat = c.logits.iter().all(|z| *z == c.logits[0]);
    let exact = squeezing::uniform_growth(c.pi.vocab(), c.step);
    c.equal(c.step_scale(), c.others().filter(|_| flat).map(|i| (i, c.negative.log(i), exact)))
}

pub(super) fn books(c: &Case<'_>) -> Outcome {
    let total = c.pi.expectation(|i, _| c.negative.log(i).exp_m1());
    c.equal(c.step_scale(), [(c.label, total, 0.0)])
}
