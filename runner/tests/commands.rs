//! Every `ldyn` command line of the README and of the book is run, as it stands, in a folder that holds the files which
//! the text speaks of.
#![cfg(unix)]

mod server;

use server::Server;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

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

fn sh(line: &str, at: &Path) -> Result<(), String> {
    let judge = line.contains("$JUDGE").then(|| Server::start(&["always-a"]));
    let program = Path::new(env!("CARGO_BIN_EXE_ldyn")).parent().unwrap().to_str().unwrap();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-euc", line]).current_dir(at).env("PATH", path).env("HOME", at);
    if let Some(judge) = &judge {
        command.env("JUDGE", &judge.url).env("OPENAI_API_KEY", "none");
    }
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

/// A model's shape with room for the 512 tokens of the default protocol: rotary positions know no last one.
fn with_room(config: &Path) -> String {
    let text = fs::read_to_string(config).unwrap();
    let longer = text.replace("\"max_position_embeddings\": 256", "\"max_position_embeddings\": 512");
    assert_ne!(longer, text);
    longer
}

/// What a command makes anew and therefore must not be there.
fn made(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let behind = |flag: &str| words.iter().position(|w| *w == flag).map(|i| words[i + 1]);
    let mut made: Vec<&str> = ["--out", "--output", "init"].into_iter().filter_map(behind).collect();
    match words[..] {
        ["ldyn", "run", "study.toml"] => made.push("runs/hh"),
        ["ldyn", "run", "examples/configs/paper.toml", ..] => made.push("runs/paper"),
        _ => {}
    }
    made
}

/// What a reader who has come as far as a block has before them.
fn given(at: &Path) {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/base");
    for model in ["pythia-410m", "pythia-1b", "base"] {
        copy(Path::new(base), &at.join(model));
        let config = at.join(model).join("config.json");
        fs::write(&config, with_room(&config)).unwrap();
    }
    let corpus = tempfile::tempdir().unwrap();
    ldyn::demo::materialise(corpus.path(), 1, ldyn::demo::Start::Pretraining).unwrap();
    fs::write(at.join("config.json"), with_room(&corpus.path().join("shape/config.json"))).unwrap();
    fs::copy(Path::new(base).join("tokenizer.json"), at.join("tokenizer.json")).unwrap();
    let pairs = fs::read_to_string(corpus.path().join("train.jsonl")).unwrap();
    let pairs = pairs.lines().take(6).collect::<Vec<_>>().join("\n") + "\n";
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

    let run = |line: &str| sh(line, at).unwrap();
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
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    given(home.path());
    let (mut seen, mut failed) = (BTreeSet::new(), Vec::new());
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for block in blocks(&text, "sh") {
            let lines = block.replace("\\\n", " ");
            let lines = lines.lines().filter(|line| line.starts_with("ldyn "));
            let lines = lines.map(|line| line.split(" #").next().unwrap().trim());
            let lines: Vec<&str> = lines.filter(|line| seen.insert((*line).to_owned())).collect();
            let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            if !lines.is_empty() {
                copy(home.path(), place.path());
            }
            for line in lines {
                for made in made(line) {
                    let made = place.path().join(made);
                    let _ = if made.is_dir() { fs::remove_dir_all(made) } else { fs::remove_file(made) };
                }
                let line = INSTEAD.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
                let begun = Instant::now();
                failed.extend(sh(&line, place.path()).err());
                println!("{:6.1} s  {line}", begun.elapsed().as_secs_f64());
            }
        }
    }
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), seen.len(), failed.join("\n"));
    assert!(seen.len() > 25, "{seen:?}");
}
