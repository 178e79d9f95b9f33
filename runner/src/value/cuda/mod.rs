//! The fused operations on an NVIDIA GPU (feature `cuda`).
//!
//! `kernels.cu` and `attention.cu` are one program. It is compiled by NVRTC when a device first runs a kernel of a
//! number type, for f32 or f64, so that building ldyn needs no compiler for it. [`ops`] and [`attention`] say which kernels an
//! operation runs on which memory, as data that any [`Machine`](call::Machine) can run: a GPU, or in tests the
//! processor, for which the same source compiles as C++.
//!
//! | operation | on a GPU |
//! |---|---|
//! | `layer_norm`, `rms_norm` | kernels: forward, backward, derivative along a direction |
//! | `activate` | kernels: forward, backward, derivative along a direction |
//! | `attention` | kernels: rotary positions and their transpose; forward and backward in tiles over the packed spans |
//! | `log_probs` | the products by cuBLAS; kernels: log π and the row statistics, w·(π − e_y) in place of the logits |
//! | `linear` | the products by cuBLAS; kernels: bias, and its gradient |
//! | optimiser's step | one kernel a parameter: RMSprop, AdamW, SGD |
//! | norm of the gradient | a kernel a parameter, and one read for all |
//! | `rows`, `add`, `mul`, `concat` | candle's kernels |
//! | `attention` with a cache, derivatives of `attention` and `log_probs` along a direction | composed of candle's |
//!
//! A training step waits for the device twice: for the log-probabilities, which the loss is a function of, and for
//! the norm of the gradient, which decides about the step. (Weighted losses read the row statistics too.)
//!
//! **Nothing here has run on a GPU yet.** What is known: the kernels, called in the same way, agree with the CPU's forms on a
//! processor (`value::cuda::tests`); NVRTC compiles them for compute capability 8.0 and 9.0 (`runner/cuda-build kernels`); all of
//! it type-checks and links. What waits for a GPU are the tests whose names begin with `cuda_`; where no
//! device opens they say so and pass.

mod attention;
mod call;
#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "cuda")]
mod head;
#[cfg(test)]
mod host;
pub(super) mod ops;
#[cfg(test)]
mod tests;

#[cfg(feature = "cuda")]
pub(super) use attention::fits;
#[cfg(feature = "cuda")]
pub(crate) use device::optimise;
#[cfg(feature = "cuda")]
pub(super) use device::{add_bias, attend, forward, sums_of_squares, with};
#[cfg(feature = "cuda")]
pub(super) use head::{Head, times_transposed};
#[cfg(test)]
pub(crate) use host::run_on_host;
pub(crate) use ops::Kernel;

/// The kernels, in the order in which they become one program.
const SOURCE: [&str; 2] = [include_str!("kernels.cu"), include_str!("attention.cu")];
