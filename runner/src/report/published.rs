//! Curves that the paper's reference code logged, as a summary that compares with runs.

use super::comparison::Member;
use super::curves::{Curve, CurvePoint};
use super::quantity::{Measure, Quantity};
use super::summary::{Kind, REPORT_SCHEMA, Stage, Summary};
use super::text::{description, symbol};
use crate::data::KINDS;
use crate::record::{self, Manifest, StageInfo};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

const LOGP: &str = "logps_eval_prob_train/";
const ARGMAX: &str = "argmax_prob_logits";

/// How a file of logged evaluations is to be read.
#[derive(Clone, Debug)]
pub struct Published {
    /// Name of the stage that was logged, so that it meets a run's stage of that name.
    pub stage: String,
    /// Training examples between evaluations.
    pub every_examples: usize,
    /// Kind in whose contexts the logged greedy confidence was measured. Until 8 May 2025 the code
    /// overwrote it with the last kind's, `random_nonhum`; `None` tells by the order of the keys.
    pub argmax_of: Option<String>,
}

/// Reads concatenated JSON objects, one an evaluation, as the reference code appends them: means over prompts of
/// `logps_eval_prob_train/KIND` and `argmax_prob_logits`, nats. Numbers that it logged as NaN are absent.
///
/// # Errors
/// Text that is not such objects, or none that hold a known kind.
pub fn published(name: &str, text: &str, settings: &Published) -> Result<Member> {
    // Python writes NaN and infinities, which JSON does not have.
    let text =
        [": NaN", ": Infinity", ": -Infinity"].iter().fold(text.to_owned(), |t, n| t.replace(n, ": null"));
    let rows: Vec<Map<String, Value>> = serde_json::Deserializer::from_str(&text)
        .into_iter()
        .enumerate()
        .map(|(i, row)| row.with_context(|| format!("evaluation {i}")))
        .collect::<Result<_>>()?;
    let Some(first) = rows.first() else { bail!("no evaluation: expected JSON objects with `{LOGP}chosen`") };
    let (rows, mut remarks) = one_run(&rows);
    let argmax_of = settings.argmax_of.clone().unwrap_or_else(|| argmax_kind(first).to_owned());
    if first.contains_key(ARGMAX) {
        remarks.push(format!("`{ARGMAX}` is taken as greedy confidence in the contexts of {argmax_of}."));
    }
    let mut curves = Vec::new();
    let mut kinds = Vec::new();
    for (kind, ..) in KINDS {
        let logp = curve(&rows, &format!("{LOGP}{kind}"), Quantity::Of(Measure::Logp, kind), settings);
        let greedy = match argmax_of == *kind {
            true => curve(&rows, ARGMAX, Quantity::Of(Measure::Greedy, kind), settings),
            false => None,
        };
        if logp.is_some() || greedy.is_some() {
            let (name, symbol) = ((*kind).to_owned(), symbol(kind).to_owned());
            kinds.push(Kind { name, symbol, description: description(kind), mean_tokens: None });
        }
        curves.extend(logp.into_iter().chain(greedy));
    }
    ensure!(!curves.is_empty(), "no known kind: expected keys such as `{LOGP}chosen`, found {}", keys(first));
    curves.extend(margin(&rows, settings));
    let examples_seen = (rows.len() - 1).saturating_mul(settings.every_examples);
    let stage = Stage {
        name: settings.stage.clone(),
        finished: true,
        steps: 0,
        examples_seen,
        probe_points: rows.len(),
        curves,
        training: Vec::new(),
        words: Vec::new(),
    };
    let summary = Summary {
        calibrations: Vec::new(),
        answers: Vec::new(),
        report_schema: REPORT_SCHEMA,
        run: manifest(name, settings),
        remarks,
        alarms: Vec::new(),
        findings: Vec::new(),
        conventions: String::new(),
        kinds,
        stages: vec![stage],
        gauges: Vec::new(),
    };
    Ok(Member { arm: name.to_owned(), seed: 0, summary })
}

/// The evaluations of one run. The code appends to a file that is there: a file may hold restarts, which begin with the
/// first evaluation's numbers again, or two runs in turns.
fn one_run(rows: &[Map<String, Value>]) -> (Vec<&Map<String, Value>>, Vec<String>) {
    let key = format!("{LOGP}chosen");
    let start = rows[0].get(&key).and_then(Value::as_f64);
    let again = |row: &Map<String, Value>| start.is_some() && row.get(&key).and_then(Value::as_f64) == start;
    match rows.iter().skip(1).position(again).map(|i| i + 1) {
        Some(1) => {
            let remark = format!(
                "Evaluation 1 repeats evaluation 0: two runs in turns; every second of {} is read.",
                rows.len()
            );
            (rows.iter().step_by(2).collect(), vec![remark])
        }
        Some(i) => {
            let remark = format!("Evaluation {i} repeats the first: a restart; what follows is left out.");
            (rows[..i].iter().collect(), vec![remark])
        }
        None => (rows.iter().collect(), Vec::new()),
    }
}

/// The kind that the logged greedy confidence belongs to: since the fix each kind's `…_A_o` comes before it.
fn argmax_kind(row: &Map<String, Value>) -> &'static str {
    let place = |key: &str| row.keys().position(|k| k == key);
    match (place("chosen_A_o"), place(ARGMAX)) {
        (Some(a), Some(argmax)) if a < argmax => "chosen",
        _ => "random_nonhum",
    }
}

fn keys(row: &Map<String, Value>) -> String {
    row.keys().take(5).map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn curve(rows: &[&Map<String, Value>], key: &str, quantity: Quantity, settings: &Published) -> Option<Curve> {
    let values: Vec<Option<f64>> = rows.iter().map(|row| row.get(key)?.as_f64()).collect();
    curve_of(&values, quantity, settings)
}

fn curve_of(values: &[Option<f64>], quantity: Quantity, settings: &Published) -> Option<Curve> {
    let first = values.iter().flatten().next()?;
    let point = |(i, mean): (usize, &Option<f64>)| {
        Some(CurvePoint {
            examples_seen: i.saturating_mul(settings.every_examples),
            step: 0,
            mean: (*mean)?,
            se: None,
            change: (*mean)? - first,
            change_se: None,
        })
    };
    Some(Curve {
        quantity: quantity.key(),
        kind: quantity.kind().map(str::to_owned),
        unit: quantity.measure().unit(),
        n: 0,
        points: values.iter().enumerate().filter_map(point).collect(),
    })
}

fn margin(rows: &[&Map<String, Value>], settings: &Published) -> Option<Curve> {
    let logp = |row: &Map<String, Value>, kind: &str| row.get(&format!("{LOGP}{kind}"))?.as_f64();
    let values: Vec<Option<f64>> =
        rows.iter().map(|row| Some(logp(row, "chosen")? - logp(row, "rejected")?)).collect();
    curve_of(&values, Quantity::Margin(Measure::Logp), settings)
}

fn manifest(name: &str, settings: &Published) -> Manifest {
    let stage = StageInfo {
        name: settings.stage.clone(),
        summary: "logged by the reference code".into(),
        finished: true,
        ..StageInfo::default()
    };
    Manifest {
        schema: record::SCHEMA_VERSION,
        title: name.to_owned(),
        stages: vec![stage],
        ..Manifest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Published {
        Published { stage: "dpo".into(), every_examples: 100, argmax_of: None }
    }

    fn row(chosen: f64, argmax: &str, fixed: bool) -> String {
        let (before, after) = if fixed { ("\"chosen_A_o\": 251.6, ", "") } else { ("", ", \"A_o\": 231.7") };
        format!(
            "{{{before}\"{LOGP}chosen\": {chosen}, \"{ARGMAX}\": {argmax}, \"except_argmax_prob_logits\": NaN{after}, \
             \"{LOGP}rejected\": -121.0}}"
        )
    }

    fn means(member: &Member, quantity: Quantity) -> Vec<(usize, f64)> {
        let curve = member.summary.stages[0].curve(quantity).expect("a curve");
        curve.points.iter().map(|p| (p.examples_seen, p.mean)).collect()
    }

    #[test]
    fn the_overwritten_figure_goes_to_the_kind_that_it_belongs_to() {
        let text = [row(-152.0, "-113.5", false), row(-160.0, "-100.0", false)].join("\n");
        let old = published("old", &text, &settings()).unwrap();
        let along = |kind| Quantity::Of(Measure::Greedy, kind);
        assert_eq!(means(&old, along("random_nonhum")), [(0, -113.5), (100, -100.0)]);
        assert!(old.summary.stages[0].curve(along("chosen")).is_none());
        assert_eq!(means(&old, Quantity::Margin(Measure::Logp)), [(0, -31.0), (100, -39.0)]);

        let text = [row(-152.0, "-61.6", true), row(-160.0, "NaN", true)].concat();
        let fixed = published("fixed", &text, &settings()).unwrap();
        assert_eq!(means(&fixed, along("chosen")), [(0, -61.6)]);
        let told = Published { argmax_of: Some("rejected".into()), ..settings() };
        assert_eq!(means(&published("told", &text, &told).unwrap(), along("rejected")), [(0, -61.6)]);
    }

    #[test]
    fn restarts_and_runs_in_turns_are_told_apart() {
        let logged = |values: &[f64]| {
            let text: Vec<String> = values.iter().map(|v| row(*v, "-1.0", true)).collect();
            let member = published("p", &text.join("\n"), &settings()).unwrap();
            let chosen = means(&member, Quantity::Of(Measure::Logp, "chosen"));
            (chosen.into_iter().map(|(_, v)| v).collect::<Vec<_>>(), member.summary.remarks)
        };
        let (values, remarks) = logged(&[-1.0, -2.0, -3.0, -1.0, -9.0]);
        assert_eq!(values, [-1.0, -2.0, -3.0]);
        assert!(remarks[0].contains("Evaluation 3"));
        let (values, remarks) = logged(&[-1.0, -1.0, -2.0, -2.5, -3.0, -3.5]);
        assert_eq!(values, [-1.0, -2.0, -3.0]);
        assert!(remarks[0].contains("in turns"));
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let error = |text: &str| format!("{:#}", published("p", text, &settings()).unwrap_err());
        assert!(error("").contains("no evaluation"));
        assert!(error("{\"loss\": 1.0}").contains("found loss"));
        assert!(error("{\"a\": 1}\n{").contains("evaluation 1"));
    }
}
