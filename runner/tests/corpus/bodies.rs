//! One function a reader: hostile bytes in, no panic out. The fuzz targets in `runner/fuzz` and the replay in
//! `cargo test` call the same functions.
//!
//! An input that stands for several files has a line `%%` between them. Errors are fine, whatever they say; besides
//! that nothing panics, a body asserts what must hold of what was accepted.

use candle_core::{DType, Device};
use ldyn::checkpoint;
use ldyn::config;
use ldyn::data::{self, ChatTemplate, Format, Lengths, Need, ProbeOptions, ReadOptions, Select, Tokenizer};
use ldyn::judge::{Transcripts, Verdict};
use ldyn::model::{Model, ModelConfig};
use ldyn::record;
use ldyn::report::{self, Member, Published};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

#[path = "../../../examples/shared/idx.rs"]
#[allow(dead_code)]
mod images;

/// What reads the bytes of an input.
pub type Body = fn(&[u8]);

/// Every body by the name of its fuzz target and of its folder in the corpus.
pub const BODIES: &[(&str, Body)] = &[
    ("checkpoint", checkpoint),
    ("config", config),
    ("curves", curves),
    ("data", data),
    ("gzip", gzip),
    ("hh", hh),
    ("idx", idx),
    ("model_config", model_config),
    ("parquet", parquet),
    ("probe_set", probe_set),
    ("replies", replies),
    ("run_folder", run_folder),
    ("template", template),
    ("tokenizer", tokenizer),
    ("weights", weights),
];

/// What stands between the files of an input.
const BETWEEN: &[u8] = b"\n%%\n";

/// The files of an input.
fn parts(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = bytes.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + BETWEEN.len()..];
    }
    parts.push(bytes);
    parts
}

/// The first part of an input as text, what is no UTF-8 replaced, and its other lines.
fn text_and_lines(bytes: &[u8]) -> (String, Vec<String>) {
    let parts = parts(bytes);
    let rest = parts.get(1).map(|rest| String::from_utf8_lossy(rest).into_owned()).unwrap_or_default();
    (String::from_utf8_lossy(parts[0]).into_owned(), rest.lines().map(str::to_owned).collect())
}

/// A folder with the files of an input, deep enough below an empty one that a few `..` lead to a place that is watched.
struct Place {
    outer: tempfile::TempDir,
    folder: PathBuf,
}

impl Place {
    /// The input's parts under these names; a part that is empty or lacking is no file.
    fn of(names: &[&str], bytes: &[u8]) -> Self {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("a/b/c");
        fs::create_dir_all(&folder).unwrap();
        for (name, part) in names.iter().zip(parts(bytes)) {
            if !part.is_empty() {
                fs::write(folder.join(name), part).unwrap();
            }
        }
        Self { outer, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Nothing was written beside the folder.
    fn assert_nothing_outside(&self) {
        for (above, only) in [("", "a"), ("a", "b"), ("a/b", "c")] {
            let entries = fs::read_dir(self.outer.path().join(above)).unwrap();
            let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, [only], "something was written outside of the folder");
        }
    }
}

fn small_tokenizer() -> &'static Tokenizer {
    static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
        let bytes = include_bytes!("../../src/demo/base/tokenizer.json");
        Tokenizer::from_bytes(bytes, "<|endoftext|>").unwrap()
    });
    &TOKENIZER
}

/// A study file and `--set` assignments, a line each; and the same bytes as a grid.
pub fn config(bytes: &[u8]) {
    let place = Place::of(&["study.toml"], bytes);
    let (_, overrides) = text_and_lines(bytes);
    let _ = config::load_grid(&place.file("study.toml"), &overrides);
    let Ok(study) = config::load(&place.file("study.toml"), &overrides) else { return };
    for stage in &study.stages {
        let folder = study.output.join(&stage.name);
        assert_eq!(folder.parent(), Some(study.output.as_path()), "a stage outside of the run");
        stage.loss().unwrap();
        stage.summary().unwrap();
        stage.steps(1000);
        ldyn::train::stage_order(&study, stage, 3);
    }
    // What is saved with a run is read again when it is continued.
    if let Ok(text) = study.to_toml() {
        config::parse(&text, &[]).unwrap();
    }
}

/// Records in JSON lines, of every format, and their tokens.
pub fn data(bytes: &[u8]) {
    let place = Place::of(&["data.jsonl"], bytes);
    let hh = ChatTemplate::hh().unwrap();
    let template = Some(hh);
    for options in [
        ReadOptions { need: Need::Any, template: template.clone(), ..Default::default() },
        ReadOptions { need: Need::Pair, skip_bad: true, template: template.clone(), ..Default::default() },
        ReadOptions { need: Need::Any, skip_bad: true, format: Some(Format::Implicit), ..Default::default() },
        ReadOptions {
            need: Need::Prompt,
            skip_bad: true,
            format: Some(Format::Conversational),
            template,
            ..Default::default()
        },
    ] {
        let Ok(data) = data::read(&place.file("data.jsonl"), &options) else { continue };
        assert!(!data.records.is_empty());
        data.notes();
        let lengths = Lengths { max_length: 12, max_prompt_length: 5, ..Default::default() };
        if let Ok((tokens, report)) =
            data.tokenize(small_tokenizer(), &lengths, data::EosInText::EncodeAsText)
        {
            assert!(tokens.iter().all(|record| record.prompt.len() <= 5));
            report.notes();
        }
    }
}

/// Compressed lines, and the same bytes as a plain document.
pub fn gzip(bytes: &[u8]) {
    let place = Place::of(&["data.jsonl.gz"], bytes);
    let document = place.file("data.txt");
    fs::write(&document, bytes).unwrap();
    let options = ReadOptions { need: Need::Any, ..Default::default() };
    let _ = data::read(&place.file("data.jsonl.gz"), &options);
    let _ = data::read(&document, &options);
}

/// Two HH conversations as text: what is split is what was there.
pub fn hh(bytes: &[u8]) {
    let texts: Vec<_> = parts(bytes).iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    let (chosen, rejected) = (&texts[0], texts.last().unwrap());
    let row = json!({"chosen": chosen, "rejected": rejected}).to_string();
    let place = Place::of(&["data.jsonl"], b"");
    fs::write(place.file("data.jsonl"), row).unwrap();
    for format in [None, Some(Format::Hh), Some(Format::Implicit)] {
        let options = ReadOptions { format, ..Default::default() };
        let Ok(data) = data::read(&place.file("data.jsonl"), &options) else { continue };
        let record = &data.records[0];
        for (kind, whole) in [("chosen", chosen), ("rejected", rejected)] {
            let response = record.response(kind).unwrap();
            assert_eq!(&format!("{}{response}", record.prompt), whole);
        }
    }
}

/// MNIST's images and labels.
pub fn idx(bytes: &[u8]) {
    let parts = parts(bytes);
    let Ok(images) = images::parse(parts[0], parts.last().unwrap(), 10) else { return };
    assert_eq!(images.pixels.len(), images.digits.len());
    assert!(images.pixels.iter().all(|image| image.len() == images.size.0 * images.size.1));
}

/// A model's `config.json`.
pub fn model_config(bytes: &[u8]) {
    let Ok(config) = ModelConfig::parse(&String::from_utf8_lossy(bytes)) else { return };
    config.describe();
    assert!(config.n_parameters() > 0);
    let again = ModelConfig::parse(&config.to_json(DType::F32).unwrap()).unwrap();
    assert_eq!(again.n_parameters(), config.n_parameters());
}

/// Parquet.
pub fn parquet(bytes: &[u8]) {
    let place = Place::of(&[], b"");
    fs::write(place.file("data.parquet"), bytes).unwrap();
    let template = ChatTemplate::hh().ok();
    let options = ReadOptions { need: Need::Any, skip_bad: true, template, ..Default::default() };
    let _ = data::read(&place.file("data.parquet"), &options);
}

/// Probe-set files: records with any kinds, and the kinds that are built.
pub fn probe_set(bytes: &[u8]) {
    let place = Place::of(&["train.jsonl", "held_out.jsonl"], bytes);
    let read = |name: &str| {
        let extra_kinds = vec!["chosen_selfr".to_owned(), "answer".to_owned()];
        let options = ReadOptions { need: Need::Any, skip_bad: true, extra_kinds, ..Default::default() };
        data::read(&place.file(name), &options).map(|data| data.records).unwrap_or_default()
    };
    let (train, held_out) = (read("train.jsonl"), read("held_out.jsonl"));
    for options in [
        ProbeOptions::default(),
        ProbeOptions { prompts: Some(2), select: Select::Random, seed: 1, donors: Some(1), rebuild: true },
    ] {
        let Ok(set) = data::probe_set::build(&train, &held_out, &options) else { continue };
        assert!(set.records.len() <= train.len());
        let unique = |kinds: &[(String, String)]| {
            kinds.iter().enumerate().all(|(i, (kind, _))| kinds[..i].iter().all(|(k, _)| k != kind))
        };
        assert!(set.records.iter().all(|record| unique(&record.responses)));
    }
}

/// A judge's reply, and a file of transcripts.
pub fn replies(bytes: &[u8]) {
    Verdict::read(&String::from_utf8_lossy(bytes));
    let place = Place::of(&[], b"");
    let path = place.file("calls.jsonl");
    fs::write(&path, bytes).unwrap();
    let refused = Transcripts::open(&path).is_err();
    let after = fs::read(&path).unwrap();
    assert!(bytes.starts_with(&after), "only a torn end may be cut off");
    assert!(!refused || after == bytes, "a file of something else was changed");
}

/// A run folder: manifest, then each kind of rows; every form of its report.
pub fn run_folder(bytes: &[u8]) {
    let names =
        [record::MANIFEST, record::METRICS, record::PROBES, record::GAUGE, record::ANSWERS, record::ALARMS];
    let place = Place::of(&names, bytes);
    if let Ok(run) = report::load(&place.folder) {
        let _ = (run.manifest.is_over(), run.manifest.machine());
        let summary = report::summarise(&run);
        report::terminal(&summary);
        let members =
            ["one", "other"].map(|arm| Member { arm: arm.into(), seed: 0, summary: summary.clone() });
        let comparison = report::compare("both", &members);
        report::comparison_text(&comparison);
        let _ = report::comparison_html(&comparison);
    }
    let _ = report::write(&place.folder);
    place.assert_nothing_outside();
}

/// A checkpoint's files, under checksums that are right.
pub fn checkpoint(bytes: &[u8]) {
    let names = ["state.json", "tensors.safetensors"];
    let place = Place::of(&names, bytes);
    let mut sums = String::new();
    for name in names {
        let Ok(content) = fs::read(place.file(name)) else { return };
        sums += &format!("{:x}  {name}\n", Sha256::digest(&content));
    }
    fs::write(place.file("SHA256SUMS"), sums).unwrap();
    let Ok(found) = checkpoint::load(&place.folder, &Device::Cpu) else { return };
    let name = found.state.name();
    assert!(Path::new(&name).file_name().is_some_and(|plain| plain == name.as_str()), "{name:?}");
    found.state.first_open_stage();
    let _ = record::check_lengths(&place.folder, &found.state.lengths);
}

/// Evaluations that the reference code logged, compared with themselves.
pub fn curves(bytes: &[u8]) {
    let (text, lines) = text_and_lines(bytes);
    let settings = Published { stage: "dpo".into(), every_examples: 100, argmax_of: lines.first().cloned() };
    let Ok(published) = report::published("log", &text, &settings) else { return };
    let comparison = report::compare("published", &[published.clone(), published]);
    report::comparison_text(&comparison);
    let _ = report::comparison_html(&comparison);
    let _ = report::comparison_json(&comparison);
}

/// A chat template, and the conversation that it renders.
pub fn template(bytes: &[u8]) {
    let (source, lines) = text_and_lines(bytes);
    let Ok(template) = ChatTemplate::new(&source, Some("<s>".into()), Some("</s>".into())) else { return };
    let given = lines.first().and_then(|line| serde_json::from_str::<Vec<Value>>(line).ok());
    let talk =
        || vec![json!({"role": "user", "content": "Hi"}), json!({"role": "assistant", "content": "Yes"})];
    let messages = given.unwrap_or_else(talk);
    for open in [true, false] {
        if let Ok(text) = template.render(&messages, open) {
            // 64 bytes for each unit of the work that a rendering may do.
            assert!(text.len() <= 64 * 1_000_000);
        }
    }
}

/// A folder's tokenizer, its special tokens and its chat template.
pub fn tokenizer(bytes: &[u8]) {
    let names =
        ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"];
    let place = Place::of(&names, bytes);
    let _ = ChatTemplate::load(&place.folder);
    let Ok(tokenizer) = Tokenizer::load(&place.folder, None) else { return };
    assert!((tokenizer.eos_id() as usize) < tokenizer.vocab_size());
    for text in ["", "Hi there,\n\n2 naïve 🙂 words\u{0}", "<|endoftext|><s>", "aaaaaaaaaaaaaaaaaaaaaaaa"]
    {
        for tokenizer in [tokenizer.clone(), tokenizer.without_specials()] {
            if let Ok(ids) = tokenizer.encode(text) {
                let _ = tokenizer.decode(&ids);
            }
        }
    }
    let _ = tokenizer.decode(&[0, 1, u32::MAX]);
}

/// A model folder: its config, then its weights; or, with an index, two files of them.
pub fn weights(bytes: &[u8]) {
    let sharded = parts(bytes).get(1).is_some_and(|index| index.first() == Some(&b'{'));
    let names: &[&str] = match sharded {
        true => {
            &["config.json", "model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"]
        }
        false => &["config.json", "model.safetensors"],
    };
    let place = Place::of(names, bytes);
    // What an index must not reach.
    let beside = place.outer.path().join("a/b/model-1.safetensors");
    let _ = fs::copy(place.file("model-1.safetensors"), beside);
    let Ok(model) = Model::load(&place.folder, DType::F32, &Device::Cpu) else { return };
    assert!(model.is_finite().unwrap());
    if let Ok(index) = fs::read_to_string(place.file("model.safetensors.index.json")) {
        let index: Value = serde_json::from_str(&index).unwrap();
        let files = index["weight_map"].as_object().unwrap();
        assert!(files.values().all(|file| file.as_str().unwrap().starts_with("model-")), "{index}");
    }
}
