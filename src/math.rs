//! Elementary functions that touch the state of a trajectory.
//!
//! They are made of + − × ÷ and √ alone, which IEEE 754 defines to the last bit, so that they give
//! the same bits on every host and on a GPU.  A platform's libm promises no such thing.

use std::f64::consts::{FRAC_PI_2, LN_2, SQRT_2};

/// Horner's scheme, highest coefficient first.
fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    coefficients
        .iter()
        .fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// Natural logarithm of a normal, positive number; relative error below 1e-15.
///
/// x = m 2^e with m in [√½, √2), and ln m = 2 artanh s = 2 (s + s³/3 + s⁵/5 + …) with
/// s = (m − 1)/(m + 1), |s| < 0.172: eleven terms leave 2e-17.
pub fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits((bits & MANTISSA) | 1.0_f64.to_bits());
    if m > SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let series = polynomial(
        s * s,
        &[
            1.0 / 21.0,
            1.0 / 19.0,
            1.0 / 17.0,
            1.0 / 15.0,
            1.0 / 13.0,
            1.0 / 11.0,
            1.0 / 9.0,
            1.0 / 7.0,
            1.0 / 5.0,
            1.0 / 3.0,
            1.0,
        ],
    );
    exponent as f64 * LN_2 + 2.0 * s * series
}

/// sin and cos of `turns` full turns, 0 ≤ turns < 1; absolute error below 1e-15.
///
/// The angle is taken to the nearest quarter turn, which leaves |x| ≤ π/4 for the Taylor series.
pub fn sin_cos_turns(turns: f64) -> (f64, f64) {
    let quarter = (4.0 * turns + 0.5).floor();
    let x = (4.0 * turns - quarter) * FRAC_PI_2;
    let x2 = x * x;
    // Coefficients are (−1)ⁿ/(2n+1)! and (−1)ⁿ/(2n)!, highest first.
    let sin = x * polynomial(
        x2,
        &[
            1.0 / 355_687_428_096_000.0,
            -1.0 / 1_307_674_368_000.0,
            1.0 / 6_227_020_800.0,
            -1.0 / 39_916_800.0,
            1.0 / 362_880.0,
            -1.0 / 5040.0,
            1.0 / 120.0,
            -1.0 / 6.0,
            1.0,
        ],
    );
    let cos = polynomial(
        x2,
        &[
            1.0 / 20_922_789_888_000.0,
            -1.0 / 87_178_291_200.0,
            1.0 / 479_001_600.0,
            -1.0 / 3_628_800.0,
            1.0 / 40320.0,
            -1.0 / 720.0,
            1.0 / 24.0,
            -0.5,
            1.0,
        ],
    );
    match quarter as i64 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// exp of a number in [−700, 0]; relative error below 1e-15.
///
/// x = k ln 2 + r with |r| ≤ ½ ln 2, and the Taylor series of exp r to r¹⁴.
pub fn exp_of_negative(x: f64) -> f64 {
    let k = (x / LN_2 + 0.5).floor();
    let r = x - k * LN_2;
    let mut series = 1.0;
    for n in (1..=14).rev() {
        series = 1.0 + series * r / f64::from(n);
    }
    series * f64::from_bits(((1023 + k as i64) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agree_with_the_standard_library() {
        for i in 1..100_000 {
            let u = f64::from(i) / 100_000.0;
            assert!(
                (ln(u) - u.ln()).abs() <= 2e-15 * u.ln().abs().max(1.0),
                "ln {u}"
            );
            let (sin, cos) = sin_cos_turns(u);
            let angle = std::f64::consts::TAU * u;
            assert!(
                (sin - angle.sin()).abs() < 2e-15 && (cos - angle.cos()).abs() < 2e-15,
                "{u}"
            );
            let x = -50.0 * u;
            assert!(
                (exp_of_negative(x) / x.exp() - 1.0).abs() < 1e-14,
                "exp {x}"
            );
        }
        assert!((ln(1e-300) - 1e-300_f64.ln()).abs() < 1e-12);
        assert_eq!(exp_of_negative(0.0).to_bits(), 1.0_f64.to_bits());
    }
}
