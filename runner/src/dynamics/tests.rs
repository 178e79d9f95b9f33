//! Predictions against dense A·K·G, against measurements, and against their own parts, in f64 on
//! small models of every architecture.

use super::decompose::{Detail, decompose};
use super::gauge::Gauge;
use super::triage::triage;
use super::{kernel, predict};
use crate::config::{self, Reduction, Stage};
use crate::data::TokenizedRecord;
use crate::model::{Model, small_models};
use crate::probe::When;
use crate::record::{Cause, Decomposition};
use crate::score::{self, Item};
use crate::seed;
use crate::train::{Example, Loss, Optimizer, Update, move_along, predicted_tokens};
use crate::value::Precision;
use candle_core::{DType, Device};
use ldyn_core::decomposition;
use ldyn_core::diagnostics::residual_into;
use ldyn_core::simplex::Distribution;
use ldyn_core::softmax;
use rand::Rng;

fn models() -> Vec<(&'static str, Model)> {
    small_models(11).unwrap()
}

fn ids(rng: &mut impl Rng, n: usize) -> Vec<u32> {
    (0..n).map(|_| rng.random_range(0..19)).collect()
}

/// A pair with a common first response token, and a record with three kinds.
fn data(seed: u64) -> (Example, TokenizedRecord) {
    let rng = &mut seed::rng(seed, "dynamics tests");
    let prompt = ids(rng, 3);
    let (mut chosen, mut rejected) = (ids(rng, 4), ids(rng, 3));
    rejected[0] = chosen[0];
    chosen[1] = 2;
    rejected[1] = 3;
    let other = ids(rng, 3);
    let example = Example {
        example: 0,
        prompt: prompt.clone(),
        responses: vec![chosen.clone(), rejected.clone()],
        reference: Some([-9.0, -8.0]),
    };
    let responses = vec![("chosen".into(), chosen), ("rejected".into(), rejected), ("other".into(), other)];
    (example, TokenizedRecord { example: 0, prompt, responses })
}

fn stage(objective: &str, optimizer: config::Optimizer, learning_rate: f64) -> Stage {
    let settings = Stage { warmup_steps: 0, max_grad_norm: 0.0, ..Stage::new(objective) };
    Stage { optimizer, learning_rate, ..settings }
}

const SGD: config::Optimizer = config::Optimizer::Sgd { momentum: 0.0, weight_decay: 0.0 };

fn loss(stage: &Stage) -> Loss {
    Loss::of(stage).unwrap()
}

/// The objectives that one pair trains through, with what they need, and one whose weights are no gradient.
fn objectives() -> Vec<Stage> {
    let names = ldyn_core::loss::TABLE.iter().map(|row| row.name);
    let gated = Stage { gate_alpha: Some(40.0), gate_tau: Some(0.05), ..stage("dpo", SGD, 1e-3) };
    let plain = names.map(|name| {
        let mut stage = stage(name, SGD, 1e-3);
        if matches!(name, "robust" | "exo_pair") {
            stage.label_smoothing = Some(0.1);
        }
        stage
    });
    plain.chain([gated]).collect()
}

fn example_for<'a>(example: &'a Example, stage: &Stage, single: &'a mut Example) -> &'a Example {
    if stage.objective == "sft" {
        *single = example.clone();
        single.responses.truncate(1);
        single
    } else {
        example
    }
}

fn run(model: &Model, stage: &Stage, seed: u64, detail: Detail) -> (Update, Decomposition) {
    let (pair, record) = data(seed);
    let mut single = pair.clone();
    let example = example_for(&pair, stage, &mut single);
    let parameters: Vec<_> = model.parameters().map(|(_, v)| v.clone()).collect();
    let optimizer = Optimizer::new(stage.optimizer, &parameters).unwrap();
    let loss = loss(stage);
    let update = Update::new(model, stage, &loss, &[example], &optimizer, [0, 1]).unwrap();
    let found =
        decompose(model, stage, &loss, &[example], &update, &[record], detail, &|_| String::new()).unwrap();
    (update, found)
}

#[test]
fn the_prediction_is_the_dense_product_of_a_k_and_g() {
    for (name, model) in models() {
        let (pair, record) = data(3);
        let mut single = pair.clone();
        single.responses.truncate(1);
        let observed = score::pack(&[Item::from(&record)]).unwrap();
        let with_kernel = |example| {
            let update = score::pack(&[Example::item(example)]).unwrap();
            let k = kernel::dense(&model, &observed, &update).unwrap();
            (example, update, k)
        };
        let (of_pair, of_single) = (with_kernel(&pair), with_kernel(&single));
        for stage in objectives() {
            let (_, found) = run(&model, &stage, 3, Detail::default());
            let (example, update, k) = if stage.objective == "sft" { &of_single } else { &of_pair };
            let dense = dense_akg(&model, &loss(&stage), example, &observed, update, k);
            let predicted = found.responses.iter().flat_map(|r| &r.tokens).map(|t| t.predicted);
            for (token, (fast, dense)) in predicted.zip(dense).enumerate() {
                let dense = stage.learning_rate * dense;
                assert!(
                    (fast - dense).abs() <= 1e-9 * dense.abs().max(1e-3 * stage.learning_rate),
                    "{name}, {}: token {token}: {fast} against {dense}",
                    stage.objective
                );
            }
        }
    }
}

/// −A·K·G at every observed label, by loops over everything.
fn dense_akg(
    model: &Model,
    loss: &Loss,
    example: &Example,
    observed: &score::Packed,
    update: &score::Packed,
    k: &[f64],
) -> Vec<f64> {
    let vocab = model.vocab_size();
    let logits = |packed: &score::Packed| -> Vec<Vec<f64>> {
        let all: Vec<Vec<f64>> = model.logits(&packed.ids, &packed.layout).unwrap().to_vec2().unwrap();
        packed.rows.iter().map(|&r| all[r as usize].clone()).collect()
    };
    // G: ∂L/∂log π is −w₊ and +w₋, so that ∂L/∂z = w₊(π − e) and −w₋(π − e).
    let mut means = crate::train::Means::default();
    let whole = [1, predicted_tokens(&[example])];
    let pass = crate::train::Pass::new(model, loss, &[example], whole, &mut means).unwrap();
    let mut g = vec![0.0; update.targets.len() * vocab];
    for ((z, &label), (&c, g)) in
        logits(update).iter().zip(&update.targets).zip(pass.coefficients.iter().zip(g.chunks_mut(vocab)))
    {
        residual_into(z, label as usize, softmax::log_sum_exp(z), -c, g).unwrap();
    }
    let width = g.len();
    let rows = logits(observed);
    let token = |(m, (z, &label)): (usize, (&Vec<f64>, &u32))| {
        let kg: Vec<f64> = (0..vocab)
            .map(|v| {
                let row = &k[(m * vocab + v) * width..][..width];
                -row.iter().zip(&g).map(|(k, g)| k * g).sum::<f64>()
            })
            .collect();
        let mut pi = vec![0.0; vocab];
        softmax::softmax_into(z, &mut pi).unwrap();
        let mut change = vec![0.0; vocab];
        decomposition::predicted_into(&Distribution::new(&pi).unwrap(), &kg, &mut change).unwrap();
        change[label as usize]
    };
    rows.iter().zip(&observed.targets).enumerate().map(token).collect()
}

#[test]
fn the_remainder_is_of_second_order_for_every_objective() {
    for (name, model) in models() {
        for stage in objectives() {
            // More than a decade of steps of one size whatever the weights, small enough for the next
            // order to stay out of the slope and large enough for rounding to.
            let (_, found) = run(&model, &stage, 5, Detail::default());
            let weight = found.update.weights.into_iter().fold(0.0, f64::max);
            let weight = if weight == 0.0 { 1.0 } else { weight };
            let stage = Stage { learning_rate: 1e-6 / weight, ..stage };
            let (_, found) = run(&model, &stage, 5, Detail { halvings: 4, ..Detail::default() });
            let order = found.order.unwrap();
            assert!((order - 2.0).abs() <= 0.05, "{name}, {}: order {order}", stage.objective);
        }
    }
}

#[test]
fn parts_groups_and_tokens_add_up_to_the_whole() {
    let adamw = config::Optimizer::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 };
    let rmsprop = config::Optimizer::default();
    for (name, model) in models() {
        for optimizer in [SGD, rmsprop, adamw] {
            let stage = stage("dpo", optimizer, 1e-4);
            let detail = Detail { groups: true, tokens: true, halvings: 0 };
            let (_, found) = run(&model, &stage, 7, detail);
            let map = found.tokens.unwrap();
            let mut column = 0;
            for r in &found.responses {
                let close = |sum: f64, what: &str| {
                    let scale: f64 = r.groups.iter().map(|(_, g)| g.abs()).sum();
                    assert!(
                        (sum - r.predicted).abs() <= 1e-10 * scale,
                        "{name}, {optimizer:?}, {}: {what}",
                        r.kind
                    );
                };
                close(r.causes.iter().map(|(_, c)| c).sum(), "causes");
                close(r.groups.iter().map(|(_, g)| g).sum(), "groups");
                let through: f64 = (0..map.rows.len())
                    .flat_map(|row| &map.values[row * map.columns.len()..][column..column + r.tokens.len()])
                    .sum();
                let decay: f64 = r.causes.iter().filter(|(c, _)| *c == Cause::Decay).map(|(_, d)| d).sum();
                close(through + decay, "tokens");
                column += r.tokens.len();
            }
        }
    }
}

#[test]
fn a_shared_first_token_cancels_between_the_two_responses() {
    // Same context and same label: with equal weights G₊ and G₋ are the same vector there.
    let (_, model) = models().remove(0);
    let stage = stage("dpo", SGD, 1e-3);
    let (_, found) = run(&model, &stage, 9, Detail { tokens: true, ..Detail::default() });
    let map = found.tokens.unwrap();
    let rows: Vec<usize> = (0..map.rows.len()).filter(|&r| map.rows[r].position == 0).collect();
    let n = map.columns.len();
    for column in 0..n {
        let [a, b] = [rows[0], rows[1]].map(|r| map.values[r * n + column]);
        assert!((a + b).abs() <= 1e-12 * a.abs().max(1e-12), "{a} and {b}");
    }
}

#[test]
fn random_vectors_estimate_the_norm_of_the_dense_kernel() {
    for (name, model) in models() {
        let (pair, record) = data(13);
        let one = |kind: usize| TokenizedRecord {
            responses: vec![record.responses[kind].clone()],
            ..record.clone()
        };
        let observed = one(2);
        let mut learned = pair.clone();
        learned.responses.truncate(1);
        let rng = &mut seed::rng(17, "kernel");
        let sft = Loss::Nll(Reduction::Sum);
        let rows =
            kernel::influence(&model, &sft, &learned, std::slice::from_ref(&observed), 64, rng).unwrap();
        let (o, u) =
            (score::pack(&[Item::from(&observed)]).unwrap(), score::pack(&[learned.item()]).unwrap());
        let exact = kernel::dense(&model, &o, &u).unwrap().iter().map(|k| k * k).sum::<f64>().sqrt();
        let row = &rows[0];
        assert!(
            (row.k_norm - exact).abs() <= 4.0 * row.k_norm_se && row.k_norm_se < 0.2 * exact,
            "{name}: {} ± {} against {exact}",
            row.k_norm,
            row.k_norm_se
        );
        // The paper's proxy is a lower bound of ‖K‖²_F.
        assert!(row.lbk <= exact * exact && row.lbk > 0.0, "{name}: {} above {}", row.lbk, exact * exact);
    }
}

#[test]
fn influence_is_the_prediction_for_plain_sgd() {
    let (_, model) = models().remove(2);
    let stage = stage("sft", SGD, 1e-3);
    let (_, found) = run(&model, &stage, 3, Detail::default());
    let (mut pair, record) = data(3);
    pair.responses.truncate(1);
    let rng = &mut seed::rng(1, "kernel");
    let rows = kernel::influence(&model, &loss(&stage), &pair, &[record], 0, rng).unwrap();
    for (row, response) in rows.iter().zip(&found.responses) {
        assert_eq!(row.kind, response.kind);
        assert!((row.influence * 1e-3 - response.predicted).abs() < 1e-12, "{row:?}");
    }
}

#[test]
fn a_direction_that_moves_nothing_predicts_nothing() {
    let (_, model) = models().remove(1);
    let (_, record) = data(2);
    let predicted =
        predict::predicted(&model, &[&crate::model::Direction::new()], &[Item::from(&record)]).unwrap();
    assert!(predicted.iter().flatten().flatten().all(|along| along[..] == [0.0]));
}

#[test]
fn triage_scores_are_what_they_are_called() {
    for (name, model) in models() {
        let stage = stage("dpo", config::Optimizer::default(), 1e-8);
        let loss = loss(&stage);
        let pairs: Vec<Example> = [2, 4].into_iter().map(|seed| data(seed).0).collect();
        let batch: Vec<&Example> = pairs.iter().collect();
        let both = Update::fresh(&model, &stage, &loss, &batch).unwrap().whole().unwrap();
        let own = |e: &Example| Update::fresh(&model, &stage, &loss, &[e]);
        let mut rows = Vec::new();
        triage(&model, &pairs, &both, &own, |row| {
            rows.push(row);
            Ok(())
        })
        .unwrap();
        // The steps are small enough for first order: taking them gives the predicted changes.
        for (pair, row) in pairs.iter().zip(&rows) {
            let logps = |m: &Model| -> Vec<f64> {
                score::score(m, &[pair.item()]).unwrap()[0].iter().map(|r| r.logp).collect()
            };
            let before = logps(&model);
            let mut top = score::pack(&[pair.item()]).unwrap();
            top.targets = score::token_stats(&model, &top).unwrap().iter().map(|s| s.argmax as u32).collect();
            let confidence = |m: &Model| -> f64 {
                score::token_stats(m, &top).unwrap()[top.ranges[1].clone()].iter().map(|s| s.logp).sum()
            };
            for (direction, predicted) in [
                (both.clone(), [row.data_chosen, row.data_rejected, row.data_argmax]),
                (own(pair).unwrap().whole().unwrap(), [row.own_chosen, row.own_rejected, row.own_argmax]),
            ] {
                let copy = model.copy().unwrap();
                move_along(&copy, &direction, 1.0).unwrap();
                let after = logps(&copy).into_iter().chain([confidence(&copy)]);
                let before = before.iter().copied().chain([confidence(&model)]);
                for ((after, before), predicted) in after.zip(before).zip(predicted) {
                    let measured = after - before;
                    assert!(
                        (measured - predicted).abs() < 1e-3 * measured.abs(),
                        "{name}: {measured} {predicted}"
                    );
                }
            }
            assert_eq!(row.first_difference, Some(1), "{name}");
            assert_eq!((row.shared_prefix, row.n_tokens), (1, [4, 3]));
            assert!(row.deepest >= row.rejected_depth && row.deepest_at < 3);
            // CHES by its definition, from hidden rows.
            let packed = score::pack(&[pair.item()]).unwrap();
            let hidden: Vec<Vec<f64>> =
                model.hidden_detached(&packed.ids, &packed.layout).unwrap().to_vec2().unwrap();
            let sum = |range: &std::ops::Range<usize>| -> Vec<f64> {
                let rows = packed.rows[range.clone()].iter().map(|&r| &hidden[r as usize]);
                rows.fold(vec![0.0; hidden[0].len()], |sum, h| {
                    sum.iter().zip(h).map(|(a, b)| a + b).collect()
                })
            };
            let (y, n) = (sum(&packed.ranges[0]), sum(&packed.ranges[1]));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let ches = dot(&y, &n) - dot(&y, &y);
            assert!((row.ches - ches).abs() < 1e-9 * ches.abs().max(1.0), "{name}");
        }
    }
}

/// A rounded tangent would leave 1e-3 between the parts and the whole.
#[test]
fn predictions_of_rounded_products_add_up_and_are_near_those_of_whole_ones() {
    for (name, model) in models() {
        let mut model =
            Model::init(model.config.clone(), DType::F32, &Device::Cpu, &mut seed::rng(11, name)).unwrap();
        let stage = stage("dpo", SGD, 1e-2);
        let detail = Detail { groups: true, ..Detail::default() };
        let (_, full) = run(&model, &stage, 3, detail);
        model.precision = Precision::Bf16;
        let (_, found) = run(&model, &stage, 3, detail);
        assert_eq!((&full.dtype[..], &found.dtype[..]), ("f32", "f32, products of bf16"));
        let size = full.responses.iter().map(|r| r.predicted.abs()).fold(0.0, f64::max);
        for (r, full) in found.responses.iter().zip(&full.responses) {
            let groups: f64 = r.groups.iter().map(|(_, predicted)| predicted).sum();
            assert!((groups - r.predicted).abs() < 3e-5 * size, "{name}: {groups} for {}", r.predicted);
            let far = (r.predicted - full.predicted).abs() / size;
            assert!(far > 0.0 && far < 0.05, "{name}: {} for {}", r.predicted, full.predicted);
        }
    }
}

#[test]
fn the_gauge_of_a_run_in_bf16_computes_with_whole_products() {
    let (name, model) = models().remove(0);
    let init =
        || Model::init(model.config.clone(), DType::F32, &Device::Cpu, &mut seed::rng(11, name)).unwrap();
    let (_, record) = data(3);
    let records = [record];
    let rows = |precision| {
        let mut model = init();
        model.precision = precision;
        let mut gauge = Gauge::new(&model, &records, 1).unwrap();
        // The same step for both.
        let (update, _) = run(&init(), &stage("dpo", SGD, 1e-3), 3, Detail::default());
        move_along(&model, &update.whole().unwrap(), 1.0).unwrap();
        gauge.after_step(&model, &When { stage: "dpo".into(), step: 1, examples_seen: 1 }, 1).unwrap()
    };
    let whole = rows(Precision::Full);
    assert_eq!(rows(Precision::Bf16), whole);
    assert!(
        whole.iter().all(|r| (r.measured - r.predicted).abs() < 0.1 * r.measured.abs().max(1e-3)),
        "{whole:?}"
    );
}
