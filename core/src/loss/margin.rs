//! Losses of one margin, and the margins that they can be taken on.

use super::{Divergence, PairLogps, PreferenceLoss};
use crate::Real;

/// A loss of one number, the margin by which the chosen response leads.
///
/// Those of this crate are also a [`PreferenceLoss`] on the margin h, with w₊ = w₋ = −dL/dh; on other
/// margins see [`OnMargin`].
pub trait MarginLoss<T: Real> {
    /// L at a margin.
    fn loss_at(&self, margin: T) -> T;

    /// −dL/dmargin, the pull that widens the margin.
    fn pull_at(&self, margin: T) -> T;
}

// One impl for all margin losses would collide with the others' as far as the compiler can tell.
macro_rules! preference_loss_on_h {
    ($($loss:ident),*) => {$(
        impl<T: Real> PreferenceLoss<T> for super::$loss<T> {
            fn loss(&self, pair: &PairLogps<T>) -> T {
                self.loss_at(pair.margin())
            }

            fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
                let pull = self.pull_at(pair.margin());
                (pull, pull)
            }

            fn uses_reference(&self) -> bool {
                true
            }
        }
    )*};
}

preference_loss_on_h!(Dpo, RobustDpo, Ipo, Hinge, Exo, DiscoPop, Spin);

/// How the margin of a pair is taken from its log-ratios.
///
/// # Definition
///
/// ```text
/// d = f(r₊)/n₊ − f(r₋)/n₋        n± = L± with `token_mean`, else 1
/// ∂d/∂ℓ₊ = f′(r₊)/n₊,  −∂d/∂ℓ₋ = f′(r₋)/n₋
/// ```
///
/// # Special cases
///
/// The default, f(r) = r on sums, is h. Large scores of other divergences are capped: see
/// [`Divergence`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Margin<T> {
    /// f, which belongs to an f-divergence.
    pub divergence: Divergence<T>,
    /// Divide by the number of tokens; an empty response counts as one token.
    pub token_mean: bool,
}

impl<T: Real> Margin<T> {
    /// d.
    pub fn value(&self, pair: &PairLogps<T>) -> T {
        let (chosen, rejected) = pair.log_ratios();
        let (n_chosen, n_rejected) = self.divisors(pair);
        self.divergence.score(chosen) / n_chosen - self.divergence.score(rejected) / n_rejected
    }

    /// The weights (w₊, w₋) that a `loss` of this margin puts on the pair.
    pub(super) fn weights(&self, loss: &dyn MarginLoss<T>, pair: &PairLogps<T>) -> (T, T) {
        let pull = loss.pull_at(self.value(pair));
        let (chosen, rejected) = pair.log_ratios();
        let (n_chosen, n_rejected) = self.divisors(pair);
        (pull * self.divergence.slope(chosen) / n_chosen, pull * self.divergence.slope(rejected) / n_rejected)
    }

    fn divisors(&self, pair: &PairLogps<T>) -> (T, T) {
        if self.token_mean { pair.lengths() } else { (T::ONE, T::ONE) }
    }
}

/// A margin loss on a margin of its own.
///
/// # Definition
///
/// ```text
/// L = ℒ(d)        w₊ = −ℒ′(d)·∂d/∂ℓ₊,  w₋ = ℒ′(d)·∂d/∂ℓ₋
/// ```
///
/// # Examples
///
/// ```
/// use ldyn_core::loss::{Ipo, Margin, OnMargin, PairLogps, PreferenceLoss};
/// // IPO on token means, as in TRL.
/// let ipo = OnMargin { loss: Ipo::new(0.1)?, margin: Margin { token_mean: true, ..Margin::default() } };
/// let start = PairLogps { chosen: -9.0, rejected: -8.0, ref_chosen: -9.0, ref_rejected: -8.0,
///     chosen_len: 5, rejected_len: 2 };
/// assert_eq!(ipo.weights(&start), (2.0, 5.0));
/// # Ok::<(), ldyn_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnMargin<L, T> {
    /// ℒ.
    pub loss: L,
    /// How d is taken.
    pub margin: Margin<T>,
}

impl<T: Real, L: MarginLoss<T>> PreferenceLoss<T> for OnMargin<L, T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        self.loss.loss_at(self.margin.value(pair))
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        self.margin.weights(&self.loss, pair)
    }

    fn uses_reference(&self) -> bool {
        true
    }
}
