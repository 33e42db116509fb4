// The backward pass of a tile's message, see tile_message.cu.
//
// Shapes: dq (M, F), dv (M, 3, F) → gradients by φ (M, 3F), v (M, 3, F) and pairs (P, 4)
#include "tile_message.cu"

// A row's vectors before the message and the gradients by them, of half of the channels: lane n has the n-th two.
struct MessageBefore {
    static constexpr int BLOCKS = (MESSAGE_BLOCKS + 1) / 2;
    unsigned v[3], dv[3];

    template <int M>
    __device__ void load(const Tile<M>& tile, int row, int channel) {
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            int at = (axis * Tile<M>::ROWS + row) * CHANNELS + channel + 2 * (threadIdx.x % (8 * BLOCKS));
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
    // Σ_k W[k, f] S[f, k] of channels g and g + 8: by a and b where t is even, by x, y and (`third`) z where it is odd.
    float sum[4] = {}, third[4] = {};
    {
        unsigned filter[3][4], d[4], e[4], product[2];
#pragma unroll
        for (int p = 0; p < 3; p++) load_matrices(filter[p], filter_at(tile, p, channel));
        unsigned s[2][2] = {}, along[2][2] = {};
        near.load_channels(d, tile.h() + channel);
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(s[n], d, near.by_basis(n));
        filtered(product, filter[0], s);
        multiply_add(sum, product, into_column(0));
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            unsigned s[2][2] = {};
            near.load_channels(d, tile.v() + axis * ROWS * STRIDE_F + channel);
#pragma unroll
            for (int n = 0; n < 2; n++) multiply_add(s[n], d, near.by_basis(n));
#pragma unroll
            for (int i = 0; i < 4; i++)
                e[i] = axis == 0 ? times(d[i], near.unit[0][i / 2]) : times_add(d[i], near.unit[axis][i / 2], e[i]);
            filtered(product, filter[2], s);
            multiply_add(axis < 2 ? sum : third, product, into_column(axis < 2 ? 2 + axis : 2));
        }
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(along[n], e, near.by_basis(n));
        filtered(product, filter[1], along);
        multiply_add(sum, product, into_column(1));
    }

    // Lanes 2 and 3 of four take channel g + 8.
    int own_channel = channel + g + t / 2 * 8, own_lane = 8 * (block % before.BLOCKS) + t / 2 * 4 + g / 2;
    float of[3] = {t < 2 ? sum[0] : sum[2], t < 2 ? sum[1] : sum[3], t < 2 ? third[0] : third[2]};
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
    // Even lanes have two numbers and odd ones three.
    int numbers = 2 + t % 2;
    waiting += 5 * 16 * block + threadIdx.x % WARP;
#pragma unroll
    for (int i = 0; i < 3; i++)
        if (!first && i < numbers) of[i] += waiting[i < 2 ? WARP * i : WARP * 2 - (threadIdx.x % WARP + 1) / 2];
    if (!last) {
#pragma unroll
        for (int i = 0; i < 3; i++)
            if (i < numbers) waiting[i < 2 ? WARP * i : WARP * 2 - (threadIdx.x % WARP + 1) / 2] = of[i];
    } else {
        Half* own_phi = tile.phi() + row * STRIDE_PHI + own_channel;
        if (t % 2 == 0) {
            // Forward: φ_b w_b u_ij, and u_ij is against this pair's own direction
            own_phi[0] = half_of(of[0]);
            own_phi[CHANNELS] = half_of(-of[1]);
        } else {
            float phi_c = float_of(own_phi[2 * CHANNELS]);
            own_phi[2 * CHANNELS] = half_of(fmaf(of[2], own_v[2], fmaf(of[1], own_v[1], of[0] * own_v[0])));
#pragma unroll
            for (int axis = 0; axis < 3; axis++)
                tile.dv_before()[(axis * ROWS + row) * CHANNELS + own_channel] = half_of(fmaf(phi_c, of[axis], own_dv[axis]));
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
        unsigned d[4], e[4], w[3][4], phi[2][4];
#pragma unroll
        for (int p = 0; p < 3; p++) load_transposed(w[p], filter_at(tile, p, channel));
        // All rows of a matrix are the same eight channels of φ: a lane gets those of its column.
#pragma unroll
        for (int i = 0; i < 2; i++)
            load_matrices(phi[i], tile.phi() + row * STRIDE_PHI + (i == 0 ? threadIdx.x % WARP / 16 : 2) * CHANNELS + channel +
                                      threadIdx.x % 16 / 8 * 8);
#pragma unroll
        for (int p = 0; p < 3; p++)
#pragma unroll
            for (int i = 0; i < 4; i++) w[p][i] = times(w[p][i], phi[p / 2][p % 2 * 2 + i / 2]);
        near.load_neighbours(d, tile.h() + channel);
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(r[n], d, {w[0][n], w[0][2 + n]});
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            near.load_neighbours(d, tile.v() + axis * ROWS * STRIDE_F + channel);
#pragma unroll
            for (int n = 0; n < 2; n++) multiply_add(u[axis][n], d, {w[1][n], w[1][2 + n]});
            // Σ_xyz dv v, and then φ_c W_c for all of it
#pragma unroll
            for (int i = 0; i < 2; i++) {
                unsigned v = __shfl_sync(WHOLE_WARP, before.v[axis], 8 * (block % before.BLOCKS) + 4 * i + t);
#pragma unroll
                for (int half = 0; half < 2; half++)
                    e[2 * i + half] = axis == 0 ? times(d[2 * i + half], v) : times_add(d[2 * i + half], v, e[2 * i + half]);
            }
        }
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(r[n], e, {w[2][n], w[2][2 + n]});
    }

    // Gradients by the neighbours' directions and distances.
    template <int M>
    __device__ __forceinline__ void finish(const Tile<M>& tile, int row, int start) const {
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
        float* partial = reinterpret_cast<float*>(tile.partial(row, start + g + t / 2 * 8));
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
    int warp = threadIdx.x / WARP;
    float* waiting = reinterpret_cast<float*>(tile.x()) + warp * MESSAGE_BLOCKS * 5 * 16;
    for (int row = warp; row < tile.batch.rows; row += TILE_WARPS) {
        int count = tile.count[row];
#pragma unroll 1
        for (int start = 0; start < count; start += 16) {
            MessageNear near(tile.slots(row) + start);
            [[maybe_unused]] MessageByPairs by_pairs;
            MessageBefore before;
#pragma unroll 1
            for (int block = 0; block < MESSAGE_BLOCKS; block++) {
                if (block % before.BLOCKS == 0) before.load(tile, row, 16 * block);
                by_pairs.add(tile, near, before, row, 16 * block, block);
                message_backward_by_sender(tile, near, before, row, 16 * block, block, waiting, start == 0, start + 16 >= count);
            }
            by_pairs.finish(tile, row, start);
        }
    }
    __syncthreads();
}
