// The message of a tile: message.cu's formulas with φ, v and their gradients in shared memory.
//
//     q_i += g ⊙ Σ_j φ_a w_a,   v_i += g' ⊙ Σ_j (φ_b w_b u_ij + φ_c w_c v_j),   w = B(r) W_f
//
// A thread is a channel of every fourth row.  Filters are made in f32, as there.
//
// Shapes: B (P, K), u (P, 3), q (M, F), v (M, 3, F) → q, v
#include "message.cu"
#include "tile_update.cu"

constexpr int MESSAGE_GROUPS = TILE_THREADS / CHANNELS;

// φ = silu(q W + w) W' + w', from `x` to `phi`.
template <int M>
__device__ __noinline__ void tile_phi(const Tile<M>& tile, const TileStudent& student) {
    constexpr int DEPTH = CHANNELS / 16;
    Place place;
    auto of_m = [](int m) { return 16 * m; };
    {
        float sum[M][1][4] = {};
        const uint2* groups[1] = {student.phi_hidden.matrix.forward.group(place.warp)};
        product<M, 1>(sum, tile.x, STRIDE_X, of_m, DEPTH, groups);
        float2 bias = two(student.phi_hidden.bias, place.channel);
#pragma unroll
        for (int n = 0; n < 2 * M; n++) {
            float x0 = sum[n / 2][0][n % 2 * 2] + bias.x, x1 = sum[n / 2][0][n % 2 * 2 + 1] + bias.y;
            own(tile.scratch, Own::BEFORE + 16 + n) = two_halves(x0, x1);
            word(tile.h, place.row(n / 2, n % 2) * STRIDE_F + place.channel) = two_halves(tile_silu(x0), tile_silu(x1));
        }
    }
    __syncthreads();
    float sum[M][3][4] = {};
    const uint2* groups[3];
    for (int part = 0; part < 3; part++) groups[part] = student.phi_out.matrix.forward.group(part * TILE_WARPS + place.warp);
    product<M, 3>(sum, tile.h, STRIDE_F, of_m, DEPTH, groups);
#pragma unroll
    for (int part = 0; part < 3; part++) {
        float2 bias = two(student.phi_out.bias, part * CHANNELS + place.channel);
#pragma unroll
        for (int n = 0; n < 2 * M; n++)
            word(tile.phi, place.row(n / 2, n % 2) * STRIDE_PHI + part * CHANNELS + place.channel) =
                two_halves(sum[n / 2][part][n % 2 * 2] + bias.x, sum[n / 2][part][n % 2 * 2 + 1] + bias.y);
    }
    __syncthreads();
}

// The gradient by φ is in `phi`; adds that by q to `q`.
template <int M>
__device__ __noinline__ void tile_phi_backward(const Tile<M>& tile, const TileStudent& student) {
    constexpr int DEPTH = CHANNELS / 16;
    Place place;
    auto of_m = [](int m) { return 16 * m; };
    {
        float sum[M][1][4] = {};
        const uint2* groups[1] = {student.phi_out.matrix.backward.group(place.warp)};
        product<M, 1>(sum, tile.phi, STRIDE_PHI, of_m, 3 * DEPTH, groups);
#pragma unroll
        for (int n = 0; n < 2 * M; n++) {
            Pair16 before = two_floats(own(tile.scratch, Own::BEFORE + 16 + n));
            float d0 = sum[n / 2][0][n % 2 * 2] * tile_silu_slope(before.low);
            float d1 = sum[n / 2][0][n % 2 * 2 + 1] * tile_silu_slope(before.high);
            word(tile.h, place.row(n / 2, n % 2) * STRIDE_F + place.channel) = two_halves(d0, d1);
        }
    }
    __syncthreads();
    float sum[M][1][4] = {};
    const uint2* groups[1] = {student.phi_hidden.matrix.backward.group(place.warp)};
    product<M, 1>(sum, tile.h, STRIDE_F, of_m, DEPTH, groups);
#pragma unroll
    for (int n = 0; n < 2 * M; n++) {
        float2& dq = two(tile.q, place.row(n / 2, n % 2) * STRIDE_Q + place.channel);
        dq.x += sum[n / 2][0][n % 2 * 2];
        dq.y += sum[n / 2][0][n % 2 * 2 + 1];
    }
    __syncthreads();
}

// New vectors go to `h` and `x` until all old ones were read; these are kept in `v_before`.
template <int M>
__device__ __noinline__ void tile_message(const Tile<M>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M;
    const Pairs& pairs = tile.pairs;
    int f = threadIdx.x % CHANNELS, group = threadIdx.x / CHANNELS;
    Half* made = tile.h;
    {
        Filter columns(student.filter, f);
        for (int row = group; row < tile.batch.rows; row += MESSAGE_GROUPS) {
            RowOfPairs of = pairs_of(tile.batch, row);
            int count = pairs.count[row];
            float q_sum = 0.0f, v_sum[3] = {0.0f, 0.0f, 0.0f};
            for (int slot = 0; slot < count; slot++) {
                int j = pairs.list[of.first_pair + slot], sender = of.first_row + j;
                float3 w = columns.times(pairs.basis + (of.first_pair + j) * RADIAL);
                float4 u = pairs.unit[of.first_pair + j];
                const Half* phi = tile.phi + sender * STRIDE_PHI + f;
                const Half* v = tile.v + sender * STRIDE_F + f;
                float b = float_of(phi[CHANNELS]) * w.y, c = float_of(phi[2 * CHANNELS]) * w.z;
                q_sum = fmaf(float_of(phi[0]), w.x, q_sum);
                v_sum[0] = fmaf(c, float_of(v[0]), fmaf(b, u.x, v_sum[0]));
                v_sum[1] = fmaf(c, float_of(v[ROWS * STRIDE_F]), fmaf(b, u.y, v_sum[1]));
                v_sum[2] = fmaf(c, float_of(v[2 * ROWS * STRIDE_F]), fmaf(b, u.z, v_sum[2]));
            }
            int by_element = tile.batch.element[row] * CHANNELS + f;
            float& q = tile.q[row * STRIDE_Q + f];
            q = fmaf(student.gate_scalar[by_element], q_sum, q);
            for (int axis = 0; axis < 3; axis++) {
                int at = (axis * ROWS + row) * STRIDE_F + f;
                made[at] = half_of(fmaf(student.gate_vector[by_element], v_sum[axis], float_of(tile.v[at])));
            }
        }
    }
    __syncthreads();
    for (int n = threadIdx.x; n < 3 * ROWS * CHANNELS / 2; n += TILE_THREADS) {
        int row = n / (CHANNELS / 2), f2 = n % (CHANNELS / 2) * 2;
        int axis = row / ROWS;
        word(tile.scratch.v_before, (axis * TILE_ROWS_MAX + row % ROWS) * CHANNELS + f2) = word(tile.v, row * STRIDE_F + f2);
        word(tile.v, row * STRIDE_F + f2) = word(made, row * STRIDE_F + f2);
    }
    __syncthreads();
}

// The sums over a warp of four numbers at once: lanes 0, 8, 16 and 24 get one each.
__device__ inline float four_sums_over_warp(float x, float y, float z, float w) {
    bool high = threadIdx.x & 16, odd = threadIdx.x & 8;
    float keep0 = high ? z : x, keep1 = high ? w : y;
    keep0 += __shfl_xor_sync(WHOLE_WARP, high ? x : z, 16);
    keep1 += __shfl_xor_sync(WHOLE_WARP, high ? y : w, 16);
    float keep = odd ? keep1 : keep0;
    keep += __shfl_xor_sync(WHOLE_WARP, odd ? keep0 : keep1, 8);
    keep += __shfl_xor_sync(WHOLE_WARP, keep, 4);
    keep += __shfl_xor_sync(WHOLE_WARP, keep, 2);
    return keep + __shfl_xor_sync(WHOLE_WARP, keep, 1);
}

// g ⊙ dq is in `x`, g' ⊙ dv in `v`, dv in `dv_before`; `phi` becomes its gradient, `dv_before` that by the
// vectors before the message.  A row is a sender here: its neighbours are the same, and u_ij = −u_ji.
template <int M>
__device__ __noinline__ void tile_message_backward(const Tile<M>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M, PARTS = CHANNELS / WARP;
    const Pairs& pairs = tile.pairs;
    int f = threadIdx.x % CHANNELS, group = threadIdx.x / CHANNELS;
    int lane = threadIdx.x % WARP, part = f / WARP;
    Filter columns(student.filter, f);
    for (int row = group; row < tile.batch.rows; row += MESSAGE_GROUPS) {
        RowOfPairs of = pairs_of(tile.batch, row);
        int count = pairs.count[row];
        Half* phi = tile.phi + row * STRIDE_PHI + f;
        float phi_a = float_of(phi[0]), phi_b = float_of(phi[CHANNELS]), phi_c = float_of(phi[2 * CHANNELS]);
        const Half* before = tile.scratch.v_before + row * CHANNELS + f;
        float v_j[3] = {float_of(before[0]), float_of(before[TILE_ROWS_MAX * CHANNELS]), float_of(before[2 * TILE_ROWS_MAX * CHANNELS])};
        float of_a = 0.0f, of_b = 0.0f, of_c[3] = {0.0f, 0.0f, 0.0f};
        for (int slot = 0; slot < count; slot++) {
            int i = pairs.list[of.first_pair + slot], receiver = of.first_row + i;
            size_t pair = of.first_pair + i;
            float4 u = pairs.unit[pair];  // from the sender to the receiver: −u_ij
            float3 w = columns.times(pairs.basis + pair * RADIAL);
            float3 w_slope = columns.times(pairs.slope + pair * RADIAL);

            // Forward: q_i += g ⊙ Σ_j φ_a w_a, v_i += g' ⊙ Σ_j (φ_b w_b u_ij + φ_c w_c v_j)
            float da = float_of(tile.x[receiver * STRIDE_X + f]);
            const Half* dv = tile.v + receiver * STRIDE_F + f;
            float d[3] = {float_of(dv[0]), float_of(dv[ROWS * STRIDE_F]), float_of(dv[2 * ROWS * STRIDE_F])};
            float db = -fmaf(d[2], u.z, fmaf(d[1], u.y, d[0] * u.x));
            float dc = fmaf(d[2], v_j[2], fmaf(d[1], v_j[1], d[0] * v_j[0]));
            of_a = fmaf(da, w.x, of_a);
            of_b = fmaf(db, w.y, of_b);
            for (int axis = 0; axis < 3; axis++) of_c[axis] = fmaf(d[axis], w.z, of_c[axis]);

            // Forward: w = B(r) W_f, so ∂w/∂r = B'(r) W_f; by −u_ij, which is this pair's own direction.
            float b = -phi_b * w.y;
            float dr = fmaf(dc * phi_c, w_slope.z, fmaf(db * phi_b, w_slope.y, da * phi_a * w_slope.x));
            float sum = four_sums_over_warp(b * d[0], b * d[1], b * d[2], dr);
            if (lane % 8 == 0) reinterpret_cast<float*>(tile.scratch.partial + pair * PARTS + part)[lane / 8 % 2 + lane / 16 * 2] = sum;
        }
        phi[0] = half_of(of_a);
        phi[CHANNELS] = half_of(of_b);
        phi[2 * CHANNELS] = half_of(fmaf(of_c[2], v_j[2], fmaf(of_c[1], v_j[1], of_c[0] * v_j[0])));
        for (int axis = 0; axis < 3; axis++) {
            Half& dv = tile.scratch.dv_before[(axis * TILE_ROWS_MAX + row) * CHANNELS + f];
            dv = half_of(fmaf(phi_c, of_c[axis], float_of(dv)));
        }
    }
    __syncthreads();
}
