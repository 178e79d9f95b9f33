//! Preference data: readers, tokenisation and the probe set.
//!
//! A file is [`read`] into [`Record`]s; [`probe_set::build`] gives them the response kinds that can be had
//! without another model; [`tokenize`] turns them into token ids; [`blocks`] packs running text for
//! pretraining. Nothing here knows a model or a device.

mod answers;
mod conversation;
mod folder;
mod formats;
mod guard;
mod lines;
mod pack;
mod parquet;
pub mod probe_set;
mod read;
mod template;
mod tokenize;
mod tokenizer;

pub use answers::{Answer, answers};
pub use formats::{Format, HH_HUMAN, HH_MARKER};
pub use lines::MAX_LINE;
pub use pack::{blocks, pretraining_texts};
pub use probe_set::{ProbeOptions, ProbeSet, Select};
pub use read::{Dataset, Need, ReadOptions, hash, read};
pub use template::ChatTemplate;
pub use tokenize::{Cut, CutReport, EosInText, Lengths, TruncationMode, tokenize};
pub use tokenizer::{KNOWN_EOS, Tokenizer};

#[cfg(test)]
mod real_data_tests;
#[cfg(test)]
pub(crate) use tokenizer::tests::byte_tokenizer;

/// The response kinds that the reference tracks, in its order, with their
/// symbols in the paper and what they are. Any other kind name is accepted
/// and probed alike.
pub const KINDS: [(&str, &str, &str); 12] = [
    ("chosen", "y⁺", "preferred response"),
    ("chosen_initial", "y_π₀", "answer of the untuned model"),
    ("chosen_gptsemantic", "y⁺_gpts", "y⁺ in other words, same meaning"),
    ("chosen_gptformat", "y⁺_gptf", "form of y⁺, another meaning"),
    ("rejected", "y⁻", "dispreferred response"),
    ("reject_gptsemantic", "y⁻_gpts", "y⁻ in other words, same meaning"),
    ("reject_gptformat", "y⁻_gptf", "form of y⁻, another meaning"),
    ("irr_train", "y⁺_j≠u", "preferred response of another training question"),
    ("irr_test", "y⁺_test", "preferred response of a question outside the training set"),
    ("irr_hum", "y_hum", "unrelated fluent sentence"),
    ("random_permute", "y⁺_urnd", "words of y⁺ in random order"),
    ("random_nonhum", "y_rnd", "words of an unrelated answer in random order"),
];

/// Place of a kind in [`KINDS`]; behind all of them for another one.
pub fn rank(kind: &str) -> usize {
    KINDS.iter().position(|(k, ..)| *k == kind).unwrap_or(KINDS.len())
}

/// A prompt with the responses known for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Line of the source file, from 0.
    pub example: usize,
    /// Everything before the response, role markers included.
    pub prompt: String,
    /// Kind and text, in display order; kinds are unique.
    pub responses: Vec<(String, String)>,
    /// Fields of the source that are neither prompt nor a tracked response.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// The text of a response kind.
    pub fn response(&self, kind: &str) -> Option<&str> {
        self.responses.iter().find(|(k, _)| k == kind).map(|(_, text)| text.as_str())
    }
}

/// A prompt and its responses as token ids.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizedRecord {
    /// Line of the source file, from 0.
    pub example: usize,
    /// Prompt ids, possibly cut.
    pub prompt: Vec<u32>,
    /// Kind and ids; each ends with one EOS unless it was cut.
    pub responses: Vec<(String, Vec<u32>)>,
}
