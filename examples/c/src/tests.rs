//! Every function by pointer, with memory of exactly the size that is said: under Miri, which `tests/miri` runs, a read or
//! write beside it, or through a pointer that may not, is an error.

use super::*;
use std::boxed::Box;
use std::vec;

const N: usize = 7;

fn logits() -> Box<[f64]> {
    (0..N).map(|i| (i as f64 * 0.7).sin()).collect()
}

#[test]
fn every_function_stays_within_its_memory() {
    let z = logits();
    let (mut pi, mut out) = (vec![f64::NAN; N].into_boxed_slice(), vec![f64::NAN; N].into_boxed_slice());
    let (mut stats, mut step) = (Box::<LdynTokenStats>::default(), Box::<LdynStep>::default());
    // SAFETY: pointers and lengths are those of the boxes.
    let found = unsafe {
        [
            ldyn_log_softmax(z.as_ptr(), N, out.as_mut_ptr(), N),
            ldyn_residual(z.as_ptr(), N, 2, 1.0, out.as_mut_ptr(), N),
            ldyn_token_stats(z.as_ptr(), N, 2, &raw mut *stats),
            ldyn_softmax(z.as_ptr(), N, pi.as_mut_ptr(), N),
            ldyn_growth(pi.as_ptr(), N, 2, -0.5, out.as_mut_ptr(), N, &raw mut *step),
            ldyn_growth(pi.as_ptr(), N, 2, 0.5, out.as_mut_ptr(), N, &raw mut *step),
        ]
    };
    assert_eq!(found, [LdynStatus::Ok; 6]);
    assert!((pi.iter().sum::<f64>() - 1.0).abs() < 1e-15 && (stats.logp.exp() - pi[2]).abs() < 1e-15);
    assert!((step.label_change + step.risen + step.fallen + step.runner_up_change).abs() < 1e-15);
    let mut moved = logits();
    // SAFETY: as above.
    let found = unsafe { ldyn_regression_step(moved.as_mut_ptr(), N, 2, 0.5, out.as_mut_ptr(), N) };
    assert_eq!(found, LdynStatus::Ok);
    assert!(moved[2] > z[2] && (out[2] / pi[2]).ln() > 0.0);
    // SAFETY: the text is C's, with its end.
    let words = unsafe { CStr::from_ptr(ldyn_words(LdynStatus::Overlap as c_int)) };
    assert!(words.to_str().unwrap().contains("overlaps"));
}

#[test]
fn pointers_that_cannot_be_right_are_refused_before_they_are_read() {
    let mut z = logits();
    let at = z.as_mut_ptr();
    let (null, odd) = (core::ptr::null(), at.cast::<u8>().wrapping_add(1).cast::<f64>());
    let mut pi = vec![0.5; N];
    let pi = pi.as_mut_ptr();
    // SAFETY: what does not lead to so many numbers is refused.
    let found = unsafe {
        [
            ldyn_softmax(null, N, pi, N),
            ldyn_softmax(odd, N, pi, N),
            ldyn_softmax(at, usize::MAX / 4, pi, N),
            ldyn_softmax(at, N, pi, N - 1),
            ldyn_softmax(at, N, at.wrapping_add(N - 1), N),
            ldyn_regression_step(at, N, 2, 0.5, at, N),
            ldyn_token_stats(at, N, 2, at.cast()),
            ldyn_residual(at, N, N, 1.0, pi, N),
        ]
    };
    use LdynStatus::{Label, Length, Misaligned, Null, Overlap};
    assert_eq!(found, [Null, Misaligned, Length, Length, Overlap, Overlap, Overlap, Label]);
}
