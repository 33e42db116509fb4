//! Time of one evaluation of a student with random weights, for molecules of several sizes.
//!
//! `cargo run --release --example student_speed`

use std::hint::black_box;
use std::time::Instant;

use mdrun::student::random::SplitMix;
use mdrun::student::{Architecture, Network, Student, Workspace};

fn main() {
    let architecture = Architecture {
        elements: 9,
        channels: 128,
        layers: 2,
        radial: 16,
        tensor_channels: 64,
        gates: true,
        norm_epsilon: 1e-2,
        cutoff_ang: 5.0,
    };
    let network = Network::<f32>::new(&Student::random(&architecture, 1));
    let mut workspace = Workspace::new(&network, 50);
    println!("atoms  pairs  microseconds, the least of many evaluations");
    for (atoms, elements) in [(12, 2), (21, 3), (50, 4)] {
        let (species, positions_ang) = cloud(atoms, elements);
        let mut forces = vec![[0.0; 3]; atoms];
        let mut least = f64::INFINITY;
        for _ in 0..50_000 / atoms {
            let start = Instant::now();
            let positions = black_box(&positions_ang);
            network.evaluate(&mut workspace, &species, positions, &mut forces);
            least = least.min(start.elapsed().as_secs_f64());
        }
        println!("{atoms:5}  {:5}  {:8.1}", workspace.pairs(), 1e6 * least);
    }
}

/// Atoms at random places at least 1 Å apart, about as dense as a molecule.
fn cloud(atoms: usize, elements: u8) -> (Vec<u8>, Vec<[f64; 3]>) {
    let mut generator = SplitMix(1);
    let width = 1.1 * (atoms as f64 / 8.0).cbrt();
    let mut positions_ang: Vec<[f64; 3]> = Vec::new();
    while positions_ang.len() < atoms {
        let x = [(); 3].map(|()| width * generator.gaussian());
        let far = |y: &[f64; 3]| (0..3).map(|n| (x[n] - y[n]).powi(2)).sum::<f64>() > 1.0;
        if positions_ang.iter().all(far) {
            positions_ang.push(x);
        }
    }
    (
        (0..atoms)
            .map(|n| (n % usize::from(elements)) as u8)
            .collect(),
        positions_ang,
    )
}
