//! Steps of softmax regression: one, many, and what is predicted of them.

use crate::rows::{Floats, Number, Rows, Shape, array, each, labels_of, refuse};
use ldyn_core::squeezing::{Ledger, NegativeStep, PositiveStep, Trajectory};
use ldyn_core::statements::{Case, Outcome, STATEMENTS};
use ldyn_core::toy::{self, Regression};
use ldyn_core::{Error, simplex::Distribution};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// What one exact step does to every label.
#[pyclass(frozen, get_all, module = "ldyn")]
pub(crate) struct Step {
    /// π after the step.
    after: Py<PyAny>,
    /// log α = log π′ − log π of every label.
    log_growth: Py<PyAny>,
    /// y*: the likeliest label other than the step's; among equals the first.
    runner_up: usize,
    /// How many labels rise.
    risers: usize,
    /// After a step that unlearns, another label rises exactly if its π was above this; after one that learns,
    /// exactly if it was below.
    threshold: f64,
    /// Change of π of the label.
    label_change: f64,
    /// Change of π of y*.
    runner_up_change: f64,
    /// What the others that rise gain in all.
    risen: f64,
    /// What the others that fall lose in all; ≤ 0.
    fallen: f64,
    /// Change of the entropy, nats.
    entropy_change: f64,
}

#[pymethods]
impl Step {
    fn __repr__(&self) -> String {
        let Step { runner_up, risers, threshold, label_change, runner_up_change, .. } = self;
        format!(
            "Step(runner_up={runner_up}, risers={risers}, threshold={threshold:.6}, \
             label_change={label_change:+.6}, runner_up_change={runner_up_change:+.6})"
        )
    }
}

/// One step of softmax regression with frozen features: z += size·(e_label − π). Exact for every size.
///
/// `size` is η‖φ‖², learning rate times squared length of the features: > 0 learns the label, < 0 unlearns it, and
/// then the mass that it loses is squeezed into what is likely already.
#[pyfunction]
pub(crate) fn step(
    py: Python<'_>,
    pi: &Bound<'_, PyAny>,
    label: &Bound<'_, PyAny>,
    size: f64,
) -> PyResult<Step> {
    each!(Floats::of("pi", pi)?, |rows| {
        rows.single("pi")?;
        let label = labels_of(label, rows.shape())?[0];
        step_of(py, &rows, label, size)
    })
}

fn step_of<T: Number>(py: Python<'_>, rows: &Rows<'_, T>, label: usize, size: f64) -> PyResult<Step> {
    let pi = Distribution::new(rows.as_slice()).map_err(refuse)?;
    let vocab = pi.vocab();
    let (mut after, mut growth) = (vec![T::ZERO; vocab], vec![T::ZERO; vocab]);
    let mut fill = |log_growth: &dyn Fn(usize) -> Result<T, Error>| {
        growth.iter_mut().enumerate().try_for_each(|(i, out)| log_growth(i).map(|found| *out = found))
    };
    let number = T::from_f64;
    let (runner_up, risers, threshold, ledger, entropy_change): (_, _, _, Ledger<T>, _) = if size < 0.0 {
        let step = NegativeStep::new(pi, label, number(-size)).map_err(refuse)?;
        step.after_into(&mut after).map_err(refuse)?;
        fill(&|i| step.log_growth(i)).map_err(refuse)?;
        (step.runner_up(), step.risers(), step.threshold(), step.ledger(), step.entropy_change())
    } else {
        let step = PositiveStep::new(pi, label, number(size)).map_err(refuse)?;
        step.after_into(&mut after).map_err(refuse)?;
        fill(&|i| step.log_growth(i)).map_err(refuse)?;
        (step.competitor(), step.risers(), step.threshold(), step.ledger(), step.entropy_change())
    };
    Ok(Step {
        after: array(py, after, rows.shape())?.unbind(),
        log_growth: array(py, growth, rows.shape())?.unbind(),
        runner_up,
        risers,
        threshold: threshold.to_f64(),
        label_change: ledger.label.to_f64(),
        runner_up_change: ledger.runner_up.to_f64(),
        risen: ledger.risen.to_f64(),
        fallen: ledger.fallen.to_f64(),
        entropy_change: entropy_change.to_f64(),
    })
}

/// π before the first of `steps` equal steps on one label, and after each: an array of shape (steps + 1, V).
#[pyfunction]
pub(crate) fn trajectory<'py>(
    py: Python<'py>,
    logits: &Bound<'py, PyAny>,
    label: &Bound<'py, PyAny>,
    size: f64,
    steps: usize,
) -> PyResult<Bound<'py, PyAny>> {
    each!(Floats::of("logits", logits)?, |rows| {
        let mut z = rows.single("logits")?.to_vec();
        let label = labels_of(label, rows.shape())?[0];
        walk(py, &mut z, label, size, steps)
    })
}

fn walk<'py, T: Number>(
    py: Python<'py>,
    z: &mut [T],
    label: usize,
    size: f64,
    steps: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let (vocab, mut pi) = (z.len(), vec![T::ZERO; z.len()]);
    let mut walk = Trajectory::new(z, &mut pi).map_err(refuse)?;
    let mut all = walk.pi().as_slice().to_vec();
    for _ in 0..steps {
        walk.step(label, T::from_f64(size)).map_err(refuse)?;
        all.extend_from_slice(walk.pi().as_slice());
    }
    array(py, all, Shape { rows: Some(steps + 1), vocab })
}

/// What one step on (phi_updated, label) of the toy model z = W·φ does to log π at phi_observed: (predicted, measured).
///
/// Predicted is −η·A·K·G, to first order; measured is the change after the step has been taken on a copy of W. They
/// differ by one number for all labels, −KL(π ‖ π′). `weights` is W, of shape (V, F); a negative rate unlearns.
#[pyfunction]
pub(crate) fn predict_step<'py>(
    py: Python<'py>,
    weights: &Bound<'py, PyAny>,
    phi_observed: &Bound<'py, PyAny>,
    phi_updated: &Bound<'py, PyAny>,
    label: usize,
    learning_rate: f64,
) -> PyResult<Bound<'py, PyTuple>> {
    each!(Floats::of("weights", weights)?, |rows| {
        let features = rows.shape().vocab;
        if rows.shape().rows.is_none() {
            return Err(PyValueError::new_err("`weights` has one dimension; expected shape (V, F)"));
        }
        let one = |name, phi| rows.one(name, phi, features);
        let (observed, updated) = (one("phi_observed", phi_observed)?, one("phi_updated", phi_updated)?);
        let (predicted, measured) =
            predict(features, rows.as_slice(), observed.as_slice(), updated.as_slice(), label, learning_rate)
                .map_err(refuse)?;
        let shape = Shape { rows: None, vocab: predicted.len() };
        PyTuple::new(py, [array(py, predicted, shape)?, array(py, measured, shape)?])
    })
}

fn predict<T: Number>(
    features: usize,
    weights: &[T],
    observed: &[T],
    updated: &[T],
    label: usize,
    learning_rate: f64,
) -> Result<(Vec<T>, Vec<T>), Error> {
    let rate = T::from_f64(learning_rate);
    let mut model = Regression::new(features, weights.to_vec())?;
    let predicted = toy::predict(&model, observed, updated, label, rate)?;
    let before = toy::log_probs(&model, observed)?;
    toy::step(&mut model, updated, label, rate)?;
    let after = toy::log_probs(&model, observed)?;
    Ok((predicted, after.iter().zip(&before).map(|(after, before)| *after - *before).collect()))
}

/// Every statement of `ldyn verify`, looked at on one case: a list of dictionaries with id, kind, words, outcome
/// ("holds", "not applicable" or "fails") and margin.
///
/// `logits` are float64 and finite, `label` is unlearned (or learned) by a step of `size` > 0, `other` is a second label.
#[pyfunction]
pub(crate) fn statements<'py>(
    py: Python<'py>,
    logits: &Bound<'py, PyAny>,
    label: usize,
    other: usize,
    size: f64,
) -> PyResult<Bound<'py, PyList>> {
    let Floats::F64(rows) = Floats::of("logits", logits)? else {
        return Err(PyValueError::new_err("`logits` is float32; statements are checked in float64"));
    };
    let logits = rows.single("logits")?;
    let mut scratch = vec![0.0; Case::scratch_len(logits.len())];
    let case = Case::new(logits, (label, other), size, &mut scratch, None).map_err(refuse)?;
    let all = STATEMENTS.iter().map(|statement| {
        let (outcome, margin) = match (statement.check)(&case) {
            Outcome::Holds { margin, .. } => ("holds", Some(margin)),
            Outcome::NotApplicable => ("not applicable", None),
            Outcome::Fails { margin, .. } => ("fails", Some(margin)),
        };
        let row = PyDict::new(py);
        row.set_item("id", statement.id)?;
        row.set_item("kind", statement.kind.to_string())?;
        row.set_item("words", statement.words)?;
        row.set_item("outcome", outcome)?;
        row.set_item("margin", margin)?;
        Ok(row)
    });
    PyList::new(py, all.collect::<PyResult<Vec<_>>>()?)
}
