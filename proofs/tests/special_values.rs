//! Numbers at the edges: what the docs say of −∞, +∞, NaN, ties and V = 1, and that nothing panics.

use ldyn_core::diagnostics::{ResponseStats, energy, gap_norm, residual_into, token_stats};
use ldyn_core::simplex::Distribution;
use ldyn_core::softmax::{log_sigmoid, log_softmax_into, log_sum_exp, log1mexp, sigmoid, softmax_into};
use ldyn_core::squeezing::repeated::label_bound;
use ldyn_core::squeezing::{
    FixedProportions, NegativeStep, PositiveStep, TwoContexts, least_likely_falls_more,
};
use ldyn_core::{Error, Real, adaptation, decomposition};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Short rows, and some that end within and just after a block of the sweeps.
fn numbers(some: impl Strategy<Value = f64> + Clone) -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![6 => vec(some.clone(), 0..6), 1 => vec(some, 505..520)]
}

fn any_number() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![
        4 => -3.0..3.0,
        2 => Just(f64::NEG_INFINITY),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NAN),
        1 => Just(-f64::NAN),
        1 => prop_oneof![Just(f64::MAX), Just(f64::MIN), Just(1e4), Just(-1e4)],
        1 => prop_oneof![Just(5e-324), Just(-1e-310), Just(1e-40), Just(-0.0)],
    ]
    .boxed()
}

/// Mostly rows that have a softmax.
fn logits() -> impl Strategy<Value = Vec<f64>> {
    let fine =
        prop_oneof![3 => -3.0..3.0, 1 => Just(f64::NEG_INFINITY), 1 => Just(1.0), 1 => Just(-1e4)].boxed();
    prop_oneof![numbers(fine), numbers(any_number())]
}

fn check_row<T: Real>(z: &[f64], at: Index) -> Result<(), TestCaseError> {
    let z: Vec<T> = z.iter().map(|&z| T::from_f64(z)).collect();
    let (mut pi, mut log_pi) = (vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]);
    let bad = z.iter().position(|z| z.is_nan() || *z == T::INFINITY);
    let expected = match bad {
        _ if z.is_empty() => Err(Error::Empty { name: "logits" }),
        Some(index) => Err(Error::Logit { index }),
        None if z.iter().all(|&z| z == T::NEG_INFINITY) => Err(Error::NoMass),
        None => Ok(()),
    };
    prop_assert_eq!(softmax_into(&z, &mut pi), expected);
    prop_assert_eq!(log_softmax_into(&z, &mut log_pi), expected);
    let log_sum = log_sum_exp(&z);
    let max = z.iter().fold(T::NEG_INFINITY, |a, &z| if z > a { z } else { a });
    if z.iter().any(|z| z.is_nan()) {
        prop_assert!(log_sum.is_nan());
    } else if max.is_finite() {
        prop_assert!(log_sum >= max && log_sum.is_finite());
    } else {
        prop_assert_eq!(log_sum, max);
    }
    if z.is_empty() {
        prop_assert_eq!(token_stats(&z, 0), Err(Error::Label { found: 0, vocab: 0 }));
        return Ok(());
    }

    let label = at.index(z.len());
    let stats = token_stats(&z, label);
    prop_assert_eq!(stats.map(|_| ()), expected);
    let mut g = vec![T::ZERO; z.len()];
    prop_assert_eq!(residual_into(&z, label, log_sum, T::ONE, &mut g), Ok(()));
    let Ok(stats) = stats else { return Ok(()) };

    // Among equals the first; a missing label has no mass; one label alone has all of it.
    prop_assert_eq!(Some(stats.argmax), z.iter().position(|&z| z == max));
    for (i, &z) in z.iter().enumerate() {
        prop_assert!(pi[i] >= T::ZERO && log_pi[i] <= T::ZERO && g[i].is_finite());
        if z == T::NEG_INFINITY {
            prop_assert_eq!((pi[i], log_pi[i]), (T::ZERO, z));
        }
        if z == max {
            prop_assert_eq!((pi[i], log_pi[i]), (pi[stats.argmax], log_pi[stats.argmax]));
        }
    }
    if z[label] == T::NEG_INFINITY {
        prop_assert_eq!(stats.logp, T::NEG_INFINITY);
    }
    if z.iter().filter(|&&z| z > T::NEG_INFINITY).count() == 1 {
        let found = (stats.rest_logp, stats.entropy, stats.sum_sq, pi[stats.argmax], log_pi[stats.argmax]);
        prop_assert_eq!(found, (T::NEG_INFINITY, T::ZERO, T::ONE, T::ONE, T::ZERO));
    }
    prop_assert!(stats.entropy >= T::ZERO && energy(stats.logp) >= T::ZERO && gap_norm(&stats) >= T::ZERO);
    let response = ResponseStats::from_tokens(&[stats.to_f64()], z.len()).unwrap();
    prop_assert!(!response.logp.is_nan() && !response.rest_logp.is_nan());
    prop_assert!(Distribution::new(&pi).is_ok());
    Ok(())
}

fn check_any<T: Real>(x: f64, v: &[f64], z: &[f64], at: Index) -> Result<(), TestCaseError> {
    let x = T::from_f64(x);
    prop_assert_eq!(sigmoid(x).is_nan(), x.is_nan());
    prop_assert_eq!(log_sigmoid(x).is_nan(), x.is_nan());
    prop_assert_eq!(log1mexp(x).is_nan(), x.is_nan() || x > T::ZERO);
    prop_assert!(sigmoid(x).is_nan() || (sigmoid(x) >= T::ZERO && sigmoid(x) <= T::ONE));

    let z: Vec<T> = z.iter().map(|&z| T::from_f64(z)).collect();
    let v: Vec<T> = v.iter().map(|&v| T::from_f64(v)).collect();
    let (mut pi, mut out) = (vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]);
    let Ok(()) = softmax_into(&z, &mut pi) else { return Ok(()) };
    let label = at.index(z.len());
    let pi = Distribution::new(&pi).unwrap();
    let lengths_agree = v.len() == z.len();
    prop_assert_eq!(adaptation::apply_into(&pi, &v, &mut out).is_ok(), lengths_agree);
    prop_assert_eq!(adaptation::apply_transpose_into(&pi, &v, &mut out).is_ok(), lengths_agree);
    prop_assert_eq!(decomposition::exact_into(&pi, &v, &mut out).is_ok(), lengths_agree);
    prop_assert_eq!(decomposition::regression_step_into(&pi, label, x, &mut out), Ok(()));
    let step = NegativeStep::new(pi, label, x);
    let is_step = x > T::ZERO && x.is_finite();
    prop_assert_eq!(step.is_ok(), is_step && z.len() > 1);
    let both = TwoContexts::new((pi, 0), (pi, label), x, T::HALF);
    prop_assert_eq!(both.is_ok(), is_step);
    let overlapping = TwoContexts::new((pi, 0), (pi, label), T::ONE, x);
    prop_assert_eq!(overlapping.is_ok(), x >= -T::ONE && x <= T::ONE);
    let power = least_likely_falls_more(pi, label, x, T::ONE);
    prop_assert!(power.is_err() || (x >= T::ONE && x.is_finite() && z.len() > 1));
    let bound = label_bound(&pi, label, x);
    prop_assert_eq!(bound.is_ok(), is_step && z.len() > 1);
    let rest = FixedProportions::new(pi, label)
        .and_then(|family| family.rest_grows_less(T::from_f64(0.25), T::HALF, x));
    prop_assert!(rest.is_err() || is_step);

    // Steps of a size that a computation could take leave no NaN.
    if x > T::from_f64(1e6) {
        return Ok(());
    }
    let unlearned = step.iter().flat_map(|step| {
        [
            Some(step.label_falls_most()),
            step.falls_below_start(),
            step.rises_above_start(),
            step.entropy_falls(),
        ]
    });
    let contexts =
        both.iter().chain(&overlapping).flat_map(|c| [c.rejected_falls_most(), c.chosen_rises_most()]);
    let learned = PositiveStep::new(pi, label, x).ok().and_then(|step| step.small_labels_rise());
    let compared = [learned, power.ok(), rest.ok().flatten()];
    for witness in unlearned.chain(contexts).chain(compared).flatten() {
        prop_assert!(!witness.margin.is_nan() && witness.label < z.len(), "{witness:?}");
    }
    prop_assert!(!pi.entropy().is_nan() && !pi.sum_sq().is_nan() && pi.argmax() < z.len());
    Ok(())
}

proptest! {
    #[test]
    fn rows_of_special_values_give_what_is_documented(z in logits(), at in any::<Index>()) {
        check_row::<f32>(&z, at)?;
        check_row::<f64>(&z, at)?;
    }

    #[test]
    fn any_numbers_are_answered(
        x in any_number(),
        v in numbers(any_number()),
        (z, fits) in (logits(), any::<bool>()),
        at in any::<Index>(),
    ) {
        let v = if fits { v.iter().copied().cycle().take(if v.is_empty() { 0 } else { z.len() }).collect() } else { v };
        check_any::<f32>(x, &v, &z, at)?;
        check_any::<f64>(x, &v, &z, at)?;
    }
}
