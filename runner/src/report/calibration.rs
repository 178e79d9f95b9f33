//! Calibration of the greedy choice in the contexts of y⁺: whether tokens of confidence c are right in a share c.

use super::observations::{Observations, StageRows};
use super::text::{count, number, signed};
use crate::record::{ProbeRow, RELIABILITY_BINS};
use crate::statistics::{Estimate, jackknife};
use ldyn_core::diagnostics::{Bin, expected_calibration_error};
use serde::Serialize;

/// The kind along whose tokens calibration is recorded.
pub const CALIBRATED: &str = "chosen";

/// The calibration of one stage, over the same prompts at each probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Stage name.
    pub stage: String,
    /// Prompts.
    pub n: usize,
    /// Probe points in order; never empty.
    pub points: Vec<CalibrationPoint>,
    /// Change of the greedy accuracy from the first probe to the last; absent for a single probe.
    pub accuracy_change: Option<Estimate>,
    /// Change of the expected calibration error; absent for a single probe.
    pub ece_change: Option<Estimate>,
}

/// The tokens of y⁺ of all prompts at one probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibrationPoint {
    /// Training examples consumed in the stage.
    pub examples_seen: usize,
    /// Tokens.
    pub tokens: usize,
    /// Share of tokens whose argmax is the label.
    pub accuracy: f64,
    /// Mean of max_v π(v).
    pub confidence: f64,
    /// Expected calibration error with ten bins of equal width.
    pub ece: f64,
    /// The bins that hold tokens, from unsure to sure.
    pub bins: Vec<ReliabilityBin>,
}

/// A point of the reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Tokens.
    pub tokens: usize,
    /// Mean of max_v π(v).
    pub confidence: f64,
    /// Share of tokens whose argmax is the label.
    pub accuracy: f64,
}

type Bins = [Bin; RELIABILITY_BINS];

/// The calibration of every stage whose records tell it.
pub fn calibrations(observations: &Observations) -> Vec<Calibration> {
    observations.stages.iter().filter_map(of_stage).collect()
}

fn of_stage(stage: &StageRows) -> Option<Calibration> {
    // Older records have no bins; a point counts where all of its prompts have them.
    let probes: Vec<(usize, Vec<Bins>)> = stage
        .rows(CALIBRATED)?
        .filter_map(|(point, rows)| Some((point.examples_seen, bins_of(rows)?)))
        .collect();
    let ((_, first), (_, last)) = (probes.first()?, probes.last()?);
    let change = |of: fn(&Bins) -> f64| {
        let of = |out| of(&pooled(last, out)) - of(&pooled(first, out));
        (probes.len() > 1).then(|| jackknife(first.len(), of)).flatten()
    };
    Some(Calibration {
        stage: stage.info.name.clone(),
        n: first.len(),
        accuracy_change: change(accuracy),
        ece_change: change(ece),
        points: probes
            .iter()
            .map(|(examples_seen, bins)| point(*examples_seen, &pooled(bins, None)))
            .collect(),
    })
}

fn bins_of(rows: &[&ProbeRow]) -> Option<Vec<Bins>> {
    rows.iter().map(|row| row.reliability.as_ref()?.bins()).collect()
}

/// The bins of all prompts together, or of all but one.
fn pooled(prompts: &[Bins], but: Option<usize>) -> Bins {
    let kept = prompts.iter().enumerate().filter(|(i, _)| Some(*i) != but);
    kept.fold([Bin::default(); RELIABILITY_BINS], |sum, (_, bins)| {
        std::array::from_fn(|b| sum[b].merged(bins[b]))
    })
}

fn whole(bins: &Bins) -> Bin {
    bins.iter().fold(Bin::default(), |sum, bin| sum.merged(*bin))
}

fn accuracy(bins: &Bins) -> f64 {
    whole(bins).accuracy().unwrap_or(0.0)
}

fn ece(bins: &Bins) -> f64 {
    expected_calibration_error(bins).unwrap_or(0.0)
}

fn point(examples_seen: usize, bins: &Bins) -> CalibrationPoint {
    let seen = |bin: &Bin| {
        let (confidence, accuracy) = (bin.mean_confidence()?, bin.accuracy()?);
        Some(ReliabilityBin { tokens: bin.count, confidence, accuracy })
    };
    CalibrationPoint {
        examples_seen,
        tokens: whole(bins).count,
        accuracy: accuracy(bins),
        confidence: whole(bins).mean_confidence().unwrap_or(0.0),
        ece: ece(bins),
        bins: bins.iter().filter_map(seen).collect(),
    }
}

impl Calibration {
    /// First point.
    pub fn start(&self) -> &CalibrationPoint {
        &self.points[0]
    }

    /// Last point.
    pub fn end(&self) -> &CalibrationPoint {
        &self.points[self.points.len() - 1]
    }

    /// From the first probe to the last, in words.
    pub fn words(&self) -> String {
        let (start, end) = (self.start(), self.end());
        let went = |from: f64, to: f64, change: &Option<Estimate>| match change {
            Some(e) => {
                let se = e.se.map_or(String::new(), |se| format!(" ± {}", number(se, 3)));
                format!("{} → {} ({}{se})", number(from, 3), number(to, 3), signed(e.mean, 3))
            }
            None => number(to, 3),
        };
        let over = end.confidence - end.accuracy;
        format!(
            "over the {} tokens of y⁺ of {} prompts, greedy accuracy {}, mean confidence {} → {}, ECE {}; at the end \
             confidence lies {} accuracy by {}.",
            count(end.tokens),
            count(self.n),
            went(start.accuracy, end.accuracy, &self.accuracy_change),
            number(start.confidence, 3),
            number(end.confidence, 3),
            went(start.ece, end.ece, &self.ece_change),
            if over < 0.0 { "below" } else { "above" },
            number(over.abs(), 3),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::super::summarise;
    use super::*;
    use crate::record::Reliability;

    #[test]
    fn a_stage_is_calibrated_over_the_tokens_of_all_prompts_together() {
        let found = summarise(&Fixture::new().run()).calibrations;
        let sft = &found[0];
        assert_eq!((found.len(), sft.stage.as_str(), sft.n, sft.points.len()), (2, "sft", 24, 11));
        // 960 tokens at 0.95, of which 480 are right, and 252 at 0.45, of which 96 are.
        let start = sft.start();
        assert_eq!((start.tokens, start.bins.len()), (1212, 2));
        assert!((start.accuracy - 576.0 / 1212.0).abs() < 1e-12);
        assert!((start.confidence - (912.0 + 113.4) / 1212.0).abs() < 1e-12);
        assert!((start.ece - (432.0 + 17.4) / 1212.0).abs() < 1e-12);
        assert!((start.bins[1].confidence - 0.95).abs() < 1e-12 && start.bins[1].accuracy == 0.5);
        // 240 more are right at the end.
        assert!((sft.end().ece - (192.0 + 17.4) / 1212.0).abs() < 1e-12);
        let change = sft.ece_change.unwrap();
        assert!((change.mean + 240.0 / 1212.0).abs() < 1e-12 && change.n == 24);
        // All prompts gain 10 tokens; what varies is the number they are a share of, 48 to 53.
        assert!((1e-5..0.01).contains(&change.se.unwrap()), "{change:?}");
        assert!((sft.accuracy_change.unwrap().mean - 240.0 / 1212.0).abs() < 1e-12);
        let words = sft.words();
        assert!(words.contains("greedy accuracy 0.475 → 0.673 (+0.198 ± 0.001)"), "{words}");
        assert!(words.contains("ECE 0.371 → 0.173 (−0.198"), "{words}");
        assert!(words.contains("confidence lies above accuracy by 0.173"), "{words}");
    }

    #[test]
    fn a_point_without_bins_is_left_out_and_records_without_any_tell_nothing() {
        let mut run = Fixture::new().run();
        let first = run.probes.iter().position(|row| row.kind == CALIBRATED).unwrap();
        run.probes[first].reliability = None;
        let [sft, _] = &summarise(&run).calibrations[..] else { panic!("two stages") };
        assert_eq!((sft.n, sft.points.len(), sft.start().examples_seen), (24, 10, 40));
        run.probes[first].reliability = Some(Reliability::default());
        assert_eq!(summarise(&run).calibrations[0].points.len(), 10);
        run.probes.iter_mut().for_each(|row| row.reliability = None);
        assert_eq!(summarise(&run).calibrations, []);
    }

    #[test]
    fn a_single_probe_has_no_change() {
        let mut fixture = Fixture::new();
        fixture.points = 1;
        let found = summarise(&fixture.run()).calibrations;
        assert_eq!((found[0].ece_change, found[0].accuracy_change), (None, None));
        assert!(found[0].words().contains("ECE 0.371;"), "{}", found[0].words());
    }
}
