//! Whole steps on the device: tiles of replicas that blocks advance by themselves.

use cudarc::driver::CudaSlice;

use super::abi::{self, Pointer};
use super::batch::Batch;
use super::gpu::{Gpu, StageTime};
use super::steps;
use super::tile_kinds::Kind;
use super::tile_weights::TileWeights;
use super::tiles::Tiling;
use super::weights::Weights;
use crate::engine::Op;
use crate::error::{Error, Result};
use crate::system::System;

/// Steps of one launch at most, so that the host hears of a failure before long.
const STEPS_MAX: u64 = 1000;

/// What a profile calls the kernels of tiles of more than one kind.
const OF_SEVERAL_KINDS: &str = "step_tiles";

/// The student for tiles.
pub struct TileField {
    weights: Weights,
    packed: TileWeights,
    wells: CudaSlice<f64>,
    wells_count: usize,
}

/// A batch's tiles, and what their blocks work in.
pub struct TileArrays {
    launches: Vec<TileLaunch>,
    /// Rows of all tiles, whether an atom has them or not.
    pub rows: usize,
    /// Of the launch that needs the most.
    scratch: CudaSlice<u64>,
}

/// Tiles of one launch.
struct TileLaunch {
    kind: Kind,
    count: usize,
    blocks: usize,
    first: CudaSlice<i32>,
    replica: CudaSlice<i32>,
}

impl TileArrays {
    /// Tiles for replicas of so many atoms each; none where one is too large for a tile.
    pub fn new(gpu: &Gpu, atoms: &[usize]) -> Result<Option<Self>> {
        let Some(tilings) = Tiling::best(atoms, &gpu.tile_kinds) else {
            return Ok(None);
        };
        let launches = tilings.iter().map(|tiling| TileLaunch::new(gpu, tiling));
        let launches = launches.collect::<Result<Vec<_>>>()?;
        let bytes = |tiles: &TileLaunch| tiles.blocks * tiles.kind.scratch_bytes;
        let bytes = launches.iter().map(bytes).max().unwrap_or(0);
        Ok(Some(Self {
            rows: launches
                .iter()
                .map(|tiles| tiles.count * tiles.kind.rows)
                .sum(),
            // In words of eight bytes, and one where all is in shared memory: nothing can be allocated of nothing.
            scratch: gpu.array((bytes / 8).max(1))?,
            launches,
        }))
    }
}

impl TileLaunch {
    fn new(gpu: &Gpu, Tiling { kind, members }: &Tiling) -> Result<Self> {
        let kind = gpu.tile_kinds[*kind];
        let mut first = vec![0];
        for members in members {
            first.push(first[first.len() - 1] + members.len() as i32);
        }
        let replica: Vec<i32> = members.iter().flatten().map(|n| *n as i32).collect();
        Ok(Self {
            kind,
            count: members.len(),
            blocks: members.len().min(kind.at_once) * kind.blocks,
            first: gpu.upload(&first)?,
            replica: gpu.upload(&replica)?,
        })
    }

    fn structure(&self) -> abi::Tiles {
        abi::Tiles {
            count: self.count as i32,
            unused: 0,
            first: Pointer::to(&self.first),
            replica: Pointer::to(&self.replica),
        }
    }
}

impl TileField {
    /// The student for tiles, if it has two layers and tensors.
    pub fn new(gpu: &Gpu, weights: Weights, wells_ev_per_ang2: &[f64]) -> Result<Option<Self>> {
        let packed = TileWeights::pack(gpu, &weights)?;
        let wells = gpu.upload(wells_ev_per_ang2)?;
        Ok(packed.map(|packed| Self {
            weights,
            packed,
            wells,
            wells_count: wells_ev_per_ang2.len(),
        }))
    }

    /// Energy and forces of every running replica.
    pub fn evaluate(
        &self,
        gpu: &Gpu,
        system: &System,
        batch: &Batch,
        tiles: &TileArrays,
    ) -> Result<()> {
        tiles.launches.iter().try_for_each(|tiles_of| {
            let nothing = (&[][..], 0);
            self.launch(gpu, system, batch, tiles, tiles_of, nothing, Pointer::NONE)
        })
    }

    /// Steps every running replica.
    pub fn advance(
        &self,
        gpu: &Gpu,
        system: &System,
        batch: &Batch,
        tiles: &TileArrays,
        (program, mut steps): (&[Op], u64),
    ) -> Result<()> {
        let pieces = steps::pieces(program)?;
        while steps > 0 {
            let now = steps.min(STEPS_MAX);
            for tiles_of in &tiles.launches {
                let program = (&pieces[..], now);
                self.launch(gpu, system, batch, tiles, tiles_of, program, Pointer::NONE)?;
            }
            steps -= now;
        }
        Ok(())
    }

    /// Time of every stage: that of the launches, each in the proportions of its first block's cycles.
    pub fn profile(
        &self,
        gpu: &Gpu,
        system: &System,
        batch: &Batch,
        tiles: &TileArrays,
        (program, steps): (&[Op], u64),
    ) -> Result<Vec<StageTime>> {
        let pieces = steps::pieces(program)?;
        let kernel = match &tiles.launches[..] {
            [tiles_of] => gpu.kernels.step_tiles(&tiles_of.kind).name,
            _ => OF_SEVERAL_KINDS,
        };
        let mut stages = abi::TILE_STAGES.map(|stage| StageTime {
            stage,
            kernel,
            time_ms: 0.0,
        });
        for tiles_of in &tiles.launches {
            let cycles = gpu.upload(&[0u64; abi::TILE_STAGES.len() + 1])?;
            let whole = gpu.time(|| {
                let (program, cycles) = ((&pieces[..], steps), Pointer::to(&cycles));
                self.launch(gpu, system, batch, tiles, tiles_of, program, cycles)
            })?;
            let cycles = &gpu.download(&cycles)?[..abi::TILE_STAGES.len()];
            let sum = cycles.iter().sum::<u64>().max(1) as f64;
            let time_ms: f64 = whole.iter().map(|stage| stage.time_ms).sum();
            for (stage, &cycles) in stages.iter_mut().zip(cycles) {
                stage.time_ms += time_ms * cycles as f64 / sum;
            }
        }
        Ok(stages.into())
    }

    #[allow(clippy::too_many_arguments, reason = "a launch is what it is given")]
    fn launch(
        &self,
        gpu: &Gpu,
        system: &System,
        batch: &Batch,
        tiles: &TileArrays,
        tiles_of: &TileLaunch,
        (pieces, steps): (&[abi::Piece], u64),
        cycles: Pointer<u64>,
    ) -> Result<()> {
        if pieces.len() > abi::PIECES_MAX {
            let what = format!("a scheme with {} pieces in a step", pieces.len());
            let hint = format!("a GPU takes {}", abi::PIECES_MAX);
            return Err(Error::run(what).hint(hint));
        }
        let mut program = abi::Program {
            pieces: pieces.len() as i32,
            steps: steps as i32,
            piece: [abi::Piece::EMPTY; abi::PIECES_MAX],
        };
        program.piece[..pieces.len()].copy_from_slice(pieces);
        let analytic = abi::Analytic {
            reference_ev: batch.reference_ev(),
            well_ev_per_ang2: Pointer::to(&self.wells),
            wells: self.wells_count as i32,
            unused: 0,
        };
        gpu.launch_with_shared(
            "steps",
            gpu.kernels.step_tiles(&tiles_of.kind),
            tiles_of.blocks,
            (gpu.sizes.tile_threads(), tiles_of.kind.shared_bytes),
            &[
                &tiles_of.structure(),
                &program,
                &self.packed.structure(&self.weights),
                &batch.layout(),
                &batch.state(),
                &batch.progress(),
                &batch.conditions(system),
                &analytic,
                &Pointer::to(&tiles.scratch),
                &cycles,
            ],
        )
    }
}
