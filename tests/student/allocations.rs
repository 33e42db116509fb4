//! Evaluating allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::architectures;
use crate::molecules::{Molecule, full, random};
use mdrun::elements::ELEMENTS;
use mdrun::engine::{self, Device, Precision};
use mdrun::integrate::Scheme;
use mdrun::replica::{Parameters, Replica, ReplicaId};
use mdrun::student::{Network, Student, Workspace};
use mdrun::system;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator.
#[allow(unsafe_code, reason = "counting allocations needs an allocator")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of all threads of a pool so far.
fn count(pool: &ThreadPool) -> usize {
    pool.broadcast(|_| COUNT.with(Cell::get)).iter().sum()
}

#[test]
fn evaluating_allocates_nothing_on_any_of_its_threads() {
    for threads in [1, 2] {
        let pool = ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        for architecture in architectures() {
            let network = Network::<f32>::new(&Student::random(&architecture, 1));
            let mut workspace = Workspace::shared(&network, 30, threads);
            let mut forces = vec![[0.0; 3]; 30];
            for atoms in 1..=30 {
                let Molecule {
                    species,
                    positions_ang,
                } = random(atoms, 1);
                let forces = &mut forces[..atoms];
                let before = count(&pool);
                pool.install(|| {
                    network.evaluate(&mut workspace, &species, &positions_ang, forces);
                });
                let count = count(&pool) - before;
                assert_eq!(
                    count, 0,
                    "{architecture:?}, {atoms} atoms, {threads} threads"
                );
            }
        }
    }
}

/// One replica, which two threads share, and five, which they divide; a thread's first work for a
/// call may cost it something, a step must not.
#[test]
fn steps_allocate_nothing() {
    let Molecule {
        species,
        positions_ang,
    } = random(14, 1);
    let student = Student::random(&full(), 1);
    let numbers: Vec<u8> = species
        .iter()
        .map(|z| ELEMENTS[usize::from(*z)].number)
        .collect();
    let system = Arc::new(system::System {
        molecules: vec![system::Molecule {
            name: "cloud".to_owned(),
            masses_amu: vec![12.0; numbers.len()],
            starts_ang: vec![positions_ang.clone()],
            numbers,
            bonds: vec![],
        }],
        seed: 1,
        temperature_limit_k: f64::INFINITY,
    });
    let parameters = Parameters {
        timestep_fs: 0.01,
        temperature_k: 10.0,
        friction_per_fs: 0.01,
    };
    let (device, precision) = (Device::Cpu, Precision::Single);
    // This thread and another one.
    let pool = ThreadPoolBuilder::new().num_threads(2).use_current_thread();
    let pool = pool.build().unwrap();
    for replicas in [1, 5] {
        let replicas: Vec<Replica> = (0..replicas)
            .map(|copy| {
                let id = ReplicaId {
                    molecule: 0,
                    name_hash: 1,
                    temperature: 0,
                    copy,
                };
                Replica::at_rest(id, parameters, positions_ang.clone())
            })
            .collect();
        let mut engine = engine::open(device, precision, &student, &system, &replicas)
            .unwrap()
            .engine;
        let mut of_steps = |steps| {
            let before = count(&pool);
            engine.advance(Scheme::Langevin.program(), steps).unwrap();
            count(&pool) - before
        };
        of_steps(3);
        let (few, many) = (of_steps(2), of_steps(200));
        // Handing out the work of one call.
        assert!(few <= 8 && many <= 8, "{few} in 2 steps, {many} in 200");
        let mut after = replicas.clone();
        engine.snapshot(&mut after).unwrap();
        assert!(
            after.iter().all(|replica| replica.step == 205),
            "{:?}",
            after[0].status
        );
    }
}
