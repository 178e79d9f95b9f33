//! Rows of a table, picked by their numbers: the embedding, and the rows that reach the head.

use super::cpu::{Elem, by_type, view, with};
use super::sink;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use ldyn_core::Real;

/// The numbers of the rows.
pub(super) struct Rows(pub(super) Vec<u32>);

/// The rows `ids` of a table `[V, d]`, with a backward.
pub(super) fn rows(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    table.contiguous()?.apply_op1(Rows(ids.to_vec1()?))
}

impl Rows {
    /// Adds the rows of `grad` to the table's.
    fn spread<T: Elem>(&self, table: &mut [T], grad: &[T]) {
        let d = grad.len() / self.0.len().max(1);
        for (id, grad) in self.0.iter().zip(grad.chunks_exact(d.max(1))) {
            table[*id as usize * d..][..d].iter_mut().zip(grad).for_each(|(t, g)| *t += *g);
        }
    }
}

impl CustomOp1 for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, d) = layout.shape().dims2()?;
        by_type!(table, T => {
            let table = view::<T>(table, layout)?;
            let mut out = Vec::with_capacity(self.0.len() * d);
            for id in &self.0 {
                let Some(row) = table.get(*id as usize * d..(*id as usize + 1) * d) else {
                    bail!("row {id} of a table of {rows}")
                };
                out.extend_from_slice(row);
            }
            Ok((T::storage(out), (self.0.len(), d).into()))
        })
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        by_type!(grad, T => with::<T, _>(grad, |grad| {
            sink::gradient(table, |out, add| {
                if !add {
                    out.fill(T::ZERO);
                }
                self.spread(out, grad);
                Ok(())
            })
        }))
    }
}
