//! The page's mathematics: a distribution that is dragged, steps on it, and what the core says of them.
//!
//! The page calls the functions of this file and reads numbers from memory: [`Model`] is its one state, an array
//! each for what the charts show, and a list of single numbers that carry their names. Nothing is
//! computed in the page but where to draw.
#![no_std]

mod model;
mod pull;
mod start;
mod state;

use core::ptr;
use ldyn_core::statements::{Fault, Kind, Outcome, STATEMENTS};
use model::{MAX_STEPS, MAX_VOCAB};
use pull::Pull;
use state::with;

/// Starts from one of the page's distributions, counted from 0; returns whether there is one.
#[unsafe(no_mangle)]
pub extern "C" fn preset(which: usize, vocab: usize) -> bool {
    with(|model| model.preset(which, vocab).is_ok())
}

/// How many labels there are from now on, with logits that [`set_logit`] is to set.
#[unsafe(no_mangle)]
pub extern "C" fn set_vocab(vocab: usize) -> bool {
    with(|model| model.set_vocab(vocab).is_ok())
}

/// One logit of the start.
#[unsafe(no_mangle)]
pub extern "C" fn set_logit(label: usize, logit: f64) -> bool {
    with(|model| model.set_logit(label, logit).is_ok())
}

/// One probability of the start; the others keep their proportions.
#[unsafe(no_mangle)]
pub extern "C" fn set_probability(label: usize, p: f64) -> bool {
    with(|model| model.set_probability(label, p).is_ok())
}

/// Takes `steps` steps of size `step` from the start; returns whether all went well.
///
/// `mode` is 0 to unlearn `rejected`, 1 to learn `chosen`, 2 for both with equal weights.
#[unsafe(no_mangle)]
pub extern "C" fn run(mode: usize, rejected: usize, chosen: usize, step: f64, steps: usize) -> bool {
    let pull = match mode {
        0 => Pull::Unlearn { rejected, chosen },
        1 => Pull::Learn { rejected, chosen },
        _ => Pull::Pair { rejected, chosen },
    };
    with(|model| model.run(pull, step, steps).is_ok())
}

/// The arrays of the state, see [`Model::arrays`](model::Model::arrays), by their place; null behind the end.
#[unsafe(no_mangle)]
pub extern "C" fn array(which: usize) -> *const f64 {
    with(|model| model.arrays().get(which).map_or(ptr::null(), |(_, array)| array.as_ptr()))
}

/// The single numbers by their place; NaN behind the end.
#[unsafe(no_mangle)]
pub extern "C" fn number(which: usize) -> f64 {
    with(|model| model.numbers.get(which).map_or(f64::NAN, |&(_, value)| value))
}

/// The most labels and the most steps.
#[unsafe(no_mangle)]
pub extern "C" fn limit(which: usize) -> usize {
    [MAX_VOCAB, MAX_STEPS].get(which).copied().unwrap_or(0)
}

/// A text by its list and its place in it: 0 the names of the single numbers, 1 those of the arrays, 2 the ids of the
/// statements, 3 their words, 4 in what sense they are true. Null behind the end.
#[unsafe(no_mangle)]
pub extern "C" fn text(list: usize, which: usize) -> *const u8 {
    text_of(list, which).map_or(ptr::null(), str::as_ptr)
}

/// How many bytes a [`text`] has.
#[unsafe(no_mangle)]
pub extern "C" fn text_len(list: usize, which: usize) -> usize {
    text_of(list, which).map_or(0, str::len)
}

fn text_of(list: usize, which: usize) -> Option<&'static str> {
    if list == 0 {
        return with(|model| model.numbers.get(which).map(|&(name, _)| name));
    }
    if list == 1 {
        return with(|model| model.arrays().get(which).map(|&(name, _)| name));
    }
    let statement = STATEMENTS.get(which)?;
    match list {
        2 => Some(statement.id),
        3 => Some(statement.words),
        _ => Some(match statement.kind {
            Kind::Exact => "exact",
            Kind::FirstOrder => "first order",
            _ => "numeric",
        }),
    }
}

/// What a statement of the core says of the last step: 1 holds, 0 its condition is not met, −1 fails; 2 if
/// there is no such statement or no step.
#[unsafe(no_mangle)]
pub extern "C" fn outcome(which: usize) -> i32 {
    with(|model| match model.outcomes.get(which) {
        Some(Some(Outcome::Holds { .. })) => 1,
        Some(Some(Outcome::NotApplicable)) => 0,
        Some(Some(Outcome::Fails { .. })) => -1,
        _ => 2,
    })
}

/// By how much it holds.
#[unsafe(no_mangle)]
pub extern "C" fn margin(which: usize) -> f64 {
    with(|model| match model.outcomes.get(which) {
        Some(Some(Outcome::Holds { margin, .. } | Outcome::Fails { margin, .. })) => *margin,
        _ => f64::NAN,
    })
}

/// Makes every statement look at a step that goes the wrong way (1) or the right one (0): to see that they notice.
#[unsafe(no_mangle)]
pub extern "C" fn plant_fault(on: bool) {
    with(|model| model.fault = on.then_some(Fault::Direction));
}

/// A panic would be a fault of this module; the page shows that it stopped.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
