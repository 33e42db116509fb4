// The backward pass of a tile's message, see tile_message.cu.
//
// Shapes: dq (M, F), dv (M, 3, F) → gradients by φ (M, 3F), v (M, 3, F) and pairs (P, 4)
#include "tile_message.cu"

// A task's vectors before the message and the gradients by them: lane n has channels 2n and 2n + 1, as far as the
// task has channels.
struct MessageBefore {
    unsigned v[3], dv[3];

    template <int M, int PARTS>
    __device__ MessageBefore(const Tile<M>& tile, const MessageTask<PARTS>& task) {
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            int at = (axis * Tile<M>::ROWS + task.row) * CHANNELS + task.channel(0) + 2 * (threadIdx.x % (8 * task.BLOCKS));
            v[axis] = word(tile.v_before(), at);
            dv[axis] = word(tile.dv_before(), at);
        }
    }
};

// What sixteen neighbours give to the gradients by a sender's φ and vectors, in the channels of one block.
// What was summed up before waits at `waiting`; the last neighbours' turn leaves gradients in place of φ and of
// `dv_before`.
template <int M>
__device__ __forceinline__ void message_backward_by_sender(const Tile<M>& tile, const MessageNear& near, const MessageBefore& before,
                                                           int row, int channel, int block, float* waiting, bool first, bool last) {
    constexpr int ROWS = 16 * M;
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    // Σ_k W[k, f] S[f, k]: (channels g and g + 8, by a, b and the vectors)
    float sum[10] = {};
    {
        unsigned filter[3][4], d[4];
#pragma unroll
        for (int p = 0; p < 3; p++) load_matrices(filter[p], filter_at(tile, p, channel));
        float s[2][4] = {}, along[2][4] = {};
        near.load_channels(d, tile.h() + channel);
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(s[n], d, near.by_basis(n));
        add_filtered(sum[0], sum[5], filter[0], s);
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            float s[2][4] = {};
            near.load_channels(d, tile.v() + axis * ROWS * STRIDE_F + channel);
#pragma unroll
            for (int n = 0; n < 2; n++) {
                multiply_add(s[n], d, near.by_basis(n));
                multiply_add(along[n], d, near.by_along(axis, n));
            }
            add_filtered(sum[2 + axis], sum[7 + axis], filter[2], s);
        }
        add_filtered(sum[1], sum[6], filter[1], along);
    }

    // Over t: lanes 2 and 3 keep channel g + 8; both of two lanes have the rest.
    halve(sum, 10, 2);
#pragma unroll
    for (int i = 0; i < 5; i++) sum[i] += __shfl_xor_sync(WHOLE_WARP, sum[i], 1);
    int own_channel = channel + g + t / 2 * 8, own_lane = 8 * block + t / 2 * 4 + g / 2;
    float own_v[3], own_dv[3];
#pragma unroll
    for (int axis = 0; axis < 3; axis++) {
        Pair16 v = two_floats(__shfl_sync(WHOLE_WARP, before.v[axis], own_lane));
        Pair16 dv = two_floats(__shfl_sync(WHOLE_WARP, before.dv[axis], own_lane));
        own_v[axis] = g % 2 == 0 ? v.low : v.high;
        own_dv[axis] = g % 2 == 0 ? dv.low : dv.high;
    }
    // All lanes have read φ, which now becomes its gradient.
    __syncwarp();
    if (t % 2 == 0) {
        waiting += 5 * 16 * block + g + t / 2 * 8;
#pragma unroll
        for (int i = 0; i < 5; i++)
            if (!first) sum[i] += waiting[16 * i];
        if (!last) {
#pragma unroll
            for (int i = 0; i < 5; i++) waiting[16 * i] = sum[i];
        } else {
            Half* own_phi = tile.phi() + row * STRIDE_PHI + own_channel;
            float phi_c = float_of(own_phi[2 * CHANNELS]);
            float of_c = fmaf(sum[4], own_v[2], fmaf(sum[3], own_v[1], sum[2] * own_v[0]));
            // Forward: φ_b w_b u_ij, and u_ij is against this pair's own direction
            own_phi[0] = half_of(sum[0]);
            own_phi[CHANNELS] = half_of(-sum[1]);
            own_phi[2 * CHANNELS] = half_of(of_c);
#pragma unroll
            for (int axis = 0; axis < 3; axis++)
                tile.dv_before()[(axis * ROWS + row) * CHANNELS + own_channel] = half_of(fmaf(phi_c, sum[2 + axis], own_dv[axis]));
        }
    }
    __syncwarp();
}

// T, and of dE/dr what T has no part of: (neighbours, radial functions).
struct MessageByPairs {
    float u[3][2][4] = {}, r[2][4] = {};

    // Adds the channels of one block.
    template <int M>
    __device__ __forceinline__ void add(const Tile<M>& tile, const MessageNear& near, const MessageBefore& before, int row, int channel,
                                        int block) {
        constexpr int ROWS = 16 * M;
        int t = threadIdx.x % 4;
        // Right factors φ W: (channels 0 … 7 and 8 … 15, radial functions 0 … 7 and 8 … 15)
        unsigned d[4], w[3][4];
#pragma unroll
        for (int p = 0; p < 3; p++) load_transposed(w[p], filter_at(tile, p, channel));
#pragma unroll
        for (int p = 0; p < 3; p++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                unsigned phi = word(tile.phi(), row * STRIDE_PHI + p * CHANNELS + channel + 8 * i + 2 * t);
#pragma unroll
                for (int n = 0; n < 2; n++) w[p][2 * i + n] = times(w[p][2 * i + n], phi);
            }
        near.load_neighbours(d, tile.h() + channel);
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(r[n], d, {w[0][n], w[0][2 + n]});
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            near.load_neighbours(d, tile.v() + axis * ROWS * STRIDE_F + channel);
            unsigned v[2];
#pragma unroll
            for (int i = 0; i < 2; i++) v[i] = __shfl_sync(WHOLE_WARP, before.v[axis], 8 * block + 4 * i + t);
#pragma unroll
            for (int n = 0; n < 2; n++) {
                multiply_add(u[axis][n], d, {w[1][n], w[1][2 + n]});
                multiply_add(r[n], d, {times(w[2][n], v[0]), times(w[2][2 + n], v[1])});
            }
        }
    }

    // Gradients by the neighbours' directions and distances, of `part` of the channels.
    template <int M>
    __device__ __forceinline__ void finish(const Tile<M>& tile, int row, int start, int part) const {
        int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
        const Slot* slots = tile.slots(row) + start;
        // Forward: w = B(r) W_f, so ∂w/∂r = B'(r) W_f
        Sixteen near(slots);
        unsigned slope[4];
        Sixteen::load(slope, slots->slope);
        float gradient[8];  // (two neighbours, by u and r)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float* direction = near.u[half];
            float* by = gradient + 4 * half;
            by[0] = by[1] = by[2] = by[3] = 0.0f;
#pragma unroll
            for (int n = 0; n < 2; n++) {
                Pair16 basis = two_floats(near.basis[2 * n + half]), rise = two_floats(slope[2 * n + half]);
                float d0 = r[n][2 * half], d1 = r[n][2 * half + 1];
#pragma unroll
                for (int axis = 0; axis < 3; axis++) {
                    float t0 = u[axis][n][2 * half], t1 = u[axis][n][2 * half + 1];
                    by[axis] = fmaf(-basis.high, t1, fmaf(-basis.low, t0, by[axis]));
                    d0 = fmaf(-direction[axis], t0, d0);
                    d1 = fmaf(-direction[axis], t1, d1);
                }
                by[3] = fmaf(rise.high, d1, fmaf(rise.low, d0, by[3]));
            }
        }
        // Over the radial functions t: lane 2 of four keeps the second neighbour, odd ones the second two numbers.
        halve(gradient, 8, 2);
        halve(gradient, 4, 1);
        float* partial = reinterpret_cast<float*>(tile.partial(row, start + g + t / 2 * 8) + part);
        two(partial, t % 2 * 2) = {gradient[0], gradient[1]};
    }
};

// g ⊙ dq is in `h`, g' ⊙ dv in `v`, dv in `dv_before`; `phi` becomes its gradient, `dv_before` that by the
// vectors before the message.  A row is a sender here: its neighbours are the same, and u_ij = −u_ji.
// Both sums over neighbours (for the sender's features) and over channels (for pairs) are products:
//
//     dφ_a = Σ_k W_a[k] Σ_i B_k dq_i                          dφ_b, dφ_c, dv likewise
//     dE/du_ij = Σ_k B_k T[k],   T = Σ_f dv_i (φ_b W_b[k])     dE/dr_ij = Σ_k B'_k (…)
//
// What a row with more than sixteen neighbours has summed up waits in `x`.
template <int M>
__device__ __forceinline__ void tile_message_backward(const Tile<M>& tile, const TileStudent& student) {
    constexpr int PARTS = 2, BLOCKS = MessageTask<PARTS>::BLOCKS;
    static_assert(M == 1 || TILE_WARPS * BLOCKS * 5 * 16 * sizeof(float) <= 16 * M * STRIDE_X * sizeof(Half), "sums fit into x");
    int warp = threadIdx.x / WARP;
    float* waiting = reinterpret_cast<float*>(tile.x()) + warp * BLOCKS * 5 * 16;
    for (int n = warp; n < PARTS * tile.batch.rows; n += TILE_WARPS) {
        MessageTask<PARTS> task(n);
        int row = task.row, count = tile.count[row];
        MessageBefore before(tile, task);
#pragma unroll 1
        for (int start = 0; start < count; start += 16) {
            MessageNear near(tile.slots(row) + start);
            [[maybe_unused]] MessageByPairs by_pairs;
#pragma unroll 1
            for (int block = 0; block < BLOCKS; block++) {
                by_pairs.add(tile, near, before, row, task.channel(block), block);
                message_backward_by_sender(tile, near, before, row, task.channel(block), block, waiting, start == 0,
                                           start + 16 >= count);
            }
            by_pairs.finish(tile, row, start, task.part);
        }
    }
}
