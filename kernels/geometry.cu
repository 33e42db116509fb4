// The pairs of a molecule that see each other.
//
//     d_ab = x_b − x_a,   r = |d|,   u = d/r,   for every pair a ≠ b with r < r_c
//
// Differences are taken in f64: a coordinate of 10⁴ Å leaves f32 no digits for a bond.  What is
// farther than the cut-off never gets into a list, so no kernel after this one divides by an r that
// is not there.  A frozen replica gets empty lists, which spares it all work on pairs.
//
// Shapes: positions (M, 3) → lists (P,), r (P,), u (P, 3)
#pragma once
#include "sizes.cuh"

constexpr int GEOMETRY_THREADS = 128;

// The work of a warp on one row; the lanes stand for 32 partners at a time.
__device__ inline void find_neighbours_of(
    // constant
    int row, const Batch& batch, double cutoff_ang,
    // in
    const State& state, const Progress& progress,
    // out
    const Pairs& pairs) {
    int lane = threadIdx.x % WARP;
    RowOfPairs of = pairs_of(batch, row);
    bool running = progress.fault[4 * batch.replica[row]] == RUNNING;
    const double* x_a = state.position_ang + 3 * size_t(row);

    int count = 0;
    for (int start = 0; start < of.atoms && running; start += WARP) {
        int b = start + lane;
        bool near = false;
        if (b < of.atoms && of.first_row + b != row) {
            const double* x_b = state.position_ang + 3 * size_t(of.first_row + b);
            double d[3] = {x_b[0] - x_a[0], x_b[1] - x_a[1], x_b[2] - x_a[2]};
            double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            // A position that is not a number stays a pair: it must show in the energy.
            near = !(r2 >= cutoff_ang * cutoff_ang);
            if (near) {
                double r = sqrt(r2);
                size_t pair = of.first_pair + b;
                pairs.distance_ang[pair] = r;
                pairs.unit[pair] = {float(d[0] / r), float(d[1] / r), float(d[2] / r), 0.0f};
            }
        }

        // Each near partner goes behind those of the lanes before it: the list is ascending.
        unsigned near_lanes = __ballot_sync(WHOLE_WARP, near);
        if (near) {
            int before = __popc(near_lanes & ((1u << lane) - 1u));
            pairs.list[of.first_pair + count + before] = b;
        }
        count += __popc(near_lanes);
    }
    if (lane == 0) pairs.count[row] = count;
}

// One warp a row.
extern "C" __global__ void __launch_bounds__(GEOMETRY_THREADS) find_neighbours(
    Batch batch, double cutoff_ang, State state, Progress progress, Pairs pairs) {
    int row = (blockIdx.x * GEOMETRY_THREADS + threadIdx.x) / WARP;
    if (row < batch.rows) find_neighbours_of(row, batch, cutoff_ang, state, progress, pairs);
}
