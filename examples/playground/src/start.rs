//! Where the page starts from: shapes of distributions, in logits.

use ldyn_core::Real;

/// The logits of a shape over `vocab` labels; `None` if there is no such shape.
pub(crate) fn logit(shape: usize, i: usize, vocab: usize) -> Option<f64> {
    // The label's place between 0 and 1.
    let x = (i as f64 + 0.5) / vocab as f64;
    let hump = |at: f64, width: f64| {
        let d = (x - at) / width;
        Real::exp(-d * d)
    };
    // A fixed unevenness, so that no two labels are alike.
    let uneven = |size: f64| size * ((i * 7919 % 31) as f64 / 15.0 - 1.0);
    match shape {
        // Every label alike: a model that knows nothing.
        0 => Some(0.0),
        // A little preference: before finetuning.
        1 => Some(1.6 * hump(0.3, 0.35) + uneven(0.25)),
        // One mode, another lower one, and a valley between: after SFT.
        2 => Some(5.2 * hump(0.3, 0.09) + 2.6 * hump(0.55, 0.12) + uneven(0.35)),
        // Nearly certain of one label.
        3 => Some(7.5 * hump(0.3, 0.05) + uneven(0.3)),
        _ => None,
    }
}
