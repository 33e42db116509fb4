//! The network against the oracle, which is written independently and differentiated by a machine.

use mdrun::engine::reference;
use mdrun::student::{Architecture, Network, Student};

use super::{architectures, evaluate, largest_difference};
use crate::molecules::{Molecule, norm, pressed, random, small, spread};

fn agree(architecture: &Architecture, seed: u64, molecule: &Molecule) {
    let student = Student::random(architecture, seed);
    let atoms = molecule.species.len();
    let (energy, forces) = evaluate(&Network::<f64>::new(&student), molecule);
    let mut expected = vec![[0.0; 3]; atoms];
    let expected_energy = reference::evaluate(
        &student,
        &molecule.species,
        &molecule.positions_ang,
        &mut expected,
    )
    .unwrap();
    // Both sum in f64, in different orders, over some thousand terms of the size of the forces.
    let bound = 1e-11 * (1.0 + norm(&expected));
    let energy_error = (energy - expected_energy).abs();
    let force_error = largest_difference(&forces, &expected);
    assert!(
        energy_error < bound && force_error < bound,
        "{architecture:?}, {atoms} atoms: {energy_error:e} {force_error:e}"
    );
}

#[test]
fn energies_and_forces_agree_for_every_option() {
    for (seed, architecture) in architectures().iter().enumerate() {
        for atoms in [2, 3, 9, 24] {
            agree(architecture, seed as u64, &random(atoms, seed as u64));
        }
    }
}

#[test]
fn energies_and_forces_agree_for_every_size() {
    for atoms in 1..=65 {
        agree(&small(), 11, &random(atoms, 11));
    }
}

#[test]
fn energies_and_forces_agree_inside_the_core() {
    let core = Architecture {
        core: true,
        ..small()
    };
    for seed in 0..4 {
        for atoms in [2, 3, 9, 24] {
            agree(&core, seed, &pressed(atoms, seed));
        }
    }
}

#[test]
fn energies_and_forces_agree_beyond_the_cutoff() {
    let far = Architecture {
        dispersion: true,
        ..small()
    };
    for cutoff_ang in [3.0, 5.0, 6.5] {
        let far = Architecture {
            cutoff_ang,
            ..far.clone()
        };
        for atoms in [2, 3, 9, 24, 40] {
            for width in [1.0, 2.0, 6.0] {
                agree(&far, 3, &spread(atoms, 3, width));
            }
        }
    }
}
