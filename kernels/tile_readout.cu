// The readout of a tile, and where its gradients begin: readout.cu's formulas.
//
//     E_a = silu(q W₁ + b₁) · w₂ + b₂
//
// Shapes: q (M, F) → adds to E (M,); the gradient by q in `q`
#include "tile_message_backward.cu"

template <int M, int C, int W>
__device__ __forceinline__ void tile_readout(const Tile<M, C, W>& tile, const TileStudent& student) {
    constexpr int DEPTH = CHANNELS / 16, GROUPS = TILE_WARPS / 2;
    // Hidden units are few: each block of a cluster makes all of them.
    ByHalves<M, 1> by_halves(0);
    Place<C> place(tile.rank);
    float* part = reinterpret_cast<float*>(tile.v_last());  // (M, groups); nobody needs the vectors any more
    {
        float sum[ByHalves<M, 1>::COUNT][1][4] = {};
        const uint2* groups[1] = {student.readout.matrix.forward.group(by_halves.group)};
        if constexpr (C == 1)
            product<ByHalves<M, 1>::COUNT, 1>(sum, tile.x(), STRIDE_X, [&](int i) { return by_halves.first_row(i); }, DEPTH, groups);
        else if (by_halves.has(0))
            product_of_sixteen<C, DEPTH>(sum[0][0], tile.x(), groups[0]);
        float2 bias = two(student.readout.bias, by_halves.channel), weight = two(student.readout_weight, by_halves.channel);
#pragma unroll
        for (int n = 0; n < 2 * ByHalves<M, 1>::COUNT; n++) {
            float x0 = sum[n / 2][0][n % 2 * 2] + bias.x, x1 = sum[n / 2][0][n % 2 * 2 + 1] + bias.y;
            float energy = fmaf(weight.y, tile_silu(x1), weight.x * tile_silu(x0));
            energy += __shfl_xor_sync(WHOLE_WARP, energy, 1);
            energy += __shfl_xor_sync(WHOLE_WARP, energy, 2);
            if (!by_halves.has(n / 2)) continue;
            int row = by_halves.row(n / 2, n % 2);
            if (place.lane % 4 == 0) part[row * GROUPS + by_halves.group] = energy;
            // Forward: E = silu(x) · w₂ + b₂
            word(tile.h(), C == 1 ? row * STRIDE_F + by_halves.channel : place_of_eight(row, by_halves.group)) = two_halves(GRADIENT_SCALE * weight.x * tile_silu_slope(x0),
                                                                          GRADIENT_SCALE * weight.y * tile_silu_slope(x1));
        }
    }
    __syncthreads();
    if (int row = thread_once(); row < tile.batch.rows) {
        double energy = student.readout_bias[0];
        for (int group = 0; group < GROUPS; group++) energy += part[row * GROUPS + group];
        tile.energy_of_row_ev[row] += energy;
    }
    if (!place.works()) return;
    float sum[M][1][4] = {};
    const uint2* groups[1] = {student.readout.matrix.backward.group(place.group)};
    if constexpr (C == 1)
        product<M, 1>(sum, tile.h(), STRIDE_F, [](int m) { return 16 * m; }, CHANNELS / 2 / 16, groups);
    else
        product_of_sixteen<C, CHANNELS / 2 / 16>(sum[0][0], tile.h(), groups[0]);
    // At the places of the update's threads: its backward pass begins without a barrier.
#pragma unroll
    for (int n = 0; n < 2 * M; n++)
        two(tile.q(), place.row(n / 2, n % 2) * STRIDE_Q + place.channel) = {sum[n / 2][0][n % 2 * 2], sum[n / 2][0][n % 2 * 2 + 1]};
}
