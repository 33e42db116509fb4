// Short-range repulsion under the learnt energy: ZBL, switched off inside the covalent distance.
//
//     E = Σ_{a<b} s(r/r_sw) · (q/r) · φ(r/l),   φ(x) = Σ_n c_n exp(−d_n x)
//     s(x) = 1 − 10x³ + 15x⁴ − 6x⁵ for x < 1, 0 beyond
//
// (Ziegler, Biersack, Littmark 1985.)  Each directed pair carries one half.  This kernel is the
// first to write a pair's gradient; all others add to it.
//
// Shapes: r (P,), elements (M,) → energy (M,), gradient (P, 4)
#pragma once
#include "arithmetic.cuh"
#include "sizes.cuh"
#include "switch.cuh"

constexpr int REPULSION_THREADS = 128;

struct Repulsion {
    double energy_ev = 0.0, slope_ev_per_ang = 0.0;  // a directed pair's half
};

// `entry`: r_sw in Å, q in eV Å, l in Å
__device__ inline Repulsion repulsion_at(double r, const double* entry) {
    const double amplitude[] = {0.18175, 0.50986, 0.28022, 0.02817};
    const double exponent[] = {3.19980, 0.94229, 0.40290, 0.20162};
    double switch_ang = entry[0], charge = entry[1], screening_ang = entry[2];
    if (r >= switch_ang) return {};
    double phi = 0.0, phi_slope = 0.0;
    for (int n = 0; n < 4; n++) {
        double term = amplitude[n] * exponential(-exponent[n] * (r / screening_ang));
        phi += term;
        phi_slope -= exponent[n] / screening_ang * term;
    }
    double rise, rise_slope;
    rise_of_switch(r / switch_ang, rise, rise_slope);
    double on = 1.0 - rise;
    double on_slope = -rise_slope / switch_ang;
    // Forward: E = s (q/r) φ
    return {0.5 * on * charge / r * phi, 0.5 * charge / r * (on_slope * phi + on * phi_slope - on * phi / r)};
}

// The work of a warp on one row, a lane a neighbour.
__device__ inline void repulsion_of(
    // constant; tables are (E, E, 3)
    int row, const Batch& batch, int elements, const double* table,
    // in and out
    const Pairs& pairs,
    // out
    double* energy_ev) {
    int lane = threadIdx.x % WARP;
    RowOfPairs of = pairs_of(batch, row);
    double energy = 0.0;
    for (int slot = lane; slot < pairs.count[row]; slot += WARP) {
        int b = pairs.list[of.first_pair + slot];
        const double* entry = table + 3 * (batch.element[row] * elements + batch.element[of.first_row + b]);
        Repulsion repulsion = repulsion_at(pairs.distance_ang[of.first_pair + b], entry);
        energy += repulsion.energy_ev;
        pairs.gradient[of.first_pair + b] = {0.0f, 0.0f, 0.0f, float(repulsion.slope_ev_per_ang)};
    }
    energy = sum_over_warp(energy);
    if (lane == 0) energy_ev[row] = energy;
}

// One warp a row.
extern "C" __global__ void __launch_bounds__(REPULSION_THREADS) repulsion(
    Batch batch, int elements, const double* table, Pairs pairs, double* energy_ev) {
    int row = (blockIdx.x * REPULSION_THREADS + threadIdx.x) / WARP;
    if (row < batch.rows) repulsion_of(row, batch, elements, table, pairs, energy_ev);
}
