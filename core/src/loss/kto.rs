//! Kahneman–Tversky optimisation: single examples, good or bad, against a baseline.

use super::{nonnegative, positive};
use crate::softmax::sigmoid;
use crate::{Error, Real};

/// KTO. It has no pairs: every example is one response that is desirable or not, and all are
/// compared with a baseline z, an estimate of KL(π ‖ π_ref) that gets no gradient.
///
/// # Definition
///
/// ```text
/// desirable:    L = ω₊σ(β(z − r)),   ∂L/∂log π(y) = −w,  w = ω₊βσ(β(r − z))σ(β(z − r))
/// undesirable:  L = ω₋σ(β(r − z)),   ∂L/∂log π(y) = +w,  w = ω₋βσ(β(r − z))σ(β(z − r))
/// ```
///
/// with r = log π(y) − log π_ref(y). Source: Ethayarajh et al. 2024, eq. 7–8.
///
/// # Special cases
///
/// At r = z the loss is ω/2 and the weight ωβ/4. Both tails vanish as βe^{−β|r − z|}: L → 0 on the
/// right side, L → ω on the wrong one. As β → 0, L → ω/2 and w/β → ω/4. With z = 0 it
/// is TRL's `apo_zero_unpaired`, whose sum over a pair is [`ApoZero`](super::ApoZero).
///
/// # Accuracy
///
/// Loss and weight are within 4ε·(1 + β|r − z|) of themselves, ε of the type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kto<T> {
    beta: T,
    desirable_weight: T,
    undesirable_weight: T,
}

/// A loss of one example and its weight w ≥ 0 on the residual π − e_y: with a plus sign for a
/// desirable example, with a minus sign for an undesirable one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ExampleOutcome<T> {
    /// The loss of the example.
    pub loss: T,
    /// w.
    pub weight: T,
}

impl<T: Real> Kto<T> {
    /// KTO with strength `beta` and the weights ω₊ and ω₋ of the two kinds of examples.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0 and ω± ≥ 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::loss::Kto;
    /// let kto = Kto::new(0.1_f64, 1.0, 2.0)?;
    /// let (good, bad) = (kto.desirable(3.0, 3.0), kto.undesirable(3.0, 3.0));
    /// assert_eq!((good.loss, bad.loss), (0.5, 1.0));
    /// assert!((good.weight - 0.025).abs() < 1e-16);
    /// assert!(Kto::new(0.1, -1.0, 1.0).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(beta: T, desirable_weight: T, undesirable_weight: T) -> Result<Self, Error> {
        Ok(Kto {
            beta: positive("beta", beta)?,
            desirable_weight: nonnegative("desirable_weight", desirable_weight)?,
            undesirable_weight: nonnegative("undesirable_weight", undesirable_weight)?,
        })
    }

    /// A desirable example with this log-ratio, against the baseline z.
    pub fn desirable(&self, log_ratio: T, baseline: T) -> ExampleOutcome<T> {
        self.example(self.desirable_weight, baseline - log_ratio)
    }

    /// An undesirable example with this log-ratio, against the baseline z.
    pub fn undesirable(&self, log_ratio: T, baseline: T) -> ExampleOutcome<T> {
        self.example(self.undesirable_weight, log_ratio - baseline)
    }

    fn example(&self, omega: T, lag: T) -> ExampleOutcome<T> {
        let x = self.beta * lag;
        let loss = omega * sigmoid(x);
        ExampleOutcome { loss, weight: self.beta * loss * sigmoid(-x) }
    }
}

/// The baseline z of a batch: the mean log-ratio of mismatched prompts and responses, at least 0.
///
/// # Definition
///
/// ```text
/// z = max(0, (1/n) Σ_i log π(y_j|x_i) − log π_ref(y_j|x_i)),  j ≠ i
/// ```
///
/// # Errors
///
/// [`Error::Empty`] without a log-ratio.
///
/// # Examples
///
/// ```
/// use ldyn_core::loss::kl_baseline;
/// assert_eq!(kl_baseline(&[1.0, 2.0])?, 1.5);
/// assert_eq!(kl_baseline(&[-1.0, -2.0])?, 0.0);
/// assert!(kl_baseline::<f64>(&[]).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn kl_baseline<T: Real>(mismatched_log_ratios: &[T]) -> Result<T, Error> {
    if mismatched_log_ratios.is_empty() {
        return Err(Error::Empty { name: "mismatched_log_ratios" });
    }
    let sum: f64 = mismatched_log_ratios.iter().map(|r| r.to_f64()).sum();
    let mean = T::from_f64(sum / mismatched_log_ratios.len() as f64);
    Ok(if mean < T::ZERO { T::ZERO } else { mean })
}
