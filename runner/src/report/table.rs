//! The report as a table for the terminal: no colour, no wrapping within numbers.

use super::html::{state, tally};
use super::rows::{HEADINGS, rows};
use super::summary::Summary;
use super::text::{count, one_line};

/// Width that findings are wrapped to.
const WIDTH: usize = 110;

/// Renders every stage's table and the findings. Control characters in the run's text become spaces.
pub fn terminal(summary: &Summary) -> String {
    let mut out = format!("{}\n", one_line(&summary.run.title));
    for remark in &summary.remarks {
        wrapped(&mut out, "  ! ", &one_line(remark));
    }
    for (stage, info) in summary.stages.iter().zip(&summary.run.stages) {
        out += &format!(
            "\nStage {}: {} examples, {} steps, {}. Nats, means over n prompts, ± one standard error.\n",
            one_line(&stage.name),
            count(stage.examples_seen),
            count(stage.steps),
            state(info, stage.steps)
        );
        let rows = rows(summary, stage);
        if rows.is_empty() {
            out += "  no probe rows\n";
        } else {
            columns(&mut out, &rows.iter().map(|row| row.cells().map(one_line)).collect::<Vec<_>>());
        }
    }
    for gauge in &summary.gauges {
        out += &format!("\nGauge of {}:\n", one_line(&gauge.stage));
        wrapped(&mut out, "  ", &gauge.words());
    }
    for calibration in &summary.calibrations {
        out += &format!("\nCalibration in {}:\n", one_line(&calibration.stage));
        wrapped(&mut out, "  ", &calibration.words());
    }
    for answers in &summary.answers {
        out += &format!("\nGreedy answers in {}:\n", one_line(&answers.stage));
        wrapped(&mut out, "  ", &answers.words());
    }
    if !summary.alarms.is_empty() {
        out += &format!("\nAlarms: {}\n", summary.alarms.len());
    }
    for a in &summary.alarms {
        let head = format!("  {:<21} step {:<5} ", a.rule.id(), a.step);
        wrapped(&mut out, &head, &format!("[{}] {}", one_line(&a.stage), one_line(&a.evidence())));
        wrapped(&mut out, &" ".repeat(35), &one_line(&a.done));
    }
    out += &format!("\nFindings: {}\n", tally(summary));
    for f in &summary.findings {
        let stage = f.stage.as_ref().map_or(String::new(), |s| format!(" [{}]", one_line(s)));
        let head = format!("  {:<12} {:<9} ", f.verdict.words(), f.id);
        wrapped(&mut out, &head, &format!("{}{stage}", f.statement));
        wrapped(&mut out, &" ".repeat(25), &one_line(&f.evidence));
    }
    out
}

/// Columns that the terminal shows: all but the kind's length and the per-token change.
const SHOWN: [usize; 8] = [0, 1, 2, 4, 5, 6, 7, 8];

fn columns(out: &mut String, rows: &[[String; 10]]) {
    let header: [String; 10] = HEADINGS.map(str::to_string);
    let shown = |row: &[String; 10]| SHOWN.map(|column| row[column].clone()).to_vec();
    let lines: Vec<Vec<String>> = std::iter::once(&header).chain(rows).map(shown).collect();
    *out += &aligned(&lines, 2);
}

/// Lines of cells as columns, the first `left` of them to the left, the others to the right.
pub fn aligned(lines: &[Vec<String>], left: usize) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in lines {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let pad = " ".repeat(width - cell.chars().count());
            if column < left { format!("{cell}{pad}") } else { format!("{pad}{cell}") }
        });
        out += &format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    out
}

fn wrapped(out: &mut String, indent: &str, text: &str) {
    let mut line = String::new();
    let flush = |out: &mut String, line: &str, first: bool| {
        let blank = " ".repeat(indent.chars().count());
        *out += &format!("{}{line}\n", if first { indent } else { &blank });
    };
    let mut first = true;
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        if !line.is_empty()
            && indent.chars().count() + line.chars().count() + 1 + word.chars().count() > WIDTH
        {
            flush(out, &line, first);
            first = false;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    if !line.is_empty() {
        flush(out, &line, first);
    }
}
