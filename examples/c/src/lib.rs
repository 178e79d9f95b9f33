//! `ldyn-core` for C: softmax, residual, one exact step and who rises in it, the statistics of a token.
//!
//! Every function returns a status and writes its results only where that is `LDYN_STATUS_OK`. Arrays are
//! handed over as a pointer and a length; a length that does not fit, a null or misaligned pointer and arrays that
//! overlap are refused. What cannot be checked is the caller's word: that a pointer leads to as many numbers as
//! its length says. Nothing is allocated and nothing is kept, so all functions may be called from any
//! thread. The digits do not depend on the machine.
#![no_std]

#[cfg(test)]
extern crate std;

mod memory;
#[cfg(test)]
mod tests;

use core::ffi::{CStr, c_char, c_int};
use ldyn_core::simplex::Distribution;
use ldyn_core::softmax::{log_softmax_into, softmax_into};
use ldyn_core::squeezing::{Ledger, NegativeStep, PositiveStep, Trajectory};
use ldyn_core::{Error, diagnostics};
use memory::{input, output, place};

/// What came of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdynStatus {
    /// The results are written.
    Ok = 0,
    /// A pointer is null.
    Null = 1,
    /// A pointer is not aligned to the numbers that it should lead to.
    Misaligned = 2,
    /// An array that is written overlaps another one.
    Overlap = 3,
    /// An array is empty.
    Empty = 4,
    /// Two arrays that must be equally long are not, or one is longer than memory.
    Length = 5,
    /// A label is not below the length of the vocabulary.
    Label = 6,
    /// A logit is NaN or +infinity; finite numbers and -infinity are logits.
    Logit = 7,
    /// All logits are -infinity: no label has any probability.
    NoMass = 8,
    /// A number is outside its range: probabilities are >= 0 and add up to 1, a step is finite and not 0, and
    /// a step needs at least two labels.
    Range = 9,
    /// The core refused for a reason that this header does not know yet.
    Other = 10,
}

/// The statistics of one token: what softmax(logits) says, and what it says about its label. Logarithms are natural.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LdynTokenStats {
    /// log pi(label).
    pub logp: f64,
    /// The most likely label; among equals the first.
    pub argmax: usize,
    /// log pi(argmax).
    pub argmax_logp: f64,
    /// log(1 - pi(argmax)).
    pub rest_logp: f64,
    /// The sum of pi squared.
    pub sum_sq: f64,
    /// The entropy of pi in nats.
    pub entropy: f64,
    /// log of the sum of exp(logits).
    pub log_z: f64,
    /// The Frobenius norm of the adaptation matrix A = I - 1 pi^T.
    pub a_norm: f64,
    /// The length of pi - e_label.
    pub gap_norm: f64,
    /// 1 - pi(label).
    pub energy: f64,
}

/// What one step does to a distribution, summed up.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LdynStep {
    /// y*, the most likely label other than the one of the step; among equals the first.
    pub runner_up: usize,
    /// How many labels rise.
    pub risers: usize,
    /// After a step that unlearns, a label other than the step's rises exactly if its probability was above
    /// this; after one that learns, exactly if it was below. Exact for every step size.
    pub threshold: f64,
    /// Change of the label's probability.
    pub label_change: f64,
    /// Change of y*'s probability.
    pub runner_up_change: f64,
    /// What the others that rise gain in all.
    pub risen: f64,
    /// What the others that fall lose in all; <= 0.
    pub fallen: f64,
    /// Change of the entropy in nats.
    pub entropy_change: f64,
}

/// A status in words; of a number that is none, that it is none.
///
/// The text lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn ldyn_words(status: c_int) -> *const c_char {
    const WORDS: [&CStr; 11] = [
        c"done",
        c"a pointer is null",
        c"a pointer is misaligned",
        c"an array that is written overlaps another one",
        c"an array is empty",
        c"an array has not the expected length",
        c"a label is not below the length of the vocabulary",
        c"a logit is NaN or +infinity",
        c"all logits are -infinity",
        c"a number is outside its range",
        c"the core refused for another reason",
    ];
    let words = usize::try_from(status).ok().and_then(|status| WORDS.get(status).copied());
    words.unwrap_or(c"no status of this library").as_ptr()
}

/// pi = softmax(logits).
///
/// # Safety
///
/// `logits` leads to `vocab` numbers, `pi` to `pi_len`, or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ldyn_softmax(
    logits: *const f64,
    vocab: usize,
    pi: *mut f64,
    pi_len: usize,
) -> LdynStatus {
    status(|| {
        // SAFETY: the caller's word.
        let (logits, pi) = unsafe { (input(logits, vocab)?, output(pi, pi_len, &[(logits, vocab)])?) };
        Ok(softmax_into(logits, pi)?)
    })
}

/// log pi = logits - log sum exp(logits).
///
/// # Safety
///
/// `logits` leads to `vocab` numbers, `log_pi` to `log_pi_len`, or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ldyn_log_softmax(
    logits: *const f64,
    vocab: usize,
    log_pi: *mut f64,
    log_pi_len: usize,
) -> LdynStatus {
    status(|| {
        // SAFETY: the caller's word.
        let (logits, log_pi) =
            unsafe { (input(logits, vocab)?, output(log_pi, log_pi_len, &[(logits, vocab)])?) };
        Ok(log_softmax_into(logits, log_pi)?)
    })
}

/// The residual of one position, weight * (pi - e_label): the gradient with respect to the logits.
///
/// # Safety
///
/// `logits` leads to `vocab` numbers, `out` to `out_len`, or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ldyn_residual(
    logits: *const f64,
    vocab: usize,
    label: usize,
    weight: f64,
    out: *mut f64,
    out_len: usize,
) -> LdynStatus {
    status(|| {
        // SAFETY: the caller's word.
        let (logits, out) = unsafe { (input(logits, vocab)?, output(out, out_len, &[(logits, vocab)])?) };
        // Refuses what is no row of logits; the residual alone would make NaN of it.
        let log_z = diagnostics::token_stats(logits, label)?.log_z;
        Ok(diagnostics::residual_into(logits, label, log_z, weight, out)?)
    })
}

/// The statistics of one token.
///
/// # Safety
///
/// `logits` leads to `vocab` numbers, `stats` to one record, or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ldyn_token_stats(
    logits: *const f64,
    vocab: usize,
    label: usize,
    stats: *mut LdynTokenStats,
) -> LdynStatus {
    status(|| {
        // SAFETY: the caller's word.
        let (logits, stats) = unsafe { (input(logits, vocab)?, place(stats, &[(logits, vocab)])?) };
        let token = diagnostics::token_stats(logits, label)?;
        *stats = LdynTokenStats {
            logp: token.logp,
            argmax: token.argmax,
            argmax_logp: token.argmax_logp,
            rest_logp: token.rest_logp,
            sum_sq: token.sum_sq,
            entropy: token.entropy,
            log_z: token.log_z,
            a_norm: diagnostics::a_norm(token.sum_sq, vocab),
            gap_norm: diagnostics::gap_norm(&token),
            energy: diagnostics::energy(token.logp),
        };
        Ok(())
    })
}

/// One exact step of softmax regression on frozen features: logits += step * (e_label - pi), and pi anew.
///
/// `step` is the learning rate times the squared length of the features: > 0 learns the label, < 0 unlearns it.
/// `pi` is written only, and holds softmax(logits) afterwards. After an error both arrays may have been changed.
///
/// # Safety
///
/// `logits` leads to `vocab` numbers, `pi` to `pi_len`, or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ldyn_regression_step(
    logits: *mut f64,
    vocab: usize,
    label: usize,
    step: f64,
    pi: *mut f64,
    pi_len: usize,
) -> LdynStatus {
    status(|| {
        // SAFETY: the caller's word; and the two do not overlap.
        let (pi, logits) =
            unsafe { (output(pi, pi_len, &[])?, output(logits, vocab, &[(pi.cast_const(), pi_len)])?) };
        Ok(Trajectory::new(logits, pi)?.step(label, step)?)
    })
}

/// By how much one step changes log pi of every label, and what it does in all: the squeezing effect.
///
/// `log_growth` receives log(pi'/pi) of every label. `step` as in ldyn_regression_step; exact for every size.
///
/// # Safety
///
/// `pi` leads to `vocab` numbers, `log_growth` to `log_growth_len`, `summary` to one record, or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ldyn_growth(
    pi: *const f64,
    vocab: usize,
    label: usize,
    step: f64,
    log_growth: *mut f64,
    log_growth_len: usize,
    summary: *mut LdynStep,
) -> LdynStatus {
    status(|| {
        // SAFETY: the caller's word.
        let (pi, log_growth, summary) = unsafe {
            (
                input(pi, vocab)?,
                output(log_growth, log_growth_len, &[(pi, vocab)])?,
                place(summary, &[(pi, vocab), (log_growth.cast_const(), log_growth_len)])?,
            )
        };
        let pi = Distribution::new(pi)?;
        if log_growth.len() != vocab {
            return Err(LdynStatus::Length);
        }
        let of = |ledger: Ledger<f64>, runner_up, risers, threshold, entropy_change| LdynStep {
            runner_up,
            risers,
            threshold,
            label_change: ledger.label,
            runner_up_change: ledger.runner_up,
            risen: ledger.risen,
            fallen: ledger.fallen,
            entropy_change,
        };
        if step < 0.0 {
            let step = NegativeStep::new(pi, label, -step)?;
            for (i, growth) in log_growth.iter_mut().enumerate() {
                *growth = step.log_growth(i)?;
            }
            *summary =
                of(step.ledger(), step.runner_up(), step.risers(), step.threshold(), step.entropy_change());
        } else {
            let step = PositiveStep::new(pi, label, step)?;
            for (i, growth) in log_growth.iter_mut().enumerate() {
                *growth = step.log_growth(i)?;
            }
            *summary =
                of(step.ledger(), step.competitor(), step.risers(), step.threshold(), step.entropy_change());
        }
        Ok(())
    })
}

fn status(call: impl FnOnce() -> Result<(), LdynStatus>) -> LdynStatus {
    call().err().unwrap_or(LdynStatus::Ok)
}

impl From<Error> for LdynStatus {
    fn from(error: Error) -> Self {
        match error {
            Error::Empty { .. } => LdynStatus::Empty,
            Error::Length { .. } => LdynStatus::Length,
            Error::Label { .. } => LdynStatus::Label,
            Error::Logit { .. } => LdynStatus::Logit,
            Error::NoMass => LdynStatus::NoMass,
            Error::Range { .. } => LdynStatus::Range,
            _ => LdynStatus::Other,
        }
    }
}

// SAFETY: C's own, with this signature.
#[cfg(not(test))]
unsafe extern "C" {
    safe fn abort() -> !;
}

/// A panic would be a fault of this library; there is nobody here to unwind to.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    abort()
}
