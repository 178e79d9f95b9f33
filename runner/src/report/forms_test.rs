//! The forms of a report, and runs that are not whole.

use super::fixture::{BATCH, Field, Fixture, STEPS};
use super::{Verdict, html, json, load, markdown, summarise, terminal};
use crate::record::{self, Action, AlarmRow, AnswerRow, JsonlWriter, Number, Peak, Rule};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

fn every_form(folder: &Path) -> [String; 4] {
    let summary = summarise(&load(folder).unwrap());
    [html(&summary).unwrap(), markdown(&summary), json(&summary).unwrap(), terminal(&summary)]
}

fn written(fixture: &Fixture) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fixture.write(folder.path());
    folder
}

#[test]
fn the_page_is_self_contained_and_holds_every_section() {
    let page = &every_form(written(&Fixture::new()).path())[0];
    for id in [
        "run",
        "findings",
        "change",
        "levels",
        "margin",
        "greedy",
        "ledger",
        "shape",
        "calibration",
        "training",
        "words",
        "tables",
    ] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "no section {id}");
        assert!(page.contains(&format!("href=\"#{id}\"")), "no link to {id}");
    }
    for outside in ["http:", "https:", "src=", "@import", "url(", "<script", "<link"] {
        let found = page
            .match_indices(outside)
            .filter(|(i, _)| !page[*i..].starts_with("http://www.w3.org/2000/svg"));
        assert_eq!(found.count(), 0, "the page reaches outside: {outside}");
    }
    assert!(!page.contains("NaN") && page.len() < 5_000_000, "{} bytes", page.len());
    assert_eq!(page.matches("<svg").count(), page.matches("role=\"img\"").count());
    assert!(page.contains("mean over the batch; β = 0.1"), "the loss's reduction is missing");
}

#[test]
fn numbers_in_every_form_are_those_of_the_data() {
    let [page, text, data, table] = every_form(written(&Fixture::new()).path());
    // chosen in SFT: −152 → −102, +50 with spread 0.2 over 24 prompts: SE = 10·√(24/23/24) = 2.085.
    for form in [&page, &text, &table] {
        assert!(form.contains("−152.00") && form.contains("−102.00"), "{form}");
        assert!(form.contains("+50.00 ± 2.09"), "{form}");
        // rejected in SFT: up to −121.4 + 15 after 40 of 100 steps.
        assert!(form.contains(&format!("−106.40 @ {}", 40 * BATCH)), "{form}");
    }
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    let curves = data["stages"][0]["curves"].as_array().unwrap();
    let chosen = curves.iter().find(|c| c["quantity"] == "logp" && c["kind"] == "chosen").unwrap();
    assert_eq!(chosen["n"], 24);
    assert_eq!(chosen["points"][10]["examples_seen"], STEPS * BATCH);
    assert!((chosen["points"][10]["change"].as_f64().unwrap() - 50.0).abs() < 1e-9);
    let margin = curves.iter().find(|c| c["quantity"] == "margin_logp").unwrap();
    assert!((margin["points"][0]["mean"].as_f64().unwrap() - (-152.0 + 121.4)).abs() < 1e-9);
    assert_eq!(data["findings"][0]["verdict"], "seen");
}

#[test]
fn alarms_are_shown_with_their_numbers_and_a_run_without_has_no_such_section() {
    let mut fixture = Fixture::new();
    for form in every_form(written(&fixture).path()) {
        assert!(!form.contains("Alarms") && !form.contains("#alarms"));
    }
    let number = Number {
        what: "log π(y⁺) against its peak".into(),
        value: -0.25,
        se: Some(0.0625),
        unit: "nats/token".into(),
    };
    fixture.alarms.push(AlarmRow {
        stage: "dpo<b>".into(),
        rule: Rule::ChosenDisplaced,
        step: 60,
        examples_seen: 240,
        since_step: 30,
        since_examples: 120,
        kind: Some("chosen".into()),
        statement: "a rule <i>".into(),
        numbers: vec![number],
        action: Action::Stop,
        done: "The run stops here.".into(),
    });
    fixture.manifest.stages[1].finished = false;
    fixture.manifest.stages[1].stopped_by = Some(Rule::ChosenDisplaced);
    let [page, text, data, table] = every_form(written(&fixture).path());
    let page = page.replace("&#x2f;", "/");
    for form in [&page, &text, &table] {
        assert!(form.contains("log π(y⁺) against its peak −0.250 ± 0.062 nats/token"), "{form}");
        assert!(form.contains("stopped by chosen-displaced") && form.contains("The run stops here."));
    }
    assert!(!page.contains("<b>") && !page.contains("a rule <i>") && !text.contains("<b>"));
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(data["alarms"][0]["rule"], "chosen-displaced");
}

#[test]
fn calibration_and_answers_are_in_every_form() {
    let folder = written(&Fixture::new());
    let answer = |(examples_seen, example): (usize, usize)| AnswerRow {
        stage: "sft".into(),
        examples_seen,
        example,
        n_tokens: 4,
        borrowed: Some(examples_seen as f64 / 800.0),
        text: format!("the answer <b> number {example}"),
        ..AnswerRow::default()
    };
    let rows = [0, 400].into_iter().flat_map(|at| (0..5).map(move |example| (at, example))).map(answer);
    let mut writer = JsonlWriter::create(&folder.path().join(record::ANSWERS)).unwrap();
    writer.write_all(&rows.collect::<Vec<_>>()).unwrap();
    let [page, text, data, table] = every_form(folder.path());
    for form in [&page, &text, &table] {
        // Wrapped in the terminal, with a no-break space in the count.
        let form = form.split([' ', '\n']).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
        assert!(form.contains("greedy accuracy 0.475 → 0.673 (+0.198 ± 0.001)"), "{form}");
        assert!(form.contains("ECE 0.371 → 0.173"), "{form}");
    }
    for form in [&text, &table] {
        assert!(form.contains("borrowed 4-grams 0.000 → 0.500"), "{form}");
    }
    let charts: Vec<&str> = page.split("<svg").filter(|chart| chart.contains("role=\"img\"")).collect();
    let described = |words: &str| charts.iter().filter(|chart| chart.contains(words)).count();
    // A text alternative for each chart: the highest bin has 20, then 30 of 40 right in SFT.
    assert_eq!(
        described("accuracy against confidence, max π: start from 0.381 to 0.5; end from 0.381 to 0.75"),
        1
    );
    assert_eq!(described("; calibrated from 0 to 1."), 2);
    assert_eq!(
        described("share of tokens against examples seen in the stage: accuracy from 0.4752 to 0.6733"),
        1
    );
    assert_eq!(described("borrowed from 0 to 0.5; phrases from 1 to 1; self-BLEU from"), 1);
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(data["calibrations"][1]["points"][10]["bins"][1]["accuracy"], 1.0);
    assert_eq!(data["answers"][0]["points"][1]["borrowed"], 0.5);
}

#[test]
fn a_stage_that_went_back_to_its_peak_ends_there() {
    let mut fixture = Fixture::new();
    let stage = &mut fixture.manifest.stages[1];
    let peak = Peak { kind: "chosen".into(), step: 30, examples_seen: 120, mean: -97.0 };
    (stage.steps, stage.peak) = (2 * STEPS, Some(peak));
    let folder = written(&fixture);
    let summary = summarise(&load(folder.path()).unwrap());
    assert!(summary.stages[1].curves.iter().all(|curve| curve.end().step == 30));
    assert!(summary.stages[0].curves.iter().all(|curve| curve.end().step == STEPS));
    let [page, text, data, _] = every_form(folder.path());
    for form in [&page, &text, &data] {
        assert!(form.contains("went from −102.0 to −97.0"), "{form}");
        assert!(form.contains("went back to its peak at 120 examples: the 7 probes after it"), "{form}");
    }
    assert!(page.contains("ended early at its peak"));
}

#[test]
fn what_happened_to_a_kind_is_said_in_words() {
    let [page, text, data, _] = every_form(written(&Fixture::new()).path());
    // y⁺ in DPO starts at −152 + 50, rises by 5 at 30 of 100 steps, and ends 10 below its start.
    let sentence = "went from −102.0, over −97.0 at 120 examples to −112.0: −10.0 ± 0.4 nats.";
    for form in [&page, &text, &data] {
        assert!(form.contains(sentence), "{form}");
    }
}

#[test]
fn text_of_the_run_is_escaped_in_every_form() {
    let mut fixture = Fixture::new();
    let attack = "<script>alert(1)</script>|\u{1b}[31m\"'&";
    fixture.manifest.title = attack.into();
    fixture.manifest.model = attack.into();
    fixture.manifest.notes = vec![attack.into()];
    fixture.manifest.stages[0].summary = attack.into();
    fixture.manifest.stages[0].notes = vec![attack.into()];
    fixture.kinds.push(attack.into());
    fixture.set("sft", attack, Field::Logp, |t| -t);
    // Stage names reach chart titles and remarks; a slash in one is refused when the records are read.
    fixture.manifest.stages[1].name = format!("dpo{}", attack.replace('/', ""));
    let [page, text, _, table] = every_form(written(&fixture).path());
    assert!(!page.contains("<script"), "a tag of the run reached the page");
    assert!(page.contains("&lt;script&gt;"));
    assert!(!text.contains("<script") && text.contains("\\|"));
    assert!(!text.contains('\u{1b}') && !table.contains('\u{1b}'), "a terminal escape came through");
    let columns = |line: &&str| line.replace("\\|", "").matches('|').count();
    let stage_rows: Vec<usize> =
        text.lines().skip_while(|l| !l.starts_with("| stage")).take(4).map(|l| columns(&l)).collect();
    assert_eq!(stage_rows, [9; 4], "a bar in the run's text broke the table");
}

#[test]
fn a_run_without_probes_still_reports_and_says_so() {
    let folder = written(&Fixture::new());
    std::fs::remove_file(folder.path().join(record::PROBES)).unwrap();
    let [page, text, _, table] = every_form(folder.path());
    for form in [&page, &text, &table] {
        assert!(form.contains("no probes.jsonl") || form.contains("no probes\\.jsonl"), "{form}");
    }
    assert!(page.contains("<section id=\"training\">") && !page.contains("<section id=\"margin\">"));
    let summary = summarise(&load(folder.path()).unwrap());
    assert!(summary.findings.iter().all(|f| f.verdict == Verdict::NotMeasured));
}

#[test]
fn a_run_that_has_only_its_manifest_still_reports() {
    let folder = tempfile::tempdir().unwrap();
    let mut fixture = Fixture::new();
    fixture.manifest.stages.iter_mut().for_each(|s| s.finished = false);
    record::write_manifest(folder.path(), &fixture.manifest).unwrap();
    let [page, _, _, table] = every_form(folder.path());
    assert!(page.contains("not begun") && table.contains("no metrics.jsonl"));
}

#[test]
fn a_folder_that_is_no_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let message = format!("{:#}", load(folder.path()).unwrap_err());
    assert!(message.contains("manifest.json") && message.contains("output folder of a run"), "{message}");
}

#[test]
fn a_torn_last_line_and_an_unfinished_last_probe_are_left_out() {
    let mut fixture = Fixture::new();
    fixture.manifest.stages[1].finished = false;
    let folder = written(&fixture);
    let path = folder.path().join(record::PROBES);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // Killed within the last probe of DPO, in the middle of a line.
    let kept = lines.len() - 100;
    let torn = &lines[kept][..lines[kept].len() / 2];
    std::fs::write(&path, format!("{}\n{torn}", lines[..kept].join("\n"))).unwrap();
    let summary = summarise(&load(folder.path()).unwrap());
    assert!(
        summary.remarks.iter().any(|r| r.contains("stopped at 188 of 288 rows")),
        "{:?}",
        summary.remarks
    );
    assert_eq!(summary.stages[1].probe_points, 10);
    assert!(summary.stages[1].curves.iter().all(|c| c.n == 24));
    assert!(html(&summary).unwrap().contains("so far"));
}

#[test]
fn a_broken_line_in_the_middle_is_an_error_that_names_it() {
    let folder = written(&Fixture::new());
    let path = folder.path().join(record::METRICS);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"step\":2,", "\"step\":,", 1)).unwrap();
    let message = format!("{:#}", load(folder.path()).unwrap_err());
    assert!(message.contains("metrics.jsonl, line 2"), "{message}");
}

#[test]
fn a_prompt_that_misses_a_point_is_left_out_of_the_whole_stage() {
    let mut run = Fixture::new().run();
    let gone = |r: &record::ProbeRow| {
        r.kind == "chosen" && r.example == 3 && r.stage.as_deref() == Some("sft") && r.step == Some(50)
    };
    run.probes.retain(|r| !gone(r));
    let summary = summarise(&run);
    let n = |stage: usize, kind: &str| {
        let curves = &summary.stages[stage].curves;
        curves.iter().find(|c| c.kind.as_deref() == Some(kind)).unwrap().n
    };
    assert_eq!((n(0, "chosen"), n(0, "rejected"), n(1, "chosen")), (23, 24, 24));
    let margin = summary.stages[0].curves.iter().find(|c| c.quantity == "margin_logp").unwrap();
    assert_eq!(margin.n, 23);
    assert!(
        summary.remarks.iter().any(|r| r.contains("kind chosen: 1 of 24 prompts")),
        "{:?}",
        summary.remarks
    );
}

#[test]
fn rows_written_twice_count_once_and_the_later_one_wins() {
    let folder = written(&Fixture::new());
    let path = folder.path().join(record::PROBES);
    let mut row: record::ProbeRow = record::read_jsonl(&path).unwrap().remove(0);
    row.logp += 24.0;
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    writeln!(file, "{}", serde_json::to_string(&row).unwrap()).unwrap();
    let summary = summarise(&load(folder.path()).unwrap());
    let curve = summary.stages[0].curves.iter().find(|c| c.kind.as_deref() == Some(&row.kind)).unwrap();
    assert!((curve.points[0].mean - (-152.0 + 1.0)).abs() < 1e-9, "{}", curve.points[0].mean);
    assert!(summary.remarks.iter().any(|r| r.contains("1 probe rows occur twice")));
}

#[test]
fn a_single_probe_point_gives_a_page_without_changes() {
    let mut fixture = Fixture::new();
    fixture.points = 1;
    let [page, _, _, table] = every_form(written(&fixture).path());
    assert!(!page.contains("NaN") && page.contains("<circle"));
    assert!(table.contains('–'));
}

#[test]
fn long_training_is_thinned_by_averaging() {
    let mut run = Fixture::new().run();
    let row = run.metrics[0].clone();
    run.metrics = (1..=1000)
        .map(|step| record::Metrics { step, examples_seen: step, loss: (step % 2) as f64, ..row.clone() })
        .collect();
    let loss = summarise(&run).stages[0].training.iter().find(|c| c.name == "loss").unwrap().clone();
    assert_eq!((loss.steps_per_point, loss.points.len()), (5, 200));
    let mean: f64 = loss.points.iter().map(|(_, y)| y).sum::<f64>() / 200.0;
    assert!((mean - 0.5).abs() < 1e-12 && loss.points[199].0 == 1000);
}
