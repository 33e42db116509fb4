//! First layer: what an atom's surroundings look like, element by element.
//!
//! ```text
//! A0_i[e,k] = Σ_j B_k(r_ij)          q_i = embedding[z_i] + g0[z_i] ⊙ A0_i W0
//! A1_i[e,k] = Σ_j B_k(r_ij) u_ij     v_i = g1[z_i] ⊙ A1_i W1
//! A2_i[e,k] = Σ_j B_k(r_ij) Y(u_ij)  t_i = g2[z_i] ⊙ A2_i W2
//! ```
//!
//! each sum over the neighbours j of element e, Y the five components of the traceless part of
//! u ⊗ u. Before any message the vectors of `PaiNN` (arXiv:2102.03150) are zero and its scalars a
//! table by element, so that its message is linear in B; summing over neighbours first leaves a
//! product an atom instead of one a pair, and lets every element have a filter of its own.

use std::ops::Range;

use multiversion::multiversion;

use super::architecture::Architecture;
use super::block::{Block, LANES};
use super::features::Features;
use super::format::Student;
use super::gate::Gate;
use super::geometry::{Geometry, Slope};
use super::harmonics::{COMPONENTS, harmonics, harmonics_backward};
use super::linear::{Linear, narrow};
use super::real::Real;
use super::rows::{row, row_mut};

/// Densities of one rank: scalars, vectors or tensors.
#[derive(Clone, Debug)]
struct Rank<T> {
    /// its part of the components 1, u and Y
    components: Range<usize>,
    /// W by element           E × (K, C)
    weights: Vec<Linear<T>>,
    /// g                      (E, C)
    gate: Gate<T>,
}

impl<T: Real> Rank<T> {
    fn new(student: &Student, name: &str, components: Range<usize>, channels: usize) -> Self {
        let weights = student.tensor(&format!("density.{name}"));
        let by_element = weights.chunks_exact(student.architecture.radial * channels);
        Self {
            components,
            weights: by_element
                .map(|weight| Linear::unbiased(weight, channels))
                .collect(),
            gate: Gate::new(student, &format!("density.gate_{name}"), channels),
        }
    }

    /// A W from the densities of the elements that occur.
    fn product(&self, elements: &[u8], tape: &mut RankTape<T>) {
        let rows = tape.densities.len() / elements.len();
        let mut weights = elements.iter().map(|e| &self.weights[usize::from(*e)]);
        let mut densities = tape.densities.chunks_exact(rows);
        if let (Some(first), Some(densities)) = (weights.next(), densities.next()) {
            first.forward(densities, &mut tape.products);
        }
        for (weight, densities) in weights.zip(densities) {
            weight.forward_add(densities, &mut tape.products);
        }
    }

    /// The gradient by the densities, in their place.
    fn backward(&self, elements: &[u8], species: &[u8], tape: &mut RankTape<T>, dy: &[T]) {
        // Forward: y += g ⊙ product
        self.gate.apply(species, dy, &mut tape.products);
        // Forward: product = Σ_e A[e] W[e]
        let rows = tape.densities.len() / elements.len();
        for (element, densities) in elements.iter().zip(tape.densities.chunks_exact_mut(rows)) {
            self.weights[usize::from(*element)].backward(&tape.products, densities);
        }
    }
}

/// The weights of the first layer.
#[derive(Clone, Debug)]
pub struct Density<T> {
    /// (E, F)
    embedding: Vec<T>,
    /// scalars, vectors and, if the student has them, tensors
    ranks: Vec<Rank<T>>,
    architecture: Architecture,
}

/// What the first layer keeps of some of the atoms, n of them, for its gradient.
#[derive(Clone, Debug)]
pub struct Tape<T> {
    ranks: Vec<RankTape<T>>,
}

/// What is kept of densities with M components, 1, 3 or 5, by S elements of neighbours.
#[derive(Clone, Debug)]
struct RankTape<T> {
    /// A, or its gradient                    (S, n, M, K)
    densities: Vec<T>,
    /// A W before the gate, or its gradient  (n, M, C)
    products: Vec<T>,
}

impl<T: Real> Density<T> {
    /// Takes the weights of the first layer.
    pub fn new(student: &Student) -> Self {
        let architecture = student.architecture.clone();
        let Architecture {
            channels,
            tensor_channels,
            ..
        } = architecture;
        let mut ranks = vec![
            Rank::new(student, "scalar", 0..1, channels),
            Rank::new(student, "vector", 1..4, channels),
        ];
        if tensor_channels > 0 {
            ranks.push(Rank::new(student, "tensor", 4..COMPONENTS, tensor_channels));
        }
        Self {
            embedding: narrow(student.tensor("embedding")),
            ranks,
            architecture,
        }
    }

    /// A tape for n atoms, and neighbours of up to S elements.
    pub fn tape(&self, atoms: usize, elements: usize) -> Tape<T> {
        let Architecture {
            elements: known,
            radial,
            ..
        } = self.architecture;
        let ranks = self.ranks.iter().map(|rank| {
            let rows = atoms * rank.components.len();
            RankTape {
                densities: Vec::with_capacity(elements.min(known) * rows * radial),
                products: Vec::with_capacity(rows * rank.weights[0].outputs()),
            }
        });
        Tape {
            ranks: ranks.collect(),
        }
    }

    /// The tape in the shape of n atoms, its densities zero; allocates nothing up to its room.
    fn resize(&self, tape: &mut Tape<T>, atoms: usize, elements: usize) {
        for (rank, tape) in self.ranks.iter().zip(&mut tape.ranks) {
            let rows = atoms * rank.components.len();
            tape.densities.clear();
            tape.densities
                .resize(elements * rows * self.architecture.radial, T::ZERO);
            tape.products
                .resize(rows * rank.weights[0].outputs(), T::ZERO);
        }
    }

    /// Writes q, v and t of some atoms.
    pub fn forward(
        &self,
        tape: &mut Tape<T>,
        (geometry, atoms): (&Geometry<T>, &Range<usize>),
        Features { q, v, t }: &mut Features<T>,
    ) {
        let Architecture {
            channels, radial, ..
        } = self.architecture;
        self.resize(tape, atoms.len(), geometry.elements.len());
        for (rank, tape) in self.ranks.iter().zip(&mut tape.ranks) {
            let components = rank.components.clone();
            let of = (geometry, atoms);
            gather((radial, components), of, &mut tape.densities);
            rank.product(&geometry.elements, tape);
        }
        let species = &geometry.species[atoms.clone()];
        for (own, z) in species.iter().enumerate() {
            let embedding = row(&self.embedding, usize::from(*z), channels);
            row_mut(q, own, channels).copy_from_slice(embedding);
        }
        for (n, (rank, tape)) in self.ranks.iter().zip(&tape.ranks).enumerate() {
            match n {
                0 => rank.gate.add(species, &tape.products, q),
                1 => rank.gate.apply(species, &tape.products, v),
                _ => rank.gate.apply(species, &tape.products, t),
            }
        }
    }

    /// Adds to the slopes of what some atoms see those that follow from the gradients by q, v and t.
    pub fn backward(
        &self,
        tape: &mut Tape<T>,
        (geometry, atoms): (&Geometry<T>, &Range<usize>),
        Features {
            q: dq,
            v: dv,
            t: dt,
        }: &Features<T>,
        slopes: &mut [Slope<T>],
    ) {
        let radial = self.architecture.radial;
        let species = &geometry.species[atoms.clone()];
        for ((rank, tape), dy) in self.ranks.iter().zip(&mut tape.ranks).zip([dq, dv, dt]) {
            rank.backward(&geometry.elements, species, tape, dy);
            let components = rank.components.clone();
            let of = (geometry, atoms);
            gather_backward((radial, components), of, &tape.densities, slopes);
        }
    }
}

/// A += the sums over neighbours, for some of the components.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn gather<T: Real>(
    (radial, components): (usize, Range<usize>),
    (geometry, atoms): (&Geometry<T>, &Range<usize>),
    densities: &mut [T],
) {
    let width = components.len() * radial;
    for (own, i) in atoms.clone().enumerate() {
        for neighbour in geometry.neighbours(i) {
            let slot = geometry.slots[neighbour.atom];
            let y = harmonics(neighbour.unit);
            let basis = row(&geometry.basis, neighbour.pair, radial);
            let densities = row_mut(densities, slot * atoms.len() + own, width);
            for (c, density) in components.clone().zip(densities.chunks_exact_mut(radial)) {
                for n in 0..radial / LANES {
                    let sum = Block::load(basis, n).scale_add(y[c], Block::load(density, n));
                    sum.store(density, n);
                }
            }
        }
    }
}

/// The slopes of what some atoms see, from the gradient by A.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn gather_backward<T: Real>(
    (radial, components): (usize, Range<usize>),
    (geometry, atoms): (&Geometry<T>, &Range<usize>),
    d_densities: &[T],
    slopes: &mut [Slope<T>],
) {
    let width = components.len() * radial;
    let mut slopes = slopes.iter_mut();
    for (own, i) in atoms.clone().enumerate() {
        let neighbours = geometry.neighbours(i);
        for (neighbour, slope) in neighbours.iter().zip(&mut slopes) {
            let slot = geometry.slots[neighbour.atom];
            let y = harmonics(neighbour.unit);
            let basis = row(&geometry.basis, neighbour.pair, radial);
            let basis_slope = row(&geometry.slope, neighbour.pair, radial);
            let d = row(d_densities, slot * atoms.len() + own, width);
            let mut dy = [T::ZERO; COMPONENTS];
            let mut dr = Block::ZERO;
            for (c, d) in components.clone().zip(d.chunks_exact(radial)) {
                let mut sum = Block::ZERO;
                for n in 0..radial / LANES {
                    // Forward: A += Y(u) B(r)
                    let d = Block::load(d, n);
                    sum = d.mul_add(Block::load(basis, n), sum);
                    dr = (d * Block::load(basis_slope, n)).scale_add(y[c], dr);
                }
                dy[c] = sum.sum();
            }
            slope.distance += dr.sum();
            let du = harmonics_backward(neighbour.unit, &dy);
            for (sum, du) in slope.unit.iter_mut().zip(du) {
                *sum += du;
            }
        }
    }
}
