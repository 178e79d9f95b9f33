//! A case, and the work that all statements share.

use super::Outcome;
use crate::decomposition::{Influence, exact_into, regression_step_into, remainder};
use crate::simplex::Distribution;
use crate::softmax::{log_sum_exp, softmax_into};
use crate::squeezing::Trajectory;
use crate::squeezing::growth::{Growth, Pull};
use crate::{Error, adaptation};
use core::ops::ControlFlow;

/// A fault put into what a case computes, to see that the statements notice.
///
/// The statements compare with π, y and s as given; only the steps that are taken are wrong. Three kinds of
/// statements do not see it: those about π alone, those about a step that hold for a wrong one too, and C1, C3, C4
/// and C6–C8, which compare two steps that they make themselves. Smoothed and sign steps (M0–M2, M6) take a wrong
/// label or size, but no other direction or normaliser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Every step goes the other way.
    Direction,
    /// Steps on y are taken on the second label.
    Label,
    /// Steps are too large by a thousandth.
    Size,
    /// Nothing is normalised: log Z is left out of growth, and the mean out of A·v.
    Normaliser,
}

/// Logits, two labels, a step size, and what follows from them.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub(super) logits: &'a [f64],
    pub(super) label: usize,
    pub(super) other: usize,
    pub(super) step: f64,
    pub(super) pi: Distribution<'a, f64>,
    pub(super) runner_up: usize,
    pub(super) sum_sq: f64,
    pub(super) log_z: f64,
    largest_logit: f64,
    taken: Taken,
    /// z + s·v, z − s·v and z + s(e_y − e_b), from the definition, and their log-sum-exps.
    pub(super) moved: [Moved<'a>; 3],
    /// Δz of the negative step, A·Δz, and Δ log π.
    pub(super) delta: &'a [f64],
    pub(super) adapted: &'a [f64],
    pub(super) change: &'a [f64],
    pub(super) remainder: f64,
    /// Negative steps of size s, s/2, 3s/2 and [`TINY`]; of size s on the second label.
    pub(super) negative: Step<'a>,
    pub(super) shorter: Step<'a>,
    pub(super) longer: Step<'a>,
    pub(super) tiny: Step<'a>,
    pub(super) on_other: Step<'a>,
    /// Positive steps of size s and 3s/2.
    pub(super) positive: Step<'a>,
    pub(super) longer_positive: Step<'a>,
    /// A pair with y⁺ the second label and y⁻ the label: weights 1 and 1, and 1 and ½.
    pub(super) pair: Step<'a>,
    pub(super) uneven: Step<'a>,
    /// π′ of the negative and the positive step, and one more such step from there.
    pub(super) after: [Distribution<'a, f64>; 2],
    pub(super) second: [Step<'a>; 2],
    /// Where a trajectory of two negative steps leads.
    pub(super) walked: Moved<'a>,
    /// Σ A·Δz of two negative steps, and Σ r.
    pub(super) predicted: &'a [f64],
    pub(super) remainders: f64,
    /// Where two negative steps with [`MOMENTUM`] lead, and one with [`DECAY`].
    pub(super) with_momentum: Moved<'a>,
    pub(super) decayed: &'a [f64],
}

/// μ of heavy-ball momentum.
pub(super) const MOMENTUM: f64 = 0.9;

/// κ of weight decay.
pub(super) const DECAY: f64 = 0.1;

/// The size of a small step.
pub(super) const TINY: f64 = 1e-3;

/// Beyond this, a label whose probability has underflowed could come back within one step.
const LARGEST_STEP: f64 = 300.0;

/// Logits after a step, from the definition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved<'a> {
    pub(super) logits: &'a [f64],
    pub(super) log_z: f64,
}

/// A step as it was taken, fault included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    growth: Growth<'a, f64>,
    normalised: bool,
}

impl Step<'_> {
    /// log α_i.
    pub(super) fn log(&self, i: usize) -> f64 {
        if self.normalised { self.growth.log(i) } else { self.growth.delta(i) }
    }

    pub(super) fn entropy_change(&self) -> f64 {
        self.growth.entropy_change()
    }
}

impl<'a> Case<'a> {
    /// Numbers of scratch space that a case over `vocab` labels needs.
    pub const fn scratch_len(vocab: usize) -> usize {
        16 * vocab
    }

    /// The case of unlearning (and of learning) `label` next to a second label `other`.
    ///
    /// A few exponentials for each label; with a `fault`, computed wrongly.
    ///
    /// # Shapes
    ///
    /// `logits`: V ≥ 2; `scratch`: [`scratch_len`](Case::scratch_len)(V), contents irrelevant.
    ///
    /// # Errors
    ///
    /// [`Error::Length`], [`Error::Label`], [`Error::Logit`] (−∞ too: a statement supposes full support);
    /// [`Error::Range`] if the labels are the same or unless 0 < s ≤ 300.
    pub fn new(
        logits: &'a [f64],
        (label, other): (usize, usize),
        step: f64,
        scratch: &'a mut [f64],
        fault: Option<Fault>,
    ) -> Result<Self, Error> {
        let vocab = logits.len();
        if let Some(index) = logits.iter().position(|z| !z.is_finite()) {
            return Err(Error::Logit { index });
        }
        let expected = Case::scratch_len(vocab);
        if scratch.len() != expected {
            return Err(Error::Length { name: "scratch", found: scratch.len(), expected });
        }
        if !(step > 0.0 && step <= LARGEST_STEP) {
            return Err(Error::Range { name: "step", found: step, expected: "above 0 and at most 300" });
        }
        let mut rooms = Rooms { scratch, vocab };
        let pi = rooms.distribution(logits)?;
        pi.check(label)?;
        pi.check(other)?;
        if label == other {
            return Err(Error::Range { name: "other", found: other as f64, expected: "another label" });
        }
        // By the logits, which tell labels apart whose probabilities are equal to rounding.
        let others = (0..vocab).filter(|&i| i != label);
        let runner_up = others.fold(other, |best, i| {
            let (z, high) = (logits[i], logits[best]);
            if z > high || (z == high && i < best) { i } else { best }
        });

        let p = pi.as_slice();
        let hit = |i: usize, label: usize| if i == label { 1.0 } else { 0.0 };
        let moved = [
            rooms.moved(|i| logits[i] + step * (p[i] - hit(i, label))),
            rooms.moved(|i| logits[i] - step * (p[i] - hit(i, label))),
            rooms.moved(|i| logits[i] + step * (hit(i, other) - hit(i, label))),
        ];

        let taken = Taken { fault, other };
        let [delta, adapted, change] = [rooms.next(), rooms.next(), rooms.next()];
        let (on, size) = taken.pull(label, -step);
        regression_step_into(&pi, on, size, delta)?;
        adaptation::apply_into(&pi, delta, adapted)?;
        exact_into(&pi, delta, change)?;
        let remainder = remainder(&pi, delta)?;
        if fault == Some(Fault::Normaliser) {
            adapted.copy_from_slice(delta);
            change.copy_from_slice(delta);
        }

        let after = [rooms.distribution(moved[0].logits)?, rooms.distribution(moved[1].logits)?];
        let [walked, walked_pi] = [rooms.next(), rooms.next()];
        walked.copy_from_slice(logits);
        let mut walk = Trajectory::new(walked, walked_pi)?;
        walk.step(on, size)?;
        walk.step(on, size)?;

        let [with_momentum, velocity, decayed] = [rooms.next(), rooms.next(), rooms.next()];
        with_momentum.copy_from_slice(logits);
        velocity.fill(0.0);
        let mut walk = Trajectory::new(with_momentum, walked_pi)?;
        walk.step_with_momentum(on, size, MOMENTUM, velocity)?;
        walk.step_with_momentum(on, size, MOMENTUM, velocity)?;
        decayed.copy_from_slice(logits);
        Trajectory::new(decayed, walked_pi)?.step_with_decay(on, size, DECAY)?;

        let [predicted, again] = [rooms.next(), rooms.next()];
        regression_step_into(&after[0], on, size, again)?;
        let mut influence = Influence::new(predicted);
        influence.add(&pi, delta)?;
        influence.add(&after[0], again)?;
        let remainders = influence.remainder();

        let single = |pi, label, size| taken.step(pi, (label, size), (label, 0.0));
        Ok(Case {
            logits,
            label,
            other,
            step,
            pi,
            runner_up,
            sum_sq: pi.sum_sq(),
            log_z: log_sum_exp(logits),
            largest_logit: logits.iter().fold(0.0, |a, z| a.max(z.abs())),
            taken,
            moved,
            delta,
            adapted,
            change,
            remainder,
            negative: single(pi, label, -step),
            shorter: single(pi, label, -0.5 * step),
            longer: single(pi, label, -1.5 * step),
            tiny: single(pi, label, -TINY),
            on_other: single(pi, other, -step),
            positive: single(pi, label, step),
            longer_positive: single(pi, label, 1.5 * step),
            pair: taken.step(pi, (other, step), (label, -step)),
            uneven: taken.step(pi, (other, step), (label, -0.5 * step)),
            after,
            second: [single(after[0], label, -step), single(after[1], label, step)],
            walked: Moved { log_z: log_sum_exp(walked), logits: walked },
            predicted,
            remainders,
            with_momentum: Moved { log_z: log_sum_exp(with_momentum), logits: with_momentum },
            decayed,
        })
    }

    /// How far below 0 rounding may push a margin: (64 + V)·2⁻⁵³, the worst case of a sum over V labels.
    pub fn allowance(&self) -> f64 {
        (64.0 + self.pi.vocab() as f64) * 0.5 * f64::EPSILON
    }

    /// Whether a fault was put in.
    pub fn fault(&self) -> Option<Fault> {
        self.taken.fault
    }

    /// A negative step as it is taken: on which label, and of what size, whose sign is not looked at.
    pub(super) fn taken(&self) -> (usize, f64) {
        let (label, size) = self.taken.pull(self.label, self.step);
        (label, size.abs())
    }

    /// The step in a context with π, pulled towards a label or, where `size` is negative, away from it, and
    /// pulled from another context too.
    pub(super) fn across(&self, here: Context<'a>, there: Context<'a>) -> Step<'a> {
        let pulls = [there, here].map(|context| self.taken.pull_towards(context.label, context.size));
        self.taken.done(Growth::across(here.pi, there.pi, pulls))
    }

    pub(super) fn p(&self, i: usize) -> f64 {
        self.pi.as_slice()[i]
    }

    pub(super) fn labels(&self) -> core::ops::Range<usize> {
        0..self.pi.vocab()
    }

    /// All labels but y.
    pub(super) fn others(&self) -> impl Iterator<Item = usize> + '_ {
        self.labels().filter(|&i| i != self.label)
    }

    /// All labels but y and the second label.
    pub(super) fn third(&self) -> impl Iterator<Item = usize> + '_ {
        self.others().filter(|&i| i != self.other)
    }

    /// (π − e_y)_i.
    pub(super) fn v(&self, i: usize) -> f64 {
        if i == self.label { self.p(i) - 1.0 } else { self.p(i) }
    }

    /// log π_i from the logits.
    pub(super) fn log_p(&self, i: usize) -> f64 {
        self.logits[i] - self.log_z
    }

    /// log α_i from the definition: z before, `moved` after.
    pub(super) fn log_growth(&self, moved: &Moved<'_>, i: usize) -> f64 {
        (moved.logits[i] - moved.log_z) - self.log_p(i)
    }

    /// The size at which what follows from π is rounded.
    pub(super) fn step_scale(&self) -> f64 {
        1.0 + self.step
    }

    /// The size at which what is compared with logits is rounded.
    pub(super) fn logit_scale(&self) -> f64 {
        1.0 + self.step + self.largest_logit
    }

    /// Whether every margin is at least 0, rounding at `scale` allowed for.
    pub(super) fn holds(&self, scale: f64, margins: impl IntoIterator<Item = (usize, f64)>) -> Outcome {
        let (mut tightest, mut low) = (None, f64::NAN);
        // The first margin is not above NaN either.
        let _ = margins.into_iter().try_for_each(|(label, margin)| {
            let above = margin >= low;
            if !above {
                (tightest, low) = (Some((label, margin)), margin);
            }
            if margin.is_nan() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match tightest.map(|(label, margin): (usize, f64)| (label, margin / scale)) {
            None => Outcome::NotApplicable,
            Some((label, margin)) if margin >= -self.allowance() => Outcome::Holds { label, margin },
            Some((label, margin)) => Outcome::Fails { label, margin },
        }
    }

    /// Whether every pair is equal, rounding at `scale` allowed for.
    pub(super) fn equal(&self, scale: f64, pairs: impl IntoIterator<Item = (usize, f64, f64)>) -> Outcome {
        self.holds(scale, pairs.into_iter().map(|(i, found, exact)| (i, -(found - exact).abs())))
    }
}

/// A context whose label is learned, or unlearned where `size` is negative.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) pi: Distribution<'a, f64>,
    pub(super) label: usize,
    pub(super) size: f64,
}

/// How steps are taken: as they should be, or with a fault.
#[derive(Clone, Copy, Debug)]
struct Taken {
    fault: Option<Fault>,
    other: usize,
}

impl Taken {
    fn pull(self, label: usize, size: f64) -> (usize, f64) {
        match self.fault {
            Some(Fault::Direction) => (label, -size),
            Some(Fault::Label) => (self.other, size),
            Some(Fault::Size) => (label, 1.001 * size),
            Some(Fault::Normaliser) | None => (label, size),
        }
    }

    fn step<'a>(self, pi: Distribution<'a, f64>, first: (usize, f64), second: (usize, f64)) -> Step<'a> {
        let pulls = [first, second].map(|(label, size)| self.pull_towards(label, size));
        self.done(Growth::of(pi, pulls))
    }

    fn pull_towards(self, label: usize, size: f64) -> Pull {
        let (label, size) = self.pull(label, size);
        Pull::towards(label, size)
    }

    fn done(self, growth: Growth<'_, f64>) -> Step<'_> {
        Step { growth, normalised: self.fault != Some(Fault::Normaliser) }
    }
}

/// Scratch space, handed out V numbers at a time.
struct Rooms<'a> {
    scratch: &'a mut [f64],
    vocab: usize,
}

impl<'a> Rooms<'a> {
    fn next(&mut self) -> &'a mut [f64] {
        let all = core::mem::take(&mut self.scratch);
        let (room, rest) = all.split_at_mut(self.vocab);
        self.scratch = rest;
        room
    }

    fn distribution(&mut self, logits: &[f64]) -> Result<Distribution<'a, f64>, Error> {
        let room = self.next();
        softmax_into(logits, room)?;
        Ok(Distribution::trusted(room))
    }

    fn moved(&mut self, logit: impl Fn(usize) -> f64) -> Moved<'a> {
        let room = self.next();
        for (i, z) in room.iter_mut().enumerate() {
            *z = logit(i);
        }
        Moved { log_z: log_sum_exp(room), logits: room }
    }
}
