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

// How the components of a tile's densities lie, of which as many are made at once as fit into so many halves a row.
struct DensityComponents {
    int width, stride, at_once, distance;

    // Eight halves between two of them put lanes that write or read eight at once into different banks; of more than
    // eight rows these are less than one half of each.
    __device__ DensityComponents(int elements, int halves_a_row, int rows)
        : width(elements * RADIAL), stride(width + 8), at_once(min(COMPONENTS, halves_a_row / (stride + 1))),
          distance(rows * stride + 8) {}

    // Where the n-th of them has a row.
    __device__ int place(int n, int row) const { return n * distance + row * stride; }
};

// Rows of sixteen m = 2i + (0 or 1) that a half of the warps has, `WIDTH` channels a warp: of what is T channels wide, or
// of twice as many.
template <int M, int C, int WIDTH = 8>
struct ByHalves {
    static constexpr int COUNT = (M + 1) / 2;
    unsigned thread = thread_once();
    int group, side, channel;
    // In a cluster a block has one group, which its third warp makes.
    __device__ explicit ByHalves(unsigned rank)
        : group(C == 1 ? thread / WARP % (TILE_WARPS / 2) : rank),
          side(C == 1 ? thread / WARP / (TILE_WARPS / 2) : thread / WARP == 2 ? 0 : 1),
          channel(WIDTH * group + 2 * (thread % 4)) {}
    __device__ bool has(int i) const { return 2 * i + side < M; }
    __device__ Half* in(Half* array, int stride, int i) const {
        return C == 1 ? array + row(i, 0) * stride + channel : array + place_of_eight(thread % WARP / 4, group);
    }
    __device__ bool works() const { return C == 1 || side == 0; }
    // Behind those of two matrices.
    __device__ int group_of_block() const { return 4; }
    __device__ int lane_of_columns() const { return thread % WARP; }
    __device__ int first_row(int i) const { return has(i) ? 16 * (2 * i + side) : 0; }
    __device__ int row(int i, int half) const { return first_row(i) + 8 * half + thread % WARP / 4; }
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
// k + 1 of component c and element e.  `ahead` has the first neighbours, and in the end those of row `next`: they come
// from far, so they are asked for before the ones at hand are summed up.
template <int M, int C, class Store, int W>
__device__ __forceinline__ void densities_of(const Tile<M, C, W>& tile, int elements, int row, int next, unsigned lane, Sixteen& ahead, Store store) {
    int g = lane / 4, t = lane % 4, count = tile.count[row];
    const Slots* slots = tile.slots(row);
    for (int first = 0; first < elements; first += ELEMENTS_IN_HAND) {
        float sum[ELEMENTS_IN_HAND][2][4] = {};
        int start = 0;
#pragma unroll 1
        do {
            Sixteen near = ahead;
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
                    unsigned lanes = __ballot_sync(WHOLE_WARP, near.element(half) == first + i);
                    here[half] = (lanes >> 8 * t & 1) * 0xFFFFu | (lanes >> 8 * t + 4 & 1) * 0xFFFF0000u;
                    any |= lanes;
                }
                if (any == 0) continue;
#pragma unroll
                for (int n = 0; n < 2; n++) multiply_add(sum[i][n], y, {basis[2 * n] & here[0], basis[2 * n + 1] & here[1]});
            }
            start += 16;
            bool last = start >= count && first + ELEMENTS_IN_HAND >= elements;
            ahead = Sixteen(last ? *tile.slots(next) : slots[start < count ? start / 16 : 0], lane);
        } while (start < count);
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

template <int M, int C, int W>
__device__ __forceinline__ void tile_density(const Tile<M, C, W>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M;
    Place<C> place(tile.rank);
    ByHalves<M, C> by_halves(tile.rank);
    const DensityComponents components(student.elements, Regions<M, C>::FORWARD_DENSITIES, ROWS);
    float t2[ByHalves<M, C>::COUNT][4] = {};
    ElementColumns scalar(student.scalar.forward, place.group), vector(student.vector.forward, place.group);
    ElementColumns tensor(student.tensor.forward, by_halves.group);

    for (int first = 0; first < COMPONENTS; first += components.at_once) {
        int last = min(COMPONENTS, first + components.at_once);
        // The last warps begin: the first ones look for faults.
        unsigned lane = lane_of_warp();
        int row = TILE_WARPS - 1 - thread_once() / WARP;
        Sixteen ahead;
        if (row < tile.batch.rows) ahead = Sixteen(*tile.slots(row), lane);
        for (; row < tile.batch.rows; row += TILE_WARPS)
            densities_of(tile, student.elements, row, row + TILE_WARPS < tile.batch.rows ? row + TILE_WARPS : row, lane, ahead, [&](int c, int e, int k, unsigned two) {
                if (c >= first && c < last) word(tile.phi(), components.place(c - first, row) + e * RADIAL + k) = two;
            });
        __syncthreads();

        auto densities = [&](int c) { return tile.phi() + components.place(c - first, 0); };
        if (first == 0 && place.works()) {
            float sum[M][4];
            scalar.multiply(sum, densities(0), components.stride, [](int m) { return 16 * m; });
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
            vector.multiply(sum, densities(1 + axis), components.stride, [](int m) { return 16 * m; });
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
            tensor.multiply(sum, densities(c), components.stride, [&](int i) { return by_halves.first_row(i); });
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
