//! The student on the host, f32 for dynamics and f64 where derivatives of forces are taken.

use super::potential::ForceField;
use crate::student::real::Real;
use crate::student::{Network, Student, Workspace};
use crate::system::System;

/// The student with its weights laid out for `T`, and every molecule's elements as its indices.
pub struct StudentField<T: Real> {
    network: Network<T>,
    species: Vec<Vec<u8>>,
    cutoff_ang: f64,
}

impl<T: Real> StudentField<T> {
    /// Lays out the weights; the plan has made sure that every element is in the student's domain.
    pub fn new(student: &Student, system: &System) -> Self {
        let index = |number: &u8| student.species_of(*number).unwrap_or(0);
        let species = system
            .molecules
            .iter()
            .map(|molecule| molecule.numbers.iter().map(index).collect());
        Self {
            network: Network::new(student),
            species: species.collect(),
            cutoff_ang: student.domain().cutoff_ang,
        }
    }

    /// The expected error of a force component, eV/Å; none if the student does not say.
    pub fn force_error(
        &self,
        workspace: &mut Workspace<T>,
        molecule: usize,
        positions_ang: &[[f64; 3]],
    ) -> Option<f64> {
        let species = &self.species[molecule];
        self.network.force_error(workspace, species, positions_ang)
    }
}

impl<T: Real> ForceField for StudentField<T> {
    type Workspace = Workspace<T>;

    fn workspace(&self, atoms: usize, threads: usize) -> Workspace<T> {
        Workspace::shared(&self.network, atoms, threads)
    }

    fn evaluate(
        &self,
        workspace: &mut Workspace<T>,
        molecule: usize,
        positions_ang: &[[f64; 3]],
        forces_ev_per_ang: &mut [[f64; 3]],
    ) -> f64 {
        let species = &self.species[molecule];
        self.network
            .evaluate(workspace, species, positions_ang, forces_ev_per_ang)
    }

    fn cutoff_ang(&self) -> f64 {
        self.cutoff_ang
    }
}
