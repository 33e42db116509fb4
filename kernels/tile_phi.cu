// The message network of a tile, φ = silu(q W + w) W' + w', and its backward.
//
// Shapes: q (M, F) → φ (M, 3F)
#include "tile_update_backward.cu"

// φ = silu(q W + w) W' + w', from `x` to `phi`.
template <int M, int C, int W>
__device__ __forceinline__ void tile_phi(const Tile<M, C, W>& tile, const TileStudent& student) {
    constexpr int DEPTH = CHANNELS / 16;
    Place<C> place(tile.rank);
    auto part_of = [&](int part) { return part * TILE_WARPS + place.group; };
    {
        Columns<1, DEPTH, C> hidden(tile, student.phi_hidden.matrix.forward, part_of, place);
        float2 bias = two(student.phi_hidden.bias, place.channel);
        share(tile, inputs(tile, tile.x(), 1));
        ask_for<3, DEPTH>(tile, student.phi_out.matrix.forward);
#pragma unroll 1
        for (int m = 0; m < M; m += SIXTEENS<M>) {
            if constexpr (C > 1)
                if (!place.works()) break;
            float sum[SIXTEENS<M>][1][4] = {};
            hidden.multiply(sum, place.left(tile.x(), STRIDE_X) + 16 * m * STRIDE_X, 16 * STRIDE_X);
#pragma unroll
            for (int r = 0; r < SIXTEENS<M>; r++) hide(tile, place, m + r, Own<M>::before(2, m + r), sum[r][0], bias);
        }
    }
    Columns<3, DEPTH, C> out(tile, student.phi_out.matrix.forward, part_of, place);
    float2 bias[3];
#pragma unroll
    for (int part = 0; part < 3; part++) bias[part] = two(student.phi_out.bias, part * CHANNELS + place.channel);
    share(tile, hidden_units(tile));
    ask_for<2, DEPTH>(tile, student.update[1].mix.forward);
#pragma unroll 1
    for (int m = 0; m < M; m++) {
        if constexpr (C > 1)
            if (!place.works()) break;
        float sum[3][4] = {};
        out.multiply(sum, place.left(tile.h(), STRIDE_F) + 16 * m * STRIDE_F);
        Half* phi = place.in(tile.phi(), STRIDE_PHI, m);
#pragma unroll
        for (int part = 0; part < 3; part++)
#pragma unroll
            for (int half = 0; half < 2; half++)
                word(phi, 8 * half * ROW_PHI<C> + part * ALL_CHANNELS<C>) =
                    two_halves(sum[part][2 * half] + bias[part].x, sum[part][2 * half + 1] + bias[part].y);
    }
    __syncthreads();
    share_for_backward(tile);
}

// Bytes of the gradients by pairs that other blocks of a cluster send: one sixteen for each of their rows.
template <int M, int C, int W>
__device__ __forceinline__ int bytes_of_partials(const Tile<M, C, W>& tile) {
    if (C == 1 || threadIdx.x >= WARP) return 0;
    int row = threadIdx.x;
    bool others = row < tile.batch.rows && row % C != tile.rank && tile.count[row] > 0;
    return __popc(__ballot_sync(WHOLE_WARP, others)) * 16 * int(sizeof(float4));
}

// The gradient by φ is in `by_phi`; adds that by q to `q`.  Meanwhile the gradient by v of a block alone goes from
// `dv_before` to `v`: it returns with these copies on their way, and the next update's backward pass waits for them.
template <int M, int C, int W>
__device__ __forceinline__ void tile_phi_backward(const Tile<M, C, W>& tile, const TileStudent& student) {
    constexpr int DEPTH = CHANNELS / 16;
    Place<C> place(tile.rank);
    auto part_of = [&](int part) { return part * TILE_WARPS + place.group; };
    Columns<1, 3 * DEPTH, C> out(tile, student.phi_out.matrix.backward, part_of, place);
    hidden_backward(tile, place, out, tile.by_phi(), STRIDE_PHI, 2, bytes_of_partials(tile), [&] {
        ask_for<1, DEPTH>(tile, student.phi_hidden.matrix.backward);
        if (C > 1) return;
        constexpr int ROWS = 3 * 16 * M, EIGHTS = CHANNELS / 8, AT_ONCE = TILE_THREADS / EIGHTS;
        int first_row = place.thread / EIGHTS, f8 = place.thread % EIGHTS * 8;
#pragma unroll
        for (int first = 0; first < ROWS; first += AT_ONCE) {
            int row = first + first_row;
            if (ROWS % AT_ONCE != 0 && row >= ROWS) break;
            int before = (M == W ? row * CHANNELS : row / (16 * M) * Tile<M, C, W>::AXIS_BY + row % (16 * M) * CHANNELS) + f8;
            if constexpr (ON_CHIP<M, C>)
                eight(tile.v(), row * STRIDE_F + f8) = eight(tile.dv_before(), before);
            else
                copy_sixteen_bytes(tile.v() + row * STRIDE_F + f8, tile.dv_before() + before);
        }
    });
    Columns<1, DEPTH, C> hidden(tile, student.phi_hidden.matrix.backward, part_of, place);
    share(tile, hidden_units(tile));
    ask_for<1, 3 * DEPTH>(tile, student.update[0].out.matrix.backward);
#pragma unroll 1
    for (int m = 0; m < M; m += SIXTEENS<M>) {
        if constexpr (C > 1)
            if (!place.works()) break;
        float sum[SIXTEENS<M>][1][4] = {};
        hidden.multiply(sum, place.left(tile.h(), STRIDE_F) + 16 * m * STRIDE_F, 16 * STRIDE_F);
        float* scalars = place.at(tile.q(), STRIDE_Q, m);
#pragma unroll
        for (int r = 0; r < 2 * SIXTEENS<M>; r++) {
            float2& dq = two(scalars, 8 * r * STRIDE_Q);
            dq.x += sum[r / 2][0][r % 2 * 2];
            dq.y += sum[r / 2][0][r % 2 * 2 + 1];
        }
    }
}
