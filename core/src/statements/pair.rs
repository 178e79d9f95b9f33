//! Checks: a pair, with y⁺ the second label of the case and y⁻ its label.

use super::case::Step;
use super::{Case, Outcome};
#[cfg(not(feature = "std"))]
use crate::Real;

/// w₋ of the uneven pair; its w₊ is 1.
const UNEVEN: f64 = 0.5;

/// Δz_i of a pair with weights 1 and w.
fn delta(c: &Case<'_>, w: f64, i: usize) -> f64 {
    let hit = |label: usize| if i == label { 1.0 } else { 0.0 };
    c.step * ((hit(c.other) - c.p(i)) - w * (hit(c.label) - c.p(i)))
}

/// The even pair against its moved logits, the uneven one against the definition over π.
pub(super) fn growth(c: &Case<'_>) -> Outcome {
    let even = c.labels().map(|i| (i, c.pair.log(i), c.log_growth(&c.moved[2], i)));
    let high = delta(c, UNEVEN, c.other);
    let log_z = high + c.pi.expectation(|i, _| (delta(c, UNEVEN, i) - high).exp()).ln();
    let has_mass = c.p(c.other) > f64::MIN_POSITIVE;
    let uneven = c.labels().filter(|_| has_mass).map(|i| (i, c.uneven.log(i), delta(c, UNEVEN, i) - log_z));
    c.equal(c.logit_scale(), even.chain(uneven))
}

/// −log Z′ of the even pair.
fn common(c: &Case<'_>) -> f64 {
    c.log_z - c.moved[2].log_z
}

pub(super) fn common_factor(c: &Case<'_>) -> Outcome {
    let common = common(c);
    c.equal(c.logit_scale(), c.third().map(|i| (i, c.pair.log(i), common)))
}

pub(super) fn others_fall(c: &Case<'_>) -> Outcome {
    let fall = c.logits[c.other] + c.step > c.logits[c.label];
    c.holds(c.logit_scale(), c.third().map(|i| (i, if fall { -c.pair.log(i) } else { c.pair.log(i) })))
}

pub(super) fn moves_most(c: &Case<'_>) -> Outcome {
    let rises = |step: &Step<'_>, i: usize| step.log(c.other) - if i == c.other { 0.0 } else { step.log(i) };
    let falls = |i: usize| if i == c.label { 0.0 } else { c.pair.log(i) } - c.pair.log(c.label);
    let margins = c.labels().flat_map(|i| [(i, rises(&c.pair, i)), (i, rises(&c.uneven, i)), (i, falls(i))]);
    c.holds(2.0 * c.step_scale(), margins)
}

pub(super) fn odds(c: &Case<'_>) -> Outcome {
    let mut third = c.third();
    let Some(first) = third.next() else { return Outcome::NotApplicable };
    let law = |w: f64, i: usize| -c.step * (1.0 - w) * (c.p(i) - c.p(first));
    let pairs = third.flat_map(|i| {
        [
            (i, c.pair.log(i) - c.pair.log(first), law(1.0, i)),
            (i, c.uneven.log(i) - c.uneven.log(first), law(UNEVEN, i)),
        ]
    });
    c.equal(c.step_scale(), pairs)
}
