//! A number that goes wrong ends a run in the step in which it appears, with a checkpoint of the step before.

use crate::tiny::{Place, differing_rows, run_with_all_checkpoints, said};
use std::fs;
use std::path::Path;

/// Rates at which the next step leaves weights of 1e30, and the one after it no finite log-probability.
const TOO_LARGE: &str = "1e30";

/// The run of `from`, continued from a checkpoint with another rate until it ends with exit status 4.
fn diverging(from: &Place, checkpoint: &str, stage: &str, rate: &str, further: &[&str]) -> (Place, String) {
    let place = from.copy();
    let (resume, rate) =
        (format!("--resume=run/checkpoints/{checkpoint}"), format!("stages.{stage}.learning_rate={rate}"));
    let output = place.command(&[&[&resume, "--set", &rate][..], further].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    (place, said(&output))
}

/// A checkpoint's tensors, and its state without what wall clocks and cadences decide.
fn content(checkpoint: &Path) -> (Vec<u8>, serde_json::Value) {
    let tensors = fs::read(checkpoint.join("tensors.safetensors")).unwrap();
    let text = fs::read_to_string(checkpoint.join("state.json")).unwrap();
    let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
    crate::tiny::without_seconds(&mut state);
    (tensors, state)
}

#[test]
fn the_step_before_is_kept_whole_and_can_be_gone_on_from_with_another_rate() {
    // SFT in steps of two passes; DPO, with a momentum.
    for (stage, before, last) in
        [("sft", "02-sft-000006", "02-sft-000007"), ("dpo", "03-dpo-000012", "03-dpo-000013")]
    {
        let all = run_with_all_checkpoints();
        // Once the fault alone writes a checkpoint, once every step does.
        let [(place, said), (regular, _)] = ["0", "1"].map(|every| {
            let every = format!("checkpoints.save_steps={every}");
            diverging(
                all,
                before,
                stage,
                TOO_LARGE,
                &["--set", &every, "--set", "checkpoints.save_total_limit=1"],
            )
        });
        let step: usize = last[last.len() - 6..].parse().unwrap();
        let alarms = fs::read_to_string(place.run().join("alarms.jsonl")).unwrap();
        let alarm: serde_json::Value = serde_json::from_str(alarms.lines().last().unwrap()).unwrap();
        assert_eq!((&alarm["rule"], &alarm["step"]), (&"not-finite".into(), &step.into()));
        let what = alarm["numbers"][0]["what"].as_str().unwrap();
        for part in [
            "log π is not finite in",
            "all weights are finite, the largest, ",
            "the batch is examples ",
            "train.jsonl",
        ] {
            assert!(what.contains(part), "`{part}` not in: {what}");
        }
        let named = format!("--resume=run/checkpoints/{last} --set stages.{stage}.learning_rate=RATE");
        assert!(said.contains(&named), "{said}");
        let [ours, theirs] = [&place, &regular].map(|place| place.run().join("checkpoints").join(last));
        assert!(content(&ours) == content(&theirs), "{last}");

        // A step that is too large by itself leaves the checkpoint that it began at, byte for byte.
        let (place, said) = diverging(all, before, stage, "1e39", &[]);
        let [ours, theirs] = [&place, all].map(|place| place.run().join("checkpoints").join(before));
        assert_eq!(content(&ours).0, content(&theirs).0);
        assert!(said.contains(&format!("--resume=run/checkpoints/{before}")), "{said}");

        // The rate changes only from a checkpoint that is named; with the old one, all goes on as it would have.
        let tenth = format!("stages.{stage}.learning_rate=1e-4");
        let resume = format!("--resume=run/checkpoints/{before}");
        let copy = place.copy();
        copy.fails(
            &["--resume", "--set", &tenth],
            &["begun with another rate", "name the checkpoint from which on it changes"],
        );
        copy.succeeds(&[&resume, "--set", &tenth]);
        let manifest = ldyn::record::read_manifest(&copy.run()).unwrap();
        let note = format!("continued from {before} with another rate: stages.");
        assert!(
            manifest.notes.iter().any(|n| n.starts_with(&note) && n.ends_with("is 0.0001")),
            "{:?}",
            manifest.notes
        );
        assert!(differing_rows(&copy) > 0);
        place.succeeds(&[&resume]);
        assert_eq!(differing_rows(&place), 0, "{stage}");
    }
}

#[test]
fn rates_of_steps_that_are_done_and_other_keys_stay_as_they_are() {
    let place = run_with_all_checkpoints().copy();
    let resume = "--resume=run/checkpoints/03-dpo-000012";
    place.fails(
        &[resume, "--set", "stages.sft.learning_rate=1e-4"],
        &["begun as another run", "stages.1.learning_rate was 0.001, is 0.0001"],
    );
    place.fails(&[resume, "--set", "stages.dpo.beta=0.1"], &["begun as another run", "stages.2.beta"]);
}

#[test]
fn a_checkpoint_with_a_number_that_is_not_finite_is_refused_by_name() {
    let place = crate::tiny::interrupted_run().copy();
    let newest = place.checkpoints().pop().unwrap();
    let path = newest.join("tensors.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    let name = "optimizer.second.embed_out.weight";
    let planted = (&tensors[name] / 0.0).unwrap();
    tensors.insert(name.into(), planted);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let sums = std::process::Command::new("sha256sum")
        .args(["state.json", "tensors.safetensors"])
        .current_dir(&newest)
        .output()
        .unwrap();
    fs::write(newest.join("SHA256SUMS"), sums.stdout).unwrap();
    let said = place.succeeds(&["--resume"]);
    assert!(
        said.contains(&format!("`{name}` holds numbers that are not finite"))
            && said.contains("trying the one before"),
        "{said}"
    );
    assert_eq!(crate::tiny::differing_bytes(&place), 0);
}
