//! How near is equal: every tolerance of the parity tests, with its reason. They leave a factor of
//! about ten to what one CPU shows (run the tests with `--nocapture` to see it), for other
//! processors sum in another order; faults worth the name are far outside.

use ldyn::value::Precision;

/// How far a number may be from the one that Python gave.
#[derive(Debug)]
pub struct Tolerance {
    /// What is compared.
    name: &'static str,
    /// Part that does not depend on the number.
    absolute: f64,
    /// Part in proportion to the number.
    relative: f64,
    /// Both parts where products are of operands rounded to bf16, against f32 and against torch's autocast; none where
    /// nothing is compared. Each operand is off by up to 2⁻⁹ of its size, and with these tiny models' sharp attention a
    /// logit by up to 0.25 (autocast's by 0.27). They leave a factor of three: the error is one of rounding, hardly of the processor.
    bf16: Option<[f64; 2]>,
    /// Why it is not smaller.
    reason: &'static str,
}

pub const LOGITS: Tolerance = Tolerance {
    name: "logits",
    absolute: 1e-4,
    relative: 0.0,
    bf16: Some([0.75, 0.0]),
    reason: "f32 sums of a few hundred products in another order, through all layers; logits are up to about 10",
};

pub const LOGP: Tolerance = Tolerance {
    name: "log-probability of a token",
    absolute: 1e-4,
    relative: 0.0,
    bf16: None,
    reason: "as the logits; log Z averages their errors",
};

pub const LOGP_SUM: Tolerance = Tolerance {
    name: "log-probabilities summed over a response",
    absolute: 2e-4,
    relative: 0.0,
    bf16: Some([1.0, 0.0]),
    reason: "errors of the tokens add up, mostly as a random walk",
};

pub const LOGP_MEAN: Tolerance = Tolerance {
    name: "means of log-probabilities and entropies over a response",
    absolute: 1e-5,
    relative: 0.0,
    bf16: None,
    reason: "the mean of token errors, which have both signs",
};

pub const PROBABILITY: Tolerance = Tolerance {
    name: "energy and the norm of the gap, means over a response",
    absolute: 1e-6,
    relative: 0.0,
    bf16: None,
    reason: "a logit's error times a probability",
};

pub const A_NORM: Tolerance = Tolerance {
    name: "the norm of A",
    absolute: 0.0,
    relative: 1e-5,
    bf16: None,
    reason: "the root of V - 2 + V times the squared norm of π: errors of π reach it halved and divided by its size",
};

pub const LOSS: Tolerance = Tolerance {
    name: "loss",
    absolute: 0.0,
    relative: 2e-5,
    bf16: Some([0.0, 0.03]),
    reason: "IPO and SPPO square the margin, so errors of log-probabilities are multiplied by tens of nats",
};

pub const GRADIENT_NORM: Tolerance = Tolerance {
    name: "global gradient norm",
    absolute: 0.0,
    relative: 1e-5,
    bf16: Some([0.0, 0.06]),
    reason: "weights inherit the error of the margin; errors of single parameters are independent and average out",
};

pub const TENSOR_GRADIENT_NORM: Tolerance = Tolerance {
    name: "gradient norm of a parameter",
    absolute: 0.0,
    relative: 1e-4,
    bf16: None,
    reason: "sums over positions that cancel in part; measured against at least TENSOR_GRADIENT_FLOOR of the global norm, \
             because the gradient of a key's bias is nothing but rounding (softmax does not see it)",
};

/// Least size, as a part of the global norm, against which a tensor's gradient norm is measured.
pub const TENSOR_GRADIENT_FLOOR: f64 = 1e-3;

pub const STEP_LOSS: Tolerance = Tolerance {
    name: "loss of an optimiser step",
    absolute: 0.0,
    relative: 1e-4,
    bf16: None,
    reason: "RMSprop and AdamW divide by the gradient's size, so updates of nearly gradient-free weights are rounding",
};

pub const STEP_GRADIENT_NORM: Tolerance = Tolerance {
    name: "global gradient norm of an optimiser step",
    absolute: 0.0,
    relative: 1e-4,
    bf16: None,
    reason: "as the loss of a step",
};

pub const LEARNING_RATE: Tolerance = Tolerance {
    name: "learning rate",
    absolute: 0.0,
    relative: 1e-9,
    bf16: None,
    reason: "the digits that the fixtures keep",
};

pub const UPDATE: Tolerance = Tolerance {
    name: "distance of a parameter's three updates, as a part of their norm",
    absolute: 5e-3,
    relative: 0.0,
    bf16: None,
    reason: "elements with a gradient near 0 take steps of full size in a direction that rounding decides",
};

/// Parameters whose updates are not compared: a key's bias has no gradient, so RMSprop and AdamW
/// divide noise by noise there. Log-probabilities do not see it.
pub const NOISE_ONLY: [&str; 2] = ["query_key_value.bias", "k_proj.bias"];

pub const FINAL_LOGP: Tolerance = Tolerance {
    name: "summed log-probabilities after three updates",
    absolute: 1e-3,
    relative: 0.0,
    bf16: None,
    reason: "the differences of the updates, multiplied by gradients of tens",
};

/// An argmax is compared if the best label leads by more than this: as far as [`LOGITS`] lets one logit go.
pub const ARGMAX_MARGIN: f64 = 1e-4;

/// A greedy continuation is compared if every token leads by more than this, five times what [`LOGITS`]
/// allows two logits to move apart; a single other choice would change all that follows.
pub const GREEDY_MARGIN: f64 = 1e-3;

/// Numbers held against those of Python under one tolerance.
pub struct Comparison {
    tolerance: &'static Tolerance,
    absolute: f64,
    relative: f64,
    worst: f64,
    place: String,
    compared: usize,
}

impl Tolerance {
    /// The part that does not depend on the number.
    pub fn absolute(&self) -> f64 {
        self.absolute
    }

    /// Starts a comparison of what was computed in f32.
    pub fn begin(&'static self) -> Comparison {
        self.begin_in(Precision::Full)
    }

    /// Starts a comparison of what was computed in a precision.
    pub fn begin_in(&'static self, precision: Precision) -> Comparison {
        let [absolute, relative] = match precision {
            Precision::Full => [self.absolute, self.relative],
            rounded => self.bf16.unwrap_or_else(|| panic!("{}: no tolerance in {rounded}", self.name)),
        };
        Comparison { tolerance: self, absolute, relative, worst: 0.0, place: String::new(), compared: 0 }
    }
}

impl Comparison {
    /// Notes one pair of numbers; `place` says where they are from.
    pub fn compare(&mut self, found: f64, expected: f64, place: impl FnOnce() -> String) {
        self.compare_to_scale(found, expected, expected.abs(), place);
    }

    /// [`Comparison::compare`] with the relative part in proportion to `scale`.
    pub fn compare_to_scale(
        &mut self,
        found: f64,
        expected: f64,
        scale: f64,
        place: impl FnOnce() -> String,
    ) {
        let error = (found - expected).abs() / (self.absolute + self.relative * scale);
        self.compared += 1;
        // NaN is worse than anything.
        if error.is_nan() || error >= self.worst {
            self.worst = if error.is_nan() { f64::INFINITY } else { error };
            self.place = format!("{}: {found} found, {expected} expected", place());
        }
    }

    /// How near the worst number was, or what was too far off; an error too if there was none.
    fn verdict(self) -> Result<String, String> {
        let Tolerance { name, reason, .. } = self.tolerance;
        let Self { absolute, relative, .. } = self;
        if self.compared == 0 {
            return Err(format!("{name}: nothing was compared"));
        }
        let report = format!(
            "{name}: {} compared, the worst at {:.2e} of the tolerance ({absolute:e} absolute, {relative:e} relative), {}",
            self.compared, self.worst, self.place
        );
        if self.worst <= 1.0 { Ok(report) } else { Err(format!("{report}\nwhy this tolerance: {reason}")) }
    }

    /// Whether a number was too far off.
    pub fn fails(self) -> bool {
        self.compared > 0 && self.verdict().is_err()
    }

    /// Prints how near the worst number was.
    ///
    /// # Panics
    /// A number was too far off, or there was none.
    pub fn finish(self) {
        match self.verdict() {
            Ok(report) => println!("{report}"),
            Err(report) => panic!("{report}"),
        }
    }
}

#[test]
fn a_number_outside_its_tolerance_or_no_number_at_all_fails() {
    let passes = |pairs: &[(f64, f64)]| {
        let mut comparison = A_NORM.begin();
        for &(found, expected) in pairs {
            comparison.compare(found, expected, String::new);
        }
        comparison.verdict().is_ok()
    };
    assert!(passes(&[(1.0, 1.0), (1.0 + 9e-6, 1.0)]));
    assert!(!passes(&[(1.0, 1.0), (1.0 + 2e-5, 1.0)]));
    assert!(!passes(&[(f64::NAN, 1.0), (1.0, 1.0)]));
    assert!(!passes(&[]));
}
