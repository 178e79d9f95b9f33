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

/// Statements that no fault of a step makes fail: they look at π alone, hold for wrong steps too, or compare two
/// steps that they make themselves.
const BLIND: [&str; 13] = [
    "exact/A2",
    "exact/A6",
    "exact/A7",
    "exact/R3",
    "exact/N4-monotone",
    "exact/N10-limit",
    "exact/N11-rate",
    "exact/C1",
    "exact/C3",
    "exact/C4",
    "exact/C6",
    "exact/C7",
    "exact/C8",
];

#[test]
fn a_fault_is_noticed_by_every_statement_that_can_see_it() {
    let cases: [(&[f64], (usize, usize), f64); 7] = [
        (&[0.0, 2.06], (0, 1), 2.3),
        (&[5.0, 0.0, 0.0], (2, 1), 50.0),
        (&[2.0, 1.0, 0.0, -1.0, 0.0], (3, 1), 0.5),
        (&[0.5, 3.0, 0.0, -0.5], (1, 2), 1.0),
        (&[0.0, 0.0, 0.0, 0.0], (0, 3), 2.0),
        (&[4.0, 0.0, -1.0, 0.5, -6.0], (4, 3), 0.05),
        (&[0.0, 1.5, 0.0, -1.0], (0, 1), 0.002),
    ];
    let mut seen = BTreeSet::new();
    for fault in [Fault::Direction, Fault::Label, Fault::Size, Fault::Normaliser] {
        let found: BTreeSet<&str> = cases
            .iter()
            .flat_map(|(z, labels, s)| failures(z, *labels, *s, Some(fault)))
            .map(|(id, _, _)| id)
            .collect();
        assert!(found.len() >= 20, "{fault:?} is noticed by {found:?} only");
        seen.extend(found);
    }
    let blind: Vec<&str> = STATEMENTS.iter().map(|s| s.id).filter(|id| !seen.contains(id)).collect();
    assert_eq!(blind, BLIND);
}
