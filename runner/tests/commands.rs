//! Every `ldyn` command line of the README and of the book is run, as it stands, in a folder that holds the files which
//! the text speaks of.
#![cfg(unix)]

mod server;

use server::Server;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Documents with commands.
const DOCUMENTS: &[&str] = &["README.md", "runner/src/book/how_to.md"];

/// What is smaller or nearer here than in the text.
const INSTEAD: &[(&str, &str)] = &[
    ("--cases 1000000", "--cases 100"),
    // The server of the test.
    ("https://api.openai.com/v1", "$JUDGE"),
    // A run of three steps ends before step 400.
    ("checkpoints/02-dpo-000400", "checkpoints/02-dpo-end"),
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The blocks of a document between ``` and ``` that are marked so.
fn blocks(text: &str, mark: &str) -> Vec<String> {
    text.split("\n```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix(mark)?.strip_prefix('\n').map(str::to_owned))
        .collect()
}

fn sh(line: &str, at: &Path, judge: &Server) -> Result<(), String> {
    let program = Path::new(env!("CARGO_BIN_EXE_ldyn")).parent().unwrap().to_str().unwrap();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-euc", line]).current_dir(at).env("PATH", path).env("HOME", at);
    command.env("JUDGE", &judge.url).env("OPENAI_API_KEY", "none");
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{line}\n  {}: {}", output.status, String::from_utf8_lossy(&said)))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What a reader who has come as far as a block has before them.
fn given(at: &Path, judge: &Server) {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/base");
    for model in ["pythia-410m", "pythia-1b", "base"] {
        copy(Path::new(base), &at.join(model));
    }
    let corpus = tempfile::tempdir().unwrap();
    ldyn::demo::materialise(corpus.path(), 1, ldyn::demo::Start::Pretraining).unwrap();
    fs::copy(corpus.path().join("shape/config.json"), at.join("config.json")).unwrap();
    fs::copy(Path::new(base).join("tokenizer.json"), at.join("tokenizer.json")).unwrap();
    let pairs = fs::read_to_string(corpus.path().join("train.jsonl")).unwrap();
    let pairs = pairs.lines().take(12).collect::<Vec<_>>().join("\n") + "\n";
    fs::create_dir_all(at.join("data/hh-probe")).unwrap();
    for file in ["hh.jsonl", "probe_train.jsonl", "train_dpo.jsonl", "data/hh-probe/probe_train.jsonl"] {
        fs::write(at.join(file), &pairs).unwrap();
    }
    copy(&root().join("examples/configs"), &at.join("examples/configs"));

    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let toml = blocks(&readme, "toml");
    let with = |key: &str| toml.iter().find(|block| block.contains(key)).unwrap();
    fs::write(at.join("study.toml"), with("[model]")).unwrap();
    let grid = with("[[arms]]").replace("examples/configs/hh-sft-dpo.toml", "study.toml");
    fs::write(at.join("grid.toml"), grid).unwrap();

    let run = |line: &str| sh(line, at, judge).unwrap();
    run("ldyn run study.toml");
    for stage in ["sft", "dpo"] {
        run(&format!("ldyn generate --model runs/hh/{stage} --data hh.jsonl --limit 3 --out {stage}.jsonl"));
    }
    // A published log, by what reference mode writes.
    run(
        "ldyn run study.toml --set compat=learning-dynamics-2025-05 --set output=log --set probe.every_examples=4",
    );
    for name in ["prob_pythia410m_dpo.jsonl", "pythia410_baseline_dpo_checkbug_5e7.jsonl"] {
        fs::copy(at.join("log/dpo-prob_train_metrics.json"), at.join(name)).unwrap();
    }
    run("ldyn run examples/configs/paper.toml --set model.path=pythia-410m --set stages.sft.epochs=1 \
         --set stages.dpo.epochs=1");
    fs::remove_dir_all(at.join("log")).unwrap();
}

#[test]
fn every_command_of_the_documents_runs() {
    let judge = Server::start(&["always-a"]);
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    given(home.path(), &judge);
    let (mut run, mut failed) = (0, Vec::new());
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for block in blocks(&text, "sh") {
            let lines = block.replace("\\\n", " ");
            let lines: Vec<&str> = lines.lines().filter(|line| line.starts_with("ldyn ")).collect();
            let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            if !lines.is_empty() {
                copy(home.path(), place.path());
            }
            for line in lines {
                // What a line makes anew is not there before.
                for made in [
                    "init study.toml",
                    "--output runs/dpo",
                    "--output runs/base",
                    "run examples/configs/paper.toml",
                ] {
                    if line.contains(made) {
                        let made = made
                            .rsplit([' '])
                            .next()
                            .unwrap()
                            .replace("examples/configs/paper.toml", "runs/paper");
                        let _ = fs::remove_dir_all(place.path().join(&made));
                        let _ = fs::remove_file(place.path().join(&made));
                    }
                }
                let line = INSTEAD.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
                run += 1;
                failed.extend(sh(&line, place.path(), &judge).err());
            }
        }
    }
    assert!(failed.is_empty(), "{} of {run} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(run > 25, "{run} commands found");
}
