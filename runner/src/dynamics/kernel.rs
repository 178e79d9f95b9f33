//! The empirical neural tangent kernel K(χ_o, χ_u) = J_o·J_uᵀ between a response
//! that is learned and responses that are observed: V×V for each pair of their
//! tokens, and never formed. One backward pass gives J_uᵀ·v, one Jacobian–vector
//! product K·v; random v give ‖K‖_F.

use super::predict;
use crate::data::TokenizedRecord;
use crate::model::{Direction, Model};
use crate::record::Influence;
use crate::score::{self, Packed};
use crate::statistics::{Estimate, estimate, spearman};
use crate::train::{Example, Gradients, Loss, Means, Pass, predicted_tokens};
use crate::value::{Tape, Value};
use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor};
use ldyn_core::diagnostics::{a_norm, gap_norm};
use ldyn_core::{adaptation, simplex::Distribution, softmax};
use rand::Rng;
use serde::Serialize;

/// Logit rows that are held at a time.
const LOGIT_ROWS: usize = 32;

/// The action of learning `example` on every observed response: one backward and one
/// Jacobian–vector product for the influence, and one of each for every random vector that
/// estimates ‖K‖_F (`probes`, 0 for none).
///
/// # Errors
/// Failures of the model; a loss that is not finite.
pub fn influence(
    model: &Model,
    loss: &Loss,
    example: &Example,
    observed: &[TokenizedRecord],
    probes: usize,
    rng: &mut impl Rng,
) -> Result<Vec<Influence>> {
    let whole = [1, predicted_tokens(&[example])];
    let pass = Pass::new(model, loss, &[example], whole, &mut Means::default())?;
    let mut gradients = Gradients::new(model)?;
    pass.backward(&mut gradients, |_| true)?;
    let descent = gradients.direction(-1.0)?;
    let stats = score::token_stats(model, &pass.packed)?;
    let g_sq: f64 = stats.iter().zip(&pass.coefficients).map(|(s, c)| (c * gap_norm(s)).powi(2)).sum();

    let mut rows = Vec::new();
    let mut squares: Vec<Vec<f64>> = Vec::new();
    for record in observed {
        let packed = score::pack(&[record.into()])?;
        let actions = actions(model, &descent, &packed)?;
        for ((kind, _), range) in record.responses.iter().zip(&packed.ranges) {
            let tokens = &actions[range.clone()];
            let sum = |f: fn(&Action) -> f64| tokens.iter().map(f).sum::<f64>();
            let a_sq = sum(|t| t.a_sq);
            rows.push(Influence {
                update: example.example,
                example: record.example,
                kind: kind.clone(),
                n_tokens: tokens.len(),
                influence: sum(|t| t.label),
                a_norm: a_sq.sqrt(),
                g_norm: g_sq.sqrt(),
                // A residual of 0 moves nothing.
                lbk: if g_sq == 0.0 { 0.0 } else { sum(|t| t.log_pi_sq) / (a_sq * g_sq) },
                sign_delta: sum(|t| t.mean) / tokens.len() as f64,
                ..Influence::default()
            });
            squares.push(Vec::with_capacity(probes));
        }
    }
    for _ in 0..probes {
        let direction = random_pullback(model, &pass.packed, rng)?;
        let mut row = 0;
        for record in observed {
            let packed = score::pack(&[record.into()])?;
            let actions = actions(model, &direction, &packed)?;
            for range in &packed.ranges {
                squares[row].push(actions[range.clone()].iter().map(|t| t.logits_sq).sum());
                row += 1;
            }
        }
    }
    for (row, squares) in rows.iter_mut().zip(squares) {
        // ‖K·v‖² has mean ‖K‖²_F for signs v; the root's error follows from the square's.
        if let Some(Estimate { mean, se, .. }) = estimate(&squares) {
            row.k_norm = mean.sqrt();
            row.k_norm_se = se.map_or(0.0, |se| se / (2.0 * row.k_norm));
        }
    }
    Ok(rows)
}

/// What a direction in weight space does to one predicted token.
#[derive(Clone, Copy, Debug, Default)]
struct Action {
    /// Δ log π of the token's own label.
    label: f64,
    /// Mean of Δ log π over all labels.
    mean: f64,
    /// ‖Δ log π‖² over all labels, Δ log π = A·Δz.
    log_pi_sq: f64,
    /// ‖Δz‖².
    logits_sq: f64,
    /// ‖A‖²_F.
    a_sq: f64,
}

fn actions(model: &Model, direction: &Direction, packed: &Packed) -> Result<Vec<Action>> {
    let (hidden, head) = predict::rows(model, &[direction], packed)?;
    let vocab = model.vocab_size();
    let (mut pi, mut change) = (vec![0.0f64; vocab], vec![0.0f64; vocab]);
    let mut out = Vec::with_capacity(packed.targets.len());
    for start in (0..packed.targets.len()).step_by(LOGIT_ROWS) {
        let n = LOGIT_ROWS.min(packed.targets.len() - start);
        let chosen = Tensor::arange(start as u32, (start + n) as u32, model.device())?;
        let logits = hidden.rows(&chosen)?.linear(&head, None, model.precision)?;
        let values: Vec<Vec<f64>> = logits.primal.to_dtype(DType::F64)?.to_vec2()?;
        let tangent = logits.tangent(0).context("no weight of the direction reaches the logits")?;
        let tangents: Vec<Vec<f64>> = tangent.to_dtype(DType::F64)?.to_vec2()?;
        for ((z, dz), &label) in values.iter().zip(&tangents).zip(&packed.targets[start..]) {
            softmax::softmax_into(z, &mut pi)?;
            let distribution = Distribution::new(&pi)?;
            adaptation::apply_into(&distribution, dz, &mut change)?;
            out.push(Action {
                label: change[label as usize],
                mean: change.iter().sum::<f64>() / vocab as f64,
                log_pi_sq: change.iter().map(|c| c * c).sum(),
                logits_sq: dz.iter().map(|c| c * c).sum(),
                a_sq: a_norm(distribution.sum_sq(), vocab).powi(2),
            });
        }
    }
    Ok(out)
}

/// J_uᵀ·v for random signs v over all labels at all tokens of the update.
fn random_pullback(model: &Model, packed: &Packed, rng: &mut impl Rng) -> Result<Direction> {
    let n = packed.targets.len() * model.vocab_size();
    let signs: Vec<f64> = (0..n).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
    let signs = Tensor::from_vec(signs, (packed.targets.len(), model.vocab_size()), model.device())?;
    pullback(model, packed, &signs)
}

/// J_uᵀ·v for v `[L, V]` on the logits of the packed targets.
fn pullback(model: &Model, packed: &Packed, v: &Tensor) -> Result<Direction> {
    let tape = Tape::new();
    let hidden = model.hidden(&tape, &packed.ids, &packed.layout)?;
    let picked = Tensor::new(packed.rows.as_slice(), model.device())?;
    let logits = hidden.rows(&picked)?.linear(&model.head(&tape)?, None, model.precision)?;
    let mut gradients = Gradients::new(model)?;
    gradients.backward(&logits, &v.to_dtype(model.dtype())?)?;
    gradients.direction(1.0)
}

/// Largest V·L for which [`dense`] is made.
const DENSE_LIMIT: usize = 4096;

/// K(χ_o, χ_u) itself, row-major `[M, V, L, V]`: the oracle of everything else, for tiny models.
/// It takes V·L backward passes and as many Jacobian–vector products.
///
/// # Errors
/// A model or an update too large for it; failures of the model.
pub fn dense(model: &Model, observed: &Packed, update: &Packed) -> Result<Vec<f64>> {
    let (vocab, m, l) = (model.vocab_size(), observed.targets.len(), update.targets.len());
    ensure!(
        vocab * l <= DENSE_LIMIT,
        "a dense kernel of {l} tokens over {vocab} labels takes {} backward passes, more than {DENSE_LIMIT}",
        vocab * l
    );
    let mut kernel = vec![0.0; m * vocab * l * vocab];
    for column in 0..l * vocab {
        let mut unit = vec![0.0f64; l * vocab];
        unit[column] = 1.0;
        let unit = Tensor::from_vec(unit, (l, vocab), model.device())?;
        let (hidden, head) = predict::rows(model, &[&pullback(model, update, &unit)?], observed)?;
        let logits = hidden.linear(&head, None, model.precision)?;
        let tangent = logits.tangent(0).context("no weight reaches the logits")?;
        let tangent: Vec<f64> = tangent.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        for (row, value) in tangent.into_iter().enumerate() {
            kernel[row * l * vocab + column] = value;
        }
    }
    Ok(kernel)
}

/// How far the kernel kept its order between two checkpoints: the paper's working assumption is
/// that the *ranking* of influence over observed responses stays, not its size (§3.1, App. C).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stability {
    /// Spearman's correlation, over the kinds, of the mean influence of an update: one number an
    /// update, then mean and standard error over updates.
    pub rank: Option<Estimate>,
    /// The same for ‖K‖_F.
    pub k_rank: Option<Estimate>,
    /// Mean ‖K‖_F after, over mean ‖K‖_F before.
    pub k_ratio: f64,
    /// Mean of |‖K‖_F after − before| over mean ‖K‖_F before.
    pub k_drift: f64,
}

/// Compares the influences of the same updates on the same responses at two checkpoints.
///
/// # Errors
/// Rows of other updates or responses.
pub fn stability(before: &[Influence], after: &[Influence]) -> Result<Stability> {
    let key = |r: &Influence| (r.update, r.example, r.kind.clone());
    ensure!(
        before.len() == after.len() && before.iter().zip(after).all(|(a, b)| key(a) == key(b)),
        "the two checkpoints were not measured on the same updates and responses"
    );
    let ranks = |f: fn(&Influence) -> f64| {
        let mut updates: Vec<usize> = before.iter().map(|r| r.update).collect();
        updates.dedup();
        let of = |rows: &[Influence], update: usize| -> Vec<f64> { by_kind(rows, update, f) };
        let each: Vec<f64> =
            updates.iter().filter_map(|&u| spearman(&of(before, u), &of(after, u))).collect();
        estimate(&each)
    };
    let mean = |rows: &[Influence]| rows.iter().map(|r| r.k_norm).sum::<f64>() / rows.len() as f64;
    let drift = before.iter().zip(after).map(|(a, b)| (a.k_norm - b.k_norm).abs()).sum::<f64>();
    Ok(Stability {
        rank: ranks(|r| r.influence),
        k_rank: ranks(|r| r.k_norm),
        k_ratio: mean(after) / mean(before),
        k_drift: drift / before.len() as f64 / mean(before),
    })
}

/// Mean of a quantity over the prompts, for each kind in order of appearance.
fn by_kind(rows: &[Influence], update: usize, f: fn(&Influence) -> f64) -> Vec<f64> {
    let mut kinds: Vec<(&str, f64, f64)> = Vec::new();
    for row in rows.iter().filter(|r| r.update == update) {
        match kinds.iter_mut().find(|(kind, ..)| *kind == row.kind) {
            Some((_, sum, n)) => (*sum, *n) = (*sum + f(row), *n + 1.0),
            None => kinds.push((&row.kind, f(row), 1.0)),
        }
    }
    kinds.into_iter().map(|(_, sum, n)| sum / n).collect()
}
