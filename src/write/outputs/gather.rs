//! Frames and rows, as they come, into the buffers.
//!
//! A frame is formatted once and where it is needed; nothing is copied or allocated for it but the
//! bytes of the file.

use super::{BUFFER_BYTES_MAX, Outputs, dcd_name, extxyz_name, write_dcd};
use crate::error::{Error, Result};
use crate::replica::Replica;
use crate::system::{Molecule, System};
use crate::write::{LOG, extxyz, log};

impl Outputs {
    /// Adds a frame of every replica that is running.
    pub fn frame(&mut self, system: &System, replicas: &[Replica]) -> Result<()> {
        for (index, replica) in replicas.iter().enumerate() {
            if replica.is_running() {
                let molecule = &system.molecules[replica.id.molecule as usize];
                self.frame_of(index, molecule, replica)?;
                self.step = self.step.max(replica.step);
            }
        }
        Ok(())
    }

    fn frame_of(&mut self, index: usize, molecule: &Molecule, replica: &Replica) -> Result<()> {
        let label = &self.labels[index];
        let not_finite = || {
            Error::run(format!(
                "replica {label} has coordinates or forces that are no numbers at step {}",
                replica.step
            ))
        };
        let origin_ang = if self.settings.centred {
            molecule.centre_of_mass_ang(&replica.positions_ang)
        } else {
            [0.0; 3]
        };
        if let Some(file) = self.dcd.get_mut(index) {
            let axis = self.settings.axis(replica);
            let is_new = file.is_empty();
            let buffer = file.buffer();
            let end = buffer.len();
            if is_new {
                axis.push_header(buffer, label);
            }
            if axis
                .push_frame(buffer, &replica.positions_ang, origin_ang)
                .is_err()
            {
                buffer.truncate(end);
                return Err(not_finite());
            }
            if file.waiting() >= self.buffer_bytes_max {
                write_dcd(file, axis, self.folder.disk())
                    .map_err(|source| self.failure(&dcd_name(label), &source))?;
            }
        }
        if let Some(file) = self.extxyz.get_mut(index) {
            if !is_finite(replica) {
                return Err(not_finite());
            }
            let frame = extxyz::Frame {
                numbers: &molecule.numbers,
                positions_ang: &replica.positions_ang,
                origin_ang,
                forces_ev_per_ang: &replica.forces_ev_per_ang,
                energy_ev: replica.energy_ev,
                force_error_ev_per_ang: None,
            };
            let moment = extxyz::Moment {
                step: replica.step,
                time_fs: replica.step as f64 * replica.parameters.timestep_fs,
                replica: label,
            };
            extxyz::push_frame(file.buffer(), &frame, Some(&moment));
            if file.waiting() >= self.buffer_bytes_max {
                file.write(self.folder.disk(), None)
                    .map_err(|source| self.failure(&extxyz_name(label), &source))?;
            }
        }
        Ok(())
    }

    /// Adds a row of every replica that is running; `force_errors_ev_per_ang` are the expected
    /// errors of their forces, (R,), if the force field knows them.
    pub fn log(
        &mut self,
        system: &System,
        replicas: &[Replica],
        force_errors_ev_per_ang: Option<&[f64]>,
    ) -> Result<()> {
        if self.log.is_empty() {
            log::push_header(self.log.buffer(), force_errors_ev_per_ang.is_some());
        }
        for (slot, (replica, label)) in replicas.iter().zip(&self.labels).enumerate() {
            if replica.is_running() {
                self.step = self.step.max(replica.step);
                let index = replica.id.molecule as usize;
                let freedom = self.settings.degrees_of_freedom[index];
                let molecule = &system.molecules[index];
                let error = force_errors_ev_per_ang.map(|errors| errors[slot]);
                log::push_row(self.log.buffer(), label, molecule, freedom, replica, error);
            }
        }
        if self.log.waiting() >= BUFFER_BYTES_MAX {
            self.log
                .write(self.folder.disk(), None)
                .map_err(|source| self.failure(LOG, &source))?;
        }
        Ok(())
    }
}

/// Whether all that goes into a frame of text is a number.
fn is_finite(replica: &Replica) -> bool {
    // Every number is looked at, without a branch for each.
    let all = |vectors: &[[f64; 3]]| {
        let numbers = vectors.as_flattened().iter();
        numbers.fold(true, |all, number| all & number.is_finite())
    };
    replica.energy_ev.is_finite() & all(&replica.positions_ang) & all(&replica.forces_ev_per_ang)
}
