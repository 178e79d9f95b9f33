//! The f-divergence of the constraint to the reference, as the score that replaces a log-ratio.

use crate::softmax::{log_sigmoid, sigmoid};
use crate::{Error, Real};

/// The f-divergence that ties the policy to the reference: f-DPO replaces each log-ratio r by a
/// score f(r), the derivative of the divergence's generator at π/π_ref = eʳ (up to a constant,
/// which the margin cancels).
///
/// # Definition
///
/// As [`DIVERGENCES`] has it. Source: Wang et al. 2023, *Beyond Reverse KL*.
///
/// # Special cases
///
/// Only margins may take another divergence than `ReverseKl`: elsewhere the partition function
/// does not cancel. eˣ is taken at most at x = 80 and the slope is 0 beyond, as TRL does for
/// α-divergences, so that scores stay finite: such a response has lost 80 nats or more against
/// the reference (80/|c − 1| for α). An α-divergence with |c − 1| < 10⁻⁶ is its limit,
/// `ReverseKl`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Divergence<T> {
    /// KL(π ‖ π_ref): standard DPO.
    #[default]
    ReverseKl,
    /// KL(π_ref ‖ π).
    ForwardKl,
    /// Jensen–Shannon.
    JsDivergence,
    /// The α-divergence with this coefficient c.
    AlphaDivergence(T),
}

impl<T: Real> Divergence<T> {
    /// The divergence called `name` in TRL; `coefficient` is read by `alpha_divergence`.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] for another name; [`Error::Range`] for a coefficient that is not finite.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::loss::Divergence;
    /// assert_eq!(Divergence::parse("forward_kl", 0.5)?, Divergence::ForwardKl);
    /// assert!(Divergence::parse("kl", 0.5).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn parse(name: &str, coefficient: T) -> Result<Self, Error> {
        match name {
            "reverse_kl" => Ok(Divergence::ReverseKl),
            "forward_kl" => Ok(Divergence::ForwardKl),
            "js_divergence" => Ok(Divergence::JsDivergence),
            "alpha_divergence" if coefficient.is_finite() => Ok(Divergence::AlphaDivergence(coefficient)),
            "alpha_divergence" => Err(Error::Range {
                name: "f_alpha_divergence_coef",
                found: coefficient.to_f64(),
                expected: "a finite number",
            }),
            _ => Err(Error::Unknown {
                name: "f_divergence_type",
                expected: "reverse_kl, forward_kl, js_divergence, alpha_divergence",
            }),
        }
    }

    /// The divergence's row of [`DIVERGENCES`].
    pub fn info(&self) -> &'static DivergenceInfo {
        &DIVERGENCES[match self {
            Divergence::ReverseKl => 0,
            Divergence::ForwardKl => 1,
            Divergence::JsDivergence => 2,
            Divergence::AlphaDivergence(_) => 3,
        }]
    }

    /// f(r).
    pub fn score(&self, log_ratio: T) -> T {
        match *self {
            Divergence::ReverseKl => log_ratio,
            Divergence::ForwardKl => -capped(-log_ratio).exp_m1(),
            Divergence::JsDivergence => T::LN_2 + log_sigmoid(log_ratio),
            Divergence::AlphaDivergence(c) => match exponent(c) {
                Some(power) => capped(power * log_ratio).exp_m1() / power,
                None => log_ratio,
            },
        }
    }

    /// f′(r) ≥ 0.
    pub fn slope(&self, log_ratio: T) -> T {
        match *self {
            Divergence::ReverseKl => T::ONE,
            Divergence::ForwardKl => capped_exp(-log_ratio),
            Divergence::JsDivergence => sigmoid(-log_ratio),
            Divergence::AlphaDivergence(c) => {
                exponent(c).map_or(T::ONE, |power| capped_exp(power * log_ratio))
            }
        }
    }
}

/// c − 1, where it is far enough from 0.
fn exponent<T: Real>(coefficient: T) -> Option<T> {
    let power = coefficient - T::ONE;
    (power.abs() >= T::from_f64(1e-6)).then_some(power)
}

fn cap<T: Real>() -> T {
    T::from_f64(80.0)
}

fn capped<T: Real>(x: T) -> T {
    if x > cap() { cap() } else { x }
}

/// The derivative of `capped(x).exp_m1()`.
fn capped_exp<T: Real>(x: T) -> T {
    if x > cap() { T::ZERO } else { x.exp() }
}

/// What a divergence is, in formulas of the log-ratio r and the coefficient c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DivergenceInfo {
    /// Its name in configurations, TRL's.
    pub name: &'static str,
    /// f(r).
    pub score: &'static str,
    /// f′(r).
    pub slope: &'static str,
}

/// All divergences.
pub const DIVERGENCES: &[DivergenceInfo] = &[
    DivergenceInfo { name: "reverse_kl", score: "r", slope: "1" },
    DivergenceInfo { name: "forward_kl", score: "1 − exp(−r)", slope: "exp(−r)" },
    DivergenceInfo { name: "js_divergence", score: "log(2) + logσ(r)", slope: "σ(−r)" },
    DivergenceInfo {
        name: "alpha_divergence",
        score: "(exp((c − 1)·r) − 1)/(c − 1)",
        slope: "exp((c − 1)·r)",
    },
];
