//! Forms of other programs that a run's records are written in as well.

use serde::{Deserialize, Serialize};

/// What is written beside the records, and made from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracking {
    /// Event files for TensorBoard: see [`crate::tensorboard`].
    pub tensorboard: bool,
}

impl Tracking {
    /// Whether nothing is.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
