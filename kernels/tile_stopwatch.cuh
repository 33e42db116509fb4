// How long a tile's stages take.
#pragma once
#include "tile.cuh"

enum TileStage : int {
    STAGE_INTEGRATE, STAGE_PAIRS, STAGE_DENSITY, STAGE_UPDATE_1, STAGE_PHI, STAGE_MESSAGE, STAGE_UPDATE_2, STAGE_READOUT,
    STAGE_UPDATE_2_BACKWARD, STAGE_MESSAGE_BACKWARD, STAGE_PHI_BACKWARD, STAGE_UPDATE_1_BACKWARD, STAGE_DENSITY_BACKWARD,
    STAGE_FORCES, TILE_STAGES
};

// Cycles that the first block's first warp spent in each stage, where somebody asks.  Where a stage ends without a barrier,
// waiting for slower warps counts in the next one.
struct Stopwatch {
    unsigned long long* cycles;  // (TILE_STAGES + 1,), the last of which is when the stage began; or absent

    __device__ explicit Stopwatch(unsigned long long* cycles) : cycles(cycles) { lap(TILE_STAGES); }

    // Nothing is kept in registers.
    __device__ void lap(TileStage stage) {
        if (cycles == nullptr || blockIdx.x != 0 || thread_once() != 0) return;
        unsigned long long now = clock64();
        if (stage < TILE_STAGES) cycles[stage] += now - cycles[TILE_STAGES];
        cycles[TILE_STAGES] = now;
    }
};
