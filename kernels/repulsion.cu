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

template <class Number>
struct Repulsion {
    Number energy_ev, slope_ev_per_ang;  // a directed pair's half
};

__device__ inline double exponential_of(double x) { return exponential(x); }
__device__ inline float exponential_of(float x) { return __expf(x); }

// `entry`: r_sw in Å, q in eV Å, l in Å
template <class Number>
__device__ inline Repulsion<Number> repulsion_at(Number r, const double* entry) {
    const Number amplitude[] = {Number(0.18175), Number(0.50986), Number(0.28022), Number(0.02817)};
    const Number exponent[] = {Number(3.19980), Number(0.94229), Number(0.40290), Number(0.20162)};
    Number switch_ang = entry[0], charge = entry[1], screening_ang = entry[2], half = 0.5, one = 1;
    if (r >= switch_ang) return {0, 0};
    Number phi = 0, phi_slope = 0;
    for (int n = 0; n < 4; n++) {
        Number term = amplitude[n] * exponential_of(-exponent[n] * (r / screening_ang));
        phi += term;
        phi_slope -= exponent[n] / screening_ang * term;
    }
    Number rise, rise_slope;
    rise_of_switch(r / switch_ang, rise, rise_slope);
    Number on = one - rise;
    Number on_slope = -rise_slope / switch_ang;
    // Forward: E = s (q/r) φ
    return {half * on * charge / r * phi, half * charge / r * (on_slope * phi + on * phi_slope - on * phi / r)};
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
        Repulsion<double> repulsion = repulsion_at(pairs.distance_ang[of.first_pair + b], entry);
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
