//! What the reference code writes at each evaluation, made from records.

use crate::record::{Fault, Manifest, ProbeRow};
use std::fmt::Write;

/// The log of each stage but pretraining: its name and a line an evaluation, JSON as Python writes it, means over prompts
/// under the code's own names.
///
/// `ldyn import-curves` reads these lines as it reads the published ones.
pub fn logs(manifest: &Manifest, rows: &[ProbeRow]) -> Vec<(String, String)> {
    let finetuning = manifest.stages.iter().filter(|s| s.objective != "pretrain");
    finetuning.map(|stage| (stage.name.clone(), log(&stage.name, manifest, rows))).collect()
}

/// Name of a stage's log: the code's own, behind the stage's.
pub fn log_name(stage: &str) -> String {
    format!("{stage}-prob_train_metrics.json")
}

fn log(stage: &str, manifest: &Manifest, rows: &[ProbeRow]) -> String {
    let of_stage = rows.iter().filter(|row| row.stage.as_deref() == Some(stage));
    let mut evaluations: Vec<(Option<usize>, Vec<&ProbeRow>)> = Vec::new();
    for row in of_stage {
        match evaluations.last_mut() {
            Some((step, rows)) if *step == row.step => rows.push(row),
            _ => evaluations.push((row.step, vec![row])),
        }
    }
    evaluations.iter().fold(String::new(), |mut text, (_, rows)| {
        let fields: Vec<String> = fields(manifest, rows)
            .into_iter()
            .map(|(key, value)| format!("\"{key}\": {}", python(value)))
            .collect();
        writeln!(text, "{{{}}}", fields.join(", ")).expect("a string takes every line");
        text
    })
}

/// Keys and values of one evaluation, in the order in which the code's dictionary has them.
fn fields(manifest: &Manifest, rows: &[&ProbeRow]) -> Vec<(String, f64)> {
    let has = |fault| manifest.faults.contains(&fault);
    let overwritten = has(Fault::ArgmaxOfLastKind);
    let kinds: Vec<&str> = manifest
        .kinds
        .iter()
        .map(String::as_str)
        .filter(|kind| rows.iter().any(|r| r.kind == *kind))
        .collect();
    let told = if overwritten { kinds.last() } else { kinds.iter().find(|kind| **kind == "chosen") };
    let mean = |kind: &str, of: fn(&ProbeRow) -> f64| {
        let of_kind: Vec<f64> = rows.iter().filter(|r| r.kind == kind).map(|r| of(r)).collect();
        of_kind.iter().sum::<f64>() / of_kind.len() as f64
    };
    let mut fields = Vec::new();
    for kind in &kinds {
        if !overwritten {
            fields.push((format!("{kind}_A_o"), mean(kind, |r| r.a_norm_reference)));
        }
        if *kind == "chosen" || !has(Fault::ChosenOnly) {
            fields.push((format!("logps_eval_prob_train/{kind}"), mean(kind, |r| r.logp)));
        }
        if let (Some(told), "chosen") = (told, *kind) {
            let rest = if has(Fault::ExceptArgmaxNan) { f64::NAN } else { mean(told, |r| r.rest_logp) };
            fields.push(("argmax_prob_logits".into(), mean(told, |r| r.argmax_logp)));
            fields.push(("except_argmax_prob_logits".into(), rest));
            if overwritten {
                fields.push(("A_o".into(), mean(told, |r| r.a_norm_reference)));
            }
            fields.push(("p_e".into(), mean(told, |r| r.gap_norm)));
            fields.push(("energy".into(), mean(told, |r| r.energy)));
        }
    }
    fields
}

/// A number as Python's `json` writes it.
fn python(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        v => format!("{v:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Compat, StageInfo};
    use serde_json::Value;

    fn row(step: usize, example: usize, kind: &str, logp: f64) -> ProbeRow {
        ProbeRow {
            stage: Some("dpo".into()),
            step: Some(step),
            example,
            kind: kind.into(),
            logp,
            argmax_logp: logp / 2.0,
            rest_logp: logp / 4.0,
            a_norm_reference: -logp,
            gap_norm: 0.5,
            energy: 0.25,
            ..ProbeRow::default()
        }
    }

    /// Two prompts, two kinds, two evaluations.
    fn written(faults: &[Fault]) -> String {
        let rows: Vec<ProbeRow> = [(0, 0.0), (5, 8.0)]
            .into_iter()
            .flat_map(|(step, less)| {
                [(0, -40.0), (1, -60.0)].into_iter().flat_map(move |(example, logp)| {
                    [
                        row(step, example, "chosen", logp - less),
                        row(step, example, "random_nonhum", 4.0 * logp),
                    ]
                })
            })
            .collect();
        let manifest = Manifest {
            compat: Some(Compat::LearningDynamics202505),
            faults: faults.to_vec(),
            kinds: vec!["chosen".into(), "random_nonhum".into()],
            stages: vec![StageInfo { name: "dpo".into(), objective: "dpo".into(), ..StageInfo::default() }],
            ..Manifest::default()
        };
        let [(stage, text)] = &logs(&manifest, &rows)[..] else { panic!("one log") };
        assert_eq!(stage, "dpo");
        text.clone()
    }

    fn first(text: &str) -> serde_json::Map<String, Value> {
        let line = text.lines().next().unwrap().replace("NaN", "null");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn the_mended_log_has_every_kind_and_the_greedy_confidence_of_chosen() {
        let text = written(&[]);
        assert_eq!(text.lines().count(), 2);
        assert_eq!(
            text.lines().next().unwrap(),
            "{\"chosen_A_o\": 50.0, \"logps_eval_prob_train/chosen\": -50.0, \"argmax_prob_logits\": -25.0, \
             \"except_argmax_prob_logits\": -12.5, \"p_e\": 0.5, \"energy\": 0.25, \"random_nonhum_A_o\": 200.0, \
             \"logps_eval_prob_train/random_nonhum\": -200.0}"
        );
    }

    #[test]
    fn argmax_of_last_kind_logs_shuffled_words_under_a_name_that_means_chosen() {
        let [right, faulty] = [written(&[]), written(&[Fault::ArgmaxOfLastKind])].map(|t| first(&t));
        assert_eq!(
            (&right["argmax_prob_logits"], &faulty["argmax_prob_logits"]),
            (&(-25.0).into(), &(-100.0).into())
        );
        assert_eq!((&right["chosen_A_o"], &faulty["A_o"]), (&50.0.into(), &200.0.into()));
        assert!(!faulty.contains_key("chosen_A_o"));
    }

    #[test]
    fn chosen_only_logs_no_other_kind() {
        let [right, faulty] = [written(&[]), written(&[Fault::ChosenOnly])].map(|t| first(&t));
        let other = "logps_eval_prob_train/random_nonhum";
        assert_eq!((right.get(other), faulty.get(other)), (Some(&(-200.0).into()), None));
        assert_eq!(faulty["logps_eval_prob_train/chosen"], right["logps_eval_prob_train/chosen"]);
    }

    #[test]
    fn except_argmax_nan_is_not_a_number_where_the_right_one_is() {
        let [right, faulty] = [written(&[]), written(&[Fault::ExceptArgmaxNan])].map(|t| first(&t));
        let key = "except_argmax_prob_logits";
        assert_eq!((&right[key], &faulty[key]), (&(-12.5).into(), &Value::Null));
        // The arithmetic itself, in the code's precision: a masked position counts −∞ times 0.
        let masked = |mask: f32| ((1.0 * mask - 0.5 * mask) + 1e-100_f64 as f32).ln() * mask;
        assert!(masked(0.0).is_nan() && masked(1.0) == 0.5_f32.ln());
    }
}
