//! How far a sequence of tokens can be written as copies of what came before.

/// Phrases of `tokens` in the Lempel–Ziv parse, as a share of its length: 1 if no token occurs twice, near 0
/// for a long loop.
///
/// # Definition
///
/// ```text
/// c / m,  c: phrases of the exhaustive history        Lempel & Ziv 1976, §II
/// ```
///
/// Read from the left, a phrase is the longest stretch that also begins at an earlier place (the copy
/// may run into itself), and the one token behind it, which is new there. The last phrase may lack that token.
/// The count is not divided by m/log_k m, its size for random letters of an alphabet of k, because a
/// vocabulary is far larger than a response: compare responses of similar length.
///
/// # Method
///
/// Every earlier place is tried for every phrase, in O(m²) for texts that hardly repeat and O(m²·c) at most;
/// no table, no allocation.
///
/// # Special cases
///
/// An empty sequence has nothing to be copied: 1. A single token: 1.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::phrase_ratio;
/// assert_eq!(phrase_ratio(&[1, 2, 3, 4]), 1.0);
/// assert_eq!(phrase_ratio(&["ha"; 10]), 0.2); // ha, then nine copies of the one before
/// ```
pub fn phrase_ratio<T: PartialEq>(tokens: &[T]) -> f64 {
    if tokens.is_empty() { 1.0 } else { phrases(tokens) as f64 / tokens.len() as f64 }
}

fn phrases<T: PartialEq>(tokens: &[T]) -> usize {
    let (mut start, mut count) = (0, 0);
    while start < tokens.len() {
        let copied =
            |from: usize| tokens[start..].iter().zip(&tokens[from..]).take_while(|(a, b)| a == b).count();
        start += (0..start).map(copied).max().unwrap_or(0) + 1;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::String;
    use std::vec::Vec;

    fn letters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn phrases_are_those_of_the_published_examples() {
        // Lempel & Ziv 1976: 0·001·10·100·1000·101; Kaspar & Schuster 1987: 0·001·101… of 0010.
        for (text, expected) in [
            ("0001101001000101", 6),
            ("0000000000", 2),
            ("0101010101", 3),
            ("0", 1),
            ("01", 2),
            ("00", 2),
            ("", 0),
        ] {
            assert_eq!(phrases(&letters(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_parse_covers_the_sequence_with_phrases_that_are_new() {
        // Every binary sequence up to 10: the phrase count by its definition, on strings.
        for len in 1..=10_u32 {
            for code in 0..1_u32 << len {
                let text: String = (0..len).map(|l| if code >> l & 1 == 1 { '1' } else { '0' }).collect();
                let (mut count, mut start) = (0, 0);
                while start < text.len() {
                    // Grow the phrase while it occurs in all that stands before its last letter.
                    let mut end = start + 1;
                    while end < text.len() && text[..end - 1].contains(&text[start..end]) {
                        end += 1;
                    }
                    count += 1;
                    start = end;
                }
                assert_eq!(phrases(text.as_bytes()), count, "{text}");
            }
        }
    }

    #[test]
    fn a_loop_is_shorter_than_what_it_repeats_and_order_is_not_all() {
        let once: Vec<u32> = (0..12).collect();
        let looped: Vec<u32> = (0..48).map(|l| l % 12).collect();
        assert_eq!(phrase_ratio(&once), 1.0);
        assert_eq!(phrase_ratio(&looped), 13.0 / 48.0);
        // Steps of 1, 2, 3 and 4 through the same letters: less compressible than the loop.
        let mixed: Vec<u32> = (0..48).map(|l| (l * (1 + l / 12)) % 12).collect();
        assert!(phrase_ratio(&mixed) > phrase_ratio(&looped));
        assert_eq!(phrase_ratio::<u32>(&[]), 1.0);
    }
}
