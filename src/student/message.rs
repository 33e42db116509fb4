//! Message: what an atom receives from its neighbours (arXiv:2102.03150, eq. 7–8).
//!
//! ```text
//! a, b, c = MLP(q_j) ⊙ (B(r_ij) W)
//! q_i += g[z_i] ⊙ Σ_j a      v_i += h[z_i] ⊙ Σ_j (b u_ij + c ⊙ v_j)
//! ```
//!
//! Every atom puts on a board what it sends, and takes from there what its neighbours sent. In the
//! backward pass it puts up the gradient of what it received, and takes from its neighbours that of
//! what it had sent them. So an atom's rows are written by one thread, and its sums run over its
//! neighbours in ascending order.

#![allow(
    clippy::inline_always,
    reason = "sums must be compiled for the machine they run on"
)]

use std::array;
use std::ops::Range;

use multiversion::multiversion;

use super::block::{Block, LANES};
use super::board::{Board, View};
use super::features::Features;
use super::filter::Filter;
use super::format::Student;
use super::gate::Gate;
use super::geometry::Slope;
use super::perceptron::Perceptron;
use super::real::Real;
use super::rows::{row, row_mut};

/// Blocks of channels whose sums stay in registers together.
const GROUP: usize = 2;

/// The weights of one message.
#[derive(Clone, Debug)]
pub struct Message<T> {
    network: Perceptron<T>,
    filter: Filter<T>,
    /// g    (E, F)
    gate_scalar: Gate<T>,
    /// h    (E, F)
    gate_vector: Gate<T>,
    channels: usize,
}

/// What some of the atoms, n of them, keep of a message for its gradient.
#[derive(Clone, Debug)]
pub struct Tape<T> {
    /// silu' of the hidden units    (n, F)
    slope: Vec<T>,
    /// what each sends, MLP(q)      (n, 3F)
    sent: Vec<T>,
    /// v before the message         (n, 3, F)
    vectors: Vec<T>,
}

/// Intermediate results of n atoms that no gradient needs, shared by all messages.
#[derive(Clone, Debug)]
pub struct Scratch<T> {
    /// hidden units, or their gradient            (n, F)
    hidden: Vec<T>,
    /// Σ a, or its gradient                       (n, F)
    scalars: Vec<T>,
    /// Σ (b u + c ⊙ v), or its gradient           (n, 3, F)
    vectors: Vec<T>,
    /// the gradient of what is sent               (n, 3F)
    d_sent: Vec<T>,
    /// the slopes of one atom's view, not yet summed over the channels of a block: by the distance,
    /// then by the unit vector                    (neighbours,)
    views: Vec<[Block<T>; 4]>,
}

impl<T: Real> Tape<T> {
    /// Puts up what these atoms send.
    pub fn show(&self, atoms: &Range<usize>, board: &mut Board<T>) {
        board.show_sent(atoms, &self.sent, &self.vectors);
    }
}

impl<T: Real> Scratch<T> {
    /// Puts up the gradients of what these atoms received.
    pub fn show(&self, atoms: &Range<usize>, board: &mut Board<T>) {
        board.show_gradients(atoms, &self.scalars, &self.vectors);
    }
}

impl<T: Real> Message<T> {
    /// Takes the weights of message `layer`, counted from 2.
    pub fn new(student: &Student, layer: usize) -> Self {
        let name = format!("message{layer}");
        let channels = student.architecture.channels;
        Self {
            network: Perceptron::new(student, &format!("{name}.phi")),
            filter: Filter::new(student.tensor(&format!("{name}.filter")), 3 * channels),
            gate_scalar: Gate::new(student, &format!("{name}.gate_scalar"), channels),
            gate_vector: Gate::new(student, &format!("{name}.gate_vector"), channels),
            channels,
        }
    }

    /// The filters of the message.
    pub fn filter(&self) -> &Filter<T> {
        &self.filter
    }

    /// A tape for n atoms.
    pub fn tape(&self, atoms: usize) -> Tape<T> {
        let room = |width: usize| Vec::with_capacity(atoms * width * self.channels);
        Tape {
            slope: room(1),
            sent: room(3),
            vectors: room(3),
        }
    }

    /// Scratch for n atoms among N.
    pub fn scratch(channels: usize, atoms: usize, atoms_in_all: usize) -> Scratch<T> {
        let room = |width: usize| Vec::with_capacity(atoms * width * channels);
        Scratch {
            hidden: room(1),
            scalars: room(1),
            vectors: room(3),
            d_sent: room(3),
            views: Vec::with_capacity(atoms_in_all),
        }
    }

    /// The tape and the scratch in the shape of n atoms; allocates nothing up to their room.
    fn resize(&self, tape: &mut Tape<T>, scratch: &mut Scratch<T>, atoms: usize) {
        let resize =
            |x: &mut Vec<T>, width: usize| x.resize(atoms * width * self.channels, T::ZERO);
        resize(&mut tape.slope, 1);
        resize(&mut tape.sent, 3);
        resize(&mut tape.vectors, 3);
        resize(&mut scratch.hidden, 1);
        resize(&mut scratch.scalars, 1);
        resize(&mut scratch.vectors, 3);
        resize(&mut scratch.d_sent, 3);
    }

    /// What some atoms send, from their q and v.
    pub fn send(
        &self,
        tape: &mut Tape<T>,
        scratch: &mut Scratch<T>,
        Features { q, v, .. }: &Features<T>,
    ) {
        self.resize(tape, scratch, q.len() / self.channels);
        let Tape {
            slope,
            sent,
            vectors,
        } = tape;
        self.network.forward(q, slope, &mut scratch.hidden, sent);
        vectors.copy_from_slice(v);
    }

    /// Adds to q and v of some atoms what they receive.
    pub fn receive(
        &self,
        scratch: &mut Scratch<T>,
        view: View<'_, T>,
        Features { q, v, .. }: &mut Features<T>,
    ) {
        gather(self.channels, view, scratch);
        let species = &view.geometry.species[view.atoms.clone()];
        self.gate_scalar.add(species, &scratch.scalars, q);
        self.gate_vector.add(species, &scratch.vectors, v);
    }

    /// The gradients of what some atoms received, in the scratch, from those by their q and v after
    /// the message.
    pub fn receive_backward(
        &self,
        scratch: &mut Scratch<T>,
        species: &[u8],
        Features { q: dq, v: dv, .. }: &Features<T>,
    ) {
        // Forward: q += g ⊙ Σ a, v += h ⊙ Σ (b u + c ⊙ v)
        self.gate_scalar.apply(species, dq, &mut scratch.scalars);
        self.gate_vector.apply(species, dv, &mut scratch.vectors);
    }

    /// Turns the gradients by q and v of some atoms after the message into those before it, and adds
    /// to the slopes of what they see.
    pub fn send_backward(
        &self,
        tape: &mut Tape<T>,
        scratch: &mut Scratch<T>,
        view: View<'_, T>,
        Features { q: dq, v: dv, .. }: &mut Features<T>,
        slopes: &mut [Slope<T>],
    ) {
        gather_backward(self.channels, view, tape, scratch, dv, slopes);
        // Forward: sent = MLP(q)
        self.network
            .backward_add(&scratch.d_sent, &tape.slope, &mut scratch.hidden, dq);
    }
}

/// Σ a and Σ (b u + c ⊙ v) of some atoms.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn gather<T: Real>(f: usize, view: View<'_, T>, scratch: &mut Scratch<T>) {
    for (own, i) in view.atoms.clone().enumerate() {
        let scalars = row_mut(&mut scratch.scalars, own, f);
        let vectors = row_mut(&mut scratch.vectors, own, 3 * f);
        let blocks = f / LANES;
        let grouped = blocks - blocks % GROUP;
        for n in (0..grouped).step_by(GROUP) {
            gather_blocks::<T, GROUP>(f, n, i, view, scalars, vectors);
        }
        for n in grouped..blocks {
            gather_blocks::<T, 1>(f, n, i, view, scalars, vectors);
        }
    }
}

/// Some of the channels of atom i, from block `first` on.
#[inline(always)]
fn gather_blocks<T: Real, const BLOCKS: usize>(
    f: usize,
    first: usize,
    i: usize,
    view: View<'_, T>,
    scalars: &mut [T],
    vectors: &mut [T],
) {
    let blocks = f / LANES;
    let axes: [[usize; 3]; BLOCKS] =
        array::from_fn(|n| [0, 1, 2].map(|part| first + n + part * blocks));
    let mut scalar = [Block::ZERO; BLOCKS];
    let mut vector = [[Block::ZERO; 3]; BLOCKS];
    for neighbour in view.geometry.neighbours(i) {
        let (j, u) = (neighbour.atom, neighbour.unit);
        let filter = row(&view.filters.values, neighbour.pair, 3 * f);
        let sent_j = row(&view.board.sent, j, 3 * f);
        let v_j = row(&view.board.vectors, j, 3 * f);
        for ((scalar, vector), axes) in scalar.iter_mut().zip(&mut vector).zip(&axes) {
            let [na, nb, nc] = *axes;
            *scalar = Block::load(sent_j, na).mul_add(Block::load(filter, na), *scalar);
            let b = Block::load(sent_j, nb) * Block::load(filter, nb);
            let c = Block::load(sent_j, nc) * Block::load(filter, nc);
            for ((sum, n), u) in vector.iter_mut().zip(axes).zip(u) {
                *sum = c.mul_add(Block::load(v_j, *n), b.scale_add(u, *sum));
            }
        }
    }
    for ((scalar, vector), axes) in scalar.into_iter().zip(vector).zip(axes) {
        scalar.store(scalars, axes[0]);
        for (sum, n) in vector.into_iter().zip(axes) {
            sum.store(vectors, n);
        }
    }
}

/// The gradients of what some atoms send and of their v, and the slopes of what they see.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn gather_backward<T: Real>(
    f: usize,
    view: View<'_, T>,
    tape: &Tape<T>,
    scratch: &mut Scratch<T>,
    dv: &mut [T],
    slopes: &mut [Slope<T>],
) {
    let View {
        geometry,
        atoms,
        filters,
        board,
    } = view;
    let blocks = f / LANES;
    let mut slopes = slopes;
    for (own, i) in atoms.clone().enumerate() {
        let neighbours = geometry.neighbours(i);
        let (sent, v) = (row(&tape.sent, own, 3 * f), row(&tape.vectors, own, 3 * f));
        let d_sent = row_mut(&mut scratch.d_sent, own, 3 * f);
        let dv = row_mut(dv, own, 3 * f);
        let views = &mut scratch.views;
        views.clear();
        views.resize(neighbours.len(), [Block::ZERO; 4]);
        for n in 0..blocks {
            let axes = [n, n + blocks, n + 2 * blocks];
            let [na, nb, nc] = axes;
            let [sa, sb, sc] = axes.map(|n| Block::load(sent, n));
            let [vx, vy, vz] = axes.map(|n| Block::load(v, n));
            let [mut d_sa, mut d_sb, mut d_sc] = [Block::ZERO; 3];
            let [mut d_vx, mut d_vy, mut d_vz] = axes.map(|n| Block::load(dv, n));
            for (neighbour, view) in neighbours.iter().zip(&mut *views) {
                let (j, p) = (neighbour.atom, neighbour.pair);
                let filter = row(&filters.values, p, 3 * f);
                let filter_slope = row(&filters.slopes, p, 3 * f);
                let g_scalar = row(&board.d_scalars, j, f);
                let g_vector = row(&board.d_vectors, j, 3 * f);
                let [dr, dx, dy, dz] = view;
                // The neighbour, which receives, sees this atom at −u.
                let [x, y, z] = neighbour.unit;
                let [x, y, z] = [-x, -y, -z];

                // Forward: Σ a += sent_a ⊙ wa
                let ga = Block::load(g_scalar, n);
                d_sa = ga.mul_add(Block::load(filter, na), d_sa);
                *dr = (ga * sa).mul_add(Block::load(filter_slope, na), *dr);

                // Forward: Σ (b u + c ⊙ v) += (sent_b ⊙ wb) u + (sent_c ⊙ wc) ⊙ v
                let [gx, gy, gz] = axes.map(|n| Block::load(g_vector, n));
                let (wb, wc) = (Block::load(filter, nb), Block::load(filter, nc));
                let gb = gz.scale_add(z, gy.scale_add(y, gx * x));
                let gc = gz.mul_add(vz, gy.mul_add(vy, gx * vx));
                d_sb = gb.mul_add(wb, d_sb);
                d_sc = gc.mul_add(wc, d_sc);
                *dr = (gb * sb).mul_add(Block::load(filter_slope, nb), *dr);
                *dr = (gc * sc).mul_add(Block::load(filter_slope, nc), *dr);
                let (b, c) = (-(sb * wb), sc * wc);
                d_vx = gx.mul_add(c, d_vx);
                d_vy = gy.mul_add(c, d_vy);
                d_vz = gz.mul_add(c, d_vz);
                *dx = gx.mul_add(b, *dx);
                *dy = gy.mul_add(b, *dy);
                *dz = gz.mul_add(b, *dz);
            }
            d_sa.store(d_sent, na);
            d_sb.store(d_sent, nb);
            d_sc.store(d_sent, nc);
            d_vx.store(dv, na);
            d_vy.store(dv, nb);
            d_vz.store(dv, nc);
        }
        let (seen, rest) = slopes.split_at_mut(neighbours.len());
        slopes = rest;
        for (slope, view) in seen.iter_mut().zip(&*views) {
            slope.distance += view[0].sum();
            for axis in 0..3 {
                slope.unit[axis] += view[1 + axis].sum();
            }
        }
    }
}
