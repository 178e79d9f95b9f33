//! The same numbers as PyTorch, transformers and TRL, on tiny random models of every supported
//! shape. `make_fixtures.py` beside this file made the fixtures and says how; `tolerance.rs`
//! says how near is equal. Losses, gradients and updates go through the code that trains.

mod fixture;
mod tolerance;

use candle_core::{DType, Device, Tensor};
use fixture::{Fixture, LossCase, Source, all, autocast, loss};
use ldyn::generate::{Prompt, Sampling, Stop, generate};
use ldyn::model::{Architecture, Model};
use ldyn::probe::When;
use ldyn::record::Metrics;
use ldyn::score;
use ldyn::train::{self, Cadence, Example, Gradients, Intervention, Observer};
use ldyn::value::{Layout, Precision};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use tolerance::{Comparison, Tolerance};

/// Examples in one forward and backward pass; with four pairs the last pass is a smaller one.
const PASS: usize = 3;
/// Where a folder of each model and its logits are left for `check_saved.py`.
const OUT: &str = "LDYN_PARITY_OUT";

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn norm(tensor: &Tensor) -> f64 {
    numbers(tensor).iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn logits(model: &Model, ids: &[u32]) -> Tensor {
    model.logits(ids, &Layout::single(ids.len()).unwrap()).unwrap()
}

#[test]
fn the_fixtures_cover_both_architectures_and_losses_of_every_kind() {
    let fixtures = all();
    let is_neox = |f: &&Fixture| matches!(f.model().unwrap().config.architecture, Architecture::GptNeoX(_));
    let (neox, qwen): (Vec<_>, Vec<_>) = fixtures.iter().partition(is_neox);
    for (name, variants) in [("GPT-NeoX", neox), ("Qwen2", qwen)] {
        assert!(variants.len() >= 4, "{} variants of {name}", variants.len());
        let runs: usize = variants.iter().map(|f| f.expected.training.len()).sum();
        assert_eq!(runs, 6, "{name}: three optimisers on two losses");
    }
    for f in &fixtures {
        // Through the whole model; `loss_parity.rs` compares every loss on given log-probabilities.
        let covered: BTreeSet<&str> =
            f.expected.losses.iter().map(|l| l.stage.loss().unwrap().row().name).collect();
        let expected = ["sft", "dpo", "robust", "ipo", "ipo_mean", "hinge", "slic", "sppo"];
        assert_eq!(covered, expected.into(), "{}", f.expected.variant);
        let by_trl = f.expected.losses.iter().filter(|l| l.source == Source::Trl).count();
        assert_eq!(by_trl, 6, "{}: losses that TRL computes", f.expected.variant);
    }
}

#[test]
fn logits_equal_those_of_transformers() {
    compare_logits(Precision::Full, tolerance::LOGITS.begin()).finish();
}

#[test]
fn logits_of_rounded_operands_are_near_those_of_transformers_but_not_equal() {
    compare_logits(Precision::Bf16, tolerance::LOGITS.begin_in(Precision::Bf16)).finish();
    assert!(compare_logits(Precision::Bf16, tolerance::LOGITS.begin()).fails(), "nothing was rounded");
}

fn compare_logits(precision: Precision, mut close: Comparison) -> Comparison {
    for f in all() {
        let model = f.model_in(precision).unwrap();
        for (name, expected) in f.tensors.iter().filter(|(name, _)| name.starts_with("logits.")) {
            let [_, pair, kind] = name.split('.').collect::<Vec<_>>()[..] else { panic!("{name}") };
            let pair = &f.expected.pairs[pair.parse::<usize>().unwrap()];
            let found = logits(&model, &[pair.prompt.as_slice(), pair.response(kind)].concat());
            assert_eq!(found.dims(), expected.dims(), "{} {name}", f.expected.variant);
            for (i, (found, expected)) in numbers(&found).into_iter().zip(numbers(expected)).enumerate() {
                close.compare(found, expected, || {
                    format!(
                        "{} {name}[{}, {}]",
                        f.expected.variant,
                        i / model.vocab_size(),
                        i % model.vocab_size()
                    )
                });
            }
        }
    }
    close
}

#[test]
fn scores_of_responses_equal_those_of_transformers() {
    let mut sums = tolerance::LOGP_SUM.begin();
    let mut means = tolerance::LOGP_MEAN.begin();
    let mut probabilities = tolerance::PROBABILITY.begin();
    let mut a_norms = tolerance::A_NORM.begin();
    for f in all() {
        let scored = score::score(&f.model().unwrap(), &f.items()).unwrap();
        for e in &f.expected.responses {
            let s = &scored[e.pair][usize::from(e.kind == "rejected")];
            let at = |what: &str| format!("{} pair {} {} {what}", f.expected.variant, e.pair, e.kind);
            assert_eq!(s.n_tokens, e.n_tokens, "{}", at("n_tokens"));
            sums.compare(s.logp, e.logp, || at("logp"));
            sums.compare(s.argmax_logp, e.argmax_logp, || at("argmax_logp"));
            sums.compare(s.rest_logp, e.rest_logp, || at("rest_logp"));
            means.compare(s.logp_mean, e.logp_mean, || at("logp_mean"));
            means.compare(s.entropy, e.entropy, || at("entropy"));
            probabilities.compare(s.gap_norm, e.gap_norm, || at("gap_norm"));
            probabilities.compare(s.energy, e.energy, || at("energy"));
            a_norms.compare(s.a_norm, e.a_norm, || at("a_norm"));
            a_norms.compare(s.a_norm_reference, e.a_norm_reference, || at("a_norm_reference"));
        }
    }
    for comparison in [sums, means, probabilities, a_norms] {
        comparison.finish();
    }
}

#[test]
fn log_probabilities_and_argmax_of_every_token_equal_those_of_transformers() {
    let mut close = tolerance::LOGP.begin();
    for f in all() {
        let packed = score::pack(&f.items()).unwrap();
        let stats = score::token_stats(&f.model().unwrap(), &packed).unwrap();
        for (i, range) in packed.ranges.iter().enumerate() {
            let (pair, kind) = (i / 2, ["chosen", "rejected"][i % 2]);
            let at = || format!("{} pair {pair} {kind}", f.expected.variant);
            let expected = numbers(&f.tensors[&format!("logps.{pair}.{kind}")]);
            assert_eq!(expected.len(), range.len(), "{}", at());
            for (s, expected) in stats[range.clone()].iter().zip(expected) {
                close.compare(s.logp, expected, at);
            }
            let response = f.response(pair, kind);
            assert!(response.argmax_min_margin > tolerance::ARGMAX_MARGIN, "{}: choose another seed", at());
            let argmax: Vec<usize> = stats[range.clone()].iter().map(|s| s.argmax).collect();
            assert_eq!(argmax, response.argmax, "{}", at());
        }
    }
    close.finish();
}

#[test]
fn rounded_operands_give_log_probabilities_losses_and_gradients_near_those_of_f32_and_of_autocast() {
    let begin = |tolerance: &'static Tolerance| tolerance.begin_in(Precision::Bf16);
    let (mut sums, mut sums_cast) = (begin(&tolerance::LOGP_SUM), begin(&tolerance::LOGP_SUM));
    let (mut losses, mut losses_cast) = (begin(&tolerance::LOSS), begin(&tolerance::LOSS));
    let (mut norms, mut norms_cast) = (begin(&tolerance::GRADIENT_NORM), begin(&tolerance::GRADIENT_NORM));
    let autocast = autocast();
    for f in all() {
        let (model, cast) = (f.model_in(Precision::Bf16).unwrap(), &autocast[&f.expected.variant]);
        for (i, scored) in score::score(&model, &f.items()).unwrap().iter().enumerate() {
            for (kind, s, cast) in
                [("chosen", &scored[0], cast.chosen[i]), ("rejected", &scored[1], cast.rejected[i])]
            {
                let at = || format!("{} pair {i} {kind}", f.expected.variant);
                sums.compare(s.logp, f.response(i, kind).logp, at);
                sums_cast.compare(s.logp, cast, || at() + " under autocast");
            }
        }
        for case in &f.expected.losses {
            let at = || format!("{} {}", f.expected.variant, case.name);
            let (loss, gradients) = loss_and_gradients(&model, &f, case);
            let norm = gradients.norm().unwrap();
            losses.compare(loss, case.loss, at);
            norms.compare(norm, case.gradient_norm, at);
            if let Some(cast) = cast.losses.iter().find(|cast| cast.name == case.name) {
                losses_cast.compare(loss, cast.loss, || at() + " under autocast");
                norms_cast.compare(norm, cast.gradient_norm, || at() + " under autocast");
            }
        }
    }
    for comparison in [sums, sums_cast, losses, losses_cast, norms, norms_cast] {
        comparison.finish();
    }
}

/// The loss of all pairs of a fixture, and its gradient.
fn loss_and_gradients(model: &Model, f: &Fixture, case: &LossCase) -> (f64, Gradients) {
    let examples: Vec<Example> = (0..f.expected.pairs.len()).map(|i| f.example(&case.stage, i)).collect();
    let batch: Vec<&Example> = examples.iter().collect();
    let mut gradients = Gradients::new(model).unwrap();
    let means = train::accumulate(model, &loss(&case.stage).unwrap(), &batch, PASS, &mut gradients).unwrap();
    (means.loss, gradients)
}

#[test]
fn losses_and_gradients_of_every_parameter_equal_those_of_torch_and_trl() {
    let mut losses = tolerance::LOSS.begin();
    let mut global = tolerance::GRADIENT_NORM.begin();
    let mut tensors = tolerance::TENSOR_GRADIENT_NORM.begin();
    for f in all() {
        let model = f.model().unwrap();
        let names: Vec<&str> = model.parameters().map(|(name, _)| name).collect();
        assert_eq!(names, f.expected.parameters, "{}", f.expected.variant);
        for case in &f.expected.losses {
            let at = |what: &str| format!("{} {} ({:?}) {what}", f.expected.variant, case.name, case.source);
            let (loss, gradients) = loss_and_gradients(&model, &f, case);
            losses.compare(loss, case.loss, || at("loss"));
            global.compare(gradients.norm().unwrap(), case.gradient_norm, || at("gradient"));
            let least = tolerance::TENSOR_GRADIENT_FLOOR * case.gradient_norm;
            assert_eq!(gradients.values.len(), case.gradient_norms.len(), "{}", at("parameters"));
            for ((name, gradient), &expected) in names.iter().zip(&gradients.values).zip(&case.gradient_norms)
            {
                tensors.compare_to_scale(norm(gradient), expected, expected.max(least), || at(name));
            }
        }
    }
    for comparison in [losses, global, tensors] {
        comparison.finish();
    }
}

#[derive(Default)]
struct Steps(Vec<Metrics>);

impl Observer for Steps {
    fn probe(&mut self, _: &Model, _: &When) -> anyhow::Result<Vec<Intervention>> {
        Ok(Vec::new())
    }
    fn step(
        &mut self,
        _: &Model,
        _: &When,
        metrics: &Metrics,
        _: usize,
    ) -> anyhow::Result<Vec<Intervention>> {
        self.0.push(metrics.clone());
        Ok(Vec::new())
    }
}

#[test]
fn three_optimiser_steps_equal_those_of_torch() {
    let mut losses = tolerance::STEP_LOSS.begin();
    let mut norms = tolerance::STEP_GRADIENT_NORM.begin();
    let mut rates = tolerance::LEARNING_RATE.begin();
    let mut updates = tolerance::UPDATE.begin();
    let mut logps = tolerance::FINAL_LOGP.begin();
    for f in all() {
        for run in &f.expected.training {
            let stage = &run.stage;
            let label = format!("{}.{}", stage.objective, stage.optimizer.name());
            let at = |what: &str| format!("{} {label} {what}", f.expected.variant);
            let model = f.model().unwrap();
            let start = model.copy().unwrap();

            let wanted = run.steps.iter().flat_map(|step| step.pairs.clone());
            let examples: Vec<Example> = wanted.map(|i| f.example(stage, i)).collect();
            let order: Vec<usize> = (0..examples.len()).collect();
            let mut steps = Steps::default();
            train::train(
                &model,
                stage,
                &loss(stage).unwrap(),
                &examples,
                &order,
                Cadence::Every(0),
                &mut steps,
            )
            .unwrap();

            assert_eq!(steps.0.len(), run.steps.len(), "{}", at("steps"));
            for (found, expected) in steps.0.iter().zip(&run.steps) {
                let at = |what: &str| at(&format!("step {} {what}", found.step));
                losses.compare(found.loss, expected.loss, || at("loss"));
                norms.compare(found.grad_norm, expected.gradient_norm, || at("gradient norm"));
                rates.compare(found.learning_rate, expected.learning_rate, || at("learning rate"));
            }
            for ((name, after), (_, before)) in model.parameters().zip(start.parameters()) {
                if tolerance::NOISE_ONLY.iter().any(|end| name.ends_with(end)) {
                    continue;
                }
                let expected = &f.updates[&format!("{label}.{name}")];
                let found = (after.as_tensor() - before.as_tensor()).unwrap();
                let distance = norm(&(found - expected).unwrap()) / norm(expected);
                updates.compare(distance, 0.0, || at(name));
            }
            for (i, scored) in score::score(&model, &f.items()).unwrap().iter().enumerate() {
                logps.compare(scored[0].logp, run.final_logps.chosen[i], || at(&format!("chosen {i}")));
                logps.compare(scored[1].logp, run.final_logps.rejected[i], || at(&format!("rejected {i}")));
            }
        }
    }
    for comparison in [losses, norms, rates, updates, logps] {
        comparison.finish();
    }
}

#[test]
fn greedy_continuations_equal_those_of_transformers() {
    for f in all() {
        let (model, variant) = (f.model().unwrap(), &f.expected.variant);
        let expected = &f.expected.generation;
        assert_eq!(expected.len(), f.expected.pairs.len(), "{variant}");
        for e in expected {
            assert!(e.ids.len() >= 32 && e.gaps.len() == e.ids.len(), "{variant} prompt {:?}", e.prompt);
            let least = e.gaps.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(
                least > tolerance::GREEDY_MARGIN,
                "{variant}: a near tie of {least}, choose another seed"
            );
        }
        let prompts: Vec<Prompt> = expected.iter().map(|e| Prompt { ids: &e.prompt, stream: 0 }).collect();
        let max_new_tokens = expected.iter().map(|e| e.ids.len()).max().unwrap();
        let greedy = Sampling { temperature: 0.0, max_new_tokens, ..Sampling::default() };
        // An EOS does not end the fixtures' continuations.
        let found = generate(&model, &prompts, &Stop::default(), &greedy).unwrap();
        for (e, found) in expected.iter().zip(found) {
            assert_eq!(found, e.ids, "{variant} prompt {:?}", e.prompt);
        }
    }
}

/// With `LDYN_PARITY_OUT` set to an empty or new folder, the folders stay there for `check_saved.py`.
#[test]
fn a_saved_folder_gives_the_same_logits() {
    let temporary = tempfile::tempdir().unwrap();
    let root = std::env::var_os(OUT).map_or(temporary.path().to_owned(), PathBuf::from);
    for f in all() {
        let model = f.model().unwrap();
        let folder = root.join(&f.expected.variant);
        model.save(&folder, None).unwrap();
        let again = Model::load(&folder, DType::F32, &Device::Cpu).unwrap();
        let tolerance = Tensor::new(tolerance::LOGITS.absolute(), &Device::Cpu).unwrap();
        let mut written = HashMap::from([("tolerance".to_owned(), tolerance)]);
        for (i, pair) in f.expected.pairs.iter().enumerate() {
            let ids = [pair.prompt.as_slice(), &pair.chosen].concat();
            let logits = logits(&model, &ids);
            let same = numbers(&logits) == numbers(&self::logits(&again, &ids));
            assert!(same, "{}: pair {i} has other logits after saving and loading", f.expected.variant);
            let ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
            written.insert(format!("ids.{i}"), Tensor::new(ids, &Device::Cpu).unwrap());
            written.insert(format!("logits.{i}"), logits);
        }
        candle_core::safetensors::save(&written, folder.join("logits.safetensors")).unwrap();
    }
}
