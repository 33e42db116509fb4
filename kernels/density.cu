// First layer: what an atom's surroundings look like, element by element.
//
//     A0_a[e,k] = Σ_{b: z_b = e} B_k(r)      A1_a[e,k] = Σ B_k u      A2_a[e,k] = Σ B_k Y(u)
//
// The matrices W0, W1, W2 and the gates by element are a product's business (product.cu):
//
//     q = embedding + g0 ⊙ A0 W0 (M, F)      v = g1 ⊙ A1 W1 (M, 3, F)      t = g2 ⊙ A2 W2 (M, 5, T)
//
// E counts the elements that occur in the campaign: the others' densities would be zero, and a sum
// that leaves out zeros has the same bits.
//
// Shapes: B (P, K), u (P, 3) → A0 (M, E K), A1 (M, 3, E K), A2 (M, 5, E K)
#pragma once
#include "harmonics.cuh"
#include "sizes.cuh"

constexpr int DENSITY_THREADS = (COMPONENTS * RADIAL + WARP - 1) / WARP * WARP;
constexpr int DENSITY_BACKWARD_THREADS = 128;

// The row of component c in the densities of its rank.
__device__ inline float* density_of(int c, int row, int width, float* a0, float* a1, float* a2) {
    if (c == 0) return a0 + size_t(row) * width;
    if (c < 4) return a1 + (size_t(row) * 3 + (c - 1)) * width;
    return a2 + (size_t(row) * 5 + (c - 4)) * width;
}

// One block a row, one thread a component and a radial function.
extern "C" __global__ void __launch_bounds__(DENSITY_THREADS) density(
    // constant
    Batch batch, int elements,
    // in
    Pairs pairs,
    // out
    float* a0, float* a1, float* a2) {
    __shared__ float sum[ELEMENTS_MAX][DENSITY_THREADS];
    int row = blockIdx.x;
    int c = threadIdx.x / RADIAL, k = threadIdx.x % RADIAL;
    if (c >= COMPONENTS) return;
    RowOfPairs of = pairs_of(batch, row);

    // Each thread has a column of the sums to itself.
    for (int e = 0; e < elements; e++) sum[e][threadIdx.x] = 0.0f;
    for (int slot = 0; slot < pairs.count[row]; slot++) {
        int b = pairs.list[of.first_pair + slot];
        size_t pair = of.first_pair + b;
        float* of_element = &sum[batch.element[of.first_row + b]][threadIdx.x];
        *of_element = fmaf(harmonic(c, pairs.unit[pair]), pairs.basis[pair * RADIAL + k], *of_element);
    }

    float* a = density_of(c, row, elements * RADIAL, a0, a1, a2);
    for (int e = 0; e < elements; e++) a[e * RADIAL + k] = sum[e][threadIdx.x];
}

// One block a row; K lanes share a neighbour, one radial function each.
extern "C" __global__ void __launch_bounds__(DENSITY_BACKWARD_THREADS) density_backward(
    // constant
    Batch batch, int elements,
    // in: gradients by the densities
    float* a0, float* a1, float* a2,
    // in and out: adds to the pairs' gradients
    Pairs pairs) {
    constexpr int NEIGHBOURS_AT_ONCE = DENSITY_BACKWARD_THREADS / RADIAL;
    int row = blockIdx.x;
    int k = threadIdx.x % RADIAL;
    RowOfPairs of = pairs_of(batch, row);
    int count = pairs.count[row];

    // Lanes without a neighbour of their own repeat the last one's work: sums need whole warps.
    for (int start = 0; start < count; start += NEIGHBOURS_AT_ONCE) {
        int slot = start + threadIdx.x / RADIAL;
        int b = pairs.list[of.first_pair + (slot < count ? slot : count - 1)];
        size_t pair = of.first_pair + b;
        int column = batch.element[of.first_row + b] * RADIAL + k;
        float4 u = pairs.unit[pair];

        // Forward: A_c[z_b, k] += Y_c(u) B_k(r)
        float dy[COMPONENTS], db = 0.0f;
        float basis = pairs.basis[pair * RADIAL + k];
#pragma unroll
        for (int c = 0; c < COMPONENTS; c++) {
            float da = density_of(c, row, elements * RADIAL, a0, a1, a2)[column];
            db = fmaf(da, harmonic(c, u), db);
            dy[c] = da * basis;
        }
        float4 gradient = harmonics_backward(dy, u);
        gradient.w = db * pairs.slope[pair * RADIAL + k];

        // The sum over k, by a tree of fixed shape.
        for (int distance = RADIAL / 2; distance > 0; distance /= 2) {
            gradient.x += __shfl_xor_sync(WHOLE_WARP, gradient.x, distance);
            gradient.y += __shfl_xor_sync(WHOLE_WARP, gradient.y, distance);
            gradient.z += __shfl_xor_sync(WHOLE_WARP, gradient.z, distance);
            gradient.w += __shfl_xor_sync(WHOLE_WARP, gradient.w, distance);
        }
        if (k == 0 && slot < count) {
            float4 sum = pairs.gradient[pair];
            pairs.gradient[pair] = {sum.x + gradient.x, sum.y + gradient.y, sum.z + gradient.z, sum.w + gradient.w};
        }
    }
}
