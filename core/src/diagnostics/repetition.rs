//! Repetition in a sequence of tokens: shares of repeated n-grams, and loops.
//!
//! Everything compares slices in place, in O(m²·n) for m tokens: no table, no allocation.

use crate::Error;

/// Share of the n-grams of `tokens` that are different from one another.
///
/// # Definition
///
/// ```text
/// distinct-n = |{n-grams}| / (m − n + 1)        Li et al. 2016
/// ```
///
/// # Special cases
///
/// A sequence shorter than n has no n-gram that could repeat: 1.
///
/// # Errors
///
/// [`Error::Range`] for n = 0.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::distinct_n;
/// assert_eq!(distinct_n(&[7, 8, 7, 8, 7], 2)?, 0.5); // 78, 87, 78, 87
/// assert!(distinct_n(&[7, 8], 0).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn distinct_n<T: PartialEq>(tokens: &[T], n: usize) -> Result<f64, Error> {
    let (new, all) = count_new(tokens, n)?;
    Ok(if all == 0 { 1.0 } else { new as f64 / all as f64 })
}

/// Share of the n-grams of `tokens` that have occurred before.
///
/// # Definition
///
/// ```text
/// rep-n = 1 − distinct-n        Welleck et al. 2020
/// ```
///
/// # Special cases
///
/// A sequence shorter than n repeats nothing: 0.
///
/// # Errors
///
/// [`Error::Range`] for n = 0.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::repetition;
/// assert_eq!(repetition(&["ha"; 5], 2)?, 0.75);
/// assert!(repetition(&["ha"; 5], 0).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn repetition<T: PartialEq>(tokens: &[T], n: usize) -> Result<f64, Error> {
    let (new, all) = count_new(tokens, n)?;
    Ok(if all == 0 { 0.0 } else { (all - new) as f64 / all as f64 })
}

/// n-grams that did not occur before, and all n-grams.
fn count_new<T: PartialEq>(tokens: &[T], n: usize) -> Result<(usize, usize), Error> {
    if n == 0 {
        return Err(Error::Range { name: "n", found: 0.0, expected: ">= 1" });
    }
    let earlier = |i: usize, gram: &[T]| tokens.windows(n).take(i).any(|before| before == gram);
    let new = tokens.windows(n).enumerate().filter(|&(i, gram)| !earlier(i, gram)).count();
    Ok((new, tokens.windows(n).len()))
}

/// A stretch of a sequence in which every token equals the one `period` before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Loop {
    /// First token of the stretch.
    pub start: usize,
    /// Tokens after which it repeats.
    pub period: usize,
    /// Tokens of the stretch: at least two periods.
    pub len: usize,
}

/// The longest stretch of `tokens` that repeats itself at least once in full.
///
/// # Definition
///
/// ```text
/// y_{l} = y_{l−p}  for all l in start + p .. start + len,   len ≥ 2p
/// ```
///
/// # Method
///
/// One pass for each period p ≤ m/2, keeping the longest run of equalities.
///
/// # Special cases
///
/// `None` where nothing repeats. Among equally long stretches the one of the shortest period,
/// then the earliest.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::{Loop, longest_loop};
/// let found = longest_loop(&[5, 1, 2, 3, 1, 2, 3, 1, 9]);
/// assert_eq!(found, Some(Loop { start: 1, period: 3, len: 7 }));
/// assert_eq!(longest_loop(&[1, 2, 1]), None);
/// ```
pub fn longest_loop<T: PartialEq>(tokens: &[T]) -> Option<Loop> {
    let mut longest: Option<Loop> = None;
    for period in 1..=tokens.len() / 2 {
        let mut equal = 0;
        for l in period..tokens.len() {
            equal = if tokens[l] == tokens[l - period] { equal + 1 } else { 0 };
            let len = equal + period;
            if equal >= period && longest.is_none_or(|best| len > best.len) {
                longest = Some(Loop { start: l + 1 - len, period, len });
            }
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    /// Every sequence of three letters up to seven tokens.
    fn sequences() -> impl Iterator<Item = Vec<u8>> {
        (0..8_u32).flat_map(|len| {
            (0..3_u32.pow(len)).map(move |code| (0..len).map(|l| (code / 3_u32.pow(l) % 3) as u8).collect())
        })
    }

    #[test]
    fn shares_are_those_of_a_set_of_n_grams() {
        for tokens in sequences() {
            for n in 1..4 {
                let set: BTreeSet<&[u8]> = tokens.windows(n).collect();
                let all = tokens.windows(n).len();
                let expected = if all == 0 { 1.0 } else { set.len() as f64 / all as f64 };
                assert_eq!(distinct_n(&tokens, n).unwrap(), expected, "{tokens:?}, {n}");
                assert!((repetition(&tokens, n).unwrap() - (1.0 - expected)).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn the_longest_loop_is_that_of_a_search_through_all_stretches() {
        for tokens in sequences() {
            let mut all = Vec::new();
            for start in 0..tokens.len() {
                for len in 2..=tokens.len() - start {
                    let stretch = &tokens[start..start + len];
                    let periods = (1..=len / 2).filter(|&p| stretch[p..] == stretch[..len - p]);
                    all.extend(periods.map(|period| Loop { start, period, len }));
                }
            }
            let expected = all.into_iter().min_by_key(|l| (tokens.len() - l.len, l.period, l.start));
            assert_eq!(longest_loop(&tokens), expected, "{tokens:?}");
        }
    }
}
