//! Reference mode: its protocol, and the faults of the reference code that it can bring back.

use ldyn::record::{Fault, Manifest, Metrics, ProbeRow, read_jsonl, read_manifest};
use ldyn::report::{self, Published, published};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const STUDY: &str = r#"
title = "Reference mode"
compat = "learning-dynamics-2025-05"
output = "run"
[model]
path = "base"
[data]
train = "train.jsonl"
limit = 10
max_length = 128
max_prompt_length = 64
[probe]
prompts = 4
every_examples = 8
kinds = ["chosen", "rejected", "random_permute"]
[monitor]
enabled = false
[[stages]]
objective = "dpo"
epochs = 2
learning_rate = 5e-5
warmup_steps = 1
save = false
"#;

/// Runs the study in a folder of its own, with overrides, and reads its records.
struct Run {
    folder: tempfile::TempDir,
    manifest: Manifest,
    metrics: Vec<Metrics>,
    probes: Vec<ProbeRow>,
}

impl Run {
    fn new(overrides: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        ldyn::demo::materialise(folder.path(), 1, ldyn::demo::Start::Embedded).unwrap();
        fs::write(folder.path().join("study.toml"), STUDY).unwrap();
        let set = overrides.iter().flat_map(|o| ["--set", o]);
        let output = Command::new(env!("CARGO_BIN_EXE_ldyn"))
            .current_dir(folder.path())
            .args(["--quiet", "run", "study.toml"])
            .args(set)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let run = folder.path().join("run");
        let (manifest, metrics) =
            (read_manifest(&run).unwrap(), read_jsonl(&run.join("metrics.jsonl")).unwrap());
        let probes = read_jsonl(&run.join("probes.jsonl")).unwrap();
        Self { folder, manifest, metrics, probes }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("run")
    }

    /// Examples seen at each probe.
    fn probed_at(&self) -> Vec<usize> {
        self.probes.iter().filter_map(|r| r.examples_seen).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("dpo-prob_train_metrics.json")).unwrap()
    }
}

fn curve(log: &str) -> report::Member {
    let settings = Published { stage: "dpo".into(), every_examples: 8, argmax_of: None };
    published("own", log, &settings).unwrap()
}

#[test]
fn the_protocol_is_the_reference_codes() {
    // Random weights: those of the demo's base are numbers of half precision already.
    let random = ["model.path=", "model.config=base/config.json", "model.tokenizer=base"];
    let (reference, own) = (Run::new(&random), Run::new(&[&random[..], &["compat="]].concat()));
    // Ten examples in fours: the code drops two of each epoch and takes a batch more for its count of 20.
    assert_eq!((reference.manifest.stages[0].steps, own.manifest.stages[0].steps), (5, 5));
    let seen = |run: &Run| run.metrics.iter().map(|m| m.examples_seen).collect::<Vec<_>>();
    assert_eq!((seen(&reference), seen(&own)), (vec![4, 8, 12, 16, 20], vec![4, 8, 12, 16, 20]));
    assert_ne!(reference.metrics[0].logps_chosen, own.metrics[0].logps_chosen, "another order");
    assert_eq!((reference.probed_at(), own.probed_at()), (vec![0, 8, 16], vec![0, 8, 16, 20]));

    // A reference in half precision: h is not 0 before the first update.
    let margin = |run: &Run| run.metrics[0].rewards_margins.unwrap();
    assert_eq!(margin(&own), 0.0);
    assert!(margin(&reference) != 0.0 && margin(&reference).abs() < 0.05, "{}", margin(&reference));

    // The code's log holds means over prompts, and is read as published curves are.
    assert!(!own.path().join("dpo-prob_train_metrics.json").exists());
    let log = reference.log();
    assert_eq!(log.lines().count(), 3);
    let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    let at_start = |kind: &str| {
        let rows = reference.probes.iter().filter(|r| r.examples_seen == Some(0) && r.kind == kind);
        rows.map(|r| r.logp).sum::<f64>() / 4.0
    };
    let logged = first["logps_eval_prob_train/rejected"].as_f64().unwrap();
    assert!((logged - at_start("rejected")).abs() < 1e-9);
    let note = reference.manifest.stages[0].notes.join(" ");
    assert!(note.contains("rounded to half precision"), "{note}");
    assert_eq!(curve(&log).summary.stages[0].probe_points, 3);
}

/// The only file in a folder.
fn only_file(folder: &Path) -> Vec<u8> {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    fs::read(file).unwrap()
}

#[test]
fn records_are_exported_in_the_forms_of_other_programs() {
    let run = Run::new(&["compat=", "tracking.tensorboard=true"]);
    let out = run.folder.path().join("forms");
    let export = |what: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ldyn"));
        command.args(["export", what, "--out"]).arg(&out).arg(run.path()).output().unwrap()
    };
    for what in ["--tensorboard", "--reference-log"] {
        let output = export(what);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // What was written as the run went on and what is made of its records differ in times alone.
    let [live, made] = [run.path(), out.clone()].map(|folder| only_file(&folder.join("tensorboard/dpo")));
    assert_eq!(live.len(), made.len());
    assert!(live.len() > 1000 && live.windows(20).any(|w| w == b"train/rewards/margin"));
    let log = fs::read_to_string(out.join("dpo-prob_train_metrics.json")).unwrap();
    assert_eq!(curve(&log).summary.stages[0].probe_points, 4);

    // The manifest says what `ldyn env` says.
    let output = Command::new(env!("CARGO_BIN_EXE_ldyn")).args(["env", "--json"]).output().unwrap();
    let told: ldyn::environment::Environment = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(run.manifest.environment, Some(told));
}

#[test]
fn policy_as_reference_keeps_the_weight_at_its_start() {
    let right = Run::new(&["stages.dpo.learning_rate=1e-3"]);
    let faulty = Run::new(&["stages.dpo.learning_rate=1e-3", "faults=['policy_as_reference']"]);
    let weights = |run: &Run| run.metrics.iter().map(|m| m.weight_rejected.unwrap()).collect::<Vec<_>>();
    assert!(weights(&faulty).iter().all(|w| *w == 0.05), "{:?}", weights(&faulty));
    assert!(weights(&right).iter().skip(2).all(|w| (w - 0.05).abs() > 1e-3), "{:?}", weights(&right));
    assert_eq!(faulty.manifest.faults, [Fault::PolicyAsReference]);
}

#[test]
fn log_appended_makes_two_runs_of_one() {
    for (faults, lines) in [("faults=[]", 3), ("faults=['log_appended']", 6)] {
        let run = Run::new(&[faults]);
        report::write(&run.path()).unwrap();
        assert_eq!(run.log().lines().count(), lines, "{faults}");
        let imported = curve(&run.log()).summary;
        assert_eq!(imported.stages[0].probe_points, 3, "a restart is told from a curve");
        assert_eq!(imported.remarks.iter().any(|r| r.contains("a restart")), lines == 6);
    }
}

#[test]
fn what_nothing_would_come_of_is_refused() {
    for (overrides, words) in [
        (&["compat=", "faults=['chosen_only']"][..], &["chosen_only", "learning-dynamics-2025-05"][..]),
        (&["faults=['epochs_never_end']"], &["epochs_never_end", "max_steps"]),
        (&["faults=['no_such']"], &["no_such", "argmax_of_last_kind"]),
        (&["compat='2024'"], &["2024", "learning-dynamics-2025-05"]),
    ] {
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
        let error = format!("{:#}", ldyn::config::parse(STUDY, &overrides).unwrap_err());
        assert!(words.iter().all(|word| error.contains(word)), "{overrides:?}: {error}");
    }
    assert!(!Path::new("run").exists());
}
