//! Speed of the GPU engine with the built-in students: three molecules at several batch sizes, and
//! where the time of a step goes.
//!
//! `cargo bench --bench gpu_speed [-- --digest]`
//!
//! `--digest` steps a few molecules instead and prints, for each student, a number made of all bits of
//! their state: every GPU must print the same, and so must the driver that runs the kernels on the host.

use std::path::Path;
use std::sync::Arc;
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
use sha2::{Digest, Sha256};

const STUDENTS: [&str; 2] = ["default", "small"];
/// Whole rounds of full tiles on a GPU with 132 multiprocessors are 660 benzenes, 396 aspirins.
const REPLICAS: [usize; 7] = [1, 64, 132, 264, 660, 2640, 10_560];
/// Least time that one measurement takes.
const SECONDS_MIN: f64 = 0.1;
const MEASUREMENTS: usize = 5;

/// Conditions of a usual run.
const PARAMETERS: Parameters = Parameters {
    timestep_fs: 0.5,
    temperature_k: 300.0,
    friction_per_fs: 0.01,
};

fn main() -> Result<()> {
    let molecules = [benzene(), molecule("aspirin")?, molecule("loratadine")?];
    let systems = molecules.map(|molecule| {
        Arc::new(System {
            molecules: vec![molecule],
            seed: 1,
            temperature_limit_k: 1e5,
        })
    });
    let students = STUDENTS.map(|name| Student::embedded(name).map(|student| (name, student)));
    let students = students.into_iter().collect::<Result<Vec<_>>>()?;
    if std::env::args().any(|argument| argument == "--digest") {
        return students
            .iter()
            .try_for_each(|(name, student)| digest(name, student, &systems[0]));
    }
    println!(
        "student  molecule    precision  replicas  batches  padding  us/step  molecule-steps/s (median of {MEASUREMENTS})"
    );
    for (name, student) in &students {
        for system in &systems {
            speeds(name, student, system)?;
        }
    }
    for (name, student) in &students {
        for (n, precision, count) in [
            (0, Precision::Mixed, 1),
            (0, Precision::Mixed, 660),
            (2, Precision::Mixed, 132),
            (0, Precision::Single, 4096),
        ] {
            println!();
            profile(name, student, &systems[n], precision, count)?;
        }
    }
    Ok(())
}

/// A line for each number of replicas.
fn speeds(name: &str, student: &Student, system: &Arc<System>) -> Result<()> {
    for precision in [Precision::Mixed, Precision::Single] {
        let counts = match precision {
            Precision::Mixed => &REPLICAS[..],
            Precision::Single => &[4096][..],
        };
        for &count in counts {
            let replicas = replicas(system, count);
            let mut engine = open(student, system, &replicas, precision)?;
            let step_s = median_step_s(&mut engine)?;
            all_run(&mut engine, &replicas)?;
            println!(
                "{name:7}  {:11} {precision:9?}  {count:8}  {:7}  {:6.1}%  {:7.1}  {:12.0}",
                system.molecules[0].name,
                engine.batch_count(),
                100.0 * engine.padding().unwrap_or(0.0),
                1e6 * step_s,
                count as f64 / step_s
            );
        }
    }
    Ok(())
}

/// The time of every stage of a step.
fn profile(
    name: &str,
    student: &Student,
    system: &Arc<System>,
    precision: Precision,
    count: usize,
) -> Result<()> {
    println!(
        "{name}: {count} × {}, {precision:?}: microseconds a step",
        system.molecules[0].name
    );
    let mut engine = open(student, system, &replicas(system, count), precision)?;
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
    Ok(())
}

fn open(
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

fn digest(name: &str, student: &Student, system: &Arc<System>) -> Result<()> {
    let mut replicas = replicas(system, 3);
    let mut engine = open(student, system, &replicas, Precision::Single)?;
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
    println!("{name} {digits}");
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

/// One of the molecules that the comparison with Python programs uses, too.
fn molecule(name: &str) -> Result<Molecule> {
    let (path, text) = match name {
        "aspirin" => ("aspirin.xyz", include_str!("molecules/aspirin.xyz")),
        _ => ("loratadine.xyz", include_str!("molecules/loratadine.xyz")),
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
