//! The one error type: what was found, what was expected, where.

use core::fmt;

/// Why a function of this crate refused its input.
///
/// Every variant says what was found, what was expected and where. The type is small and
/// `Copy`; new variants may be added.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A slice that must hold at least one element is empty.
    Empty {
        /// The argument's name.
        name: &'static str,
    },
    /// Two slices that must be equally long are not.
    Length {
        /// The argument's name.
        name: &'static str,
        /// Elements found.
        found: usize,
        /// Elements expected.
        expected: usize,
    },
    /// A label that is not below the vocabulary size.
    Label {
        /// The label.
        found: usize,
        /// The vocabulary size V.
        vocab: usize,
    },
    /// A logit that is NaN or +∞; finite numbers and −∞ are logits.
    Logit {
        /// Its position in the row.
        index: usize,
    },
    /// All logits are −∞: no label has mass, so there is no distribution.
    NoMass,
    /// A number outside the range where it means something.
    Range {
        /// The parameter's name.
        name: &'static str,
        /// The value found.
        found: f64,
        /// The range in words, such as `> 0`.
        expected: &'static str,
    },
    /// A name that names nothing.
    Unknown {
        /// What kind of name was looked up, such as `objective`.
        name: &'static str,
        /// The names there are.
        expected: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Empty { name } => write!(f, "`{name}` is empty; it needs at least one element"),
            Error::Length { name, found, expected } => {
                write!(f, "`{name}` has {found} elements; expected {expected}")
            }
            Error::Label { found, vocab } => {
                write!(f, "label {found} is outside the vocabulary; expected a label below {vocab}")
            }
            Error::Logit { index } => {
                write!(f, "logit {index} is NaN or +∞; expected a finite number or −∞")
            }
            Error::NoMass => write!(f, "all logits are −∞; expected at least one finite logit"),
            Error::Range { name, found, expected } => {
                write!(f, "`{name}` is {found}; expected {expected}")
            }
            Error::Unknown { name, expected } => {
                write!(f, "unknown {name}; expected one of: {expected}")
            }
        }
    }
}

impl core::error::Error for Error {}
