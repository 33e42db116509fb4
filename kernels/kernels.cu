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

#include "forces.cu"

#include "tile.cu"

// What the host must know of these kernels, in the order of `Sizes` there.
extern "C" __device__ const int kernel_sizes[] = {
    CHANNELS,          RADIAL,          TENSOR_CHANNELS,         ELEMENTS_MAX,
    sizeof(Batch),     sizeof(State),   sizeof(Progress),        sizeof(Pairs),
    sizeof(Epilogue),  sizeof(Piece),   sizeof(Conditions),      PIECE_OPERATIONS_MAX,
    GEOMETRY_THREADS,  DOMAIN_THREADS,  RADIAL_THREADS,          REPULSION_THREADS,
    DENSITY_THREADS,   DENSITY_BACKWARD_THREADS,                 PRODUCT_THREADS,
    TILE_COLUMNS,      READOUT_THREADS, FORCES_THREADS,          INTEGRATE_THREADS,
    sizeof(Tiles),     sizeof(Program), sizeof(TileStudent),     sizeof(Analytic),
    sizeof(ScratchArrays),              PIECES_MAX,              TILE_THREADS,
    Own::WORDS,        sizeof(Slot),    TILE_STAGES,     Regions<1>::BYTES,       Regions<2>::BYTES,
    Regions<4>::BYTES,
};
