// Matrix products, all of them: y = x W and what follows it on the way out.
//
//     tile of x (rows, 16) and of W (16, 64) → shared → 8 columns of some rows in each thread's registers
//
// An element of y is one chain of fused multiply-adds over ascending k, whatever the tile: a row's
// bits do not depend on how many rows there are, nor on which of the three tile heights is used.
// High tiles read W less often, low ones keep more multiprocessors busy when rows are few.
//
// What follows is chosen at run time, in one short loop over sums that lie in shared memory: written out for each sum of
// a thread it was 140 kB of instructions, and took longer than a narrow product.
//
// Shapes: x (M, I), W (I, J) → y (M, J); I a multiple of 16, J of 4
#include "arithmetic.cuh"
#include "copies.cuh"
#include "sizes.cuh"

constexpr int PRODUCT_THREADS = 128;
constexpr int TILE_COLUMNS = 64;
constexpr int TILE_DEPTH = 16;
constexpr int THREAD_COLUMNS = 8;
constexpr int COLUMN_THREADS = TILE_COLUMNS / THREAD_COLUMNS;   // 8
constexpr int COLUMN_FOURS = TILE_COLUMNS / 4;
constexpr int ROW_THREADS = PRODUCT_THREADS / COLUMN_THREADS;  // 16

// What becomes of y = x W, in this order; an absent pointer leaves its line out.
struct Epilogue {
    const float* bias;    // (J,)    y += bias
    int accumulate;       //         y += what the output holds
    const float* gate;    // (E, J)  y *= gate[element of the row's atom]
    const float* base;    // (E, J)  y += base[element of the row's atom]
    const float* slope;   // (M, J)  y *= silu'(slope)
    float* before_silu;   // (M, J)  before_silu = y, y = silu(y)
    const int* element;   // (atoms,)
    int rows_per_atom;    // 1, 3 or 5
};

// Four columns of a row: what `of` makes of each and of its counterparts.
template <class Of, class... Others>
__device__ inline float4 by_column(Of of, float4 a, Others... b) {
    return {of(a.x, b.x...), of(a.y, b.y...), of(a.z, b.z...), of(a.w, b.w...)};
}

__device__ inline float4 four_at(const float* array, size_t index) {
    return *reinterpret_cast<const float4*>(array + index);
}

// What becomes of four columns of a row, in the output.
__device__ inline void finish(const Epilogue& epilogue, float4 y, int row, int column, int columns, float* output) {
    auto sum = [](float a, float b) { return a + b; };
    auto times = [](float a, float b) { return a * b; };
    size_t index = size_t(row) * columns + column;
    if (epilogue.bias) y = by_column(sum, y, four_at(epilogue.bias, column));
    if (epilogue.accumulate) y = by_column(sum, y, four_at(output, index));
    if (epilogue.gate || epilogue.base) {
        size_t by_element = size_t(epilogue.element[row / epilogue.rows_per_atom]) * columns + column;
        if (epilogue.gate) y = by_column(times, y, four_at(epilogue.gate, by_element));
        if (epilogue.base) y = by_column(sum, y, four_at(epilogue.base, by_element));
    }
    if (epilogue.slope) {
        auto slope = [](float a, float b) { return a * silu_slope(b); };
        y = by_column(slope, y, four_at(epilogue.slope, index));
    }
    if (epilogue.before_silu) {
        *reinterpret_cast<float4*>(epilogue.before_silu + index) = y;
        y = by_column([](float a) { return silu(a); }, y);
    }
    *reinterpret_cast<float4*>(output + index) = y;
}

// What a block of so many rows shares: two turns of both factors, then the sums.
template <int TILE_ROWS>
union alignas(16) ProductShared {
    struct {
        float x[2][TILE_ROWS][TILE_DEPTH + 4];  // four more floats spread the banks
        float w[2][TILE_DEPTH][TILE_COLUMNS];
    } factors;
    float sum[TILE_ROWS][TILE_COLUMNS + 4];
};

template <int THREAD_ROWS>
__device__ inline void product(
    // constant
    int rows, int inner, int columns, const float* __restrict__ weight, const Epilogue& epilogue,
    // in
    const float* __restrict__ x,
    // out
    float* y) {
    constexpr int TILE_ROWS = THREAD_ROWS * ROW_THREADS;
    constexpr int LOADS_X = TILE_ROWS * TILE_DEPTH / 4 / PRODUCT_THREADS;
    constexpr int LOADS_W = TILE_COLUMNS * TILE_DEPTH / 4 / PRODUCT_THREADS;
    __shared__ ProductShared<TILE_ROWS> shared;

    // Blocks of the same rows follow each other, so x comes from memory once.
    int column_tiles = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
    int first_row = blockIdx.x / column_tiles * TILE_ROWS, first_column = blockIdx.x % column_tiles * TILE_COLUMNS;
    int row_thread = threadIdx.x / COLUMN_THREADS, column_thread = threadIdx.x % COLUMN_THREADS;
    float sum[THREAD_ROWS][THREAD_COLUMNS] = {};

    // Copies the tiles that begin at depth k; outside, others stand in, whose sums nobody reads.
    auto copy = [&](int k) {
        int turn = k / TILE_DEPTH % 2;
#pragma unroll
        for (int n = 0; n < LOADS_X; n++) {
            int at = threadIdx.x + n * PRODUCT_THREADS, row = at / (TILE_DEPTH / 4), depth = at % (TILE_DEPTH / 4) * 4;
            size_t from = size_t(min(first_row + row, rows - 1)) * inner + k + depth;
            copy_sixteen_bytes(&shared.factors.x[turn][row][depth], x + from);
        }
#pragma unroll
        for (int n = 0; n < LOADS_W; n++) {
            int at = threadIdx.x + n * PRODUCT_THREADS, depth = at / COLUMN_FOURS, column = at % COLUMN_FOURS * 4;
            size_t from = size_t(k + depth) * columns + min(first_column + column, columns - 4);
            copy_sixteen_bytes(&shared.factors.w[turn][depth][column], weight + from);
        }
    };

    copy(0);
    for (int k = 0; k < inner; k += TILE_DEPTH) {
        wait_for_copies();
        __syncthreads();
        // The other turn was read before this barrier.
        if (k + TILE_DEPTH < inner) copy(k + TILE_DEPTH);

        // sum[i][j] += x[i][k] W[k][j], k ascending
        int turn = k / TILE_DEPTH % 2;
#pragma unroll
        for (int depth = 0; depth < TILE_DEPTH; depth += 4) {
            float4 of_x[THREAD_ROWS];
#pragma unroll
            for (int i = 0; i < THREAD_ROWS; i++)
                of_x[i] = four_at(shared.factors.x[turn][i * ROW_THREADS + row_thread], depth);
#pragma unroll
            for (int d = 0; d < 4; d++) {
                float of_w[THREAD_COLUMNS];
#pragma unroll
                for (int j = 0; j < THREAD_COLUMNS; j++)
                    of_w[j] = shared.factors.w[turn][depth + d][(j / 4 * COLUMN_THREADS + column_thread) * 4 + j % 4];
#pragma unroll
                for (int i = 0; i < THREAD_ROWS; i++) {
                    float of_row = d == 0 ? of_x[i].x : d == 1 ? of_x[i].y : d == 2 ? of_x[i].z : of_x[i].w;
#pragma unroll
                    for (int j = 0; j < THREAD_COLUMNS; j++) sum[i][j] = fmaf(of_row, of_w[j], sum[i][j]);
                }
            }
        }
    }
    // The sums take the place of the factors.
    __syncthreads();
#pragma unroll
    for (int i = 0; i < THREAD_ROWS; i++)
#pragma unroll
        for (int j = 0; j < THREAD_COLUMNS; j += 4) {
            float* to = &shared.sum[i * ROW_THREADS + row_thread][(j / 4 * COLUMN_THREADS + column_thread) * 4];
            *reinterpret_cast<float4*>(to) = {sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]};
        }
    __syncthreads();

    int column = threadIdx.x % COLUMN_FOURS * 4, end = min(TILE_ROWS, rows - first_row);
    if (first_column + column >= columns) return;
#pragma unroll 1
    for (int row = threadIdx.x / COLUMN_FOURS; row < end; row += PRODUCT_THREADS / COLUMN_FOURS)
        finish(epilogue, four_at(shared.sum[row], column), first_row + row, first_column + column, columns, y);
}

// The same product with 128, 64 and 32 rows a block.
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS) product_128_rows(
    int rows, int inner, int columns, const float* weight, Epilogue epilogue, const float* x, float* y) {
    product<8>(rows, inner, columns, weight, epilogue, x, y);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS) product_64_rows(
    int rows, int inner, int columns, const float* weight, Epilogue epilogue, const float* x, float* y) {
    product<4>(rows, inner, columns, weight, epilogue, x, y);
}

extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS) product_32_rows(
    int rows, int inner, int columns, const float* weight, Epilogue epilogue, const float* x, float* y) {
    product<2>(rows, inner, columns, weight, epilogue, x, y);
}
