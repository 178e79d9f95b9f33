//! Reference mode, as configurations and manifests name it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A state of the paper's reference code whose protocol a study follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compat {
    /// Its last change, in May 2025.
    #[serde(rename = "learning-dynamics-2025-05")]
    LearningDynamics202505,
}

/// What was wrong in the reference code, or in an earlier state of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Greedy confidence, ‖A‖_F, ‖π − e‖ and energy are the last kind's.
    ArgmaxOfLastKind,
    /// log π is logged for y⁺ alone.
    ChosenOnly,
    /// Σ log(1 − max π) is NaN.
    ExceptArgmaxNan,
    /// The reference is the policy itself.
    PolicyAsReference,
    /// `epochs` does not end a stage.
    EpochsNeverEnd,
    /// The log is added to the one that is there.
    LogAppended,
}

impl fmt::Display for Compat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
