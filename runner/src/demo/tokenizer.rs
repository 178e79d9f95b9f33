//! The demo's tokenizer: byte-level BPE in the layout of Pythia's, trained on the pretraining text.

use anyhow::{Result, anyhow};
use std::collections::HashSet;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerBuilder, normalizers::NFC,
};

/// The end-of-sequence token, which has id 0.
pub const EOS: &str = "<|endoftext|>";

/// Entries: the end-of-sequence token, 256 bytes and the merges.
pub const VOCABULARY: usize = 2048;

/// Trains the tokenizer; the same text gives the same JSON.
///
/// # Errors
/// What the `tokenizers` crate reports; none is known for text.
pub fn train(documents: &[String]) -> Result<String> {
    let byte_level = ByteLevel::new(false, true, true);
    let mut tokenizer = TokenizerBuilder::<
        BPE,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >::new()
    .with_model(BPE::default())
    .with_normalizer(Some(NFC.into()))
    .with_pre_tokenizer(Some(byte_level.into()))
    .with_post_processor(Some(byte_level.into()))
    .with_decoder(Some(byte_level.into()))
    .build()
    .map_err(|e| anyhow!("{e}"))?;
    let alphabet: HashSet<char> = ByteLevel::alphabet().into_iter().collect();
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(VOCABULARY)
        .initial_alphabet(alphabet)
        .special_tokens(vec![AddedToken::from(EOS, true)])
        .build();
    tokenizer
        .train(&mut trainer, documents.iter())
        .and_then(|tokenizer| tokenizer.to_string(true))
        .map_err(|e| anyhow!("training the demo's tokenizer: {e}"))
}
