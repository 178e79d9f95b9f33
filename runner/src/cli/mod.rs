//! The command line: one file a verb.

/// Writes a line to standard output. A reader that has closed its end (`| head`) has seen enough: the work goes on.
macro_rules! out {
    ($($text:tt)*) => { crate::cli::print(format_args!($($text)*))? };
}

mod bench;
mod check;
mod decompose;
mod demo;
mod env;
mod export;
mod fetch;
mod generate;
mod import_curves;
mod init;
mod judge;
mod kernel;
mod pretrain;
mod probe;
mod probe_set;
mod report;
mod run;
mod selftest;
mod study;
mod train;
mod triage;
mod verify;

use crate::config::{self, Study};
use crate::device;
use crate::hub::{self, Role};
use crate::interrupt::Interrupted;
use crate::log;
use crate::model::Model;
use crate::progress::{Event, Progress};
use crate::study::Stopped;
use crate::value::Precision;
use anyhow::{Context, Result, ensure};
use candle_core::Device;
use clap::{ArgAction, Parser, Subcommand};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tracing::info;

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
    /// What is done, on standard error: files, plan, stages, checkpoints; -vv for requests too, -vvv for steps. The
    /// variable RUST_LOG holds a filter, such as ldyn=debug, and wins.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
}

impl Cli {
    /// How often `-v` is given.
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Args),
    Fetch(fetch::Args),
    Init(init::Args),
    Check(check::Args),
    Bench(bench::Args),
    Run(run::Args),
    Study(study::Args),
    Train(train::Args),
    Pretrain(pretrain::Args),
    Probe(probe::Args),
    ProbeSet(probe_set::Args),
    Decompose(decompose::Args),
    Kernel(kernel::Args),
    Triage(triage::Args),
    Generate(generate::Args),
    Judge(judge::Args),
    Report(report::Args),
    Export(export::Args),
    ImportCurves(import_curves::Args),
    Selftest(selftest::Args),
    Verify(verify::Args),
    Env(env::Args),
}

/// Where a verb computes, and in what.
#[derive(Debug, clap::Args)]
struct Arithmetic {
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// `f32`, or `f64` where remainders are to be measured.
    #[arg(long, default_value = "f32")]
    dtype: String,
    /// What matrix products round their operands to, as a study's `precision`: `full`, `bf16`, or `tf32` on a GPU.
    #[arg(long, default_value_t)]
    precision: Precision,
}

impl Arithmetic {
    fn device(&self) -> Result<Device> {
        device::open(&self.device)
    }

    /// Reads a model folder.
    fn load(&self, folder: &Path) -> Result<Model> {
        let (dtype, device) = (device::dtype(&self.dtype)?, self.device()?);
        self.precision.check(dtype, device.is_cuda())?;
        let mut model = Model::load(folder, dtype, &device)?;
        model.precision = self.precision;
        Ok(model)
    }
}

/// The data table of a study file for one data file, with the command line's overrides.
fn data_table(model: &Path, data: &Path, limit: Option<usize>, overrides: &[String]) -> Result<config::Data> {
    let mut study = Study::one_stage("sft", Some(data), Path::new("none"))?;
    study.model.path = Some(model.to_owned());
    study.data.limit = limit;
    Ok(config::with_overrides(&study, overrides)?.data)
}

/// A model or data file that a verb reads, and that may be on the hub.
type Named<'a> = (Role, &'a mut PathBuf);

fn named<'a>(
    models: impl IntoIterator<Item = &'a mut PathBuf>,
    files: impl IntoIterator<Item = &'a mut PathBuf>,
) -> Vec<Named<'a>> {
    let models = models.into_iter().map(|model| (Role::Model, model));
    models.chain(files.into_iter().map(|file| (Role::File, file))).collect()
}

/// Puts what lies on this machine in place of names on the hub, after a download where there is none.
fn fetch_all(named: Vec<Named>, progress: &Progress) -> Result<()> {
    for (role, path) in named {
        *path = hub::local(role, path, progress)?;
    }
    Ok(())
}

impl Verb {
    /// Whether standard output is for progress as JSON.
    fn streams(&self) -> bool {
        match self {
            Self::Demo(args) => args.stream.json,
            Self::Run(args) => args.stream.json,
            Self::Train(args) => args.stream.json,
            Self::Pretrain(args) => args.stream.json,
            Self::Study(args) => args.streams(),
            _ => false,
        }
    }

    /// What it reads that may be on the hub. Study files are asked for theirs when they have been read.
    fn named(&mut self) -> Vec<Named<'_>> {
        match self {
            Self::Probe(args) => args.named(),
            Self::ProbeSet(args) => args.named(),
            Self::Decompose(args) => args.named(),
            Self::Kernel(args) => args.named(),
            Self::Triage(args) => args.named(),
            Self::Generate(args) => args.named(),
            Self::Judge(args) => args.named(),
            _ => Vec::new(),
        }
    }
}

fn print(line: std::fmt::Arguments) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

/// Refuses an output file that is there, before any work is done for it.
fn refuse_existing(path: &Path) -> Result<()> {
    ensure!(!path.exists(), "{} exists already: remove it or choose another output", path.display());
    Ok(())
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
    let threads = cli.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().stack_size(STACK).num_threads(threads).build_global();
    pool.with_context(|| format!("--threads {threads}"))?;
    let started = Instant::now();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        process = std::process::id(),
        threads = rayon::current_num_threads(),
        "begun"
    );
    // On a thread of the pool: whoever hands out work from elsewhere sleeps until others have woken up and done it,
    // some hundred times in a training step.
    let ended = rayon::scope(|_| of_verb(cli));
    info!(status = ended.as_ref().err().map_or(0, status), seconds = log::seconds(started), "ended");
    ended
}

/// Bytes of a thread's stack: as much as a main thread has.
const STACK: usize = 8 << 20;

fn of_verb(mut cli: Cli) -> Result<()> {
    let progress = match cli.quiet {
        _ if cli.verb.streams() => Progress::Json,
        true => Progress::Quiet,
        false => Progress::Shown,
    };
    let ended = fetch_all(cli.verb.named(), &progress).and_then(|()| work(cli.verb, progress));
    let error = ended.as_ref().err();
    progress.tell(&Event::End {
        exit_status: error.map_or(0, status),
        error: error.map(|error| format!("{error:#}")),
    });
    ended
}

fn work(verb: Verb, progress: Progress) -> Result<()> {
    match verb {
        Verb::Demo(args) => demo::run(&args, &progress),
        Verb::Init(args) => init::run(&args),
        Verb::Fetch(args) => fetch::run(&args, &progress),
        Verb::Bench(args) => bench::run(&args, &progress),
        Verb::Check(args) => check::run(&args, &progress),
        Verb::Run(args) => run::run(&args, &progress),
        Verb::Study(args) => study::run(&args, &progress),
        Verb::Train(args) => train::run(&args, &progress),
        Verb::Pretrain(args) => pretrain::run(&args, &progress),
        Verb::Probe(args) => probe::run(&args, &progress),
        Verb::ProbeSet(args) => probe_set::run(&args, &progress),
        Verb::Decompose(args) => decompose::run(&args, &progress),
        Verb::Kernel(args) => kernel::run(&args, &progress),
        Verb::Triage(args) => triage::run(&args, &progress),
        Verb::Generate(args) => generate::run(&args, &progress),
        Verb::Judge(args) => judge::run(&args, &progress),
        Verb::Report(args) => report::run(&args, &progress),
        Verb::Export(args) => export::run(&args),
        Verb::ImportCurves(args) => import_curves::run(&args, &progress),
        Verb::Selftest(args) => selftest::run(&args),
        Verb::Verify(args) => verify::run(&args),
        Verb::Env(args) => env::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The words of a command line, as a shell parts them.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line.chars().chain([' ']) {
            match (c, quote) {
                (c, Some(end)) if c == end => quote = None,
                ('"' | '\'', None) => quote = Some(c),
                (' ', None) => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
                (c, _) => word.push(c),
            }
        }
        words
    }

    #[test]
    fn the_help_of_every_verb_has_examples_that_its_parser_takes() {
        for verb in Cli::command().get_subcommands() {
            let name = verb.get_name();
            let help = verb.get_long_about().map(ToString::to_string).unwrap_or_default();
            let examples =
                help.split_once("\nExample").unwrap_or_else(|| panic!("`{name}` has no example")).1;
            let mut found = 0;
            for line in examples.lines() {
                let Some(line) = line.trim_start_matches([':', 's', ' ']).strip_prefix("ldyn ") else {
                    continue;
                };
                let words = words(line);
                assert_eq!(words[0], name, "{line}");
                let parsed = Cli::try_parse_from(std::iter::once("ldyn".to_owned()).chain(words));
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                found += 1;
            }
            assert!(found > 0, "`{name}` has no example");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
