// All kernels, in the order of a step.
#include "integrate.cu"

#include "geometry.cu"

#include "domain.cu"

#include "radial.cu"

#include "repulsion.cu"

#include "density.cu"

#include "product.cu"

#include "update.cu"

#include "message.cu"

#include "readout.cu"

#include "dispersion.cu"

#include "forces.cu"

#include "tile.cu"

// What a tile keeps in global memory.
template <int M>
constexpr int TILE_SCRATCH = ON_CHIP<M, 1> ? 0 : Scratch<M, 1>::BYTES;

// Shared memory of a cluster's block, where there are clusters.
template <int C>
constexpr int CLUSTER_BYTES = Regions<1, C>::BYTES;
template <>
constexpr int CLUSTER_BYTES<0> = 0;

// What the host must know of these kernels, in the order of `Sizes` there; at last the bytes that tiles of 16, 32,
// 48, 64 and 128 rows need of shared and of global memory, and how many go at once, which differ between GPUs, and blocks
// and shared memory of clusters.
extern "C" __device__ const int kernel_sizes[] = {
    CHANNELS,          RADIAL,          TENSOR_CHANNELS,         ELEMENTS_MAX,
    sizeof(Batch),     sizeof(State),   sizeof(Progress),        sizeof(Pairs),
    sizeof(Epilogue),  sizeof(Piece),   sizeof(Conditions),      PIECE_OPERATIONS_MAX,
    GEOMETRY_THREADS,  DOMAIN_THREADS,  RADIAL_THREADS,          REPULSION_THREADS,
    DENSITY_THREADS,   DENSITY_BACKWARD_THREADS,                 PRODUCT_THREADS,
    TILE_COLUMNS,      READOUT_THREADS, FORCES_THREADS,          INTEGRATE_THREADS,
    sizeof(Tiles),     sizeof(Program), sizeof(TileStudent),     sizeof(Analytic),
    sizeof(Dispersion),
    PIECES_MAX,        TILE_THREADS,    TILE_STAGES,
    Regions<1, 1>::BYTES,            Regions<2, 1>::BYTES,       Regions<3, 1>::BYTES, Regions<4, 1>::BYTES, Regions<LARGE, 1>::BYTES,
    TILE_SCRATCH<1>,   TILE_SCRATCH<2>, TILE_SCRATCH<3>,         TILE_SCRATCH<4>, TILE_SCRATCH<LARGE>,
    BLOCKS_AT_ONCE<1>, BLOCKS_AT_ONCE<2>,                        BLOCKS_AT_ONCE<3>, BLOCKS_AT_ONCE<4>, BLOCKS_AT_ONCE<LARGE>,
    CLUSTER,           CLUSTER_BYTES<CLUSTER>,
};
