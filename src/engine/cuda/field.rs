//! Energy and forces of a batch: the order of the launches, forward and backward.
//!
//! Every array of the network is here. The gradient takes the place of what it is the gradient of
//! wherever nobody needs that any more; the comments beside the arrays say so.

use cudarc::driver::CudaSlice;

use super::abi::{self, Argument, Pointer, THREADS, WARP};
use super::batch::Batch;
use super::gpu::{Gpu, failed};
use super::layout::Extent;
use super::weights::{Dense, Matrix, Weights};
use crate::error::Result;
use crate::student::Architecture;

/// Rows of warps that a block of [`THREADS`] threads serves.
const ROWS_PER_BLOCK: usize = THREADS as usize / WARP;

/// What one evaluation writes: M atoms, P directed pairs, E elements.
pub struct Field {
    weights: Option<Weights>,
    wells: CudaSlice<f64>,
    wells_count: usize,
    cutoff_ang: f64,
    pairs: PairArrays,
    network: Option<NetworkArrays>,
}

/// Of pairs; see `Pairs` in kernels/sizes.cuh.
struct PairArrays {
    count: CudaSlice<i32>,
    list: CudaSlice<i32>,
    distance_ang: CudaSlice<f64>,
    unit: CudaSlice<f32>,
    basis: CudaSlice<f32>,
    slope: CudaSlice<f32>,
    gradient: CudaSlice<f32>,
    reached: CudaSlice<i32>,
}

/// Of the network.
struct NetworkArrays {
    /// energies of the atoms                              (M,)
    energy_ev: CudaSlice<f64>,
    /// densities, later their gradients                   (M, E K), (M, 3, E K), (M, 5, E K)
    densities: [CudaSlice<f32>; 3],
    /// scalars                                            (M, F)
    q: CudaSlice<f32>,
    /// vectors into each update                           L × (M, 3, F)
    v: Vec<CudaSlice<f32>>,
    /// tensors, later their gradient                      (M, 5, T)
    t: CudaSlice<f32>,
    updates: Vec<UpdateArrays>,
    messages: Vec<MessageArrays>,
    readout: CudaSlice<f32>,
    readout_before: CudaSlice<f32>,
    /// silu of whichever network's hidden units           (M, F)
    hidden: CudaSlice<f32>,
    /// gradient by a, b, c of an update                   (M, 3F)
    d_acb: CudaSlice<f32>,
    dq: CudaSlice<f32>,
    /// gradients by v, in turns                           2 × (M, 3, F)
    dv: [CudaSlice<f32>; 2],
}

/// Of one update.
struct UpdateArrays {
    /// U and V, later their gradient                      (M, 3, 2F)
    uv: CudaSlice<f32>,
    /// q, |V| and |t|, later their gradient               (M, I)
    x: CudaSlice<f32>,
    /// before silu, later its gradient                    (M, F)
    before: CudaSlice<f32>,
    /// a, c and b                                         (M, 3F) or (M, 2F)
    acb: CudaSlice<f32>,
    inputs: usize,
    outputs: usize,
}

/// Of one message.
struct MessageArrays {
    /// before silu, later its gradient                    (M, F)
    before: CudaSlice<f32>,
    /// φ, later its gradient                              (M, 3F)
    phi: CudaSlice<f32>,
}

impl PairArrays {
    fn new(gpu: &Gpu, Extent { rows, pairs }: Extent, radial: usize) -> Result<Self> {
        let mut gradient = gpu.array(4 * pairs)?;
        // Without a student nothing writes it, and the forces of pairs are zero.
        gpu.stream
            .memset_zeros(&mut gradient)
            .map_err(failed("clear memory"))?;
        Ok(Self {
            count: gpu.array(rows)?,
            list: gpu.array(pairs)?,
            distance_ang: gpu.array(pairs)?,
            unit: gpu.array(4 * pairs)?,
            basis: gpu.array(pairs * radial)?,
            slope: gpu.array(pairs * radial)?,
            gradient,
            reached: gpu.array(rows)?,
        })
    }

    fn structure(&self) -> abi::Pairs {
        abi::Pairs {
            count: Pointer::to(&self.count),
            list: Pointer::to(&self.list),
            distance_ang: Pointer::to(&self.distance_ang),
            unit: Pointer::to(&self.unit),
            basis: Pointer::to(&self.basis),
            slope: Pointer::to(&self.slope),
            gradient: Pointer::to(&self.gradient),
        }
    }
}

impl NetworkArrays {
    fn new(gpu: &Gpu, architecture: &Architecture, elements: usize, rows: usize) -> Result<Self> {
        let Architecture {
            channels: f,
            layers,
            radial: k,
            tensor_channels: t,
            ..
        } = *architecture;
        let array = |width: usize| gpu.array::<f32>(rows * width);
        let update = |layer: usize| -> Result<UpdateArrays> {
            let inputs = if layer == 1 { 2 * f + t } else { 2 * f };
            let outputs = architecture.update_width(layer);
            Ok(UpdateArrays {
                uv: array(6 * f)?,
                x: array(inputs)?,
                before: array(f)?,
                acb: array(outputs)?,
                inputs,
                outputs,
            })
        };
        let message = |_| -> Result<MessageArrays> {
            Ok(MessageArrays {
                before: array(f)?,
                phi: array(3 * f)?,
            })
        };
        Ok(Self {
            energy_ev: gpu.array(rows)?,
            densities: [
                array(elements * k)?,
                array(3 * elements * k)?,
                array(if t > 0 { 5 * elements * k } else { 0 })?,
            ],
            q: array(f)?,
            v: (0..layers).map(|_| array(3 * f)).collect::<Result<_>>()?,
            t: array(5 * t)?,
            updates: (1..=layers).map(update).collect::<Result<_>>()?,
            messages: (2..=layers).map(message).collect::<Result<_>>()?,
            readout: array(f / 2)?,
            readout_before: array(f / 2)?,
            hidden: array(f)?,
            d_acb: array(3 * f)?,
            dq: array(f)?,
            dv: [array(3 * f)?, array(3 * f)?],
        })
    }
}

impl Field {
    /// Room for batches of up to this extent.
    pub fn new(
        gpu: &Gpu,
        student: Option<(&Architecture, Weights)>,
        wells_ev_per_ang2: &[f64],
        room: Extent,
    ) -> Result<Self> {
        let radial = student
            .as_ref()
            .map_or(0, |(architecture, _)| architecture.radial);
        let network = match &student {
            Some((architecture, weights)) => Some(NetworkArrays::new(
                gpu,
                architecture,
                weights.elements,
                room.rows,
            )?),
            None => None,
        };
        let cutoff_ang = student
            .as_ref()
            .map_or(f64::INFINITY, |(_, weights)| weights.cutoff_ang);
        Ok(Self {
            weights: student.map(|(_, weights)| weights),
            wells: gpu.upload(wells_ev_per_ang2)?,
            wells_count: wells_ev_per_ang2.len(),
            cutoff_ang,
            pairs: PairArrays::new(gpu, room, radial)?,
            network,
        })
    }

    /// Bytes on the device for an evaluation of so many atoms and pairs.
    pub fn device_bytes(
        architecture: Option<&Architecture>,
        elements: usize,
        Extent { rows, pairs }: Extent,
    ) -> usize {
        let of_pairs = |radial: usize| pairs * (4 + 8 + 16 + 16 + 8 * radial) + 8 * rows;
        let Some(architecture) = architecture else {
            return of_pairs(0);
        };
        let Architecture {
            channels: f,
            layers,
            radial: k,
            tensor_channels: t,
            ..
        } = *architecture;
        let first = 9 * elements * k + f + 5 * t + t;
        let layer = 3 * f + (6 * f + 2 * f + f + 3 * f) + (f + 3 * f);
        let rest = f + f + 3 * f + f + 6 * f;
        of_pairs(k) + rows * (8 + 4 * (first + layers * layer + rest))
    }

    /// Energy and forces of every running replica, after a look at whether they may be asked for.
    pub fn evaluate(&self, gpu: &Gpu, batch: &Batch) -> Result<()> {
        let launches = Launches {
            gpu,
            batch: batch.layout(),
            rows: batch.rows(),
        };
        let (state, progress) = (batch.state(), batch.progress());
        let pairs = self.pairs.structure();
        let kernels = &gpu.kernels;
        let replicas = batch.len();
        let reached = Pointer::to(&self.pairs.reached);

        launches.by_warp(
            "geometry",
            &kernels.find_neighbours,
            launches.rows,
            &[&launches.batch, &self.cutoff_ang, &state, &progress, &pairs],
        )?;
        launches.by_warp(
            "domain",
            &kernels.inspect,
            replicas,
            &[&launches.batch, &state, &pairs, &reached, &progress],
        )?;
        let mut energy_of_row_ev = Pointer::NONE;
        if let (Some(weights), Some(arrays)) = (&self.weights, &self.network) {
            energy_of_row_ev = Pointer::to(&arrays.energy_ev);
            let evaluation = Evaluation {
                launches: &launches,
                weights,
                arrays,
                pairs,
            };
            evaluation.forward()?;
            evaluation.backward()?;
        }
        let blocks = (launches.rows.div_ceil(THREADS as usize), 1);
        gpu.launch(
            "forces",
            &kernels.forces,
            blocks,
            THREADS,
            &[&launches.batch, &pairs, &progress, &state],
        )?;
        launches.by_warp(
            "energies",
            &kernels.energies,
            replicas,
            &[
                &launches.batch,
                &batch.reference_ev(),
                &Pointer::to(&self.wells),
                &(self.wells_count as i32),
                &energy_of_row_ev,
                &state,
                &progress,
            ],
        )
    }
}

/// The shapes of launches over one batch.
struct Launches<'a> {
    gpu: &'a Gpu,
    batch: abi::Batch,
    rows: usize,
}

type Kernel = super::gpu::Kernel;
type Arguments<'a> = &'a [&'a dyn Argument];

/// Nothing follows a product.
const PLAIN: abi::Epilogue = abi::Epilogue {
    bias: Pointer::NONE,
    accumulate: 0,
    gate: Pointer::NONE,
    base: Pointer::NONE,
    slope: Pointer::NONE,
    before_silu: Pointer::NONE,
    element: Pointer::NONE,
    rows_per_atom: 1,
};

impl Launches<'_> {
    /// One warp for each of `count` rows or replicas.
    fn by_warp(
        &self,
        stage: &'static str,
        kernel: &Kernel,
        count: usize,
        arguments: Arguments<'_>,
    ) -> Result<()> {
        self.gpu.launch(
            stage,
            kernel,
            (count.div_ceil(ROWS_PER_BLOCK), 1),
            THREADS,
            arguments,
        )
    }

    /// One block for each row.
    fn by_block(
        &self,
        stage: &'static str,
        kernel: &Kernel,
        threads: u32,
        arguments: Arguments<'_>,
    ) -> Result<()> {
        self.gpu
            .launch(stage, kernel, (self.rows, 1), threads, arguments)
    }

    /// y = x W with `rows_per_atom` rows for each atom, and what the epilogue says.
    fn product(
        &self,
        stage: &'static str,
        (weight, inner, columns): (&CudaSlice<f32>, usize, usize),
        mut epilogue: abi::Epilogue,
        x: &CudaSlice<f32>,
        y: &CudaSlice<f32>,
    ) -> Result<()> {
        let kernels = &self.gpu.kernels;
        let rows = self.rows * epilogue.rows_per_atom as usize;
        let blocks = |tile_rows: usize| {
            (
                rows.div_ceil(tile_rows),
                columns.div_ceil(abi::TILE_COLUMNS),
            )
        };
        // High tiles only when they still give every multiprocessor several blocks.
        let enough =
            |tile_rows| blocks(tile_rows).0 * blocks(tile_rows).1 >= 4 * self.gpu.multiprocessors;
        let (kernel, tile_rows) = match () {
            () if enough(128) => (&kernels.product_128_rows, 128),
            () if enough(64) => (&kernels.product_64_rows, 64),
            () => (&kernels.product_32_rows, 32),
        };
        epilogue.element = self.batch.element;
        self.gpu.launch(
            stage,
            kernel,
            blocks(tile_rows),
            THREADS,
            &[
                &(rows as i32),
                &(inner as i32),
                &(columns as i32),
                &Pointer::to(weight),
                &epilogue,
                &Pointer::to(x),
                &Pointer::to(y),
            ],
        )
    }

    /// y = x W.
    fn forward(
        &self,
        stage: &'static str,
        matrix: &Matrix,
        epilogue: abi::Epilogue,
        x: &CudaSlice<f32>,
        y: &CudaSlice<f32>,
    ) -> Result<()> {
        self.product(
            stage,
            (&matrix.weight, matrix.inputs, matrix.outputs),
            epilogue,
            x,
            y,
        )
    }

    /// dx = dy Wᵀ.
    fn backward(
        &self,
        stage: &'static str,
        matrix: &Matrix,
        epilogue: abi::Epilogue,
        dy: &CudaSlice<f32>,
        dx: &CudaSlice<f32>,
    ) -> Result<()> {
        self.product(
            stage,
            (&matrix.transposed, matrix.outputs, matrix.inputs),
            epilogue,
            dy,
            dx,
        )
    }

    /// silu(x W + b), keeping what silu is taken of.
    fn hidden(
        &self,
        stage: &'static str,
        dense: &Dense,
        x: &CudaSlice<f32>,
        before: &CudaSlice<f32>,
        y: &CudaSlice<f32>,
    ) -> Result<()> {
        let before_silu = Pointer::to(before);
        let epilogue = abi::Epilogue {
            bias: Pointer::to(&dense.bias),
            before_silu,
            ..PLAIN
        };
        self.forward(stage, &dense.matrix, epilogue, x, y)
    }

    /// x W + b.
    fn dense(
        &self,
        stage: &'static str,
        dense: &Dense,
        x: &CudaSlice<f32>,
        y: &CudaSlice<f32>,
    ) -> Result<()> {
        let epilogue = abi::Epilogue {
            bias: Pointer::to(&dense.bias),
            ..PLAIN
        };
        self.forward(stage, &dense.matrix, epilogue, x, y)
    }

    /// The gradient by what silu was taken of, in its place.
    fn hidden_backward(
        &self,
        stage: &'static str,
        out: &Dense,
        d_out: &CudaSlice<f32>,
        before: &CudaSlice<f32>,
    ) -> Result<()> {
        // Forward: out = silu(before) W + b
        let epilogue = abi::Epilogue {
            slope: Pointer::to(before),
            ..PLAIN
        };
        self.backward(stage, &out.matrix, epilogue, d_out, before)
    }
}

/// The student on one batch.
struct Evaluation<'a> {
    launches: &'a Launches<'a>,
    weights: &'a Weights,
    arrays: &'a NetworkArrays,
    pairs: abi::Pairs,
}

impl Evaluation<'_> {
    fn forward(&self) -> Result<()> {
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
    fn backward(&self) -> Result<()> {
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
        launches.by_warp(
            "radial",
            &kernels.radial,
            launches.rows,
            &[&launches.batch, &weights.cutoff_ang, pairs],
        )?;
        launches.by_warp(
            "repulsion",
            &kernels.repulsion,
            launches.rows,
            &[
                &launches.batch,
                &(weights.elements as i32),
                &Pointer::to(&weights.repulsion),
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
        launches.by_block(
            "message",
            &gpu.kernels.message,
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
        launches.by_block(
            "message⁻",
            &gpu.kernels.message_backward,
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
