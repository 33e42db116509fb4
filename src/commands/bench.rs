//! `mdrun bench`: how fast replicas of a molecule are stepped.

use std::path::Path;
use std::time::Instant;

use super::batch;
use crate::cli;
use crate::engine::{self, Precision, StageTime};
use crate::error::{Error, Result};
use crate::integrate::{Scheme, start};
use crate::replica::Parameters;
use crate::structure;

/// Benzene at its experimental bond lengths (1.397 and 1.084 Å, 10.1016/0022-2860(80)80190-3).
const BENZENE: &str = include_str!("../../inputs/nve/benzene.xyz");

/// Conditions of a usual run.
const PARAMETERS: Parameters = Parameters {
    timestep_fs: 0.5,
    temperature_k: 300.0,
    friction_per_fs: 0.001,
};

/// Steps over which the stages' times are taken.
const PROFILED_STEPS: u64 = 20;

/// Runs the command.
pub fn run(arguments: &cli::Bench) -> Result<()> {
    let student = batch::student(&arguments.field.model)?;
    let device = batch::device(&arguments.field.device)?;
    let precision = batch::precision(arguments.field.precision.as_deref(), Precision::Mixed)?;
    let structure = match &arguments.structure {
        Some(path) => super::first_structure(path, &student)?,
        None => structure::parse_xyz(Path::new("benzene.xyz"), BENZENE.as_bytes())?.remove(0),
    };
    if arguments.replicas.contains(&0) {
        return Err(Error::input("--replicas must be at least 1"));
    }
    let mut results = Vec::new();
    if !arguments.json {
        crate::tell!("replicas  steps/s  molecule-steps/s  atom-steps/s  ns/day (all replicas)");
    }
    for &count in &arguments.replicas {
        let frames = vec![structure.clone(); count as usize];
        let (system, mut replicas) = batch::batch(&frames, PARAMETERS)?;
        for replica in &mut replicas {
            start::thermalise(&system, replica, false);
        }
        let mut engine = engine::open(device, precision, &student, &system, &replicas)?.engine;
        engine.evaluate()?;
        let program = Scheme::Langevin.program();
        engine.advance(program, 10)?;
        let (mut steps, mut at_once, started) = (0, 1, Instant::now());
        while started.elapsed().as_secs_f64() < arguments.seconds {
            engine.advance(program, at_once)?;
            steps += at_once;
            // One look at the clock in every tenth of the time is enough.
            let rate = steps as f64 / started.elapsed().as_secs_f64();
            at_once = ((rate * arguments.seconds / 10.0) as u64).max(1);
        }
        engine.snapshot(&mut replicas)?;
        let steps_per_s = steps as f64 / started.elapsed().as_secs_f64();
        if let Some(failed) = replicas.iter().find(|replica| !replica.is_running()) {
            let fault = format!(
                "a replica failed at step {}: {:?}",
                failed.step, failed.status
            );
            return Err(Error::run(fault));
        }
        let stages = if arguments.profile {
            engine.profile(program, PROFILED_STEPS)?
        } else {
            Vec::new()
        };
        let molecule_steps_per_s = steps_per_s * f64::from(count);
        let atom_steps_per_s = molecule_steps_per_s * structure.numbers.len() as f64;
        let ns_per_day = molecule_steps_per_s * PARAMETERS.timestep_fs * 1e-6 * 86_400.0;
        if arguments.json {
            results.push(serde_json::json!({
                "replicas": count,
                "atoms": structure.numbers.len(),
                "steps_per_s": steps_per_s,
                "molecule_steps_per_s": molecule_steps_per_s,
                "atom_steps_per_s": atom_steps_per_s,
                "ns_per_day": ns_per_day,
                "stages": stages.iter().map(|stage| serde_json::json!({
                    "stage": stage.stage,
                    "step_us": step_us(stage),
                })).collect::<Vec<_>>(),
            }));
        } else {
            crate::tell!(
                "{count:8}  {steps_per_s:7.0}  {molecule_steps_per_s:16.0}  {atom_steps_per_s:12.0}  {ns_per_day:8.1}"
            );
            let whole_us: f64 = stages.iter().map(step_us).sum();
            for stage in &stages {
                let (name, part_us) = (stage.stage, step_us(stage));
                let share = 100.0 * part_us / whole_us;
                crate::tell!("    {name:18} {part_us:9.1} us a step  {share:4.1}%");
            }
        }
    }
    if arguments.json {
        crate::tell!("{}", serde_json::Value::Array(results));
    }
    Ok(())
}

/// Time of one stage in one step.
fn step_us(stage: &StageTime) -> f64 {
    1e3 * stage.time_ms / PROFILED_STEPS as f64
}
