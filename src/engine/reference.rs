//! The oracle: the student once more, in the plainest tensors, with forces by automatic
//! differentiation.
//!
//! It shares nothing with [`crate::student`]'s network but the weights: f64, every pair of a
//! molecule in one dense array with a mask, components one by one, no gradient written by hand. It
//! is slow, and there to be compared with.

use candle_core::{D, DType, Result as Candle, Tensor, Var};

use super::potential::ForceField;
use crate::elements::Element;
use crate::error::{Error, Result};
use crate::student::{Architecture, Student};
use crate::system::System;

const CPU: candle_core::Device = candle_core::Device::Cpu;

/// The student as named tensors, and every molecule's elements.
pub struct Reference {
    student: Student,
    species: Vec<Vec<u8>>,
}

impl Reference {
    /// Takes a student and the molecules of a system.
    pub fn new(student: &Student, system: &System) -> Self {
        let index = |number: &u8| student.species_of(*number).unwrap_or(0);
        let species = system
            .molecules
            .iter()
            .map(|molecule| molecule.numbers.iter().map(index).collect());
        Self {
            student: student.clone(),
            species: species.collect(),
        }
    }
}

impl ForceField for Reference {
    type Workspace = ();

    fn workspace(&self, _atoms: usize, _threads: usize) {}

    fn evaluate(
        &self,
        (): &mut (),
        molecule: usize,
        positions_ang: &[[f64; 3]],
        forces_ev_per_ang: &mut [[f64; 3]],
    ) -> f64 {
        let found = evaluate(
            &self.student,
            &self.species[molecule],
            positions_ang,
            forces_ev_per_ang,
        );
        // Shapes follow from the architecture, so that this is unheard of; a step that fails is
        // reported by its energy.
        found.unwrap_or(f64::NAN)
    }

    fn cutoff_ang(&self) -> f64 {
        self.student.architecture.cutoff_ang
    }
}

/// The energy of a molecule in eV, and its forces; `species` are indices into the student's
/// elements.
pub fn evaluate(
    student: &Student,
    species: &[u8],
    positions_ang: &[[f64; 3]],
    forces_ev_per_ang: &mut [[f64; 3]],
) -> Result<f64> {
    let failed = |source| Error::run(format!("the reference engine failed: {source}"));
    let (energy_ev, forces) = tensors(student, species, positions_ang).map_err(failed)?;
    for (force, row) in forces_ev_per_ang.iter_mut().zip(forces) {
        force.copy_from_slice(&row);
    }
    let reference = species
        .iter()
        .map(|z| student.reference_energies_ev[usize::from(*z)]);
    Ok(reference.sum::<f64>() + energy_ev)
}

fn tensors(student: &Student, species: &[u8], x: &[[f64; 3]]) -> Candle<(f64, Vec<Vec<f64>>)> {
    let positions = Tensor::from_iter(x.as_flattened().iter().copied(), &CPU)?;
    let positions = Var::from_tensor(&positions.reshape((x.len(), 3))?)?;
    let graph = Graph::new(student, species, x, &positions)?;
    let mut energy = (graph.learnt()? + graph.repulsion()?)?;
    if student.architecture.dispersion {
        energy = (energy + graph.dispersion(&positions)?)?;
    }
    let gradient = energy.backward()?;
    let forces = match gradient.get(&positions) {
        Some(gradient) => gradient.neg()?.to_vec2()?,
        None => vec![vec![0.0; 3]; x.len()],
    };
    Ok((energy.to_scalar()?, forces))
}

/// One molecule while its energy is put together.
struct Graph<'a> {
    student: &'a Student,
    elements: Vec<Element>,
    /// one-hot, (N, E)
    element: Tensor,
    /// r, 1 where there is no pair, (N, N)
    r: Tensor,
    /// x, y and z of the unit vector from i to j, each (N, N)
    u: Vec<Tensor>,
    /// 1 where i and j see each other, (N, N)
    pair: Tensor,
    /// B, (N, N, K)
    basis: Tensor,
}

impl<'a> Graph<'a> {
    fn new(
        student: &'a Student,
        species: &[u8],
        x: &[[f64; 3]],
        positions: &Tensor,
    ) -> Candle<Self> {
        let Architecture {
            elements,
            radial,
            cutoff_ang,
            ..
        } = student.architecture;
        let n = species.len();
        let one_hot = species
            .iter()
            .flat_map(|z| (0..elements).map(move |e| f64::from(u8::from(e == usize::from(*z)))));
        let sees = |i: usize, j: usize| {
            let r2: f64 = (0..3).map(|axis| (x[j][axis] - x[i][axis]).powi(2)).sum();
            f64::from(u8::from(i != j && r2 < cutoff_ang * cutoff_ang))
        };
        let pair = (0..n).flat_map(|i| (0..n).map(move |j| sees(i, j)));
        let pair = Tensor::from_iter(pair, &CPU)?.reshape((n, n))?;

        let d = positions
            .unsqueeze(0)?
            .broadcast_sub(&positions.unsqueeze(1)?)?;
        // Where there is no pair r² is made 1 before the root, whose slope at zero is infinite.
        let r2 = (d.sqr()?.sum(2)? * &pair)?;
        let r = (r2 + (1.0 - &pair)?)?.sqrt()?;
        let u = (0..3).map(|axis| d.narrow(2, axis, 1)?.squeeze(2)? / &r);

        let wave = std::f64::consts::PI / cutoff_ang;
        let k = Tensor::from_iter((1..=radial).map(|k| k as f64 * wave), &CPU)?;
        let sine = r.unsqueeze(2)?.broadcast_mul(&k)?.sin()?;
        let cutoff = (((&r * wave)?.cos()? + 1.0)? * (0.5 * (2.0 / cutoff_ang).sqrt()))?;
        let mut envelope = ((cutoff / &r)? * &pair)?;
        let elements_of_atoms: Vec<_> = species
            .iter()
            .map(|z| student.elements[usize::from(*z)])
            .collect();
        if student.architecture.core {
            envelope = (envelope * (1.0 - switch(&elements_of_atoms, &r)?)?)?;
        }
        Ok(Self {
            student,
            elements: elements_of_atoms,
            element: Tensor::from_iter(one_hot, &CPU)?.reshape((n, elements))?,
            u: u.collect::<Candle<_>>()?,
            basis: sine.broadcast_mul(&envelope.unsqueeze(2)?)?,
            pair,
            r,
        })
    }

    /// A weight, its columns counted from its name.
    fn weight(&self, name: &str) -> Candle<Tensor> {
        let shapes = self.student.architecture.tensors();
        let shape = shapes
            .into_iter()
            .find(|(known, _)| known == name)
            .map(|(_, shape)| shape);
        let values = self.student.tensor(name).iter().map(|w| f64::from(*w));
        Tensor::from_iter(values, &CPU)?.reshape(shape.unwrap_or_default())
    }

    /// The learnt energy, without the energies of the isolated atoms.
    fn learnt(&self) -> Candle<Tensor> {
        let (mut q, mut v, t) = self.first()?;
        for layer in 1..=self.student.architecture.layers {
            if layer > 1 {
                (q, v) = self.message(&format!("message{layer}"), &q, &v)?;
            }
            let norms = if layer == 1 { &t[..] } else { &[] };
            (q, v) = self.update(layer, &q, &v, norms)?;
        }
        self.perceptron("readout", &q)?.sum_all()
    }

    /// The densities: q (N, F), three v (N, F) and five t (N, T), or none.
    fn first(&self) -> Candle<(Tensor, Vec<Tensor>, Vec<Tensor>)> {
        let [x, y, z] = &self.u[..] else {
            unreachable!("three axes")
        };
        let root = 3_f64.sqrt();
        let harmonics = [
            ((x * y)? * root)?,
            ((y * z)? * root)?,
            ((z * x)? * root)?,
            ((x.sqr()? - y.sqr()?)? * (0.5 * root))?,
            ((z.sqr()? * 1.5)? - 0.5)?,
        ];
        let scalar = self.density("scalar", &self.pair)?;
        let q = (self.element.matmul(&self.weight("embedding")?)? + scalar)?;
        let v = self.u.iter().map(|u| self.density("vector", u));
        let tensors: &[Tensor] = match self.student.architecture.tensor_channels {
            0 => &[],
            _ => &harmonics,
        };
        let t = tensors.iter().map(|h| self.density("tensor", h));
        Ok((q, v.collect::<Candle<_>>()?, t.collect::<Candle<_>>()?))
    }

    /// Σ angular(u) B(r) over neighbours, by element, times W and the gate; angular is (N, N).
    fn density(&self, name: &str, angular: &Tensor) -> Candle<Tensor> {
        let terms = self.basis.broadcast_mul(&angular.unsqueeze(2)?)?; // (i, j, k)
        let senders = self.element.t()?.unsqueeze(0)?; // (1, e, j)
        let sums = senders.broadcast_matmul(&terms)?; // (i, e, k)
        let product = sums
            .flatten(1, 2)?
            .matmul(&self.weight(&format!("density.{name}"))?)?;
        self.gate(&format!("density.gate_{name}"), &product)
    }

    fn message(&self, name: &str, q: &Tensor, v: &[Tensor]) -> Candle<(Tensor, Vec<Tensor>)> {
        let (atoms, f) = q.dims2()?;
        let filter = self.weight(&format!("{name}.filter"))?;
        let filters = self.basis.flatten(0, 1)?.matmul(&filter)?;
        let filters = filters.reshape((atoms, atoms, 3 * f))?;
        let sent = self.perceptron(&format!("{name}.phi"), q)?.unsqueeze(0)?;
        let messages = filters.broadcast_mul(&sent)?; // (i, j, 3F)
        let part = |n: usize| messages.narrow(2, n * f, f);
        let (a, b, c) = (part(0)?, part(1)?, part(2)?);

        let gate_scalar = format!("{name}.gate_scalar");
        let q = (q + self.gate(&gate_scalar, &a.sum(1)?)?)?;
        let gate_vector = format!("{name}.gate_vector");
        let v = v.iter().zip(&self.u).map(|(v, u)| {
            let along = b.broadcast_mul(&u.unsqueeze(2)?)?;
            let passed_on = c.broadcast_mul(&v.unsqueeze(0)?)?;
            v + self.gate(&gate_vector, &(along + passed_on)?.sum(1)?)?
        });
        Ok((q, v.collect::<Candle<_>>()?))
    }

    fn update(
        &self,
        layer: usize,
        q: &Tensor,
        v: &[Tensor],
        t: &[Tensor],
    ) -> Candle<(Tensor, Vec<Tensor>)> {
        let (_, f) = q.dims2()?;
        let name = format!("update{layer}");
        let mix = self.weight(&format!("{name}.mix"))?;
        let half = |n: usize| {
            let weight = mix.narrow(1, n * f, f)?.contiguous()?;
            v.iter()
                .map(|v| v.matmul(&weight))
                .collect::<Candle<Vec<_>>>()
        };
        let (mixed_u, mixed_v) = (half(0)?, half(1)?);
        let mut inputs = vec![q.clone(), self.norm(&mixed_v)?];
        if !t.is_empty() {
            inputs.push(self.norm(t)?);
        }
        let out = self.perceptron(&name, &Tensor::cat(&inputs, 1)?)?;
        let products = mixed_u.iter().zip(&mixed_v).map(|(u, v)| u * v);
        let dot = sum(&products.collect::<Candle<Vec<_>>>()?)?;
        let q = ((q + out.narrow(1, 0, f)?)? + (out.narrow(1, f, f)? * dot)?)?;
        if layer == self.student.architecture.layers {
            return Ok((q, v.to_vec()));
        }
        let b = out.narrow(1, 2 * f, f)?;
        let v = v.iter().zip(&mixed_u).map(|(v, u)| v + (&b * u)?);
        Ok((q, v.collect::<Candle<_>>()?))
    }

    /// √(Σ x² + ε) over components.
    fn norm(&self, components: &[Tensor]) -> Candle<Tensor> {
        let squares = components.iter().map(Tensor::sqr);
        (sum(&squares.collect::<Candle<Vec<_>>>()?)? + self.student.architecture.norm_epsilon)?
            .sqrt()
    }

    fn perceptron(&self, name: &str, x: &Tensor) -> Candle<Tensor> {
        let hidden = self.linear(&format!("{name}.hidden"), x)?;
        self.linear(&format!("{name}.out"), &hidden.silu()?)
    }

    fn linear(&self, name: &str, x: &Tensor) -> Candle<Tensor> {
        x.contiguous()?
            .matmul(&self.weight(&format!("{name}.weight"))?)?
            .broadcast_add(&self.weight(&format!("{name}.bias"))?)
    }

    /// x ⊙ g of the atom's element, or x where the student has no gates.
    fn gate(&self, name: &str, x: &Tensor) -> Candle<Tensor> {
        if self.student.architecture.gates {
            x * self.element.matmul(&self.weight(name)?)?
        } else {
            Ok(x.clone())
        }
    }

    /// The repulsion of Ziegler, Biersack and Littmark (1985), switched off at the covalent
    /// distance; each pair stands twice in the arrays.
    fn repulsion(&self) -> Candle<Tensor> {
        let z = |element: &Element| f64::from(element.number);
        let charge = table(&self.elements, |a, b| 14.399_645 * z(a) * z(b))?;
        let screening = table(&self.elements, |a, b| {
            0.885_34 * 0.529_177_211 / (z(a).powf(0.23) + z(b).powf(0.23))
        })?;

        let x = (&self.r / &screening)?;
        let terms = [
            (0.181_75, 3.199_80),
            (0.509_86, 0.942_29),
            (0.280_22, 0.402_90),
            (0.028_17, 0.201_62),
        ];
        let terms = terms.map(|(c, d)| (&x * -d)?.exp()? * c);
        let phi = sum(&terms.into_iter().collect::<Candle<Vec<_>>>()?)?;
        let switched = (switch(&self.elements, &self.r)? * &self.pair)?;
        let energies = (((charge / &self.r)? * phi)? * switched)?;
        energies.sum_all()? * 0.5
    }

    /// D3 with the damping of Becke and Johnson (10.1002/jcc.21759) of all pairs, in atomic units,
    /// switched on from 4/5 of the cut-off to the cut-off; each pair stands twice in the arrays.
    fn dispersion(&self, positions: &Tensor) -> Candle<Tensor> {
        const BOHR_ANG: f64 = 0.529_177_211;
        let atoms = self.elements.len();
        let other = (1.0 - Tensor::eye(atoms, DType::F64, &CPU)?)?;
        let d = positions
            .unsqueeze(0)?
            .broadcast_sub(&positions.unsqueeze(1)?)?;
        let r2 = (d.sqr()?.sum(2)? + (1.0 - &other)?)?;
        let x = ((r2.sqrt()? * (5.0 / self.student.architecture.cutoff_ang))? - 4.0)?;
        let x = x.clamp(0.0, 1.0)?;
        let polynomial = ((((&x * 6.0)? - 15.0)? * &x)? + 10.0)?;
        let on = (x.powf(3.0)? * polynomial)?;

        let r = (r2.sqrt()? / BOHR_ANG)?;
        let term = |s: f64, n: f64, of: fn(f64) -> f64| {
            let c = table(&self.elements, |a, b| {
                let ((c_a, rho_a), (c_b, rho_b)) = (d3(a), d3(b));
                s * c_a * c_b * of(3.0 * rho_a * rho_b)
            })?;
            let damping = table(&self.elements, |a, b| {
                (0.566 * (3.0 * d3(a).1 * d3(b).1).sqrt() + 3.128).powf(n)
            })?;
            c / (r.powf(n)? + damping)?
        };
        let energies = (term(1.0, 6.0, |_| 1.0)? + term(0.3908, 8.0, |ratio| ratio)?)?;
        ((energies * on)? * other)?.sum_all()? * (-0.5 * 27.211_386)
    }
}

/// √C6 and √(⟨r⁴⟩/⟨r²⟩) of an element in atomic units: written down a second time, so that a slip in the engines' table
/// shows here.
fn d3(element: &Element) -> (f64, f64) {
    match element.number {
        1 => (1.76, 2.00735),
        6 => (4.69, 3.10493),
        7 => (4.16, 2.71175),
        8 => (3.39, 2.59362),
        9 => (2.67, 2.38825),
        15 => (12.32, 4.29728),
        16 => (11.26, 4.04109),
        17 => (9.51, 3.72932),
        35 => (13.01, 4.59090),
        _ => (f64::NAN, f64::NAN),
    }
}

/// s = 1 − 10x³ + 15x⁴ − 6x⁵ of x = r over the sum of covalent radii, and 0 from x = 1 on, (N, N).
fn switch(elements: &[Element], r: &Tensor) -> Candle<Tensor> {
    let covalent = table(elements, |a, b| {
        a.covalent_radius_ang + b.covalent_radius_ang
    })?;
    let x = (r / covalent)?;
    let polynomial = ((((&x * 6.0)? - 15.0)? * &x)? + 10.0)?;
    let within = x.lt(1.0)?.to_dtype(DType::F64)?;
    (1.0 - (x.sqr()? * (&x * polynomial)?)?)? * within
}

/// A number of every two atoms, (N, N).
fn table(elements: &[Element], of: impl Fn(&Element, &Element) -> f64) -> Candle<Tensor> {
    let n = elements.len();
    let pairs = elements
        .iter()
        .flat_map(|a| elements.iter().map(move |b| (a, b)));
    Tensor::from_iter(pairs.map(|(a, b)| of(a, b)).collect::<Vec<_>>(), &CPU)?.reshape((n, n))
}

/// The sum of tensors of one shape.
fn sum(tensors: &[Tensor]) -> Candle<Tensor> {
    Tensor::stack(tensors, D::Minus1)?.sum(D::Minus1)
}
