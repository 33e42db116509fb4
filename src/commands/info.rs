//! `mdrun info`: what a force field, a checkpoint or an output folder is.

use std::path::Path;

use super::batch;
use crate::checkpoint;
use crate::cli;
use crate::elements;
use crate::error::Result;
use crate::replica::{Replica, Status};
use crate::student::Student;
use crate::write::CHECKPOINT;

/// Runs the command.
pub fn run(arguments: &cli::Info) -> Result<()> {
    let path = Path::new(&arguments.what);
    if path.is_dir() {
        return describe_checkpoint(&path.join(CHECKPOINT));
    }
    if path.extension().is_some_and(|ending| ending == "mdrun") {
        return describe_checkpoint(path);
    }
    describe_student(&*batch::student(&arguments.what)?);
    Ok(())
}

fn describe_student(student: &Student) {
    let architecture = &student.architecture;
    let symbols: Vec<_> = student
        .elements
        .iter()
        .map(|e| elements::symbol(e.number))
        .collect();
    let parameters: usize = architecture
        .tensors()
        .iter()
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    crate::tell!("elements      {}", symbols.join(" "));
    crate::tell!("cut-off       {} Å", architecture.cutoff_ang);
    crate::tell!("channels      {}", architecture.channels);
    crate::tell!("layers        {}", architecture.layers);
    crate::tell!("radial        {}", architecture.radial);
    crate::tell!("core          {}", architecture.core);
    crate::tell!("dispersion    {}", architecture.dispersion);
    crate::tell!("parameters    {parameters}");
    let uncertainty = student.uncertainty.as_ref().map_or_else(
        || "none".to_owned(),
        |known| format!("known; flags above {} eV/Å", known.flag_above_ev_per_ang),
    );
    crate::tell!("uncertainty   {uncertainty}");
    crate::tell!("SHA-256       {}", student.sha256);
    for (key, value) in &student.metadata {
        if !value.is_empty() && value.len() < 300 && key != "uncertainty" {
            crate::tell!("{key:13} {value}");
        }
    }
}

fn describe_checkpoint(path: &Path) -> Result<()> {
    let checkpoint = checkpoint::read(path)?;
    let replicas = &checkpoint.replicas;
    let failed = |replica: &&Replica| matches!(replica.status, Status::Failed(_));
    crate::tell!("step          {}", checkpoint.step);
    crate::tell!("replicas      {}", replicas.len());
    crate::tell!("failed        {}", replicas.iter().filter(failed).count());
    crate::tell!("version       {}", checkpoint.version);
    crate::tell!("device        {}", checkpoint.device);
    crate::tell!("force field   {}", checkpoint.student_hash);
    for (key, value) in &checkpoint.settings {
        crate::tell!("{key} = {value}");
    }
    Ok(())
}
