//! The rotation of rotary positions, one table for every form of the attention.

use super::{Attention, Layout};

/// cos and sin of position · θ_i for each position of a layout and each rotating pair.
pub(super) struct Rotary {
    half: usize,
    cos: Vec<f64>,
    sin: Vec<f64>,
}

impl Rotary {
    /// The table for positions `0..` the longest sequence of `layout`: `[positions, rotary_dim/2]`.
    pub(super) fn new(attention: &Attention, layout: &Layout) -> Self {
        Self::at(attention, 0..layout.longest())
    }

    /// The table for some positions, in their order: `[positions, rotary_dim/2]`.
    pub(super) fn at(attention: &Attention, positions: impl Iterator<Item = usize>) -> Self {
        let half = attention.rotary_dim / 2;
        let frequencies: Vec<f64> = (0..half)
            .map(|i| attention.rope_theta.powf(-(2.0 * i as f64) / attention.rotary_dim as f64))
            .collect();
        let angles = positions.flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        let (sin, cos) = angles.map(f64::sin_cos).unzip();
        Self { half, cos, sin }
    }

    /// Number of rotating pairs in a head.
    pub(super) fn half(&self) -> usize {
        self.half
    }

    /// Cosines, position by position.
    pub(super) fn cos(&self) -> &[f64] {
        &self.cos
    }

    /// Sines, position by position.
    pub(super) fn sin(&self) -> &[f64] {
        &self.sin
    }
}
