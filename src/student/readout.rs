//! Readout: a number from the scalars of an atom, silu(q W₁ + b₁) · w₂ + b₂; their sum is the energy.
//!
//! Of the H hidden units the energy has F/2.
//! One output is a dot product of our own, not a matrix product: a product one column wide is cut
//! into blocks that depend on the number of atoms.

use super::activation::{silu, silu_backward};
use super::format::Student;
use super::linear::{Linear, narrow};
use super::real::Real;

/// The weights of the readout.
#[derive(Clone, Debug)]
pub struct Readout<T> {
    hidden: Linear<T>,
    /// w₂    (H,)
    weight: Vec<T>,
    /// b₂
    bias: f64,
}

/// What the readout of N atoms keeps for its gradient.
#[derive(Clone, Debug)]
pub struct Tape<T> {
    /// silu' of the hidden units                   (N, H)
    slope: Vec<T>,
    /// hidden units; afterwards their gradient     (N, H)
    hidden: Vec<T>,
}

impl<T: Real> Readout<T> {
    /// Takes the weights called `name`.
    pub fn new(student: &Student, name: &str) -> Self {
        Self {
            hidden: Linear::dense(student, &format!("{name}.hidden")),
            weight: narrow(student.tensor(&format!("{name}.out.weight"))),
            bias: f64::from(student.tensor(&format!("{name}.out.bias"))[0]),
        }
    }

    /// A tape for N atoms.
    pub fn tape(&self, atoms: usize) -> Tape<T> {
        let room = atoms * self.weight.len();
        Tape {
            slope: Vec::with_capacity(room),
            hidden: Vec::with_capacity(room),
        }
    }

    /// The output of every atom, in f64.
    pub fn atoms(&self, tape: &mut Tape<T>, q: &[T]) -> impl Iterator<Item = f64> {
        let width = self.weight.len();
        let room = q.len() / self.hidden.inputs() * width;
        tape.slope.resize(room, T::ZERO);
        tape.hidden.resize(room, T::ZERO);
        self.hidden.forward(q, &mut tape.slope);
        silu(&mut tape.slope, &mut tape.hidden);
        let atoms = tape.hidden.chunks_exact(width);
        atoms.map(|hidden| dot(hidden, &self.weight) + self.bias)
    }

    /// The gradient by q.
    pub fn backward(&self, tape: &mut Tape<T>, dq: &mut [T]) {
        // Forward: E = h · w₂ + b₂
        for d_hidden in tape.hidden.chunks_exact_mut(self.weight.len()) {
            d_hidden.copy_from_slice(&self.weight);
        }
        // Forward: h = silu(q W₁ + b₁)
        silu_backward(&tape.slope, &mut tape.hidden);
        self.hidden.backward(&tape.hidden, dq);
    }
}

/// x · y in f64.
fn dot<T: Real>(x: &[T], y: &[T]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x.widen() * y.widen()).sum()
}
