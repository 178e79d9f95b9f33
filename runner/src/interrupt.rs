//! SIGINT and SIGTERM: the first asks a run to end after its step, the second ends it at once.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether a signal has asked the run to end; by default none ever does.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Listens to SIGINT and SIGTERM from here on, for the whole process.
    ///
    /// # Errors
    /// A system that does not let its signals be handled.
    pub fn on_signals() -> Result<Self> {
        let (asked, signal) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for number in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the switch off and turns it on.
            flag::register_conditional_shutdown(number, status(number), asked.clone())
                .and_then(|_| flag::register(number, asked.clone()))
                .and_then(|_| flag::register_usize(number, signal.clone(), number as usize))
                .with_context(|| format!("cannot handle signal {number}"))?;
        }
        Ok(Self(signal))
    }

    /// The signal that asked, if one did.
    pub fn signal(&self) -> Option<i32> {
        Some(self.0.load(Ordering::Relaxed) as i32).filter(|&signal| signal != 0)
    }
}

/// The exit status of a program that a signal ended.
fn status(signal: i32) -> i32 {
    128 + signal
}

/// A run that a signal ended; its records and a checkpoint are written.
#[derive(Clone, Debug, PartialEq)]
pub struct Interrupted {
    /// The signal's number.
    pub signal: i32,
    /// The checkpoint to continue from.
    pub checkpoint: PathBuf,
}

impl Interrupted {
    /// The exit status to end with: 130 for SIGINT, 143 for SIGTERM.
    pub fn status(&self) -> u8 {
        status(self.signal) as u8
    }
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.signal == SIGINT { "SIGINT" } else { "SIGTERM" };
        write!(
            f,
            "ended by {name}; the run is kept in {}: give --resume to go on from there",
            self.checkpoint.display()
        )
    }
}

impl std::error::Error for Interrupted {}
