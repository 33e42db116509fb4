//! Speed of the GPU engine with the built-in students: three molecules at several batch sizes, all of
//! them in one batch, and where the time of a step goes.
//!
//! `cargo bench --bench gpu_speed [-- --digest]`
//!
//! `--digest` steps a few molecules instead and prints, for each student, a number made of all bits of
//! their state: every GPU must print the same, and so must the driver that runs the kernels on the host.

mod gpu;

use std::sync::Arc;

use mdrun::engine::{Engine, Precision};
use mdrun::error::Result;
use mdrun::integrate::Scheme;
use mdrun::student::Student;
use mdrun::system::{Molecule, System};
use sha2::{Digest, Sha256};

use gpu::{
    MEASUREMENTS, all_run, benzene, median_step_s, molecule, open, replicas, state_under_load,
};

const STUDENTS: [&str; 2] = ["default", "small"];
/// One round of full tiles on a GPU with 132 multiprocessors is 660 benzenes, 396 aspirins, 132 loratadines.
const REPLICAS: [usize; 9] = [1, 64, 132, 264, 396, 660, 1000, 2640, 10_560];
/// Of each molecule, where all of them are in one batch.
const REPLICAS_OF_EACH: [usize; 2] = [220, 880];

fn main() -> Result<()> {
    let molecules = [benzene(), molecule("aspirin")?, molecule("loratadine")?];
    let systems = molecules
        .each_ref()
        .map(|molecule| gpu::system(std::slice::from_ref(molecule)));
    let students = STUDENTS.map(|name| Student::embedded(name).map(|student| (name, student)));
    let students = students.into_iter().collect::<Result<Vec<_>>>()?;
    if std::env::args().any(|argument| argument == "--digest") {
        return students
            .iter()
            .try_for_each(|(name, student)| digest(name, student, &systems[0]));
    }
    println!("{}", state_under_load(&students[0].1)?);
    println!(
        "student  molecule    precision  replicas  batches  padding  us/step  molecule-steps/s (median of {MEASUREMENTS})"
    );
    for (name, student) in &students {
        for system in &systems {
            speeds(name, student, system)?;
        }
    }
    mixed_batches(&students[0].1, &molecules)?;
    // One that needs the largest tiles.
    let with_large: Vec<_> = molecules
        .into_iter()
        .chain([molecule("ritonavir")?])
        .collect();
    mixed_batches(&students[0].1, &with_large)?;
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
    println!("\n{}", state_under_load(&students[0].1)?);
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

/// All molecules in one batch, and the sum of the times that each takes by itself.
fn mixed_batches(student: &Student, molecules: &[Molecule]) -> Result<()> {
    let names: Vec<&str> = molecules
        .iter()
        .map(|molecule| molecule.name.as_str())
        .collect();
    println!(
        "\n{} in one batch (default, Mixed)\nof each  padding  us/step  molecule-steps/s  each by itself: sum of us/step  together / by itself",
        names.join(", ")
    );
    for count in REPLICAS_OF_EACH {
        let (step_s, padding) = mixed_step(student, molecules, count)?;
        let mut apart_s = 0.0;
        for molecule in molecules {
            apart_s += mixed_step(student, std::slice::from_ref(molecule), count)?.0;
        }
        println!(
            "{count:7}  {:6.1}%  {:7.1}  {:16.0}  {:30.1}  {:20.3}",
            100.0 * padding,
            1e6 * step_s,
            (count * molecules.len()) as f64 / step_s,
            1e6 * apart_s,
            step_s / apart_s
        );
    }
    Ok(())
}

/// Time of a step of so many replicas of each molecule, and the padding of their tiles.
fn mixed_step(student: &Student, molecules: &[Molecule], count: usize) -> Result<(f64, f64)> {
    let system = gpu::system(molecules);
    let replicas = replicas(&system, count);
    let mut engine = open(student, &system, &replicas, Precision::Mixed)?;
    let step_s = median_step_s(&mut engine)?;
    all_run(&mut engine, &replicas)?;
    Ok((step_s, engine.padding().unwrap_or(0.0)))
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
