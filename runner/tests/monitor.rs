//! What alarms do to a run: from the records to the exit status.

use ldyn::demo;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

fn ldyn(arguments: &[&str], set: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ldyn"));
    command.arg("--quiet").args(arguments);
    set.iter().for_each(|assignment| {
        command.args(["--set", assignment]);
    });
    command.output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn rows(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// The demo's corpus and, in `run/pretrain`, a tiny model that has read a little of it.
fn fixture() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        demo::materialise(folder.path(), 1, demo::Start::Pretraining).unwrap();
        let shape = folder.path().join(demo::SHAPE).join("config.json");
        let mut config = json(&shape);
        for (key, value) in [
            ("hidden_size", 32),
            ("num_hidden_layers", 1),
            ("num_attention_heads", 2),
            ("intermediate_size", 64),
        ] {
            config[key] = value.into();
        }
        fs::write(&shape, config.to_string()).unwrap();
        let (data, out) = (folder.path().join(demo::TRAIN), folder.path().join("run"));
        let output = ldyn(
            &["pretrain", "--config", text(&shape), "--data", text(&data), "--output", text(&out)],
            &[
                "data.max_length=128",
                "data.max_prompt_length=64",
                "probe.prompts=1",
                "stages.0.block_length=64",
                "stages.0.max_steps=40",
                "stages.0.learning_rate=1e-2",
                "stages.0.reduction=token_mean",
                "stages.0.warmup_steps=5",
                "stages.0.optimizer={ name = \"adamw\" }",
            ],
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        folder
    });
    made.path()
}

/// Eight steps of DPO with a probe after each.
fn dpo(out: &Path, set: &[&str]) -> Output {
    let (model, data) = (fixture().join("run/pretrain"), fixture().join(demo::TRAIN));
    let small = [
        "data.max_length=128",
        "data.max_prompt_length=64",
        "data.limit=32",
        "probe.prompts=6",
        "probe.kinds=[\"chosen\", \"rejected\", \"irr_hum\"]",
        "probe.every_examples=4",
        "monitor.answer_tokens=8",
        "stages.0.warmup_steps=0",
    ];
    let arguments = ["train", "dpo", "--model", text(&model), "--data", text(&data), "--output", text(out)];
    ldyn(&arguments, &[&small, set].concat())
}

const STEPS: usize = 8;
/// Twenty thousand times the protocol's rate: every kind falls at once.
const TOO_LARGE: &str = "stages.0.learning_rate=1e-2";
const RULE: &str = "unsure-of-everything";

/// Where a rule's action was taken, which must be before the last step.
fn step_of(run: &Path, action: &str) -> u64 {
    let alarms = rows(&run.join("alarms.jsonl"));
    let alarm = alarms.iter().find(|a| a["action"] == action).unwrap_or_else(|| panic!("{alarms:?}"));
    assert_eq!(alarm["rule"], RULE);
    let step = alarm["step"].as_u64().unwrap();
    assert!(step < STEPS as u64, "{alarm}");
    step
}

#[test]
fn an_alarm_stops_the_run_and_leaves_the_model_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let run: PathBuf = folder.path().join("run");
    let output = dpo(&run, &[TOO_LARGE, &format!("monitor.actions.{RULE}=stop")]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{error}");
    assert!(error.starts_with(&format!("error: the alarm `{RULE}` stopped stage `dpo`")), "{error}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("Alarms:"));

    let step = step_of(&run, "stop");
    assert_eq!(rows(&run.join("metrics.jsonl")).len() as u64, step);
    let manifest = json(&run.join("manifest.json"));
    assert_eq!(manifest["stages"][0]["finished"], false);
    assert_eq!(manifest["stages"][0]["stopped_by"], RULE);
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("<section id=\"alarms\">") && page.contains(&format!("stopped by {RULE}")));

    // The saved model gives the numbers of the last probe.
    let (out, data, model) = (folder.path().join("rows.jsonl"), fixture().join(demo::TRAIN), run.join("dpo"));
    let probe =
        ["probe", "--kinds", "chosen", "--limit", "1", "--model", text(&model), "--data", text(&data)];
    let lengths = ["data.max_length=128", "data.max_prompt_length=64"];
    assert!(ldyn(&[&probe[..], &["--out", text(&out)]].concat(), &lengths).status.success());
    let probes = rows(&run.join("probes.jsonl"));
    let last = probes.iter().rev().find(|r| r["example"] == 0 && r["kind"] == "chosen").unwrap();
    assert_eq!(rows(&out)[0]["logp"], last["logp"]);
}

#[test]
fn the_learning_rate_is_lowered_from_the_next_step_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let output = dpo(&run, &[TOO_LARGE, &format!("monitor.actions.{RULE}=lower_rate")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (step, metrics) = (step_of(&run, "lower_rate"), rows(&run.join("metrics.jsonl")));
    assert_eq!(metrics.len(), STEPS);
    for m in &metrics {
        let expected = if m["step"].as_u64().unwrap() > step { 1e-3 } else { 1e-2 };
        assert!((m["learning_rate"].as_f64().unwrap() - expected).abs() < 1e-12, "{m}");
    }
}

#[test]
fn the_mitigation_weighs_y_plus_more_from_the_next_step_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let output = dpo(&run, &[TOO_LARGE, &format!("monitor.actions.{RULE}=mitigate")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (step, metrics) = (step_of(&run, "mitigate"), rows(&run.join("metrics.jsonl")));
    assert_eq!(metrics.len(), STEPS);
    for m in &metrics {
        // DPO weighs both responses alike; the anchor adds the mean of 1/L₊.
        let [plus, minus] = ["weight_chosen", "weight_rejected"].map(|w| m[w].as_f64().unwrap());
        let anchored = m["step"].as_u64().unwrap() > step;
        assert_eq!(plus - minus > 1e-3, anchored, "{m}");
    }
}

#[test]
fn weights_that_diverge_stop_the_run_and_without_a_monitor_are_an_error() {
    let diverging = "stages.0.learning_rate=1e30";
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let output = dpo(&run, &[diverging]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{error}");
    assert!(error.contains("`not-finite`"), "{error}");
    assert_eq!(rows(&run.join("alarms.jsonl")).last().unwrap()["rule"], "not-finite");
    assert!(run.join("report.html").exists());

    let run = folder.path().join("unwatched");
    let output = dpo(&run, &[diverging, "monitor.enabled=false"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!run.join("alarms.jsonl").exists() && !run.join("answers.jsonl").exists());
}
