//! The float trait: what this crate asks of `f32` and `f64`.
//!
//! This is the only file that knows where `exp` and `ln` come from. With the
//! feature `std` they are the platform's; without it, `libm`'s, which give the same
//! digits on every target.

use core::fmt::{Debug, Display};
use core::iter::Sum;
use core::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

#[cfg(not(any(feature = "std", feature = "libm")))]
compile_error!("ldyn-core needs a source of exp and ln: enable the feature `std` (default) or `libm`");

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A floating-point number: `f32` or `f64`.
///
/// The trait is sealed: error bounds in this crate are stated for these two types.
pub trait Real:
    sealed::Sealed
    + Copy
    + Debug
    + Default
    + Display
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + SubAssign
    + Mul<Output = Self>
    + MulAssign
    + Div<Output = Self>
    + DivAssign
    + Neg<Output = Self>
    + Sum
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// ½.
    const HALF: Self;
    /// 2.
    const TWO: Self;
    /// ln 2.
    const LN_2: Self;
    /// +∞.
    const INFINITY: Self;
    /// −∞.
    const NEG_INFINITY: Self;
    /// The quiet not-a-number.
    const NAN: Self;
    /// Distance from 1 to the next larger number; the unit roundoff is half of it.
    const EPSILON: Self;
    /// The lowest cutoff of [`exp_flushed`](Real::exp_flushed): just above the logarithm of the
    /// smallest normal number.
    const EXP_CUTOFF: Self;

    /// eˣ.
    fn exp(self) -> Self;
    /// eˣ − 1, accurate near 0.
    fn exp_m1(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// ln(1 + x), accurate near 0.
    fn ln_1p(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// The larger of two numbers; the other one if one is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller of two numbers; the other one if one is NaN.
    fn min(self, other: Self) -> Self;
    /// Whether this is not a number.
    fn is_nan(self) -> bool;
    /// Whether this is neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// The nearest number of this type.
    fn from_f64(x: f64) -> Self;
    /// The same number as `f64` (exact for both types).
    fn to_f64(self) -> f64;
    /// eˣ for `cutoff` < x ≤ 0 and 0 at or below `cutoff`, without a branch, so that loops over
    /// slices become vector code.
    ///
    /// # Method
    ///
    /// x = k·ln 2 + r with an integer k and |r| ≤ ½ ln 2; eʳ by a polynomial; 2ᵏ by its bits.
    ///
    /// # Special cases
    ///
    /// −∞ gives 0; NaN gives NaN. x > 0 by a rounding is as good as 0; farther up, and for a `cutoff` below
    /// [`EXP_CUTOFF`](Real::EXP_CUTOFF), the caller is mistaken and results mean nothing.
    ///
    /// # Accuracy
    ///
    /// At most 2 ulp above the cutoff.
    fn exp_flushed(self, cutoff: Self) -> Self;
    /// eˣ − 1, accurate near 0 and without a branch.
    ///
    /// # Method
    ///
    /// As [`exp_flushed`](Real::exp_flushed): 2ᵏ(eʳ − 1) + (2ᵏ − 1).
    ///
    /// # Special cases
    ///
    /// x beyond ±[`EXP_CUTOFF`](Real::EXP_CUTOFF) is taken as that; NaN gives NaN.
    ///
    /// # Accuracy
    ///
    /// At most 2 ulp.
    fn exp_m1_clamped(self) -> Self;
}

macro_rules! real {
    ($t:ident, cutoff: $cutoff:expr, round: $round:expr, mantissa: $mantissa:expr, bias: $bias:expr,
     ln2: ($hi:expr, $lo:expr), reduced: $reduced:ident, bend: $bend:expr) => {
        /// r and 2ᵏ of x = k·ln 2 + r, with 0 for the power below the smallest normal number.
        #[inline(always)]
        fn $reduced(x: $t) -> ($t, $t) {
            // Adding 1.5·2^(mantissa bits) rounds to an integer and leaves it in the low bits.
            const ROUND: $t = $round;
            let shifted = x * core::$t::consts::LOG2_E + ROUND;
            let k = shifted - ROUND;
            let r = (x - k * $hi) - k * $lo;
            (r, $t::from_bits((shifted.to_bits() << $mantissa).wrapping_add($bias << $mantissa)))
        }

        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const HALF: Self = 0.5;
            const TWO: Self = 2.0;
            const LN_2: Self = core::$t::consts::LN_2;
            const INFINITY: Self = $t::INFINITY;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;
            const NAN: Self = $t::NAN;
            const EPSILON: Self = $t::EPSILON;
            const EXP_CUTOFF: Self = $cutoff;

            #[inline]
            fn exp(self) -> Self {
                num_traits::Float::exp(self)
            }
            #[inline]
            fn exp_m1(self) -> Self {
                num_traits::Float::exp_m1(self)
            }
            #[inline]
            fn ln(self) -> Self {
                num_traits::Float::ln(self)
            }
            #[inline]
            fn ln_1p(self) -> Self {
                num_traits::Float::ln_1p(self)
            }
            #[inline]
            fn sqrt(self) -> Self {
                num_traits::Float::sqrt(self)
            }
            #[inline]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline]
            fn max(self, other: Self) -> Self {
                $t::max(self, other)
            }
            #[inline]
            fn min(self, other: Self) -> Self {
                $t::min(self, other)
            }
            #[inline]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            #[inline]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn exp_flushed(self, cutoff: Self) -> Self {
                // Where 2ᵏ has become 0 and r is small. NaN passes through.
                const NOTHING: $t = -($bias as $t) * core::$t::consts::LN_2;
                let (r, scale) = $reduced(if self <= cutoff { NOTHING } else { self });
                ((1.0 + r) + $bend(r)) * scale
            }
            #[inline(always)]
            fn exp_m1_clamped(self) -> Self {
                // Written so that NaN passes through and that x86's max and min instructions match.
                let x = if $cutoff > self { $cutoff } else { self };
                let x = if -$cutoff < x { -$cutoff } else { x };
                let (r, scale) = $reduced(x);
                (r + $bend(r)) * scale + (scale - 1.0)
            }
        }
    };
}

// ln 2 is split so that k·hi is exact.
real!(f32, cutoff: -87.3, round: 12_582_912.0, mantissa: 23, bias: 127_u32,
    ln2: (0.693_145_75, 1.428_606_8e-6), reduced: reduced_f32, bend: bend_f32);
real!(f64, cutoff: -708.39, round: 6_755_399_441_055_744.0, mantissa: 52, bias: 1023_u64,
    ln2: (0.693_147_180_559_663, 2.823_529_056_303_157_7e-13), reduced: reduced_f64, bend: bend_f64);

// eʳ − 1 − r = r²·q(r) on |r| ≤ ½ ln 2, with q the Chebyshev fit of (eʳ − 1 − r)/r²: relative
// error of eʳ 1.0e-8 and 1.7e-17. Terms are taken in pairs, so that few of them wait for others.

#[inline(always)]
fn bend_f32(r: f32) -> f32 {
    let r2 = r * r;
    let low = 0.5 + r * 0.166_665_77;
    let high = 4.166_655_5e-2 + r * 8.363_179e-3;
    let q = low + r2 * (high + r2 * 1.392_618_4e-3);
    r2 * q
}

#[inline(always)]
fn bend_f64(r: f64) -> f64 {
    let r2 = r * r;
    let r4 = r2 * r2;
    let p0 = 0.500_000_000_000_000_1 + r * 0.166_666_666_666_666_67;
    let p2 = 4.166_666_666_662_413e-2 + r * 8.333_333_333_330_062e-3;
    let p4 = 1.388_888_891_721_371_7e-3 + r * 1.984_126_986_305_361_9e-4;
    let p6 = 2.480_152_129_595_437_4e-5 + r * 2.755_726_845_999_706_5e-6;
    let p8 = 2.762_008_844_540_975e-7 + r * 2.510_038_549_551_032e-8;
    let low = p0 + r2 * p2;
    let high = (p4 + r2 * p6) + r4 * p8;
    r2 * (low + r4 * high)
}

#[cfg(test)]
mod tests {
    use super::Real;

    /// Distance in units of the last place of `exact`.
    fn ulp_f32(found: f32, exact: f64) -> f64 {
        let nearest = exact as f32;
        let spacing = f64::from(f32::from_bits(nearest.to_bits() + 1)) - f64::from(nearest);
        (f64::from(found) - exact).abs() / spacing
    }

    #[test]
    fn exp_flushed_is_within_2_ulp_in_f32() {
        let mut worst = 0.0_f64;
        for i in 0..400_000_u32 {
            let x = -87.3 * (i as f32 / 400_000.0);
            worst = worst.max(ulp_f32(x.exp_flushed(f32::EXP_CUTOFF), f64::from(x).exp()));
        }
        // Arguments that halve down to the smallest: near 0 the result is 1.
        let mut x = -1.0_f32;
        while x < 0.0 {
            worst = worst.max(ulp_f32(x.exp_flushed(f32::EXP_CUTOFF), f64::from(x).exp()));
            x *= 0.5;
        }
        assert!(worst <= 2.0, "worst error {worst} ulp");
    }

    #[test]
    fn exp_flushed_is_within_2_ulp_in_f64() {
        // The oracle is the platform's exp, which is within 1 ulp itself.
        let mut worst = 0.0_f64;
        for i in 0..400_000_u32 {
            let x = -708.39 * (f64::from(i) / 400_000.0);
            let exact = Real::exp(x);
            let spacing = f64::from_bits(exact.to_bits() + 1) - exact;
            worst = worst.max((x.exp_flushed(f64::EXP_CUTOFF) - exact).abs() / spacing);
        }
        assert!(worst <= 2.0, "worst error {worst} ulp");
    }

    #[test]
    fn exp_m1_clamped_is_within_2_ulp() {
        let mut worst = 0.0_f64;
        let mut see = |x: f64| {
            let exact = Real::exp_m1(x);
            let spacing = (f64::from_bits(exact.to_bits() + 1) - exact).abs();
            worst = worst.max((x.exp_m1_clamped() - exact).abs() / spacing);
            let x = x as f32;
            if x.abs() < 87.3 {
                worst = worst.max(ulp_f32(x.exp_m1_clamped(), f64::from(x).exp_m1()).abs());
            }
        };
        (1..400_000_u32).for_each(|i| see(700.0 * (f64::from(i) / 200_000.0 - 1.0)));
        (1..400_000_u32).for_each(|i| see(4.0 * (f64::from(i) / 200_000.0 - 1.0)));
        for k in 0..100 {
            see(0.5_f64.powi(k));
            see(-(0.5_f64.powi(k)));
        }
        assert!(worst <= 2.0, "worst error {worst} ulp");
        assert_eq!([0.0, -0.0, -1e9, f64::NEG_INFINITY].map(f64::exp_m1_clamped), [0.0, 0.0, -1.0, -1.0]);
        assert!(f64::INFINITY.exp_m1_clamped().is_finite() && f64::NAN.exp_m1_clamped().is_nan());
        assert!(f32::NAN.exp_m1_clamped().is_nan());
    }

    fn ends<T: Real>(smallest_normal: T) {
        let exp = |x: T| x.exp_flushed(T::EXP_CUTOFF);
        assert_eq!(exp(T::ZERO), T::ONE);
        assert_eq!(exp(-T::ZERO), T::ONE);
        assert_eq!(exp(T::EPSILON), T::ONE + T::EPSILON);
        assert_eq!(exp(T::NEG_INFINITY), T::ZERO);
        assert_eq!(exp(T::from_f64(-1e9)), T::ZERO);
        assert_eq!(exp(T::EXP_CUTOFF), T::ZERO);
        assert!(exp(T::NAN).is_nan());
        assert!(exp(-T::NAN).is_nan());
        let just_above = T::EXP_CUTOFF * (T::ONE - T::EPSILON);
        assert!(exp(just_above) >= smallest_normal);
        assert_eq!(T::from_f64(-10.0).exp_flushed(T::from_f64(-5.0)), T::ZERO);
    }

    #[test]
    fn exp_flushed_keeps_its_special_cases() {
        ends(f32::MIN_POSITIVE);
        ends(f64::MIN_POSITIVE);
        // A NaN whose payload reaches into the bits that carry the power of two.
        assert!(f32::from_bits(0x7fc0_01ff).exp_flushed(f32::EXP_CUTOFF).is_nan());
    }
}
