//! Early stopping: the weights of a stage's best probe.

use super::Intervention;
use crate::config::EarlyStopping;
use crate::model::Model;
use crate::probe::{self, When};
use crate::record::{Peak, ProbeRow};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The probe of a stage with the highest mean log π of one kind so far, and the weights that it found.
pub struct Best<'a> {
    settings: &'a EarlyStopping,
    found: Option<(Standing, Model)>,
}

/// The peak so far, and for how long it has been one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The peak.
    pub peak: Peak,
    /// Probes since then.
    pub probes_since: usize,
}

impl<'a> Best<'a> {
    /// Before the first probe.
    pub fn new(settings: &'a EarlyStopping) -> Self {
        Self { settings, found: None }
    }

    /// Goes on from a peak and the weights there.
    pub fn after(settings: &'a EarlyStopping, standing: Standing, weights: Model) -> Self {
        Self { settings, found: Some((standing, weights)) }
    }

    /// The peak so far with its weights; `None` before the first probe.
    pub fn found(&self) -> Option<(&Standing, &Model)> {
        self.found.as_ref().map(|(standing, weights)| (standing, weights))
    }

    /// Takes in a probe of `model`: its rows, of which those of the stage's kind count. Asks for an end when the
    /// peak has lasted for as many probes as the stage has patience.
    ///
    /// # Errors
    /// No row of the kind; failures of the device.
    pub fn probe(&mut self, model: &Model, when: &When, rows: &[ProbeRow]) -> Result<Vec<Intervention>> {
        let EarlyStopping { kind, patience } = self.settings;
        let mean = probe::mean_logp(rows, kind).with_context(|| {
            format!(
                "early_stopping: no probed response is of the kind `{kind}` in stage `{}`: name one that is",
                when.stage
            )
        })?;
        let (step, examples_seen) = (when.step, when.examples_seen);
        let peak = Peak { kind: kind.clone(), step, examples_seen, mean };
        match &mut self.found {
            None => self.found = Some((Standing { peak, probes_since: 0 }, model.copy()?)),
            Some((standing, weights)) if mean > standing.peak.mean => {
                weights.set_weights(model)?;
                *standing = Standing { peak, probes_since: 0 };
            }
            Some((standing, _)) => standing.probes_since += 1,
        }
        let since = self.found.as_ref().map_or(0, |(standing, _)| standing.probes_since);
        let over = patience.is_some_and(|patience| since >= patience);
        Ok(if over { vec![Intervention::Finish] } else { Vec::new() })
    }

    /// Gives `model` the weights at the peak, and says where it was; `None` before the first probe.
    ///
    /// # Errors
    /// Failures of the device.
    pub fn restore(self, model: &Model) -> Result<Option<Peak>> {
        let Some((standing, weights)) = self.found else { return Ok(None) };
        model.set_weights(&weights)?;
        Ok(Some(standing.peak))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::small_models;

    fn row(kind: &str, example: usize, logp: f64) -> ProbeRow {
        ProbeRow { kind: kind.into(), example, logp, ..ProbeRow::default() }
    }

    /// Probes of these means, each of weights of its own; the probe that ended the stage, and the peak.
    fn stage(patience: Option<usize>, means: &[f64]) -> (Option<usize>, Peak) {
        let settings = EarlyStopping { patience, ..EarlyStopping::default() };
        let (_, model) = small_models(1).unwrap().swap_remove(0);
        let mark = model.parameters().next().unwrap().1.clone();
        let marked = |i: usize| mark.as_tensor().zeros_like().unwrap().affine(0.0, i as f64).unwrap();
        let (mut best, mut ended) = (Best::new(&settings), None);
        for (i, mean) in means.iter().enumerate() {
            mark.set(&marked(i)).unwrap();
            let when = When { stage: "s".into(), step: 10 * i, examples_seen: 20 * i };
            let rows = [row("chosen", 0, mean - 3.0), row("chosen", 1, mean + 3.0), row("rejected", 0, 0.0)];
            let asked = best.probe(&model, &when, &rows).unwrap();
            if asked == [Intervention::Finish] {
                ended = Some(i);
                break;
            }
            assert!(asked.is_empty());
        }
        let peak = best.restore(&model).unwrap().unwrap();
        let restored = mark.flatten_all().unwrap().get(0).unwrap();
        let restored = restored.to_dtype(candle_core::DType::F64).unwrap().to_scalar::<f64>().unwrap();
        assert_eq!(restored, peak.step as f64 / 10.0, "the weights are those of the peak");
        (ended, peak)
    }

    #[test]
    fn the_weights_of_the_highest_mean_are_given_back() {
        let means = [-30.0, -25.0, -20.0, -26.0, -28.0, -20.0, -21.0];
        let (ended, peak) = stage(None, &means);
        let expected = Peak { kind: "chosen".into(), step: 20, examples_seen: 40, mean: -20.0 };
        assert_eq!((ended, peak), (None, expected), "the first of equal peaks");
        assert_eq!(stage(None, &[-3.0, -4.0, -5.0]).1.step, 0, "where every step makes it worse");
        assert_eq!(stage(None, &[-5.0, -4.0, -3.0]).1.step, 20);
    }

    #[test]
    fn patience_counts_probes_without_a_new_peak() {
        let means = [-30.0, -31.0, -25.0, -26.0, -27.0, -20.0];
        assert_eq!(stage(Some(1), &means), (Some(1), stage(None, &means[..1]).1));
        assert_eq!(stage(Some(2), &means), (Some(4), stage(None, &means[..3]).1));
        assert_eq!(stage(Some(3), &means), (None, stage(None, &means).1), "a new peak starts the count anew");
    }

    #[test]
    fn a_kind_that_is_not_probed_is_named() {
        let settings = EarlyStopping { kind: "gpt".into(), patience: None };
        let (_, model) = small_models(1).unwrap().swap_remove(0);
        let when = When { stage: "dpo".into(), step: 0, examples_seen: 0 };
        let error = Best::new(&settings).probe(&model, &when, &[row("chosen", 0, -1.0)]).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("`gpt`") && error.contains("`dpo`"), "{error}");
    }
}
