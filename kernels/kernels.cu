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
constexpr int TILE_SCRATCH = ON_CHIP<M> ? 0 : Scratch<M>::BYTES;

// What the host must know of these kernels, in the order of `Sizes` there; at last the bytes that tiles of 16, 32,
// 48 and 64 rows need of shared and of global memory, and how many go at once, which differ between GPUs.
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
    Regions<1>::BYTES, Regions<2>::BYTES,                        Regions<3>::BYTES, Regions<4>::BYTES,
    TILE_SCRATCH<1>,   TILE_SCRATCH<2>, TILE_SCRATCH<3>,         TILE_SCRATCH<4>,
    BLOCKS_AT_ONCE<1>, BLOCKS_AT_ONCE<2>,                        BLOCKS_AT_ONCE<3>, BLOCKS_AT_ONCE<4>,
};
