//! Figures as files for a paper: every chart as an SVG that stands alone, all curves as one table, the captions as text.

use super::charts::{Figure, figures};
use super::comparison::{Comparison, in_order};
use super::comparison_charts::stage_figures;
use super::summary::Summary;
use super::svg::{Chart, Form, Key, Line, Sample, draw};
use super::text::one_line;
use anyhow::Result;

/// File name of the table of all curves.
pub const CURVES: &str = "curves.csv";
/// File name of the captions.
pub const CAPTIONS: &str = "captions.txt";

/// The columns of [`CURVES`].
///
/// | column | holds |
/// |---|---|
/// | `figure`, `chart` | where the curve is drawn; `chart` with `.svg` is the file |
/// | `line` | its label in the chart |
/// | `kind` | the response kind; empty for a curve of none or of several |
/// | `run` | the run or arm of a comparison; empty for a single run |
/// | `stage` | the stage |
/// | `step`, `examples_seen` | optimiser steps and training examples done in the stage; empty where the records do not tell, or the horizontal axis is not training |
/// | `x` | the horizontal place as drawn: examples since the stage or the run began, or the confidence of a bin |
/// | `mean` | the value as drawn, in the unit of the chart's axis |
/// | `standard_error` | of that mean: over prompts, in a comparison over seeds; empty where there is none |
/// | `band` | half-height of the band as drawn; empty for a curve without one |
/// | `n` | prompts behind the mean; seeds in a comparison, answers, or the tokens of a bin; empty for training metrics |
pub const CURVE_COLUMNS: [&str; 13] = [
    "figure",
    "chart",
    "line",
    "kind",
    "run",
    "stage",
    "step",
    "examples_seen",
    "x",
    "mean",
    "standard_error",
    "band",
    "n",
];

/// The figures of a run as files: names and contents.
///
/// # Errors
/// The charting library refuses.
pub fn figure_files(summary: &Summary) -> Result<Vec<(String, String)>> {
    files(&figures(summary))
}

/// The figures of a comparison as files: names and contents.
///
/// # Errors
/// The charting library refuses.
pub fn comparison_figure_files(comparison: &Comparison) -> Result<Vec<(String, String)>> {
    files(&comparison_figures(comparison))
}

/// The curves of a comparison as a table with the columns of [`CURVE_COLUMNS`].
pub fn comparison_csv(comparison: &Comparison) -> String {
    csv(&named(&comparison_figures(comparison)))
}

fn comparison_figures(c: &Comparison) -> Vec<Figure> {
    let stages = in_order(c.curves.iter().chain(&c.changes).map(|curves| curves.stage.as_str()));
    stages.into_iter().flat_map(|stage| stage_figures(c, stage)).collect()
}

type Named<'a> = Vec<(String, &'a Figure, &'a Chart)>;

fn files(figures: &[Figure]) -> Result<Vec<(String, String)>> {
    let charts = named(figures);
    let svg =
        |(name, _, chart): &(String, &Figure, &Chart)| Ok((format!("{name}.svg"), draw(chart, Form::File)?));
    let mut files: Vec<(String, String)> = charts.iter().map(svg).collect::<Result<_>>()?;
    files.push((CURVES.into(), csv(&charts)));
    files.push((CAPTIONS.into(), captions(figures, &charts)));
    Ok(files)
}

/// Every chart with a name that is its own, made of letters, digits and dashes.
fn named(figures: &[Figure]) -> Named<'_> {
    let mut found: Named = Vec::new();
    for (figure, chart) in figures.iter().flat_map(|f| f.charts.iter().map(move |chart| (f, chart))) {
        let plain = plain_name(&format!("{}-{}", figure.id, chart.name));
        let taken = |name: &str| found.iter().any(|(known, ..)| known.eq_ignore_ascii_case(name));
        let numbered = (2..).map(|i| format!("{plain}-{i}"));
        let name = std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(plain);
        found.push((name, figure, chart));
    }
    found
}

/// Letters, digits and `_` of ASCII; a dash for each stretch of others. Symbols of kinds become what they stand for.
fn plain_name(text: &str) -> String {
    const LONGEST: usize = 80;
    let text = text.replace('⁺', "+chosen").replace('⁻', "-rejected");
    let words =
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").chars().take(LONGEST).collect()
}

fn csv(charts: &Named) -> String {
    let mut out = CURVE_COLUMNS.join(",") + "\n";
    for (name, figure, chart) in charts {
        for line in &chart.lines {
            for (stage, sample) in line.samples() {
                let fields = row(figure, name, line, stage, sample);
                out += &(fields.map(|field| quoted(&field)).join(",") + "\n");
            }
        }
    }
    out
}

fn row(figure: &Figure, chart: &str, line: &Line, stage: &str, s: &Sample) -> [String; CURVE_COLUMNS.len()] {
    let whole = |n: Option<usize>| n.map_or(String::new(), |n| n.to_string());
    let kinds = line.keys.iter().filter_map(|key| if let Key::Kind(name) = key { Some(name) } else { None });
    let runs = line.keys.iter().filter_map(|key| if let Key::Run(name) = key { Some(name) } else { None });
    [
        figure.id.clone(),
        chart.to_owned(),
        line.label.clone(),
        kinds.cloned().collect(),
        runs.cloned().collect(),
        stage.to_owned(),
        whole(s.step),
        whole(s.examples),
        s.x.to_string(),
        s.y.to_string(),
        s.se.map_or(String::new(), |se| se.to_string()),
        if s.band > 0.0 { s.band.to_string() } else { String::new() },
        whole(s.n),
    ]
}

/// A field as RFC 4180 has it; control characters become spaces.
fn quoted(field: &str) -> String {
    let field = one_line(field);
    if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

fn captions(figures: &[Figure], charts: &Named) -> String {
    let caption = |figure: &Figure| {
        let own = charts.iter().filter(|(_, of, _)| std::ptr::eq(*of, figure));
        let files = own.map(|(name, _, chart)| format!("  {name}.svg: {}\n", one_line(&chart.title)));
        format!("{}\n{}\n{}", one_line(&figure.title), one_line(&figure.caption), files.collect::<String>())
    };
    figures.iter().map(caption).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain_and_differ() {
        let chart = |name: &str| Chart { name: name.into(), ..Chart::default() };
        let charts = ["y⁺", "y⁻", "../../etc/x", "A b", "a.b"].map(chart).to_vec();
        let figure = Figure { id: "change".into(), title: String::new(), caption: String::new(), charts };
        let names: Vec<String> = named(&[figure]).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(
            names,
            ["change-y-chosen", "change-y-rejected", "change-etc-x", "change-A-b", "change-a-b-2"]
        );
    }

    #[test]
    fn fields_with_commas_and_quotes_are_one_field() {
        assert_eq!(quoted("a,\"b\"\nc"), "\"a,\"\"b\"\" c\"");
        assert_eq!(quoted("−1 y⁺"), "−1 y⁺");
    }
}
