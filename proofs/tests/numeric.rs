//! Rounding: the fast sweeps of `ldyn-core` against the plain oracle.

use ldyn_core::Real;
use ldyn_core::diagnostics::token_stats;
use ldyn_core::softmax::{log_softmax_into, log_sum_exp, softmax_into};
use ldyn_proofs::tolerance::{GROWTH, SWEEP_F32, SWEEP_F64};
use ldyn_proofs::{oracle, strategies};
use proptest::prelude::*;
use proptest::sample::Index;

fn scale(z: &[f64]) -> f64 {
    z.iter().fold(1.0, |a, z| z.abs().max(a))
}

proptest! {
    #[test]
    fn softmax_and_its_log_are_the_definitions(z in strategies::logits()) {
        let (mut pi, mut log_pi) = (vec![0.0; z.len()], vec![0.0; z.len()]);
        softmax_into(&z, &mut pi).unwrap();
        log_softmax_into(&z, &mut log_pi).unwrap();
        for ((p, l), exact) in pi.iter().zip(&log_pi).zip(oracle::log_softmax(&z)) {
            prop_assert!(GROWTH.equal(*l, exact, scale(&z)));
            // Below the cutoff probabilities are flushed to 0.
            let flushed = *p == 0.0 && exact <= f64::EXP_CUTOFF;
            prop_assert!(flushed || GROWTH.equal(*p, exact.exp(), scale(&z) * exact.exp()));
        }
        let shift = z[0] - oracle::log_softmax(&z)[0];
        prop_assert!(GROWTH.equal(log_sum_exp(&z), shift, scale(&z)));
    }

    #[test]
    fn token_statistics_are_their_definitions_in_both_types(z in strategies::logits(), at in any::<Index>()) {
        let label = strategies::label(at, z.len());
        let narrow: Vec<f32> = z.iter().map(|&z| z as f32).collect();
        let widened: Vec<f64> = narrow.iter().map(|&z| f64::from(z)).collect();
        let found = [
            (token_stats(&z, label).unwrap(), &z, SWEEP_F64),
            (token_stats(&narrow, label).unwrap().to_f64(), &widened, SWEEP_F32),
        ];
        for (stats, z, tolerance) in found {
            let log_pi = oracle::log_softmax(z);
            let pi = oracle::softmax(z);
            let top = oracle::argmax(&pi);
            prop_assert_eq!(stats.argmax, oracle::argmax(z));
            let scale = scale(z);
            let entropy = -oracle::sum(pi.iter().zip(&log_pi).filter(|(p, _)| **p > 0.0).map(|(p, l)| p * l));
            prop_assert!(tolerance.equal(stats.logp, log_pi[label], scale));
            prop_assert!(tolerance.equal(stats.argmax_logp, log_pi[top], scale));
            prop_assert!(tolerance.equal(stats.sum_sq, oracle::sum_sq(&pi), 1.0));
            prop_assert!(tolerance.equal(stats.entropy, entropy, scale));
            let best = oracle::runner_up(&log_pi, stats.argmax);
            let others = (0..z.len()).filter(|&i| i != stats.argmax);
            let rest = log_pi[best] + oracle::sum(others.map(|i| (log_pi[i] - log_pi[best]).exp())).ln();
            prop_assert!(tolerance.equal(stats.rest_logp, rest, scale), "{} {rest}", stats.rest_logp);
        }
    }
}
