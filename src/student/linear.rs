//! y = x W + b, and its gradient.

use super::format::Student;
use super::product::{Packed, Start};
use super::real::Real;

/// A matrix with its transpose, and a bias where it has one.
#[derive(Clone, Debug)]
pub struct Linear<T> {
    /// W     (inputs, outputs)
    weight: Packed<T>,
    /// Wᵀ    (outputs, inputs)
    transposed: Packed<T>,
    /// b     (outputs,), or empty
    bias: Vec<T>,
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
        let columns = (0..outputs).map(|column| weight.iter().skip(column).step_by(outputs));
        let transposed: Vec<f32> = columns.flatten().copied().collect();
        Self {
            weight: Packed::new(&narrow(weight), outputs),
            transposed: Packed::new(&narrow(&transposed), weight.len() / outputs),
            bias: Vec::new(),
        }
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.weight.rows()
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.weight.columns()
    }

    /// y = x W + b, for every row of x.
    pub fn forward(&self, x: &[T], y: &mut [T]) {
        let start = if self.bias.is_empty() {
            Start::Zero
        } else {
            Start::Bias(&self.bias)
        };
        self.weight.product(x, y, start);
    }

    /// y += x W
    pub fn forward_add(&self, x: &[T], y: &mut [T]) {
        self.weight.product(x, y, Start::Add);
    }

    /// dx = dy Wᵀ
    pub fn backward(&self, dy: &[T], dx: &mut [T]) {
        // Forward: y = x W + b
        self.transposed.product(dy, dx, Start::Zero);
    }

    /// dx += dy Wᵀ
    pub fn backward_add(&self, dy: &[T], dx: &mut [T]) {
        // Forward: y = x W + b
        self.transposed.product(dy, dx, Start::Add);
    }
}

/// Weights in the numbers that the network computes with.
pub fn narrow<T: Real>(values: &[f32]) -> Vec<T> {
    values.iter().map(|x| T::narrow(f64::from(*x))).collect()
}
