//! Everything that decides the results of a run, as words that can be compared and shown.
//!
//! A resumed run must agree with its checkpoint in every line. Steps, checkpoint interval, clock
//! limit and the limit of expected errors are left out because they may change; force field and device are recorded by what was
//! opened, not by what was asked for.

use sha2::{Digest, Sha256};

use super::Plan;
use super::compounds::Compound;
use crate::system::Molecule;

/// A key and its value.
pub type Setting = (String, String);

/// All settings, sorted by key.
pub fn settings(plan: &Plan, compounds: &[Compound]) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut add = |key: String, value: String| settings.push((key, value));
    add("seed".to_owned(), plan.system.seed.to_string());
    add("run.timestep_fs".to_owned(), plan.timestep_fs.to_string());
    add("run.precision".to_owned(), plan.precision.to_string());
    add("dynamics.scheme".to_owned(), plan.scheme.to_string());
    add(
        "dynamics.remove_rotation".to_owned(),
        plan.remove_rotation.to_string(),
    );
    add(
        "limits.temperature_K".to_owned(),
        plan.system.temperature_limit_k.to_string(),
    );
    match &plan.minimize {
        None => add("minimize".to_owned(), "no".to_owned()),
        Some(minimize) => {
            let tolerance = minimize.force_tolerance_ev_per_ang;
            add(
                "minimize.force_tolerance_eV_per_ang".to_owned(),
                tolerance.to_string(),
            );
            add(
                "minimize.steps_max".to_owned(),
                minimize.steps_max.to_string(),
            );
        }
    }
    let outputs = &plan.outputs;
    add(
        "output.frames_every".to_owned(),
        outputs.frames_every.to_string(),
    );
    add("output.log_every".to_owned(), outputs.log_every.to_string());
    add("output.dcd".to_owned(), outputs.dcd.to_string());
    add("output.xyz".to_owned(), outputs.xyz.to_string());
    add("output.centre".to_owned(), outputs.centre.to_string());
    // The order of molecules is that of the output.
    let names: Vec<_> = compounds
        .iter()
        .map(|compound| compound.molecule.name.as_str())
        .collect();
    add("molecule".to_owned(), names.join(" "));
    for compound in compounds {
        let of = |key: &str| format!("molecule.{}.{key}", compound.molecule.name);
        let temperatures: Vec<_> = compound.temperatures_k.iter().map(f64::to_string).collect();
        add(of("temperature_K"), temperatures.join(" "));
        add(of("friction_per_ps"), compound.friction_per_ps.to_string());
        add(of("replicas"), compound.copies.to_string());
        add(of("structure"), hash(&compound.molecule));
        let masses: Vec<_> = compound
            .molecule
            .masses_amu
            .iter()
            .map(f64::to_string)
            .collect();
        add(of("masses_amu"), masses.join(" "));
    }
    settings.sort();
    settings
}

/// A hash of the atoms, their bonds and all their starting positions.
fn hash(molecule: &Molecule) -> String {
    let mut hash = Sha256::new();
    hash.update((molecule.len() as u64).to_le_bytes());
    hash.update(&molecule.numbers);
    hash.update((molecule.bonds.len() as u64).to_le_bytes());
    for (i, j) in &molecule.bonds {
        hash.update(i.to_le_bytes());
        hash.update(j.to_le_bytes());
    }
    for coordinate in molecule.starts_ang.iter().flatten().flatten() {
        hash.update(coordinate.to_bits().to_le_bytes());
    }
    let digest = hash.finalize();
    let start = digest
        .iter()
        .take(8)
        .fold(0, |bits: u64, byte| bits << 8 | u64::from(*byte));
    format!("{} atoms, sha256 {start:016x}", molecule.len())
}
