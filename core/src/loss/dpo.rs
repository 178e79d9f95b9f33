//! Direct preference optimisation, with label smoothing (conservative DPO).

use super::{MarginLoss, logistic, positive, smoothing};
use crate::{Error, Real};

/// DPO; with a label smoothing ε > 0 it is conservative DPO (cDPO).
///
/// # Definition
///
/// ```text
/// L = −(1 − ε) log σ(βh) − ε log σ(−βh)
/// w₊ = w₋ = β(1 − ε − a),  a = σ(βh)        paper: §3.2, eq. 12–15
/// ```
///
/// # Special cases
///
/// With policy = reference h = 0, a = ½, so w = β(½ − ε) and L = ln 2. As β → 0, L → ln 2 and
/// w/β → ½ − ε. A saturated margin h → ∞ gives w → −βε: with smoothing the weights change sign
/// where a > 1 − ε; without, they vanish as βe^{−βh}. h → −∞ gives w → β(1 − ε).
///
/// # Accuracy
///
/// The loss is within 4ε·(1 + β|h|) of itself, ε of the type: βh is rounded before its logarithm is taken. So is
/// the weight without smoothing; with it, that is within 4ε·(1 + β|h|)·β.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dpo<T> {
    beta: T,
    label_smoothing: T,
}

impl<T: Real> Dpo<T> {
    /// DPO with strength `beta` and `label_smoothing` ε.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0 and 0 ≤ ε < ½.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::loss::{Dpo, PairLogps, PreferenceLoss};
    /// let pair = PairLogps { chosen: -9.0, rejected: -8.0, ref_chosen: -9.0, ref_rejected: -8.0,
    ///     chosen_len: 3, rejected_len: 2 };
    /// let outcome = Dpo::new(0.1_f64, 0.0)?.outcome(&pair);
    /// assert_eq!((outcome.loss, outcome.chosen_weight), (2.0_f64.ln(), 0.05));
    /// assert!(Dpo::new(0.0, 0.0).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(beta: T, label_smoothing: T) -> Result<Self, Error> {
        Ok(Dpo { beta: positive("beta", beta)?, label_smoothing: smoothing(label_smoothing)? })
    }
}

impl<T: Real> MarginLoss<T> for Dpo<T> {
    fn loss_at(&self, margin: T) -> T {
        logistic::loss(self.beta * margin, self.label_smoothing)
    }

    fn pull_at(&self, margin: T) -> T {
        self.beta * logistic::pull(self.beta * margin, self.label_smoothing)
    }
}
