//! Rates over pairs, with intervals.

use super::length_control::{fit, regressor, win_rate};
use super::{Judged, Outcome, Verdict};
use crate::seed;
use rand::Rng;
use serde::Serialize;

/// Resamples of the bootstrap.
pub const RESAMPLES: usize = 10_000;

/// A share with the 2.5 % and 97.5 % points of a bootstrap over pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Between 0 and 1.
    pub value: f64,
    /// The central 95 %; absent for a single pair.
    pub interval: Option<[f64; 2]>,
}

/// What the pairs say together. Shares are between 0 and 1, and absent where nothing was counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// Pairs that were compared.
    pub pairs: usize,
    /// Pairs that A won.
    pub wins: usize,
    /// Pairs that B won.
    pub losses: usize,
    /// Pairs in which neither is better.
    pub ties: usize,
    /// Pairs that the order of the answers decided.
    pub splits: usize,
    /// Pairs without a verdict in one order at least; they are in none of the rates.
    pub refused: usize,
    /// Mean score of A: 1 for a win, ½ for ties and splits.
    pub win_rate: Option<Rate>,
    /// The same at equal length: see [`super::length_control`].
    pub length_controlled_win_rate: Option<Rate>,
    /// Change of A's log-odds from equal length to an answer of A that is longer by far (β).
    pub length_slope: Option<f64>,
    /// Mean length of the answers of A and of B in words.
    pub mean_words: [f64; 2],
    /// Pairs with both verdicts in which A's answer has more words, and in which B's has.
    pub longer: [usize; 2],
    /// Share of pairs with both verdicts in which both orders gave the same.
    pub position_consistency: Option<f64>,
    /// Share of the candidate shown first among all verdicts for one candidate; ½ without a bias.
    pub first_position_share: Option<f64>,
}

impl Statistics {
    /// Counts `pairs`, whose answers of A and B have so many `words`. The seed is that of the bootstrap, which draws
    /// whole pairs, both orders together.
    ///
    /// # Panics
    /// Slices that differ in length.
    pub fn of(pairs: &[Judged], words: &[[usize; 2]], seed: u64) -> Self {
        assert_eq!(pairs.len(), words.len(), "two lengths for each pair");
        let count = |outcome| pairs.iter().filter(|p| p.outcome == outcome).count();
        let scored = pairs.iter().zip(words).filter_map(|(p, [a, b])| Some((p.outcome.score()?, [*a, *b])));
        let (scores, lengths): (Vec<f64>, Vec<[usize; 2]>) = scored.unzip();
        let differences: Vec<f64> = lengths.iter().map(|&[a, b]| a as f64 - b as f64).collect();
        let rates = rates(&scores, regressor(&differences).as_deref(), seed);
        let mean_words =
            [0, 1].map(|side| words.iter().map(|w| w[side] as f64).sum::<f64>() / pairs.len().max(1) as f64);
        Self {
            pairs: pairs.len(),
            wins: count(Outcome::Win),
            losses: count(Outcome::Loss),
            ties: count(Outcome::Tie),
            splits: count(Outcome::Split),
            refused: count(Outcome::Refused),
            win_rate: rates.map(|r| r.plain),
            length_controlled_win_rate: rates.and_then(|r| r.controlled).map(|(rate, _)| rate),
            length_slope: rates.and_then(|r| r.controlled).map(|(_, slope)| slope),
            mean_words,
            longer: [
                differences.iter().filter(|&&d| d > 0.0).count(),
                differences.iter().filter(|&&d| d < 0.0).count(),
            ],
            position_consistency: consistency(pairs),
            first_position_share: first_share(pairs),
        }
    }

    /// Pairs that the rates are over.
    pub fn judged(&self) -> usize {
        self.pairs - self.refused
    }
}

fn consistency(pairs: &[Judged]) -> Option<f64> {
    use Verdict::{First, Refused, Second, Tie};
    let both = || pairs.iter().filter_map(|p| p.verdicts).filter(|v| !v.contains(&Refused));
    let same = both().filter(|v| matches!(v, [First, Second] | [Second, First] | [Tie, Tie])).count();
    share(same, both().count())
}

fn first_share(pairs: &[Judged]) -> Option<f64> {
    let verdicts = || pairs.iter().filter_map(|p| p.verdicts).flatten();
    let first = verdicts().filter(|&v| v == Verdict::First).count();
    share(first, first + verdicts().filter(|&v| v == Verdict::Second).count())
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[derive(Clone, Copy)]
struct Rates {
    plain: Rate,
    /// And β.
    controlled: Option<(Rate, f64)>,
}

/// The plain and the length-controlled rate of scores. In resamples, lengths keep the scale of the whole.
fn rates(scores: &[f64], x: Option<&[f64]>, seed: u64) -> Option<Rates> {
    let n = scores.len();
    if n == 0 {
        return None;
    }
    let mean = |weights: &[f64]| scores.iter().zip(weights).map(|(s, w)| s * w).sum::<f64>() / n as f64;
    let once = vec![1.0; n];
    let whole = x.map(|x| fit(scores, x, &once, [0.0; 2]));
    let (mut plain, mut controlled) = (Vec::new(), Vec::new());
    let rng = &mut seed::rng(seed, "judge bootstrap");
    let mut weights = once.clone();
    for _ in 0..if n > 1 { RESAMPLES } else { 0 } {
        weights.fill(0.0);
        (0..n).for_each(|_| weights[rng.random_range(0..n)] += 1.0);
        plain.push(mean(&weights));
        if let (Some(x), Some(start)) = (x, whole) {
            controlled.push(win_rate(fit(scores, x, &weights, start)[0]));
        }
    }
    let rate = |value, resampled: &mut Vec<f64>| Rate { value, interval: interval(resampled) };
    Some(Rates {
        plain: rate(mean(&once), &mut plain),
        controlled: whole.map(|[alpha, beta]| (rate(win_rate(alpha), &mut controlled), beta)),
    })
}

/// The 2.5 % and 97.5 % points.
fn interval(values: &mut [f64]) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)? as f64;
    Some([0.025, 0.975].map(|q| values[(q * last).round() as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{First, Refused, Second, Tie};

    fn judged(verdicts: &[[Verdict; 2]]) -> Vec<Judged> {
        verdicts.iter().map(|&v| Judged::by_verdicts(v)).collect()
    }

    #[test]
    fn every_pair_is_counted_once_and_a_missing_verdict_is_in_no_rate() {
        let pairs = judged(&[[First, Second], [Second, First], [First, First], [Tie, Tie], [First, Refused]]);
        let s = Statistics::of(&pairs, &[[3, 1], [3, 1], [1, 3], [2, 2], [9, 1]], 0);
        assert_eq!((s.wins, s.losses, s.splits, s.ties, s.refused), (1, 1, 1, 1, 1));
        assert_eq!((s.pairs, s.judged(), s.longer), (5, 4, [2, 1]));
        assert_eq!(s.win_rate.unwrap().value, 0.5);
        assert_eq!(s.mean_words, [3.6, 1.6]);
        // Three of four pairs with both verdicts agree; of seven verdicts for one candidate five are for the first.
        assert_eq!(s.position_consistency, Some(0.75));
        assert_eq!(s.first_position_share, Some(5.0 / 7.0));
    }

    #[test]
    fn a_judge_that_names_the_first_always_is_worth_nothing_and_seen() {
        let s = Statistics::of(&judged(&[[First, First]; 30]), &[[5, 2]; 30], 0);
        assert_eq!(s.win_rate, Some(Rate { value: 0.5, interval: Some([0.5, 0.5]) }));
        assert_eq!((s.position_consistency, s.first_position_share), (Some(0.0), Some(1.0)));
        // All length differences are 3: nothing is known of equal lengths.
        assert_eq!((s.length_controlled_win_rate, s.length_slope), (None, None));
    }

    #[test]
    fn nothing_judged_gives_no_rate() {
        for pairs in [judged(&[]), judged(&[[Refused, Refused]])] {
            let s = Statistics::of(&pairs, &vec![[1, 1]; pairs.len()], 0);
            assert_eq!((s.win_rate, s.length_controlled_win_rate), (None, None));
            assert_eq!((s.position_consistency, s.first_position_share), (None, None));
        }
    }

    #[test]
    fn intervals_have_the_width_that_theory_gives() {
        // 120 wins in 200: the standard error is √(0.6·0.4/200) = 0.0346.
        let outcomes: Vec<[Verdict; 2]> =
            (0..200).map(|i| if i % 5 < 3 { [First, Second] } else { [Second, First] }).collect();
        let s = Statistics::of(&judged(&outcomes), &[[4, 4]; 200], 7);
        let Rate { value, interval: Some([low, high]) } = s.win_rate.unwrap() else { panic!() };
        assert_eq!(value, 0.6);
        assert!((low - (0.6 - 1.96 * 0.0346)).abs() < 0.01 && (high - (0.6 + 1.96 * 0.0346)).abs() < 0.01);
        // With equal lengths there is nothing to control.
        let controlled = s.length_controlled_win_rate.unwrap();
        assert!((controlled.value - value).abs() < 1e-4);
        assert!((controlled.interval.unwrap()[0] - low).abs() < 1e-4);
    }

    #[test]
    fn exchanging_the_models_mirrors_everything() {
        let verdicts = [[First, Second], [First, Second], [Second, First], [Tie, First], [First, First]];
        let words = [[9, 2], [3, 5], [1, 8], [4, 4], [7, 3]];
        let one = Statistics::of(&judged(&verdicts), &words, 3);
        let other = Statistics::of(&judged(&verdicts.map(|[a, b]| [b, a])), &words.map(|[a, b]| [b, a]), 3);
        assert_eq!((one.wins, one.losses), (other.losses, other.wins));
        assert_eq!(one.position_consistency, other.position_consistency);
        assert_eq!(one.first_position_share, other.first_position_share);
        for (one, other) in [
            (one.win_rate.unwrap(), other.win_rate.unwrap()),
            (one.length_controlled_win_rate.unwrap(), other.length_controlled_win_rate.unwrap()),
        ] {
            assert!((one.value + other.value - 1.0).abs() < 1e-8);
            let ([low, high], [other_low, other_high]) = (one.interval.unwrap(), other.interval.unwrap());
            assert!((low + other_high - 1.0).abs() < 1e-6 && (high + other_low - 1.0).abs() < 1e-6);
        }
    }
}
