//! What a study file may say, and what it is told otherwise.

use super::*;
use crate::objective::PairLoss;
use ldyn_core::loss::{Gate, LengthDesensitised, Parameters};

const MINIMAL: &str = "output='o'\n[model]\npath='m'\n[data]\ntrain='d'\n";

fn error(text: &str, overrides: &[&str]) -> String {
    let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
    format!("{:#}", parse(text, &overrides).unwrap_err())
}

#[test]
fn the_resolved_copy_reads_back_equal() {
    let text = format!(
        "{MINIMAL}[[stages]]\nobjective='sft'\n[[stages]]\nobjective='sft'\n[[stages]]\nobjective='dpo'\nbeta=0.3\n"
    );
    let study = parse(&text, &[]).unwrap();
    assert_eq!(parse(&study.to_toml().unwrap(), &[]).unwrap(), study);
    assert_eq!(study.stages[1].name, "sft-2");
}

#[test]
fn unknown_keys_are_named() {
    assert!(error(&format!("{MINIMAL}\nlimt=3"), &[]).contains("limt"));
    assert!(error(&format!("{MINIMAL}[[stages]]\nobjective='dpo'\nbetta=1"), &[]).contains("betta"));
    assert!(error(MINIMAL, &["data.limt=3"]).contains("limt"));
    assert!(
        error(&format!("{MINIMAL}[[stages]]\nobjective='dpo'\noptimizer={{name='adamw', betas=3}}"), &[])
            .contains("betas")
    );
}

#[test]
fn a_precision_is_one_of_three_and_refused_where_it_cannot_be() {
    let with = |keys: &[&str]| parse(MINIMAL, &keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
    assert_eq!(with(&[]).unwrap().precision, Precision::Full);
    let study = with(&["precision=bf16"]).unwrap();
    assert_eq!(
        (study.precision, study.arithmetic().unwrap()),
        (Precision::Bf16, "cpu f32, products of bf16".into())
    );
    assert!(study.to_toml().unwrap().contains("precision = \"bf16\"\n"));
    assert_eq!(parse(&study.to_toml().unwrap(), &[]).unwrap(), study);
    assert!(with(&["precision=tf32", "device=cuda"]).is_ok());
    for (keys, found) in [
        (&["precision=tf32"][..], "an NVIDIA GPU"),
        (&["precision=bf16", "dtype=f64"], "dtype = \"f64\""),
        (&["precision=f16"], "use \"bf16\""),
        (&["precision=bf17"], "\"bf17\": use \"full\""),
    ] {
        assert!(error(MINIMAL, keys).contains(found), "{keys:?}: {}", error(MINIMAL, keys));
    }
    // With the line, where it stands in a file.
    assert!(error(&format!("precision='f16'\n{MINIMAL}"), &[]).contains("line 1"));
    // It decides a run's numbers; what was written before there was a choice is full.
    let before: Study = toml::from_str(MINIMAL).unwrap();
    assert_eq!(changes(&before, &study).unwrap(), ["precision was \"full\", is \"bf16\""]);
}

#[test]
fn an_empty_override_takes_a_key_away() {
    let text = format!("{MINIMAL}[[stages]]\nobjective='dpo'\nbeta=0.3\nlabel_smoothing=0.1\n");
    let changed = ["stages.0.objective=ipo", "stages.0.label_smoothing="].map(String::from);
    let study = parse(&text, &changed).unwrap();
    assert_eq!((study.stages[0].beta, study.stages[0].label_smoothing), (Some(0.3), None));
    assert!(error(&text, &["stages.0.objective=ipo"]).contains("label_smoothing"));
    assert!(error(&text, &["output="]).contains("output"));
}

#[test]
fn overrides_reach_stages_by_index_name_and_objective() {
    let text = format!("{MINIMAL}[[stages]]\nobjective='sft'\nname='warm'\n[[stages]]\nobjective='dpo'\n");
    for (key, stage) in [("stages.0.lr=1", 0), ("stages.warm.lr=1", 0), ("stages.dpo.lr=1", 1)] {
        let study = parse(&text, &[key.into()]).unwrap();
        assert_eq!(study.stages[stage].learning_rate, 1.0, "{key}");
    }
    let resolved = parse(&text, &[]).unwrap();
    let study = with_overrides(&resolved, &["stages.dpo.optimizer.name=adamw".into()]).unwrap();
    assert_eq!(study.stages[1].optimizer.name(), "adamw");
    assert!(error(&text, &["stages.kto.lr=1"]).contains("no stage `kto`"));
    assert!(error(&text, &["seed"]).contains("key=value"));
    assert_eq!(parse(&text, &["title=plain words".into()]).unwrap().title, "plain words");
}

fn stage(objective: &str, keys: &str) -> String {
    format!("{MINIMAL}[[stages]]\nobjective='{objective}'\n{keys}\n")
}

#[test]
fn every_loss_of_the_core_but_kto_is_an_objective() {
    use ldyn_core::loss::{OTHERS, TABLE};
    let names = TABLE.iter().flat_map(|row| std::iter::once(row.name).chain(row.aliases.iter().copied()));
    for name in names.chain(OTHERS.iter().map(|row| row.name)) {
        let keys = if ["exo_pair", "exo", "cdpo"].contains(&name) { "label_smoothing=0.1" } else { "" };
        let text = stage(name, keys);
        if name == "kto" {
            assert!(error(&text, &[]).contains("apo_zero"), "{}", error(&text, &[]));
            continue;
        }
        let study = parse(&text, &[]).unwrap();
        let stage = &study.stages[0];
        assert!(stage.summary().unwrap().starts_with(stage.loss().unwrap().row().loss));
        assert_eq!(parse(&study.to_toml().unwrap(), &[]).unwrap(), study, "{name}");
    }
}

#[test]
fn parameters_and_options_reach_the_loss_under_trls_names() {
    let keys = "beta=2.0\ngamma=1.6\nrpo_alpha=0.5\nld_alpha=0.25\nuse_weighting=true\ngate_alpha=20.0\ngate_tau=0.1";
    let study = parse(&stage("simpo", keys), &[]).unwrap();
    let stage_read = &study.stages[0];
    let expected = Parameters { beta: 2.0, simpo_gamma: 1.6, rpo_alpha: 0.5, ..Parameters::default() };
    let preference = stage_read.preference().unwrap();
    assert_eq!(preference.loss, PairLoss::parse("simpo", &expected, false).unwrap());
    assert_eq!(preference.ld, Some(LengthDesensitised::new(0.25).unwrap()));
    assert!(preference.weighted);
    assert_eq!(preference.gate, Some(Gate::new(20.0, 0.1).unwrap()));
    let summary = stage_read.summary().unwrap();
    for part in ["γ = 1.6", "− ν·ℓ₊/L₊", "ν = 0.5", "weigh 0.25", "WPO", "σ(20·(exp(ℓ₋/L₋) − 0.1))"]
    {
        assert!(summary.contains(part), "{summary}");
    }
    let study =
        parse(&stage("dpo", "f_divergence_type='alpha_divergence'\nreference_free=true"), &[]).unwrap();
    assert_eq!(study.stages[0].f_alpha_divergence_coef, Some(0.5));
    assert!(!study.stages[0].loss().unwrap().uses_reference());
    assert!(parse(&stage("slic", "anchor='chosen_initial'"), &[]).is_ok());
    // A gate is of one response, and an order over a batch has those too.
    assert!(parse(&stage("aot", "gate_alpha=20.0\ngate_tau=0.1"), &[]).is_ok());
}

#[test]
fn parameters_and_options_without_an_effect_are_refused() {
    for (objective, key, found) in [
        ("dpo", "simpo_gamma=1.0", "simpo_gamma has no effect"),
        ("simpo", "cpo_alpha=1.0", "cpo_alpha has no effect"),
        ("simpo", "reference_free=true", "reference_free has no effect"),
        ("sppo", "f_divergence_type='forward_kl'", "f_divergence_type has no effect"),
        ("dpo", "f_divergence_type='kl'", "js_divergence"),
        ("dpo", "f_alpha_divergence_coef=0.5", "f_alpha_divergence_coef is read with"),
        ("aot", "use_weighting=true", "use_weighting has no effect"),
        ("aot", "rpo_alpha=1.0", "rpo_alpha has no effect"),
        ("orpo", "rpo_alpha=1.0", "rpo_alpha has no effect"),
        ("sft", "ld_alpha=0.5", "ld_alpha has no effect"),
        ("sft", "label_smoothing=0.1", "it reads: nothing"),
        ("dpo", "ld_alpha=1.5", "ld_alpha"),
        ("sft", "gate_alpha=20.0\ngate_tau=0.1", "gate_alpha has no effect on `sft`"),
        ("dpo", "gate_alpha=20.0", "gate_alpha = 20 without gate_tau"),
        ("dpo", "gate_tau=0.1", "gate_tau = 0.1 without gate_alpha"),
        ("dpo", "gate_alpha=20.0\ngate_tau=1.5", "gate_tau"),
        ("dpo", "gate_alpha=0.0\ngate_tau=0.5", "gate_alpha"),
        ("dpo", "anchor='chosen'", "anchor has no effect"),
        ("discopop", "discopop_tau=2.0", "discopop_tau"),
        ("exo_pair", "", "label_smoothing"),
    ] {
        let message = error(&stage(objective, key), &[]);
        assert!(message.contains(found), "{objective} {key}: {message}");
    }
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    assert!(error(&format!("{MINIMAL}max_prompt_length=512"), &[]).contains("max_prompt_length"));
    assert!(error(&format!("{MINIMAL}[[stages]]\nobjective='dpo'\nbeta=-1.0"), &[]).contains("beta"));
    assert!(error(&format!("{MINIMAL}[[stages]]\nobjective='dpoo'"), &[]).contains("dpoo"));
    assert!(error(&stage("dpoo", ""), &[]).contains("orpo, aot, aot_unpaired"));
    assert!(error(&format!("{MINIMAL}[[stages]]\nobjective='sft'\nbeta=0.1"), &[]).contains("beta"));
    assert!(
        error(&format!("{MINIMAL}[[stages]]\nobjective='sft'\nlearning_rate=nan"), &[])
            .contains("learning_rate")
    );
    assert!(error("output='o'\n[model]\n[data]\ntrain='d'", &[]).contains("`path`"));
    for (key, word) in [
        ("monitor.rate_factor=2", "rate_factor"),
        ("monitor.limits.fall=0", "limits.fall"),
        ("monitor.limits.fal=0.1", "fal"),
        ("monitor.actions.squeez=stop", "squeez"),
        ("monitor.actions.squeeze=halt", "halt"),
        ("monitor.actions.not-finite=warn", "not-finite"),
    ] {
        assert!(error(MINIMAL, &[key]).contains(word), "{key}");
    }
}

#[test]
fn a_stage_may_end_at_its_peak() {
    let read = |keys: &str, set: &[&str]| {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        parse(&stage("dpo", keys), &set).unwrap()
    };
    let study = read("early_stopping={patience=2}", &[]);
    let stopping = study.stages[0].early_stopping.clone().unwrap();
    assert_eq!(stopping, EarlyStopping { kind: "chosen".into(), patience: Some(2) });
    let summary = study.stages[0].summary().unwrap();
    assert!(
        summary
            .ends_with("; ends at the peak of log π of `chosen`, given up after 2 probes without a new one")
    );
    assert_eq!(parse(&study.to_toml().unwrap(), &[]).unwrap(), study);
    assert_eq!(read("", &["stages.dpo.early_stopping.patience=2"]), study);
    // It decides a run's numbers.
    let other = read("early_stopping={patience=3}", &[]);
    assert_eq!(changes(&study, &other).unwrap(), ["stages.0.early_stopping.patience was 2, is 3"]);
    let whole = read("early_stopping={}", &[]).stages[0].summary().unwrap();
    assert!(whole.ends_with("; ends at the peak of log π of `chosen`"), "{whole}");
    for (keys, set, found) in [
        ("early_stopping={patience=0}", "seed=1", "patience = 0"),
        (
            "early_stopping={kind='gpt'}",
            "probe.kinds=['chosen']",
            "\"gpt\" is not among probe.kinds (chosen)",
        ),
        ("early_stopping={}", "probe.every_examples=0", "probes at its two ends only"),
        ("early_stopping={patiense=1}", "seed=1", "patiense"),
    ] {
        let message = error(&stage("dpo", keys), &[set]);
        assert!(message.contains(found), "{keys}: {message}");
    }
    assert!(error(&stage("pretrain", "early_stopping={}"), &[]).contains("set probe_every_examples"));
}
