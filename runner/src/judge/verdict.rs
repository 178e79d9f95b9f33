//! What a judge's reply says.

use serde::{Deserialize, Serialize};

/// A judge's choice between the two candidates that it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate shown first, A.
    First,
    /// The candidate shown second, B.
    Second,
    /// Neither is better.
    Tie,
    /// No choice could be read from the reply.
    Refused,
}

impl Verdict {
    /// Reads the text after the last line break or colon; without marks around it, it must be `A`, `B`, `C` or `tie`.
    /// Nothing is guessed: a reply that ends in another way is [`Verdict::Refused`].
    ///
    /// ```
    /// use ldyn::judge::Verdict;
    /// assert_eq!(Verdict::read("A is vague, B answers.\n**B**"), Verdict::Second);
    /// assert_eq!(Verdict::read("Both are fine. Better: A."), Verdict::First);
    /// assert_eq!(Verdict::read("I think B is better"), Verdict::Refused);
    /// ```
    pub fn read(reply: &str) -> Self {
        let reply = reply.trim_end_matches(|c: char| !c.is_alphanumeric());
        let last = reply.rsplit(['\n', ':']).next().unwrap_or_default();
        match last.trim_matches(|c: char| !c.is_alphanumeric()) {
            "A" => Self::First,
            "B" => Self::Second,
            "C" => Self::Tie,
            word if word.eq_ignore_ascii_case("tie") => Self::Tie,
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{self, First, Refused, Second, Tie};

    #[test]
    fn a_verdict_is_the_last_word_alone() {
        let cases = [
            ("A", First),
            ("One is short.\n\nA\n", First),
            ("Comparison: they differ.\nBetter: (B).", Second),
            ("x\n\"B\"", Second),
            ("They say the same.\nC", Tie),
            ("Result: Tie.", Tie),
            ("", Refused),
            ("\n:\n", Refused),
            ("A or B", Refused),
            ("Better: A or B", Refused),
            ("Better: candidate A", Refused),
            ("B\nbecause it answers", Refused),
            ("x\nD", Refused),
            ("a", Refused),
            ("x\nAB", Refused),
        ];
        for (reply, verdict) in cases {
            assert_eq!(Verdict::read(reply), verdict, "{reply:?}");
        }
    }
}
