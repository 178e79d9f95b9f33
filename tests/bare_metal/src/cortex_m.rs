//! A Cortex-M under a debugger or emulator: entry, and output and exit by semihosting.

use core::fmt;
use cortex_m_semihosting::{debug, hio};

#[cortex_m_rt::entry]
fn start() -> ! {
    crate::run()
}

/// The host's standard output.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        hio::hstdout().map_err(|()| fmt::Error)?.write_str(text)
    }
}

/// Ends the emulation.
pub fn exit(code: usize) -> ! {
    debug::exit(if code == 0 { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    unreachable!()
}
