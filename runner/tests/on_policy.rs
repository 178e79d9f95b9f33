//! Stages that train on the policy's own answers.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn ldyn(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ldyn"))
        .current_dir(folder)
        .arg("--quiet")
        .args(arguments)
        .output()
        .unwrap()
}

fn succeeds(folder: &Path, arguments: &[&str]) {
    let output = ldyn(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn rows(path: &Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A base model, its data, and a study of SFT and two rounds of on-policy DPO whose reward is a command.
fn study(folder: &Path) {
    ldyn::demo::materialise(folder, 1, ldyn::demo::Start::Embedded).unwrap();
    let text = r#"
output = "run"
[model]
path = "base"
[data]
train = "train.jsonl"
limit = 12
max_length = 128
max_prompt_length = 64
[probe]
prompts = 4
kinds = ["chosen", "rejected"]
[checkpoints]
save_steps = 1
save_total_limit = 0
[monitor]
answers = 0
[[stages]]
objective = "sft"
max_steps = 2
[[stages]]
objective = "dpo"
reference = "run/sft"
samples = { per_prompt = 3, max_new_tokens = 12, reward = { command = ["awk", "{ print length($0) }"] } }
[[stages]]
objective = "spin"
samples = { replace = "rejected", max_new_tokens = 12 }
"#;
    fs::write(folder.join("study.toml"), text).unwrap();
}

#[test]
#[cfg(unix)]
fn the_policy_answers_is_ranked_and_trained_on_and_goes_on_where_it_was_cut_off() {
    let whole = tempfile::tempdir().unwrap();
    study(whole.path());
    succeeds(whole.path(), &["run", "study.toml"]);
    let run = whole.path().join("run");
    let drawn = rows(&run.join("dpo-samples.jsonl"));
    assert_eq!(drawn.len(), 12);
    for row in &drawn {
        // The command ranks by the length of a row, which is that of its text and prompt.
        let rewards: Vec<f64> =
            row["rewards"].as_array().unwrap().iter().map(|r| r.as_f64().unwrap()).collect();
        let lengths: Vec<usize> =
            row["texts"].as_array().unwrap().iter().map(|t| t.to_string().len()).collect();
        let longest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let i = rewards.iter().position(|r| *r == longest(&rewards)).unwrap();
        assert_eq!(Some(&lengths[i]), lengths.iter().max(), "{row}");
    }
    // The rounds differ in what was drawn.
    let spin = rows(&run.join("spin-samples.jsonl"));
    assert!(spin.iter().all(|row| row["texts"].as_array().unwrap().len() == 1));
    assert!(spin.iter().zip(&drawn).any(|(a, b)| a["texts"][0] != b["texts"][0]));

    // A run that goes on from within an on-policy stage ends with the same bytes.
    let cut = tempfile::tempdir().unwrap();
    study(cut.path());
    succeeds(cut.path(), &["run", "study.toml"]);
    for name in ["03-spin-end", "03-spin-000002", "03-spin-000001", "02-dpo-end"] {
        let folder = cut.path().join("run/checkpoints").join(name);
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    let resume = ["run", "study.toml", "--resume=run/checkpoints/02-dpo-000001"];
    succeeds(cut.path(), &resume);
    for name in ["probes.jsonl", "dpo-samples.jsonl", "spin-samples.jsonl", "spin/model.safetensors"] {
        let [a, b] =
            [whole.path(), cut.path()].map(|folder| fs::read(folder.join("run").join(name)).unwrap());
        assert!(a == b, "{name}");
    }
}

#[test]
#[cfg(unix)]
fn what_cannot_rank_is_named() {
    let folder = tempfile::tempdir().unwrap();
    study(folder.path());
    for (assignment, words) in [
        (
            "stages.dpo.samples.reward={likelihood='no-such'}",
            &["stage `dpo`", "samples.reward", "no-such"][..],
        ),
        ("stages.dpo.samples.reward=", &["samples.reward is missing"]),
        ("stages.dpo.samples.per_prompt=1", &["per_prompt = 1"]),
        ("stages.dpo.samples.reward={command=['no-such-program']}", &["no-such-program"]),
        ("stages.dpo.samples.reward={command=['head','-n','1']}", &["samples.reward", "\"head\""]),
        ("stages.dpo.samples.reward={command=['false']}", &["exit status: 1"]),
        ("stages.sft.samples={replace='rejected'}", &["`sft` has no pairs"]),
    ] {
        let output = ldyn(folder.path(), &["run", "study.toml", "--set", assignment]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{assignment}: {message}");
        assert!(words.iter().all(|word| message.contains(word)), "{assignment}: {message}");
        let _ = fs::remove_dir_all(folder.path().join("run"));
    }
}
