//! The pieces of work of an attention: a prompt with the responses behind it, one query head.

use crate::value::cpu::Elem;
use crate::value::rotary::Rotary;
use crate::value::{Attention, Layout, QkvOrder};

/// A span inside the local rows of its family.
#[derive(Clone, Copy)]
pub(super) struct Member {
    /// First row in the packed batch.
    pub start: usize,
    /// First row in the family.
    pub local: usize,
    /// Number of rows.
    pub len: usize,
    /// Rows of the parent, which are the first of the family; 0 without one.
    pub prefix: usize,
}

/// A span without parent and all its children, side by side in local rows.
pub(super) struct Family {
    pub members: Vec<Member>,
    pub rows: usize,
}

/// Query rows that are worked on together.
pub(super) const BLOCK: usize = 32;

/// Some query rows of a member and the columns that they see.
pub(super) struct Block {
    /// First query row in the family, and how many.
    pub row: usize,
    pub rows: usize,
    /// Columns of the parent (local rows `0..prefix`).
    pub prefix: usize,
    /// First own column in the family, and how many; query i sees the first `own − rows + i + 1`.
    pub own: usize,
    pub own_len: usize,
}

impl Block {
    /// Columns together.
    pub(super) fn columns(&self) -> usize {
        self.prefix + self.own_len
    }

    /// Columns that query `i` sees.
    pub(super) fn seen(&self, i: usize) -> usize {
        self.columns() - self.rows + i + 1
    }
}

impl Family {
    /// All families of a layout, in the order of their first spans.
    pub(super) fn all(layout: &Layout) -> Vec<Self> {
        let mut families: Vec<Self> = Vec::new();
        let mut place = Vec::with_capacity(layout.spans().len());
        for span in layout.spans() {
            let at = span.parent.map_or(families.len(), |parent| place[parent]);
            if at == families.len() {
                families.push(Self { members: Vec::new(), rows: 0 });
            }
            let family = &mut families[at];
            let prefix = layout.offset(span);
            family.members.push(Member { start: span.start, local: family.rows, len: span.len, prefix });
            family.rows += span.len;
            place.push(at);
        }
        families
    }

    /// The blocks of query rows, in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        self.members.iter().flat_map(|m| {
            (0..m.len).step_by(BLOCK).map(move |first| {
                let rows = BLOCK.min(m.len - first);
                Block { row: m.local + first, rows, prefix: m.prefix, own: m.local, own_len: first + rows }
            })
        })
    }

    /// The most columns that a block has.
    pub(super) fn most_columns(&self) -> usize {
        self.members.iter().map(|m| m.prefix + m.len).max().unwrap_or(0)
    }
}

/// First columns of the query, key and value of query head `head` in a fused row.
pub(super) fn columns(a: &Attention, head: usize) -> [usize; 3] {
    let hd = a.head_dim;
    let kv = head / (a.heads / a.kv_heads);
    match a.order {
        QkvOrder::PerHead => [0, 1, 2].map(|part| (3 * head + part) * hd),
        QkvOrder::Grouped => [head, a.heads + kv, a.heads + a.kv_heads + kv].map(|h| h * hd),
    }
}

/// What the pieces of work read: the rotation in the number type, the shape of the heads.
pub(super) struct Heads<'a, T> {
    pub attention: &'a Attention,
    pub scale: T,
    cos: Vec<T>,
    sin: Vec<T>,
}

impl<'a, T: Elem> Heads<'a, T> {
    /// With the rotation of every position of a layout.
    pub(super) fn new(attention: &'a Attention, layout: &Layout) -> Self {
        Self::with(attention, &Rotary::new(attention, layout))
    }

    pub(super) fn with(attention: &'a Attention, rotary: &Rotary) -> Self {
        let cast = |table: &[f64]| table.iter().map(|x| T::from_f64(*x)).collect();
        let scale = T::from_f64(1.0 / (attention.head_dim as f64).sqrt());
        Self { attention, scale, cos: cast(rotary.cos()), sin: cast(rotary.sin()) }
    }

    /// Width of a fused row.
    pub(super) fn width(&self) -> usize {
        (self.attention.heads + 2 * self.attention.kv_heads) * self.attention.head_dim
    }

    /// Rotates a head's numbers by the angle of `position` in the rotation's table, or back.
    pub(super) fn rotate(&self, x: &mut [T], position: usize, back: bool) {
        let half = self.attention.rotary_dim / 2;
        let cos = &self.cos[position * half..][..half];
        let sin = &self.sin[position * half..][..half];
        let (a, b) = x.split_at_mut(half);
        for i in 0..half {
            let s = if back { -sin[i] } else { sin[i] };
            (a[i], b[i]) = (a[i] * cos[i] - b[i] * s, b[i] * cos[i] + a[i] * s);
        }
    }

    /// Rows of a family gathered from column `from` of fused rows: `[rows, head_dim]`.
    fn gather(&self, qkv: &[T], family: &Family, from: usize, turn: impl Fn(&mut [T], usize)) -> Vec<T> {
        let (hd, width) = (self.attention.head_dim, self.width());
        let mut out = Vec::with_capacity(family.rows * hd);
        for m in &family.members {
            for i in 0..m.len {
                let at = out.len();
                out.extend_from_slice(&qkv[(m.start + i) * width + from..][..hd]);
                turn(&mut out[at..], m.prefix + i);
            }
        }
        out
    }

    /// Queries (rotated and scaled), keys (rotated) and values of a query head: `[rows, head_dim]`.
    pub(super) fn load(&self, qkv: &[T], family: &Family, head: usize) -> [Vec<T>; 3] {
        let [q, k, v] = columns(self.attention, head);
        let mut q = self.gather(qkv, family, q, |x, p| self.rotate(x, p, false));
        q.iter_mut().for_each(|x| *x *= self.scale);
        let k = self.gather(qkv, family, k, |x, p| self.rotate(x, p, false));
        let v = self.gather(qkv, family, v, |_, _| {});
        [q, k, v]
    }

    /// Rows of a family from `[N, heads·head_dim]`.
    pub(super) fn load_output(&self, out: &[T], family: &Family, head: usize) -> Vec<T> {
        let hd = self.attention.head_dim;
        let width = self.attention.heads * hd;
        let mut rows = Vec::with_capacity(family.rows * hd);
        for m in &family.members {
            for row in m.start..m.start + m.len {
                rows.extend_from_slice(&out[row * width + head * hd..][..hd]);
            }
        }
        rows
    }
}
