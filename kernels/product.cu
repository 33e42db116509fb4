// Matrix products, all of them: y = x W and what follows it on the way out.
//
//     tile of x (rows, 16) and of W (16, 64) → shared → 8 columns of some rows in each thread's registers
//
// An element of y is one chain of fused multiply-adds over ascending k, whatever the tile: a row's
// bits do not depend on how many rows there are, nor on which of the three tile heights is used.
// High tiles read W less often, low ones keep more multiprocessors busy when rows are few.
//
// Shapes: x (M, I), W (I, J) → y (M, J); I a multiple of 16, J of 4
#include "arithmetic.cuh"
#include "sizes.cuh"

constexpr int PRODUCT_THREADS = 128;
constexpr int TILE_COLUMNS = 64;
constexpr int TILE_DEPTH = 16;
constexpr int THREAD_COLUMNS = 8;
constexpr int COLUMN_THREADS = TILE_COLUMNS / THREAD_COLUMNS;   // 8
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

__device__ inline float finish(const Epilogue& epilogue, float y, float old, int row, int column, int columns) {
    size_t index = size_t(row) * columns + column;
    if (epilogue.bias) y += epilogue.bias[column];
    if (epilogue.accumulate) y += old;
    if (epilogue.gate || epilogue.base) {
        int by_element = epilogue.element[row / epilogue.rows_per_atom] * columns + column;
        if (epilogue.gate) y *= epilogue.gate[by_element];
        if (epilogue.base) y += epilogue.base[by_element];
    }
    if (epilogue.slope) y *= silu_slope(epilogue.slope[index]);
    if (epilogue.before_silu) {
        epilogue.before_silu[index] = y;
        y = silu(y);
    }
    return y;
}

template <int THREAD_ROWS>
__device__ inline void product(
    // constant
    int rows, int inner, int columns, const float* __restrict__ weight, const Epilogue& epilogue,
    // in
    const float* __restrict__ x,
    // out
    float* y) {
    constexpr int TILE_ROWS = THREAD_ROWS * ROW_THREADS;
    constexpr int VECTOR = THREAD_ROWS < 4 ? THREAD_ROWS : 4;  // rows that lie side by side
    constexpr int GROUPS = THREAD_ROWS / VECTOR;
    constexpr int LOADS_X = TILE_ROWS * TILE_DEPTH / 4 / PRODUCT_THREADS;
    constexpr int LOADS_W = TILE_COLUMNS * TILE_DEPTH / 4 / PRODUCT_THREADS;
    // x is turned so that the rows of one k lie side by side; four more floats spread the banks.
    __shared__ float shared_x[2][TILE_DEPTH][TILE_ROWS + 4];
    __shared__ float shared_w[2][TILE_DEPTH][TILE_COLUMNS];

    int first_row = blockIdx.x * TILE_ROWS, first_column = blockIdx.y * TILE_COLUMNS;
    int row_thread = threadIdx.x / COLUMN_THREADS, column_thread = threadIdx.x % COLUMN_THREADS;
    float sum[THREAD_ROWS][THREAD_COLUMNS] = {};
    float4 next_x[LOADS_X], next_w[LOADS_W];

    // Reads the tiles that begin at depth k into registers; what is outside is zero.
    auto load = [&](int k) {
#pragma unroll
        for (int n = 0; n < LOADS_X; n++) {
            int at = threadIdx.x + n * PRODUCT_THREADS;
            int row = first_row + at / (TILE_DEPTH / 4), depth = k + at % (TILE_DEPTH / 4) * 4;
            bool inside = row < rows;
            next_x[n] = inside ? *reinterpret_cast<const float4*>(x + size_t(row) * inner + depth) : float4{};
        }
#pragma unroll
        for (int n = 0; n < LOADS_W; n++) {
            int at = threadIdx.x + n * PRODUCT_THREADS;
            int depth = k + at / (TILE_COLUMNS / 4), column = first_column + at % (TILE_COLUMNS / 4) * 4;
            bool inside = column < columns;
            next_w[n] = inside ? *reinterpret_cast<const float4*>(weight + size_t(depth) * columns + column) : float4{};
        }
    };

    // Writes the registers into one of the two shared buffers.
    auto store = [&](int buffer) {
#pragma unroll
        for (int n = 0; n < LOADS_X; n++) {
            int at = threadIdx.x + n * PRODUCT_THREADS;
            int row = at / (TILE_DEPTH / 4), depth = at % (TILE_DEPTH / 4) * 4;
            shared_x[buffer][depth + 0][row] = next_x[n].x;
            shared_x[buffer][depth + 1][row] = next_x[n].y;
            shared_x[buffer][depth + 2][row] = next_x[n].z;
            shared_x[buffer][depth + 3][row] = next_x[n].w;
        }
#pragma unroll
        for (int n = 0; n < LOADS_W; n++) {
            int at = threadIdx.x + n * PRODUCT_THREADS;
            int depth = at / (TILE_COLUMNS / 4), column = at % (TILE_COLUMNS / 4) * 4;
            *reinterpret_cast<float4*>(&shared_w[buffer][depth][column]) = next_w[n];
        }
    };

    load(0);
    store(0);
    __syncthreads();
    for (int k = 0; k < inner; k += TILE_DEPTH) {
        int buffer = k / TILE_DEPTH % 2;
        bool more = k + TILE_DEPTH < inner;
        if (more) load(k + TILE_DEPTH);

        // sum[i][j] += x[i][k] W[k][j], k ascending
#pragma unroll
        for (int depth = 0; depth < TILE_DEPTH; depth++) {
            float of_x[THREAD_ROWS], of_w[THREAD_COLUMNS];
#pragma unroll
            for (int i = 0; i < THREAD_ROWS; i++)
                of_x[i] = shared_x[buffer][depth][(i / VECTOR * ROW_THREADS + row_thread) * VECTOR + i % VECTOR];
#pragma unroll
            for (int j = 0; j < THREAD_COLUMNS; j++)
                of_w[j] = shared_w[buffer][depth][(j / 4 * COLUMN_THREADS + column_thread) * 4 + j % 4];
#pragma unroll
            for (int i = 0; i < THREAD_ROWS; i++)
#pragma unroll
                for (int j = 0; j < THREAD_COLUMNS; j++) sum[i][j] = fmaf(of_x[i], of_w[j], sum[i][j]);
        }

        // The other buffer was last read before the barrier of the round before.
        if (more) store(1 - buffer);
        __syncthreads();
    }

#pragma unroll
    for (int i = 0; i < THREAD_ROWS; i++) {
        int row = first_row + (i / VECTOR * ROW_THREADS + row_thread) * VECTOR + i % VECTOR;
        if (row >= rows) continue;
#pragma unroll
        for (int j = 0; j < THREAD_COLUMNS; j += 4) {
            int column = first_column + (j / 4 * COLUMN_THREADS + column_thread) * 4;
            if (column >= columns) continue;
            float4* out = reinterpret_cast<float4*>(y + size_t(row) * columns + column);
            float4 old = epilogue.accumulate ? *out : float4{};
            *out = {finish(epilogue, sum[i][j + 0], old.x, row, column + 0, columns),
                    finish(epilogue, sum[i][j + 1], old.y, row, column + 1, columns),
                    finish(epilogue, sum[i][j + 2], old.z, row, column + 2, columns),
                    finish(epilogue, sum[i][j + 3], old.w, row, column + 3, columns)};
        }
    }
    static_assert(GROUPS * VECTOR == THREAD_ROWS, "a thread's rows come in whole vectors");
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
