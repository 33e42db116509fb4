//! Students with random weights: what the tests run when the weights do not matter.

use super::architecture::Architecture;
use super::format::Student;
use crate::elements::ELEMENTS;

impl Student {
    /// A student of the given sizes that knows the first elements of [`ELEMENTS`].
    ///
    /// The widths are such that activations are of order one and branches small, as in training.
    pub fn random(architecture: &Architecture, seed: u64) -> Self {
        let mut generator = SplitMix(seed);
        let tensors = architecture.tensors().into_iter().map(|(name, shape)| {
            let (centre, width) = spread(&name, &shape);
            let count = shape.iter().product();
            let values = (0..count).map(|_| centre + width * generator.gaussian());
            let values = values.map(|value| value as f32).collect();
            (name, values)
        });
        let tensors = tensors.collect();
        let elements = ELEMENTS[..architecture.elements].to_vec();
        Self::assemble(architecture.clone(), elements, tensors)
    }
}

/// Mean and standard deviation of a tensor's values.
fn spread(name: &str, shape: &[usize]) -> (f64, f64) {
    let fan_in = (shape[0] as f64).sqrt();
    if name.contains("gate") {
        (1.0, 0.3)
    } else if name.ends_with("bias") {
        (0.0, 0.1)
    } else if name == "embedding" || name == "density.tensor" {
        (0.0, 1.0)
    } else if name.starts_with("density") || name.ends_with("filter") {
        (0.0, 0.5)
    } else if name.ends_with("hidden.weight") || name.ends_with("phi.out.weight") {
        (0.0, 1.0 / fan_in)
    } else {
        (0.0, 0.3 / fan_in)
    }
}

/// The generator `SplitMix64` (10.1145/2660193.2660195): for tests it need only be plain.
#[derive(Clone, Debug)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// A number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly Gaussian, mean 0 and variance 1: the sum of twelve uniform numbers.
    pub fn gaussian(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}
