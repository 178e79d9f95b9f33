//! Runs survive: killed, interrupted, with damaged files or a full disk, they go on to the same bytes.
//!
//! `cargo test -p ldyn --test resume --release -- --ignored --nocapture` tries every fault many times and
//! prints a table: see `every_fault_many_times`.
#![cfg(unix)]

mod faults;
mod not_finite;
mod phase;
mod tiny;

use faults::Fault;
use phase::Phase;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tiny::{
    Place, differing_between, differing_bytes, differing_rows, interrupted_run, run_with_all_checkpoints,
    said, signal, wait_for, wait_until, whole_run,
};

#[test]
fn a_run_that_is_killed_goes_on_to_the_same_bytes() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..6 {
        let outcome = Fault::Kill.strike(&mut rng);
        assert!(outcome.survived(), "{outcome:?}");
    }
}

#[test]
fn signals_leave_a_checkpoint_and_the_shells_exit_status() {
    for (name, status) in [("INT", 130), ("TERM", 143)] {
        let place = Place::new();
        // On a busy machine the run may be over before the signal comes.
        let mut tries = (0..5).map(|_| {
            let _ = fs::remove_dir_all(place.run());
            let mut child = place.start(&["--set", "checkpoints.save_steps=0"]);
            let alarms = place.run().join("alarms.jsonl");
            let alarmed = || fs::read_to_string(&alarms).is_ok_and(|rows| rows.contains("\"stage\":\"dpo\""));
            assert!(wait_until(&mut child, alarmed));
            signal(&child, name);
            child.wait_with_output().unwrap()
        });
        let output = tries.find(|output| !output.status.success()).expect("a signal in time");
        let said = said(&output);
        assert_eq!(output.status.code(), Some(status), "{said}");
        let newest = place.checkpoints().pop().unwrap();
        assert!(said.contains(&format!("ended by SIG{name}")) && said.contains("--resume"), "{said}");
        let newest = newest.file_name().unwrap().to_str().unwrap();
        assert!(said.contains(newest) && !newest.ends_with("-end"), "{newest}: {said}");
        place.succeeds(&["--resume"]);
        assert_eq!(differing_bytes(&place), 0);
    }
}

#[test]
fn a_second_signal_ends_a_long_step_at_once() {
    let place = Place::new();
    let endless =
        ["--set", "stages.0.epochs=2000.0", "--set", "stages.0.gradient_accumulation_steps=1000000"];
    let mut child = place.start(&endless);
    assert!(
        wait_until(&mut child, || fs::metadata(place.run().join("probes.jsonl")).is_ok_and(|m| m.len() > 0))
    );
    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "the step is not over");
    signal(&child, "INT");
    let ended = wait_for(&mut child, Duration::from_secs(20));
    child.kill().unwrap();
    assert_eq!(ended.and_then(|status| status.code()), Some(130));
}

#[test]
fn damage_is_seen_and_got_over() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for fault in [Fault::CutCheckpoint, Fault::FlippedBit, Fault::TornRecords, Fault::LostRecords] {
        let outcome = fault.strike(&mut rng);
        assert!(outcome.survived(), "{outcome:?}");
    }
    // Where no checkpoint is good, nothing is thrown away.
    let place = interrupted_run().copy();
    for checkpoint in place.checkpoints() {
        fs::write(checkpoint.join("state.json"), "{}").unwrap();
    }
    let rows = fs::read(place.run().join("probes.jsonl")).unwrap();
    place.fails(&["--resume"], &["no checkpoint in", "can be used"]);
    assert_eq!(fs::read(place.run().join("probes.jsonl")).unwrap(), rows);
    let newest = place.checkpoints().pop().unwrap();
    let named = format!("--resume={}", newest.display());
    let of_the_run = newest.strip_prefix(place.path()).unwrap();
    place.fails(&[&named], &["cut or damaged", of_the_run.to_str().unwrap()]);
}

#[test]
fn every_kind_of_checkpoint_can_be_gone_on_from() {
    // With AdamW; between stages, before the first answers; with a batch's remainder; in a window of the gauge.
    for name in ["01-pretrain-000003", "01-pretrain-end", "02-sft-000006", "03-dpo-000015", "03-dpo-end"] {
        let place = run_with_all_checkpoints().copy();
        let named = format!("--resume=run/checkpoints/{name}");
        assert!(place.succeeds(&[&named]).contains(&format!("resuming from run/checkpoints/{name}")));
        assert_eq!(differing_bytes(&place), 0, "{name}");
    }
    // One of another run is none of this one.
    let other = format!("--resume={}", interrupted_run().checkpoints()[0].display());
    interrupted_run().copy().fails(&[&other], &["is no checkpoint of the run in"]);
}

#[test]
fn stages_end_at_their_peaks_and_the_next_one_goes_on_from_there() {
    let run = run_with_all_checkpoints().run();
    let manifest = ldyn::record::read_manifest(&run).unwrap();
    let rows: Vec<ldyn::record::ProbeRow> = ldyn::record::read_jsonl(&run.join("probes.jsonl")).unwrap();
    let at = |stage: &str, step: usize| -> Vec<(usize, &str, f64)> {
        let here = rows.iter().filter(|r| r.stage.as_deref() == Some(stage) && r.step == Some(step));
        here.map(|r| (r.example, r.kind.as_str(), r.logp)).collect()
    };
    let [peak, early] = [1, 2].map(|stage| manifest.stages[stage].peak.clone().unwrap());
    assert!(manifest.stages.iter().all(|stage| stage.finished), "an early end is an end");
    // SFT took all its steps.
    assert!(peak.step > 0 && peak.step < 9 && !at("sft", 9).is_empty(), "{peak:?}");
    assert!(at("sft", peak.step) == at("dpo", 0) && at("sft", 9) != at("dpo", 0), "{peak:?}");
    // DPO did not.
    let last =
        rows.iter().filter(|r| r.stage.as_deref() == Some("dpo")).filter_map(|r| r.step).max().unwrap();
    assert!(last == early.step + 5 * 3 && last < manifest.stages[2].steps, "{early:?}, {last}");
    let note =
        format!("ended after step {last} of 24, early, with the weights of its peak at step {}", early.step);
    assert!(manifest.stages[2].notes.iter().any(|n| n.contains(&note)), "{:?}", manifest.stages[2].notes);
    let weights = |name: &str| {
        let folder = run.join("checkpoints").join(name);
        let checkpoint = ldyn::checkpoint::load(&folder, &candle_core::Device::Cpu).unwrap();
        let ours = checkpoint.tensors.into_iter().filter(|(name, _)| name.starts_with("model."));
        ours.map(|(name, t)| (name, t.flatten_all().unwrap().to_vec1::<f32>().unwrap())).collect::<Vec<_>>()
    };
    assert!(weights("03-dpo-end") == weights(&format!("03-dpo-{:06}", early.step)));
    assert!(weights("03-dpo-end") != weights("03-dpo-000015"));
    // What resuming is tried on holds a peak that lies behind.
    let position = interrupted_run().state(1).position.unwrap();
    assert!(position.peak.is_some_and(|standing| standing.peak.step < position.course.step));
}

#[test]
fn another_run_is_not_gone_on_with() {
    let place = interrupted_run().copy();
    let set = |assignment| ["--resume", "--set", assignment];
    place.fails(&set("stages.dpo.beta=0.2"), &["stages.2.beta was 0.5, is 0.2"]);
    place.fails(&set("seed=2"), &["seed was 1024, is 2", "start model's weights changed"]);
    let data = place.path().join("other.jsonl");
    let text = fs::read_to_string(tiny::base().join("train.jsonl")).unwrap();
    fs::write(&data, text.replace("the", "tho")).unwrap();
    place.fails(&set(&format!("data.train={}", data.display())), &["the training data changed"]);
    let held_out = fs::read_to_string(tiny::base().join("held_out.jsonl")).unwrap();
    fs::write(&data, held_out.replace("the", "tho")).unwrap();
    // Only `irr_test` has the held-out answers, and this study does not probe it.
    place.fails(
        &["--resume", "--set", "probe.kinds=[]", "--set", &format!("data.held_out={}", data.display())],
        &["probe.kinds was", "probed prompts and responses changed"],
    );
    // Without --resume it is kept as it is.
    let before = fs::read(place.run().join("metrics.jsonl")).unwrap();
    place.fails(&[], &["holds an unfinished run", "--resume", "never overwritten"]);
    assert_eq!(fs::read(place.run().join("metrics.jsonl")).unwrap(), before);
    // What does not decide the numbers may differ.
    let longer = ["--set", "checkpoints.save_total_limit=3", "--set", "checkpoints.save_steps=2"];
    let copy = format!("data.train={}", place.path().join("moved.jsonl").display());
    fs::copy(tiny::base().join("train.jsonl"), place.path().join("moved.jsonl")).unwrap();
    place.succeeds(&[&["--resume", "--set", &copy], &longer[..]].concat());
    assert_eq!(place.checkpoints().len(), 3);
    let same = ["metrics.jsonl", "probes.jsonl"].map(|name| fs::read(place.run().join(name)).unwrap().len());
    assert!(same.iter().all(|n| *n > before.len() / 2));
}

#[test]
fn a_run_of_rounded_products_goes_on_to_the_same_bytes_and_only_in_its_precision() {
    let rounded = ["--set", "precision=bf16", "--set", "checkpoints.save_total_limit=0"];
    let whole = Place::new();
    whole.succeeds(&rounded);
    assert!(differing_rows(&whole) > 0, "nothing was rounded");
    let manifest = ldyn::record::read_manifest(&whole.run()).unwrap();
    assert_eq!(manifest.device, "cpu f32, products of bf16");
    let place = whole.copy();
    let from = ["--resume=run/checkpoints/02-sft-000006"];
    place.fails(&[&from[..], &rounded[2..]].concat(), &["precision was \"bf16\", is \"full\""]);
    place.succeeds(&[&from[..], &rounded].concat());
    assert_eq!(differing_between(&whole, &place), 0);
}

#[test]
fn a_run_that_is_over_stays_as_it_is() {
    let place = whole_run().0.copy();
    place.fails(&[], &["holds a run already", "choose another"]);
    place.succeeds(&["--resume"]);
    assert_eq!(differing_bytes(&place), 0);
    // Without its checkpoints it cannot be told from one that lost them.
    fs::remove_dir_all(place.run().join("checkpoints")).unwrap();
    place.fails(&["--resume"], &["finished stages but no checkpoint"]);
    // Where there is nothing yet, the run starts.
    let place = Place::new();
    assert!(place.succeeds(&["--resume"]).contains("nothing to resume"));
    assert_eq!(differing_bytes(&place), 0);
}

#[test]
fn a_demo_goes_on_with_the_options_that_it_was_begun_with() {
    let place = Place::new();
    let small = [
        "probe.prompts=2",
        "probe.initial_answer_tokens=0",
        "stages.sft.max_steps=1",
        "stages.dpo.max_steps=1",
    ];
    let demo = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ldyn"));
        command.current_dir(place.path()).args(["--quiet", "demo"]).args(arguments);
        let output = small.iter().fold(&mut command, |c, set| c.args(["--set", set])).output().unwrap();
        (output.status.code(), said(&output))
    };
    assert_eq!(demo(&[]).0, Some(0));
    let rows = fs::read(place.path().join("ldyn-demo/run/metrics.jsonl")).unwrap();
    for (arguments, word) in [
        (&[][..], "exists already: give --resume"),
        (&["--resume", "--seed", "2"], "a demo with seed 1 without"),
    ] {
        let (status, said) = demo(arguments);
        assert!(status == Some(1) && said.contains(word), "{said}");
    }
    assert_eq!(demo(&["--resume"]).0, Some(0));
    assert_eq!(fs::read(place.path().join("ldyn-demo/run/metrics.jsonl")).unwrap(), rows);
}

#[test]
fn saved_models_can_be_read_by_whom_other_files_can() {
    let run = whole_run().0.run();
    let mode = |name: &str| fs::metadata(run.join(name)).unwrap().permissions().mode();
    for name in ["sft/model.safetensors", "checkpoints/03-dpo-end/tensors.safetensors"] {
        assert_eq!(mode(name), mode("metrics.jsonl"), "{name}");
    }
}

#[test]
fn of_two_runs_in_one_folder_the_second_ends() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let outcome = Fault::SecondRun.strike(&mut rng);
    assert!(outcome.survived(), "{outcome:?}");
}

#[test]
fn a_full_disk_ends_the_run_and_nothing_is_lost() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let outcome = Fault::FileTooLarge.strike(&mut rng);
    assert!(outcome.survived(), "{outcome:?}");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let outcome = Fault::ReadOnly.strike(&mut rng);
    assert!(outcome.survived(), "{outcome:?}");
}

#[test]
fn a_seed_and_a_number_of_threads_decide_every_byte() {
    for threads in [1, 2] {
        let [a, b] = [(); 2].map(|()| {
            let place = Place::new();
            let output = place.command_by(threads, &[]).output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            place
        });
        assert_eq!(tiny::differing_between(&a, &b), 0, "{threads} threads");
        // Threads share rows; they do not decide in which order numbers are added.
        assert_eq!(tiny::differing_rows(&a), 0, "{threads} threads, against 2");
    }
}

#[test]
fn tokens_of_the_environment_are_nowhere_in_a_run() {
    let place = Place::new();
    let output = place.command(&[]).output().unwrap();
    let mut written = tiny::all_files(&place);
    written.insert("standard error".into(), output.stderr);
    written.insert("standard output".into(), output.stdout);
    assert!(written.len() > 15 && written.values().any(|bytes| !bytes.is_empty()));
    for (name, bytes) in written {
        let found = bytes.windows(tiny::TOKEN.len()).any(|window| window == tiny::TOKEN.as_bytes());
        assert!(!found, "{name}");
    }
}

#[test]
fn clocks_that_jump_change_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let outcome = Fault::ClockJumps.strike(&mut rng);
    assert!(outcome.survived(), "{outcome:?}");
}

#[test]
fn what_does_not_fit_into_memory_is_refused_before_it_starts() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let outcome = Fault::TooMuchMemory.strike(&mut rng);
    assert!(outcome.survived(), "{outcome:?}");
}

/// A fault so many times, each with random numbers of its own.
fn strikes(fault: Fault, times: usize, jobs: usize, seed: u64) -> Vec<faults::Outcome> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= times {
                return outcomes;
            }
            outcomes.push(fault.strike(&mut ChaCha8Rng::seed_from_u64((seed << 32) + number as u64)));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// Every fault many times. `LDYN_TIMES` sets how many runs are killed, once or twice each (100); half as many bits are
/// flipped, and the other faults are tried a tenth as often. `LDYN_SEED` decides the moments (100), as far as clocks let
/// it; `LDYN_JOBS` is how many runs go on at a time (1).
#[test]
#[ignore = "takes minutes"]
fn every_fault_many_times() {
    let number = |name: &str, usual| std::env::var(name).map_or(usual, |n| n.parse::<usize>().unwrap());
    let [times, seed, jobs] =
        [("LDYN_TIMES", 100), ("LDYN_SEED", 100), ("LDYN_JOBS", 1)].map(|(name, usual)| number(name, usual));
    let started = Instant::now();
    println!("seed {seed}; a run in one go: {:.1} s", whole_run().1);
    println!("{:45} {:>5} {:>7} {:>9} {:>15}", "kind", "times", "skipped", "runs lost", "bytes differing");
    let mut survived = true;
    for (i, fault) in Fault::ALL.into_iter().enumerate() {
        let times = match fault {
            Fault::Kill => times,
            Fault::FlippedBit => times.div_ceil(2),
            _ => times.div_ceil(10),
        };
        let outcomes = strikes(fault, times, jobs, ((seed << 8) + i) as u64);
        let sum = |of: fn(&faults::Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
        println!(
            "{:45} {:>5} {:>7} {:>9} {:>15}",
            fault.describe(),
            times,
            sum(|o| usize::from(o.skipped.is_some())),
            sum(|o| usize::from(o.lost.is_some())),
            sum(|o| o.differing),
        );
        outcomes.iter().filter(|o| !o.survived()).for_each(|o| println!("  {o:?}"));
        survived &= outcomes.iter().all(faults::Outcome::survived);
        if fault == Fault::Kill {
            let struck: Vec<Phase> = outcomes.iter().flat_map(|o| o.struck.iter().copied()).collect();
            for phase in Phase::ALL {
                let kills = struck.iter().filter(|other| **other == phase).count();
                println!("  kills while {:33} {kills:>5}", format!("{phase:?}").to_lowercase());
                assert!(kills > 0 || times < 50, "no kill fell into {phase:?}");
            }
        }
    }
    println!("{:.0} s in all", started.elapsed().as_secs_f64());
    assert!(survived);
}
