//! Alignment via optimal transport: a loss of a batch, through the order of its members.

use super::{Outcome, PairLogps, logistic, positive, smoothing};
use crate::{Error, Real};
use core::cmp::Ordering;

/// AOT: the logistic loss on differences of order statistics, so that the whole distribution of
/// one score is to dominate that of the other.
///
/// # Definition
///
/// ```text
/// paired:    u_i = ℓ₊ − ℓ₋,  v_i = log π_ref(y⁺) − log π_ref(y⁻)
/// unpaired:  u_i = r₊,       v_i = r₋
/// t_k = u_(k) − v_(k), both sorted;  L_k = −(1 − ε) log σ(βt_k) − ε log σ(−βt_k)
/// −∂L_k/∂u_(k) = ∂L_k/∂v_(k) = β(1 − ε − σ(βt_k))
/// ```
///
/// The loss of the batch is the mean of the L_k. Source: Melnyk et al. 2024; TRL's `aot` and
/// `aot_unpaired`.
///
/// # Special cases
///
/// A batch of one pair is DPO, and the limits of each L_k in t_k are [`Dpo`](super::Dpo)'s in h: as
/// β → 0, L_k → ln 2 and its weights over β → ½ − ε, whatever the ranks. Among equal scores the earlier
/// pair comes first; there the loss has a kink. NaN sorts behind all numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aot<T> {
    beta: T,
    label_smoothing: T,
    unpaired: bool,
}

impl<T: Real> Aot<T> {
    /// `aot` with strength `beta` and `label_smoothing` ε.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless β > 0 and 0 ≤ ε < ½.
    pub fn paired(beta: T, label_smoothing: T) -> Result<Self, Error> {
        Self::new(beta, label_smoothing, false)
    }

    /// `aot_unpaired`.
    ///
    /// # Errors
    ///
    /// As [`Aot::paired`].
    pub fn unpaired(beta: T, label_smoothing: T) -> Result<Self, Error> {
        Self::new(beta, label_smoothing, true)
    }

    fn new(beta: T, label_smoothing: T, unpaired: bool) -> Result<Self, Error> {
        Ok(Aot { beta: positive("beta", beta)?, label_smoothing: smoothing(label_smoothing)?, unpaired })
    }

    /// Losses and weights of a batch, one a pair, to be averaged.
    ///
    /// # Method
    ///
    /// The loss L_k goes to the pair that has u_(k), with its w₊; w₋ comes from the rank of the
    /// pair's v (unpaired) or is w₊ (paired).
    ///
    /// # Shapes
    ///
    /// `pairs` and `out`: n; `scratch`: 2n, what it holds does not matter.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `out` or `scratch` has another length.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::loss::{Aot, Outcome, PairLogps};
    /// let pair = PairLogps { chosen: -9.0, rejected: -8.0, ref_chosen: -9.0, ref_rejected: -8.0,
    ///     chosen_len: 5, rejected_len: 2 };
    /// let mut out = [Outcome { loss: 0.0, chosen_weight: 0.0, rejected_weight: 0.0 }; 2];
    /// let aot = Aot::paired(0.1_f64, 0.0)?;
    /// aot.outcomes_into(&[pair; 2], &mut [0; 4], &mut out)?;
    /// assert_eq!((out[1].loss, out[1].chosen_weight), (2.0_f64.ln(), 0.05));
    /// assert!(aot.outcomes_into(&[pair; 2], &mut [0; 2], &mut out).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn outcomes_into(
        &self,
        pairs: &[PairLogps<T>],
        scratch: &mut [usize],
        out: &mut [Outcome<T>],
    ) -> Result<(), Error> {
        let n = pairs.len();
        if out.len() != n {
            return Err(Error::Length { name: "out", found: out.len(), expected: n });
        }
        if scratch.len() != 2 * n {
            return Err(Error::Length { name: "scratch", found: scratch.len(), expected: 2 * n });
        }
        let raised = |p: &PairLogps<T>| if self.unpaired { p.log_ratios().0 } else { p.gap() };
        let lowered =
            |p: &PairLogps<T>| if self.unpaired { p.log_ratios().1 } else { p.ref_chosen - p.ref_rejected };
        let (up, down) = scratch.split_at_mut(n);
        rank(pairs, raised, up);
        rank(pairs, lowered, down);
        for (&i, &j) in up.iter().zip(down.iter()) {
            let t = self.beta * (raised(&pairs[i]) - lowered(&pairs[j]));
            let pull = self.beta * logistic::pull(t, self.label_smoothing);
            out[i].loss = logistic::loss(t, self.label_smoothing);
            out[i].chosen_weight = pull;
            out[if self.unpaired { j } else { i }].rejected_weight = pull;
        }
        Ok(())
    }
}

/// Writes the indices of `pairs` in ascending order of `score`.
fn rank<T: Real>(pairs: &[PairLogps<T>], score: impl Fn(&PairLogps<T>) -> T, out: &mut [usize]) {
    for (i, o) in out.iter_mut().enumerate() {
        *o = i;
    }
    out.sort_unstable_by(|&i, &j| total_order(score(&pairs[i]), score(&pairs[j])).then(i.cmp(&j)));
}

/// Numbers ascending, then NaN.
fn total_order<T: Real>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
