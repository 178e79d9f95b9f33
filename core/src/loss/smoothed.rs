//! SFT with label smoothing. It is a loss of whole distributions, not of sequence
//! log-probabilities, so it lives at the token: what changes is the residual, and the weights of
//! [`Sft`](super::Sft) stay 1 and 0.

use crate::diagnostics::residual_into;
use crate::softmax::log_sum_exp;
use crate::{Error, Real};

/// The cross-entropy of one position against its smoothed label.
///
/// # Definition
///
/// ```text
/// L = −Σ_v q(v) log π(v) = log Z − (1 − ε) z_y − (ε/V) Σ_v z_v,  q = (1 − ε) e_y + ε/V
/// ```
///
/// # Special cases
///
/// ε = 0 is −log π(y), also beside logits of −∞; with ε > 0 such a logit makes the loss ∞. The
/// least loss is the entropy of q, not 0.
///
/// # Accuracy
///
/// As [`log_sum_exp`]; the mean of the logits is taken in `f64` relative to the label's.
///
/// # Errors
///
/// [`Error::Label`] if `label` ≥ V; [`Error::Range`] unless 0 ≤ ε < 1.
///
/// # Examples
///
/// ```
/// use ldyn_core::loss::smoothed_nll;
/// assert_eq!(smoothed_nll(&[0.0_f64, 0.0], 1, 0.1)?, 2.0_f64.ln());
/// assert!(smoothed_nll(&[0.0, 0.0], 2, 0.1).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn smoothed_nll<T: Real>(logits: &[T], label: usize, label_smoothing: T) -> Result<T, Error> {
    check(label_smoothing)?;
    let Some(&at_label) = logits.get(label) else {
        return Err(Error::Label { found: label, vocab: logits.len() });
    };
    let nll = log_sum_exp(logits) - at_label;
    if label_smoothing == T::ZERO {
        return Ok(nll);
    }
    // Against a label without mass every excess is −∞ − (−∞) or −∞ at best; the loss is the limit.
    if nll == T::INFINITY {
        return Ok(nll);
    }
    let excess: f64 = logits.iter().map(|z| (at_label - *z).to_f64()).sum();
    Ok(nll + label_smoothing * T::from_f64(excess / logits.len() as f64))
}

/// The residual of one position against its smoothed label, written to `out`.
///
/// # Definition
///
/// ```text
/// G = ∂L/∂z = π − q,  q = (1 − ε) e_y + ε/V
/// ```
///
/// # Special cases
///
/// ε = 0 is [`residual_into`] at weight 1. Its sum over V is 0 at every ε. Where π(v) < ε/V a label
/// v ≠ y is *raised*: smoothing pushes the poor up, against the squeezing of a negative step.
///
/// # Shapes
///
/// `logits` and `out`: V; `log_z` is log Σ e^z of the same logits.
///
/// # Errors
///
/// As [`residual_into`]; [`Error::Range`] unless 0 ≤ ε < 1.
///
/// # Examples
///
/// ```
/// use ldyn_core::loss::smoothed_residual_into;
/// let mut g = [0.0_f64; 2];
/// smoothed_residual_into(&[0.0, 0.0], 0, 2.0_f64.ln(), 0.5, &mut g)?;
/// assert_eq!(g, [-0.25, 0.25]);
/// assert!(smoothed_residual_into(&[0.0, 0.0], 0, 2.0_f64.ln(), 1.0, &mut g).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn smoothed_residual_into<T: Real>(
    logits: &[T],
    label: usize,
    log_z: T,
    label_smoothing: T,
    out: &mut [T],
) -> Result<(), Error> {
    check(label_smoothing)?;
    residual_into(logits, label, log_z, T::ONE, out)?;
    let share = label_smoothing / T::from_f64(logits.len() as f64);
    for o in out.iter_mut() {
        *o -= share;
    }
    out[label] += label_smoothing;
    Ok(())
}

fn check<T: Real>(label_smoothing: T) -> Result<(), Error> {
    if label_smoothing >= T::ZERO && label_smoothing < T::ONE {
        Ok(())
    } else {
        let found = label_smoothing.to_f64();
        Err(Error::Range { name: "label_smoothing", found, expected: "0 <= ε < 1" })
    }
}
