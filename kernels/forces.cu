// Forces and energy of every replica from its pairs and atoms.
//
//     ∂E/∂d = ∂E/∂r u + (∂E/∂u − (∂E/∂u · u) u)/r       d_ab = x_b − x_a
//     F_a = Σ_b (∂E/∂d_ab − ∂E/∂d_ba)                   E = E_ref + Σ_a E_a
//
// and what needs no pair's gradient: dispersion, whose energy goes to the rows', and U = ½ k Σ |x|², a
// well at the origin.
//
// Sums run over a molecule's own atoms, in f64 and in a fixed order.
//
// Shapes: gradients (P, 4), energies (M,), positions (M, 3) → forces (M, 3), energies (R,)
#pragma once
#include "dispersion.cu"
#include "sizes.cuh"

constexpr int FORCES_THREADS = 128;

__device__ inline double3 gradient_of_pair(const Pairs& pairs, size_t pair) {
    float4 u = pairs.unit[pair], d = pairs.gradient[pair];
    float along = fmaf(d.z, u.z, fmaf(d.y, u.y, d.x * u.x));
    double r = pairs.distance_ang[pair], dr = d.w;
    // Forward: r = |d|, u = d/r; ∂r/∂d = u, ∂u/∂d = (1 − u ⊗ u)/r
    return {dr * u.x + double(d.x - along * u.x) / r, dr * u.y + double(d.y - along * u.y) / r,
            dr * u.z + double(d.z - along * u.z) / r};
}

// The work of a warp on one row, a lane a neighbour; a replica that has just failed keeps its forces.
__device__ inline void forces_of(
    // constant
    int row, const Batch& batch, const Dispersion& dispersion,
    // in
    const Pairs& pairs, const Progress& progress,
    // in and out; absent without a student
    double* energy_of_row_ev,
    // out
    const State& state) {
    int lane = threadIdx.x % WARP;
    if (progress.fault[4 * batch.replica[row]] != RUNNING) return;
    RowOfPairs of = pairs_of(batch, row);
    int a = row - of.first_row;
    double force[3] = {0.0, 0.0, 0.0};
    for (int slot = lane; slot < pairs.count[row]; slot += WARP) {
        int b = pairs.list[of.first_pair + slot];
        double3 there = gradient_of_pair(pairs, of.first_pair + b);
        double3 back = gradient_of_pair(pairs, of.first_pair + size_t(b - a) * of.atoms + a);
        force[0] += there.x - back.x;
        force[1] += there.y - back.y;
        force[2] += there.z - back.z;
    }
    if (dispersion.table) {
        const double* x = state.position_ang + 3 * size_t(of.first_row);
        const float4* entries = dispersion.table + batch.element[row] * dispersion.elements;
        double energy = 0.0;
        for (int b = lane; b < of.atoms; b += WARP) {
            const float4& entry = entries[batch.element[of.first_row + b]];
            add_dispersion<Exactly>(float(dispersion.cutoff_ang), entry, x + 3 * size_t(a), x + 3 * size_t(b), energy, force);
        }
        energy = sum_over_warp(energy);
        if (lane == 0) energy_of_row_ev[row] += energy;
    }
    for (int axis = 0; axis < 3; axis++) {
        double sum = sum_over_warp(force[axis]);
        if (lane == 0) state.force_ev_per_ang[3 * size_t(row) + axis] = sum;
    }
}

// One warp a row.
extern "C" __global__ void __launch_bounds__(FORCES_THREADS) forces(
    Batch batch, Dispersion dispersion, Pairs pairs, Progress progress, double* energy_of_row_ev, State state) {
    int row = (blockIdx.x * FORCES_THREADS + threadIdx.x) / WARP;
    if (row < batch.rows) forces_of(row, batch, dispersion, pairs, progress, energy_of_row_ev, state);
}

// The work of a warp on one replica: adds up its energy, adds the terms, and looks whether all is finite.
__device__ inline void energies_of(
    // constant; reference (R,) of each replica's molecule, wells: their stiffness in eV/Å²
    int replica, const Batch& batch, const double* reference_ev, const double* well_ev_per_ang2, int wells,
    // in: (M,), or absent without a student
    const double* energy_of_row_ev,
    // in and out
    const State& state, const Progress& progress) {
    int lane = threadIdx.x % WARP;
    if (progress.fault[4 * replica] != RUNNING) return;
    int first_row = batch.first_row[replica];
    int atoms = batch.first_row[replica + 1] - first_row;
    const double* x = state.position_ang + 3 * size_t(first_row);
    double* force = state.force_ev_per_ang + 3 * size_t(first_row);

    double energy = 0.0;
    if (lane == 0 && energy_of_row_ev) {
#pragma unroll 4
        for (int a = 0; a < atoms; a++) energy += energy_of_row_ev[first_row + a];
        energy += reference_ev[replica];
    }
#pragma unroll 1
    for (int well = 0; well < wells; well++) {
        double k = well_ev_per_ang2[well];
        double of_well = 0.0;
#pragma unroll 1
        for (int n = 0; n < 3 * atoms && lane == 0; n++) of_well += 0.5 * k * x[n] * x[n];
#pragma unroll 1
        for (int n = lane; n < 3 * atoms; n += WARP) force[n] -= k * x[n];
        energy += of_well;
    }

    // x − x is zero for a number and NaN for ±∞ and NaN.
    bool finite = energy - energy == 0.0;
#pragma unroll 1
    for (int n = lane; n < 3 * atoms; n += WARP) finite = finite && force[n] - force[n] == 0.0;
    bool all_finite = __ballot_sync(WHOLE_WARP, !finite) == 0;
    if (lane != 0) return;
    state.energy_ev[replica] = energy;
    if (!all_finite) progress.fault[4 * replica] = NOT_FINITE;
}

// One warp a replica.
extern "C" __global__ void __launch_bounds__(FORCES_THREADS) energies(
    Batch batch, const double* reference_ev, const double* well_ev_per_ang2, int wells, const double* energy_of_row_ev,
    State state, Progress progress) {
    int replica = (blockIdx.x * FORCES_THREADS + threadIdx.x) / WARP;
    if (replica < batch.replicas)
        energies_of(replica, batch, reference_ev, well_ev_per_ang2, wells, energy_of_row_ev, state, progress);
}
