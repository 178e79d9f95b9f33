//! Numbers that go wrong are found before they reach a weight, and said where they are.

use super::*;
use crate::config;
use crate::model::ModelConfig;
use crate::seed;
use candle_core::{DType, Device, Tensor, Var};

const CONFIG: &str = r#"{"model_type": "gpt_neox", "vocab_size": 19, "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 16,
    "rotary_pct": 0.25, "initializer_range": 0.3}"#;

const EMBEDDING: &str = "gpt_neox.embed_in.weight";
const MATRIX: &str = "gpt_neox.layers.0.mlp.dense_h_to_4h.weight";

/// In f32, where numbers overflow soonest.
fn model() -> Model {
    let config = ModelConfig::parse(CONFIG).unwrap();
    Model::init(config, DType::F32, &Device::Cpu, &mut seed::rng(3, "model")).unwrap()
}

/// A stage of 4 steps of 2 examples each, in one pass or in two.
fn stage(objective: &str, accumulation: usize, keys: &str) -> Stage {
    let text = format!(
        "output='o'\n[model]\npath='m'\n[data]\ntrain='d'\n[[stages]]\nobjective='{objective}'\n\
         batch_size={}\ngradient_accumulation_steps={accumulation}\nwarmup_steps=0\n{keys}",
        2 / accumulation
    );
    config::parse(&text, &[]).unwrap().stages.remove(0)
}

/// Eight examples; token 18 is in the last response of example 5 alone.
fn examples(stage: &Stage) -> Vec<Example> {
    let n = if stage.is_preference() { 2 } else { 1 };
    let example = |example: usize| {
        let last = if example == 5 { 18 } else { 11 };
        let mut responses = vec![vec![example as u32 + 3, 4, 0], vec![example as u32 + 2, 6, 7, 0]];
        responses.truncate(n);
        responses[n - 1][1] = last;
        let reference = Some([-9.0, -12.0]);
        Example { example, prompt: vec![1, 2], responses, reference }
    };
    (0..8).map(example).collect()
}

/// A number to be put into a parameter after a step.
type Plant = (usize, &'static str, usize, f32);

/// Everything that training has changed, bit by bit.
#[derive(Clone, Debug, PartialEq)]
struct Snapshot {
    course: Course,
    steps: i32,
    tensors: Vec<Vec<u32>>,
}

impl Snapshot {
    fn of(model: &Model, course: &Course, optimizer: &Optimizer) -> Self {
        let weights: Vec<Tensor> = model.parameters().map(|(_, var)| var.as_detached_tensor()).collect();
        let [second, first] = optimizer.averages();
        let bits = |t: &Tensor| {
            t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
        };
        let tensors = weights.iter().chain(second).chain(first).map(bits).collect();
        Self { course: *course, steps: optimizer.steps(), tensors }
    }
}

#[derive(Default)]
struct Witness {
    plant: Option<Plant>,
    between: Vec<Snapshot>,
    halted: Option<Snapshot>,
}

impl Observer for Witness {
    fn probe(&mut self, _: &Model, _: &When) -> Result<Vec<Intervention>> {
        Ok(Vec::new())
    }

    fn step(&mut self, _: &Model, _: &When, _: &Metrics, _: usize) -> Result<Vec<Intervention>> {
        Ok(Vec::new())
    }

    fn halted(&mut self, model: &Model, course: &Course, optimizer: &Optimizer) -> Result<()> {
        self.halted = Some(Snapshot::of(model, course, optimizer));
        Ok(())
    }

    fn between(&mut self, model: &Model, course: &Course, optimizer: &Optimizer) -> Result<()> {
        self.between.push(Snapshot::of(model, course, optimizer));
        if let Some((step, name, index, value)) = self.plant
            && step == course.step
        {
            plant(model, name, index, value);
        }
        Ok(())
    }
}

fn parameter<'a>(model: &'a Model, name: &str) -> &'a Var {
    model.parameters().find(|(other, _)| *other == name).unwrap().1
}

fn plant(model: &Model, name: &str, index: usize, value: f32) {
    let var = parameter(model, name);
    let mut values: Vec<f32> = var.flatten_all().unwrap().to_vec1().unwrap();
    values[index] = value;
    var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
}

/// Trains; the words of the error, if there was one.
fn train_with(model: &Model, stage: &Stage, plant: Option<Plant>) -> (Witness, Option<String>) {
    let mut witness = Witness { plant, ..Witness::default() };
    let examples = examples(stage);
    let order: Vec<usize> = (0..examples.len()).collect();
    let loss = Loss::of(stage).unwrap();
    let trained = train(model, stage, &loss, &examples, &order, Cadence::Every(100), &mut witness);
    let words = trained.err().map(|error| {
        assert!(error.is::<NotFinite>(), "{error:#}");
        format!("{error:#}")
    });
    (witness, words)
}

fn says(words: Option<String>, expected: &[&str]) {
    let words = words.expect("a fault");
    for part in expected {
        assert!(words.contains(part), "`{part}` not in: {words}");
    }
}

#[test]
fn a_weight_that_is_not_a_number_is_named_and_reaches_no_other() {
    for (objective, accumulation) in [("sft", 1), ("sft", 2), ("dpo", 1), ("dpo", 2)] {
        let stage = stage(objective, accumulation, "learning_rate=1e-2\noptimizer={name='adamw'}");
        let (whole, words) = train_with(&model(), &stage, None);
        assert_eq!(words, None);
        let planted = (2, MATRIX, 7, f32::NAN);
        let (witness, words) = train_with(&model(), &stage, Some(planted));
        says(
            words,
            &[
                &format!("stage `{objective}`, step 3: log π is not finite in "),
                "of example 4 (token 0: NaN)",
                &format!("weights are not finite in `{MATRIX}` (1 of 192 NaN)"),
                "the batch is examples 4, 5",
            ],
        );
        assert_eq!(witness.between, whole.between[..3]);
        // But for the planted number, all is as after step 2 of a run without it.
        let (mut halted, before) = (witness.halted.unwrap(), &whole.between[2]);
        let place = model().parameters().position(|(name, _)| name == MATRIX).unwrap();
        assert_ne!(halted, *before);
        halted.tensors[place][7] = before.tensors[place][7];
        assert_eq!(halted, *before, "{objective} in {accumulation} passes");
    }
}

#[test]
fn the_example_that_overflows_is_named_and_the_step_is_not_taken() {
    for (objective, accumulation) in [("sft", 1), ("sft", 2), ("dpo", 1), ("dpo", 2)] {
        let stage = stage(objective, accumulation, "learning_rate=1e-2");
        let model = model();
        // The sum of this embedding is not finite in f32; one example meets it, in the third step.
        for i in [0, 1] {
            plant(&model, EMBEDDING, 18 * 16 + i, 3e38);
        }
        let (witness, words) = train_with(&model, &stage, None);
        let response = if objective == "dpo" { "y⁻" } else { "the response" };
        says(
            words,
            &[
                // At the token that precedes it already: attention multiplies what is masked by 0, and 0·NaN is NaN.
                &format!(
                    "stage `{objective}`, step 3: log π is not finite in {response} of example 5 (token 1: NaN);"
                ),
                &format!("all weights are finite, the largest, 3.0e38, is in `{EMBEDDING}`"),
                "the batch is examples 4, 5",
            ],
        );
        let halted = witness.halted.unwrap();
        assert_eq!((halted.course.step, halted.steps), (2, 2));
        assert_eq!(Some(&halted), witness.between.last(), "{objective} in {accumulation} passes");
    }
}

#[test]
fn a_step_that_would_overflow_is_not_taken() {
    let optimizers = [
        ("learning_rate=1e39\noptimizer={name='rmsprop'}", "1e39"),
        ("learning_rate=1e39\noptimizer={name='adamw'}", "1e39"),
        ("learning_rate=1e39\noptimizer={name='sgd'}", "1e39"),
        ("learning_rate=1e38\noptimizer={name='sgd',momentum=0.9,weight_decay=1e30}", "1e38"),
        // 0/0 for the embeddings of tokens that no example has.
        ("learning_rate=1e-6\noptimizer={name='rmsprop',eps=0.0}", "1e-6"),
    ];
    for (keys, rate) in optimizers {
        for (objective, accumulation) in [("sft", 1), ("dpo", 2)] {
            let model = model();
            let (witness, words) = train_with(&model, &stage(objective, accumulation, keys), None);
            let size = format!(
                "step 1: a step with learning rate {rate} would leave numbers that are not finite in "
            );
            says(words, &[&size, EMBEDDING, "all weights are finite", "the batch is examples 0, 1"]);
            assert_eq!(witness.halted.as_ref(), Some(&witness.between[0]), "{keys}");
        }
    }
    // What is usual is not tried on copies.
    for keys in
        ["optimizer={name='rmsprop'}", "optimizer={name='adamw'}", "optimizer={name='sgd',weight_decay=0.1}"]
    {
        let stage = stage("sft", 1, keys);
        assert!(!Optimizer::new(stage.optimizer, &[]).unwrap().may_overflow(1.0), "{keys}");
    }
}

#[test]
fn gradients_that_are_not_finite_are_named_with_their_examples() {
    // Log-probabilities are finite: what one parameter makes huge, the next one makes small again.
    let (norm, next) = ("gpt_neox.layers.0.post_attention_layernorm.weight", MATRIX);
    for (objective, accumulation) in [("sft", 1), ("sft", 2), ("dpo", 1), ("dpo", 2)] {
        let model = model();
        for (name, factor) in [(norm, 1e25), (next, 1e-25)] {
            let var = parameter(&model, name);
            var.set(&(var.as_detached_tensor() * factor).unwrap()).unwrap();
        }
        let (witness, words) =
            train_with(&model, &stage(objective, accumulation, "learning_rate=1e-2"), None);
        says(
            words,
            &[
                &format!(
                    "step 1: the gradient is too large for the sum of its squares in `{next}` (all 192 finite, up to "
                ),
                "for examples 0, 1 alone",
                "the batch is examples 0, 1",
            ],
        );
        assert_eq!(witness.halted.as_ref(), Some(&witness.between[0]));
    }
    let mut gradients = Gradients::new(&model()).unwrap();
    let place = gradients.names.iter().position(|name| name == MATRIX).unwrap();
    gradients.values[place] = Tensor::new(&[1.0f32, f32::INFINITY, f32::NAN], &Device::Cpu).unwrap();
    let words = gradients.norm().unwrap_err().to_string();
    assert_eq!(words, format!("the gradient is not finite in `{MATRIX}` (1 NaN and 1 infinite of 3)"));
}
