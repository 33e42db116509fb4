//! What every engine must do: `promises` for all of them, the rest on a GPU.
//!
//! Where there is no GPU each test says so and passes. `kernels/build.py --emulator DIRECTORY` makes
//! a driver that runs the kernels on the host: with `LD_LIBRARY_PATH=DIRECTORY` everything here is
//! tried without a GPU, which covers all but speed and races.

/// Leaves the test with a line past the harness's capture where there is no GPU.
macro_rules! gpu_or_skip {
    () => {
        if let Err(why) = Gpu::open(0, None) {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED {}:{}: {}",
                file!(),
                line!(),
                why.what()
            );
            return;
        }
    };
}

mod every_kernel;
mod molecules;
mod outputs;
mod promises;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use mdrun::engine::cuda::{CudaEngine, Gpu, Limits, SeveralGpus};
use mdrun::engine::host::HostEngine;
use mdrun::engine::potential::{Nothing, Term};
use mdrun::engine::{Engine, Op, Precision};
use mdrun::error::Error;
use mdrun::integrate::Scheme;
use mdrun::replica::{Fault, Parameters, Replica, Status};
use mdrun::student::{Architecture, Student};
use mdrun::system::System;
use mdrun::units::ACCELERATION;
use molecules::{
    PARAMETERS, RITONAVIR, architecture, chains, on_host, real_molecules, replicas,
    small_architecture, system, system_of,
};

/// Sizes around the edges of warps, blocks and product tiles.
const SIZES: [usize; 18] = [
    1, 2, 3, 12, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 21,
];

/// As large as there are kernels for, and one that its kernels are wider than, with zeros, under dispersion.
fn students() -> [Student; 2] {
    let small = Architecture {
        dispersion: true,
        ..small_architecture()
    };
    [architecture(2, true), small].map(|sizes| Student::random(&sizes, 3))
}

/// Both of them: tiles of 16-bit products, and the f32 kernels.
const PRECISIONS: [Precision; 2] = [Precision::Single, Precision::Mixed];

/// Tries a promise with every student in every precision.
fn always(promise: fn(&Student, Precision)) {
    for student in students() {
        for precision in PRECISIONS {
            promise(&student, precision);
        }
    }
}

fn on_gpu(
    system: &Arc<System>,
    student: Option<&Student>,
    replicas: &[Replica],
    precision: Precision,
) -> CudaEngine {
    engine_of(system, student, &[], replicas, (usize::MAX, precision))
}

fn engine_of(
    system: &Arc<System>,
    student: Option<&Student>,
    terms: &[Term],
    replicas: &[Replica],
    (rows_max, precision): (usize, Precision),
) -> CudaEngine {
    let gpu = Gpu::open(0, student).unwrap();
    CudaEngine::new(
        gpu,
        system.clone(),
        student,
        terms,
        replicas,
        Limits {
            rows_max,
            precision,
        },
    )
    .unwrap()
}

fn evaluated(engine: &mut dyn Engine, replicas: &[Replica]) -> Vec<Replica> {
    let mut after = replicas.to_vec();
    engine.evaluate().unwrap();
    engine.snapshot(&mut after).unwrap();
    after
}

fn advanced(
    engine: &mut dyn Engine,
    scheme: Scheme,
    steps: u64,
    replicas: &[Replica],
) -> Vec<Replica> {
    let mut after = replicas.to_vec();
    engine.advance(scheme.program(), steps).unwrap();
    engine.snapshot(&mut after).unwrap();
    after
}

/// ‖a − b‖/√(3N): root mean square difference of forces.
fn difference(a: &Replica, b: &Replica) -> f64 {
    let pairs = a
        .forces_ev_per_ang
        .iter()
        .flatten()
        .zip(b.forces_ev_per_ang.iter().flatten());
    let square: f64 = pairs.map(|(a, b)| (a - b).powi(2)).sum();
    (square / (3 * a.forces_ev_per_ang.len()) as f64).sqrt()
}

fn size(replica: &Replica) -> f64 {
    let square: f64 = replica
        .forces_ev_per_ang
        .iter()
        .flatten()
        .map(|x| x * x)
        .sum();
    (square / (3 * replica.forces_ev_per_ang.len()) as f64).sqrt()
}

/// Root mean square.
fn mean_size(x: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = x.len() as f64;
    (x.map(|x| x * x).sum::<f64>() / count).sqrt()
}

/// Both f32 implementations differ from f64 by their roundings, which are as many and as large but
/// not the same: three times the host's error, and 1e-6 of the forces where that happens to be small.
/// One energy's error may be near zero by chance, so errors are those of four copies of a molecule,
/// whose atoms have gone a tenth of a femtosecond with velocities of their own.
fn agrees_with_f64(student: &Student, sizes: &[usize], seed: u64) {
    let system = system(sizes, seed);
    let mut start: Vec<Replica> = (0..4).flat_map(|copy| replicas(&system, copy)).collect();
    for replica in &mut start {
        let atoms = replica.positions_ang.iter_mut();
        for (x, v) in atoms.zip(&replica.velocities_ang_per_fs) {
            (0..3).for_each(|axis| x[axis] += 0.1 * v[axis]);
        }
    }
    let exact = evaluated(&mut on_host::<f64>(&system, student, &start), &start);
    let single = evaluated(&mut on_host::<f32>(&system, student, &start), &start);
    let gpu = evaluated(
        &mut on_gpu(&system, Some(student), &start, Precision::Single),
        &start,
    );
    for (molecule, atoms) in sizes.iter().enumerate() {
        let of_copies = |replicas: &[Replica], size: fn(&Replica, &Replica) -> f64| {
            let copies = (molecule..start.len()).step_by(sizes.len());
            mean_size(copies.map(|n| size(&replicas[n], &exact[n])))
        };
        for n in (molecule..start.len()).step_by(sizes.len()) {
            assert_eq!(gpu[n].status, exact[n].status, "{atoms} atoms");
        }
        let forces_size = of_copies(&exact, |a, _| size(a));
        let bound = 3.0 * of_copies(&single, difference) + 1e-6 * forces_size;
        let error = of_copies(&gpu, difference);
        assert!(
            error <= bound,
            "{atoms} atoms: forces {error:e}, bound {bound:e}"
        );
        let energy = |a: &Replica, b: &Replica| a.energy_ev - b.energy_ev;
        let bound_ev = 3.0 * of_copies(&single, energy) + 1e-6 * *atoms as f64;
        let error_ev = of_copies(&gpu, energy);
        assert!(
            error_ev <= bound_ev,
            "{atoms} atoms: energy {error_ev:e}, bound {bound_ev:e}"
        );
    }
}

#[test]
fn forces_and_energies_agree_with_f64() {
    gpu_or_skip!();
    for student in students() {
        agrees_with_f64(&student, &SIZES, 1);
    }
}

#[test]
fn other_students_agree_too() {
    gpu_or_skip!();
    for name in ["default", "small"] {
        agrees_with_f64(&Student::embedded(name).unwrap(), &[12, 21, 2], 14);
    }
    let far = Architecture {
        dispersion: true,
        ..architecture(3, true)
    };
    agrees_with_f64(&Student::random(&far, 4), &[12, 5, 70], 2);
    agrees_with_f64(&Student::random(&architecture(2, false), 5), &[9, 4], 3);
}

/// Bonds of a cluster are 1.1 to 1.5 Å long, many inside the covalent distance of their elements.
#[test]
fn a_student_with_a_core_agrees_too() {
    gpu_or_skip!();
    let core = |layers| Architecture {
        core: true,
        ..architecture(layers, true)
    };
    agrees_with_f64(&Student::random(&core(2), 6), &[1, 2, 12, 33, 65], 15);
    agrees_with_f64(&Student::random(&core(3), 7), &[12, 5], 16);
}

/// What the word adds is the term and nothing else: two students that differ in it alone have the same
/// bits of all that is learnt, in either precision, so the difference of their forces is dispersion's.
/// The switch's argument, a number of some 5 less 4, is off by 2·10⁻⁶ in f32, which changes its slope by
/// 10⁻⁵ of the largest; pairs' forces cancel in part, so ten times that. Energies are of some 10⁴ eV, in f64.
#[test]
fn dispersion_is_that_of_the_host() {
    gpu_or_skip!();
    let students = [false, true].map(|dispersion| {
        let sizes = Architecture {
            dispersion,
            ..architecture(2, true)
        };
        Student::random(&sizes, 3)
    });
    let clusters = system(&[1, 2, 12, 16, 17, 33, 64, 65, 100, 128, 129], 31);
    for system in [clusters, chains(&[4, 5, 16, 40, 64, 90], 32)] {
        let start = replicas(&system, 0);
        let host = |student| evaluated(&mut on_host::<f64>(&system, student, &start), &start);
        let exact = students.each_ref().map(host);
        for precision in PRECISIONS {
            let gpu = students.each_ref().map(|student| {
                let mut engine = on_gpu(&system, Some(student), &start, precision);
                evaluated(&mut engine, &start)
            });
            for n in 0..start.len() {
                let atoms = start[n].positions_ang.len();
                let added = |of: &[Vec<Replica>; 2]| {
                    let forces = |replica: &Replica| replica.forces_ev_per_ang.concat();
                    let [without, with] = of.each_ref().map(|replicas| forces(&replicas[n]));
                    let forces = with.iter().zip(&without).map(|(a, b)| a - b);
                    let energy_ev = of[1][n].energy_ev - of[0][n].energy_ev;
                    (energy_ev, forces.collect::<Vec<f64>>())
                };
                let ((energy_ev, forces), (exact_ev, exact)) = (added(&gpu), added(&exact));
                let far = start[n].positions_ang.iter().any(|x| {
                    let square = |axis: usize| (x[axis] - start[n].positions_ang[0][axis]).powi(2);
                    (0..3).map(square).sum::<f64>() > 25.0
                });
                assert!(!far || exact_ev < 0.0, "{atoms} atoms: {exact_ev} eV");
                let size = mean_size(exact.iter().copied());
                let error = mean_size(forces.iter().zip(&exact).map(|(a, b)| a - b));
                let bound = 1e-4 * size + 1e-12;
                assert!(error <= bound, "{atoms} atoms: {error:e} of {size:e} eV/Å");
                let error_ev = (energy_ev - exact_ev).abs();
                let bound_ev = 1e-4 * exact_ev.abs() + 1e-10;
                assert!(
                    error_ev <= bound_ev,
                    "{atoms} atoms: {error_ev:e} of {exact_ev:e} eV"
                );
            }
        }
    }
}

/// A rounding to 16 bits changes a number by up to 2⁻¹² of itself, up as often as down; behind a force
/// there are about a thousand.
#[test]
fn tiles_agree_with_f64_within_16_bits() {
    gpu_or_skip!();
    let relative = f64::sqrt(1000.0) / 4096.0;
    let core = Architecture {
        core: true,
        ..architecture(2, true)
    };
    let check = |student: &Student, sizes: &[usize], seed| {
        let system = system(sizes, seed);
        for (exact, error) in errors_of_tiles(student, &system) {
            let (atoms, size) = (exact.positions_ang.len(), size(&exact));
            assert!(
                error <= relative * size,
                "{atoms} atoms: forces {error:e} of {size:e}"
            );
        }
    };
    for student in students() {
        check(&student, &SIZES, 1);
    }
    check(&Student::random(&core, 6), &[1, 2, 12, 33], 15);
}

/// What 16 bits cost is to be a tenth of what the student is off by: 29 meV/Å (its card); the
/// small student is off by more.
#[test]
fn tiles_are_ten_times_closer_to_the_student_than_it_is_to_its_teacher() {
    gpu_or_skip!();
    for name in ["default", "small"] {
        let student = Student::embedded(name).unwrap();
        let all = [real_molecules(), system_of(&[RITONAVIR], 0.05)];
        let errors = all.iter().flat_map(|of| errors_of_tiles(&student, of));
        for (exact, error) in errors {
            let (atoms, size) = (exact.positions_ang.len(), size(&exact));
            println!("{name}, {atoms} atoms: {error:.2e} eV/Å of {size:.2e}");
            assert!(error <= 2.9e-3, "{name}, {atoms} atoms: {error:e} eV/Å");
        }
    }
}

/// The noise is the host's to the bit, so positions are apart by no more than what forces off by 16 bits make of a time:
/// ½ t² δF/m of the lightest atom.  Without noise, or with that of another atom, they are apart by ten times that.
#[test]
fn tiles_make_the_steps_of_the_host() {
    gpu_or_skip!();
    let steps = 10_u32;
    let time_fs = f64::from(steps) * PARAMETERS.timestep_fs;
    let student = Student::embedded("default").unwrap();
    for system in [real_molecules(), system_of(&[RITONAVIR], 0.05)] {
        let start = replicas(&system, 0);
        let mut host = on_host::<f64>(&system, &student, &start);
        let mut tiles = on_gpu(&system, Some(&student), &start, Precision::Mixed);
        let engines: [&mut dyn Engine; 2] = [&mut host, &mut tiles];
        let [exact, found] = engines.map(|engine| {
            engine.evaluate().unwrap();
            advanced(engine, Scheme::Langevin, steps.into(), &start)
        });
        for (found, exact) in found.iter().zip(&exact) {
            let both = found.positions_ang.iter().zip(&exact.positions_ang);
            let apart: Vec<f64> = both
                .flat_map(|(a, b)| [a[0] - b[0], a[1] - b[1], a[2] - b[2]])
                .collect();
            let apart_ang = mean_size(apart.into_iter());
            let force_error = f64::sqrt(1000.0) / 4096.0 * size(exact);
            let bound_ang = 0.5 * time_fs.powi(2) * force_error * ACCELERATION / 1.008;
            let atoms = exact.positions_ang.len();
            println!("{atoms} atoms: {apart_ang:.1e} of {bound_ang:.1e} Å");
            assert!(apart_ang <= bound_ang, "{atoms} atoms: {apart_ang:e} Å");
        }
    }
}

/// Replicas as f64 evaluates them, and the root mean square error of tiles' forces in eV/Å.
fn errors_of_tiles(student: &Student, system: &Arc<System>) -> Vec<(Replica, f64)> {
    let start = replicas(system, 0);
    let exact = evaluated(&mut on_host::<f64>(system, student, &start), &start);
    let mut engine = on_gpu(system, Some(student), &start, Precision::Mixed);
    let tiles = evaluated(&mut engine, &start);
    let pairs = exact.into_iter().zip(&tiles);
    pairs
        .map(|(exact, tiles)| {
            assert_eq!(tiles.status, exact.status);
            let error = difference(tiles, &exact);
            let atoms = exact.positions_ang.len() as f64;
            let apart_ev = (tiles.energy_ev - exact.energy_ev).abs();
            assert!(
                apart_ev <= 5e-3 * atoms,
                "energy {apart_ev} eV of {atoms} atoms"
            );
            (exact, error)
        })
        .collect()
}

#[test]
fn bits_depend_neither_on_the_batch_nor_on_the_slot() {
    gpu_or_skip!();
    always(bits_depend_on_nothing_else);
}

fn bits_depend_on_nothing_else(student: &Student, precision: Precision) {
    let system = system(&[1, 130, 3, 12, 16, 40, 2, 17, 70], 26);
    let start = replicas(&system, 0);
    let tiles = usize::from(precision == Precision::Mixed);
    let run = |replicas: &[Replica], rows_max| {
        let limits = (rows_max, precision);
        let mut engine = engine_of(&system, Some(student), &[], replicas, limits);
        engine.evaluate().unwrap();
        (
            engine.batch_count(),
            advanced(&mut engine, Scheme::Langevin, 3, replicas),
        )
    };
    let (batches, together) = run(&start, usize::MAX);
    assert_eq!(batches, 1 + tiles);
    assert!(
        together.iter().all(|replica| replica.step == 3),
        "{together:?}"
    );
    // Alone, in small batches, and behind many copies of another molecule in reversed slots.
    for slot in 0..start.len() {
        assert_eq!(run(&start[slot..=slot], usize::MAX).1[0], together[slot]);
    }
    let (batches, apart) = run(&start, 140);
    assert_eq!(batches, if tiles > 0 { 2 } else { 3 });
    assert_eq!(apart, together);
    let mut crowd: Vec<Replica> = start.iter().rev().cloned().collect();
    crowd.extend((1..20).map(|copy| replicas(&system, copy)[3].clone()));
    assert_eq!(
        run(&crowd, usize::MAX).1[..start.len()],
        *together.iter().rev().cloned().collect::<Vec<_>>()
    );
}

/// A molecule alone has the smallest tile that it fits into, where there are clusters one of those; two of up to 16
/// atoms on the emulator, twenty on a GPU, are more than there is room for in clusters. Of many, full rounds of large
/// tiles leave some over for another kind. All have the bits of a batch with larger molecules, which other tests
/// compare with f64.
#[test]
fn bits_do_not_depend_on_the_kind_of_tile() {
    gpu_or_skip!();
    let mut kernels = BTreeSet::new();
    for student in students() {
        let multiprocessors = Gpu::open(0, Some(&student)).unwrap().multiprocessors;
        let system = system(&SIZES, 29);
        let start = replicas(&system, 0);
        let run = |replicas: &[Replica]| {
            let mut engine = on_gpu(&system, Some(&student), replicas, Precision::Mixed);
            engine.evaluate().unwrap();
            // These are steps as any.
            let stages = engine.profile(Scheme::Langevin.program(), 1).unwrap();
            let mut after = replicas.to_vec();
            engine.snapshot(&mut after).unwrap();
            (after, stages[0].kernel)
        };
        let (together, _) = run(&start);
        for (n, atoms) in SIZES.into_iter().enumerate() {
            let copies = |count: u32| -> Vec<Replica> {
                let copy = |copy| replicas(&system, copy)[n].clone();
                (0..count).map(copy).collect()
            };
            let more_than_clusters = if atoms <= 16 { &[2, 20][..] } else { &[] };
            // Five of 12 atoms have a tile of 64 rows.
            let several_rounds = (atoms == 12).then_some(5 * multiprocessors as u32 + 1);
            let few = [1].iter().chain(more_than_clusters).copied();
            for count in few.chain(several_rounds) {
                let start = copies(count);
                let (after, kernel) = run(&start);
                assert_eq!(after[0], together[n], "{count} of {atoms} atoms: {kernel}");
                // What full rounds leave over comes last.
                if several_rounds == Some(count) {
                    assert_eq!(after.last(), run(&start[start.len() - 1..]).0.last());
                }
                kernels.insert(kernel);
            }
        }
    }
    println!("{kernels:?}");
    // GPUs with less shared memory have fewer kinds.
    let gpu = Gpu::open(0, Some(&students()[0])).unwrap();
    let kinds = gpu
        .kernel_names()
        .filter(|name| name.starts_with("step_tiles_"));
    let kinds: BTreeSet<_> = kinds.collect();
    assert!(kinds.is_subset(&kernels), "{kinds:?}");
    assert!(
        kinds.len() < 5 || kernels.contains("step_tiles"),
        "none of several kinds"
    );
}

#[test]
fn advancing_in_parts_gives_the_same_bits() {
    gpu_or_skip!();
    always(advance_in_parts);
}

fn advance_in_parts(student: &Student, precision: Precision) {
    let system = system(&[3, 12], 7);
    let start = replicas(&system, 0);
    let run = |parts: &[u64]| {
        let mut engine = on_gpu(&system, Some(student), &start, precision);
        engine.evaluate().unwrap();
        let mut after = start.clone();
        for &steps in parts {
            engine.advance(Scheme::Langevin.program(), steps).unwrap();
        }
        engine.snapshot(&mut after).unwrap();
        after
    };
    let whole = run(&[10]);
    assert_eq!(run(&[4, 6]), whole);
    assert_eq!(run(&[1; 10]), whole);
    // Through the host and back, as a checkpoint does.
    let half = run(&[5]);
    let mut engine = on_gpu(&system, Some(student), &half, precision);
    assert_eq!(advanced(&mut engine, Scheme::Langevin, 5, &half), whole);
}

/// The work sees the state before the steps, and the bits are those of one thing after the other.
#[test]
fn work_beside_the_steps_changes_no_bit() {
    gpu_or_skip!();
    let (student, system) = (
        Student::random(&architecture(2, true), 3),
        system(&[3, 12], 17),
    );
    let start: Vec<Replica> = (0..2).flat_map(|copy| replicas(&system, copy)).collect();
    for precision in PRECISIONS {
        let limits = Limits {
            precision,
            ..Limits::default()
        };
        let gpus = Gpu::open_all(Some(&student)).unwrap();
        let all = SeveralGpus::new(gpus, &system, Some(&student), &[], &start, limits).unwrap();
        let mut engines: [Box<dyn Engine>; 2] = [
            Box::new(on_gpu(&system, Some(&student), &start, precision)),
            Box::new(all),
        ];
        for engine in &mut engines {
            check_work_beside(engine.as_mut(), &start);
        }
        let [one, all] =
            engines.map(|mut engine| advanced(engine.as_mut(), Scheme::Nve, 0, &start));
        assert_eq!(one, all);
    }
    check_work_beside(&mut on_host::<f32>(&system, &student, &start), &start);
}

fn check_work_beside(engine: &mut dyn Engine, start: &[Replica]) {
    let program = Scheme::Langevin.program();
    let mut expected = vec![evaluated(engine, start)];
    for steps in [2, 1, 1] {
        expected.push(advanced(engine, Scheme::Langevin, steps, start));
    }
    for (slot, replica) in expected[0].iter().enumerate() {
        engine.put(slot, replica).unwrap();
    }
    let (mut seen, mut now) = (Vec::new(), start.to_vec());
    // The first snapshot is of what was put there and never was on the device.
    for steps in [2, 1, 1] {
        let mut work = |replicas: &[Replica]| {
            seen.push(replicas.to_vec());
            Ok(())
        };
        let waited = engine.advance_while((program, steps), &mut now, &mut work);
        assert!(waited.unwrap() < std::time::Duration::from_secs(60));
    }
    engine.snapshot(&mut now).unwrap();
    seen.push(now.clone());
    for (n, (seen, expected)) in seen.iter().zip(&expected).enumerate() {
        assert!(seen == expected, "snapshot {n}");
    }
    // Work that fails is heard of once the steps are made.
    let fault = engine.advance_while((program, 1), &mut now, &mut |_| Err(Error::run("no room")));
    assert_eq!(fault.unwrap_err().what(), "no room");
    assert!(
        engine
            .advance_while((program, 1), &mut now[1..], &mut |_| Ok(()))
            .is_err()
    );
}

/// Without a network all that remains is f64 arithmetic in a fixed order: the host's, to the bit.
#[test]
fn the_integrator_has_the_bits_of_the_host() {
    gpu_or_skip!();
    let system = system(&[1, 2, 12, 65, 70, 33], 8);
    let mut start = replicas(&system, 5);
    // One flies apart, one is too hot, one is no number.
    start[2].velocities_ang_per_fs[4] = [2.0, 0.0, 0.0];
    start[3].velocities_ang_per_fs[7] = [0.3, -0.2, 0.9];
    start[4].velocities_ang_per_fs[0][1] = f64::NAN;
    let mut hot = (*system).clone();
    hot.temperature_limit_k = 2000.0;
    let hot = Arc::new(hot);
    for terms in [
        vec![Term::HarmonicWell(0.5)],
        vec![Term::HarmonicWell(0.1), Term::HarmonicWell(0.3)],
    ] {
        for scheme in [Scheme::Langevin, Scheme::Nve] {
            let mut host = HostEngine::new(hot.clone(), Nothing, terms.clone(), &start);
            let mut gpu = engine_of(&hot, None, &terms, &start, (usize::MAX, Precision::Single));
            assert_same(&evaluated(&mut gpu, &start), &evaluated(&mut host, &start));
            for steps in [1, 2, 20] {
                let expected = advanced(&mut host, scheme, steps, &start);
                assert_same(&advanced(&mut gpu, scheme, steps, &start), &expected);
            }
        }
    }
}

/// Replicas on all GPUs of the machine, which may be one: the same bits as on the first alone.
#[test]
fn it_does_not_matter_on_which_gpu_a_replica_is() {
    gpu_or_skip!();
    let [student, _] = students();
    let system = system(&[12, 3, 17, 12, 70], 22);
    let start: Vec<Replica> = (0..2).flat_map(|copy| replicas(&system, copy)).collect();
    for precision in PRECISIONS {
        let limits = Limits {
            precision,
            ..Limits::default()
        };
        let gpus = Gpu::open_all(Some(&student)).unwrap();
        println!("{} GPUs", gpus.len());
        let mut all = SeveralGpus::new(gpus, &system, Some(&student), &[], &start, limits).unwrap();
        let mut one = on_gpu(&system, Some(&student), &start, precision);
        assert_eq!(evaluated(&mut all, &start), evaluated(&mut one, &start));
        let expected = advanced(&mut one, Scheme::Langevin, 3, &start);
        assert_eq!(advanced(&mut all, Scheme::Langevin, 3, &start), expected);
        // A slot is where it was, whichever GPU has it.
        all.put(3, &start[8]).unwrap();
        let mut after = start.clone();
        all.snapshot(&mut after).unwrap();
        assert_eq!((&after[3], &after[4]), (&start[8], &expected[4]));
        assert!(all.put(10, &start[0]).is_err() && all.snapshot(&mut after[..3]).is_err());
    }
}

/// Equal to the bit, NaN included.
fn assert_same(a: &[Replica], b: &[Replica]) {
    for (a, b) in a.iter().zip(b) {
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
}

#[test]
fn a_failed_replica_disturbs_nobody() {
    gpu_or_skip!();
    always(a_fault_among_others);
}

fn a_fault_among_others(student: &Student, precision: Precision) {
    let system = system(&[12, 3, 12, 17], 9);
    let start = replicas(&system, 0);
    let mut broken = start.clone();
    broken[0].velocities_ang_per_fs[3] = [3.0, 0.0, 0.0];
    broken[1].positions_ang[2] = broken[1].positions_ang[1];
    let run = |replicas: &[Replica], steps| {
        let mut engine = on_gpu(&system, Some(student), replicas, precision);
        engine.evaluate().unwrap();
        advanced(&mut engine, Scheme::Langevin, steps, replicas)
    };
    let (whole, with_faults) = (run(&start, 8), run(&broken, 8));
    assert_eq!(whole[2..], with_faults[2..]);
    // One fails in a step: it keeps the last good state.
    let failed = &with_faults[0];
    assert!(
        !failed.is_running() && failed.step < 8,
        "{:?}",
        failed.status
    );
    let mut same = run(&broken, failed.step)[0].clone();
    assert!(same.is_running());
    same.status = failed.status;
    assert_eq!(&same, failed);
    // One failed where it stood, and the host says the same of it.
    let mut host = on_host::<f64>(&system, student, &broken);
    assert_eq!(evaluated(&mut host, &broken)[1], with_faults[1]);
    assert!(matches!(
        with_faults[1].status,
        Status::Failed(Fault::TooClose(1, 2, _))
    ));
}

#[test]
fn faults_of_a_geometry_are_those_of_the_host() {
    gpu_or_skip!();
    always(faults_of_a_geometry);
}

fn faults_of_a_geometry(student: &Student, precision: Precision) {
    let system = system(&[2, 12, 12, 40, 3, 3, 100, 90, 128], 10);
    let mut start = replicas(&system, 0);
    start[0].positions_ang[1] = [6.0, 0.0, 0.0];
    for x in &mut start[1].positions_ang[5..] {
        x[2] += 50.0;
    }
    start[2].positions_ang[7][0] = f64::INFINITY;
    start[3].positions_ang[39] = start[3].positions_ang[30].map(|x| x + 0.1);
    start[3].positions_ang[20] = start[3].positions_ang[10].map(|x| x + 0.1);
    start[4].positions_ang[0][1] = f64::NAN;
    for x in &mut start[6].positions_ang[70..] {
        x[2] += 50.0;
    }
    start[7].positions_ang[80] = start[7].positions_ang[10].map(|x| x + 0.1);
    let host = evaluated(&mut on_host::<f64>(&system, student, &start), &start);
    let gpu = evaluated(
        &mut on_gpu(&system, Some(student), &start, precision),
        &start,
    );
    let statuses = |replicas: &[Replica]| replicas.iter().map(|r| r.status).collect::<Vec<_>>();
    assert_eq!(statuses(&gpu), statuses(&host));
    assert_eq!(gpu.iter().filter(|replica| replica.is_running()).count(), 2);
}

#[test]
fn slots_take_and_give_replicas_as_they_are() {
    gpu_or_skip!();
    always(slots_take_and_give);
}

fn slots_take_and_give(student: &Student, precision: Precision) {
    let system = system(&[3, 12, 12], 11);
    let start = replicas(&system, 0);
    let mut engine = on_gpu(&system, Some(student), &start, precision);
    let mut after = start.clone();
    engine.snapshot(&mut after).unwrap();
    assert_eq!(after, start);
    // Another molecule into a slot, then back; a new temperature meanwhile.
    engine.evaluate().unwrap();
    engine.put(0, &start[1]).unwrap();
    let cold = Parameters {
        temperature_k: 10.0,
        ..PARAMETERS
    };
    engine.set_parameters(1, cold);
    engine.put(0, &start[0]).unwrap();
    engine.set_parameters(2, cold);
    let mut expected = start.clone();
    expected[1].parameters = cold;
    expected[2].parameters = cold;
    let mut fresh = on_gpu(&system, Some(student), &expected, precision);
    fresh.evaluate().unwrap();
    engine.evaluate().unwrap();
    let expected = advanced(&mut fresh, Scheme::Langevin, 3, &expected);
    assert_eq!(advanced(&mut engine, Scheme::Langevin, 3, &start), expected);
    assert!(engine.put(3, &start[0]).is_err());
    assert!(engine.snapshot(&mut after[..2]).is_err());
}

/// Without forces in its program a step moves atoms along their velocities, and evaluates nothing.
#[test]
fn a_program_without_forces_evaluates_none() {
    gpu_or_skip!();
    let [student, _] = students();
    let system = system(&[12], 14);
    let start = replicas(&system, 0);
    let mut host = on_host::<f32>(&system, &student, &start);
    let mut expected = start.clone();
    host.evaluate().unwrap();
    host.advance(&[Op::Drift(1.0)], 3).unwrap();
    host.snapshot(&mut expected).unwrap();
    for precision in PRECISIONS {
        let mut gpu = on_gpu(&system, Some(&student), &start, precision);
        let before = evaluated(&mut gpu, &start);
        let mut after = start.clone();
        gpu.advance(&[Op::Drift(1.0)], 3).unwrap();
        gpu.snapshot(&mut after).unwrap();
        for n in 0..after.len() {
            assert_eq!(after[n].positions_ang, expected[n].positions_ang);
            assert_eq!(after[n].forces_ev_per_ang, before[n].forces_ev_per_ang);
            assert_eq!(after[n].step, expected[n].step);
        }
    }
}

#[test]
fn a_scheme_too_long_for_a_launch_is_refused_in_one_line() {
    gpu_or_skip!();
    let system = system(&[2], 13);
    let start = replicas(&system, 0);
    let mut engine = on_gpu(&system, None, &start, Precision::Single);
    let error = engine.advance(&[Op::Drift(0.1); 9], 1).unwrap_err();
    assert!(error.what().contains("9 operators"), "{error}");
    let error = Gpu::open(9, None).err().unwrap();
    assert!(error.what().contains("no GPU 9"), "{error}");
}
