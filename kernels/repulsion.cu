// Short-range repulsion under the learnt energy: ZBL, switched off inside the covalent distance.
//
//     E = Σ_{a<b} s(r/r_sw) · (q/r) · φ(r/l),   φ(x) = Σ_n c_n exp(−d_n x)
//     s(x) = 1 − 10x³ + 15x⁴ − 6x⁵ for x < 1, 0 beyond
//
// (Ziegler, Biersack, Littmark 1985.)  Each directed pair carries one half.  This kernel is the
// first to write a pair's gradient; all others add to it.
//
// Shapes: r (P,), elements (M,) → energy (M,), gradient (P, 4)
#include "arithmetic.cuh"
#include "sizes.cuh"
#include "switch.cuh"

constexpr int REPULSION_THREADS = 128;

// One warp a row, one lane a neighbour.
extern "C" __global__ void __launch_bounds__(REPULSION_THREADS) repulsion(
    // constant; tables are (E, E, 3): r_sw in Å, q in eV Å, l in Å
    Batch batch, int elements, const double* table,
    // in and out
    Pairs pairs,
    // out
    double* energy_ev) {
    const double amplitude[] = {0.18175, 0.50986, 0.28022, 0.02817};
    const double exponent[] = {3.19980, 0.94229, 0.40290, 0.20162};
    int row = (blockIdx.x * REPULSION_THREADS + threadIdx.x) / WARP;
    int lane = threadIdx.x % WARP;
    if (row >= batch.rows) return;
    RowOfPairs of = pairs_of(batch, row);

    double energy = 0.0;
    for (int slot = lane; slot < pairs.count[row]; slot += WARP) {
        int b = pairs.list[of.first_pair + slot];
        const double* entry = table + 3 * (batch.element[row] * elements + batch.element[of.first_row + b]);
        double switch_ang = entry[0], charge = entry[1], screening_ang = entry[2];
        double r = pairs.distance_ang[of.first_pair + b];
        double slope = 0.0;
        if (!(r >= switch_ang)) {
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
            energy += 0.5 * on * charge / r * phi;
            // Forward: E = s (q/r) φ
            slope = 0.5 * charge / r * (on_slope * phi + on * phi_slope - on * phi / r);
        }
        pairs.gradient[of.first_pair + b] = {0.0f, 0.0f, 0.0f, float(slope)};
    }
    energy = sum_over_warp(energy);
    if (lane == 0) energy_ev[row] = energy;
}
