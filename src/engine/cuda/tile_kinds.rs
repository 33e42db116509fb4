//! The kinds of tiles that a GPU steps: how many rows, by how many blocks, and how many at once.

use cudarc::driver::sys::{
    CUdevice_attribute as DeviceAttribute, CUfunction_attribute as Attribute,
};
use cudarc::driver::{CudaContext, CudaStream, LaunchConfig};

use super::abi::{Sizes, TILE_ROWS, TileSizes};
use super::gpu::{Kernels, failed};
use crate::error::Result;

/// Two tiles that share a multiprocessor take so many times as long as one alone: two of 48 rows with 64
/// channels 149 µs where one takes 95 of benzene, 208 and 163 of a molecule of 40 atoms (NVIDIA H200).
const SHARING: f64 = 1.5;

/// One kind of tile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    /// Rows of a tile.
    pub rows: usize,
    /// Blocks that step a tile: a cluster, or one.
    pub blocks: usize,
    /// Tiles that the GPU steps at once,
    pub at_once: usize,
    /// and while each has its multiprocessors for itself.
    pub alone: usize,
    /// What a step of a tile that is alone costs, in units of one of 16 rows by one block.
    pub cost: f64,
    /// Shared memory a block, bytes.
    pub shared_bytes: usize,
    /// Global memory a block, bytes.
    pub scratch_bytes: usize,
}

impl Kind {
    /// What a step of so many tiles costs.
    pub fn cost_of(&self, tiles: usize) -> f64 {
        let of_round = |tiles: usize| match tiles {
            0 => 0.0,
            _ if tiles <= self.alone => self.cost,
            _ => self.cost * SHARING,
        };
        (tiles / self.at_once) as f64 * of_round(self.at_once) + of_round(tiles % self.at_once)
    }
}

/// One benzene by a cluster took 38 µs where a block took 59 (NVIDIA H200; 36 and 54 with later kernels).
pub const COST_OF_CLUSTER: f64 = 0.65;

/// Costs of tiles of [`TILE_ROWS`] by one block. On an NVIDIA H200 rounds of one, two, four and five benzenes a tile take 54,
/// 94, 148 and 181 µs with 128 channels, 40, 62, 95 and 141 µs with 64; of one, two and three aspirins 104, 173 and 224 or
/// 82, 144 and 192 µs in the three larger ones. Of 128 rows three molecules of 40 atoms take 562 µs, three tiles of 48
/// rows one after the other 561. A number for all molecules is true to a tenth or so.
pub fn costs_of(channels: usize) -> [f64; TILE_ROWS.len()] {
    match channels {
        64 => [1.0, 1.9, 2.6, 3.6, 8.5],
        _ => [1.0, 1.72, 2.85, 3.5, 8.6],
    }
}

/// The kinds that a GPU with so many multiprocessors has room for; their kernels get the shared memory
/// that they need.
pub fn kinds_of(
    kernels: &Kernels,
    (context, stream): (&CudaContext, &CudaStream),
    (sizes, tiles): (Sizes, &TileSizes),
    multiprocessors: usize,
) -> Result<Vec<Kind>> {
    let attribute = |attribute| -> Result<usize> {
        let bytes = context.attribute(attribute);
        Ok(bytes.map_err(failed("ask for shared memory"))? as usize)
    };
    let of_block = DeviceAttribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
    let of_all = DeviceAttribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR;
    let (block_bytes, all_bytes) = (attribute(of_block)?, attribute(of_all)?);
    let costs = costs_of(sizes.channels);
    let mut kinds = Vec::new();
    for (n, rows) in TILE_ROWS.into_iter().enumerate() {
        let shared_bytes = tiles.shared[n];
        if shared_bytes > block_bytes {
            continue;
        }
        // The system takes 1 KiB a block.
        let room = (all_bytes / (shared_bytes + 1024)).clamp(1, tiles.at_once[n]);
        let kind = Kind {
            rows,
            blocks: 1,
            at_once: multiprocessors * room,
            alone: multiprocessors,
            cost: costs[n],
            shared_bytes,
            scratch_bytes: tiles.global[n],
        };
        set_aside(kernels, &kind, room > 1)?;
        kinds.push(kind);
    }
    let shared_bytes = tiles.of_cluster.shared;
    if tiles.of_cluster.blocks > 0 && shared_bytes <= block_bytes {
        let mut kind = Kind {
            rows: TILE_ROWS[0],
            blocks: tiles.of_cluster.blocks,
            at_once: 0,
            alone: 0,
            cost: COST_OF_CLUSTER,
            shared_bytes,
            scratch_bytes: 0,
        };
        set_aside(kernels, &kind, false)?;
        let shape = LaunchConfig {
            grid_dim: (kind.blocks as u32, 1, 1),
            block_dim: (sizes.tile_threads(), 1, 1),
            shared_mem_bytes: shared_bytes as u32,
        };
        // A part of a GPU may have no room for a single one.
        let function = &kernels.step_tiles(&kind).function;
        let at_once = function.occupancy_max_active_clusters(shape, stream);
        kind.at_once = at_once.map_err(failed("ask for room"))? as usize;
        kind.alone = kind.at_once;
        if kind.at_once > 0 {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// Lets the kernel of a kind have its shared memory, all of a multiprocessor's where several blocks share it.
fn set_aside(kernels: &Kernels, kind: &Kind, several: bool) -> Result<()> {
    let function = &kernels.step_tiles(kind).function;
    let most = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    let share = Attribute::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT;
    let set = |attribute, to| {
        let set = function.set_attribute(attribute, to);
        set.map_err(failed("set aside shared memory"))
    };
    set(most, kind.shared_bytes as i32)?;
    if several { set(share, 100) } else { Ok(()) }
}
