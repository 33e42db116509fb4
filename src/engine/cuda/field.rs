//! Energy and forces of a batch: geometry, the student, and the terms beside it.

use cudarc::driver::CudaSlice;

use super::abi::{self, Pointer};
use super::arrays::{NetworkArrays, PairArrays};
use super::batch::Batch;
use super::gpu::Gpu;
use super::launches::Launches;
use super::layout::Extent;
use super::network::Evaluation;
use super::weights::Weights;
use crate::error::Result;
use crate::student::Architecture;

/// What one evaluation writes: M atoms, P directed pairs, E elements.
pub struct Field {
    weights: Option<Weights>,
    wells: CudaSlice<f64>,
    wells_count: usize,
    cutoff_ang: f64,
    pairs: PairArrays,
    network: Option<NetworkArrays>,
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
        let mut dispersion = abi::Dispersion::NONE;
        if let (Some(weights), Some(arrays)) = (&self.weights, &self.network) {
            energy_of_row_ev = Pointer::to(&arrays.energy_ev);
            dispersion = weights.dispersion();
            let evaluation = Evaluation {
                launches: &launches,
                weights,
                arrays,
                pairs,
            };
            evaluation.forward()?;
            evaluation.backward()?;
        }
        launches.by_warp(
            "forces",
            &kernels.forces,
            launches.rows,
            &[
                &launches.batch,
                &dispersion,
                &pairs,
                &progress,
                &energy_of_row_ev,
                &state,
            ],
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
