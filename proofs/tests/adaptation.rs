//! Identities of A = I − 1πᵀ (paper: §2, App. B.1, eq. 27–31).

use ldyn_core::adaptation::{apply_into, apply_transpose_into, dense_into, operator_norm};
use ldyn_core::diagnostics::a_norm;
use ldyn_core::simplex::Distribution;
use ldyn_proofs::tolerance::ALGEBRA;
use ldyn_proofs::{oracle, strategies};
use proptest::prelude::*;

fn dense(pi: &[f64]) -> Vec<Vec<f64>> {
    let n = pi.len();
    let mut flat = vec![0.0; n * n];
    dense_into(&Distribution::new(pi).unwrap(), &mut flat).unwrap();
    flat.chunks(n).map(<[f64]>::to_vec).collect()
}

fn apply(pi: &[f64], v: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; v.len()];
    apply_into(&Distribution::new(pi).unwrap(), v, &mut out).unwrap();
    out
}

fn product(a: &[Vec<f64>], v: &[f64]) -> Vec<f64> {
    a.iter().map(|row| oracle::sum(row.iter().zip(v).map(|(a, v)| a * v))).collect()
}

fn size(v: &[f64]) -> f64 {
    v.iter().fold(1.0, |a, v| v.abs().max(a))
}

/// A probability vector and two vectors of its length.
fn inputs() -> impl Strategy<Value = (Vec<f64>, Vec<f64>, Vec<f64>)> {
    strategies::logits().prop_flat_map(|z| {
        let any = prop::collection::vec(-10.0..10.0, z.len());
        (Just(oracle::softmax(&z)), any.clone(), any)
    })
}

proptest! {
    #[test]
    fn the_structured_product_is_the_dense_one((pi, v, _) in inputs()) {
        let a = dense(&pi);
        let transpose: Vec<Vec<f64>> =
            (0..pi.len()).map(|j| a.iter().map(|row| row[j]).collect()).collect();
        let mut found = vec![0.0; v.len()];
        apply_transpose_into(&Distribution::new(&pi).unwrap(), &v, &mut found).unwrap();
        let scale = size(&v) * v.len() as f64;
        for (a, b) in product(&transpose, &v).iter().zip(&found) {
            prop_assert!(ALGEBRA.equal(*a, *b, scale));
        }
        for (a, b) in product(&a, &v).iter().zip(apply(&pi, &v)) {
            prop_assert!(ALGEBRA.equal(*a, b, scale));
        }
    }

    #[test]
    fn equal_changes_of_all_logits_change_nothing((pi, v, _) in inputs()) {
        let shift = v[0];
        for change in apply(&pi, &vec![shift; pi.len()]) {
            prop_assert!(ALGEBRA.equal(change, 0.0, size(&v)));
        }
    }

    #[test]
    fn the_first_order_change_conserves_probability((pi, v, _) in inputs()) {
        let total = oracle::sum(pi.iter().zip(apply(&pi, &v)).map(|(p, d)| p * d));
        prop_assert!(ALGEBRA.equal(total, 0.0, size(&v)));
    }

    #[test]
    fn adapting_twice_is_adapting_once((pi, v, _) in inputs()) {
        let once = apply(&pi, &v);
        for (a, b) in apply(&pi, &once).iter().zip(&once) {
            prop_assert!(ALGEBRA.equal(*a, *b, size(&v)));
        }
    }

    #[test]
    fn the_softmax_jacobian_is_symmetric_and_has_no_negative_direction((pi, v, w) in inputs()) {
        let form = |v: &[f64], w: &[f64]| {
            oracle::sum(pi.iter().zip(v).zip(apply(&pi, w)).map(|((p, v), d)| p * v * d))
        };
        let scale = size(&v) * size(&w);
        prop_assert!(ALGEBRA.equal(form(&v, &w), form(&w, &v), scale));
        prop_assert!(ALGEBRA.holds(form(&v, &v), size(&v) * size(&v)));
    }

    #[test]
    fn the_norm_is_the_root_of_v_pi_squared_plus_v_minus_2((pi, _, _) in inputs()) {
        let vocab = pi.len() as f64;
        let dense = dense(&pi);
        let trace = oracle::sum((0..pi.len()).map(|i| dense[i][i]));
        prop_assert!(ALGEBRA.equal(trace, vocab - 1.0, vocab));
        let exact = oracle::sum(dense.concat().iter().map(|a| a * a)).sqrt();
        let found = a_norm(oracle::sum_sq(&pi), pi.len());
        prop_assert!(ALGEBRA.equal(found, exact, vocab));
        prop_assert!(ALGEBRA.holds(found - (vocab - 1.0).sqrt(), vocab), "not below the uniform's");
        prop_assert!(ALGEBRA.holds((2.0 * vocab - 2.0).sqrt() - found, vocab), "not above a one-hot's");
    }

    #[test]
    fn no_change_is_stretched_by_more_than_the_operator_norm((pi, v, _) in inputs()) {
        let length = |v: &[f64]| oracle::sum(v.iter().map(|v| v * v)).sqrt();
        let norm = operator_norm(&Distribution::new(&pi).unwrap());
        prop_assert!(ALGEBRA.holds(norm * length(&v) - length(&apply(&pi, &v)), 100.0 * size(&v)));
        // It is attained: Aᵀ turns 1 into 1 − Vπ, which A stretches by √V‖π‖.
        let mut best = vec![0.0; pi.len()];
        let distribution = Distribution::new(&pi).unwrap();
        apply_transpose_into(&distribution, &vec![1.0; pi.len()], &mut best).unwrap();
        let stretched = length(&apply(&pi, &best));
        prop_assert!(ALGEBRA.equal(stretched, norm * length(&best), 100.0 * pi.len() as f64));
    }
}
