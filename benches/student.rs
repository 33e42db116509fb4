//! Time of one evaluation, energy and forces, by one thread and by two: of both built-in students in
//! turn, and how many times cheaper the second is. `student_torch.py` prints that of `PyTorch`.
//!
//! `cargo bench --bench student [-- NAME|WEIGHTS.safetensors …]`
//!
//! Single evaluations of all students alternate, and of each the least time is taken: on a shared
//! machine it is the only steady figure.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use mdrun::error::Result;
use mdrun::structure;
use mdrun::student::{Network, Student, Workspace};

/// Benzene, aspirin, an amine of forty atoms and loratadine.
const MOLECULES: [(&str, &str); 4] = [
    ("benzene", include_str!("../inputs/nve/benzene.xyz")),
    ("aspirin", include_str!("molecules/aspirin.xyz")),
    ("dodecylamine", include_str!("molecules/dodecylamine.xyz")),
    ("loratadine", include_str!("molecules/loratadine.xyz")),
];

/// Evaluations of each student, times the number of atoms.
const ATOM_EVALUATIONS: usize = 50_000;

fn main() -> Result<()> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    names.retain(|argument| !argument.starts_with("--"));
    if names.is_empty() {
        names = ["default", "small"].map(str::to_owned).into();
    }
    let students = names.iter().map(|name| open(name));
    let students = students.collect::<Result<Vec<Student>>>()?;
    let networks: Vec<_> = students.iter().map(Network::<f32>::new).collect();
    println!("molecule      atoms  pairs  threads  student   microseconds  evaluations/s  cheaper");
    for (molecule, text) in MOLECULES {
        let structure = structure::parse(Path::new("molecule.xyz"), text.as_bytes())?.remove(0);
        let atoms = structure.numbers.len();
        let mut forces = vec![[0.0; 3]; atoms];
        for threads in [1, 2] {
            let mut work: Vec<_> = students
                .iter()
                .zip(&networks)
                .map(|(student, network)| {
                    let known = structure.numbers.iter().map(|z| student.species_of(*z));
                    let species: Vec<u8> = known.map(|z| z.expect("a known element")).collect();
                    let workspace = Workspace::shared(network, atoms, threads);
                    (network, species, workspace, f64::INFINITY)
                })
                .collect();
            // Inside the pool, where threads hand work to each other without being woken up.
            rayon::scope(|_| {
                for _ in 0..ATOM_EVALUATIONS / atoms {
                    for (network, species, workspace, least_s) in &mut work {
                        let start = Instant::now();
                        let positions = black_box(&structure.positions_ang);
                        network.evaluate(workspace, species, positions, &mut forces);
                        *least_s = least_s.min(start.elapsed().as_secs_f64());
                    }
                }
            });
            let first_s = work[0].3;
            for (name, (_, _, workspace, least_s)) in names.iter().zip(&work) {
                println!(
                    "{molecule:12}  {atoms:5}  {:5}  {threads:7}  {name:8}  {:12.1}  {:13.0}  {:7.2}",
                    workspace.pairs(),
                    1e6 * least_s,
                    1.0 / least_s,
                    first_s / least_s
                );
            }
        }
    }
    Ok(())
}

/// One that is built in, or a file.
fn open(name: &str) -> Result<Student> {
    let path = Path::new(name);
    if path.is_file() {
        return Student::open(path);
    }
    Student::embedded(name)
}
