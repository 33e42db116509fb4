//! Molecules that are no chemistry: random elements at random places, not too close.

use mdrun::student::architecture::Architecture;
use mdrun::student::random::SplitMix;

/// Species and positions of one molecule.
#[derive(Clone)]
pub struct Molecule {
    pub species: Vec<u8>,
    pub positions_ang: Vec<[f64; 3]>,
}

/// Sizes that make every part of the network take part, and are quick to test.
pub fn small() -> Architecture {
    Architecture {
        elements: 9,
        channels: 16,
        layers: 2,
        radial: 16,
        tensor_channels: 8,
        norm_epsilon: 1e-2,
        gates: true,
        cutoff_ang: 5.0,
        core: false,
        dispersion: false,
    }
}

/// The sizes that run.
pub fn full() -> Architecture {
    Architecture {
        channels: 128,
        tensor_channels: 64,
        ..small()
    }
}

/// A compact cloud of atoms at least 0.95 Å apart, about as dense as a molecule.
pub fn random(atoms: usize, seed: u64) -> Molecule {
    let mut generator = SplitMix(seed.wrapping_mul(1000).wrapping_add(atoms as u64));
    let width = 1.1 * (atoms as f64 / 8.0).cbrt().max(1.0);
    let mut positions_ang: Vec<[f64; 3]> = Vec::new();
    while positions_ang.len() < atoms {
        let x = [(); 3].map(|()| width * generator.gaussian());
        if positions_ang.iter().all(|y| distance(&x, y) > 0.95) {
            positions_ang.push(x);
        }
    }
    let species = (0..atoms)
        .map(|_| (9.0 * generator.uniform()) as u8)
        .collect();
    Molecule {
        species,
        positions_ang,
    }
}

/// The same with every distance 0.6 times as long: most pairs are far inside their covalent
/// distance, where repulsion and core are.
pub fn pressed(atoms: usize, seed: u64) -> Molecule {
    spread(atoms, seed, 0.6)
}

/// The same with every distance so many times as long.
pub fn spread(atoms: usize, seed: u64, factor: f64) -> Molecule {
    let mut molecule = random(atoms, seed);
    for x in molecule.positions_ang.as_flattened_mut() {
        *x *= factor;
    }
    molecule
}

/// |a − b|.
pub fn distance(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// √Σ x².
pub fn norm(forces: &[[f64; 3]]) -> f64 {
    forces.iter().flatten().map(|f| f * f).sum::<f64>().sqrt()
}
