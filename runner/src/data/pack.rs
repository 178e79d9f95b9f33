//! Running text for pretraining, packed into blocks of equal length.

use super::Record;
use super::tokenizer::Tokenizer;
use anyhow::{Result, bail};
use rayon::prelude::*;

/// Each record as one running text: prompt and `chosen`; with `all_responses` also prompt and every other
/// response. Blank texts are left out.
pub fn pretraining_texts(records: &[Record], all_responses: bool) -> Vec<String> {
    records
        .iter()
        .flat_map(|record| {
            let wanted = record.responses.iter().filter(move |(kind, _)| all_responses || kind == "chosen");
            wanted.map(|(_, text)| format!("{}{text}", record.prompt))
        })
        .filter(|text| !text.trim().is_empty())
        .collect()
}

/// Texts as one stream of tokens, an EOS after each, cut into blocks of `block_len`. The last, shorter block
/// is kept if it has at least 2 tokens (fewer have nothing to predict). EOS written in a text is read as the
/// token: it ends a document.
///
/// # Errors
/// `block_len` below 2, or texts with fewer than 2 tokens in all.
pub fn blocks(texts: &[String], tokenizer: &Tokenizer, block_len: usize) -> Result<Vec<Vec<u32>>> {
    if block_len < 2 {
        bail!("the block length is {block_len}, expected at least 2 tokens");
    }
    let documents: Vec<Vec<u32>> =
        texts.par_iter().map(|text| tokenizer.encode(text)).collect::<Result<_>>()?;
    let stream: Vec<u32> =
        documents.into_iter().flat_map(|ids| ids.into_iter().chain([tokenizer.eos_id()])).collect();
    if stream.len() < 2 {
        bail!("no text to pretrain on: {} documents have {} tokens in all", texts.len(), stream.len());
    }
    Ok(stream.chunks(block_len).filter(|block| block.len() >= 2).map(<[u32]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tokenizer::tests::byte_tokenizer;
    use super::*;

    #[test]
    fn documents_are_joined_with_eos_and_cut_into_blocks() {
        let tokenizer = byte_tokenizer();
        let texts = ["abc".to_owned(), "de".to_owned()];
        let found = blocks(&texts, &tokenizer, 3).unwrap();
        let stream: Vec<u32> = found.concat();
        let eos = tokenizer.eos_id();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
        assert_eq!((stream[3], tokenizer.decode(&stream[..3]).unwrap().as_str()), (eos, "abc"));
        // 7 tokens: the last one alone predicts nothing.
        assert_eq!(blocks(&texts, &tokenizer, 6).unwrap().len(), 1);
        assert_eq!(blocks(&texts, &tokenizer, 5).unwrap()[1].len(), 2);
    }

    #[test]
    fn nothing_to_predict_is_an_error() {
        let tokenizer = byte_tokenizer();
        assert!(blocks(&["a".into()], &tokenizer, 1).unwrap_err().to_string().contains("block length is 1"));
        assert!(blocks(&[], &tokenizer, 8).unwrap_err().to_string().contains("no text"));
    }

    #[test]
    fn running_text_is_prompt_and_chosen_or_every_response() {
        let record = |prompt: &str, chosen: &str| Record {
            example: 0,
            prompt: prompt.into(),
            responses: vec![("chosen".into(), chosen.into()), ("rejected".into(), " no".into())],
            extra: serde_json::Map::new(),
        };
        let records = [record("Q", " yes"), record("", " ")];
        assert_eq!(pretraining_texts(&records, false), ["Q yes"]);
        assert_eq!(pretraining_texts(&records, true), ["Q yes", "Q no", " no"]);
    }
}
