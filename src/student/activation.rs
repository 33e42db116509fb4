//! silu(x) = x σ(x) with σ(x) = 1/(1 + e⁻ˣ).

use multiversion::multiversion;

use super::real::Real;

/// y = silu(x); `x` becomes silu'(x), all that the gradient needs.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub fn silu<T: Real>(x: &mut [T], y: &mut [T]) {
    for (x, y) in x.iter_mut().zip(y) {
        let sigma = T::ONE / (T::ONE + (-*x).exp());
        *y = *x * sigma;
        // silu' = σ + x σ (1 − σ)
        *x = sigma.mul_add(*x * (T::ONE - sigma), sigma);
    }
}

/// dx = dy silu'(x), in place.
pub fn silu_backward<T: Real>(slope: &[T], dy: &mut [T]) {
    // Forward: y = silu(x)
    for (dy, slope) in dy.iter_mut().zip(slope) {
        *dy = *dy * *slope;
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact results are meant")]
mod tests {
    use super::*;

    #[test]
    fn silu_and_its_slope_agree_with_the_standard_library() {
        for n in -3000..=3000 {
            let x = 0.01 * f64::from(n);
            let sigma = 1.0 / (1.0 + (-x).exp());
            let (mut slope, mut y) = ([x], [0.0]);
            silu(&mut slope, &mut y);
            let exact = [x * sigma, sigma * (1.0 + x * (1.0 - sigma))];
            assert!((y[0] - exact[0]).abs() <= 8.0 * f64::EPSILON * exact[0].abs());
            assert!((slope[0] - exact[1]).abs() <= 8.0 * f64::EPSILON * (1.0 + x.abs()) * sigma);

            let (mut narrow_slope, mut narrow) = ([x as f32], [0.0]);
            silu(&mut narrow_slope, &mut narrow);
            let epsilon = f64::from(f32::EPSILON) * (1.0 + x.abs());
            assert!((narrow[0].widen() - exact[0]).abs() <= 8.0 * epsilon);
            assert!((narrow_slope[0].widen() - exact[1]).abs() <= 8.0 * epsilon);
        }
    }

    #[test]
    fn silu_of_huge_arguments_is_finite_and_of_nan_is_nan() {
        let (mut x, mut y) = ([-1e30_f32, 1e30, f32::NAN], [0.0; 3]);
        silu(&mut x, &mut y);
        assert!(y[0].is_finite() && y[1] == 1e30 && y[2].is_nan());
    }
}
