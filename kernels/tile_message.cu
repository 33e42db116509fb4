// The message of a tile: message.cu's formulas with φ, v and their gradients in shared memory.
//
//     q_i += g ⊙ Σ_j φ_a w_a,   v_i += g' ⊙ Σ_j (φ_b w_b u_ij + φ_c w_c v_j),   w = B(r) W_f
//
// Filters are products of sixteen neighbours' radial functions (rows) and eight channels' filters
// (columns), so that a lane has them for neighbours g and g + 8 and channels 2t and 2t + 1.  A warp
// has sixteen channels of every other row.
//
// Shapes: B (P, K), u (P, 3), q (M, F), v (M, 3, F) → q, v
#include "tile_update.cu"

// The work of a message is cut into rows, and these into halves of the channels; a warp takes one
// such task after the other, sixteen channels at a time.
struct MessageTask {
    static constexpr int HALVES = 2, BLOCKS = CHANNELS / 16 / HALVES;
    int row, half;

    __device__ explicit MessageTask(int task) : row(task / HALVES), half(task % HALVES) {}
    __device__ int channel(int block) const { return 16 * (half * BLOCKS + block) + threadIdx.x % 4 * 2; }
};

// The filters of eight channels: W_f's columns of part p, n-th eight of sixteen.
__device__ inline uint2 filter_of(const uint2* filter, int channel, int part, int n) {
    return filter[(part * (CHANNELS / 8) + channel / 16 * 2 + n) * (RADIAL / 16) * WARP + threadIdx.x % WARP];
}

// φ = silu(q W + w) W' + w', from `x` to `phi`.
template <int M>
__device__ __forceinline__ void tile_phi(const Tile<M>& tile, const TileStudent& student) {
    constexpr int DEPTH = CHANNELS / 16;
    Place place;
    auto part_of = [&](int part) { return part * TILE_WARPS + place.warp; };
    {
        Columns<1, DEPTH> hidden(student.phi_hidden.matrix.forward, part_of);
        float2 bias = two(student.phi_hidden.bias, place.channel);
#pragma unroll 1
        for (int m = 0; m < M; m++) {
            float sum[1][4] = {};
            hidden.multiply(sum, tile.x() + 16 * m * STRIDE_X, STRIDE_X);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float x0 = sum[0][2 * half] + bias.x, x1 = sum[0][2 * half + 1] + bias.y;
                keep(tile.scratch, Own::BEFORE + 16 + 2 * m + half, two_halves(x0, x1));
                word(tile.h(), place.row(m, half) * STRIDE_F + place.channel) = two_halves(tile_silu(x0), tile_silu(x1));
            }
        }
    }
    Columns<3, DEPTH> out(student.phi_out.matrix.forward, part_of);
    float2 bias[3];
#pragma unroll
    for (int part = 0; part < 3; part++) bias[part] = two(student.phi_out.bias, part * CHANNELS + place.channel);
    __syncthreads();
#pragma unroll 1
    for (int m = 0; m < M; m++) {
        float sum[3][4] = {};
        out.multiply(sum, tile.h() + 16 * m * STRIDE_F, STRIDE_F);
#pragma unroll
        for (int part = 0; part < 3; part++)
#pragma unroll
            for (int half = 0; half < 2; half++)
                word(tile.phi(), place.row(m, half) * STRIDE_PHI + part * CHANNELS + place.channel) =
                    two_halves(sum[part][2 * half] + bias[part].x, sum[part][2 * half + 1] + bias[part].y);
    }
    __syncthreads();
}

// The gradient by φ is in `phi`; adds that by q to `q`.
template <int M>
__device__ __forceinline__ void tile_phi_backward(const Tile<M>& tile, const TileStudent& student) {
    constexpr int DEPTH = CHANNELS / 16;
    Place place;
    auto part_of = [&](int part) { return part * TILE_WARPS + place.warp; };
    {
        Columns<1, 3 * DEPTH> out(student.phi_out.matrix.backward, part_of);
#pragma unroll 1
        for (int m = 0; m < M; m++) {
            float sum[1][4] = {};
            unsigned words[2];
            fetch(words, tile.scratch, Own::BEFORE + 16 + 2 * m);
            out.multiply(sum, tile.phi() + 16 * m * STRIDE_PHI, STRIDE_PHI);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                Pair16 before = two_floats(words[half]);
                float d0 = sum[0][2 * half] * tile_silu_slope(before.low);
                float d1 = sum[0][2 * half + 1] * tile_silu_slope(before.high);
                word(tile.h(), place.row(m, half) * STRIDE_F + place.channel) = two_halves(d0, d1);
            }
        }
    }
    Columns<1, DEPTH> hidden(student.phi_hidden.matrix.backward, part_of);
    __syncthreads();
#pragma unroll 1
    for (int m = 0; m < M; m++) {
        float sum[1][4] = {};
        hidden.multiply(sum, tile.h() + 16 * m * STRIDE_F, STRIDE_F);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float2& dq = two(tile.q(), place.row(m, half) * STRIDE_Q + place.channel);
            dq.x += sum[0][2 * half];
            dq.y += sum[0][2 * half + 1];
        }
    }
    __syncthreads();
}

// New vectors go to `h` and `x` until all old ones were read; these are kept in `v_before`.
template <int M>
__device__ __forceinline__ void tile_message(const Tile<M>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M;
    Half* made = tile.h();
    int lane = threadIdx.x % WARP;
    for (int n = threadIdx.x / WARP; n < MessageTask::HALVES * tile.batch.rows; n += TILE_WARPS) {
        MessageTask task(n);
        int count = tile.pairs.count[task.row];
        const Slot* slots = tile.scratch.slots + task.row * TILE_ROWS_MAX;
        Sixteen first;
        if (count > 0) first = Sixteen(slots);
#pragma unroll 1
        for (int block = 0; block < MessageTask::BLOCKS; block++) {
            int channel = task.channel(block);
            float sum[16] = {};  // (eight channels, q and v, two channels)
            Sixteen near = first;
#pragma unroll 1
            for (int start = 0; start < count; start += 16) {
                if (start > 0) near = Sixteen(slots + start);
#pragma unroll
                for (int n = 0; n < 2; n++) {
                    float w[3][4] = {};
#pragma unroll
                    for (int p = 0; p < 3; p++) multiply_add(w[p], near.basis, filter_of(tile.filter(), channel, p, n));
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const float* u = near.u[half];
                        int phi = near.row[half] * STRIDE_PHI + channel + 8 * n;
                        int v = near.row[half] * STRIDE_F + channel + 8 * n;
                        Pair16 a = two_floats(word(tile.phi(), phi)), b = two_floats(word(tile.phi(), phi + CHANNELS));
                        Pair16 c = two_floats(word(tile.phi(), phi + 2 * CHANNELS));
                        Pair16 x = two_floats(word(tile.v(), v)), y = two_floats(word(tile.v(), v + ROWS * STRIDE_F));
                        Pair16 z = two_floats(word(tile.v(), v + 2 * ROWS * STRIDE_F));
                        float b0 = b.low * w[1][2 * half], b1 = b.high * w[1][2 * half + 1];
                        float c0 = c.low * w[2][2 * half], c1 = c.high * w[2][2 * half + 1];
                        float* to = sum + 8 * n;
                        to[0] = fmaf(a.low, w[0][2 * half], to[0]);
                        to[1] = fmaf(a.high, w[0][2 * half + 1], to[1]);
                        to[2] = fmaf(c0, x.low, fmaf(b0, u[0], to[2]));
                        to[3] = fmaf(c1, x.high, fmaf(b1, u[0], to[3]));
                        to[4] = fmaf(c0, y.low, fmaf(b0, u[1], to[4]));
                        to[5] = fmaf(c1, y.high, fmaf(b1, u[1], to[5]));
                        to[6] = fmaf(c0, z.low, fmaf(b0, u[2], to[6]));
                        to[7] = fmaf(c1, z.high, fmaf(b1, u[2], to[7]));
                    }
                }
            }
            // Over the neighbours g: lanes 16 … 31 keep the second eight channels, and so on.
            halve(sum, 16, 16);
            halve(sum, 8, 8);
            halve(sum, 4, 4);
            int component = lane / 4 % 4, own_channel = channel + lane / 16 * 8;
            int by_element = tile.batch.element[task.row] * CHANNELS + own_channel;
            if (component == 0) {
                float2 gate = two(student.gate_scalar, by_element);
                float2& q = two(tile.q(), task.row * STRIDE_Q + own_channel);
                q = {fmaf(gate.x, sum[0], q.x), fmaf(gate.y, sum[1], q.y)};
            } else {
                float2 gate = two(student.gate_vector, by_element);
                int at = ((component - 1) * ROWS + task.row) * STRIDE_F + own_channel;
                Pair16 v = two_floats(word(tile.v(), at));
                word(made, at) = two_halves(fmaf(gate.x, sum[0], v.low), fmaf(gate.y, sum[1], v.high));
            }
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
// What a row with more than sixteen neighbours has summed up waits in `x`.
template <int M>
__device__ __forceinline__ void tile_message_backward(const Tile<M>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M, AXIS = TILE_ROWS_MAX * CHANNELS, BLOCKS = MessageTask::BLOCKS;
    static_assert(M == 1 || TILE_WARPS * BLOCKS * 5 * 16 * sizeof(float) <= ROWS * STRIDE_X * sizeof(Half), "sums fit into x");
    int lane = threadIdx.x % WARP;
    for (int n = threadIdx.x / WARP; n < MessageTask::HALVES * tile.batch.rows; n += TILE_WARPS) {
        MessageTask task(n);
        int row = task.row, count = tile.pairs.count[row];
        auto load_before = [&](unsigned (&before)[2][3], int block) {
#pragma unroll
            for (int n = 0; n < 2; n++)
#pragma unroll
                for (int axis = 0; axis < 3; axis++)
                    before[n][axis] = word(tile.scratch.v_before, axis * AXIS + row * CHANNELS + task.channel(block) + 8 * n);
        };
        const Slot* slots = tile.scratch.slots + row * TILE_ROWS_MAX;
        // A frozen replica has no neighbours, and nobody asks for its gradients.
#pragma unroll 1
        for (int start = 0; start < count; start += 16) {
            Sixteen near(slots + start);
            unsigned slope[4], next_before[2][3];
            Sixteen::load(slope, slots[start].slope);
            load_before(next_before, 0);
            float gradient[8] = {};  // (two neighbours, by u and r)
#pragma unroll 1
            for (int block = 0; block < BLOCKS; block++) {
                int channel = task.channel(block);
                // The last of this block's words are asked for early: they come from far.
                int own_channel = channel + lane / 16 * 8 + lane / 8 % 2;
                Half* dv_before = tile.scratch.dv_before + row * CHANNELS + own_channel;
                const Half* v_before = tile.scratch.v_before + row * CHANNELS + own_channel;
                Half dv[3], own_v[3];
#pragma unroll
                for (int axis = 0; axis < 3; axis++) dv[axis] = dv_before[axis * AXIS], own_v[axis] = v_before[axis * AXIS];
                unsigned phi[2][3], before[2][3];
#pragma unroll
                for (int n = 0; n < 2; n++)
#pragma unroll
                    for (int p = 0; p < 3; p++) {
                        phi[n][p] = word(tile.phi(), row * STRIDE_PHI + p * CHANNELS + channel + 8 * n);
                        before[n][p] = next_before[n][p];
                    }
                if (block + 1 < BLOCKS) load_before(next_before, block + 1);
                float sum[20] = {};  // (eight channels, two channels, Σ da w_a, Σ db w_b, Σ d w_c)
#pragma unroll
                for (int n = 0; n < 2; n++) {
                    float w[3][4] = {}, w_slope[3][4] = {};
#pragma unroll
                    for (int p = 0; p < 3; p++) {
                        uint2 filter = filter_of(tile.filter(), channel, p, n);
                        multiply_add(w[p], near.basis, filter);
                        multiply_add(w_slope[p], slope, filter);
                    }
                    Pair16 of_a = two_floats(phi[n][0]), of_b = two_floats(phi[n][1]), of_c = two_floats(phi[n][2]);
                    Pair16 of_x = two_floats(before[n][0]), of_y = two_floats(before[n][1]), of_z = two_floats(before[n][2]);
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const float* u = near.u[half];  // from the sender to the receiver: −u_ij
                        int at = near.row[half] * STRIDE_F + channel + 8 * n;
                        Pair16 q = two_floats(word(tile.h(), at));
                        Pair16 x = two_floats(word(tile.v(), at)), y = two_floats(word(tile.v(), at + ROWS * STRIDE_F));
                        Pair16 z = two_floats(word(tile.v(), at + 2 * ROWS * STRIDE_F));
#pragma unroll
                        for (int i = 0; i < 2; i++) {
                            auto of = [&](Pair16 pair) { return i == 0 ? pair.low : pair.high; };
                            float wa = w[0][2 * half + i], wb = w[1][2 * half + i], wc = w[2][2 * half + i];
                            float da = of(q), d[3] = {of(x), of(y), of(z)};
                            // Forward: φ_b w_b u_ij + φ_c w_c v_j
                            float db = -fmaf(d[2], u[2], fmaf(d[1], u[1], d[0] * u[0]));
                            float dc = fmaf(d[2], of(of_z), fmaf(d[1], of(of_y), d[0] * of(of_x)));
                            float* to = sum + 10 * n + 5 * i;
                            to[0] = fmaf(da, wa, to[0]);
                            to[1] = fmaf(db, wb, to[1]);
                            for (int axis = 0; axis < 3; axis++) to[2 + axis] = fmaf(d[axis], wc, to[2 + axis]);
                            // Forward: w = B(r) W_f, so ∂w/∂r = B'(r) W_f; by −u_ij, which is this pair's own direction.
                            float b = -of(of_b) * wb;
                            float* by = gradient + 4 * half;
                            for (int axis = 0; axis < 3; axis++) by[axis] = fmaf(b, d[axis], by[axis]);
                            by[3] = fmaf(dc * of(of_c), w_slope[2][2 * half + i], by[3]);
                            by[3] = fmaf(db * of(of_b), w_slope[1][2 * half + i], by[3]);
                            by[3] = fmaf(da * of(of_a), w_slope[0][2 * half + i], by[3]);
                        }
                    }
                }
                // Over the neighbours g: by eight channels, then by channel; both of two lanes have the rest.
                halve(sum, 20, 16);
                halve(sum, 10, 8);
                float* waiting = reinterpret_cast<float*>(tile.x()) + (threadIdx.x / WARP * BLOCKS + block) * 5 * 16;
                waiting += lane / 8 * 4 + lane % 4;
#pragma unroll
                for (int i = 0; i < 5; i++) sum[i] += __shfl_xor_sync(WHOLE_WARP, sum[i], 4);
                if ((lane & 4) == 0) {
#pragma unroll
                    for (int i = 0; i < 5; i++)
                        if (start > 0) sum[i] += waiting[16 * i];
                    if (start + 16 < count) {
#pragma unroll
                        for (int i = 0; i < 5; i++) waiting[16 * i] = sum[i];
                    } else {
                        Half* own_phi = tile.phi() + row * STRIDE_PHI + own_channel;
                        float phi_c = float_of(own_phi[2 * CHANNELS]);
                        float of_c = fmaf(sum[4], float_of(own_v[2]), fmaf(sum[3], float_of(own_v[1]), sum[2] * float_of(own_v[0])));
                        own_phi[0] = half_of(sum[0]);
                        own_phi[CHANNELS] = half_of(sum[1]);
                        own_phi[2 * CHANNELS] = half_of(of_c);
#pragma unroll
                        for (int axis = 0; axis < 3; axis++)
                            dv_before[axis * AXIS] = half_of(fmaf(phi_c, sum[2 + axis], float_of(dv[axis])));
                    }
                }
                __syncwarp();
            }
            // Over the channels t: lane 2 of four keeps the second neighbour, odd ones the second two numbers.
            halve(gradient, 8, 2);
            halve(gradient, 4, 1);
            int of_lane = row * TILE_ROWS_MAX + start + lane / 4 + lane / 2 % 2 * 8;
            float* partial = reinterpret_cast<float*>(tile.scratch.partial + of_lane * MessageTask::HALVES + task.half);
            two(partial, lane % 2 * 2) = {gradient[0], gradient[1]};
        }
    }
    __syncthreads();
}
