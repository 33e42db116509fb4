//! Velocities to start from.

use nalgebra::{Matrix3, Vector3};

use crate::random::{self, Stream};
use crate::replica::Replica;
use crate::system::System;
use crate::units::{ACCELERATION, BOLTZMANN_EV_PER_K};

/// Draws Maxwell–Boltzmann velocities at the replica's temperature and takes out the motion of the
/// centre of mass and, if asked, the rotation.
///
/// What remains is still Maxwellian, on the degrees of freedom that remain.
pub fn thermalise(system: &System, replica: &mut Replica, remove_rotation: bool) {
    let molecule = &system.molecules[replica.id.molecule as usize];
    let kt_ev = BOLTZMANN_EV_PER_K * replica.parameters.temperature_k;
    for (atom, mass) in molecule.masses_amu.iter().enumerate() {
        let width = (kt_ev * ACCELERATION / mass).sqrt();
        let noise = random::normal3(system.seed, &replica.id, 0, atom, Stream::Velocities);
        replica.velocities_ang_per_fs[atom] = noise.map(|x| width * x);
    }
    let (positions, velocities) = (&replica.positions_ang, &mut replica.velocities_ang_per_fs);
    remove_translation(&molecule.masses_amu, velocities);
    if remove_rotation {
        remove_angular_momentum(&molecule.masses_amu, positions, velocities);
    }
    replica.kinetic_ev = molecule.kinetic_energy_ev(&replica.velocities_ang_per_fs);
    replica.bath_heat_ev = 0.0;
}

/// Σ m y / Σ m
fn mass_average(masses_amu: &[f64], values: &[[f64; 3]]) -> Vector3<f64> {
    let sum: Vector3<f64> = masses_amu
        .iter()
        .zip(values)
        .map(|(&mass, &value)| mass * Vector3::from(value))
        .sum();
    sum / masses_amu.iter().sum::<f64>()
}

fn remove_translation(masses_amu: &[f64], velocities: &mut [[f64; 3]]) {
    let drift = mass_average(masses_amu, velocities);
    for v in velocities {
        *v = (Vector3::from(*v) - drift).into();
    }
}

/// The inertia tensor about the centre of mass, Σ m (r² − r rᵀ).
fn inertia(masses: &[f64], positions: &[[f64; 3]]) -> Matrix3<f64> {
    let centre = mass_average(masses, positions);
    let of_atom = |(&mass, &x): (&f64, &[f64; 3])| {
        let r = Vector3::from(x) - centre;
        mass * (Matrix3::identity() * r.norm_squared() - r * r.transpose())
    };
    masses.iter().zip(positions).map(of_atom).sum()
}

/// Moments of inertia below this share of their sum are those of a line or a point.
const NO_INERTIA: f64 = 1e-9;

/// How many rotations a molecule has: 3, or 2 for a linear one, or none for an atom.
pub fn rotations(masses: &[f64], positions: &[[f64; 3]]) -> usize {
    let inertia = inertia(masses, positions);
    let least = NO_INERTIA * inertia.trace();
    inertia
        .symmetric_eigenvalues()
        .iter()
        .filter(|moment| **moment > least)
        .count()
}

/// v −= ω × (x − x̄) with I ω = L; the pseudo-inverse serves linear molecules, whose inertia tensor
/// has a zero.
fn remove_angular_momentum(masses: &[f64], positions: &[[f64; 3]], velocities: &mut [[f64; 3]]) {
    let centre = mass_average(masses, positions);
    let momentum: Vector3<f64> = masses
        .iter()
        .zip(positions.iter().zip(velocities.iter()))
        .map(|(&mass, (&x, &v))| mass * (Vector3::from(x) - centre).cross(&Vector3::from(v)))
        .sum();
    let inertia = inertia(masses, positions);
    let least = (NO_INERTIA * inertia.trace()).max(f64::MIN_POSITIVE);
    let Ok(inverse) = inertia.pseudo_inverse(least) else {
        return;
    };
    let omega = inverse * momentum;
    for (v, &x) in velocities.iter_mut().zip(positions) {
        *v = (Vector3::from(*v) - omega.cross(&(Vector3::from(x) - centre))).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momenta_vanish_for_bent_and_linear_molecules() {
        let masses = [16.0, 1.0, 12.0, 1.0];
        for bend in [0.0, 0.7] {
            let positions = [
                [0.0; 3],
                [1.0, bend, 0.1 * bend],
                [2.0, -bend, 0.0],
                [3.1, 0.0, bend],
            ];
            let mut velocities = [
                [0.1, 0.2, 0.3],
                [-0.5, 0.1, 0.0],
                [0.2, -0.9, 0.4],
                [0.0, 0.3, -0.6],
            ];
            remove_translation(&masses, &mut velocities);
            remove_angular_momentum(&masses, &positions, &mut velocities);
            assert!(mass_average(&masses, &velocities).norm() < 1e-15);
            let centre = mass_average(&masses, &positions);
            let momentum: Vector3<f64> = (0..4)
                .map(|i| {
                    let r = Vector3::from(positions[i]) - centre;
                    masses[i] * r.cross(&Vector3::from(velocities[i]))
                })
                .sum();
            assert!(momentum.norm() < 1e-13, "{momentum}");
        }
    }

    #[test]
    fn rotations_are_counted_by_shape() {
        assert_eq!(rotations(&[16.0], &[[1.0, 2.0, 3.0]]), 0);
        assert_eq!(
            rotations(
                &[1.0, 16.0, 1.0],
                &[[-1.0, 0.5, 0.0], [0.0; 3], [1.0, -0.5, 0.0]]
            ),
            2
        );
        assert_eq!(
            rotations(
                &[1.0, 16.0, 1.0],
                &[[-1.0, 0.5, 0.0], [0.0; 3], [1.0, 0.5, 0.0]]
            ),
            3
        );
    }
}
