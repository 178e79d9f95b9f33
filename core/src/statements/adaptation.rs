//! Checks: A, and the decomposition of one step.

use super::{Case, Outcome};
#[cfg(not(feature = "std"))]
use crate::Real;
use crate::decomposition::{
    NEGATIVE_REMAINDER, POSITIVE_REMAINDER, negative_remainder_bound, remainder_bound,
};
use crate::diagnostics::a_norm;

/// A1, with A written out at the rows of the two labels.
pub(super) fn product(c: &Case<'_>) -> Outcome {
    let rows = [c.label, c.other].map(|i| {
        let row = c.labels().map(|j| (if i == j { 1.0 } else { 0.0 } - c.p(j)) * c.delta[j]);
        (i, c.adapted[i], row.sum())
    });
    c.equal(c.step, rows)
}

pub(super) fn shift(c: &Case<'_>) -> Outcome {
    c.equal(1.0, [(c.label, c.pi.expectation(|_, _| 1.0), 1.0)])
}

pub(super) fn conserves(c: &Case<'_>) -> Outcome {
    c.equal(c.step, [(c.label, c.pi.expectation(|i, _| c.adapted[i]), 0.0)])
}

pub(super) fn projection(c: &Case<'_>) -> Outcome {
    let mean = c.pi.expectation(|i, _| c.adapted[i]);
    c.equal(c.step, c.labels().map(|i| (i, c.adapted[i] - mean, c.adapted[i])))
}

pub(super) fn jacobian(c: &Case<'_>) -> Outcome {
    let size = c.logit_scale();
    let mean = c.pi.expectation(|i, _| c.logits[i]);
    let one_way = c.pi.expectation(|i, _| c.logits[i] * c.adapted[i]);
    let other_way = c.pi.expectation(|i, _| c.delta[i] * (c.logits[i] - mean));
    let form = c.pi.expectation(|i, _| c.delta[i] * c.adapted[i]);
    let symmetric = -(one_way - other_way).abs() / (size * c.step);
    c.holds(1.0, [(c.label, symmetric), (c.label, form / (c.step * c.step))])
}

pub(super) fn frobenius(c: &Case<'_>) -> Outcome {
    let vocab = c.pi.vocab() as f64;
    let columns = c.labels().map(|j| (1.0 - c.p(j)) * (1.0 - c.p(j)) + (vocab - 1.0) * c.p(j) * c.p(j));
    let exact: f64 = columns.sum();
    let norm = a_norm(c.sum_sq, c.pi.vocab());
    let found = norm * norm;
    c.holds(
        vocab,
        [-(found - exact).abs(), found - (vocab - 1.0), (2.0 * vocab - 2.0) - found].map(|m| (c.label, m)),
    )
}

pub(super) fn operator(c: &Case<'_>) -> Outcome {
    let norm = crate::adaptation::operator_norm(&c.pi);
    let length = |f: &dyn Fn(usize) -> f64| c.labels().map(|i| f(i) * f(i)).sum::<f64>().sqrt();
    let vocab = c.pi.vocab() as f64;
    let stretch = norm * length(&|i| c.delta[i]) - length(&|i| c.adapted[i]);
    // At 1 − Vπ: its mean is 1 − V‖π‖².
    let before = length(&|i| 1.0 - vocab * c.p(i));
    let after = length(&|i| vocab * (c.sum_sq - c.p(i)));
    c.holds(
        1.0,
        [(c.label, stretch / (c.step * vocab)), (c.label, -(after - norm * before).abs() / (vocab * vocab))],
    )
}

pub(super) fn change(c: &Case<'_>) -> Outcome {
    c.equal(c.logit_scale(), c.labels().map(|i| (i, c.change[i], c.log_growth(&c.moved[0], i))))
}

pub(super) fn remainder_is_kl(c: &Case<'_>) -> Outcome {
    let kl = c.pi.expectation(|i, _| -c.log_growth(&c.moved[0], i));
    c.equal(c.logit_scale(), [(c.label, c.remainder, -kl)])
}

pub(super) fn hoeffding(c: &Case<'_>) -> Outcome {
    let bound = remainder_bound(c.delta);
    c.holds(c.step * c.step, [(c.label, -c.remainder), (c.label, c.remainder - bound)])
}

/// log π of the label after a step less what A·Δz predicts: the remainder as it shows in a step.
fn measured(c: &Case<'_>, sign: f64, growth: f64) -> f64 {
    let mean = c.pi.expectation(|i, _| c.v(i));
    growth - sign * c.step * (c.v(c.label) - mean)
}

pub(super) fn own_bound(c: &Case<'_>) -> Outcome {
    let spread = c.step * (1.0 - c.p(c.label) + c.p(c.runner_up));
    let bound = spread * spread / 8.0;
    let both = [measured(c, 1.0, c.negative.log(c.label)), measured(c, -1.0, c.positive.log(c.label))];
    let margins = both.into_iter().flat_map(|r| [(c.label, -r), (c.label, r + bound)]);
    c.holds(c.step_scale() * c.step_scale(), margins)
}

pub(super) fn regression(c: &Case<'_>) -> Outcome {
    c.equal(c.step, c.labels().map(|i| (i, c.delta[i], c.step * c.v(i))))
}

pub(super) fn uniform_bound(c: &Case<'_>) -> Outcome {
    let r = measured(c, 1.0, c.negative.log(c.label));
    c.holds(c.step_scale() * c.step_scale(), [(c.label, r + NEGATIVE_REMAINDER * c.step * c.step)])
}

pub(super) fn sharp_bound(c: &Case<'_>) -> Outcome {
    let tau = 1.0 - c.p(c.label) + c.p(c.runner_up);
    let bound = negative_remainder_bound(&c.pi, c.label, c.step).unwrap_or(f64::NAN);
    let r = measured(c, 1.0, c.negative.log(c.label));
    c.holds(c.step_scale() * c.step_scale(), (tau >= 1.0).then_some((c.label, r - bound)))
}

pub(super) fn positive_bound(c: &Case<'_>) -> Outcome {
    let r = measured(c, -1.0, c.positive.log(c.label));
    c.holds(c.step_scale() * c.step_scale(), [(c.label, r + POSITIVE_REMAINDER * c.step * c.step)])
}
