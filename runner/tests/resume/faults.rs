//! What can happen to a run, and what became of it.

use crate::phase::{Moment, Phase};
use crate::tiny::{Place, base, differing_bytes, interrupted_run, said, signal, wait_until, whole_run};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill,
    Interrupt,
    Terminate,
    TornRecords,
    LostRecords,
    CutCheckpoint,
    FlippedBit,
    FileTooLarge,
    FullDisk,
    ReadOnly,
    SecondRun,
    ClockJumps,
    TooMuchMemory,
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Why the fault could not be tried.
    pub skipped: Option<String>,
    /// What went wrong besides bytes.
    pub lost: Option<String>,
    /// Bytes that differ from a run in one go.
    pub differing: usize,
    /// What the run was doing each time that it was killed.
    pub struck: Vec<Phase>,
}

impl Outcome {
    pub fn survived(&self) -> bool {
        self.lost.is_none() && self.differing == 0
    }

    fn skipped(why: impl Into<String>) -> Self {
        let why = why.into();
        println!("skipped: {why}");
        Self { skipped: Some(why), ..Self::default() }
    }

    fn lost(why: impl Into<String>) -> Self {
        Self { lost: Some(why.into()), ..Self::default() }
    }

    /// What a run came to that has been resumed to its end.
    fn of(place: &Place, resumed: &Output) -> Self {
        if resumed.status.success() {
            Self { differing: differing_bytes(place), ..Self::default() }
        } else {
            Self::lost(format!("resuming ended with {}: {}", resumed.status, said(resumed)))
        }
    }
}

impl Fault {
    pub const ALL: [Self; 13] = [
        Self::Kill,
        Self::Interrupt,
        Self::Terminate,
        Self::TornRecords,
        Self::LostRecords,
        Self::CutCheckpoint,
        Self::FlippedBit,
        Self::FileTooLarge,
        Self::FullDisk,
        Self::ReadOnly,
        Self::SecondRun,
        Self::ClockJumps,
        Self::TooMuchMemory,
    ];

    pub fn describe(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL at random moments",
            Self::Interrupt => "SIGINT at a random moment",
            Self::Terminate => "SIGTERM at a random moment",
            Self::TornRecords => "torn last lines after SIGKILL",
            Self::LostRecords => "records shorter than the newest checkpoint",
            Self::CutCheckpoint => "newest checkpoint cut at a random byte",
            Self::FlippedBit => "newest checkpoint with a random bit flipped",
            Self::FileTooLarge => "write fails at a file size (RLIMIT_FSIZE)",
            Self::FullDisk => "full disk (tmpfs)",
            Self::ReadOnly => "folder turned read-only",
            Self::SecondRun => "a second run in the folder",
            Self::ClockJumps => "clocks that jump by days, both ways",
            Self::TooMuchMemory => "more memory asked for than there is",
        }
    }

    /// Lets it happen to a run at a random moment, and goes on with the run to its end.
    pub fn strike(self, rng: &mut ChaCha8Rng) -> Outcome {
        match self {
            Self::Kill => killed(rng, "KILL"),
            Self::Interrupt => killed(rng, "INT"),
            Self::Terminate => killed(rng, "TERM"),
            Self::TornRecords => torn(rng),
            Self::LostRecords => lost(rng),
            Self::CutCheckpoint | Self::FlippedBit => damaged(self, rng),
            Self::FileTooLarge => too_large(rng),
            Self::FullDisk => full_disk(rng),
            Self::ReadOnly => read_only(),
            Self::SecondRun => second_run(),
            Self::ClockJumps => clock_jumps(rng),
            Self::TooMuchMemory => too_much_memory(),
        }
    }
}

/// One signal at a random moment, and for half of the runs another one while they go on.
fn killed(rng: &mut ChaCha8Rng, name: &str) -> Outcome {
    let place = Place::new();
    let mut struck = Vec::new();
    for i in 0..rng.random_range(1..=2) {
        let resumed = i > 0;
        let mut child = place.start(if resumed { &["--resume"] } else { &[] });
        Moment::draw(rng).wait(&mut child, &place);
        if child.try_wait().unwrap().is_none() {
            signal(&child, name);
        }
        let output = child.wait_with_output().unwrap();
        if said(&output).contains("error: ") && !said(&output).contains("ended by SIG") {
            return Outcome::lost(said(&output));
        }
        if output.status.signal() == Some(9) {
            struck.push(Phase::of(&place, resumed, &said(&output)));
        }
    }
    Outcome { struck, ..Outcome::of(&place, &place.command(&["--resume"]).output().unwrap()) }
}

fn torn(rng: &mut ChaCha8Rng) -> Outcome {
    let place = interrupted_run().copy();
    for name in ["metrics", "probes", "gauge", "answers", "alarms"] {
        let path = place.run().join(format!("{name}.jsonl"));
        let whole = fs::read(&path).unwrap();
        let line = whole.split_inclusive(|byte| *byte == b'\n').next_back().unwrap();
        // Within a letter of several bytes, too.
        let rows = [line, &line[..rng.random_range(1..line.len())]].concat();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&rows).unwrap();
    }
    let report = Command::new(env!("CARGO_BIN_EXE_ldyn")).arg("report").arg(place.run()).output().unwrap();
    if !report.status.success() {
        return Outcome::lost(format!("no report of torn records: {}", said(&report)));
    }
    Outcome::of(&place, &place.command(&["--resume"]).output().unwrap())
}

/// A record file that lost what was written last, as a power cut may leave it.
fn lost(rng: &mut ChaCha8Rng) -> Outcome {
    let place = interrupted_run().copy();
    let [before, newest] = [0, 1].map(|i| place.state(i).lengths);
    let name = ["metrics.jsonl", "probes.jsonl"][rng.random_range(0..2)];
    let length = rng.random_range(before[name]..newest[name]);
    OpenOptions::new().write(true).open(place.run().join(name)).unwrap().set_len(length).unwrap();
    let output = place.command(&["--resume"]).output().unwrap();
    if !said(&output).contains("does not fit the records") {
        return Outcome::lost(format!("{name} was cut, and nothing was said: {}", said(&output)));
    }
    Outcome::of(&place, &output)
}

fn damaged(fault: Fault, rng: &mut ChaCha8Rng) -> Outcome {
    let place = interrupted_run().copy();
    let newest = place.checkpoints().pop().unwrap();
    let name = ["state.json", "tensors.safetensors", "SHA256SUMS"][rng.random_range(0..3)];
    let path = newest.join(name);
    let mut bytes = fs::read(&path).unwrap();
    let at = rng.random_range(0..bytes.len());
    match fault {
        Fault::CutCheckpoint => bytes.truncate(at),
        _ => bytes[at] ^= 1 << rng.random_range(0..8),
    }
    fs::write(&path, bytes).unwrap();
    let output = place.command(&["--resume"]).output().unwrap();
    let told = ["warning: checkpoint", "cut or damaged", "trying the one before"];
    let named =
        name == "SHA256SUMS" || said(&output).contains(&format!("{name} is not as SHA256SUMS has it"));
    if !(named && told.iter().all(|words| said(&output).contains(words))) {
        return Outcome::lost(format!("damage to {name} was not told of: {}", said(&output)));
    }
    Outcome::of(&place, &output)
}

/// A limit on the size of files that a run meets somewhere: in records, in a checkpoint or in a model.
fn too_large(rng: &mut ChaCha8Rng) -> Outcome {
    let place = Place::new();
    let weights = fs::metadata(whole_run().0.run().join("checkpoints/03-dpo-end/tensors.safetensors"));
    // Blocks are of 512 bytes, or of 1024 in some shells.
    let blocks = rng.random_range(8..weights.unwrap().len() / 1024);
    let at_ends: [&str; 2] = ["--set", "checkpoints.save_steps=0"];
    let whole = place.command(if rng.random() { &at_ends } else { &[] });
    let mut limited = Command::new("sh");
    // The signal of the limit ends a process, unless it is ignored: then writes fail.
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks} || exit 99; exec \"$@\""), "sh"]);
    limited.arg(whole.get_program()).args(whole.get_args()).current_dir(place.path());
    let output = limited.output().unwrap();
    match output.status.code() {
        Some(99) => return Outcome::skipped("this shell sets no limit on file sizes"),
        Some(1) if said(&output).contains("File too large") && !said(&output).contains("panicked") => {}
        other => return Outcome::lost(format!("{blocks} blocks: ended with {other:?}: {}", said(&output))),
    }
    Outcome::of(&place, &place.command(&["--resume"]).output().unwrap())
}

/// A small file system that fills up; it is made larger before the run goes on.
fn full_disk(rng: &mut ChaCha8Rng) -> Outcome {
    let place = Place::new();
    let mount = |options: &str| {
        Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place.path()).output()
    };
    let kib = rng.random_range(64..2048);
    if !mount(&format!("size={kib}k")).is_ok_and(|output| output.status.success()) {
        return Outcome::skipped("no file system can be mounted here (needs root)");
    }
    let output = place.command(&[]).output().unwrap();
    let full = output.status.code() == Some(1) && said(&output).contains("No space left on device");
    let outcome = if full {
        assert!(mount("remount,size=1g").unwrap().status.success());
        Outcome::of(&place, &place.command(&["--resume"]).output().unwrap())
    } else {
        Outcome::lost(format!("{kib} KiB: ended with {}: {}", output.status, said(&output)))
    };
    assert!(Command::new("umount").arg(place.path()).status().unwrap().success());
    outcome
}

fn read_only() -> Outcome {
    let place = interrupted_run().copy();
    let allow = |writing: bool| {
        for folder in [place.run(), place.run().join("checkpoints")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(if writing { 0o755 } else { 0o555 }))
                .unwrap();
        }
    };
    let mut command = place.command(&["--resume"]);
    // Permissions do not hold for root.
    let nobody = 65534;
    if is_root() {
        let data = base();
        for folder in [place.path(), data] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        command.uid(nobody);
    }
    allow(false);
    let output = command.output();
    allow(true);
    let output = match output {
        Ok(output) => output,
        Err(error) => return Outcome::skipped(format!("cannot run as another user: {error}")),
    };
    let expected = ["cannot write to run", "Permission denied"];
    if output.status.code() != Some(1) || !expected.iter().all(|word| said(&output).contains(word)) {
        return Outcome::lost(format!("ended with {}: {}", output.status, said(&output)));
    }
    Outcome::of(&place, &place.command(&["--resume"]).output().unwrap())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

fn second_run() -> Outcome {
    let place = Place::new();
    let mut first = place.start(&[]);
    if !wait_until(&mut first, || place.run().join("metrics.jsonl").exists()) {
        return Outcome::lost("the first run ended before the second began");
    }
    // However long the second takes to start, the first is there.
    signal(&first, "STOP");
    let second = place.command(&["--resume"]).output().unwrap();
    let fresh = place.command(&[]).output().unwrap();
    signal(&first, "CONT");
    let first = first.wait_with_output().unwrap();
    for (output, word) in [(&second, "another run is writing to run"), (&fresh, "run already")] {
        if output.status.code() != Some(1) || !said(output).contains(word) {
            return Outcome::lost(format!("a second run ended with {}: {}", output.status, said(output)));
        }
    }
    Outcome::of(&place, &first)
}

/// Wall clock and monotonic clock jump while a run goes on, through libfaketime.
fn clock_jumps(rng: &mut ChaCha8Rng) -> Outcome {
    let library = Command::new("faketime").args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).output();
    let Ok(library) = library else { return Outcome::skipped("there is no `faketime` here") };
    let place = Place::new();
    let clock = place.path().join("clock");
    let set = |days: i32| {
        let next = place.path().join("next");
        fs::write(&next, format!("{days:+}d\n")).unwrap();
        fs::rename(next, &clock).unwrap();
    };
    set(0);
    let mut command = place.command(&[]);
    command.env("LD_PRELOAD", String::from_utf8(library.stdout).unwrap().trim());
    command.env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
    let mut child = command.spawn().unwrap();
    let mut jumps = 0;
    while child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(20));
        set(rng.random_range(-1000..1000));
        jumps += 1;
    }
    let output = child.wait_with_output().unwrap();
    if output.status.success() && jumps < 3 {
        return Outcome::lost("the run was over before the clock had jumped");
    }
    Outcome::of(&place, &output)
}

/// A model of a hundred billion weights: refused with the numbers, and nothing is written.
fn too_much_memory() -> Outcome {
    let place = Place::new();
    let shape = fs::read_to_string(base().join("shape/config.json")).unwrap();
    let large = shape.replace("\"hidden_size\": 32", "\"hidden_size\": 16384");
    let large = large.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 32");
    assert!(large != shape);
    let config = place.path().join("large.json");
    fs::write(&config, large.replace("\"intermediate_size\": 64", "\"intermediate_size\": 65536")).unwrap();
    let [config, tokenizer] = [("config", config), ("tokenizer", base().join("shape"))]
        .map(|(key, path)| format!("model.{key}={}", path.display()));
    let output = place.command(&["--set", &config, "--set", &tokenizer]).output().unwrap();
    let expected = ["needs about", "GiB of memory", "are free", "memory_check"];
    if output.status.code() != Some(1)
        || !expected.iter().all(|words| said(&output).contains(words))
        || place.run().exists()
    {
        return Outcome::lost(format!("ended with {}: {}", output.status, said(&output)));
    }
    Outcome::of(&place, &place.command(&[]).output().unwrap())
}
