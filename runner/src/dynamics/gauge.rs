//! Predicted against measured while a model trains. Every few steps the change of
//! the weights since the last look is a direction Δθ: one Jacobian–vector product
//! at the old weights predicts Δ log π of every probed response, and scoring them at
//! the new weights measures it. Added up over the run the predictions are the
//! accumulated influence, and show where first order stops being enough.
//!
//! Both are computed with whole products, whatever the run's precision: a weight's change moves log π of rounded products
//! not at all, or by a whole unit of bf16. Of a window's few hundredths of a nat that rounding leaves nothing to
//! compare with a prediction (see the question on bf16 in [`crate::book::faq`]).

use super::predict::{self, PerToken};
use crate::data::TokenizedRecord;
use crate::model::Model;
use crate::probe::When;
use crate::record::GaugeRow;
use crate::score::{Item, NotFinite};
use crate::train::displacement;
use crate::value::Precision;
use anyhow::Result;

/// Where the model was at the last look, and what it said.
pub struct Gauge<'a> {
    every: usize,
    records: &'a [TokenizedRecord],
    start: Model,
    start_step: usize,
    logps: PerToken<f64>,
}

impl<'a> Gauge<'a> {
    /// Looks at `model` for the first time; from then on every `every` steps.
    ///
    /// # Errors
    /// Failures of the model.
    pub fn new(model: &Model, records: &'a [TokenizedRecord], every: usize) -> Result<Self> {
        Self::since(0, model.copy()?, records, every)
    }

    /// The gauge after a look at the model `start` at step `start_step`.
    ///
    /// # Errors
    /// Failures of the model.
    pub fn since(
        start_step: usize,
        start: Model,
        records: &'a [TokenizedRecord],
        every: usize,
    ) -> Result<Self> {
        let start = start.in_precision(Precision::Full);
        let mut gauge = Self { every, records, start, start_step, logps: Vec::new() };
        gauge.logps = gauge.logps_of(&gauge.start)?;
        Ok(gauge)
    }

    /// The step of the last look, and the model as it was then.
    pub fn last_look(&self) -> (usize, &Model) {
        (self.start_step, &self.start)
    }

    /// Rows for the window that ends with step `when.step`; none where no window ends. The last of
    /// `steps` ends one in any case.
    ///
    /// # Errors
    /// Failures of the model.
    pub fn after_step(&mut self, model: &Model, when: &When, steps: usize) -> Result<Vec<GaugeRow>> {
        if when.step - self.start_step < self.every && when.step < steps {
            return Ok(Vec::new());
        }
        let items: Vec<Item> = self.records.iter().map(Item::from).collect();
        let predicted = predict::predicted(&self.start, &[&displacement(&self.start, model)?], &items)?;
        let logps = self.logps_of(&model.in_precision(Precision::Full))?;
        let mut rows = Vec::new();
        for (i, record) in self.records.iter().enumerate() {
            for (j, (kind, _)) in record.responses.iter().enumerate() {
                let sum = |values: &PerToken<f64>| values[i][j].iter().sum::<f64>();
                let measured = sum(&logps) - sum(&self.logps);
                if !measured.is_finite() {
                    return Err(NotFinite(format!(
                        "example {}, kind `{kind}`: log π is {} after step {}",
                        record.example,
                        sum(&logps),
                        when.step
                    ))
                    .into());
                }
                rows.push(GaugeRow {
                    stage: when.stage.clone(),
                    from_step: self.start_step,
                    step: when.step,
                    examples_seen: when.examples_seen,
                    example: record.example,
                    kind: kind.clone(),
                    predicted: predicted[i][j].iter().map(|along| along[0]).sum(),
                    measured,
                });
            }
        }
        self.start.set_weights(model)?;
        (self.start_step, self.logps) = (when.step, logps);
        Ok(rows)
    }

    fn logps_of(&self, model: &Model) -> Result<PerToken<f64>> {
        let items: Vec<Item> = self.records.iter().map(Item::from).collect();
        let stats = predict::measured(model, &items)?;
        let logps = |tokens: Vec<ldyn_core::diagnostics::TokenStats<f64>>| {
            tokens.into_iter().map(|t| t.logp).collect()
        };
        Ok(stats.into_iter().map(|item| item.into_iter().map(logps).collect()).collect())
    }
}
