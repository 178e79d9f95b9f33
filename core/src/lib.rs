//! The mathematics of the learning dynamics of LLM finetuning.
//!
//! One training step on (x_u, y_u) changes what a model says about y after x_o by
//!
//! ```text
//! Δ log π(y | χ_o)  =  −η · A(χ_o) · K(χ_o, χ_u) · G(χ_u, y_u)  +  O(η²)
//! ```
//!
//! (Ren & Sutherland, *Learning Dynamics of LLM Finetuning*, ICLR 2025; "paper" below). This crate
//! computes the factors that belong to the softmax and to the objective, exactly and without
//! forming a matrix over the vocabulary, and what follows from them.
//!
//! | symbol | meaning | item | paper |
//! |---|---|---|---|
//! | z | logits, one row of V numbers | `logits: &[T]` | §2 |
//! | π | softmax(z) | [`softmax`], [`simplex::Distribution`] | §2 |
//! | χ | prompt and response, read under teacher forcing | [`sequence`] | §3.1 |
//! | η, s | learning rate; effective step η‖φ‖² of softmax regression | `step` | §2, App. E |
//! | A | adaptation I − 1πᵀ | [`adaptation`], [`diagnostics::a_norm`] | eq. 3, eq. 27–31 |
//! | K | empirical neural tangent kernel | [`ntk`]: k·I, frozen features, dense, two Jacobians, or any product | eq. 3–5 |
//! | G | residual w·(π − e_y) | [`diagnostics::residual_into`], w from [`loss`] | eq. 3, App. B.2 |
//! | −ηAKG | the predicted change, of one position, a response, a pair | [`decomposition::predicted_step_into`], [`decomposition::predicted_pair_into`] | eq. 3–5, 7 |
//! | O(η²) | the remainder −KL(π ‖ π′), and its bounds | [`decomposition::remainder`] | eq. 3 |
//! | α, τ, y* | growth factors, threshold, runner-up | [`squeezing::NegativeStep`], [`squeezing::PositiveStep`] | §3.3, App. E |
//! | y⁺, y⁻, ρ | a preference pair in one context, or in two that overlap | [`squeezing::PairStep`], [`squeezing::TwoContexts`] | §3.2–3.3 |
//! | p, q | how likely the unlearned label is, the others' proportions fixed | [`squeezing::FixedProportions`] | App. E, Claim 4 |
//! | ε, μ, κ | label smoothing, momentum, weight decay | [`squeezing::SmoothedStep`], [`squeezing::Trajectory`] | — |
//! | π(t) | many steps on one context | [`squeezing::Trajectory`], [`squeezing::repeated`], [`decomposition::Influence`] | §2, App. E |
//!
//! # Examples
//!
//! ```
//! use ldyn_core::{Error, simplex::Distribution, softmax::softmax_into, squeezing::NegativeStep};
//!
//! // Unlearn a label that was already unlikely: the mass goes to the top, and a bystander loses.
//! let mut pi = [0.0_f64; 4];
//! softmax_into(&[3.0, 1.0, 0.5, -2.0], &mut pi)?;
//! let step = NegativeStep::new(Distribution::new(&pi)?, 3, 1.0)?;
//! assert_eq!((step.runner_up(), step.risers()), (0, 1));
//! assert!(step.log_growth(1)? < 0.0);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Conventions
//!
//! - Logarithms are natural; entropies and log-probabilities are in nats.
//! - Losses are to be minimised: −log π. A step that learns y has s > 0; unlearning is the *negative step*.
//! - Matrices are row-major slices. Results go to slices that the caller owns: functions end in `_into`.
//! - Among equal maxima the first counts.
//! - Everything is generic over [`f32` and `f64`](Real); sums are taken in `f64`.
//! - A logit is a finite number or −∞. NaN and +∞ are refused with their index where a function
//!   returns a `Result`, and give NaN where it does not. Nothing panics on numbers.
//! - *Exact* statements hold for every step size of softmax regression; *first order* ones up to
//!   O(η²). The docs say which is meant. Where they differ from the paper they say so.
//! - The claims that can be checked on a single case stand in one table: [`statements`].
//!
//! # What this crate does not do
//!
//! No tensors, no automatic differentiation, no models but two toys, no files, no random numbers, no
//! threads; no allocation but behind the features that say so. Jacobians are handed in, but for the toys.
//! What is exact here is so for softmax regression with frozen features; of a network whose features
//! learn too it says first-order things only. Training and measuring language models with it is the
//! work of the crate `ldyn`.
//!
//! # Features
//!
//! `std` (default) takes exp and ln from the platform, and chooses vector instructions when the
//! program runs (by `pulp`; the digits do not depend on the choice). Without it the crate is
//! `no_std` and needs `libm`, which gives the same digits on every target. What allocates stands
//! behind `alloc` (part of `std`): `toy`, small models with analytic Jacobians; and `ndarray` and
//! `faer`, the same functions for arrays and matrices. `serde` reads and writes the records.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod adaptation;
pub mod decomposition;
pub mod diagnostics;
mod error;
#[cfg(feature = "faer")]
pub mod faer;
pub mod loss;
#[cfg(feature = "ndarray")]
pub mod ndarray;
pub mod ntk;
mod real;
pub mod sequence;
pub mod simplex;
pub mod softmax;
pub mod squeezing;
pub mod statements;
mod sweep;
#[cfg(test)]
mod testing;
#[cfg(feature = "alloc")]
pub mod toy;

pub use error::Error;
pub use real::Real;
