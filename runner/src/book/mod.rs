//! The book: what is computed, how to do it, how to read it, and the questions that come up again and again.
//!
//! - [`concepts`]: one step of finetuning, its three factors, and the squeezing effect, with the mathematics.
//! - [`how_to`]: a task, its command, and what comes of it; every command is run by a test.
//! - [`findings`]: what each line of a report says, when to believe it, and what to do about it.
//! - [`faq`]: why y⁺ falls, sums or means, rewards that are not 0 at the start, and others.
//!
//! The formulas themselves, with their conditions and tests, are in the documentation of `ldyn-core`.

#[doc = include_str!("concepts.md")]
pub mod concepts {}

#[doc = include_str!("how_to.md")]
pub mod how_to {}

#[doc = include_str!("findings.md")]
pub mod findings {}

#[doc = include_str!("faq.md")]
pub mod faq {}
