//! How far off the forces may be, whatever engine they come from.
//!
//! Only positions go in: an engine's snapshot is enough, and nothing of it is done while replicas
//! are stepped. The student is evaluated on the host, in f32 as for dynamics there.

use rayon::prelude::*;

use super::cpu::StudentField;
use super::potential::ForceField;
use crate::replica::Replica;
use crate::student::Student;
use crate::system::System;

/// The student's readout of its own error, for the molecules of a system.
pub struct Uncertainty {
    field: StudentField<f32>,
}

impl Uncertainty {
    /// None if the student says nothing about its error.
    pub fn new(student: &Student, system: &System) -> Option<Self> {
        student.uncertainty.as_ref()?;
        let field = StudentField::new(student, system);
        Some(Self { field })
    }

    /// The expected error of a force component on every replica, eV/Å, (R,): root mean square over
    /// its atoms. NaN of a replica that does not move any more.
    pub fn force_errors_ev_per_ang(&self, replicas: &[Replica]) -> Vec<f64> {
        let error = |workspace: &mut _, replica: &Replica| {
            let molecule = replica.id.molecule as usize;
            let positions_ang = &replica.positions_ang;
            let running = replica.is_running();
            let error = running
                .then(|| self.field.force_error(workspace, molecule, positions_ang))
                .flatten();
            error.unwrap_or(f64::NAN)
        };
        let replicas = replicas.par_iter();
        replicas
            .map_init(|| self.field.workspace(0, 1), error)
            .collect()
    }
}
