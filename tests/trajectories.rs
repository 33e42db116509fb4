//! Trajectories, topologies and the log, read back by other people's programs: three in Python,
//! and chemfiles where it is built in; and written with few descriptors to spare.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mdrun::replica::{Parameters, Replica, ReplicaId, Status};
use mdrun::system::{Molecule, System};
use mdrun::write::{Folder, Mode, Outputs, Settings};

const FRAMES: u64 = 7;
const INTERVAL_STEPS: u64 = 20;
const TIMESTEP_FS: f64 = 0.5;

/// Chloromethane, for a symbol of two letters, and water, at two temperatures each.
fn system() -> System {
    let molecule = |name: &str, numbers: &[u8], start_ang: &[[f64; 3]], bonds: &[(u32, u32)]| {
        let masses = numbers.iter().map(|number| match number {
            1 => 1.008,
            6 => 12.011,
            8 => 15.999,
            _ => 35.45,
        });
        Molecule {
            name: name.to_owned(),
            numbers: numbers.to_vec(),
            masses_amu: masses.collect(),
            starts_ang: vec![start_ang.to_vec()],
            bonds: bonds.to_vec(),
        }
    };
    let chloromethane = molecule(
        "chloromethane",
        &[6, 17, 1, 1, 1],
        &[
            [0.0, 0.0, -1.13],
            [0.0, 0.0, 0.66],
            [0.0, 1.03, -1.48],
            [0.89, -0.51, -1.48],
            [-0.89, -0.51, -1.48],
        ],
        &[(0, 1), (0, 2), (0, 3), (0, 4)],
    );
    let water = molecule(
        "water",
        &[8, 1, 1],
        &[[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.0, -0.76, -0.47]],
        &[(0, 1), (0, 2)],
    );
    System {
        molecules: vec![chloromethane, water],
        seed: 1,
        temperature_limit_k: 1e4,
    }
}

fn replicas(system: &System, copies: u32) -> Vec<Replica> {
    let mut replicas = Vec::new();
    for (index, molecule) in system.molecules.iter().enumerate() {
        for copy in 0..copies {
            replicas.push(Replica {
                id: ReplicaId {
                    molecule: index as u32,
                    name_hash: index as u32,
                    temperature: 0,
                    copy,
                },
                step: 0,
                parameters: Parameters {
                    timestep_fs: TIMESTEP_FS,
                    temperature_k: 300.0,
                    friction_per_fs: 1e-3,
                },
                positions_ang: molecule.starts_ang[0].clone(),
                velocities_ang_per_fs: vec![[1e-3; 3]; molecule.len()],
                forces_ev_per_ang: vec![[0.1; 3]; molecule.len()],
                energy_ev: -2081.0,
                kinetic_ev: 0.25,
                bath_heat_ev: 0.0,
                status: Status::Running,
            });
        }
    }
    replicas
}

fn outputs(root: &Path, system: &System, replicas: &[Replica], extxyz: bool) -> Outputs {
    let settings = Settings {
        dcd: true,
        extxyz,
        frame_interval_steps: INTERVAL_STEPS,
        centred: true,
        degrees_of_freedom: system.molecules.iter().map(|m| 3 * m.len()).collect(),
    };
    let folder = Arc::new(Folder::open(root, Mode::Fresh).unwrap());
    Outputs::create(folder, settings, system, replicas).unwrap()
}

/// Writes trajectories and, in `expected.json`, what must be found in them.
fn write_trajectories(root: &Path) {
    let system = system();
    let mut replicas = replicas(&system, 2);
    let mut outputs = outputs(root, &system, &replicas, true);
    let mut expected: Vec<Vec<Vec<[f64; 3]>>> = vec![Vec::new(); replicas.len()];
    for frame in 0..FRAMES {
        for (index, replica) in replicas.iter_mut().enumerate() {
            let molecule = &system.molecules[replica.id.molecule as usize];
            replica.step = frame * INTERVAL_STEPS;
            replica.energy_ev = -2081.0 - 0.125 * frame as f64;
            for (atom, position) in replica.positions_ang.iter_mut().enumerate() {
                for (axis, value) in position.iter_mut().enumerate() {
                    let phase = (7 * atom + 3 * axis + index) as f64 + frame as f64;
                    *value += 0.1 * phase.sin() + 1.0;
                }
            }
            let centre = molecule.centre_of_mass_ang(&replica.positions_ang);
            let centred = replica.positions_ang.iter();
            let centred = centred.map(|p| [p[0] - centre[0], p[1] - centre[1], p[2] - centre[2]]);
            expected[index].push(centred.collect());
        }
        outputs.frame(&system, &replicas).unwrap();
        outputs.log(&system, &replicas, None).unwrap();
        // In the middle too, so that a file is appended to.
        if frame == 2 || frame + 1 == FRAMES {
            outputs.flush(&replicas).unwrap();
        }
    }
    let trajectories: Vec<_> = replicas
        .iter()
        .enumerate()
        .map(|(index, replica)| {
            let molecule = &system.molecules[replica.id.molecule as usize];
            serde_json::json!({
                "label": outputs.label(index),
                "molecule": molecule.name,
                "numbers": molecule.numbers,
                "bonds": molecule.bonds,
                "frame_fs": INTERVAL_STEPS as f64 * TIMESTEP_FS,
                "interval_steps": INTERVAL_STEPS,
                "positions_ang": expected[index],
                "force_ev_per_ang": 0.1,
                "first_energy_ev": -2081.0,
                "frame_energy_ev": -0.125,
            })
        })
        .collect();
    let text = serde_json::to_string(&trajectories).unwrap();
    fs::write(root.join("expected.json"), text).unwrap();
}

#[test]
fn python_reads_what_was_written() {
    let wanted = "MDAnalysis, mdtraj and ase";
    let python = std::env::var("MDRUN_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python)
        .args(["-c", "import MDAnalysis, mdtraj, ase"])
        .output();
    if !found.is_ok_and(|found| found.status.success()) {
        // Not `eprintln!`, which shows only in tests that fail: a skipped one must be seen.
        let skipped = format!("SKIPPED: {python} has no {wanted}; MDRUN_TEST_PYTHON names one\n");
        let _ = std::io::stderr().write_all(skipped.as_bytes());
        assert!(
            std::env::var_os("MDRUN_TEST_PYTHON").is_none(),
            "MDRUN_TEST_PYTHON is {python}, which has no {wanted}"
        );
        return;
    }
    let root = tempfile::tempdir().unwrap();
    write_trajectories(root.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/read_trajectories.py");
    let read = Command::new(&python)
        .arg(script)
        .arg(root.path())
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&read.stderr);
    assert!(
        read.status.success(),
        "{}{talk}",
        String::from_utf8_lossy(&read.stdout)
    );
}

#[cfg(feature = "chemfiles")]
#[test]
fn chemfiles_reads_what_was_written() {
    let root = tempfile::tempdir().unwrap();
    write_trajectories(root.path());
    let text = fs::read_to_string(root.path().join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    for trajectory in expected.as_array().unwrap() {
        let label = trajectory["label"].as_str().unwrap();
        let frames = trajectory["positions_ang"].as_array().unwrap();
        for (ending, tolerance_ang) in [("dcd", 1e-6), ("xyz", 1e-8)] {
            let path = root.path().join(format!("{label}.{ending}"));
            let mut file = chemfiles::Trajectory::open(path, 'r').unwrap();
            assert_eq!(file.nsteps(), frames.len());
            let mut frame = chemfiles::Frame::new();
            for expected in frames {
                file.read(&mut frame).unwrap();
                let positions = frame.positions().iter().flatten();
                let expected = expected.as_array().unwrap().iter();
                let expected = expected.flat_map(|atom| atom.as_array().unwrap());
                for (found, expected) in positions.zip(expected) {
                    assert!((found - expected.as_f64().unwrap()).abs() < tolerance_ang);
                }
            }
        }
    }
}

/// Set in the process of `many_replicas_need_few_descriptors` that has few.
const FEW_DESCRIPTORS: &str = "MDRUN_TEST_FEW_DESCRIPTORS";

#[test]
fn many_replicas_need_few_descriptors() {
    if std::env::var_os(FEW_DESCRIPTORS).is_some() {
        write_many();
        return;
    }
    let test = std::env::current_exe().unwrap();
    let child = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 64 && exec \"$0\" --exact many_replicas_need_few_descriptors",
        ])
        .arg(test)
        .env(FEW_DESCRIPTORS, "1")
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{talk}");
}

fn write_many() {
    let root = tempfile::tempdir().unwrap();
    let system = system();
    let replicas = replicas(&system, 5_000);
    let mut outputs = outputs(root.path(), &system, &replicas, false);
    outputs.frame(&system, &replicas).unwrap();
    outputs.log(&system, &replicas, None).unwrap();
    outputs.flush(&replicas).unwrap();
    let files = fs::read_dir(root.path()).unwrap();
    let is_dcd = |path: &Path| path.extension().is_some_and(|ending| ending == "dcd");
    assert_eq!(
        files
            .filter(|file| is_dcd(&file.as_ref().unwrap().path()))
            .count(),
        10_000
    );
}
