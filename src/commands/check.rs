//! `mdrun check`: what a campaign would run, without running it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::room;
use super::simulate::{config, count, overrides};
use crate::cli;
use crate::engine;
use crate::error::Result;
use crate::plan::Plan;
use crate::run::duration;

/// Says what would run.
pub fn run(arguments: &cli::Run) -> Result<()> {
    let config = config(arguments)?;
    let student = super::student_of(&config)?;
    let plan = Plan::resolve(&config, &overrides(arguments)?, &student.domain())?;
    let system = Arc::new(plan.system.clone());
    let mut opened = engine::open(
        plan.device,
        plan.precision,
        &student,
        &system,
        &plan.replicas,
    )?;
    opened.engine.evaluate()?;
    let (mut steps, started) = (0, Instant::now());
    while started.elapsed() < Duration::from_secs(2) && steps < plan.steps {
        opened.engine.advance(plan.scheme.program(), 1)?;
        steps += 1;
    }
    let step_s = started.elapsed().as_secs_f64() / steps.max(1) as f64;
    let estimate = Duration::from_secs_f64((step_s * plan.steps as f64).min(1e12));
    crate::tell!("molecules");
    let mut copies = vec![0; plan.system.molecules.len()];
    for replica in &plan.replicas {
        copies[replica.id.molecule as usize] += 1;
    }
    for (molecule, copies) in plan.system.molecules.iter().zip(copies) {
        let (atoms, copies) = (molecule.len(), count(copies, "replica"));
        crate::tell!("  {}: {atoms} atoms, {copies}", molecule.name);
    }
    crate::tell!(
        "dynamics   {} of {} fs, {}",
        count(plan.steps, "step"),
        plan.timestep_fs,
        plan.scheme
    );
    crate::tell!("device     {}", opened);
    crate::tell!(
        "time       {} (measured over {})",
        duration(estimate),
        count(steps, "step")
    );
    crate::tell!(
        "memory     {:.1} MB of state",
        plan.state_bytes() as f64 / 1e6
    );
    let bytes = room::of_rest(&plan, 0);
    let free = room::free(&plan.outputs.folder);
    let free = free.map_or_else(String::new, |free| {
        format!(", where {} are free", room::readable(free as f64))
    });
    crate::tell!(
        "disk       up to {} in {}{free}",
        room::readable(bytes.most),
        plan.outputs.folder.display()
    );
    Ok(())
}
