//! All files of a run that grow with it, and their topologies.
//!
//! Frames and rows gather in memory and are appended when enough have come together or at
//! [`Outputs::flush`]; in between no file is open. What is written depends on the replicas alone,
//! never on when buffers were full or flushed. `resume` goes on from the lengths at a flush, and
//! the same bytes follow.
//!
//! Invariant: no empty trajectory, no frame that is not finite, nothing of a replica after it
//! failed.

mod flags;
mod gather;
mod how_to_load;
mod resume;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use super::appended::Appended;
use super::disk::Disk;
use super::folder::Folder;
use super::summary::{Failure, LastFrame};
use super::{LOG, dcd, label, topology};
use crate::error::{Error, Result};
use crate::replica::{Replica, Status};
use crate::system::System;

pub use resume::Resumed;

/// A buffer of this size is worth opening a file for.
const BUFFER_BYTES_MAX: usize = 256 << 10;
/// What all buffers together may hold.
const BUFFERS_BYTES_MAX: usize = 256 << 20;
/// The least that a buffer may hold, however many there are.
const BUFFER_BYTES_MIN: usize = 4 << 10;

/// What is written, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Trajectories as DCD.
    pub dcd: bool,
    /// Trajectories as extended XYZ.
    pub extxyz: bool,
    /// Steps between frames; the first is step 0.
    pub frame_interval_steps: u64,
    /// Whether the centre of mass is put at the origin in what is written.
    pub centred: bool,
    /// Degrees of freedom of each molecule, (molecules,): 3N less what the scheme keeps removed.
    pub degrees_of_freedom: Vec<usize>,
}

/// Lengths of all files at a flush, in bytes; 0 for a file that does not exist yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Of the log.
    pub log: u64,
    /// Of the DCD of each replica, (R,); empty where none are written.
    pub dcd: Vec<u64>,
    /// Of the extended XYZ of each replica, (R,); empty where none are written.
    pub extxyz: Vec<u64>,
}

/// All growing files of a run.
#[derive(Debug)]
pub struct Outputs {
    folder: Arc<Folder>,
    settings: Settings,
    labels: Vec<String>,
    /// Topologies, (molecules,), and which is whose, (R,).
    topologies: Vec<String>,
    molecules: Vec<u32>,
    log: Appended,
    dcd: Vec<Appended>,
    extxyz: Vec<Appended>,
    buffer_bytes_max: usize,
    /// The step of the newest frame or row, and of the newest one on stable storage.
    step: u64,
    step_stable: u64,
}

impl Outputs {
    /// Outputs of a new run; files of an older one in the folder are removed.
    pub fn create(
        folder: Arc<Folder>,
        settings: Settings,
        system: &System,
        replicas: &[Replica],
    ) -> Result<Self> {
        let count = |wanted: bool| if wanted { replicas.len() } else { 0 };
        let offsets = Offsets {
            log: 0,
            dcd: vec![0; count(settings.dcd)],
            extxyz: vec![0; count(settings.extxyz)],
        };
        let outputs = Self::new(folder, settings, system, replicas, &offsets)?;
        let topologies = topologies(system);
        let files = outputs.files().map(Appended::name);
        let names: Vec<&str> = files
            .chain(topologies.iter().map(|(name, _)| name.as_str()))
            .collect();
        outputs.folder.claim(&names)?;
        outputs.write_topologies(&topologies)?;
        Ok(outputs)
    }

    fn new(
        folder: Arc<Folder>,
        settings: Settings,
        system: &System,
        replicas: &[Replica],
        offsets: &Offsets,
    ) -> Result<Self> {
        let fits = |wanted: bool, offsets: &[u64]| {
            offsets.len() == if wanted { replicas.len() } else { 0 }
        };
        if !fits(settings.dcd, &offsets.dcd) || !fits(settings.extxyz, &offsets.extxyz) {
            return Err(Error::run(
                "the checkpoint was made with other replicas or other output formats",
            ));
        }
        let labels = label::labels(system, replicas)?;
        let files = |name: fn(&str) -> String, offsets: &[u64]| -> Vec<Appended> {
            let names = labels.iter().map(|label| name(label));
            let files = names.zip(offsets);
            files
                .map(|(name, &offset)| Appended::new(name, offset))
                .collect()
        };
        let step = replicas
            .iter()
            .map(|replica| replica.step)
            .max()
            .unwrap_or(0);
        let share = BUFFERS_BYTES_MAX / (offsets.dcd.len() + offsets.extxyz.len()).max(1);
        Ok(Self {
            folder,
            log: Appended::new(LOG.to_owned(), offsets.log),
            dcd: files(dcd_name, &offsets.dcd),
            extxyz: files(extxyz_name, &offsets.extxyz),
            buffer_bytes_max: share.clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX),
            step,
            step_stable: step,
            settings,
            topologies: system
                .molecules
                .iter()
                .map(|molecule| topology_name(&molecule.name))
                .collect(),
            molecules: replicas.iter().map(|replica| replica.id.molecule).collect(),
            labels,
        })
    }

    /// The label of a replica.
    pub fn label(&self, index: usize) -> &str {
        &self.labels[index]
    }

    /// The folder they are in.
    pub fn folder(&self) -> &Arc<Folder> {
        &self.folder
    }

    /// Brings everything to stable storage, and says how far each file has come.
    pub fn flush(&mut self, replicas: &[Replica]) -> Result<Offsets> {
        self.write(replicas)
            .map_err(|(name, source)| self.failure(&name, &source))?;
        let unsynced = self.files().filter(|file| file.is_unsynced());
        let names: Vec<_> = unsynced.map(Appended::name).collect();
        let disk = self.folder.disk();
        disk.sync_all(&names)
            .and_then(|()| disk.sync_folder())
            .map_err(|source| Error::io("write", self.folder.path(), &source))?;
        for file in self
            .dcd
            .iter_mut()
            .chain(&mut self.extxyz)
            .chain([&mut self.log])
        {
            file.mark_synced();
        }
        self.step_stable = self.step;
        Ok(Offsets {
            log: self.log.len(),
            dcd: self.dcd.iter().map(Appended::len).collect(),
            extxyz: self.extxyz.iter().map(Appended::len).collect(),
        })
    }

    /// Empties all buffers; an error comes with the name of the file.
    fn write(&mut self, replicas: &[Replica]) -> Result<(), (String, io::Error)> {
        let disk = self.folder.disk();
        for (file, replica) in self.dcd.iter_mut().zip(replicas) {
            let written = write_dcd(file, self.settings.axis(replica), disk);
            written.map_err(|source| (file.name().to_owned(), source))?;
        }
        for file in self.extxyz.iter_mut().chain([&mut self.log]) {
            let written = file.write(disk, None);
            written.map_err(|source| (file.name().to_owned(), source))?;
        }
        Ok(())
    }

    /// The replicas that failed, for the summary.
    pub fn failures(&self, replicas: &[Replica]) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (index, replica) in replicas.iter().enumerate() {
            if let Status::Failed(fault) = replica.status {
                failures.push(Failure {
                    replica: self.labels[index].clone(),
                    step: replica.step,
                    cause: fault.to_string(),
                    last_good_frame: self.last_frame(index, replica),
                });
            }
        }
        failures
    }

    /// The last frame of a replica; frames are at multiples of the interval and nowhere else.
    fn last_frame(&self, index: usize, replica: &Replica) -> Option<LastFrame> {
        let file = self.dcd.get(index).or(self.extxyz.get(index))?;
        let frame = replica
            .step
            .checked_div(self.settings.frame_interval_steps)?;
        (!file.is_empty()).then_some(LastFrame {
            index: frame,
            step: frame * self.settings.frame_interval_steps,
        })
    }

    fn files(&self) -> impl Iterator<Item = &Appended> {
        self.dcd.iter().chain(&self.extxyz).chain([&self.log])
    }

    fn write_topologies(&self, topologies: &[(String, String)]) -> Result<()> {
        let disk = self.folder.disk();
        for (name, text) in topologies {
            let written = disk.write(name, text.as_bytes());
            written.map_err(|source| Error::io("write", &disk.path(name), &source))?;
        }
        let names: Vec<_> = topologies.iter().map(|(name, _)| name.as_str()).collect();
        disk.sync_all(&names)
            .and_then(|()| disk.sync_folder())
            .map_err(|source| Error::io("write", self.folder.path(), &source))
    }

    /// What to say when a file cannot be written: a full disk is the usual cause.
    fn failure(&self, name: &str, source: &io::Error) -> Error {
        let waiting_bytes: usize = self.files().map(Appended::waiting).sum();
        Error::run(format!(
            "cannot write {}: {source}; {waiting_bytes} bytes of all files wait to be written, \
             and the last step that is safely on disk is {}",
            self.folder.disk().path(name).display(),
            self.step_stable
        ))
        .hint("make room, and go on from the checkpoint with --resume")
    }
}

impl Settings {
    fn axis(&self, replica: &Replica) -> dcd::Axis {
        dcd::Axis {
            atoms: replica.positions_ang.len(),
            interval_steps: self.frame_interval_steps,
            timestep_fs: replica.parameters.timestep_fs,
        }
    }
}

/// Writes a DCD and brings the counters in its header up to date.
fn write_dcd(file: &mut Appended, axis: dcd::Axis, disk: &Disk) -> io::Result<()> {
    let frames = axis.frames(file.len()).unwrap_or(0);
    let counters = axis.counters(frames);
    file.write(disk, Some((dcd::COUNTERS_AT, &counters)))
}

/// The name of a replica's DCD.
pub fn dcd_name(label: &str) -> String {
    format!("{label}.dcd")
}

/// The name of a replica's extended XYZ.
pub fn extxyz_name(label: &str) -> String {
    format!("{label}.xyz")
}

/// The name of a molecule's topology.
pub fn topology_name(molecule: &str) -> String {
    format!("{molecule}.pdb")
}

/// Names and contents of the topologies.
fn topologies(system: &System) -> Vec<(String, String)> {
    let molecules = system.molecules.iter();
    molecules
        .map(|molecule| (topology_name(&molecule.name), topology::pdb(molecule)))
        .collect()
}
