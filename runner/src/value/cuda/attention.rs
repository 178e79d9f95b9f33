//! The tiles that attention is cut into, and its kernels in their order.

use super::call::{Call, Machine, Memory};
use crate::value::rotary::Rotary;
use crate::value::{Attention, Layout, QkvOrder};
use candle_core::{Result, bail};
use ldyn_core::Real;

/// Bytes of shared memory that every GPU gives a block without being asked.
const SHARED_BYTES: usize = 48 << 10;

/// Rows of a tile, largest first.
const TILES: [usize; 4] = [16, 8, 4, 2];

/// Numbers of shared memory of the kernel that needs the most (`attention_keys`), for tiles of `t` rows.
fn shared(t: usize, hd: usize) -> usize {
    4 * t * (hd + 1) + 2 * t * hd + 2 * t * t
}

/// Rows of a tile for heads of `hd` numbers of `number` bytes; none if not even the smallest fits.
fn tile(hd: usize, number: usize) -> Option<usize> {
    TILES.into_iter().find(|t| shared(*t, hd) * number <= SHARED_BYTES)
}

/// Whether there is a tile for these heads in this number type.
#[cfg(feature = "cuda")]
pub(in crate::value) fn fits(a: &Attention, dtype: candle_core::DType) -> bool {
    tile(a.head_dim, dtype.size_in_bytes()).is_some()
}

/// What the kernels read besides the rows, in the machine's memory: the same for all layers of a pass.
pub(in crate::value) struct Tables<M: Machine> {
    tile: usize,
    cos: M::Buffer,
    sin: M::Buffer,
    positions: M::Table,
    queries: (usize, M::Table),
    keys: (usize, M::Table),
    children: M::Table,
}

impl<M: Machine> Tables<M> {
    /// For rows laid out like this.
    ///
    /// # Errors
    /// Heads that are too wide; out of memory.
    pub(in crate::value) fn new(machine: &M, a: &Attention, layout: &Layout) -> Result<Self> {
        let Some(tile) = tile(a.head_dim, size_of::<M::Real>()) else {
            bail!("attention: no tile of heads of {} numbers fits into shared memory", a.head_dim)
        };
        let rotary = Rotary::new(a, layout);
        // Not empty: a device has no memory of length 0.
        let cast = |table: &[f64]| -> Vec<_> {
            table.iter().chain(&[0.0]).map(|x| <M::Real as Real>::from_f64(*x)).collect()
        };
        let [queries, keys, children] = tiles(layout, tile);
        Ok(Self {
            tile,
            cos: machine.numbers(&cast(rotary.cos()))?,
            sin: machine.numbers(&cast(rotary.sin()))?,
            positions: machine.table(&layout.positions())?,
            queries: (queries.len() / 5, machine.table(&queries)?),
            keys: (keys.len() / 5, machine.table(&keys)?),
            children: machine.table(&children)?,
        })
    }
}

/// For each tile of query rows `QueryTile`, for each tile of key rows `KeyTile`, and the spans behind others as pairs
/// of first row and number, those behind one span together.
fn tiles(layout: &Layout, tile: usize) -> [Vec<u32>; 3] {
    let spans = layout.spans();
    let [mut queries, mut keys, mut children] = [(); 3].map(|()| Vec::new());
    for (i, span) in spans.iter().enumerate() {
        let from_child = children.len() / 2;
        for child in spans.iter().filter(|child| child.parent == Some(i)) {
            children.extend([child.start, child.len]);
        }
        let to_child = children.len() / 2;
        let prefix = span.parent.map_or([0, 0], |parent| [spans[parent].start, spans[parent].len]);
        for first in (span.start..span.start + span.len).step_by(tile) {
            let end = span.start + span.len;
            let count = tile.min(end - first);
            queries.extend([first, count, span.start, prefix[0], prefix[1]]);
            keys.extend([first, count, end, from_child, to_child]);
        }
    }
    if children.is_empty() {
        children.push(0);
    }
    [queries, keys, children].map(|table| table.into_iter().map(|x| x as u32).collect())
}

/// Attention of rows on a machine.
pub(in crate::value) struct Run<'a, M: Machine> {
    pub machine: &'a M,
    pub attention: &'a Attention,
    pub rows: usize,
    pub tables: &'a Tables<M>,
}

impl<M: Machine> Run<'_, M> {
    /// Numbers of all heads, queries, keys and values.
    fn all(&self) -> usize {
        self.rows * (self.attention.heads + 2 * self.attention.kv_heads) * self.attention.head_dim
    }

    /// Numbers of the outputs.
    fn outputs(&self) -> usize {
        self.rows * self.attention.heads * self.attention.head_dim
    }

    /// Heads apart, queries and keys rotated and queries scaled; or, with `back`, the transpose of this map.
    pub(super) fn split_heads(&self, rows: Memory, back: bool) -> Result<M::Buffer> {
        let (machine, a, tables) = (self.machine, self.attention, self.tables);
        let out = machine.buffer(self.all())?;
        Call::new("split_heads", self.rows)
            .memory(rows, self.all())?
            .memory(machine.at(&out), self.all())?
            .memory(machine.at(&tables.cos), 0)?
            .memory(machine.at(&tables.sin), 0)?
            .memory(machine.labels(&tables.positions), self.rows)?
            .sizes([self.rows, a.heads, a.kv_heads, a.head_dim, a.rotary_dim / 2])
            .sizes([usize::from(a.order == QkvOrder::PerHead)])
            .reals(&[1.0 / (a.head_dim as f64).sqrt()])
            .sizes([usize::from(back)])
            .on(machine)?;
        Ok(out)
    }

    fn shape(&self, call: Call) -> Result<()> {
        let (a, tile) = (self.attention, self.tables.tile);
        call.sizes([self.rows, a.heads, a.kv_heads, a.head_dim, tile])
            .shared(shared(tile, a.head_dim))
            .on(self.machine)
    }

    /// Outputs `[rows, heads·head_dim]`, and what the backward needs: the heads, and log Σ e^score of every row.
    pub(in crate::value) fn forward(&self, qkv: Memory) -> Result<[M::Buffer; 3]> {
        let (machine, (n, tiles)) = (self.machine, &self.tables.queries);
        let heads = self.split_heads(qkv, false)?;
        let out = machine.buffer(self.outputs())?;
        let log_sums = machine.buffer(self.rows * self.attention.heads)?;
        let call = Call::new("attention", n * self.attention.heads)
            .memory(machine.at(&heads), self.all())?
            .memory(machine.labels(tiles), 5 * n)?
            .memory(machine.at(&out), self.outputs())?
            .memory(machine.at(&log_sums), self.rows * self.attention.heads)?;
        self.shape(call)?;
        Ok([out, heads, log_sums])
    }

    /// The gradient by the fused rows, from the outputs and their gradients. The probabilities are computed again.
    pub(in crate::value) fn backward(&self, [qkv, grad]: [Memory; 2]) -> Result<M::Buffer> {
        let machine = self.machine;
        let [out, heads, log_sums] = self.forward(qkv)?;
        let (all, outputs, sums) = (self.all(), self.outputs(), self.rows * self.attention.heads);
        let (means, dheads) = (machine.buffer(sums)?, machine.buffer(all)?);
        let (n, tiles) = &self.tables.queries;
        let call = Call::new("attention_queries", n * self.attention.heads)
            .memory(machine.at(&heads), all)?
            .memory(machine.labels(tiles), 5 * n)?
            .memory(machine.at(&out), outputs)?
            .memory(grad, outputs)?
            .memory(machine.at(&log_sums), sums)?
            .memory(machine.at(&means), sums)?
            .memory(machine.at(&dheads), all)?;
        self.shape(call)?;
        let (n, tiles) = &self.tables.keys;
        let call = Call::new("attention_keys", n * self.attention.kv_heads)
            .memory(machine.at(&heads), all)?
            .memory(machine.labels(tiles), 5 * n)?
            .memory(machine.labels(&self.tables.children), 0)?
            .memory(grad, outputs)?
            .memory(machine.at(&log_sums), sums)?
            .memory(machine.at(&means), sums)?
            .memory(machine.at(&dheads), all)?;
        self.shape(call)?;
        self.split_heads(machine.at(&dheads), true)
    }
}
