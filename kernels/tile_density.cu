// First layer of a tile: density.cu's formulas, and its products, on tensor cores.
//
//     A0, A1, A2 → q = embedding + g0 ⊙ A0 W0,   v = g1 ⊙ A1 W1,   t = g2 ⊙ A2 W2
//
// The nine components of the densities take (9, M, E K) numbers.  Where a molecule has so many
// elements that they do not fit, they come in several portions.
//
// Shapes: B (P, K), u (P, 3) → q (M, F), v (M, 3, F), |t| (M, T)
#pragma once
#include "harmonics.cuh"
#include "tile_slots.cu"

// How many components of densities fit into so many halves.
__device__ inline int components_at_once(int halves, int rows, int stride) { return min(COMPONENTS, halves / (rows * stride)); }

// Rows of sixteen m = 2i + (0 or 1) that a half of the warps has of what is T channels wide.
template <int M>
struct ByHalves {
    static constexpr int COUNT = (M + 1) / 2;
    int group = threadIdx.x / WARP % (TILE_WARPS / 2), side = threadIdx.x / WARP / (TILE_WARPS / 2);
    int channel = 8 * group + 2 * (threadIdx.x % 4);
    __device__ bool has(int i) const { return 2 * i + side < M; }
    __device__ int first_row(int i) const { return has(i) ? 16 * (2 * i + side) : 0; }
    __device__ int row(int i, int half) const { return first_row(i) + 8 * half + threadIdx.x % WARP / 4; }
};

template <int M>
__device__ __noinline__ void tile_density(const Tile<M>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M;
    Place place;
    ByHalves<M> by_halves;
    int width = student.elements * RADIAL, stride = width + 8;
    int at_once = components_at_once(Regions<M>::FORWARD_DENSITIES, ROWS, stride);
    float t2[ByHalves<M>::COUNT][4] = {};

    for (int first = 0; first < COMPONENTS; first += at_once) {
        int last = min(COMPONENTS, first + at_once);
        // A[e,k] = Σ_b B_k (1, u, Y), a thread a row and a radial function
        for (int task = threadIdx.x; task < tile.batch.rows * RADIAL; task += TILE_THREADS) {
            int row = task / RADIAL, k = task % RADIAL;
            int count = tile.pairs.count[row];
            const Slot* slots = tile.scratch.slots + row * TILE_ROWS_MAX;
            for (int e = 0; e < student.elements; e++) {
                float sum[COMPONENTS] = {};
#pragma unroll 4
                for (int n = 0; n < count; n++) {
                    // One that is of another element adds nothing.
                    float mine = slots[n].element == e ? 1.0f : 0.0f;
                    float4 u = slots[n].unit;
                    float basis = mine * float_of(reinterpret_cast<const Half*>(slots[n].basis)[k]);
#pragma unroll
                    for (int c = 0; c < COMPONENTS; c++) sum[c] = fmaf(harmonic(c, u), basis, sum[c]);
                }
#pragma unroll
                for (int c = 0; c < COMPONENTS; c++)
                    if (c >= first && c < last) tile.phi()[((c - first) * ROWS + row) * stride + e * RADIAL + k] = half_of(sum[c]);
            }
        }
        __syncthreads();

        for (int c = first; c < last; c++) {
            const Half* a = tile.phi() + (c - first) * ROWS * stride;
            if (c < 4) {
                float sum[M][1][4] = {};
                const Packed& matrix = (c == 0 ? student.scalar : student.vector).forward;
                const uint2* groups[1] = {matrix.group(place.warp)};
                product<M, 1>(sum, a, stride, [](int m) { return 16 * m; }, student.elements, groups);
#pragma unroll
                for (int n = 0; n < 2 * M; n++) {
                    int row = place.row(n / 2, n % 2), by_element = tile.batch.element[row] * CHANNELS + place.channel;
                    float x0 = sum[n / 2][0][n % 2 * 2], x1 = sum[n / 2][0][n % 2 * 2 + 1];
                    float2 gate = two(c == 0 ? student.gate0 : student.gate1, by_element);
                    if (c == 0) {
                        float2 base = two(student.embedding, by_element);
                        two(tile.q(), row * STRIDE_Q + place.channel) = {fmaf(x0, gate.x, base.x), fmaf(x1, gate.y, base.y)};
                    } else {
                        word(tile.v(), ((c - 1) * ROWS + row) * STRIDE_F + place.channel) = two_halves(x0 * gate.x, x1 * gate.y);
                    }
                }
            } else {
                float sum[ByHalves<M>::COUNT][1][4] = {};
                const uint2* groups[1] = {student.tensor.forward.group(by_halves.group)};
                product<ByHalves<M>::COUNT, 1>(sum, a, stride, [&](int i) { return by_halves.first_row(i); }, student.elements, groups);
#pragma unroll
                for (int n = 0; n < 2 * ByHalves<M>::COUNT; n++) {
                    int i = n / 2, side = n % 2;
                    int by_element = tile.batch.element[by_halves.row(i, side)] * TENSOR_CHANNELS + by_halves.channel;
                    float2 gate = two(student.gate2, by_element);
                    unsigned t = two_halves(sum[i][0][2 * side] * gate.x, sum[i][0][2 * side + 1] * gate.y);
                    own(tile.scratch, Own::TENSOR + n * 5 + c - 4) = t;
                    Pair16 rounded = two_floats(t);
                    t2[i][2 * side] = fmaf(rounded.low, rounded.low, t2[i][2 * side]);
                    t2[i][2 * side + 1] = fmaf(rounded.high, rounded.high, t2[i][2 * side + 1]);
                }
            }
        }
        __syncthreads();
    }

    // |t| is the last part of the first update's inputs.
#pragma unroll
    for (int n = 0; n < 2 * ByHalves<M>::COUNT; n++) {
        if (!by_halves.has(n / 2)) continue;
        float low = sqrtf(t2[n / 2][n % 2 * 2] + student.norm_epsilon);
        float high = sqrtf(t2[n / 2][n % 2 * 2 + 1] + student.norm_epsilon);
        word(tile.x(), by_halves.row(n / 2, n % 2) * STRIDE_X + 2 * CHANNELS + by_halves.channel) = two_halves(low, high);
    }
}

// Gradients by q and v, times the gates, are in `h` and `v`, those by t in `phi`; adds to the pairs'
// gradients, and the message's parts too.
template <int M>
__device__ __noinline__ void tile_density_backward(const Tile<M>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M, PARTS = CHANNELS / 16;
    const Pairs& pairs = tile.pairs;
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int width = student.elements * RADIAL, stride = width + 8;
    int at_once = components_at_once(Regions<M>::BACKWARD_DENSITIES, ROWS, stride);

    for (int first = 0; first < COMPONENTS; first += at_once) {
        int count = min(COMPONENTS - first, at_once);
        // dA = dy Wᵀ, a warp a component and eight columns
        for (int task = warp; task < count * width / 8; task += TILE_WARPS) {
            int c = first + task / (width / 8), n = task % (width / 8);
            float sum[M][1][4] = {};
            const Packed& matrix = (c == 0 ? student.scalar : c < 4 ? student.vector : student.tensor).backward;
            const uint2* groups[1] = {matrix.group(n)};
            const Half* dy = c == 0 ? tile.h() : c < 4 ? tile.v() + (c - 1) * ROWS * STRIDE_F : tile.phi() + (c - 4) * ROWS * STRIDE_T;
            product<M, 1>(sum, dy, c < 4 ? STRIDE_F : STRIDE_T, [](int m) { return 16 * m; }, matrix.depth, groups);
#pragma unroll
            for (int m = 0; m < 2 * M; m++) {
                int row = 16 * (m / 2) + 8 * (m % 2) + lane / 4;
                word(tile.x(), ((c - first) * ROWS + row) * stride + 8 * n + 2 * (lane % 4)) =
                    two_halves(sum[m / 2][0][m % 2 * 2], sum[m / 2][0][m % 2 * 2 + 1]);
            }
        }
        __syncthreads();

        // A warp a row, a lane a neighbour.
        for (int row = warp; row < tile.batch.rows; row += TILE_WARPS) {
            RowOfPairs of = pairs_of(tile.batch, row);
            for (int n = lane; n < pairs.count[row]; n += WARP) {
                const Slot& slot = tile.scratch.slots[row * TILE_ROWS_MAX + n];
                size_t pair = of.first_pair + (slot.row - of.first_row);
                float4 u = slot.unit;
                const Half* da = tile.x() + row * stride + slot.element * RADIAL;

                // Forward: A_c[z_b, k] += Y_c(u) B_k(r)
                float dy[COMPONENTS] = {}, dr = 0.0f;
                for (int k = 0; k < RADIAL; k += 2) {
                    Pair16 basis = two_floats(slot.basis[k / 2]), slope = two_floats(slot.slope[k / 2]);
                    float db[2] = {0.0f, 0.0f};
#pragma unroll
                    for (int c = 0; c < COMPONENTS; c++) {
                        if (c < first || c >= first + count) continue;
                        Pair16 d = two_floats(*reinterpret_cast<const unsigned*>(da + (c - first) * ROWS * stride + k));
                        db[0] = fmaf(d.low, harmonic(c, u), db[0]);
                        db[1] = fmaf(d.high, harmonic(c, u), db[1]);
                        dy[c] = fmaf(d.low, basis.low, fmaf(d.high, basis.high, dy[c]));
                    }
                    dr = fmaf(db[0], slope.low, fmaf(db[1], slope.high, dr));
                }
                float4 gradient = harmonics_backward(dy, u);
                gradient.w = dr;
                for (int part = 0; part < PARTS && first == 0; part++) {
                    float4 of_message = tile.scratch.partial[(row * TILE_ROWS_MAX + n) * PARTS + part];
                    gradient = {gradient.x + of_message.x, gradient.y + of_message.y, gradient.z + of_message.z,
                                gradient.w + of_message.w};
                }
                constexpr float scale = 1.0f / GRADIENT_SCALE;
                float4 sum = pairs.gradient[pair];
                pairs.gradient[pair] = {fmaf(scale, gradient.x, sum.x), fmaf(scale, gradient.y, sum.y),
                                        fmaf(scale, gradient.z, sum.z), fmaf(scale, gradient.w, sum.w)};
            }
        }
        __syncthreads();
    }
}
