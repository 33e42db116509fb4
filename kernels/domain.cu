// Where the student may be trusted, looked at before every evaluation: src/domain.rs.
//
// In this order: a coordinate that is not a finite number; the first pair (in ascending order of
// the second, then the first atom) closer than any in the training data; an atom that no chain of
// neighbours joins to atom 0.
//
// Shapes: positions (M, 3), lists (P,) → faults (R, 4), (R,)
#pragma once
#include "sizes.cuh"

constexpr int DOMAIN_THREADS = 128;
constexpr double CLOSEST_ANG = 0.5;
constexpr unsigned NOBODY = 0xFFFFFFFFu;

__device__ inline unsigned least_over_warp(unsigned x) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        unsigned other = __shfl_xor_sync(WHOLE_WARP, x, distance);
        x = other < x ? other : x;
    }
    return x;
}

// The work of a warp on one replica.
__device__ inline void inspect_replica(
    // constant
    int replica, const Batch& batch,
    // in
    const State& state, const Pairs& pairs,
    // scratch (M,)
    int* reached,
    // out
    const Progress& progress) {
    int lane = threadIdx.x % WARP;
    if (progress.fault[4 * replica] != RUNNING) return;
    int first_row = batch.first_row[replica];
    int atoms = batch.first_row[replica + 1] - first_row;
    const double* x = state.position_ang + 3 * size_t(first_row);

    // Is every coordinate finite?  x − x is zero for a number and NaN for ±∞ and NaN.
    bool finite = true;
    for (int n = lane; n < 3 * atoms; n += WARP) finite = finite && x[n] - x[n] == 0.0;
    bool all_finite = __ballot_sync(WHOLE_WARP, !finite) == 0;

    // The first pair that is too close; its number is 2¹⁶ j + i with i < j.
    unsigned closest = NOBODY;
    for (int j = lane; j < atoms; j += WARP) {
        size_t first_pair = batch.first_pair[replica] + size_t(j) * atoms;
        for (int slot = 0; slot < pairs.count[first_row + j]; slot++) {
            int i = pairs.list[first_pair + slot];
            double d[3] = {x[3 * i] - x[3 * j], x[3 * i + 1] - x[3 * j + 1], x[3 * i + 2] - x[3 * j + 2]};
            double r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            unsigned pair = unsigned(j) << 16 | unsigned(i);
            if (i < j && r2 < CLOSEST_ANG * CLOSEST_ANG && pair < closest) closest = pair;
        }
    }
    closest = least_over_warp(closest);

    // Spread from atom 0 over the lists until nobody new is reached.
    volatile int* reach = reached + first_row;
    for (int j = lane; j < atoms; j += WARP) reach[j] = j == 0;
    __syncwarp();
    bool grown = true;
    while (grown) {
        bool grew = false;
        for (int j = lane; j < atoms; j += WARP) {
            if (reach[j]) continue;
            size_t first_pair = batch.first_pair[replica] + size_t(j) * atoms;
            for (int slot = 0; slot < pairs.count[first_row + j]; slot++) {
                if (!reach[pairs.list[first_pair + slot]]) continue;
                reach[j] = 1;
                grew = true;
                break;
            }
        }
        grown = __ballot_sync(WHOLE_WARP, grew) != 0;
    }
    unsigned stray = NOBODY;
    for (int j = lane; j < atoms; j += WARP)
        if (!reach[j] && unsigned(j) < stray) stray = j;
    stray = least_over_warp(stray);

    if (lane != 0) return;
    int* fault = progress.fault + 4 * replica;
    if (!all_finite) {
        fault[0] = NOT_FINITE;
    } else if (closest != NOBODY) {
        int i = closest & 0xFFFFu, j = closest >> 16;
        double d[3] = {x[3 * i] - x[3 * j], x[3 * i + 1] - x[3 * j + 1], x[3 * i + 2] - x[3 * j + 2]};
        fault[0] = TOO_CLOSE;
        fault[1] = i;
        fault[2] = j;
        progress.fault_value[replica] = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    } else if (stray != NOBODY) {
        fault[0] = BROKE_APART;
        fault[1] = 0;
        fault[2] = stray;
    }
}

// One warp a replica.
extern "C" __global__ void __launch_bounds__(DOMAIN_THREADS) inspect(
    Batch batch, State state, Pairs pairs, int* reached, Progress progress) {
    int replica = (blockIdx.x * DOMAIN_THREADS + threadIdx.x) / WARP;
    if (replica < batch.replicas) inspect_replica(replica, batch, state, pairs, reached, progress);
}
