//! The table of statements in `ldyn-core`, run over all kinds of cases.

use ldyn_core::statements::{Case, Fault, Outcome, STATEMENTS};
use ldyn_proofs::strategies;
use ldyn_proofs::tolerance::EXACT;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeSet;

/// The ids of the statements that fail on a case, with label and margin.
fn failures(
    z: &[f64],
    labels: (usize, usize),
    s: f64,
    fault: Option<Fault>,
) -> Vec<(&'static str, usize, f64)> {
    let mut scratch = vec![f64::NAN; Case::scratch_len(z.len())];
    let case = Case::new(z, labels, s, &mut scratch, fault).unwrap();
    let outcomes = STATEMENTS.iter().map(|statement| (statement.id, (statement.check)(&case)));
    outcomes
        .filter_map(|(id, outcome)| match outcome {
            Outcome::Fails { label, margin } => Some((id, label, margin)),
            Outcome::Holds { label, margin } => {
                assert!(label < z.len() && EXACT.holds(margin + case.allowance(), 1.0));
                None
            }
            Outcome::NotApplicable => None,
        })
        .collect()
}

fn second(label: usize, at: Index, vocab: usize) -> usize {
    (label + 1 + at.index(vocab - 1)) % vocab
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases * 8))]

    #[test]
    fn every_statement_of_the_table_holds((z, label, s) in strategies::cases(), at in any::<Index>()) {
        let failures = failures(&z, (label, second(label, at, z.len())), s, None);
        prop_assert!(failures.is_empty(), "{failures:?}");
    }
}
