//! What the property tests of `tests/` are made of: where inputs come from
//! ([`strategies`]), a slow and plain form to compare with ([`oracle`]), and how much
//! rounding each statement is allowed ([`tolerance`]).
//!
//! `STATEMENTS.md` lists the statements; `tests/index.rs` fails when a statement has no test or
//! a test no statement.

pub mod oracle;
pub mod precise;
pub mod strategies;
pub mod tolerance;
