//! A student with more channels that says the same: those added are zero, and stay zero.
//!
//! Where the first layer's columns are zero, so are q, v and t of a new channel, and U = V = 0. Its
//! norms √(x·x + ε) are √ε, but nothing reads them: the rows that they meet are zero. A hidden unit
//! without weights and bias is silu(0) = 0, an output a = b = c = φ = 0. Backwards, what reaches a new
//! channel comes through the same zero columns and rows, and 0/√ε = 0: so its gradient is zero, too,
//! and the others' sums only have zeros more in them.

use std::collections::HashMap;

use super::architecture::{Architecture, Blocks};
use super::format::Student;

impl Student {
    /// This student with at least as many channels and tensor channels, the new ones zero.
    ///
    /// It has no uncertainty: that is read from the scalars of the student as it was trained.
    #[must_use]
    pub fn widened(&self, channels: usize, tensor_channels: usize) -> Self {
        let architecture = Architecture {
            channels,
            tensor_channels,
            ..self.architecture.clone()
        };
        let narrow: HashMap<_, _> = self.architecture.blocks().into_iter().collect();
        let tensor = |(name, wide): (String, Vec<Blocks>)| {
            let values = match narrow.get(&name) {
                Some(narrow) => spread(self.tensor(&name), narrow, &wide),
                None => vec![
                    0.0;
                    wide.iter()
                        .map(|blocks| blocks.iter().sum::<usize>())
                        .product()
                ],
            };
            (name, values)
        };
        let tensors = architecture.blocks().into_iter().map(tensor).collect();
        let mut wide = Self::assemble(architecture, self.elements.clone(), tensors);
        wide.reference_energies_ev
            .clone_from(&self.reference_energies_ev);
        wide.metadata.clone_from(&self.metadata);
        wide.sha256.clone_from(&self.sha256);
        wide
    }
}

/// A vector or a row-major matrix whose blocks grow, with zeros behind what each held.
fn spread(values: &[f32], narrow: &[Blocks], wide: &[Blocks]) -> Vec<f32> {
    let axes: Vec<_> = narrow.iter().zip(wide).map(|(n, w)| places(n, w)).collect();
    let (rows, columns) = match &axes[..] {
        [rows, columns] => (&rows[..], columns),
        _ => (&[0][..], &axes[0]),
    };
    let size = |blocks: &Blocks| blocks.iter().sum::<usize>();
    let width = wide.last().map_or(0, size);
    let mut out = vec![0.0; wide.iter().map(size).product()];
    for (row, values) in rows.iter().zip(values.chunks_exact(columns.len())) {
        for (column, value) in columns.iter().zip(values) {
            out[row * width + column] = *value;
        }
    }
    out
}

/// Where the numbers along an axis go.
fn places(narrow: &Blocks, wide: &Blocks) -> Vec<usize> {
    let mut start = 0;
    let mut places = Vec::new();
    for (narrow, wide) in narrow.iter().zip(wide) {
        places.extend(start..start + narrow);
        start += wide;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_and_keep_their_numbers() {
        let narrow = [vec![1, 1], vec![2]];
        let wide = [vec![2, 1], vec![3]];
        let expected = [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0];
        assert_eq!(spread(&[1.0, 2.0, 3.0, 4.0], &narrow, &wide), expected);
        assert_eq!(
            spread(&[1.0, 2.0], &[vec![1, 1]], &[vec![2, 2]]),
            [1.0, 0.0, 2.0, 0.0]
        );
    }
}
