// The message of a tile: message.cu's formulas with φ, v and their gradients in shared memory.
//
//     q_i += g ⊙ Σ_j φ_a w_a,   v_i += g' ⊙ Σ_j (φ_b w_b u_ij + φ_c w_c v_j),   w = B(r) W_f
//
// A filter is a sum over radial functions, and the sum over neighbours can be taken first:
//
//     Σ_j φ_a w_a = Σ_k W_a[k] S_a[k],   S_a = Σ_j φ_a,j B_k(r_ij),   likewise with φ_b u and φ_c v for φ_a
//
// which makes S a product for tensor cores, with sixteen neighbours inside, and leaves K instead of
// as many as a molecule has for the rest.
//
// Shapes: B (P, K), u (P, 3), q (M, F), v (M, 3, F) → q, v
#include "tile_phi.cu"

// A message's channels come in blocks of sixteen.
constexpr int MESSAGE_BLOCKS = CHANNELS / 16;

// W_f in shared memory: of part p and sixteen channels f, four matrices of 8 × 8, rows f and columns k.
template <int M, int C>
__device__ inline void copy_filter(const Tile<M, C>& tile, const TileStudent& student) {
    for (int n = threadIdx.x; n < 3 * CHANNELS / 16 * WARP; n += TILE_THREADS) {
        const uint2* groups = student.filter.columns + n / WARP * 2 * WARP + n % WARP;
        unsigned* matrices = &word(tile.filter(), n / WARP * 256) + n % WARP;
        matrices[0] = groups[0].x, matrices[WARP] = groups[0].y;
        matrices[2 * WARP] = groups[WARP].x, matrices[3 * WARP] = groups[WARP].y;
    }
}

// The lane's place in part p of W_f for channels f, …, f + 15.  Loaded as it is, W[f, k] for f = g (the second two
// words g + 8) and k = 2t, 2t + 1 (every second word 2t + 8, 2t + 9); loaded transposed, f = 2t, 2t + 1 and k = g.
template <int M, int C>
__device__ inline const Half* filter_at(const Tile<M, C>& tile, int p, int f, unsigned lane) {
    return tile.filter() + (p * CHANNELS + f) * RADIAL + lane * 8;
}

// Of a row's sixteen neighbours what both directions of a message need.
template <int C>
struct MessageNear {
    unsigned basis[4] = {};    // B as a right factor of products that have the neighbours inside
    unsigned unit[3][2] = {};  // u of neighbours 2t and 2t + 1 of each eight
    // Where the lane points at in arrays of these strides, see below.
    int phi_channels = 0, channels = 0, neighbours = 0;

    MessageNear() = default;
    __device__ MessageNear(const Slot* first, unsigned lane) {
        int t = lane % 4;
        Sixteen slots(first);
        int rows[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            rows[half] = __shfl_sync(WHOLE_WARP, slots.row[half], lane % 8 * 4);
            basis[half] = transposed(slots.basis[half]);
            basis[2 + half] = transposed(slots.basis[2 + half]);
            // Columns 0, 1, 2 are x, y, z; nobody looks at the others.
            const float* u = slots.u[half];
            unsigned column = transposed(two_halves(t == 0 ? u[0] : u[2], u[1]));
#pragma unroll
            for (int axis = 0; axis < 3; axis++) unit[axis][half] = __shfl_sync(WHOLE_WARP, column, 4 * axis + t);
        }
        int row = lane / 16 == 0 ? rows[0] : rows[1];
        phi_channels = row * ROW_PHI<C> + lane / 8 % 2 * EIGHT<C>;
        channels = row * ROW_F<C> + lane / 8 % 2 * EIGHT<C>;
        neighbours = (lane / 8 % 2 == 0 ? rows[0] : rows[1]) * ROW_F<C> + lane / 16 * EIGHT<C>;
    }

    // Right factors B and B u for radial functions 8n … 8n + 7.
    __device__ uint2 by_basis(int n) const { return {basis[2 * n], basis[2 * n + 1]}; }
    __device__ uint2 by_along(int axis, int n) const {
        return {times(basis[2 * n], unit[axis][0]), times(basis[2 * n + 1], unit[axis][1])};
    }

    // Neighbours' rows of φ, or of an array F channels wide, from a channel on: (channels, neighbours),
    __device__ void load_phi(unsigned (&a)[4], const Half* phi) const { load_transposed(a, phi + phi_channels); }
    __device__ void load_channels(unsigned (&a)[4], const Half* array) const { load_transposed(a, array + channels); }
    // and (neighbours, channels).
    __device__ void load_neighbours(unsigned (&a)[4], const Half* array) const { load_matrices(a, array + neighbours); }
};

// W[f, k] S[f, k] + W[f, k + 8] S[f, k + 8] as a left factor of eight columns; S are sums of a product with the
// channels as rows.
__device__ inline void filtered(unsigned (&product)[2], const unsigned (&filter)[4], const unsigned (&s)[2][2]) {
#pragma unroll
    for (int half = 0; half < 2; half++)
        product[half] = times_add(filter[2 * half + 1], s[1][half], times(filter[2 * half], s[0][half]));
}
// The same added to a product.
__device__ inline void add_filtered(unsigned (&product)[2], const unsigned (&filter)[4], const unsigned (&s)[2][2]) {
#pragma unroll
    for (int half = 0; half < 2; half++)
        product[half] = times_add(filter[2 * half + 1], s[1][half], times_add(filter[2 * half], s[0][half], product[half]));
}

// Blocks of channels that a warp has in hand at once: while products of one are made, it waits for those of the other.
constexpr int BLOCKS_IN_HAND = 2;

// Into how many parts rows are cut: rounds of the warps are shortest, and of equals the fewest.
__device__ inline int message_parts(int rows) {
    int best = 1, least = CHANNELS * 1024;
    for (int parts = 1; parts <= 4 && parts * BLOCKS_IN_HAND <= MESSAGE_BLOCKS; parts *= 2) {
        int rounds = (rows * parts + TILE_WARPS - 1) / TILE_WARPS, length = rounds * (MESSAGE_BLOCKS / parts);
        if (length < least) best = parts, least = length;
    }
    return best;
}

// New vectors of a block alone go to `h` and `x` until all old ones were read; these are kept in `v_before`.
template <int M, int C>
__device__ __forceinline__ void tile_message(const Tile<M, C>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M, BLOCKS = C == 1 ? BLOCKS_IN_HAND : 1;
    unsigned lane = lane_of_warp();
    int t = lane % 4, own = lane / 4 + t / 2 * 8;
    // A warp takes one row's part of the channels after the other; rows are cut into as few parts as keep all warps busy.
    // A block of a cluster has one block of them.
    int parts = C == 1 ? message_parts(tile.batch.rows) : 1, channels = C == 1 ? CHANNELS / parts : 16;
    for (int n = threadIdx.x / WARP; n < parts * tile.batch.rows; n += TILE_WARPS) {
        int row = n / parts, first_channel = C == 1 ? n % parts * channels : 16 * tile.rank, count = tile.count[row];
        int element = tile.batch.element[row];
        const Slot* slots = tile.slots(row);
        MessageNear<C> near;
        if (count > 0) near = MessageNear<C>(slots, lane);
#pragma unroll 1
        for (int channel = first_channel; channel < first_channel + channels; channel += 16 * BLOCKS) {
            // What comes from far is asked for early.
            float gate[BLOCKS], gate_scalar[BLOCKS];
            const float *gates = student.gate_vector + element * CHANNELS + channel + own;
            const float *gates_scalar = student.gate_scalar + element * CHANNELS + channel + own;
#pragma unroll
            for (int i = 0; i < BLOCKS; i++) gate[i] = __ldg(gates + 16 * i), gate_scalar[i] = __ldg(gates_scalar + 16 * i);
            const Half *filters = filter_at(tile, 0, channel, lane), *phi = tile.phi() + first_of<C>(channel), *v = tile.v() + first_of<C>(channel);
            float sum[BLOCKS][4] = {};  // (channels g and g + 8, q and x where t is even, y and z where it is odd)
#pragma unroll 1
            for (int start = 0; start < count; start += 16) {
                if (count > 16) near = MessageNear<C>(slots + start, lane);
                unsigned filter[BLOCKS][4], a[BLOCKS][4], b[BLOCKS][4], c[BLOCKS][4], filter_c[BLOCKS][4];
                unsigned s[BLOCKS][2][2] = {}, product[BLOCKS][2];
#pragma unroll
                for (int i = 0; i < BLOCKS; i++) {
                    near.load_phi(a[i], phi + 16 * i);
                    load_matrices(filter[i], filters + 16 * RADIAL * i);
                    near.load_phi(c[i], phi + 2 * ALL_CHANNELS<C> + 16 * i);
                    near.load_phi(b[i], phi + ALL_CHANNELS<C> + 16 * i);
                }
#pragma unroll
                for (int i = 0; i < BLOCKS; i++)
#pragma unroll
                    for (int n = 0; n < 2; n++) multiply_add(s[i][n], a[i], near.by_basis(n));
#pragma unroll
                for (int i = 0; i < BLOCKS; i++) {
                    filtered(product[i], filter[i], s[i]);
                    load_matrices(filter[i], filters + (CHANNELS + 16 * i) * RADIAL);
                    load_matrices(filter_c[i], filters + (2 * CHANNELS + 16 * i) * RADIAL);
                }
#pragma unroll
                for (int i = 0; i < BLOCKS; i++) multiply_add(sum[i], product[i], into_column(0, lane));
#pragma unroll
                for (int axis = 0; axis < 3; axis++) {
                    unsigned along[BLOCKS][2][2] = {}, carried[BLOCKS][2][2] = {};
#pragma unroll
                    for (int i = 0; i < BLOCKS; i++) {
                        near.load_channels(a[i], v + axis * ROWS * STRIDE_F + 16 * i);
#pragma unroll
                        for (int n = 0; n < 2; n++) multiply_add(along[i][n], b[i], near.by_along(axis, n));
                    }
#pragma unroll
                    for (int i = 0; i < BLOCKS; i++) {
#pragma unroll
                        for (int k = 0; k < 4; k++) a[i][k] = times(c[i][k], a[i][k]);
#pragma unroll
                        for (int n = 0; n < 2; n++) multiply_add(carried[i][n], a[i], near.by_basis(n));
                        filtered(product[i], filter[i], along[i]);
                    }
#pragma unroll
                    for (int i = 0; i < BLOCKS; i++) {
                        add_filtered(product[i], filter_c[i], carried[i]);
                        multiply_add(sum[i], product[i], into_column(1 + axis, lane));
                    }
                }
            }
            const Half* v_own = C == 1 ? v + row * STRIDE_F + own : v + row * 8 + t / 2 * EIGHT<C> + lane / 4;
            Half* made = C == 1 ? tile.made() + row * STRIDE_F + channel + own : tile.made() + first_of<C>(channel) + (v_own - v);
            float* q = tile.q() + row * STRIDE_Q + channel + own;
#pragma unroll
            for (int i = 0; i < BLOCKS; i++) {
                float of[2] = {t < 2 ? sum[i][0] : sum[i][2], t < 2 ? sum[i][1] : sum[i][3]};
                auto make = [&](int axis, float sum) {
                    int at = axis * ROWS * STRIDE_F + 16 * i;
                    made[at] = half_of(fmaf(gate[i], sum, float_of(v_own[at])));
                };
                if (t % 2 == 0) {
                    q[16 * i] = fmaf(gate_scalar[i], of[0], q[16 * i]);
                    make(0, of[1]);
                } else {
                    make(1, of[0]);
                    make(2, of[1]);
                }
            }
            __syncwarp();
        }
    }
    if constexpr (C > 1) return;
    __syncthreads();
    for (int n = threadIdx.x; n < 3 * ROWS * CHANNELS / 8; n += TILE_THREADS) {
        int row = n / (CHANNELS / 8), f8 = n % (CHANNELS / 8) * 8;
        uint4 &now = eight(tile.v(), row * STRIDE_F + f8), &before = eight(tile.v_before(), row * CHANNELS + f8);
        before = now;
        now = eight(tile.made(), row * STRIDE_F + f8);
    }
}
