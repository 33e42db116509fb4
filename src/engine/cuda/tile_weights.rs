//! A student's weights as tiles read them: matrices in 16 bits, in the order of a warp's lanes.
//!
//! `Packed` in kernels/tile.cuh: for each eight columns and sixteen rows of a matrix, lane 4g + t of
//! a warp has two words. The first holds rows 2t and 2t + 1 of column g, the second rows 2t + 8 and
//! 2t + 9.

use cudarc::driver::CudaSlice;
use half::f16;

use super::abi::{self, Pointer, WARP};
use super::gpu::Gpu;
use super::weights::{Dense, Matrix, Weights};
use crate::error::Result;

/// W and Wᵀ in 16 bits.
struct Both {
    forward: CudaSlice<u32>,
    backward: CudaSlice<u32>,
    inputs: usize,
    outputs: usize,
}

/// The matrices of a student of two layers, in the order of `TileStudent`.
pub struct TileWeights {
    density: [Both; 3],
    updates: [[Both; 3]; 2],
    phi: [Both; 2],
    filter: CudaSlice<u32>,
    readout: Both,
}

impl TileWeights {
    /// Packs what was uploaded in f32, or says that tiles cannot step this student.
    pub fn pack(gpu: &Gpu, weights: &Weights) -> Result<Option<Self>> {
        let ([first, last], [message], Some(tensor)) = (
            &weights.updates[..],
            &weights.messages[..],
            &weights.density.tensor,
        ) else {
            return Ok(None);
        };
        let both = |matrix: &Matrix| Both::pack(gpu, matrix);
        let density = &weights.density;
        let update = |update: &super::weights::Update| -> Result<[Both; 3]> {
            Ok([
                both(&update.mix)?,
                both(&update.hidden.matrix)?,
                both(&update.out.matrix)?,
            ])
        };
        Ok(Some(Self {
            density: [
                both(&density.scalar.matrix)?,
                both(&density.vector.matrix)?,
                both(&tensor.matrix)?,
            ],
            updates: [update(first)?, update(last)?],
            phi: [both(&message.hidden.matrix)?, both(&message.out.matrix)?],
            filter: {
                let filter = gpu.download(&message.filter)?;
                gpu.upload(&packed(&filter, message.out.matrix.outputs))?
            },
            readout: both(&weights.readout_hidden.matrix)?,
        }))
    }

    /// The kernels' view of these and of the f32 weights that they go with.
    pub fn structure(&self, weights: &Weights) -> abi::TileStudent {
        let [scalar, vector, tensor] = self.density.each_ref().map(Both::structure);
        let density = &weights.density;
        let gate2 = density
            .tensor
            .as_ref()
            .map_or(Pointer::NONE, |tensor| Pointer::to(&tensor.gate));
        let dense = |both: &Both, dense: &Dense| abi::TileDense {
            matrix: both.structure(),
            bias: Pointer::to(&dense.bias),
        };
        let update = |n: usize| {
            let [mix, hidden, out] = &self.updates[n];
            abi::TileUpdate {
                mix: mix.structure(),
                hidden: dense(hidden, &weights.updates[n].hidden),
                out: dense(out, &weights.updates[n].out),
            }
        };
        let message = &weights.messages[0];
        let repulsion = Pointer::to(&weights.repulsion);
        abi::TileStudent {
            scalar,
            vector,
            tensor,
            embedding: Pointer::to(&density.embedding),
            gate0: Pointer::to(&density.scalar.gate),
            gate1: Pointer::to(&density.vector.gate),
            gate2,
            update: [update(0), update(1)],
            phi_hidden: dense(&self.phi[0], &message.hidden),
            phi_out: dense(&self.phi[1], &message.out),
            filter: abi::Packed {
                columns: Pointer::to(&self.filter),
                depth: 1,
                unused: 0,
            },
            gate_scalar: Pointer::to(&message.gate_scalar),
            gate_vector: Pointer::to(&message.gate_vector),
            readout: dense(&self.readout, &weights.readout_hidden),
            readout_weight: Pointer::to(&weights.readout_weight),
            readout_bias: Pointer::to(&weights.readout_bias),
            repulsion,
            core: if weights.core {
                repulsion
            } else {
                Pointer::NONE
            },
            dispersion: weights.dispersion().table,
            cutoff_ang: weights.cutoff_ang,
            norm_epsilon: weights.norm_epsilon,
            elements: weights.elements as i32,
        }
    }
}

impl Both {
    fn pack(gpu: &Gpu, matrix: &Matrix) -> Result<Self> {
        let Matrix {
            inputs, outputs, ..
        } = *matrix;
        let forward = gpu.download(&matrix.weight)?;
        let backward = gpu.download(&matrix.transposed)?;
        Ok(Self {
            forward: gpu.upload(&packed(&forward, outputs))?,
            backward: gpu.upload(&packed(&backward, inputs))?,
            inputs,
            outputs,
        })
    }

    fn structure(&self) -> abi::PackedBoth {
        let packed = |columns, rows: usize| abi::Packed {
            columns: Pointer::to(columns),
            depth: (rows / 16) as i32,
            unused: 0,
        };
        abi::PackedBoth {
            forward: packed(&self.forward, self.inputs),
            backward: packed(&self.backward, self.outputs),
        }
    }
}

/// A row-major matrix with `columns` columns in the order of lanes.
fn packed(matrix: &[f32], columns: usize) -> Vec<u32> {
    let rows = matrix.len() / columns;
    let half = |row: usize, column: usize| {
        u32::from(f16::from_f32(matrix[row * columns + column]).to_bits())
    };
    let mut words = Vec::with_capacity(matrix.len() / 2);
    for group in 0..columns / 8 {
        for depth in 0..rows / 16 {
            for lane in 0..WARP {
                let (row, column) = (16 * depth + lane % 4 * 2, 8 * group + lane / 4);
                for row in [row, row + 8] {
                    words.push(half(row, column) | half(row + 1, column) << 16);
                }
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_has_its_rows_of_its_column() {
        let matrix: Vec<f32> = (0..32 * 16u16).map(f32::from).collect();
        let words = packed(&matrix, 16);
        assert_eq!(words.len(), matrix.len() / 2);
        // Second eight columns, second sixteen rows, lane 4 · 3 + 2: column 11, rows 20, 21, 28, 29.
        let at = ((2 + 1) * WARP + 14) * 2;
        let halves = [words[at], words[at + 1]].map(|word| {
            [word & 0xFFFF, word >> 16].map(|bits| f16::from_bits(bits as u16).to_f32())
        });
        let expected =
            [[20, 21], [28, 29]].map(|rows| rows.map(|row: u16| f32::from(16 * row + 11)));
        assert_eq!(halves, expected);
    }
}
