//! What sequences of tokens share: BLEU and self-BLEU, borrowed phrases, common runs.
//!
//! Everything compares slices in place, in time that grows with the product of the lengths: no table,
//! no allocation.

use crate::{Error, Real};

/// What an n-gram precision of 0 is taken as, in n-grams.
const EPSILON: f64 = 0.1;

/// Sentence BLEU of `candidate` against `references`: 1 for the same tokens, 0 for none in common.
///
/// # Definition
///
/// ```text
/// BLEU = exp min(0, 1 − r/c) · Π_{n=1}^{N} p_n^{1/N}        Papineni et al. 2002, eq. 1–3
/// p_n  = Σ_g min(count_g(candidate), max_ref count_g(ref)) / (c − n + 1),  g: different n-grams
/// ```
///
/// c is the length of the candidate, r that of the reference nearest to it (the shorter of equals),
/// N = min(`max_n`, c); `max_n` is commonly 4.
///
/// # Special cases
///
/// A numerator of 0 is taken as 0.1, except that of p₁: without a common token BLEU is 0 (Chen & Cherry
/// 2014, smoothing 1, as in NLTK's `method1` and the self-BLEU of Texygen, whose values these are for
/// c ≥ `max_n`). Shorter candidates have no longer n-grams and are not charged for that. An empty candidate:
/// 0.
///
/// # Errors
///
/// [`Error::Range`] for `max_n` = 0; [`Error::Empty`] without references.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::bleu;
/// assert_eq!(bleu(&[1, 2, 3, 4, 5], &[[1, 2, 3, 4, 5]], 4)?, 1.0);
/// let score = bleu(&["the", "the", "cat"], &[["the", "cat", "sat"]], 2)?; // p₁ = 2/3, p₂ = 1/2
/// assert!((score - (1.0_f64 / 3.0).sqrt()).abs() < 1e-15);
/// assert!(bleu(&[1], &[[1]], 0).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn bleu<T: PartialEq, R: AsRef<[T]>>(
    candidate: &[T],
    references: &[R],
    max_n: usize,
) -> Result<f64, Error> {
    if references.is_empty() {
        return Err(Error::Empty { name: "references" });
    }
    bleu_of(candidate, references.iter().map(AsRef::as_ref), max_n)
}

/// Mean BLEU of each sequence against all the others: how alike a set is.
///
/// # Definition
///
/// ```text
/// self-BLEU = 1/m · Σ_i BLEU(s_i | all s_j with j ≠ i)        Zhu et al. 2018, §3.2
/// ```
///
/// It grows with the number of sequences m: compare sets of equal size only.
///
/// # Errors
///
/// [`Error::Range`] for `max_n` = 0 or fewer than two sequences.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::self_bleu;
/// assert_eq!(self_bleu(&[[1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7, 8]], 4)?, 2.0 / 3.0);
/// assert!(self_bleu(&[[1, 2, 3, 4]], 4).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn self_bleu<T: PartialEq, R: AsRef<[T]>>(set: &[R], max_n: usize) -> Result<f64, Error> {
    if set.len() < 2 {
        return Err(Error::Range { name: "set", found: set.len() as f64, expected: ">= 2 sequences" });
    }
    let mut sum = 0.0;
    for (i, candidate) in set.iter().enumerate() {
        let others = set[..i].iter().chain(&set[i + 1..]).map(AsRef::as_ref);
        sum += bleu_of(candidate.as_ref(), others, max_n)?;
    }
    Ok(sum / set.len() as f64)
}

/// BLEU against references that are there.
fn bleu_of<'a, T: PartialEq + 'a>(
    candidate: &[T],
    references: impl Iterator<Item = &'a [T]> + Clone,
    max_n: usize,
) -> Result<f64, Error> {
    positive(max_n, "max_n")?;
    let c = candidate.len();
    let order = max_n.min(c);
    let mut log_precision = 0.0;
    for n in 1..=order {
        let shared: usize = (0..=c - n).map(|at| clipped(candidate, at, n, references.clone())).sum();
        if shared == 0 && n == 1 {
            return Ok(0.0);
        }
        let numerator = if shared == 0 { EPSILON } else { shared as f64 };
        log_precision += Real::ln(numerator / (c + 1 - n) as f64) / order as f64;
    }
    let nearest = references.map(<[T]>::len).min_by_key(|&r| (r.abs_diff(c), r)).unwrap_or(0);
    if c == 0 {
        return Ok(0.0);
    }
    let brevity = if c >= nearest { 0.0 } else { 1.0 - nearest as f64 / c as f64 };
    Ok(Real::exp(brevity + log_precision))
}

/// Clipped count of the n-gram at `at`, given to its first occurrence; 0 at every later one.
fn clipped<'a, T: PartialEq + 'a>(
    candidate: &[T],
    at: usize,
    n: usize,
    references: impl Iterator<Item = &'a [T]>,
) -> usize {
    let gram = &candidate[at..at + n];
    if occurs(gram, &candidate[..at + n - 1]) {
        return 0;
    }
    let count = |text: &[T]| text.windows(n).filter(|other| *other == gram).count();
    references.map(count).max().unwrap_or(0).min(count(&candidate[at..]))
}

/// Share of the n-grams of `answer` that occur in one of `sources` but in none of `excluded`: phrases
/// that it borrows.
///
/// # Definition
///
/// ```text
/// |{i : answer[i .. i + n] in a source, in no excluded}| / (m − n + 1)
/// ```
///
/// For an answer to one question the sources are the answers that were learned for others; excluded are its
/// own prompt and its own reference answer, which it may well repeat. Common phrases are shared by
/// all texts: what tells something is the change of this share, not its level.
///
/// # Special cases
///
/// An answer shorter than n borrows nothing: 0. An n-gram that occurs twice in the answer counts twice.
///
/// # Errors
///
/// [`Error::Range`] for n = 0.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::borrowed;
/// let (other, prompt) = ([1, 2, 3, 4, 5], [9, 1, 2]);
/// assert_eq!(borrowed(&[1, 2, 3, 8], &[other], &[prompt], 2)?, 1.0 / 3.0); // 23, not 12 nor 38
/// assert!(borrowed(&[1, 2], &[other], &[prompt], 0).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn borrowed<T: PartialEq, S: AsRef<[T]>, E: AsRef<[T]>>(
    answer: &[T],
    sources: &[S],
    excluded: &[E],
    n: usize,
) -> Result<f64, Error> {
    positive(n, "n")?;
    let all = answer.windows(n).len();
    let taken = |gram: &&[T]| {
        !excluded.iter().any(|text| occurs(gram, text.as_ref()))
            && sources.iter().any(|text| occurs(gram, text.as_ref()))
    };
    let found = answer.windows(n).filter(taken).count();
    Ok(if all == 0 { 0.0 } else { found as f64 / all as f64 })
}

/// Tokens in a row that two sequences share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CommonRun {
    /// Where it begins in the first sequence.
    pub first: usize,
    /// Where it begins in the second.
    pub second: usize,
    /// Tokens, at least one.
    pub len: usize,
}

/// The longest run of tokens that `a` and `b` have in common, such as a copied sentence.
///
/// # Method
///
/// One pass for each offset between the two, keeping the longest run of equalities.
///
/// # Special cases
///
/// `None` where they share no token. Among equally long runs the one that begins earliest in `a`, then in `b`.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::{CommonRun, longest_common_run};
/// let found = longest_common_run(&[7, 1, 2, 3], &[1, 2, 9, 1, 2, 3]);
/// assert_eq!(found, Some(CommonRun { first: 1, second: 3, len: 3 }));
/// assert_eq!(longest_common_run(&[7], &[8, 9]), None);
/// ```
pub fn longest_common_run<T: PartialEq>(a: &[T], b: &[T]) -> Option<CommonRun> {
    let starts = (0..a.len()).map(|i| (i, 0)).chain((1..b.len()).map(|j| (0, j)));
    let mut longest: Option<CommonRun> = None;
    for (i, j) in starts {
        let mut len = 0;
        for (k, (x, y)) in a[i..].iter().zip(&b[j..]).enumerate() {
            len = if x == y { len + 1 } else { 0 };
            let run = CommonRun { first: i + k + 1 - len, second: j + k + 1 - len, len };
            let better = |best: CommonRun| {
                run.len > best.len
                    || (run.len == best.len && (run.first, run.second) < (best.first, best.second))
            };
            if len > 0 && longest.is_none_or(better) {
                longest = Some(run);
            }
        }
    }
    longest
}

fn occurs<T: PartialEq>(gram: &[T], text: &[T]) -> bool {
    text.windows(gram.len()).any(|other| other == gram)
}

fn positive(n: usize, name: &'static str) -> Result<(), Error> {
    if n == 0 { Err(Error::Range { name, found: 0.0, expected: ">= 1" }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
