//! `mdrun verify`: whether the files in an output folder are whole and belong to its checkpoint.
//!
//! It reads and changes nothing, so a run that is going on may be looked at, too: what it has
//! written since its last checkpoint is only counted.

use std::fs::File;
use std::path::Path;

use crate::checkpoint::{self, Checkpoint};
use crate::cli;
use crate::error::{Error, Result};
use crate::replica::{Replica, Status};
use crate::write::inspect::{self, Fault, Growing};
use crate::write::{CHECKPOINT, CHECKPOINT_PREVIOUS, LOG, SUMMARY, dcd};

/// Runs the command; exit code 1 if anything is wrong.
pub fn run(arguments: &cli::Verify) -> Result<u8> {
    let folder = &arguments.folder;
    let names = Growing::listed(folder)?;
    let mut report = Report::default();
    let checkpoint = checkpoint::read(&folder.join(CHECKPOINT))?;
    let failed = |replica: &&Replica| matches!(replica.status, Status::Failed(_));
    report.pass(
        CHECKPOINT,
        &format!(
            "step {}, {} replicas, {} of them frozen",
            checkpoint.step,
            checkpoint.replicas.len(),
            checkpoint.replicas.iter().filter(failed).count()
        ),
    );
    let previous = folder.join(CHECKPOINT_PREVIOUS);
    if previous.exists() {
        let step = checkpoint::read(&previous).map(|previous| previous.step);
        let step = step.map_err(|error| error.what().to_owned());
        report.add(CHECKPOINT_PREVIOUS, step.map(|step| format!("step {step}")));
    }
    trajectories(folder, &names, &checkpoint, &mut report)?;
    log(folder, &names, &checkpoint, &mut report)?;
    for name in &names.topologies {
        let text = std::fs::read_to_string(folder.join(name)).map_err(|source| source.to_string());
        let whole = text.and_then(|text| {
            let ends = text.trim_end().ends_with("END");
            let whole = ends.then(|| "whole".to_owned());
            whole.ok_or_else(|| "does not end with END".to_owned())
        });
        report.add(name, whole);
    }
    summary(folder, &checkpoint, &mut report);
    crate::tell!(
        "{} files are right, {} are not",
        report.passed,
        report.failed
    );
    Ok(u8::from(report.failed > 0))
}

/// What was found, said as it comes.
#[derive(Default)]
struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    fn pass(&mut self, name: &str, what: &str) {
        self.add(name, Ok(what.to_owned()));
    }

    fn add(&mut self, name: &str, found: Result<String, Fault>) {
        match found {
            Ok(what) => {
                self.passed += 1;
                crate::tell!("PASS  {name}: {what}");
            }
            Err(fault) => {
                self.failed += 1;
                crate::tell!("FAIL  {name}: {fault}");
            }
        }
    }
}

/// A setting of the run that is a number of steps.
fn interval_steps(checkpoint: &Checkpoint, key: &str) -> Result<u64> {
    let found = checkpoint.settings.iter().find(|(found, _)| found == key);
    let number = found.and_then(|(_, value)| value.parse().ok());
    number
        .filter(|steps| *steps > 0)
        .ok_or_else(|| Error::run(format!("the checkpoint says nothing about {key}")))
}

/// A file of a run, as long as the checkpoint says; and what there is beyond.
fn open(folder: &Path, name: &str, bytes: u64) -> Result<(File, String), Fault> {
    let file = File::open(folder.join(name)).map_err(|source| source.to_string())?;
    let found = file.metadata().map_err(|source| source.to_string())?.len();
    let beyond = match found.checked_sub(bytes) {
        None => {
            let fault = format!("has {found} bytes, but had {bytes} at the checkpoint");
            return Err(fault);
        }
        Some(0) => String::new(),
        Some(more) => format!(", and {more} bytes written since the checkpoint"),
    };
    Ok((file, beyond))
}

fn trajectories(
    folder: &Path,
    names: &Growing,
    checkpoint: &Checkpoint,
    report: &mut Report,
) -> Result<()> {
    let interval_steps = interval_steps(checkpoint, "output.frames_every")?;
    let offsets = &checkpoint.offsets;
    for (names, offsets, is_dcd) in [
        (&names.dcd, &offsets.dcd, true),
        (&names.extxyz, &offsets.extxyz, false),
    ] {
        if names.len() != offsets.len() {
            return Err(Error::run(format!(
                "the checkpoint speaks of {} trajectories, the folder's list of {}",
                offsets.len(),
                names.len()
            )));
        }
        for ((name, &bytes), replica) in names.iter().zip(offsets).zip(&checkpoint.replicas) {
            // A replica that failed where it started has no frame, and no file.
            let found = open(folder, name, bytes).and_then(|(file, beyond)| {
                let frames = if is_dcd {
                    let axis = dcd::Axis {
                        atoms: replica.positions_ang.len(),
                        interval_steps,
                        timestep_fs: replica.parameters.timestep_fs,
                    };
                    inspect::trajectory(file, bytes, axis, replica)?
                } else {
                    inspect::extended_xyz(file, bytes, interval_steps, replica)?
                };
                Ok(format!("{frames} frames{beyond}"))
            });
            if bytes > 0 || folder.join(name).exists() {
                report.add(name, found);
            }
        }
    }
    Ok(())
}

fn log(folder: &Path, names: &Growing, checkpoint: &Checkpoint, report: &mut Report) -> Result<()> {
    let interval_steps = interval_steps(checkpoint, "output.log_every")?;
    let replicas = &checkpoint.replicas;
    let bytes = checkpoint.offsets.log;
    let found = open(folder, LOG, bytes).and_then(|(file, beyond)| {
        let labels = inspect::labels(names, folder, replicas.len());
        let labels = labels.map_err(|error| error.what().to_owned())?;
        let lines = inspect::log_lines(file, bytes, interval_steps, &labels, replicas)?;
        Ok(format!("{lines} lines{beyond}"))
    });
    report.add(LOG, found);
    Ok(())
}

/// The summary is written when a run ends or stops; one that was killed has none, or an older one.
fn summary(folder: &Path, checkpoint: &Checkpoint, report: &mut Report) {
    let path = folder.join(SUMMARY);
    if !path.exists() {
        crate::tell!("      {SUMMARY}: none yet, the run has neither ended nor stopped");
        return;
    }
    let text = std::fs::read(path).map_err(|source| source.to_string());
    let json =
        text.and_then(|text| serde_json::from_slice(&text).map_err(|source| source.to_string()));
    let found = json.and_then(|summary: serde_json::Value| {
        let steps = summary["steps"].as_u64().ok_or("has no steps")?;
        let outcome = summary["outcome"].as_str().ok_or("has no outcome")?;
        if summary["hashes"]["student"] != checkpoint.student_hash.as_str() {
            return Err("speaks of another force field than the checkpoint".to_owned());
        }
        if steps > checkpoint.step || (outcome == "complete" && steps < checkpoint.step) {
            return Err(format!("is of step {steps}, the checkpoint is not"));
        }
        Ok(format!("{outcome} at step {steps}"))
    });
    report.add(SUMMARY, found);
}
