//! Who is computed with whom: molecules as the device knows them, and batches that fit.

use super::batch::MoleculeTable;
use crate::error::{Error, Result};
use crate::replica::Replica;
use crate::student::Student;
use crate::system::System;

/// Every molecule's table, and the campaign's elements as indices into the student's, ascending.
pub fn molecule_tables(
    system: &System,
    student: Option<&Student>,
) -> Result<(Vec<MoleculeTable>, Vec<usize>)> {
    let Some(student) = student else {
        let blank = |atoms| MoleculeTable {
            elements: vec![0; atoms],
            reference_ev: 0.0,
        };
        return Ok((
            system
                .molecules
                .iter()
                .map(|molecule| blank(molecule.len()))
                .collect(),
            vec![],
        ));
    };
    let index = |number: &u8| {
        let found = student
            .elements
            .iter()
            .position(|element| element.number == *number);
        found.ok_or_else(|| Error::input(format!("the student does not know element {number}")))
    };
    let species = system
        .molecules
        .iter()
        .map(|molecule| molecule.numbers.iter().map(index).collect())
        .collect::<Result<Vec<Vec<usize>>>>()?;
    let mut elements: Vec<usize> = species.iter().flatten().copied().collect();
    elements.sort_unstable();
    elements.dedup();
    let table = |species: &Vec<usize>| MoleculeTable {
        elements: species
            .iter()
            .map(|z| elements.partition_point(|known| known < z) as i32)
            .collect(),
        reference_ev: species
            .iter()
            .map(|z| student.reference_energies_ev[*z])
            .sum(),
    };
    Ok((species.iter().map(table).collect(), elements))
}

/// The most atoms and places for directed pairs that a batch has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extent {
    /// Atoms.
    pub rows: usize,
    /// Places for directed pairs.
    pub pairs: usize,
}

impl Extent {
    fn with(self, atoms: usize) -> Self {
        Self {
            rows: self.rows + atoms,
            pairs: self.pairs + atoms * atoms,
        }
    }

    /// Whatever is larger, each for itself.
    pub fn max(self, other: Self) -> Self {
        Self {
            rows: self.rows.max(other.rows),
            pairs: self.pairs.max(other.pairs),
        }
    }

    /// Of these slots' replicas together.
    pub fn of(slots: &[usize], replicas: &[Replica]) -> Self {
        let sizes = slots.iter().map(|slot| replicas[*slot].positions_ang.len());
        sizes.fold(Self::default(), Self::with)
    }
}

/// Slots shared out over batches that `fits` accepts, larger molecules first; a replica that fits
/// nowhere gets a batch of its own.
pub fn share_out(
    mut order: Vec<usize>,
    replicas: &[Replica],
    fits: impl Fn(Extent) -> bool,
) -> Vec<Vec<usize>> {
    let size = |slot: &usize| replicas[*slot].positions_ang.len();
    order.sort_by_key(|slot| (std::cmp::Reverse(size(slot)), replicas[*slot].id.molecule));
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut extent = Extent::default();
    for slot in order {
        let grown = extent.with(size(&slot));
        match parts.last_mut() {
            Some(part) if fits(grown) => {
                part.push(slot);
                extent = grown;
            }
            _ => {
                extent = Extent::default().with(size(&slot));
                parts.push(vec![slot]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::{Parameters, ReplicaId, Status};

    fn replica(atoms: usize) -> Replica {
        Replica {
            id: ReplicaId {
                molecule: atoms as u32,
                name_hash: 0,
                temperature: 0,
                copy: 0,
            },
            step: 0,
            parameters: Parameters {
                timestep_fs: 1.0,
                temperature_k: 0.0,
                friction_per_fs: 0.0,
            },
            positions_ang: vec![[0.0; 3]; atoms],
            velocities_ang_per_fs: vec![],
            forces_ev_per_ang: vec![],
            energy_ev: 0.0,
            kinetic_ev: 0.0,
            bath_heat_ev: 0.0,
            status: Status::Running,
        }
    }

    #[test]
    fn every_slot_is_in_one_batch_and_every_batch_fits() {
        let replicas: Vec<_> = [3, 9, 3, 5, 1, 9].map(replica).into();
        let parts = share_out((0..6).collect(), &replicas, |extent| extent.rows <= 12);
        assert_eq!(parts, [vec![1], vec![5], vec![3, 0, 2, 4]]);
        assert_eq!(
            Extent::of(&parts[2], &replicas),
            Extent {
                rows: 12,
                pairs: 25 + 9 + 9 + 1
            }
        );
        // One that is too large alone is still seated, and found out by whoever has the memory.
        assert_eq!(
            share_out(vec![1], &replicas, |extent| extent.rows <= 4),
            [vec![1]]
        );
    }
}
