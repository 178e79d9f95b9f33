//! How sure the greedy choice was and how often it was right, in bins, as a record.

use ldyn_core::diagnostics::Bin;
use serde::{Deserialize, Serialize};

/// Bins of equal width that confidences are sorted into.
pub const RELIABILITY_BINS: usize = 10;

/// Greedy confidence max_v π(v) of a response's tokens, teacher-forced, against whether the argmax was the
/// label: a column for each sum, an entry for each of [`RELIABILITY_BINS`] bins from unsure to sure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Tokens.
    pub tokens: Vec<usize>,
    /// Tokens whose argmax was the label.
    pub correct: Vec<usize>,
    /// Σ max_v π(v).
    pub confidence: Vec<f64>,
}

impl Reliability {
    /// The bins; `None` if a column does not have [`RELIABILITY_BINS`] entries.
    pub fn bins(&self) -> Option<[Bin; RELIABILITY_BINS]> {
        let lengths = [self.tokens.len(), self.correct.len(), self.confidence.len()];
        (lengths == [RELIABILITY_BINS; 3]).then(|| {
            std::array::from_fn(|b| Bin {
                count: self.tokens[b],
                correct: self.correct[b],
                confidence: self.confidence[b],
            })
        })
    }
}

impl From<&[Bin; RELIABILITY_BINS]> for Reliability {
    fn from(bins: &[Bin; RELIABILITY_BINS]) -> Self {
        Self {
            tokens: bins.iter().map(|bin| bin.count).collect(),
            correct: bins.iter().map(|bin| bin.correct).collect(),
            confidence: bins.iter().map(|bin| bin.confidence).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ProbeRow;

    #[test]
    fn bins_come_back_from_their_record_and_rows_without_them_are_read() {
        let mut bins = [Bin::default(); RELIABILITY_BINS];
        bins[3] = Bin { count: 5, correct: 2, confidence: 1.75 };
        let row = ProbeRow { reliability: Some(Reliability::from(&bins)), ..ProbeRow::default() };
        let text = serde_json::to_string(&row).unwrap();
        let read: ProbeRow = serde_json::from_str(&text).unwrap();
        assert_eq!(read.reliability.unwrap().bins(), Some(bins));
        let before = serde_json::to_string(&ProbeRow::default()).unwrap();
        assert!(!before.contains("reliability"));
        assert_eq!(serde_json::from_str::<ProbeRow>(&before).unwrap().reliability, None);
        assert_eq!(Reliability { tokens: vec![1], ..Reliability::from(&bins) }.bins(), None);
    }
}
