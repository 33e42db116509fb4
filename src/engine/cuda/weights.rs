//! A student's weights on the device.
//!
//! Matrices are there twice, as they are and transposed, because a product reads its second factor
//! along its rows. Tables by element hold only the elements of the campaign, in the student's order.

use cudarc::driver::CudaSlice;

use super::abi::{self, Pointer};
use super::gpu::Gpu;
use crate::elements::Element;
use crate::error::Result;
use crate::student::Student;

/// A matrix W (inputs, outputs) and Wᵀ.
pub struct Matrix {
    pub weight: CudaSlice<f32>,
    pub transposed: CudaSlice<f32>,
    pub inputs: usize,
    pub outputs: usize,
}

/// y = x W + b.
pub struct Dense {
    pub matrix: Matrix,
    pub bias: CudaSlice<f32>,
}

/// One rank of the density: its matrix (E K, C) and gate (E, C).
pub struct Rank {
    pub matrix: Matrix,
    pub gate: CudaSlice<f32>,
}

/// The first layer.
pub struct Density {
    pub embedding: CudaSlice<f32>,
    pub scalar: Rank,
    pub vector: Rank,
    pub tensor: Option<Rank>,
}

/// A message of layers 2 and up.
pub struct Message {
    pub hidden: Dense,
    pub out: Dense,
    pub filter: CudaSlice<f32>,
    pub gate_scalar: CudaSlice<f32>,
    pub gate_vector: CudaSlice<f32>,
}

/// An update.
pub struct Update {
    pub mix: Matrix,
    pub hidden: Dense,
    pub out: Dense,
}

/// Everything.
pub struct Weights {
    pub density: Density,
    pub messages: Vec<Message>,
    pub updates: Vec<Update>,
    pub readout_hidden: Dense,
    pub readout_weight: CudaSlice<f32>,
    pub readout_bias: CudaSlice<f32>,
    /// (E, E, 3): switch distance Å, charges eV Å, screening length Å
    pub repulsion: CudaSlice<f64>,
    /// (E, E, 4): C6 eV Å⁶, C6 Q eV Å⁸, R⁶, R⁸, if the student was trained under dispersion
    pub dispersion: Option<CudaSlice<f32>>,
    /// whether the radial functions fade inside the switch distance
    pub core: bool,
    pub elements: usize,
    pub cutoff_ang: f64,
    pub norm_epsilon: f32,
}

impl Weights {
    /// The f32 kernels' view of dispersion.
    pub fn dispersion(&self) -> abi::Dispersion {
        let table = self.dispersion.as_ref();
        abi::Dispersion {
            table: table.map_or(Pointer::NONE, Pointer::to),
            cutoff_ang: self.cutoff_ang,
            elements: self.elements as i32,
            unused: 0,
        }
    }

    /// Uploads what the campaign's elements (indices into the student's) need.
    pub fn upload(gpu: &Gpu, student: &Student, elements: &[usize]) -> Result<Self> {
        let loader = Loader {
            gpu,
            student,
            elements,
        };
        let architecture = &student.architecture;
        let tensors = architecture.tensor_channels;
        let channels = architecture.channels;
        let rank = |name: &str, width| -> Result<Rank> {
            let rows = loader.of_elements(&format!("density.{name}"), architecture.radial * width);
            let matrix = loader.matrix(&rows, width)?;
            Ok(Rank {
                matrix,
                gate: loader.gate(&format!("density.gate_{name}"), width)?,
            })
        };
        let message = |layer| -> Result<Message> {
            let name = format!("message{layer}");
            Ok(Message {
                hidden: loader.dense(&format!("{name}.phi.hidden"))?,
                out: loader.dense(&format!("{name}.phi.out"))?,
                filter: loader.vector(&format!("{name}.filter"))?,
                gate_scalar: loader.gate(&format!("{name}.gate_scalar"), channels)?,
                gate_vector: loader.gate(&format!("{name}.gate_vector"), channels)?,
            })
        };
        let update = |layer| -> Result<Update> {
            let name = format!("update{layer}");
            Ok(Update {
                mix: loader.matrix(student.tensor(&format!("{name}.mix")), 2 * channels)?,
                hidden: loader.dense(&format!("{name}.hidden"))?,
                out: loader.dense(&format!("{name}.out"))?,
            })
        };
        Ok(Self {
            density: Density {
                embedding: gpu.upload(&loader.of_elements("embedding", channels))?,
                scalar: rank("scalar", channels)?,
                vector: rank("vector", channels)?,
                tensor: if tensors > 0 {
                    Some(rank("tensor", tensors)?)
                } else {
                    None
                },
            },
            messages: (2..=architecture.layers)
                .map(message)
                .collect::<Result<_>>()?,
            updates: (1..=architecture.layers)
                .map(update)
                .collect::<Result<_>>()?,
            readout_hidden: loader.dense("readout.hidden")?,
            readout_weight: loader.vector("readout.out.weight")?,
            readout_bias: loader.vector("readout.out.bias")?,
            repulsion: gpu.upload(&loader.repulsion())?,
            dispersion: if architecture.dispersion {
                Some(gpu.upload(&loader.dispersion())?)
            } else {
                None
            },
            core: architecture.core,
            elements: elements.len(),
            cutoff_ang: architecture.cutoff_ang,
            norm_epsilon: architecture.norm_epsilon as f32,
        })
    }
}

struct Loader<'a> {
    gpu: &'a Gpu,
    student: &'a Student,
    elements: &'a [usize],
}

impl Loader<'_> {
    fn vector(&self, name: &str) -> Result<CudaSlice<f32>> {
        self.gpu.upload(self.student.tensor(name))
    }

    /// The campaign's elements' parts of a table, each of `width` numbers.
    fn of_elements(&self, name: &str, width: usize) -> Vec<f32> {
        let table = self.student.tensor(name);
        self.elements
            .iter()
            .flat_map(|e| table[e * width..(e + 1) * width].iter().copied())
            .collect()
    }

    /// A gate by element; a student without gates has ones, which change no bit.
    fn gate(&self, name: &str, width: usize) -> Result<CudaSlice<f32>> {
        if self.student.architecture.gates {
            self.gpu.upload(&self.of_elements(name, width))
        } else {
            self.gpu.upload(&vec![1.0; self.elements.len() * width])
        }
    }

    fn matrix(&self, weight: &[f32], outputs: usize) -> Result<Matrix> {
        let column = |column| weight.iter().skip(column).step_by(outputs).copied();
        let transposed: Vec<f32> = (0..outputs).flat_map(column).collect();
        Ok(Matrix {
            weight: self.gpu.upload(weight)?,
            transposed: self.gpu.upload(&transposed)?,
            inputs: weight.len() / outputs,
            outputs,
        })
    }

    fn dense(&self, name: &str) -> Result<Dense> {
        let bias = self.student.tensor(&format!("{name}.bias"));
        let weight = self.student.tensor(&format!("{name}.weight"));
        Ok(Dense {
            matrix: self.matrix(weight, bias.len())?,
            bias: self.gpu.upload(bias)?,
        })
    }

    /// All pairs of the campaign's elements.
    fn pairs(&self) -> impl Iterator<Item = (Element, Element)> {
        let all = &self.student.elements;
        let element = |e: &usize| all[*e];
        let second = move |a| self.elements.iter().map(move |b| (a, element(b)));
        self.elements.iter().map(element).flat_map(second)
    }

    fn repulsion(&self) -> Vec<f64> {
        self.pairs()
            .flat_map(|(a, b)| crate::student::repulsion_constants(a, b))
            .collect()
    }

    fn dispersion(&self) -> Vec<f32> {
        let entry = |(a, b)| {
            let [c6, ratio, radius_ang] = crate::student::dispersion_constants(a, b);
            let r2 = radius_ang * radius_ang;
            [c6, c6 * ratio, r2 * r2 * r2, r2 * r2 * r2 * r2].map(|x| x as f32)
        };
        self.pairs().flat_map(entry).collect()
    }
}
