//! What the two architectures share: parameters by name, and the layers that
//! read them.

use crate::value::{Precision, Value};
use anyhow::Result;

/// Finds a parameter by its name in the model folder.
pub type Lookup<'a, V> = dyn Fn(&str) -> Result<V> + 'a;

/// The parameters of one module, by the rest of their names.
pub(super) struct Module<'a, V> {
    params: &'a Lookup<'a, V>,
    precision: Precision,
    prefix: String,
}

impl<'a, V: Value> Module<'a, V> {
    pub(super) fn new(params: &'a Lookup<'a, V>, precision: Precision, prefix: String) -> Self {
        Self { params, precision, prefix }
    }

    fn get(&self, name: &str, part: &str) -> Result<V> {
        (self.params)(&format!("{}.{name}.{part}", self.prefix))
    }

    pub(super) fn embed(&self, name: &str, ids: &candle_core::Tensor) -> Result<V> {
        self.get(name, "weight")?.rows(ids)
    }

    pub(super) fn linear(&self, name: &str, bias: bool, x: &V) -> Result<V> {
        let bias = if bias { Some(self.get(name, "bias")?) } else { None };
        x.linear(&self.get(name, "weight")?, bias.as_ref(), self.precision)
    }

    pub(super) fn layer_norm(&self, name: &str, eps: f64, x: &V) -> Result<V> {
        x.layer_norm(&self.get(name, "weight")?, &self.get(name, "bias")?, eps)
    }

    pub(super) fn rms_norm(&self, name: &str, eps: f64, x: &V) -> Result<V> {
        x.rms_norm(&self.get(name, "weight")?, eps)
    }
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Normal with mean 0 and the configuration's `initializer_range`.
    Normal,
    /// All 0: biases.
    Zeros,
    /// All 1: scales of norms.
    Ones,
}

/// Name, shape and start of one parameter.
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) start: Start,
}

/// A list of parameters under construction.
#[derive(Default)]
pub(super) struct Parameters(pub(super) Vec<Parameter>);

impl Parameters {
    fn push(&mut self, name: String, shape: &[usize], start: Start) {
        self.0.push(Parameter { name, shape: shape.to_vec(), start });
    }

    pub(super) fn matrix(&mut self, name: &str, rows: usize, columns: usize) {
        self.push(format!("{name}.weight"), &[rows, columns], Start::Normal);
    }

    pub(super) fn linear(&mut self, name: &str, outputs: usize, inputs: usize, bias: bool) {
        self.matrix(name, outputs, inputs);
        if bias {
            self.push(format!("{name}.bias"), &[outputs], Start::Zeros);
        }
    }

    pub(super) fn rms_norm(&mut self, name: &str, width: usize) {
        self.push(format!("{name}.weight"), &[width], Start::Ones);
    }

    pub(super) fn layer_norm(&mut self, name: &str, width: usize) {
        self.rms_norm(name, width);
        self.push(format!("{name}.bias"), &[width], Start::Zeros);
    }
}
