//! The two number types that the network is written for: f32 runs, f64 checks.
//!
//! Only the operations that IEEE 754 rounds correctly appear here (+ − × ÷ √ and fused
//! multiply-add), so that a result never depends on the mathematics library of the platform.

#![allow(
    clippy::inline_always,
    reason = "a call in place of an instruction would be the cost"
)]

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// f32 or f64.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Send
    + Sync
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The largest |x| that [`Self::exp`] tells apart from its neighbours.
    const EXP_LIMIT: Self;

    /// The nearest number of this type.
    fn narrow(x: f64) -> Self;
    /// The same number in f64.
    fn widen(self) -> f64;
    /// `self · factor + term` with one rounding.
    #[must_use]
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// √self.
    #[must_use]
    fn sqrt(self) -> Self;
    /// eˣ, for |x| up to [`Self::EXP_LIMIT`] and constant beyond; NaN stays NaN.
    #[must_use]
    fn exp(self) -> Self;
}

/// x = n ln 2 + s with |s| ≤ ½ ln 2, and eˣ = 2ⁿ Σ sᵐ/m!.
///
/// Adding 1.5 · 2^(mantissa bits) rounds to an integer that then stands in the low bits, where a
/// shift makes it an exponent; ln 2 is subtracted in two parts, of which the second corrects what
/// the first was rounded by. The sum ends where its next term is below a tenth of a rounding.
macro_rules! real {
    ($real:ident, $bits:ident, $mantissa:literal, $limit:literal, $ln_2_rest:literal, $terms:literal) => {
        impl Real for $real {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const EXP_LIMIT: Self = $limit;

            #[inline(always)]
            fn narrow(x: f64) -> Self {
                x as Self
            }

            #[inline(always)]
            fn widen(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                $real::mul_add(self, factor, term)
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                $real::sqrt(self)
            }

            #[inline(always)]
            fn exp(self) -> Self {
                const TO_INTEGER: $real = 1.5 * (1_u64 << $mantissa) as $real;
                const LN_2: $real = std::$real::consts::LN_2;
                let x = self.clamp(-Self::EXP_LIMIT, Self::EXP_LIMIT);
                let shifted = $real::mul_add(x, std::$real::consts::LOG2_E, TO_INTEGER);
                let n = shifted - TO_INTEGER;
                let s = $real::mul_add(-n, $ln_2_rest, $real::mul_add(-n, LN_2, x));
                let mut sum = INVERSE_FACTORIALS[$terms] as $real;
                for m in (0..$terms).rev() {
                    sum = $real::mul_add(sum, s, INVERSE_FACTORIALS[m] as $real);
                }
                let exponent = (shifted.to_bits() << $mantissa).wrapping_add(Self::ONE.to_bits());
                sum * $real::from_bits(exponent)
            }
        }
    };
}

real!(f32, u32, 23, 87.0, -1.904_654_3e-9, 7);
real!(f64, u64, 52, 708.0, 2.319_046_813_846_299_6e-17, 13);

/// 1/m!.
pub const INVERSE_FACTORIALS: [f64; 18] = {
    let mut table = [1.0; 18];
    let mut factorial = 1.0;
    let mut m = 1;
    while m < table.len() {
        factorial *= m as f64; // exact: 17! < 2^53
        table[m] = 1.0 / factorial;
        m += 1;
    }
    table
};

/// sin(πy) and cos(πy) for |y| up to 2⁵⁰.
///
/// y = ½n + t with |t| ≤ ¼ is exact in floating point; the Taylor polynomials of sin(πt) and
/// cos(πt) then end at a term below 5e-17, and n modulo 4 says which of them is which, with which
/// sign. Written with selections instead of branches so that a loop over it becomes vector code.
#[inline(always)]
pub fn sin_cos_pi(y: f64) -> (f64, f64) {
    const TO_INTEGER: f64 = 1.5 * (1_u64 << 52) as f64;
    let shifted = 2.0 * y + TO_INTEGER;
    let quadrant = shifted.to_bits();
    let x = std::f64::consts::PI * f64::mul_add(shifted - TO_INTEGER, -0.5, y);
    let z = -(x * x);
    let mut sine = INVERSE_FACTORIALS[17];
    let mut cosine = INVERSE_FACTORIALS[16];
    for m in (0..8).rev() {
        sine = f64::mul_add(sine, z, INVERSE_FACTORIALS[2 * m + 1]);
        cosine = f64::mul_add(cosine, z, INVERSE_FACTORIALS[2 * m]);
    }
    sine *= x;
    let (s, c) = if quadrant & 1 == 0 {
        (sine, cosine)
    } else {
        (cosine, sine)
    };
    // sin is negative in quadrants 2 and 3, cos in 1 and 2: a set bit 1 of n and of n + 1.
    let sign = |n: u64| (n & 2) << 62;
    (
        f64::from_bits(s.to_bits() ^ sign(quadrant)),
        f64::from_bits(c.to_bits() ^ sign(quadrant.wrapping_add(1))),
    )
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact results are meant")]
mod tests {
    use super::*;

    /// Largest relative error over a grid, in units of the type's own precision.
    fn worst(count: i32, at: impl Fn(f64) -> (f64, f64), epsilon: f64) -> f64 {
        (-count..=count)
            .map(|n| {
                let (got, exact) = at(f64::from(n) / f64::from(count));
                ((got - exact) / exact).abs() / epsilon
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_good_to_two_units_in_the_last_place() {
        let f32_at = |y: f64| {
            let x = (87.0 * y) as f32;
            (Real::exp(x).widen(), f64::from(x).exp())
        };
        assert!(worst(100_000, f32_at, f64::from(f32::EPSILON)) < 2.0);
        let f64_at = |y: f64| (Real::exp(708.0 * y), (708.0 * y).exp());
        assert!(worst(100_000, f64_at, f64::EPSILON) < 2.0);
    }

    #[test]
    fn exp_saturates_and_keeps_nan() {
        assert_eq!(Real::exp(1e30_f32), Real::exp(87.0_f32));
        assert_eq!(Real::exp(f64::NEG_INFINITY), Real::exp(-708.0));
        assert!(Real::exp(f32::NAN).is_nan() && Real::exp(f64::NAN).is_nan());
        assert_eq!((Real::exp(0.0_f32), Real::exp(0.0_f64)), (1.0, 1.0));
    }

    #[test]
    fn sine_and_cosine_agree_with_the_standard_library() {
        // The reference rounds its own argument πy: 2 roundings of an argument of up to 3π.
        for n in -30_000..=30_000 {
            let y = f64::from(n) * 1e-4;
            let (sine, cosine) = sin_cos_pi(y);
            let (expected_sine, expected_cosine) = (std::f64::consts::PI * y).sin_cos();
            assert!((sine - expected_sine).abs() < 3e-15, "sin(π {y}) is {sine}");
            assert!(
                (cosine - expected_cosine).abs() < 3e-15,
                "cos(π {y}) is {cosine}"
            );
        }
        assert_eq!(sin_cos_pi(1.0), (-0.0, -1.0));
        assert_eq!(sin_cos_pi(0.5), (1.0, 0.0));
        assert!(sin_cos_pi(f64::NAN).0.is_nan());
    }
}
