//! What a run tells while it goes on: events on standard error as `-v` and `RUST_LOG` ask, progress as JSON.
#![cfg(unix)]

mod json;
mod logs;

use ldyn::demo::{self, Start};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Two stages of six steps, with checkpoints, a gauge and an alarm.
const STUDY: &str = r#"
output = "run"
[model]
path = "BASE/base"
[data]
train = "BASE/train.jsonl"
limit = 12
max_length = 40
max_prompt_length = 20
[probe]
prompts = 6
kinds = ["chosen", "rejected"]
every_examples = 12
[dynamics]
every_steps = 2
prompts = 6
[monitor]
answers = 2
answer_tokens = 4
[monitor.limits]
r2 = 1.0
windows = 2
[checkpoints]
save_steps = 2
[[stages]]
objective = "sft"
batch_size = 2
learning_rate = 1e-3
save = false
[[stages]]
objective = "dpo"
batch_size = 2
learning_rate = 1e-3
"#;

/// Steps of both stages together.
const STEPS: usize = 12;

/// Data, model and study file, made once.
fn base() -> &'static Path {
    static BASE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = BASE.get_or_init(|| {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        demo::materialise(folder.path(), 1, Start::Embedded).unwrap();
        let study = STUDY.replace("BASE", folder.path().to_str().unwrap());
        fs::write(folder.path().join("study.toml"), study).unwrap();
        folder
    });
    made.path()
}

/// An empty folder to run in.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn run(&self) -> PathBuf {
        self.0.path().join("run")
    }

    /// `ldyn` with these arguments, `STUDY` among them for the study file; no filter in its environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let study = base().join("study.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ldyn"));
        command.env_remove("RUST_LOG").args(["--threads", "2"]).current_dir(self.0.path());
        command.args(arguments.iter().map(|argument| match *argument {
            "STUDY" => study.as_os_str(),
            other => other.as_ref(),
        }));
        command
    }

    fn succeeds(&self, arguments: &[&str]) -> Output {
        succeeded(self.command(arguments))
    }
}

fn succeeded(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).unwrap()
}

/// Rows of a record file.
fn rows(run: &Path, name: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
