//! The corpus of the fuzz targets, replayed: every file of `runner/fuzz/corpus`, and seeded mutations of it, through
//! the body of its target, in bounded time and memory. What a fuzzer has found stays in the corpus.

mod bodies;
mod mutations;

use bodies::{BODIES, Body};
use mutations::mutated;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Mutations of the corpus of a target; `LDYN_MUTATIONS=20000` is a longer hunt.
const MUTATIONS: usize = 250;

/// Longest accepted time for one input. All of them take milliseconds; the rest is for a machine that is busy.
const TIME: Duration = Duration::from_secs(10);

/// The most memory that the whole replay may take beside what it begins with. A rendering of a template is allowed
/// 320 MB, and everything else far less.
const MEMORY: u64 = 512 << 20;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let files = paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect::<Vec<_>>();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

/// Runs a body; what it must not do is an error that says where the input was kept.
fn check(target: &str, body: Body, what: &str, input: &[u8], most: u64) -> Result<(), String> {
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| body(input)));
    let taken = start.elapsed();
    let memory = ldyn::memory::peak().unwrap_or(0);
    let fault = match outcome {
        Err(_) => "it panics".to_owned(),
        Ok(()) if taken > TIME => format!("it takes {taken:?}, at most {TIME:?} are accepted"),
        Ok(()) if memory > most => format!("it takes memory to {memory} bytes, at most {most} are accepted"),
        Ok(()) => return Ok(()),
    };
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}-fault"));
    fs::write(&kept, input).unwrap();
    Err(format!("target `{target}`, {what}: {fault}; the input is in {}", kept.display()))
}

/// The corpus of a target and its mutations; the first fault ends it.
fn replay(target: &str) {
    let (_, body) = BODIES.iter().find(|(name, _)| *name == target).expect("a target of the list");
    let most = ldyn::memory::peak().unwrap_or(0) + MEMORY;
    let mutations = std::env::var("LDYN_MUTATIONS").map_or(MUTATIONS, |n| n.parse().expect("a number"));
    let files = corpus(target);
    let inputs: Vec<&[u8]> = files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let named = files.iter().map(|(path, bytes)| (path.display().to_string(), bytes.clone()));
    let made = (0..mutations).map(|i| (format!("mutation {i}"), mutated(&inputs, target, i)));
    for (what, input) in named.chain(made) {
        if let Err(fault) = check(target, *body, &what, &input, most) {
            panic!("{fault}");
        }
    }
}

macro_rules! replayed {
    ($($target:ident)*) => {
        /// The targets that have a test here.
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })*
    };
}

replayed! {
    checkpoint config curves data gzip hh idx model_config parquet probe_set replies run_folder template tokenizer weights
}

/// Every body has a corpus, a fuzz target and a test, and the other way round.
#[test]
fn every_body_has_a_target_and_a_corpus() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let bodies: Vec<&str> = BODIES.iter().map(|(name, _)| *name).collect();
    for folder in ["corpus", "fuzz_targets"] {
        let entries = fs::read_dir(fuzz.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<String> =
            entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        assert_eq!(names, bodies, "{folder}");
    }
    assert_eq!(REPLAYED, bodies);
}

/// The check itself notices a body that panics, dawdles or takes memory.
#[test]
fn a_body_with_a_fault_is_noticed() {
    let fault = |body: Body, most| check("planted", body, "x", b"input", most).unwrap_err();
    assert!(fault(|_| panic!("planted"), u64::MAX).contains("it panics"));
    if cfg!(target_os = "linux") {
        let most = ldyn::memory::peak().unwrap() / 2;
        assert!(fault(|_| (), most).contains("memory"));
    }
}
