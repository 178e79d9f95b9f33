//! Softmax regression on one context, step after step.

use crate::simplex::Distribution;
use crate::softmax::softmax_into;
use crate::{Error, Real};

/// The logits of one context under a sequence of steps, moved in place.
///
/// Steps are signed: s > 0 learns the label, s < 0 unlearns it. What holds along the way is in
/// [`repeated`](super::repeated).
///
/// # Examples
///
/// ```
/// use ldyn_core::squeezing::Trajectory;
/// let (mut z, mut pi) = ([2.0_f64, 1.0, 0.0], [0.0; 3]);
/// let mut run = Trajectory::new(&mut z, &mut pi)?;
/// for _ in 0..50 {
///     run.step(2, -0.5)?;
/// }
/// assert!(run.pi().as_slice()[0] > 0.99); // everything goes to the runner-up in the end
/// assert!(run.step(3, -0.5).is_err());
/// # Ok::<(), ldyn_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Trajectory<'a, T> {
    logits: &'a mut [T],
    pi: &'a mut [T],
}

impl<'a, T: Real> Trajectory<'a, T> {
    /// Starts at `logits`; `pi` is where the current distribution will stand.
    ///
    /// # Shapes
    ///
    /// `logits`, `pi`: V.
    ///
    /// # Errors
    ///
    /// As [`softmax_into`].
    pub fn new(logits: &'a mut [T], pi: &'a mut [T]) -> Result<Self, Error> {
        softmax_into(logits, pi)?;
        Ok(Trajectory { logits, pi })
    }

    /// The current z.
    pub fn logits(&self) -> &[T] {
        self.logits
    }

    /// The current π.
    pub fn pi(&self) -> Distribution<'_, T> {
        Distribution::trusted(self.pi)
    }

    /// z ← z + s(e_y − π).
    ///
    /// # Errors
    ///
    /// [`Error::Label`]; [`Error::Logit`] if a logit overflowed.
    pub fn step(&mut self, label: usize, step: T) -> Result<(), Error> {
        self.step_with_decay(label, step, T::ZERO)
    }

    /// z ← (1 − κ)z + s(e_y − π): weight decay κ on the read-out.
    ///
    /// The order among the labels other than y survives for κ < 1 (M4), but y* need not rise, and nothing
    /// collapses: at a fixed point κ(z_i − z_j) = −s(π_i − π_j) for i, j ≠ y (M5).
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step); [`Error::Range`] unless 0 ≤ κ ≤ 1.
    pub fn step_with_decay(&mut self, label: usize, step: T, decay: T) -> Result<(), Error> {
        if !(decay >= T::ZERO && decay <= T::ONE) {
            let found = decay.to_f64();
            return Err(Error::Range { name: "decay", found, expected: "between 0 and 1" });
        }
        self.pi().check(label)?;
        let keep = T::ONE - decay;
        for (i, (z, &p)) in self.logits.iter_mut().zip(&*self.pi).enumerate() {
            *z = keep * *z + step * towards(i, label, p);
        }
        softmax_into(self.logits, self.pi)
    }

    /// u ← μu + (e_y − π), z ← z + s·u: heavy-ball momentum.
    ///
    /// From `velocity` = 0 and with s < 0 for the same y throughout, N1, N2, the order among the others
    /// and T1–T4 hold as without (M3): the differences of u keep their signs.
    ///
    /// # Shapes
    ///
    /// `velocity`: V.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step); [`Error::Length`]; [`Error::Range`] unless 0 ≤ μ < 1.
    pub fn step_with_momentum(
        &mut self,
        label: usize,
        step: T,
        momentum: T,
        velocity: &mut [T],
    ) -> Result<(), Error> {
        if !(momentum >= T::ZERO && momentum < T::ONE) {
            let found = momentum.to_f64();
            return Err(Error::Range { name: "momentum", found, expected: "at least 0 and below 1" });
        }
        self.pi().check(label)?;
        self.pi().same_length("velocity", velocity.len())?;
        for (i, ((z, u), &p)) in self.logits.iter_mut().zip(velocity).zip(&*self.pi).enumerate() {
            *u = momentum * *u + towards(i, label, p);
            *z += step * *u;
        }
        softmax_into(self.logits, self.pi)
    }
}

/// (e_y − π)_i.
fn towards<T: Real>(i: usize, label: usize, p: T) -> T {
    if i == label { T::ONE - p } else { -p }
}
