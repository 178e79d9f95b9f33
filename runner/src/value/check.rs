//! What the operations ask of their arguments, with errors that say what was found.

use super::{Attention, Layout, Precision, QkvOrder};
use anyhow::{Result, ensure};
use candle_core::Tensor;

pub(super) fn rows(table: &Tensor, ids: &Tensor) -> Result<()> {
    ensure!(
        table.rank() == 2 && ids.rank() == 1,
        "rows: a table [V, d] and ids [N] expected, found {:?} and {:?}",
        table.dims(),
        ids.dims()
    );
    Ok(())
}

pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, precision: Precision) -> Result<()> {
    precision.check_of(x)?;
    ensure!(
        x.rank() == 2 && weight.rank() == 2 && x.dims()[1] == weight.dims()[1],
        "linear: rows [N, i] and a weight [o, i] expected, found {:?} and {:?}",
        x.dims(),
        weight.dims()
    );
    if let Some(bias) = bias {
        ensure!(
            bias.dims() == [weight.dims()[0]],
            "linear: a bias [{}] expected, found {:?}",
            weight.dims()[0],
            bias.dims()
        );
    }
    Ok(())
}

pub(super) fn same_shape(op: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    ensure!(a.dims() == b.dims(), "{op}: equal shapes expected, found {:?} and {:?}", a.dims(), b.dims());
    Ok(())
}

pub(super) fn norm(op: &str, x: &Tensor, vectors: &[&Tensor]) -> Result<()> {
    for vector in vectors {
        ensure!(
            x.rank() == 2 && x.dims()[1] > 0 && vector.dims() == [x.dims()[1]],
            "{op}: rows [N, d] and a vector [d] expected, found {:?} and {:?}",
            x.dims(),
            vector.dims()
        );
    }
    Ok(())
}

pub(super) fn attention(qkv: &Tensor, a: &Attention, layout: &Layout) -> Result<()> {
    ensure!(
        a.kv_heads > 0 && a.head_dim > 0 && a.heads > 0 && a.heads.is_multiple_of(a.kv_heads),
        "attention: the {} query heads must be a multiple of the {} key heads, of a width above 0 (found {})",
        a.heads,
        a.kv_heads,
        a.head_dim
    );
    ensure!(
        a.rotary_dim.is_multiple_of(2) && a.rotary_dim <= a.head_dim,
        "attention: rotary_dim must be even and at most head_dim ({}), found {}",
        a.head_dim,
        a.rotary_dim
    );
    ensure!(
        a.order == QkvOrder::Grouped || a.heads == a.kv_heads,
        "attention: the per-head order needs as many key heads as query heads, found {} and {}",
        a.kv_heads,
        a.heads
    );
    let width = (a.heads + 2 * a.kv_heads) * a.head_dim;
    ensure!(
        qkv.dims() == [layout.n_rows(), width],
        "attention: rows {:?} expected (the layout's rows, the heads' width), found {:?}",
        [layout.n_rows(), width],
        qkv.dims()
    );
    Ok(())
}

pub(super) fn without_past(layout: &Layout) -> Result<()> {
    if let Some((i, span)) = layout.spans().iter().enumerate().find(|(_, span)| span.past > 0) {
        anyhow::bail!("attention: span {i} is behind {} cached rows, and there is no cache", span.past)
    }
    Ok(())
}

pub(super) fn log_probs(h: &Tensor, head: &Tensor, targets: &[u32], precision: Precision) -> Result<()> {
    precision.check_of(h)?;
    ensure!(
        h.rank() == 2 && head.rank() == 2 && h.dims()[1] == head.dims()[1],
        "log_probs: rows [M, d] and a head [V, d] expected, found {:?} and {:?}",
        h.dims(),
        head.dims()
    );
    ensure!(
        targets.len() == h.dims()[0],
        "log_probs: one target for each of the {} rows expected, found {}",
        h.dims()[0],
        targets.len()
    );
    ensure!(!targets.is_empty(), "log_probs: no rows; skip sequences without a response");
    let vocabulary = head.dims()[0];
    if let Some((row, target)) = targets.iter().enumerate().find(|(_, t)| **t as usize >= vocabulary) {
        anyhow::bail!(
            "log_probs: target {target} of row {row} is outside the head's {vocabulary} labels; \
             the tokenizer and the model do not belong together"
        )
    }
    Ok(())
}
