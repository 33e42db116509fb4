// Readout: the energy of an atom from its scalars, and where the gradient begins.
//
//     h = silu(q W₁ + b₁)   (M, F/2)   product
//     E_a = h · w₂ + b₂     (M,)
//
// Shapes: h (M, F/2) → E (M,), gradient by q W₁ + b₁ (M, F/2)
#include "arithmetic.cuh"
#include "sizes.cuh"

constexpr int READOUT_THREADS = 128;
constexpr int READOUT_CHANNELS = CHANNELS / 2;

// One warp a row.
extern "C" __global__ void __launch_bounds__(READOUT_THREADS) readout(
    // constant
    int rows, const float* weight, const float* bias,
    // in
    const float* hidden,
    // in and out: what silu was taken of, which becomes its gradient
    float* before_silu,
    // in and out: the repulsion's energy, to which the learnt one is added
    double* energy_ev) {
    int row = (blockIdx.x * READOUT_THREADS + threadIdx.x) / WARP;
    int lane = threadIdx.x % WARP;
    if (row >= rows) return;
    const float* h = hidden + size_t(row) * READOUT_CHANNELS;
    float* d = before_silu + size_t(row) * READOUT_CHANNELS;

    double sum = 0.0;
    for (int f = lane; f < READOUT_CHANNELS; f += WARP) {
        sum += double(h[f]) * double(weight[f]);
        // Forward: E = silu(x) · w₂ + b₂
        d[f] = weight[f] * silu_slope(d[f]);
    }
    sum = sum_over_warp(sum);
    if (lane == 0) energy_ev[row] += sum + double(bias[0]);
}
