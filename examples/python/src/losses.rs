//! Preference losses by name, from the core's table.

use crate::rows::{Floats, each, refuse};
use ldyn_core::Real;
use ldyn_core::loss::{Divergence, Objective, ObjectiveInfo, PairLogps, Parameters, PreferenceLoss, TABLE};
use numpy::PyArray1;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// The table of losses: a dictionary by name; each row has aliases, loss, chosen_weight, rejected_weight (formulas, in
/// which ℓ± = log π(y±), r± is the log-ratio to the reference, h = r₊ − r₋, L± the number of tokens), source,
/// parameters and options.
#[pyfunction]
pub(crate) fn losses(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let table = PyDict::new(py);
    for info in TABLE {
        let row = PyDict::new(py);
        row.set_item("aliases", info.aliases)?;
        row.set_item("loss", info.loss)?;
        row.set_item("chosen_weight", info.chosen_weight)?;
        row.set_item("rejected_weight", info.rejected_weight)?;
        row.set_item("source", info.source)?;
        row.set_item("parameters", info.parameters)?;
        row.set_item("options", info.options)?;
        table.set_item(info.name, row)?;
    }
    Ok(table)
}

/// The loss of each pair and its weights (w₊, w₋): ∂L/∂log π(y⁺) = −w₊, ∂L/∂log π(y⁻) = +w₋.
///
/// `chosen` and `rejected` are log π(y⁺) and log π(y⁻), sums over tokens in nats, arrays with a number
/// a pair; `ref_chosen` and `ref_rejected` the same of the reference, needed where the loss reads it; `chosen_len` and
/// `rejected_len` numbers of tokens, needed where the loss reads them. Parameters have the names of TRL: see losses().
/// Returns (loss, chosen_weight, rejected_weight), an array of float64 each; their mean over a batch is the caller's to take.
#[pyfunction]
#[pyo3(signature = (
    name, chosen, rejected, ref_chosen=None, ref_rejected=None, chosen_len=None, rejected_len=None, **parameters
))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn preference_loss<'py>(
    py: Python<'py>,
    name: &str,
    chosen: &Bound<'py, PyAny>,
    rejected: &Bound<'py, PyAny>,
    ref_chosen: Option<&Bound<'py, PyAny>>,
    ref_rejected: Option<&Bound<'py, PyAny>>,
    chosen_len: Option<&Bound<'py, PyAny>>,
    rejected_len: Option<&Bound<'py, PyAny>>,
    parameters: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let parameters = parameters_of(parameters)?;
    let objective = Objective::parse(name, &parameters).map_err(refuse)?;
    let info = objective.info();
    let chosen = sums("chosen", chosen, None)?;
    let pairs = chosen.len();
    let rejected = sums("rejected", rejected, Some(pairs))?;
    let reference = |name, given: Option<&Bound<'py, PyAny>>| match given {
        Some(given) => sums(name, given, Some(pairs)),
        None if objective.uses_reference() => {
            let message = format!("`{}` reads a reference: `{name}` is missing", info.name);
            Err(PyValueError::new_err(message))
        }
        None => Ok(vec![0.0; pairs]),
    };
    let ref_chosen = reference("ref_chosen", ref_chosen)?;
    let ref_rejected = reference("ref_rejected", ref_rejected)?;
    let needs_lengths = reads_lengths(info) || (info.reads("rpo_alpha") && parameters.rpo_alpha != 0.0);
    let lengths = |name, given: Option<&Bound<'py, PyAny>>| match given {
        Some(given) => counts(name, given, pairs),
        None if needs_lengths => {
            let message = format!("`{}` reads the number of tokens: `{name}` is missing", info.name);
            Err(PyValueError::new_err(message))
        }
        None => Ok(vec![1; pairs]),
    };
    let chosen_len = lengths("chosen_len", chosen_len)?;
    let rejected_len = lengths("rejected_len", rejected_len)?;
    let outcomes: Vec<_> = (0..pairs)
        .map(|i| {
            objective.outcome(&PairLogps {
                chosen: chosen[i],
                rejected: rejected[i],
                ref_chosen: ref_chosen[i],
                ref_rejected: ref_rejected[i],
                chosen_len: chosen_len[i],
                rejected_len: rejected_len[i],
            })
        })
        .collect();
    let array =
        |of: fn(&ldyn_core::loss::Outcome<f64>) -> f64| PyArray1::from_iter(py, outcomes.iter().map(of));
    let results = [array(|o| o.loss), array(|o| o.chosen_weight), array(|o| o.rejected_weight)];
    PyTuple::new(py, results)
}

/// Whether L±, or one of the token means m, s and o, stands in a formula of the loss.
fn reads_lengths(info: &ObjectiveInfo) -> bool {
    let formulas = [info.loss, info.chosen_weight, info.rejected_weight];
    let mut symbols = formulas.into_iter().flat_map(|formula| formula.split(|c: char| !c.is_alphabetic()));
    symbols.any(|symbol| ["L", "m", "s", "o"].contains(&symbol))
}

fn parameters_of(given: Option<&Bound<'_, PyDict>>) -> PyResult<Parameters<f64>> {
    let mut parameters = Parameters::default();
    let (mut divergence, mut coefficient) = (None, 1.0);
    for (name, value) in given.into_iter().flat_map(|given| given.iter()) {
        let name: String = name.extract()?;
        match &*name {
            "reference_free" => parameters.reference_free = value.extract()?,
            "f_divergence_type" => divergence = Some(value.extract::<String>()?),
            "f_alpha_divergence_coef" => coefficient = value.extract()?,
            _ => {
                let mut numbers = parameters.numbers();
                let Some((_, _, number)) = numbers.iter_mut().find(|(known, _, _)| *known == name) else {
                    let known = numbers.map(|(known, _, _)| known).join(", ");
                    return Err(PyTypeError::new_err(format!(
                        "unknown parameter `{name}`; expected one of: {known}, reference_free, f_divergence_type, \
                         f_alpha_divergence_coef"
                    )));
                };
                **number = value.extract()?;
            }
        }
    }
    if let Some(name) = divergence {
        parameters.divergence = Divergence::parse(&name, coefficient).map_err(refuse)?;
    }
    Ok(parameters)
}

fn sums(name: &str, given: &Bound<'_, PyAny>, expected: Option<usize>) -> PyResult<Vec<f64>> {
    let sums: Vec<f64> = each!(Floats::of(name, given)?, |rows| {
        rows.single(name)?.iter().map(|sum| sum.to_f64()).collect()
    });
    check_length(name, sums.len(), expected)?;
    Ok(sums)
}

fn counts(name: &str, given: &Bound<'_, PyAny>, expected: usize) -> PyResult<Vec<usize>> {
    let counts: Vec<usize> = given.extract().map_err(|_| {
        let found = given.get_type();
        PyTypeError::new_err(format!("`{name}` is {found}; expected a sequence of numbers of tokens"))
    })?;
    check_length(name, counts.len(), Some(expected))?;
    Ok(counts)
}

fn check_length(name: &str, found: usize, expected: Option<usize>) -> PyResult<()> {
    match expected {
        Some(expected) if found != expected => Err(PyValueError::new_err(format!(
            "`{name}` has {found} elements; expected {expected}, one a pair"
        ))),
        _ => Ok(()),
    }
}
