//! A study of seconds with everything that a run can have, and the comparison of two runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Answers, alarms with every action, a gauge, three optimisers, three schedules, steps of several passes, stages
/// that go back to a peak, one of them early.
const STUDY: &str = r#"
output = "run"
[model]
config = "BASE/shape/config.json"
[data]
train = "BASE/train.jsonl"
held_out = "BASE/held_out.jsonl"
limit = 24
max_length = 96
max_prompt_length = 48
[probe]
prompts = 6
kinds = ["chosen", "chosen_initial", "rejected", "irr_hum"]
every_examples = 6
initial_answer_tokens = 6
[dynamics]
every_steps = 4
prompts = 2
[monitor]
answers = 5
answer_tokens = 6
rate_factor = 0.5
[monitor.actions]
degenerate = "mitigate"
prediction-off = "lower_rate"
[monitor.limits]
r2 = 1.0
windows = 2
[checkpoints]
save_steps = 3
[[stages]]
objective = "pretrain"
block_length = 48
batch_size = 4
max_steps = 8
learning_rate = 1e-2
lr_schedule = "cosine"
warmup_steps = 2
optimizer = { name = "adamw" }
[[stages]]
objective = "sft"
batch_size = 2
epochs = 1.5
gradient_accumulation_steps = 2
learning_rate = 1e-3
lr_schedule = "linear"
warmup_steps = 2
early_stopping = { kind = "chosen_initial" }
[[stages]]
objective = "dpo"
beta = 0.5
epochs = 2.0
batch_size = 2
learning_rate = 2e-2
warmup_steps = 1
optimizer = { name = "sgd", momentum = 0.9 }
early_stopping = { kind = "chosen_initial", patience = 5 }
"#;

const SHAPE: &str = r#"{
  "model_type": "gpt_neox", "vocab_size": 2048, "hidden_size": 32, "num_hidden_layers": 2,
  "num_attention_heads": 2, "intermediate_size": 64, "hidden_act": "gelu", "rotary_pct": 0.25,
  "rotary_emb_base": 10000, "max_position_embeddings": 128, "initializer_range": 0.02,
  "layer_norm_eps": 1e-5, "use_parallel_residual": true, "tie_word_embeddings": false
}"#;

/// A token that runs find in their environment.
pub const TOKEN: &str = "sk-a-token-of-ours";

/// The folder of data, model shape and study file, made once.
pub fn base() -> &'static Path {
    static BASE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = BASE.get_or_init(|| {
        let folder = tempdir();
        ldyn::demo::materialise(folder.path(), 1, ldyn::demo::Start::Pretraining).unwrap();
        fs::write(folder.path().join("shape/config.json"), SHAPE).unwrap();
        let study = STUDY.replace("BASE", folder.path().to_str().unwrap());
        fs::write(folder.path().join("study.toml"), study).unwrap();
        folder
    });
    made.path()
}

/// A folder that is removed with the build, if not before: what is made once for all tests stays.
fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A folder in which a run happens in `run/`.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempdir())
    }

    /// A place with a copy of everything that lies in this one.
    pub fn copy(&self) -> Self {
        let new = Self::new();
        copy(self.0.path(), new.0.path());
        new
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn run(&self) -> PathBuf {
        self.path().join("run")
    }

    pub fn checkpoints(&self) -> Vec<PathBuf> {
        ldyn::checkpoint::list(&self.run()).unwrap()
    }

    /// What a checkpoint says, by its place in the list.
    pub fn state(&self, checkpoint: usize) -> ldyn::checkpoint::State {
        ldyn::checkpoint::load(&self.checkpoints()[checkpoint], &candle_core::Device::Cpu).unwrap().state
    }

    /// `ldyn run` on the study by two threads, with further arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_by(2, arguments)
    }

    /// `ldyn run` on the study by so many threads, with further arguments. Its environment holds tokens.
    pub fn command_by(&self, threads: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ldyn"));
        command
            .args(["--threads", &threads.to_string(), "run"])
            .arg(base().join("study.toml"))
            .args(arguments);
        command.envs(["OPENAI_API_KEY", "HF_TOKEN"].map(|variable| (variable, TOKEN)));
        command.current_dir(self.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Runs to its end and returns what was said.
    pub fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = said(&output);
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }

    /// Fails with status 1 and one message that has every one of `words`.
    pub fn fails(&self, arguments: &[&str], words: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.matches("error: ").count() == 1 && !said.contains("panicked"), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` not in: {said}");
        }
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Sends a signal by name.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// Waits until `reached` or the child has ended; whether it was reached.
pub fn wait_until(child: &mut Child, reached: impl Fn() -> bool) -> bool {
    loop {
        if reached() {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return reached();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The child's status, if it ends within `limit`.
pub fn wait_for(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    wait_until(child, || started.elapsed() > limit);
    child.try_wait().unwrap()
}

/// A run that was never interrupted, made once, and the seconds that it took.
pub fn whole_run() -> &'static (Place, f64) {
    static WHOLE: OnceLock<(Place, f64)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let place = Place::new();
        base();
        let started = Instant::now();
        place.succeeds(&[]);
        (place, started.elapsed().as_secs_f64())
    })
}

/// A run in one go that kept all its checkpoints; made once.
pub fn run_with_all_checkpoints() -> &'static Place {
    static KEPT: OnceLock<Place> = OnceLock::new();
    KEPT.get_or_init(|| {
        let place = Place::new();
        place.succeeds(&["--set", "checkpoints.save_total_limit=0"]);
        place
    })
}

/// A run as if it had ended some steps after a checkpoint in its last stage, when every action had been taken;
/// made once. It has that checkpoint and the one before.
pub fn interrupted_run() -> &'static Place {
    static INTERRUPTED: OnceLock<Place> = OnceLock::new();
    INTERRUPTED.get_or_init(|| {
        let place = run_with_all_checkpoints().copy();
        for checkpoint in place.checkpoints() {
            if !["03-dpo-000012", "03-dpo-000015"].iter().any(|kept| checkpoint.ends_with(kept)) {
                fs::remove_dir_all(checkpoint).unwrap();
            }
        }
        let newest = place.state(1);
        ldyn::record::write_manifest(&place.run(), &newest.manifest).unwrap();
        let alarms = fs::read_to_string(place.run().join("alarms.jsonl")).unwrap();
        let taken = |action: &str| {
            let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
            let mut rows = alarms.lines().map(row);
            rows.any(|a| a["stage"] == "dpo" && a["action"] == action && a["step"].as_u64() < Some(12))
        };
        assert!(taken("lower_rate") && taken("mitigate"), "{alarms}");
        place
    })
}

/// Bytes in which the run of `place` differs from one that was never interrupted, wall-clock seconds set to 0 in
/// both; a file that one of them lacks counts whole.
pub fn differing_bytes(place: &Place) -> usize {
    differing(place, |_| true)
}

/// [`differing_bytes`] of the record files and of the saved models alone.
pub fn differing_rows(place: &Place) -> usize {
    differing(place, |name| name.ends_with(".jsonl") || name.ends_with("/model.safetensors"))
}

fn differing(place: &Place, counts: impl Fn(&str) -> bool) -> usize {
    static WHOLE: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    unequal(WHOLE.get_or_init(|| contents(&whole_run().0)), &contents(place), counts)
}

/// Bytes in which the runs of two places differ, counted as [`differing_bytes`] does.
pub fn differing_between(a: &Place, b: &Place) -> usize {
    unequal(&contents(a), &contents(b), |_| true)
}

fn unequal(
    expected: &BTreeMap<String, Vec<u8>>,
    found: &BTreeMap<String, Vec<u8>>,
    counts: impl Fn(&str) -> bool,
) -> usize {
    let names = expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name)));
    let empty = Vec::new();
    let differing = names.filter(|name| counts(name)).map(|name| {
        let [a, b] = [expected, found].map(|files| files.get(name).unwrap_or(&empty));
        let unequal = a.iter().zip(b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len());
        if unequal > 0 {
            println!("{name} differs in {unequal} of {} bytes", a.len());
        }
        unequal
    });
    differing.sum()
}

/// Every file that lies in a run's folder, by its name.
pub fn all_files(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(&place.run(), &place.run(), &mut found);
    found
}

/// Every file of a run by its name, with wall-clock seconds set to 0. The reports, which show them too, are
/// made anew from the records.
fn contents(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let copy = place.copy();
    let run = copy.run();
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| {
        let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["seconds"] = 0.into();
        format!("{row}\n")
    });
    fs::write(run.join("metrics.jsonl"), lines.collect::<String>()).unwrap();
    let manifest = |text: &str| {
        let mut manifest: serde_json::Value = serde_json::from_str(text).unwrap();
        without_seconds(&mut manifest);
        manifest.to_string()
    };
    let path = run.join("manifest.json");
    fs::write(&path, manifest(&fs::read_to_string(&path).unwrap())).unwrap();
    assert!(run.join("report.html").exists());
    ldyn::report::write(&run).unwrap();

    let mut found = BTreeMap::new();
    files(&run, &run, &mut found);
    for (name, bytes) in &mut found {
        if name.ends_with("state.json") {
            *bytes = manifest(std::str::from_utf8(bytes).unwrap()).into_bytes();
        }
    }
    // Where a signal came there is a checkpoint more. The last one is the same in any case.
    let last = "checkpoints/03-dpo-end/";
    let kept = |name: &str| !name.starts_with("checkpoints/") || name.starts_with(last);
    found.retain(|name, _| kept(name) && !name.ends_with("SHA256SUMS"));
    found
}

/// Sets to 0 what differs between equal runs in a manifest or a checkpoint's state.
pub fn without_seconds(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => map.iter_mut().for_each(|(key, value)| match key.as_str() {
            "train_seconds" | "probe_seconds" | "peak_memory" => *value = 0.into(),
            // The lengths count the digits of the seconds; how many checkpoints are kept is free.
            "lengths" | "checkpoints" => *value = 0.into(),
            _ => without_seconds(value),
        }),
        serde_json::Value::Array(values) => values.iter_mut().for_each(without_seconds),
        _ => {}
    }
}

fn files(root: &Path, folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read(&path).unwrap());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
