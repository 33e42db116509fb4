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
#include "tile_pairs.cu"

// How many components of densities fit into so many halves.
__device__ inline int components_at_once(int halves, int rows, int stride) { return min(COMPONENTS, halves / (rows * stride)); }

// Rows of sixteen m = 2i + (0 or 1) that a half of the warps has, `WIDTH` channels a warp: of what is T channels wide, or
// of twice as many.
template <int M, int C, int WIDTH = 8>
struct ByHalves {
    static constexpr int COUNT = (M + 1) / 2;
    unsigned kept = thread_now<C>();
    __device__ unsigned thread() const { return C == 1 ? threadIdx.x : kept; }
    int group, side, channel;
    // In a cluster a block has one group, which its third warp makes.
    __device__ explicit ByHalves(unsigned rank)
        : group(C == 1 ? threadIdx.x / WARP % (TILE_WARPS / 2) : rank),
          side(C == 1 ? threadIdx.x / WARP / (TILE_WARPS / 2) : kept / WARP == 2 ? 0 : 1),
          channel(WIDTH * group + 2 * (thread() % 4)) {}
    __device__ bool has(int i) const { return 2 * i + side < M; }
    __device__ Half* in(Half* array, int stride, int i) const {
        return C == 1 ? array + row(i, 0) * stride + channel : array + place_of_eight(kept % WARP / 4, group);
    }
    __device__ bool works() const { return C == 1 || side == 0; }
    // Behind those of two matrices.
    __device__ int group_of_block() const { return 4; }
    __device__ int lane_of_columns() const { return thread() % WARP; }
    __device__ int first_row(int i) const { return has(i) ? 16 * (2 * i + side) : 0; }
    __device__ int row(int i, int half) const { return first_row(i) + 8 * half + thread() % WARP / 4; }
};

// Eight columns of a matrix with a sixteen of rows for each element: those of the first few in registers.
struct ElementColumns {
    static constexpr int HERE = 4;
    const uint2* group;
    int depth;
    uint2 of[HERE] = {};

    __device__ ElementColumns(const Packed& matrix, int n) : group(matrix.group(n)), depth(matrix.depth) {
#pragma unroll
        for (int k = 0; k < HERE; k++)
            if (k < depth) of[k] = __ldg(group + k * WARP);
    }

    // sum[m] = sixteen rows of x from row_of(m) on times the columns
    template <int M, class RowOf>
    __device__ void multiply(float (&sum)[M][4], const Half* x, int stride, RowOf row_of) const {
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) sum[m][i] = 0.0f;
        auto add = [&](int k, uint2 column) {
#pragma unroll
            for (int m = 0; m < M; m++) {
                unsigned a[4];
                load_rows(a, x + row_of(m) * stride + 16 * k, stride);
                multiply_add(sum[m], a, column);
            }
        };
#pragma unroll
        for (int k = 0; k < HERE; k++)
            if (k < depth) add(k, of[k]);
        for (int k = HERE; k < depth; k++) add(k, __ldg(group + k * WARP));
    }
};

// Components 2t and 2t + 1 of lane t, of the first eight.
__device__ inline float2 harmonics_of(int t, const float (&u)[3]) {
    float4 v = {u[0], u[1], u[2], 0.0f};
    switch (t) {
        case 0: return {harmonic(0, v), harmonic(1, v)};
        case 1: return {harmonic(2, v), harmonic(3, v)};
        case 2: return {harmonic(4, v), harmonic(5, v)};
        default: return {harmonic(6, v), harmonic(7, v)};
    }
}

// Elements whose densities are summed up at once.
constexpr int ELEMENTS_IN_HAND = 3;

// The densities of a row,  A_c[e, k] = Σ_b Y_c(u_b) B_k(r_b) over neighbours b of element e,  as products
// with the neighbours inside: components are rows, radial functions columns.  `store` gets numbers k and
// k + 1 of component c and element e.
template <int M, int C, class Store>
__device__ __forceinline__ void densities_of(const Tile<M, C>& tile, int elements, int row, unsigned lane, Store store) {
    int g = lane / 4, t = lane % 4, count = tile.count[row];
    const Slot* slots = tile.slots(row);
    for (int first = 0; first < elements; first += ELEMENTS_IN_HAND) {
        float sum[ELEMENTS_IN_HAND][2][4] = {};
#pragma unroll 1
        for (int start = 0; start < count; start += 16) {
            Sixteen near(slots + start);
            unsigned y[4], basis[4];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const float(&u)[3] = near.u[half];
                float2 eight = harmonics_of(t, u);
                y[2 * half] = transposed(two_halves(eight.x, eight.y));
                y[2 * half + 1] = COMPONENTS == 9 ? transposed(t == 0 ? two_halves(fmaf(1.5f, u[2] * u[2], -0.5f), 0.0f) : 0) : 0;
            }
#pragma unroll
            for (int i = 0; i < 4; i++) basis[i] = transposed(near.basis[i]);
#pragma unroll
            for (int i = 0; i < ELEMENTS_IN_HAND; i++) {
                // Lanes of neighbours 2t and 2t + 1, and of the eight behind: all bits of a half of a word each.
                unsigned here[2], any = 0;
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    unsigned lanes = __ballot_sync(WHOLE_WARP, near.element[half] == first + i);
                    here[half] = (lanes >> 8 * t & 1) * 0xFFFFu | (lanes >> 8 * t + 4 & 1) * 0xFFFF0000u;
                    any |= lanes;
                }
                if (any == 0) continue;
#pragma unroll
                for (int n = 0; n < 2; n++) multiply_add(sum[i][n], y, {basis[2 * n] & here[0], basis[2 * n + 1] & here[1]});
            }
        }
#pragma unroll
        for (int i = 0; i < ELEMENTS_IN_HAND; i++) {
            if (first + i >= elements) break;
#pragma unroll
            for (int n = 0; n < 2; n++) {
                int k = 8 * n + 2 * t;
                if (g < COMPONENTS) store(g, first + i, k, two_halves(sum[i][n][0], sum[i][n][1]));
                if (8 + g < COMPONENTS) store(8 + g, first + i, k, two_halves(sum[i][n][2], sum[i][n][3]));
            }
        }
    }
}

template <int M, int C>
__device__ __forceinline__ void tile_density(const Tile<M, C>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M;
    Place<C> place(tile.rank);
    ByHalves<M, C> by_halves(tile.rank);
    int width = student.elements * RADIAL, stride = width + 8;
    int at_once = components_at_once(Regions<M, C>::FORWARD_DENSITIES, ROWS, stride);
    float t2[ByHalves<M, C>::COUNT][4] = {};
    ElementColumns scalar(student.scalar.forward, place.group), vector(student.vector.forward, place.group);
    ElementColumns tensor(student.tensor.forward, by_halves.group);

    for (int first = 0; first < COMPONENTS; first += at_once) {
        int last = min(COMPONENTS, first + at_once);
        // The last warps begin: the first ones look for faults.
        unsigned lane = lane_of_warp();
        for (int row = TILE_WARPS - 1 - threadIdx.x / WARP; row < tile.batch.rows; row += TILE_WARPS)
            densities_of(tile, student.elements, row, lane, [&](int c, int e, int k, unsigned two) {
                if (c >= first && c < last) word(tile.phi(), ((c - first) * ROWS + row) * stride + e * RADIAL + k) = two;
            });
        __syncthreads();

        auto densities = [&](int c) { return tile.phi() + (c - first) * ROWS * stride; };
        if (first == 0 && place.works()) {
            float sum[M][4];
            scalar.multiply(sum, densities(0), stride, [](int m) { return 16 * m; });
#pragma unroll
            for (int n = 0; n < 2 * M; n++) {
                int row = place.row(n / 2, n % 2), by_element = tile.batch.element[row] * CHANNELS + place.channel;
                float2 gate = two(student.gate0, by_element), base = two(student.embedding, by_element);
                two(tile.q(), row * STRIDE_Q + place.channel) = {fmaf(sum[n / 2][n % 2 * 2], gate.x, base.x),
                                                                 fmaf(sum[n / 2][n % 2 * 2 + 1], gate.y, base.y)};
            }
        }
        // In a cluster the last six warps have an axis each.
        int own_axis = C == 1 ? 0 : place.warp / 2 - (TILE_WARPS / 2 - 3);
#pragma unroll(C == 1 && M == 1 ? 3 : 1)
        for (int axis = max(own_axis, 0); axis < (C == 1 ? 3 : own_axis + 1); axis++) {
            if (1 + axis < first || 1 + axis >= last) continue;
            float sum[M][4];
            vector.multiply(sum, densities(1 + axis), stride, [](int m) { return 16 * m; });
#pragma unroll
            for (int n = 0; n < 2 * M; n++) {
                int row = place.row(n / 2, n % 2);
                float2 gate = two(student.gate1, tile.batch.element[row] * CHANNELS + place.channel);
                word(tile.v(), C == 1 ? (axis * ROWS + row) * STRIDE_F + place.channel : axis * ROWS * STRIDE_F + place_of_eight(row, place.group)) =
                    two_halves(sum[n / 2][n % 2 * 2] * gate.x, sum[n / 2][n % 2 * 2 + 1] * gate.y);
            }
        }
#pragma unroll(C == 1 && M == 1 ? COMPONENTS - 4 : 1)
        for (int c = 4; c < COMPONENTS; c++) {
            if (c < first || c >= last || !by_halves.works()) continue;
            float sum[ByHalves<M, C>::COUNT][4];
            tensor.multiply(sum, densities(c), stride, [&](int i) { return by_halves.first_row(i); });
#pragma unroll
            for (int i = 0; i < ByHalves<M, C>::COUNT; i++) {
                unsigned t[2];
#pragma unroll
                for (int side = 0; side < 2; side++) {
                    int by_element = tile.batch.element[by_halves.row(i, side)] * TENSOR_CHANNELS + by_halves.channel;
                    float2 gate = two(student.gate2, by_element);
                    t[side] = two_halves(sum[i][2 * side] * gate.x, sum[i][2 * side + 1] * gate.y);
                    Pair16 rounded = two_floats(t[side]);
                    t2[i][2 * side] = fmaf(rounded.low, rounded.low, t2[i][2 * side]);
                    t2[i][2 * side + 1] = fmaf(rounded.high, rounded.high, t2[i][2 * side + 1]);
                }
                keep(tile, Own<M>::tensor(i, c - 4), t);
            }
        }
        __syncthreads();
    }

    // Nobody needs columns before the first update.
    ask_for<2, CHANNELS / 16>(tile, student.update[0].mix.forward);
    // |t| is the last part of the first update's inputs.
#pragma unroll
    for (int n = 0; n < 2 * ByHalves<M, C>::COUNT; n++) {
        if (!by_halves.has(n / 2)) continue;
        float low = fast_root(t2[n / 2][n % 2 * 2] + student.norm_epsilon);
        float high = fast_root(t2[n / 2][n % 2 * 2 + 1] + student.norm_epsilon);
        int row = by_halves.row(n / 2, n % 2);
        int at = C == 1 ? row * STRIDE_X + 2 * CHANNELS + by_halves.channel : place_of_eight(row, 2 * TILE_WARPS + by_halves.group);
        word(tile.x(), at) = two_halves(low, high);
    }
}

// Adds what components 2t and 2t + 1, and for t = 0 the ninth, give to the gradients by u and by r: `by_y`
// are the gradients by Y_c, `by_r` those by r for |Y_c| = 1.
__device__ inline void harmonics_backward_of(int t, const float (&u)[3], float3 by_y, float3 by_r, float* gradient) {
    float x = u[0], y = u[1], z = u[2];
    float2 eight = harmonics_of(t, u);
    gradient[3] = fmaf(by_r.x, eight.x, by_r.y * eight.y);
    // Forward: 1, x;  y, z;  √3 xy, √3 yz;  √3 zx, ½√3 (x² − y²)
    if (t == 0) gradient[0] = by_y.y;
    if (t == 1) gradient[1] = by_y.x, gradient[2] = by_y.y;
    float first = ROOT_3 * by_y.x, second = ROOT_3 * by_y.y;
    if (t == 2) gradient[0] = first * y, gradient[1] = fmaf(first, x, second * z), gradient[2] = second * y;
    if (t == 3) gradient[0] = fmaf(first, z, second * x), gradient[1] = -second * y, gradient[2] = first * x;
    // Forward: 1½ z² − ½
    if (COMPONENTS == 9 && t == 0) {
        gradient[2] = 3.0f * z * by_y.z;
        gradient[3] = fmaf(by_r.z, fmaf(1.5f, z * z, -0.5f), gradient[3]);
    }
}

// Gradients by q and v, times the gates, are in `h` and `v`, those by t in `phi`; pairs get
// their gradients, the message's parts too.
template <int M, int C>
__device__ __forceinline__ void tile_density_backward(const Tile<M, C>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M;
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    int width = student.elements * RADIAL, stride = width + 8;
    int at_once = components_at_once(Regions<M, C>::BACKWARD_DENSITIES, ROWS, stride);

    for (int first = 0; first < COMPONENTS; first += at_once) {
        int count = min(COMPONENTS - first, at_once);
        // dA = dy Wᵀ, a warp a component and eight columns
        for (int task = warp; task < count * width / 8; task += TILE_WARPS) {
            int c = first + task / (width / 8), n = task % (width / 8);
            float sum[M][1][4] = {};
            const Packed& matrix = (c == 0 ? student.scalar : c < 4 ? student.vector : student.tensor).backward;
            const uint2* groups[1] = {matrix.group(n)};
            const Half* dy = c == 0 ? tile.h() : c < 4 ? tile.dv() + (c - 1) * ROWS * STRIDE_F : tile.phi() + (c - 4) * ROWS * STRIDE_T;
            if constexpr (C == 1)
                product<M, 1>(sum, dy, c < 4 ? STRIDE_F : STRIDE_T, [](int m) { return 16 * m; }, matrix.depth, groups);
            else if (c < 4)
                product_of_sixteen<C, CHANNELS / 16>(sum[0][0], dy, groups[0]);
            else
                product_of_sixteen<C, TENSOR_CHANNELS / 16>(sum[0][0], dy, groups[0]);
#pragma unroll
            for (int m = 0; m < 2 * M; m++) {
                int row = 16 * (m / 2) + 8 * (m % 2) + lane / 4;
                word(tile.by_density(), ((c - first) * ROWS + row) * stride + 8 * n + 2 * (lane % 4)) =
                    two_halves(sum[m / 2][0][m % 2 * 2], sum[m / 2][0][m % 2 * 2 + 1]);
            }
        }
        __syncthreads();

        // A warp a row, sixteen neighbours at a time.
        for (int row = warp; row < tile.batch.rows; row += TILE_WARPS) {
            int neighbours = tile.count[row], g = lane / 4, t = lane % 4;
            const Slot* slots = tile.slots(row);
            for (int start = 0; start < neighbours; start += 16) {
                Sixteen near(slots + start);
                unsigned slope[4];
                Sixteen::load(slope, slots[start].slope);
                // Lane t = 0, 1 has the first neighbour in the end, 2, 3 the second: what is known of it is asked for early.
                int half = t / 2, part = t % 2 * 2, n = start + g + 8 * half;
                const float* of_message = reinterpret_cast<const float*>(tile.partial(row, n));
                float4& of_pair = tile.gradient(row, half == 0 ? near.row[0] : near.row[1]);
                float2 by_message = {0.0f, 0.0f};
                float4 sum = {0.0f, 0.0f, 0.0f, 1.0f};
                if (n < neighbours) {
                    if (first == 0) by_message = two(of_message, part);
                    sum = of_pair;
                }
                // Forward: A_c[z_b, k] += Y_c(u_b) B_k(r_b), so Σ_k dA B and Σ_k dA B' for all neighbours and components
                float by_y[2][4] = {}, by_r[2][4] = {};
                for (int e = 0; e < student.elements; e++) {
                    bool here[2] = {near.element[0] == e, near.element[1] == e};
                    if (__ballot_sync(WHOLE_WARP, here[0] || here[1]) == 0) continue;
                    unsigned b[4], s[4];
#pragma unroll
                    for (int i = 0; i < 4; i++) b[i] = here[i % 2] ? near.basis[i] : 0, s[i] = here[i % 2] ? slope[i] : 0;
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        int c = 8 * i + g;
                        if (8 * i >= first + count || 8 * i + 8 <= first) continue;
                        uint2 da = {0, 0};
                        if (c >= first && c < first + count) {
                            int at = ((c - first) * ROWS + row) * stride + e * RADIAL + 2 * t;
                            da = {word(tile.by_density(), at), word(tile.by_density(), at + 8)};
                        }
                        multiply_add(by_y[i], b, da);
                        multiply_add(by_r[i], s, da);
                    }
                }
                float gradient[8] = {};  // (two neighbours, by u and r)
#pragma unroll
                for (int i = 0; i < 2; i++)
                    harmonics_backward_of(t, near.u[i], {by_y[0][2 * i], by_y[0][2 * i + 1], by_y[1][2 * i]},
                                          {by_r[0][2 * i], by_r[0][2 * i + 1], by_r[1][2 * i]}, gradient + 4 * i);
                // Over the components t: lane 2 of four keeps the second neighbour, odd ones the second two numbers.
                halve(gradient, 8, 2);
                halve(gradient, 4, 1);
                if (first == 0) {
                    gradient[0] += by_message.x;
                    gradient[1] += by_message.y;
                }
                float from_odd[2] = {__shfl_xor_sync(WHOLE_WARP, gradient[0], 1), __shfl_xor_sync(WHOLE_WARP, gradient[1], 1)};
                if (n >= neighbours || part != 0) continue;
                // Forward: r = |d|, u = d/r; ∂r/∂d = u, ∂u/∂d = (1 − u ⊗ u)/r
                constexpr float scale = 1.0f / GRADIENT_SCALE;
                const float* u = near.u[half];
                float to_u[3] = {scale * gradient[0], scale * gradient[1], scale * from_odd[0]}, dr = scale * from_odd[1];
                if (first == 0) dr += sum.z, sum.z = 0.0f;
                float along = fmaf(to_u[2], u[2], fmaf(to_u[1], u[1], to_u[0] * u[0])), per_r = 1.0f / sum.w;
                of_pair = {sum.x + fmaf(dr, u[0], (to_u[0] - along * u[0]) * per_r),
                           sum.y + fmaf(dr, u[1], (to_u[1] - along * u[1]) * per_r),
                           sum.z + fmaf(dr, u[2], (to_u[2] - along * u[2]) * per_r), sum.w};
            }
        }
        __syncthreads();
    }
}
