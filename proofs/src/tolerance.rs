//! How much rounding each statement is allowed: the only place where tests take a tolerance from.

/// An allowance for rounding, with its reason.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The name used in `STATEMENTS.md`.
    pub name: &'static str,
    /// Allowed error per unit of the scale that the test states.
    pub relative: f64,
    /// Why it is this large and no larger.
    pub reason: &'static str,
}

impl Tolerance {
    /// Whether `found` is `exact` within the allowance at the given scale.
    pub fn equal(&self, found: f64, exact: f64, scale: f64) -> bool {
        found == exact || (found - exact).abs() <= self.relative * scale
    }

    /// Whether `margin` ≥ 0 within the allowance at the given scale.
    pub fn holds(&self, margin: f64, scale: f64) -> bool {
        margin >= -self.relative * scale
    }
}

/// No allowance: the claim holds in rounded numbers as it stands.
pub const EXACT: Tolerance = Tolerance {
    name: "EXACT",
    relative: 0.0,
    reason: "the computation is arranged so that signs survive rounding",
};

/// Matrix identities in f64.
pub const ALGEBRA: Tolerance = Tolerance {
    name: "ALGEBRA",
    relative: 1e-14,
    reason: "sums of fewer than 40 products, each with a few roundings of 1.1e-16",
};

/// Log-probabilities after one step, against the oracle on logits.
pub const GROWTH: Tolerance = Tolerance {
    name: "GROWTH",
    relative: 4e-15,
    reason: "two log-softmaxes and z + s·v, each rounded at the size of z and s: the scale",
};

/// A remainder computed as a small number, against a difference of large ones.
pub const REMAINDER: Tolerance = Tolerance {
    name: "REMAINDER",
    relative: 1e-14,
    reason: "the oracle subtracts log-probabilities of the scale's size",
};

/// Slopes measured on a log–log plot.
pub const SLOPE: Tolerance = Tolerance {
    name: "SLOPE",
    relative: 0.02,
    reason: "the next order of the expansion contributes O(s) to the slope at s = 1e-3",
};

/// A difference quotient against a derivative.
pub const RATE: Tolerance = Tolerance {
    name: "RATE",
    relative: 2.0,
    reason: "the second derivatives of bounded moves are below 4; the scale adds s and rounding over s",
};

/// Where an iteration has converged, or a few roundings of unit numbers are compared.
pub const LIMIT: Tolerance = Tolerance {
    name: "LIMIT",
    relative: 1e-12,
    reason: "thousands of steps whose rounding errors are damped, or ten roundings of the scale",
};

/// Digits quoted in the literature.
pub const QUOTED: Tolerance = Tolerance {
    name: "QUOTED",
    relative: 0.501,
    reason: "half a unit of the last printed digit, which is the scale",
};

/// Statistics of one row from the fast sweeps in f64.
pub const SWEEP_F64: Tolerance = Tolerance {
    name: "SWEEP_F64",
    relative: 4e-15,
    reason: "z − max is rounded at the scale, the exponential is within 2 ulp, the oracle likewise",
};

/// Statistics of one row from the fast sweeps in f32.
pub const SWEEP_F32: Tolerance = Tolerance {
    name: "SWEEP_F32",
    relative: 5e-7,
    reason: "as SWEEP_F64 with an epsilon of 1.2e-7, against an exact oracle",
};

/// The exponential of the sweeps, in ulp.
pub const EXP: Tolerance = Tolerance {
    name: "EXP",
    relative: 2.0,
    reason: "half an ulp each for the polynomial's last sum and the reduced argument, doubled across a power of 2",
};

/// Softmax, in ε·(1 + |x|) of each probability.
pub const SOFTMAX: Tolerance = Tolerance {
    name: "SOFTMAX",
    relative: 2.0,
    reason: "x = z − max is rounded by ε|x|/2; exponential, sum and scaling by some ε/2 each",
};

/// Log-softmax, in ε·(1 + |log π|).
pub const LOG_SOFTMAX: Tolerance = Tolerance {
    name: "LOG_SOFTMAX",
    relative: 1.5,
    reason: "three roundings of at most half an ulp of log π, and the sum's relative error",
};

/// Log-sum-exp, in ε·(1 + |max| + |result|).
pub const LOG_SUM_EXP: Tolerance = Tolerance {
    name: "LOG_SUM_EXP",
    relative: 1.0,
    reason: "the logarithm and the result are rounded once each, and the sum's relative error",
};

/// Functions of one number, in ulp.
pub const SCALAR: Tolerance = Tolerance {
    name: "SCALAR",
    relative: 4.0,
    reason: "two functions or quotients within 1 ulp each, doubled across a power of 2",
};

/// Products with A and Aᵀ, in ε of the largest number that is subtracted.
pub const ADAPTATION: Tolerance = Tolerance {
    name: "ADAPTATION",
    relative: 2.0,
    reason: "mean and difference are rounded by ε/2 and ε; in f64 the mean's sum adds to that",
};

/// Entropy and norms of a given π, in ε.
pub const DISTRIBUTION: Tolerance = Tolerance {
    name: "DISTRIBUTION",
    relative: 6.0,
    reason: "sums of numbers of one sign in f64: a lane takes 32 of them, and the rest is compensated",
};

/// Token statistics, in ε·(1 + d), d nats from the maximum to the runner-up.
pub const TOKEN: Tolerance = Tolerance {
    name: "TOKEN",
    relative: 4.0,
    reason: "the mass below the maximum has the relative error of its exponentials; squares double it",
};

/// The residual, in ε·(1 + |z| + |log_z|) of each entry's π.
pub const RESIDUAL: Tolerance = Tolerance {
    name: "RESIDUAL",
    relative: 2.0,
    reason: "z and log_z are rounded before they are subtracted",
};

/// The remainder −KL, in roundings of its f64 sums and one of the result.
pub const KL: Tolerance = Tolerance {
    name: "KL",
    relative: 4.0,
    reason: "17 terms of a series and a sum over the labels in f64, all of one sign",
};

/// log α of a negative step, in ε of itself (y, y*) or of what it is the difference of (the others).
pub const GROWN: Tolerance = Tolerance {
    name: "GROWN",
    relative: 6.0,
    reason: "sums of one sign in f64, their logarithm, the rounding of the result, and the mass of a rounded π",
};

/// Inner products and products with a kernel, in the worst case of their sums.
pub const KERNEL: Tolerance = Tolerance {
    name: "KERNEL",
    relative: 1.0,
    reason: "the unit counts every rounding of the sum, as if all agreed",
};

/// Losses and weights, in ε·(1 + |βh|) of themselves or of what they are the difference of.
pub const LOSS: Tolerance = Tolerance {
    name: "LOSS",
    relative: 4.0,
    reason: "βh is rounded before a function within 4 ulp is taken of it; products and sums by ε/2 each",
};

/// All tolerances.
pub const TABLE: [Tolerance; 23] = [
    EXACT,
    ALGEBRA,
    GROWTH,
    REMAINDER,
    SLOPE,
    RATE,
    LIMIT,
    QUOTED,
    SWEEP_F64,
    SWEEP_F32,
    EXP,
    SOFTMAX,
    LOG_SOFTMAX,
    LOG_SUM_EXP,
    SCALAR,
    ADAPTATION,
    DISTRIBUTION,
    TOKEN,
    RESIDUAL,
    KL,
    GROWN,
    KERNEL,
    LOSS,
];
