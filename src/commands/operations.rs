//! How many operations the stages of a molecule's step take, and how many bytes the f32 kernels move.
//!
//! Operations are those of matrix products and of sums over pairs, a multiply-add as two, without
//! recomputation and without rows that pad a tile: the table of `kernels/README.md`.  Bytes are those of
//! what a kernel reads and writes, each number once; what is in f64 for the integrator is left out.

use crate::engine::StageTime;
use crate::structure::Structure;
use crate::student::Architecture;

/// What the operations of one molecule follow from.
pub(super) struct Operations<'a> {
    architecture: &'a Architecture,
    atoms: f64,
    /// Directed pairs inside the cut-off.
    pairs: f64,
    elements: f64,
}

impl<'a> Operations<'a> {
    /// Of `structure` as it stands.
    pub fn new(architecture: &'a Architecture, structure: &Structure) -> Self {
        let x = &structure.positions_ang;
        let near = |a: usize, b: usize| {
            let r2: f64 = (0..3).map(|axis| (x[b][axis] - x[a][axis]).powi(2)).sum();
            a != b && r2 < architecture.cutoff_ang.powi(2)
        };
        let pairs = (0..x.len())
            .flat_map(|a| (0..x.len()).map(move |b| (a, b)))
            .filter(|&(a, b)| near(a, b))
            .count();
        let mut numbers = structure.numbers.clone();
        numbers.sort_unstable();
        numbers.dedup();
        Self {
            architecture,
            atoms: x.len() as f64,
            pairs: pairs as f64,
            elements: numbers.len() as f64,
        }
    }

    /// Operations of a stage in one step; none if it has no products.
    pub fn of(&self, stage: &StageTime) -> Option<f64> {
        let tiles = stage.kernel.starts_with("step_tiles");
        let (name, backward) = match stage.stage.strip_suffix('⁻') {
            Some(name) => (name, true),
            None => (stage.stage, false),
        };
        let a = self.architecture;
        let [f, t, k, layers] =
            [a.channels, a.tensor_channels, a.radial, a.layers].map(|size| size as f64);
        let (width, inner) = (self.elements * k, layers - 2.0);
        // A product of `rows` vectors an atom with a matrix of `inputs` × `outputs`.
        let product =
            |rows: f64, inputs: f64, outputs: f64| 2.0 * self.atoms * rows * inputs * outputs;
        let tensors = product(5.0, width, t);
        let densities = self.pairs * 9.0 * k * if backward { 4.0 } else { 2.0 };
        // Filters of a message and, of each pair, what is multiplied with them.
        let messages = self.pairs
            * if backward {
                12.0 * k * f + 40.0 * f
            } else {
                6.0 * k * f + 18.0 * f
            };
        let mix = product(3.0, f, 2.0 * f);
        // The first layer reads norms of tensors, the last has no gate of vectors.
        let (hidden, out) = (product(1.0, 2.0 * f, f), product(1.0, f, 3.0 * f));
        let (hidden_first, out_last) = (product(1.0, 2.0 * f + t, f), product(1.0, f, 2.0 * f));
        Some(match name {
            "density" if tiles => densities + product(4.0, width, f) + tensors,
            "density" => densities,
            "density.scalar" => product(1.0, width, f),
            "density.vector" => product(3.0, width, f),
            "density.tensor" => tensors,
            "update 1" => mix + hidden_first + out,
            "update 2" => mix + hidden + out_last,
            "update.mix" => layers * mix,
            "update.hidden" => hidden_first + (layers - 1.0) * hidden,
            "update.out" => (1.0 + inner) * out + out_last,
            "message network" => product(1.0, f, f) + out,
            "message.hidden" => (layers - 1.0) * product(1.0, f, f),
            "message.out" => (layers - 1.0) * out,
            "message" => (layers - 1.0) * messages,
            "readout" if tiles => product(1.0, f, f / 2.0) * 2.0,
            "readout.hidden" => product(1.0, f, f / 2.0),
            _ => return None,
        })
    }

    /// Bytes that the f32 kernel of a stage moves in one step at least; none if its products are what it is there for.
    pub fn bytes_of(&self, stage: &StageTime) -> Option<f64> {
        if stage.kernel.starts_with("step_tiles") {
            return None;
        }
        let a = self.architecture;
        let [f, t, k, layers] =
            [a.channels, a.tensor_channels, a.radial, a.layers].map(|size| size as f64);
        let densities = 9.0 * self.elements * k;
        // What only layers before the last have: b, and so new vectors.
        let inner = layers - 1.0;
        // Words of four bytes an atom and a directed pair; a distance is two of them, a direction or a gradient four.
        let (atom, pair) = match stage.stage {
            "radial" => (0.0, 2.0 + 2.0 * k),
            "repulsion" => (2.0, 2.0 + 4.0),
            "density" => (densities, 4.0 + k),
            "density⁻" => (densities, 4.0 + 2.0 * k + 8.0),
            "update.inputs" => (layers * 6.0 * f + 6.0 * t, 0.0),
            "update.inputs⁻" => (layers * 17.0 * f + inner * 4.0 * f + 11.0 * t, 0.0),
            "update.apply" => (layers * 10.0 * f + inner * 7.0 * f, 0.0),
            "update.apply⁻" => (layers * 9.0 * f + inner * 4.0 * f, 0.0),
            "message" => (inner * 11.0 * f, inner * (4.0 + k)),
            "message⁻" => (inner * 16.0 * f, inner * (4.0 + 2.0 * k + 8.0)),
            "readout" => (1.5 * f + 4.0, 0.0),
            _ => return None,
        };
        Some(4.0 * (self.atoms * atom + self.pairs * pair))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::structure;

    /// Of benzene, thousands of operations as kernels/README.md counts them.
    #[test]
    fn benzene_has_the_operations_of_the_table() {
        let architecture = Architecture {
            elements: 9,
            channels: 128,
            layers: 2,
            radial: 16,
            tensor_channels: 64,
            gates: true,
            norm_epsilon: 1e-2,
            cutoff_ang: 5.0,
            core: true,
            dispersion: true,
        };
        let benzene = include_bytes!("../../inputs/nve/benzene.xyz");
        let benzene = structure::parse_xyz(Path::new("benzene.xyz"), benzene).unwrap();
        let operations = Operations::new(&architecture, &benzene[0]);
        let stage_of = |stage, kernel| StageTime {
            stage,
            kernel,
            time_ms: 1.0,
        };
        let thousands = |stage, kernel| {
            let count = operations.of(&stage_of(stage, kernel))?;
            Some((count / 1e3).round() as u64)
        };
        for (stage, count) in [
            ("density", 38 + 639),
            ("update 1", 4522),
            ("message network", 1573),
            ("message", 1926),
            ("update 2", 3932),
            ("message⁻", 3920),
            ("density⁻", 76 + 639),
        ] {
            assert_eq!(thousands(stage, "step_tiles_64"), Some(count), "{stage}");
        }
        // The f32 kernels have the same products, one launch each.
        let sum = |stages: &[&'static str]| {
            stages
                .iter()
                .filter_map(|stage| thousands(stage, "product_128_rows"))
                .sum::<u64>()
        };
        assert_eq!(
            sum(&["update.mix", "update.hidden", "update.out"]),
            4522 + 3932
        );
        assert_eq!(sum(&["message.hidden", "message.out"]), 1573);
        assert_eq!(thousands("integrate", "integrate"), None);
        // 132 directed pairs of 2 + 2 · 16 words.
        let bytes = |kernel| operations.bytes_of(&stage_of("radial", kernel));
        assert_eq!(bytes("radial"), Some(4.0 * 132.0 * 34.0));
        assert_eq!(bytes("step_tiles_64"), None);
    }
}
