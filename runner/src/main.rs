//! The program `ldyn`: parse, run, print the error chain once, exit.

mod logging;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    one_pool_of_threads();
    let cli = ldyn::cli::Cli::parse();
    logging::start(cli.verbosity());
    match ldyn::cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", shown(&format!("{error:#}")));
            ExitCode::from(ldyn::cli::status(&error))
        }
    }
}

/// A message without its middle, where it repeats so much of a file that nobody would read it.
fn shown(message: &str) -> String {
    const ENDS: usize = 4000;
    let ends = message.char_indices().nth(ENDS).zip(message.char_indices().nth_back(ENDS));
    match ends {
        Some(((head, _), (tail, _))) if head < tail => {
            format!("{} […] {}", &message[..head], &message[tail..])
        }
        _ => message.to_owned(),
    }
}

/// Keeps candle's second pool of threads empty, unless the user has set its size.
///
/// candle adds and multiplies large tensors on threads that wait by spinning, beside those of rayon, which
/// run everything else here. Two pools on the same cores hold each other up; a busy machine waits for
/// most of its time.
#[allow(unsafe_code)]
fn one_pool_of_threads() {
    const THREADS: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(THREADS).is_none() {
        // SAFETY: the first statement of `main`: no other thread reads the environment.
        unsafe { std::env::set_var(THREADS, "1") };
    }
}
