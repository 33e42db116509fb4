//! The shapes of launches: by warps, by blocks, and products.

use cudarc::driver::CudaSlice;

use super::abi::{self, Argument, Pointer, THREADS, WARP};
use super::gpu::Gpu;
use super::weights::{Dense, Matrix};
use crate::error::Result;

/// Rows of warps that a block of [`THREADS`] threads serves.
const ROWS_PER_BLOCK: usize = THREADS as usize / WARP;

/// Blocks for each multiprocessor where a block serves several rows: few enough that what it reads once is for many, and enough
/// that multiprocessors end together (16 of them took up to 10 % longer on an NVIDIA H200).
const BLOCKS_OF_SEVERAL_ROWS: usize = 32;

/// The shapes of launches over one batch.
pub struct Launches<'a> {
    pub gpu: &'a Gpu,
    pub batch: abi::Batch,
    pub rows: usize,
}

type Kernel = super::gpu::Kernel;
type Arguments<'a> = &'a [&'a dyn Argument];

/// Nothing follows a product.
pub const PLAIN: abi::Epilogue = abi::Epilogue {
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
    pub fn by_warp(
        &self,
        stage: &'static str,
        kernel: &Kernel,
        count: usize,
        arguments: Arguments<'_>,
    ) -> Result<()> {
        self.gpu.launch(
            stage,
            kernel,
            count.div_ceil(ROWS_PER_BLOCK),
            THREADS,
            arguments,
        )
    }

    /// One block for each row.
    pub fn by_block(
        &self,
        stage: &'static str,
        kernel: &Kernel,
        threads: u32,
        arguments: Arguments<'_>,
    ) -> Result<()> {
        self.gpu
            .launch(stage, kernel, self.rows, threads, arguments)
    }

    /// Blocks that share the rows out.
    pub fn blocks_of_several_rows(&self) -> usize {
        self.rows
            .min(BLOCKS_OF_SEVERAL_ROWS * self.gpu.multiprocessors)
    }

    /// y = x W with `rows_per_atom` rows for each atom, and what the epilogue says.
    pub fn product(
        &self,
        stage: &'static str,
        (weight, inner, columns): (&CudaSlice<f32>, usize, usize),
        mut epilogue: abi::Epilogue,
        x: &CudaSlice<f32>,
        y: &CudaSlice<f32>,
    ) -> Result<()> {
        let kernels = &self.gpu.kernels;
        let rows = self.rows * epilogue.rows_per_atom as usize;
        let blocks =
            |tile_rows: usize| rows.div_ceil(tile_rows) * columns.div_ceil(abi::TILE_COLUMNS);
        // High tiles only when they still give every multiprocessor several blocks.
        let enough = |tile_rows| blocks(tile_rows) >= 4 * self.gpu.multiprocessors;
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
    pub fn forward(
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
    pub fn backward(
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
    pub fn hidden(
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
    pub fn dense(
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
    pub fn hidden_backward(
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
