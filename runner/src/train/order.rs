//! The order in which training examples are seen, as a pure function.

use crate::seed;
use rand::seq::SliceRandom;

/// Indices of the examples that a stage consumes: seeded shuffles of `0..n`, one
/// an epoch, of which the last may be partial.
///
/// ```
/// let order = ldyn::train::order(4, 1.5, 7, "sft");
/// assert_eq!(order.len(), 6);
/// assert_eq!(order, ldyn::train::order(4, 1.5, 7, "sft"));
/// ```
pub fn order(n: usize, epochs: f64, seed: u64, stage: &str) -> Vec<usize> {
    let total = (n as f64 * epochs).round() as usize;
    let mut order = Vec::with_capacity(total + n);
    let mut epoch = 0;
    while order.len() < total && n > 0 {
        let mut indices: Vec<usize> = (0..n).collect();
        indices.shuffle(&mut seed::rng(seed, &format!("order/{stage}/{epoch}")));
        order.append(&mut indices);
        epoch += 1;
    }
    order.truncate(total);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_sees_every_example_once_in_an_order_of_its_own() {
        let order = order(50, 2.0, 3, "dpo");
        let (a, b) = order.split_at(50);
        assert_ne!(a, b);
        for epoch in [a, b] {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
        assert!(super::order(0, 3.0, 1, "x").is_empty());
    }
}
