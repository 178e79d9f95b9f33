//! The distribution, the steps, and what is kept of them for the page.

use crate::pull::Pull;
use crate::start;
use ldyn_core::decomposition::{exact_into, predicted_into, remainder};
use ldyn_core::simplex::Distribution;
use ldyn_core::softmax::{log_sum_exp, softmax_into};
use ldyn_core::squeezing::repeated;
use ldyn_core::statements::{Case, Fault, Outcome, STATEMENTS};
use ldyn_core::{Error, Real};

/// The most labels.
pub(crate) const MAX_VOCAB: usize = 30;
/// The most steps.
pub(crate) const MAX_STEPS: usize = 100;

/// The state: a start, and what the last [`run`](Model::run) left.
pub(crate) struct Model {
    vocab: usize,
    logits: [f64; MAX_VOCAB],
    before: [f64; MAX_VOCAB],
    after: [f64; MAX_VOCAB],
    /// log α over all steps.
    growth: [f64; MAX_VOCAB],
    /// α over all steps.
    factor: [f64; MAX_VOCAB],
    /// A·Δz of the last step, and Δ log π.
    predicted: [f64; MAX_VOCAB],
    change: [f64; MAX_VOCAB],
    /// The mass of y, of y* and of all others, and what y* has at least, before the first step and after each.
    path: [[f64; MAX_STEPS + 1]; 4],
    /// What the core's statements say of the last step; nothing if there is no step.
    pub(crate) outcomes: [Option<Outcome>; STATEMENTS.len()],
    /// Single numbers by their names; NaN where one means nothing.
    pub(crate) numbers: [(&'static str, f64); 18],
    pub(crate) fault: Option<Fault>,
}

impl Model {
    /// No labels yet.
    pub(crate) const EMPTY: Model = Model {
        vocab: 0,
        logits: [0.0; MAX_VOCAB],
        before: [0.0; MAX_VOCAB],
        after: [0.0; MAX_VOCAB],
        growth: [0.0; MAX_VOCAB],
        factor: [1.0; MAX_VOCAB],
        predicted: [0.0; MAX_VOCAB],
        change: [0.0; MAX_VOCAB],
        path: [[0.0; MAX_STEPS + 1]; 4],
        outcomes: [None; STATEMENTS.len()],
        numbers: [("", f64::NAN); 18],
        fault: None,
    };

    pub(crate) fn preset(&mut self, shape: usize, vocab: usize) -> Result<(), Error> {
        self.set_vocab(vocab)?;
        for i in 0..vocab {
            let unknown = Error::Unknown { name: "shape", expected: "0 to 3" };
            self.logits[i] = start::logit(shape, i, vocab).ok_or(unknown)?;
        }
        self.refresh()
    }

    pub(crate) fn set_vocab(&mut self, vocab: usize) -> Result<(), Error> {
        if !(2..=MAX_VOCAB).contains(&vocab) {
            return Err(Error::Range { name: "vocab", found: vocab as f64, expected: "between 2 and 30" });
        }
        self.vocab = vocab;
        self.logits = [0.0; MAX_VOCAB];
        self.refresh()
    }

    pub(crate) fn set_logit(&mut self, label: usize, logit: f64) -> Result<(), Error> {
        if label >= self.vocab {
            return Err(Error::Label { found: label, vocab: self.vocab });
        }
        if !logit.is_finite() {
            return Err(Error::Logit { index: label });
        }
        self.logits[label] = logit;
        self.refresh()
    }

    /// z_i = log(p/(1 − p)) + log Σ_{j≠i} e^{z_j}: only the logit of one label moves.
    pub(crate) fn set_probability(&mut self, label: usize, p: f64) -> Result<(), Error> {
        if !(p > 0.0 && p < 1.0) {
            return Err(Error::Range { name: "p", found: p, expected: "between 0 and 1" });
        }
        if label >= self.vocab {
            return Err(Error::Label { found: label, vocab: self.vocab });
        }
        self.logits[label] = f64::NEG_INFINITY;
        let others = log_sum_exp(&self.logits[..self.vocab]);
        let odds = Real::ln(p) - Real::ln_1p(-p);
        self.set_logit(label, odds + others)
    }

    /// What the charts show. An entry for each label: the logits of the start, π there, π after the steps, log α and α over all steps,
    /// the first-order prediction of the last step and its exact Δ log π. An entry before the first step and
    /// after each: the mass of y, of y* and of all others, and what y* has at least.
    pub(crate) fn arrays(&self) -> [(&'static str, &[f64]); 11] {
        let [label, runner_up, others, bound] = &self.path;
        [
            ("logits", &self.logits),
            ("before", &self.before),
            ("after", &self.after),
            ("growth", &self.growth),
            ("factor", &self.factor),
            ("predicted", &self.predicted),
            ("change", &self.change),
            ("path_label", label),
            ("path_runner_up", runner_up),
            ("path_others", others),
            ("path_bound", bound),
        ]
    }

    fn refresh(&mut self) -> Result<(), Error> {
        softmax_into(&self.logits[..self.vocab], &mut self.before[..self.vocab])
    }

    pub(crate) fn run(&mut self, pull: Pull, step: f64, steps: usize) -> Result<(), Error> {
        self.outcomes = [None; STATEMENTS.len()];
        if steps > MAX_STEPS {
            return Err(Error::Range { name: "steps", found: steps as f64, expected: "at most 100" });
        }
        let (before, mut logits, mut delta) = (self.before, self.logits, [0.0; MAX_VOCAB]);
        let (logits, delta) = (&mut logits[..self.vocab], &mut delta[..self.vocab]);
        let start = Distribution::new(&before[..self.vocab])?;
        let (label, other) = pull.labels();
        let runner_up = start.runner_up(label)?.unwrap_or(label);
        (self.after, self.growth) = (self.before, [0.0; MAX_VOCAB]);
        self.path = [[0.0; MAX_STEPS + 1]; 4];
        self.note(0, label, runner_up);
        let [mut threshold, mut last_remainder, mut bound] = [f64::NAN; 3];
        for t in 1..=steps {
            if t == steps {
                self.check(logits, (label, other), step)?;
            }
            let pi = self.after;
            let pi = Distribution::new(&pi[..self.vocab])?;
            pull.logit_change_into(&pi, step, delta)?;
            threshold = pull.growth_of(pi, step, &mut self.growth[..self.vocab])?;
            predicted_into(&pi, delta, &mut self.predicted[..self.vocab])?;
            exact_into(&pi, delta, &mut self.change[..self.vocab])?;
            (last_remainder, bound) = (remainder(&pi, delta)?, pull.remainder_bound(&pi, step, delta)?);
            for (z, d) in logits.iter_mut().zip(&*delta) {
                *z += d;
            }
            softmax_into(logits, &mut self.after[..self.vocab])?;
            self.note(t, label, runner_up);
        }
        let after = Distribution::new(&self.after[..self.vocab])?;
        for (factor, growth) in self.factor.iter_mut().zip(self.growth) {
            *factor = Real::exp(growth);
        }
        let mut bounds = [f64::NAN; 2];
        for t in 1..=steps {
            let Pull::Unlearn { .. } = pull else { break };
            let total = step * t as f64;
            bounds = [
                repeated::collapse_bound(&start, label, total)?,
                repeated::label_bound(&start, label, total)?,
            ];
            self.path[3][t] = (1.0 - bounds[0]).max(0.0);
        }
        let ledger = Ledger::of(start, after);
        self.numbers = [
            ("label", label as f64),
            ("runner_up", runner_up as f64),
            ("argmax", after.argmax() as f64),
            ("risers", self.count(|growth| growth > 0.0)),
            ("fallers", self.count(|growth| growth < 0.0)),
            ("threshold", threshold),
            ("runner_up_at_last_step", self.path[1][steps.saturating_sub(1)]),
            ("sum_sq", start.sum_sq()),
            ("moved", ledger.moved),
            ("gainer", ledger.gainer as f64),
            ("gainer_share", ledger.gainer_share),
            ("entropy_before", start.entropy()),
            ("entropy_after", after.entropy()),
            ("remainder", last_remainder),
            ("remainder_bound", bound),
            ("collapse_bound", bounds[0]),
            ("label_bound", bounds[1]),
            ("statements", self.outcomes.iter().flatten().count() as f64),
        ];
        Ok(())
    }

    fn count(&self, of: impl Fn(f64) -> bool) -> f64 {
        self.growth[..self.vocab].iter().filter(|&&growth| of(growth)).count() as f64
    }

    /// The masses of y, y* and all others after `t` steps.
    fn note(&mut self, t: usize, label: usize, runner_up: usize) {
        let mut masses = [0.0; 3];
        for (i, p) in self.after[..self.vocab].iter().enumerate() {
            let whose = [i == label, i == runner_up].iter().position(|&is| is).unwrap_or(2);
            masses[whose] += p;
        }
        for (path, mass) in self.path.iter_mut().zip(masses) {
            path[t] = mass;
        }
    }

    /// Lets every statement of the core look at a step from `logits`.
    fn check(&mut self, logits: &[f64], labels: (usize, usize), step: f64) -> Result<(), Error> {
        let mut scratch = [0.0; Case::scratch_len(MAX_VOCAB)];
        let scratch = &mut scratch[..Case::scratch_len(self.vocab)];
        let case = Case::new(logits, labels, step, scratch, self.fault)?;
        for (outcome, statement) in self.outcomes.iter_mut().zip(STATEMENTS) {
            *outcome = Some((statement.check)(&case));
        }
        Ok(())
    }
}

/// What went from those that fell to those that rose.
struct Ledger {
    moved: f64,
    /// Who gained most, and its share of what was moved.
    gainer: usize,
    gainer_share: f64,
}

impl Ledger {
    fn of(before: Distribution<'_, f64>, after: Distribution<'_, f64>) -> Ledger {
        let gains = before.as_slice().iter().zip(after.as_slice()).map(|(p, q)| (q - p).max(0.0));
        let moved: f64 = gains.clone().sum();
        let (gainer, gain) =
            gains.enumerate().fold((0, 0.0), |best, (i, gain)| if gain > best.1 { (i, gain) } else { best });
        Ledger { moved, gainer, gainer_share: gain / moved }
    }
}
