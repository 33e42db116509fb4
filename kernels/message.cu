// Message of layers 2 and up: what an atom hears from its neighbours.
//
//     w_a, w_b, w_c = B(r) W_f              (P, 3F)   made here, never stored
//     φ_a, φ_b, φ_c = MLP(q)                (M, 3F)   two products (product.cu)
//     q_i += g ⊙ Σ_j φ_a w_a                          φ and v of the sender j,
//     v_i += g' ⊙ Σ_j (φ_b w_b u_ij + φ_c w_c v_j)    g and g' of the receiver i's element
//
// A thread is a channel and keeps its three columns of W_f in registers for all neighbours of its
// row, so a pair costs it 3K multiply-adds and no memory but B, which the whole block shares.
//
// Shapes: B (P, K), u (P, 3), φ (M, 3F), q (M, F), v (M, 3, F) → q (M, F), v (M, 3, F)
#pragma once
#include "sizes.cuh"

// Columns f, F + f and 2F + f of the filter.
struct Filter {
    float a[RADIAL], b[RADIAL], c[RADIAL];

    __device__ Filter(const float* filter, int f) {
#pragma unroll
        for (int k = 0; k < RADIAL; k++) {
            a[k] = filter[k * 3 * CHANNELS + f];
            b[k] = filter[k * 3 * CHANNELS + CHANNELS + f];
            c[k] = filter[k * 3 * CHANNELS + 2 * CHANNELS + f];
        }
    }

    // x W_f for a row x of K radial functions or their slopes.
    __device__ float3 times(const float* x) const {
        float3 w = {0.0f, 0.0f, 0.0f};
#pragma unroll
        for (int k = 0; k < RADIAL; k += 4) {
            float4 four = *reinterpret_cast<const float4*>(x + k);
            w = {fmaf(four.x, a[k + 0], w.x), fmaf(four.x, b[k + 0], w.y), fmaf(four.x, c[k + 0], w.z)};
            w = {fmaf(four.y, a[k + 1], w.x), fmaf(four.y, b[k + 1], w.y), fmaf(four.y, c[k + 1], w.z)};
            w = {fmaf(four.z, a[k + 2], w.x), fmaf(four.z, b[k + 2], w.y), fmaf(four.z, c[k + 2], w.z)};
            w = {fmaf(four.w, a[k + 3], w.x), fmaf(four.w, b[k + 3], w.y), fmaf(four.w, c[k + 3], w.z)};
        }
        return w;
    }
};

// One block a receiver, one thread a channel.
extern "C" __global__ void __launch_bounds__(CHANNELS) message(
    // constant
    Batch batch, const float* filter, const float* gate_scalar, const float* gate_vector,
    // in
    Pairs pairs, const float* phi, const float* v,
    // in and out
    float* q,
    // out
    float* v_out) {
    int row = blockIdx.x, f = threadIdx.x;
    RowOfPairs of = pairs_of(batch, row);
    Filter columns(filter, f);

    float q_sum = 0.0f, v_sum[3] = {0.0f, 0.0f, 0.0f};
    for (int slot = 0; slot < pairs.count[row]; slot++) {
        int j = pairs.list[of.first_pair + slot];
        size_t pair = of.first_pair + j, sender = of.first_row + j;
        float3 w = columns.times(pairs.basis + pair * RADIAL);
        float4 u = pairs.unit[pair];
        const float* phi_j = phi + sender * 3 * CHANNELS + f;
        const float* v_j = v + sender * 3 * CHANNELS + f;
        float b = phi_j[CHANNELS] * w.y, c = phi_j[2 * CHANNELS] * w.z;
        q_sum = fmaf(phi_j[0], w.x, q_sum);
        v_sum[0] = fmaf(c, v_j[0], fmaf(b, u.x, v_sum[0]));
        v_sum[1] = fmaf(c, v_j[CHANNELS], fmaf(b, u.y, v_sum[1]));
        v_sum[2] = fmaf(c, v_j[2 * CHANNELS], fmaf(b, u.z, v_sum[2]));
    }

    int by_element = batch.element[row] * CHANNELS + f;
    q[size_t(row) * CHANNELS + f] = fmaf(gate_scalar[by_element], q_sum, q[size_t(row) * CHANNELS + f]);
    for (int axis = 0; axis < 3; axis++) {
        size_t at = (size_t(row) * 3 + axis) * CHANNELS + f;
        v_out[at] = fmaf(gate_vector[by_element], v_sum[axis], v[at]);
    }
}

// One block a sender: the neighbours are the same, B too, and u_ij = −u_ji.
extern "C" __global__ void __launch_bounds__(CHANNELS) message_backward(
    // constant
    Batch batch, const float* filter, const float* gate_scalar, const float* gate_vector,
    // in
    const float* v, const float* dq, const float* dv,
    // in and out: `phi` becomes its gradient; adds to the pairs' gradients
    float* phi, Pairs pairs,
    // out
    float* dv_out) {
    constexpr int WARPS = CHANNELS / WARP;
    __shared__ float4 partial[2][WARPS];
    int row = blockIdx.x, f = threadIdx.x;
    int warp = f / WARP, lane = f % WARP;
    RowOfPairs of = pairs_of(batch, row);
    int count = pairs.count[row];
    Filter columns(filter, f);
    size_t at = size_t(row) * 3 * CHANNELS + f;
    float phi_a = phi[at], phi_b = phi[at + CHANNELS], phi_c = phi[at + 2 * CHANNELS];
    float v_j[3] = {v[at], v[at + CHANNELS], v[at + 2 * CHANNELS]};

    float d_phi[3] = {0.0f, 0.0f, 0.0f}, dv_sum[3] = {0.0f, 0.0f, 0.0f};
    for (int slot = 0; slot < count; slot++) {
        int i = pairs.list[of.first_pair + slot];
        size_t pair = of.first_pair + i, receiver = of.first_row + i;
        int by_element = batch.element[receiver] * CHANNELS + f;
        float4 u = pairs.unit[pair];  // from the sender to the receiver: −u_ij
        float3 w = columns.times(pairs.basis + pair * RADIAL);
        float3 w_slope = columns.times(pairs.slope + pair * RADIAL);

        // Forward: q_i += g ⊙ Σ_j φ_a w_a, v_i += g' ⊙ Σ_j (…)
        float da = dq[receiver * CHANNELS + f] * gate_scalar[by_element];
        const float* dv_i = dv + receiver * 3 * CHANNELS + f;
        float gate = gate_vector[by_element];
        float d[3] = {dv_i[0] * gate, dv_i[CHANNELS] * gate, dv_i[2 * CHANNELS] * gate};

        // Forward: φ_b w_b u_ij + φ_c w_c v_j
        float db = -fmaf(d[2], u.z, fmaf(d[1], u.y, d[0] * u.x));
        float dc = fmaf(d[2], v_j[2], fmaf(d[1], v_j[1], d[0] * v_j[0]));
        float b = phi_b * w.y, c = phi_c * w.z;
        d_phi[0] = fmaf(da, w.x, d_phi[0]);
        d_phi[1] = fmaf(db, w.y, d_phi[1]);
        d_phi[2] = fmaf(dc, w.z, d_phi[2]);
        for (int axis = 0; axis < 3; axis++) dv_sum[axis] = fmaf(c, d[axis], dv_sum[axis]);

        // Forward: w = B(r) W_f, so ∂w/∂r = B'(r) W_f; by −u_ij, which is this pair's own direction.
        float dr = fmaf(dc * phi_c, w_slope.z, fmaf(db * phi_b, w_slope.y, da * phi_a * w_slope.x));
        float4 gradient = {sum_over_warp(-b * d[0]), sum_over_warp(-b * d[1]), sum_over_warp(-b * d[2]),
                           sum_over_warp(dr)};

        // The sum over warps; two buffers, so that one barrier a neighbour is enough.
        if (lane == 0) partial[slot % 2][warp] = gradient;
        __syncthreads();
        if (f == 0) {
            float4 sum = pairs.gradient[pair];
            for (int other = 0; other < WARPS; other++) {
                float4 part = partial[slot % 2][other];
                sum = {sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w};
            }
            pairs.gradient[pair] = sum;
        }
    }

    for (int part = 0; part < 3; part++) phi[at + part * CHANNELS] = d_phi[part];
    for (int axis = 0; axis < 3; axis++) {
        size_t to = at + axis * CHANNELS;
        dv_out[to] = dv[to] + dv_sum[axis];
    }
}
