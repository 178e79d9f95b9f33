//! Records in, reports out: one self-contained HTML page, Markdown, JSON and a
//! table for the terminal, all pure functions of what a run has written.
//!
//! ```no_run
//! let run = ldyn::report::load(std::path::Path::new("runs/demo"))?;
//! let summary = ldyn::report::summarise(&run);
//! std::fs::write("report.html", ldyn::report::html(&summary)?)?;
//! print!("{}", ldyn::report::terminal(&summary));
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! | module | does |
//! |---|---|
//! | `load`, `observations` | a run folder, whole or not → the same prompts at every probe point |
//! | `quantity`, `difference`, `curves` | what is followed, with its standard errors |
//! | `gauge` | predicted against measured, accumulated influence |
//! | `answers`, `calibration` | greedy answers: repetition, likeness, borrowing; whether confidence is right |
//! | `claims`, `rules`, `findings` | checkable statements, the paper's findings made of them, their verdicts |
//! | `words` | what happened to each kind, in sentences |
//! | `summary` | all of it as data; also `report.json` |
//! | `comparison`, `comparison_forms` | several runs side by side, over seeds |
//! | `published` | curves that the reference code logged, to compare with |
//! | `decomposition` | one update decomposed, as a page and as text |
//! | `charts`, `answer_charts`, `comparison_charts` | which charts there are, as data |
//! | `svg`, `paint`, `dress`, `palette` | a chart as SVG, for a page or as a file |
//! | `html`, `markdown`, `table`, `figure_files` | pure forms of the summary |
//! | `page` | what all pages share: frame, style, script, policy |
//!
//! Kind of truth: everything here is *measured*, that is, of one run. Standard
//! errors are over prompts; they say nothing about other seeds.

mod answer_charts;
mod answers;
mod calibration;
mod charts;
mod claims;
mod comparison;
mod comparison_charts;
mod comparison_forms;
mod curves;
mod decomposition;
mod difference;
mod dress;
mod figure_files;
mod findings;
mod gauge;
mod html;
mod load;
mod markdown;
mod observations;
mod page;
mod paint;
mod palette;
mod published;
mod quantity;
mod rows;
mod rules;
mod summary;
mod svg;
mod table;
mod text;
mod words;
mod write;

pub use crate::statistics::{Estimate, MIN_PROMPTS};
pub use answers::{ANSWERS_COMPARED, AnswerPoint, Answers, WORDS_COMPARED};
pub use calibration::{Calibration, CalibrationPoint, ReliabilityBin};
pub use claims::{BUMP, Check, DIP, LINEAR, SIGNIFICANT};
pub use comparison::{
    Arm, ArmCurves, CONFIDENCE, Comparison, Member, Number, Reading, Row as ComparisonRow, Tally, compare,
};
pub use comparison_forms::{comparison_html, comparison_json, comparison_text};
pub use curves::{CONTEXTS, Curve, CurvePoint, TRAINING_POINTS, TrainingCurve};
pub use decomposition::{decomposition_html, decomposition_text};
pub use figure_files::{
    CAPTIONS, CURVE_COLUMNS, CURVES, comparison_csv, comparison_figure_files, figure_files,
};
pub use findings::{Finding, Verdict};
pub use gauge::{Accumulated, ENOUGH, Gauge, Window};
pub use html::html;
pub use load::{Run, load};
pub use markdown::markdown;
pub use published::{Published, published};
pub use summary::{Kind, REPORT_SCHEMA, Stage, Summary, json, summarise};
pub use table::{aligned, terminal};
pub use text::{duration, with_error};
pub use write::{HTML, JSON, MARKDOWN, write, write_comparison, write_figures};

#[cfg(test)]
mod comparison_test;
#[cfg(test)]
mod findings_test;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod forms_test;
