//! Update: an atom's scalars and vectors are mixed with each other (arXiv:2102.03150, eq. 9–10).
//!
//! ```text
//! U, V = v W      a, c, b = MLP(q, |V|, |t|)      q += a + c ⊙ (U·V)      v += b ⊙ U
//! ```
//!
//! |x| is √(x·x + ε); the norms |t| of the first layer's tensors enter the first update only. The
//! last update has no b: nothing reads its vectors.

use multiversion::multiversion;

use super::architecture::Architecture;
use super::features::Features;
use super::format::Student;
use super::linear::Linear;
use super::perceptron::Perceptron;
use super::real::Real;
use super::rows::{row, row_mut};

/// The weights of one update.
#[derive(Clone, Debug)]
pub struct Update<T> {
    mix: Linear<T>,
    network: Perceptron<T>,
    channels: usize,
    /// How many |t| the network reads: T in the first update, none in the others.
    tensors: usize,
    /// ε
    norm_epsilon: T,
    last: bool,
}

/// What an update of N atoms keeps for its gradient.
#[derive(Clone, Debug)]
pub struct Tape<T> {
    /// U and V; in the backward pass their gradient    (N, 3, 2F)
    mixed: Vec<T>,
    /// q, |V| and |t|                                  (N, 2F + T)
    inputs: Vec<T>,
    /// silu' of the hidden units                       (N, F)
    slope: Vec<T>,
    /// U·V                                             (N, F)
    dot: Vec<T>,
    /// a, c and b                                      (N, 3F or 2F)
    outputs: Vec<T>,
}

/// Intermediate results that no gradient needs, shared by all updates.
#[derive(Clone, Debug)]
pub struct Scratch<T> {
    /// hidden units, or their gradient        (N, F)
    hidden: Vec<T>,
    /// the gradient of q, |V| and |t|         (N, 2F + T)
    d_inputs: Vec<T>,
    /// the gradient of a, c and b             (N, 3F)
    d_outputs: Vec<T>,
}

impl<T: Real> Scratch<T> {
    /// For N atoms and any update of a student.
    pub fn new(architecture: &Architecture, atoms: usize) -> Self {
        let Architecture {
            channels: f,
            tensor_channels: t,
            ..
        } = *architecture;
        let zeros = |width: usize| vec![T::ZERO; atoms * width];
        Self {
            hidden: zeros(f),
            d_inputs: zeros(2 * f + t),
            d_outputs: zeros(3 * f),
        }
    }
}

impl<T: Real> Update<T> {
    /// Takes the weights of update `layer`, counted from 1.
    pub fn new(student: &Student, layer: usize) -> Self {
        let Architecture {
            channels,
            layers,
            tensor_channels,
            ..
        } = student.architecture;
        let name = format!("update{layer}");
        Self {
            mix: Linear::unbiased(student.tensor(&format!("{name}.mix")), 2 * channels),
            network: Perceptron::new(student, &name),
            channels,
            tensors: if layer == 1 { tensor_channels } else { 0 },
            norm_epsilon: T::narrow(student.architecture.norm_epsilon),
            last: layer == layers,
        }
    }

    /// A tape for N atoms.
    pub fn tape(&self, atoms: usize) -> Tape<T> {
        let zeros = |width: usize| vec![T::ZERO; atoms * width];
        Tape {
            mixed: zeros(6 * self.channels),
            inputs: zeros(self.network.inputs()),
            slope: zeros(self.network.hidden()),
            dot: zeros(self.channels),
            outputs: zeros(self.network.outputs()),
        }
    }

    /// The tape and the scratch in the shape of N atoms; allocates nothing up to their room.
    fn resize(&self, tape: &mut Tape<T>, scratch: &mut Scratch<T>, atoms: usize) {
        let resize = |x: &mut Vec<T>, width: usize| x.resize(atoms * width, T::ZERO);
        resize(&mut tape.mixed, 6 * self.channels);
        resize(&mut tape.inputs, self.network.inputs());
        resize(&mut tape.slope, self.network.hidden());
        resize(&mut tape.dot, self.channels);
        resize(&mut tape.outputs, self.network.outputs());
        resize(&mut scratch.hidden, self.network.hidden());
        resize(&mut scratch.d_inputs, self.network.inputs());
        resize(&mut scratch.d_outputs, self.network.outputs());
    }

    /// Updates q and v; reads t.
    pub fn forward(
        &self,
        tape: &mut Tape<T>,
        scratch: &mut Scratch<T>,
        Features { q, v, t }: &mut Features<T>,
    ) {
        let &Self {
            channels: f,
            tensors,
            norm_epsilon,
            last,
            ..
        } = self;
        self.resize(tape, scratch, q.len() / f);
        let Tape {
            mixed,
            inputs,
            slope,
            dot,
            outputs,
        } = tape;

        self.mix.forward(v, mixed);
        invariants((f, tensors, norm_epsilon), q, mixed, inputs, dot);
        if tensors > 0 {
            tensor_norms((f, tensors, norm_epsilon), t, inputs);
        }
        self.network
            .forward(inputs, slope, &mut scratch.hidden, outputs);
        apply((f, last), outputs, dot, mixed, q, v);
    }

    /// Turns the gradients by q and v after the update into those by q, v and t before it.
    ///
    /// At the last update the gradient by v is not read: nothing depends on those vectors.
    pub fn backward(
        &self,
        tape: &mut Tape<T>,
        scratch: &mut Scratch<T>,
        t: &[T],
        Features {
            q: dq,
            v: dv,
            t: dt,
        }: &mut Features<T>,
    ) {
        let &Self {
            channels: f,
            tensors,
            last,
            ..
        } = self;
        self.resize(tape, scratch, dq.len() / f);
        let Tape {
            mixed,
            inputs,
            slope,
            dot,
            outputs,
        } = tape;
        let Scratch {
            hidden,
            d_inputs,
            d_outputs,
        } = scratch;

        apply_backward((f, last), dq, dv, dot, mixed, d_outputs);
        self.network.backward(d_outputs, slope, hidden, d_inputs);
        if tensors > 0 {
            tensor_norms_backward((f, tensors), inputs, d_inputs, t, dt);
        }
        invariants_backward((f, tensors, last), dq, dv, outputs, inputs, d_inputs, mixed);
        // Forward: U, V = v W
        if last {
            self.mix.backward(mixed, dv);
        } else {
            self.mix.backward_add(mixed, dv);
        }
    }
}

/// The network's inputs q and |V|, and U·V.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn invariants<T: Real>(
    (f, tensors, norm_epsilon): (usize, usize, T),
    q: &[T],
    mixed: &[T],
    inputs: &mut [T],
    dot: &mut [T],
) {
    for (atom, inputs) in inputs.chunks_exact_mut(2 * f + tensors).enumerate() {
        let (scalars, norms) = inputs[..2 * f].split_at_mut(f);
        let dot = row_mut(dot, atom, f);
        scalars.copy_from_slice(row(q, atom, f));
        norms.fill(norm_epsilon);
        dot.fill(T::ZERO);
        for axis in row(mixed, atom, 6 * f).chunks_exact(2 * f) {
            let (u, v) = axis.split_at(f);
            for n in 0..f {
                dot[n] = u[n].mul_add(v[n], dot[n]);
                norms[n] = v[n].mul_add(v[n], norms[n]);
            }
        }
        for norm in norms {
            *norm = norm.sqrt();
        }
    }
}

/// The network's inputs |t|.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn tensor_norms<T: Real>((f, tensors, norm_epsilon): (usize, usize, T), t: &[T], inputs: &mut [T]) {
    for (inputs, t) in inputs
        .chunks_exact_mut(2 * f + tensors)
        .zip(t.chunks_exact(5 * tensors))
    {
        let norms = &mut inputs[2 * f..];
        norms.fill(norm_epsilon);
        for component in t.chunks_exact(tensors) {
            for (norm, t) in norms.iter_mut().zip(component) {
                *norm = t.mul_add(*t, *norm);
            }
        }
        for norm in norms {
            *norm = norm.sqrt();
        }
    }
}

/// q += a + c ⊙ (U·V), v += b ⊙ U
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn apply<T: Real>(
    (f, last): (usize, bool),
    outputs: &[T],
    dot: &[T],
    mixed: &[T],
    q: &mut [T],
    v: &mut [T],
) {
    let width = if last { 2 * f } else { 3 * f };
    for (atom, (q, dot)) in q.chunks_exact_mut(f).zip(dot.chunks_exact(f)).enumerate() {
        let (a, rest) = row(outputs, atom, width).split_at(f);
        let (c, b) = rest.split_at(f);
        for n in 0..f {
            q[n] += c[n].mul_add(dot[n], a[n]);
        }
        if last {
            continue;
        }
        for axis in 3 * atom..3 * atom + 3 {
            let u = &row(mixed, axis, 2 * f)[..f];
            let v = row_mut(v, axis, f);
            for n in 0..f {
                v[n] = b[n].mul_add(u[n], v[n]);
            }
        }
    }
}

/// The gradient of a, c and b.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn apply_backward<T: Real>(
    (f, last): (usize, bool),
    dq: &[T],
    dv: &[T],
    dot: &[T],
    mixed: &[T],
    d_outputs: &mut [T],
) {
    let width = if last { 2 * f } else { 3 * f };
    for (atom, (dq, dot)) in dq.chunks_exact(f).zip(dot.chunks_exact(f)).enumerate() {
        let (da, rest) = row_mut(d_outputs, atom, width).split_at_mut(f);
        let (dc, db) = rest.split_at_mut(f);
        // Forward: q += a + c ⊙ (U·V)
        da.copy_from_slice(dq);
        for n in 0..f {
            dc[n] = dq[n] * dot[n];
        }
        if last {
            continue;
        }
        db.fill(T::ZERO);
        for axis in 3 * atom..3 * atom + 3 {
            let u = &row(mixed, axis, 2 * f)[..f];
            let dv = row(dv, axis, f);
            for n in 0..f {
                // Forward: v += b ⊙ U
                db[n] = dv[n].mul_add(u[n], db[n]);
            }
        }
    }
}

/// The gradient of q, and in place of U and V theirs, from those of q, v, and q and |V| as inputs.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn invariants_backward<T: Real>(
    (f, tensors, last): (usize, usize, bool),
    dq: &mut [T],
    dv: &[T],
    outputs: &[T],
    inputs: &[T],
    d_inputs: &[T],
    mixed: &mut [T],
) {
    let (width_in, width_out) = (2 * f + tensors, if last { 2 * f } else { 3 * f });
    for (atom, dq) in dq.chunks_exact_mut(f).enumerate() {
        let (c, b) = row(outputs, atom, width_out)[f..].split_at(f);
        let norms = &row(inputs, atom, width_in)[f..2 * f];
        let (d_scalars, d_norms) = row(d_inputs, atom, width_in)[..2 * f].split_at(f);
        for axis in 3 * atom..3 * atom + 3 {
            let (u, v) = row_mut(mixed, axis, 2 * f).split_at_mut(f);
            for n in 0..f {
                // Forward: q += a + c ⊙ (U·V)
                let d_dot = dq[n] * c[n];
                let d_u = d_dot * v[n];
                // Forward: |V| = √(V·V + ε)
                v[n] = d_dot.mul_add(u[n], d_norms[n] / norms[n] * v[n]);
                u[n] = d_u;
            }
            if last {
                continue;
            }
            let dv = row(dv, axis, f);
            for n in 0..f {
                // Forward: v += b ⊙ U
                u[n] = b[n].mul_add(dv[n], u[n]);
            }
        }
        // Forward: the first inputs are q. Last, for dq after the update was needed until here.
        for n in 0..f {
            dq[n] += d_scalars[n];
        }
    }
}

/// The gradient of t.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn tensor_norms_backward<T: Real>(
    (f, tensors): (usize, usize),
    inputs: &[T],
    d_inputs: &[T],
    t: &[T],
    dt: &mut [T],
) {
    let width = 2 * f + tensors;
    for (atom, dt) in dt.chunks_exact_mut(5 * tensors).enumerate() {
        let norms = &row(inputs, atom, width)[2 * f..];
        let d_norms = &row(d_inputs, atom, width)[2 * f..];
        for (component, dt) in dt.chunks_exact_mut(tensors).enumerate() {
            let t = row(t, 5 * atom + component, tensors);
            for n in 0..tensors {
                // Forward: |t| = √(t·t + ε)
                dt[n] = d_norms[n] / norms[n] * t[n];
            }
        }
    }
}
