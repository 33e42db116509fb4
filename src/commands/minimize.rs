//! `mdrun minimize`: relaxes every frame of any input.

use super::{batch, eval};
use crate::cli;
use crate::engine::{self, Precision};
use crate::error::{Error, Result};
use crate::integrate::fire;
use crate::run::SearchProgress;

/// Runs the command; exit code 3 when a frame did not get below the tolerance.
pub fn run(arguments: &cli::Minimize) -> Result<u8> {
    if !(arguments.force_tolerance > 0.0 && arguments.force_tolerance.is_finite()) {
        return Err(Error::input(
            "--force-tolerance must be a positive number of eV/Å",
        ));
    }
    let student = batch::student(&arguments.field.model)?;
    let device = batch::device(&arguments.field.device)?;
    let precision = batch::precision(arguments.field.precision.as_deref(), Precision::Single)?;
    let mut frames = Vec::new();
    for path in &arguments.structures {
        frames.extend(super::structures(path, &student)?);
    }
    engine::check(device, &student)?;
    let mut out = eval::Sink::create(&arguments.out)?;
    let (system, mut replicas) = batch::batch(&frames, batch::AT_REST)?;
    let mut opened = engine::open(device, precision, &student, &system, &replicas)?;
    crate::say!("on {opened}");
    let tolerance = fire::Tolerance {
        force_ev_per_ang: arguments.force_tolerance,
        steps_max: arguments.steps_max,
    };
    let mut progress = SearchProgress::new(replicas.len());
    let watch = |step, searching| {
        progress.at(step, searching);
        true
    };
    let minima = fire::minimise(opened.engine.as_mut(), &mut replicas, tolerance, watch)?;
    progress.finish();
    for (structure, replica) in frames.iter().zip(&replicas) {
        out.frame(structure, replica, None)?;
    }
    out.finish()?;
    crate::tell!("frame  energy_eV            force_eV_per_ang  steps");
    for (number, (minimum, replica)) in minima.iter().zip(&replicas).enumerate() {
        crate::tell!(
            "{number:5}  {:<19.9}  {:<16.2e}  {:5}{}",
            replica.energy_ev,
            minimum.force_ev_per_ang,
            minimum.steps,
            if minimum.converged {
                ""
            } else {
                "  not converged"
            }
        );
    }
    let missed = minima.iter().filter(|minimum| !minimum.converged).count();
    crate::say!(
        "wrote {} ({} frames, {missed} not converged)",
        arguments.out.display(),
        frames.len()
    );
    Ok(if missed == 0 { 0 } else { 3 })
}
