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
use super::features::{Features, Gradient};
use super::format::Student;
use super::gate::Gate;
use super::geometry::Geometry;
use super::harmonics::{COMPONENTS, PARITY, harmonics, harmonics_backward};
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

/// What the first layer keeps of N atoms for its gradient.
#[derive(Clone, Debug)]
pub struct Tape<T> {
    /// the elements that occur                    (S,)
    elements: Vec<u8>,
    /// where among them each atom's element is    (N,)
    slots: Vec<usize>,
    ranks: Vec<RankTape<T>>,
}

/// What is kept of densities with M components: 1, 3 or 5.
#[derive(Clone, Debug)]
struct RankTape<T> {
    /// A, or its gradient                         (S, N, M, K)
    densities: Vec<T>,
    /// A W before the gate, or its gradient       (N, M, C)
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

    /// A tape for N atoms of any elements.
    pub fn tape(&self, atoms: usize) -> Tape<T> {
        let Architecture {
            elements, radial, ..
        } = self.architecture;
        let ranks = self.ranks.iter().map(|rank| {
            let rows = atoms * rank.components.len();
            RankTape {
                densities: Vec::with_capacity(elements.min(atoms) * rows * radial),
                products: Vec::with_capacity(rows * rank.weights[0].outputs()),
            }
        });
        Tape {
            elements: Vec::with_capacity(elements),
            slots: Vec::with_capacity(atoms),
            ranks: ranks.collect(),
        }
    }

    /// The tape in the shape of a molecule, its densities zero; allocates nothing up to its room.
    fn resize(&self, tape: &mut Tape<T>, species: &[u8]) {
        tape.elements.clear();
        tape.slots.clear();
        for element in species {
            let slot = tape.elements.iter().position(|known| known == element);
            tape.slots.push(slot.unwrap_or(tape.elements.len()));
            if slot.is_none() {
                tape.elements.push(*element);
            }
        }
        for (rank, tape_of_rank) in self.ranks.iter().zip(&mut tape.ranks) {
            let rows = species.len() * rank.components.len();
            let densities = tape.elements.len() * rows * self.architecture.radial;
            tape_of_rank.densities.clear();
            tape_of_rank.densities.resize(densities, T::ZERO);
            tape_of_rank
                .products
                .resize(rows * rank.weights[0].outputs(), T::ZERO);
        }
    }

    /// Writes q, v and t.
    pub fn forward(
        &self,
        tape: &mut Tape<T>,
        geometry: &Geometry<T>,
        Features { q, v, t }: &mut Features<T>,
    ) {
        let Architecture {
            channels, radial, ..
        } = self.architecture;
        self.resize(tape, &geometry.species);
        for (rank, tape_of_rank) in self.ranks.iter().zip(&mut tape.ranks) {
            let components = rank.components.clone();
            gather(
                (radial, components),
                geometry,
                &tape.slots,
                &mut tape_of_rank.densities,
            );
            rank.product(&tape.elements, tape_of_rank);
        }
        for (atom, z) in geometry.species.iter().enumerate() {
            let embedding = row(&self.embedding, usize::from(*z), channels);
            row_mut(q, atom, channels).copy_from_slice(embedding);
        }
        for (n, (rank, tape_of_rank)) in self.ranks.iter().zip(&tape.ranks).enumerate() {
            let products = &tape_of_rank.products;
            match n {
                0 => rank.gate.add(&geometry.species, products, q),
                1 => rank.gate.apply(&geometry.species, products, v),
                _ => rank.gate.apply(&geometry.species, products, t),
            }
        }
    }

    /// Adds to the gradients by B and u those that follow from the gradients by q, v and t.
    pub fn backward(
        &self,
        tape: &mut Tape<T>,
        geometry: &Geometry<T>,
        Features {
            q: dq,
            v: dv,
            t: dt,
        }: &Features<T>,
        gradient: &mut Gradient<T>,
    ) {
        let radial = self.architecture.radial;
        for ((rank, tape_of_rank), dy) in self.ranks.iter().zip(&mut tape.ranks).zip([dq, dv, dt]) {
            rank.backward(&tape.elements, &geometry.species, tape_of_rank, dy);
            let components = rank.components.clone();
            scatter(
                (radial, components),
                geometry,
                &tape.slots,
                &tape_of_rank.densities,
                gradient,
            );
        }
    }
}

/// A += the sums over neighbours, for some of the components.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn gather<T: Real>(
    (radial, components): (usize, Range<usize>),
    geometry: &Geometry<T>,
    slots: &[usize],
    densities: &mut [T],
) {
    let (atoms, width) = (slots.len(), components.len() * radial);
    for (p, &[i, j]) in geometry.pairs.iter().enumerate() {
        let (i, j) = (i as usize, j as usize);
        let y = harmonics(geometry.units[p]);
        let basis = row(&geometry.basis, p, radial);
        for (receiver, sender, back) in [(i, j, false), (j, i, true)] {
            let densities = row_mut(densities, slots[sender] * atoms + receiver, width);
            for (c, density) in components.clone().zip(densities.chunks_exact_mut(radial)) {
                let y = if back {
                    y[c] * T::narrow(PARITY[c])
                } else {
                    y[c]
                };
                for n in 0..radial / LANES {
                    let sum = Block::load(basis, n).scale_add(y, Block::load(density, n));
                    sum.store(density, n);
                }
            }
        }
    }
}

/// The gradients by B and u from that by A.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn scatter<T: Real>(
    (radial, components): (usize, Range<usize>),
    geometry: &Geometry<T>,
    slots: &[usize],
    d_densities: &[T],
    gradient: &mut Gradient<T>,
) {
    let (atoms, width) = (slots.len(), components.len() * radial);
    for (p, &[i, j]) in geometry.pairs.iter().enumerate() {
        let (i, j) = (i as usize, j as usize);
        let unit = geometry.units[p];
        let y = harmonics(unit);
        let basis = row(&geometry.basis, p, radial);
        let d_basis = row_mut(&mut gradient.basis, p, radial);
        let there = row(d_densities, slots[j] * atoms + i, width).chunks_exact(radial);
        let back = row(d_densities, slots[i] * atoms + j, width).chunks_exact(radial);
        let mut dy = [T::ZERO; COMPONENTS];
        for (c, (there, back)) in components.clone().zip(there.zip(back)) {
            let mut sum = Block::ZERO;
            for n in 0..radial / LANES {
                // Forward: A_i += Y(u) B and A_j += Y(−u) B
                let parity = T::narrow(PARITY[c]);
                let d = Block::load(back, n).scale_add(parity, Block::load(there, n));
                d.scale_add(y[c], Block::load(d_basis, n)).store(d_basis, n);
                sum = d.mul_add(Block::load(basis, n), sum);
            }
            dy[c] = sum.sum();
        }
        let du = harmonics_backward(unit, &dy);
        for (sum, du) in gradient.units[p].iter_mut().zip(du) {
            *sum += du;
        }
    }
}
