//! The student against what must be true of any force field: forces are the slope of the energy,
//! and turning, moving or renaming a molecule changes nothing.

mod allocations;
mod dispersion;
mod format;
mod golden;
mod molecules;
mod precision;
#[cfg(feature = "reference")]
mod reference;

use mdrun::student::architecture::Architecture;
use mdrun::student::random::SplitMix;
use mdrun::student::real::Real;
use mdrun::student::{Network, Student, Workspace};
use molecules::{Molecule, full, norm, pressed, random, small};

/// Energy and forces by a network of its own.
fn evaluate<T: Real>(network: &Network<T>, molecule: &Molecule) -> (f64, Vec<[f64; 3]>) {
    let atoms = molecule.species.len();
    let mut workspace = Workspace::new(network, atoms);
    let mut forces = vec![[f64::NAN; 3]; atoms];
    let Molecule {
        species,
        positions_ang,
    } = molecule;
    let energy = network.evaluate(&mut workspace, species, positions_ang, &mut forces);
    (energy, forces)
}

/// The expected error of its forces, in a workspace that has been used for the forces themselves.
fn force_error<T: Real>(network: &Network<T>, molecule: &Molecule) -> Option<f64> {
    let mut workspace = Workspace::new(network, 0);
    let Molecule {
        species,
        positions_ang,
    } = molecule;
    let before = network.force_error(&mut workspace, species, positions_ang);
    let mut forces = vec![[f64::NAN; 3]; species.len()];
    network.evaluate(&mut workspace, species, positions_ang, &mut forces);
    let after = network.force_error(&mut workspace, species, positions_ang);
    assert_eq!(before.map(f64::to_bits), after.map(f64::to_bits));
    after
}

fn network<T: Real>(architecture: &Architecture, seed: u64) -> Network<T> {
    Network::new(&Student::random(architecture, seed))
}

/// Every option once.
fn architectures() -> Vec<Architecture> {
    let small = small();
    vec![
        small.clone(),
        Architecture {
            tensor_channels: 0,
            ..small.clone()
        },
        Architecture {
            gates: false,
            ..small.clone()
        },
        Architecture {
            layers: 3,
            radial: 32,
            channels: 48,
            tensor_channels: 5,
            ..small.clone()
        },
        Architecture {
            core: true,
            ..small.clone()
        },
        Architecture {
            dispersion: true,
            ..small
        },
    ]
}

/// What a GPU runs in place of a student that has no kernels of its own size: sums with more zeros in
/// them, in f64, where the rest is the order in which channels are added up.
#[test]
fn a_student_with_more_channels_of_zeros_says_the_same() {
    let shipped = Student::embedded("small").unwrap();
    let random_students = architectures();
    let random_students = random_students.iter().zip(0..);
    let students = random_students.map(|(architecture, seed)| Student::random(architecture, seed));
    for student in students.chain([shipped]) {
        let wide = student.widened(64, 32);
        let shapes = wide.architecture.tensors();
        assert!(shapes.contains(&("update1.hidden.weight".into(), vec![160, 64])));
        let networks = [&student, &wide].map(Network::<f64>::new);
        for atoms in [1, 2, 9, 24] {
            let molecule = random(atoms, 21);
            let (energy, forces) = evaluate(&networks[0], &molecule);
            let (wide_energy, wide_forces) = evaluate(&networks[1], &molecule);
            let bound = 1e-12 * (1.0 + norm(&forces)) * student.architecture.channels as f64;
            let errors = [
                (energy - wide_energy).abs(),
                largest_difference(&forces, &wide_forces),
            ];
            assert!(
                errors.iter().all(|error| *error < bound),
                "{atoms} atoms: {errors:?}, bound {bound:e}"
            );
        }
    }
}

#[test]
fn forces_are_the_slope_of_the_energy() {
    for (seed, architecture) in architectures().iter().enumerate() {
        let network = network::<f64>(architecture, seed as u64);
        let molecules = [2, 3, 5, 12, 21].map(|atoms| random(atoms, seed as u64));
        // Only a core keeps the network tame where atoms are pressed together.
        let close = [2, 3, 5, 12].map(|atoms| pressed(atoms, seed as u64));
        let close = close.into_iter().filter(|_| architecture.core);
        for molecule in molecules.into_iter().chain(close) {
            let atoms = molecule.species.len();
            let (_, forces) = evaluate(&network, &molecule);
            let scale = norm(&forces) / (3.0 * atoms as f64).sqrt();
            let mut generator = SplitMix(7);
            for _ in 0..6 {
                // Along a random direction: one number that all forces enter.
                let direction: Vec<[f64; 3]> = (0..atoms)
                    .map(|_| [(); 3].map(|()| generator.gaussian()))
                    .collect();
                let at = |step: f64| {
                    let mut moved = molecule.clone();
                    for (x, d) in moved.positions_ang.iter_mut().zip(&direction) {
                        *x = [0, 1, 2].map(|axis| x[axis] + step * d[axis]);
                    }
                    evaluate(&network, &moved).0
                };
                // Random networks of three layers are rough: their fifth derivative sets the step,
                // and rounding of E over h leaves 1e-7 of the force.
                let h = 2e-6;
                let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
                let work: f64 = forces
                    .iter()
                    .zip(&direction)
                    .map(|(f, d)| f[0] * d[0] + f[1] * d[1] + f[2] * d[2])
                    .sum();
                let error = (slope + work).abs() / (scale * (3.0 * atoms as f64).sqrt());
                assert!(
                    error < 1e-6,
                    "{architecture:?}, {atoms} atoms: {slope} {work}"
                );
            }
        }
    }
}

/// A proper rotation about an axis without symmetry.
fn turned(x: &[f64; 3]) -> [f64; 3] {
    let ((s, c), (t, d)) = (1.1_f64.sin_cos(), 0.7_f64.sin_cos());
    let x = [c * x[0] - s * x[1], s * x[0] + c * x[1], x[2]];
    [x[0], d * x[1] - t * x[2], t * x[1] + d * x[2]]
}

#[test]
fn turning_the_molecule_turns_the_forces() {
    for (seed, architecture) in architectures().iter().enumerate() {
        let network = network::<f64>(architecture, seed as u64);
        let molecule = random(14, seed as u64);
        let positions_ang = molecule.positions_ang.iter().map(turned).collect();
        let (energy, forces) = evaluate(&network, &molecule);
        let (energy_turned, forces_turned) = evaluate(
            &network,
            &Molecule {
                positions_ang,
                ..molecule
            },
        );
        assert!((energy - energy_turned).abs() < 1e-11 * norm(&forces));
        let back: Vec<_> = forces.iter().map(turned).collect();
        assert!(largest_difference(&back, &forces_turned) < 1e-11 * norm(&forces));
    }
}

#[test]
fn moving_the_molecule_changes_nothing() {
    let network = network::<f32>(&full(), 3);
    let molecule = random(14, 3);
    let (energy, forces) = evaluate(&network, &molecule);
    // 2^10 Å: an exact sum for coordinates of up to 2^-42 Å resolution, as f64 differences are then.
    let positions_ang = molecule
        .positions_ang
        .iter()
        .map(|x| x.map(|x| (x * 2_f64.powi(40)).round() / 2_f64.powi(40)))
        .collect::<Vec<_>>();
    let rounded = Molecule {
        positions_ang,
        ..molecule
    };
    let moved = Molecule {
        positions_ang: rounded
            .positions_ang
            .iter()
            .map(|x| x.map(|x| x + 1024.0))
            .collect(),
        ..rounded.clone()
    };
    assert_eq!(evaluate(&network, &rounded), evaluate(&network, &moved));
    let (energy_rounded, _) = evaluate(&network, &rounded);
    assert!((energy - energy_rounded).abs() < 1e-5 * norm(&forces));
}

#[test]
fn exchanging_equal_atoms_exchanges_their_forces() {
    let network = network::<f64>(&small(), 5);
    let molecule = random(17, 5);
    let (energy, forces) = evaluate(&network, &molecule);
    let order: Vec<usize> = (0..17).map(|n| (5 * n + 3) % 17).collect();
    let permuted = Molecule {
        species: order.iter().map(|n| molecule.species[*n]).collect(),
        positions_ang: order.iter().map(|n| molecule.positions_ang[*n]).collect(),
    };
    let (energy_permuted, forces_permuted) = evaluate(&network, &permuted);
    let expected: Vec<_> = order.iter().map(|n| forces[*n]).collect();
    assert!((energy - energy_permuted).abs() < 1e-11 * norm(&forces));
    assert!(largest_difference(&expected, &forces_permuted) < 1e-11 * norm(&forces));
}

#[test]
fn forces_add_up_to_zero() {
    for atoms in [2, 3, 12, 40, 65] {
        let (_, forces) = evaluate(&network::<f32>(&full(), 8), &random(atoms, 8));
        let total: [f64; 3] = [0, 1, 2].map(|axis| forces.iter().map(|f| f[axis]).sum());
        let size: f64 = forces.iter().flatten().map(|f| f.abs()).sum();
        assert!(norm(&[total]) < 1e-6 * size);
    }
}

#[test]
fn the_energy_is_smooth_where_an_atom_leaves_the_cutoff() {
    let network = network::<f64>(&small(), 2);
    let mut molecule = random(8, 2);
    molecule.species.push(3);
    molecule.positions_ang.push([0.0; 3]);
    // An atom that goes away along x passes the cut-off of one atom after the other; the second
    // difference of the force is of order h² wherever B is C2 with a bounded third derivative.
    let at = |x: f64| {
        let mut moved = molecule.clone();
        moved.positions_ang[8] = [x, 0.1, 0.2];
        evaluate(&network, &moved).1[8][0]
    };
    let h = 1e-4;
    let (mut x, mut worst) = (4.0, 0.0_f64);
    while x < 9.0 {
        worst = worst.max((at(x + h) - 2.0 * at(x) + at(x - h)).abs());
        x += 0.003;
    }
    let size = at(4.0).abs().max(at(5.0).abs());
    assert!(worst < 1e3 * h * h * size, "{worst} of {size}");
}

#[test]
fn the_energy_is_smooth_where_two_atoms_reach_their_covalent_distance() {
    for core in [false, true] {
        let network = network::<f64>(&Architecture { core, ..small() }, 2);
        // Carbon and oxygen, r_s = 1.42 Å: the third derivative of the energy may jump there, so
        // that the second difference of the force stays of order h².
        let at = |r: f64| {
            let molecule = Molecule {
                species: vec![1, 3],
                positions_ang: vec![[0.0; 3], [0.6 * r, 0.0, 0.8 * r]],
            };
            let (energy, forces) = evaluate(&network, &molecule);
            (energy, 0.6 * forces[1][0] + 0.8 * forces[1][2])
        };
        let (r, h) = (1.42, 1e-4);
        let size = at(1.3).1.abs();
        for n in -20..=20 {
            let r = r + 0.25 * h * f64::from(n);
            let bend = at(r + h).1 - 2.0 * at(r).1 + at(r - h).1;
            assert!(bend.abs() < 1e3 * h * h * size, "{bend} of {size} at {r}");
        }
        let across = at(r + 1e-9).0 - at(r - 1e-9).0;
        assert!((across + 2e-9 * at(r).1).abs() < 1e-12 * (1.0 + size));
    }
}

#[test]
fn a_core_leaves_the_repulsion_alone_where_atoms_meet() {
    let student = |core| Student::random(&Architecture { core, ..small() }, 9);
    let (plain, with_core) = (student(false), student(true));
    let at = |student: &Student, r: f64| {
        let molecule = Molecule {
            species: vec![1, 3],
            positions_ang: vec![[0.0; 3], [r, 0.0, 0.0]],
        };
        evaluate(&Network::<f64>::new(student), &molecule)
    };
    // Beyond the covalent distance a core changes no bit, inside it does.
    assert_eq!(at(&with_core, 1.421), at(&plain, 1.421));
    assert_ne!(at(&with_core, 1.419), at(&plain, 1.419));
    // What the network adds to the repulsion of two atoms goes with B as r³ to what it says of two
    // lone atoms; the repulsion k z z/r is the same for any weights.
    let other = Student::random(
        &Architecture {
            core: true,
            ..small()
        },
        10,
    );
    let lone = |student: &Student| at(student, 6.0).0;
    for r in [1e-2, 1e-3] {
        let (a, b) = (
            at(&with_core, r).0 - lone(&with_core),
            at(&other, r).0 - lone(&other),
        );
        // B < 10 k (r/r_s)² · r at k ≤ 16, through weights of order one: some tens.
        assert!(
            (a - b).abs() < 1e3 * r.powi(3) + 1e-12 * a,
            "{a} {b} at {r}"
        );
    }
}

#[test]
fn lone_atoms_and_far_atoms_feel_nothing() {
    let student = Student::random(&small(), 4);
    let network = Network::<f64>::new(&student);
    let one = |species| Molecule {
        species: vec![species],
        positions_ang: vec![[1.0, 2.0, 3.0]],
    };
    let (energy_of_carbon, forces) = evaluate(&network, &one(1));
    assert_eq!(forces, [[0.0; 3]]);
    let (energy_of_oxygen, _) = evaluate(&network, &one(3));
    let apart = Molecule {
        species: vec![1, 3],
        positions_ang: vec![[0.0; 3], [0.0, 5.0 + 1e-9, 0.0]],
    };
    let (energy, forces) = evaluate(&network, &apart);
    assert_eq!(forces, [[0.0; 3]; 2]);
    assert!((energy - energy_of_carbon - energy_of_oxygen).abs() < 1e-12);
    let nothing = Molecule {
        species: vec![],
        positions_ang: vec![],
    };
    assert!(evaluate(&network, &nothing).0.abs() < f64::MIN_POSITIVE);
}

#[test]
fn every_size_works_and_a_workspace_remembers_nothing() {
    let network = network::<f32>(&small(), 6);
    let mut workspace = Workspace::new(&network, 65);
    for atoms in (1..=65).chain((1..=65).rev()) {
        let molecule = random(atoms, 6);
        let mut forces = vec![[0.0; 3]; atoms];
        let Molecule {
            species,
            positions_ang,
        } = &molecule;
        let energy = network.evaluate(&mut workspace, species, positions_ang, &mut forces);
        assert_eq!((energy, forces), evaluate(&network, &molecule));
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for architecture in architectures() {
        let network = network::<f32>(&architecture, 7);
        for threads in [2, 3, 5] {
            let mut workspace = Workspace::shared(&network, 21, threads);
            for atoms in [0, 1, 2, 3, 7, 12, 20, 21, 40] {
                let molecule = random(atoms, 7);
                let mut forces = vec![[0.0; 3]; atoms];
                let Molecule {
                    species,
                    positions_ang,
                } = &molecule;
                let energy = network.evaluate(&mut workspace, species, positions_ang, &mut forces);
                assert_eq!(
                    (energy, forces),
                    evaluate(&network, &molecule),
                    "{atoms} atoms"
                );
                let error = network.force_error(&mut workspace, species, positions_ang);
                assert_eq!(error, force_error(&network, &molecule));
            }
        }
    }
}

#[test]
fn what_is_not_a_number_is_seen_in_the_energy() {
    for architecture in architectures() {
        let network = network::<f32>(&architecture, 6);
        let mut molecule = random(6, 6);
        molecule.positions_ang[2][1] = f64::NAN;
        assert!(evaluate(&network, &molecule).0.is_nan());
        molecule.positions_ang[2] = molecule.positions_ang[1];
        assert!(evaluate(&network, &molecule).0.is_nan());
    }
}

/// NaN where one of the numbers is.
fn largest_difference(a: &[[f64; 3]], b: &[[f64; 3]]) -> f64 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    let worse = |worst: f64, x: f64| if x <= worst { worst } else { x };
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, worse)
}
