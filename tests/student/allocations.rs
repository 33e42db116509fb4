//! Evaluating allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::architectures;
use crate::molecules::{Molecule, random};
use mdrun::student::{Network, Student, Workspace};

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

#[test]
fn evaluating_allocates_nothing_on_any_of_its_threads() {
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        let count = || {
            pool.broadcast(|_| COUNT.with(Cell::get))
                .iter()
                .sum::<usize>()
        };
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
                let before = count();
                let nothing = count() - before;
                let before = count();
                pool.install(|| {
                    network.evaluate(&mut workspace, &species, &positions_ang, forces);
                });
                let count = count() - before;
                assert_eq!(
                    count, nothing,
                    "{architecture:?}, {atoms} atoms, {threads} threads"
                );
            }
        }
    }
}
