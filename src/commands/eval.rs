//! `mdrun eval`: energies and forces of every frame of any input, in one batch after the other.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::batch;
use crate::cli;
use crate::engine::{self, Precision, Uncertainty};
use crate::error::{Error, Result};
use crate::replica::{Fault, Replica, Status};
use crate::structure::Structure;
use crate::write::extxyz;

/// Frames evaluated together: enough to fill the device, few enough for memory not to matter.
const FRAMES_AT_ONCE: usize = 4096;

/// Runs the command.
pub fn run(arguments: &cli::Eval) -> Result<()> {
    let student = batch::student(&arguments.field.model)?;
    let device = batch::device(&arguments.field.device)?;
    let precision = batch::precision(arguments.field.precision.as_deref(), Precision::Single)?;
    let mut frames = Vec::new();
    for path in &arguments.structures {
        frames.extend(super::structures(path, &student)?);
    }
    engine::check(device, &student)?;
    let mut out = Sink::create(&arguments.out)?;
    let limit_ev_per_ang = student.domain().force_error_ev_per_ang;
    let mut flagged = 0;
    for (number, chunk) in frames.chunks(FRAMES_AT_ONCE).enumerate() {
        let (system, mut replicas) = batch::batch(chunk, batch::AT_REST)?;
        let mut opened = engine::open(device, precision, &student, &system, &replicas)?;
        if number == 0 {
            crate::say!("on {opened}");
        }
        opened.engine.evaluate()?;
        opened.engine.snapshot(&mut replicas)?;
        let uncertainty = Uncertainty::new(&student, &system);
        let errors = uncertainty.map(|known| known.force_errors_ev_per_ang(&replicas));
        for (index, (structure, replica)) in chunk.iter().zip(&replicas).enumerate() {
            let error_ev_per_ang = errors.as_ref().map(|errors| errors[index]);
            out.frame(structure, replica, error_ev_per_ang)?;
            if error_ev_per_ang > limit_ev_per_ang {
                flagged += 1;
            }
        }
    }
    out.finish()?;
    crate::say!(
        "wrote {} ({} frames)",
        arguments.out.display(),
        frames.len()
    );
    if let Some(limit) = limit_ev_per_ang.filter(|_| flagged > 0) {
        crate::say!("flagged: {flagged} frames with an expected force error above {limit} eV/Å");
    }
    Ok(())
}

/// An extXYZ file of single points; it takes its name when it is complete, so that nothing that was
/// there before, perhaps the input, is lost by a run that fails.
pub(super) struct Sink<'a> {
    path: &'a Path,
    unfinished: PathBuf,
    file: BufWriter<File>,
    line: Vec<u8>,
}

impl<'a> Sink<'a> {
    /// Creates the file before anything is computed.
    pub(super) fn create(path: &'a Path) -> Result<Self> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let file = File::create(&unfinished);
        let file = file.map_err(|source| Error::io("create", &unfinished, &source))?;
        Ok(Self {
            path,
            unfinished,
            file: BufWriter::new(file),
            line: Vec::new(),
        })
    }

    /// Appends one frame with its energy in eV, forces in eV/Å and their expected error, if that is
    /// known; refuses one that has no energy.
    pub(super) fn frame(
        &mut self,
        structure: &Structure,
        replica: &Replica,
        force_error_ev_per_ang: Option<f64>,
    ) -> Result<()> {
        if let Status::Failed(fault @ Fault::NotFinite) = replica.status {
            return Err(Error::run(format!("a frame has no energy: {fault}")));
        }
        self.line.clear();
        let frame = extxyz::Frame {
            numbers: &structure.numbers,
            positions_ang: &replica.positions_ang,
            origin_ang: [0.0; 3],
            forces_ev_per_ang: &replica.forces_ev_per_ang,
            energy_ev: replica.energy_ev,
            force_error_ev_per_ang,
        };
        extxyz::push_frame(&mut self.line, &frame, None);
        let written = self.file.write_all(&self.line);
        written.map_err(|source| Error::io("write", &self.unfinished, &source))
    }

    /// Writes what is still buffered, and gives the file its name.
    pub(super) fn finish(mut self) -> Result<()> {
        self.file
            .flush()
            .and_then(|()| std::fs::rename(&self.unfinished, self.path))
            .map_err(|source| Error::io("write", self.path, &source))
    }
}
