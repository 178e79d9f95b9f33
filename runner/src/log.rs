//! What the library tells of its work while it runs, as events of [`tracing`]; nobody hears them unless a subscriber is set.
//!
//! The program shows them on standard error, a line each with time, level and place, where it is asked to:
//!
//! | level | asked by | events |
//! |---|---|---|
//! | `warn` | `-v` | alarms; requests that failed and are tried again |
//! | `info` | `-v` | files read and their rows, tokens and cuts, log-probabilities found in the cache, downloads, threads and device, plan, stages, probe sweeps, checkpoints written, removed and verified, where a run goes on and which records are cut |
//! | `debug` | `-vv` | devices, hashes, single files of weights, names found in the cache, requests (address without query, status, seconds), generation |
//! | `trace` | `-vvv` | optimiser steps: loss, margin, norm of the gradient, seconds |
//!
//! `RUST_LOG` holds a filter such as `ldyn=debug`, `ldyn::hub=trace,warn` or `debug`, and wins over `-v`. Records that other
//! libraries make with `log` come along down to `debug`, but for those that repeat what went over a connection: a token
//! is in no line.

use std::time::Instant;

/// Seconds since `started`, to the millisecond.
pub(crate) fn seconds(started: Instant) -> f64 {
    rounded(started.elapsed().as_secs_f64())
}

/// A number to three places, for lines that people read.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
