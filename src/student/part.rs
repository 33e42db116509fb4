//! A part of a molecule: some of its atoms in a row, whose rows one thread computes.
//!
//! How a molecule is cut changes no number: an atom's row never depends on the rows beside it.

use std::ops::Range;

use super::architecture::Architecture;
use super::density;
use super::features::Features;
use super::geometry::{Geometry, Slope};
use super::message;
use super::readout;
use super::real::Real;
use super::update;

/// What one thread reads and writes of n atoms.
#[derive(Clone, Debug)]
pub struct Part<T> {
    /// Which atoms of the molecule these are.
    pub atoms: Range<usize>,
    /// q, v and t.
    pub features: Features<T>,
    /// The energy's gradient by them.
    pub d_features: Features<T>,
    pub density: density::Tape<T>,
    /// of layers 2 … L                                 (L − 1,)
    pub messages: Vec<message::Tape<T>>,
    /// (L,)
    pub updates: Vec<update::Tape<T>>,
    pub readout: readout::Tape<T>,
    pub message_scratch: message::Scratch<T>,
    pub update_scratch: update::Scratch<T>,
    /// A number an atom, from the readout.             (n,)
    pub outputs: Vec<f64>,
    /// of what the atoms see, one atom after another   (their neighbours,)
    pub slopes: Vec<Slope<T>>,
}

impl<T: Real> Part<T> {
    /// Takes some atoms of a molecule; allocates nothing up to the room there is.
    pub fn take(
        &mut self,
        architecture: &Architecture,
        geometry: &Geometry<T>,
        atoms: Range<usize>,
    ) {
        self.features.resize(architecture, atoms.len());
        self.d_features.resize(architecture, atoms.len());
        self.outputs.clear();
        self.slopes.clear();
        self.slopes
            .resize(geometry.neighbours_of(&atoms), Slope::ZERO);
        self.atoms = atoms;
    }
}

/// Which atoms are in each of some parts, about as many in each.
pub fn shares(atoms: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    (0..parts).map(move |part| atoms * part / parts..atoms * (part + 1) / parts)
}
