//! Bad input ends with one clear message, a status that is not 0, no panic,
//! and leaves earlier output as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

fn ldyn(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ldyn")).arg("--quiet").args(arguments).output().unwrap()
}

fn succeeds(arguments: &[&str]) -> String {
    let output = ldyn(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs into an error that mentions every one of `words`, once, without a panic.
fn fails(arguments: &[&str], words: &[&str]) {
    let output = ldyn(arguments);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
    assert!(message.starts_with("error: ") && message.matches("error: ").count() == 1, "{message}");
    assert!(!message.contains("panicked"), "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` not in: {message}");
    }
}

/// A folder with a small trained run in `demo/run`, made once for all tests.
fn fixture() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let demo = folder.path().join("demo").display().to_string();
        let small = ["stages.pretrain", "stages.sft", "stages.dpo"].map(|s| format!("{s}.max_steps=2"));
        let mut arguments = vec!["demo", "--pretrain", "--output", &demo, "--set", "probe.prompts=4"];
        small.iter().for_each(|s| arguments.extend(["--set", s]));
        succeeds(&arguments);
        folder
    });
    made.path()
}

fn base_model() -> PathBuf {
    fixture().join("demo/run/pretrain")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A copy of the base model that a test may break.
fn copied_model(folder: &Path) -> PathBuf {
    let copy = folder.join("model");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(base_model()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy
}

fn probe(model: &Path, data: &Path, folder: &Path, words: &[&str]) {
    let out = folder.join("rows.jsonl");
    fails(&["probe", "--model", text(model), "--data", text(data), "--out", text(&out)], words);
    assert!(!out.exists(), "a failed probe leaves no file behind");
}

const PAIR: &str =
    r#"{"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " Hello there.", "rejected": " No."}"#;

fn data_file(folder: &Path, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join("data.jsonl");
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_good_model_and_file_are_probed() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_file(folder.path(), PAIR);
    let out = folder.path().join("rows.jsonl");
    succeeds(&["probe", "--model", text(&base_model()), "--data", text(&data), "--out", text(&out)]);
    let rows = fs::read_to_string(&out).unwrap();
    let row: serde_json::Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    for field in [
        "example",
        "kind",
        "n_tokens",
        "logp",
        "logp_mean",
        "argmax_logp",
        "rest_logp",
        "a_norm",
        "a_norm_reference",
        "gap_norm",
        "energy",
        "entropy",
    ] {
        assert!(row.get(field).is_some_and(|v| !v.is_null()), "{field} in {row}");
    }
    assert_eq!(rows.lines().count(), 2);
    // The file is not written over.
    fails(
        &["probe", "--model", text(&base_model()), "--data", text(&data), "--out", text(&out)],
        &["rows.jsonl", "remove it or choose another"],
    );
    assert_eq!(fs::read_to_string(&out).unwrap(), rows);
}

#[test]
fn a_missing_model_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_file(folder.path(), PAIR);
    probe(Path::new("no-such-model"), &data, folder.path(), &["no-such-model"]);
}

#[test]
fn damaged_weights_are_refused_by_name() {
    let data_folder = tempfile::tempdir().unwrap();
    let data = data_file(data_folder.path(), PAIR);
    let weights = |model: &Path| model.join("model.safetensors");

    let folder = tempfile::tempdir().unwrap();
    let model = copied_model(folder.path());
    let bytes = fs::read(weights(&model)).unwrap();
    fs::write(weights(&model), &bytes[..bytes.len() / 2]).unwrap();
    probe(&model, &data, folder.path(), &["model.safetensors"]);

    // One weight becomes NaN: the last four bytes of the file.
    let mut nan = bytes.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(weights(&model), &nan).unwrap();
    probe(&model, &data, folder.path(), &["NaN"]);

    // The config asks for another width than the file has.
    fs::write(weights(&model), &bytes).unwrap();
    let config = model.join("config.json");
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    json["intermediate_size"] = serde_json::json!(json["intermediate_size"].as_u64().unwrap() + 1);
    fs::write(&config, json.to_string()).unwrap();
    probe(&model, &data, folder.path(), &["shape"]);
}

#[test]
fn unknown_keys_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study.toml");
    fs::write(&study, "output='o'\nsead=3\n[model]\npath='m'\n[data]\ntrain='d'\n").unwrap();
    fails(&["run", text(&study)], &["sead", "study.toml"]);
    let demo = fixture().join("demo/study.toml");
    fails(&["run", text(&demo), "--set", "stages.dpo.betta=1"], &["betta"]);
}

#[test]
fn bad_lines_are_named_by_file_and_line() {
    let long = format!(r#"{{"prompt": "{}", "chosen": " a", "rejected": " b"}}"#, "word ".repeat(40));
    let cases: [(Vec<u8>, &[&str]); 4] = [
        (format!("{PAIR}\n{{\"prompt\": \n").into_bytes(), &["data.jsonl", "line 2"]),
        (
            format!("{PAIR}\n{}", PAIR.replace(" No.", "  ")).into_bytes(),
            &["data.jsonl", "line 2", "rejected"],
        ),
        (PAIR.replace("Hello", "<|endoftext|>").into_bytes(), &["line 1", "<|endoftext|>"]),
        ([PAIR.as_bytes(), b"\n{\"prompt\": \"\xff\xfe\"}"].concat(), &["data.jsonl", "line 2", "UTF-8"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let lengths = [
        "--set",
        "data.max_length=32",
        "--set",
        "data.max_prompt_length=16",
        "--set",
        "stages.0.max_steps=1",
    ];
    let model = base_model();
    for (content, words) in cases {
        let data = data_file(folder.path(), content);
        let out = folder.path().join("run");
        let train = ["train", "dpo", "--model", text(&model), "--data", text(&data), "--output", text(&out)];
        fails(&[train.as_slice(), &lengths].concat(), words);
        assert!(!out.join("metrics.jsonl").exists());
    }
    // A prompt that does not fit is cut for training, and refused where it would be continued.
    let data = data_file(folder.path(), long);
    let out = folder.path().join("cut");
    let train = ["train", "sft", "--model", text(&model), "--data", text(&data), "--output", text(&out)];
    succeeds(&[train.as_slice(), &lengths].concat());
    assert!(fs::read_to_string(out.join("manifest.json")).unwrap().contains("cut 1 of 1 prompts"));
    let endless = "word ".repeat(5000);
    fails(&["generate", "--model", text(&base_model()), "--prompt", &endless], &["prompt", "positions"]);
    fails(
        &[
            "train",
            "sft",
            "--model",
            text(&base_model()),
            "--data",
            text(&data),
            "--output",
            "x",
            "--set",
            "data.max_length=100000",
        ],
        &["max_length", "100000"],
    );
}

#[test]
fn a_run_never_writes_over_another() {
    let run = fixture().join("demo/run");
    let read = || -> Vec<Vec<u8>> {
        ["metrics.jsonl", "probes.jsonl", "manifest.json", "config.toml"]
            .iter()
            .map(|f| fs::read(run.join(f)).unwrap())
            .collect()
    };
    let before = read();
    fails(&["run", text(&fixture().join("demo/study.toml"))], &["holds a run already", "never overwritten"]);
    assert_eq!(read(), before);
}

#[test]
fn the_probe_verb_gives_the_numbers_that_training_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let (out, run) = (folder.path().join("rows.jsonl"), fixture().join("demo/run"));
    let data = fixture().join("demo/train.jsonl");
    let kinds = [
        "--kinds",
        "chosen,rejected",
        "--limit",
        "4",
        "--set",
        "data.max_length=128",
        "--set",
        "data.max_prompt_length=64",
    ];
    let model = run.join("dpo");
    let arguments = ["probe", "--model", text(&model), "--data", text(&data), "--out", text(&out)];
    succeeds(&[&arguments[..], &kinds].concat());
    let rows = |path: &Path| -> Vec<serde_json::Value> {
        fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    let recorded = rows(&run.join("probes.jsonl"));
    let fresh = rows(&out);
    assert_eq!(fresh.len(), 8);
    for row in fresh {
        let same = |r: &&serde_json::Value| {
            r["stage"] == "dpo"
                && r["step"] == 2
                && r["kind"] == row["kind"]
                && r["example"] == row["example"]
        };
        let twin = recorded.iter().find(same).unwrap();
        assert_eq!(twin["logp"], row["logp"], "{row}");
    }
}

#[test]
fn what_is_wrong_with_a_later_stage_is_seen_before_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let demo = fixture().join("demo");
    let study = demo.join("study.toml");
    let output = format!("output={}", text(&out));
    let broken = folder.path().join("broken.jsonl");
    let mut lines = fs::read_to_string(demo.join("train.jsonl")).unwrap();
    let before = lines.lines().count();
    lines += &PAIR.replace("Hello", "<|endoftext|>");
    fs::write(&broken, lines).unwrap();
    let data = format!("data.train={}", text(&broken));
    for (assignment, words) in [
        (data.as_str(), &[&format!("line {}", before + 1), "<|endoftext|>"][..]),
        ("stages.dpo.reference=no-such-model", &["stage `dpo`", "reference", "no-such-model"]),
        ("stages.sft.targets=[\"chosen\",\"chozen\"]", &["chozen"]),
        ("probe.kinds=[\"chosen\",\"rejekted\"]", &["probe.kinds", "rejekted"]),
        ("stages.dpo.name=report.html", &["report.html"]),
        ("stages.sft.optimizer.alpha=1.5", &["alpha = 1.5"]),
        ("stages.sft.epochs=1e-9", &["epochs"]),
    ] {
        for verb in ["run", "check"] {
            fails(&[verb, text(&study), "--set", &output, "--set", assignment], words);
            assert!(!out.exists(), "{verb} {assignment}");
        }
    }
}

#[test]
fn a_study_is_checked_without_a_trace_and_refused_where_it_cannot_fit() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let demo = fixture().join("demo");
    let (study, output) = (demo.join("study.toml"), format!("output={}", text(&out)));
    let check = ["check", text(&study), "--set", &output];
    let table = succeeds(&check);
    assert!(["gpt_neox", "pretrain", "sft", "dpo", "MiB"].iter().all(|word| table.contains(word)), "{table}");
    let plan: serde_json::Value =
        serde_json::from_str(&succeeds(&[&check[..], &["--json"]].concat())).unwrap();
    // The run that the fixture has made took these steps, and read these tokens.
    let small = ["stages.pretrain", "stages.sft", "stages.dpo"].map(|s| format!("{s}.max_steps=2"));
    let sets = small.iter().flat_map(|s| ["--set", s]).chain(["--set", "probe.prompts=4", "--json"]);
    let plan_of_two: serde_json::Value =
        serde_json::from_str(&succeeds(&check.into_iter().chain(sets).collect::<Vec<_>>())).unwrap();
    let metrics = fs::read_to_string(demo.join("run/metrics.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = metrics.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for (i, name) in ["pretrain", "sft", "dpo"].iter().enumerate() {
        let own: Vec<_> = rows.iter().filter(|row| row["stage"] == **name).collect();
        let planned = &plan_of_two["stages"][i];
        assert_eq!(planned["steps"], own.len(), "{name}");
        let tokens: u64 = own.iter().map(|row| row["num_tokens"].as_u64().unwrap()).sum();
        assert_eq!(planned["work"]["rows"], tokens, "{name}");
        assert!(plan["stages"][i]["steps"].as_u64() > planned["steps"].as_u64(), "{name}");
    }
    assert!(!out.exists());

    // A model of 6 · 10^11 weights does not fit, and is refused before one is made.
    let config = demo.join("shape/config.json");
    let mut shape: serde_json::Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    (shape["hidden_size"], shape["num_attention_heads"]) = (20_480.into(), 128.into());
    (shape["num_hidden_layers"], shape["intermediate_size"]) = (120.into(), 81_920.into());
    let large = folder.path().join("large.json");
    fs::write(&large, shape.to_string()).unwrap();
    let config = format!("model.config={}", text(&large));
    let tokenizer = format!("model.tokenizer={}", text(&demo.join("shape")));
    for verb in ["run", "check"] {
        let arguments = [verb, text(&study), "--set", &output, "--set", &config, "--set", &tokenizer];
        fails(&arguments, &["GiB of memory", "are free", "memory_check"]);
        assert!(!out.exists());
    }
}

#[test]
fn a_step_is_decomposed_as_it_stands_in_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let demo = fixture().join("demo");
    let out = folder.path().join("run");
    let every = [
        format!("output={}", text(&out)),
        "stages.pretrain.max_steps=2".into(),
        "stages.sft.max_steps=3".into(),
        "stages.dpo.max_steps=1".into(),
        "probe.prompts=2".into(),
        "checkpoints.save_steps=1".into(),
        "checkpoints.save_total_limit=0".into(),
    ];
    let (study, sets) = (demo.join("study.toml"), every.iter().flat_map(|set| ["--set", set]));
    succeeds(&["run", text(&study)].into_iter().chain(sets).collect::<Vec<_>>());
    let (model, data) = (out.join("sft"), demo.join("train.jsonl"));
    let checkpoint = |name: &str| out.join("checkpoints").join(name).display().to_string();
    let decompose = |name: &str, json: &Path| -> Vec<String> {
        let [checkpoint, json] = [checkpoint(name), json.display().to_string()];
        [
            "decompose",
            "--model",
            text(&model),
            "--data",
            text(&data),
            "--checkpoint",
            &checkpoint,
            "--json",
            &json,
        ]
        .map(String::from)
        .to_vec()
    };
    let [first, third] = ["02-sft-000001", "02-sft-000002"].map(|name| {
        let json = folder.path().join(format!("{name}.json"));
        succeeds(&decompose(name, &json).iter().map(String::as_str).collect::<Vec<_>>());
        let found: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        found["update"].clone()
    });
    // The rate of the warm-up and RMSprop's averages are those of the step.
    assert!(first["learning_rate"].as_f64() < third["learning_rate"].as_f64(), "{first} {third}");
    let json = folder.path().join("x.json");
    let at_end = decompose("02-sft-end", &json);
    fails(&at_end.iter().map(String::as_str).collect::<Vec<_>>(), &["end of a stage"]);
    let of_dpo = decompose("03-dpo-end", &json);
    fails(&of_dpo.iter().map(String::as_str).collect::<Vec<_>>(), &["--reference"]);
}
