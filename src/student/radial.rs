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
//! A student with a core has
//!
//! ```text
//! B_k(r) · (1 − s(r/r_s))
//! ```
//!
//! in their place, where s is the switch that ends at the pair's covalent distance `r_s`
//! (`switch`), C2 too: the closer two atoms are pushed, the less the network sees of the pair, so
//! that no feature grows beyond what training showed, and what is left at the core is the
//! repulsion. Beyond that distance both have the same bits.
//!
//! sin(kθ) and cos(kθ) follow from θ by rotating K − 1 times, all in f64: the error of a rotation
//! adds up over k, and there are few pairs beside the network's work.

use multiversion::multiversion;

use super::real::{Real, sin_cos_pi};
use super::switch::{self, Distances};

/// Pairs treated side by side.
const LANES: usize = 8;

/// The radial functions of a student.
#[derive(Clone, Debug)]
pub struct Radial {
    /// The cut-off, Å.
    pub cutoff_ang: f64,
    /// K.
    pub count: usize,
    /// Covalent distances of every pair of elements, if the student has a core.
    pub core: Option<Distances>,
}

impl Radial {
    /// B and B' of every distance: `basis` and `slope` are (P, K), `cores_ang` are the pairs'
    /// covalent distances, (P,), or empty without a core.
    pub fn forward<T: Real>(
        &self,
        distances_ang: &[f64],
        cores_ang: &[f64],
        basis: &mut [T],
        slope: &mut [T],
    ) {
        let rows = LANES * self.count;
        let rows = basis.chunks_mut(rows).zip(slope.chunks_mut(rows));
        let mut cores = cores_ang.chunks(LANES).map(lanes);
        for (r, (basis, slope)) in distances_ang.chunks(LANES).zip(rows) {
            let of = (self.cutoff_ang, self.count);
            side_by_side(of, &lanes(r), cores.next().as_ref(), basis, slope);
        }
    }
}

/// Up to as many numbers as there are lanes, and ones.
fn lanes(numbers: &[f64]) -> [f64; LANES] {
    let mut lanes = [1.0; LANES];
    lanes[..numbers.len()].copy_from_slice(numbers);
    lanes
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn side_by_side<T: Real>(
    (cutoff_ang, count): (f64, usize),
    distances_ang: &[f64; LANES],
    cores_ang: Option<&[f64; LANES]>,
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
    if let Some(cores_ang) = cores_ang {
        for lane in 0..LANES {
            let core_ang = cores_ang[lane];
            let (rise, rise_slope) = switch::rise(distances_ang[lane] / core_ang);
            // B_k is a sine times the envelope, so that this is the rule of products for B_k, too.
            // Forward: envelope · rise(r/r_s)
            envelope_slope[lane] =
                envelope_slope[lane].mul_add(rise, envelope[lane] * (rise_slope / core_ang));
            envelope[lane] *= rise;
        }
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
    const CORE_ANG: f64 = 1.5;

    fn at(r: f64) -> ([f64; RADIAL], [f64; RADIAL]) {
        values(r, &[])
    }

    /// With a core of 1.5 Å.
    fn with_core(r: f64) -> ([f64; RADIAL], [f64; RADIAL]) {
        values(r, &[CORE_ANG])
    }

    fn values(r: f64, cores_ang: &[f64]) -> ([f64; RADIAL], [f64; RADIAL]) {
        let (mut basis, mut slope) = ([0.0; RADIAL], [0.0; RADIAL]);
        let radial = Radial {
            cutoff_ang: CUTOFF_ANG,
            count: RADIAL,
            core: None,
        };
        radial.forward(&[r], cores_ang, &mut basis, &mut slope);
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
        for at in [at, with_core] {
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
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "exact results are meant")]
    fn a_core_changes_nothing_beyond_it_and_two_derivatives_go_on_into_it() {
        for n in 0..70 {
            let r = CORE_ANG + 0.05 * f64::from(n);
            assert_eq!(with_core(r), at(r));
        }
        // s goes as 10 g³ with g the gap over r_s: B differs as g³, B' as g², so B'' as g.
        for gap in [1e-2, 1e-3, 1e-4] {
            let r = CORE_ANG * (1.0 - gap);
            let ((basis, slope), (outer, outer_slope)) = (with_core(r), at(r));
            for k in 0..RADIAL {
                let (s, ds) = (10.0 * gap.powi(3), 30.0 * gap.powi(2) / CORE_ANG);
                // Roundings of B, which is of order one, and of B', of order kπ/r_c.
                assert!((basis[k] - outer[k]).abs() <= s * outer[k].abs() + 1e-15);
                let bound = s * outer_slope[k].abs() + ds * outer[k].abs() + 1e-14;
                assert!((slope[k] - outer_slope[k]).abs() <= bound);
            }
        }
        // Where the atoms meet, x³ is left of the factor.
        for r in [1e-2, 1e-4] {
            let (basis, slope) = with_core(r);
            for k in 0..RADIAL {
                let bound = 10.0 * (r / CORE_ANG).powi(2) * (k + 1) as f64;
                assert!(basis[k].abs() < bound * r && slope[k].abs() < 3.0 * bound);
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
