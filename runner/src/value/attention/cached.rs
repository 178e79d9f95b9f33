//! Attention of new rows to the cached rows of their sequences and to themselves, forward only.

use super::family::{BLOCK, Block, Heads, columns};
use super::kernel::softmax;
use super::tile::product;
use crate::value::cache::Past;
use crate::value::cpu::{Elem, LANES, by_type, tensor, with};
use crate::value::product::Mat;
use crate::value::rotary::Rotary;
use crate::value::{Attention, Layout, Span};
use candle_core::{CpuStorage, Result, Tensor, bail};
use rayon::prelude::*;

/// Keys side by side, as the columns of a matrix `[head_dim, PIECE]`.
const PIECE: usize = 64;

/// Products of numbers that are worth a task.
const PRODUCTS: usize = 1 << 15;

/// What one sequence has left under one key head.
#[derive(Debug)]
pub(in crate::value) struct KeyValues {
    /// Rotated keys in pieces of [`PIECE`] columns, the last one filled up with zeros.
    keys: CpuStorage,
    /// `[rows, head_dim]`.
    values: CpuStorage,
}

/// Attention of the rows that `layout` puts behind `pasts`, which grow by their keys and values.
pub(in crate::value) fn attention(
    qkv: &Tensor,
    a: &Attention,
    layout: &Layout,
    pasts: &mut [Past],
) -> Result<Tensor> {
    let positions = layout.positions();
    let rotary = Rotary::at(a, positions.iter().map(|p| *p as usize));
    by_type!(qkv, T => with::<T, _>(qkv, |qkv| {
        let heads = Heads::with(a, &rotary);
        for (span, past) in layout.spans().iter().zip(pasts.iter_mut()) {
            append(&heads, qkv, span, past)?;
        }
        Ok(tensor(outputs::<T>(&heads, qkv, layout, pasts)?, (layout.n_rows(), a.heads * a.head_dim)))
    }))
}

/// Adds the keys and values of a span's rows.
fn append<T: Elem>(heads: &Heads<T>, qkv: &[T], span: &Span, past: &mut Past) -> Result<()> {
    let (a, hd, width) = (heads.attention, heads.attention.head_dim, heads.width());
    if past.len == 0 {
        let none = || KeyValues { keys: T::storage(Vec::new()), values: T::storage(Vec::new()) };
        past.heads = (0..a.kv_heads).map(|_| none()).collect();
    }
    let mut key = vec![T::ZERO; hd];
    for kv in 0..a.kv_heads {
        let [_, k, v] = columns(a, kv * (a.heads / a.kv_heads));
        let (keys, values) =
            match past.heads.get_mut(kv).map(|h| (T::vec(&mut h.keys), T::vec(&mut h.values))) {
                Some((Some(keys), Some(values))) if values.len() == past.len * hd => (keys, values),
                _ => bail!("a cache of another model, number type or device: begin with a new one"),
            };
        for i in 0..span.len {
            let row = &qkv[(span.start + i) * width..][..width];
            values.extend_from_slice(&row[v..][..hd]);
            key.copy_from_slice(&row[k..][..hd]);
            heads.rotate(&mut key, span.start + i, false);
            let (piece, column) = ((past.len + i) / PIECE, (past.len + i) % PIECE);
            keys.resize((piece + 1) * PIECE * hd, T::ZERO);
            let piece = &mut keys[piece * PIECE * hd..];
            key.iter().enumerate().for_each(|(j, x)| piece[j * PIECE + column] = *x);
        }
    }
    past.len += span.len;
    Ok(())
}

/// `[N, heads·head_dim]`, from caches that hold the new rows already.
fn outputs<T: Elem>(heads: &Heads<T>, qkv: &[T], layout: &Layout, pasts: &[Past]) -> Result<Vec<T>> {
    let (a, hd, spans) = (heads.attention, heads.attention.head_dim, layout.spans());
    let products: usize = spans.iter().map(|s| s.len * (s.past + s.len) * 2 * hd).sum();
    let least = (PRODUCTS * spans.len() / products.max(1)).max(1);
    let parts: Result<Vec<Vec<T>>> = (0..spans.len() * a.heads)
        .into_par_iter()
        .with_min_len(least)
        .map(|i| {
            let (span, head) = (i / a.heads, i % a.heads);
            let past = &pasts[span].heads[head / (a.heads / a.kv_heads)];
            let (Some(keys), Some(values)) = (T::slice(&past.keys), T::slice(&past.values)) else {
                bail!("the cache changed its number type")
            };
            Ok(forward(hd, &spans[span], &queries(heads, qkv, &spans[span], head), keys, values))
        })
        .collect();
    let width = a.heads * hd;
    let mut out = vec![T::ZERO; layout.n_rows() * width];
    for (i, part) in parts?.iter().enumerate() {
        let (start, head) = (spans[i / a.heads].start, i % a.heads);
        for (row, part) in part.chunks_exact(hd).enumerate() {
            out[(start + row) * width + head * hd..][..hd].copy_from_slice(part);
        }
    }
    Ok(out)
}

/// Queries of a span under one head, rotated and scaled: `[rows, head_dim]`.
fn queries<T: Elem>(heads: &Heads<T>, qkv: &[T], span: &Span, head: usize) -> Vec<T> {
    let (hd, width) = (heads.attention.head_dim, heads.width());
    let [from, ..] = columns(heads.attention, head);
    let mut q = Vec::with_capacity(span.len * hd);
    for row in span.start..span.start + span.len {
        q.extend_from_slice(&qkv[row * width + from..][..hd]);
        let at = q.len() - hd;
        heads.rotate(&mut q[at..], row, false);
    }
    q.iter_mut().for_each(|x| *x *= heads.scale);
    q
}

/// Outputs `[rows, head_dim]` of a span's queries. Sums have the order of the attention without a cache.
fn forward<T: Elem>(hd: usize, span: &Span, q: &[T], keys: &[T], values: &[T]) -> Vec<T> {
    let stride = (span.past + span.len).next_multiple_of(LANES);
    let mut s = vec![T::ZERO; BLOCK.min(span.len) * stride];
    let mut out = vec![T::ZERO; span.len * hd];
    for first in (0..span.len).step_by(BLOCK) {
        let rows = BLOCK.min(span.len - first);
        let block = Block { row: first, rows, prefix: span.past, own: span.past, own_len: first + rows };
        let columns = block.columns();
        let q = Mat { data: &q[first * hd..], row: hd, col: 1 };
        for from in (0..columns).step_by(PIECE) {
            // Whole vectors: the zeros behind the last key are not looked at.
            let n = PIECE.min((columns - from).next_multiple_of(LANES));
            let k = Mat { data: &keys[from * hd..], row: PIECE, col: 1 };
            product(&mut s[from..], stride, [rows, n, hd], q, k, false);
        }
        softmax(&mut s, stride, &block);
        let (s, v) = (Mat { data: &s, row: stride, col: 1 }, Mat { data: values, row: hd, col: 1 });
        product(&mut out[first * hd..], hd, [rows, hd, columns], s, v, false);
    }
    out
}
