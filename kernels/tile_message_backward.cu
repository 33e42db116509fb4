// The backward pass of a tile's message, see tile_message.cu.
//
// Shapes: dq (M, F), dv (M, 3, F) → gradients by φ (M, 3F), v (M, 3, F) and pairs (P, 4)
#include "tile_message.cu"

// The vectors before the message and the gradients by them that a lane needs in one block.  They come from far, so they
// are asked for while the block before is worked on: behind its last product, because the assembler lets a load sink to
// its use wherever it can, but not round a loop.
struct MessageBefore {
    unsigned v[3][2];      // channels 2t and 2t + 1 of each eight
    Half own_v[3], own_dv[3];
};

// Where a lane reads and writes in the channels of one block.
template <int M, int C>
struct MessagePlace {
    static constexpr int STRIDE_BEFORE = Tile<M, C>::STRIDE_BEFORE;
    MessageNear<C> near;
    const Half *filter, *phi;  // φ so that one of its matrices has the same eight channels in all rows
    Half* own_phi;             // of channel g, of lanes 2 and 3 of four g + 8
    Half* own_gradient;        // of a cluster, by the vectors before the message
    const Half *v, *own_v;     // vectors before the message, of channel 2t, and of the same channel as `own_phi`
    float* waiting;
    unsigned lane;

    __device__ MessagePlace(const Tile<M, C>& tile, int row, int start, float* waiting, unsigned lane)
        : near(tile.slots(row) + start, lane), filter(filter_at(tile, 0, 0, lane)),
          phi(tile.phi() + row * ROW_PHI<C> + lane / 16 * ALL_CHANNELS<C> + lane / 8 % 2 * EIGHT<C>), waiting(waiting + lane), lane(lane) {
        int own = lane / 4 + lane / 2 % 2 * 8;
        int at_own = C == 1 ? own : lane / 2 % 2 * EIGHT<C> + lane / 4;
        own_phi = tile.phi() + row * ROW_PHI<C> + at_own;
        v = tile.v_before() + row * STRIDE_BEFORE + lane % 4 * 2;
        own_v = tile.v_before() + row * STRIDE_BEFORE + at_own;
        if (C > 1) own_gradient = tile.dv_before() + row * CHANNELS + own;
    }

    // The gradient by `own_v` of an axis.
    __device__ Half& own_dv(int axis) const {
        if constexpr (C > 1) return own_gradient[axis * 16 * M * CHANNELS];
        constexpr int BEHIND = (Scratch<M, C>::DV_BEFORE - Scratch<M, C>::V_BEFORE) / 2;
        return const_cast<Half&>(own_v[BEHIND + axis * 16 * M * CHANNELS]);
    }

    __device__ void load(MessageBefore& before) const {
        constexpr int AXIS = C == 1 ? 16 * M * CHANNELS : 16 * M * STRIDE_F;
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
#pragma unroll
            for (int i = 0; i < 2; i++) before.v[axis][i] = *reinterpret_cast<const unsigned*>(v + axis * AXIS + i * EIGHT<C>);
            before.own_v[axis] = own_v[axis * AXIS];
            before.own_dv[axis] = own_dv(axis);
        }
    }

    __device__ void next_block() { next_blocks(1); }
    __device__ void next_blocks(int count) {
        int numbers = count * 2 * EIGHT<C>;
        near.channels += numbers, near.neighbours += numbers;
        filter += count * 16 * RADIAL, phi += numbers, own_phi += numbers, v += numbers, own_v += numbers, waiting += count * 5 * 16;
        if (C > 1) own_gradient += count * 16;
    }
};

// What sixteen neighbours give to the gradients by a sender's φ and vectors, in the channels of one block.  Of more
// neighbours than those, what was summed up before waits; the last ones' turn leaves gradients in place of φ and of
// `dv_before`.
template <int M, int C>
__device__ __forceinline__ void message_backward_by_sender(const Tile<M, C>& tile, const MessagePlace<M, C>& place, const MessageBefore& before,
                                                           bool alone, bool first, bool last) {
    constexpr int ROWS = 16 * M;
    const MessageNear<C>& near = place.near;
    unsigned lane = place.lane;
    const Half(&v)[3] = before.own_v, (&dv)[3] = before.own_dv;
    // Σ_k W[k, f] S[f, k] of channels g and g + 8: by a and b where t is even, by x, y and (`third`) z where it is odd.
    float sum[4] = {}, third[4] = {};
    {
        unsigned filter[3][4], d[4], e[4], product[2];
#pragma unroll
        for (int p = 0; p < 3; p++) load_matrices(filter[p], place.filter + p * CHANNELS * RADIAL);
        unsigned s[2][2] = {}, along[2][2] = {};
        near.load_channels(d, tile.h());
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(s[n], d, near.by_basis(n));
        filtered(product, filter[0], s);
        multiply_add(sum, product, into_column(0, lane));
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            unsigned s[2][2] = {};
            near.load_channels(d, tile.dv() + axis * ROWS * STRIDE_F);
#pragma unroll
            for (int n = 0; n < 2; n++) multiply_add(s[n], d, near.by_basis(n));
            // Σ_xyz dv u, and then B W_b for all of it
#pragma unroll
            for (int i = 0; i < 4; i++)
                e[i] = axis == 0 ? times(d[i], near.unit[0][i / 2]) : times_add(d[i], near.unit[axis][i / 2], e[i]);
            filtered(product, filter[2], s);
            multiply_add(axis < 2 ? sum : third, product, into_column(axis < 2 ? 2 + axis : 2, lane));
        }
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(along[n], e, near.by_basis(n));
        filtered(product, filter[1], along);
        multiply_add(sum, product, into_column(1, lane));
    }

    // Lanes 2 and 3 of four take channel g + 8.
    bool second = lane & 2, odd = lane & 1;
    float of[3] = {second ? sum[2] : sum[0], second ? sum[3] : sum[1], second ? third[2] : third[0]};
    // All lanes have read φ, which now becomes its gradient.
    __syncwarp();
    if (!alone) {
        // Even lanes have two numbers and odd ones three.
        float* waiting[3] = {place.waiting, place.waiting + WARP, place.waiting + 2 * WARP - (lane + 1) / 2};
#pragma unroll
        for (int i = 0; i < 3; i++)
            if (i < 2 || odd) {
                if (!first) of[i] += *waiting[i];
                if (!last) *waiting[i] = of[i];
            }
    }
    if (last) {
        Half* by_phi = place.own_phi + (tile.by_phi() - tile.phi());
        if (odd) {
            float phi_c = float_of(place.own_phi[2 * ALL_CHANNELS<C>]);
            by_phi[2 * ALL_CHANNELS<C>] =
                half_of(fmaf(of[2], float_of(v[2]), fmaf(of[1], float_of(v[1]), of[0] * float_of(v[0]))));
#pragma unroll
            for (int axis = 0; axis < 3; axis++) place.own_dv(axis) = half_of(fmaf(phi_c, of[axis], float_of(dv[axis])));
        } else {
            // Forward: φ_b w_b u_ij, and u_ij is against this pair's own direction
            by_phi[0] = half_of(of[0]);
            by_phi[ALL_CHANNELS<C>] = half_of(-of[1]);
        }
    }
    __syncwarp();
}

// T, and of dE/dr what T has no part of: (neighbours, radial functions).
struct MessageByPairs {
    float u[3][2][4] = {}, r[2][4] = {};

    // Adds the channels of one block.
    template <int M, int C>
    __device__ __forceinline__ void add(const Tile<M, C>& tile, const MessagePlace<M, C>& place, const unsigned (&v)[3][2]) {
        constexpr int ROWS = 16 * M;
        const MessageNear<C>& near = place.near;
        // Right factors φ W: (channels 0 … 7 and 8 … 15, radial functions 0 … 7 and 8 … 15)
        unsigned d[4], e[4], w[3][4], phi_ab[4], phi_c[2];
#pragma unroll
        for (int p = 0; p < 3; p++) load_transposed(w[p], place.filter + p * CHANNELS * RADIAL);
        load_matrices(phi_ab, place.phi);
        load_matrices(phi_c, place.phi + 2 * ALL_CHANNELS<C>);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            w[0][i] = times(w[0][i], phi_ab[i / 2]);
            w[1][i] = times(w[1][i], phi_ab[2 + i / 2]);
            w[2][i] = times(w[2][i], phi_c[i / 2]);
        }
        near.load_neighbours(d, tile.h());
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(r[n], d, {w[0][n], w[0][2 + n]});
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            near.load_neighbours(d, tile.dv() + axis * ROWS * STRIDE_F);
#pragma unroll
            for (int n = 0; n < 2; n++) multiply_add(u[axis][n], d, {w[1][n], w[1][2 + n]});
            // Σ_xyz dv v, and then φ_c W_c for all of it
#pragma unroll
            for (int i = 0; i < 4; i++)
                e[i] = axis == 0 ? times(d[i], v[0][i / 2]) : times_add(d[i], v[axis][i / 2], e[i]);
        }
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(r[n], e, {w[2][n], w[2][2 + n]});
    }

    // Gradients by the neighbours' directions and distances.
    template <int M, int C>
    __device__ __forceinline__ void finish(const Tile<M, C>& tile, int row, int start, unsigned lane) const {
        int g = lane / 4, t = lane % 4;
        const Slot* slots = tile.slots(row) + start;
        // Forward: w = B(r) W_f, so ∂w/∂r = B'(r) W_f
        Sixteen near(slots);
        unsigned slope[4];
        Sixteen::load(slope, slots->slope);
        float gradient[8];  // (two neighbours, by u and r)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float* direction = near.u[half];
            float* by = gradient + 4 * half;
            by[0] = by[1] = by[2] = by[3] = 0.0f;
#pragma unroll
            for (int n = 0; n < 2; n++) {
                Pair16 basis = two_floats(near.basis[2 * n + half]), rise = two_floats(slope[2 * n + half]);
                float d0 = r[n][2 * half], d1 = r[n][2 * half + 1];
#pragma unroll
                for (int axis = 0; axis < 3; axis++) {
                    float t0 = u[axis][n][2 * half], t1 = u[axis][n][2 * half + 1];
                    by[axis] = fmaf(-basis.high, t1, fmaf(-basis.low, t0, by[axis]));
                    d0 = fmaf(-direction[axis], t0, d0);
                    d1 = fmaf(-direction[axis], t1, d1);
                }
                by[3] = fmaf(rise.high, d1, fmaf(rise.low, d0, by[3]));
            }
        }
        // Over the radial functions t: lane 2 of four keeps the second neighbour, odd ones the second two numbers.
        halve(gradient, 8, 2);
        halve(gradient, 4, 1);
        float* partial = reinterpret_cast<float*>(tile.partial(row, start + g + t / 2 * 8));
        two(partial, t % 2 * 2) = {gradient[0], gradient[1]};
        if constexpr (C > 1) {
            uint2 sent = {__float_as_uint(gradient[0]), __float_as_uint(gradient[1])};
#pragma unroll 1
            for (unsigned to = 0; to < C; to++)
                if (to != tile.rank) send(in_block(to, partial + t % 2 * 2), sent, in_block(to, tile.arrivals(tile.exchanges % 2)));
        }
    }
};

// What a block of a cluster makes: gradients by its channels of all rows, and those by the pairs of some rows.
template <int M, int C>
__device__ __forceinline__ void message_backward_of_block(const Tile<M, C>& tile, int warp, unsigned lane) {
    wait_for_forward(tile);
    for (int row = warp; row < tile.batch.rows; row += TILE_WARPS) {
        if (tile.count[row] == 0) continue;
        MessagePlace<M, C> place(tile, row, 0, nullptr, lane);
        place.next_blocks(tile.rank);
        MessageBefore before;
        place.load(before);
        message_backward_by_sender(tile, place, before, true, true, true);
    }
    // The last warps have no row, or only one, above.
    for (int row = tile.rank + (TILE_WARPS - 1 - warp) * C; row < tile.batch.rows; row += TILE_WARPS * C) {
        if (tile.count[row] == 0) continue;
        MessagePlace<M, C> place(tile, row, 0, nullptr, lane);
        MessageByPairs by_pairs;
        MessageBefore before;
        place.load(before);
#pragma unroll 2
        for (int block = 0; block < MESSAGE_BLOCKS; block++) {
            by_pairs.add(tile, place, before.v);
            place.next_block();
            if (block + 1 < MESSAGE_BLOCKS) place.load(before);
        }
        by_pairs.finish(tile, row, 0, lane);
    }
}

// g ⊙ dq is in `h`, g' ⊙ dv in `v`, dv in `dv_before`; `phi` becomes its gradient, `dv_before` that by the
// vectors before the message.  A row is a sender here: its neighbours are the same, and u_ij = −u_ji.
// Both sums over neighbours (for the sender's features) and over channels (for pairs) are products:
//
//     dφ_a = Σ_k W_a[k] Σ_i B_k dq_i                          dφ_b, dφ_c, dv likewise
//     dE/du_ij = Σ_k B_k T[k],   T = Σ_f dv_i (φ_b W_b[k])     dE/dr_ij = Σ_k B'_k (…)
//
// What a row with more than sixteen neighbours has summed up waits in `x`.
template <int M, int C>
__device__ __forceinline__ void tile_message_backward(const Tile<M, C>& tile, const TileStudent& student) {
    int warp = threadIdx.x / WARP;
    unsigned lane = lane_of_warp();
    float* waiting = reinterpret_cast<float*>(tile.x()) + warp * MESSAGE_BLOCKS * 5 * 16;
    if constexpr (C > 1) {
        message_backward_of_block(tile, warp, lane);
        return;
    }
    for (int row = warp; row < tile.batch.rows; row += TILE_WARPS) {
        int count = tile.count[row];
#pragma unroll 1
        for (int start = 0; start < count; start += 16) {
            MessagePlace<M, C> place(tile, row, start, waiting, lane);
            MessageByPairs by_pairs;
            MessageBefore before;
            place.load(before);
#pragma unroll 1
            for (int block = 0; block < MESSAGE_BLOCKS; block++) {
                by_pairs.add(tile, place, before.v);
                message_backward_by_sender(tile, place, before, count <= 16, start == 0, start + 16 >= count);
                place.next_block();
                if (block + 1 < MESSAGE_BLOCKS) place.load(before);
            }
            by_pairs.finish(tile, row, start, lane);
        }
    }
}
