// The message of a tile: message.cu's formulas with φ, v and their gradients in shared memory.
//
//     q_i += g ⊙ Σ_j φ_a w_a,   v_i += g' ⊙ Σ_j (φ_b w_b u_ij + φ_c w_c v_j),   w = B(r) W_f
//
// A filter is a sum over radial functions, and the sum over neighbours can be taken first:
//
//     Σ_j φ_a w_a = Σ_k W_a[k] S_a[k],   S_a = Σ_j φ_a,j B_k(r_ij),   likewise with φ_b u and φ_c v for φ_a
//
// which makes S a product for tensor cores, with sixteen neighbours inside, and leaves K instead of
// as many as a molecule has for the rest.
//
// Shapes: B (P, K), u (P, 3), q (M, F), v (M, 3, F) → q, v
#include "tile_phi.cu"

// The work of a message is cut into rows, and these into halves of the channels; a warp takes one
// such task after the other, sixteen channels at a time.
struct MessageTask {
    static constexpr int HALVES = 2, BLOCKS = CHANNELS / 16 / HALVES;
    int row, half;

    __device__ explicit MessageTask(int task) : row(task / HALVES), half(task % HALVES) {}
    __device__ int channel(int block) const { return 16 * (half * BLOCKS + block); }

    // Filters of part p.
    __device__ uint4 filter(const uint4* filters, int block, int p) const {
        return filters[(p * (CHANNELS / 16) + half * BLOCKS + block) * WARP + threadIdx.x % WARP];
    }
};

// W_f as lanes need it: of part p and sixteen channels, W[k, f] for f = g and g + 8 (second two words), k = 2t,
// 2t + 1 and 2t + 8, 2t + 9 (second word of two).
template <int M>
__device__ inline void copy_filter(const Tile<M>& tile, const TileStudent& student) {
    for (int n = threadIdx.x; n < 3 * CHANNELS / 16 * WARP; n += TILE_THREADS) {
        const uint2* groups = student.filter.columns + n / WARP * 2 * WARP + n % WARP;
        tile.filter()[n] = uint4{groups[0].x, groups[0].y, groups[WARP].x, groups[WARP].y};
    }
}

// Of a row's sixteen neighbours what both directions of a message need.
struct MessageNear {
    unsigned basis[4] = {};    // B as a right factor of products that have the neighbours inside
    unsigned unit[3][2] = {};  // u of neighbours 2t and 2t + 1 of each eight
    int of_channels = 0, of_neighbours = 0;  // rows of which the lane points at, see below

    MessageNear() = default;
    __device__ explicit MessageNear(const Slot* first) {
        int lane = threadIdx.x % WARP, t = lane % 4;
        Sixteen slots(first);
        int rows[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            rows[half] = __shfl_sync(WHOLE_WARP, slots.row[half], lane % 8 * 4);
            basis[half] = transposed(slots.basis[half]);
            basis[2 + half] = transposed(slots.basis[2 + half]);
            // Columns 0, 1, 2 are x, y, z; nobody looks at the others.
            const float* u = slots.u[half];
            unsigned column = transposed(two_halves(t == 0 ? u[0] : u[2], u[1]));
#pragma unroll
            for (int axis = 0; axis < 3; axis++) unit[axis][half] = __shfl_sync(WHOLE_WARP, column, 4 * axis + t);
        }
        of_channels = lane / 16 == 0 ? rows[0] : rows[1];
        of_neighbours = lane / 8 % 2 == 0 ? rows[0] : rows[1];
    }

    // Right factors B and B u for radial functions 8n … 8n + 7.
    __device__ uint2 by_basis(int n) const { return {basis[2 * n], basis[2 * n + 1]}; }
    __device__ uint2 by_along(int axis, int n) const {
        return {times(basis[2 * n], unit[axis][0]), times(basis[2 * n + 1], unit[axis][1])};
    }

    // Neighbours' rows of an array of this stride from a channel on: (channels, neighbours) and (neighbours, channels).
    __device__ void load_channels(unsigned (&a)[4], const Half* array, int stride) const {
        load_transposed(a, array + of_channels * stride + threadIdx.x / 8 % 2 * 8);
    }
    __device__ void load_neighbours(unsigned (&a)[4], const Half* array, int stride) const {
        load_matrices(a, array + of_neighbours * stride + threadIdx.x % WARP / 16 * 8);
    }
};

// Σ_k W[k, f] S[f, k] of the lane's four k, for f = g and g + 8; S are sums of a product with the channels as rows.
__device__ inline void add_filtered(float& first, float& second, const uint4& filter, const float (&s)[2][4]) {
    Pair16 w[4] = {two_floats(filter.x), two_floats(filter.y), two_floats(filter.z), two_floats(filter.w)};
#pragma unroll
    for (int n = 0; n < 2; n++) {
        first = fmaf(w[n].high, s[n][1], fmaf(w[n].low, s[n][0], first));
        second = fmaf(w[2 + n].high, s[n][3], fmaf(w[2 + n].low, s[n][2], second));
    }
}

// New vectors go to `h` and `x` until all old ones were read; these are kept in `v_before`.
template <int M>
__device__ __forceinline__ void tile_message(const Tile<M>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M;
    Half* made = tile.h();
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    for (int n = threadIdx.x / WARP; n < MessageTask::HALVES * tile.batch.rows; n += TILE_WARPS) {
        MessageTask task(n);
        int row = task.row, count = tile.count[row];
        const Slot* slots = tile.scratch.slots + row * TILE_ROWS_MAX;
        MessageNear near;
        if (count > 0) near = MessageNear(slots);
#pragma unroll 1
        for (int block = 0; block < MessageTask::BLOCKS; block++) {
            int channel = task.channel(block), own_channel = channel + g + t / 2 * 8;
            // What comes from far is asked for early.
            int by_element = tile.batch.element[row] * CHANNELS + own_channel;
            float gate = __ldg(student.gate_vector + by_element), gate_scalar = __ldg(student.gate_scalar + by_element);
            uint4 filter[3];
#pragma unroll
            for (int p = 0; p < 3; p++) filter[p] = task.filter(tile.filter(), block, p);
            float sum[8] = {};  // (channels g and g + 8, q and v)
#pragma unroll 1
            for (int start = 0; start < count; start += 16) {
                if (block + start > 0 && count > 16) near = MessageNear(slots + start);
                unsigned a[4], b[4], c[4];
                near.load_channels(a, tile.phi() + channel, STRIDE_PHI);
                near.load_channels(b, tile.phi() + CHANNELS + channel, STRIDE_PHI);
                near.load_channels(c, tile.phi() + 2 * CHANNELS + channel, STRIDE_PHI);
                float s[2][4] = {};
#pragma unroll
                for (int n = 0; n < 2; n++) multiply_add(s[n], a, near.by_basis(n));
                add_filtered(sum[0], sum[4], filter[0], s);
#pragma unroll
                for (int axis = 0; axis < 3; axis++) {
                    unsigned v[4];
                    near.load_channels(v, tile.v() + axis * ROWS * STRIDE_F + channel, STRIDE_F);
#pragma unroll
                    for (int i = 0; i < 4; i++) v[i] = times(c[i], v[i]);
                    float along[2][4] = {}, carried[2][4] = {};
#pragma unroll
                    for (int n = 0; n < 2; n++) {
                        multiply_add(along[n], b, near.by_along(axis, n));
                        multiply_add(carried[n], v, near.by_basis(n));
                    }
                    add_filtered(sum[1 + axis], sum[5 + axis], filter[1], along);
                    add_filtered(sum[1 + axis], sum[5 + axis], filter[2], carried);
                }
            }
            // Over t: lanes 2 and 3 keep channel g + 8, odd ones y and z.
            halve(sum, 8, 2);
            halve(sum, 4, 1);
            auto make = [&](int axis, float sum) {
                int at = (axis * ROWS + row) * STRIDE_F + own_channel;
                made[at] = half_of(fmaf(gate, sum, float_of(tile.v()[at])));
            };
            if (t % 2 == 0) {
                float& q = tile.q()[row * STRIDE_Q + own_channel];
                q = fmaf(gate_scalar, sum[0], q);
                make(0, sum[1]);
            } else {
                make(1, sum[0]);
                make(2, sum[1]);
            }
            __syncwarp();
        }
    }
    __syncthreads();
    for (int n = threadIdx.x; n < 3 * ROWS * CHANNELS / 2; n += TILE_THREADS) {
        int row = n / (CHANNELS / 2), f2 = n % (CHANNELS / 2) * 2;
        int axis = row / ROWS;
        word(tile.scratch.v_before, (axis * TILE_ROWS_MAX + row % ROWS) * CHANNELS + f2) = word(tile.v(), row * STRIDE_F + f2);
        word(tile.v(), row * STRIDE_F + f2) = word(made, row * STRIDE_F + f2);
    }
    __syncthreads();
}

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
    constexpr int ROWS = 16 * M, AXIS = TILE_ROWS_MAX * CHANNELS, BLOCKS = MessageTask::BLOCKS;
    static_assert(M == 1 || TILE_WARPS * BLOCKS * 5 * 16 * sizeof(float) <= ROWS * STRIDE_X * sizeof(Half), "sums fit into x");
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    for (int n = threadIdx.x / WARP; n < MessageTask::HALVES * tile.batch.rows; n += TILE_WARPS) {
        MessageTask task(n);
        int row = task.row, count = tile.count[row];
        // The task's vectors before the message and gradients by them: lane n has channels 2n and 2n + 1, as far
        // as the task has channels.
        unsigned v_before[3], dv_before[3];
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            int at = axis * AXIS + row * CHANNELS + task.channel(0) + 2 * (lane % (8 * BLOCKS));
            v_before[axis] = word(tile.scratch.v_before, at);
            dv_before[axis] = word(tile.scratch.dv_before, at);
        }
        const Slot* slots = tile.scratch.slots + row * TILE_ROWS_MAX;
#pragma unroll 1
        for (int start = 0; start < count; start += 16) {
            MessageNear near(slots + start);
            float by_u[3][2][4] = {}, by_r[2][4] = {};  // T, and what by_u has no part of, (neighbours, radial functions)
#pragma unroll 1
            for (int block = 0; block < BLOCKS; block++) {
                int channel = task.channel(block), own_channel = channel + g + t / 2 * 8;

                // Σ_k W[k, f] S[f, k]: (channels g and g + 8, by a, b and the vectors)
                float sum[10] = {};
                uint4 filter[3];
#pragma unroll
                for (int p = 0; p < 3; p++) filter[p] = task.filter(tile.filter(), block, p);
                {
                    unsigned d[4];
                    float s[2][4] = {}, along[2][4] = {};
                    near.load_channels(d, tile.h() + channel, STRIDE_F);
#pragma unroll
                    for (int n = 0; n < 2; n++) multiply_add(s[n], d, near.by_basis(n));
                    add_filtered(sum[0], sum[5], filter[0], s);
#pragma unroll
                    for (int axis = 0; axis < 3; axis++) {
                        float s[2][4] = {};
                        near.load_channels(d, tile.v() + axis * ROWS * STRIDE_F + channel, STRIDE_F);
#pragma unroll
                        for (int n = 0; n < 2; n++) {
                            multiply_add(s[n], d, near.by_basis(n));
                            multiply_add(along[n], d, near.by_along(axis, n));
                        }
                        add_filtered(sum[2 + axis], sum[7 + axis], filter[2], s);
                    }
                    add_filtered(sum[1], sum[6], filter[1], along);
                }

                // Right factors φ W: words of W are turned so that two channels share one.
                {
                    unsigned d[4], phi[3][2];
#pragma unroll
                    for (int p = 0; p < 3; p++)
#pragma unroll
                        for (int n = 0; n < 2; n++) phi[p][n] = word(tile.phi(), row * STRIDE_PHI + p * CHANNELS + channel + 8 * n + 2 * t);
                    // (radial functions 0 … 7 and 8 … 15, channels 0 … 7 and 8 … 15)
                    auto turned = [&](unsigned (&w)[2][2], const uint4& filter) {
                        w[0][0] = transposed(filter.x), w[1][0] = transposed(filter.y);
                        w[0][1] = transposed(filter.z), w[1][1] = transposed(filter.w);
                    };
                    unsigned w[2][2];
                    near.load_neighbours(d, tile.h() + channel, STRIDE_F);
                    turned(w, filter[0]);
#pragma unroll
                    for (int n = 0; n < 2; n++) multiply_add(by_r[n], d, {times(w[n][0], phi[0][0]), times(w[n][1], phi[0][1])});
                    unsigned b[2][2];
                    turned(b, filter[1]);
                    turned(w, filter[2]);
#pragma unroll
                    for (int n = 0; n < 2; n++)
#pragma unroll
                        for (int i = 0; i < 2; i++) b[n][i] = times(b[n][i], phi[1][i]), w[n][i] = times(w[n][i], phi[2][i]);
#pragma unroll
                    for (int axis = 0; axis < 3; axis++) {
                        near.load_neighbours(d, tile.v() + axis * ROWS * STRIDE_F + channel, STRIDE_F);
                        unsigned before[2];
#pragma unroll
                        for (int n = 0; n < 2; n++) before[n] = __shfl_sync(WHOLE_WARP, v_before[axis], 8 * block + 4 * n + t);
#pragma unroll
                        for (int n = 0; n < 2; n++) {
                            multiply_add(by_u[axis][n], d, {b[n][0], b[n][1]});
                            multiply_add(by_r[n], d, {times(w[n][0], before[0]), times(w[n][1], before[1])});
                        }
                    }
                }

                // Over t: lanes 2 and 3 keep channel g + 8; both of two lanes have the rest.
                halve(sum, 10, 2);
                float own_v[3], own_dv[3];
#pragma unroll
                for (int axis = 0; axis < 3; axis++) {
                    int there = 8 * block + t / 2 * 4 + g / 2;
                    Pair16 v = two_floats(__shfl_sync(WHOLE_WARP, v_before[axis], there));
                    Pair16 dv = two_floats(__shfl_sync(WHOLE_WARP, dv_before[axis], there));
                    own_v[axis] = g % 2 == 0 ? v.low : v.high;
                    own_dv[axis] = g % 2 == 0 ? dv.low : dv.high;
                }
                float* waiting = reinterpret_cast<float*>(tile.x()) + (threadIdx.x / WARP * BLOCKS + block) * 5 * 16 + g + t / 2 * 8;
#pragma unroll
                for (int i = 0; i < 5; i++) sum[i] += __shfl_xor_sync(WHOLE_WARP, sum[i], 1);
                // All lanes have read φ, which now becomes its gradient.
                __syncwarp();
                if (t % 2 == 0) {
#pragma unroll
                    for (int i = 0; i < 5; i++)
                        if (start > 0) sum[i] += waiting[16 * i];
                    if (start + 16 < count) {
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
                            tile.scratch.dv_before[axis * AXIS + row * CHANNELS + own_channel] =
                                half_of(fmaf(phi_c, sum[2 + axis], own_dv[axis]));
                    }
                }
                __syncwarp();
            }

            // Forward: w = B(r) W_f, so ∂w/∂r = B'(r) W_f
            Sixteen at_end(slots + start);
            unsigned slope[4];
            Sixteen::load(slope, slots[start].slope);
            float gradient[8];  // (two neighbours, by u and r)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const float* u = at_end.u[half];
                float* by = gradient + 4 * half;
                by[0] = by[1] = by[2] = by[3] = 0.0f;
#pragma unroll
                for (int n = 0; n < 2; n++) {
                    Pair16 basis = two_floats(at_end.basis[2 * n + half]), rise = two_floats(slope[2 * n + half]);
                    float d0 = by_r[n][2 * half], d1 = by_r[n][2 * half + 1];
#pragma unroll
                    for (int axis = 0; axis < 3; axis++) {
                        float t0 = by_u[axis][n][2 * half], t1 = by_u[axis][n][2 * half + 1];
                        by[axis] = fmaf(-basis.high, t1, fmaf(-basis.low, t0, by[axis]));
                        d0 = fmaf(-u[axis], t0, d0);
                        d1 = fmaf(-u[axis], t1, d1);
                    }
                    by[3] = fmaf(rise.high, d1, fmaf(rise.low, d0, by[3]));
                }
            }
            // Over the radial functions t: lane 2 of four keeps the second neighbour, odd ones the second two numbers.
            halve(gradient, 8, 2);
            halve(gradient, 4, 1);
            int of_lane = row * TILE_ROWS_MAX + start + g + t / 2 * 8;
            float* partial = reinterpret_cast<float*>(tile.scratch.partial + of_lane * MessageTask::HALVES + task.half);
            two(partial, t % 2 * 2) = {gradient[0], gradient[1]};
        }
    }
    __syncthreads();
}
