//! Checks: two steps in a row, modified steps, and two steps compared.

use super::case::{DECAY, MOMENTUM, Step, TINY};
use super::{Case, Outcome};
use crate::Error;
#[cfg(not(feature = "std"))]
use crate::Real;
use crate::squeezing::repeated::{collapse_bound, collapse_rate, label_bound};
use crate::squeezing::{
    FixedProportions, SignStep, SmoothedStep, Witness, least_likely_falls_more,
    third_labels_lose_after_transfer,
};

/// ε of the smoothed step.
const SMOOTHING: f64 = 0.1;
/// The power that makes the other labels peakier.
const POWER: f64 = 2.0;

/// log π_i after two negative steps, as they were taken.
fn log_after(c: &Case<'_>, i: usize) -> f64 {
    c.log_p(i) + c.negative.log(i) + c.second[0].log(i)
}

pub(super) fn telescopes(c: &Case<'_>) -> Outcome {
    let pairs = c.labels().map(|i| (i, c.predicted[i] + c.remainders, c.log_growth(&c.walked, i)));
    c.equal(2.0 * c.logit_scale(), pairs)
}

pub(super) fn trajectory(c: &Case<'_>) -> Outcome {
    let pairs = c.labels().map(|i| (i, log_after(c, i), c.walked.logits[i] - c.walked.log_z));
    c.equal(2.0 * c.logit_scale(), pairs)
}

pub(super) fn label_falls(c: &Case<'_>) -> Outcome {
    let least = c.step * (1.0 - c.p(c.label));
    let both = [&c.negative, &c.second[0]].into_iter().flat_map(|step: &Step<'_>| {
        let own = step.log(c.label);
        let odds = c.others().map(move |i| (i, step.log(i) - own - least));
        [(c.label, -own)].into_iter().chain(odds)
    });
    c.holds(2.0 * c.logit_scale(), both)
}

pub(super) fn runner_up_stays(c: &Case<'_>) -> Outcome {
    let ahead = c.log_p(c.runner_up) >= c.log_p(c.label);
    let top = [c.log_p(c.runner_up) + c.negative.log(c.runner_up), log_after(c, c.runner_up)];
    let labels = c.labels().filter(|&i| ahead || i != c.label);
    let margins =
        labels.flat_map(|i| [(i, top[0] - (c.log_p(i) + c.negative.log(i))), (i, top[1] - log_after(c, i))]);
    c.holds(2.0 * c.logit_scale(), margins)
}

pub(super) fn gaps_widen(c: &Case<'_>) -> Outcome {
    let both = [&c.negative, &c.second[0]].into_iter().flat_map(|step: &Step<'_>| {
        let neighbours = c.others().zip(c.others().skip(1)).map(move |(i, j)| {
            let change = step.log(i) - step.log(j);
            (i, if c.logits[i] > c.logits[j] { change } else { -change })
        });
        [(c.runner_up, step.log(c.runner_up))].into_iter().chain(neighbours)
    });
    c.holds(2.0 * c.logit_scale(), both)
}

pub(super) fn odds_bound(c: &Case<'_>) -> Outcome {
    let start = c.log_p(c.runner_up);
    let end = log_after(c, c.runner_up);
    let margins = c.labels().map(|i| {
        let bound = (c.log_p(i) - start) + 2.0 * c.step * (c.v(i) - c.p(c.runner_up));
        (i, bound - (log_after(c, i) - end))
    });
    c.holds(2.0 * c.logit_scale(), margins)
}

pub(super) fn collapse(c: &Case<'_>) -> Outcome {
    let rate = collapse_rate(&c.pi, c.label).unwrap_or(0.0);
    let bound = collapse_bound(&c.pi, c.label, 2.0 * c.step).unwrap_or(f64::NAN);
    let lost: f64 = c.labels().filter(|&i| i != c.runner_up).map(|i| log_after(c, i).exp()).sum();
    let has_mass = c.p(c.runner_up) > f64::MIN_POSITIVE;
    c.holds(c.logit_scale(), (rate > 0.0 && has_mass).then_some((c.runner_up, bound - lost)))
}

pub(super) fn label_vanishes(c: &Case<'_>) -> Outcome {
    let bound = label_bound(&c.pi, c.label, 2.0 * c.step).unwrap_or(f64::NAN);
    let has_mass = c.p(c.runner_up) > f64::MIN_POSITIVE;
    c.holds(c.logit_scale(), has_mass.then(|| (c.label, bound - log_after(c, c.label).exp())))
}

pub(super) fn ties(c: &Case<'_>) -> Outcome {
    let tied = c.others().zip(c.others().skip(1)).filter(|&(i, j)| c.logits[i] == c.logits[j]);
    let change = |i: usize| c.negative.log(i) + c.second[0].log(i);
    c.equal(c.step_scale(), tied.map(|(i, j)| (i, change(i), change(j))))
}

pub(super) fn slopes(c: &Case<'_>) -> Outcome {
    let surprise = -c.log_p(c.runner_up);
    let margins = c.labels().flat_map(|i| {
        let above = c.negative.log(i) - c.step * (c.v(i) - c.p(c.runner_up));
        [(i, above), (i, surprise - above)]
    });
    c.holds(c.logit_scale(), margins)
}

pub(super) fn learning(c: &Case<'_>) -> Outcome {
    let now = c.after[1].runner_up(c.label).ok().flatten().unwrap_or(c.runner_up);
    let [first, second] = [&c.positive, &c.second[1]];
    let margins = [
        (c.label, first.log(c.label)),
        (c.label, second.log(c.label)),
        (c.runner_up, -first.log(c.runner_up)),
        (now, -second.log(now)),
    ];
    c.holds(c.step_scale(), margins)
}

fn smoothed<'a>(c: &Case<'a>) -> Result<SmoothedStep<'a, f64>, Error> {
    let (label, size) = c.taken();
    SmoothedStep::new(c.pi, label, SMOOTHING, size)
}

/// Against the whole target, (1 − ε)e_y + ε/V.
pub(super) fn smoothing(c: &Case<'_>) -> Outcome {
    let Ok(step) = smoothed(c) else { return Outcome::NotApplicable };
    let even = SMOOTHING / c.pi.vocab() as f64;
    let delta = |i: usize| {
        let hit = if i == c.label { 1.0 - SMOOTHING } else { 0.0 };
        c.step * (c.p(i) - hit - even)
    };
    let high = delta(c.pi.argmax()).max(delta(c.runner_up));
    let log_z = high + c.pi.expectation(|i, _| (delta(i) - high).exp()).ln();
    let found = |i: usize| step.log_growth(i).unwrap_or(f64::NAN);
    c.equal(2.0 * c.step_scale(), c.labels().map(|i| (i, found(i), delta(i) - log_z)))
}

/// The condition from the definition: a witness would look at the label that the step is on.
pub(super) fn smoothed_label(c: &Case<'_>) -> Outcome {
    let Ok(step) = smoothed(c) else { return Outcome::NotApplicable };
    let least = c.others().map(|i| c.p(i)).fold(1.0, f64::min);
    let holds = c.p(c.label) - (1.0 - SMOOTHING) <= least;
    let fall = -step.log_growth(c.label).unwrap_or(f64::NAN);
    c.holds(c.step_scale(), holds.then_some((c.label, fall)))
}

pub(super) fn smoothed_runner_up(c: &Case<'_>) -> Outcome {
    let Ok(step) = smoothed(c) else { return Outcome::NotApplicable };
    let holds = c.p(c.runner_up) >= c.p(c.label) - (1.0 - SMOOTHING);
    let rise = step.log_growth(c.runner_up).unwrap_or(f64::NAN);
    c.holds(c.step_scale(), holds.then_some((c.runner_up, rise)))
}

fn witness(c: &Case<'_>, found: Result<Option<Witness<f64>>, Error>) -> Outcome {
    match found {
        Ok(witness) => c.holds(c.step_scale(), witness.map(|w| (w.label, w.margin))),
        Err(_) => Outcome::Fails { label: c.label, margin: f64::NAN },
    }
}

/// The second of two steps with momentum, against where a plain first step leads.
pub(super) fn momentum(c: &Case<'_>) -> Outcome {
    let [before, after] = [&c.moved[0], &c.with_momentum];
    let growth = |i: usize| (after.logits[i] - before.logits[i]) - (after.log_z - before.log_z);
    let (own, top) = (growth(c.label), growth(c.runner_up));
    let velocity = |i: usize| {
        let hit = if i == c.label { 1.0 } else { 0.0 };
        MOMENTUM * c.v(i) + (c.after[0].as_slice()[i] - hit)
    };
    let margins = c.labels().flat_map(|i| {
        let definition = before.logits[i] + c.step * velocity(i);
        [(i, top - growth(i)), (i, growth(i) - own), (i, -(after.logits[i] - definition).abs())]
    });
    c.holds(4.0 * c.logit_scale(), [(c.runner_up, top), (c.label, -own)].into_iter().chain(margins))
}

pub(super) fn decay(c: &Case<'_>) -> Outcome {
    let top = c.decayed[c.runner_up];
    let order = c.others().map(|i| (i, top - c.decayed[i]));
    let definition = |i: usize| (1.0 - DECAY) * c.logits[i] + c.step * c.v(i);
    let law = c.labels().map(|i| (i, -(c.decayed[i] - definition(i)).abs()));
    c.holds(c.logit_scale(), order.chain(law))
}

pub(super) fn sign_step(c: &Case<'_>) -> Outcome {
    let (label, size) = c.taken();
    let Ok(step) = SignStep::new(&c.pi, label, size) else { return Outcome::NotApplicable };
    let [rise, fall] = [step.log_growth(c.runner_up), -step.log_growth(c.label)];
    let apart = -(rise + fall - 2.0 * c.step).abs();
    let equal = c.others().map(|i| (i, -(step.log_growth(i) - rise).abs()));
    let ends = [(c.runner_up, rise), (c.label, fall), (c.label, apart)];
    c.holds(2.0 * c.step_scale(), ends.into_iter().chain(equal))
}

/// The family through π, with π_y and half of it as two members; `None` where π_y is 0 or 1 to rounding.
fn proportions<'a>(c: &Case<'a>) -> Option<(FixedProportions<'a, f64>, [f64; 2])> {
    let large = c.p(c.label);
    let within = large > 1e-250 && large < 1.0 && c.p(c.runner_up) > 1e-250;
    let family = FixedProportions::new(c.pi, c.label).ok().filter(|_| within)?;
    Some((family, [0.5 * large, large]))
}

/// At the two labels and y*.
pub(super) fn family(c: &Case<'_>) -> Outcome {
    let Some((family, [_, p])) = proportions(c) else { return Outcome::NotApplicable };
    let labels = [c.label, c.other, c.runner_up];
    let found = |i: usize| family.log_growth(i, p, c.step).unwrap_or(f64::NAN);
    c.equal(c.step_scale(), labels.map(|i| (i, found(i), c.negative.log(i))))
}

pub(super) fn losers_stay(c: &Case<'_>) -> Outcome {
    let Some((family, [small, large])) = proportions(c) else { return Outcome::NotApplicable };
    witness(c, family.losers_stay(small, large, c.step).map(Some))
}

pub(super) fn relative_squeeze(c: &Case<'_>) -> Outcome {
    let Some((family, [small, large])) = proportions(c) else { return Outcome::NotApplicable };
    let top = c.negative.log(c.runner_up);
    let margins = c.others().flat_map(|i| {
        let [at_small, at_large] =
            [small, large].map(|p| family.log_odds_change(i, c.runner_up, p, c.step).unwrap_or(f64::NAN));
        [(i, -(at_large - (c.negative.log(i) - top)).abs()), (i, at_large - at_small)]
    });
    c.holds(c.step_scale(), margins)
}

pub(super) fn runner_up_share(c: &Case<'_>) -> Outcome {
    let Some((family, [small, large])) = proportions(c) else { return Outcome::NotApplicable };
    witness(c, family.runner_up_share_grows(small, large, c.step).map(Some))
}

pub(super) fn label_falls_more(c: &Case<'_>) -> Outcome {
    let Some((family, [small, large])) = proportions(c) else { return Outcome::NotApplicable };
    witness(c, family.label_falls_more(small, large, c.step).map(Some))
}

/// At s = [`TINY`] log Z bends by at most range²/4 ≤ 1; and who loses at first loses at every s.
pub(super) fn initial_rate(c: &Case<'_>) -> Outcome {
    let Some((family, [_, p])) = proportions(c) else { return Outcome::NotApplicable };
    // One sum over the labels: the rates of two labels differ as their odds do.
    let top = family.rate(c.runner_up, p).unwrap_or(f64::NAN);
    let margins = c.others().flat_map(|i| {
        let rate = top + family.log_odds_change(i, c.runner_up, p, 1.0).unwrap_or(f64::NAN);
        let error = (c.tiny.log(i) - TINY * rate).abs();
        [(i, 0.5 * TINY * TINY - error), (i, if rate < 0.0 { -c.negative.log(i) } else { f64::INFINITY })]
    });
    c.holds(c.step_scale(), margins)
}

pub(super) fn rest_grows_less(c: &Case<'_>) -> Outcome {
    let Some((family, [small, large])) = proportions(c) else { return Outcome::NotApplicable };
    witness(c, family.rest_grows_less(small, large, c.step))
}

pub(super) fn least_likely(c: &Case<'_>) -> Outcome {
    if c.p(c.runner_up) == 0.0 {
        return Outcome::NotApplicable;
    }
    witness(c, least_likely_falls_more(c.pi, c.label, POWER, c.step).map(Some))
}

pub(super) fn transfer(c: &Case<'_>) -> Outcome {
    let mass = 0.5 * c.p(c.label);
    if mass == 0.0 {
        return Outcome::NotApplicable;
    }
    witness(c, third_labels_lose_after_transfer(c.pi, c.label, c.other, mass, c.step))
}
