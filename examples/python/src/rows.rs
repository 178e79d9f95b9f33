//! Arrays of rows: checked on the way in, made on the way out.

use ldyn_core::{Error, Real};
use numpy::{Element, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// A number that numpy and the core know.
pub(crate) trait Number: Real + Element {}
impl Number for f32 {}
impl Number for f64 {}

/// Rows of either type.
pub(crate) enum Floats<'py> {
    F32(Rows<'py, f32>),
    F64(Rows<'py, f64>),
}

/// Runs the same code on rows of either type.
macro_rules! each {
    ($floats:expr, |$rows:ident| $body:expr) => {
        match $floats {
            $crate::rows::Floats::F32($rows) => $body,
            $crate::rows::Floats::F64($rows) => $body,
        }
    };
}
pub(crate) use each;

impl<'py> Floats<'py> {
    /// The array called `name` of a function's arguments.
    pub(crate) fn of(name: &str, array: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = array.cast::<PyArrayDyn<f32>>() {
            Ok(Floats::F32(Rows::of(name, array)?))
        } else if let Ok(array) = array.cast::<PyArrayDyn<f64>>() {
            Ok(Floats::F64(Rows::of(name, array)?))
        } else {
            Err(wrong_type(name, array, "float32 or float64"))
        }
    }
}

fn wrong_type(name: &str, found: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    let words = match found.cast::<PyUntypedArray>() {
        Ok(array) => format!("an array of {}", array.dtype()),
        Err(_) => found.get_type().to_string(),
    };
    PyTypeError::new_err(format!("`{name}` is {words}; expected a numpy array of {expected}"))
}

/// (V,) if `rows` is absent, (N, V) if it is there.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    pub(crate) rows: Option<usize>,
    pub(crate) vocab: usize,
}

impl Shape {
    fn words(self) -> String {
        self.rows.map_or(format!("({},)", self.vocab), |rows| format!("({rows}, {})", self.vocab))
    }
}

/// Rows one after another: the array's own memory if it is laid out so, numpy's copy of it otherwise.
pub(crate) struct Rows<'py, T: Number> {
    data: PyReadonlyArrayDyn<'py, T>,
    shape: Shape,
}

impl<'py, T: Number> Rows<'py, T> {
    fn of(name: &str, array: &Bound<'py, PyArrayDyn<T>>) -> PyResult<Self> {
        let shape = match *array.shape() {
            [vocab] => Shape { rows: None, vocab },
            [rows, vocab] => Shape { rows: Some(rows), vocab },
            ref other => {
                let message = format!("`{name}` has shape {other:?}; expected (V,) or (N, V)");
                return Err(PyValueError::new_err(message));
            }
        };
        if shape.vocab == 0 {
            let message = format!("`{name}` has shape {}; expected at least one label", shape.words());
            return Err(PyValueError::new_err(message));
        }
        // A contiguous array of numbers that are not aligned, or a field of records, is no slice either.
        let aligned: bool = array.getattr("flags")?.getattr("aligned")?.extract()?;
        let data = if aligned && array.is_c_contiguous() {
            array.try_readonly()?
        } else {
            array.call_method1("copy", ("C",))?.cast_into::<PyArrayDyn<T>>()?.try_readonly()?
        };
        data.as_slice()?;
        Ok(Rows { data, shape })
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[T]> {
        self.as_slice().chunks_exact(self.shape.vocab)
    }

    /// The one row of shape (V,).
    pub(crate) fn single(&self, name: &str) -> PyResult<&[T]> {
        if self.shape.rows.is_none() {
            return Ok(self.as_slice());
        }
        let message = format!("`{name}` has shape {}; expected (V,), one row", self.shape.words());
        Err(PyValueError::new_err(message))
    }

    /// All numbers, row after row.
    pub(crate) fn as_slice(&self) -> &[T] {
        // `of` has seen that it is one.
        self.data.as_slice().unwrap_or_default()
    }

    /// Another argument of the same type and shape.
    pub(crate) fn like(&self, name: &str, array: &Bound<'py, PyAny>) -> PyResult<Self> {
        Self::of_shape(name, array, self.shape)
    }

    fn of_shape(name: &str, array: &Bound<'py, PyAny>, expected: Shape) -> PyResult<Self> {
        let same_type = array.cast::<PyArrayDyn<T>>();
        let name_of_type = T::get_dtype(array.py()).to_string();
        let rows = Rows::of(name, same_type.map_err(|_| wrong_type(name, array, &name_of_type))?)?;
        if rows.shape == expected {
            return Ok(rows);
        }
        let [found, expected] = [rows.shape, expected].map(Shape::words);
        Err(PyValueError::new_err(format!("`{name}` has shape {found}; expected {expected}")))
    }

    /// Another argument of the same type: one row of `expected` numbers.
    pub(crate) fn one(&self, name: &str, array: &Bound<'py, PyAny>, expected: usize) -> PyResult<Self> {
        Self::of_shape(name, array, Shape { rows: None, vocab: expected })
    }

    /// A new array of the same shape, made row by row.
    pub(crate) fn map(
        &self,
        py: Python<'py>,
        mut f: impl FnMut(&[T], &mut [T]) -> Result<(), Error>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut out = vec![T::ZERO; self.as_slice().len()];
        for (i, (row, out)) in self.iter().zip(out.chunks_exact_mut(self.shape.vocab)).enumerate() {
            f(row, out).map_err(|error| in_row(self.shape, i, error))?;
        }
        array(py, out, self.shape)
    }
}

/// Numbers as an array.
pub(crate) fn array<T: Number>(py: Python<'_>, data: Vec<T>, shape: Shape) -> PyResult<Bound<'_, PyAny>> {
    let flat = numpy::PyArray1::from_vec(py, data);
    Ok(match shape.rows {
        None => flat.into_any(),
        Some(rows) => flat.reshape([rows, shape.vocab])?.into_any(),
    })
}

/// The core's refusal as Python's.
pub(crate) fn refuse(error: Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The same, with the row that it is about.
pub(crate) fn in_row(shape: Shape, row: usize, error: Error) -> PyErr {
    if shape.rows.is_none() { refuse(error) } else { PyValueError::new_err(format!("row {row}: {error}")) }
}

/// A label for each row: one number for shape (V,), a sequence of N for (N, V).
pub(crate) fn labels_of(labels: &Bound<'_, PyAny>, shape: Shape) -> PyResult<Vec<usize>> {
    let expected = match shape.rows {
        None => "an integer, for one row",
        Some(_) => "a sequence of integers, one for each row",
    };
    let found: Vec<i64> = match shape.rows {
        None => labels.extract().map(|label| vec![label]),
        Some(_) => labels.extract(),
    }
    .map_err(|_| PyTypeError::new_err(format!("`labels` is {}; expected {expected}", labels.get_type())))?;
    if let Some(rows) = shape.rows.filter(|&rows| rows != found.len()) {
        let message = format!("`labels` has {} elements; expected {rows}, one for each row", found.len());
        return Err(PyValueError::new_err(message));
    }
    let checked = found.iter().enumerate().map(|(i, &label)| match usize::try_from(label) {
        Ok(label) if label < shape.vocab => Ok(label),
        _ => {
            let at = shape.rows.map_or(String::new(), |_| format!("row {i}: "));
            let message =
                format!("{at}label {label} is outside the vocabulary; expected 0 to {}", shape.vocab - 1);
            Err(PyValueError::new_err(message))
        }
    });
    checked.collect()
}
