//! Claims about curves. Each says itself in words and is checked by the same
//! definition; findings are lists of them.

use super::difference::{At, Difference, change, enough, need_points, series};
use super::observations::{StageRows, minus};
use super::quantity::Quantity;
use super::text::{number, signed, with_error};
use crate::statistics::{Estimate, MIN_PROMPTS, correlation};
use serde::Serialize;

/// Standard errors that a mean difference must be away from 0.
pub const SIGNIFICANT: f64 = 2.0;
/// Deepest dip of a curve that rises throughout, as a share of its total rise.
pub const DIP: f64 = 0.1;
/// Highest rise of a curve that only falls, as a share of its total fall.
pub const BUMP: f64 = 0.2;
/// Least correlation with time of a curve that grows almost linearly.
pub const LINEAR: f64 = 0.9;

/// How the rules are to be read, for reports.
pub fn conventions() -> String {
    format!(
        "Rises, falls, exceeds and lies above are decided on differences taken prompt by prompt: the mean must be \
         more than {SIGNIFICANT} standard errors away from 0 on the stated side, over at least {MIN_PROMPTS} \
         prompts. ± is one standard error over prompts. The peak of a curve is chosen on one half of the prompts \
         and measured on the other, so that choosing it does not flatter it. A finding is seen when all its \
         checks hold; what the records cannot tell is not measured. Verdicts rest on sums per response, as in \
         the paper; values per token are given beside them and decide nothing."
    )
}

/// Where a mean difference must lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Significantly above 0.
    Above,
    /// Significantly below 0.
    Below,
    /// Anywhere but significantly above 0.
    NotAbove,
}

/// A checkable statement about one stage.
#[derive(Clone, Copy, Debug)]
pub enum Claim<'a> {
    /// The quantity moves to a side between two moments.
    Moves(Quantity<'a>, At, At, Side),
    /// From start to end, the first quantity gains more, or loses less, than the second.
    Exceeds(Quantity<'a>, Quantity<'a>),
    /// The first quantity lies above the second at a moment.
    Higher(Quantity<'a>, Quantity<'a>, At),
    /// No dip deeper than [`DIP`] of the total rise.
    NoDip(Quantity<'a>),
    /// No rise above the start higher than [`BUMP`] of the total fall.
    NoBump(Quantity<'a>),
    /// The mean correlates with examples seen, at least [`LINEAR`].
    Linear(Quantity<'a>),
    /// It gains more per optimiser step than in the SFT stage before.
    FasterThanSft(Quantity<'a>),
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The claim in words.
    pub claim: String,
    /// Whether it holds.
    pub holds: bool,
    /// The numbers behind it, in words.
    pub measured: String,
    /// The mean difference that decided, where one did.
    pub estimate: Option<Estimate>,
    /// The same difference per token, where the deciding one is per response.
    pub per_token: Option<Estimate>,
}

/// Where claims are checked.
#[derive(Clone, Copy, Debug)]
pub struct Stages<'a> {
    /// The stage in question.
    pub stage: &'a StageRows<'a>,
    /// The last SFT stage before it.
    pub sft: Option<&'a StageRows<'a>>,
}

impl Check {
    /// Standard errors between the deciding difference and 0; infinite where none decided.
    pub fn clearance(&self) -> f64 {
        self.estimate.map_or(f64::INFINITY, |e| e.mean.abs() / e.se.unwrap_or(0.0))
    }
}

impl Claim<'_> {
    /// The claim in words.
    pub fn words(&self) -> String {
        match *self {
            Self::Moves(q, from, to, side) => {
                let verb = match side {
                    Side::Above => "rises",
                    Side::Below => "falls",
                    Side::NotAbove => "does not rise",
                };
                format!("{} {verb} from {} to {}", q.name(), moment(from), moment(to))
            }
            Self::Exceeds(a, b) => {
                format!("the change of {} from start to end exceeds that of {}", a.name(), b.name())
            }
            Self::Higher(a, b, at) => format!("{} lies above {} at the {}", a.name(), b.name(), moment(at)),
            Self::NoDip(q) => {
                format!("no dip of {} is deeper than {} % of its total rise", q.name(), 100.0 * DIP)
            }
            Self::NoBump(q) => format!(
                "{} never stands above its start by more than {} % of its total fall",
                q.name(),
                100.0 * BUMP
            ),
            Self::Linear(q) => format!("{} grows with the examples seen, r ≥ {LINEAR}", q.name()),
            Self::FasterThanSft(q) => {
                format!("{} gains more per optimiser step than in the SFT stage before", q.name())
            }
        }
    }

    /// Checks the claim.
    ///
    /// # Errors
    /// Why it cannot be measured: a kind, a stage, points or prompts are missing.
    pub fn check(&self, at: Stages) -> Result<Check, String> {
        let compare = |difference: Difference, side| -> Result<Check, String> {
            let e = difference.measure(at.stage)?;
            let per_token = difference.per_token().and_then(|d| d.measure(at.stage).ok());
            let measured = difference.describe(at.stage, &e, per_token.as_ref());
            Ok(Check { claim: self.words(), holds: lies(&e, side), measured, estimate: Some(e), per_token })
        };
        let (holds, measured, estimate) = match *self {
            Self::Moves(q, from, to, side) => return compare(Difference::Change(q, from, to), side),
            Self::Exceeds(a, b) => return compare(Difference::Changes(a, b), Side::Above),
            Self::Higher(a, b, moment) => return compare(Difference::Levels(a, b, moment), Side::Above),
            Self::NoDip(q) => no_dip(at.stage, q)?,
            Self::NoBump(q) => no_bump(at.stage, q)?,
            Self::Linear(q) => linear(at.stage, q)?,
            Self::FasterThanSft(q) => faster(at, q)?,
        };
        Ok(Check { claim: self.words(), holds, measured, estimate, per_token: None })
    }
}

/// Whether it holds, the numbers in words, the deciding mean difference.
type Decided = (bool, String, Option<Estimate>);

fn moment(at: At) -> &'static str {
    match at {
        At::Start => "start",
        At::Peak => "peak",
        At::End => "end",
    }
}

fn lies(e: &Estimate, side: Side) -> bool {
    let threshold = SIGNIFICANT * e.se.unwrap_or(f64::INFINITY);
    match side {
        Side::Above => e.mean > threshold,
        Side::Below => e.mean < -threshold,
        Side::NotAbove => e.mean <= threshold,
    }
}

fn no_dip(stage: &StageRows, q: Quantity) -> Result<Decided, String> {
    let (means, decimals) = (means(stage, q)?, q.measure().decimals());
    let rise = means[means.len() - 1] - means[0];
    let mut top = f64::NEG_INFINITY;
    let dip = means.iter().fold(0.0, |dip: f64, &x| {
        top = top.max(x);
        dip.max(top - x)
    });
    let measured = format!("deepest dip {}, total {}", number(dip, decimals), signed(rise, decimals));
    Ok((rise > 0.0 && dip <= DIP * rise, measured, None))
}

fn no_bump(stage: &StageRows, q: Quantity) -> Result<Decided, String> {
    let (means, decimals) = (means(stage, q)?, q.measure().decimals());
    let fall = means[0] - means[means.len() - 1];
    let bump = means.iter().fold(0.0, |bump: f64, x| bump.max(x - means[0]));
    let measured = format!("highest {}, end {}", signed(bump, decimals), signed(-fall, decimals));
    Ok((fall > 0.0 && bump <= BUMP * fall, measured, None))
}

fn means(stage: &StageRows, q: Quantity) -> Result<Vec<f64>, String> {
    let series = series(stage, q)?;
    need_points(&series, 3, "the shape of a curve")?;
    enough(&series.values[0])?;
    Ok(series.means())
}

fn linear(stage: &StageRows, q: Quantity) -> Result<Decided, String> {
    let series = series(stage, q)?;
    need_points(&series, 3, "a correlation")?;
    enough(&series.values[0])?;
    let time: Vec<f64> = series.points.iter().map(|p| p.examples_seen as f64).collect();
    Ok(match correlation(&time, &series.means()) {
        Some(r) => (r >= LINEAR, format!("r = {} over {} points", number(r, 3), time.len()), None),
        None => (false, "it does not vary".into(), None),
    })
}

fn faster(at: Stages, q: Quantity) -> Result<Decided, String> {
    let sft = at.sft.ok_or("the run has no SFT stage before this one")?;
    let (now, before) = (series(at.stage, q)?, series(sft, q).map_err(|e| format!("in SFT, {e}"))?);
    let (now, before) = now.paired(&before).ok_or("the two stages share no probed prompt")?;
    let [now, before] = [now, before].map(|series| {
        let steps = series.points[series.points.len() - 1].step.saturating_sub(series.points[0].step);
        if steps == 0 {
            return Err("one of the two stages has no step between its first and last probe".to_string());
        }
        // In 10⁻³ per step.
        Ok(change(&series, At::Start, At::End)?.iter().map(|x| 1e3 * x / steps as f64).collect::<Vec<f64>>())
    });
    let (now, before) = (now?, before?);
    let e = enough(&minus(&now, &before))?;
    let [now, before] = [enough(&now)?.mean, enough(&before)?.mean];
    let ratio = if now > 0.0 && before > 0.0 {
        format!(", {} times", number(now / before, 2))
    } else {
        String::new()
    };
    let unit = q.measure().unit();
    let measured = format!(
        "{} ·10⁻³ {unit} per step ({} against {}{ratio})",
        with_error(&e, 3),
        signed(now, 3),
        signed(before, 3),
    );
    Ok((lies(&e, Side::Above), measured, Some(e)))
}
