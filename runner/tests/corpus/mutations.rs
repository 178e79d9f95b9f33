//! Mutations of inputs, the same at every run.

use rand::Rng;
use rand::seq::IndexedRandom;

/// What takes the place of numbers.
const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1152921504606846976",
    "1e308",
    "1e999",
    "-1e-308",
    "0.5",
    "NaN",
    "null",
];

/// What is put anywhere.
const WORDS: [&str; 18] = [
    "../../../etc/passwd",
    "/etc/passwd",
    "..",
    "\"\"",
    "{}",
    "[]",
    "null",
    "true",
    "[[[[[[[[[[[[[[[[",
    "\0",
    "\n",
    "\n%%\n",
    "\u{feff}",
    "\\ud800",
    "e\u{301}🙂",
    "<|endoftext|>",
    "{% for a in range(99999) %}",
    "\n\nAssistant:",
];

/// The `i`-th mutation of one of `inputs`: one to four changes.
pub fn mutated(inputs: &[&[u8]], target: &str, i: usize) -> Vec<u8> {
    let rng = &mut ldyn::seed::rng(1, &format!("mutation/{target}/{i}"));
    let mut bytes = inputs[rng.random_range(0..inputs.len())].to_vec();
    for _ in 0..rng.random_range(1..=4) {
        change(&mut bytes, inputs, rng);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, inputs: &[&[u8]], rng: &mut impl Rng) {
    let at = rng.random_range(0..=bytes.len());
    let end = (at + rng.random_range(0..=16)).min(bytes.len());
    match rng.random_range(0..9) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        2 if at < bytes.len() => bytes[at] = rng.random(),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].repeat(rng.random_range(1..=64));
            drop(bytes.splice(at..at, copy));
        }
        5 => {
            let other = inputs[rng.random_range(0..inputs.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[rng.random_range(0..=other.len())..]);
        }
        6 => {
            let word = WORDS.choose(rng).expect("a list with entries");
            drop(bytes.splice(at..at, word.bytes()));
        }
        // The next number after a random place; half of the time, so much depends on numbers.
        _ => {
            let digit = |byte: &u8| byte.is_ascii_digit();
            let Some(from) = bytes[at..].iter().position(digit).map(|n| at + n) else { return };
            let length = bytes[from..].iter().take_while(|byte| digit(byte)).count();
            let number = NUMBERS.choose(rng).expect("a list with entries");
            drop(bytes.splice(from..from + length, number.bytes()));
        }
    }
}

#[test]
fn mutations_differ_and_are_the_same_at_every_run() {
    let made = |i| mutated(&[b"{\"a\": 12}", b"x = 3"], "test", i);
    assert_eq!(made(3), made(3));
    let mut all: Vec<_> = (0..100).map(made).collect();
    all.sort();
    all.dedup();
    assert!(all.len() > 60, "{} of 100 differ", all.len());
}
