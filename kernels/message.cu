// Message of layers 2 and up: what an atom hears from its neighbours.
//
//     w_a, w_b, w_c = B(r) W_f              (P, 3F)   made here, never stored
//     φ_a, φ_b, φ_c = MLP(q)                (M, 3F)   two products (product.cu)
//     q_i += g ⊙ Σ_j φ_a w_a                          φ and v of the sender j,
//     v_i += g' ⊙ Σ_j (φ_b w_b u_ij + φ_c w_c v_j)    g and g' of the receiver i's element
//
// A thread is a channel and keeps its three columns of W_f in registers for all neighbours of all its
// rows, so a pair costs it 3K multiply-adds and no memory but B, which the whole block shares.
//
// Shapes: B (P, K), u (P, 3), φ (M, 3F), q (M, F), v (M, 3, F) → q (M, F), v (M, 3, F)
#pragma once
#include "sizes.cuh"

constexpr int NEIGHBOURS_AT_HAND = 32;  // a row with more takes several turns

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

    // x W_f for a row x, in shared memory, of K radial functions or their slopes.
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

// K numbers of each neighbour that a block has at hand.
struct alignas(16) RadialRows {
    float of[NEIGHBOURS_AT_HAND][RADIAL];

    // Those of `count` neighbours, from a row's own part of a table.  Between uses and a take there must be a barrier.
    __device__ void take(const float* from, const int* list, int count) {
        static_assert(RADIAL % 4 == 0, "they are copied by fours");
        constexpr int FOURS = RADIAL / 4;
        for (int n = threadIdx.x; n < count * FOURS; n += CHANNELS)
            reinterpret_cast<float4*>(of[n / FOURS])[n % FOURS] =
                reinterpret_cast<const float4*>(from + size_t(list[n / FOURS]) * RADIAL)[n % FOURS];
    }
};

// What all threads of a block need of each neighbour.
struct Neighbours {
    RadialRows basis;
    float4 unit[NEIGHBOURS_AT_HAND];
    int number[NEIGHBOURS_AT_HAND];  // within the molecule

    // The row's pairs begin at `first_pair`; barriers as above.
    __device__ void take(const Pairs& pairs, size_t first_pair, const int* list, int count) {
        basis.take(pairs.basis + first_pair * RADIAL, list, count);
        for (int n = threadIdx.x; n < count; n += CHANNELS) {
            number[n] = list[n];
            unit[n] = pairs.unit[first_pair + list[n]];
        }
    }
};

// Consecutive rows for each block: it reads filters once for all, and rows of one molecule find its neighbours in the cache.
struct RowsOfBlock {
    int first, end;

    __device__ RowsOfBlock(int rows) {
        int each = (rows + gridDim.x - 1) / gridDim.x;
        first = blockIdx.x * each;
        end = min(first + each, rows);
    }
};

// Some receivers a block, one thread a channel.
extern "C" __global__ void __launch_bounds__(CHANNELS) message(
    // constant
    Batch batch, const float* filter, const float* gate_scalar, const float* gate_vector,
    // in
    Pairs pairs, const float* phi, const float* v,
    // in and out
    float* q,
    // out
    float* v_out) {
    __shared__ Neighbours neighbours;
    int f = threadIdx.x;
    Filter columns(filter, f);
    RowsOfBlock rows(batch.rows);
    for (int row = rows.first; row < rows.end; row++) {
        RowOfPairs of = pairs_of(batch, row);
        int count = pairs.count[row];
        float q_sum = 0.0f, v_sum[3] = {0.0f, 0.0f, 0.0f};
        for (int start = 0; start < count; start += NEIGHBOURS_AT_HAND) {
            int here = min(count - start, NEIGHBOURS_AT_HAND);
            const int* list = pairs.list + of.first_pair + start;
            neighbours.take(pairs, of.first_pair, list, here);
            __syncthreads();
#pragma unroll 2
            for (int slot = 0; slot < here; slot++) {
                size_t sender = of.first_row + neighbours.number[slot];
                const float* phi_j = phi + sender * 3 * CHANNELS + f;
                const float* v_j = v + sender * 3 * CHANNELS + f;
                float3 w = columns.times(neighbours.basis.of[slot]);
                float4 u = neighbours.unit[slot];
                float b = phi_j[CHANNELS] * w.y, c = phi_j[2 * CHANNELS] * w.z;
                q_sum = fmaf(phi_j[0], w.x, q_sum);
                v_sum[0] = fmaf(c, v_j[0], fmaf(b, u.x, v_sum[0]));
                v_sum[1] = fmaf(c, v_j[CHANNELS], fmaf(b, u.y, v_sum[1]));
                v_sum[2] = fmaf(c, v_j[2 * CHANNELS], fmaf(b, u.z, v_sum[2]));
            }
            __syncthreads();
        }

        int by_element = batch.element[row] * CHANNELS + f;
        q[size_t(row) * CHANNELS + f] = fmaf(gate_scalar[by_element], q_sum, q[size_t(row) * CHANNELS + f]);
        for (int axis = 0; axis < 3; axis++) {
            size_t at = (size_t(row) * 3 + axis) * CHANNELS + f;
            v_out[at] = fmaf(gate_vector[by_element], v_sum[axis], v[at]);
        }
    }
}

// Sums of four numbers over a warp, each by the tree of `sum_over_warp`: lanes 8n to 8n + 7 get that of number n.
__device__ inline float sums_over_warp(float x0, float x1, float x2, float x3) {
    bool upper = threadIdx.x & 16;
    float low = upper ? x2 : x0, high = upper ? x3 : x1;
    low += __shfl_xor_sync(WHOLE_WARP, upper ? x0 : x2, 16);
    high += __shfl_xor_sync(WHOLE_WARP, upper ? x1 : x3, 16);
    upper = threadIdx.x & 8;
    float sum = upper ? high : low;
    sum += __shfl_xor_sync(WHOLE_WARP, upper ? low : high, 8);
    for (int distance = 4; distance > 0; distance /= 2) sum += __shfl_xor_sync(WHOLE_WARP, sum, distance);
    return sum;
}

// Some senders a block: the neighbours are the same, B too, and u_ij = −u_ji.
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
    __shared__ Neighbours neighbours;
    __shared__ RadialRows slope;
    __shared__ float partial[NEIGHBOURS_AT_HAND][WARPS][4];
    int f = threadIdx.x;
    int warp = f / WARP, lane = f % WARP;
    Filter columns(filter, f);
    RowsOfBlock rows(batch.rows);
    for (int row = rows.first; row < rows.end; row++) {
        RowOfPairs of = pairs_of(batch, row);
        int count = pairs.count[row];
        size_t at = size_t(row) * 3 * CHANNELS + f;
        float phi_a = phi[at], phi_b = phi[at + CHANNELS], phi_c = phi[at + 2 * CHANNELS];
        float v_j[3] = {v[at], v[at + CHANNELS], v[at + 2 * CHANNELS]};

        float d_phi[3] = {0.0f, 0.0f, 0.0f}, dv_sum[3] = {0.0f, 0.0f, 0.0f};
        for (int start = 0; start < count; start += NEIGHBOURS_AT_HAND) {
            int here = min(count - start, NEIGHBOURS_AT_HAND);
            const int* list = pairs.list + of.first_pair + start;
            neighbours.take(pairs, of.first_pair, list, here);
            slope.take(pairs.slope + of.first_pair * RADIAL, list, here);
            __syncthreads();
#pragma unroll 2
            for (int slot = 0; slot < here; slot++) {
                size_t receiver = of.first_row + neighbours.number[slot];
                int by_element = batch.element[receiver] * CHANNELS + f;
                float4 u = neighbours.unit[slot];  // from the sender to the receiver: −u_ij
                float3 w = columns.times(neighbours.basis.of[slot]);
                float3 w_slope = columns.times(slope.of[slot]);

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
                float sum = sums_over_warp(-b * d[0], -b * d[1], -b * d[2], dr);
                if (lane % 8 == 0) partial[slot][warp][lane / 8] = sum;
            }
            __syncthreads();
            for (int n = f; n < here * 4; n += CHANNELS) {
                float4* gradient = pairs.gradient + of.first_pair + neighbours.number[n / 4];
                float& sum = reinterpret_cast<float*>(gradient)[n % 4];
                for (int other = 0; other < WARPS; other++) sum += partial[n / 4][other][n % 4];
            }
            __syncthreads();
        }

        for (int part = 0; part < 3; part++) phi[at + part * CHANNELS] = d_phi[part];
        for (int axis = 0; axis < 3; axis++) {
            size_t to = at + axis * CHANNELS;
            dv_out[to] = dv[to] + dv_sum[axis];
        }
    }
}
