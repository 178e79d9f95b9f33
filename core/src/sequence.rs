//! Responses under teacher forcing: sums and means over tokens, and where two responses part.
//!
//! Position l of a response is predicted from the prompt and its own earlier tokens y_{<l}
//! (paper: §3.1, App. B.2). Two responses to one prompt therefore share their contexts up to
//! and including the first differing token.

use crate::{Error, Real};

/// log π(y) = Σ_l log π(y_l | x, y_{<l}), in nats; added up in `f64`. 0 for an empty response.
///
/// # Examples
///
/// ```
/// assert_eq!(ldyn_core::sequence::sum(&[-1.0_f32, -0.5]), -1.5);
/// ```
pub fn sum<T: Real>(token_logps: &[T]) -> T {
    T::from_f64(token_logps.iter().map(|l| l.to_f64()).sum())
}

/// The mean of log π(y_l | x, y_{<l}) over a response, in nats.
///
/// # Errors
///
/// [`Error::Empty`] for an empty response.
///
/// # Examples
///
/// ```
/// use ldyn_core::sequence::mean;
/// assert_eq!(mean(&[-1.0_f64, -0.5])?, -0.75);
/// assert!(mean::<f64>(&[]).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn mean<T: Real>(token_logps: &[T]) -> Result<T, Error> {
    if token_logps.is_empty() {
        return Err(Error::Empty { name: "token_logps" });
    }
    Ok(sum(token_logps) / T::from_f64(token_logps.len() as f64))
}

/// How many leading tokens two responses share.
///
/// At these positions context and label are the same, so the two residuals of a preference
/// pair with equal weights cancel exactly.
///
/// # Examples
///
/// ```
/// use ldyn_core::sequence::shared_prefix_len;
/// assert_eq!(shared_prefix_len(&[5, 6, 7], &[5, 6, 8, 9]), 2);
/// assert_eq!(shared_prefix_len(&[5, 6], &[5, 6, 8]), 2);
/// ```
pub fn shared_prefix_len<I: PartialEq>(a: &[I], b: &[I]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// The first position at which both responses have a token and the tokens differ; `None` if
/// one is a prefix of the other.
///
/// Here the context is still the same and only the label differs: with equal weights the π-terms of the
/// two residuals cancel and e₊ − e₋ remains. Only later positions have contexts of their own.
///
/// # Examples
///
/// ```
/// use ldyn_core::sequence::first_difference;
/// assert_eq!(first_difference(&[5, 6, 7], &[5, 6, 8, 9]), Some(2));
/// assert_eq!(first_difference(&[5, 6], &[5, 6, 8]), None);
/// ```
pub fn first_difference<I: PartialEq>(a: &[I], b: &[I]) -> Option<usize> {
    let shared = shared_prefix_len(a, b);
    (shared < a.len().min(b.len())).then_some(shared)
}
