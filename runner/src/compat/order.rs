//! The order in which the reference code sees its examples.

use rand_mt::Mt;

/// The examples of `n` that a stage of `total` consumes in batches of `batch`, as the reference code's iterator yields
/// them.
///
/// Its generator of epochs is numpy's with seed 0, whose next 32 bits seed Python's, which shuffles the list *as the
/// epoch before left it*. A batch that an epoch leaves incomplete is dropped, though its examples are counted; the stage
/// ends with the first whole batch at which the count has reached `total`. With fewer than `batch` examples there is
/// none.
///
/// ```
/// // Python: random.seed(2357136044); random.shuffle(d), then random.seed(2546248239); random.shuffle(d)
/// let order = ldyn::compat::order(10, 5, 20);
/// assert_eq!(order[..10], [8, 7, 2, 4, 1, 5, 3, 9, 0, 6]);
/// assert_eq!(order[10..], [1, 2, 8, 3, 9, 5, 6, 4, 0, 7]);
/// ```
pub fn order(n: usize, batch: usize, total: usize) -> Vec<usize> {
    let mut order = Vec::new();
    if batch == 0 || n < batch || total == 0 {
        return order;
    }
    let mut epochs = Mt::new(0);
    let mut list: Vec<usize> = (0..n).collect();
    let mut counted = 0;
    while counted < total {
        shuffle(&mut list, epochs.next_u32());
        for whole in list.chunks_exact(batch) {
            order.extend_from_slice(whole);
            counted += batch;
            if counted >= total {
                return order;
            }
        }
        counted += n % batch;
    }
    // The count was reached by examples of a dropped batch: the code goes on to the next whole one.
    shuffle(&mut list, epochs.next_u32());
    order.extend_from_slice(&list[..batch]);
    order
}

/// Python's `random.seed(seed); random.shuffle(list)`.
fn shuffle(list: &mut [usize], seed: u32) {
    let mut random = Mt::new_with_key([seed]);
    for i in (1..list.len()).rev() {
        list.swap(i, below(&mut random, i + 1));
    }
}

/// A number below `n`, which is at least 1 and at most 2³²: as many random bits as `n` has, until they are below it.
fn below(random: &mut Mt, n: usize) -> usize {
    let bits = usize::BITS - n.leading_zeros();
    loop {
        let drawn = (random.next_u32() >> (32 - bits.min(32))) as usize;
        if drawn < n {
            return drawn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_examples_come_as_python_and_numpy_shuffle_them() {
        let order = order(1000, 4, 2000);
        assert_eq!(order.len(), 2000);
        assert_eq!(order[1000..1008], [524, 648, 522, 715, 952, 714, 683, 967]);
        assert_eq!(order[1996..], [350, 494, 257, 413]);
    }

    #[test]
    fn incomplete_batches_are_dropped_but_counted() {
        // Ten examples in fours: each epoch yields two batches and counts ten.
        let one_epoch = order(10, 4, 10);
        assert_eq!(one_epoch.len(), 12, "8 and, because the count was reached by a dropped batch, 4 more");
        assert_eq!(one_epoch[..8], [8, 7, 2, 4, 1, 5, 3, 9]);
        assert_eq!(one_epoch[8..], [1, 2, 8, 3]);
        assert_eq!(order(10, 4, 8).len(), 8);
        assert_eq!(order(10, 4, 24).len(), 20, "10 + 10 + 4 are counted, 8 + 8 + 4 yielded");
        assert!(order(3, 4, 100).is_empty() && order(0, 4, 1).is_empty() && order(5, 0, 1).is_empty());
        assert!(order(10, 4, 0).is_empty());
    }
}
