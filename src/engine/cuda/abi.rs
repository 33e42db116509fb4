//! The border to the device: the structures that kernels take, and the launch.
//!
//! This is the engine's only module with `unsafe` in it. The compiler cannot see what a kernel does
//! with an address; that its arguments are those of its C++ declaration is kept in three ways:
//! structures and block sizes are compared with the kernels' own when they are loaded ([`Sizes`]),
//! every kernel is launched by a test (`every_kernel_is_launched`) that runs under the vendor's checkers (`tools/gpu_check`).

#![allow(
    unsafe_code,
    reason = "launching a kernel hands addresses to code that Rust does not see"
)]

use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, DriverError,
    LaunchArgs, LaunchConfig, PinnedHostSlice, PushKernelArg, sys,
};

use crate::student::{Architecture, Student};

/// The address of an array of `T` on the device, or of none.
#[repr(transparent)]
#[derive(Debug)]
pub struct Pointer<T>(u64, PhantomData<*const T>);

impl<T> Clone for Pointer<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Pointer<T> {}

impl<T> Pointer<T> {
    /// No array.
    pub const NONE: Self = Self(0, PhantomData);

    /// The start of an array.
    pub fn to(array: &CudaSlice<T>) -> Self {
        Self::into(array, 0)
    }

    /// The element of an array from which on a structure uses it.
    pub fn into(array: &CudaSlice<T>, first: usize) -> Self {
        assert!(first <= array.len());
        let (address, _) = array.device_ptr(array.stream());
        Self(address + (first * size_of::<T>()) as u64, PhantomData)
    }
}

/// Declares structures of the same names and layout as in the kernels' C++.
macro_rules! structures {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug)]
            pub struct $name { $($(#[$field_doc])* pub $field: $kind,)* }

            // SAFETY: `repr(C)` and made of numbers and addresses alone; its size is compared with
            // the kernels' at load.
            unsafe impl DeviceRepr for $name {}
        )*
    };
}

structures! {
    /// The atoms of all replicas, and where each replica's are.
    Batch {
        replicas: i32,
        rows: i32,
        first_row: Pointer<i32>,
        first_pair: Pointer<i32>,
        replica: Pointer<i32>,
        element: Pointer<i32>,
        mass_amu: Pointer<f64>,
    }

    /// What a step changes.
    State {
        position_ang: Pointer<f64>,
        velocity_ang_per_fs: Pointer<f64>,
        force_ev_per_ang: Pointer<f64>,
        energy_ev: Pointer<f64>,
        kinetic_ev: Pointer<f64>,
        bath_heat_ev: Pointer<f64>,
    }

    /// Where replicas stand.
    Progress {
        step: Pointer<u64>,
        fault: Pointer<i32>,
        fault_value: Pointer<f64>,
    }

    /// Pairs within the cut-off.
    Pairs {
        count: Pointer<i32>,
        list: Pointer<i32>,
        distance_ang: Pointer<f64>,
        unit: Pointer<f32>,
        basis: Pointer<f32>,
        slope: Pointer<f32>,
        gradient: Pointer<f32>,
    }

    /// Dispersion beyond the cut-off.
    Dispersion {
        table: Pointer<f32>,
        cutoff_ang: f64,
        elements: i32,
        unused: i32,
    }

    /// What becomes of a product on its way out.
    Epilogue {
        bias: Pointer<f32>,
        accumulate: i32,
        gate: Pointer<f32>,
        base: Pointer<f32>,
        slope: Pointer<f32>,
        before_silu: Pointer<f32>,
        element: Pointer<i32>,
        rows_per_atom: i32,
    }

    /// The operations between two evaluations of forces.
    Piece {
        operations: i32,
        operation: [i32; PIECE_OPERATIONS_MAX],
        fraction: [f64; PIECE_OPERATIONS_MAX],
        begins_step: i32,
        ends_step: i32,
        program_has_bath: i32,
    }

    /// A matrix in the order of a warp's lanes.
    Packed {
        columns: Pointer<u32>,
        depth: i32,
        unused: i32,
    }

    /// W and Wᵀ.
    PackedBoth {
        forward: Packed,
        backward: Packed,
    }

    /// x W + b of a tile.
    TileDense {
        matrix: PackedBoth,
        bias: Pointer<f32>,
    }

    /// An update of a tile.
    TileUpdate {
        mix: PackedBoth,
        hidden: TileDense,
        out: TileDense,
    }

    /// A student of two layers as tiles read it.
    TileStudent {
        scalar: PackedBoth,
        vector: PackedBoth,
        tensor: PackedBoth,
        embedding: Pointer<f32>,
        gate0: Pointer<f32>,
        gate1: Pointer<f32>,
        gate2: Pointer<f32>,
        update: [TileUpdate; 2],
        phi_hidden: TileDense,
        phi_out: TileDense,
        filter: Packed,
        gate_scalar: Pointer<f32>,
        gate_vector: Pointer<f32>,
        readout: TileDense,
        readout_weight: Pointer<f32>,
        readout_bias: Pointer<f32>,
        repulsion: Pointer<f64>,
        core: Pointer<f64>,
        dispersion: Pointer<f32>,
        cutoff_ang: f64,
        norm_epsilon: f32,
        elements: i32,
    }

    /// Which replicas are in which tile.
    Tiles {
        count: i32,
        unused: i32,
        first: Pointer<i32>,
        replica: Pointer<i32>,
    }

    /// The pieces of a step, and how many steps.
    Program {
        pieces: i32,
        steps: i32,
        piece: [Piece; PIECES_MAX],
    }

    /// Energies beside the student's.
    Analytic {
        reference_ev: Pointer<f64>,
        well_ev_per_ang2: Pointer<f64>,
        wells: i32,
        unused: i32,
    }

    /// What replicas are and live under.
    Conditions {
        parameters: Pointer<f64>,
        identity: Pointer<u32>,
        seed: u64,
        temperature_limit_k: f64,
    }
}

impl Dispersion {
    /// Of no student, or one without it.
    pub const NONE: Self = Self {
        table: Pointer::NONE,
        cutoff_ang: 0.0,
        elements: 0,
        unused: 0,
    };
}

impl Piece {
    /// Nothing to do.
    pub const EMPTY: Self = Self {
        operations: 0,
        operation: [0; PIECE_OPERATIONS_MAX],
        fraction: [0.0; PIECE_OPERATIONS_MAX],
        begins_step: 0,
        ends_step: 0,
        program_has_bath: 0,
    };
}

/// Operations in a [`Piece`] at most.
pub const PIECE_OPERATIONS_MAX: usize = 8;
/// Pieces of a step in a [`Program`] at most.
pub const PIECES_MAX: usize = 4;
/// Rows of tiles that there are kernels for.
pub const TILE_ROWS: [usize; 5] = [16, 32, 48, 64, 128];
/// Stages of a tile's step, as `TileStage` of the kernels has them.
pub const TILE_STAGES: [&str; 14] = [
    "integrate",
    "pairs",
    "density",
    "update 1",
    "message network",
    "message",
    "update 2",
    "readout",
    "update 2⁻",
    "message⁻",
    "message network⁻",
    "update 1⁻",
    "density⁻",
    "forces",
];
/// Threads a block of most kernels.
pub const THREADS: u32 = 128;
/// Lanes of a warp.
pub const WARP: usize = 32;
/// Columns of y that a block of a product makes.
pub const TILE_COLUMNS: usize = 64;
/// Elements that a density can tell apart.
pub const ELEMENTS_MAX: usize = 9;

/// The sizes that a set of kernels is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Channels F.
    pub channels: usize,
    /// Radial functions K.
    pub radial: usize,
    /// Tensor channels T.
    pub tensor_channels: usize,
}

impl Sizes {
    /// Those of a student.
    pub fn of(student: &Student) -> Self {
        let Architecture {
            channels,
            radial,
            tensor_channels,
            ..
        } = student.architecture;
        Self {
            channels,
            radial,
            tensor_channels,
        }
    }

    /// Threads a block of the density: one for each component and radial function, in whole warps.
    pub fn density_threads(self) -> u32 {
        let components = if self.tensor_channels > 0 { 9 } else { 4 };
        (components * self.radial).next_multiple_of(WARP) as u32
    }

    /// Threads of a tile's block: a warp for each eight channels.
    pub fn tile_threads(self) -> u32 {
        (self.channels / 8 * WARP) as u32
    }

    /// How `kernel_sizes` of the kernels that this program was written for begins; the bytes that tiles
    /// need follow.
    pub fn as_exported(self) -> Vec<i32> {
        let sizes = [
            self.channels,
            self.radial,
            self.tensor_channels,
            ELEMENTS_MAX,
            size_of::<Batch>(),
            size_of::<State>(),
            size_of::<Progress>(),
            size_of::<Pairs>(),
            size_of::<Epilogue>(),
            size_of::<Piece>(),
            size_of::<Conditions>(),
            PIECE_OPERATIONS_MAX,
        ];
        let threads = [
            THREADS,
            THREADS,
            THREADS,
            THREADS,
            self.density_threads(),
            THREADS,
            THREADS,
            TILE_COLUMNS as u32,
            THREADS,
            THREADS,
            THREADS,
        ];
        let tiles = [
            size_of::<Tiles>(),
            size_of::<Program>(),
            size_of::<TileStudent>(),
            size_of::<Analytic>(),
            size_of::<Dispersion>(),
            PIECES_MAX,
            self.tile_threads() as usize,
            TILE_STAGES.len(),
        ];
        let sizes = sizes.into_iter();
        sizes
            .chain(threads.map(|count| count as usize))
            .chain(tiles)
            .map(|size| size as i32)
            .collect()
    }
}

/// What tiles need, by [`TILE_ROWS`].
#[derive(Clone, Copy, Debug)]
pub struct TileSizes {
    /// Of shared memory, bytes a block.
    pub shared: [usize; TILE_ROWS.len()],
    /// Of global memory, bytes a block.
    pub global: [usize; TILE_ROWS.len()],
    /// How many of these blocks a multiprocessor runs at once at most.
    pub at_once: [usize; TILE_ROWS.len()],
    /// What clusters that step tiles of the fewest rows need.
    pub of_cluster: ClusterSizes,
}

/// Blocks of a cluster, none on a GPU that has no clusters, and the shared memory of each in bytes.
#[derive(Clone, Copy, Debug)]
pub struct ClusterSizes {
    pub blocks: usize,
    pub shared: usize,
}

impl TileSizes {
    /// Out of the numbers that `kernel_sizes` ends with, if they are as many as there should be.
    pub fn from_exported(numbers: &[i32]) -> Option<Self> {
        let (kinds, rest) = numbers.as_chunks::<{ TILE_ROWS.len() }>();
        let (&[shared, global, at_once], &[blocks, of_cluster]) = (kinds, rest) else {
            return None;
        };
        let sizes = |numbers: [i32; TILE_ROWS.len()]| numbers.map(|number| number as usize);
        Some(Self {
            shared: sizes(shared),
            global: sizes(global),
            at_once: sizes(at_once),
            of_cluster: ClusterSizes {
                blocks: blocks as usize,
                shared: of_cluster as usize,
            },
        })
    }
}

/// Something that a kernel takes by value.
pub trait Argument {
    /// Appends it to a launch.
    fn push<'a>(&'a self, launch: &mut LaunchArgs<'a>);
}

// SAFETY: a device address is a 64-bit number.
unsafe impl<T> DeviceRepr for Pointer<T> {}

impl<T: DeviceRepr> Argument for T {
    fn push<'a>(&'a self, launch: &mut LaunchArgs<'a>) {
        launch.arg(self);
    }
}

/// The event after a launch and the one before it, if asked for.
pub type Timing = Option<(cudarc::driver::CudaEvent, cudarc::driver::CudaEvent)>;

/// Launches a kernel over `blocks` blocks of so many threads and bytes of shared memory.
pub fn launch(
    stream: &CudaStream,
    function: &CudaFunction,
    blocks: usize,
    (threads, shared_bytes): (u32, usize),
    arguments: &[&dyn Argument],
    timed: bool,
) -> Result<Timing, DriverError> {
    let mut launch = stream.launch_builder(function);
    for argument in arguments {
        argument.push(&mut launch);
    }
    if timed {
        launch.record_kernel_launch(sys::CUevent_flags::CU_EVENT_DEFAULT);
    }
    let shape = LaunchConfig {
        grid_dim: (blocks as u32, 1, 1),
        block_dim: (threads, 1, 1),
        shared_mem_bytes: shared_bytes as u32,
    };
    // SAFETY: see the head of this module.
    unsafe { launch.launch(shape) }
}

/// An array on the device whose contents are whatever was there: every kernel writes what it or a
/// later one reads.
pub fn uninitialised<T: DeviceRepr>(
    stream: &Arc<CudaStream>,
    len: usize,
) -> Result<CudaSlice<T>, DriverError> {
    // SAFETY: numbers of any bits are valid, and no host code reads them before they are written.
    unsafe { stream.alloc(len.max(1)) }
}

/// Host memory that the device copies to and from by itself, filled with zeros.
pub fn pinned<T: DeviceRepr + cudarc::driver::ValidAsZeroBits + Default + Copy>(
    context: &Arc<CudaContext>,
    len: usize,
) -> Result<PinnedHostSlice<T>, DriverError> {
    // SAFETY: written in full on the next line. Ordinary (cached) memory, because it is read, too.
    let mut memory = unsafe { context.alloc_pinned_with_flags(len.max(1), 0) }?;
    memory.as_mut_slice()?.fill(T::default());
    Ok(memory)
}

/// Whether a driver's library is on this machine.
pub fn driver_is_there() -> bool {
    // SAFETY: loads the driver's library, whose initialisers are run by every CUDA program.
    unsafe { sys::is_culib_present() }
}

/// The newest CUDA version that the driver speaks, as 1000 · major + 10 · minor.
pub fn driver_version() -> i32 {
    let mut version = 0;
    // SAFETY: writes one integer; allowed before initialisation.
    let result = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    if result == sys::CUresult::CUDA_SUCCESS {
        version
    } else {
        0
    }
}

/// A context in which one stream does all the work, so that arrays need no events to order them.
pub fn single_stream(context: &Arc<CudaContext>) -> Result<Arc<CudaStream>, DriverError> {
    // SAFETY: every array of the engine is used on the one stream that is returned.
    unsafe { context.disable_event_tracking() };
    context.new_stream()
}
