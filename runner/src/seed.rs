//! The only place that makes random generators. Each use draws from a stream
//! of its own, so that adding a draw in one place never shifts another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The generator of the stream called `stream` under `seed`.
///
/// ```
/// use rand::Rng;
/// let draw = |seed, stream| ldyn::seed::rng(seed, stream).random::<u64>();
/// assert_eq!(draw(1, "data"), draw(1, "data"));
/// assert_ne!(draw(1, "data"), draw(1, "init"));
/// assert_ne!(draw(1, "data"), draw(2, "data"));
/// ```
pub fn rng(seed: u64, stream: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(stream.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}
