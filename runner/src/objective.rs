//! The preference losses of a stage: the core's, by the names of configurations.

use anyhow::{Context, Result, anyhow, bail};
use ldyn_core::Error;
use ldyn_core::loss::{
    Aot, Gate, LengthDesensitised, OTHERS, Objective, Outcome, PairLogps, Parameters, PreferenceLoss, Slic,
    wpo_weight,
};

/// A loss of pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PairLoss {
    /// A function of each pair.
    Each(Objective<f64>),
    /// A function of all pairs of a forward pass together.
    Batch(Aot<f64>, &'static str),
    /// SLiC whose SFT term acts on a third response.
    Anchored(Slic<f64>),
}

/// What a loss is and reads.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in the core's tables.
    pub name: &'static str,
    /// Its formula.
    pub loss: &'static str,
    /// Parameters, which have defaults.
    pub parameters: &'static [&'static str],
    /// Options, which are off by default.
    pub options: &'static [&'static str],
}

impl PairLoss {
    /// The loss called `name`; with an `anchor`, SLiC on a response of its own.
    ///
    /// # Errors
    /// An unknown name, a parameter out of its range, a loss that is not trained here.
    pub fn parse(name: &str, p: &Parameters<f64>, anchor: bool) -> Result<Self> {
        Ok(match name {
            "aot" => Self::Batch(Aot::paired(p.beta, p.label_smoothing)?, "aot"),
            "aot_unpaired" => Self::Batch(Aot::unpaired(p.beta, p.label_smoothing)?, "aot_unpaired"),
            "slic" if anchor => Self::Anchored(Slic::new(p.delta, p.sft_weight)?),
            "kto" => bail!(
                "KTO compares with the log-ratios of mismatched prompts and responses, which training here does not compute; `apo_zero` is its form with the baseline 0 on pairs, and `ldyn_core::loss::Kto` has the loss"
            ),
            _ => Self::Each(Objective::parse(name, p).map_err(|e| match e {
                Error::Unknown { .. } => anyhow!("{e}, aot, aot_unpaired, pretrain"),
                e => e.into(),
            })?),
        })
    }

    /// What the loss is and reads.
    pub fn row(&self) -> Row {
        let name = match self {
            Self::Each(objective) => {
                let info = objective.info();
                let (parameters, options) = (info.parameters, info.options);
                return Row { name: info.name, loss: info.loss, parameters, options };
            }
            Self::Anchored(_) => {
                let loss = "max(0, δ − g) − λ·log π(anchor)";
                return Row { name: "slic", loss, parameters: &["delta", "sft_weight"], options: &[] };
            }
            Self::Batch(_, name) => *name,
        };
        let info = OTHERS.iter().find(|row| row.name == name).expect("a row of the core's table");
        Row { name, loss: info.loss, parameters: info.parameters, options: &[] }
    }

    /// Whether the reference log-probabilities are read.
    pub fn uses_reference(&self) -> bool {
        match self {
            Self::Each(objective) => objective.uses_reference(),
            Self::Batch(..) => true,
            Self::Anchored(_) => false,
        }
    }
}

/// A preference loss, with what weighs tokens and pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preference {
    /// The loss.
    pub loss: PairLoss,
    /// LD-DPO's weights of tokens.
    pub ld: Option<LengthDesensitised<f64>>,
    /// WPO's weights of pairs.
    pub weighted: bool,
    /// Gate-DPO's factor on w₋.
    pub gate: Option<Gate<f64>>,
    /// Weight of the mean NLL of y⁺ that is added to whatever the loss is; 0 for none.
    pub anchor: f64,
    /// A fault of the reference code: log π_ref is always log π.
    pub policy_as_reference: bool,
}

impl Preference {
    /// log π of a response from those of its tokens, beside a response of `other_len` tokens.
    pub fn sum(&self, logps: &[f64], other_len: usize) -> f64 {
        self.ld.map_or_else(|| logps.iter().sum(), |ld| ld.sum(logps, other_len))
    }

    /// The factor of a token on its response's weight.
    pub fn token_weight(&self, index: usize, other_len: usize) -> f64 {
        self.ld.map_or(1.0, |ld| ld.token_weight(index, other_len))
    }

    /// Losses and weights of the pairs of a forward pass, and the weight of each anchor. `anchors`
    /// holds log π of the third responses, if the loss has them.
    ///
    /// # Errors
    /// None for as many anchors as pairs.
    pub fn outcomes(&self, pairs: &[PairLogps<f64>], anchors: &[f64]) -> Result<Vec<(Outcome<f64>, f64)>> {
        let mut outcomes: Vec<(Outcome<f64>, f64)> = match &self.loss {
            PairLoss::Each(objective) => pairs.iter().map(|pair| (objective.outcome(pair), 0.0)).collect(),
            PairLoss::Anchored(slic) => {
                pairs.iter().zip(anchors).map(|(pair, &anchor)| slic.anchored(pair, anchor)).collect()
            }
            PairLoss::Batch(aot, _) => {
                let zero = Outcome { loss: 0.0, chosen_weight: 0.0, rejected_weight: 0.0 };
                let mut out = vec![zero; pairs.len()];
                aot.outcomes_into(pairs, &mut vec![0; 2 * pairs.len()], &mut out)?;
                out.into_iter().map(|outcome| (outcome, 0.0)).collect()
            }
        };
        for (pair, (outcome, _)) in pairs.iter().zip(&mut outcomes) {
            let weight = self.anchor / pair.chosen_len as f64;
            outcome.loss -= weight * pair.chosen;
            outcome.chosen_weight += weight;
        }
        Ok(outcomes)
    }

    /// The outcome of a pair with w₋ gated, from log π of the tokens of its rejected response.
    pub fn gated(&self, outcome: Outcome<f64>, rejected: &[f64]) -> Outcome<f64> {
        self.gate.map_or(outcome, |gate| gate.gated(outcome, rejected))
    }

    /// WPO's factor of a pair, from log π and ‖π‖² of its responses' tokens.
    ///
    /// # Errors
    /// Lists of different lengths.
    pub fn pair_weight(&self, chosen: (&[f64], &[f64]), rejected: (&[f64], &[f64])) -> Result<f64> {
        let weight = |(logps, sum_sq)| wpo_weight(logps, sum_sq).context("WPO");
        Ok(weight(chosen)? * weight(rejected)?)
    }
}
