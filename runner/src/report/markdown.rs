//! The report as Markdown, for notes, issues and papers' supplements.

use super::html::{state, tally};
use super::rows::{HEADINGS, rows};
use super::summary::Summary;
use super::text::{count, duration, one_line};

/// Renders the report; text of the run is escaped for Markdown tables and HTML.
pub fn markdown(summary: &Summary) -> String {
    let run = &summary.run;
    let mut out = format!("# {}\n\n", plain(&run.title));
    out += &format!(
        "{}. {} parameters, V = {}, {}, seed {}. {} training examples, {} probe prompts. ldyn {}.\n\n",
        plain(&run.model),
        count(run.parameters),
        count(run.vocab_size),
        plain(&run.machine()),
        run.seed,
        count(run.train_examples),
        count(run.probe_prompts),
        plain(&run.version),
    );
    let hashes = &run.hashes;
    let named = [("data", &hashes.data), ("tokenizer", &hashes.tokenizer), ("model", &hashes.model)];
    for (name, hash) in named.iter().filter(|(_, hash)| !hash.is_empty()) {
        out += &format!("- SHA-256 of {name}: {}\n", plain(hash));
    }
    out += "\n## Stages\n\n";
    let header = ["stage", "objective", "settings", "steps", "examples", "training", "probing", "state"];
    let stages = summary.stages.iter().zip(&run.stages).map(|(stage, info)| {
        let settings = std::iter::once(&info.summary).chain(&info.notes);
        [
            plain(&info.name),
            plain(&info.objective),
            settings.map(|s| plain(s)).collect::<Vec<_>>().join(". "),
            format!("{} of {}", count(stage.steps), count(info.steps)),
            count(stage.examples_seen),
            duration(info.train_seconds),
            duration(info.probe_seconds),
            state(info, stage.steps),
        ]
    });
    table(&mut out, &header, stages);
    if !summary.remarks.is_empty() {
        out += "\nAbout these records:\n\n";
        list(&mut out, &summary.remarks);
    }
    if !summary.gauges.is_empty() {
        out += "\n## Predicted and measured\n\n";
        let words: Vec<String> =
            summary.gauges.iter().map(|g| format!("{}: {}", g.stage, g.words())).collect();
        list(&mut out, &words);
    }
    if !summary.calibrations.is_empty() {
        out += "\n## Calibration of the greedy choice\n\n";
        let words: Vec<String> =
            summary.calibrations.iter().map(|c| format!("{}: {}", c.stage, c.words())).collect();
        list(&mut out, &words);
    }
    if !summary.answers.is_empty() {
        out += "\n## Greedy answers\n\nMeans over answers, from the first probe to the last.\n\n";
        let words: Vec<String> =
            summary.answers.iter().map(|a| format!("{}: {}", a.stage, a.words())).collect();
        list(&mut out, &words);
    }
    if !summary.alarms.is_empty() {
        out += "\n## Alarms\n\nWhat the monitor raised while the run went on.\n\n";
        let alarms = summary.alarms.iter().map(|a| {
            let when = format!("step {}, against step {}", count(a.step), count(a.since_step));
            let id = format!("{} ({})", a.rule.id(), plain(&a.stage));
            [id, when, plain(&a.statement), plain(&a.evidence()), plain(&a.done)]
        });
        table(&mut out, &["alarm", "when", "rule", "measured", "done"], alarms);
    }
    out += &format!("\n## Findings\n\n{}. {}\n\n", tally(summary), plain(&summary.conventions));
    let findings = summary.findings.iter().map(|f| {
        let so_far = if f.so_far { ", so far" } else { "" };
        let stage = f.stage.as_ref().map_or(String::new(), |s| format!(" ({}{so_far})", plain(s)));
        let word = f.verdict.words();
        [f.id.to_string(), format!("{word}{stage}"), plain(f.statement), plain(&f.evidence)]
    });
    table(&mut out, &["finding", "verdict", "statement", "measured"], findings);
    for stage in &summary.stages {
        let rows = rows(summary, stage);
        if rows.is_empty() {
            continue;
        }
        out += &format!(
            "\n## Stage {}\n\nlog π(y), margin and greedy confidence in nats, means over n prompts; changes prompt by \
             prompt ± one standard error.\n\n",
            plain(&stage.name)
        );
        table(&mut out, &HEADINGS, rows.iter().map(|row| row.cells().map(plain)));
        out += "\nIn words:\n\n";
        list(&mut out, &stage.words);
    }
    if !run.notes.is_empty() {
        out += "\n## Notes\n\n";
        list(&mut out, &run.notes);
    }
    out
}

fn list(out: &mut String, items: &[String]) {
    for item in items {
        *out += &format!("- {}\n", plain(item));
    }
}

fn table<const N: usize>(out: &mut String, header: &[&str; N], rows: impl Iterator<Item = [String; N]>) {
    *out += &format!("| {} |\n|{}\n", header.join(" | "), "---|".repeat(N));
    for row in rows {
        *out += &format!("| {} |\n", row.join(" | "));
    }
}

/// Text on one line that no table, link or tag takes for its own.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}
