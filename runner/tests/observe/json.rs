//! Progress as JSON on standard output.

use super::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The objects on standard output, a line each, and nothing else.
fn events(output: &Output) -> Vec<Value> {
    let said = text(&output.stdout);
    let objects = said.lines().map(|line| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(object["event"].is_string(), "{line}");
        object
    });
    objects.collect()
}

fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

/// An event without these fields.
fn without(event: &Value, fields: &[&str]) -> Value {
    let mut event = event.clone();
    for field in ["event"].iter().chain(fields) {
        event.as_object_mut().unwrap().remove(*field).unwrap_or_else(|| panic!("no {field}"));
    }
    event
}

#[test]
fn every_line_is_an_object_and_says_what_the_records_say() {
    let place = Place::new();
    let output = place.succeeds(&["run", "STUDY", "--json"]);
    assert_eq!(text(&output.stderr), "");
    let events = events(&output);
    let run = place.run();

    let begun = of(&events, "run");
    assert_eq!((begun.len(), &begun[0]["stages"]), (1, &json!(["sft", "dpo"])));
    assert_eq!((&begun[0]["checkpoint"], &begun[0]["threads"]), (&Value::Null, &json!(2)));
    let steps = of(&events, "step");
    let rows_of_steps: Vec<Value> =
        steps.iter().map(|step| without(step, &["steps", "steps_per_second", "eta_seconds"])).collect();
    assert_eq!(rows_of_steps, rows(&run, "metrics.jsonl"));
    for (i, step) in steps.iter().enumerate() {
        assert_eq!((&step["steps"], &step["step"]), (&json!(6), &json!(i % 6 + 1)));
        assert!(step["steps_per_second"].as_f64().unwrap() > 0.0);
        let left = 5 - i % 6;
        let eta = left as f64 / step["steps_per_second"].as_f64().unwrap();
        assert!((step["eta_seconds"].as_f64().unwrap() - eta).abs() < 1e-9);
    }
    let alarms: Vec<Value> = of(&events, "alarm").into_iter().map(|alarm| without(alarm, &[])).collect();
    assert_eq!(alarms, rows(&run, "alarms.jsonl"));
    assert!(!alarms.is_empty());

    let mut sums: BTreeMap<(String, u64), Vec<f64>> = BTreeMap::new();
    for row in rows(&run, "probes.jsonl").iter().filter(|row| row["kind"] == "rejected") {
        let at = (row["stage"].as_str().unwrap().to_owned(), row["step"].as_u64().unwrap());
        sums.entry(at).or_default().push(row["logp"].as_f64().unwrap());
    }
    let probes = of(&events, "probe");
    assert_eq!(probes.len(), sums.len());
    for probe in probes {
        let at = (probe["stage"].as_str().unwrap().to_owned(), probe["step"].as_u64().unwrap());
        let mean = sums[&at].iter().sum::<f64>() / sums[&at].len() as f64;
        assert!((probe["logp"]["rejected"].as_f64().unwrap() - mean).abs() < 1e-9, "{probe}");
        assert_eq!((&probe["rows"], probe["logp"].as_object().unwrap().len()), (&json!(12), 2));
    }

    let moments: Vec<(&Value, &Value)> =
        of(&events, "checkpoint").into_iter().map(|made| (&made["stage"], &made["step"])).collect();
    let [two, four, over] = [json!(2), json!(4), Value::Null];
    let [sft, dpo] = [json!("sft"), json!("dpo")];
    assert_eq!(
        moments,
        [(&sft, &two), (&sft, &four), (&sft, &over), (&dpo, &two), (&dpo, &four), (&dpo, &over)]
    );
    let last = of(&events, "checkpoint")[5];
    assert!(place.0.path().join(last["folder"].as_str().unwrap()).join("state.json").exists());
    assert!(last["bytes"].as_u64().unwrap() > 1 << 20);

    let stages: Vec<&Value> = of(&events, "stage").into_iter().map(|stage| &stage["examples"]).collect();
    assert_eq!(stages, [12, 12]);
    let ended = of(&events, "stage_end");
    assert_eq!((ended.len(), &ended[1]["finished"], &ended[1]["step"]), (2, &json!(true), &json!(6)));
    let report = of(&events, "report")[0];
    assert!(place.0.path().join(report["json"].as_str().unwrap()).exists());
    assert_eq!(events.last(), Some(&json!({"event": "end", "exit_status": 0, "error": null})));

    // In the order in which it happens.
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let at = |name: &str| names.iter().position(|found| *found == name).unwrap();
    assert!(at("run") < at("stage") && at("stage") < at("probe") && at("probe") < at("step"));
}

#[test]
fn what_goes_wrong_ends_the_stream_with_its_exit_status() {
    let place = Place::new();
    let output = place.command(&["run", "nowhere.toml", "--json"]).output().unwrap();
    let found = events(&output);
    assert_eq!((found.len(), output.status.code()), (1, Some(1)));
    assert_eq!((&found[0]["event"], &found[0]["exit_status"]), (&json!("end"), &json!(1)));
    assert!(found[0]["error"].as_str().unwrap().contains("nowhere.toml"));
    assert!(text(&output.stderr).starts_with("error: cannot read nowhere.toml"));

    let stop = ["--set", "monitor.actions.prediction-off=stop"];
    let output = place.command(&["run", "STUDY", "--json", stop[0], stop[1]]).output().unwrap();
    let found = events(&output);
    let last = found.last().unwrap();
    assert_eq!((output.status.code(), &last["exit_status"]), (Some(4), &json!(4)));
    assert_eq!(of(&found, "stage_end")[0]["stopped_by"], "prediction-off");
    assert_eq!(of(&found, "alarm").last().unwrap()["action"], "stop");
    // A run that goes on says where, and its first step is the next one.
    let place = Place::new();
    place.succeeds(&["run", "STUDY", "--set", "checkpoints.save_total_limit=0"]);
    let resume = "--resume=run/checkpoints/02-dpo-000004";
    let found = events(&place.succeeds(&[
        "run",
        "STUDY",
        "--json",
        resume,
        "--set",
        "checkpoints.save_total_limit=0",
    ]));
    assert_eq!(of(&found, "run")[0]["checkpoint"], "02-dpo-000004");
    assert_eq!(of(&found, "stage")[0]["step"], 4);
    let steps: Vec<&Value> = of(&found, "step").into_iter().map(|step| &step["step"]).collect();
    assert_eq!(steps, [5, 6]);
}

#[test]
fn events_on_standard_error_leave_the_stream_alone() {
    let place = Place::new();
    let output = place.succeeds(&["-vvv", "--quiet", "run", "STUDY", "--json"]);
    assert_eq!(of(&events(&output), "step").len(), STEPS);
    assert!(text(&output.stderr).contains("TRACE"));
    // A reader that has gone does not end the run.
    let place = Place::new();
    let mut command = place.command(&["run", "STUDY", "--json"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert!(place.run().join("report.html").exists());
}

#[test]
fn a_grid_says_which_run_it_is_about_and_what_it_would_run() {
    let place = Place::new();
    let study = base().join("study.toml");
    let grid = format!(
        "title = 'two'\noutput = 'grid'\nstudy = '{}'\nseeds = [1]\nset = ['stages.1.max_steps=1', 'stages.0.max_steps=1']\n\
         [[arms]]\nname = 'a'\n[[arms]]\nname = 'b'\nset = ['stages.1.beta=0.2']\n",
        study.display()
    );
    fs::write(place.0.path().join("grid.toml"), grid).unwrap();
    let planned = place.succeeds(&["study", "grid.toml", "--dry-run", "--json"]);
    let planned: Value = serde_json::from_str(&text(&planned.stdout)).unwrap();
    let runs = planned["runs"].as_array().unwrap();
    let named: Vec<_> = runs.iter().map(|run| (&run["arm"], &run["state"], &run["steps"])).collect();
    assert_eq!(
        named,
        [(&json!("a"), &json!("to run"), &json!(2)), (&json!("b"), &json!("to run"), &json!(2))]
    );
    assert!(runs[0]["memory"].as_u64().unwrap() > 1 << 20 && runs[0]["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!((&planned["unread"], &runs[1]["stages"]), (&Value::Null, &json!(["sft", "dpo"])));

    let found = events(&place.succeeds(&["study", "grid.toml", "--json"]));
    let cells = of(&found, "cell");
    let named: Vec<_> = cells.iter().map(|cell| (&cell["arm"], &cell["number"], &cell["done"])).collect();
    assert_eq!(named, [(&json!("a"), &json!(1), &json!(false)), (&json!("b"), &json!(2), &json!(false))]);
    assert_eq!(of(&found, "step").len(), 4);
    let html = of(&found, "comparison")[0]["html"].as_str().unwrap();
    assert!(place.0.path().join(html).exists());
    let found = events(&place.succeeds(&["study", "grid.toml", "--json"]));
    assert!(of(&found, "cell").iter().all(|cell| cell["done"] == true) && of(&found, "step").is_empty());
}

#[test]
fn verbs_that_print_tables_print_json_too() {
    let place = Place::new();
    let [model, data] = ["base", "train.jsonl"].map(|name| base().join(name).display().to_string());
    let printed = |arguments: &[&str]| -> Value {
        let output = place.succeeds(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output.stdout)))
    };
    let short = ["--set", "data.max_length=64", "--set", "data.max_prompt_length=32"];
    let with = |arguments: &[&'static str]| {
        let common = ["--model", &model, "--data", &data, short[0], short[1], short[2], short[3]];
        let all: Vec<&str> = arguments.iter().copied().chain(common).collect();
        printed(&all)
    };
    let found = with(&["decompose", "--halvings", "0", "--kinds", "chosen,rejected", "--json"]);
    assert_eq!(found["responses"].as_array().unwrap().len(), 2, "{found}");
    let kernel = with(&["kernel", "--updates", "1", "--prompts", "2", "--probes", "1", "--json"]);
    let means = kernel["models"][0]["means"].as_array().unwrap();
    let chosen: Vec<_> =
        means.iter().filter(|of| of["kind"] == "chosen").map(|of| &of["own_prompt"]).collect();
    assert_eq!(chosen, [true, false]);
    assert!(means.iter().all(|of| of["k_norm"].as_f64().unwrap() > 0.0));
    assert_eq!(kernel["stability"], json!([]));

    let out = ["triage", "--limit", "8", "--out", "t.jsonl", "--json"];
    let triage = with(&[&out[..], &["--check-steps", "1"]].concat());
    let ranked = triage["ranking"].as_array().unwrap();
    let mut rows = rows(place.0.path(), "t.jsonl");
    rows.sort_by(|a, b| a["data_chosen"].as_f64().unwrap().total_cmp(&b["data_chosen"].as_f64().unwrap()));
    assert_eq!(*ranked, rows.iter().map(|row| row["example"].clone()).collect::<Vec<_>>());
    assert_eq!((&triage["pairs"], &triage["check"]["pairs"]), (&json!(4), &json!(4)));
    assert_eq!(triage["check"]["scores"].as_array().unwrap().len(), 6);
    assert!(triage["check"]["fifths"][0]["measured"].is_f64());

    place.succeeds(&["run", "STUDY"]);
    place.succeeds(&["export", "run", "--reference-log"]);
    let log = "run/dpo-prob_train_metrics.json";
    let compared = printed(&["import-curves", log, "--run", "run", "--every-examples", "12", "--json"]);
    assert_eq!(compared["arms"].as_array().unwrap().len(), 2, "{compared}");

    let checks = printed(&["selftest", "--json"]);
    assert!(checks.as_array().unwrap().len() > 20);
    assert!(
        checks.as_array().unwrap().iter().all(|check| check["passed"] == true && check["error"].is_f64())
    );
}
