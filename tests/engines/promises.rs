//! What every engine promises: one body, tried on each of them as the program opens them.

use std::io::Write;
use std::sync::Arc;

use mdrun::engine::{self, Device, Engine, Precision};
use mdrun::integrate::Scheme;
use mdrun::replica::Replica;
use mdrun::student::Student;
use mdrun::system::System;
use nalgebra::{Rotation3, Vector3};

use crate::molecules::{ETHANOL, PARAMETERS, WATER, real_molecules, replicas, system_of};
use crate::{Gpu, advanced, difference, evaluated, size};

/// An engine, and how far its forces may be from those in f64, relative to their size.
struct Place {
    device: Device,
    precision: Precision,
    relative: f64,
    /// Steps of a trajectory that this engine can be asked for in a test.
    steps: u64,
}

/// Every engine that there is here; GPUs that are not are said to be skipped.
fn places() -> Vec<Place> {
    let place = |device, precision, relative, steps| Place {
        device,
        precision,
        relative,
        steps,
    };
    // Behind a force there are about a thousand numbers, each rounded up as often as down: to 12 bits or 24.
    // In f64 the oracle's own derivation counts, as in the tests of the student.
    let rounded_to = |bits: i32| f64::sqrt(1000.0) * f64::powi(2.0, -bits);
    let (double, single, mixed) = (1e-11, rounded_to(24), rounded_to(12));
    let mut places = vec![place(Device::Cpu, Precision::Single, single, STEPS)];
    if cfg!(feature = "reference") {
        places.push(place(Device::Reference, Precision::Single, double, STEPS));
    } else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED on the reference engine: built without it"
        );
    }
    match Gpu::open(0, None) {
        Ok(gpu) => {
            // The driver that runs kernels on the host takes a second for a step of tiles.
            let (of_f32, of_tiles) = if gpu.name().contains("emulation") {
                (STEPS / 10, STEPS / 100)
            } else {
                (STEPS, STEPS)
            };
            places.push(place(Device::Cuda(0), Precision::Single, single, of_f32));
            places.push(place(Device::Cuda(0), Precision::Mixed, mixed, of_tiles));
        }
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED on a GPU: {}", why.what());
        }
    }
    places
}

/// Half a picosecond.
const STEPS: u64 = 1000;

impl Place {
    fn open(&self, system: &Arc<System>, replicas: &[Replica]) -> Box<dyn Engine> {
        let (device, precision) = (self.device, self.precision);
        let opened = engine::open(device, precision, &student(), system, replicas).unwrap();
        opened.engine
    }

    fn name(&self) -> String {
        format!("{} in {}", self.device, self.precision)
    }
}

fn student() -> Student {
    Student::embedded("default").unwrap()
}

fn in_double(system: &Arc<System>, replicas: &[Replica]) -> Box<dyn Engine> {
    let opened = engine::open_double(&student(), system, replicas).unwrap();
    opened.engine
}

#[test]
fn forces_are_those_of_f64() {
    let system = real_molecules();
    let start = replicas(&system, 0);
    let exact = evaluated(in_double(&system, &start).as_mut(), &start);
    for place in places() {
        let found = evaluated(place.open(&system, &start).as_mut(), &start);
        for (found, exact) in found.iter().zip(&exact) {
            let error = difference(found, exact) / size(exact);
            let (name, atoms) = (place.name(), exact.positions_ang.len());
            println!("{name}, {atoms} atoms: {error:.1e}");
            assert!(error <= place.relative, "{name}, {atoms} atoms: {error:e}");
        }
    }
}

/// Turned and shifted, and with its atoms in another order, a molecule has the same forces but for twice their error.
#[test]
fn forces_go_with_the_molecule() {
    let system = real_molecules();
    let start = replicas(&system, 0);
    let rotation = Rotation3::from_euler_angles(0.7, -1.1, 2.3);
    let mut turned = start.clone();
    for x in turned
        .iter_mut()
        .flat_map(|replica| &mut replica.positions_ang)
    {
        *x = (rotation * Vector3::from(*x) + Vector3::new(3.1, -7.7, 0.9)).into();
    }
    let mut other_order = (*system).clone();
    for molecule in &mut other_order.molecules {
        molecule.numbers.reverse();
        molecule.masses_amu.reverse();
        molecule.starts_ang[0].reverse();
    }
    let other_order = Arc::new(other_order);
    let mut reversed = start.clone();
    for replica in &mut reversed {
        replica.positions_ang.reverse();
    }
    for place in places() {
        let forces = |system, replicas: &[Replica]| {
            evaluated(place.open(system, replicas).as_mut(), replicas)
        };
        let plain = forces(&system, &start);
        let mut turned = forces(&system, &turned);
        let mut reversed = forces(&other_order, &reversed);
        for (turned, reversed) in turned.iter_mut().zip(&mut reversed) {
            for force in &mut turned.forces_ev_per_ang {
                *force = (rotation.inverse() * Vector3::from(*force)).into();
            }
            reversed.forces_ev_per_ang.reverse();
        }
        for (n, plain) in plain.iter().enumerate() {
            for (what, moved) in [("turned", &turned[n]), ("in another order", &reversed[n])] {
                let error = difference(moved, plain) / size(plain);
                let (name, atoms) = (place.name(), plain.positions_ang.len());
                assert!(
                    error <= 2.0 * place.relative,
                    "{name}, {atoms} atoms {what}: {error:e}"
                );
            }
        }
    }
}

/// Alone or among others, in one piece or in two with a new engine for the second: the same bits.
#[test]
fn bits_are_those_of_a_replica_alone_and_uninterrupted() {
    let system = real_molecules();
    let start = replicas(&system, 0);
    for place in places() {
        let run = |replicas: &[Replica], steps| {
            let mut engine = place.open(&system, replicas);
            engine.evaluate().unwrap();
            advanced(engine.as_mut(), Scheme::Langevin, steps, replicas)
        };
        let whole = run(&start, 4);
        assert!(whole.iter().all(|replica| replica.step == 4));
        for (slot, whole) in whole.iter().enumerate() {
            let name = place.name();
            assert!(
                run(&start[slot..=slot], 4)[0] == *whole,
                "{name}: slot {slot} alone"
            );
        }
        assert!(
            run(&run(&start, 1), 3) == whole,
            "{}: in two parts",
            place.name()
        );
    }
}

/// A force that is off by a part ε of itself shifts the frequency ω of a vibration by εω/2 or less, and so its
/// phase by εωt/2: an atom that swings over A is off by Aεωt/2 at most. Bonds with hydrogen are the fastest,
/// 3,900 cm⁻¹, and swing over some 0.15 Å at 300 K. The energy that is conserved is off by as large a part of
/// what the network computes, an electronvolt or more an atom.
#[test]
fn velocity_verlet_follows_f64() {
    let system = system_of(&[WATER, ETHANOL], 0.0);
    let start = replicas(&system, 0);
    for place in places() {
        let mut engines = [in_double(&system, &start), place.open(&system, &start)];
        let [before, found_before] = engines
            .each_mut()
            .map(|engine| evaluated(engine.as_mut(), &start));
        let [exact, found] =
            engines.map(|mut engine| advanced(engine.as_mut(), Scheme::Nve, place.steps, &start));
        let omega_t = 0.735 * PARAMETERS.timestep_fs * place.steps as f64;
        let bound_ang = 0.15 * place.relative * omega_t / 2.0;
        for n in 0..start.len() {
            let (found, exact) = (&found[n], &exact[n]);
            assert_eq!((found.step, found.status), (place.steps, exact.status));
            let pairs = found.positions_ang.iter().zip(&exact.positions_ang);
            let coordinates = pairs.flat_map(|(a, b)| (0..3).map(|axis| (a[axis] - b[axis]).abs()));
            let apart_ang = coordinates.fold(0.0, f64::max);
            let gained_ev = |before: &Replica, after: &Replica| {
                let kinetic_ev = |replica: &Replica| {
                    system.molecules[n].kinetic_energy_ev(&replica.velocities_ang_per_fs)
                };
                after.energy_ev + kinetic_ev(after) - before.energy_ev - kinetic_ev(before)
            };
            let apart_ev = gained_ev(&found_before[n], found) - gained_ev(&before[n], exact);
            let bound_ev = place.relative * found.positions_ang.len() as f64;
            let name = place.name();
            println!("{name}: {apart_ang:.1e} Å and {apart_ev:.1e} eV apart");
            assert!(apart_ang <= bound_ang, "{name}: {apart_ang:e} Å apart");
            assert!(apart_ev.abs() <= bound_ev, "{name}: {apart_ev:e} eV apart");
        }
    }
}
