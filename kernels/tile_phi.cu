// The message network of a tile, φ = silu(q W + w) W' + w', and its backward.
//
// Shapes: q (M, F) → φ (M, 3F)
#include "tile_update.cu"

// φ = silu(q W + w) W' + w', from `x` to `phi`.
template <int M>
__device__ __forceinline__ void tile_phi(const Tile<M>& tile, const TileStudent& student) {
    constexpr int DEPTH = CHANNELS / 16;
    Place place;
    auto part_of = [&](int part) { return part * TILE_WARPS + place.warp; };
    {
        Columns<1, DEPTH> hidden(student.phi_hidden.matrix.forward, part_of);
        float2 bias = two(student.phi_hidden.bias, place.channel);
        __syncthreads();
#pragma unroll 1
        for (int m = 0; m < M; m += SIXTEENS<M>) {
            float sum[SIXTEENS<M>][1][4] = {};
            hidden.multiply(sum, place.left(tile.x(), STRIDE_X) + 16 * m * STRIDE_X, 16 * STRIDE_X);
#pragma unroll
            for (int r = 0; r < SIXTEENS<M>; r++) hide(tile, place, m + r, Own<M>::before(2, m + r), sum[r][0], bias);
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
        out.multiply(sum, place.left(tile.h(), STRIDE_F) + 16 * m * STRIDE_F);
        Half* phi = place.at(tile.phi(), STRIDE_PHI, m);
#pragma unroll
        for (int part = 0; part < 3; part++)
#pragma unroll
            for (int half = 0; half < 2; half++)
                word(phi, 8 * half * STRIDE_PHI + part * CHANNELS) =
                    two_halves(sum[part][2 * half] + bias[part].x, sum[part][2 * half + 1] + bias[part].y);
    }
    __syncthreads();
}

// The gradient by φ is in `phi`; adds that by q to `q`.  Meanwhile the gradient by v goes from `dv_before` to `v`.
template <int M>
__device__ __forceinline__ void tile_phi_backward(const Tile<M>& tile, const TileStudent& student) {
    constexpr int DEPTH = CHANNELS / 16;
    Place place;
    auto part_of = [&](int part) { return part * TILE_WARPS + place.warp; };
    Columns<1, 3 * DEPTH> out(student.phi_out.matrix.backward, part_of);
    hidden_backward(tile, place, out, tile.phi(), STRIDE_PHI, 2, [&] {
        constexpr int ROWS = 3 * Tile<M>::ROWS, EIGHTS = CHANNELS / 8, AT_ONCE = TILE_THREADS / EIGHTS;
        int first_row = place.thread / EIGHTS, f8 = place.thread % EIGHTS * 8;
#pragma unroll
        for (int first = 0; first < ROWS; first += AT_ONCE) {
            int row = first + first_row;
            if (ROWS % AT_ONCE != 0 && row >= ROWS) break;
            if constexpr (ON_CHIP<M>)
                eight(tile.v(), row * STRIDE_F + f8) = eight(tile.dv_before(), row * CHANNELS + f8);
            else
                copy_sixteen_bytes(tile.v() + row * STRIDE_F + f8, tile.dv_before() + row * CHANNELS + f8);
        }
    });
    Columns<1, DEPTH> hidden(student.phi_hidden.matrix.backward, part_of);
    __syncthreads();
#pragma unroll 1
    for (int m = 0; m < M; m += SIXTEENS<M>) {
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
