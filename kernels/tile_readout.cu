// The readout of a tile, and where its gradients begin: readout.cu's formulas.
//
//     E_a = silu(q W₁ + b₁) · w₂ + b₂
//
// Shapes: q (M, F) → adds to E (M,); the gradient by q in `q`
#include "tile_message_backward.cu"

template <int M>
__device__ __forceinline__ void tile_readout(const Tile<M>& tile, const TileStudent& student) {
    constexpr int DEPTH = CHANNELS / 16, GROUPS = TILE_WARPS / 2;
    ByHalves<M> by_halves;
    Place place;
    float* part = reinterpret_cast<float*>(tile.v());  // (M, groups); nobody needs the vectors any more
    {
        float sum[ByHalves<M>::COUNT][1][4] = {};
        const uint2* groups[1] = {student.readout.matrix.forward.group(by_halves.group)};
        product<ByHalves<M>::COUNT, 1>(sum, tile.x(), STRIDE_X, [&](int i) { return by_halves.first_row(i); }, DEPTH, groups);
        float2 bias = two(student.readout.bias, by_halves.channel), weight = two(student.readout_weight, by_halves.channel);
#pragma unroll
        for (int n = 0; n < 2 * ByHalves<M>::COUNT; n++) {
            float x0 = sum[n / 2][0][n % 2 * 2] + bias.x, x1 = sum[n / 2][0][n % 2 * 2 + 1] + bias.y;
            float energy = fmaf(weight.y, tile_silu(x1), weight.x * tile_silu(x0));
            energy += __shfl_xor_sync(WHOLE_WARP, energy, 1);
            energy += __shfl_xor_sync(WHOLE_WARP, energy, 2);
            if (!by_halves.has(n / 2)) continue;
            int row = by_halves.row(n / 2, n % 2);
            if (place.lane % 4 == 0) part[row * GROUPS + by_halves.group] = energy;
            // Forward: E = silu(x) · w₂ + b₂
            word(tile.h(), row * STRIDE_F + by_halves.channel) = two_halves(GRADIENT_SCALE * weight.x * tile_silu_slope(x0),
                                                                          GRADIENT_SCALE * weight.y * tile_silu_slope(x1));
        }
    }
    __syncthreads();
    if (threadIdx.x < tile.batch.rows) {
        double energy = student.readout_bias[0];
        for (int group = 0; group < GROUPS; group++) energy += part[threadIdx.x * GROUPS + group];
        tile.energy_of_row_ev[threadIdx.x] += energy;
    }
    float sum[M][1][4] = {};
    const uint2* groups[1] = {student.readout.matrix.backward.group(place.warp)};
    product<M, 1>(sum, tile.h(), STRIDE_F, [](int m) { return 16 * m; }, CHANNELS / 2 / 16, groups);
#pragma unroll
    for (int n = 0; n < 2 * M; n++)
        two(tile.q(), place.row(n / 2, n % 2) * STRIDE_Q + place.channel) = {sum[n / 2][0][n % 2 * 2], sum[n / 2][0][n % 2 * 2 + 1]};
}
