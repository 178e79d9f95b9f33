//! The hinge loss on the reference-relative margin.

use super::{MarginLoss, positive};
use crate::{Error, Real};

/// The hinge loss of TRL (RSO): as DPO, with a hinge for the logistic.
///
/// # Definition
///
/// ```text
/// L = max(0, 1 − βh)        w₊ = w₋ = β·[βh < 1]
/// ```
///
/// # Special cases
///
/// At the kink βh = 1 the weight is 0, as it is beyond; as h → −∞ it stays β. As β → 0, L → 1 and
/// w/β → 1. For the form without a reference see [`Slic`](super::Slic).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hinge<T> {
    beta: T,
}

impl<T: Real> Hinge<T> {
    /// The hinge loss with strength `beta`; it is satisfied from the margin 1/β on.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0.
    pub fn new(beta: T) -> Result<Self, Error> {
        Ok(Hinge { beta: positive("beta", beta)? })
    }
}

impl<T: Real> MarginLoss<T> for Hinge<T> {
    fn loss_at(&self, margin: T) -> T {
        let gap = T::ONE - self.beta * margin;
        if gap < T::ZERO { T::ZERO } else { gap }
    }

    fn pull_at(&self, margin: T) -> T {
        if self.beta * margin >= T::ONE { T::ZERO } else { self.beta }
    }
}
