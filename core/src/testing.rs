//! What several unit tests share.

extern crate std;
use std::vec::Vec;

/// Σ with Kahan's compensation.
pub(crate) fn exact_sum(terms: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for term in terms {
        let term = term - lost;
        let next = sum + term;
        lost = (next - sum) - term;
        sum = next;
    }
    sum
}

/// Numbers without structure in [−scale/2, scale/2]; each is also an `f32`.
pub(crate) fn noise(n: usize, scale: f64) -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n).map(|_| f64::from(((next() - 0.5) * scale) as f32)).collect()
}
