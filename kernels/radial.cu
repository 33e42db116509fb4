// Radial functions: what a distance is to the network.
//
//     B_k(r) = √(2/r_c) · sin(kπr/r_c)/r · f(r),   f(r) = ½ (1 + cos(πr/r_c)),   k = 1 … K
//
// Of a student with a core these are multiplied by 1 − s(r/r_sw), s being the repulsion's switch.
//
// sin(kθ) and cos(kθ) follow from θ by rotating K − 1 times, all in f64: the error of a rotation
// adds up over k, and there are few pairs beside the network's work.
//
// Shapes: r (P,) → B, B' (P, K)
#include "arithmetic.cuh"
#include "sizes.cuh"
#include "switch.cuh"

constexpr int RADIAL_THREADS = 128;

// One warp a row, one lane a neighbour.
extern "C" __global__ void __launch_bounds__(RADIAL_THREADS) radial(
    // constant; the core is the repulsion's table (E, E, 3), which begins with r_sw in Å, or none
    Batch batch, double cutoff_ang, int elements, const double* core,
    // in and out
    Pairs pairs) {
    int row = (blockIdx.x * RADIAL_THREADS + threadIdx.x) / WARP;
    int lane = threadIdx.x % WARP;
    if (row >= batch.rows) return;
    RowOfPairs of = pairs_of(batch, row);
    double wave = PI / cutoff_ang;
    double scale = sqrt(2.0 / cutoff_ang);

    for (int slot = lane; slot < pairs.count[row]; slot += WARP) {
        int b = pairs.list[of.first_pair + slot];
        size_t pair = of.first_pair + b;
        double r = pairs.distance_ang[pair];
        double s1, c1;
        sin_cos_of_pi(r / cutoff_ang, s1, c1);

        // envelope = √(2/r_c) f/r, and its derivative √(2/r_c) (f' − f/r)/r
        double f = 0.5 * (1.0 + c1);
        double envelope = scale * f / r;
        double envelope_slope = scale * (-0.5 * wave * s1 - f / r) / r;
        if (core != nullptr) {
            double core_ang = core[3 * (batch.element[row] * elements + batch.element[of.first_row + b])];
            double rise, rise_slope;
            rise_of_switch(r / core_ang, rise, rise_slope);
            // Forward: envelope · rise(r/r_sw)
            envelope_slope = fma(envelope_slope, rise, envelope * (rise_slope / core_ang));
            envelope *= rise;
        }

        float* basis = pairs.basis + pair * RADIAL;
        float* slope = pairs.slope + pair * RADIAL;
        double s = s1, c = c1;
        for (int k = 0; k < RADIAL; k++) {
            double turns = wave * double(k + 1);
            basis[k] = float(s * envelope);
            slope[k] = float(fma(s, envelope_slope, turns * c * envelope));
            double next = fma(s, c1, c * s1);
            c = fma(c, c1, -(s * s1));
            s = next;
        }
    }
}
