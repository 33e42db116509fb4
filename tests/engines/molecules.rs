//! Random molecules and the host engines they are compared with.

use std::path::Path;
use std::sync::Arc;

use mdrun::elements::{ELEMENTS, element_of};
use mdrun::engine::host::HostEngine;
use mdrun::engine::potential::ForceField;
use mdrun::replica::{Parameters, Replica, ReplicaId};
use mdrun::structure;
use mdrun::student::random::SplitMix;
use mdrun::student::real::Real;
use mdrun::student::{Architecture, Network, Student, Workspace};
use mdrun::system::{Molecule, System};

/// The sizes of the small shipped student; there are kernels for 64 channels and 32 tensor channels.
pub fn small_architecture() -> Architecture {
    Architecture {
        channels: 48,
        tensor_channels: 16,
        core: true,
        ..architecture(2, true)
    }
}

/// The sizes of the larger shipped student, with the given number of layers.
pub fn architecture(layers: usize, gates: bool) -> Architecture {
    Architecture {
        elements: ELEMENTS.len(),
        channels: 128,
        layers,
        radial: 16,
        tensor_channels: 64,
        gates,
        norm_epsilon: 1e-2,
        cutoff_ang: 5.0,
        core: false,
        dispersion: false,
    }
}

/// Atoms grown one by one, 1.1 to 1.5 Å from one that is there and 0.95 Å from all others.
fn cluster(atoms: usize, generator: &mut SplitMix) -> Vec<[f64; 3]> {
    let mut positions_ang = vec![[0.0; 3]];
    while positions_ang.len() < atoms {
        let parent = positions_ang[(generator.uniform() * positions_ang.len() as f64) as usize];
        let direction = [(); 3].map(|()| generator.gaussian());
        let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
        let bond_ang = 1.1 + 0.4 * generator.uniform();
        let x = [0, 1, 2].map(|axis| parent[axis] + bond_ang * direction[axis] / length);
        let apart = |y: &[f64; 3]| (0..3).map(|n| (x[n] - y[n]).powi(2)).sum::<f64>() > 0.95 * 0.95;
        if positions_ang.iter().all(apart) {
            positions_ang.push(x);
        }
    }
    positions_ang
}

pub const WATER: (&str, &str) = ("water.xyz", include_str!("../../inputs/mixed/water.xyz"));
pub const ETHANOL: (&str, &str) = (
    "ethanol.xyz",
    include_str!("../../inputs/mixed/ethanol.xyz"),
);
const ASPIRIN: (&str, &str) = (
    "aspirin.xyz",
    include_str!("../../benches/molecules/aspirin.xyz"),
);
const LORATADINE: (&str, &str) = (
    "loratadine.xyz",
    include_str!("../../benches/molecules/loratadine.xyz"),
);

/// 98 atoms.
pub const RITONAVIR: (&str, &str) = (
    "ritonavir.xyz",
    include_str!("../../benches/molecules/ritonavir.xyz"),
);

/// Water, aspirin and loratadine, their atoms moved by some 0.05 Å.
pub fn real_molecules() -> Arc<System> {
    system_of(&[WATER, ASPIRIN, LORATADINE], 0.05)
}

/// Molecules of files, their atoms moved by so much or so.
pub fn system_of(files: &[(&str, &str)], moved_ang: f64) -> Arc<System> {
    let mut generator = SplitMix(21);
    let molecule = |(name, text): &(&str, &str)| {
        let structure = structure::parse(Path::new(name), text.as_bytes())
            .unwrap()
            .remove(0);
        let mass = |number: &u8| element_of(*number).unwrap().mass_amu;
        let moved = |x: &[f64; 3]| x.map(|x| x + moved_ang * generator.gaussian());
        Molecule {
            name: (*name).into(),
            masses_amu: structure.numbers.iter().map(mass).collect(),
            starts_ang: vec![structure.positions_ang.iter().map(moved).collect()],
            numbers: structure.numbers,
            bonds: vec![],
        }
    };
    Arc::new(System {
        molecules: files.iter().map(molecule).collect(),
        seed: 21,
        temperature_limit_k: 1e6,
    })
}

/// Molecules of these sizes, each of a few of the student's elements.
pub fn system(sizes: &[usize], seed: u64) -> Arc<System> {
    let mut generator = SplitMix(seed);
    let molecule = |(number, atoms): (usize, &usize)| {
        let kinds = 2 + number % 4;
        let elements: Vec<_> = (0..*atoms)
            .map(|a| ELEMENTS[(a * a + number) % kinds * 2])
            .collect();
        Molecule {
            name: format!("cluster{number}"),
            numbers: elements.iter().map(|element| element.number).collect(),
            masses_amu: elements.iter().map(|element| element.mass_amu).collect(),
            starts_ang: vec![cluster(*atoms, &mut generator)],
            bonds: vec![],
        }
    };
    let molecules = sizes.iter().enumerate().map(molecule).collect();
    Arc::new(System {
        molecules,
        seed: 77,
        temperature_limit_k: 1e6,
    })
}

/// Zigzag chains of so many atoms, 1.25 Å an atom, far from the origin: most pairs are beyond the cut-off.
pub fn chains(sizes: &[usize], seed: u64) -> Arc<System> {
    let mut generator = SplitMix(seed);
    let mut atom = |n: usize| {
        let side_ang = [0.4, -0.4][n % 2];
        let x = [1.25 * n as f64, side_ang, 0.0];
        x.map(|x| 1e4 + x + 0.05 * generator.gaussian())
    };
    let mut molecules = system(sizes, seed).molecules.clone();
    for molecule in &mut molecules {
        let atoms = 0..molecule.numbers.len();
        molecule.starts_ang = vec![atoms.map(&mut atom).collect()];
    }
    Arc::new(System {
        molecules,
        seed: 77,
        temperature_limit_k: 1e6,
    })
}

/// What all tests run at.
pub const PARAMETERS: Parameters = Parameters {
    timestep_fs: 0.5,
    temperature_k: 300.0,
    friction_per_fs: 0.01,
};

/// One copy of each molecule, `copy`, at its start with thermal velocities.
pub fn replicas(system: &System, copy: u32) -> Vec<Replica> {
    let replica = |(number, molecule): (usize, &Molecule)| {
        let mut replica = Replica::at_rest(
            ReplicaId {
                molecule: number as u32,
                name_hash: 1000 + number as u32,
                temperature: 2,
                copy,
            },
            PARAMETERS,
            molecule.starts_ang[0].clone(),
        );
        mdrun::integrate::start::thermalise(system, &mut replica, false);
        replica
    };
    system.molecules.iter().enumerate().map(replica).collect()
}

/// The student on the host.
pub struct OnHost<T: Real> {
    network: Network<T>,
    species: Vec<Vec<u8>>,
}

impl<T: Real> ForceField for OnHost<T> {
    type Workspace = Workspace<T>;

    fn workspace(&self, atoms: usize, _threads: usize) -> Workspace<T> {
        Workspace::new(&self.network, atoms)
    }

    fn evaluate(
        &self,
        workspace: &mut Workspace<T>,
        molecule: usize,
        positions_ang: &[[f64; 3]],
        forces_ev_per_ang: &mut [[f64; 3]],
    ) -> f64 {
        self.network.evaluate(
            workspace,
            &self.species[molecule],
            positions_ang,
            forces_ev_per_ang,
        )
    }

    fn cutoff_ang(&self) -> f64 {
        5.0
    }
}

/// An engine on the host in numbers of `T`.
pub fn on_host<T: Real>(
    system: &Arc<System>,
    student: &Student,
    replicas: &[Replica],
) -> HostEngine<OnHost<T>> {
    let index = |number: &u8| {
        student
            .elements
            .iter()
            .position(|e| e.number == *number)
            .unwrap() as u8
    };
    let species = system
        .molecules
        .iter()
        .map(|m| m.numbers.iter().map(index).collect())
        .collect();
    let field = OnHost {
        network: Network::new(student),
        species,
    };
    HostEngine::new(system.clone(), field, vec![], replicas)
}
