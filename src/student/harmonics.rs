//! Angular functions: 1, u and the five components Y of the traceless part of u ⊗ u, for |u| = 1.
//!
//! Y = (√3 xy, √3 yz, √3 zx, ½√3 (x² − y²), 1½ z² − ½), with Σ Y² = 1.

use super::real::Real;

/// 1, x, y, z and Y.
pub const COMPONENTS: usize = 9;

const ROOT_3: f64 = 1.732_050_807_568_877_2;

/// The components at u.
pub fn harmonics<T: Real>([x, y, z]: [T; 3]) -> [T; COMPONENTS] {
    let s = T::narrow(ROOT_3);
    let half = T::narrow(0.5);
    let last = T::narrow(1.5).mul_add(z * z, -half);
    [
        T::ONE,
        x,
        y,
        z,
        s * x * y,
        s * y * z,
        s * z * x,
        half * s * (x * x - y * y),
        last,
    ]
}

/// dE/du from the gradient by the components, up to a multiple of u.
pub fn harmonics_backward<T: Real>([x, y, z]: [T; 3], d: &[T; COMPONENTS]) -> [T; 3] {
    let s = T::narrow(ROOT_3);
    // Forward: √3 (xy, yz, zx, ½ (x² − y²)), 1½ z² − ½
    let [_, dx, dy, dz, xy, yz, zx, squares, last] = *d;
    [
        dx + s * (y * xy + z * zx + x * squares),
        dy + s * (x * xy + z * yz - y * squares),
        dz + s * (y * yz + x * zx) + T::narrow(3.0) * z * last,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A turn about an axis that is no symmetry of the components.
    fn turned([x, y, z]: [f64; 3], angle: f64) -> [f64; 3] {
        let (s, c) = angle.sin_cos();
        [
            c * x - s * y,
            (s * x + c * y) * 0.6 - 0.8 * z,
            (s * x + c * y) * 0.8 + 0.6 * z,
        ]
    }

    #[test]
    fn products_of_tensors_depend_on_the_angle_alone() {
        // Σ Y(u) Y(w) is the Legendre polynomial P2(u·w), whatever the frame.
        let (u, w) = ([0.0, 0.6, 0.8], [1.0, 0.0, 0.0]);
        for n in 0..20 {
            let (u, w) = (turned(u, 0.3 * f64::from(n)), turned(w, 0.3 * f64::from(n)));
            let (a, b) = (harmonics(u), harmonics(w));
            let cosine = u[0] * w[0] + u[1] * w[1] + u[2] * w[2];
            let product: f64 = (4..COMPONENTS).map(|c| a[c] * b[c]).sum();
            assert!((product - (1.5 * cosine * cosine - 0.5)).abs() < 1e-15);
            let square: f64 = (4..COMPONENTS).map(|c| a[c] * a[c]).sum();
            assert!((square - 1.0).abs() < 1e-15);
        }
    }

    #[test]
    fn gradients_are_central_differences() {
        let (u, h) = ([0.48, -0.6, 0.64], 1e-5);
        for component in 0..COMPONENTS {
            let mut d = [0.0; COMPONENTS];
            d[component] = 1.0;
            let slope = harmonics_backward(u, &d);
            for axis in 0..3 {
                let at = |h: f64| {
                    let mut u = u;
                    u[axis] += h;
                    harmonics(u)[component]
                };
                // Exact for quadratic functions, up to rounding over h.
                assert!(((at(h) - at(-h)) / (2.0 * h) - slope[axis]).abs() < 1e-10);
            }
        }
    }
}
