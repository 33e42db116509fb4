//! Molecules, replicas and folders for the tests of what is written.

use tempfile::TempDir;

use crate::random::philox4x32;
use crate::replica::{Parameters, Replica, ReplicaId, Status};
use crate::system::{Molecule, System};

/// An empty folder that is gone at the end, in memory where there is such a place: what reaches
/// stable storage is counted by `faults`, and a busy disk takes minutes for it.
pub fn root() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Waters of these names.
pub fn system(names: &[&str]) -> System {
    let molecule = |name: &&str| Molecule {
        name: (*name).to_owned(),
        numbers: vec![8, 1, 1],
        masses_amu: vec![15.999, 1.008, 1.008],
        starts_ang: vec![vec![
            [0.0, 0.0, 0.12],
            [0.0, 0.76, -0.47],
            [0.0, -0.76, -0.47],
        ]],
        bonds: vec![(0, 1), (0, 2)],
    };
    System {
        molecules: names.iter().map(molecule).collect(),
        seed: 1,
        temperature_limit_k: 1e4,
    }
}

/// Copies of every molecule at every temperature, at step 0.
pub fn replicas(system: &System, temperatures: u8, copies: u32) -> Vec<Replica> {
    let mut replicas = Vec::new();
    for (index, molecule) in system.molecules.iter().enumerate() {
        for temperature in 0..temperatures {
            for copy in 0..copies {
                replicas.push(Replica {
                    id: ReplicaId {
                        molecule: index as u32,
                        name_hash: index as u32 + 100,
                        temperature,
                        copy,
                    },
                    step: 0,
                    parameters: Parameters {
                        timestep_fs: 0.5,
                        temperature_k: 300.0,
                        friction_per_fs: 1e-3,
                    },
                    positions_ang: molecule.starts_ang[0].clone(),
                    velocities_ang_per_fs: vec![[0.0; 3]; molecule.len()],
                    forces_ev_per_ang: vec![[0.0; 3]; molecule.len()],
                    energy_ev: -2081.0,
                    kinetic_ev: 0.1,
                    bath_heat_ev: 0.0,
                    status: Status::Running,
                });
            }
        }
    }
    replicas
}

/// Moves running replicas to a step, in a way that depends on the step alone.
pub fn move_to(replicas: &mut [Replica], step: u64) {
    for (index, replica) in replicas.iter_mut().enumerate() {
        if !replica.is_running() {
            continue;
        }
        replica.step = step;
        let uniform = |atom: usize, axis: usize, stream: u32| {
            let counter = [atom as u32, axis as u32, stream, index as u32];
            let [word, ..] = philox4x32(counter, [step as u32, (step >> 32) as u32]);
            f64::from(word) / f64::from(u32::MAX)
        };
        for atom in 0..replica.positions_ang.len() {
            for axis in 0..3 {
                replica.positions_ang[atom][axis] = 10.0 * uniform(atom, axis, 0);
                replica.velocities_ang_per_fs[atom][axis] = 0.01 * uniform(atom, axis, 1);
                replica.forces_ev_per_ang[atom][axis] = 5.0 * (uniform(atom, axis, 2) - 0.5);
            }
        }
        replica.energy_ev = -2081.0 + uniform(0, 0, 3);
        replica.kinetic_ev = uniform(0, 0, 4);
        replica.bath_heat_ev = uniform(0, 0, 5);
    }
}
