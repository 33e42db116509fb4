//! What the network sees of a molecule: the pairs within the cut-off, each once.
//!
//! Everything that depends on the distance alone is the same for both directions of a pair, so
//! radial functions and filters are made once a pair and used twice; only the unit vector changes
//! its sign. Pairs i < j are in ascending order of i, then of j: whatever is added up over them
//! reaches each atom in ascending order of its partners.
//!
//! Differences are taken in f64: a coordinate of 10⁴ Å leaves f32 no digits for a bond.

use super::features::Gradient;
use super::radial::Radial;
use super::real::Real;

/// N atoms in P pairs.
#[derive(Clone, Debug)]
pub struct Geometry<T> {
    /// elements, as indices into the student's list    (N,)
    pub species: Vec<u8>,
    /// i and j, with i < j                             (P, 2)
    pub pairs: Vec<[u32; 2]>,
    /// their distance r, Å                            (P,)
    pub distances_ang: Vec<f64>,
    /// where B begins to fade, Å, of students with a core only    (P,)
    pub cores_ang: Vec<f64>,
    /// u, of length one, from i to j                  (P, 3)
    pub directions: Vec<[f64; 3]>,
    /// u in the numbers of the network                 (P, 3)
    pub units: Vec<[T; 3]>,
    /// B(r)                                            (P, K)
    pub basis: Vec<T>,
    /// B'(r), 1/Å                                      (P, K)
    pub slope: Vec<T>,
}

/// The number of pairs if all atoms see each other.
pub fn pairs_max(atoms: usize) -> usize {
    atoms * atoms.saturating_sub(1) / 2
}

impl<T: Real> Geometry<T> {
    /// Room for N atoms and all their pairs.
    pub fn new(atoms: usize, radial: usize) -> Self {
        let pairs = pairs_max(atoms);
        Self {
            species: Vec::with_capacity(atoms),
            pairs: Vec::with_capacity(pairs),
            distances_ang: Vec::with_capacity(pairs),
            cores_ang: Vec::with_capacity(pairs),
            directions: Vec::with_capacity(pairs),
            units: Vec::with_capacity(pairs),
            basis: Vec::with_capacity(pairs * radial),
            slope: Vec::with_capacity(pairs * radial),
        }
    }

    /// Looks at a molecule.
    pub fn read(&mut self, radial: &Radial, species: &[u8], positions_ang: &[[f64; 3]]) {
        self.species.clear();
        self.species.extend_from_slice(species);
        self.find_pairs(positions_ang, radial.cutoff_ang);
        self.find_cores(radial);
        self.basis.resize(self.pairs.len() * radial.count, T::ZERO);
        self.slope.resize(self.pairs.len() * radial.count, T::ZERO);
        radial.forward(
            &self.distances_ang,
            &self.cores_ang,
            &mut self.basis,
            &mut self.slope,
        );
    }

    fn find_cores(&mut self, radial: &Radial) {
        self.cores_ang.clear();
        if let Some(core) = &radial.core {
            let species = |atom: u32| self.species[atom as usize];
            let pairs = self.pairs.iter();
            let cores = pairs.map(|&[i, j]| core.of(species(i), species(j)));
            self.cores_ang.extend(cores);
        }
    }

    fn find_pairs(&mut self, positions_ang: &[[f64; 3]], cutoff_ang: f64) {
        self.pairs.clear();
        self.distances_ang.clear();
        self.directions.clear();
        self.units.clear();
        for (i, a) in positions_ang.iter().enumerate() {
            for (j, b) in positions_ang.iter().enumerate().skip(i + 1) {
                let d = [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
                let r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                // Not `r2 < …`: a position that is not a number must show in the energy.
                if r2 >= cutoff_ang * cutoff_ang {
                    continue;
                }
                let r = r2.sqrt();
                let u = d.map(|x| x / r);
                self.pairs.push([i as u32, j as u32]);
                self.distances_ang.push(r);
                self.directions.push(u);
                self.units.push(u.map(T::narrow));
            }
        }
    }

    /// Adds the forces that follow from a gradient by distances, radial functions and directions.
    pub fn forces(
        &self,
        radial: &Radial,
        gradient: &Gradient<T>,
        forces_ev_per_ang: &mut [[f64; 3]],
    ) {
        for (p, &[i, j]) in self.pairs.iter().enumerate() {
            let u = self.directions[p];
            let du = gradient.units[p].map(T::widen);
            let dr =
                gradient.distances_ev_per_ang[p] + radial.backward(p, &gradient.basis, &self.slope);
            let along = du[0] * u[0] + du[1] * u[1] + du[2] * u[2];
            for axis in 0..3 {
                // Forward: d = x_j − x_i, r = |d|, u = d/r; so ∇r = u and ∇u = (1 − u⊗u)/r
                let dd = dr * u[axis] + (du[axis] - along * u[axis]) / self.distances_ang[p];
                forces_ev_per_ang[i as usize][axis] += dd;
                forces_ev_per_ang[j as usize][axis] -= dd;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact results are meant")]
mod tests {
    use super::*;

    const RADIAL: Radial = Radial {
        cutoff_ang: 5.0,
        count: 16,
        core: None,
    };

    #[test]
    fn pairs_are_found_once_in_order_and_only_within_the_cutoff() {
        let positions = [[0.0; 3], [4.0, 0.0, 0.0], [0.0, 3.0, 0.0], [1e4, 0.0, 0.0]];
        let mut geometry = Geometry::<f32>::new(4, 16);
        geometry.read(&RADIAL, &[0; 4], &positions);
        assert_eq!(geometry.pairs, [[0, 1], [0, 2]]);
        assert_eq!(geometry.distances_ang, [4.0, 3.0]);
        assert_eq!(geometry.units[1], [0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_position_that_is_not_a_number_is_not_dropped() {
        let mut geometry = Geometry::<f32>::new(2, 16);
        geometry.read(&RADIAL, &[0; 2], &[[0.0; 3], [f64::NAN, 0.0, 0.0]]);
        assert_eq!(geometry.pairs.len(), 1);
        assert!(geometry.basis.iter().all(|b| b.is_nan()));
    }
}
