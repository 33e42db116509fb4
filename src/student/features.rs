//! What an atom carries through the network, and the gradients of the energy.

use super::architecture::Architecture;
use super::geometry::Geometry;
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

/// The gradient of the energy by everything that the geometry determines.
#[derive(Clone, Debug)]
pub struct Gradient<T> {
    /// by B                           (P, K)
    pub basis: Vec<T>,
    /// by the unit vectors u          (P, 3)
    pub units: Vec<[T; 3]>,
    /// by the distances, other than through B, eV/Å    (P,)
    pub distances_ev_per_ang: Vec<f64>,
}

impl<T: Real> Gradient<T> {
    /// Room for P pairs and K radial functions.
    pub fn new(pairs: usize, radial: usize) -> Self {
        Self {
            basis: vec![T::ZERO; pairs * radial],
            units: vec![[T::ZERO; 3]; pairs],
            distances_ev_per_ang: vec![0.0; pairs],
        }
    }

    /// Zero, in the shape of a geometry; allocates nothing up to what there was room for.
    pub fn clear(&mut self, geometry: &Geometry<T>) {
        self.basis.clear();
        self.basis.resize(geometry.basis.len(), T::ZERO);
        self.units.clear();
        self.units.resize(geometry.pairs.len(), [T::ZERO; 3]);
        self.distances_ev_per_ang.clear();
        self.distances_ev_per_ang.resize(geometry.pairs.len(), 0.0);
    }
}
