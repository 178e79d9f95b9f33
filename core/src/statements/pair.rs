//! Checks: a pair, with y⁺ the second label of the case and y⁻ its label; in two contexts, χ⁻ has the π of the
//! case, and χ⁺ the same or that after a negative step.

use super::case::{Context, Step};
use super::{Case, Outcome};
#[cfg(not(feature = "std"))]
use crate::Real;

/// w₋ of the uneven pair; its w₊ is 1.
const UNEVEN: f64 = 0.5;

/// ρ where it is neither 0 nor 1.
const OVERLAP: f64 = 0.5;

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

/// What χ⁻ sees at overlap ρ; χ⁺ has the distribution after a negative step, or that of χ⁻.
fn rejected_context<'a>(c: &Case<'a>, overlap: f64, equal: bool) -> Step<'a> {
    let here = Context { pi: c.pi, label: c.label, size: -c.step };
    let pi = if equal { c.pi } else { c.after[0] };
    c.across(here, Context { pi, label: c.other, size: overlap * c.step })
}

/// Against the definition over π.
pub(super) fn contexts(c: &Case<'_>) -> Outcome {
    let step = rejected_context(c, OVERLAP, false);
    let delta = |i: usize| {
        let hit = |label: usize| if i == label { 1.0 } else { 0.0 };
        c.step * (OVERLAP * (hit(c.other) - c.after[0].as_slice()[i]) - (hit(c.label) - c.p(i)))
    };
    let high = c.labels().filter(|&i| c.p(i) > 0.0).map(delta).fold(f64::NEG_INFINITY, f64::max);
    let log_z = high + c.pi.expectation(|i, _| (delta(i) - high).exp()).ln();
    c.equal(2.0 * c.step_scale(), c.labels().map(|i| (i, step.log(i), delta(i) - log_z)))
}

/// Two pairs of contexts: π in χ⁻, and π in χ⁺, where it learns the label of the case.
pub(super) fn no_overlap(c: &Case<'_>) -> Outcome {
    let rejected = rejected_context(c, 0.0, false);
    let here = Context { pi: c.pi, label: c.label, size: c.step };
    let chosen = c.across(here, Context { pi: c.after[0], label: c.other, size: 0.0 });
    let both = c.labels().flat_map(|i| {
        [(i, rejected.log(i), c.log_growth(&c.moved[0], i)), (i, chosen.log(i), c.log_growth(&c.moved[1], i))]
    });
    c.equal(c.logit_scale(), both)
}

pub(super) fn full_overlap(c: &Case<'_>) -> Outcome {
    let rejected = rejected_context(c, 1.0, true);
    let here = Context { pi: c.pi, label: c.other, size: c.step };
    let chosen = c.across(here, Context { pi: c.pi, label: c.label, size: -c.step });
    let both = c.labels().flat_map(|i| {
        let exact = c.log_growth(&c.moved[2], i);
        [(i, rejected.log(i), exact), (i, chosen.log(i), exact)]
    });
    c.equal(c.logit_scale(), both)
}

pub(super) fn overlap_odds(c: &Case<'_>) -> Outcome {
    let step = rejected_context(c, OVERLAP, false);
    let left = |i: usize| c.step * (c.p(i) - OVERLAP * c.after[0].as_slice()[i]);
    odds_of_third(c, &step, left)
}

pub(super) fn overlap_fades(c: &Case<'_>) -> Outcome {
    let step = rejected_context(c, OVERLAP, true);
    odds_of_third(c, &step, |i| (1.0 - OVERLAP) * c.step * c.p(i))
}

fn odds_of_third(c: &Case<'_>, step: &Step<'_>, law: impl Fn(usize) -> f64) -> Outcome {
    let mut third = c.third();
    let Some(first) = third.next() else { return Outcome::NotApplicable };
    c.equal(c.step_scale(), third.map(|i| (i, step.log(i) - step.log(first), law(i) - law(first))))
}

/// Between unequal distributions with ρ = ½ ≤ 1 − π⁻(y⁻), and between equal ones.
pub(super) fn rejected_falls(c: &Case<'_>) -> Outcome {
    let (unequal, equal) = (rejected_context(c, OVERLAP, false), rejected_context(c, OVERLAP, true));
    let small = c.p(c.label) <= 1.0 - OVERLAP;
    let both = [(&unequal, small), (&equal, true)].into_iter().filter(|(_, holds)| *holds);
    let margins = both.flat_map(|(step, _)| {
        let own = step.log(c.label);
        c.labels().map(move |i| (i, if i == c.label { -own } else { step.log(i) - own }))
    });
    c.holds(2.0 * c.step_scale(), margins)
}

pub(super) fn chosen_rises(c: &Case<'_>) -> Outcome {
    let step = rejected_context(c, OVERLAP, true);
    let own = step.log(c.other);
    let others = c.labels().filter(|&i| i != c.other).map(|i| (i, own - step.log(i)));
    c.holds(2.0 * c.step_scale(), [(c.other, own)].into_iter().chain(others))
}
