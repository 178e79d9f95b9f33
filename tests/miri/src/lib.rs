//! `runner/src/value/product.rs` under Miri: threads that write to pieces of one matrix through pointers.
//!
//! The source is the program's own, and so is the kernel, `gemm`, in its form without vector instructions. What
//! product.rs takes from candle, an error and its macro, stands here in few lines, because Miri cannot run candle.
#![cfg(test)]

use rayon::ThreadPoolBuilder;

extern crate self as candle_core;

/// What product.rs takes from candle.
pub type Result<T> = std::result::Result<T, String>;

/// The same.
#[macro_export]
macro_rules! bail {
    ($($text:tt)*) => { return Err(format!($($text)*)) };
}

/// What it takes from the module beside it.
mod cpu {
    pub(super) trait Elem: Copy + Send + Sync + std::ops::AddAssign + 'static {
        const ZERO: Self;
        const ONE: Self;
    }
    impl Elem for f32 {
        const ZERO: Self = 0.0;
        const ONE: Self = 1.0;
    }
    impl Elem for f64 {
        const ZERO: Self = 0.0;
        const ONE: Self = 1.0;
    }
}

#[path = "../../../runner/src/value/product.rs"]
#[allow(dead_code, unused_imports)]
mod product;

use product::{Mat, product};

#[test]
fn pieces_of_rows_and_columns_and_parts_of_long_sums_do_not_collide() {
    let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    // Two pieces of rows, two of columns, five parts of a sum.
    for [m, n, k] in [[260, 2, 3], [2, 260, 3], [1, 2, 16_500]] {
        let a: Vec<f64> = (0..m * k).map(|i| (i % 7) as f64).collect();
        let b: Vec<f64> = (0..k * n).map(|i| (i % 5) as f64 - 2.0).collect();
        for add in [false, true] {
            let mut c = vec![1.0; m * n];
            let size = [m, n, k];
            pool.install(|| product(&mut c, size, Mat::rows(&a, k), Mat::rows(&b, n), add)).unwrap();
            for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let sum: f64 = (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
                assert_eq!(c[i * n + j], sum + f64::from(u8::from(add)), "{size:?} at {i}, {j}");
            }
        }
    }
}
