// The message of a tile: message.cu's formulas with φ, v and their gradients in shared memory.
//
//     q_i += g ⊙ Σ_j φ_a w_a,   v_i += g' ⊙ Σ_j (φ_b w_b u_ij + φ_c w_c v_j),   w = B(r) W_f
//
// Shapes: B (P, K), u (P, 3), q (M, F), v (M, 3, F) → q, v
#include "tile_message_rows.cu"

// What sixteen neighbours send in sixteen channels.
struct MessageSent {
    unsigned a[4] = {}, b[4] = {}, carried[3][4] = {};  // φ_a, φ_b, φ_c v

    template <int M, int C>
    __device__ void load(const Tile<M, C>& tile, int row, int block, unsigned lane) {
        const Half* phi = tile.phi() + first_of<C>(16 * block) + at_channels<C>(row, ROW_PHI<C>, lane);
        const Half* v = tile.v() + first_of<C>(16 * block) + at_channels<C>(row, ROW_F<C>, lane);
        unsigned c[4];
        load_transposed(a, phi);
        load_transposed(b, phi + ALL_CHANNELS<C>);
        load_transposed(c, phi + 2 * ALL_CHANNELS<C>);
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            load_transposed(carried[axis], v + axis * 16 * M * STRIDE_F);
#pragma unroll
            for (int i = 0; i < 4; i++) carried[axis][i] = times(carried[axis][i], c[i]);
        }
    }
};

// Columns Σ_j φ_a w_a and, by axis, Σ_j (φ_b w_b u_ij + φ_c w_c v_j).
template <int M, int C>
struct MessageSums {
    static constexpr int AXIS = 16 * M * STRIDE_F;
    const Tile<M, C>& tile;
    MessageLane<C> lane;
    MessageFilters filters;
    const float *gate_scalar, *gate_vector;  // of the lane's channel

    __device__ MessageSums(const Tile<M, C>& tile, const TileStudent& student, int block, unsigned lane)
        : tile(tile), lane(block, lane), filters(tile, block, lane), gate_scalar(student.gate_scalar + this->lane.channel),
          gate_vector(student.gate_vector + this->lane.channel) {}

    using Sent = MessageSent;
    struct Unit {
        uint2 along;
        __device__ void ask(const Slots& slots, unsigned lane) { along = reinterpret_cast<const uint2*>(slots.unit)[lane % 16]; }
    };
    using Near = MessageNear<Unit>;

    struct Pairs {
        unsigned w[3][4];
        uint2 along;
    };
    __device__ __forceinline__ Pairs pairs(const Sent&, const Near& near) const {
        Pairs pairs;
        filters.filter(pairs.w, near.basis);
        pairs.along = near.unit.along;
        return pairs;
    }
    template <int R>
    __device__ __forceinline__ void add(MessageSum<R>& sum, int r, const Sent& sent, const Pairs& pairs) const {
        const unsigned (&w)[3][4] = pairs.w;
        add_times(sum.of[r], w[0], sent.a, ones_in_column(0, lane.lane));
        add_times(sum.of[r], w[1], sent.b, pairs.along);
#pragma unroll
        for (int axis = 0; axis < 3; axis++) add_times(sum.of[r], w[2], sent.carried[axis], ones_in_column(1 + axis, lane.lane));
    }

    struct Own {
        float gate_scalar, gate_vector, q;
        Half v[3];
    };
    __device__ void ask(Own& own, int first, int rows) const {
        int row = lane.row(first, rows);
        size_t by_element = size_t(tile.batch.element[row]) * CHANNELS;
        own.gate_scalar = __ldg(gate_scalar + by_element), own.gate_vector = __ldg(gate_vector + by_element);
        own.q = tile.q()[row * STRIDE_Q + lane.channel];
#pragma unroll
        for (int axis = 0; axis < 3; axis++) own.v[axis] = tile.v()[axis * AXIS + row * ROW_F<C> + lane.at];
    }
    template <int R>
    __device__ void finish(const Own& own, const MessageSum<R>& sum, int first, int rows) const {
        float all[5];
        lane.take(all, sum);
        if (!lane.has_row(rows)) return;
        int row = lane.row(first, rows);
        tile.q()[row * STRIDE_Q + lane.channel] = fmaf(own.gate_scalar, all[0], own.q);
#pragma unroll
        for (int axis = 0; axis < 3; axis++)
            tile.made()[axis * AXIS + row * ROW_F<C> + lane.at] = half_of(fmaf(own.gate_vector, all[1 + axis], float_of(own.v[axis])));
    }
};

// New vectors of a block alone go to `h` and `x` until all old ones were read; these are kept in `v_before`.  Those of a large
// tile wait in global memory, with q, for the part that they belong to.
template <int M, int C>
__device__ __forceinline__ void tile_message(const Tile<M, C>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M;
    MessageRows<C> rows(tile);
    sum_messages(tile, MessageSums<M, C>(tile, student, rows.block, lane_of_warp()), rows);
    if constexpr (C > 1 || Tile<M, C>::IN_PARTS) return;
    __syncthreads();
    for (int n = thread_once(); n < 3 * ROWS * CHANNELS / 8; n += TILE_THREADS) {
        int row = n / (CHANNELS / 8), f8 = n % (CHANNELS / 8) * 8;
        uint4 &now = eight(tile.v(), row * STRIDE_F + f8), &before = eight(tile.v_before(), row * CHANNELS + f8);
        before = now;
        now = eight(tile.made(), row * STRIDE_F + f8);
    }
}
