//! What alarms do to a run: from the records to the exit status.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn demo(folder: &Path, set: &[&str]) -> (PathBuf, Output) {
    let out = folder.join("demo");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ldyn"));
    command.args(["--quiet", "demo", "--pretrain", "--output"]).arg(&out);
    let small = [
        "probe.prompts=6",
        "probe.kinds=[\"chosen\", \"rejected\", \"irr_hum\"]",
        "probe.initial_answer_tokens=0",
        "monitor.answer_tokens=8",
        "stages.pretrain.max_steps=10",
        "stages.sft.max_steps=1",
        "stages.dpo.max_steps=8",
        "stages.dpo.warmup_steps=0",
        "stages.dpo.probe_every_examples=8",
    ];
    for assignment in small.iter().chain(set) {
        command.args(["--set", assignment]);
    }
    (out.join("run"), command.output().unwrap())
}

fn rows(path: &Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn steps_of_dpo(run: &Path) -> Vec<serde_json::Value> {
    rows(&run.join("metrics.jsonl")).into_iter().filter(|m| m["stage"] == "dpo").collect()
}

/// A hundred times the step that these stages bear.
const TOO_LARGE: &str = "stages.dpo.learning_rate=2e-3";

#[test]
fn an_alarm_stops_the_run_and_leaves_the_model_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (run, output) = demo(folder.path(), &[TOO_LARGE, "monitor.actions.unsure-of-everything=stop"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{error}");
    assert!(error.starts_with("error: the alarm `unsure-of-everything` stopped stage `dpo`"), "{error}");

    let alarms = rows(&run.join("alarms.jsonl"));
    let alarm = alarms.iter().find(|a| a["action"] == "stop").unwrap();
    assert_eq!(alarm["stage"], "dpo");
    let steps = steps_of_dpo(&run);
    assert!(steps.len() < 8 && alarm["step"] == steps.len(), "{alarm}");

    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(run.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["stages"][2]["finished"], false);
    assert_eq!(manifest["stages"][2]["stopped_by"], "unsure-of-everything");
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("<section id=\"alarms\">") && page.contains("stopped by unsure-of-everything"));
    assert!(String::from_utf8(output.stdout).unwrap().contains("Alarms:"));

    // The saved model gives the numbers of the last probe.
    let (out, data) = (folder.path().join("rows.jsonl"), folder.path().join("demo/train.jsonl"));
    let mut probe = Command::new(env!("CARGO_BIN_EXE_ldyn"));
    probe.args(["--quiet", "probe", "--kinds", "chosen", "--limit", "1"]);
    probe.args(["--set", "data.max_length=128", "--set", "data.max_prompt_length=64", "--model"]);
    probe.arg(run.join("dpo")).arg("--data").arg(data).arg("--out").arg(&out);
    assert!(probe.status().unwrap().success());
    let last = |r: &&serde_json::Value| r["example"] == 0 && r["kind"] == "chosen";
    let recorded = rows(&run.join("probes.jsonl")).into_iter().rev().find(|r| last(&r)).unwrap();
    assert_eq!(rows(&out)[0]["logp"], recorded["logp"]);
}

#[test]
fn a_stopped_stage_goes_back_to_its_peak_if_it_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let stop = "monitor.actions.unsure-of-everything=stop";
    let (run, output) = demo(folder.path(), &[TOO_LARGE, stop, "stages.dpo.early_stopping={}"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{error}");
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(run.join("manifest.json")).unwrap()).unwrap();
    let stage = &manifest["stages"][2];
    assert_eq!(stage["finished"], false);
    let peak = stage["peak"]["step"].as_u64().unwrap();
    assert!(peak < steps_of_dpo(&run).len() as u64, "{stage}");
    assert!(error.contains(&format!("the model as it was at its peak, step {peak}, is in")), "{error}");
    assert!(run.join("dpo/model.safetensors").exists());
}

#[test]
fn a_rate_is_lowered_and_a_mitigation_switched_on() {
    let folder = tempfile::tempdir().unwrap();
    let actions =
        ["monitor.actions.unsure-of-everything=lower_rate", "monitor.actions.chosen-displaced=mitigate"];
    let (run, output) = demo(folder.path(), &[&[TOO_LARGE][..], &actions].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let alarms = rows(&run.join("alarms.jsonl"));
    let steps = steps_of_dpo(&run);
    assert_eq!(steps.len(), 8);
    let lowered = alarms.iter().find(|a| a["action"] == "lower_rate").unwrap()["step"].as_u64().unwrap();
    for step in &steps {
        let factor = if step["step"].as_u64().unwrap() > lowered { 0.1 } else { 1.0 };
        let rate = step["learning_rate"].as_f64().unwrap();
        assert!((rate - 2e-3 * factor).abs() < 1e-12, "{step}");
    }
    // DPO weighs both responses alike; the anchor weighs y⁺ more.
    let Some(mitigated) = alarms.iter().find(|a| a["action"] == "mitigate") else { return };
    for step in &steps {
        let [plus, minus] = ["weight_chosen", "weight_rejected"].map(|w| step[w].as_f64().unwrap());
        let anchored = step["step"].as_u64() > mitigated["step"].as_u64();
        assert_eq!(plus > minus + 1e-9, anchored, "{step}");
    }
}

#[test]
fn weights_that_diverge_stop_the_run_and_without_a_monitor_are_an_error() {
    let diverging = "stages.dpo.learning_rate=1e30";
    let folder = tempfile::tempdir().unwrap();
    // No probe before the second step, which is the first to meet what the first has done.
    let unprobed = "stages.dpo.probe_every_examples=1000";
    let (run, output) = demo(folder.path(), &[diverging, unprobed]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{error}");
    assert!(error.contains("`not-finite`"), "{error}");
    assert!(error.contains("03-dpo-000001 --set stages.dpo.learning_rate=RATE"), "{error}");
    let alarm = rows(&run.join("alarms.jsonl")).pop().unwrap();
    assert_eq!((&alarm["rule"], &alarm["step"]), (&"not-finite".into(), &1.into()));
    let what = alarm["numbers"][0]["what"].as_str().unwrap();
    for words in
        ["step 2: log π is not finite in y⁺ of example ", "; the batch is examples ", "no weight was changed"]
    {
        assert!(what.contains(words), "{what}");
    }
    assert!(run.join("report.html").exists());

    let folder = tempfile::tempdir().unwrap();
    let (run, output) = demo(folder.path(), &[diverging, unprobed, "monitor.enabled=false"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    for words in ["step 2: log π is not finite in y⁺ of example ", "03-dpo-000001 is the run before that"]
    {
        assert!(error.contains(words), "{error}");
    }
    assert!(run.join("checkpoints/03-dpo-000001").exists() && !run.join("alarms.jsonl").exists());
}
