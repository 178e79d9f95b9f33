//! What a predictive distribution says about its label, token by token and response by
//! response: the quantities that are watched while a model learns.

use crate::softmax::checked;
use crate::sweep::{exp_sums, maximum, sums_cutoff, wide};
use crate::{Error, Real};

mod calibration;
mod compression;
mod overlap;
mod repetition;

pub use calibration::{Bin, expected_calibration_error, reliability_into};
pub use compression::phrase_ratio;
pub use overlap::{CommonRun, bleu, borrowed, longest_common_run, self_bleu};
pub use repetition::{Loop, distinct_n, longest_loop, repetition};

/// What one token's distribution π and its label y say, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TokenStats<T> {
    /// log π(y).
    pub logp: T,
    /// The most likely label (the first of equals).
    pub argmax: usize,
    /// max_v log π(v).
    pub argmax_logp: T,
    /// log(1 − max_v π(v)); −∞ only where the rest has no mass in exact arithmetic too.
    pub rest_logp: T,
    /// ‖π‖².
    pub sum_sq: T,
    /// Σ π(v)² over all labels but the argmax: keeps [`gap_norm`] precise when ‖π‖² rounds to 1.
    pub rest_sq: T,
    /// −Σ π log π.
    pub entropy: T,
    /// log Σ eᶻ.
    pub log_z: T,
}

impl<T: Real> TokenStats<T> {
    /// The same numbers as `f64`.
    pub fn to_f64(self) -> TokenStats<f64> {
        TokenStats {
            logp: self.logp.to_f64(),
            argmax: self.argmax,
            argmax_logp: self.argmax_logp.to_f64(),
            rest_logp: self.rest_logp.to_f64(),
            sum_sq: self.sum_sq.to_f64(),
            rest_sq: self.rest_sq.to_f64(),
            entropy: self.entropy.to_f64(),
            log_z: self.log_z.to_f64(),
        }
    }
}

/// The statistics of softmax(`logits`) with respect to `label`.
///
/// # Method
///
/// One sweep for the maximum, one for the sums over all labels *but* the argmax. Every field is
/// made from those sums without subtracting nearly equal numbers: 1 − max π is a sum, not a
/// difference. If that sum is so small that terms may have been flushed, the others are swept
/// again relative to their own maximum.
///
/// # Special cases
///
/// A label whose logit is −∞ has `logp` = −∞. With V = 1, or if all other logits are −∞,
/// `rest_logp` = −∞ and `entropy` = 0. Among equal maxima the first is the argmax.
///
/// # Accuracy
///
/// Relative error of each field: 4ε·(1 + d), with ε of the type and d the nats from the maximum
/// to the runner-up, because z − max is rounded before its exponential is taken (the mass of the
/// others is nearly theirs: see [`gap_norm`] for where its square is too small for the type).
/// `rest_logp` and `log_z` have that error in absolute terms where they are near 0. What is guaranteed
/// is 64ε more, if all roundings of the sums agree.
///
/// # Shapes
///
/// `logits`: V.
///
/// # Errors
///
/// [`Error::Label`] if `label` ≥ V; otherwise as [`softmax_into`](crate::softmax::softmax_into).
///
/// # Examples
///
/// ```
/// use ldyn_core::{Error, diagnostics::token_stats};
/// let stats = token_stats(&[0.0_f32, 200.0, 0.0], 1)?;
/// assert_eq!(stats.argmax, 1);
/// assert!((stats.rest_logp - (2.0_f32.ln() - 200.0)).abs() < 1e-4); // 1 − max π is 2.8e-87
/// assert_eq!(token_stats(&[0.0_f32], 1), Err(Error::Label { found: 1, vocab: 1 }));
/// # Ok::<(), Error>(())
/// ```
pub fn token_stats<T: Real>(logits: &[T], label: usize) -> Result<TokenStats<T>, Error> {
    let Some(&label_logit) = logits.get(label) else {
        return Err(Error::Label { found: label, vocab: logits.len() });
    };
    let (argmax, rest) = wide(
        #[inline(always)]
        || {
            let (argmax, max) = maximum(logits);
            checked(max, logits)?;
            let rest = Rest::of([&logits[..argmax], &logits[argmax + 1..]], max);
            checked(rest.mass, logits)?;
            Ok((argmax, rest))
        },
    )?;
    let max = logits[argmax];
    let log_total = rest.mass.ln_1p();
    let total = 1.0 + rest.mass;
    let below_max = label_logit.to_f64() - max.to_f64();
    let stats = TokenStats {
        logp: below_max - log_total,
        argmax,
        argmax_logp: -log_total,
        // ln(R / (1 + R)), in the form that does not cancel.
        rest_logp: if rest.mass > 1.0 { -(1.0 / rest.mass).ln_1p() } else { rest.log_mass - log_total },
        sum_sq: (1.0 + rest.squares) / (total * total),
        rest_sq: rest.squares / (total * total),
        entropy: log_total - rest.moment / total,
        log_z: max.to_f64() + log_total,
    };
    Ok(TokenStats {
        logp: T::from_f64(stats.logp),
        argmax,
        argmax_logp: T::from_f64(stats.argmax_logp),
        rest_logp: T::from_f64(stats.rest_logp),
        sum_sq: T::from_f64(stats.sum_sq),
        rest_sq: T::from_f64(stats.rest_sq),
        entropy: T::from_f64(stats.entropy),
        log_z: T::from_f64(stats.log_z),
    })
}

/// The labels other than the argmax, with x = z − max z: Σ eˣ, its log, Σ e²ˣ, Σ x·eˣ.
struct Rest {
    mass: f64,
    log_mass: f64,
    squares: f64,
    moment: f64,
}

impl Rest {
    #[inline(always)]
    fn of<T: Real>(others: [&[T]; 2], max: T) -> Rest {
        let sums = exp_sums(others, max);
        let labels = (others[0].len() + others[1].len()) as f64;
        let may_be_flushed = labels * sums_cutoff::<T>().to_f64().exp();
        if sums.e.is_nan() || may_be_flushed < 0.5 * T::EPSILON.to_f64() * sums.e {
            return Rest { mass: sums.e, log_mass: sums.e.ln(), squares: sums.e_sq, moment: sums.e_x };
        }
        let runner_up = others.map(|half| maximum(half).1);
        let runner_up = if runner_up[1] > runner_up[0] { runner_up[1] } else { runner_up[0] };
        let offset = runner_up.to_f64() - max.to_f64();
        if offset == f64::NEG_INFINITY {
            return Rest { mass: 0.0, log_mass: f64::NEG_INFINITY, squares: 0.0, moment: 0.0 };
        }
        let sums = exp_sums(others, runner_up);
        let scale = offset.exp();
        Rest {
            mass: scale * sums.e,
            log_mass: offset + sums.e.ln(),
            squares: scale * scale * sums.e_sq,
            moment: scale * sums.e_x + scale * offset * sums.e,
        }
    }
}

/// The residual of one position, `weight`·(π − e_y), written to `out`.
///
/// # Definition
///
/// ```text
/// G = ∂L/∂z = w · (softmax(z) − e_y)        paper: §2, §3.1; App. B.2
/// ```
///
/// with the sequence weight w of the objective: see [`loss`](crate::loss). `log_z` is
/// log Σ e^z of the same logits, as in [`TokenStats::log_z`].
///
/// # Special cases
///
/// A logit of −∞ gives 0, or −w at the label. NaN gives NaN. With a `log_z` of other logits the
/// result means nothing.
///
/// # Accuracy
///
/// π within 2ε·(1 + |z| + |log_z|) relatively, because both are rounded before they are
/// subtracted; the label's entry absolutely, in units of w. Probabilities below the smallest normal
/// number are flushed to 0.
///
/// # Shapes
///
/// `logits` and `out`: V.
///
/// # Errors
///
/// [`Error::Length`] if `out` is not as long as `logits`; [`Error::Label`] if `label` ≥ V.
///
/// # Examples
///
/// ```
/// use ldyn_core::{Error, diagnostics::residual_into};
/// let mut g = [0.0_f64; 2];
/// residual_into(&[0.0, 0.0], 1, 2.0_f64.ln(), 3.0, &mut g)?;
/// assert_eq!(g, [1.5, -1.5]);
/// assert!(residual_into(&[0.0, 0.0], 2, 2.0_f64.ln(), 3.0, &mut g).is_err());
/// # Ok::<(), Error>(())
/// ```
pub fn residual_into<T: Real>(
    logits: &[T],
    label: usize,
    log_z: T,
    weight: T,
    out: &mut [T],
) -> Result<(), Error> {
    if label >= logits.len() {
        return Err(Error::Label { found: label, vocab: logits.len() });
    }
    residual_part_into(logits, Some(label), log_z, weight, out)
}

/// [`residual_into`] for a part of the vocabulary: `label` counts from the part's first label, and is `None` where it
/// lies in another part; `log_z` is that of all logits.
///
/// # Errors
///
/// As [`residual_into`].
///
/// # Examples
///
/// ```
/// use ldyn_core::{Error, diagnostics::residual_part_into};
/// let mut g = [0.0_f64; 2];
/// residual_part_into(&[0.0, 0.0], None, 4.0_f64.ln(), 2.0, &mut g)?;
/// assert_eq!(g, [0.5, 0.5]);
/// assert!(residual_part_into(&[0.0, 0.0], Some(2), 4.0_f64.ln(), 2.0, &mut g).is_err());
/// # Ok::<(), Error>(())
/// ```
pub fn residual_part_into<T: Real>(
    logits: &[T],
    label: Option<usize>,
    log_z: T,
    weight: T,
    out: &mut [T],
) -> Result<(), Error> {
    if out.len() != logits.len() {
        return Err(Error::Length { name: "out", found: out.len(), expected: logits.len() });
    }
    if let Some(found) = label.filter(|label| *label >= logits.len()) {
        return Err(Error::Label { found, vocab: logits.len() });
    }
    wide(
        #[inline(always)]
        || {
            for (o, &z) in out.iter_mut().zip(logits) {
                *o = weighted(z, log_z, weight);
            }
        },
    );
    if let Some(label) = label {
        out[label] -= weight;
    }
    Ok(())
}

/// [`residual_into`] in the place of the logits.
///
/// # Errors
///
/// [`Error::Label`] if `label` ≥ V.
///
/// # Examples
///
/// ```
/// use ldyn_core::{Error, diagnostics::residual_in_place};
/// let mut g = [0.0_f64, 0.0];
/// residual_in_place(&mut g, 1, 2.0_f64.ln(), 3.0)?;
/// assert_eq!(g, [1.5, -1.5]);
/// assert!(residual_in_place(&mut g, 2, 2.0_f64.ln(), 3.0).is_err());
/// # Ok::<(), Error>(())
/// ```
pub fn residual_in_place<T: Real>(logits: &mut [T], label: usize, log_z: T, weight: T) -> Result<(), Error> {
    if label >= logits.len() {
        return Err(Error::Label { found: label, vocab: logits.len() });
    }
    wide(
        #[inline(always)]
        || {
            for z in logits.iter_mut() {
                *z = weighted(*z, log_z, weight);
            }
        },
    );
    logits[label] -= weight;
    Ok(())
}

/// w·π of a label.
#[inline(always)]
fn weighted<T: Real>(z: T, log_z: T, weight: T) -> T {
    weight * (z - log_z).exp_flushed(T::EXP_CUTOFF)
}

/// ‖A‖_F, the size of the adaptation matrix A = I − 1πᵀ.
///
/// # Definition
///
/// ```text
/// ‖A‖²_F = V‖π‖² + V − 2        paper: App. C, eq. 27–31
/// ```
///
/// Between √(V − 1) for the uniform and √(2V − 2) for a one-hot π.
///
/// # Accuracy
///
/// Relative error: that of `sum_sq`, and 2ε.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::a_norm;
/// assert_eq!(a_norm(0.25_f64, 4), 3.0_f64.sqrt());
/// assert_eq!(a_norm(1.0_f64, 1), 0.0);
/// ```
pub fn a_norm<T: Real>(sum_sq: T, vocab: usize) -> T {
    let v = T::from_f64(vocab as f64);
    let square = v * sum_sq + v - T::TWO;
    // Not `max`, which would make 0 of NaN.
    if square < T::ZERO { T::ZERO } else { square.sqrt() }
}

/// ‖π − e_y‖, the size of the residual at unit weight.
///
/// # Method
///
/// ‖π − e_y‖² = (1 − π(y))² + Σ_{v≠y} π(v)²; both terms from parts that do not cancel.
///
/// # Accuracy
///
/// As the fields of [`token_stats`]. Where the others' squares are too small for the type, at norms
/// below 1e-19 (`f32`) and 1e-154 (`f64`), what remains is 1 − π(y): at least 1/√2 of the norm.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::{gap_norm, token_stats};
/// let stats = token_stats(&[0.0_f64, 0.0], 0)?;
/// assert!((gap_norm(&stats) - 0.5_f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn gap_norm<T: Real>(stats: &TokenStats<T>) -> T {
    let stats = stats.to_f64();
    let energy = energy(stats.logp);
    let others = if stats.logp == stats.argmax_logp {
        stats.rest_sq
    } else {
        let p = stats.logp.exp();
        (stats.sum_sq - p * p).max(0.0)
    };
    T::from_f64((energy * energy + others).sqrt().max(energy))
}

/// 1 − π(y), from log π(y) by expm1, so that it keeps its digits as π(y) → 1.
///
/// # Accuracy
///
/// Relative error: that of `logp`, and 1 ulp.
pub fn energy<T: Real>(logp: T) -> T {
    -logp.exp_m1()
}

/// A response under teacher forcing, summed up from its tokens; in nats.
///
/// Sums are sums over the response's scored tokens, means are means over them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ResponseStats {
    /// Number of scored tokens.
    pub n_tokens: usize,
    /// Σ log π(y_l).
    pub logp: f64,
    /// Mean of log π(y_l).
    pub logp_mean: f64,
    /// Σ max_v log π(v): greedy confidence, in the contexts of this response.
    pub argmax_logp: f64,
    /// Σ log(1 − max_v π(v)).
    pub rest_logp: f64,
    /// Mean of ‖A‖_F.
    pub a_norm: f64,
    /// √(V·(mean ‖π‖)² + V − 2): the form of the paper's reference code, which takes the mean
    /// before squaring and is at most √(mean ‖A‖²_F).
    pub a_norm_reference: f64,
    /// Mean of ‖π − e_y‖.
    pub gap_norm: f64,
    /// Mean of 1 − π(y).
    pub energy: f64,
    /// Mean entropy.
    pub entropy: f64,
}

impl ResponseStats {
    /// Sums up the tokens of one response.
    ///
    /// # Special cases
    ///
    /// One token with π(y) = 0 makes `logp` −∞, one with a one-hot π makes `rest_logp` −∞; neither
    /// is ever NaN.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] for a response without scored tokens: it has no means.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::diagnostics::{ResponseStats, token_stats};
    /// let tokens = [token_stats(&[0.0_f64, 0.0], 0)?, token_stats(&[0.0, 0.0], 1)?];
    /// let response = ResponseStats::from_tokens(&tokens, 2)?;
    /// assert_eq!((response.n_tokens, response.energy), (2, 0.5));
    /// assert!(ResponseStats::from_tokens(&[], 2).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn from_tokens<'a>(
        tokens: impl IntoIterator<Item = &'a TokenStats<f64>>,
        vocab_size: usize,
    ) -> Result<Self, Error> {
        let mut sum = ResponseStats {
            n_tokens: 0,
            logp: 0.0,
            logp_mean: 0.0,
            argmax_logp: 0.0,
            rest_logp: 0.0,
            a_norm: 0.0,
            a_norm_reference: 0.0,
            gap_norm: 0.0,
            energy: 0.0,
            entropy: 0.0,
        };
        let mut pi_norm = 0.0;
        for token in tokens {
            sum.n_tokens += 1;
            sum.logp += token.logp;
            sum.argmax_logp += token.argmax_logp;
            sum.rest_logp += token.rest_logp;
            sum.a_norm += a_norm(token.sum_sq, vocab_size);
            sum.gap_norm += gap_norm(token);
            sum.energy += energy(token.logp);
            sum.entropy += token.entropy;
            pi_norm += token.sum_sq.sqrt();
        }
        if sum.n_tokens == 0 {
            return Err(Error::Empty { name: "tokens" });
        }
        let n = sum.n_tokens as f64;
        let pi_norm = pi_norm / n;
        Ok(ResponseStats {
            logp_mean: sum.logp / n,
            a_norm: sum.a_norm / n,
            a_norm_reference: a_norm(pi_norm * pi_norm, vocab_size),
            gap_norm: sum.gap_norm / n,
            energy: sum.energy / n,
            entropy: sum.entropy / n,
            ..sum
        })
    }
}

#[cfg(test)]
mod tests;
