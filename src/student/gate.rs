//! Gates: what an atom receives is scaled, channel by channel, by a table of its element.

use multiversion::multiversion;

use super::format::Student;
use super::linear::narrow;
use super::real::Real;
use super::rows::{row, row_mut};

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

    /// y = g[z] ⊙ x, for one or several rows of C channels an atom. It is its own gradient.
    pub fn apply(&self, species: &[u8], x: &[T], y: &mut [T]) {
        rows::<T, false>(self, species, x, y);
    }

    /// y += g[z] ⊙ x
    pub fn add(&self, species: &[u8], x: &[T], y: &mut [T]) {
        rows::<T, true>(self, species, x, y);
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn rows<T: Real, const ADD: bool>(gate: &Gate<T>, species: &[u8], x: &[T], y: &mut [T]) {
    let channels = gate.channels;
    let rows = x.len() / channels / species.len().max(1);
    for (atom, z) in species.iter().enumerate() {
        let gate = row(&gate.table, usize::from(*z), channels);
        for n in rows * atom..rows * (atom + 1) {
            let (x, y) = (row(x, n, channels), row_mut(y, n, channels));
            for c in 0..channels {
                y[c] = if ADD {
                    gate[c].mul_add(x[c], y[c])
                } else {
                    gate[c] * x[c]
                };
            }
        }
    }
}
