//! Records as token ids: prompt and response apart, one EOS a response, cut to length.

use super::formats::Format;
use super::tokenizer::Tokenizer;
use super::{Record, TokenizedRecord};
use crate::log;
use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Instant;
use tracing::info;

/// Which part of a prompt stays when it is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TruncationMode {
    /// The last tokens, as the reference does for HH.
    #[default]
    KeepEnd,
    /// The first tokens, as the reference does for UltraFeedback.
    KeepStart,
}

/// When something is cut. Cut responses keep their beginning and lose their EOS in both rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// A prompt longer than `max_prompt_length` is cut to it; then each response to what is left of
    /// `max_length`. What one response does never changes another.
    #[default]
    Independent,
    /// The reference implementation's rule. Let *m* be the longest of all the record's texts, the prompt itself
    /// and kept-aside string fields included. If prompt + *m* exceeds `max_length`, the prompt is cut to
    /// `max_prompt_length`; if (with the same *m*) it still does, all responses are cut to what is left.
    /// The two rules differ only if `max_length` exceeds twice `max_prompt_length`: then this one spares long
    /// prompts whose record is short.
    Reference,
}

/// What to do with text that contains the end-of-sequence token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EosInText {
    /// Refuse it, as the reference does.
    #[default]
    Error,
    /// Read it, and every other special token, as ordinary characters.
    EncodeAsText,
    /// Read it as the token. Right for text rendered by a chat template, whose messages the reader has
    /// checked already.
    Allow,
}

impl EosInText {
    /// The rule for records of a format: a chat template's own special tokens are always allowed.
    #[must_use]
    pub fn for_format(self, format: Format) -> Self {
        if format == Format::Conversational { Self::Allow } else { self }
    }
}

/// Lengths in tokens, and how to reach them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lengths {
    /// Prompt and response together, EOS included.
    pub max_length: usize,
    /// Prompt alone.
    pub max_prompt_length: usize,
    /// Which part of a prompt stays.
    pub truncation_mode: TruncationMode,
    /// When something is cut.
    pub cut: Cut,
}

impl Default for Lengths {
    /// The reference's 512 and 256 for HH.
    fn default() -> Self {
        Self {
            max_length: 512,
            max_prompt_length: 256,
            truncation_mode: TruncationMode::KeepEnd,
            cut: Cut::Independent,
        }
    }
}

impl Lengths {
    /// Checks the lengths against each other and against a model's context (`max_position_embeddings`).
    ///
    /// # Errors
    /// Names the setting that is wrong and its bound.
    pub fn check(&self, context: Option<usize>) -> Result<()> {
        if self.max_length == 0 {
            bail!("max_length is 0, expected at least 2");
        }
        if self.max_prompt_length >= self.max_length {
            bail!(
                "max_prompt_length is {}, expected less than max_length ({}), so that a response has room",
                self.max_prompt_length,
                self.max_length
            );
        }
        if let Some(context) = context
            && self.max_length > context
        {
            bail!("max_length is {}, but the model's context holds {context} tokens", self.max_length);
        }
        Ok(())
    }
}

/// What [`tokenize`] cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutReport {
    /// Records seen.
    pub records: usize,
    /// Prompts that were shortened.
    pub prompts: usize,
    /// Responses that were shortened, and so lost their EOS, by kind.
    pub responses: BTreeMap<String, usize>,
}

impl CutReport {
    /// One sentence an entry, for the notes of a run; empty if nothing was cut.
    pub fn notes(&self) -> Vec<String> {
        let prompts = (self.prompts > 0).then(|| format!("cut {} of {} prompts", self.prompts, self.records));
        let responses = self.responses.iter().map(|(kind, count)| {
            format!("cut {count} of {} responses of kind {kind}, which so lost their EOS", self.records)
        });
        prompts.into_iter().chain(responses).collect()
    }
}

/// Token ids of every record. Prompt and response are tokenised apart; every response ends with exactly one
/// EOS unless it is cut; prompts get none. With an empty prompt a model has nothing to predict the first
/// response token from, so that token is never scored.
///
/// # Errors
/// Wrong [`Lengths`]; text with the EOS token under [`EosInText::Error`], by line and field.
pub fn tokenize(
    records: &[Record],
    tokenizer: &Tokenizer,
    lengths: &Lengths,
    eos_in_text: EosInText,
) -> Result<(Vec<TokenizedRecord>, CutReport)> {
    lengths.check(None)?;
    let started = Instant::now();
    let plain = (eos_in_text == EosInText::EncodeAsText).then(|| tokenizer.without_specials());
    let tokenizer = plain.as_ref().unwrap_or(tokenizer);
    let encoded: Vec<(TokenizedRecord, usize)> = records
        .par_iter()
        .map(|record| encode(record, tokenizer, lengths.cut, eos_in_text))
        .collect::<Result<_>>()?;
    let mut report = CutReport { records: records.len(), ..Default::default() };
    let cut = encoded.into_iter().map(|(record, longest)| shorten(record, longest, lengths, &mut report));
    let cut: Vec<TokenizedRecord> = cut.collect();
    info!(
        records = cut.len(),
        tokens = cut.iter().map(tokens).sum::<usize>(),
        prompts_cut = report.prompts,
        responses_cut = report.responses.values().sum::<usize>(),
        seconds = log::seconds(started),
        "tokenised"
    );
    Ok((cut, report))
}

/// Tokens of a record.
fn tokens(record: &TokenizedRecord) -> usize {
    record.prompt.len() + record.responses.iter().map(|(_, ids)| ids.len()).sum::<usize>()
}

/// One record uncut, and the length of its longest kept-aside text (0 where the rule does not ask).
fn encode(
    record: &Record,
    tokenizer: &Tokenizer,
    cut: Cut,
    eos_in_text: EosInText,
) -> Result<(TokenizedRecord, usize)> {
    let ids = |field: &str, text: &str| -> Result<Vec<u32>> {
        if eos_in_text == EosInText::Error && text.contains(tokenizer.eos_token()) {
            bail!(
                "line {}: `{field}` contains the end-of-sequence token {:?}; remove it, or set `eos_in_text` to \
                 \"encode_as_text\" or \"allow\"",
                record.example + 1,
                tokenizer.eos_token()
            );
        }
        tokenizer.encode(text).with_context(|| format!("line {}: `{field}`", record.example + 1))
    };
    let response = |field: &str, text: &str| -> Result<Vec<u32>> {
        // A template's closing EOS is the response's own; the line break some write after it is not scored.
        let closed = text.trim_end();
        let closes = eos_in_text == EosInText::Allow && closed.ends_with(tokenizer.eos_token());
        let mut ids = ids(field, if closes { closed } else { text })?;
        if ids.last() != Some(&tokenizer.eos_id()) {
            ids.push(tokenizer.eos_id());
        }
        Ok(ids)
    };
    let prompt = ids("prompt", &record.prompt)?;
    let responses = record
        .responses
        .iter()
        .map(|(kind, text)| Ok((kind.clone(), response(kind, text)?)))
        .collect::<Result<_>>()?;
    let mut longest = 0;
    if cut == Cut::Reference {
        for (field, value) in &record.extra {
            if let Some(text) = value.as_str() {
                longest = longest.max(response(field, text)?.len());
            }
        }
    }
    Ok((TokenizedRecord { example: record.example, prompt, responses }, longest))
}

fn shorten(
    mut record: TokenizedRecord,
    longest_extra: usize,
    lengths: &Lengths,
    report: &mut CutReport,
) -> TokenizedRecord {
    let prompt = &mut record.prompt;
    let longest = record.responses.iter().map(|(_, ids)| ids.len()).max().unwrap_or(0);
    let longest = longest.max(longest_extra).max(prompt.len());
    let independent = lengths.cut == Cut::Independent;
    if prompt.len() > lengths.max_prompt_length
        && (independent || prompt.len() + longest > lengths.max_length)
    {
        report.prompts += 1;
        match lengths.truncation_mode {
            TruncationMode::KeepEnd => drop(prompt.drain(..prompt.len() - lengths.max_prompt_length)),
            TruncationMode::KeepStart => prompt.truncate(lengths.max_prompt_length),
        }
    }
    // The reference's condition is implied by a response longer than the room.
    let room = lengths.max_length - prompt.len();
    for (kind, ids) in &mut record.responses {
        if ids.len() > room {
            ids.truncate(room);
            *report.responses.entry(kind.clone()).or_default() += 1;
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::super::tokenizer::tests::byte_tokenizer;
    use super::*;
    use rand::Rng;
    use rand::seq::SliceRandom;

    const EOS: u32 = 256;

    fn record(prompt: usize, responses: &[usize]) -> Record {
        let responses =
            responses.iter().enumerate().map(|(i, &n)| (format!("k{i}"), "r".repeat(n))).collect();
        Record { example: 0, prompt: "p".repeat(prompt), responses, extra: serde_json::Map::new() }
    }

    fn lengths(max_length: usize, max_prompt_length: usize, cut: Cut) -> Lengths {
        Lengths { max_length, max_prompt_length, cut, ..Default::default() }
    }

    /// Lengths of the prompt and of each response, EOS included.
    fn cut(record: &Record, lengths: &Lengths) -> (usize, Vec<usize>) {
        let (rows, _) =
            tokenize(std::slice::from_ref(record), &byte_tokenizer(), lengths, EosInText::Error).unwrap();
        (rows[0].prompt.len(), rows[0].responses.iter().map(|(_, ids)| ids.len()).collect())
    }

    #[test]
    fn every_response_ends_with_one_eos_and_prompts_with_none() {
        let (rows, report) =
            tokenize(&[record(3, &[2, 0])], &byte_tokenizer(), &Lengths::default(), EosInText::Error)
                .unwrap();
        assert!(!rows[0].prompt.contains(&EOS));
        for (kind, ids) in &rows[0].responses {
            assert_eq!(ids.iter().filter(|&&id| id == EOS).count(), 1, "{kind}");
            assert_eq!(ids.last(), Some(&EOS));
        }
        assert!(report.notes().is_empty());
    }

    #[test]
    fn each_response_is_cut_on_its_own_and_a_cut_one_loses_its_eos() {
        let lengths = lengths(10, 4, Cut::Independent);
        assert_eq!(cut(&record(6, &[5, 6, 2]), &lengths), (4, vec![6, 6, 3]));
        let (rows, report) =
            tokenize(&[record(6, &[5, 6, 2])], &byte_tokenizer(), &lengths, EosInText::Error).unwrap();
        let ends = rows[0].responses.iter().map(|(_, ids)| ids.last() == Some(&EOS));
        assert_eq!(ends.collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(
            report.notes(),
            ["cut 1 of 1 prompts", "cut 1 of 1 responses of kind k1, which so lost their EOS"]
        );
    }

    #[test]
    fn what_one_response_does_never_changes_another() {
        let tokenizer = byte_tokenizer();
        let mut rng = crate::seed::rng(7, "test");
        for _ in 0..200 {
            let max = rng.random_range(2..40);
            let lengths = lengths(max, rng.random_range(0..max), Cut::Independent);
            let count = rng.random_range(1..6);
            let whole = record(
                rng.random_range(0..50),
                &(0..count).map(|_| rng.random_range(0..50)).collect::<Vec<_>>(),
            );
            let run = |record: Record| {
                tokenize(&[record], &tokenizer, &lengths, EosInText::Error).unwrap().0.remove(0)
            };
            let expected = run(whole.clone());
            assert!(expected.responses.iter().all(|(_, ids)| expected.prompt.len() + ids.len() <= max
                && (!ids.is_empty() || expected.prompt.len() == max)));
            let mut other = whole.clone();
            other.responses.shuffle(&mut rng);
            other.responses.truncate(rng.random_range(1..=count));
            other.responses.push(("more".into(), "m".repeat(rng.random_range(0..90))));
            let found = run(other);
            assert_eq!(found.prompt, expected.prompt);
            for (kind, ids) in &found.responses {
                if let Some((_, same)) = expected.responses.iter().find(|(k, _)| k == kind) {
                    assert_eq!(ids, same);
                }
            }
        }
    }

    #[test]
    fn the_reference_rule_counts_the_prompt_and_fields_kept_aside() {
        let rule = lengths(10, 4, Cut::Reference);
        // All fits: nothing is cut although the prompt is longer than 4.
        assert_eq!(cut(&record(5, &[3, 1]), &rule), (5, vec![4, 2]));
        // The prompt counts as a field: 6 + 6 > 10, so it is cut although 6 + 2 fits.
        assert_eq!(cut(&record(6, &[1]), &rule), (4, vec![2]));
        // A long response cuts the prompt, then only itself.
        assert_eq!(cut(&record(5, &[8, 1]), &rule), (4, vec![6, 2]));
        // A long field that nobody scores does the same to the prompt; a number does not.
        let mut aside = record(5, &[1]);
        aside.extra.insert("chosen_selfr".into(), "sssss".into());
        assert_eq!(cut(&aside, &rule), (4, vec![2]));
        aside.extra.insert("chosen_selfr".into(), 55555.into());
        assert_eq!(cut(&aside, &rule), (5, vec![2]));
    }

    #[test]
    fn the_two_rules_agree_where_the_prompt_may_take_half() {
        let mut rng = crate::seed::rng(8, "test");
        let mut differ = 0;
        for _ in 0..300 {
            let max = rng.random_range(2..40);
            let max_prompt = rng.random_range(0..max);
            let record = record(rng.random_range(0..50), &[rng.random_range(0..50), rng.random_range(0..50)]);
            let same = cut(&record, &lengths(max, max_prompt, Cut::Independent))
                == cut(&record, &lengths(max, max_prompt, Cut::Reference));
            assert!(same || max > 2 * max_prompt);
            differ += usize::from(!same);
        }
        assert!(differ > 0);
    }

    #[test]
    fn the_named_part_of_a_prompt_stays() {
        let tokenizer = byte_tokenizer();
        let record = Record { prompt: "abcdef".into(), ..record(0, &[1]) };
        for (mode, kept) in [(TruncationMode::KeepEnd, "ef"), (TruncationMode::KeepStart, "ab")] {
            let lengths = Lengths { truncation_mode: mode, ..lengths(8, 2, Cut::Independent) };
            let (rows, _) =
                tokenize(std::slice::from_ref(&record), &tokenizer, &lengths, EosInText::Error).unwrap();
            assert_eq!(tokenizer.decode(&rows[0].prompt).unwrap(), kept);
        }
    }

    #[test]
    fn eos_text_is_refused_by_line_or_read_as_asked() {
        let tokenizer = byte_tokenizer();
        let mut bad = record(1, &[1]);
        bad.example = 4;
        bad.responses[0].1 = "no<|endoftext|>\n".into();
        let run = |rule| tokenize(std::slice::from_ref(&bad), &tokenizer, &Lengths::default(), rule);
        let message = format!("{:#}", run(EosInText::Error).unwrap_err());
        assert!(message.contains("line 5: `k0` contains") && message.contains("<|endoftext|>"), "{message}");
        let ids = |rule| run(rule).unwrap().0.remove(0).responses.remove(0).1;
        assert_eq!(ids(EosInText::Allow).len(), 3); // "no" and its own EOS, not doubled
        let text = ids(EosInText::EncodeAsText);
        assert_eq!((text.len(), text.iter().filter(|&&id| id == EOS).count()), (17, 1));
        assert_eq!(EosInText::Error.for_format(Format::Conversational), EosInText::Allow);
        assert_eq!(EosInText::Error.for_format(Format::Hh), EosInText::Error);
    }

    #[test]
    fn impossible_lengths_are_refused_by_name() {
        let message = |l: Lengths, context| format!("{:#}", l.check(context).unwrap_err());
        assert!(message(lengths(0, 0, Cut::Independent), None).contains("max_length is 0"));
        assert!(message(lengths(8, 8, Cut::Independent), None).contains("max_prompt_length is 8"));
        assert!(message(Lengths::default(), Some(128)).contains("context holds 128"));
        assert!(Lengths::default().check(Some(512)).is_ok());
    }
}
