//! Time of one evaluation by one thread and by two, beside which `student_torch.py` prints that of
//! `PyTorch`.
//!
//! `cargo bench --bench student [-- WEIGHTS.safetensors]`; without a file, random weights. The
//! least of many single evaluations is taken: on a shared machine it is the only steady figure.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use mdrun::student::random::SplitMix;
use mdrun::student::{Architecture, Network, Student, Workspace};

fn main() {
    let file = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    let student = match file {
        Some(path) => Student::open(Path::new(&path)).unwrap_or_else(|error| panic!("{error}")),
        None => Student::random(&usual(), 1),
    };
    let network = Network::<f32>::new(&student);
    println!("atoms  pairs  threads  microseconds  evaluations/s");
    for (atoms, elements) in [(12, 2), (21, 3), (50, 4)] {
        let (species, positions_ang) = cloud(atoms, elements);
        let mut forces = vec![[0.0; 3]; atoms];
        for threads in [1, 2] {
            let mut workspace = Workspace::shared(&network, atoms, threads);
            let mut least = f64::INFINITY;
            // Inside the pool, where threads hand work to each other without being woken up.
            rayon::scope(|_| {
                for _ in 0..50_000 / atoms {
                    let start = Instant::now();
                    let positions = black_box(&positions_ang);
                    network.evaluate(&mut workspace, &species, positions, &mut forces);
                    least = least.min(start.elapsed().as_secs_f64());
                }
            });
            let pairs = workspace.pairs();
            println!(
                "{atoms:5}  {pairs:5}  {threads:7}  {:12.1}  {:13.0}",
                1e6 * least,
                1.0 / least
            );
        }
    }
}

/// The sizes of the students that are trained.
fn usual() -> Architecture {
    Architecture {
        elements: 9,
        channels: 128,
        layers: 2,
        radial: 16,
        tensor_channels: 64,
        gates: true,
        norm_epsilon: 1e-2,
        cutoff_ang: 5.0,
        core: false,
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
    let species = (0..atoms).map(|n| (n % usize::from(elements)) as u8);
    (species.collect(), positions_ang)
}
