//! Which answers are compared.

use crate::data::{Answer, HH_HUMAN};
use std::collections::{HashMap, VecDeque};

/// Two answers to one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Line of the first file, from 1.
    pub line: usize,
    /// The prompt of both.
    pub prompt: String,
    /// The answer of A, then that of B.
    pub responses: [String; 2],
}

/// The pairs of two files, in the order of A, and how many answers of each have no partner.
///
/// Answers belong together when their prompts are equal to the last character; where a file has a prompt several
/// times, the first belongs to the other file's first, and so on.
///
/// ```
/// use ldyn::{data::Answer, judge::pairs};
/// let answer = |line, prompt: &str, response: &str| Answer { line, prompt: prompt.into(), response: response.into() };
/// let a = [answer(1, "p", "first"), answer(2, "q", "alone"), answer(3, "p", "second")];
/// let b = [answer(1, "p", "1"), answer(2, "p", "2"), answer(3, "p", "3")];
/// let (pairs, unmatched) = pairs(&a, &b);
/// assert_eq!(pairs[1].responses, ["second", "2"]);
/// assert_eq!((pairs.len(), unmatched), (2, [1, 1]));
/// ```
pub fn pairs(a: &[Answer], b: &[Answer]) -> (Vec<Pair>, [usize; 2]) {
    let mut waiting: HashMap<&str, VecDeque<&Answer>> = HashMap::new();
    for answer in b {
        waiting.entry(&answer.prompt).or_default().push_back(answer);
    }
    let pairs: Vec<Pair> = a
        .iter()
        .filter_map(|answer| {
            let partner = waiting.get_mut(answer.prompt.as_str())?.pop_front()?;
            let responses = [answer.response.clone(), partner.response.clone()];
            Some(Pair { line: answer.line, prompt: answer.prompt.clone(), responses })
        })
        .collect();
    let unmatched = [a, b].map(|answers| answers.len() - pairs.len());
    (pairs, unmatched)
}

/// Ends every answer where it goes on to write a human turn. Returns how many were cut on each side.
pub fn cut_at_human_turn(pairs: &mut [Pair]) -> [usize; 2] {
    let mut cut = [0; 2];
    for pair in pairs {
        for (response, cut) in pair.responses.iter_mut().zip(&mut cut) {
            if let Some(at) = response.find(HH_HUMAN) {
                response.truncate(at);
                *cut += 1;
            }
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_at_the_human_turn_and_elsewhere_stay_as_they_are() {
        let pair = |a: &str, b: &str| Pair { line: 1, prompt: "p".into(), responses: [a.into(), b.into()] };
        let mut found = [pair(" Yes.\n\nHuman: And?\n\nHuman: So?", "Human: hm"), pair("\n\nHuman: Hi", "")];
        assert_eq!(cut_at_human_turn(&mut found), [2, 0]);
        assert_eq!(found, [pair(" Yes.", "Human: hm"), pair("", "")]);
    }
}
