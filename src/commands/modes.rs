//! `mdrun modes`: harmonic frequencies and normal modes.
//!
//! The structure is relaxed, then the Hessian is taken by central differences of the analytic
//! forces, all 6N displaced copies as one batch, in f64.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use nalgebra::{DMatrix, DVector, SymmetricEigen, Vector3};

use super::batch;
use crate::cli;
use crate::elements;
use crate::engine;
use crate::error::{Error, Result};
use crate::integrate::fire;
use crate::replica::Replica;
use crate::student::Student;
use crate::system::{Molecule, System};
use crate::units::ACCELERATION;

/// Displacement of the differences, Å: its error is h²/6 of the fourth derivative, 1e-5 of a
/// frequency, while the forces' rounding (1e-13 eV/Å over 2h) stays far below that.
const DISPLACEMENT_ANG: f64 = 1e-3;
/// Largest force left at the minimum, eV/Å.
const RELAXED_EV_PER_ANG: f64 = 1e-6;
/// Wave number in 1/cm of an angular frequency of 1/fs: 1e15 / (2π · 2.99792458e10 cm/s).
const PER_CM: f64 = 1e15 / (2.0 * std::f64::consts::PI * 2.997_924_58e10);

/// A normal mode.
#[derive(Clone, Debug)]
pub struct Mode {
    /// Wave number, 1/cm; negative for an imaginary frequency.
    pub wavenumber_per_cm: f64,
    /// Displacements of the atoms, normalised, (N,).
    pub displacements: Vec<Vector3<f64>>,
}

/// Runs the command.
pub fn run(arguments: &cli::Modes) -> Result<()> {
    let student = batch::student(&arguments.model)?;
    let structure = super::first_structure(&arguments.structure, &student)?;
    let (system, mut replicas) = batch::batch(&[structure], batch::AT_REST)?;
    let mut engine = engine::open_double(&student, &system, &replicas)?.engine;
    let tolerance = fire::Tolerance {
        force_ev_per_ang: RELAXED_EV_PER_ANG,
        steps_max: 20_000,
    };
    let minimum = fire::minimise(engine.as_mut(), &mut replicas, tolerance, |_, _| true)?[0];
    if !minimum.converged {
        return Err(Error::run(format!(
            "no minimum found: after {} steps a force of {:.1e} eV/Å is left",
            minimum.steps, minimum.force_ev_per_ang
        ))
        .hint("relax the structure with `mdrun minimize` and look at it"));
    }
    let molecule = &system.molecules[0];
    let positions_ang = &replicas[0].positions_ang;
    let hessian = hessian(&student, &system, positions_ang)?;
    let modes = normal_modes(molecule, positions_ang, &hessian);
    if let Some(path) = &arguments.out {
        write(path, molecule, positions_ang, &modes)?;
        crate::say!(
            "wrote {} ({} modes, {FRAMES} frames each)",
            path.display(),
            modes.len()
        );
    }
    report(arguments, &modes);
    Ok(())
}

/// ∂²E/∂x∂x = −∂F/∂x by central differences, (3N, 3N) in eV/Å².
pub fn hessian(
    student: &Student,
    system: &Arc<System>,
    positions_ang: &[[f64; 3]],
) -> Result<DMatrix<f64>> {
    let coordinates = 3 * positions_ang.len();
    let displaced = |index: usize| {
        let mut positions = positions_ang.to_vec();
        let sign = if index.is_multiple_of(2) { 1.0 } else { -1.0 };
        positions[index / 6][index / 2 % 3] += sign * DISPLACEMENT_ANG;
        batch::replica(0, index as u32, positions, batch::AT_REST)
    };
    let mut replicas: Vec<Replica> = (0..2 * coordinates).map(displaced).collect();
    let mut engine = engine::open_double(student, system, &replicas)?.engine;
    engine.evaluate()?;
    engine.snapshot(&mut replicas)?;
    let force = |row: usize, column: usize| replicas[row].forces_ev_per_ang[column / 3][column % 3];
    let half = DMatrix::from_fn(coordinates, coordinates, |row, column| {
        (force(2 * row + 1, column) - force(2 * row, column)) / (2.0 * DISPLACEMENT_ANG)
    });
    Ok((&half + half.transpose()) * 0.5)
}

/// Eigenvectors of the mass-weighted Hessian outside the span of translations and rotations, by
/// rising frequency.
pub fn normal_modes(
    molecule: &Molecule,
    positions_ang: &[[f64; 3]],
    hessian: &DMatrix<f64>,
) -> Vec<Mode> {
    let root_mass: Vec<f64> = molecule.masses_amu.iter().map(|mass| mass.sqrt()).collect();
    let n = hessian.nrows();
    let mut weighted = DMatrix::from_fn(n, n, |row, column| {
        hessian[(row, column)] / (root_mass[row / 3] * root_mass[column / 3])
    });
    let rigid = rigid_motions(&root_mass, positions_ang);
    let vibrations = DMatrix::identity(n, n) - &rigid * rigid.transpose();
    weighted = &vibrations * weighted * &vibrations;
    let eigen = SymmetricEigen::new(weighted);
    let mut modes: Vec<Mode> = (0..n)
        .filter(|&k| (rigid.transpose() * eigen.eigenvectors.column(k)).norm() < 0.5)
        .map(|k| {
            let omega2 = eigen.eigenvalues[k] * ACCELERATION;
            let mut displacements: Vec<Vector3<f64>> = (0..n / 3)
                .map(|i| eigen.eigenvectors.column(k).fixed_rows::<3>(3 * i) / root_mass[i])
                .collect();
            let norm = displacements
                .iter()
                .map(Vector3::norm_squared)
                .sum::<f64>()
                .sqrt();
            for displacement in &mut displacements {
                *displacement /= norm;
            }
            Mode {
                wavenumber_per_cm: omega2.signum() * omega2.abs().sqrt() * PER_CM,
                displacements,
            }
        })
        .collect();
    modes.sort_by(|a, b| a.wavenumber_per_cm.total_cmp(&b.wavenumber_per_cm));
    modes
}

/// An orthonormal basis of mass-weighted translations and rotations, (3N, 6), or (3N, 5) for a
/// linear molecule.
fn rigid_motions(root_mass: &[f64], positions_ang: &[[f64; 3]]) -> DMatrix<f64> {
    let total: f64 = root_mass.iter().map(|root| root * root).sum();
    let weighted = root_mass.iter().zip(positions_ang);
    let centre: Vector3<f64> = weighted
        .map(|(root, &x)| root * root * Vector3::from(x))
        .sum::<Vector3<f64>>()
        / total;
    let mut basis: Vec<DVector<f64>> = Vec::new();
    for motion in 0..6 {
        let axis = Vector3::ith(motion % 3, 1.0);
        let column = root_mass.iter().zip(positions_ang).flat_map(|(&root, &x)| {
            let r = Vector3::from(x) - centre;
            let moved = if motion < 3 { axis } else { axis.cross(&r) };
            [root * moved.x, root * moved.y, root * moved.z]
        });
        let mut vector = DVector::from_iterator(3 * root_mass.len(), column);
        let length = vector.norm();
        for known in &basis {
            let along = known.dot(&vector);
            vector.axpy(-along, known, 1.0);
        }
        // A rotation about the axis of a linear molecule moves nothing.
        if vector.norm() > 1e-4 * length.max(1e-6) {
            basis.push(vector.normalize());
        }
    }
    DMatrix::from_columns(&basis)
}

fn report(arguments: &cli::Modes, modes: &[Mode]) {
    let wavenumbers: Vec<f64> = modes.iter().map(|mode| mode.wavenumber_per_cm).collect();
    if arguments.json {
        crate::tell!(
            "{}",
            serde_json::json!({ "wavenumbers_per_cm": wavenumbers })
        );
        return;
    }
    crate::tell!("mode  wavenumber (1/cm)");
    for (number, wavenumber) in wavenumbers.iter().enumerate() {
        crate::tell!("{:4}  {wavenumber:12.2}", number + 1);
    }
}

/// Frames of one swing of a mode.
const FRAMES: usize = 20;
/// Largest displacement of an atom in it, Å.
const AMPLITUDE_ANG: f64 = 0.3;

/// One swing of every mode after the other, as extXYZ.
fn write(
    path: &Path,
    molecule: &Molecule,
    positions_ang: &[[f64; 3]],
    modes: &[Mode],
) -> Result<()> {
    let mut text = String::new();
    for (number, mode) in modes.iter().enumerate() {
        let largest = mode
            .displacements
            .iter()
            .map(Vector3::norm)
            .fold(0.0, f64::max);
        for frame in 0..FRAMES {
            let phase = std::f64::consts::TAU * frame as f64 / FRAMES as f64;
            let scale = AMPLITUDE_ANG / largest * phase.sin();
            let _ = writeln!(
                text,
                "{}\nProperties=species:S:1:pos:R:3 mode={} wavenumber_per_cm={:.3} frame={frame} pbc=\"F F F\"",
                molecule.len(),
                number + 1,
                mode.wavenumber_per_cm,
            );
            for ((&x, d), &z) in positions_ang
                .iter()
                .zip(&mode.displacements)
                .zip(&molecule.numbers)
            {
                let at = Vector3::from(x) + scale * d;
                let symbol = elements::symbol(z);
                let _ = writeln!(text, "{symbol:2} {:.9} {:.9} {:.9}", at.x, at.y, at.z);
            }
        }
    }
    std::fs::write(path, text).map_err(|source| Error::io("write", path, &source))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two masses on a spring: ω² = k (1/m₁ + 1/m₂), and nothing else vibrates.
    #[test]
    fn a_diatomic_has_one_mode_at_its_closed_form() {
        let molecule = Molecule {
            name: "HCl".into(),
            numbers: vec![1, 17],
            masses_amu: vec![1.008, 35.45],
            starts_ang: vec![],
            bonds: vec![],
        };
        let positions = [[0.0, 0.0, 0.0], [0.9, 0.9, 0.0]];
        let stiffness = 30.0;
        let unit = DVector::from_vec(vec![1.0, 1.0, 0.0, -1.0, -1.0, 0.0]) / 2.0_f64.sqrt();
        let hessian = stiffness * &unit * unit.transpose();
        let modes = normal_modes(&molecule, &positions, &hessian);
        let omega = (stiffness * ACCELERATION * (1.0 / 1.008 + 1.0 / 35.45)).sqrt();
        assert_eq!(modes.len(), 1);
        assert!((modes[0].wavenumber_per_cm / (omega * PER_CM) - 1.0).abs() < 1e-12);
    }
}
