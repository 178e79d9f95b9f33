//! The core's losses and weights equal TRL's. `parity/loss_fixtures.py` made the fixture and says
//! how; only `ldyn-core` is needed here.

use ldyn_core::loss::{
    Aot, Divergence, Kto, LengthDesensitised, OTHERS, Objective, Outcome, PairLogps, Parameters,
    PreferenceLoss, TABLE, kl_baseline, smoothed_nll, smoothed_residual_into, wpo_weight,
};
use ldyn_core::softmax::log_sum_exp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Version of the layout that this reader knows.
const SCHEMA: u32 = 1;
/// Objectives that TRL 1.16 does not have: `ipo` on sums, `slic` without a reference, and `sft`, which
/// there is a token mean over the batch, are other losses under the same names.
const NOT_IN_TRL: [&str; 6] = ["sft", "ipo", "spin", "cal_dpo", "dpop", "slic"];
/// Relative to 1 + |expected|. In f64 both sides round each operation once.
const DOUBLE: f64 = 1e-14;
/// Where TRL computes in f32: its scores are exponentials whose arguments are rounded.
const SINGLE: f64 = 1e-6;

#[derive(Deserialize)]
struct Fixture {
    schema: u32,
    pairs: Vec<Pair>,
    smoothed_sft: Vec<Smoothed>,
    cases: Vec<Case>,
}

/// Log-probabilities by token.
#[derive(Deserialize)]
struct Pair {
    chosen: Vec<f64>,
    rejected: Vec<f64>,
    ref_chosen: Vec<f64>,
    ref_rejected: Vec<f64>,
}

#[derive(Deserialize)]
struct Smoothed {
    logits: Vec<f64>,
    label: usize,
    label_smoothing: f64,
    loss: f64,
    residual: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    trainer: String,
    loss_type: String,
    parameters: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    f32: bool,
    /// By pair: log ‖π‖² of the tokens of chosen and of rejected.
    log_sum_sq: Option<Vec<[Vec<f64>; 2]>>,
    mismatched_log_ratio: Option<f64>,
    loss: Vec<f64>,
    chosen_weight: Vec<Weight>,
    rejected_weight: Vec<Weight>,
}

/// The weight of every token, or of each.
#[derive(Deserialize)]
#[serde(untagged)]
enum Weight {
    Every(f64),
    Each(Vec<f64>),
}

impl Pair {
    fn sums(&self, ld: LengthDesensitised<f64>) -> PairLogps<f64> {
        let (chosen_len, rejected_len) = (self.chosen.len(), self.rejected.len());
        PairLogps {
            chosen: ld.sum(&self.chosen, rejected_len),
            rejected: ld.sum(&self.rejected, chosen_len),
            ref_chosen: ld.sum(&self.ref_chosen, rejected_len),
            ref_rejected: ld.sum(&self.ref_rejected, chosen_len),
            chosen_len,
            rejected_len,
        }
    }
}

impl Case {
    fn name(&self) -> String {
        format!("{} {} {:?}", self.trainer, self.loss_type, self.parameters)
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.parameters.get(key).map(|v| v.as_f64().unwrap_or_else(|| panic!("{}: {key}", self.name())))
    }

    /// The objective's name here.
    fn objective(&self) -> &str {
        match (self.trainer.as_str(), self.loss_type.as_str()) {
            ("dpo", "ipo") => "ipo_mean",
            ("cpo", "sigmoid") => "cpo",
            ("kto", _) => "kto",
            (_, name) => name,
        }
    }

    fn settings(&self) -> Parameters<f64> {
        let default = Parameters::default();
        let or = |key, default: f64| self.number(key).unwrap_or(default);
        let divergence = self.parameters.get("f_divergence_type").map_or(Divergence::ReverseKl, |name| {
            Divergence::parse(name.as_str().unwrap(), or("f_alpha_divergence_coef", 0.5)).unwrap()
        });
        let cpo_alpha = or("cpo_alpha", default.cpo_alpha);
        Parameters {
            beta: or("beta", default.beta),
            label_smoothing: or("label_smoothing", 0.0),
            discopop_tau: or("discopop_tau", default.discopop_tau),
            simpo_gamma: or("simpo_gamma", default.simpo_gamma),
            cpo_alpha,
            // TRL's NLL term of SimPO.
            rpo_alpha: if self.objective() == "simpo" { cpo_alpha } else { 0.0 },
            divergence,
            ..default
        }
    }

    /// Outcomes of the pairs as this crate computes them.
    fn outcomes(&self, pairs: &[Pair], ld: LengthDesensitised<f64>) -> Vec<Outcome<f64>> {
        let sums: Vec<_> = pairs.iter().map(|pair| pair.sums(ld)).collect();
        let p = self.settings();
        match self.objective() {
            "aot" => batch(Aot::paired(p.beta, p.label_smoothing).unwrap(), &sums),
            "aot_unpaired" => batch(Aot::unpaired(p.beta, p.label_smoothing).unwrap(), &sums),
            "kto" => {
                let weight = |key| self.number(key).unwrap();
                let kto = Kto::new(p.beta, weight("desirable_weight"), weight("undesirable_weight")).unwrap();
                let z = kl_baseline(&[self.mismatched_log_ratio.unwrap()]).unwrap();
                let outcome = |pair: &PairLogps<f64>| {
                    let (chosen, rejected) = pair.log_ratios();
                    let (good, bad) = (kto.desirable(chosen, z), kto.undesirable(rejected, z));
                    // The mean over both examples.
                    let loss = (good.loss + bad.loss) / 2.0;
                    Outcome { loss, chosen_weight: good.weight, rejected_weight: bad.weight }
                };
                sums.iter().map(outcome).collect()
            }
            name => {
                let objective = Objective::parse(name, &p).unwrap();
                sums.iter().map(|pair| objective.outcome(pair)).collect()
            }
        }
    }
}

fn batch(aot: Aot<f64>, pairs: &[PairLogps<f64>]) -> Vec<Outcome<f64>> {
    let mut out = vec![Outcome { loss: 0.0, chosen_weight: 0.0, rejected_weight: 0.0 }; pairs.len()];
    aot.outcomes_into(pairs, &mut vec![0; 2 * pairs.len()], &mut out).unwrap();
    out
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/fixtures/losses.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let fixture: Fixture = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert_eq!(fixture.schema, SCHEMA, "make the fixture again with loss_fixtures.py");
    fixture
}

/// The largest error so far, relative to 1 + |expected|, and where.
#[derive(Default)]
struct Worst {
    compared: usize,
    error: f64,
    at: String,
}

impl Worst {
    fn compare(&mut self, found: f64, expected: f64, at: impl FnOnce() -> String) {
        let error = (found - expected).abs() / (1.0 + expected.abs());
        self.compared += 1;
        if error.is_nan() || error > self.error {
            self.error = if error.is_nan() { f64::INFINITY } else { error };
            self.at = format!("{}: {found} found, {expected} expected", at());
        }
    }

    fn finish(self, what: &str, limit: f64) {
        let report = format!("{what}: {} compared, worst {:.1e} at {}", self.compared, self.error, self.at);
        assert!(self.compared > 0 && self.error <= limit, "{report}");
        println!("{report}");
    }
}

#[test]
fn losses_and_weights_equal_those_of_trl() {
    let fixture = fixture();
    let (mut double, mut single) = (Worst::default(), Worst::default());
    for case in &fixture.cases {
        let worst = if case.f32 { &mut single } else { &mut double };
        let pairs = &fixture.pairs[..case.chosen_weight.len()];
        let ld = LengthDesensitised::new(case.number("ld_alpha").unwrap_or(1.0)).unwrap();
        let mut outcomes = case.outcomes(pairs, ld);
        if let Some(log_sum_sq) = &case.log_sum_sq {
            for ((outcome, pair), [chosen, rejected]) in outcomes.iter_mut().zip(pairs).zip(log_sum_sq) {
                let weight = |logps: &[f64], log_sums: &[f64]| {
                    let sums: Vec<f64> = log_sums.iter().map(|l| l.exp()).collect();
                    wpo_weight(logps, &sums).unwrap()
                };
                *outcome = outcome.scaled(weight(&pair.chosen, chosen) * weight(&pair.rejected, rejected));
            }
        }
        let losses: Vec<f64> = outcomes.iter().map(|o| o.loss).collect();
        if case.loss.len() == 1 {
            let mean = losses.iter().sum::<f64>() / losses.len() as f64;
            worst.compare(mean, case.loss[0], || format!("{} loss", case.name()));
        } else {
            assert_eq!(losses.len(), case.loss.len(), "{}", case.name());
            for (i, (found, expected)) in losses.iter().zip(&case.loss).enumerate() {
                worst.compare(*found, *expected, || format!("{} loss of pair {i}", case.name()));
            }
        }
        for (i, (outcome, pair)) in outcomes.iter().zip(pairs).enumerate() {
            let lengths = (pair.chosen.len(), pair.rejected.len());
            for (found, expected, len, other) in [
                (outcome.chosen_weight, &case.chosen_weight[i], lengths.0, lengths.1),
                (outcome.rejected_weight, &case.rejected_weight[i], lengths.1, lengths.0),
            ] {
                let at = || format!("{} weight of pair {i}", case.name());
                match expected {
                    Weight::Every(expected) => worst.compare(found, *expected, at),
                    Weight::Each(tokens) => {
                        assert_eq!(tokens.len(), len, "{}", at());
                        for (l, expected) in tokens.iter().enumerate() {
                            worst.compare(found * ld.token_weight(l, other), *expected, at);
                        }
                    }
                }
            }
        }
    }
    double.finish("in f64", DOUBLE);
    single.finish("where TRL computes in f32", SINGLE);
}

#[test]
fn every_objective_is_compared_or_known_to_be_missing_there() {
    let fixture = fixture();
    let p = Parameters { label_smoothing: 0.1, ..Parameters::<f64>::default() };
    let mut compared = BTreeSet::new();
    for case in &fixture.cases {
        compared.insert(Objective::parse(case.objective(), &p).map_or(case.objective(), |o| o.info().name));
    }
    let missing: BTreeSet<&str> = NOT_IN_TRL.into();
    assert!(compared.is_disjoint(&missing), "{compared:?}");
    let defined: BTreeSet<&str> =
        TABLE.iter().map(|row| row.name).chain(OTHERS.iter().map(|row| row.name)).collect();
    assert_eq!(compared.union(&missing).copied().collect::<BTreeSet<_>>(), defined);
}

#[test]
fn smoothed_sft_equals_that_of_torch() {
    let mut worst = Worst::default();
    for row in fixture().smoothed_sft {
        let at = || format!("ε = {}", row.label_smoothing);
        worst.compare(smoothed_nll(&row.logits, row.label, row.label_smoothing).unwrap(), row.loss, at);
        let mut residual = vec![0.0; row.logits.len()];
        let log_z = log_sum_exp(&row.logits);
        smoothed_residual_into(&row.logits, row.label, log_z, row.label_smoothing, &mut residual).unwrap();
        for (found, expected) in residual.into_iter().zip(row.residual) {
            worst.compare(found, expected, at);
        }
    }
    worst.finish("smoothed SFT", DOUBLE);
}
