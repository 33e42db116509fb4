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

// The work of a message is cut into rows, and these into parts of the channels; a warp takes one
// such task after the other, sixteen channels at a time.
template <int PARTS>
struct MessageTask {
    static constexpr int BLOCKS = CHANNELS / 16 / PARTS;
    int row, part;

    __device__ explicit MessageTask(int task) : row(task / PARTS), part(task % PARTS) {}
    __device__ int channel(int block) const { return 16 * (part * BLOCKS + block); }
};

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
__device__ inline const Half* filter_at(const Tile<M>& tile, int p, int f) {
    return tile.filter() + (p * CHANNELS + f) * RADIAL + threadIdx.x % WARP * 8;
}

// Of a row's sixteen neighbours what both directions of a message need.
struct MessageNear {
    unsigned basis[4] = {};    // B as a right factor of products that have the neighbours inside
    unsigned unit[3][2] = {};  // u of neighbours 2t and 2t + 1 of each eight
    // Where the lane points at in arrays of these strides, see below.
    int phi_channels = 0, channels = 0, neighbours = 0;

    MessageNear() = default;
    __device__ explicit MessageNear(const Slot* first) {
        int lane = threadIdx.x % WARP, t = lane % 4;
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

// Σ_k W[k, f] S[f, k] of the lane's four k, for f = g and g + 8; S are sums of a product with the channels as rows.
__device__ inline void add_filtered(float& first, float& second, const unsigned (&filter)[4], const float (&s)[2][4]) {
    Pair16 w[4] = {two_floats(filter[0]), two_floats(filter[1]), two_floats(filter[2]), two_floats(filter[3])};
#pragma unroll
    for (int n = 0; n < 2; n++) {
        first = fmaf(w[n].high, s[n][1], fmaf(w[n].low, s[n][0], first));
        second = fmaf(w[2 + n].high, s[n][3], fmaf(w[2 + n].low, s[n][2], second));
    }
}

// New vectors go to `h` and `x` until all old ones were read; these are kept in `v_before`.
template <int M>
__device__ __forceinline__ void tile_message(const Tile<M>& tile, const TileStudent& student) {
    // Few rows are cut into more tasks, so that they fill the warps.
    constexpr int ROWS = 16 * M, PARTS = M == 1 ? 4 : 2, BLOCKS = MessageTask<PARTS>::BLOCKS;
    Half* made = tile.h();
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    for (int n = threadIdx.x / WARP; n < PARTS * tile.batch.rows; n += TILE_WARPS) {
        MessageTask<PARTS> task(n);
        int row = task.row, count = tile.count[row];
        const Slot* slots = tile.slots(row);
        MessageNear near;
        if (count > 0) near = MessageNear(slots);
#pragma unroll 1
        for (int block = 0; block < BLOCKS; block++) {
            int channel = task.channel(block), own_channel = channel + g + t / 2 * 8;
            // What comes from far is asked for early.
            int by_element = tile.batch.element[row] * CHANNELS + own_channel;
            float gate = __ldg(student.gate_vector + by_element), gate_scalar = __ldg(student.gate_scalar + by_element);
            unsigned filter[3][4];
#pragma unroll
            for (int p = 0; p < 3; p++) load_matrices(filter[p], filter_at(tile, p, channel));
            float sum[8] = {};  // (channels g and g + 8, q and v)
#pragma unroll 1
            for (int start = 0; start < count; start += 16) {
                if (block + start > 0 && count > 16) near = MessageNear(slots + start);
                unsigned a[4], b[4], c[4];
                near.load_phi(a, tile.phi() + channel);
                near.load_phi(b, tile.phi() + CHANNELS + channel);
                near.load_phi(c, tile.phi() + 2 * CHANNELS + channel);
                float s[2][4] = {};
#pragma unroll
                for (int n = 0; n < 2; n++) multiply_add(s[n], a, near.by_basis(n));
                add_filtered(sum[0], sum[4], filter[0], s);
#pragma unroll
                for (int axis = 0; axis < 3; axis++) {
                    unsigned v[4];
                    near.load_channels(v, tile.v() + axis * ROWS * STRIDE_F + channel);
#pragma unroll
                    for (int i = 0; i < 4; i++) v[i] = times(c[i], v[i]);
                    float along[2][4] = {}, carried[2][4] = {};
#pragma unroll
                    for (int n = 0; n < 2; n++) {
                        multiply_add(along[n], b, near.by_along(axis, n));
                        multiply_add(carried[n], v, near.by_basis(n));
                    }
                    add_filtered(sum[1 + axis], sum[5 + axis], filter[1], along);
                    add_filtered(sum[1 + axis], sum[5 + axis], filter[2], carried);
                }
            }
            // Over t: lanes 2 and 3 keep channel g + 8, odd ones y and z.
            halve(sum, 8, 2);
            halve(sum, 4, 1);
            auto make = [&](int axis, float sum) {
                int at = (axis * ROWS + row) * STRIDE_F + own_channel;
                made[at] = half_of(fmaf(gate, sum, float_of(tile.v()[at])));
            };
            if (t % 2 == 0) {
                float& q = tile.q()[row * STRIDE_Q + own_channel];
                q = fmaf(gate_scalar, sum[0], q);
                make(0, sum[1]);
            } else {
                make(1, sum[0]);
                make(2, sum[1]);
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
