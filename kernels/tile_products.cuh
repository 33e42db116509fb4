// Products of a tile's rows with columns of weights, which come to registers or, in a cluster, to shared memory.
#pragma once
#include "tile_share.cuh"

// sum[m][n] += rows row_of(m) … + 15 of x times column group n, over `depth` sixteens.
template <int M, int N, class RowOf>
__device__ inline void product(float (&sum)[M][N][4], const Half* x, int stride, RowOf row_of, int depth,
                               const uint2* const (&w)[N]) {
    // Weights come from far: those of the next steps are asked for before this one's are used.
    constexpr int AHEAD = M * N > 8 ? 2 : 4;
    uint2 next[AHEAD][N];
    auto load = [&](int k) {
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int n = 0; n < N; n++)
                if (k + i < depth) next[i][n] = __ldg(w[n] + (k + i) * WARP);
    };
    load(0);
    for (int k = 0; k < depth; k += AHEAD) {
        uint2 now[AHEAD][N];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int n = 0; n < N; n++) now[i][n] = next[i][n];
        load(k + AHEAD);
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            if (k + i >= depth) break;
#pragma unroll
            for (int m = 0; m < M; m++) {
                unsigned a[4];
                load_rows(a, x + row_of(m) * stride + 16 * (k + i), stride);
#pragma unroll
                for (int n = 0; n < N; n++) multiply_add(sum[m][n], a, now[i][n]);
            }
        }
    }
}

// The same of the sixteen rows of a cluster and one group.
template <int C, int DEPTH>
__device__ __forceinline__ void product_of_sixteen(float (&sum)[4], const Half* x, const uint2* w) {
    uint2 columns[DEPTH];
#pragma unroll
    for (int k = 0; k < DEPTH; k++) columns[k] = __ldg(w + k * WARP);
#pragma unroll
    for (int k = 0; k < DEPTH; k++) {
        unsigned a[4];
        load_rows_of_eights<EIGHT<C>>(a, x + 2 * k * EIGHT<C>);
        multiply_add(sum, a, columns[k]);
    }
}

// Columns of a matrix, DEPTH sixteens of rows and N groups of eight, for the warp that owns them: in its registers.
// They come from far, so they are asked for before a barrier and used for all rows after it.  Loads of what
// never changes (`__ldg`) the assembler lets sink below the barrier, others not; nobody else in the block wants these
// columns, so they pass by the first cache.
template <int N, int DEPTH, int C>
struct OwnColumns {
    uint2 in_hand[DEPTH][N];

    template <int M, class GroupOf, class At, int W>
    __device__ OwnColumns(const Tile<M, C, W>&, const Packed& matrix, GroupOf group_of, const At&) {
#pragma unroll
        for (int n = 0; n < N; n++) {
            const uint2* group = matrix.group(group_of(n));
#pragma unroll
            for (int k = 0; k < DEPTH; k++) in_hand[k][n] = __ldcg(group + k * WARP);
        }
    }

    __device__ uint2 of(int k, int n) const { return in_hand[k][n]; }
};

// In a cluster, where few warps have columns, all threads of a block copy its own to shared memory while the product
// before is made.
template <int M, int C, int W>
__device__ inline Half* columns_asked_for(const Tile<M, C, W>& tile, int before) {
    return tile.columns(tile.columns_asked - before);
}
// Asks for the next product's: the block's two groups of eight of each of N matrices that lie side by side, and, of
// those behind them, a single one for its tensors.
template <int N, int DEPTH, bool TENSORS = false, int M, int C, int W>
__device__ __forceinline__ void ask_for(const Tile<M, C, W>& tile, const Packed& matrix) {
    if constexpr (C > 1) {
        constexpr int GROUP = DEPTH * WARP / 2, COUNT = 2 * N * GROUP, ALL = COUNT + (TENSORS ? GROUP : 0);  // of sixteen bytes
        static_assert(ALL * 16 <= Regions<M, C>::COLUMNS_BYTES, "columns of a product");
        tile.columns_asked++;
        Half* to = columns_asked_for(tile, 0);
        const Half* from = reinterpret_cast<const Half*>(matrix.columns);
#pragma unroll 1
        for (int n = thread_once(); n < ALL; n += TILE_THREADS) {
            int group = n < COUNT ? n / (2 * GROUP) * TILE_WARPS + 2 * tile.rank : N * TILE_WARPS + tile.rank;
            copy_sixteen_bytes(to + 8 * n, from + 8 * (group * GROUP + (n < COUNT ? n % (2 * GROUP) : n - COUNT)));
        }
    }
}
template <int N, int DEPTH, int C>
struct CopiedColumns {
    const uint2* mine;

    template <int M, class GroupOf, class At, int W>
    __device__ CopiedColumns(const Tile<M, C, W>& tile, const Packed&, GroupOf, const At& place)
        : mine(reinterpret_cast<const uint2*>(columns_asked_for(tile, 0)) + place.group_of_block() * DEPTH * WARP + place.lane_of_columns()) {}

    __device__ uint2 of(int k, int n) const { return mine[(2 * n * DEPTH + k) * WARP]; }
};
template <bool ALONE, int N, int DEPTH, int C>
struct ColumnsOf : OwnColumns<N, DEPTH, C> {
    using OwnColumns<N, DEPTH, C>::OwnColumns;
};
template <int N, int DEPTH, int C>
struct ColumnsOf<false, N, DEPTH, C> : CopiedColumns<N, DEPTH, C> {
    using CopiedColumns<N, DEPTH, C>::CopiedColumns;
};

template <int N, int DEPTH, int C>
struct Columns : ColumnsOf<C == 1, N, DEPTH, C> {
    using ColumnsOf<C == 1, N, DEPTH, C>::ColumnsOf;
    using ColumnsOf<C == 1, N, DEPTH, C>::of;

    // sum[n] += sixteen rows of x (see Place::left) times the columns.  Even and odd
    // sixteens are summed apart: a product waits for the one before it in the same sum.
    __device__ void multiply(float (&sum)[N][4], const Half* x) const { multiply(reinterpret_cast<float(&)[1][N][4]>(sum), x, 0); }

    // The same for R sixteens of rows, `distance` numbers apart, which do not wait for each other.
    template <int R>
    __device__ void multiply(float (&sum)[R][N][4], const Half* x, int distance) const {
        float odd[R][N][4] = {};
#pragma unroll
        for (int k = 0; k < DEPTH; k++)
#pragma unroll
            for (int r = 0; r < R; r++) {
                unsigned a[4];
                load_matrices(a, x + r * distance + 2 * k * EIGHT<C>);
#pragma unroll
                for (int n = 0; n < N; n++) multiply_add(k % 2 == 0 ? sum[r][n] : odd[r][n], a, of(k, n));
            }
#pragma unroll
        for (int r = 0; r < R; r++)
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) sum[r][n][i] += odd[r][n][i];
    }
};
