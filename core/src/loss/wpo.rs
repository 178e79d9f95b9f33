//! Weighted preference optimisation: pairs count as far as the policy could have said them.

use crate::{Error, Real};

/// WPO's weight of one response, to be multiplied with that of the other and then onto loss and
/// weights of the pair ([`Outcome::scaled`](super::Outcome::scaled)). It gets no gradient.
///
/// # Definition
///
/// ```text
/// exp( (1/L) Σ_l [log π(y_l) − log ‖π_l‖²] )        Zhou et al. 2024, eq. 2, as in TRL
/// ```
///
/// with ‖π_l‖² the sum of all squared probabilities at the position, which is the mean probability
/// of the policy's own draws.
///
/// # Special cases
///
/// 1 for a uniform policy and for one that is certain of the response; above 1 where the tokens
/// are likelier than the policy's own draws are on average. An empty response has weight 1.
///
/// # Shapes
///
/// `logps` and `sum_sq`: L.
///
/// # Errors
///
/// [`Error::Length`] if `sum_sq` is not as long as `logps`.
///
/// # Examples
///
/// ```
/// use ldyn_core::loss::wpo_weight;
/// assert_eq!(wpo_weight(&[0.5_f64.ln(), 0.0], &[0.5, 1.0])?, 1.0);
/// assert!(wpo_weight(&[0.0_f64], &[]).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn wpo_weight<T: Real>(logps: &[T], sum_sq: &[T]) -> Result<T, Error> {
    if sum_sq.len() != logps.len() {
        return Err(Error::Length { name: "sum_sq", found: sum_sq.len(), expected: logps.len() });
    }
    let aligned = logps.iter().zip(sum_sq).map(|(logp, sq)| (*logp - sq.ln()).to_f64());
    let mean = aligned.sum::<f64>() / logps.len().max(1) as f64;
    Ok(T::from_f64(mean).exp())
}
