//! How token rows of many sequences lie in one packed batch, without padding.

use anyhow::{Result, bail};

/// A run of consecutive rows that attend causally to themselves and, if there
/// is a parent, to every row of the parent. A parent has no parent itself: it
/// is a prompt, its children are the responses behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First row.
    pub start: usize,
    /// Number of rows, at least 1.
    pub len: usize,
    /// Index of the span that comes before this one in its sequence.
    pub parent: Option<usize>,
    /// Rows before this one that a [`Cache`](super::Cache) holds; 0 without one.
    pub past: usize,
}

/// The spans of a packed batch. They cover rows `0..n_rows` in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    spans: Vec<Span>,
    n_rows: usize,
}

impl Layout {
    /// An empty layout.
    pub fn new() -> Self {
        Self::default()
    }

    /// One causal sequence of `len` rows.
    ///
    /// # Errors
    /// `len` is 0.
    pub fn single(len: usize) -> Result<Self> {
        let mut layout = Self::new();
        layout.push(len, None)?;
        Ok(layout)
    }

    /// Appends a span of `len` rows behind `parent` and returns its index.
    ///
    /// # Errors
    /// `len` is 0, or `parent` is no earlier span or has a parent itself.
    pub fn push(&mut self, len: usize, parent: Option<usize>) -> Result<usize> {
        if let Some(p) = parent {
            match self.spans.get(p) {
                None => bail!("span {} names parent {p}, which is not an earlier span", self.spans.len()),
                Some(s) if self.offset(s) > 0 => {
                    bail!("parent {p} goes on behind other rows; only prompts can be shared")
                }
                Some(_) => {}
            }
        }
        self.append(Span { start: self.n_rows, len, parent, past: 0 })
    }

    /// Appends a span of `len` rows that goes on behind `past` rows of a [`Cache`](super::Cache), and
    /// returns its index.
    ///
    /// # Errors
    /// `len` is 0.
    pub fn push_behind(&mut self, len: usize, past: usize) -> Result<usize> {
        self.append(Span { start: self.n_rows, len, parent: None, past })
    }

    fn append(&mut self, span: Span) -> Result<usize> {
        if span.len == 0 {
            bail!("a span of 0 rows: drop the empty sequence before packing")
        }
        self.n_rows += span.len;
        self.spans.push(span);
        Ok(self.spans.len() - 1)
    }

    /// The spans in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Number of packed rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Rows before the first row of `span` in its sequence: those of the cache, or the parent's.
    pub fn offset(&self, span: &Span) -> usize {
        span.past + span.parent.map_or(0, |p| self.spans[p].len)
    }

    /// Most rows of a sequence, with those before its span.
    pub fn longest(&self) -> usize {
        self.spans.iter().map(|span| self.offset(span) + span.len).max().unwrap_or(0)
    }

    /// Position of every row in its own sequence, from 0.
    pub fn positions(&self) -> Vec<u32> {
        self.spans
            .iter()
            .flat_map(|s| {
                let o = self.offset(s);
                (o..o + s.len).map(|p| p as u32)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_continue_behind_a_shared_prompt() {
        let mut layout = Layout::new();
        let prompt = layout.push(3, None).unwrap();
        layout.push(2, Some(prompt)).unwrap();
        let child = layout.push(1, Some(prompt)).unwrap();
        assert_eq!(layout.positions(), [0, 1, 2, 3, 4, 3]);
        assert!(layout.push(1, Some(child)).is_err());
        assert!(layout.push(0, None).is_err());
        assert!(layout.push(1, Some(9)).is_err());
    }

    #[test]
    fn positions_continue_behind_cached_rows() {
        let mut layout = Layout::new();
        let behind = layout.push_behind(2, 5).unwrap();
        layout.push_behind(1, 0).unwrap();
        assert_eq!(layout.positions(), [5, 6, 0]);
        assert_eq!((layout.n_rows(), layout.longest()), (3, 7));
        assert!(layout.push(1, Some(behind)).is_err());
        assert!(layout.push_behind(0, 3).is_err());
    }
}
