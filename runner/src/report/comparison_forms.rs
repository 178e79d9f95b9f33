//! A comparison for people: a page, and text for the terminal.

use super::charts::{key, listed, style};
use super::comparison::{CONFIDENCE, Comparison, Number, Reading, Row, in_order};
use super::comparison_charts::{run_key, stage_figures};
use super::page;
use super::quantity::Measure;
use super::table::aligned;
use super::text::{count, duration, number, one_line, signed, symbol};
use anyhow::Result;
use minijinja::{Value, context};

const PAGE: &str = include_str!("comparison.html");

/// The comparison as indented JSON.
///
/// # Errors
/// None in practice: every number comes from JSON or a mean of such.
pub fn comparison_json(comparison: &Comparison) -> Result<String> {
    Ok(serde_json::to_string_pretty(comparison)? + "\n")
}

/// The text. Control characters in names become spaces.
pub fn comparison_text(c: &Comparison) -> String {
    let mut out = format!("{}\n\n{}", one_line(&c.title), aligned(&arms(c), 1));
    for (stage, rows) in by_stage(c) {
        out += &format!("\nStage {}: {}\n{}", one_line(stage), legend(c), aligned(&table(c, &rows), 2));
    }
    if !c.findings.is_empty() {
        out += &format!("\nFindings of the paper, seen / measured:\n{}", aligned(&findings(c), 2));
    }
    out
}

/// The page: no network. Everything that comes from data is escaped.
///
/// # Errors
/// The charting or the template library refuses.
pub fn comparison_html(c: &Comparison) -> Result<String> {
    let stages: Vec<Value> = by_stage(c)
        .into_iter()
        .map(|(stage, rows)| {
            let figures = stage_figures(c, stage).iter().map(page::figure).collect::<Result<Vec<_>>>()?;
            Ok(context! { name => stage, table => table(c, &rows), figures, map => map(c, &rows) })
        })
        .collect::<Result<_>>()?;
    let runs = c.arms.iter().enumerate().map(|(i, arm)| (run_key(&arm.name), listed(i), arm.name.as_str()));
    let kinds = in_order(c.changes.iter().filter_map(|curves| curves.kind.as_deref()));
    let kinds = kinds.iter().map(|kind| (key(kind), style(kind), symbol(kind)));
    let values = context! {
        legends => [page::legend("Runs", runs), page::legend("Kinds", kinds)],
        title => c.title.as_str(),
        arms => arms(c),
        legend => legend(c),
        stages,
        findings => findings(c),
    };
    page::render(PAGE, values)
}

fn legend(c: &Comparison) -> String {
    let first = c.arms.first().map_or("", |a| a.name.as_str());
    format!(
        "means over prompts, then over seeds ± one standard error; in brackets the difference to {}, seed by seed, \
         with its {:.0} % interval (Student's t).",
        one_line(first),
        100.0 * CONFIDENCE
    )
}

/// The arms with a heading.
fn arms(c: &Comparison) -> Vec<Vec<String>> {
    let mut lines =
        vec![["arm", "seeds", "unfinished", "steps", "training", "alarms"].map(String::from).to_vec()];
    for arm in &c.arms {
        let list = |seeds: &[u64]| seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let steps: Vec<String> =
            arm.steps.iter().map(|(stage, n)| format!("{} {}", one_line(stage), count(*n))).collect();
        let alarms: Vec<String> =
            arm.alarms.iter().map(|(rule, n)| format!("{rule} {n}/{}", arm.seeds.len())).collect();
        lines.push(vec![
            one_line(&arm.name),
            list(&arm.seeds),
            list(&arm.unfinished),
            steps.join(", "),
            duration(arm.train_seconds),
            if alarms.is_empty() { "none".into() } else { alarms.join(", ") },
        ]);
    }
    lines
}

fn by_stage(c: &Comparison) -> Vec<(&str, Vec<&Row>)> {
    let mut stages: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in &c.rows {
        match stages.last_mut() {
            Some((stage, rows)) if *stage == row.stage => rows.push(row),
            _ => stages.push((&row.stage, vec![row])),
        }
    }
    stages
}

/// A stage's numbers with a heading.
fn table(c: &Comparison, rows: &[&Row]) -> Vec<Vec<String>> {
    let mut heading = vec![String::new(), String::new()];
    heading.extend(c.arms.iter().map(|a| one_line(&a.name)));
    let line = |row: &&Row| {
        let mut line = vec![format!("{}, {}", one_line(&row.quantity), row.unit), row.reading.words().into()];
        let decimals = if row.unit == "nats" { 2 } else { 3 };
        line.extend(row.arms.iter().map(|n| cell(n, decimals)));
        line
    };
    std::iter::once(heading).chain(rows.iter().map(line)).collect()
}

/// Arms × kinds: the change of log π, coloured within each kind; nothing for one arm.
fn map(c: &Comparison, rows: &[&Row]) -> Option<Value> {
    let logp = |row: &&&Row| row.reading == Reading::Change && row.unit == Measure::Logp.unit();
    let columns: Vec<&&Row> = rows
        .iter()
        .filter(|row| row.kind.is_some() && row.quantity.starts_with("log π"))
        .filter(logp)
        .collect();
    if c.arms.len() < 2 || columns.is_empty() {
        return None;
    }
    let line = |(arm, name): (usize, &str)| {
        let cells: Vec<Value> = columns
            .iter()
            .map(|row| match row.arms[arm].value {
                None => page::cell(0.0, 0.0, "–", String::new()),
                Some(value) => {
                    let all = row.arms.iter().filter_map(|n| n.value).map(|v| v.mean.abs());
                    let title = format!("{}: {}", name, cell(&row.arms[arm], 2));
                    page::cell(value.mean, all.fold(0.0, f64::max), &signed(value.mean, 1), title)
                }
            })
            .collect();
        context! { name, cells }
    };
    let names = c.arms.iter().map(|arm| arm.name.as_str()).enumerate();
    let symbols = columns.iter().filter_map(|row| row.kind.as_deref()).map(|kind| symbol(kind).to_owned());
    let kinds: Vec<String> = symbols.collect();
    Some(context! { kinds, rows => names.map(line).collect::<Vec<_>>() })
}

fn cell(n: &Number, decimals: usize) -> String {
    let Some(value) = n.value else { return "–".into() };
    let mut text = signed(value.mean, decimals);
    if let Some(se) = value.se {
        text += &format!(" ± {}", number(se, decimals));
    }
    match (n.difference, n.interval) {
        (Some(d), Some([low, high])) => {
            let [mean, low, high] = [d.mean, low, high].map(|x| signed(x, decimals));
            text += &format!(" ({mean} [{low}, {high}])");
        }
        (Some(d), None) => text += &format!(" ({})", signed(d.mean, decimals)),
        _ => {}
    }
    text
}

fn findings(c: &Comparison) -> Vec<Vec<String>> {
    let mut heading = vec!["finding".to_owned(), String::new()];
    heading.extend(c.arms.iter().map(|a| one_line(&a.name)));
    let line = |tally: &super::comparison::Tally| {
        let mut line = vec![tally.id.to_owned(), tally.statement.to_owned()];
        let share = |&[seen, measured]: &[usize; 2]| match measured {
            0 => "–".to_owned(),
            _ => format!("{seen}/{measured}"),
        };
        line.extend(tally.arms.iter().map(share));
        line
    };
    std::iter::once(heading).chain(c.findings.iter().map(line)).collect()
}
