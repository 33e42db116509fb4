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
template <int M>
__device__ inline void copy_filter(const Tile<M>& tile, const TileStudent& student) {
    for (int n = threadIdx.x; n < 3 * CHANNELS / 16 * WARP; n += TILE_THREADS) {
        const uint2* groups = student.filter.columns + n / WARP * 2 * WARP + n % WARP;
        unsigned* matrices = &word(tile.filter(), n / WARP * 256) + n % WARP;
        matrices[0] = groups[0].x, matrices[WARP] = groups[0].y;
        matrices[2 * WARP] = groups[WARP].x, matrices[3 * WARP] = groups[WARP].y;
    }
}

// The lane's place in part p of W_f for channels f, …, f + 15.  Loaded as it is, W[f, k] for f = g (the second two
// words g + 8) and k = 2t, 2t + 1 (every second word 2t + 8, 2t + 9); loaded transposed, f = 2t, 2t + 1 and k = g.
template <int M>
__device__ inline const Half* filter_at(const Tile<M>& tile, int p, int f, unsigned lane) {
    return tile.filter() + (p * CHANNELS + f) * RADIAL + lane * 8;
}

// Of a row's sixteen neighbours what both directions of a message need.
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
        phi_channels = row * STRIDE_PHI + lane / 8 % 2 * 8;
        channels = row * STRIDE_F + lane / 8 % 2 * 8;
        neighbours = (lane / 8 % 2 == 0 ? rows[0] : rows[1]) * STRIDE_F + lane / 16 * 8;
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

// Into how many parts rows are cut: rounds of the warps are shortest, and of equals the fewest.
__device__ inline int message_parts(int rows) {
    int best = 1, least = CHANNELS * 1024;
    for (int parts = 1; parts <= 4; parts *= 2) {
        int rounds = (rows * parts + TILE_WARPS - 1) / TILE_WARPS, length = rounds * (MESSAGE_BLOCKS / parts);
        if (length < least) best = parts, least = length;
    }
    return best;
}

// New vectors go to `h` and `x` until all old ones were read; these are kept in `v_before`.
template <int M>
__device__ __forceinline__ void tile_message(const Tile<M>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M;
    Half* made = tile.h();
    unsigned lane = lane_of_warp();
    int g = lane / 4, t = lane % 4;
    // A warp takes one row's part of the channels after the other; rows are cut into as few parts as keep all warps busy.
    int parts = message_parts(tile.batch.rows), blocks = MESSAGE_BLOCKS / parts;
    for (int n = threadIdx.x / WARP; n < parts * tile.batch.rows; n += TILE_WARPS) {
        int row = n / parts, first_block = n % parts * blocks, count = tile.count[row];
        const Slot* slots = tile.slots(row);
        MessageNear near;
        if (count > 0) near = MessageNear(slots, lane);
#pragma unroll 1
        for (int block = first_block; block < first_block + blocks; block++) {
            int channel = 16 * block, own_channel = channel + g + t / 2 * 8;
            // What comes from far is asked for early.
            int by_element = tile.batch.element[row] * CHANNELS + own_channel;
            float gate = __ldg(student.gate_vector + by_element), gate_scalar = __ldg(student.gate_scalar + by_element);
            unsigned filter[3][4];
#pragma unroll
            for (int p = 0; p < 3; p++) load_matrices(filter[p], filter_at(tile, p, channel, lane));
            float sum[4] = {};  // (channels g and g + 8, q and x where t is even, y and z where it is odd)
#pragma unroll 1
            for (int start = 0; start < count; start += 16) {
                if (count > 16) near = MessageNear(slots + start, lane);
                unsigned a[4], b[4], c[4];
                near.load_phi(a, tile.phi() + channel);
                near.load_phi(b, tile.phi() + CHANNELS + channel);
                near.load_phi(c, tile.phi() + 2 * CHANNELS + channel);
                unsigned s[2][2] = {}, product[2];
#pragma unroll
                for (int n = 0; n < 2; n++) multiply_add(s[n], a, near.by_basis(n));
                filtered(product, filter[0], s);
                multiply_add(sum, product, into_column(0, lane));
#pragma unroll
                for (int axis = 0; axis < 3; axis++) {
                    unsigned v[4];
                    near.load_channels(v, tile.v() + axis * ROWS * STRIDE_F + channel);
#pragma unroll
                    for (int i = 0; i < 4; i++) v[i] = times(c[i], v[i]);
                    unsigned along[2][2] = {}, carried[2][2] = {};
#pragma unroll
                    for (int n = 0; n < 2; n++) {
                        multiply_add(along[n], b, near.by_along(axis, n));
                        multiply_add(carried[n], v, near.by_basis(n));
                    }
                    filtered(product, filter[1], along);
                    add_filtered(product, filter[2], carried);
                    multiply_add(sum, product, into_column(1 + axis, lane));
                }
            }
            float of[2] = {t < 2 ? sum[0] : sum[2], t < 2 ? sum[1] : sum[3]};
            auto make = [&](int axis, float sum) {
                int at = (axis * ROWS + row) * STRIDE_F + own_channel;
                made[at] = half_of(fmaf(gate, sum, float_of(tile.v()[at])));
            };
            if (t % 2 == 0) {
                float& q = tile.q()[row * STRIDE_Q + own_channel];
                q = fmaf(gate_scalar, of[0], q);
                make(0, of[1]);
            } else {
                make(1, of[0]);
                make(2, of[1]);
            }
            __syncwarp();
        }
    }
    __syncthreads();
    for (int n = threadIdx.x; n < 3 * ROWS * CHANNELS / 8; n += TILE_THREADS) {
        int row = n / (CHANNELS / 8), f8 = n % (CHANNELS / 8) * 8;
        uint4 &now = eight(tile.v(), row * STRIDE_F + f8), &before = eight(tile.v_before(), row * CHANNELS + f8);
        before = now;
        now = eight(made, row * STRIDE_F + f8);
    }
}
