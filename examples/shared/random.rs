//! Numbers for the examples, the same on every machine.

pub use rand_chacha::ChaCha8Rng as Random;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The generator with this seed.
pub fn seeded(seed: u64) -> Random {
    Random::seed_from_u64(seed)
}

/// A number in (0, 1).
pub fn uniform(random: &mut Random) -> f64 {
    ((random.next_u64() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// A number with mean 0 and variance 1, by Box and Muller.
pub fn normal(random: &mut Random) -> f64 {
    let (radius, angle) = ((-2.0 * uniform(random).ln()).sqrt(), std::f64::consts::TAU * uniform(random));
    radius * angle.cos()
}
