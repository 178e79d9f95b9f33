//! From two verdicts to what a pair says.

use super::Verdict;
use serde::{Deserialize, Serialize};

/// What a pair of answers says about the first model, A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A's answer is better, in both orders.
    Win,
    /// B's answer is better, in both orders.
    Loss,
    /// Neither is better, in one order at least.
    Tie,
    /// The order in which they were shown decided.
    Split,
    /// A verdict is missing; the pair is left out of every rate.
    Refused,
}

impl Outcome {
    /// The outcome of the verdict with A's answer shown first and the one with B's answer first.
    ///
    /// ```
    /// use ldyn::judge::{Outcome, Verdict};
    /// // The same model is meant: A's answer, shown first and then second.
    /// assert_eq!(Outcome::of([Verdict::First, Verdict::Second]), Outcome::Win);
    /// // The same place is meant.
    /// assert_eq!(Outcome::of([Verdict::First, Verdict::First]).score(), Some(0.5));
    /// ```
    pub fn of(verdicts: [Verdict; 2]) -> Self {
        use Verdict::{First, Refused, Second, Tie};
        match verdicts {
            [Refused, _] | [_, Refused] => Self::Refused,
            [Tie, _] | [_, Tie] => Self::Tie,
            [First, Second] => Self::Win,
            [Second, First] => Self::Loss,
            [First, First] | [Second, Second] => Self::Split,
        }
    }

    /// The share of the pair that A takes: 1, ½ or 0; `None` where a verdict is missing.
    pub fn score(self) -> Option<f64> {
        match self {
            Self::Win => Some(1.0),
            Self::Loss => Some(0.0),
            Self::Tie | Self::Split => Some(0.5),
            Self::Refused => None,
        }
    }
}

/// A pair as it was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What it says.
    pub outcome: Outcome,
    /// The verdicts with A's and with B's answer shown first, of a judge that is shown both answers.
    pub verdicts: Option<[Verdict; 2]>,
    /// log π of A's and B's answer, of a judge that is a likelihood.
    pub likelihoods: Option<[f64; 2]>,
}

impl Judged {
    /// By a judge that was asked in both orders.
    pub fn by_verdicts(verdicts: [Verdict; 2]) -> Self {
        Self { outcome: Outcome::of(verdicts), verdicts: Some(verdicts), likelihoods: None }
    }

    /// By the larger likelihood.
    pub fn by_likelihoods(likelihoods: [f64; 2]) -> Self {
        let [a, b] = likelihoods;
        let outcome = match a.total_cmp(&b) {
            std::cmp::Ordering::Greater => Outcome::Win,
            std::cmp::Ordering::Less => Outcome::Loss,
            std::cmp::Ordering::Equal => Outcome::Tie,
        };
        Self { outcome, verdicts: None, likelihoods: Some(likelihoods) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{First, Refused, Second, Tie};

    #[test]
    fn exchanging_the_models_exchanges_wins_and_losses_and_nothing_else() {
        let all = [First, Second, Tie, Refused];
        for ab in all {
            for ba in all {
                // With the models exchanged, what was the second order is the first one.
                let (one, other) = (Outcome::of([ab, ba]), Outcome::of([ba, ab]));
                assert_eq!(one.score().map(|s| 1.0 - s), other.score(), "{ab:?} {ba:?}");
                let position_decided = ab == ba && matches!(ab, First | Second);
                assert_eq!(one == Outcome::Split, position_decided);
                assert_eq!(one == Outcome::Refused, ab == Refused || ba == Refused);
            }
        }
    }
}
