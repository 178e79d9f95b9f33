//! Log-probabilities of responses by teacher forcing. Prompts are computed once
//! for all responses behind them, only response positions reach the head, and
//! the statistics of every position come from the same pass.

use crate::data::TokenizedRecord;
use crate::model::Model;
use crate::value::{Layout, Traced, Value};
use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use ldyn_core::diagnostics::{ResponseStats, TokenStats};
use std::ops::Range;

/// A loss, gradient or log-probability that is NaN or infinite: which, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct NotFinite(pub String);

impl std::fmt::Display for NotFinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFinite {}

/// Rows that a scoring batch may hold; a single item may exceed it.
pub const MAX_ROWS: usize = 2048;

/// A prompt and the responses to score behind it, as token ids.
#[derive(Clone, Debug, Default)]
pub struct Item<'a> {
    /// Prompt ids. Behind an empty prompt the first response token has no
    /// context and is not scored.
    pub prompt: &'a [u32],
    /// Response ids.
    pub responses: Vec<&'a [u32]>,
}

impl Item<'_> {
    /// Packed rows that the item takes: the last token of a response is only ever predicted.
    pub fn rows(&self) -> usize {
        self.prompt.len() + self.responses.iter().map(|r| r.len().saturating_sub(1)).sum::<usize>()
    }
}

impl<'a> From<&'a TokenizedRecord> for Item<'a> {
    /// Every response of the record behind its prompt.
    fn from(record: &'a TokenizedRecord) -> Self {
        Self {
            prompt: &record.prompt,
            responses: record.responses.iter().map(|(_, ids)| ids.as_slice()).collect(),
        }
    }
}

/// Items as one batch for the model.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    /// Input ids.
    pub ids: Vec<u32>,
    /// How they attend.
    pub layout: Layout,
    /// Row whose distribution predicts each target.
    pub rows: Vec<u32>,
    /// Response tokens to be predicted.
    pub targets: Vec<u32>,
    /// The targets of each response, items and responses in order.
    pub ranges: Vec<Range<usize>>,
}

/// Packs items, each prompt once.
///
/// # Errors
/// An empty response, or one that has no scored token (one token behind an empty prompt).
pub fn pack(items: &[Item]) -> Result<Packed> {
    let mut packed = Packed::default();
    for (i, item) in items.iter().enumerate() {
        let prompt_start = packed.ids.len();
        let parent = match item.prompt.len() {
            0 => None,
            n => Some(packed.layout.push(n, None)?),
        };
        packed.ids.extend_from_slice(item.prompt);
        for (j, response) in item.responses.iter().enumerate() {
            let Some((last, inputs)) = response.split_last() else {
                bail!("item {i}, response {j}: no tokens to score")
            };
            let begin = packed.targets.len();
            if parent.is_some() {
                packed.rows.push((prompt_start + item.prompt.len() - 1) as u32);
                packed.targets.push(response[0]);
            }
            if !inputs.is_empty() {
                let start = packed.ids.len();
                packed.layout.push(inputs.len(), parent)?;
                packed.ids.extend_from_slice(inputs);
                packed.rows.extend((start..start + inputs.len()).map(|r| r as u32));
                packed.targets.extend_from_slice(&inputs[1..]);
                packed.targets.push(*last);
            }
            if packed.targets.len() == begin {
                bail!("item {i}, response {j}: one token behind an empty prompt cannot be scored")
            }
            packed.ranges.push(begin..packed.targets.len());
        }
    }
    Ok(packed)
}

/// Log-probability of every packed target under the model, with the steps that lead to it: `[targets]`. With `stats`,
/// the targets' statistics are appended.
///
/// # Errors
/// Ids outside the vocabulary, sequences longer than the model's positions.
pub fn log_probs(model: &Model, packed: &Packed, stats: Option<&mut Vec<TokenStats<f64>>>) -> Result<Traced> {
    let tape = model.tape(&packed.layout);
    let hidden = model.hidden(&tape, &packed.ids, &packed.layout)?;
    let rows = Tensor::new(packed.rows.as_slice(), model.device())?;
    hidden.rows(&rows)?.log_probs(&model.head(&tape)?, &packed.targets, model.precision, stats)
}

/// Statistics of every packed target.
///
/// # Errors
/// As [`log_probs`].
pub fn token_stats(model: &Model, packed: &Packed) -> Result<Vec<TokenStats<f64>>> {
    let hidden = model.hidden_detached(&packed.ids, &packed.layout)?;
    let rows = Tensor::new(packed.rows.as_slice(), model.device())?;
    let mut stats = Vec::with_capacity(packed.targets.len());
    let (hidden, head) = (Value::rows(&hidden, &rows)?, model.head_detached()?);
    hidden.log_probs(&head, &packed.targets, model.precision, Some(&mut stats))?;
    Ok(stats)
}

/// Scores every response of every item, in order, in batches of [`MAX_ROWS`] rows.
///
/// # Errors
/// As [`pack`] and [`log_probs`].
pub fn score(model: &Model, items: &[Item]) -> Result<Vec<Vec<ResponseStats>>> {
    score_with(model, items, |stats, _| Ok(ResponseStats::from_tokens(stats, model.vocab_size())?))
}

/// As [`score`], with a number of one's own for each response from its tokens' statistics and labels.
///
/// # Errors
/// As [`score`], and those of `number`.
pub fn score_with<R>(
    model: &Model,
    items: &[Item],
    number: impl Fn(&[TokenStats<f64>], &[u32]) -> Result<R>,
) -> Result<Vec<Vec<R>>> {
    let mut scored = Vec::with_capacity(items.len());
    for batch in batches(items, MAX_ROWS) {
        let packed = pack(&items[batch.clone()]).with_context(|| format!("items {batch:?}"))?;
        let stats = token_stats(model, &packed)?;
        let mut ranges = packed.ranges.iter();
        for item in &items[batch] {
            let responses = ranges.by_ref().take(item.responses.len());
            let number = |range: &Range<usize>| number(&stats[range.clone()], &packed.targets[range.clone()]);
            scored.push(responses.map(number).collect::<Result<_>>()?);
        }
    }
    Ok(scored)
}

/// Consecutive runs of items that hold at most `max_rows` rows each, or one item.
pub(crate) fn batches(items: &[Item], max_rows: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let mut start = 0;
    let mut rows = 0;
    for (i, item) in items.iter().enumerate() {
        if i > start && rows + item.rows() > max_rows {
            batches.push(start..i);
            start = i;
            rows = 0;
        }
        rows += item.rows();
    }
    if start < items.len() {
        batches.push(start..items.len());
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_packed_once_and_predicts_every_first_token() {
        let item = Item { prompt: &[5, 6, 7], responses: vec![&[1, 2, 0], &[0], &[3, 0]] };
        assert_eq!(item.rows(), 6);
        let packed = pack(&[item]).unwrap();
        assert_eq!(packed.ids, [5, 6, 7, 1, 2, 3]);
        assert_eq!(packed.rows, [2, 3, 4, 2, 2, 5]);
        assert_eq!(packed.targets, [1, 2, 0, 0, 3, 0]);
        assert_eq!(packed.ranges, [0..3, 3..4, 4..6]);
        assert_eq!(packed.layout.n_rows(), 6);
    }

    #[test]
    fn behind_an_empty_prompt_the_first_token_is_not_scored() {
        let packed = pack(&[Item { prompt: &[], responses: vec![&[4, 2, 0]] }]).unwrap();
        assert_eq!((packed.rows, packed.targets), (vec![0, 1], vec![2, 0]));
        assert!(pack(&[Item { prompt: &[], responses: vec![&[0]] }]).is_err());
        assert!(pack(&[Item { prompt: &[1], responses: vec![&[]] }]).is_err());
    }

    #[test]
    fn batches_cover_all_items_within_the_limit() {
        let ids = [1u32; 10];
        let items: Vec<Item> = (1..=9).map(|n| Item { prompt: &ids[..n], responses: vec![&[0]] }).collect();
        let batches = batches(&items, 10);
        assert_eq!(batches.iter().cloned().flatten().collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
        for b in &batches {
            assert!(b.len() == 1 || items[b.clone()].iter().map(Item::rows).sum::<usize>() <= 10);
        }
        // 1 + 2 + 3 + 4 rows fill one batch; 5 to 9 take one each.
        assert_eq!(batches.len(), 6);
    }
}
