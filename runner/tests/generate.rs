//! `ldyn generate` on the small model that the program carries.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn generate(arguments: &[&str]) -> Output {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/base");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ldyn"));
    command.args(["--quiet", "generate", "--model", model, "--max-new-tokens", "24"]);
    command.args(arguments).output().unwrap()
}

fn rows(text: &str) -> Vec<(String, String)> {
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row.as_object().unwrap().len(), 2, "{row}");
        (row["prompt"].as_str().unwrap().to_owned(), row["response"].as_str().unwrap().to_owned())
    };
    text.lines().map(row).collect()
}

fn printed(arguments: &[&str]) -> Vec<(String, String)> {
    let output = generate(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    rows(&String::from_utf8(output.stdout).unwrap())
}

fn refused(arguments: &[&str], words: &[&str]) {
    let output = generate(arguments);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
}

const QUESTIONS: [&str; 3] = ["How do I rinse rice?", "How do I repot a cactus?", "What is a horseshoe?"];

fn in_form(question: &str) -> String {
    format!("\n\nHuman: {question}\n\nAssistant:")
}

/// A file of HH pairs.
fn data_file(folder: &Path) -> String {
    let line = |question: &&str| {
        let answer = |text: &str| format!("{}{text}", in_form(question));
        serde_json::json!({"chosen": answer(" Gladly."), "rejected": answer(" No.")}).to_string() + "\n"
    };
    let path = folder.join("hh.jsonl");
    fs::write(&path, QUESTIONS.iter().map(line).collect::<String>()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn prompts_of_a_preference_file_are_continued_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_file(folder.path());
    let out = folder.path().join("answers.jsonl");
    let out_text = out.to_str().unwrap();
    let greedy = ["--data", &data, "--temperature", "0", "--stop", r"\n\nHuman:"];
    let to_file = [&greedy[..], &["--out", out_text, "--limit", "2"]].concat();
    assert!(printed(&to_file).is_empty());
    let written = fs::read_to_string(&out).unwrap();
    let found = rows(&written);
    assert_eq!(
        found.iter().map(|r| &r.0).collect::<Vec<_>>(),
        [&in_form(QUESTIONS[0]), &in_form(QUESTIONS[1])]
    );
    assert!(found.iter().all(|(_, response)| !response.is_empty() && !response.contains("Human:")));
    assert_eq!(printed(&greedy)[..2], found);
    assert_eq!(printed(&["--prompt", QUESTIONS[1], "--human", "--temperature", "0"]), found[1..]);

    refused(&to_file, &["answers.jsonl", "choose another output"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), written);
}

#[test]
fn draws_depend_on_the_seed_and_the_place_of_a_prompt_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_file(folder.path());
    let sampled = |more: &[&str]| printed(&[&["--data", &data, "--top-p", "0.95"], more].concat());
    let all = sampled(&[]);
    assert_eq!(sampled(&["--limit", "1"]), all[..1]);
    assert_eq!(sampled(&["--seed", "0"]), all);
    assert_ne!(sampled(&["--seed", "1"]), all);
}

#[test]
fn a_stop_text_is_cut_off_with_what_follows() {
    let run = |more: &[&str]| {
        let question = ["--prompt", QUESTIONS[0], "--human", "--temperature", "0"];
        printed(&[&question, more].concat()).remove(0).1
    };
    let whole = run(&[]);
    let stop = &whole[whole.char_indices().nth(9).unwrap().0..whole.char_indices().nth(13).unwrap().0];
    assert_eq!(run(&["--stop", stop]), whole[..whole.find(stop).unwrap()]);
    assert_eq!(run(&["--stop", "not in it", "--stop", stop]), whole[..whole.find(stop).unwrap()]);
    refused(&["--prompt", "Hi", "--stop", ""], &["stop text", "empty"]);
    refused(&[], &["--prompt", "--data"]);
}
