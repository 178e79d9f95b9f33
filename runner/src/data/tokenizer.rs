//! A model folder's tokenizer, with its end-of-sequence token.

use super::folder::{self, TOKENIZER_CONFIG};
use super::guard::guarded;
use super::read::hex;
use crate::files;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::Path;
use tracing::info;

/// End-of-sequence tokens tried, in this order, where no file of the folder names one.
pub const KNOWN_EOS: [&str; 6] =
    ["<|endoftext|>", "</s>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<eos>"];

/// What a panic of the library means.
const ASSERTS: &str =
    "tokenizer.json contradicts itself, such as a rule for what is not in its vocabulary: download it again";

/// Text to token ids and back. Nothing is added to a text: no BOS, no EOS, no padding, no truncation.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    eos_id: u32,
    eos_token: String,
    eos_source: String,
    ids: usize,
    sha256: String,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("eos_token", &self.eos_token)
            .field("ids", &self.ids)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Loads `tokenizer.json` from a model folder, or the file itself. The end-of-sequence token is, in this
    /// order: `eos_token` if given; `eos_token` of `tokenizer_config.json`, then of `special_tokens_map.json`;
    /// `eos_token_id` (the first, if several) of `generation_config.json`, then of `config.json`, all beside
    /// it; the first of [`KNOWN_EOS`] in the vocabulary.
    ///
    /// # Errors
    /// A missing or broken file; an end-of-sequence token that is not in the vocabulary, or none at all.
    pub fn load(path: &Path, eos_token: Option<&str>) -> Result<Self> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let folder = files::parent(&file);
        let bytes = files::read(&file).with_context(|| {
            format!("cannot read {}: expected a model folder with its tokenizer.json", file.display())
        })?;
        let inner = parse(&bytes).with_context(|| format!("{} is not a tokenizer", file.display()))?;
        let (source, eos) = match eos_token {
            Some(token) => ("the configuration".to_owned(), Eos::Token(token.to_owned())),
            None => find_eos(folder, &inner)?,
        };
        let found = Self::build(inner, &bytes, source, eos).with_context(|| file.display().to_string())?;
        info!(
            file = %file.display(),
            entries = found.ids,
            eos = found.eos_token,
            eos_from = found.eos_source,
            sha256 = found.sha256,
            "tokenizer read"
        );
        Ok(found)
    }

    /// A tokenizer from the bytes of a `tokenizer.json`, such as an embedded one.
    ///
    /// # Errors
    /// Broken bytes, or an `eos_token` that is not in the vocabulary.
    pub fn from_bytes(bytes: &[u8], eos_token: &str) -> Result<Self> {
        Self::build(parse(bytes)?, bytes, "the program".to_owned(), Eos::Token(eos_token.to_owned()))
    }

    fn build(inner: tokenizers::Tokenizer, bytes: &[u8], eos_source: String, eos: Eos) -> Result<Self> {
        let (eos_id, eos_token) = match eos {
            Eos::Token(token) => match inner.token_to_id(&token) {
                Some(id) => (id, token),
                None => {
                    bail!("{eos_source} names the end-of-sequence token {token:?}, not in the vocabulary")
                }
            },
            Eos::Id(id) => match inner.id_to_token(id) {
                Some(token) => (id, token),
                None => bail!("{eos_source} names the end-of-sequence id {id}, not in the vocabulary"),
            },
        };
        let ids = inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        Ok(Self { inner, eos_id, eos_token, eos_source, ids, sha256: hex(&Sha256::digest(bytes)) })
    }

    /// Token ids of a text; special tokens written in it become their ids.
    ///
    /// # Errors
    /// A text that the tokenizer cannot encode (a vocabulary without the needed pieces or an unknown token).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = guarded(|| self.inner.encode_fast(text, false)).context(ASSERTS)?;
        let encoding = encoding.map_err(|e| anyhow!("cannot tokenise: {e}"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of token ids, special tokens included.
    ///
    /// # Errors
    /// A decoder that refuses the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let text = guarded(|| self.inner.decode(ids, false)).context(ASSERTS)?;
        text.map_err(|e| anyhow!("cannot decode {} ids: {e}", ids.len()))
    }

    /// A copy for which special tokens written in a text are ordinary characters.
    pub fn without_specials(&self) -> Self {
        let mut copy = self.clone();
        copy.inner.set_encode_special_tokens(true);
        copy
    }

    /// Id of a token such as `<|im_end|>`.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Id of the end-of-sequence token.
    pub fn eos_id(&self) -> u32 {
        self.eos_id
    }

    /// Text of the end-of-sequence token.
    pub fn eos_token(&self) -> &str {
        &self.eos_token
    }

    /// Where the end-of-sequence token was found, such as `tokenizer_config.json`.
    pub fn eos_source(&self) -> &str {
        &self.eos_source
    }

    /// One more than the largest id: the least number of rows of an embedding for it. Models often have
    /// more rows (Pythia 50,304 for 50,277).
    pub fn vocab_size(&self) -> usize {
        self.ids
    }

    /// SHA-256 of `tokenizer.json`, hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn parse(bytes: &[u8]) -> Result<tokenizers::Tokenizer> {
    let read = guarded(|| tokenizers::Tokenizer::from_bytes(bytes)).context(ASSERTS)?;
    let mut inner = read.map_err(|e| anyhow!("broken tokenizer.json: {e} (is the file whole?)"))?;
    inner.with_padding(None);
    inner.with_truncation(None).map_err(|e| anyhow!("{e}"))?;
    Ok(inner)
}

enum Eos {
    Token(String),
    Id(u32),
}

fn find_eos(folder: &Path, inner: &tokenizers::Tokenizer) -> Result<(String, Eos)> {
    for name in [TOKENIZER_CONFIG, "special_tokens_map.json"] {
        let config = folder::json(folder, name)?.unwrap_or_default();
        if let Some(token) = folder::special_token(&config, "eos_token") {
            return Ok((name.to_owned(), Eos::Token(token)));
        }
    }
    for name in ["generation_config.json", "config.json"] {
        let config = folder::json(folder, name)?.unwrap_or_default();
        let id = match config.get("eos_token_id") {
            Some(Value::Array(ids)) => ids.first().cloned(),
            other => other.cloned(),
        };
        if let Some(id) = id.as_ref().and_then(Value::as_u64) {
            let id = u32::try_from(id).with_context(|| format!("eos_token_id {id} in {name}"))?;
            return Ok((name.to_owned(), Eos::Id(id)));
        }
    }
    match KNOWN_EOS.into_iter().find(|token| inner.token_to_id(token).is_some()) {
        Some(token) => Ok(("the usual names".to_owned(), Eos::Token(token.to_owned()))),
        None => bail!(
            "{} names no end-of-sequence token (`eos_token` in {TOKENIZER_CONFIG}, `eos_token_id` in \
             generation_config.json or config.json), and the vocabulary has none of {KNOWN_EOS:?}: \
             add `\"eos_token\": \"…\"` to {TOKENIZER_CONFIG}",
            folder.display()
        ),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A tokenizer whose tokens are the 256 bytes, then `<|endoftext|>` and `<|im_end|>`.
    pub(in super::super) fn byte_tokenizer_json() -> String {
        let mut letters: Vec<char> =
            tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
        letters.sort_unstable();
        let vocab: serde_json::Map<String, Value> =
            letters.iter().enumerate().map(|(id, letter)| (letter.to_string(), id.into())).collect();
        let special = |id: usize, content: &str| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        let level =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        json!({
            "version": "1.0",
            "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
                "pad_id": 0, "pad_type_id": 0, "pad_token": "x"},
            "added_tokens": [special(256, "<|endoftext|>"), special(257, "<|im_end|>")],
            "normalizer": null, "pre_tokenizer": level, "post_processor": null, "decoder": level,
            "model": {"type": "BPE", "vocab": vocab, "merges": []}
        })
        .to_string()
    }

    pub(crate) fn byte_tokenizer() -> Tokenizer {
        Tokenizer::from_bytes(byte_tokenizer_json().as_bytes(), "<|endoftext|>").unwrap()
    }

    #[test]
    fn texts_round_trip_without_additions_padding_or_truncation() {
        let tokenizer = byte_tokenizer();
        let text = "\n\nHuman: naïve 🙂?\n\nAssistant:";
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(ids.len(), text.len());
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        assert!(tokenizer.encode("").unwrap().is_empty());
        assert_eq!((tokenizer.vocab_size(), tokenizer.eos_id()), (258, 256));
    }

    #[test]
    fn special_tokens_in_a_text_can_be_read_as_characters() {
        let tokenizer = byte_tokenizer();
        assert_eq!(tokenizer.encode("<|endoftext|>").unwrap(), [256]);
        let plain = tokenizer.without_specials().encode("<|endoftext|>").unwrap();
        assert_eq!((plain.len(), plain.contains(&256)), (13, false));
    }

    #[test]
    fn the_end_token_is_found_in_the_documented_order() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let eos = || Tokenizer::load(folder.path(), None).map(|t| (t.eos_id(), t.eos_source().to_owned()));
        write("tokenizer.json", byte_tokenizer_json());
        assert_eq!(eos().unwrap(), (256, "the usual names".to_owned()));
        write("config.json", json!({"eos_token_id": 5}).to_string());
        assert_eq!(eos().unwrap(), (5, "config.json".to_owned()));
        write("generation_config.json", json!({"eos_token_id": [6, 7]}).to_string());
        assert_eq!(eos().unwrap().0, 6);
        write("special_tokens_map.json", json!({"eos_token": {"content": "<|endoftext|>"}}).to_string());
        assert_eq!(eos().unwrap().0, 256);
        write("tokenizer_config.json", json!({"eos_token": "<|im_end|>"}).to_string());
        assert_eq!(eos().unwrap(), (257, "tokenizer_config.json".to_owned()));
        let file = folder.path().join("tokenizer.json");
        assert_eq!(Tokenizer::load(&file, None).unwrap().eos_id(), 257);
        assert_eq!(Tokenizer::load(&file, Some("<|endoftext|>")).unwrap().eos_id(), 256);
        write("tokenizer_config.json", json!({"eos_token": "<nope>"}).to_string());
        let message = format!("{:#}", eos().unwrap_err());
        assert!(message.contains("tokenizer_config.json") && message.contains("<nope>"), "{message}");
    }

    #[test]
    fn missing_and_broken_tokenizers_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let load = || format!("{:#}", Tokenizer::load(folder.path(), None).unwrap_err());
        assert!(load().contains("tokenizer.json: expected a model folder"));
        std::fs::write(folder.path().join("tokenizer.json"), &byte_tokenizer_json()[..900]).unwrap();
        assert!(load().contains("is not a tokenizer"), "{}", load());
    }
}
