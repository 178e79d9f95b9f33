//! What a step does: which labels it pulls, which way, and the core's functions for it.

use ldyn_core::Error;
use ldyn_core::decomposition::{
    negative_remainder_bound, positive_remainder_bound, regression_step_into, remainder_bound,
};
use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::{NegativeStep, PairStep, PositiveStep};

/// What a step does.
#[derive(Clone, Copy)]
pub(crate) enum Pull {
    /// Gradient ascent on −log π(rejected).
    Unlearn { rejected: usize, chosen: usize },
    /// Gradient descent on −log π(chosen).
    Learn { rejected: usize, chosen: usize },
    /// Both at once in one context, with equal weights.
    Pair { rejected: usize, chosen: usize },
}

impl Pull {
    /// The label that the step is about, and the second one.
    pub(crate) fn labels(self) -> (usize, usize) {
        match self {
            Pull::Unlearn { rejected, chosen } | Pull::Pair { rejected, chosen } => (rejected, chosen),
            Pull::Learn { rejected, chosen } => (chosen, rejected),
        }
    }

    /// Δz.
    pub(crate) fn logit_change_into(
        self,
        pi: &Distribution<'_, f64>,
        step: f64,
        out: &mut [f64],
    ) -> Result<(), Error> {
        match self {
            Pull::Unlearn { rejected, .. } => regression_step_into(pi, rejected, -step, out),
            Pull::Learn { chosen, .. } => regression_step_into(pi, chosen, step, out),
            Pull::Pair { rejected, chosen } => {
                // s·[(e₊ − π) − (e₋ − π)]: the π-terms cancel.
                out.fill(0.0);
                (out[chosen], out[rejected]) = (step, -step);
                Ok(())
            }
        }
    }

    /// Adds log α of every label; returns the threshold of who rises, where there is one.
    pub(crate) fn growth_of(
        self,
        pi: Distribution<'_, f64>,
        step: f64,
        growth: &mut [f64],
    ) -> Result<f64, Error> {
        match self {
            Pull::Unlearn { rejected, .. } => {
                let step = NegativeStep::new(pi, rejected, step)?;
                add(growth, |i| step.log_growth(i))?;
                Ok(step.threshold())
            }
            Pull::Learn { chosen, .. } => {
                let step = PositiveStep::new(pi, chosen, step)?;
                add(growth, |i| step.log_growth(i))?;
                Ok(step.threshold())
            }
            Pull::Pair { rejected, chosen } => {
                let step = PairStep::new(pi, (chosen, rejected), (1.0, 1.0), step)?;
                add(growth, |i| step.log_growth(i))?;
                Ok(f64::NAN)
            }
        }
    }

    /// How far below 0 the remainder of the step can be.
    pub(crate) fn remainder_bound(
        self,
        pi: &Distribution<'_, f64>,
        step: f64,
        delta: &[f64],
    ) -> Result<f64, Error> {
        match self {
            Pull::Unlearn { rejected, .. } => negative_remainder_bound(pi, rejected, step),
            Pull::Learn { chosen, .. } => positive_remainder_bound(pi, chosen, step),
            Pull::Pair { .. } => Ok(remainder_bound(delta)),
        }
    }
}

fn add(sums: &mut [f64], of: impl Fn(usize) -> Result<f64, Error>) -> Result<(), Error> {
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum += of(i)?;
    }
    Ok(())
}
