//! One table of the statements that can be checked on a single case.
//!
//! A [`Case`] is a row of logits, a label to unlearn (or to learn), a second label and a step size; it does
//! the work that all statements share, once. Each [`Statement`] then looks at every label of it, in O(V). The
//! ids are those of the statements of the proofs, where every one also has a test of its own.
//!
//! # Examples
//!
//! ```
//! use ldyn_core::statements::{Case, Fault, Outcome, STATEMENTS};
//! let logits = [2.0, 1.0, 0.0, -1.0];
//! let mut scratch = [0.0; Case::scratch_len(4)];
//! let case = Case::new(&logits, (3, 1), 0.5, &mut scratch, None)?;
//! assert!(STATEMENTS.iter().all(|s| !matches!((s.check)(&case), Outcome::Fails { .. })));
//!
//! // The same with a step that goes the wrong way: many statements notice.
//! let case = Case::new(&logits, (3, 1), 0.5, &mut scratch, Some(Fault::Direction))?;
//! assert!(STATEMENTS.iter().filter(|s| matches!((s.check)(&case), Outcome::Fails { .. })).count() > 10);
//! # Ok::<(), ldyn_core::Error>(())
//! ```

mod adaptation;
mod case;
mod many;
mod negative;
mod pair;
mod positive;

pub use case::{Case, Fault};

use core::fmt;

/// In what sense a statement is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// For softmax regression with frozen features, for every step size.
    Exact,
    /// Up to O(s²).
    FirstOrder,
    /// A constant that was found by computation.
    Numeric,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Exact => "exact",
            Kind::FirstOrder => "first-order",
            Kind::Numeric => "numeric",
        })
    }
}

/// One statement and how to check it.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Such as `exact/N1`.
    pub id: &'static str,
    /// The kind, which is also the first part of the id.
    pub kind: Kind,
    /// The statement in words and formulas.
    pub words: &'static str,
    /// Looks at one case.
    pub check: fn(&Case<'_>) -> Outcome,
}

/// What a statement says about a case.
///
/// A margin is by how much an inequality holds at the label where it is tightest, or minus the error of an
/// equation where it is largest, in units of the size at which the numbers compared are rounded: 1 + s for what
/// follows from π, 1 + s + max |z| for what is compared with logits. Rounding may make it negative by
/// [`Case::allowance`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// It holds.
    Holds {
        /// The label at which it is tightest.
        label: usize,
        /// By how much, in units of rounding's scale.
        margin: f64,
    },
    /// Its condition is not met.
    NotApplicable,
    /// It fails by more than rounding explains.
    Fails {
        /// The label at which it fails most.
        label: usize,
        /// By how much, in units of rounding's scale; negative or NaN.
        margin: f64,
    },
}

const fn exact(id: &'static str, words: &'static str, check: fn(&Case<'_>) -> Outcome) -> Statement {
    Statement { id, kind: Kind::Exact, words, check }
}

const fn first_order(id: &'static str, words: &'static str, check: fn(&Case<'_>) -> Outcome) -> Statement {
    Statement { id, kind: Kind::FirstOrder, words, check }
}

const fn numeric(id: &'static str, words: &'static str, check: fn(&Case<'_>) -> Outcome) -> Statement {
    Statement { id, kind: Kind::Numeric, words, check }
}

/// All statements that can be checked on a single case.
///
/// y is the label, y* the likeliest other one, s the step size, v = π − e_y, α = π′/π. Statements about more
/// than one step look at two.
pub const STATEMENTS: &[Statement] = &[
    exact("exact/A1", "A·v = v − ⟨π, v⟩·1, at two rows", adaptation::product),
    exact("exact/A2", "A·1 = 0", adaptation::shift),
    exact("exact/A3", "πᵀA = 0", adaptation::conserves),
    exact("exact/A4", "A² = A", adaptation::projection),
    exact("exact/A5", "diag(π)·A is symmetric and positive semidefinite", adaptation::jacobian),
    exact("exact/A6", "‖A‖²_F = V − 2 + V‖π‖², between V − 1 and 2V − 2", adaptation::frobenius),
    exact("exact/A7", "‖A‖_op = √V‖π‖, attained at 1 − Vπ", adaptation::operator),
    exact("exact/R1", "Δ log π = A·Δz + r·1", adaptation::change),
    exact("exact/R2", "r = −KL(π ‖ π′)", adaptation::remainder_is_kl),
    exact("exact/R3", "−(max Δz − min Δz)²/8 ≤ r ≤ 0", adaptation::hoeffding),
    exact("exact/R4", "|r| ≤ s²(1 + π_{y*} − π_y)²/8 for a step of either sign", adaptation::own_bound),
    exact("exact/R5", "a regression step is Δz = −s(π − e_y)", adaptation::regression),
    exact("exact/R7", "r ≥ −(27/128)s² for a negative step", adaptation::uniform_bound),
    exact("exact/R7-sharp", "r ≥ −s²τ³(2 − τ)/8 for a negative step with τ ≥ 1", adaptation::sharp_bound),
    numeric("numeric/R9", "r ≥ −0.2955458 s² for a positive step", adaptation::positive_bound),
    exact("exact/R8", "changes add up: Σ A·Δz + Σ r·1", many::telescopes),
    exact("exact/N0", "α is the ratio of the softmaxes of z + s·v and z", negative::growth),
    exact("exact/N1", "α_y < 1 and minimal", negative::label_falls_most),
    exact("exact/N1-strict", "α_y < 1 strictly", negative::label_falls_strictly),
    exact("exact/N2", "α_{y*} > 1 and maximal", negative::runner_up_rises_most),
    exact("exact/N2-strict", "α_{y*} > 1 strictly", negative::runner_up_rises_strictly),
    exact("exact/N3", "Δ log(π_i/π_j) = s(π_i − π_j); Δ log(π_i/π_y) = s(1 + π_i − π_y)", negative::odds),
    exact("exact/N4", "i ≠ y rises exactly if π_i > τ(s); π_y − 1 ≤ τ ≤ π_{y*}", negative::threshold),
    exact("exact/N4-monotone", "τ does not decrease in s", negative::threshold_monotone),
    exact(
        "exact/N4-limits",
        "0 ≤ τ − (‖π‖² − π_y) ≤ s/2; 0 ≤ π_{y*} − τ ≤ −(log π_{y*})/s",
        negative::threshold_limits,
    ),
    exact("exact/N5", "at small s every other label rises if π_y ≥ ‖π‖²", negative::all_rise_at_first),
    exact(
        "exact/N5-label",
        "i ≠ y falls at every s if π_i ≤ ‖π‖² − π_y, else rises at small s",
        negative::each_at_first,
    ),
    exact("exact/N6", "every label but y* falls if π_{y*} > 1/√3", negative::all_others_fall),
    exact("exact/N7", "log α is concave in s; α_{y*} increases, α_y decreases", negative::concave),
    exact(
        "exact/N8",
        "α_i ≥ e^{−s(π_{y*} − π_i)}; α_y ≥ e^{−s(1 + π_{y*} − π_y)} ≥ e^{−2s}",
        negative::bounded,
    ),
    exact(
        "exact/N9",
        "unlearning the less likely of two labels leaves third ones less",
        negative::third_labels,
    ),
    first_order("first-order/N10", "dπ_i/ds = π_i(v_i − ⟨π, v⟩)", negative::drift),
    exact("exact/N10-limit", "|drift − π_i(π_i − ‖π‖²)| ≤ π_y", negative::replicator),
    first_order("first-order/N11", "the entropy changes at its rate", negative::entropy_rate),
    exact("exact/N11-rate", "dH/ds = −Cov_π(log π, π) + π_y(log π_y + H)", negative::entropy_rate_form),
    exact("exact/N11-change", "H(π′) − H(π) is that of the moved logits", negative::entropy_change),
    exact("exact/N11-falls", "the entropy falls if −log π_y ≥ H, at every s", negative::entropy_falls),
    exact("exact/N12", "uniform π: α_i = V/(V − 1 + e^{−s})", negative::uniform),
    exact("exact/N13", "gains and losses balance", negative::books),
    exact("exact/L0", "a positive step: α is the ratio of the softmaxes", positive::growth),
    exact("exact/L1", "a positive step: α_y > 1 and maximal", positive::label_rises_most),
    exact("exact/L2", "a positive step: α_{y*} < 1 and minimal", positive::competitor_falls_most),
    exact("exact/L12-strict", "L1 and L2 strictly", positive::strictly),
    exact("exact/L3", "a positive step: Δ log(π_i/π_j) = −s(π_i − π_j)", positive::odds),
    exact("exact/L4", "a positive step: i ≠ y rises exactly if π_i < θ(s)", positive::threshold),
    exact("exact/L4-monotone", "θ does not increase in s", positive::threshold_monotone),
    exact("exact/L5", "a positive step: every other label falls if π_y ≥ ‖π‖²", positive::all_others_fall),
    exact("exact/L6", "positive steps: π_y rises, the strongest of the moment falls", many::learning),
    exact(
        "exact/L7",
        "a positive step: i ≠ y rises at small s if π_i < ‖π‖² − π_y",
        positive::small_labels_rise,
    ),
    exact("exact/P0", "a pair: α is the ratio of the softmaxes", pair::growth),
    exact("exact/P1", "equal weights: one factor 1/Z′ for all others", pair::common_factor),
    exact("exact/P2", "equal weights: the others fall exactly if π₊e^{sw} > π₋", pair::others_fall),
    exact("exact/P3", "the label with the larger weight moves most", pair::moves_most),
    exact("exact/P4", "Δ log(π_i/π_j) = −s(w₊ − w₋)(π_i − π_j)", pair::odds),
    exact("exact/P0-contexts", "two contexts: α is the ratio of the softmaxes", pair::contexts),
    exact("exact/P5", "ρ = 0: χ⁺ sees a positive step, χ⁻ a negative one", pair::no_overlap),
    exact("exact/P6", "ρ = 1 and π⁺ = π⁻: both contexts see a pair", pair::full_overlap),
    exact("exact/P7", "in χ⁻ Δ log(π_i/π_j) is the difference of s(π⁻ − ρπ⁺)", pair::overlap_odds),
    exact("exact/P9", "π⁺ = π⁻: Δ log(π_i/π_j) = (1 − ρ)s(π_i − π_j)", pair::overlap_fades),
    exact("exact/P10", "y⁻ falls most if ρ ≤ 1 − π⁻(y⁻), or if π⁺ = π⁻", pair::rejected_falls),
    exact("exact/P11", "π⁺ = π⁻ and ρ ≥ ½: y⁺ rises most in χ⁻ too", pair::chosen_rises),
    exact("exact/T0", "a trajectory is a sequence of single steps", many::trajectory),
    exact("exact/T1", "π_y falls at every step, odds against it by at least s(1 − π_y)", many::label_falls),
    exact("exact/T2", "y* stays; the argmax leaves y at most", many::runner_up_stays),
    exact("exact/T3", "π_{y*} rises at every step, gaps widen", many::gaps_widen),
    exact("exact/T4", "log(π_i/π_{y*}) falls at least at its rate", many::odds_bound),
    exact("exact/T5", "1 − π_{y*} ≤ (V + π_y/π_{y*})·e^{−δS}", many::collapse),
    exact("exact/T6", "tied labels stay tied", many::ties),
    exact("exact/T7", "s(v_i − π_{y*}) ≤ log α_i ≤ s(v_i − π_{y*}) − log π_{y*}", many::slopes),
    exact("exact/T9", "π_y ≤ (π_y/π_{y*})·e^{−S(1 − π_y + π_{y*})}", many::label_vanishes),
    exact("exact/M0", "the uniform part of a smoothed target changes nothing", many::smoothing),
    exact("exact/M1", "smoothing: α_y ≤ 1 if π_y ≤ 1 − ε + min π", many::smoothed_label),
    exact("exact/M2", "smoothing: α_{y*} ≥ 1 if π_{y*} ≥ π_y − (1 − ε)", many::smoothed_runner_up),
    exact("exact/M3", "heavy-ball momentum keeps N1, N2 and the order", many::momentum),
    exact("exact/M4", "weight decay keeps y*", many::decay),
    exact("exact/M6", "RMSprop's first step: one factor for all but y", many::sign_step),
    exact("exact/C0", "only the logit of y differs: α at p", many::family),
    exact("exact/C1", "who loses at p loses at every smaller p", many::losers_stay),
    exact("exact/C2", "α_i/α_j = e^{s(1−p)(q_i − q_j)}", many::relative_squeeze),
    exact("exact/C3", "the smaller p, the larger y*'s share of the others", many::runner_up_share),
    exact("exact/C4", "the smaller p, the smaller α_y", many::label_falls_more),
    first_order("first-order/C5", "d log α_i/ds = (1 − p)((1 + Q)p − (Q − q_i))", many::initial_rate),
    exact("exact/C6", "mass moved from y to another label: third labels lose", many::transfer),
    exact("exact/C7", "the smaller p ≤ ½, the less all but y and y* grow together", many::rest_grows_less),
    exact("exact/C8", "the peakier the others, the more the least likely of them falls", many::least_likely),
];
