//! The fused operations on an NVIDIA GPU (feature `cuda`), in f32 and f64.
//!
//! `kernels.cu` and `attention.cu` are one program, which NVRTC compiles when a device first needs it: to build it takes no
//! compiler for it. [`ops`] and [`attention`] say which kernels an operation runs on which memory, as data that any
//! [`Machine`](call::Machine) can run: a GPU, or in tests the processor, for which the same source compiles as C++.
//!
//! | operation | on a GPU |
//! |---|---|
//! | `layer_norm`, `rms_norm` | kernels: forward, backward, derivative along a direction |
//! | `activate` | kernels: forward, backward, derivative along a direction |
//! | `attention` | kernels: rotary positions and their transpose; forward and backward in tiles over the packed spans |
//! | `log_probs` | products by cuBLAS; kernels: log π and the row statistics, w·(π − e_y) in place of the logits |
//! | `linear` | products by cuBLAS; kernels: the bias, and its gradient |
//! | an optimiser's step | one kernel a parameter: RMSprop, AdamW, SGD |
//! | the norm of a gradient | one kernel a parameter, one read for all |
//! | `rows`, `add`, `mul`, `concat` | candle's kernels |
//! | `attention` with a cache; derivatives of `attention` and `log_probs` along a direction | composed of candle's |
//!
//! Products by cuBLAS are those that have a [`Precision`](crate::value::Precision). In bf16 their operands are rounded by
//! candle's kernel and cuBLAS is told of bf16 operands and f32 results; in tf32 it rounds by itself.
//!
//! A training step waits for the device twice: for the log-probabilities of a pass, which the loss is a function of,
//! and for the norm of the gradient, which decides about the step. A loss weighted by token reads the statistics too.
//!
//! **None of this has run on a GPU yet.** Known so far: the kernels, called in the same way, agree with the CPU's forms
//! when a processor runs them (`value::cuda::tests`); NVRTC compiles them for compute capability 8.0 and 9.0
//! (`runner/cuda-build kernels`); the rest type-checks. These tests wait for a GPU, and where no device opens they say
//! so and pass (`cargo test -p ldyn --features cuda --lib cuda_`):
//!
//! - `value::cuda::tests`: `cuda_norms_agree`, `cuda_activations_agree`, `cuda_sums_agree`,
//!   `cuda_rows_of_logits_agree`, `cuda_attention_agrees`
//! - `value::precision::tests`: `cuda_products_of_rounded_operands_are_plain_sums`,
//!   `cuda_tangents_are_not_rounded_but_what_they_meet_is`
//! - `value::selftest::tests`: `cuda_every_operation_passes_its_checks`
//! - `value::squares::tests`: `cuda_both_forms_find_the_sum`
//! - `value::tests`: `cuda_statistics_agree_with_the_composed_head`, `cuda_a_decoder_has_the_gradients_of_the_cpu`
//! - `train::optimizer::tests`: `cuda_steps_are_those_of_the_cpu`

mod attention;
mod call;
#[cfg(feature = "cuda")]
mod device;
mod gemm;
#[cfg(feature = "cuda")]
mod head;
#[cfg(test)]
mod host;
pub(super) mod ops;
#[cfg(feature = "cuda")]
mod product;
#[cfg(test)]
mod tests;

#[cfg(feature = "cuda")]
pub(super) use attention::fits;
#[cfg(feature = "cuda")]
pub(crate) use device::optimise;
#[cfg(feature = "cuda")]
pub(super) use device::{add_bias, attend, forward, sums_of_squares, with};
#[cfg(feature = "cuda")]
pub(super) use head::Head;
#[cfg(test)]
pub(crate) use host::run_on_host;
pub(crate) use ops::Kernel;
#[cfg(feature = "cuda")]
pub(super) use product::{gradients, times_transposed};

/// The kernels, in the order in which they become one program.
const SOURCE: [&str; 2] = [include_str!("kernels.cu"), include_str!("attention.cu")];
