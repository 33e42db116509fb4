//! Every student against the energies and forces that the training code computed for it in f64.

use std::fs;
use std::path::{Path, PathBuf};

use mdrun::student::real::Real;
use mdrun::student::{Network, Student};
use serde::Deserialize;

use super::{evaluate, force_error};
use crate::molecules::{Molecule, norm};

/// What stands in a `.golden.json` beside its `.safetensors`.
#[derive(Deserialize)]
struct Golden {
    structures: Vec<Structure>,
}

#[derive(Deserialize)]
struct Structure {
    name: String,
    numbers: Vec<u8>,
    positions_ang: Vec<[f64; 3]>,
    energy_ev: f64,
    forces_ev_ang: Vec<[f64; 3]>,
    /// Where the student knows its own error.
    force_error_ev_ang: Option<f64>,
}

/// All golden files of the repository.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.join("tests/data"), root.join("models")];
    let entries = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().ends_with(".golden.json"))
        .collect()
}

/// Largest errors over all structures: energy relative to √Σ F² Å, |ΔF|/|F|, and Δε/ε of the
/// expected error of a force.
fn errors<T: Real>(path: &Path) -> (f64, f64, f64) {
    let golden: Golden = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let weights = path
        .to_string_lossy()
        .replace(".golden.json", ".safetensors");
    let student = Student::open(Path::new(&weights)).unwrap();
    let network = Network::<T>::new(&student);
    let (mut of_energy, mut of_forces, mut of_uncertainty) = (0.0_f64, 0.0_f64, 0.0_f64);
    for structure in golden.structures {
        let index = |z: &u8| {
            student
                .elements
                .iter()
                .position(|e| e.number == *z)
                .unwrap() as u8
        };
        let molecule = Molecule {
            species: structure.numbers.iter().map(index).collect(),
            positions_ang: structure.positions_ang,
        };
        let (energy, forces) = evaluate(&network, &molecule);
        let found = force_error(&network, &molecule);
        assert_eq!(found.is_some(), structure.force_error_ev_ang.is_some());
        if let (Some(found), Some(expected)) = (found, structure.force_error_ev_ang) {
            of_uncertainty = of_uncertainty.max((found / expected - 1.0).abs());
        }
        let expected = structure.forces_ev_ang;
        let size = norm(&expected);
        let difference: Vec<_> = forces
            .iter()
            .zip(&expected)
            .map(|(a, b)| [0, 1, 2].map(|n| a[n] - b[n]))
            .collect();
        let (energy_error, force_error) = (
            (energy - structure.energy_ev).abs() / size,
            norm(&difference) / size,
        );
        println!(
            "{}: energy {energy_error:.1e}, forces {force_error:.1e}",
            structure.name
        );
        of_energy = of_energy.max(energy_error);
        of_forces = of_forces.max(force_error);
    }
    (of_energy, of_forces, of_uncertainty)
}

#[test]
fn double_precision_agrees_with_the_training_code() {
    for path in files() {
        // Both compute in f64; the file keeps ten decimals of eV and of eV/Å.
        let (energy, forces, uncertainty) = errors::<f64>(&path);
        assert!(
            energy < 1e-8 && forces < 1e-8 && uncertainty < 1e-8,
            "{}: {energy:e} {forces:e} {uncertainty:e}",
            path.display()
        );
    }
}

#[test]
fn single_precision_agrees_with_the_training_code() {
    for path in files() {
        let (energy, forces, uncertainty) = errors::<f32>(&path);
        assert!(
            energy < 1e-4 && forces < 1e-4 && uncertainty < 1e-4,
            "{}: {energy:e} {forces:e} {uncertainty:e}",
            path.display()
        );
    }
}

#[test]
fn there_is_at_least_one_golden_file() {
    assert!(!files().is_empty());
}
