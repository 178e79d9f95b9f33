//! Hostile files end with one clear message, in little time and memory: the program runs with a bounded address space
//! here, so that what is claimed and not only what is used counts.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// KiB of address space. The allocator reserves 1 GiB before it is used, and stacks of threads count.
const SPACE: &str = "4000000";

/// Longest accepted time of a command, on a machine that is busy.
const TIME: Duration = Duration::from_secs(60);

/// Runs into an error that has every one of `words`, without a panic or an abort.
fn fails(arguments: &[&str], words: &[&str]) {
    let start = Instant::now();
    let output = Command::new("sh")
        .args([
            "-c",
            &format!("ulimit -v {SPACE} && exec \"$0\" \"$@\""),
            env!("CARGO_BIN_EXE_ldyn"),
            "--quiet",
        ])
        .args(arguments)
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
    assert!(message.starts_with("error: ") && !message.contains("panicked"), "{message}");
    assert!(start.elapsed() < TIME, "{arguments:?} took {:?}", start.elapsed());
    for word in words {
        assert!(message.contains(word), "`{word}` not in: {}", &message[..message.len().min(2000)]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The model folder that the program carries.
fn good_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/base")
}

/// A copy of it that a test breaks.
fn copied_model(folder: &Path) -> PathBuf {
    let copy = folder.join("model");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(good_model()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy
}

const PAIR: &str = r#"{"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " Hello.", "rejected": " No."}"#;

/// Probing with a model that a closure has broken.
fn fails_with_model(break_it: impl FnOnce(&Path), words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let model = copied_model(folder.path());
    break_it(&model);
    let data = folder.path().join("data.jsonl");
    fs::write(&data, PAIR).unwrap();
    let out = folder.path().join("out.jsonl");
    fails(&["probe", "--model", text(&model), "--data", text(&data), "--out", text(&out)], words);
    assert!(!out.exists());
}

/// Probing data that a closure has written.
fn fails_with_data(name: &str, write: impl FnOnce(&Path), words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join(name);
    write(&data);
    let out = folder.path().join("out.jsonl");
    fails(&["probe", "--model", text(&good_model()), "--data", text(&data), "--out", text(&out)], words);
}

/// A safetensors file with this header and `data` bytes.
fn safetensors(path: &Path, claimed: u64, header: &str, data: usize) {
    let bytes = [&claimed.to_le_bytes(), header.as_bytes(), &vec![0; data]].concat();
    fs::write(path, bytes).unwrap();
}

#[test]
fn headers_of_weights_are_not_believed() {
    let weights = |model: &Path| model.join("model.safetensors");
    let name = "gpt_neox.embed_in.weight";
    let entry = |shape: &str, end: usize| {
        format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}")
    };
    fails_with_model(
        |model| safetensors(&weights(model), 1 << 60, "{}", 0),
        &["model.safetensors (10 bytes)", "not a whole safetensors file", "download it again"],
    );
    for (header, data) in [
        // More elements than a number of 64 bits can count, and bytes of fewer elements than that.
        (format!("{{{}}}", entry("[4294967296,4294967296,4]", 64)), 64),
        (format!("{{{}}}", entry("[4611686018427387904]", 64)), 64),
        (format!("{{{}}}", entry("[1,1152921504606846976]", 1 << 20)), 1 << 20),
        // The same tensor twice.
        (format!("{{{},{}}}", entry("[4,4]", 64), entry("[4,4]", 64)), 64),
        ("[".repeat(100_000), 0),
    ] {
        fails_with_model(
            |model| safetensors(&weights(model), header.len() as u64, &header, data),
            &["model.safetensors"],
        );
    }
}

#[test]
fn an_index_leads_nowhere_else() {
    for (file, words) in [
        ("../../etc/passwd", &["../../etc/passwd", "only plain file names", "correct the index"][..]),
        ("/etc/passwd", &["/etc/passwd", "only plain file names"]),
        ("..", &["only plain file names"]),
        ("a/../../x.safetensors", &["only plain file names"]),
        ("tokenizer.json", &["tokenizer.json", "not a whole safetensors file"]),
        ("not-there.safetensors", &["not-there.safetensors", "cannot read"]),
        ("zero.safetensors", &["zero.safetensors", "no regular file"]),
    ] {
        fails_with_model(
            |model| {
                fs::remove_file(model.join("model.safetensors")).unwrap();
                symlink("/dev/zero", model.join("zero.safetensors")).unwrap();
                let index = format!("{{\"weight_map\": {{\"gpt_neox.embed_in.weight\": \"{file}\"}}}}");
                fs::write(model.join("model.safetensors.index.json"), index).unwrap();
            },
            words,
        );
    }
}

#[test]
fn pickled_weights_are_refused_with_the_way_to_convert_them() {
    fails_with_model(
        |model| {
            fs::rename(model.join("model.safetensors"), model.join("pytorch_model.bin")).unwrap();
        },
        &["pytorch_model.bin", "programs and not read", "safe_serialization=True"],
    );
}

#[test]
fn sizes_in_a_configuration_are_not_believed() {
    for (from, to, words) in [
        ("\"vocab_size\": 2048", "\"vocab_size\": 2147483648", &["vocab_size", "2147483648", "10000000"][..]),
        ("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 10000000", &["num_hidden_layers", "10000"]),
        // Within each bound, but not together.
        ("\"vocab_size\": 2048", "\"vocab_size\": 9000000, \"intermediate_size\": 9999999", &["weights"]),
    ] {
        fails_with_model(
            |model| {
                let config = model.join("config.json");
                let mut text = fs::read_to_string(&config).unwrap();
                assert!(text.contains(from));
                text = text.replace(from, to);
                if words == ["weights"] {
                    text = text.replace("\"hidden_size\": 128", "\"hidden_size\": 8388608");
                    text = text.replace("  \"intermediate_size\": 512,\n", "");
                }
                fs::write(config, text).unwrap();
            },
            &[&["config.json"], words].concat(),
        );
    }
}

#[test]
fn nesting_without_end_is_an_error_in_every_file() {
    let deep = "[".repeat(100_000);
    for (file, words) in [
        ("config.json", &["config.json"][..]),
        ("tokenizer.json", &["tokenizer.json"]),
        ("tokenizer_config.json", &["tokenizer_config.json", "recursion limit"]),
    ] {
        fails_with_model(|model| fs::write(model.join(file), &deep).unwrap(), words);
    }
    let row = format!("{PAIR}\n{{\"prompt\": {deep}\n");
    fails_with_data(
        "data.jsonl",
        |path| fs::write(path, &row).unwrap(),
        &["line 2, column", "recursion limit"],
    );
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study.toml");
    let plain = "output = 'o'\n[model]\npath = 'm'\n[data]\ntrain = 'd'\n";
    fs::write(&study, plain).unwrap();
    let keys = format!("{}=1", ["a"; 50_000].join("."));
    fails(&["check", text(&study), "--set", &keys], &["a key of 50000 parts"]);
    let value = format!("seed={deep}");
    fails(&["check", text(&study), "--set", &value], &["seed"]);
    for deep in [format!("x = {deep}"), keys.clone(), format!("[{}]", ["a"; 50_000].join("."))] {
        fs::write(&study, format!("{plain}{deep}\n")).unwrap();
        fails(&["check", text(&study)], &["study.toml"]);
    }
}

#[test]
fn a_line_without_an_end_is_refused_while_it_is_read() {
    let words = ["data.jsonl", "line 1 is longer than 67108864 bytes"];
    fails_with_data("data.jsonl", |path| File::create(path).unwrap().set_len(1 << 30).unwrap(), &words);
    // The same line, packed into a thousandth.
    let bomb = |path: &Path| {
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(path).unwrap(), flate2::Compression::fast());
        let zeros = vec![0; 1 << 20];
        (0..200).for_each(|_| encoder.write_all(&zeros).unwrap());
        encoder.finish().unwrap();
        assert!(fs::metadata(path).unwrap().len() < 1 << 20);
    };
    fails_with_data("data.jsonl.gz", bomb, &["data.jsonl.gz", "line 1 is longer than"]);
    let document = |path: &Path| File::create(path).unwrap().set_len(1 << 30).unwrap();
    fails_with_data("data.txt", document, &["data.txt", "longer than 67108864 bytes", "split it"]);
}

#[test]
fn bytes_that_are_no_text_are_placed() {
    let write = |bytes: &'static [u8]| move |path: &Path| fs::write(path, bytes).unwrap();
    let invalid = b"{\"text\": \"a\"}\n{\"text\": \"na\xefve\"}\n";
    fails_with_data("data.jsonl", write(invalid), &["data.jsonl", "line 2", "invalid UTF-8 at byte 13"]);
    fails_with_data("data.txt", write(b"one\ntwo \xff"), &["data.txt, line 2, column 5: invalid UTF-8"]);
    let nul = b"{\"text\": \"a\"}\n{\"text\": \"a\x00b\"}\n";
    fails_with_data("data.jsonl", write(nul), &["line 2, column", "control character"]);
    fails_with_model(
        |model| fs::write(model.join("config.json"), b"{\n  \"a\": \"\xff\"}").unwrap(),
        &["config.json", "line 2, column 9: invalid UTF-8"],
    );
}

#[test]
fn loops_of_links_and_files_without_an_end_are_errors() {
    fails_with_data("data.jsonl", |path| symlink(path, path).unwrap(), &["data.jsonl", "cannot open"]);
    let itself = |file: &'static str| {
        move |model: &Path| {
            fs::remove_file(model.join(file)).unwrap();
            symlink(file, model.join(file)).unwrap();
        }
    };
    fails_with_model(itself("config.json"), &["config.json", "cannot read"]);
    fails_with_model(itself("tokenizer.json"), &["tokenizer.json", "cannot read"]);
    fails_with_model(itself("model.safetensors"), &["model.safetensors"]);
    let endless = |file: &'static str| {
        move |model: &Path| {
            fs::remove_file(model.join(file)).unwrap();
            symlink("/dev/zero", model.join(file)).unwrap();
        }
    };
    fails_with_model(endless("config.json"), &["config.json", "longer than"]);
    fails_with_model(endless("tokenizer.json"), &["tokenizer.json", "longer than"]);
    fails_with_data("data.jsonl", |path| symlink("/dev/zero", path).unwrap(), &["line 1 is longer than"]);
}
