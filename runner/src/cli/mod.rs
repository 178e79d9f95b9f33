//! The command line: one file a verb.

mod decompose;
mod demo;
mod generate;
mod import_curves;
mod init;
mod judge;
mod kernel;
mod pretrain;
mod probe;
mod report;
mod run;
mod selftest;
mod study;
mod train;
mod triage;
mod verify;

use crate::interrupt::Interrupted;
use crate::progress::Progress;
use crate::study::Stopped;
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Finetune Pythia and Qwen models and watch what every step does to every kind of response.
///
/// Exit status: 0 when done, 1 on failure, 2 on a wrong command line, 3 when an exact statement failed to verify,
/// 4 when an alarm of the monitor stopped a run, 130 or 143 when SIGINT or SIGTERM did.
#[derive(Debug, Parser)]
#[command(name = "ldyn", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Threads to compute with [default: all cores].
    #[arg(long, global = true)]
    threads: Option<usize>,
    /// No progress on standard error.
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    Init(init::Args),
    Run(run::Args),
    Study(study::Args),
    Train(train::Args),
    Pretrain(pretrain::Args),
    Probe(probe::Args),
    Decompose(decompose::Args),
    Kernel(kernel::Args),
    Triage(triage::Args),
    Generate(generate::Args),
    Judge(judge::Args),
    Report(report::Args),
    ImportCurves(import_curves::Args),
    Selftest(selftest::Args),
    Verify(verify::Args),
}

/// The exit status that an error calls for.
pub fn status(error: &anyhow::Error) -> u8 {
    match error {
        e if e.is::<verify::Refuted>() => 3,
        e if e.is::<Stopped>() => 4,
        e => e.downcast_ref::<Interrupted>().map_or(1, Interrupted::status),
    }
}

/// Runs the parsed command line.
///
/// # Errors
/// Whatever the verb meets.
pub fn run(cli: Cli) -> Result<()> {
    if let Some(threads) = cli.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        pool.with_context(|| format!("--threads {threads}"))?;
    }
    let progress = if cli.quiet { Progress::Quiet } else { Progress::Shown };
    match cli.verb {
        Verb::Demo(args) => demo::run(&args, &progress),
        Verb::Init(args) => init::run(&args),
        Verb::Run(args) => run::run(&args, &progress),
        Verb::Study(args) => study::run(&args, &progress),
        Verb::Train(args) => train::run(&args, &progress),
        Verb::Pretrain(args) => pretrain::run(&args, &progress),
        Verb::Probe(args) => probe::run(&args, &progress),
        Verb::Decompose(args) => decompose::run(&args, &progress),
        Verb::Kernel(args) => kernel::run(&args, &progress),
        Verb::Triage(args) => triage::run(&args, &progress),
        Verb::Generate(args) => generate::run(&args, &progress),
        Verb::Judge(args) => judge::run(&args, &progress),
        Verb::Report(args) => report::run(&args, &progress),
        Verb::ImportCurves(args) => import_curves::run(&args, &progress),
        Verb::Selftest(args) => selftest::run(&args),
        Verb::Verify(args) => verify::run(&args),
    }
}
