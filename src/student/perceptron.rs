//! The two-layer perceptron inside every step: y = silu(x W₁ + b₁) W₂ + b₂.

use super::activation::{silu, silu_backward};
use super::format::Student;
use super::linear::Linear;
use super::real::Real;

/// `name.hidden` and `name.out`.
#[derive(Clone, Debug)]
pub struct Perceptron<T> {
    hidden: Linear<T>,
    out: Linear<T>,
}

impl<T: Real> Perceptron<T> {
    /// Takes the weights called `name`.
    pub fn new(student: &Student, name: &str) -> Self {
        Self {
            hidden: Linear::dense(student, &format!("{name}.hidden")),
            out: Linear::dense(student, &format!("{name}.out")),
        }
    }

    /// The number of inputs.
    pub fn inputs(&self) -> usize {
        self.hidden.inputs()
    }

    /// The number of hidden units.
    pub fn hidden(&self) -> usize {
        self.hidden.outputs()
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.out.outputs()
    }

    /// y from x, row by row; `slope` keeps silu' of the hidden units, `hidden` is scratch.
    pub fn forward(&self, x: &[T], slope: &mut [T], hidden: &mut [T], y: &mut [T]) {
        self.hidden.forward(x, slope);
        silu(slope, hidden);
        self.out.forward(hidden, y);
    }

    /// dx from dy, row by row; `hidden` is scratch.
    pub fn backward(&self, dy: &[T], slope: &[T], hidden: &mut [T], dx: &mut [T]) {
        self.backward_hidden(dy, slope, hidden);
        self.hidden.backward(hidden, dx);
    }

    /// dx += what follows from dy.
    pub fn backward_add(&self, dy: &[T], slope: &[T], hidden: &mut [T], dx: &mut [T]) {
        self.backward_hidden(dy, slope, hidden);
        self.hidden.backward_add(hidden, dx);
    }

    fn backward_hidden(&self, dy: &[T], slope: &[T], hidden: &mut [T]) {
        // Forward: y = h W₂ + b₂
        self.out.backward(dy, hidden);
        // Forward: h = silu(x W₁ + b₁)
        silu_backward(slope, hidden);
    }
}
