//! Events on standard error.

use super::*;
use std::ffi::OsStr;
use std::process::Stdio;

/// Lines of these levels, which stand behind the time.
fn of_level<'a>(said: &'a str, level: &str) -> Vec<&'a str> {
    let is = |line: &&str| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|time| time.ends_with('Z') && time.contains('T'))
            && words.next() == Some(level)
    };
    said.lines().filter(is).collect()
}

fn logged(said: &str) -> usize {
    ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].iter().map(|level| of_level(said, level).len()).sum()
}

/// The one line with these words.
fn line<'a>(said: &'a str, words: &str) -> &'a str {
    let found: Vec<&str> = said.lines().filter(|line| line.contains(words)).collect();
    assert_eq!(found.len(), 1, "`{words}` in: {said}");
    found[0]
}

/// A run with everything that is logged at `-v`, and its standard error.
fn verbose_run() -> &'static (Place, String) {
    static RUN: OnceLock<(Place, String)> = OnceLock::new();
    RUN.get_or_init(|| {
        let place = Place::new();
        let said = text(&place.succeeds(&["-v", "run", "STUDY"]).stderr);
        (place, said)
    })
}

#[test]
fn without_flags_nothing_is_logged_and_flags_change_nothing_else() {
    let place = Place::new();
    let output = place.succeeds(&["run", "STUDY"]);
    let said = text(&output.stderr);
    assert_eq!(logged(&said), 0, "{said}");
    assert!(said.starts_with("model: ") && said.contains("dpo: 12 examples | log π chosen"), "{said}");
    // With -v the same lines stand among those of the log, and the records are the same.
    let (verbose, more) = verbose_run();
    let plain: Vec<&str> = more.lines().filter(|line| logged(line) == 0).collect();
    assert_eq!(plain, said.lines().collect::<Vec<_>>());
    for name in ["probes.jsonl", "gauge.jsonl", "answers.jsonl", "alarms.jsonl"] {
        assert_eq!(rows(&place.run(), name), rows(&verbose.run(), name), "{name}");
    }
    assert!(!rows(&place.run(), "alarms.jsonl").is_empty());
    // Nor is anything shown with an empty variable, which is none.
    let mut command = place.command(&["check", "STUDY"]);
    command.env("RUST_LOG", "");
    assert_eq!(logged(&text(&succeeded(command).stderr)), 0);
}

#[test]
fn v_tells_what_is_read_planned_done_and_kept() {
    let (place, said) = verbose_run();
    assert_eq!((of_level(said, "DEBUG").len(), of_level(said, "TRACE").len()), (0, 0));
    // Into a pipe go no colours.
    assert!(!said.contains('\u{1b}'));
    assert!(line(said, " begun ").contains("threads=2"));
    assert!(line(said, ": study ").contains("device=\"cpu\" dtype=\"f32\" threads=2"));
    assert!(line(said, "data read").contains("train.jsonl format=Probe records=12 dropped=0 seconds=0"));
    assert!(line(said, "tokenizer read").contains("sha256="));
    assert!(line(said, "model read").contains("gpt_neox"));
    let training = said.lines().find(|line| line.contains("tokenised records=12")).unwrap();
    assert!(training.contains("prompts_cut=") && training.contains("responses_cut="), "{training}");
    assert_eq!(said.matches(" planned stage=").count(), 2);
    assert!(line(said, "planned in all").contains("memory_free="));
    for stage in ["sft", "dpo"] {
        let of = |what: &str| line(said, &format!("stage{{name=\"{stage}\"}}: ldyn::study: {what}"));
        assert!(of("stage begins").contains("steps=6 from_step=0 examples=12 probed=6"));
        assert!(of("stage ends").contains("end=Done step=6 train="));
    }
    assert_eq!(said.matches(": probed step=").count(), rows(&place.run(), "probes.jsonl").len() / 12);
    let alarms = of_level(said, "WARN");
    assert_eq!(alarms.len(), rows(&place.run(), "alarms.jsonl").len());
    assert!(alarms[0].contains("prediction-off"), "{alarms:?}");
    assert!(line(said, "reference log-probabilities computed").contains("pairs=12"));
    assert!(line(said, "model written").contains("run/dpo dtype=F32 bytes="));
    assert!(line(said, "report written").contains("run/report.html"));
    let written = said.lines().filter(|line| line.contains("checkpoint written folder=run/checkpoints/"));
    assert_eq!(written.filter(|line| line.contains(" bytes=") && line.contains(" seconds=")).count(), 6);
    // Two stay.
    assert_eq!(said.matches("checkpoint removed folder=run/checkpoints/").count(), 4);
    assert!(line(said, " ended ").contains("status=0 seconds="));

    // The same pairs under the same model again.
    let again = place.succeeds(&["-v", "run", "STUDY", "--set", "output='again'"]);
    line(&text(&again.stderr), "reference log-probabilities found in the cache");
}

#[test]
fn where_a_run_goes_on_is_told_with_the_rows_that_are_cut() {
    let place = Place::new();
    place.succeeds(&["run", "STUDY", "--set", "checkpoints.save_total_limit=0"]);
    let steps = |stage: &str| {
        let rows = rows(&place.run(), "metrics.jsonl");
        rows.iter().filter(|row| row["stage"] == stage).count()
    };
    assert_eq!((steps("sft"), steps("dpo")), (6, 6));
    let resume = "--resume=run/checkpoints/01-sft-000004";
    let keep = ["--set", "checkpoints.save_total_limit=0"];
    let said = text(&place.succeeds(&["-v", "run", "STUDY", resume, keep[0], keep[1]]).stderr);
    assert!(line(&said, "checkpoint verified").contains("01-sft-000004 bytes="));
    assert!(line(&said, "the run goes on").contains("checkpoint=\"01-sft-000004\""));
    // Two of the first stage and all of the second.
    let cut = line(&said, "records cut file=run/metrics.jsonl");
    assert!(cut.contains("rows=8 "), "{cut}");
    line(&said, "model of a later moment removed folder=run/dpo");
    let removed = said.lines().filter(|line| line.contains("checkpoint removed"));
    assert_eq!(removed.count(), 4);
}

#[test]
fn vv_has_hashes_and_vvv_every_step() {
    let of = |flag: &str| text(&Place::new().succeeds(&["run", "STUDY", flag]).stderr);
    let debug = of("-vv");
    assert!(line(&debug, "ldyn::study: hashes").contains("tokenizer="));
    assert!(line(&debug, "weights file=").contains("model.safetensors"));
    assert_eq!(of_level(&debug, "TRACE").len(), 0);
    let trace = of("-vvv");
    let steps = of_level(&trace, "TRACE");
    assert_eq!(steps.len(), STEPS);
    let last = steps[STEPS - 1];
    for word in ["stage{name=\"dpo\"}", "step=6", "loss=", "margin=", "grad_norm=", "seconds="] {
        assert!(last.contains(word), "{word} in {last}");
    }
    // A stage without a reference has no margin.
    assert!(!steps[0].contains("margin="), "{}", steps[0]);
}

#[test]
fn rust_log_wins_and_a_broken_one_is_told() {
    let place = Place::new();
    let said = |filter: &OsStr, flags: &[&str]| {
        let mut command = place.command(&["check", "STUDY"]);
        command.args(flags).env("RUST_LOG", filter);
        text(&succeeded(command).stderr)
    };
    let only_data = said("ldyn::data=info".as_ref(), &["-vvv"]);
    assert!(
        only_data.contains("ldyn::data::read: data read") && !only_data.contains(" begun "),
        "{only_data}"
    );
    assert_eq!(logged(&said("off".as_ref(), &["-vv"])), 0);
    let broken = said("ldyn=loud".as_ref(), &["-v"]);
    let warning = line(&broken, "warning: ");
    assert!(
        warning.contains("RUST_LOG=\"ldyn=loud\" is no filter") && warning.contains("ldyn=debug"),
        "{warning}"
    );
    // What -v asks for is still shown, and nothing where it asks for nothing.
    assert!(broken.contains(" begun "));
    assert_eq!(logged(&said("ldyn=loud".as_ref(), &[])), 0);
    let bytes = said(OsStr::from_bytes(b"ldyn=\xff"), &[]);
    assert!(line(&bytes, "warning: ").contains("no UTF-8"), "{bytes}");
}

#[test]
fn a_run_goes_on_when_nobody_reads_what_it_tells() {
    for flags in [&[][..], &["-vvv"]] {
        let place = Place::new();
        let mut command = place.command(&["run", "STUDY"]);
        let mut child = command.args(flags).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stderr.take());
        assert!(child.wait().unwrap().success(), "{flags:?}");
        assert!(place.run().join("report.html").exists());
    }
}
