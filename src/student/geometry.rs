//! What the network sees of a molecule: the pairs within the cut-off, and every atom's neighbours.
//!
//! Everything that depends on the distance alone is the same for both directions of a pair, so
//! radial functions and filters are made once a pair; only the unit vector changes its sign. An
//! atom has its neighbours in ascending order, so that any sum over them has the same order
//! whichever thread does it.
//!
//! Differences are taken in f64: a coordinate of 10⁴ Å leaves f32 no digits for a bond.

use std::ops::Range;

use super::radial::Radial;
use super::real::Real;

/// N atoms in P pairs.
#[derive(Clone, Debug)]
pub struct Geometry<T> {
    /// elements, as indices into the student's list    (N,)
    pub species: Vec<u8>,
    /// the elements that occur                         (S,)
    pub elements: Vec<u8>,
    /// where among them each atom's element is         (N,)
    pub slots: Vec<usize>,
    /// the neighbours of all atoms, one after another  (2P,)
    neighbours: Vec<Neighbour<T>>,
    /// where those of each atom begin, and the end     (N + 1,)
    starts: Vec<usize>,
    /// i and j, with i < j; ascending in i, then in j  (P, 2)
    pub pairs: Vec<[u32; 2]>,
    /// their distance r, Å                             (P,)
    pub distances_ang: Vec<f64>,
    /// where B begins to fade, Å, of students with a core only    (P,)
    pub cores_ang: Vec<f64>,
    /// u, of length one, from i to j                   (P, 3)
    directions: Vec<[f64; 3]>,
    /// B(r)                                            (P, K)
    pub basis: Vec<T>,
    /// B'(r), 1/Å                                      (P, K)
    pub slope: Vec<T>,
}

/// One atom as another sees it.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour<T> {
    /// Which atom.
    pub atom: usize,
    /// Which pair the two are.
    pub pair: usize,
    /// u, of length one, from the atom that sees to the one that is seen.
    pub unit: [T; 3],
}

/// The energy's derivatives by what one atom sees of another.
#[derive(Clone, Copy, Debug)]
pub struct Slope<T> {
    /// by the distance, eV/Å
    pub distance: T,
    /// by the unit vector, eV
    pub unit: [T; 3],
}

impl<T: Real> Slope<T> {
    /// None at all.
    pub const ZERO: Self = Self {
        distance: T::ZERO,
        unit: [T::ZERO; 3],
    };
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
            elements: Vec::with_capacity(atoms),
            slots: Vec::with_capacity(atoms),
            neighbours: Vec::with_capacity(2 * pairs),
            starts: Vec::with_capacity(atoms + 1),
            pairs: Vec::with_capacity(pairs),
            distances_ang: Vec::with_capacity(pairs),
            cores_ang: Vec::with_capacity(pairs),
            directions: Vec::with_capacity(pairs),
            basis: Vec::with_capacity(pairs * radial),
            slope: Vec::with_capacity(pairs * radial),
        }
    }

    /// Looks at a molecule.
    pub fn read(&mut self, radial: &Radial, species: &[u8], positions_ang: &[[f64; 3]]) {
        self.find_elements(species);
        self.find_pairs(positions_ang, radial.cutoff_ang);
        self.find_neighbours();
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

    /// The number of atoms.
    pub fn atoms(&self) -> usize {
        self.species.len()
    }

    /// What an atom sees, in ascending order.
    pub fn neighbours(&self, atom: usize) -> &[Neighbour<T>] {
        &self.neighbours[self.starts[atom]..self.starts[atom + 1]]
    }

    /// How many neighbours some atoms in a row have together.
    pub fn neighbours_of(&self, atoms: &Range<usize>) -> usize {
        self.starts[atoms.end] - self.starts[atoms.start]
    }

    fn find_elements(&mut self, species: &[u8]) {
        self.species.clear();
        self.species.extend_from_slice(species);
        self.elements.clear();
        self.slots.clear();
        for element in species {
            let slot = self.elements.iter().position(|known| known == element);
            self.slots.push(slot.unwrap_or(self.elements.len()));
            if slot.is_none() {
                self.elements.push(*element);
            }
        }
    }

    fn find_pairs(&mut self, positions_ang: &[[f64; 3]], cutoff_ang: f64) {
        self.pairs.clear();
        self.distances_ang.clear();
        self.directions.clear();
        for (i, a) in positions_ang.iter().enumerate() {
            for (j, b) in positions_ang.iter().enumerate().skip(i + 1) {
                let d = [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
                let r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                // Not `r2 < …`: a position that is not a number must show in the energy.
                if r2 >= cutoff_ang * cutoff_ang {
                    continue;
                }
                let r = r2.sqrt();
                self.pairs.push([i as u32, j as u32]);
                self.distances_ang.push(r);
                self.directions.push(d.map(|x| x / r));
            }
        }
    }

    /// Both directions of every pair, sorted by the atom that sees.
    fn find_neighbours(&mut self) {
        let nobody = Neighbour {
            atom: 0,
            pair: 0,
            unit: [T::ZERO; 3],
        };
        self.neighbours.clear();
        self.neighbours.resize(2 * self.pairs.len(), nobody);
        // Counts, one place up; their sums are where each atom's neighbours begin.
        self.starts.clear();
        self.starts.resize(self.atoms() + 1, 0);
        for atom in self.pairs.iter().flatten() {
            self.starts[*atom as usize + 1] += 1;
        }
        for atom in 1..self.starts.len() {
            self.starts[atom] += self.starts[atom - 1];
        }
        // While they are filled, each start moves on to its end, which is the next one's start.
        for (pair, ([i, j], u)) in self.pairs.iter().zip(&self.directions).enumerate() {
            let (i, j) = (*i as usize, *j as usize);
            for (from, to, u) in [(i, j, *u), (j, i, u.map(|x| -x))] {
                self.neighbours[self.starts[from]] = Neighbour {
                    atom: to,
                    pair,
                    unit: u.map(T::narrow),
                };
                self.starts[from] += 1;
            }
        }
        self.starts.rotate_right(1);
        self.starts[0] = 0;
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

    /// Adds the forces that follow from the slopes of what each atom sees: of the neighbours of the
    /// first atom, then of those of the second, and so on    (2P,)
    pub fn forces(
        &self,
        slopes: impl Iterator<Item = Slope<T>>,
        forces_ev_per_ang: &mut [[f64; 3]],
    ) {
        let atoms = (0..self.atoms()).flat_map(|i| self.neighbours(i).iter().map(move |n| (i, n)));
        for ((i, neighbour), slope) in atoms.zip(slopes) {
            let u = self.direction(i, neighbour);
            let du = slope.unit.map(T::widen);
            let along = du[0] * u[0] + du[1] * u[1] + du[2] * u[2];
            let (dr, r) = (slope.distance.widen(), self.distances_ang[neighbour.pair]);
            for axis in 0..3 {
                // Forward: d = x_j − x_i, r = |d|, u = d/r; so ∇r = u and ∇u = (1 − u⊗u)/r
                let dd = dr * u[axis] + (du[axis] - along * u[axis]) / r;
                forces_ev_per_ang[i][axis] += dd;
                forces_ev_per_ang[neighbour.atom][axis] -= dd;
            }
        }
    }

    /// Adds the forces that follow from a slope by the distance of one pair, eV/Å.
    pub fn pair_force(
        &self,
        pair: usize,
        slope_ev_per_ang: f64,
        forces_ev_per_ang: &mut [[f64; 3]],
    ) {
        let [i, j] = self.pairs[pair].map(|atom| atom as usize);
        for (axis, u) in self.directions[pair].iter().enumerate() {
            // Forward: d = x_j − x_i, r = |d|; so ∇r = u
            let dd = slope_ev_per_ang * u;
            forces_ev_per_ang[i][axis] += dd;
            forces_ev_per_ang[j][axis] -= dd;
        }
    }

    /// u in f64, from an atom to its neighbour.
    fn direction(&self, from: usize, to: &Neighbour<T>) -> [f64; 3] {
        let u = self.directions[to.pair];
        if from < to.atom { u } else { u.map(|x| -x) }
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
    }

    #[test]
    fn every_atom_sees_its_neighbours_in_order_and_itself_in_their_place_mirrored() {
        let positions = [[0.0; 3], [4.0, 0.0, 0.0], [0.0, 2.0, 0.0], [9.0, 0.0, 0.0]];
        let mut geometry = Geometry::<f64>::new(4, 16);
        // Twice: nothing is left of the molecule before.
        for _ in 0..2 {
            geometry.read(&RADIAL, &[3, 1, 3, 1], &positions);
            let seen = |i: usize| geometry.neighbours(i).iter();
            let atoms = [0, 1, 2, 3].map(|i| seen(i).map(|n| n.atom).collect::<Vec<_>>());
            assert_eq!(atoms, [vec![1, 2], vec![0, 2], vec![0, 1], vec![]]);
            assert_eq!(geometry.neighbours_of(&(1..4)), 4);
            for i in 0..4 {
                for there in seen(i) {
                    let back = seen(there.atom).find(|n| n.atom == i).unwrap();
                    assert_eq!(there.pair, back.pair);
                    assert_eq!(there.unit, back.unit.map(|u| -u));
                    let r = geometry.distances_ang[there.pair];
                    for (axis, u) in there.unit.iter().enumerate() {
                        let d = positions[there.atom][axis] - positions[i][axis];
                        assert!((r * u - d).abs() < 1e-15 * r);
                    }
                }
            }
            assert_eq!(
                (&*geometry.elements, &*geometry.slots),
                (&[3, 1][..], &[0, 1, 0, 1][..])
            );
        }
    }

    #[test]
    fn a_position_that_is_not_a_number_is_not_dropped() {
        let mut geometry = Geometry::<f32>::new(2, 16);
        geometry.read(&RADIAL, &[0; 2], &[[0.0; 3], [f64::NAN, 0.0, 0.0]]);
        assert_eq!(geometry.pairs.len(), 1);
        assert!(geometry.basis.iter().all(|b| b.is_nan()));
        assert!(geometry.neighbours(0)[0].unit.iter().all(|u| u.is_nan()));
    }
}
