//! Calibration: whether predictions made with confidence c are right in a share c of the cases.

use crate::Error;

/// One bin of a reliability diagram: sums over the predictions whose confidence falls into it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Bin {
    /// Predictions.
    pub count: usize,
    /// Predictions that were right.
    pub correct: usize,
    /// Σ confidence.
    pub confidence: f64,
}

impl Bin {
    /// Share of right predictions; `None` in an empty bin.
    pub fn accuracy(&self) -> Option<f64> {
        (self.count > 0).then(|| self.correct as f64 / self.count as f64)
    }

    /// Mean confidence; `None` in an empty bin.
    pub fn mean_confidence(&self) -> Option<f64> {
        (self.count > 0).then(|| self.confidence / self.count as f64)
    }

    /// Both bins as one.
    pub fn merged(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            correct: self.correct + other.correct,
            confidence: self.confidence + other.confidence,
        }
    }
}

/// Adds predictions, each a confidence and whether it was right, to `bins` of equal width.
///
/// # Definition
///
/// ```text
/// bin b of M holds the confidences in ((b − 1)/M, b/M], b = 1 … M        Guo et al. 2017, §2
/// ```
///
/// For greedy decoding the confidence is max_v π(v), the exponential of
/// [`TokenStats::argmax_logp`](super::TokenStats::argmax_logp), and right means that the argmax is the label.
///
/// # Special cases
///
/// What `bins` hold is kept, so that sums can be built up call by call; start from
/// [`Bin::default`]. A confidence of 0 belongs to the first bin.
///
/// # Accuracy
///
/// A confidence within one rounding of an edge may fall on either side of it.
///
/// # Errors
///
/// [`Error::Empty`] for no bins; [`Error::Range`] for a confidence outside [0, 1] or NaN, with the
/// predictions before it already added.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::{Bin, reliability_into};
/// let mut bins = [Bin::default(); 2];
/// reliability_into([(0.5, true), (0.75, false), (1.0, true)], &mut bins)?;
/// assert_eq!(bins[0], Bin { count: 1, correct: 1, confidence: 0.5 });
/// assert_eq!((bins[1].accuracy(), bins[1].mean_confidence()), (Some(0.5), Some(0.875)));
/// assert!(reliability_into([(1.5, true)], &mut bins).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn reliability_into(
    predictions: impl IntoIterator<Item = (f64, bool)>,
    bins: &mut [Bin],
) -> Result<(), Error> {
    let Some(last) = bins.len().checked_sub(1) else {
        return Err(Error::Empty { name: "bins" });
    };
    for (confidence, right) in predictions {
        if !(0.0..=1.0).contains(&confidence) {
            return Err(Error::Range { name: "confidence", found: confidence, expected: "0 to 1" });
        }
        let place = confidence * bins.len() as f64;
        let whole = place as usize;
        // An upper edge belongs to the bin below it.
        let bin = if whole as f64 == place { whole.saturating_sub(1) } else { whole.min(last) };
        bins[bin] = bins[bin].merged(Bin { count: 1, correct: usize::from(right), confidence });
    }
    Ok(())
}

/// Expected calibration error of the predictions in `bins`: 0 is calibrated, 1 is always wrong at full
/// confidence.
///
/// # Definition
///
/// ```text
/// ECE = Σ_b n_b/n · |accuracy_b − mean confidence_b|        Guo et al. 2017, eq. 3
/// ```
///
/// # Special cases
///
/// Empty bins count for nothing. One bin leaves |accuracy − mean confidence|.
///
/// # Accuracy
///
/// As an estimate it is biased: a calibrated model has an ECE of about Σ_b √(n_b)/n, which is
/// above 0, and deviations of both signs within a bin cancel. Compare equal n and equal bins only.
///
/// # Errors
///
/// [`Error::Empty`] if the bins hold no prediction.
///
/// # Examples
///
/// ```
/// use ldyn_core::diagnostics::{Bin, expected_calibration_error, reliability_into};
/// let mut bins = [Bin::default(); 10];
/// assert!(expected_calibration_error(&bins).is_err());
/// reliability_into([(0.75, true), (0.75, false), (0.25, false), (0.25, false)], &mut bins)?;
/// assert_eq!(expected_calibration_error(&bins)?, 0.25); // 0.5 against 0.75, 0 against 0.25
/// # Ok::<(), ldyn_core::Error>(())
/// ```
pub fn expected_calibration_error(bins: &[Bin]) -> Result<f64, Error> {
    let n: usize = bins.iter().map(|bin| bin.count).sum();
    if n == 0 {
        return Err(Error::Empty { name: "bins" });
    }
    // n_b cancels: n_b·|correct/n_b − Σ confidence/n_b|.
    let off: f64 = bins.iter().map(|bin| gap(bin.correct as f64, bin.confidence)).sum();
    Ok(off / n as f64)
}

fn gap(a: f64, b: f64) -> f64 {
    if a > b { a - b } else { b - a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_belong_to_the_bin_below_and_the_ends_to_the_outer_bins() {
        for (confidence, bin) in [(0.0, 0), (0.25, 0), (0.26, 1), (0.5, 1), (0.51, 2), (0.75, 2), (1.0, 3)] {
            let mut bins = [Bin::default(); 4];
            reliability_into([(confidence, true)], &mut bins).unwrap();
            assert_eq!(bins[bin], Bin { count: 1, correct: 1, confidence }, "{confidence}");
            assert_eq!(bins.iter().map(|b| b.count).sum::<usize>(), 1);
        }
    }

    #[test]
    fn the_error_is_that_of_a_table_made_by_hand() {
        // (0.5, 1]: 0.9, 0.9, 0.6, 0.6 with 2 right: |0.5 − 0.75|. (0, 0.5]: 0.4 with 1 right: |1 − 0.4|.
        let predictions = [(0.9, true), (0.9, false), (0.6, true), (0.6, false), (0.4, true)];
        let mut bins = [Bin::default(); 2];
        reliability_into(predictions, &mut bins).unwrap();
        let error = expected_calibration_error(&bins).unwrap();
        assert!((error - (4.0 * 0.25 + 0.6) / 5.0).abs() < 1e-15, "{error}");
        // In one bin the two deviations cancel in part: |3/5 − 3.4/5|.
        let mut one = [Bin::default(); 1];
        reliability_into(predictions, &mut one).unwrap();
        assert!((expected_calibration_error(&one).unwrap() - 0.08).abs() < 1e-15);
    }

    #[test]
    fn a_calibrated_predictor_has_no_error_and_a_sure_and_wrong_one_has_1() {
        let mut bins = [Bin::default(); 5];
        let calibrated = (0..5).flat_map(|b| (0..10).map(move |i| (0.1 + 0.2 * b as f64, i < 1 + 2 * b)));
        reliability_into(calibrated, &mut bins).unwrap();
        assert!(expected_calibration_error(&bins).unwrap() < 1e-15);
        let mut bins = [Bin::default(); 5];
        reliability_into([(1.0, false); 3], &mut bins).unwrap();
        assert_eq!(expected_calibration_error(&bins), Ok(1.0));
    }

    #[test]
    fn sums_do_not_depend_on_how_they_were_built_up() {
        let prediction = |i: usize| ((i * 7 % 32) as f64 / 32.0, i.is_multiple_of(3));
        let [mut whole, mut first, mut second] = [[Bin::default(); 8]; 3];
        reliability_into((0..64).map(prediction), &mut whole).unwrap();
        reliability_into((0..20).map(prediction), &mut first).unwrap();
        reliability_into((20..64).map(prediction), &mut second).unwrap();
        // All sums of 32nds are exact.
        for (b, bin) in whole.iter().enumerate() {
            assert_eq!(*bin, first[b].merged(second[b]));
        }
    }

    #[test]
    fn what_is_no_confidence_is_refused() {
        let mut bins = [Bin::default(); 3];
        for confidence in [-0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                reliability_into([(confidence, true)], &mut bins),
                Err(Error::Range { name: "confidence", .. })
            ));
        }
        assert_eq!(bins, [Bin::default(); 3]);
        assert_eq!(reliability_into([(0.5, true)], &mut []), Err(Error::Empty { name: "bins" }));
        assert_eq!((Bin::default().accuracy(), Bin::default().mean_confidence()), (None, None));
    }
}
