//! What the benches of the GPU engine share: molecules, replicas, engines, and their time of a step.

#![allow(dead_code, reason = "every bench uses a part of it")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use mdrun::elements::element_of;
use mdrun::engine::cuda::{CudaEngine, Gpu, Limits};
use mdrun::engine::{Engine, Op, Precision};
use mdrun::error::Result;
use mdrun::integrate::{Scheme, start};
use mdrun::replica::{Parameters, Replica, ReplicaId};
use mdrun::structure;
use mdrun::student::Student;
use mdrun::system::{Molecule, System};

/// Least time that one measurement takes.
pub const SECONDS_MIN: f64 = 0.1;
/// Of how many the median is taken.
pub const MEASUREMENTS: usize = 5;

/// Conditions of a usual run.
pub const PARAMETERS: Parameters = Parameters {
    timestep_fs: 0.5,
    temperature_k: 300.0,
    friction_per_fs: 0.01,
};

/// What nvidia-smi is asked for.
const STATE: &str = "timestamp,name,driver_version,clocks.sm,clocks.max.sm,power.draw,power.limit";

/// A system of these molecules.
pub fn system(molecules: &[Molecule]) -> Arc<System> {
    Arc::new(System {
        molecules: molecules.to_vec(),
        seed: 1,
        temperature_limit_k: 1e5,
    })
}

/// An engine on the first GPU, with forces.
pub fn open(
    student: &Student,
    system: &Arc<System>,
    replicas: &[Replica],
    precision: Precision,
) -> Result<CudaEngine> {
    let gpu = Gpu::open(0, Some(student))?;
    let limits = Limits {
        precision,
        ..Limits::default()
    };
    let mut engine = CudaEngine::new(gpu, system.clone(), Some(student), &[], replicas, limits)?;
    engine.evaluate()?;
    Ok(engine)
}

/// Brings the GPU to the clock that it keeps under load, for an idle one takes a while to get there, and
/// says which GPU it is and how it does then.
pub fn state_under_load(student: &Student) -> Result<String> {
    let system = system(&[benzene()]);
    let mut engine = open(student, &system, &replicas(&system, 660), Precision::Mixed)?;
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < 1.0 {
        engine.advance(Scheme::Langevin.program(), 100)?;
    }
    let state = thread::spawn(nvidia_smi);
    while !state.is_finished() {
        engine.advance(Scheme::Langevin.program(), 100)?;
    }
    Ok(state.join().unwrap_or_default())
}

/// The first GPU's line.
fn nvidia_smi() -> String {
    let query = format!("--query-gpu={STATE}");
    let mut command = Command::new("nvidia-smi");
    match command
        .args(["-i", "0", &query, "--format=csv,noheader"])
        .output()
    {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().into(),
        Err(_) => "nvidia-smi: not found".into(),
    }
}

/// Median time of a step.
pub fn median_step_s(engine: &mut CudaEngine) -> Result<f64> {
    let program: &[Op] = Scheme::Langevin.program();
    engine.advance(program, 10)?;
    let started = Instant::now();
    engine.advance(program, 10)?;
    let steps = (SECONDS_MIN / (started.elapsed().as_secs_f64() / 10.0)) as u64 + 1;
    let mut times_s = Vec::new();
    for _ in 0..MEASUREMENTS {
        let started = Instant::now();
        engine.advance(program, steps)?;
        times_s.push(started.elapsed().as_secs_f64() / steps as f64);
    }
    times_s.sort_by(f64::total_cmp);
    Ok(times_s[MEASUREMENTS / 2])
}

/// A frozen replica would cost nothing: the speed holds for moving ones alone.
pub fn all_run(engine: &mut CudaEngine, replicas: &[Replica]) -> Result<()> {
    let mut after = replicas.to_vec();
    engine.snapshot(&mut after)?;
    let frozen = after.iter().filter(|replica| !replica.is_running()).count();
    assert_eq!(frozen, 0, "replicas failed: {:?}", after[0].status);
    Ok(())
}

/// So many replicas of each of the system's molecules.
pub fn replicas(system: &System, count: usize) -> Vec<Replica> {
    let replica = |molecule: usize, copy| {
        let mut replica = Replica::at_rest(
            ReplicaId {
                molecule: molecule as u32,
                name_hash: molecule as u32 + 1,
                temperature: 0,
                copy,
            },
            PARAMETERS,
            system.molecules[molecule].starts_ang[0].clone(),
        );
        start::thermalise(system, &mut replica, false);
        replica
    };
    (0..system.molecules.len())
        .flat_map(|molecule| (0..count as u32).map(move |copy| replica(molecule, copy)))
        .collect()
}

/// One of the molecules that the comparison with Python programs uses, too.
pub fn molecule(name: &str) -> Result<Molecule> {
    let (path, text) = match name {
        "aspirin" => ("aspirin.xyz", include_str!("../molecules/aspirin.xyz")),
        "ritonavir" => ("ritonavir.xyz", include_str!("../molecules/ritonavir.xyz")),
        _ => (
            "loratadine.xyz",
            include_str!("../molecules/loratadine.xyz"),
        ),
    };
    let structure = structure::parse(Path::new(path), text.as_bytes())?.remove(0);
    Ok(Molecule {
        name: name.into(),
        masses_amu: structure
            .numbers
            .iter()
            .filter_map(|number| Some(element_of(*number)?.mass_amu))
            .collect(),
        numbers: structure.numbers,
        starts_ang: vec![structure.positions_ang],
        bonds: vec![],
    })
}

/// Six corners at 1.397 Å with hydrogen atoms 1.084 Å farther out.
pub fn benzene() -> Molecule {
    const HEIGHT: f64 = 0.866_025_403_784_438_6;
    const CORNERS: [[f64; 2]; 6] = [
        [1.0, 0.0],
        [0.5, HEIGHT],
        [-0.5, HEIGHT],
        [-1.0, 0.0],
        [-0.5, -HEIGHT],
        [0.5, -HEIGHT],
    ];
    let ring = |radius_ang: f64| CORNERS.map(|[x, y]| [radius_ang * x, radius_ang * y, 0.0]);
    Molecule {
        name: "benzene".into(),
        numbers: [[6; 6], [1; 6]].concat(),
        masses_amu: [[12.011; 6], [1.008; 6]].concat(),
        starts_ang: vec![[ring(1.397), ring(2.481)].concat()],
        bonds: vec![],
    }
}
