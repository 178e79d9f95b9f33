//! Efficient exact optimisation on pairs.

use super::{MarginLoss, positive, smoothing};
use crate::softmax::{log_sigmoid, sigmoid};
use crate::{Error, Real};

/// EXO on pairs: the reverse KL divergence from the policy's choice q = σ(βh) to the smoothed
/// label.
///
/// # Definition
///
/// ```text
/// L = q log(q/(1 − ε)) + (1 − q) log((1 − q)/ε),  q = σ(βh)
/// w₊ = w₋ = βq(1 − q)(log((1 − ε)/ε) − βh)
/// ```
///
/// # Special cases
///
/// At h = 0 the weight is (β/4) log(1/ε − 1). It is 0 where q = 1 − ε and negative beyond. Both
/// tails vanish: h → −∞ gives L → −log ε and a weight of order |βh|e^{−|βh|}, so a pair that is
/// far on the wrong side hardly learns; h → ∞ gives L → −log(1 − ε). As β → 0,
/// L → −ln 2 − ½ log(ε(1 − ε)).
///
/// # Accuracy
///
/// The loss is within 4ε·(1 + β|h|) of q·(1 + |log(q/(1 − ε))|) + (1 − q)·(1 + |log((1 − q)/ε)|), whose terms can
/// cancel; the weight of βq(1 − q)(2 + β|h|).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exo<T> {
    beta: T,
    label_smoothing: T,
}

impl<T: Real> Exo<T> {
    /// EXO with strength `beta` and `label_smoothing` ε; the authors recommend 10⁻³.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0 and 0 < ε < ½: without smoothing the loss is infinite.
    pub fn new(beta: T, label_smoothing: T) -> Result<Self, Error> {
        let beta = positive("beta", beta)?;
        let label_smoothing = smoothing(label_smoothing)?;
        if label_smoothing == T::ZERO {
            return Err(Error::Range {
                name: "label_smoothing",
                found: 0.0,
                expected: "0 < ε < 0.5 (without smoothing the loss of exo_pair is infinite)",
            });
        }
        Ok(Exo { beta, label_smoothing })
    }

    /// (log(1 − ε), log ε).
    fn log_labels(&self) -> (T, T) {
        ((-self.label_smoothing).ln_1p(), self.label_smoothing.ln())
    }
}

impl<T: Real> MarginLoss<T> for Exo<T> {
    fn loss_at(&self, margin: T) -> T {
        let x = self.beta * margin;
        let (log_keep, log_flip) = self.log_labels();
        divergence_term(x, log_keep) + divergence_term(-x, log_flip)
    }

    fn pull_at(&self, margin: T) -> T {
        let x = self.beta * margin;
        let (log_keep, log_flip) = self.log_labels();
        let variance = sigmoid(x) * sigmoid(-x);
        // In the far tails the product is 0, not 0·∞.
        if variance == T::ZERO { T::ZERO } else { self.beta * variance * ((log_keep - log_flip) - x) }
    }
}

/// σ(x)(log σ(x) − `log_label`), 0 where σ(x) is.
fn divergence_term<T: Real>(x: T, log_label: T) -> T {
    let q = sigmoid(x);
    if q == T::ZERO { T::ZERO } else { q * (log_sigmoid(x) - log_label) }
}
