// The backward pass of a tile's message, see tile_message.cu.
//
// Shapes: dq (M, F), dv (M, 3, F) → gradients by φ (M, 3F), v (M, 3, F) and pairs (P, 4)
#include "tile_message.cu"

// The gradients of sixteen neighbours in sixteen channels.
struct MessageReturned {
    unsigned q[4] = {}, v[3][4] = {};  // g ⊙ dq, g' ⊙ dv

    template <int M, int C>
    __device__ void load(const Tile<M, C>& tile, int row, int block, unsigned lane) {
        int at = first_of<C>(16 * block) + at_channels<C>(row, ROW_F<C>, lane);
        load_transposed(q, tile.h() + at);
#pragma unroll
        for (int axis = 0; axis < 3; axis++) load_transposed(v[axis], tile.dv() + at + axis * 16 * M * STRIDE_F);
    }
};

// A row is a sender here: its neighbours are the same, and u_ij = −u_ji.  In place of φ and of `dv_before` come gradients.
//
//     dφ_a = Σ_i w_a dq_i,   dφ_b = −Σ_i w_b (dv_i · u_ji),   dφ_c = Σ_i w_c (dv_i · v),   dv = φ_c Σ_i w_c dv_i
template <int M, int C>
struct SenderSums {
    const Tile<M, C>& tile;
    MessageLane<C> lane;
    MessageFilters filters;

    __device__ SenderSums(const Tile<M, C>& tile, int block, unsigned lane) : tile(tile), lane(block, lane), filters(tile, block, lane) {}

    using Sent = MessageReturned;
    struct Unit {
        uint2 of[3];
        __device__ void ask(const Slots& slots, unsigned lane) {
#pragma unroll
            for (int axis = 0; axis < 3; axis++) of[axis] = reinterpret_cast<const uint2*>(slots.unit[1 + axis])[lane % 4];
        }
    };
    using Near = MessageNear<Unit>;

    struct Pairs {
        unsigned w[3][4], along[4];
    };
    __device__ __forceinline__ Pairs pairs(const Sent& sent, const Near& near) const {
        Pairs pairs;
        filters.filter(pairs.w, near.basis);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            auto of = [&](int axis) { return i / 2 == 0 ? near.unit.of[axis].x : near.unit.of[axis].y; };
            pairs.along[i] = times_add(sent.v[2][i], of(2), times_add(sent.v[1][i], of(1), times(sent.v[0][i], of(0))));
        }
        return pairs;
    }

    // Columns by a, by b, x, y and z.
    template <int R>
    __device__ __forceinline__ void add(MessageSum<R>& sum, int r, const Sent& sent, const Pairs& pairs) const {
        const unsigned (&w)[3][4] = pairs.w;
        add_times(sum.of[r], w[0], sent.q, ones_in_column(0, lane.lane));
        add_times(sum.fifth, w[2], sent.v[2], ones_for_fifth(r, lane.lane));
        add_times(sum.of[r], w[1], pairs.along, ones_in_column(1, lane.lane));
#pragma unroll
        for (int axis = 0; axis < 2; axis++) add_times(sum.of[r], w[2], sent.v[axis], ones_in_column(2 + axis, lane.lane));
    }

    // Vectors before the message, and the gradients by them.
    struct Own {
        Half v[3], dv[3];
    };
    __device__ Half& v_before(int row, int axis) const {
        return tile.v_before()[axis * Tile<M, C>::AXIS_BEFORE + row * Tile<M, C>::STRIDE_BEFORE + (C == 1 ? lane.channel : lane.at)];
    }
    __device__ Half& dv_before(int row, int axis) const { return tile.dv_before()[(axis * 16 * M + row) * CHANNELS + lane.channel]; }
    __device__ void ask(Own& own, int first, int rows) const {
        int row = lane.row(first, rows);
#pragma unroll
        for (int axis = 0; axis < 3; axis++) own.v[axis] = v_before(row, axis), own.dv[axis] = dv_before(row, axis);
    }
    template <int R>
    __device__ void finish(const Own& own, const MessageSum<R>& sum, int first, int rows) const {
        float all[5];
        lane.take(all, sum);
        if (!lane.has_row(rows)) return;
        int row = lane.row(first, rows), at = row * ROW_PHI<C> + lane.at;
        float phi_c = float_of(tile.phi_before()[at + 2 * ALL_CHANNELS<C>]), by_phi_c = 0.0f;
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            by_phi_c = fmaf(all[2 + axis], float_of(own.v[axis]), by_phi_c);
            dv_before(row, axis) = half_of(fmaf(phi_c, all[2 + axis], float_of(own.dv[axis])));
        }
        // Forward: φ_b w_b u_ij, and u_ij is against this pair's own direction
        tile.by_phi()[at] = half_of(all[0]);
        tile.by_phi()[at + ALL_CHANNELS<C>] = half_of(-all[1]);
        tile.by_phi()[at + 2 * ALL_CHANNELS<C>] = half_of(by_phi_c);
    }
};

template <int M, int C>
__device__ __forceinline__ void message_backward_by_senders(const Tile<M, C>& tile) {
    MessageRows<C> rows(tile);
    sum_messages(tile, SenderSums<M, C>(tile, rows.block, lane_of_warp()), rows);
}

// Where a lane reads in the channels of one block what gradients by the pairs of a row need.
template <int M, int C>
struct MessagePlace {
    // Rows and axes of the vectors before the message, of which a block alone copies those of a warp's rows to shared memory,
    // and of a large tile φ with them.
    static constexpr bool COPIED = C == 1 && !ON_CHIP<M, C>, WITH_PHI = Tile<M, C>::IN_PARTS;
    static constexpr int ROW_OF_PHI = WITH_PHI ? 3 * CHANNELS : ROW_PHI<C>;
    static constexpr int ROW = COPIED ? 3 * CHANNELS : Tile<M, C>::STRIDE_BEFORE;
    static constexpr int AXIS = COPIED ? CHANNELS : Tile<M, C>::AXIS_BEFORE;
    const Half *filter, *phi, *v;  // the latter so that one of their matrices has the same eight channels in all rows
    int neighbours;                // of arrays F channels wide, as left factors (neighbours, channels)

    // `first` is the first of the rows whose vectors the warp has copied.
    __device__ MessagePlace(const Tile<M, C>& tile, int first, int row, const Slots& slots, unsigned lane)
        : filter(filter_at(tile, 0, 0, lane)),
          phi((WITH_PHI ? copied_phi(tile) + (row - first) * ROW_OF_PHI : tile.phi() + row * ROW_OF_PHI) + lane / 8 % 2 * EIGHT<C>),
          v((COPIED ? copied(tile) + (row - first) * ROW : tile.v_before() + row * ROW) + lane / 16 * AXIS + lane / 8 % 2 * EIGHT<C>),
          neighbours(row_of(slots, lane / 8 % 2 * 8 + lane % 8) * ROW_F<C> + lane / 16 * EIGHT<C>) {}

    static __device__ Half* copied(const Tile<M, C>& tile) {
        return tile.x() + thread_once() / WARP * (ROWS_TOGETHER<M> * Regions<M, C>::COPIED_OF_ROW);
    }
    static __device__ Half* copied_phi(const Tile<M, C>& tile) { return copied(tile) + ROWS_TOGETHER<M> * 3 * CHANNELS; }
    // The vectors of R rows come from far: all lanes may read them when this returns.
    template <int R>
    static __device__ void copy(const Tile<M, C>& tile, int row, unsigned lane) {
        if constexpr (COPIED) {
            constexpr int EIGHTS = CHANNELS / 8;
            for (int n = lane; n < R * 3 * EIGHTS; n += WARP) {
                int r = n / (3 * EIGHTS), axis = n / EIGHTS % 3;
                copy_sixteen_bytes(copied(tile) + 8 * n, tile.v_before() + (axis * 16 * M + row + r) * CHANNELS + n % EIGHTS * 8);
                if constexpr (WITH_PHI)
                    copy_sixteen_bytes(copied_phi(tile) + 8 * n, tile.phi_before() + (row + r) * STRIDE_PHI + n % (3 * EIGHTS) * 8);
            }
            wait_for_copies();
        }
        __syncwarp();
    }

    __device__ void next_block() { filter += 16 * RADIAL, phi += 2 * EIGHT<C>, v += 2 * EIGHT<C>, neighbours += 2 * EIGHT<C>; }
};

// The gradients by sixteen pairs of a row:
//
//     dE/du_ij = Σ_k B_k T[k],   T = Σ_f dv_i (φ_b W_b[k])     dE/dr_ij = Σ_k B'_k (…)
//
// T, and of dE/dr what T has no part of: (neighbours, radial functions).
struct MessageByPairs {
    float u[3][2][4] = {}, r[2][4] = {};

    // Gradients by the neighbours' directions and distances.
    template <int M, int C>
    __device__ __forceinline__ void finish(const Tile<M, C>& tile, int row, int start, unsigned lane) const {
        int g = lane / 4, t = lane % 4;
        const Slots& slots = tile.slots(row)[start / 16];
        // Forward: w = B(r) W_f, so ∂w/∂r = B'(r) W_f
        Sixteen near(slots, lane);
        unsigned slope[4];
        Sixteen::load(slope, slots.slope, lane);
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
        halve(gradient, 8, lane, 2);
        halve(gradient, 4, lane, 1);
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

// Adds the channels of one block to the sums of R rows that have the same neighbours.
template <int R, int M, int C>
__device__ __forceinline__ void add_pairs(MessageByPairs (&of)[R], const Tile<M, C>& tile, const MessagePlace<M, C>& place) {
    constexpr int ROWS = 16 * M, ROW = MessagePlace<M, C>::ROW, AXIS = MessagePlace<M, C>::AXIS;
    unsigned d[4], e[R][4], w[4], by_phi[R][4];
    // Right factors φ W: (channels 0 … 7 and 8 … 15, radial functions 0 … 7 and 8 … 15)
    auto times_phi = [&](int r, int part) {
        unsigned phi[2];
        load_matrices(phi, place.phi + r * MessagePlace<M, C>::ROW_OF_PHI + part * ALL_CHANNELS<C>);
#pragma unroll
        for (int i = 0; i < 4; i++) by_phi[r][i] = times(w[i], phi[i % 2]);
    };
    auto add = [&](float (&sum)[2][4], const unsigned (&d)[4], const unsigned (&w)[4]) {
#pragma unroll
        for (int n = 0; n < 2; n++) multiply_add(sum[n], d, {w[2 * n], w[2 * n + 1]});
    };
    load_transposed(w, place.filter);
    load_matrices(d, tile.h() + place.neighbours);
#pragma unroll
    for (int r = 0; r < R; r++) {
        times_phi(r, 0);
        add(of[r].r, d, by_phi[r]);
    }
    load_transposed(w, place.filter + CHANNELS * RADIAL);
#pragma unroll
    for (int r = 0; r < R; r++) times_phi(r, 1);
    unsigned v[R][4];
#pragma unroll
    for (int axis = 0; axis < 3; axis++) {
        load_matrices(d, tile.dv() + axis * ROWS * STRIDE_F + place.neighbours);
#pragma unroll
        for (int r = 0; r < R; r++) {
            // x and y together, of channels 2t and 2t + 1 of each eight, then z.
            if (axis == 0) load_matrices(v[r], place.v + r * ROW);
            if (axis == 2) load_matrices(reinterpret_cast<unsigned(&)[2]>(v[r]), place.v + r * ROW + 2 * AXIS);
            add(of[r].u[axis], d, by_phi[r]);
            // Σ_xyz dv v, and then φ_c W_c for all of it
#pragma unroll
            for (int i = 0; i < 4; i++)
                e[r][i] = axis == 0 ? times(d[i], v[r][i / 2]) : times_add(d[i], v[r][axis % 2 * 2 + i / 2], e[r][i]);
        }
    }
    load_transposed(w, place.filter + 2 * CHANNELS * RADIAL);
#pragma unroll
    for (int r = 0; r < R; r++) {
        times_phi(r, 2);
        add(of[r].r, e[r], by_phi[r]);
    }
}

// The gradients by sixteen pairs of each of R rows that have the same neighbours.
template <int R, int M, int C>
__device__ __forceinline__ void pairs_of_rows(const Tile<M, C>& tile, int first, int row, int start, unsigned lane) {
    MessagePlace<M, C> place(tile, first, row, tile.slots(row)[start / 16], lane);
    MessageByPairs by_pairs[R];
#pragma unroll
    for (int r = 0; r < R; r++) prefetch_slots(tile, row + r, start, lane);
#pragma unroll(C == 1 ? 1 : 2)
    for (int block = 0; block < MESSAGE_BLOCKS; block++) {
        add_pairs(by_pairs, tile, place);
        place.next_block();
    }
#pragma unroll
    for (int r = 0; r < R; r++) by_pairs[r].finish(tile, row + r, start, lane);
}

// Two rows of a molecule whose rows have all its atoms in their slots are one task: they read the same.  Of sixteen rows
// each is one, there are enough warps.
template <int M, int C>
__device__ __forceinline__ void message_backward_by_pairs(const Tile<M, C>& tile) {
    constexpr int R = ROWS_TOGETHER<M>;
    int warp = thread_once() / WARP, rows = tile.batch.rows;
    unsigned lane = lane_of_warp();
    // Of a cluster's block the last warps have had no row, or only one, before.
    int first = C == 1 ? warp * R : tile.rank + (TILE_WARPS - 1 - warp) * C;
    for (int row = first; row < rows; row += TILE_WARPS * (C == 1 ? R : C)) {
        MessagePlace<M, C>::template copy<R>(tile, row, lane);
        if constexpr (R > 1) {
            int replica = tile.batch.replica[row], behind = tile.batch.first_row[replica + 1];
            if (row + 1 < behind && has_all_atoms(behind - tile.batch.first_row[replica])) {
                if (tile.count[row] > 0) pairs_of_rows<R>(tile, row, row, 0, lane);
                __syncwarp();
                continue;
            }
        }
        for (int r = 0; r < R && row + r < rows; r++) {
            int count = tile.count[row + r];
#pragma unroll 1
            for (int start = 0; start < count; start += 16) pairs_of_rows<1>(tile, row, row + r, start, lane);
        }
        __syncwarp();
    }
}

// g ⊙ dq is in `h`, g' ⊙ dv in `v`, dv in `dv_before`; `phi` becomes its gradient, `dv_before` that by the
// vectors before the message.  Blocks of a cluster make the gradients by their channels of all rows, and those by the
// pairs of some rows.
template <int M, int C>
__device__ __forceinline__ void tile_message_backward(const Tile<M, C>& tile) {
    wait_for_forward(tile);
    if constexpr (C > 1) {
        message_backward_by_senders(tile);
        message_backward_by_pairs(tile);
    } else {
        message_backward_by_pairs(tile);
        // φ becomes its gradient.
        __syncthreads();
        message_backward_by_senders(tile);
    }
}
