//! Message: what an atom receives from its neighbours (arXiv:2102.03150, eq. 7–8).
//!
//! ```text
//! a, b, c = MLP(q_j) ⊙ (B(r_ij) W)
//! q_i += g[z_i] ⊙ Σ_j a      v_i += h[z_i] ⊙ Σ_j (b u_ij + c ⊙ v_j)
//! ```
//!
//! The filter B W is the same for both directions of a pair, and the unit vector changes its sign. In the backward pass
//! the gradient of the filter takes the filter's place, so that one product with Wᵀ leads to the
//! gradient of B.

use multiversion::multiversion;

use super::block::{Block, LANES};
use super::features::{Features, Gradient};
use super::format::Student;
use super::gate::Gate;
use super::geometry::Geometry;
use super::linear::Linear;
use super::perceptron::Perceptron;
use super::real::Real;
use super::rows::{row, row_mut, two_rows_mut};

/// The weights of one message.
#[derive(Clone, Debug)]
pub struct Message<T> {
    network: Perceptron<T>,
    filter: Linear<T>,
    /// g    (E, F)
    gate_scalar: Gate<T>,
    /// h    (E, F)
    gate_vector: Gate<T>,
    channels: usize,
}

/// What a message among N atoms in P pairs keeps for its gradient.
#[derive(Clone, Debug)]
pub struct Tape<T> {
    /// silu' of the hidden units                 (N, F)
    slope: Vec<T>,
    /// what each atom sends, MLP(q)              (N, 3F)
    sent: Vec<T>,
    /// v before the message                      (N, 3, F)
    vectors: Vec<T>,
    /// B W; in the backward pass its gradient    (P, 3F)
    filters: Vec<T>,
}

/// Intermediate results that no gradient needs, shared by all messages.
#[derive(Clone, Debug)]
pub struct Scratch<T> {
    /// hidden units, or their gradient    (N, F)
    hidden: Vec<T>,
    /// Σ a, or its gradient               (N, F)
    scalars: Vec<T>,
    /// Σ (b u + c ⊙ v), or its gradient   (N, 3, F)
    vectors: Vec<T>,
    /// the gradient of what is sent       (N, 3F)
    d_sent: Vec<T>,
}

impl<T: Real> Scratch<T> {
    /// For N atoms with F channels.
    pub fn new(channels: usize, atoms: usize) -> Self {
        let zeros = |width: usize| vec![T::ZERO; atoms * width * channels];
        Self {
            hidden: zeros(1),
            scalars: zeros(1),
            vectors: zeros(3),
            d_sent: zeros(3),
        }
    }
}

impl<T: Real> Message<T> {
    /// Takes the weights of message `layer`, counted from 2.
    pub fn new(student: &Student, layer: usize) -> Self {
        let name = format!("message{layer}");
        let channels = student.architecture.channels;
        Self {
            network: Perceptron::new(student, &format!("{name}.phi")),
            filter: Linear::unbiased(student.tensor(&format!("{name}.filter")), 3 * channels),
            gate_scalar: Gate::new(student, &format!("{name}.gate_scalar"), channels),
            gate_vector: Gate::new(student, &format!("{name}.gate_vector"), channels),
            channels,
        }
    }

    /// A tape for N atoms and P pairs.
    pub fn tape(&self, atoms: usize, pairs: usize) -> Tape<T> {
        let zeros = |rows: usize| vec![T::ZERO; rows * self.channels];
        Tape {
            slope: zeros(atoms),
            sent: zeros(3 * atoms),
            vectors: zeros(3 * atoms),
            filters: zeros(3 * pairs),
        }
    }

    /// The tape and the scratch in the shape of a geometry; allocates nothing up to their room.
    fn resize(&self, tape: &mut Tape<T>, scratch: &mut Scratch<T>, geometry: &Geometry<T>) {
        let resize = |x: &mut Vec<T>, rows: usize| x.resize(rows * self.channels, T::ZERO);
        let (atoms, pairs) = (geometry.species.len(), geometry.pairs.len());
        resize(&mut tape.slope, atoms);
        resize(&mut tape.sent, 3 * atoms);
        resize(&mut tape.vectors, 3 * atoms);
        resize(&mut tape.filters, 3 * pairs);
        resize(&mut scratch.hidden, atoms);
        resize(&mut scratch.scalars, atoms);
        resize(&mut scratch.vectors, 3 * atoms);
        resize(&mut scratch.d_sent, 3 * atoms);
    }

    /// Adds to q and v what the atoms receive.
    pub fn forward(
        &self,
        tape: &mut Tape<T>,
        scratch: &mut Scratch<T>,
        geometry: &Geometry<T>,
        Features { q, v, .. }: &mut Features<T>,
    ) {
        self.resize(tape, scratch, geometry);
        let Tape {
            slope,
            sent,
            vectors,
            filters,
        } = tape;
        self.network.forward(q, slope, &mut scratch.hidden, sent);
        self.filter.forward(&geometry.basis, filters);
        vectors.copy_from_slice(v);

        exchange(self.channels, geometry, filters, sent, v, scratch);
        self.gate_scalar.add(&geometry.species, &scratch.scalars, q);
        self.gate_vector.add(&geometry.species, &scratch.vectors, v);
    }

    /// Turns the gradients by q and v after the message into those before it, and adds to those by
    /// B and u.
    pub fn backward(
        &self,
        tape: &mut Tape<T>,
        scratch: &mut Scratch<T>,
        geometry: &Geometry<T>,
        Features { q: dq, v: dv, .. }: &mut Features<T>,
        gradient: &mut Gradient<T>,
    ) {
        self.resize(tape, scratch, geometry);
        // Forward: q += g ⊙ Σ a, v += h ⊙ Σ (b u + c ⊙ v)
        self.gate_scalar
            .apply(&geometry.species, dq, &mut scratch.scalars);
        self.gate_vector
            .apply(&geometry.species, dv, &mut scratch.vectors);
        exchange_backward(
            self.channels,
            geometry,
            tape,
            scratch,
            dv,
            &mut gradient.units,
        );
        // Forward: filters = B W
        self.filter.backward_add(&tape.filters, &mut gradient.basis);
        // Forward: sent = MLP(q)
        self.network
            .backward_add(&scratch.d_sent, &tape.slope, &mut scratch.hidden, dq);
    }
}

/// Σ a and Σ (b u + c ⊙ v), both directions of a pair at once.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn exchange<T: Real>(
    f: usize,
    geometry: &Geometry<T>,
    filters: &[T],
    sent: &[T],
    v: &[T],
    scratch: &mut Scratch<T>,
) {
    let blocks = f / LANES;
    scratch.scalars.fill(T::ZERO);
    scratch.vectors.fill(T::ZERO);
    for (p, &[i, j]) in geometry.pairs.iter().enumerate() {
        let (i, j, u) = (i as usize, j as usize, geometry.units[p]);
        let filter = row(filters, p, 3 * f);
        let (sent_i, sent_j) = (row(sent, i, 3 * f), row(sent, j, 3 * f));
        let (v_i, v_j) = (row(v, i, 3 * f), row(v, j, 3 * f));
        let (scalars_i, scalars_j) = two_rows_mut(&mut scratch.scalars, i, j, f);
        let (vectors_i, vectors_j) = two_rows_mut(&mut scratch.vectors, i, j, 3 * f);
        for n in 0..blocks {
            let (na, nb, nc) = (n, n + blocks, n + 2 * blocks);
            let [wa, wb, wc] = [na, nb, nc].map(|n| Block::load(filter, n));
            // what i receives from j, and j from i
            let a_i = Block::load(sent_j, na).mul_add(wa, Block::load(scalars_i, n));
            let a_j = Block::load(sent_i, na).mul_add(wa, Block::load(scalars_j, n));
            a_i.store(scalars_i, n);
            a_j.store(scalars_j, n);
            let (b_i, b_j) = (Block::load(sent_j, nb) * wb, Block::load(sent_i, nb) * wb);
            let (c_i, c_j) = (Block::load(sent_j, nc) * wc, Block::load(sent_i, nc) * wc);
            for (axis, n) in [na, nb, nc].into_iter().enumerate() {
                let along = b_i.scale_add(u[axis], Block::load(vectors_i, n));
                c_i.mul_add(Block::load(v_j, n), along).store(vectors_i, n);
                let along = b_j.scale_add(-u[axis], Block::load(vectors_j, n));
                c_j.mul_add(Block::load(v_i, n), along).store(vectors_j, n);
            }
        }
    }
}

/// The gradients of the filters, in their place, of what is sent, of v and of u.
///
/// `scratch` holds the gradients of Σ a and Σ (b u + c ⊙ v).
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn exchange_backward<T: Real>(
    f: usize,
    geometry: &Geometry<T>,
    tape: &mut Tape<T>,
    scratch: &mut Scratch<T>,
    dv: &mut [T],
    d_units: &mut [[T; 3]],
) {
    let blocks = f / LANES;
    scratch.d_sent.fill(T::ZERO);
    for (p, &[i, j]) in geometry.pairs.iter().enumerate() {
        let (i, j, u) = (i as usize, j as usize, geometry.units[p]);
        let filter = row_mut(&mut tape.filters, p, 3 * f);
        let (sent_i, sent_j) = (row(&tape.sent, i, 3 * f), row(&tape.sent, j, 3 * f));
        let (v_i, v_j) = (row(&tape.vectors, i, 3 * f), row(&tape.vectors, j, 3 * f));
        let (ds_i, ds_j) = (row(&scratch.scalars, i, f), row(&scratch.scalars, j, f));
        let (dx_i, dx_j) = (
            row(&scratch.vectors, i, 3 * f),
            row(&scratch.vectors, j, 3 * f),
        );
        let (d_sent_i, d_sent_j) = two_rows_mut(&mut scratch.d_sent, i, j, 3 * f);
        let (dv_i, dv_j) = two_rows_mut(dv, i, j, 3 * f);
        let mut du = [Block::ZERO; 3];
        for n in 0..blocks {
            let axes = [n, n + blocks, n + 2 * blocks];
            let [na, nb, nc] = axes;
            let [wa, wb, wc] = axes.map(|n| Block::load(filter, n));

            // Forward: Σ a of i += sent_j ⊙ wa, and with i and j exchanged
            let (ga_i, ga_j) = (Block::load(ds_i, n), Block::load(ds_j, n));
            let dwa = ga_i * Block::load(sent_j, na);
            ga_j.mul_add(Block::load(sent_i, na), dwa).store(filter, na);
            ga_i.mul_add(wa, Block::load(d_sent_j, na))
                .store(d_sent_j, na);
            ga_j.mul_add(wa, Block::load(d_sent_i, na))
                .store(d_sent_i, na);

            // Forward: Σ (b u + c ⊙ v) of i += (sent_j ⊙ wb) u + (sent_j ⊙ wc) ⊙ v_j,
            // and with i and j exchanged and −u
            let (sb_i, sb_j) = (Block::load(sent_i, nb), Block::load(sent_j, nb));
            let (sc_i, sc_j) = (Block::load(sent_i, nc), Block::load(sent_j, nc));
            let (b_i, b_j) = (sb_j * wb, -(sb_i * wb));
            let (c_i, c_j) = (sc_j * wc, sc_i * wc);
            let (mut gb_i, mut gb_j) = (Block::ZERO, Block::ZERO);
            let (mut gc_i, mut gc_j) = (Block::ZERO, Block::ZERO);
            for (axis, n) in axes.into_iter().enumerate() {
                let (g_i, g_j) = (Block::load(dx_i, n), Block::load(dx_j, n));
                gb_i = g_i.scale_add(u[axis], gb_i);
                gb_j = g_j.scale_add(-u[axis], gb_j);
                gc_i = g_i.mul_add(Block::load(v_j, n), gc_i);
                gc_j = g_j.mul_add(Block::load(v_i, n), gc_j);
                du[axis] = g_i.mul_add(b_i, g_j.mul_add(b_j, du[axis]));
                g_i.mul_add(c_i, Block::load(dv_j, n)).store(dv_j, n);
                g_j.mul_add(c_j, Block::load(dv_i, n)).store(dv_i, n);
            }
            gb_j.mul_add(sb_i, gb_i * sb_j).store(filter, nb);
            gc_j.mul_add(sc_i, gc_i * sc_j).store(filter, nc);
            gb_i.mul_add(wb, Block::load(d_sent_j, nb))
                .store(d_sent_j, nb);
            gb_j.mul_add(wb, Block::load(d_sent_i, nb))
                .store(d_sent_i, nb);
            gc_i.mul_add(wc, Block::load(d_sent_j, nc))
                .store(d_sent_j, nc);
            gc_j.mul_add(wc, Block::load(d_sent_i, nc))
                .store(d_sent_i, nc);
        }
        for axis in 0..3 {
            d_units[p][axis] += du[axis].sum();
        }
    }
}
