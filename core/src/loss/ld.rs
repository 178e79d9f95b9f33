//! Length-desensitised DPO: what lies beyond the shorter response counts less.

use crate::{Error, Real};

/// LD-DPO's weights of tokens. They enter the sums of log-probabilities of policy and reference
/// alike, so that any objective may be taken on them, and multiply its weights w± token by token.
///
/// # Definition
///
/// ```text
/// ℓ± = Σ_l κ_l log π(y±_l | y±_{<l}),  κ_l = 1 for l ≤ min(L₊, L₋), else α
/// ∂L/∂z_l(χ±) = ±κ_l w± (π(·|χ±)_l − e_{y±_l})
/// ```
///
/// Source: Liu et al. 2024; TRL's `ld_alpha`. Lengths L± keep counting every token.
///
/// # Special cases
///
/// α = 1 is the ordinary sum; α = 0 cuts the longer response to the length of the shorter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LengthDesensitised<T> {
    alpha: T,
}

impl<T: Real> LengthDesensitised<T> {
    /// Tokens beyond the shorter response weigh `ld_alpha`.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] unless 0 ≤ α ≤ 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::loss::LengthDesensitised;
    /// let ld = LengthDesensitised::new(0.25)?;
    /// assert_eq!(ld.sum(&[-1.0, -2.0, -4.0], 2), -4.0);
    /// assert!(LengthDesensitised::new(1.5).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn new(ld_alpha: T) -> Result<Self, Error> {
        if ld_alpha >= T::ZERO && ld_alpha <= T::ONE {
            Ok(LengthDesensitised { alpha: ld_alpha })
        } else {
            Err(Error::Range { name: "ld_alpha", found: ld_alpha.to_f64(), expected: "0 <= α <= 1" })
        }
    }

    /// κ of the token at `index` (from 0) of a response whose counterpart has `other_len` tokens.
    pub fn token_weight(&self, index: usize, other_len: usize) -> T {
        if index < other_len { T::ONE } else { self.alpha }
    }

    /// ℓ of a response from its tokens' log-probabilities.
    pub fn sum(&self, logps: &[T], other_len: usize) -> T {
        let (shared, tail) = logps.split_at(logps.len().min(other_len));
        let sum = |part: &[T]| part.iter().map(|l| l.to_f64()).sum::<f64>();
        // Cut is cut: 0 times −∞ is no number.
        if tail.is_empty() || self.alpha == T::ZERO {
            return T::from_f64(sum(shared));
        }
        T::from_f64(sum(shared) + self.alpha.to_f64() * sum(tail))
    }
}
