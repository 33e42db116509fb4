//! The student on a batch: the order of the launches, forward and backward.

use cudarc::driver::CudaSlice;

use super::abi::{self, Pointer, THREADS};
use super::arrays::NetworkArrays;
use super::launches::{Launches, PLAIN};
use super::weights::Weights;
use crate::error::Result;

/// The student on one batch.
pub struct Evaluation<'a> {
    pub launches: &'a Launches<'a>,
    pub weights: &'a Weights,
    pub arrays: &'a NetworkArrays,
    pub pairs: abi::Pairs,
}

impl Evaluation<'_> {
    pub fn forward(&self) -> Result<()> {
        self.pair_functions()?;
        self.density()?;
        for layer in 0..self.weights.updates.len() {
            if layer > 0 {
                self.message(layer)?;
            }
            self.update(layer)?;
        }
        self.readout()
    }

    /// Back through everything, last first.
    pub fn backward(&self) -> Result<()> {
        self.readout_backward()?;
        // The gradient by v is in `dv[turn]`; after the last update there is none yet.
        let mut turn = 0;
        for layer in (0..self.weights.updates.len()).rev() {
            self.update_backward(layer, turn)?;
            if layer > 0 {
                self.message_backward(layer, turn)?;
                turn = 1 - turn;
            }
        }
        self.density_backward(turn)
    }

    /// B, B' and the repulsion of every pair.
    fn pair_functions(&self) -> Result<()> {
        let Self {
            launches,
            weights,
            arrays,
            pairs,
        } = self;
        let kernels = &launches.gpu.kernels;
        let elements = weights.elements as i32;
        let table = Pointer::to(&weights.repulsion);
        let core = if weights.core { table } else { Pointer::NONE };
        launches.by_warp(
            "radial",
            &kernels.radial,
            launches.rows,
            &[
                &launches.batch,
                &weights.cutoff_ang,
                &elements,
                &core,
                pairs,
            ],
        )?;
        launches.by_warp(
            "repulsion",
            &kernels.repulsion,
            launches.rows,
            &[
                &launches.batch,
                &elements,
                &table,
                pairs,
                &Pointer::to(&arrays.energy_ev),
            ],
        )
    }

    /// q = embedding + g0 ⊙ A0 W0, v = g1 ⊙ A1 W1, t = g2 ⊙ A2 W2
    fn density(&self) -> Result<()> {
        let Self {
            launches,
            weights,
            arrays,
            pairs,
        } = self;
        let [a0, a1, a2] = &arrays.densities;
        let gpu = launches.gpu;
        launches.by_block(
            "density",
            &gpu.kernels.density,
            gpu.sizes.density_threads(),
            &[
                &launches.batch,
                &(weights.elements as i32),
                pairs,
                &Pointer::to(a0),
                &Pointer::to(a1),
                &Pointer::to(a2),
            ],
        )?;
        let density = &weights.density;
        let scalar = abi::Epilogue {
            gate: Pointer::to(&density.scalar.gate),
            base: Pointer::to(&density.embedding),
            ..PLAIN
        };
        launches.forward(
            "density.scalar",
            &density.scalar.matrix,
            scalar,
            a0,
            &arrays.q,
        )?;
        let gate = Pointer::to(&density.vector.gate);
        let vector = abi::Epilogue {
            gate,
            rows_per_atom: 3,
            ..PLAIN
        };
        launches.forward(
            "density.vector",
            &density.vector.matrix,
            vector,
            a1,
            &arrays.v[0],
        )?;
        let Some(tensor) = &density.tensor else {
            return Ok(());
        };
        let epilogue = abi::Epilogue {
            gate: Pointer::to(&tensor.gate),
            rows_per_atom: 5,
            ..PLAIN
        };
        launches.forward("density.tensor", &tensor.matrix, epilogue, a2, &arrays.t)
    }

    fn density_backward(&self, turn: usize) -> Result<()> {
        let Self {
            launches,
            weights,
            arrays,
            pairs,
        } = self;
        let [a0, a1, a2] = &arrays.densities;
        let density = &weights.density;
        // The gates are already in dq, dv and dt.
        launches.backward(
            "density.scalar⁻",
            &density.scalar.matrix,
            PLAIN,
            &arrays.dq,
            a0,
        )?;
        let rows = |rows_per_atom| abi::Epilogue {
            rows_per_atom,
            ..PLAIN
        };
        launches.backward(
            "density.vector⁻",
            &density.vector.matrix,
            rows(3),
            &arrays.dv[turn],
            a1,
        )?;
        if let Some(tensor) = &density.tensor {
            launches.backward("density.tensor⁻", &tensor.matrix, rows(5), &arrays.t, a2)?;
        }
        launches.by_block(
            "density⁻",
            &launches.gpu.kernels.density_backward,
            THREADS,
            &[
                &launches.batch,
                &(weights.elements as i32),
                &Pointer::to(a0),
                &Pointer::to(a1),
                &Pointer::to(a2),
                pairs,
            ],
        )
    }

    fn update(&self, layer: usize) -> Result<()> {
        let Self {
            launches,
            weights,
            arrays,
            ..
        } = self;
        let (update, own) = (&weights.updates[layer], &arrays.updates[layer]);
        let gpu = launches.gpu;
        let threads = gpu.sizes.channels as u32;
        let v = &arrays.v[layer];
        let vectors = abi::Epilogue {
            rows_per_atom: 3,
            ..PLAIN
        };
        launches.forward("update.mix", &update.mix, vectors, v, &own.uv)?;
        launches.by_block(
            "update.inputs",
            &gpu.kernels.update_inputs,
            threads,
            &[
                &(own.inputs as i32),
                &weights.norm_epsilon,
                &Pointer::to(&arrays.q),
                &Pointer::to(&own.uv),
                &Pointer::to(&arrays.t),
                &Pointer::to(&own.x),
            ],
        )?;
        launches.hidden(
            "update.hidden",
            &update.hidden,
            &own.x,
            &own.before,
            &arrays.hidden,
        )?;
        launches.dense("update.out", &update.out, &arrays.hidden, &own.acb)?;
        launches.by_block(
            "update.apply",
            &gpu.kernels.update_apply,
            threads,
            &[
                &(own.outputs as i32),
                &Pointer::to(&own.acb),
                &Pointer::to(&own.uv),
                &Pointer::to(&arrays.q),
                &Pointer::to(v),
            ],
        )
    }

    fn update_backward(&self, layer: usize, turn: usize) -> Result<()> {
        let Self {
            launches,
            weights,
            arrays,
            ..
        } = self;
        let (update, own) = (&weights.updates[layer], &arrays.updates[layer]);
        let gpu = launches.gpu;
        let threads = gpu.sizes.channels as u32;
        let dv = &arrays.dv[turn];
        launches.by_block(
            "update.apply⁻",
            &gpu.kernels.update_apply_backward,
            threads,
            &[
                &(own.outputs as i32),
                &Pointer::to(&own.uv),
                &Pointer::to(&arrays.dq),
                &Pointer::to(dv),
                &Pointer::to(&arrays.d_acb),
            ],
        )?;
        launches.hidden_backward("update.out⁻", &update.out, &arrays.d_acb, &own.before)?;
        launches.backward(
            "update.hidden⁻",
            &update.hidden.matrix,
            PLAIN,
            &own.before,
            &own.x,
        )?;

        // The first layer's gates belong to the density; they go in where its gradients are complete.
        let density = &weights.density;
        let first = layer == 0;
        let gate = |gate: &CudaSlice<f32>| {
            if first {
                Pointer::to(gate)
            } else {
                Pointer::NONE
            }
        };
        let gate_tensor = density
            .tensor
            .as_ref()
            .map_or(Pointer::NONE, |tensor| gate(&tensor.gate));
        launches.by_block(
            "update.inputs⁻",
            &gpu.kernels.update_inputs_backward,
            threads,
            &[
                &launches.batch,
                &(own.inputs as i32),
                &(own.outputs as i32),
                &weights.norm_epsilon,
                &gate(&density.scalar.gate),
                &gate_tensor,
                &Pointer::to(&own.acb),
                &Pointer::to(&own.x),
                &Pointer::to(dv),
                &Pointer::to(&own.uv),
                &Pointer::to(&arrays.t),
                &Pointer::to(&arrays.dq),
            ],
        )?;

        // The last update leaves v as it is, and nothing reads it afterwards.
        let last = layer + 1 == weights.updates.len();
        let vectors = abi::Epilogue {
            accumulate: i32::from(!last),
            gate: gate(&density.vector.gate),
            rows_per_atom: 3,
            ..PLAIN
        };
        launches.backward("update.mix⁻", &update.mix, vectors, &own.uv, dv)
    }

    /// The message into layer `layer` (from 0), which reads v of the layer before.
    fn message(&self, layer: usize) -> Result<()> {
        let Self {
            launches,
            weights,
            arrays,
            pairs,
        } = self;
        let (message, own) = (&weights.messages[layer - 1], &arrays.messages[layer - 1]);
        let gpu = launches.gpu;
        launches.hidden(
            "message.hidden",
            &message.hidden,
            &arrays.q,
            &own.before,
            &arrays.hidden,
        )?;
        launches.dense("message.out", &message.out, &arrays.hidden, &own.phi)?;
        gpu.launch(
            "message",
            &gpu.kernels.message,
            launches.blocks_of_several_rows(),
            gpu.sizes.channels as u32,
            &[
                &launches.batch,
                &Pointer::to(&message.filter),
                &Pointer::to(&message.gate_scalar),
                &Pointer::to(&message.gate_vector),
                pairs,
                &Pointer::to(&own.phi),
                &Pointer::to(&arrays.v[layer - 1]),
                &Pointer::to(&arrays.q),
                &Pointer::to(&arrays.v[layer]),
            ],
        )
    }

    fn message_backward(&self, layer: usize, turn: usize) -> Result<()> {
        let Self {
            launches,
            weights,
            arrays,
            pairs,
        } = self;
        let (message, own) = (&weights.messages[layer - 1], &arrays.messages[layer - 1]);
        let gpu = launches.gpu;
        gpu.launch(
            "message⁻",
            &gpu.kernels.message_backward,
            launches.blocks_of_several_rows(),
            gpu.sizes.channels as u32,
            &[
                &launches.batch,
                &Pointer::to(&message.filter),
                &Pointer::to(&message.gate_scalar),
                &Pointer::to(&message.gate_vector),
                &Pointer::to(&arrays.v[layer - 1]),
                &Pointer::to(&arrays.dq),
                &Pointer::to(&arrays.dv[turn]),
                &Pointer::to(&own.phi),
                pairs,
                &Pointer::to(&arrays.dv[1 - turn]),
            ],
        )?;
        launches.hidden_backward("message.out⁻", &message.out, &own.phi, &own.before)?;
        let add = abi::Epilogue {
            accumulate: 1,
            ..PLAIN
        };
        launches.backward(
            "message.hidden⁻",
            &message.hidden.matrix,
            add,
            &own.before,
            &arrays.dq,
        )
    }

    fn readout(&self) -> Result<()> {
        let Self {
            launches,
            weights,
            arrays,
            ..
        } = self;
        let hidden = &weights.readout_hidden;
        launches.hidden(
            "readout.hidden",
            hidden,
            &arrays.q,
            &arrays.readout_before,
            &arrays.readout,
        )?;
        launches.by_warp(
            "readout",
            &launches.gpu.kernels.readout,
            launches.rows,
            &[
                &(launches.rows as i32),
                &Pointer::to(&weights.readout_weight),
                &Pointer::to(&weights.readout_bias),
                &Pointer::to(&arrays.readout),
                &Pointer::to(&arrays.readout_before),
                &Pointer::to(&arrays.energy_ev),
            ],
        )
    }

    fn readout_backward(&self) -> Result<()> {
        let Self {
            launches,
            weights,
            arrays,
            ..
        } = self;
        let hidden = &weights.readout_hidden.matrix;
        launches.backward(
            "readout.hidden⁻",
            hidden,
            PLAIN,
            &arrays.readout_before,
            &arrays.dq,
        )
    }
}
