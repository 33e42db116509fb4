//! Speed of the GPU engine with the built-in student: benzene at several batch sizes, and where the
//! time of a step goes.
//!
//! `cargo bench --bench gpu_speed [-- --digest]`
//!
//! `--digest` steps a few molecules instead and prints a number made of all bits of their state:
//! every GPU must print the same, and so must the driver that runs the kernels on the host.

use std::sync::Arc;
use std::time::Instant;

use mdrun::engine::cuda::{CudaEngine, Gpu, Limits};
use mdrun::engine::{Engine, Op, Precision};
use mdrun::error::Result;
use mdrun::integrate::{Scheme, start};
use mdrun::replica::{Parameters, Replica, ReplicaId};
use mdrun::student::Student;
use mdrun::system::{Molecule, System};
use sha2::{Digest, Sha256};

const REPLICAS: [usize; 7] = [1, 16, 64, 1024, 4096, 16_384, 65_536];
/// Least time that one measurement takes.
const SECONDS_MIN: f64 = 0.2;
const MEASUREMENTS: usize = 5;

/// Conditions of a usual run.
const PARAMETERS: Parameters = Parameters {
    timestep_fs: 0.5,
    temperature_k: 300.0,
    friction_per_fs: 0.01,
};

fn main() -> Result<()> {
    let student = Student::embedded("default")?;
    let system = Arc::new(System {
        molecules: vec![benzene()],
        seed: 1,
        temperature_limit_k: 1e5,
    });
    if std::env::args().any(|argument| argument == "--digest") {
        return digest(&student, &system);
    }
    println!("replicas  batches  microseconds/step  molecule-steps/s (median of {MEASUREMENTS})");
    for count in REPLICAS {
        let replicas = replicas(&system, count);
        let mut engine = open(&student, &system, &replicas)?;
        let step_s = median_step_s(&mut engine)?;
        all_run(&mut engine, &replicas)?;
        let (batches, rate) = (engine.batch_count(), count as f64 / step_s);
        println!("{count:8}  {batches:7}  {:17.1}  {rate:16.0}", 1e6 * step_s);
    }
    for count in [1, 4096] {
        println!("\nstages at {count} replicas, microseconds a step");
        let mut engine = open(&student, &system, &replicas(&system, count))?;
        let program = Scheme::Langevin.program();
        engine.profile(program, 3)?;
        let steps = 10;
        let stages = engine.profile(program, steps)?;
        for stage in &stages {
            let step_us = 1e3 * stage.time_ms / steps as f64;
            println!("{:18} {:24} {step_us:10.2}", stage.stage, stage.kernel);
        }
        let sum: f64 = stages.iter().map(|stage| stage.time_ms).sum();
        println!("{:43} {:10.2}", "sum", 1e3 * sum / steps as f64);
    }
    Ok(())
}

fn open(student: &Student, system: &Arc<System>, replicas: &[Replica]) -> Result<CudaEngine> {
    let gpu = Gpu::open(0, Some(student))?;
    let student = Some(student);
    let mut engine = CudaEngine::new(
        gpu,
        system.clone(),
        student,
        &[],
        replicas,
        Limits::default(),
    )?;
    engine.evaluate()?;
    Ok(engine)
}

fn median_step_s(engine: &mut CudaEngine) -> Result<f64> {
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
fn all_run(engine: &mut CudaEngine, replicas: &[Replica]) -> Result<()> {
    let mut after = replicas.to_vec();
    engine.snapshot(&mut after)?;
    let frozen = after.iter().filter(|replica| !replica.is_running()).count();
    assert_eq!(frozen, 0, "replicas failed: {:?}", after[0].status);
    Ok(())
}

fn digest(student: &Student, system: &Arc<System>) -> Result<()> {
    let mut replicas = replicas(system, 3);
    let mut engine = open(student, system, &replicas)?;
    engine.advance(Scheme::Langevin.program(), 5)?;
    engine.snapshot(&mut replicas)?;
    let mut sha = Sha256::new();
    for replica in &replicas {
        assert!(replica.is_running() && replica.step == 5);
        let arrays = [
            &replica.positions_ang,
            &replica.velocities_ang_per_fs,
            &replica.forces_ev_per_ang,
        ];
        let numbers = arrays.into_iter().flatten().flatten();
        let energies = [replica.energy_ev, replica.kinetic_ev, replica.bath_heat_ev];
        numbers
            .chain(&energies)
            .for_each(|number| sha.update(number.to_bits().to_le_bytes()));
    }
    let digest = sha.finalize();
    let digits = digest
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    println!("{digits}");
    Ok(())
}

fn replicas(system: &System, count: usize) -> Vec<Replica> {
    let molecule = &system.molecules[0];
    let replica = |copy| {
        let mut replica = Replica::at_rest(
            ReplicaId {
                molecule: 0,
                name_hash: 1,
                temperature: 0,
                copy,
            },
            PARAMETERS,
            molecule.starts_ang[0].clone(),
        );
        start::thermalise(system, &mut replica, false);
        replica
    };
    (0..count as u32).map(replica).collect()
}

/// Six corners at 1.397 Å with hydrogen atoms 1.084 Å farther out.
fn benzene() -> Molecule {
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
