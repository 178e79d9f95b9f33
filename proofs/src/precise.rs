//! Exact values to some 48 digits, to count rounding errors against, and rows of logits made for it.
//!
//! The numbers are `dashu-float`'s: pure Rust, so that Rust alone builds the tests, with exp,
//! expm1, ln and ln1p rounded correctly at any precision. (`twofloat` was measured to be off by
//! 1.7e-11 in exp; `astro-float` has no expm1 and ln1p.) One exponential costs tens of
//! microseconds, so a row of 200,000 logits takes its values from a few [levels](Row::levels),
//! and sums go over the levels.

use dashu_float::{FBig, round::mode::HalfEven};
use ldyn_core::Real;

/// A number of 160 bits.
pub type Big = FBig<HalfEven, 2>;

/// An `f32` or `f64` as it is.
pub fn big<T: Real>(x: T) -> Big {
    let exact = Big::try_from(x.to_f64()).expect("a finite number");
    exact.with_precision(160).value()
}

/// eˣ (of which 0 is a case of its own to `dashu-float`: an exact 1 without a precision).
pub fn exp(x: &Big) -> Big {
    x.exp().with_precision(160).value()
}

/// |found − exact|, ∞ if `found` is no finite number.
pub fn distance<T: Real>(found: T, exact: &Big) -> f64 {
    if found.is_finite() { (big(found) - exact).to_f64().value().abs() } else { f64::INFINITY }
}

/// The distance between neighbouring numbers of type `T` at `exact`.
pub fn ulp<T: Real>(exact: &Big) -> f64 {
    let smallest = if size_of::<T>() == 4 { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
    let size = exact.to_f64().value().abs().max(smallest);
    let power_of_two = f64::from_bits(size.to_bits() & f64::INFINITY.to_bits());
    power_of_two * T::EPSILON.to_f64()
}

/// Smallest, usual and largest vocabularies.
pub const VOCABS: [usize; 6] = [1, 2, 50, 1000, 50_304, 200_000];

/// Logits that take few different values.
#[derive(Clone, Debug)]
pub struct Row<T> {
    /// What kind of row this is.
    pub kind: &'static str,
    /// The different values, finite or −∞.
    pub levels: Vec<T>,
    /// For each label the place of its logit in `levels`.
    pub at: Vec<usize>,
}

impl<T: Real> Row<T> {
    /// One row of every kind.
    pub fn all(vocab: usize) -> Vec<Row<T>> {
        let row = |kind, level: fn(f64, usize) -> f64| Row::new(kind, vocab, level);
        let one_on_top = |kind, top, level: fn(f64, usize) -> f64| {
            let mut row = Row::new(kind, vocab, level);
            row.at[vocab / 3] = row.levels.len();
            row.levels.push(T::from_f64(top));
            row
        };
        vec![
            row("flat", |_, _| 0.3),
            row("random", |u, _| 20.0 * u - 10.0),
            row("huge", |u, _| 2e4 * u - 1e4),
            row("tied", |_, i| [-1.0, 0.1, 1.7][i % 3]),
            row("ranked", |u, i| u - 1.5 * (1.0 + i as f64).ln()),
            row("tiny", |u, _| 1e-12 * (u - 0.5)),
            row("subnormal", |u, _| if size_of::<T>() == 4 { 1e-40 * u } else { 1e-310 * u }),
            row("far off", |u, _| 1e4 - 8.0 * u),
            row("below another scale", |u, i| if i == 0 { 0.1 } else { -60.0 - 20.0 * u }),
            row("half missing", |u, i| if i % 2 == 1 { f64::NEG_INFINITY } else { 6.0 * u }),
            one_on_top("peaky", 12.3, |u, _| 4.0 * u - 2.0),
            one_on_top("nearly one-hot", 81.7, |u, _| 2.0 * u - 1.0),
            one_on_top("one-hot", 2000.1, |u, _| 2.0 * u - 1.0),
        ]
    }

    fn new(kind: &'static str, vocab: usize, level: fn(f64, usize) -> f64) -> Row<T> {
        let mut noise = noise(vocab);
        let levels = (0..vocab.min(24)).map(|i| T::from_f64(level(noise(), i))).collect::<Vec<_>>();
        // The first label has the first level: every level but this may stand anywhere.
        let at = (0..vocab).map(|i| if i == 0 { 0 } else { (noise() * levels.len() as f64) as usize });
        Row { kind, at: at.collect(), levels }
    }

    /// The logits.
    pub fn logits(&self) -> Vec<T> {
        self.at.iter().map(|&level| self.levels[level]).collect()
    }

    /// How many labels have each level.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.levels.len()];
        self.at.iter().for_each(|&level| counts[level] += 1);
        counts
    }
}

/// Numbers without structure in [0, 1).
pub fn noise(seed: usize) -> impl FnMut() -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2 * seed as u64 + 1);
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The softmax of a [`Row`], relative to its maximum.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// The largest logit.
    pub max: Big,
    /// For each level with a finite logit that some label has: its place, its number of labels without the
    /// argmax, x = z − max, and eˣ.
    pub terms: Vec<Term>,
    /// Σ eˣ over all labels but the argmax.
    pub rest: Big,
    /// log Σ eˣ over all labels.
    pub log_total: Big,
}

/// The labels of one level.
#[derive(Clone, Debug)]
pub struct Term {
    /// The place of the level.
    pub level: usize,
    /// Its labels, without the argmax.
    pub others: usize,
    /// z − max.
    pub x: Big,
    /// eˣ.
    pub e: Big,
}

impl Softmax {
    /// Of a row with at least one finite logit.
    pub fn of<T: Real>(row: &Row<T>) -> Softmax {
        let counts = row.counts();
        let present = || (0..counts.len()).filter(|&i| counts[i] > 0 && row.levels[i].is_finite());
        let top = present().reduce(|a, b| if row.levels[b] > row.levels[a] { b } else { a });
        let max = row.levels[top.expect("a finite logit")];
        let mut argmax = 1;
        let mut terms = Vec::new();
        for level in present() {
            let z = row.levels[level];
            // Levels can be equal: the argmax is taken out of the first of them.
            let taken = if z == max { std::mem::take(&mut argmax) } else { 0 };
            let x = big(z) - big(max);
            let e = exp(&x);
            terms.push(Term { level, others: counts[level] - taken, x, e });
        }
        let rest = terms.iter().fold(big(0.0), |sum, t| sum + &t.e * big(t.others as f64));
        let log_total = rest.ln_1p();
        Softmax { max: big(max), terms, rest, log_total }
    }

    /// Σ f(term) over all labels but the argmax.
    pub fn over_rest(&self, f: impl Fn(&Term) -> Big) -> Big {
        self.terms.iter().fold(big(0.0), |sum, t| sum + f(t) * big(t.others as f64))
    }

    /// Σ eˣ over all labels.
    pub fn total(&self) -> Big {
        big(1.0) + &self.rest
    }
}
