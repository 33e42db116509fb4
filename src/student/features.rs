//! What an atom carries through the network.

use super::architecture::Architecture;
use super::real::Real;

/// The features of N atoms, or the gradient of the energy by them.
#[derive(Clone, Debug)]
pub struct Features<T> {
    /// scalars                           (N, F)
    pub q: Vec<T>,
    /// vectors                           (N, 3, F)
    pub v: Vec<T>,
    /// tensors of the first layer        (N, 5, T)
    pub t: Vec<T>,
}

impl<T: Real> Features<T> {
    /// Room for N atoms.
    pub fn new(architecture: &Architecture, atoms: usize) -> Self {
        let Architecture {
            channels: f,
            tensor_channels: t,
            ..
        } = *architecture;
        let zeros = |width: usize| vec![T::ZERO; atoms * width];
        Self {
            q: zeros(f),
            v: zeros(3 * f),
            t: zeros(5 * t),
        }
    }

    /// The same for another number of atoms; allocates nothing up to what there was room for.
    pub fn resize(&mut self, architecture: &Architecture, atoms: usize) {
        let Architecture {
            channels: f,
            tensor_channels: t,
            ..
        } = *architecture;
        self.q.resize(atoms * f, T::ZERO);
        self.v.resize(atoms * 3 * f, T::ZERO);
        self.t.resize(atoms * 5 * t, T::ZERO);
    }
}
