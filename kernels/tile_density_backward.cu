// The backward pass of a tile's first layer, see tile_density.cu: gradients by pairs from those by densities.
//
// Shapes: dq (M, F), dv (M, 3, F), dt (M, 5, T) → gradients by pairs (P, 4)
#pragma once
#include "tile_density.cu"

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
template <int M, int C, int W>
__device__ __forceinline__ void tile_density_backward(const Tile<M, C, W>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M;
    const DensityComponents components(student.elements, Regions<M, C>::BACKWARD_DENSITIES, ROWS);

    for (int first = 0; first < COMPONENTS; first += components.at_once) {
        int count = min(COMPONENTS - first, components.at_once);
        int warp = thread_once() / WARP;
        unsigned lane = lane_of_warp();
        // dA = dy Wᵀ, a warp a component and eight columns
        for (int task = warp; task < count * components.width / 8; task += TILE_WARPS) {
            int c = first + task / (components.width / 8), n = task % (components.width / 8);
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
                word(tile.by_density(), components.place(c - first, row) + 8 * n + 2 * (lane % 4)) =
                    two_halves(sum[m / 2][0][m % 2 * 2], sum[m / 2][0][m % 2 * 2 + 1]);
            }
        }
        __syncthreads();

        // A warp a row, sixteen neighbours at a time; the next ones are asked for before these are done.
        for (int row = warp; row < tile.batch.rows; row += TILE_WARPS) {
            int used = tile.count[row], g = lane / 4, t = lane % 4, start = 0;
            do {
                const Slots& slots = tile.slots(row)[start / 16];
                Sixteen near(slots, lane);
                unsigned slope[4];
                Sixteen::load(slope, slots.slope, lane);
                // Lane t = 0, 1 has the first neighbour in the end, 2, 3 the second: what is known of it is asked for early.
                int half = t / 2, part = t % 2 * 2, n = start + g + 8 * half;
                const float* of_message = reinterpret_cast<const float*>(tile.partial(row, n));
                float4& of_pair = tile.gradient(row, half == 0 ? near.row(0) : near.row(1));
                float2 by_message = {0.0f, 0.0f};
                float4 sum = {0.0f, 0.0f, 0.0f, 1.0f};
                if (n < used) {
                    if (first == 0) by_message = two(of_message, part);
                    sum = of_pair;
                }
                start += 16;
                int next = start < used || row + TILE_WARPS >= tile.batch.rows ? row : row + TILE_WARPS;
                prefetch_slots(tile, next, start < used ? start : 0, lane);
                // Forward: A_c[z_b, k] += Y_c(u_b) B_k(r_b), so Σ_k dA B and Σ_k dA B' for all neighbours and components
                float by_y[2][4] = {}, by_r[2][4] = {};
                for (int e = 0; e < student.elements; e++) {
                    bool here[2] = {near.element(0) == e, near.element(1) == e};
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
                            int at = components.place(c - first, row) + e * RADIAL + 2 * t;
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
                halve(gradient, 8, lane, 2);
                halve(gradient, 4, lane, 1);
                if (first == 0) {
                    gradient[0] += by_message.x;
                    gradient[1] += by_message.y;
                }
                float from_odd[2] = {__shfl_xor_sync(WHOLE_WARP, gradient[0], 1), __shfl_xor_sync(WHOLE_WARP, gradient[1], 1)};
                if (n >= used || part != 0) continue;
                // Forward: r = |d|, u = d/r; ∂r/∂d = u, ∂u/∂d = (1 − u ⊗ u)/r
                constexpr float scale = 1.0f / GRADIENT_SCALE;
                float u[3];
#pragma unroll
                for (int axis = 0; axis < 3; axis++) u[axis] = half == 0 ? near.u[0][axis] : near.u[1][axis];
                float to_u[3] = {scale * gradient[0], scale * gradient[1], scale * from_odd[0]}, dr = scale * from_odd[1];
                if (first == 0) dr += sum.z, sum.z = 0.0f;
                float along = fmaf(to_u[2], u[2], fmaf(to_u[1], u[1], to_u[0] * u[0])), per_r = 1.0f / sum.w;
                of_pair = {sum.x + fmaf(dr, u[0], (to_u[0] - along * u[0]) * per_r),
                           sum.y + fmaf(dr, u[1], (to_u[1] - along * u[1]) * per_r),
                           sum.z + fmaf(dr, u[2], (to_u[2] - along * u[2]) * per_r), sum.w};
            } while (start < used);
        }
        __syncthreads();
    }
}
