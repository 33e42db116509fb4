//! Gates: what an atom receives is scaled, channel by channel, by a table of its element.

use multiversion::multiversion;

use super::format::Student;
use super::linear::narrow;
use super::real::Real;
use super::rows::row;

/// g, one row an element; of ones where the student has no gates.
#[derive(Clone, Debug)]
pub struct Gate<T> {
    /// (E, C)
    table: Vec<T>,
    channels: usize,
}

impl<T: Real> Gate<T> {
    /// The tensor `name` of C channels.
    pub fn new(student: &Student, name: &str, channels: usize) -> Self {
        let table = if student.architecture.gates {
            narrow(student.tensor(name))
        } else {
            vec![T::ONE; student.architecture.elements * channels]
        };
        Self { table, channels }
    }

    /// y = g[z] ⊙ x, for one or several rows of C channels an atom. Also its own gradient.
    pub fn apply(&self, species: &[u8], x: &[T], y: &mut [T]) {
        y.fill(T::ZERO);
        self.add(species, x, y);
    }

    /// y += g[z] ⊙ x
    pub fn add(&self, species: &[u8], x: &[T], y: &mut [T]) {
        add_rows((&self.table, self.channels), species, x, y);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn add_rows<T: Real>((table, channels): (&[T], usize), species: &[u8], x: &[T], y: &mut [T]) {
    if species.is_empty() {
        return;
    }
    let width = x.len() / species.len();
    let atoms = x.chunks_exact(width).zip(y.chunks_exact_mut(width));
    for (z, (x, y)) in species.iter().zip(atoms) {
        let gate = row(table, usize::from(*z), channels);
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            for n in 0..channels {
                y[n] = gate[n].mul_add(x[n], y[n]);
            }
        }
    }
}
