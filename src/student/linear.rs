//! y = x W + b, and its gradient.

use super::format::Student;
use super::product::product;
use super::real::Real;

/// A matrix with its transpose, and a bias that may be zero.
#[derive(Clone, Debug)]
pub struct Linear<T> {
    /// W     (inputs, outputs)
    weight: Vec<T>,
    /// Wᵀ    (outputs, inputs)
    transposed: Vec<T>,
    /// b     (outputs,)
    bias: Vec<T>,
    inputs: usize,
    outputs: usize,
}

impl<T: Real> Linear<T> {
    /// `name.weight` and `name.bias`.
    pub fn dense(student: &Student, name: &str) -> Self {
        let bias = student.tensor(&format!("{name}.bias"));
        let weight = student.tensor(&format!("{name}.weight"));
        Self {
            bias: narrow(bias),
            ..Self::unbiased(weight, bias.len())
        }
    }

    /// A matrix of rows of `outputs` numbers.
    pub fn unbiased(weight: &[f32], outputs: usize) -> Self {
        let inputs = weight.len() / outputs;
        let transposed: Vec<f32> = (0..outputs)
            .flat_map(|column| weight.iter().skip(column).step_by(outputs).copied())
            .collect();
        Self {
            weight: narrow(weight),
            transposed: narrow(&transposed),
            bias: vec![T::ZERO; outputs],
            inputs,
            outputs,
        }
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// y = x W + b, for every row of x.
    pub fn forward(&self, x: &[T], y: &mut [T]) {
        for row in y.chunks_exact_mut(self.outputs) {
            row.copy_from_slice(&self.bias);
        }
        self.forward_add(x, y);
    }

    /// y = x W, leaving out the bias.
    pub fn forward_unbiased(&self, x: &[T], y: &mut [T]) {
        let shape = (y.len() / self.outputs, self.inputs, self.outputs);
        product(y, x, &self.weight, shape, false);
    }

    /// y += x W.
    pub fn forward_add(&self, x: &[T], y: &mut [T]) {
        let shape = (y.len() / self.outputs, self.inputs, self.outputs);
        product(y, x, &self.weight, shape, true);
    }

    /// dx = dy Wᵀ.
    pub fn backward(&self, dy: &[T], dx: &mut [T]) {
        // Forward: y = x W + b
        let shape = (dx.len() / self.inputs, self.outputs, self.inputs);
        product(dx, dy, &self.transposed, shape, false);
    }

    /// dx += dy Wᵀ.
    pub fn backward_add(&self, dy: &[T], dx: &mut [T]) {
        // Forward: y = x W + b
        let shape = (dx.len() / self.inputs, self.outputs, self.inputs);
        product(dx, dy, &self.transposed, shape, true);
    }
}

/// Weights in the numbers that the network computes with.
pub fn narrow<T: Real>(values: &[f32]) -> Vec<T> {
    values.iter().map(|x| T::narrow(f64::from(*x))).collect()
}
