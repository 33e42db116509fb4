//! Schemes against closed forms, in a harmonic well where everything is known.

use std::sync::Arc;

use mdrun::engine::Engine;
use mdrun::engine::host::HostEngine;
use mdrun::engine::potential::{Nothing, Term};
use mdrun::integrate::{Scheme, fire, start};
use mdrun::replica::{Parameters, Replica, ReplicaId, Status};
use mdrun::system::{Molecule, System};
use mdrun::units::{ACCELERATION, BOLTZMANN_EV_PER_K};

const STIFFNESS: f64 = 2.0;

/// Atoms that only feel the well, far enough from each other not to be taken for an overlap.
fn system_of(masses_amu: &[f64]) -> Arc<System> {
    let n = masses_amu.len();
    let start = |i| [0, 1, 2].map(|axis| if axis == i { 20.0 } else { 0.0 });
    let molecule = Molecule {
        name: "well".into(),
        numbers: vec![1; n],
        masses_amu: masses_amu.to_vec(),
        starts_ang: vec![(0..n).map(start).collect()],
        bonds: vec![],
    };
    Arc::new(System {
        molecules: vec![molecule],
        seed: 11,
        temperature_limit_k: f64::INFINITY,
    })
}

/// A light, a middling and a heavy atom.
fn system() -> Arc<System> {
    system_of(&[1.008, 12.011, 15.999])
}

fn replica(system: &System, copy: u32, parameters: Parameters) -> Replica {
    let molecule = &system.molecules[0];
    Replica::at_rest(
        ReplicaId {
            molecule: 0,
            name_hash: 5,
            temperature: 0,
            copy,
        },
        parameters,
        molecule.starts_ang[0].clone(),
    )
}

fn engine(system: &Arc<System>, replicas: &[Replica]) -> HostEngine<Nothing> {
    let mut engine = HostEngine::new(
        system.clone(),
        Nothing,
        vec![Term::HarmonicWell(STIFFNESS)],
        replicas,
    );
    engine.evaluate().unwrap();
    engine
}

const fn parameters(timestep_fs: f64, temperature_k: f64, friction_per_fs: f64) -> Parameters {
    Parameters {
        timestep_fs,
        temperature_k,
        friction_per_fs,
    }
}

/// Steps for `time_fs`, and the largest deviation of the conserved quantity from its start.
fn verlet_energy_error(timestep_fs: f64, time_fs: f64) -> f64 {
    let system = system();
    let mut replicas = vec![replica(&system, 0, parameters(timestep_fs, 300.0, 0.0))];
    let mut engine = engine(&system, &replicas);
    let mut start_ev = None;
    let mut worst_ev = 0.0_f64;
    for _ in 0..(time_fs / timestep_fs) as usize {
        engine.snapshot(&mut replicas).unwrap();
        let kinetic_ev = system.molecules[0].kinetic_energy_ev(&replicas[0].velocities_ang_per_fs);
        let total_ev = replicas[0].energy_ev + kinetic_ev;
        worst_ev = worst_ev.max((total_ev - *start_ev.get_or_insert(total_ev)).abs());
        engine.advance(Scheme::Nve.program(), 1).unwrap();
    }
    worst_ev
}

/// Verlet's energy error is c Δt² (1 + O(Δt²)); at these steps (ωΔt)² < 0.02 bounds the second term.
#[test]
fn energy_error_of_verlet_falls_with_the_square_of_the_time_step() {
    let errors = [1.0, 0.5, 0.25].map(|timestep_fs| verlet_energy_error(timestep_fs, 200.0));
    assert!(
        (errors[0] / errors[1] / 4.0 - 1.0).abs() < 0.02,
        "{errors:?}"
    );
    assert!(
        (errors[1] / errors[2] / 4.0 - 1.0).abs() < 0.02,
        "{errors:?}"
    );
}

#[test]
fn verlet_is_reversible() {
    let system = system();
    let mut replicas = vec![replica(&system, 0, parameters(0.5, 300.0, 0.0))];
    start::thermalise(&system, &mut replicas[0], false);
    let there = replicas[0].clone();
    let mut engine = engine(&system, &replicas);
    engine.advance(Scheme::Nve.program(), 1000).unwrap();
    engine.snapshot(&mut replicas).unwrap();
    for v in replicas[0].velocities_ang_per_fs.iter_mut().flatten() {
        *v = -*v;
    }
    engine.put(0, &replicas[0]).unwrap();
    engine.advance(Scheme::Nve.program(), 1000).unwrap();
    engine.snapshot(&mut replicas).unwrap();
    let moved = replicas[0]
        .positions_ang
        .iter()
        .flatten()
        .zip(there.positions_ang.iter().flatten());
    assert!(moved.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) < 1e-8);
}

/// A damped oscillator without noise (T = 0): x(t) = e^{−γt/2} x₀ (cos Ωt + γ/(2Ω) sin Ωt), with
/// Ω² = ω² − γ²/4.  BAOAB's phase error is (ωΔt)²/24 of the phase, and its damping error of the same
/// order: together below (ωΔt)² ωt / 12 of the amplitude.
#[test]
fn a_damped_oscillator_follows_its_closed_form() {
    let system = system();
    let (timestep_fs, friction) = (0.25, 0.02);
    let mut replicas = vec![replica(&system, 0, parameters(timestep_fs, 0.0, friction))];
    let mut engine = engine(&system, &replicas);
    for step in 1..=400 {
        engine.advance(Scheme::Langevin.program(), 1).unwrap();
        engine.snapshot(&mut replicas).unwrap();
        let t = step as f64 * timestep_fs;
        for (atom, mass) in system.molecules[0].masses_amu.iter().enumerate() {
            let omega = (STIFFNESS * ACCELERATION / mass).sqrt();
            let damped = (omega * omega - friction * friction / 4.0).sqrt();
            let phase = damped * t;
            let closed = 20.0
                * (-friction * t / 2.0).exp()
                * (phase.cos() + friction / (2.0 * damped) * phase.sin());
            let tolerance = 20.0 * (omega * timestep_fs).powi(2) * (omega * t) / 12.0 + 1e-9;
            let x = replicas[0].positions_ang[atom][atom];
            assert!(
                (x - closed).abs() < tolerance,
                "atom {atom} at {t} fs: {x} {closed}"
            );
        }
    }
}

/// BAOAB samples positions in a harmonic well exactly, whatever the time step
/// (10.1093/amrx/abs010): ⟨x²⟩ = kT/k.  Single atoms, so that no two can meet at the bottom; the
/// standard error of a variance of n independent normal numbers is √(2/n).
#[test]
fn baoab_is_exact_for_positions_in_a_well_at_a_large_time_step() {
    let system = system_of(&[1.008]);
    // ωΔt = 0.97: Verlet's ensemble would be wider by 1/(1 − (ωΔt/2)²), a third.
    let parameters = parameters(7.0, 300.0, 0.05);
    let mut replicas: Vec<_> = (0..400)
        .map(|copy| replica(&system, copy, parameters))
        .collect();
    let mut engine = engine(&system, &replicas);
    engine.advance(Scheme::Langevin.program(), 500).unwrap();
    let (mut positions2, mut kinetic_ev, mut samples) = (0.0, 0.0, 0.0);
    for _ in 0..50 {
        // 280 fs and γ/2 = 0.025/fs: the correlation of x² between samples is e⁻¹⁴.
        engine.advance(Scheme::Langevin.program(), 40).unwrap();
        engine.snapshot(&mut replicas).unwrap();
        for replica in &replicas {
            positions2 += replica.positions_ang[0].iter().map(|x| x * x).sum::<f64>();
            kinetic_ev += replica.kinetic_ev;
            samples += 3.0;
        }
    }
    let kt_ev = BOLTZMANN_EV_PER_K * 300.0;
    let tolerance = 4.0 * (2.0_f64 / samples).sqrt();
    let variance = positions2 / samples * STIFFNESS / kt_ev;
    assert!(
        (variance - 1.0).abs() < tolerance,
        "variance ratio {variance}"
    );
    // Right after O the velocities are Maxwellian, too.
    let kinetic = kinetic_ev / samples / (0.5 * kt_ev);
    assert!((kinetic - 1.0).abs() < tolerance, "kinetic ratio {kinetic}");
}

/// The bath's heat closes the balance: without it the energy wanders by many kT.
#[test]
fn langevin_conserves_energy_with_its_heat() {
    let system = system();
    let mut replicas = vec![replica(&system, 0, parameters(0.5, 300.0, 0.01))];
    start::thermalise(&system, &mut replicas[0], false);
    let mut engine = engine(&system, &replicas);
    engine.snapshot(&mut replicas).unwrap();
    let balance = |replica: &Replica| {
        replica.energy_ev + system.molecules[0].kinetic_energy_ev(&replica.velocities_ang_per_fs)
            - replica.bath_heat_ev
    };
    let start_ev = balance(&replicas[0]);
    engine.advance(Scheme::Langevin.program(), 2000).unwrap();
    engine.snapshot(&mut replicas).unwrap();
    assert!(replicas[0].bath_heat_ev.abs() > 1.0);
    // The shadow energy deviates by (ωΔt)²/8 of the potential energy, here (0.069)²/8 of 1200 eV.
    assert!((balance(&replicas[0]) - start_ev).abs() < 0.7);
}

#[test]
fn advancing_in_parts_gives_the_same_bits() {
    let system = system();
    let start: Vec<_> = (0..5)
        .map(|copy| replica(&system, copy, parameters(0.5, 300.0, 0.01)))
        .collect();
    let run = |parts: &[u64], replicas: &[Replica]| {
        let mut after = replicas.to_vec();
        let mut engine = engine(&system, replicas);
        for &steps in parts {
            engine.advance(Scheme::Langevin.program(), steps).unwrap();
        }
        engine.snapshot(&mut after).unwrap();
        after
    };
    let whole = run(&[50], &start);
    assert_eq!(run(&[20, 30], &start), whole);
    assert_eq!(run(&[1; 50], &start), whole);
    // Alone, and in another slot.
    assert_eq!(run(&[50], &start[3..4])[0], whole[3]);
    let reversed: Vec<_> = start.iter().rev().cloned().collect();
    assert_eq!(run(&[50], &reversed)[1], whole[3]);
}

#[test]
fn a_failed_replica_keeps_its_last_good_state_and_disturbs_nobody() {
    let system = system();
    let conditions = parameters(0.5, 300.0, 0.01);
    let start: Vec<_> = (0..4)
        .map(|copy| replica(&system, copy, conditions))
        .collect();
    let mut broken = start.clone();
    // Two atoms fly at each other and meet after some steps.
    broken[2].positions_ang = vec![[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 30.0, 0.0]];
    broken[2].velocities_ang_per_fs = vec![[-0.2, 0.0, 0.0], [0.2, 0.0, 0.0], [0.0; 3]];
    let run = |replicas: &[Replica], steps| {
        let mut after = replicas.to_vec();
        let mut engine = engine(&system, replicas);
        engine.advance(Scheme::Langevin.program(), steps).unwrap();
        engine.snapshot(&mut after).unwrap();
        after
    };
    let (whole, with_fault) = (run(&start, 30), run(&broken, 30));
    for slot in [0, 1, 3] {
        assert_eq!(whole[slot], with_fault[slot]);
    }
    let failed = &with_fault[2];
    assert!(
        matches!(failed.status, Status::Failed(_)),
        "{:?}",
        failed.status
    );
    assert!(failed.step > 0 && failed.step < 30);
    let mut same = run(&broken, failed.step)[2].clone();
    assert!(same.is_running());
    same.status = failed.status;
    assert_eq!(&same, failed);
}

#[test]
fn fire_finds_the_bottom_of_the_well() {
    let system = system();
    let mut replicas: Vec<_> = (0..3)
        .map(|copy| replica(&system, copy, parameters(0.5, 300.0, 0.01)))
        .collect();
    for (copy, replica) in replicas.iter_mut().enumerate() {
        // Atoms stay apart on the way down: the bottom itself is one point, so stop short of it.
        replica
            .positions_ang
            .iter_mut()
            .flatten()
            .for_each(|x| *x *= 1.0 + copy as f64);
    }
    let mut engine = engine(&system, &replicas);
    let tolerance = fire::Tolerance {
        force_ev_per_ang: 4.0,
        steps_max: 2000,
    };
    let minima = fire::minimise(&mut engine, &mut replicas, tolerance, |_, _| true).unwrap();
    for (minimum, replica) in minima.iter().zip(&replicas) {
        assert!(minimum.converged, "{minimum:?}");
        assert!(replica.energy_ev < 0.5 * STIFFNESS * 3.0 * 4.0 + 1e-9);
    }
}
