//! What the operands of matrix products are rounded to.

use super::cpu::{Elem, fill_rows};
use anyhow::{Result, bail, ensure};
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// How the products of weights and activations are computed: those of [`Value::linear`](super::Value::linear) and of
/// the head, forward and backward. Weights, activations between operations, log-probabilities, norms, softmax,
/// attention and the optimiser keep the model's number type whatever it is.
///
/// A rounded number counts in the backward pass as if it had not been rounded (a step function has no derivative of
/// use), and a tangent is not rounded at all: a derivative is linear in its direction, and so must a prediction
/// be, which is added up from parts. Its products take the weights and activations as the forward pass took them.
///
/// ```
/// use ldyn::value::Precision;
/// assert_eq!("bf16".parse::<Precision>()?, Precision::Bf16);
/// assert!("f16".parse::<Precision>().unwrap_err().to_string().contains("use \"bf16\""));
/// # anyhow::Ok(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Precision {
    /// Operands as they are.
    #[default]
    Full,
    /// On an NVIDIA GPU of compute capability 8.0 or more: operands rounded to 11 significant bits by the GPU, sums
    /// and results in f32.
    Tf32,
    /// Operands rounded to bf16 (8 significant bits, to nearest, ties to even), sums and results in f32. A CPU
    /// rounds them and multiplies in f32, which takes longer than f32 alone: it shows what bf16 does, not its speed.
    Bf16,
}

impl Precision {
    /// Its name in a study file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// What a model computes in, such as `f32`, or `f32, products of bf16`.
    pub fn words(self, dtype: DType) -> String {
        match self {
            Self::Full => dtype.as_str().to_owned(),
            rounded => format!("{}, products of {rounded}", dtype.as_str()),
        }
    }

    /// Refuses what cannot be: products of numbers of type `dtype`, on a GPU or not.
    ///
    /// # Errors
    /// `tf32` on a CPU; `tf32` or `bf16` of other numbers than f32.
    pub fn check(self, dtype: DType, on_gpu: bool) -> Result<()> {
        ensure!(
            self == Self::Full || dtype == DType::F32,
            "precision = \"{self}\" with dtype = \"{}\": it rounds f32; set dtype = \"f32\", or precision = \"full\"",
            dtype.as_str()
        );
        ensure!(
            self != Self::Tf32 || on_gpu,
            "precision = \"tf32\" on a CPU, but only an NVIDIA GPU multiplies so: set device = \"cuda\", or precision to \
             \"full\" or \"bf16\""
        );
        Ok(())
    }

    /// [`Precision::check`] of a tensor.
    pub(super) fn check_of(self, tensor: &Tensor) -> Result<()> {
        self.check(tensor.dtype(), tensor.device().is_cuda())
    }

    /// Numbers on the CPU as a product takes them.
    pub(super) fn operand<T: Elem>(self, numbers: &[T]) -> Cow<'_, [T]> {
        if self != Self::Bf16 {
            return Cow::Borrowed(numbers);
        }
        let mut rounded = vec![T::ZERO; numbers.len()];
        fill_rows(&mut rounded, 1, |start, out| {
            out.iter_mut().zip(&numbers[start..]).for_each(|(out, x)| *out = x.to_bf16());
        });
        Cow::Owned(rounded)
    }

    /// [`Precision::operand`] in place, by this thread alone.
    pub(super) fn round<T: Elem>(self, numbers: &mut [T]) {
        if self == Self::Bf16 {
            numbers.iter_mut().for_each(|x| *x = x.to_bf16());
        }
    }

    /// A tensor as a product takes it, in its own number type. What a GPU rounds itself stays as it is.
    pub(super) fn rounded(self, tensor: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Bf16 => tensor.to_dtype(DType::BF16)?.to_dtype(tensor.dtype()),
            Self::Full | Self::Tf32 => Ok(tensor.clone()),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "full" | "f32" | "fp32" | "float32" => Ok(Self::Full),
            "tf32" => Ok(Self::Tf32),
            "bf16" | "bfloat16" => Ok(Self::Bf16),
            "f16" | "fp16" | "float16" => bail!(
                "precision = {name:?}: gradients leave the range of f16 (6e-8 to 65504) unless the loss is scaled, which \
                 nothing here does; use \"bf16\", which has the range of f32"
            ),
            _ => bail!(
                "precision = {name:?}: use \"full\", \"bf16\" or, on a GPU, \"tf32\" (`dtype` is the type of the weights)"
            ),
        }
    }
}

impl TryFrom<String> for Precision {
    type Error = anyhow::Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Precision> for String {
    fn from(precision: Precision) -> Self {
        precision.name().to_owned()
    }
}

#[cfg(test)]
mod tests;
