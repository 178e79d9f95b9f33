//! Differences taken prompt by prompt: of one curve between two moments, or
//! of two curves.

use super::observations::{Series, StageRows, minus};
use super::quantity::Quantity;
use super::text::{signed, with_error};
use crate::statistics::{Estimate, MIN_PROMPTS, estimate, estimate_of_enough};

/// A moment of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// First probe point.
    Start,
    /// Probe point with the highest mean.
    Peak,
    /// Last probe point.
    End,
}

/// A difference with a value for each prompt.
#[derive(Clone, Copy, Debug)]
pub enum Difference<'a> {
    /// The quantity at the second moment minus the first.
    Change(Quantity<'a>, At, At),
    /// Change of the first quantity from start to end minus that of the second.
    Changes(Quantity<'a>, Quantity<'a>),
    /// The first quantity minus the second at one moment.
    Levels(Quantity<'a>, Quantity<'a>, At),
}

impl Difference<'_> {
    /// Mean over prompts with its standard error.
    ///
    /// # Errors
    /// Why it cannot be measured: a kind, points or prompts are missing.
    pub fn measure(self, stage: &StageRows) -> Result<Estimate, String> {
        let values = match self {
            Self::Change(q, from, to) => change(&series(stage, q)?, from, to)?,
            Self::Changes(a, b) | Self::Levels(a, b, _) => {
                let (a, b) = self.sides(stage, a, b)?;
                minus(&a, &b)
            }
        };
        enough(&values)
    }

    /// The same difference of the quantities per token, where they are per response.
    pub fn per_token(self) -> Option<Self> {
        Some(match self {
            Self::Change(q, from, to) => Self::Change(q.per_token()?, from, to),
            Self::Changes(a, b) => Self::Changes(a.per_token()?, b.per_token()?),
            Self::Levels(a, b, at) => Self::Levels(a.per_token()?, b.per_token()?, at),
        })
    }

    /// The first quantity in it, which gives unit and decimals.
    pub fn quantity(&self) -> Quantity<'_> {
        match *self {
            Self::Change(q, ..) | Self::Changes(q, _) | Self::Levels(q, ..) => q,
        }
    }

    /// The estimate in words, with both sides of a comparison and the value per token.
    pub fn describe(self, stage: &StageRows, e: &Estimate, per_token: Option<&Estimate>) -> String {
        let measure = self.quantity().measure();
        let mut text = with_error(e, measure.decimals());
        if !measure.unit().is_empty() {
            text = format!("{text} {}", measure.unit());
        }
        if let Self::Changes(a, b) | Self::Levels(a, b, _) = self
            && let Ok((a, b)) = self.sides(stage, a, b)
            && let (Some(a), Some(b)) = (estimate(&a), estimate(&b))
        {
            let [a, b] = [a, b].map(|e| signed(e.mean, measure.decimals()));
            text += &format!(" ({a} against {b})");
        }
        if let Some(t) = per_token {
            let sign = if t.mean * e.mean < 0.0 { ", the other sign" } else { "" };
            text += &format!(", per token {}{sign}", with_error(t, 3));
        }
        text
    }

    fn sides(self, stage: &StageRows, a: Quantity, b: Quantity) -> Result<(Vec<f64>, Vec<f64>), String> {
        let (x, y) = series(stage, a)?
            .paired(&series(stage, b)?)
            .ok_or_else(|| format!("no prompt has both {} and {}", a.name(), b.name()))?;
        Ok(match self {
            Self::Levels(.., at) => (level(&x, at)?, level(&y, at)?),
            _ => (change(&x, At::Start, At::End)?, change(&y, At::Start, At::End)?),
        })
    }
}

/// A quantity's series.
///
/// # Errors
/// The kind that was not probed.
pub fn series(stage: &StageRows, quantity: Quantity) -> Result<Series, String> {
    stage.series(quantity).ok_or_else(|| match quantity.kind() {
        Some(kind) => format!("kind {kind} was not probed"),
        None => "no prompt has both chosen and rejected".into(),
    })
}

/// Refuses a series with fewer probe points than a statement needs.
///
/// # Errors
/// How many there are.
pub fn need_points(series: &Series, least: usize, what: &str) -> Result<(), String> {
    match series.points.len() {
        points if points >= least => Ok(()),
        1 => Err(format!("there is one probe point; {what} needs {least}")),
        points => Err(format!("there are {points} probe points; {what} needs {least}")),
    }
}

/// Mean and standard error of enough prompts.
///
/// # Errors
/// How few there are.
pub fn enough(values: &[f64]) -> Result<Estimate, String> {
    estimate_of_enough(values)
        .ok_or_else(|| format!("there are {} prompts; at least {MIN_PROMPTS} are needed", values.len()))
}

/// Value at `to` minus value at `from`, for each prompt.
///
/// # Errors
/// Too few probe points.
pub fn change(series: &Series, from: At, to: At) -> Result<Vec<f64>, String> {
    need_points(series, 2, "a change")?;
    Ok(minus(&level(series, to)?, &level(series, from)?))
}

fn level(series: &Series, at: At) -> Result<Vec<f64>, String> {
    match at {
        At::Start => Ok(series.values.first().cloned().unwrap_or_default()),
        At::End => Ok(series.values.last().cloned().unwrap_or_default()),
        At::Peak => {
            need_points(series, 3, "a peak")?;
            // Each half of the prompts is read at the peak of the other half.
            let peaks = [peak_of_half(series, 1), peak_of_half(series, 0)];
            Ok((0..series.examples.len()).map(|i| series.values[peaks[i % 2]][i]).collect())
        }
    }
}

/// Point with the highest mean over every second prompt; the first of equals.
fn peak_of_half(series: &Series, half: usize) -> usize {
    let sums = series.values.iter().map(|at| at.iter().skip(half).step_by(2).sum::<f64>());
    let (peak, _) = sums
        .enumerate()
        .fold((0, f64::NEG_INFINITY), |best, (i, sum)| if sum > best.1 { (i, sum) } else { best });
    peak
}
