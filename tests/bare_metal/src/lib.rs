//! Squeezing, computed and checked without std, allocation or an operating system.
//!
//! [`check`] repeats a negative step, holds it against what is proved about it, and writes
//! the bits of its results, which are the same on every target.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt::Write;
use ldyn_core::Real;
use ldyn_core::decomposition::{regression_step_into, remainder, remainder_bound};
use ldyn_core::diagnostics::{a_norm, gap_norm, token_stats};
use ldyn_core::simplex::Distribution;
use ldyn_core::softmax::{log_sigmoid, log_softmax_into, log_sum_exp, log1mexp, softmax_into};
use ldyn_core::squeezing::NegativeStep;

#[cfg(feature = "plant-alloc")]
extern crate alloc;

const V: usize = 10;
const LOGITS: [f64; V] = [1.0, 0.5, 2.5, -1.0, 0.0, 1.5, -3.0, -2.0, 0.25, -0.5];
const UNLEARNED: usize = 7;
const STEP: f64 = 0.5;
const STEPS: usize = 24;

/// Why the check failed: a claim that did not hold, or valid input that was refused.
#[derive(Debug)]
pub enum Failure {
    /// A claim, in words.
    Claim(&'static str),
    /// The core's own words.
    Refused(ldyn_core::Error),
    /// The results could not be written.
    Write,
}

impl From<ldyn_core::Error> for Failure {
    fn from(error: ldyn_core::Error) -> Self {
        Failure::Refused(error)
    }
}

impl From<core::fmt::Error> for Failure {
    fn from(_: core::fmt::Error) -> Self {
        Failure::Write
    }
}

/// Checks squeezing in both precisions and writes one line a result: its name and its bits.
///
/// # Errors
///
/// The first claim that does not hold.
pub fn check(out: &mut dyn Write) -> Result<(), Failure> {
    one_step(out)?;
    let pi = many_steps::<f64>(1e-11)?;
    writeln!(out, "{:<17} {:016x}", "f64 top", pi[2].to_bits())?;
    writeln!(out, "{:<17} {:016x}", "f64 second", pi[5].to_bits())?;
    writeln!(out, "{:<17} {:016x}", "f64 label", pi[UNLEARNED].to_bits())?;
    let pi = many_steps::<f32>(1e-3)?;
    writeln!(out, "{:<17} {:08x}", "f32 top", pi[2].to_bits())?;
    writeln!(out, "{:<17} {:08x}", "f32 second", pi[5].to_bits())?;
    writeln!(out, "{:<17} {:08x}", "f32 label", pi[UNLEARNED].to_bits())?;
    #[cfg(feature = "plant-alloc")]
    {
        let copy: alloc::vec::Vec<f32> = pi.iter().copied().rev().collect();
        writeln!(out, "{:<17} {:08x}", "planted", copy[0].to_bits())?;
    }
    Ok(())
}

fn claim(holds: bool, words: &'static str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Claim(words)) }
}

/// One step: who rises, the threshold, the remainder, and the functions they rest on.
fn one_step(out: &mut dyn Write) -> Result<(), Failure> {
    let mut line = |name: &str, x: f64| writeln!(out, "{name:<17} {:016x}", x.to_bits());
    let mut pi = [0.0; V];
    softmax_into(&LOGITS, &mut pi)?;
    let pi = Distribution::new(&pi)?;
    let step = NegativeStep::new(pi, UNLEARNED, STEP)?;
    claim(step.runner_up() == 2, "the runner-up is the largest logit")?;
    for i in 0..V {
        let rises = step.log_growth(i)? > 0.0;
        let above = pi.as_slice()[i] > step.threshold();
        claim(i == UNLEARNED || rises == above, "a label rises exactly above the threshold")?;
    }
    let mut delta_z = [0.0; V];
    regression_step_into(&pi, UNLEARNED, -STEP, &mut delta_z)?;
    let r = remainder(&pi, &delta_z)?;
    claim(remainder_bound(&delta_z) <= r && r < 0.0, "the remainder lies within Hoeffding's bound")?;
    let stats = token_stats(&LOGITS, UNLEARNED)?;
    let mut log_pi = [0.0; V];
    log_softmax_into(&LOGITS, &mut log_pi)?;
    claim((log_pi[UNLEARNED] - stats.logp).abs() < 1e-14, "two ways to log π agree")?;
    line("log_sum_exp", log_sum_exp(&LOGITS))?;
    line("threshold", step.threshold())?;
    line("log_growth top", step.log_growth(2)?)?;
    line("log_growth label", step.log_growth(UNLEARNED)?)?;
    line("remainder", r)?;
    line("entropy", stats.entropy)?;
    line("rest_logp", stats.rest_logp)?;
    line("a_norm", a_norm(stats.sum_sq, V))?;
    line("gap_norm", gap_norm(&stats))?;
    line("log_sigmoid", log_sigmoid(-1.25))?;
    line("log1mexp", log1mexp(-0.75))?;
    Ok(())
}

/// Many steps: y falls and y* rises at each; logits that are moved along give the same π within
/// `tolerance`; and the collapse is as fast as its theorem says.
fn many_steps<T: Real>(tolerance: f64) -> Result<[T; V], Failure> {
    let mut z = LOGITS.map(T::from_f64);
    let (mut pi, mut next, mut moved) = ([T::ZERO; V], [T::ZERO; V], [T::ZERO; V]);
    softmax_into(&z, &mut pi)?;
    let start = pi;
    let top = 2;
    let step_size = T::from_f64(STEP);
    for _ in 0..STEPS {
        let distribution = Distribution::new(&pi)?;
        let step = NegativeStep::new(distribution, UNLEARNED, step_size)?;
        claim(step.runner_up() == top, "the runner-up stays")?;
        step.after_into(&mut next)?;
        regression_step_into(&distribution, UNLEARNED, -step_size, &mut moved)?;
        claim(next[UNLEARNED] < pi[UNLEARNED] || pi[UNLEARNED] == T::ZERO, "the unlearned label falls")?;
        claim(next[top] > pi[top] || T::ONE - pi[top] < T::from_f64(tolerance), "the runner-up rises")?;
        for (z, &d) in z.iter_mut().zip(&moved) {
            *z += d;
        }
        pi = next;
    }
    softmax_into(&z, &mut moved)?;
    for (a, b) in pi.iter().zip(&moved) {
        claim((a.to_f64() - b.to_f64()).abs() < tolerance, "growth factors and moved logits agree")?;
    }
    // 1 − π_{y*}(T) ≤ (V + e^{z_y − z_{y*}})·e^{−sTδ}, with δ the lead of y* at the start.
    let others = (0..V).filter(|&i| i != top && i != UNLEARNED);
    let lead = others.map(|i| (start[top] - start[i]).to_f64()).fold(start[top].to_f64(), f64::min);
    let bound =
        (V as f64 + Real::exp(LOGITS[UNLEARNED] - LOGITS[top])) * Real::exp(-STEP * STEPS as f64 * lead);
    claim(1.0 - pi[top].to_f64() <= bound + tolerance, "the collapse is as fast as proved")?;
    claim(pi[top].to_f64() > 0.99, "the mass is with the runner-up")?;
    Ok(pi)
}
