//! Each rule on records made for it: it is raised at the right moment, and not when what it needs is missing.

use super::*;
use crate::config::Monitor as Config;

const PROMPTS: usize = 12;
const TOKENS: usize = 20;
const EVERY: usize = 10;

/// Change per token since the start, by probe.
type Shape = fn(f64) -> f64;

/// Ten probes after the first of kinds with their changes of log π and of greedy confidence, per token.
fn probes(kinds: &[(&str, Shape, Shape)]) -> Vec<ProbeRow> {
    let mut rows = Vec::new();
    for probe in 0..=10_usize {
        for example in 0..PROMPTS {
            // Prompts change by 0.7 to 1.3 of the mean, and start at different levels.
            let spread = 0.7 + 0.6 * example as f64 / (PROMPTS - 1) as f64;
            for (kind, label, argmax) in kinds {
                let per_token = -2.0 - 0.1 * (example % 4) as f64 + spread * label(probe as f64);
                rows.push(ProbeRow {
                    stage: Some("stage".into()),
                    step: Some(EVERY * probe),
                    examples_seen: Some(4 * EVERY * probe),
                    example,
                    kind: (*kind).into(),
                    n_tokens: TOKENS,
                    logp: TOKENS as f64 * per_token,
                    logp_mean: per_token,
                    argmax_logp: TOKENS as f64 * (-1.0 + spread * argmax(probe as f64)),
                    ..ProbeRow::default()
                });
            }
        }
    }
    rows
}

/// A step of pairs at 100 nats under the reference.
fn step(step: usize, ratio_chosen: f64, accuracy: f64, weight: f64) -> Metrics {
    Metrics {
        stage: "stage".into(),
        step,
        examples_seen: 4 * step,
        logps_chosen: Some(-100.0 + ratio_chosen),
        rewards_chosen: Some(0.1 * ratio_chosen),
        rewards_margins: Some(1.0),
        rewards_accuracies: Some(accuracy),
        weight_chosen: Some(weight),
        ..Metrics::default()
    }
}

fn answers(repetition: fn(usize) -> f64, tokens: fn(usize) -> usize) -> Vec<AnswerRow> {
    let row = |(probe, example): (usize, usize)| AnswerRow {
        stage: "stage".into(),
        step: EVERY * probe,
        examples_seen: 4 * EVERY * probe,
        example,
        n_tokens: tokens(probe) + example % 2,
        repetition: repetition(probe) + 0.01 * (example % 3) as f64,
        ..AnswerRow::default()
    };
    (0..=10).flat_map(|probe| (0..PROMPTS).map(move |example| (probe, example))).map(row).collect()
}

fn gauge(factor: fn(usize) -> f64) -> Vec<GaugeRow> {
    let row = |(window, example): (usize, usize)| GaugeRow {
        stage: "stage".into(),
        from_step: EVERY * window,
        step: EVERY * (window + 1),
        examples_seen: 4 * EVERY * (window + 1),
        example,
        kind: "chosen".into(),
        predicted: 1.0 + example as f64,
        measured: factor(window) * (1.0 + example as f64),
    };
    (0..8).flat_map(|window| (0..PROMPTS).map(move |example| (window, example))).map(row).collect()
}

const PAIRS: Watched = Watched::Pairs(Some(0.1));

fn alarms(watched: Watched, records: Records) -> Vec<AlarmRow> {
    replay(&Config::default(), "stage", watched, records)
}

fn only(alarms: Vec<AlarmRow>, rule: Rule) -> Option<AlarmRow> {
    let mut found = alarms.into_iter().filter(|a| a.rule == rule);
    let first = found.next();
    assert!(found.next().is_none(), "a rule raises one alarm a stage");
    first
}

fn raised(watched: Watched, kinds: &[(&str, Shape, Shape)], rule: Rule) -> Option<AlarmRow> {
    let probes = probes(kinds);
    only(alarms(watched, Records { probes: &probes, ..Records::default() }), rule)
}

const FLAT: Shape = |_| 0.0;
/// Up until probe 3, then down by 0.04 a probe.
const UP_AND_DOWN: Shape = |t| if t < 3.0 { 0.02 * t } else { 0.06 - 0.04 * (t - 3.0) };
const DOWN: Shape = |t| -0.06 * t;
const SURER: Shape = |t| 0.01 * t;

#[test]
fn a_squeeze_is_seen_when_y_plus_has_turned() {
    let squeezed = [("chosen", UP_AND_DOWN, SURER), ("rejected", DOWN, SURER), ("irr_hum", DOWN, FLAT)];
    let alarm = raised(PAIRS, &squeezed, Rule::Squeeze).unwrap();
    // 0.08 below the peak of probe 3 at probe 5; 0.04 at probe 4 does not count.
    assert_eq!((alarm.step, alarm.since_step, alarm.kind.as_deref()), (50, 30, Some("rejected")));
    assert!((alarm.numbers[0].value - 0.05).abs() < 1e-9, "{}", alarm.evidence());
    assert!((alarm.numbers[1].value + 0.08).abs() < 1e-9, "{}", alarm.evidence());
    // The index: +0.05 for the argmax, +0.06 − 0.08 for the label.
    assert!((alarm.numbers[2].value - 0.07).abs() < 1e-9, "{}", alarm.evidence());
    assert!(alarm.evidence().contains('±') && alarm.line().contains("squeeze"));
    // Single responses have no y⁻ to squeeze by.
    assert_eq!(raised(Watched::Responses, &squeezed, Rule::Squeeze), None);
}

#[test]
fn no_squeeze_where_a_part_of_it_is_missing() {
    let cases: [[(&str, Shape, Shape); 3]; 3] = [
        // The argmax gains nothing outside the contexts of y⁺.
        [("chosen", UP_AND_DOWN, SURER), ("rejected", DOWN, FLAT), ("irr_hum", DOWN, SURER)],
        // y⁺ rises.
        [("chosen", |t| 0.02 * t, SURER), ("rejected", DOWN, SURER), ("irr_hum", DOWN, FLAT)],
        // Another kind keeps its mass.
        [("chosen", UP_AND_DOWN, SURER), ("rejected", DOWN, SURER), ("irr_hum", FLAT, FLAT)],
    ];
    for kinds in &cases {
        assert_eq!(raised(PAIRS, kinds, Rule::Squeeze), None);
    }
    let shuffled = [("chosen", UP_AND_DOWN, FLAT), ("rejected", DOWN, FLAT), ("random_permute", DOWN, SURER)];
    assert_eq!(raised(PAIRS, &shuffled, Rule::Squeeze).unwrap().kind.as_deref(), Some("random_permute"));
}

#[test]
fn y_plus_is_displaced_only_if_it_pays_for_the_margin() {
    let displaced = [("chosen", UP_AND_DOWN, FLAT), ("rejected", DOWN, FLAT)];
    let alarm = raised(PAIRS, &displaced, Rule::ChosenDisplaced).unwrap();
    // −0.06 against the start at probe 6.
    assert_eq!((alarm.step, alarm.since_step), (60, 30));
    let together = [("chosen", UP_AND_DOWN, FLAT), ("rejected", UP_AND_DOWN, FLAT)];
    assert_eq!(raised(PAIRS, &together, Rule::ChosenDisplaced), None);
    let back_to_start: Shape = |t| if t < 5.0 { 0.1 * t } else { 0.5 - 0.1 * (t - 5.0) };
    let spared = [("chosen", back_to_start, FLAT), ("rejected", DOWN, FLAT)];
    assert_eq!(raised(PAIRS, &spared, Rule::ChosenDisplaced), None);
}

#[test]
fn everything_means_every_fluent_kind() {
    let all = [("chosen", DOWN, FLAT), ("rejected", DOWN, FLAT), ("irr_hum", DOWN, FLAT)];
    for watched in [PAIRS, Watched::Responses] {
        assert_eq!(raised(watched, &all, Rule::UnsureOfEverything).unwrap().step, 10);
    }
    assert_eq!(raised(Watched::Text, &all, Rule::UnsureOfEverything), None);
    assert_eq!(raised(PAIRS, &all[..2], Rule::UnsureOfEverything), None, "two kinds are not everything");
    let shuffled_rises = [all[0], all[1], all[2], ("random_permute", SURER, FLAT)];
    assert!(raised(PAIRS, &shuffled_rises, Rule::UnsureOfEverything).is_some());
    let one_rises = [all[0], all[1], all[2], ("irr_test", SURER, FLAT)];
    assert_eq!(raised(PAIRS, &one_rises, Rule::UnsureOfEverything), None);
}

#[test]
fn a_change_within_its_error_or_over_few_prompts_is_none() {
    let mut rows = probes(&[("chosen", DOWN, FLAT), ("rejected", DOWN, FLAT), ("irr_hum", DOWN, FLAT)]);
    let of_few: Vec<ProbeRow> = rows.iter().filter(|r| r.example < 4).cloned().collect();
    assert_eq!(alarms(PAIRS, Records { probes: &of_few, ..Records::default() }), []);
    // The same mean fall of y⁺, but one prompt in twelve makes it all.
    for row in rows.iter_mut().filter(|r| r.kind == "chosen") {
        let fall = if row.example == 0 { PROMPTS as f64 } else { 0.0 };
        row.logp_mean = -2.0 - 0.006 * row.step.unwrap() as f64 * fall;
    }
    let found = alarms(PAIRS, Records { probes: &rows, ..Records::default() });
    assert_eq!(only(found, Rule::UnsureOfEverything), None);
}

#[test]
fn a_learned_margin_is_an_alarm_where_y_plus_goes_on_falling() {
    let probes = probes(&[("chosen", DOWN, FLAT), ("rejected", DOWN, FLAT)]);
    let metrics = |weight: f64| -> Vec<Metrics> {
        let weight = move |s: usize| if s > 30 { weight } else { 0.05 };
        (1..=100).map(|s| step(s, 0.0, if s > 30 { 1.0 } else { 0.6 }, weight(s))).collect()
    };
    let found = |metrics: &[Metrics]| {
        let records = Records { probes: &probes, metrics, ..Records::default() };
        only(alarms(PAIRS, records), Rule::MarginSaturated)
    };
    // Steps 31 to 40 are the first full window; the next probe sees the fall.
    let alarm = found(&metrics(0.001)).unwrap();
    assert_eq!((alarm.step, alarm.since_step), (50, 40));
    assert_eq!(found(&metrics(0.02)), None, "the pairs still teach");
}

#[test]
fn a_fall_of_the_rewards_needs_no_probe_and_no_single_step() {
    let found = |watched, ratio: fn(usize) -> f64| {
        let metrics: Vec<Metrics> = (1..=9).map(|s| step(s, ratio(s), 1.0, 0.05)).collect();
        only(alarms(watched, Records { metrics: &metrics, ..Records::default() }), Rule::RewardsFall)
    };
    let collapse = |s| -12.0 * (s - 1) as f64;
    let alarm = found(PAIRS, collapse).unwrap();
    // Step 3 is the first below −20 nats of 100.
    assert_eq!((alarm.step, alarm.since_step), (5, 2));
    assert!((alarm.numbers[0].value + 48.0).abs() < 1e-9, "{}", alarm.evidence());
    assert_eq!(found(Watched::Pairs(None), collapse), None);
    assert_eq!(found(PAIRS, |s| if s % 3 == 0 { 0.0 } else { -60.0 }), None, "never three in a row");
    assert_eq!(found(PAIRS, |_| -60.0), None, "a reference that lies off from the first step");
}

#[test]
fn answers_degenerate_against_the_first_ones() {
    let found = |watched, repetition, tokens| {
        let answers = answers(repetition, tokens);
        let probes = probes(&[("chosen", FLAT, FLAT)]);
        only(
            alarms(watched, Records { answers: &answers, probes: &probes, ..Records::default() }),
            Rule::Degenerate,
        )
    };
    let steady: fn(usize) -> usize = |_| 20;
    let alarm = found(Watched::Responses, |p| if p < 4 { 0.1 } else { 0.5 }, steady).unwrap();
    assert_eq!((alarm.step, alarm.since_step), (50, 30));
    assert_eq!(found(PAIRS, |_| 0.6, steady), None, "a model that always did");
    assert_eq!(found(PAIRS, |p| if p == 4 { 0.9 } else { 0.1 }, steady), None, "one probe");
    let longer: fn(usize) -> usize = |p| if p < 6 { 10 } else { 30 };
    assert_eq!(found(PAIRS, |_| 0.1, longer).unwrap().step, 70);
    assert_eq!(found(Watched::Responses, |_| 0.1, longer), None, "SFT may teach longer answers");
}

#[test]
fn a_prediction_is_off_after_windows_in_a_row() {
    let found = |factor| {
        let gauge = gauge(factor);
        only(alarms(PAIRS, Records { gauge: &gauge, ..Records::default() }), Rule::PredictionOff)
    };
    let alarm = found(|window| if window < 2 { 1.0 } else { -0.5 }).unwrap();
    assert_eq!((alarm.step, alarm.since_step), (50, 20));
    assert_eq!(found(|_| 0.9), None);
    assert_eq!(found(|window| if window % 3 == 0 { 1.0 } else { -0.5 }), None, "never three in a row");
    assert_eq!(found(|_| -1e-4), None, "changes that are rounding");
}

#[test]
fn healthy_stages_are_silent() {
    let sft = probes(&[
        ("chosen", |t| 0.08 * t, SURER),
        ("rejected", |t| if t < 4.0 { 0.05 * t } else { 0.2 - 0.06 * (t - 4.0) }, SURER),
        ("irr_hum", DOWN, SURER),
        ("random_permute", DOWN, SURER),
    ]);
    let dpo = probes(&[
        ("chosen", |t| 0.01 * t, FLAT),
        ("rejected", DOWN, SURER),
        ("irr_hum", |t| -0.01 * t, FLAT),
        ("random_permute", DOWN, SURER),
    ]);
    let metrics: Vec<Metrics> = (1..=100).map(|s| step(s, 0.2, 0.8, 0.04)).collect();
    let (answers, gauge) = (answers(|_| 0.1, |_| 20), gauge(|_| 0.95));
    for (watched, probes) in [(Watched::Responses, &sft), (PAIRS, &dpo)] {
        let records = Records { metrics: &metrics, probes, answers: &answers, gauge: &gauge };
        assert_eq!(alarms(watched, records), []);
    }
}

#[test]
fn actions_are_those_of_the_configuration_where_they_can_be_taken() {
    let rows = probes(&[("chosen", DOWN, SURER), ("rejected", DOWN, SURER), ("irr_hum", DOWN, FLAT)]);
    let mut config = Config::default();
    let act = |config: &Config, watched| -> Vec<(Rule, Action)> {
        let alarms = replay(config, "stage", watched, Records { probes: &rows, ..Records::default() });
        alarms.iter().map(|a| (a.rule, a.action)).collect()
    };
    let warned = [(Rule::UnsureOfEverything, Action::Warn), (Rule::Squeeze, Action::Warn)];
    assert_eq!(act(&config, PAIRS)[..1], warned[..1]);
    config.actions.insert(Rule::UnsureOfEverything, Action::Mitigate);
    config.actions.insert(Rule::Squeeze, Action::Mitigate);
    let found = act(&config, PAIRS);
    // The mitigation is switched on once.
    assert_eq!(found.iter().filter(|(_, a)| *a == Action::Mitigate).count(), 1, "{found:?}");
    assert!(found.iter().any(|(rule, _)| *rule == Rule::Squeeze));
    assert_eq!(act(&config, Watched::Responses), [(Rule::UnsureOfEverything, Action::Warn)]);
    let mut monitor = Monitor::new(&config, "stage", Watched::Text);
    let alarm = monitor.not_finite(Moment { step: 3, examples_seen: 12 }, "the loss of example 7 is NaN");
    assert_eq!((alarm.action, alarm.step), (Action::Stop, 3));
}
