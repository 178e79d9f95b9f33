//! Every finding is shown to come out as seen, not seen and not measured.

use super::findings::{Finding, Verdict};
use super::fixture::{Field, Fixture};
use super::rules::rule_ids;
use super::summarise;
use crate::record::AnswerRow;
use std::collections::BTreeMap;

fn verdicts(fixture: &Fixture) -> BTreeMap<&'static str, Finding> {
    summarise(&fixture.run()).findings.into_iter().map(|f| (f.id, f)).collect()
}

/// A finding, what is done to the data, and how.
type Case = (&'static str, &'static str, fn(&mut Fixture));

/// For each rule and each claim in it, data on which that claim fails.
const NOT_SEEN: &[Case] = &[
    ("sft-1", "y⁺ stays", |f| f.set("sft", "chosen", Field::Logp, |_| 0.0)),
    ("sft-1", "y⁺ dips on its way", |f| {
        f.set("sft", "chosen", Field::Logp, |t| if t > 0.4 && t < 0.6 { 0.0 } else { 50.0 * t });
    }),
    ("sft-2", "y⁻ never rises", |f| f.set("sft", "rejected", Field::Logp, |t| -5.0 * t)),
    ("sft-2", "y⁻ never falls", |f| f.set("sft", "rejected", Field::Logp, |t| 5.0 * t)),
    ("sft-3", "shuffled words rise", |f| f.set("sft", "random_permute", Field::Logp, |t| 5.0 * t)),
    ("sft-3", "shuffled words rise far before they fall", |f| {
        f.set("sft", "random_nonhum", Field::Logp, |t| if t < 0.5 { 60.0 * t } else { 60.0 - 70.0 * t });
    }),
    ("sft-4", "other answers fall", |f| f.set("sft", "irr_train", Field::Logp, |t| -t)),
    ("sft-4", "other answers rise faster than y⁺", |f| {
        f.set("sft", "irr_train", Field::Logp, |t| 90.0 * t)
    }),
    ("sft-5a", "the untuned answer ends higher", |f| f.set("sft", "chosen_initial", Field::Logp, |t| t)),
    ("sft-5b", "rephrasings of y⁻ end better", |f| {
        f.set("sft", "reject_gptformat", Field::Logp, |t| 30.0 * t);
    }),
    ("sft-6", "form starts below meaning", |f| f.level("chosen_gptformat", Field::Logp, -170.0)),
    ("sft-6", "form ends below meaning", |f| f.set("sft", "chosen_gptformat", Field::Logp, |t| -60.0 * t)),
    ("dpo-1a", "y⁺ only falls", |f| f.set("dpo", "chosen", Field::Logp, |t| -10.0 * t)),
    ("dpo-1b", "y⁺ only rises", |f| f.set("dpo", "chosen", Field::Logp, |t| 10.0 * t)),
    ("dpo-1c", "y⁺ ends higher", |f| f.set("dpo", "chosen", Field::Logp, |t| 10.0 * t)),
    ("dpo-2", "one kind rises", |f| f.set("dpo", "irr_hum", Field::Logp, |t| 3.0 * t)),
    ("dpo-2", "one kind rises far before it falls", |f| {
        f.set("dpo", "irr_test", Field::Logp, |t| if t < 0.5 { 40.0 * t } else { 60.0 - 80.0 * t });
    }),
    ("dpo-3a", "y⁻ falls slower than a rephrasing", |f| {
        f.set("dpo", "reject_gptsemantic", Field::Logp, |t| -140.0 * t);
    }),
    ("dpo-3b", "another kind falls slower than y⁺", |f| f.set("dpo", "irr_hum", Field::Logp, |t| -t)),
    ("dpo-3c", "a rephrasing of y⁺ falls faster", |f| {
        f.set("dpo", "chosen_gptformat", Field::Logp, |t| -90.0 * t);
    }),
    ("dpo-3d", "shuffled words fall slowly", |f| f.set("dpo", "random_permute", Field::Logp, |t| -20.0 * t)),
    ("dpo-4", "the margin shrinks", |f| f.set("dpo", "rejected", Field::Logp, |t| 20.0 * t)),
    ("dpo-4", "the margin grows in a jump at the end", |f| {
        f.set("dpo", "rejected", Field::Logp, |t| if t < 0.95 { 0.0 } else { -100.0 });
    }),
    ("greedy-0", "shuffled contexts are as confident", |f| f.level("random_permute", Field::Greedy, -50.0)),
    ("greedy-1", "confidence falls", |f| f.set("dpo", "chosen", Field::Greedy, |t| -5.0 * t)),
    ("greedy-1", "y⁺ rises as well", |f| f.set("dpo", "chosen", Field::Logp, |t| 10.0 * t)),
    ("greedy-2", "confidence falls", |f| f.set("dpo", "rejected", Field::Greedy, |t| -5.0 * t)),
    ("greedy-2", "y⁺ rises as well", |f| f.set("dpo", "chosen", Field::Logp, |t| 10.0 * t)),
    ("greedy-3", "confidence falls", |f| f.set("dpo", "random_nonhum", Field::Greedy, |t| -5.0 * t)),
    ("greedy-3", "y⁺ rises as well", |f| f.set("dpo", "chosen", Field::Logp, |t| 10.0 * t)),
    ("greedy-4", "distributions flatten", |f| f.set("dpo", "chosen", Field::ANorm, |t| -t)),
    ("greedy-5", "confidence falls", |f| f.set("sft", "chosen", Field::Greedy, |t| -t)),
    ("greedy-5", "y⁺ falls", |f| f.set("sft", "chosen", Field::Logp, |t| -t)),
    ("greedy-5", "distributions flatten", |f| f.set("sft", "chosen", Field::ANorm, |t| -t)),
    ("greedy-6", "SFT gains more per step", |f| f.set("sft", "chosen", Field::Greedy, |t| 40.0 * t)),
];

/// For each rule, data that cannot decide it.
const NOT_MEASURED: &[Case] = &[
    ("sft-1", "no y⁺", |f| f.without(&["chosen"])),
    ("sft-2", "no kind of it", |f| f.only(&["chosen", "irr_train"])),
    ("sft-3", "no shuffled words", |f| f.without(&["random_permute", "random_nonhum"])),
    ("sft-4", "nothing to compare with", |f| f.without(&["chosen"])),
    ("sft-5a", "no untuned answer", |f| f.without(&["chosen_initial"])),
    ("sft-5b", "no rephrasing of y⁺", |f| f.without(&["chosen_gptsemantic", "chosen_gptformat"])),
    ("sft-6", "no SFT", |f| f.without_stage("sft")),
    ("dpo-1a", "too few points for a peak", |f| f.points = 2),
    ("dpo-1b", "no DPO", |f| f.without_stage("dpo")),
    ("dpo-1c", "one probe", |f| f.points = 1),
    ("dpo-2", "no other kind", |f| f.only(&["chosen"])),
    ("dpo-3a", "no y⁻", |f| f.without(&["rejected"])),
    ("dpo-3b", "too few prompts", |f| f.prompts = 4),
    ("dpo-3c", "no rephrasing of y⁻", |f| f.without(&["reject_gptsemantic", "reject_gptformat"])),
    ("dpo-3d", "no shuffled y⁺", |f| f.without(&["random_permute"])),
    ("dpo-4", "no y⁻", |f| f.without(&["rejected"])),
    ("greedy-0", "no shuffled words", |f| f.without(&["random_permute", "random_nonhum"])),
    ("greedy-1", "no y⁺", |f| f.without(&["chosen"])),
    ("greedy-2", "no y⁻", |f| f.without(&["rejected"])),
    ("greedy-3", "no shuffled words", |f| f.without(&["random_permute", "random_nonhum"])),
    ("greedy-4", "no DPO", |f| f.without_stage("dpo")),
    ("greedy-5", "no SFT", |f| f.without_stage("sft")),
    ("greedy-6", "no SFT to compare with", |f| f.without_stage("sft")),
];

#[test]
fn every_rule_is_seen_on_data_that_show_it() {
    let verdicts = verdicts(&Fixture::new());
    for id in rule_ids() {
        let finding = &verdicts[id];
        assert_eq!(finding.verdict, Verdict::Seen, "{id}: {}", finding.evidence);
        assert!(!finding.checks.is_empty() && finding.unmeasured.is_empty(), "{id}: {finding:?}");
    }
}

#[test]
fn every_claim_of_every_rule_can_make_it_not_seen() {
    for &(id, what, plant) in NOT_SEEN {
        let mut fixture = Fixture::new();
        plant(&mut fixture);
        let finding = &verdicts(&fixture)[id];
        assert_eq!(finding.verdict, Verdict::NotSeen, "{id}, {what}: {}", finding.evidence);
    }
    let covered = |id: &&str| NOT_SEEN.iter().any(|(case, ..)| case == id);
    assert!(rule_ids().all(|id| covered(&id)), "a rule has no data on which it is not seen");
}

#[test]
fn every_rule_is_not_measured_without_its_data_and_says_why() {
    for &(id, what, plant) in NOT_MEASURED {
        let mut fixture = Fixture::new();
        plant(&mut fixture);
        let finding = &verdicts(&fixture)[id];
        assert_eq!(finding.verdict, Verdict::NotMeasured, "{id}, {what}: {}", finding.evidence);
        assert!(!finding.evidence.is_empty(), "{id}, {what}");
    }
    let covered = |id: &&str| NOT_MEASURED.iter().any(|(case, ..)| case == id);
    assert!(rule_ids().all(|id| covered(&id)), "a rule has no data on which it is not measured");
}

#[test]
fn findings_beyond_one_run_say_what_they_need() {
    let all = verdicts(&Fixture::new());
    let beyond: Vec<&Finding> = all.values().filter(|f| rule_ids().all(|id| id != f.id)).collect();
    assert_eq!(beyond.len(), 6);
    for finding in beyond {
        assert_eq!(finding.verdict, Verdict::NotMeasured);
        assert!(finding.evidence.starts_with("needs "), "{}", finding.evidence);
    }
}

#[test]
fn borrowing_is_seen_in_sft_where_answers_borrow_more() {
    let mut run = Fixture::new().run();
    let answer = |stage: &str, examples_seen, example, borrowed| AnswerRow {
        stage: stage.into(),
        examples_seen,
        example,
        borrowed: Some(borrowed),
        ..AnswerRow::default()
    };
    let mut borrowing = |change: f64| {
        let start = (0..8).map(|i| answer("sft", 0, i, 0.01 * i as f64));
        let end = (0..8).map(|i| answer("sft", 400, i, 0.01 * i as f64 + change));
        run.answers = start.chain(end).chain([answer("dpo", 0, 0, 0.9)]).collect();
        let found = summarise(&run).findings.into_iter().filter(|f| f.id == "borrow-1");
        let [finding] = &found.collect::<Vec<_>>()[..] else { panic!("one SFT stage") };
        finding.clone()
    };
    let seen = borrowing(0.2);
    assert_eq!((seen.verdict, seen.stage.as_deref()), (Verdict::Seen, Some("sft")));
    assert!(seen.evidence.contains("+0.200 ± 0.000 over 8 greedy answers"), "{}", seen.evidence);
    assert_eq!(borrowing(-0.1).verdict, Verdict::NotSeen);
    let mut without = Fixture::new();
    without.without_stage("sft");
    let finding = &verdicts(&without)["borrow-1"];
    assert_eq!(finding.evidence, "the run has no SFT stage on y⁺ alone");
}

#[test]
fn a_change_lost_in_the_spread_over_prompts_is_not_seen() {
    let mut fixture = Fixture::new();
    // Half of the prompts go up by 19 × 0.5, half down by 17 × 0.5… the mean stays +0.5.
    fixture.spread = 18.0;
    fixture.set("sft", "irr_train", Field::Logp, |t| 0.5 * t);
    let finding = &verdicts(&fixture)["sft-4"];
    let rise = finding.checks[0].estimate.unwrap();
    assert!((rise.mean - 0.5).abs() < 1e-9 && rise.mean < 2.0 * rise.se.unwrap(), "{rise:?}");
    assert_eq!(finding.verdict, Verdict::NotSeen);
}

#[test]
fn a_peak_that_only_one_half_of_the_prompts_has_is_not_taken_for_a_rise() {
    // Odd prompts are up at step 30 and down at step 70, even ones the other way round: each half
    // has a peak of its own, and at no point are the prompts higher than at the start.
    let mut run = Fixture::new().run();
    for row in &mut run.probes {
        if row.kind == "chosen" && row.stage.as_deref() == Some("dpo") {
            let up = [30, 70][row.example % 2];
            let size = 10.0 + (row.example / 2 % 3) as f64;
            row.logp = -100.0
                + match row.step.unwrap() {
                    step if step == up => size,
                    30 | 70 => -size,
                    _ => 0.0,
                };
        }
    }
    let findings = summarise(&run).findings;
    let finding = findings.iter().find(|f| f.id == "dpo-1a").unwrap();
    assert_eq!(finding.verdict, Verdict::NotSeen, "{}", finding.evidence);
}

#[test]
fn partly_measured_rules_name_what_is_missing() {
    let mut fixture = Fixture::new();
    fixture.without(&["irr_hum"]);
    let finding = &verdicts(&fixture)["sft-2"];
    assert_eq!(finding.verdict, Verdict::Seen);
    assert!(finding.evidence.contains("Not measured: kind irr_hum was not probed"), "{}", finding.evidence);
}

#[test]
fn rules_apply_to_every_stage_that_fits_and_say_so_far_when_it_is_unfinished() {
    let mut fixture = Fixture::new();
    fixture.manifest.stages[1].objective = "ipo".into();
    fixture.manifest.stages[1].finished = false;
    let finding = &verdicts(&fixture)["dpo-4"];
    assert_eq!((finding.stage.as_deref(), finding.so_far), (Some("dpo"), true));
    assert_eq!(finding.verdict, Verdict::Seen);
}

#[test]
fn a_rule_in_words_is_made_of_its_claims() {
    let all = verdicts(&Fixture::new());
    assert_eq!(
        all["sft-1"].rule,
        "log π(y⁺) rises from start to end; no dip of log π(y⁺) is deeper than 10 % of its total rise."
    );
    assert_eq!(
        all["dpo-3c"].rule,
        "For (y, y′) in (y⁺_gpts, y⁻_gpts), (y⁺_gptf, y⁻_gptf): the change of log π(y) from start to end exceeds \
         that of log π(y′)."
    );
}
