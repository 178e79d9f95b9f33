//! What ends a continuation before its longest length.

use crate::data::Tokenizer;
use anyhow::{Context, Result, ensure};

/// What ends a continuation before its longest length.
///
/// ```no_run
/// use ldyn::{data::Tokenizer, generate::Stop};
/// # let folder = std::path::Path::new("model");
/// let tokenizer = Tokenizer::load(folder, None)?;
/// // At EOS, or where the next human turn begins.
/// let stop = Stop::at(tokenizer.eos_id()).or_texts(&tokenizer, &["\n\nHuman:"])?;
/// let answer = tokenizer.encode(" Twice a week.\n\nHuman: Thanks")?;
/// assert_eq!(stop.text(&tokenizer, &answer)?, " Twice a week.");
/// # anyhow::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop<'a> {
    sequences: Vec<Vec<u32>>,
    texts: Vec<String>,
    tokenizer: Option<&'a Tokenizer>,
}

impl<'a> Stop<'a> {
    /// At one token, EOS above all. [`Stop::default`] is at none.
    pub fn at(id: u32) -> Self {
        Self { sequences: vec![vec![id]], ..Self::default() }
    }

    /// Also where the continuation ends with these tokens.
    ///
    /// # Errors
    /// No tokens.
    pub fn or_tokens(mut self, ids: &[u32]) -> Result<Self> {
        ensure!(!ids.is_empty(), "a stop sequence without tokens would end everything at once: leave it out");
        self.sequences.push(ids.to_vec());
        Ok(self)
    }

    /// Also where the text of the continuation contains one of `texts`, which need not be whole tokens.
    ///
    /// # Errors
    /// An empty text.
    pub fn or_texts<S: AsRef<str>>(mut self, tokenizer: &'a Tokenizer, texts: &[S]) -> Result<Self> {
        for text in texts {
            let text = text.as_ref();
            ensure!(!text.is_empty(), "an empty stop text would end everything at once: leave it out");
            self.texts.push(text.to_owned());
        }
        self.tokenizer = Some(tokenizer);
        Ok(self)
    }

    /// Whether a continuation ends here.
    pub(super) fn reached(&self, ids: &[u32]) -> Result<bool> {
        if self.sequences.iter().any(|s| ids.ends_with(s)) {
            return Ok(true);
        }
        let Some(tokenizer) = self.tokenizer.filter(|_| !self.texts.is_empty()) else { return Ok(false) };
        let text = tokenizer.decode(ids).context("looking for a stop text")?;
        Ok(self.texts.iter().any(|stop| text.contains(stop)))
    }

    /// The text of a continuation without what ended it: without the tokens, and up to the first stop text.
    ///
    /// # Errors
    /// Tokens without a text.
    pub fn text(&self, tokenizer: &Tokenizer, ids: &[u32]) -> Result<String> {
        let end = self.sequences.iter().filter(|s| ids.ends_with(s)).map(Vec::len).max().unwrap_or(0);
        let mut text = tokenizer.decode(&ids[..ids.len() - end])?;
        text.truncate(self.texts.iter().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len()));
        Ok(text)
    }
}
