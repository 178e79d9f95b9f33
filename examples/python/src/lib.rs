//! `ldyn-core` for Python: numpy arrays in, numpy arrays out.
//!
//! Signatures with their types are in `ldyn.pyi`.

mod losses;
mod rows;
mod steps;

use ldyn_core::diagnostics::{self, ResponseStats, TokenStats};
use ldyn_core::simplex::Distribution;
use ldyn_core::softmax::{log_softmax_into, softmax_into};
use ldyn_core::{Real, adaptation};
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rows::{Floats, each, in_row, labels_of, refuse};

/// The learning dynamics of LLM finetuning: softmax dynamics, preference losses and their weights, the squeezing effect.
///
/// Arrays are float32 or float64 and may be views of any layout; results are new and have the same type. A
/// row is a vocabulary: functions of rows take one, of shape (V,), or many, of shape (N, V). Logarithms are natural.
/// What does not fit is a ValueError that says what was found and what was expected; another type of number is
/// a TypeError.
#[pymodule]
fn ldyn(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    for function in [
        wrap_pyfunction!(softmax, module)?,
        wrap_pyfunction!(log_softmax, module)?,
        wrap_pyfunction!(residual, module)?,
        wrap_pyfunction!(token_stats, module)?,
        wrap_pyfunction!(response_stats, module)?,
        wrap_pyfunction!(adapt, module)?,
        wrap_pyfunction!(losses::losses, module)?,
        wrap_pyfunction!(losses::preference_loss, module)?,
        wrap_pyfunction!(steps::step, module)?,
        wrap_pyfunction!(steps::trajectory, module)?,
        wrap_pyfunction!(steps::predict_step, module)?,
        wrap_pyfunction!(steps::statements, module)?,
    ] {
        module.add_function(function)?;
    }
    module.add_class::<steps::Step>()
}

/// π = softmax(logits), row by row. A logit of −inf has no mass; NaN and +inf are refused.
#[pyfunction]
fn softmax<'py>(py: Python<'py>, logits: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    each!(Floats::of("logits", logits)?, |rows| { rows.map(py, softmax_into) })
}

/// log π, row by row: without the loss of digits of log(softmax(logits)).
#[pyfunction]
fn log_softmax<'py>(py: Python<'py>, logits: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    each!(Floats::of("logits", logits)?, |rows| { rows.map(py, log_softmax_into) })
}

/// weight·(π − e_label), row by row: the gradient of −weight·log π(label) with respect to the logits.
///
/// `labels` is one label for one row, a sequence of N for N rows.
#[pyfunction]
#[pyo3(signature = (logits, labels, weight=1.0))]
fn residual<'py>(
    py: Python<'py>,
    logits: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    weight: f64,
) -> PyResult<Bound<'py, PyAny>> {
    each!(Floats::of("logits", logits)?, |rows| {
        let labels = labels_of(labels, rows.shape())?;
        let mut next = labels.iter();
        rows.map(py, |row, out| {
            let label = next.next().copied().unwrap_or_default();
            let log_z = diagnostics::token_stats(row, label)?.log_z;
            diagnostics::residual_into(row, label, log_z, Real::from_f64(weight), out)
        })
    })
}

/// What softmax(logits) says, and what it says about its label: a dictionary of arrays with a number a row, or of
/// numbers for one row.
///
/// logp = log π(label); argmax, argmax_logp; rest_logp = log(1 − max π); sum_sq = ‖π‖²; entropy; log_z; a_norm =
/// ‖A‖_F of A = I − 1πᵀ; gap_norm = ‖π − e_label‖; energy = 1 − π(label). In float64, from sums without cancellation.
#[pyfunction]
fn token_stats<'py>(
    py: Python<'py>,
    logits: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let (tokens, vocab, single) = tokens_of(logits, labels)?;
    let found = PyDict::new(py);
    if single {
        found.set_item("argmax", tokens[0].argmax)?;
    } else {
        let argmax: Vec<i64> = tokens.iter().map(|token| token.argmax as i64).collect();
        found.set_item("argmax", argmax.into_pyarray(py))?;
    }
    type Field = fn(&TokenStats<f64>, usize) -> f64;
    let fields: [(&str, Field); 9] = [
        ("logp", |token, _| token.logp),
        ("argmax_logp", |token, _| token.argmax_logp),
        ("rest_logp", |token, _| token.rest_logp),
        ("sum_sq", |token, _| token.sum_sq),
        ("entropy", |token, _| token.entropy),
        ("log_z", |token, _| token.log_z),
        ("a_norm", |token, vocab| diagnostics::a_norm(token.sum_sq, vocab)),
        ("gap_norm", |token, _| diagnostics::gap_norm(token)),
        ("energy", |token, _| diagnostics::energy(token.logp)),
    ];
    for (name, field) in fields {
        if single {
            found.set_item(name, field(&tokens[0], vocab))?;
        } else {
            let values = tokens.iter().map(|token| field(token, vocab));
            found.set_item(name, PyArray1::from_iter(py, values))?;
        }
    }
    Ok(found)
}

/// A response under teacher forcing, summed up from its tokens: row l of `logits` predicts `labels[l]`.
///
/// A dictionary with the fields of a row of `probes.jsonl` of a run of `ldyn`: n_tokens; logp, argmax_logp, rest_logp
/// are sums; logp_mean, a_norm, gap_norm, energy, entropy are means.
#[pyfunction]
fn response_stats<'py>(
    py: Python<'py>,
    logits: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let (tokens, vocab, single) = tokens_of(logits, labels)?;
    if single {
        return Err(PyValueError::new_err("`logits` has shape (V,); expected (N, V), a row for each token"));
    }
    let response = ResponseStats::from_tokens(&tokens, vocab).map_err(refuse)?;
    let found = PyDict::new(py);
    found.set_item("n_tokens", response.n_tokens)?;
    for (name, value) in [
        ("logp", response.logp),
        ("logp_mean", response.logp_mean),
        ("argmax_logp", response.argmax_logp),
        ("rest_logp", response.rest_logp),
        ("a_norm", response.a_norm),
        ("a_norm_reference", response.a_norm_reference),
        ("gap_norm", response.gap_norm),
        ("energy", response.energy),
        ("entropy", response.entropy),
    ] {
        found.set_item(name, value)?;
    }
    Ok(found)
}

/// The statistics of every row, V, and whether there is one row of shape (V,).
fn tokens_of(
    logits: &Bound<'_, PyAny>,
    labels: &Bound<'_, PyAny>,
) -> PyResult<(Vec<TokenStats<f64>>, usize, bool)> {
    each!(Floats::of("logits", logits)?, |rows| {
        let shape = rows.shape();
        let labels = labels_of(labels, shape)?;
        let stats = rows.iter().zip(&labels).enumerate().map(|(i, (row, &label))| {
            let token = diagnostics::token_stats(row, label).map_err(|error| in_row(shape, i, error))?;
            Ok(token.to_f64())
        });
        Ok((stats.collect::<PyResult<Vec<_>>>()?, shape.vocab, shape.rows.is_none()))
    })
}

/// A·v = v − ⟨π, v⟩·1, row by row: how a change of logits becomes a change of log π, to first order.
#[pyfunction]
fn adapt<'py>(py: Python<'py>, pi: &Bound<'py, PyAny>, v: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    each!(Floats::of("pi", pi)?, |rows| {
        let v = rows.like("v", v)?;
        let mut next = v.iter();
        rows.map(py, |pi, out| {
            adaptation::apply_into(&Distribution::new(pi)?, next.next().unwrap_or_default(), out)
        })
    })
}
