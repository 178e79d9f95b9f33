//! Against values by hand, values of NLTK 3.10.4, and searches through everything.

use super::*;
extern crate std;
use std::collections::BTreeSet;
use std::vec::Vec;

/// Every sequence of three letters up to `longest` tokens.
fn sequences(longest: u32) -> impl Iterator<Item = Vec<u8>> + Clone {
    (0..=longest).flat_map(|len| {
        (0..3_u32.pow(len)).map(move |code| (0..len).map(|l| (code / 3_u32.pow(l) % 3) as u8).collect())
    })
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[test]
fn bleu_by_hand() {
    // The candidate of Papineni et al., example 2: `the` counts twice at most, 2/7.
    let candidate = words("the the the the the the the");
    let references = [words("the cat is on the mat"), words("there is a cat on the mat")];
    assert!((bleu(&candidate, &references, 1).unwrap() - 2.0 / 7.0).abs() < 1e-15);
    // Five of six words are there, but the nearest reference has ten: e^{1 − 10/5}.
    let (short, long) = ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert!((bleu(&short, &[long], 4).unwrap() - (-1.0_f64).exp()).abs() < 1e-15);
    // A longer candidate is charged by its precision alone.
    assert!((bleu(&long, &[short], 1).unwrap() - 0.5).abs() < 1e-15);
    // Of references that are equally near, the shorter one counts: no penalty against 4.
    assert_eq!(bleu(&[1, 2, 3, 4, 5], &[&[1, 2, 3, 4][..], &[1, 2, 3, 4, 5, 6]], 4).unwrap(), 1.0);
    // p = 2/4, 0.1/3: a bigram in common is missing.
    let smoothed = bleu(&[1, 9, 2, 8], &[[1, 2, 3, 4]], 2).unwrap();
    assert!((smoothed - (0.5 * 0.1 / 3.0_f64).sqrt()).abs() < 1e-15);
    // Shorter than N, empty, nothing in common.
    assert_eq!(bleu(&[1, 2], &[[1, 2]], 4), Ok(1.0));
    assert_eq!(bleu(&[], &[[1, 2]], 4), Ok(0.0));
    assert_eq!(bleu(&[3, 4], &[[1, 2]], 4), Ok(0.0));
    assert_eq!(bleu::<u8, [u8; 1]>(&[1], &[], 4), Err(Error::Empty { name: "references" }));
}

#[test]
fn bleu_is_that_of_nltk() {
    for (candidate, references, expected) in NLTK {
        let references: Vec<Vec<&str>> = references.iter().map(|text| words(text)).collect();
        let found = bleu(&words(candidate), &references, 4).unwrap();
        assert!((found - expected).abs() < 1e-12, "{candidate}: {found}, NLTK {expected}");
    }
}

/// `sentence_bleu(references, candidate, smoothing_function=SmoothingFunction().method1)`.
const NLTK: [(&str, &[&str], f64); 4] = [
    (
        "the cat sat on the mat",
        &["the cat is on the mat", "there is a cat on the mat"],
        0.254_066_374_077_307_37,
    ),
    (
        "it is a guide to action which ensures that the military always obeys the commands of the party",
        &[
            "it is a guide to action that ensures that the military will forever heed party commands",
            "it is the guiding principle which guarantees the military forces always being under the command of the party",
        ],
        0.504_566_684_005_848_5,
    ),
    ("a b a b c", &["a b c d e f g", "b a"], 0.197_263_858_215_756_37),
    ("x a y b", &["a b c d e f"], 0.057_950_534_707_339_52),
];

#[test]
fn bleu_is_1_for_the_same_tokens_and_lies_between_0_and_1() {
    for candidate in sequences(4).filter(|s| !s.is_empty()) {
        assert!((bleu(&candidate, &[&candidate], 4).unwrap() - 1.0).abs() < 1e-15, "{candidate:?}");
        for reference in sequences(4) {
            let score = bleu(&candidate, &[&reference], 4).unwrap();
            assert!((0.0..=1.0 + 1e-15).contains(&score), "{candidate:?}, {reference:?}: {score}");
            let common = candidate.iter().any(|token| reference.contains(token));
            assert_eq!(score > 0.0, common, "{candidate:?}, {reference:?}");
            // One more reference of the same length can only help.
            if reference.len() == candidate.len() {
                let more = bleu(&candidate, &[&reference, &candidate], 4).unwrap();
                assert!(more >= score - 1e-15);
            }
        }
    }
}

#[test]
fn self_bleu_is_the_mean_over_the_set() {
    let set = [words("a b c d e"), words("a b c x y"), words("q b z d r")];
    let each = |i: usize| {
        let others: Vec<_> = (0..3).filter(|&j| j != i).map(|j| set[j].clone()).collect();
        bleu(&set[i], &others, 4).unwrap()
    };
    let expected = (each(0) + each(1) + each(2)) / 3.0;
    assert!((self_bleu(&set, 4).unwrap() - expected).abs() < 1e-15);
    assert!(each(0) != each(1) && each(1) != each(2));
    assert_eq!(self_bleu(&[[1, 2], [3, 4]], 4), Ok(0.0));
    assert!(matches!(self_bleu::<u8, [u8; 0]>(&[], 4), Err(Error::Range { name: "set", .. })));
    assert!(matches!(self_bleu(&[[1], [1]], 0), Err(Error::Range { name: "max_n", .. })));
}

#[test]
fn borrowed_is_the_share_by_sets_of_n_grams() {
    let (sources, excluded) = ([[0, 1, 2, 0, 0], [2, 2, 1, 1, 0]], [[0, 1, 2]]);
    for answer in sequences(6) {
        for n in 1..4 {
            let set = |texts: &[Vec<u8>]| -> BTreeSet<Vec<u8>> {
                texts.iter().flat_map(|text| text.windows(n).map(<[u8]>::to_vec)).collect()
            };
            let taken = set(&sources.map(|s| s.to_vec()));
            let own = set(&excluded.map(|s| s.to_vec()));
            let grams: Vec<&[u8]> = answer.windows(n).collect();
            let hits = grams.iter().filter(|g| taken.contains(**g) && !own.contains(**g)).count();
            let expected = hits as f64 / grams.len().max(1) as f64;
            assert_eq!(borrowed(&answer, &sources, &excluded, n).unwrap(), expected, "{answer:?}, {n}");
        }
    }
}

#[test]
fn nothing_is_borrowed_from_no_source_and_all_from_oneself() {
    let none: [&[u8]; 0] = [];
    assert_eq!(borrowed(&[1, 2, 3], &none, &none, 2), Ok(0.0));
    assert_eq!(borrowed(&[1, 2, 3], &[[1, 2, 3]], &none, 2), Ok(1.0));
    assert_eq!(borrowed(&[1, 2, 3], &[[1, 2, 3]], &[[1, 2, 3]], 2), Ok(0.0));
    assert_eq!(borrowed(&[1, 2, 3], &[[1, 2, 3]], &none, 4), Ok(0.0));
}

#[test]
fn the_longest_common_run_is_that_of_a_search_through_all_pairs() {
    for a in sequences(4) {
        for b in sequences(5) {
            let mut all = Vec::new();
            for first in 0..a.len() {
                for second in 0..b.len() {
                    let equal = |len: &usize| a[first..].get(..*len) == b[second..].get(..*len);
                    let most = a.len().min(b.len());
                    let len = (1..=most)
                        .take_while(|len| a.len() >= first + len && b.len() >= second + len)
                        .filter(equal)
                        .max();
                    all.extend(len.map(|len| CommonRun { first, second, len }));
                }
            }
            let expected = all.into_iter().min_by_key(|r| (usize::MAX - r.len, r.first, r.second));
            assert_eq!(longest_common_run(&a, &b), expected, "{a:?}, {b:?}");
        }
    }
}
