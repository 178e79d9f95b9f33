//! The order in which training examples are seen, as a pure function.

use crate::seed;
use rand::seq::SliceRandom;

/// The first `total` indices of the examples that a stage consumes: seeded shuffles of `0..n`, one
/// an epoch, of which the last may be partial.
///
/// ```
/// let order = ldyn::train::order(4, 6, 7, "sft");
/// assert_eq!(order.len(), 6);
/// assert_eq!(order, ldyn::train::order(4, 6, 7, "sft"));
/// ```
pub fn order(n: usize, total: usize, seed: u64, stage: &str) -> Vec<usize> {
    let mut order = Vec::new();
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
        let order = order(50, 100, 3, "dpo");
        let (a, b) = order.split_at(50);
        assert_ne!(a, b);
        for epoch in [a, b] {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
        assert!(super::order(0, 3, 1, "x").is_empty());
    }
}
