//! The gradient that trains is that of the loss, for losses of every shape.

use super::{Example, Gradients, Loss, Means, Update, accumulate, reference_log_probs};
use crate::config::{self, Stage};
use crate::model::{Checkpoint, Direction, Model, ModelConfig, small_models};
use crate::record::Cause;
use crate::value::{Precision, sum_of_squares};
use crate::{score, seed};
use candle_core::{DType, Device};
use ldyn_core::loss::Gate;

const CONFIG: &str = r#"{"model_type": "gpt_neox", "vocab_size": 19, "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 16,
    "rotary_pct": 0.25, "initializer_range": 0.3}"#;

fn model(name: &str) -> Model {
    model_of(DType::F64, name)
}

fn model_of(dtype: DType, name: &str) -> Model {
    let config = ModelConfig::parse(CONFIG).unwrap();
    Model::init(config, dtype, &Device::Cpu, &mut seed::rng(3, name)).unwrap()
}

fn stage(keys: &str) -> Stage {
    let text = format!("output='o'\n[model]\npath='m'\n[data]\ntrain='d'\n[[stages]]\n{keys}");
    config::parse(&text, &[]).unwrap().stages.remove(0)
}

/// Four pairs, with a third response where the stage has an anchor, and their reference.
fn examples(stage: &Stage) -> Vec<Example> {
    let responses = [
        [vec![3, 4, 5, 0], vec![6, 0], vec![7, 8, 0]],
        [vec![1, 0], vec![2, 9, 10, 11, 0], vec![12, 0]],
        [vec![13, 14, 0], vec![13, 15, 0], vec![16, 0]],
        [vec![17, 0], vec![18, 1, 0], vec![4, 4, 0]],
    ];
    let n = if stage.anchor.is_some() { 3 } else { 2 };
    let mut examples: Vec<Example> = responses
        .into_iter()
        .enumerate()
        .map(|(i, responses)| Example {
            example: i,
            prompt: vec![i as u32 + 1, 2],
            responses: responses[..n].to_vec(),
            reference: None,
        })
        .collect();
    let preference = stage.preference().unwrap();
    if preference.loss.uses_reference() {
        let folder = tempfile::tempdir().unwrap();
        let reference = model("reference");
        let (logps, _) = reference_log_probs(&reference, &preference, &examples, folder.path()).unwrap();
        for (example, logps) in examples.iter_mut().zip(logps) {
            example.reference = Some(logps);
        }
    }
    examples
}

/// Means and gradients of all examples, in passes of two.
fn step(model: &Model, stage: &Stage, examples: &[Example]) -> (Means, Gradients) {
    let mut gradients = Gradients::new(model).unwrap();
    let loss = Loss::Preference(stage.preference().unwrap());
    let batch: Vec<&Example> = examples.iter().collect();
    let means = accumulate(model, &loss, &batch, 2, &mut gradients).unwrap();
    (means, gradients)
}

#[test]
fn gradients_are_the_derivatives_of_the_loss() {
    for keys in [
        "objective='simpo'\nbeta=2.0",
        "objective='orpo'\nbeta=1.0",
        "objective='cpo'\nbeta=0.5",
        "objective='dpo'\nbeta=0.5\nrpo_alpha=0.3\nf_divergence_type='js_divergence'",
        "objective='sigmoid_norm'\nbeta=0.5\nld_alpha=0.25",
        "objective='apo_down'\nbeta=0.5\nld_alpha=0.0",
        "objective='nca_pair'\nbeta=0.5\nreference_free=true",
        "objective='aot'\nbeta=0.5\nlabel_smoothing=0.1",
        "objective='aot_unpaired'\nbeta=0.5\nld_alpha=0.5",
        "objective='slic'\ndelta=50.0\nsft_weight=0.5\nanchor='gpt'",
    ] {
        let stage = stage(keys);
        let examples = examples(&stage);
        let model = model("policy");
        let (means, gradients) = step(&model, &stage, &examples);
        assert_eq!(means.accuracy.fract() % 0.25, 0.0);
        let square = gradients.norm().unwrap().powi(2);
        let along = |t: f64| {
            let moved = model.copy().unwrap();
            for ((_, var), gradient) in moved.parameters().zip(&gradients.values) {
                var.set(&(var.as_detached_tensor() + (gradient * t).unwrap()).unwrap()).unwrap();
            }
            step(&moved, &stage, &examples).0.loss
        };
        let t = 1e-4 / square.sqrt();
        let slope = (8.0 * (along(t) - along(-t)) - (along(2.0 * t) - along(-2.0 * t))) / (12.0 * t);
        assert!((slope - square).abs() <= 1e-7 * square, "{keys}: {slope} and {square}");
    }
}

#[test]
fn weighing_by_the_policy_scales_each_pair_and_has_no_gradient() {
    let (plain, weighted) = (stage("objective='dpo'"), stage("objective='dpo'\nuse_weighting=true"));
    let model = model("policy");
    for example in examples(&plain) {
        let (means, gradients) = step(&model, &plain, std::slice::from_ref(&example));
        let (scaled, scaled_gradients) = step(&model, &weighted, std::slice::from_ref(&example));
        let factor = scaled.loss / means.loss;
        assert!(factor > 0.0 && (factor - 1.0).abs() > 1e-3, "{factor}");
        let ratio = scaled_gradients.norm().unwrap() / gradients.norm().unwrap();
        assert!((ratio / factor - 1.0).abs() < 1e-10, "{ratio} {factor}");
        assert!((scaled.weight_chosen / means.weight_chosen / factor - 1.0).abs() < 1e-10);
    }
}

#[test]
fn a_gate_weakens_what_passes_through_the_rejected_response_and_nothing_else() {
    let (model, gate) = (model("policy"), Gate::new(40.0, 0.05).unwrap());
    let sgd = "max_grad_norm=0.0\noptimizer={name='sgd'}";
    for objective in ["objective='dpo'", "objective='sppo'\nld_alpha=0.25", "objective='slic'\nanchor='gpt'"]
    {
        let plain = stage(&format!("{objective}\n{sgd}"));
        let gated = stage(&format!("{objective}\n{sgd}\ngate_alpha=40.0\ngate_tau=0.05"));
        for example in examples(&plain) {
            let update = |stage| {
                let loss = Loss::of(stage).unwrap();
                Update::fresh(&model, stage, &loss, &[&example]).unwrap()
            };
            let (before, after) = (update(&plain), update(&gated));
            let logps = |stats: &[ldyn_core::diagnostics::TokenStats<f64>], _: &[u32]| {
                Ok(stats.iter().map(|s| s.logp).collect::<Vec<f64>>())
            };
            let tokens = score::score_with(&model, &[example.item()], logps).unwrap();
            let factor = gate.factor(&tokens[0][1]);
            assert!(factor > 0.05 && factor < 0.95, "{objective}: {factor}");
            assert_eq!(
                (after.means.loss, after.means.weight_chosen),
                (before.means.loss, before.means.weight_chosen)
            );
            assert!((after.means.weight_rejected - factor * before.means.weight_rejected).abs() < 1e-14);
            for ((cause, before), (_, after)) in before.parts.iter().zip(&after.parts) {
                let factor = if *cause == Cause::Rejected { factor } else { 1.0 };
                let (off, size) = (distance(after, before, factor), distance(after, before, 0.0));
                assert!(off <= 1e-12 * size, "{objective}, {cause:?}: {off} of {size}");
            }
        }
    }
}

/// ‖a − factor·b‖.
fn distance(a: &Direction, b: &Direction, factor: f64) -> f64 {
    let square = |(a, b): (&candle_core::Tensor, &candle_core::Tensor)| {
        sum_of_squares(&(a - (b * factor).unwrap()).unwrap()).unwrap()
    };
    a.values().zip(b.values()).map(square).sum::<f64>().sqrt()
}

#[test]
fn tokens_beyond_the_shorter_response_count_less_in_the_reference_too() {
    let policy = model("reference");
    for keys in
        ["objective='dpo'\nld_alpha=0.25", "objective='aot_unpaired'\nld_alpha=0.0", "objective='sppo'"]
    {
        let stage = stage(keys);
        let (means, _) = step(&policy, &stage, &examples(&stage));
        assert_eq!((means.ratio_chosen, means.ratio_rejected), (0.0, 0.0), "{keys}: policy = reference");
    }
}

#[test]
fn blocks_that_run_again_give_the_same_gradients_to_the_bit() {
    let stage = stage("objective='dpo'\nreference_free=true");
    let examples = examples(&stage);
    let mut rounded = model_of(DType::F32, "policy");
    rounded.precision = Precision::Bf16;
    for (name, mut model) in small_models(7).unwrap().into_iter().chain([("rounded", rounded)]) {
        let bits = |model: &Model| -> Vec<u64> {
            let (means, gradients) = step(model, &stage, &examples);
            let values = gradients.values.iter();
            let values =
                values.map(|t| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap());
            values.flat_map(|v: Vec<f64>| v).chain([means.loss]).map(f64::to_bits).collect()
        };
        let kept = bits(&model);
        model.checkpoint = Checkpoint::Blocks;
        assert!(kept == bits(&model), "{name}");
    }
}

#[test]
fn reference_log_probs_of_one_precision_are_not_taken_for_those_of_another() {
    let stage = stage("objective='dpo'");
    let (mut examples, preference) = (examples(&stage), stage.preference().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut reference = model_of(DType::F32, "reference");
    let score =
        |reference: &Model| reference_log_probs(reference, &preference, &examples, folder.path()).unwrap();
    let (full, cached) = score(&reference);
    assert!(!cached && score(&reference).1);
    reference.precision = Precision::Bf16;
    let (rounded, cached) = score(&reference);
    assert!(!cached && rounded != full && score(&reference) == (rounded.clone(), true));
    // A model of the same arithmetic scores the same.
    reference.save(&folder.path().join("saved"), None).unwrap();
    let again = reference.load_another(&folder.path().join("saved")).unwrap();
    for other in [reference.copy().unwrap(), again] {
        assert_eq!(score(&other), (rounded.clone(), true));
    }
    // So does training.
    examples.iter_mut().zip(rounded).for_each(|(example, logps)| example.reference = Some(logps));
    let (means, _) = step(&reference, &stage, &examples);
    assert_eq!((means.ratio_chosen, means.ratio_rejected), (0.0, 0.0));
}
