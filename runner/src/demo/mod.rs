//! The embedded default of the main job: a small preference corpus of our own
//! writing, its tokenizer and the shape of its model.
//!
//! Nothing is fetched: questions and answers are written in `written/*.txt`, [`corpus`] draws the
//! split, the forms of questions and the openings of answers from the seed, and [`materialise`] lays everything out
//! as files, so that the demo runs through the same code as any other study.

mod base;
mod corpus;
mod pretraining;
mod study;
mod tokenizer;
mod written;

pub use corpus::{Corpus, corpus};
pub use study::STUDY;
pub use tokenizer::{EOS, VOCABULARY, train as train_tokenizer};

use crate::data::Record;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Training pairs with their further kinds, one JSON object a line.
pub const TRAIN: &str = "train.jsonl";
/// Questions outside the training set, in the same form.
pub const HELD_OUT: &str = "held_out.jsonl";
/// Documents for pretraining, one `{"text": …}` a line.
pub const PRETRAIN: &str = "pretrain.jsonl";
/// Folder of the model's `config.json` and tokenizer, without weights.
pub const SHAPE: &str = "shape";
/// Folder of the embedded base model.
pub const BASE: &str = "base";

/// Where the demo's base model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the program, which carries it in f16. `ldyn demo --pretrain` made it, with seed 1: it is that run's
    /// folder `pretrain`.
    Embedded,
    /// From a stage of pretraining before the others.
    Pretraining,
}

/// Writes [`TRAIN`], [`HELD_OUT`] and [`PRETRAIN`] into `folder`, which is made if need be.
///
/// # Errors
/// The folder or a file cannot be written.
pub fn write_files(folder: &Path, seed: u64) -> Result<()> {
    write_corpus(folder, &corpus(seed))
}

/// Writes the corpus, the study file, and in [`BASE`] the base model or in [`SHAPE`] the tokenizer and
/// `config.json` of one to pretrain: 1.3 million parameters in Pythia's layout. Returns the study file's path.
///
/// # Errors
/// The folder or a file cannot be written.
pub fn materialise(folder: &Path, seed: u64, start: Start) -> Result<PathBuf> {
    let corpus = corpus(seed);
    write_corpus(folder, &corpus)?;
    match start {
        Start::Embedded => {
            for (name, bytes) in base::FILES {
                write(&folder.join(BASE), name, bytes)?;
            }
        }
        Start::Pretraining => {
            for (name, text) in shape(&corpus)? {
                write(&folder.join(SHAPE), name, text.as_bytes())?;
            }
        }
    }
    study::write_study(folder, seed, start)
}

/// The files of [`SHAPE`].
fn shape(corpus: &Corpus) -> Result<[(&'static str, String); 3]> {
    Ok([
        ("tokenizer.json", train_tokenizer(&corpus.pretraining)?),
        ("tokenizer_config.json", format!("{:#}\n", tokenizer_config())),
        ("config.json", format!("{:#}\n", model_config())),
    ])
}

fn write_corpus(folder: &Path, corpus: &Corpus) -> Result<()> {
    write(folder, TRAIN, lines(corpus.train.iter().map(row)).as_bytes())?;
    write(folder, HELD_OUT, lines(corpus.held_out.iter().map(row)).as_bytes())?;
    let texts = corpus.pretraining.iter().map(|text| json!({ "text": text }));
    write(folder, PRETRAIN, lines(texts).as_bytes())
}

fn row(record: &Record) -> Value {
    let mut row = Map::new();
    row.insert("prompt".to_owned(), record.prompt.clone().into());
    for (kind, text) in &record.responses {
        row.insert(kind.clone(), text.clone().into());
    }
    Value::Object(row)
}

fn lines(rows: impl Iterator<Item = Value>) -> String {
    rows.map(|row| format!("{row}\n")).collect()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let path = folder.join(name);
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "GPTNeoXTokenizer",
        "add_prefix_space": false,
        "bos_token": EOS,
        "eos_token": EOS,
        "unk_token": EOS,
        "model_max_length": 256,
    })
}

fn model_config() -> Value {
    json!({
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "vocab_size": VOCABULARY.next_multiple_of(64),
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 512,
        "hidden_act": "gelu",
        "rotary_pct": 0.25,
        "rotary_emb_base": 10000,
        "max_position_embeddings": 256,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-5,
        "use_parallel_residual": true,
        "attention_bias": true,
        "tie_word_embeddings": false,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "torch_dtype": "float32",
    })
}

#[cfg(test)]
mod tests;
