//! What can be followed over a run, each with its definition, name and unit.

use super::text::symbol;
use crate::record::ProbeRow;

/// A number read off one probe row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// log π(y): sum over the response's tokens, nats.
    Logp,
    /// log π(y) / tokens, nats per token.
    LogpMean,
    /// Greedy confidence Σ log max_v π(v) in the contexts of this response, teacher-forced, nats.
    Greedy,
    /// Greedy confidence / tokens, nats per token.
    GreedyMean,
    /// Probability of the label, arithmetic mean over tokens: 1 − energy.
    LabelMean,
    /// Probability of the label, geometric mean over tokens.
    LabelMass,
    /// Probability of the most likely token, geometric mean over tokens.
    ArgmaxMass,
    /// Probability outside the most likely token, geometric mean over tokens.
    RestMass,
    /// ‖A‖_F, mean over tokens.
    ANorm,
    /// ‖π − e_y‖₂, mean over tokens.
    GapNorm,
    /// Entropy, mean over tokens, nats.
    Entropy,
}

impl Measure {
    /// The number itself.
    pub fn value(self, row: &ProbeRow) -> f64 {
        let tokens = row.n_tokens.max(1) as f64;
        match self {
            Self::Logp => row.logp,
            Self::LogpMean => row.logp_mean,
            Self::Greedy => row.argmax_logp,
            Self::GreedyMean => row.argmax_logp / tokens,
            Self::LabelMean => 1.0 - row.energy,
            Self::LabelMass => row.logp_mean.exp(),
            Self::ArgmaxMass => (row.argmax_logp / tokens).exp(),
            Self::RestMass => (row.rest_logp / tokens).exp(),
            Self::ANorm => row.a_norm,
            Self::GapNorm => row.gap_norm,
            Self::Entropy => row.entropy,
        }
    }

    /// Key in `report.json`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Logp => "logp",
            Self::LogpMean => "logp_mean",
            Self::Greedy => "argmax_logp",
            Self::GreedyMean => "argmax_logp_mean",
            Self::LabelMean => "label_mass_arithmetic",
            Self::LabelMass => "label_mass_geometric",
            Self::ArgmaxMass => "argmax_mass_geometric",
            Self::RestMass => "rest_mass_geometric",
            Self::ANorm => "a_norm",
            Self::GapNorm => "gap_norm",
            Self::Entropy => "entropy",
        }
    }

    /// Unit; empty for a pure number.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Logp | Self::Greedy => "nats",
            Self::LogpMean | Self::GreedyMean | Self::Entropy => "nats/token",
            Self::LabelMean | Self::LabelMass | Self::ArgmaxMass | Self::RestMass => "",
            Self::ANorm | Self::GapNorm => "",
        }
    }

    /// Decimals that a reader needs.
    pub fn decimals(self) -> usize {
        match self {
            Self::Logp | Self::Greedy | Self::ANorm => 2,
            _ => 3,
        }
    }
}

/// Something to follow over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity<'a> {
    /// A measure of one response kind.
    Of(Measure, &'a str),
    /// The measure of `chosen` minus that of `rejected`, prompt by prompt.
    Margin(Measure),
}

impl<'a> Quantity<'a> {
    /// What is measured.
    pub fn measure(self) -> Measure {
        match self {
            Self::Of(measure, _) | Self::Margin(measure) => measure,
        }
    }

    /// The response kind that it belongs to; the margin belongs to none.
    pub fn kind(self) -> Option<&'a str> {
        match self {
            Self::Of(_, kind) => Some(kind),
            Self::Margin(_) => None,
        }
    }

    /// Key in `report.json`.
    pub fn key(self) -> String {
        match self {
            Self::Of(measure, _) => measure.key().into(),
            Self::Margin(measure) => format!("margin_{}", measure.key()),
        }
    }

    /// The same per token, where the unit is nats per response.
    pub fn per_token(self) -> Option<Self> {
        let per_token = match self.measure() {
            Measure::Logp => Measure::LogpMean,
            Measure::Greedy => Measure::GreedyMean,
            _ => return None,
        };
        Some(match self {
            Self::Of(_, kind) => Self::Of(per_token, kind),
            Self::Margin(_) => Self::Margin(per_token),
        })
    }

    /// Name in formulas and sentences.
    pub fn name(self) -> String {
        match self {
            Self::Of(measure, kind) => {
                let y = symbol(kind);
                match measure {
                    Measure::Logp => format!("log π({y})"),
                    Measure::LogpMean => format!("log π({y}) per token"),
                    Measure::Greedy => format!("greedy confidence in the contexts of {y}"),
                    Measure::GreedyMean => format!("greedy confidence per token in the contexts of {y}"),
                    Measure::LabelMean => format!("mean π of the label in the contexts of {y}"),
                    Measure::LabelMass => format!("π of the label in the contexts of {y}"),
                    Measure::ArgmaxMass => format!("π of the argmax in the contexts of {y}"),
                    Measure::RestMass => format!("π outside the argmax in the contexts of {y}"),
                    Measure::ANorm => format!("‖A‖_F in the contexts of {y}"),
                    Measure::GapNorm => format!("‖π − e_y‖ in the contexts of {y}"),
                    Measure::Entropy => format!("entropy in the contexts of {y}"),
                }
            }
            Self::Margin(Measure::LogpMean) => "margin per token".into(),
            Self::Margin(_) => "margin log π(y⁺) − log π(y⁻)".into(),
        }
    }
}
