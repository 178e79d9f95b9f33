//! Runs the check where nothing is given: on x86-64 Linux by bare system calls, on a Cortex-M by
//! semihosting.
#![no_std]
#![no_main]

#[cfg(target_os = "none")]
mod cortex_m;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "none")]
use cortex_m::{Console, exit};
#[cfg(target_os = "linux")]
use linux::{Console, exit};

use core::fmt::Write;

/// The program; entered once the target has a stack.
fn run() -> ! {
    match bare_metal::check(&mut Console) {
        Ok(()) => exit(0),
        Err(failure) => {
            let _ = writeln!(Console, "failed: {failure:?}");
            exit(1)
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    let _ = Console.write_str("panicked\n");
    exit(101)
}
