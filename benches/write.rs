//! What output costs: frames, rows and checkpoints, against the time a step takes.
//!
//! `cargo bench --no-default-features --bench write`. Frames go to the page cache, opening and
//! closing files included; flushes and checkpoints go to stable storage, so they measure the disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mdrun::checkpoint::{self, Checkpoint, VERSION};
use mdrun::replica::{Parameters, Replica, ReplicaId, Status};
use mdrun::system::{Molecule, System};
use mdrun::write::{Folder, Mode, Outputs, Settings};

fn main() {
    frames("DCD", 50, 64, 4000, true);
    frames("extended XYZ", 50, 64, 200, false);
    rows(50, 1000, 200);
    many_replicas(22, 10_000);
    // Long enough that every file is written twice: buffers are small where there are many.
    frames("DCD of 4,096 replicas", 12, 4096, 800, true);
}

/// Seconds that a piece of work takes.
fn time<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed().as_secs_f64(), result)
}

fn frames(name: &str, atoms: usize, count: usize, rounds: u64, dcd: bool) {
    let root = tempfile::tempdir().unwrap();
    let (system, mut replicas) = campaign(atoms, count);
    let mut outputs = create(root.path(), &system, &replicas, dcd);
    let (seconds, ()) = time(|| {
        for step in 0..rounds {
            for replica in &mut replicas {
                replica.step = step;
            }
            outputs.frame(&system, &replicas).unwrap();
        }
    });
    let per_second = rounds as f64 * count as f64 / seconds;
    let each_ms = 1e3 * seconds / rounds as f64;
    println!(
        "{name}: {per_second:.3e} frames/s of {atoms} atoms, {each_ms:.2} ms for one of all {count}"
    );
}

fn rows(atoms: usize, count: usize, rounds: u64) {
    let root = tempfile::tempdir().unwrap();
    let (system, replicas) = campaign(atoms, count);
    let mut outputs = create(root.path(), &system, &replicas, true);
    let (seconds, ()) = time(|| {
        for _ in 0..rounds {
            outputs.log(&system, &replicas, None).unwrap();
        }
    });
    let per_second = rounds as f64 * count as f64 / seconds;
    println!("log: {per_second:.3e} rows/s of {atoms} atoms");
}

fn many_replicas(atoms: usize, count: usize) {
    let root = tempfile::tempdir().unwrap();
    let (system, replicas) = campaign(atoms, count);
    let (seconds, mut outputs) = time(|| create(root.path(), &system, &replicas, true));
    println!("{count} replicas of {atoms} atoms: outputs made in {seconds:.2} s");
    for round in ["first", "second"] {
        outputs.frame(&system, &replicas).unwrap();
        outputs.log(&system, &replicas, None).unwrap();
        let (flush_s, offsets) = time(|| outputs.flush(&replicas).unwrap());
        let checkpoint = Checkpoint {
            step: 0,
            settings: Vec::new(),
            student_hash: String::new(),
            version: VERSION.to_owned(),
            device: String::new(),
            breaks: Vec::new(),
            offsets,
            replicas: replicas.clone(),
        };
        let (save_s, ()) = time(|| checkpoint.save(outputs.folder()).unwrap());
        println!("  {round} flush {flush_s:.2} s, checkpoint {save_s:.3} s");
    }
    let folder = outputs.folder();
    let (seconds, loaded) = time(|| checkpoint::load(folder).unwrap().unwrap());
    assert_eq!(loaded.checkpoint.replicas, replicas);
    println!("  checkpoint read in {seconds:.3} s");
}

fn create(root: &Path, system: &System, replicas: &[Replica], dcd: bool) -> Outputs {
    let folder = Arc::new(Folder::open(root, Mode::Fresh).unwrap());
    let settings = Settings {
        dcd,
        extxyz: !dcd,
        frame_interval_steps: 1,
        centred: true,
        degrees_of_freedom: vec![3 * system.molecules[0].len()],
    };
    Outputs::create(folder, settings, system, replicas).unwrap()
}

/// Carbon atoms on a line, at coordinates of many digits.
fn campaign(atoms: usize, count: usize) -> (System, Vec<Replica>) {
    let number = |atom: usize, axis: usize| (atom as f64 + 0.3 * axis as f64).sqrt() - 1.0;
    let vectors = |scale: f64| -> Vec<[f64; 3]> {
        let vector = |atom| [0, 1, 2].map(|axis| scale * number(atom, axis));
        (0..atoms).map(vector).collect()
    };
    let molecule = Molecule {
        name: "line".to_owned(),
        numbers: vec![6; atoms],
        masses_amu: vec![12.011; atoms],
        starts_ang: vec![vectors(1.5)],
        bonds: (1..atoms as u32).map(|atom| (atom - 1, atom)).collect(),
    };
    let replica = |copy| Replica {
        id: ReplicaId {
            molecule: 0,
            name_hash: 1,
            temperature: 0,
            copy,
        },
        step: 0,
        parameters: Parameters {
            timestep_fs: 0.5,
            temperature_k: 300.0,
            friction_per_fs: 1e-3,
        },
        positions_ang: vectors(1.5),
        velocities_ang_per_fs: vectors(1e-3),
        forces_ev_per_ang: vectors(0.7),
        energy_ev: -13_217.123_456,
        kinetic_ev: 1.234_567_89,
        bath_heat_ev: 0.123,
        status: Status::Running,
    };
    let replicas = (0..count as u32).map(replica).collect();
    let system = System {
        molecules: vec![molecule],
        seed: 1,
        temperature_limit_k: 1e4,
    };
    (system, replicas)
}
