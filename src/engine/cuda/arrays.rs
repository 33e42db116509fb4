//! The arrays that an evaluation writes: M atoms, P directed pairs, E elements.
//!
//! The gradient takes the place of what it is the gradient of wherever nobody needs that any more;
//! the comments beside the arrays say so.

use cudarc::driver::CudaSlice;

use super::abi::{self, Pointer};
use super::gpu::{Gpu, failed};
use super::layout::Extent;
use crate::error::Result;
use crate::student::Architecture;

/// Of pairs; see `Pairs` in kernels/sizes.cuh.
pub struct PairArrays {
    pub count: CudaSlice<i32>,
    pub list: CudaSlice<i32>,
    pub distance_ang: CudaSlice<f64>,
    pub unit: CudaSlice<f32>,
    pub basis: CudaSlice<f32>,
    pub slope: CudaSlice<f32>,
    pub gradient: CudaSlice<f32>,
    pub reached: CudaSlice<i32>,
}

/// Of the network.
pub struct NetworkArrays {
    /// energies of the atoms                              (M,)
    pub energy_ev: CudaSlice<f64>,
    /// densities, later their gradients                   (M, E K), (M, 3, E K), (M, 5, E K)
    pub densities: [CudaSlice<f32>; 3],
    /// scalars                                            (M, F)
    pub q: CudaSlice<f32>,
    /// vectors into each update                           L × (M, 3, F)
    pub v: Vec<CudaSlice<f32>>,
    /// tensors, later their gradient                      (M, 5, T)
    pub t: CudaSlice<f32>,
    pub updates: Vec<UpdateArrays>,
    pub messages: Vec<MessageArrays>,
    pub readout: CudaSlice<f32>,
    pub readout_before: CudaSlice<f32>,
    /// silu of whichever network's hidden units           (M, F)
    pub hidden: CudaSlice<f32>,
    /// gradient by a, b, c of an update                   (M, 3F)
    pub d_acb: CudaSlice<f32>,
    pub dq: CudaSlice<f32>,
    /// gradients by v, in turns                           2 × (M, 3, F)
    pub dv: [CudaSlice<f32>; 2],
}

/// Of one update.
pub struct UpdateArrays {
    /// U and V, later their gradient                      (M, 3, 2F)
    pub uv: CudaSlice<f32>,
    /// q, |V| and |t|, later their gradient               (M, I)
    pub x: CudaSlice<f32>,
    /// before silu, later its gradient                    (M, F)
    pub before: CudaSlice<f32>,
    /// a, c and b                                         (M, 3F) or (M, 2F)
    pub acb: CudaSlice<f32>,
    pub inputs: usize,
    pub outputs: usize,
}

/// Of one message.
pub struct MessageArrays {
    /// before silu, later its gradient                    (M, F)
    pub before: CudaSlice<f32>,
    /// φ, later its gradient                              (M, 3F)
    pub phi: CudaSlice<f32>,
}

impl PairArrays {
    pub fn new(gpu: &Gpu, Extent { rows, pairs }: Extent, radial: usize) -> Result<Self> {
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

    pub fn structure(&self) -> abi::Pairs {
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
    pub fn new(
        gpu: &Gpu,
        architecture: &Architecture,
        elements: usize,
        rows: usize,
    ) -> Result<Self> {
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
