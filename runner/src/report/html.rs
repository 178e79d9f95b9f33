//! One self-contained page: no network, readable without its script, on a phone, in the dark and on paper.

use super::charts::{figures, key, style};
use super::findings::{Finding, Verdict};
use super::page;
use super::rows::{HEADINGS, Row, rows};
use super::summary::Summary;
use super::text::{count, duration};
use crate::record::{AlarmRow, StageInfo};
use anyhow::Result;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

const PAGE: &str = include_str!("page.html");

#[derive(Serialize)]
struct StageView<'a> {
    name: &'a str,
    objective: &'a str,
    summary: &'a str,
    notes: &'a [String],
    state: String,
    steps: String,
    examples: String,
    probes: String,
    train_time: String,
    probe_time: String,
    rows: Vec<Row>,
    words: &'a [String],
}

#[derive(Serialize)]
struct FindingView<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    word: &'static str,
    class: &'static str,
}

/// Renders the page. Everything that comes from the run is escaped.
///
/// # Errors
/// The charting or the template library refuses.
pub fn html(summary: &Summary) -> Result<String> {
    let figures = figures(summary).iter().map(page::figure).collect::<Result<Vec<_>>>()?;
    let kinds = summary.kinds.iter().filter(|k| k.mean_tokens.is_some());
    let kinds = kinds.map(|k| (key(&k.name), style(&k.name), k.symbol.as_str()));
    let values = context! {
        run => Value::from(Serde(&summary.run)),
        machine => summary.run.machine(),
        remarks => Value::from(Serde(&summary.remarks)),
        conventions => summary.conventions.as_str(),
        kinds => Value::from(Serde(&summary.kinds)),
        stages => Value::from(Serde(stages(summary))),
        findings => Value::from(Serde(findings(summary))),
        alarms => Value::from(Serde(alarms(summary))),
        tally => tally(summary),
        headings => Value::from(Serde(HEADINGS)),
        kinds_legend => page::legend("Kinds", kinds),
        figures,
    };
    page::render(PAGE, values)
}

fn stages(summary: &Summary) -> Vec<StageView<'_>> {
    let pairs = summary.stages.iter().zip(&summary.run.stages);
    pairs
        .map(|(stage, info)| StageView {
            name: &info.name,
            objective: &info.objective,
            summary: &info.summary,
            notes: &info.notes,
            state: state(info, stage.steps),
            steps: format!("{} of {}", count(stage.steps), count(info.steps)),
            examples: count(stage.examples_seen),
            probes: count(stage.probe_points),
            train_time: duration(info.train_seconds),
            probe_time: duration(info.probe_seconds),
            rows: rows(summary, stage),
            words: &stage.words,
        })
        .collect()
}

/// How far a stage got, in words.
pub fn state(info: &StageInfo, steps: usize) -> String {
    match (info.stopped_by, info.finished, steps) {
        (Some(rule), ..) => format!("stopped by {}", rule.id()),
        (None, true, _) if info.peak.is_some() && steps < info.steps => "ended early at its peak".into(),
        (None, true, _) => "finished".into(),
        (None, false, 0) => "not begun".into(),
        (None, false, _) => "unfinished".into(),
    }
}

#[derive(Serialize)]
struct AlarmView<'a> {
    #[serde(flatten)]
    alarm: &'a AlarmRow,
    evidence: String,
}

fn alarms(summary: &Summary) -> Vec<AlarmView<'_>> {
    summary.alarms.iter().map(|alarm| AlarmView { alarm, evidence: alarm.evidence() }).collect()
}

fn findings(summary: &Summary) -> Vec<FindingView<'_>> {
    let view = |finding| FindingView {
        finding,
        word: finding.verdict.words(),
        class: match finding.verdict {
            Verdict::Seen => "seen",
            Verdict::NotSeen => "unseen",
            Verdict::NotMeasured => "unmeasured",
        },
    };
    summary.findings.iter().map(view).collect()
}

/// `12 seen, 5 not seen, 6 not measured`.
pub fn tally(summary: &Summary) -> String {
    let verdicts = [Verdict::Seen, Verdict::NotSeen, Verdict::NotMeasured];
    let part =
        |v: Verdict| format!("{} {}", summary.findings.iter().filter(|f| f.verdict == v).count(), v.words());
    verdicts.map(part).join(", ")
}
