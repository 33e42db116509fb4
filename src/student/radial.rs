//! Radial functions: what a distance is to the network.
//!
//! ```text
//! B_k(r) = √(2/r_c) · sin(kπr/r_c)/r · f(r),   f(r) = ½ (1 + cos(πr/r_c)),   k = 1 … K
//! ```
//!
//! the spherical Bessel functions of order zero in a ball of the cut-off's radius (10.48550/arXiv.2003.03123)
//! times a cosine cut-off. There the sine has a simple and the cut-off a double zero, so B, B' and
//! B'' vanish there and the energy is twice continuously differentiable.
//!
//! sin(kθ) and cos(kθ) follow from θ by rotating K − 1 times, all in f64: the error of a rotation
//! adds up over k, and there are few pairs beside the network's work.

use multiversion::multiversion;

use super::real::{Real, sin_cos_pi};
use super::rows::row;

/// Pairs treated side by side.
const LANES: usize = 8;

/// The radial functions of a student.
#[derive(Clone, Copy, Debug)]
pub struct Radial {
    /// The cut-off, Å.
    pub cutoff_ang: f64,
    /// K.
    pub count: usize,
}

impl Radial {
    /// B and B' of every distance: `basis` and `slope` are (P, K).
    pub fn forward<T: Real>(&self, distances_ang: &[f64], basis: &mut [T], slope: &mut [T]) {
        let rows = LANES * self.count;
        let rows = basis.chunks_mut(rows).zip(slope.chunks_mut(rows));
        for (r, (basis, slope)) in distances_ang.chunks(LANES).zip(rows) {
            let mut lanes = [1.0; LANES];
            lanes[..r.len()].copy_from_slice(r);
            side_by_side(*self, &lanes, basis, slope);
        }
    }

    /// dE/dr of pair p from dE/dB and B', both (P, K).
    pub fn backward<T: Real>(&self, p: usize, d_basis: &[T], slope: &[T]) -> f64 {
        // Forward: B_k = B_k(r)
        let terms = row(d_basis, p, self.count)
            .iter()
            .zip(row(slope, p, self.count));
        terms.map(|(d, slope)| d.widen() * slope.widen()).sum()
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn side_by_side<T: Real>(
    Radial { cutoff_ang, count }: Radial,
    distances_ang: &[f64; LANES],
    basis: &mut [T],
    slope: &mut [T],
) {
    let wave = std::f64::consts::PI / cutoff_ang;
    let scale = (2.0 / cutoff_ang).sqrt();
    let (mut sine, mut cosine) = ([0.0; LANES], [0.0; LANES]);
    let (mut envelope, mut envelope_slope) = ([0.0; LANES], [0.0; LANES]);
    for lane in 0..LANES {
        let r = distances_ang[lane];
        let (s, c) = sin_cos_pi(r / cutoff_ang);
        (sine[lane], cosine[lane]) = (s, c);
        // envelope = √(2/r_c) f/r, and its derivative √(2/r_c) (f' − f/r)/r
        let f = 0.5 * (1.0 + c);
        envelope[lane] = scale * f / r;
        envelope_slope[lane] = scale * (-0.5 * wave * s - f / r) / r;
    }
    let (s1, c1) = (sine, cosine);
    for k in 0..count {
        let turns = wave * (k + 1) as f64;
        let (mut b, mut db) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            let (s, c) = (sine[lane], cosine[lane]);
            b[lane] = s * envelope[lane];
            db[lane] = s.mul_add(envelope_slope[lane], turns * c * envelope[lane]);
            sine[lane] = s.mul_add(c1[lane], c * s1[lane]);
            cosine[lane] = c.mul_add(c1[lane], -(s * s1[lane]));
        }
        for (lane, (basis, slope)) in basis
            .chunks_exact_mut(count)
            .zip(slope.chunks_exact_mut(count))
            .enumerate()
        {
            basis[k] = T::narrow(b[lane]);
            slope[k] = T::narrow(db[lane]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUTOFF_ANG: f64 = 5.0;
    const RADIAL: usize = 16;

    fn at(r: f64) -> ([f64; RADIAL], [f64; RADIAL]) {
        let (mut basis, mut slope) = ([0.0; RADIAL], [0.0; RADIAL]);
        let radial = Radial {
            cutoff_ang: CUTOFF_ANG,
            count: RADIAL,
        };
        radial.forward(&[r], &mut basis, &mut slope);
        (basis, slope)
    }

    #[test]
    fn values_agree_with_the_formula() {
        for n in 1..500 {
            let r = 0.01 * f64::from(n);
            let theta = std::f64::consts::PI * r / CUTOFF_ANG;
            let f = 0.5 * (1.0 + theta.cos());
            for (k, got) in at(r).0.iter().enumerate() {
                let formula = (2.0 / CUTOFF_ANG).sqrt() * ((k + 1) as f64 * theta).sin() / r * f;
                // Sixteen rotations of one or two roundings each, and those of the formula itself.
                assert!(
                    (got - formula).abs() < 40.0 * f64::EPSILON / r,
                    "B_{} at {r}",
                    k + 1
                );
            }
        }
    }

    #[test]
    fn slopes_are_central_differences_of_the_values() {
        let h = 1e-5;
        for n in 1..100 {
            let r = 0.05 * f64::from(n);
            let (above, below, slope) = (at(r + h).0, at(r - h).0, at(r).1);
            for k in 0..RADIAL {
                let difference = (above[k] - below[k]) / (2.0 * h);
                // h²/6 times a third derivative of order (kπ/r_c)³, near zero over r.
                assert!((difference - slope[k]).abs() < 1e-6, "B'_{} at {r}", k + 1);
            }
        }
    }

    #[test]
    fn values_and_two_derivatives_vanish_at_the_cutoff() {
        // B goes as (r_c − r)³ and B' as (r_c − r)², so B'' goes to zero with r_c − r.
        for gap in [1e-2, 1e-3, 1e-4] {
            let (basis, slope) = at(CUTOFF_ANG - gap);
            for k in 0..RADIAL {
                let bound = (k + 1) as f64;
                assert!(basis[k].abs() < bound * gap.powi(3));
                assert!(slope[k].abs() < 3.0 * bound * gap.powi(2));
            }
        }
    }
}
