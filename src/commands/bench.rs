//! `mdrun bench`: how fast replicas of a molecule are stepped.

use std::path::Path;
use std::time::Instant;

use super::batch;
use super::operations::Operations;
use crate::cli;
use crate::engine::{self, Engine, Op, Precision, StageTime};
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
    check(arguments)?;
    let operations = Operations::new(&student.architecture, &structure);
    let mut results = Vec::new();
    if !arguments.json {
        crate::tell!(
            "replicas  steps/s  molecule-steps/s  atom-steps/s  ns/day (all replicas)  padding"
        );
    }
    for (number, &count) in arguments.replicas.iter().enumerate() {
        let frames = vec![structure.clone(); count as usize];
        let (system, mut replicas) = batch::batch(&frames, PARAMETERS)?;
        for replica in &mut replicas {
            start::thermalise(&system, replica, false);
        }
        let opened = engine::open(device, precision, &student, &system, &replicas)?;
        if let Some(why) = &opened.no_gpu
            && number == 0
        {
            crate::say!("on {}: {why}", opened.device);
        }
        let mut engine = opened.engine;
        engine.evaluate()?;
        let program = Scheme::Langevin.program();
        engine.advance(program, 10)?;
        let steps_per_s = steps_per_s(engine.as_mut(), program, arguments.seconds)?;
        engine.snapshot(&mut replicas)?;
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
                "padding": engine.padding().unwrap_or(0.0),
                "stages": stages.iter().map(|stage| {
                    let tflops = tflops(&operations, stage, count);
                    let gb_per_s = gb_per_s(&operations, stage, count);
                    serde_json::json!({
                        "stage": stage.stage,
                        "kernel": stage.kernel,
                        "step_us": step_us(stage),
                        "tflops": tflops,
                        "of_ceiling": of_best(tflops, arguments.ceiling),
                        "gb_per_s": gb_per_s,
                        "of_bandwidth": of_best(gb_per_s, arguments.bandwidth),
                    })
                }).collect::<Vec<_>>(),
            }));
        } else {
            crate::tell!(
                "{count:8}  {steps_per_s:7.0}  {molecule_steps_per_s:16.0}  {atom_steps_per_s:12.0}  {ns_per_day:21.1}  {:6.1}%",
                100.0 * engine.padding().unwrap_or(0.0)
            );
            let whole_us: f64 = stages.iter().map(step_us).sum();
            for stage in &stages {
                let (name, part_us) = (stage.stage, step_us(stage));
                let share = 100.0 * part_us / whole_us;
                let tflops = tflops(&operations, stage, count);
                let gb_per_s = gb_per_s(&operations, stage, count);
                let products = rate(tflops, "TFLOP/s", arguments.ceiling);
                let moved = rate(gb_per_s, "GB/s", arguments.bandwidth);
                crate::tell!(
                    "    {name:18} {part_us:9.1} us a step  {share:4.1}%{products}{moved}"
                );
            }
        }
    }
    if arguments.json {
        crate::tell!("{}", serde_json::Value::Array(results));
    }
    Ok(())
}

/// Refuses numbers that nothing can be measured with.
fn check(arguments: &cli::Bench) -> Result<()> {
    if arguments.replicas.contains(&0) {
        return Err(Error::input("--replicas must be at least 1"));
    }
    if !(arguments.seconds > 0.0 && arguments.seconds.is_finite()) {
        return Err(Error::input("--seconds must be a number above 0"));
    }
    let ceilings = [
        ("--ceiling", arguments.ceiling),
        ("--bandwidth", arguments.bandwidth),
    ];
    for (name, ceiling) in ceilings {
        if ceiling.is_some_and(|ceiling| !(ceiling > 0.0 && ceiling.is_finite())) {
            return Err(Error::input(format!("{name} must be a number above 0")));
        }
    }
    Ok(())
}

/// How often all replicas are stepped in a second, over at least `seconds`.
///
/// An engine is back from its steps when they are done, so nothing else is in this time: a copy of
/// the state, which a run takes once in many steps, would stand out where few fit into it.
fn steps_per_s(engine: &mut dyn Engine, program: &[Op], seconds: f64) -> Result<f64> {
    let (mut steps, mut at_once, started) = (0, 1, Instant::now());
    loop {
        engine.advance(program, at_once)?;
        steps += at_once;
        let elapsed_s = started.elapsed().as_secs_f64().max(1e-9);
        let rate = steps as f64 / elapsed_s;
        if elapsed_s >= seconds {
            return Ok(rate);
        }
        // One look at the clock in every tenth of the time is enough.
        at_once = ((rate * seconds / 10.0) as u64).max(1);
    }
}

/// Time of one stage in one step.
fn step_us(stage: &StageTime) -> f64 {
    1e3 * stage.time_ms / PROFILED_STEPS as f64
}

/// Useful operations of one stage, 10¹² a second, where all replicas are one batch on one GPU.
fn tflops(operations: &Operations, stage: &StageTime, replicas: u32) -> Option<f64> {
    Some(1e-6 * operations.of(stage)? * f64::from(replicas) / step_us(stage))
}

/// What the f32 kernel of one stage moves at least, 10⁹ bytes a second, where all replicas are one batch on one GPU.
fn gb_per_s(operations: &Operations, stage: &StageTime, replicas: u32) -> Option<f64> {
    Some(1e-3 * operations.bytes_of(stage)? * f64::from(replicas) / step_us(stage))
}

/// The share that a rate is of the best there could be, where both are known.
fn of_best(rate: Option<f64>, best: Option<f64>) -> Option<f64> {
    Some(rate? / best?)
}

/// A rate, and its share of the best there could be.
fn rate(rate: Option<f64>, unit: &str, ceiling: Option<f64>) -> String {
    let Some(rate) = rate else {
        return String::new();
    };
    let share = of_best(Some(rate), ceiling)
        .map(|share| format!(" ({:.1}% of the ceiling)", 100.0 * share));
    format!("  {rate:6.1} {unit}{}", share.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::replica::Replica;

    /// What one call for steps takes at least.
    const CALL: Duration = Duration::from_millis(1);

    /// Counts its steps, and can do nothing else.
    struct Counter(u64);

    impl Engine for Counter {
        fn put(&mut self, _: usize, _: &Replica) -> Result<()> {
            unreachable!("no step")
        }

        fn snapshot(&mut self, _: &mut [Replica]) -> Result<()> {
            unreachable!("no step")
        }

        fn set_parameters(&mut self, _: usize, _: Parameters) {
            unreachable!("no step")
        }

        fn evaluate(&mut self) -> Result<()> {
            unreachable!("no step")
        }

        fn advance(&mut self, _: &[Op], steps: u64) -> Result<()> {
            std::thread::sleep(CALL);
            self.0 += steps;
            Ok(())
        }
    }

    #[test]
    fn nothing_but_steps_is_timed() {
        let (mut engine, started) = (Counter(0), Instant::now());
        let rate = steps_per_s(&mut engine, Scheme::Langevin.program(), 0.01).unwrap();
        let outside_s = started.elapsed().as_secs_f64();
        // All steps count, over a time that this clock encloses and that is not shorter than asked.
        let steps = engine.0 as f64;
        assert!(
            (steps / outside_s..=steps / 0.01).contains(&rate),
            "{rate} steps a second, {steps} steps"
        );
    }
}
