//! Comparisons of synthetic runs with known curves.

use super::comparison::{Comparison, Member, Reading, Row, compare};
use super::comparison_forms::{comparison_html, comparison_json, comparison_text};
use super::fixture::{Field, Fixture, Shape};
use super::{comparison_csv, summarise};

/// A run whose log π(y⁺) goes its own way in DPO, `level` nats above the fixture's.
fn member(arm: &str, seed: u64, shape: Shape, level: f64) -> Member {
    let mut fixture = Fixture::new();
    fixture.set("dpo", "chosen", Field::Logp, shape);
    fixture.level("chosen", Field::Logp, level);
    fixture.spread = 0.0;
    Member { arm: arm.into(), seed, summary: summarise(&fixture.run()) }
}

fn chosen(c: &Comparison, reading: Reading) -> &Row {
    let found = c.rows.iter().find(|r| r.stage == "dpo" && r.quantity == "log π(y⁺)" && r.reading == reading);
    found.expect("a row")
}

#[test]
fn differences_are_taken_seed_by_seed() {
    let members = [
        member("baseline", 1, |t| -10.0 * t, -150.0),
        member("baseline", 2, |t| -14.0 * t, -150.0),
        // From a peak of 4 after a half to −2 and −3; a third seed that the baseline does not have.
        member("other", 2, |t| if t <= 0.5 { 8.0 * t } else { 4.0 - 14.0 * (t - 0.5) }, -150.0),
        member("other", 1, |t| if t <= 0.5 { 8.0 * t } else { 4.0 - 12.0 * (t - 0.5) }, -150.0),
        member("other", 9, |t| -100.0 * t, -150.0),
    ];
    let c = compare("t", &members);
    let names: Vec<(&str, &[u64])> = c.arms.iter().map(|a| (a.name.as_str(), a.seeds.as_slice())).collect();
    assert_eq!(names, [("baseline", &[1, 2][..]), ("other", &[2, 1, 9])]);

    let change = chosen(&c, Reading::Change);
    let [first, second] = &change.arms[..] else { panic!("two arms") };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
    close(first.value.unwrap().mean, -12.0);
    close(first.value.unwrap().se.unwrap(), 2.0);
    assert!(first.difference.is_none() && first.interval.is_none());
    close(second.value.unwrap().mean, (-2.0 - 3.0 - 100.0) / 3.0);
    // Of the seeds that both have: −2 − (−10) and −3 − (−14), so 9.5 ± 1.5; t(0.95, 1) = 12.7062.
    let difference = second.difference.unwrap();
    close(difference.mean, 9.5);
    assert_eq!(difference.n, 2);
    let [low, high] = second.interval.unwrap();
    assert!((low - (9.5 - 12.7062 * 1.5)).abs() < 1e-3 && (high - (9.5 + 12.7062 * 1.5)).abs() < 1e-3);

    let fall = chosen(&c, Reading::FromPeak).arms[1].difference.unwrap();
    close(fall.mean, ((-6.0 + 10.0) + (-7.0 + 14.0)) / 2.0);
    // SFT ends 50 nats above the level; the kinds are taken from the level on.
    close(chosen(&c, Reading::End).arms[0].value.unwrap().mean, -150.0 + 50.0 - 12.0);
}

#[test]
fn an_unfinished_run_is_named_and_left_out() {
    let mut late = member("a", 2, |t| -50.0 * t, -150.0);
    late.summary.run.stages[1].finished = false;
    let c = compare("t", &[member("a", 1, |t| -10.0 * t, -150.0), late]);
    assert_eq!((c.arms[0].seeds.as_slice(), c.arms[0].unfinished.as_slice()), (&[1][..], &[2][..]));
    let value = chosen(&c, Reading::Change).arms[0].value.unwrap();
    assert_eq!((value.n, value.se), (1, None));
    // A run that was cut off between two stages has finished all that it began.
    let mut between = member("a", 1, |t| t, 0.0);
    between.summary.run.stages.truncate(1);
    assert!(compare("t", &[between]).arms[0].seeds.is_empty());
    // Nothing at all is finished: a comparison all the same.
    let mut none = member("a", 1, |t| t, 0.0);
    none.summary.run.stages[0].finished = false;
    let empty = compare("t", &[none]);
    assert!(empty.rows.is_empty() && empty.curves.is_empty());
    comparison_html(&empty).unwrap();
    comparison_text(&empty);
}

#[test]
fn arms_with_other_stages_leave_dashes() {
    let mut without = Fixture::new();
    without.without_stage("sft");
    let single = Member { arm: "dpo alone".into(), seed: 1, summary: summarise(&without.run()) };
    let c = compare("t", &[member("both", 1, |t| t, -150.0), single]);
    let sft = c.rows.iter().find(|r| r.stage == "sft").unwrap();
    assert!(sft.arms[0].value.is_some() && sft.arms[1].value.is_none());
    assert!(comparison_text(&c).contains('–'));
    let tally = c.findings.iter().find(|t| t.id == "sft-1").unwrap();
    assert_eq!(tally.arms, [[1, 1], [0, 0]]);
}

#[test]
fn names_are_escaped_in_the_page_and_all_forms_hold_the_numbers() {
    let c = compare(
        "<script>alert(1)</script>",
        &[member("a & b", 1, |t| -10.0 * t, -150.0), member("<b>", 1, |t| -4.25 * t, -150.0)],
    );
    let page = comparison_html(&c).unwrap();
    assert!(page.matches("<script").count() == 1 && !page.contains("<b>") && page.contains("a &amp; b"));
    assert!(page.contains("<svg") && page.contains("+5.75"));
    // The map of arms and kinds: −10 is the largest fall of y⁺, −4.25 is √0.425 of its shade, 13 twentieths.
    assert!(page.contains("class=\"cell num down s20\""), "{page}");
    assert!(page.contains("s13\" title=\"&lt;b&gt;: −4.25"), "{page}");
    assert!(comparison_text(&c).contains("+5.75"));
    let rows = comparison_csv(&c);
    let ends: Vec<&str> =
        rows.lines().filter(|row| row.contains(",y⁺,chosen,") && row.contains(",dpo,,400,400,")).collect();
    let means: Vec<f64> = ends.iter().map(|row| row.split(',').nth(9).unwrap().parse().unwrap()).collect();
    assert!((means[0] + 10.0).abs() < 1e-9 && (means[1] + 4.25).abs() < 1e-9 && means.len() == 2, "{ends:?}");
    let json: serde_json::Value = serde_json::from_str(&comparison_json(&c).unwrap()).unwrap();
    assert_eq!(json["arms"][1]["name"], "<b>");
}
