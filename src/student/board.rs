//! The board: what the atoms of a molecule show each other in a message.
//!
//! Each thread puts up the rows of its own atoms and then reads those of all. Between the two stands
//! a point where all wait (`network`), so that nobody reads what is still being written.

use std::ops::Range;

use super::filter;
use super::geometry::Geometry;
use super::real::Real;

/// Some of the atoms, and what they see of all.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    /// The molecule.
    pub geometry: &'a Geometry<T>,
    /// Which of its atoms these are.
    pub atoms: &'a Range<usize>,
    /// What the message lets pass.
    pub filters: &'a filter::Tape<T>,
    /// What all atoms show.
    pub board: &'a Board<T>,
}

/// What all N atoms of a molecule show each other, shared by all messages.
#[derive(Clone, Debug)]
pub struct Board<T> {
    /// what each sends                        (N, 3F)
    pub sent: Vec<T>,
    /// v before the message                   (N, 3, F)
    pub vectors: Vec<T>,
    /// the gradient of Σ a                    (N, F)
    pub d_scalars: Vec<T>,
    /// the gradient of Σ (b u + c ⊙ v)        (N, 3, F)
    pub d_vectors: Vec<T>,
}

impl<T: Real> Board<T> {
    /// Room for N atoms with F channels.
    pub fn new(channels: usize, atoms: usize) -> Self {
        let room = |width: usize| Vec::with_capacity(atoms * width * channels);
        Self {
            sent: room(3),
            vectors: room(3),
            d_scalars: room(1),
            d_vectors: room(3),
        }
    }

    /// In the shape of N atoms; allocates nothing up to its room.
    pub fn resize(&mut self, channels: usize, atoms: usize) {
        let resize = |x: &mut Vec<T>, width: usize| x.resize(atoms * width * channels, T::ZERO);
        resize(&mut self.sent, 3);
        resize(&mut self.vectors, 3);
        resize(&mut self.d_scalars, 1);
        resize(&mut self.d_vectors, 3);
    }

    /// Puts up what some atoms send, and their v.
    pub fn show_sent(&mut self, atoms: &Range<usize>, sent: &[T], vectors: &[T]) {
        put(&mut self.sent, atoms, sent);
        put(&mut self.vectors, atoms, vectors);
    }

    /// Puts up the gradients of what some atoms received.
    pub fn show_gradients(&mut self, atoms: &Range<usize>, d_scalars: &[T], d_vectors: &[T]) {
        put(&mut self.d_scalars, atoms, d_scalars);
        put(&mut self.d_vectors, atoms, d_vectors);
    }
}

fn put<T: Real>(board: &mut [T], atoms: &Range<usize>, rows: &[T]) {
    if !atoms.is_empty() {
        board[rows.len() / atoms.len() * atoms.start..][..rows.len()].copy_from_slice(rows);
    }
}
