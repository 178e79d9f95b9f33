//! Where inputs come from: distributions of every shape that the statements speak about.

use proptest::collection::vec;
use proptest::prelude::*;

/// Smallest and largest vocabulary of a random case.
pub const VOCAB: std::ops::Range<usize> = 2..40;

/// Logits of one row: random, peaky, flat, tied, nearly one-hot, and of huge and tiny size.
pub fn logits() -> impl Strategy<Value = Vec<f64>> {
    VOCAB.prop_flat_map(|vocab| {
        prop_oneof![
            vec(-4.0..4.0, vocab),
            peaky(vocab),
            vec(-1e-3..1e-3, vocab),
            tied(vocab),
            one_hot(vocab),
            vec(-1e4..1e4, vocab),
            vec(-1e-12..1e-12, vocab),
            Just(vec![0.0; vocab]),
        ]
    })
}

/// Logits such that no probability underflows: what a statement with strict inequalities
/// between all labels needs.
pub fn moderate_logits() -> impl Strategy<Value = Vec<f64>> {
    VOCAB.prop_flat_map(|vocab| {
        prop_oneof![
            vec(-4.0..4.0, vocab),
            peaky(vocab),
            vec(-1e-3..1e-3, vocab),
            tied(vocab),
            Just(vec![0.0; vocab])
        ]
    })
}

/// One label stands out by 2 to 12 nats.
fn peaky(vocab: usize) -> impl Strategy<Value = Vec<f64>> {
    (vec(-2.0..2.0, vocab), 0..vocab, 2.0..12.0).prop_map(|(mut z, top, by)| {
        z[top] = 2.0 + by;
        z
    })
}

/// Every logit is one of three values.
fn tied(vocab: usize) -> impl Strategy<Value = Vec<f64>> {
    vec(prop_oneof![Just(-1.0), Just(0.0), Just(1.5)], vocab)
}

/// One label stands out by so much that the others round away beside it.
fn one_hot(vocab: usize) -> impl Strategy<Value = Vec<f64>> {
    (vec(-1.0..1.0, vocab), 0..vocab, 40.0..2000.0).prop_map(|(mut z, top, by)| {
        z[top] = by;
        z
    })
}

/// A label below `vocab`, from any index.
pub fn label(index: prop::sample::Index, vocab: usize) -> usize {
    index.index(vocab)
}

/// Effective step sizes over five decades.
pub fn steps() -> impl Strategy<Value = f64> {
    (-3.0..2.0).prop_map(|exponent: f64| 10.0_f64.powf(exponent))
}

/// Logits, a label, a step size.
pub fn cases() -> impl Strategy<Value = (Vec<f64>, usize, f64)> {
    with_label_and_step(logits())
}

/// As [`cases`], with [`moderate_logits`].
pub fn moderate_cases() -> impl Strategy<Value = (Vec<f64>, usize, f64)> {
    with_label_and_step(moderate_logits())
}

fn with_label_and_step(
    logits: impl Strategy<Value = Vec<f64>>,
) -> impl Strategy<Value = (Vec<f64>, usize, f64)> {
    (logits, any::<prop::sample::Index>(), steps()).prop_map(|(z, at, s)| {
        let label = label(at, z.len());
        (z, label, s)
    })
}

/// Logits such that no probability underflows, a label, and the sizes of up to 30 steps on it.
pub fn runs() -> impl Strategy<Value = (Vec<f64>, usize, Vec<f64>)> {
    (
        moderate_logits(),
        any::<prop::sample::Index>(),
        vec((-2.0..0.5).prop_map(|e: f64| 10.0_f64.powf(e)), 1..30),
    )
        .prop_map(|(z, at, steps)| {
            let label = label(at, z.len());
            (z, label, steps)
        })
}
