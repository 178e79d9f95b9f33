//! A grid from its file to its comparison.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn ldyn(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ldyn")).current_dir(folder).args(args).output().unwrap()
}

fn succeeds(args: &[&str], folder: &Path) -> String {
    let output = ldyn(args, folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_grid_runs_what_is_missing_and_compares() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // The demo leaves a study with its base model and data; all runs are made short.
    let mut short = vec!["--quiet", "demo", "--output", "ldyn-demo"];
    let settings = [
        "probe.prompts=6",
        "probe.kinds=[\"chosen\", \"rejected\"]",
        "probe.initial_answer_tokens=0",
        "monitor.enabled=false",
        "stages.sft.max_steps=2",
        "stages.dpo.max_steps=2",
        "stages.dpo.warmup_steps=0",
    ];
    settings.iter().for_each(|s| short.extend(["--set", s]));
    succeeds(&short, at);
    let grid = format!(
        "title = 'Two rates'\noutput = 'grid'\nstudy = 'ldyn-demo/study.toml'\nseeds = [1, 2]\nset = {settings:?}\n\
         [[arms]]\nname = 'plain'\n\
         [[arms]]\nname = 'fast'\nset = ['stages.dpo.learning_rate=2e-4']\n"
    );
    fs::write(at.join("grid.toml"), grid).unwrap();

    let plan = succeeds(&["study", "grid.toml", "--dry-run"], at);
    assert_eq!(plan.matches("to run").count(), 4, "{plan}");
    assert!(!at.join("grid").exists());

    // The committed grids are plans too, and the committed studies are read.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = [0, 0];
    for entry in fs::read_dir(root.join("examples/configs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let header =
            ["# Needs ", "# Run ", "# Expect ", "# Takes ", path.file_name().unwrap().to_str().unwrap()];
        assert!(header.iter().all(|word| text.contains(word)), "{} lacks one of {header:?}", path.display());
        let is_grid = text.contains("[[arms]]");
        files[usize::from(is_grid)] += 1;
        if is_grid {
            let folder = if text.contains("ldyn-demo/") { at } else { &root };
            let plan =
                succeeds(&["study", path.to_str().unwrap(), "--dry-run", "--set", "data.train=none"], folder);
            let grid = ldyn::config::load_grid(&path, &[]).unwrap();
            let runs = plan.lines().filter(|l| l.contains("seed-")).count();
            assert_eq!(runs, grid.arms.len() * grid.seeds.len(), "{plan}");
        } else {
            ldyn::config::load(&path, &[]).unwrap();
        }
    }
    assert!(files.iter().all(|n| *n >= 3), "{files:?}");

    let text = succeeds(&["--quiet", "study", "grid.toml"], at);
    assert!(text.contains("plain") && text.contains("fast") && text.contains("Stage dpo"), "{text}");
    let read = |name: &str| fs::read_to_string(at.join("grid").join(name)).unwrap();
    let found: serde_json::Value = serde_json::from_str(&read("comparison.json")).unwrap();
    assert_eq!(found["arms"][1]["seeds"], serde_json::json!([1, 2]));
    let margin = &found["rows"].as_array().unwrap().iter().find(|r| r["stage"] == "dpo").unwrap()["arms"];
    assert_eq!((&margin[0]["value"]["n"], &margin[1]["difference"]["n"]), (&2.into(), &2.into()));
    // Ten times the rate moves the margin further on every seed.
    assert!(margin[1]["difference"]["mean"].as_f64().unwrap() > 0.0, "{margin}");

    // What is done stays as it is; what was removed is run again and comes out the same.
    let metrics = |run: &str| read(&format!("{run}/metrics.jsonl"));
    let without_time = |text: String| -> Vec<serde_json::Value> {
        let row = |line: &str| {
            let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
            row.as_object_mut().unwrap().remove("seconds");
            row
        };
        text.lines().map(row).collect()
    };
    let (kept, again) = (metrics("plain/seed-1"), metrics("fast/seed-2"));
    fs::remove_dir_all(at.join("grid/fast/seed-2")).unwrap();
    assert_eq!(succeeds(&["study", "grid.toml", "--dry-run"], at).matches("to run").count(), 1);
    succeeds(&["--quiet", "study", "grid.toml"], at);
    assert_eq!(metrics("plain/seed-1"), kept);
    assert_eq!(without_time(metrics("fast/seed-2")), without_time(again));

    // A run that was cut off goes on from its checkpoint.
    let (cut, whole) = (at.join("grid/fast/seed-1"), metrics("fast/seed-1"));
    fs::remove_dir_all(cut.join("checkpoints/02-dpo-end")).unwrap();
    let after_sft = cut.join("checkpoints/01-sft-end");
    let state = ldyn::checkpoint::load(&after_sft, &candle_core::Device::Cpu).unwrap().state;
    ldyn::record::write_manifest(&cut, &state.manifest).unwrap();
    assert_eq!(succeeds(&["study", "grid.toml", "--dry-run"], at).matches("begun").count(), 1);
    succeeds(&["--quiet", "study", "grid.toml"], at);
    assert_eq!(without_time(metrics("fast/seed-1")), without_time(whole));

    // Another configuration in the same folders is refused, and nothing is touched.
    let output = ldyn(&["study", "grid.toml", "--set", "stages.dpo.beta=0.7"], at);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("another configuration"), "{error}");
    assert_eq!(metrics("plain/seed-1"), kept);

    // Runs side by side without a grid.
    let runs = ["grid/plain/seed-1", "grid/fast/seed-1"];
    let text = succeeds(&["report", runs[0], runs[1], "--html", "two.html", "--figures", "two"], at);
    assert!(text.contains(runs[1]));
    for file in ["two.html", "two.json", "two.csv", "two/curves.csv", "two/captions.txt"] {
        assert!(at.join(file).exists(), "{file}");
    }
    // Each of them alone.
    succeeds(&["report", runs[0], "--figures", "one"], at);
    let figures =
        fs::read_dir(at.join("one")).unwrap().filter_map(|f| f.unwrap().file_name().into_string().ok());
    assert!(figures.filter(|name| name.ends_with(".svg")).count() > 10);
}
