//! The operations of [`Value`] with the options that are checked.

use super::Case;
use crate::value::{Activation, Attention, Layout, Precision, QkvOrder, Value};
use anyhow::Result;
use candle_core::Tensor;

pub(super) enum Op {
    Rows { ids: Vec<u32> },
    Linear { bias: bool, precision: Precision },
    Add,
    Mul,
    Activate(Activation),
    LayerNorm,
    RmsNorm,
    Concat,
    Attention { attention: Attention, layout: Layout, describe: &'static str },
    LogProbs { targets: Vec<u32>, vocabulary: usize, precision: Precision },
}

pub(super) fn all() -> Result<Vec<Op>> {
    let mut all =
        vec![Op::Rows { ids: vec![3, 0, 3, 4] }, Op::Add, Op::Mul, Op::LayerNorm, Op::RmsNorm, Op::Concat];
    all.extend(products(Precision::Full));
    all.extend(
        [Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Relu].map(Op::Activate),
    );

    let mut packed = Layout::new();
    packed.push(3, None)?;
    packed.push(1, None)?;
    let mut shared = Layout::new();
    let first = shared.push(4, None)?;
    let second = shared.push(2, None)?;
    shared.push(3, Some(first))?;
    shared.push(1, Some(second))?;
    shared.push(5, Some(first))?;
    let base = Attention {
        heads: 2,
        kv_heads: 2,
        head_dim: 6,
        rotary_dim: 6,
        rope_theta: 10_000.0,
        order: QkvOrder::PerHead,
    };
    let mut attend = |describe, layout: &Layout, attention| {
        all.push(Op::Attention { attention, layout: layout.clone(), describe });
    };
    attend("per head, packed", &packed, base.clone());
    attend("per head, partly rotated, shared prompts", &shared, Attention { rotary_dim: 2, ..base.clone() });
    let grouped = Attention {
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        rotary_dim: 8,
        order: QkvOrder::Grouped,
        ..base.clone()
    };
    attend("grouped queries, shared prompts", &shared, grouped.clone());
    attend("grouped queries, no rotation", &packed, Attention { rotary_dim: 0, ..grouped });
    attend(
        "wide head, more rows than a block",
        &Layout::single(37)?,
        Attention { heads: 1, kv_heads: 1, head_dim: 18, rotary_dim: 4, ..base },
    );
    Ok(all)
}

/// The operations that have a precision, in this one.
pub(super) fn products(precision: Precision) -> [Op; 4] {
    [
        Op::Linear { bias: false, precision },
        Op::Linear { bias: true, precision },
        Op::LogProbs { targets: vec![0, 6, 3], vocabulary: 7, precision },
        Op::LogProbs { targets: (0..70).collect(), vocabulary: 90, precision },
    ]
}

impl Case for Op {
    fn op(&self) -> &'static str {
        match self {
            Self::Rows { .. } => "rows",
            Self::Linear { .. } => "linear",
            Self::Add => "add",
            Self::Mul => "mul",
            Self::Activate(_) => "activate",
            Self::LayerNorm => "layer_norm",
            Self::RmsNorm => "rms_norm",
            Self::Concat => "concat",
            Self::Attention { .. } => "attention",
            Self::LogProbs { .. } => "log_probs",
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Linear { bias, .. } => if *bias { "with bias" } else { "without bias" }.into(),
            Self::Activate(activation) => format!("{activation:?}"),
            Self::Attention { describe, .. } => (*describe).into(),
            Self::LogProbs { targets, vocabulary, .. } => {
                format!("{} rows, {vocabulary} labels", targets.len())
            }
            _ => String::new(),
        }
    }

    fn inputs(&self) -> Vec<Vec<usize>> {
        match self {
            Self::Rows { .. } => vec![vec![5, 3]],
            Self::Linear { bias, .. } => {
                let mut shapes = vec![vec![3, 20], vec![6, 20]];
                shapes.extend(bias.then(|| vec![6]));
                shapes
            }
            Self::Add | Self::Mul | Self::Concat => vec![vec![3, 4]; 2],
            Self::Activate(_) => vec![vec![5, 8]],
            Self::LayerNorm => vec![vec![4, 19], vec![19], vec![19]],
            Self::RmsNorm => vec![vec![4, 19], vec![19]],
            Self::Attention { attention: a, layout, .. } => {
                vec![vec![layout.n_rows(), (a.heads + 2 * a.kv_heads) * a.head_dim]]
            }
            Self::LogProbs { targets, vocabulary, .. } => vec![vec![targets.len(), 5], vec![*vocabulary, 5]],
        }
    }

    fn run<V: Value>(&self, x: &[V]) -> Result<V> {
        match self {
            Self::Rows { ids } => x[0].rows(&Tensor::new(ids.as_slice(), x[0].primal().device())?),
            Self::Linear { precision, .. } => x[0].linear(&x[1], x.get(2), *precision),
            Self::Add => x[0].add(&x[1]),
            Self::Mul => x[0].mul(&x[1]),
            Self::Activate(activation) => x[0].activate(*activation),
            Self::LayerNorm => x[0].layer_norm(&x[1], &x[2], 1e-5),
            Self::RmsNorm => x[0].rms_norm(&x[1], 1e-6),
            Self::Concat => V::concat(&[&x[0], &x[1], &x[0]]),
            Self::Attention { attention, layout, .. } => x[0].attention(attention, layout),
            Self::LogProbs { targets, precision, .. } => x[0].log_probs(&x[1], targets, *precision, None),
        }
    }
}
