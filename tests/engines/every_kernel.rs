//! Batches that between them launch every kernel there is, for the vendor's checkers to watch (`tools/gpu_check`).

use std::collections::BTreeSet;
use std::io::Write;

use mdrun::engine::{Engine, Precision};
use mdrun::integrate::Scheme;
use mdrun::replica::Replica;
use mdrun::student::Student;

use crate::molecules::{replicas, system};
use crate::{Gpu, on_gpu, students};

/// Each as small as it can be: a checker takes very much longer.
#[test]
fn every_kernel_is_launched() {
    gpu_or_skip!();
    for student in students() {
        let gpu = Gpu::open(0, Some(&student)).unwrap();
        let blocks = gpu.multiprocessors as u32;
        // A product has blocks of 64 columns and of as many rows, up to 128, as still give each multiprocessor four of them.
        // Of so many atoms the vectors' product, 3 rows an atom and 256 or 128 columns wide, has 128 rows a block, and
        // the narrowest 32.
        let wide = student.architecture.channels > 64;
        let atoms = blocks * if wide { 45 } else { 90 };
        let batches = [
            // Of two atoms each, so that a block of messages has several rows with neighbours.
            (Precision::Single, 2, atoms.div_ceil(2)),
            (Precision::Single, 12, 1),
            // Few molecules of up to 16 atoms are for clusters, where there are any, one a multiprocessor for blocks.
            (Precision::Mixed, 12, 1),
            (Precision::Mixed, 12, blocks),
            (Precision::Mixed, 21, 1),
            (Precision::Mixed, 40, 1),
            (Precision::Mixed, 63, 1),
            (Precision::Mixed, 65, 1),
        ];
        let launched: BTreeSet<_> = batches
            .into_iter()
            .flat_map(|(precision, size, copies)| launched_by(&student, precision, size, copies))
            .collect();
        assert_eq!(launched, gpu.kernel_names().collect());
    }
}

/// The kernels of two steps of so many copies of a molecule of so many atoms.
fn launched_by(
    student: &Student,
    precision: Precision,
    size: usize,
    copies: u32,
) -> Vec<&'static str> {
    let system = system(&[size], 31);
    let start: Vec<_> = (0..copies)
        .flat_map(|copy| replicas(&system, copy))
        .collect();
    let mut engine = on_gpu(&system, Some(student), &start, precision);
    engine.evaluate().unwrap();
    let stages = engine.profile(Scheme::Langevin.program(), 2).unwrap();
    let mut after = start.clone();
    engine.snapshot(&mut after).unwrap();
    assert!(after.iter().all(Replica::is_running));
    stages.into_iter().map(|stage| stage.kernel).collect()
}
