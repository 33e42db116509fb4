//! Filters: what a message lets pass at a distance, B(r) W, and its slope by the distance, B'(r) W.
//!
//! They belong to a pair, whichever of its atoms receives. With the slope at hand, the gradient by a
//! filter becomes one by the distance in a sum over channels, without a way back through B.

use rayon::prelude::*;

use super::geometry::Geometry;
use super::linear::narrow;
use super::product::{Packed, Start};
use super::real::Real;

/// The weights of one message's filters.
#[derive(Clone, Debug)]
pub struct Filter<T> {
    /// W    (K, 3F)
    weight: Packed<T>,
}

/// The filters of P pairs.
#[derive(Clone, Debug)]
pub struct Tape<T> {
    /// B W          (P, 3F)
    pub values: Vec<T>,
    /// B' W, 1/Å    (P, 3F)
    pub slopes: Vec<T>,
}

impl<T: Real> Filter<T> {
    /// A matrix of rows of `outputs` numbers.
    pub fn new(weight: &[f32], outputs: usize) -> Self {
        let weight = Packed::new(&narrow(weight), outputs);
        Self { weight }
    }

    /// A tape for P pairs.
    pub fn tape(&self, pairs: usize) -> Tape<T> {
        let room = pairs * self.weight.columns();
        Tape {
            values: Vec::with_capacity(room),
            slopes: Vec::with_capacity(room),
        }
    }

    /// The filters of all pairs, these shared out over so many threads.
    pub fn forward(&self, tape: &mut Tape<T>, geometry: &Geometry<T>, threads: usize) {
        let pairs = geometry.pairs.len();
        let (inputs, outputs) = (self.weight.rows(), self.weight.columns());
        tape.values.resize(pairs * outputs, T::ZERO);
        tape.slopes.resize(pairs * outputs, T::ZERO);
        let share = pairs.div_ceil(threads).max(1);
        let made = tape.values.par_chunks_mut(share * outputs);
        let made = made.zip(tape.slopes.par_chunks_mut(share * outputs));
        let of = geometry.basis.par_chunks(share * inputs);
        let of = of.zip(geometry.slope.par_chunks(share * inputs));
        made.zip(of).for_each(|((values, slopes), (basis, slope))| {
            self.weight.product(basis, values, Start::Zero);
            self.weight.product(slope, slopes, Start::Zero);
        });
    }
}
