//! A chart as data, and as SVG in two dresses: for a page, and as a file that stands alone.

pub use super::dress::swatch;

use super::dress::dress;
use super::paint::paint;
use super::text::{count, one_line, short};
use anyhow::{Result, anyhow};
use std::fmt::{Display, Formatter};

/// Pixels drawn for each pixel shown; plotters rounds to whole pixels.
pub const SCALE: u32 = 2;

/// A chart: lines over a shared pair of axes.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// What it is called among the charts of its figure, in names of files.
    pub name: String,
    /// Title above the chart.
    pub title: String,
    /// Label of the horizontal axis.
    pub x_label: String,
    /// Label of the vertical axis.
    pub y_label: String,
    /// The lines, each labelled at its end.
    pub lines: Vec<Line>,
    /// Where stages begin, with their names; empty for a chart of one stage.
    pub separators: Vec<(f64, String)>,
    /// Whether a line at 0 belongs to the chart.
    pub zero: bool,
    /// The ranges of both axes where charts share them; else those of the lines.
    pub ranges: Option<Ranges>,
    /// Shown width and height in pixels.
    pub size: (u32, u32),
}

/// A labelled line, in one piece for each stage.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Label at its end.
    pub label: String,
    /// What a reader shows and hides it by; it is shown while all of them are.
    pub keys: Vec<Key>,
    /// How it is drawn.
    pub style: Style,
    /// Its pieces, which are not joined.
    pub pieces: Vec<Piece>,
}

/// What lines of several charts have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A response kind, by its name in the records.
    Kind(String),
    /// A run, or an arm of runs, by its name.
    Run(String),
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        match self {
            Self::Kind(name) => write!(f, "kind {}", one_line(name)),
            Self::Run(name) => write!(f, "run {}", one_line(name)),
        }
    }
}

/// The samples of one stage in order.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// Stage name.
    pub stage: String,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// A sample of a line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Horizontal place.
    pub x: f64,
    /// Value.
    pub y: f64,
    /// Its standard error, where it has one.
    pub se: Option<f64>,
    /// Half-height of the band around it; 0 for none.
    pub band: f64,
    /// Examples that its stage had consumed; absent where the horizontal axis is not training.
    pub examples: Option<usize>,
    /// Optimiser steps that its stage had done, where the records tell.
    pub step: Option<usize>,
    /// How many the value is a mean of.
    pub n: Option<usize>,
}

/// The horizontal and the vertical range of a chart.
pub type Ranges = ((f64, f64), (f64, f64));

/// Beyond this a number is no more drawn than an infinite one.
pub const LARGEST: f64 = 1e30;

impl Sample {
    /// Whether it can be drawn.
    pub fn is_finite(&self) -> bool {
        // Written so that NaN fails.
        [self.x, self.y, self.band].iter().all(|v| v.abs() <= LARGEST)
    }

    /// When, or where on the horizontal axis, it was taken.
    pub fn moment(&self, stage: &str, x_label: &str) -> String {
        let Some(examples) = self.examples else { return format!("{x_label} {}", short(self.x)) };
        let stage = if stage.is_empty() { String::new() } else { format!("{}, ", one_line(stage)) };
        let step = self.step.map_or(String::new(), |step| format!("step {}, ", count(step)));
        format!("{stage}{step}{} examples", count(examples))
    }
}

impl Line {
    /// Samples that can be drawn, each with the name of its stage.
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = (&str, &Sample)> {
        self.pieces
            .iter()
            .flat_map(|piece| piece.samples.iter().map(|s| (piece.stage.as_str(), s)))
            .filter(|(_, s)| s.is_finite())
    }
}

/// Colour, dash and marker of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Name of the palette's variable, such as `--preferred`.
    pub colour: &'static str,
    /// SVG dash array at the drawn scale; empty for a solid line.
    pub dash: &'static str,
    /// What stands at its samples.
    pub marker: Marker,
}

/// What stands at the samples of a line: a filled polygon, in drawn pixels from the sample; empty for none.
pub type Marker = &'static [(i32, i32)];

/// The polygons that lines are marked with.
pub mod marker {
    use super::Marker;
    pub const NONE: Marker = &[];
    pub const UP: Marker = &[(0, -9), (8, 6), (-8, 6)];
    pub const DOWN: Marker = &[(0, 9), (8, -6), (-8, -6)];
    pub const SQUARE: Marker = &[(-6, -6), (6, -6), (6, 6), (-6, 6)];
    pub const DIAMOND: Marker = &[(0, -9), (8, 0), (0, 9), (-8, 0)];
    pub const ROUND: Marker = &[(7, 0), (5, 5), (0, 7), (-5, 5), (-7, 0), (-5, -5), (0, -7), (5, -5)];
}

/// Where a drawing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Into a page: in its colours, with what its script needs.
    Page,
    /// Into a file that stands alone: dark on white, with plain colours and generic fonts.
    File,
}

/// Draws a chart. Samples that are not finite are left out.
///
/// # Errors
/// plotters refuses; its message says why.
pub fn draw(chart: &Chart, form: Form) -> Result<String> {
    let mut svg = String::new();
    let placed =
        paint(chart, &mut svg).map_err(|e| anyhow!("cannot draw the chart '{}': {e}", chart.title))?;
    Ok(dress(chart, &placed, &svg, form))
}
