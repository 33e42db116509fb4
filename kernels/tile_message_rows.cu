// How the rows of a message are summed up, forward and backward.
//
//     Σ_j w_p(r_ij) x_j   for parts p of the filters w = B(r) W_f and what neighbours j send, x
//
// A warp has sixteen channels, whose filters it keeps, and goes through rows.  Of a row it makes w for sixteen neighbours
// at once, a product with the radial functions inside; as its sums lie they are left factors with the neighbours inside.
// What neighbours send lies likewise: multiplied by w one by one, products with ones or with u as their right factor add up
// the neighbours, each sum in its column.  Where all rows of a molecule have the same atoms in their slots, what these send
// is read once.
#include "tile_phi.cu"

// A message's channels come in blocks of sixteen.
constexpr int MESSAGE_BLOCKS = CHANNELS / 16;
static_assert(TILE_WARPS == 2 * MESSAGE_BLOCKS, "two warps share the rows of a block of channels");

// W_f in shared memory: of part p and sixteen channels f, four matrices of 8 × 8, rows f and columns k, as they are a left
// factor (f, k) and, each transposed, two right factors of eight functions.
template <int M, int C>
__device__ inline void copy_filter(const Tile<M, C>& tile, const TileStudent& student) {
    for (int n = threadIdx.x; n < 3 * CHANNELS / 16 * WARP; n += TILE_THREADS) {
        const uint2* groups = student.filter.columns + n / WARP * 2 * WARP + n % WARP;
        unsigned* matrices = &word(tile.filter(), n / WARP * 256) + n % WARP;
        matrices[0] = groups[0].x, matrices[WARP] = groups[WARP].x;
        matrices[2 * WARP] = groups[0].y, matrices[3 * WARP] = groups[WARP].y;
    }
}

// The lane's place in part p of W_f for channels f, …, f + 15.
template <int M, int C>
__device__ inline const Half* filter_at(const Tile<M, C>& tile, int p, int f, unsigned lane) {
    return tile.filter() + (p * CHANNELS + f) * RADIAL + lane * 8;
}

// W_f of sixteen channels as left factors, (channels, radial functions).
struct MessageFilters {
    unsigned of[3][4];

    template <int M, int C>
    __device__ MessageFilters(const Tile<M, C>& tile, int block, unsigned lane) {
#pragma unroll
        for (int p = 0; p < 3; p++) load_matrices(of[p], filter_at(tile, p, 16 * block, lane));
    }

    // All parts of w for sixteen neighbours, as left factors (channels, neighbours).
    __device__ void filter(unsigned (&w)[3][4], const uint2 (&basis)[2]) const {
#pragma unroll
        for (int p = 0; p < 3; p++)
#pragma unroll
            for (int n = 0; n < 2; n++) {
                unsigned sum[2] = {};
                multiply_add(sum, of[p], basis[n]);
                w[p][2 * n] = sum[0], w[p][2 * n + 1] = sum[1];
            }
    }
};

// B as a right factor of eight neighbours each, (radial functions, neighbours).
__device__ inline void load_basis(uint2 (&basis)[2], const Slots& slots, unsigned lane) {
    const uint2* words = reinterpret_cast<const uint2*>(slots.basis) + lane;
#pragma unroll
    for (int n = 0; n < 2; n++) basis[n] = words[n * WARP];
}

// What sixteen neighbours are to a row.
template <class Unit>
struct MessageNear {
    int row;  // of the neighbour whose channels the lane points at
    uint2 basis[2];
    Unit unit;
    __device__ void ask(const Slots& slots, unsigned lane) {
        row = row_of(slots, lane / 16 * 8 + lane % 8);
        load_basis(basis, slots, lane);
        unit.ask(slots, lane);
    }
};

// A right factor that adds up neighbours in column c of four, see `into_column`.
__device__ inline uint2 ones_in_column(unsigned c, unsigned lane) { return {into_column(c, lane), into_column(c, lane)}; }

// Adds (w ⊙ x) times a right factor.
__device__ __forceinline__ void add_times(float (&sum)[4], const unsigned (&w)[4], const unsigned (&x)[4], uint2 right) {
    unsigned product[4];
#pragma unroll
    for (int i = 0; i < 4; i++) product[i] = times(w[i], x[i]);
    multiply_add(sum, product, right);
}

// The rows that a warp goes through, and its block of channels.
template <int C>
struct MessageRows {
    int block, first, last;

    // Two warps of a block alone share the rows; a warp of a cluster's block has one of them.
    template <int M>
    __device__ explicit MessageRows(const Tile<M, C>& tile) {
        int warp = thread_once() / WARP, rows = tile.batch.rows, part = warp / MESSAGE_BLOCKS;
        block = C == 1 ? warp % MESSAGE_BLOCKS : tile.rank;
        first = C == 1 ? rows * part / 2 : warp;
        last = C == 1 ? rows * (part + 1) / 2 : min(warp + 1, rows);
    }
};

// Sums of one row or of two: columns 0 … 3, and a fifth one that is in columns 0 and 2, of a second row in 4 and 6.
template <int R>
struct MessageSum {
    float of[R][4] = {}, fifth[4] = {};
};
__device__ inline uint2 ones_for_fifth(int r, unsigned lane) {
    unsigned column = lane / 4, ones = column == 4 * r || column == 4 * r + 2 ? TWO_ONES : 0;
    return {ones, ones};
}

// Where a lane ends up with all sums of a channel: odd lanes with channel g + 8 of sixteen, the others with g; lanes 2 and 3
// of four have the second row.
template <int C>
struct MessageLane {
    unsigned lane;
    int channel, at;  // `at` in an array that a product reads

    __device__ MessageLane(int block, unsigned lane)
        : lane(lane), channel(16 * block + lane % 2 * 8 + lane / 4), at(first_of<C>(16 * block) + lane % 2 * EIGHT<C> + lane / 4) {}

    // The lane's one of `rows` rows, two or one.
    __device__ bool has_row(int rows) const { return rows > 1 || lane % 4 < 2; }
    __device__ int row(int first, int rows) const { return first + (rows > 1 ? lane % 4 / 2 : 0); }

    template <int R>
    __device__ void take(float (&all)[5], const MessageSum<R>& sum) const {
        bool odd = lane % 2, second = R > 1 && lane % 4 >= 2;
#pragma unroll
        for (int n = 0; n < 2; n++) {
            float of[2];
#pragma unroll
            for (int eighth = 0; eighth < 2; eighth++) of[eighth] = second ? sum.of[R - 1][2 * eighth + n] : sum.of[0][2 * eighth + n];
            float here = odd ? of[1] : of[0], there = __shfl_xor_sync(WHOLE_WARP, odd ? of[0] : of[1], 1);
            all[n] = odd ? there : here, all[2 + n] = odd ? here : there;
        }
        all[4] = odd ? sum.fifth[2] : sum.fifth[0];
        // Lanes without a row have read that of others, which will now write it.
        __syncwarp();
    }
};

// All rows of a warp, by Sums: what neighbours send (`Sent`), what they are to a row (`Near`), what `pairs` makes of both,
// what a lane has of a row itself (`Own`), `add` and `finish`.  Of a molecule whose rows have all its atoms in their slots,
// two rows go side by side, so that one need not wait for the other's products.  What comes from far is
// asked for a turn ahead: the assembler lets a load sink to its use wherever it can, but not round a loop.
template <int M, int C, class Sums>
__device__ __forceinline__ void sum_messages(const Tile<M, C>& tile, const Sums& sums, const MessageRows<C>& rows) {
    for (int row = rows.first, behind; row < rows.last; row = behind) {
        int replica = tile.batch.replica[row];
        behind = tile.batch.first_row[replica + 1];
        int atoms = behind - tile.batch.first_row[replica];
        behind = min(behind, rows.last);
        typename Sums::Own own;
        if (C == 1 && (M == 1 || has_all_atoms(atoms))) {
            typename Sums::Sent sent;
            typename Sums::Near near[2];
            auto ask = [&] {
#pragma unroll
                for (int r = 0; r < 2; r++) near[r].ask(*tile.slots(min(row + r, behind - 1)), sums.lane.lane);
            };
            ask();
            sums.ask(own, row, behind - row);
            sent.load(tile, near[0].row, rows.block, sums.lane.lane);
#pragma unroll 1
            do {
                MessageSum<2> sum;
                int now = row;
                row += 2;
                typename Sums::Pairs pairs[2];
#pragma unroll
                for (int r = 0; r < 2; r++) pairs[r] = sums.pairs(sent, near[r]);
                ask();
#pragma unroll
                for (int r = 0; r < 2; r++) sums.add(sum, r, sent, pairs[r]);
                sums.finish(own, sum, now, behind - now);
                if (row < behind) sums.ask(own, row, behind - row);
            } while (row < behind);
        } else {
            typename Sums::Sent sent;
            typename Sums::Near near;
            near.ask(*tile.slots(row), sums.lane.lane);
            sums.ask(own, row, 1);
#pragma unroll 1
            for (; row < behind; row++) {
                int count = tile.count[row], start = 0;
                MessageSum<1> sum;
#pragma unroll 1
                do {
                    sent.load(tile, near.row, rows.block, sums.lane.lane);
                    start += 16;
                    const Slots& next = start < count ? tile.slots(row)[start / 16] : *tile.slots(min(row + 1, behind - 1));
                    typename Sums::Pairs pairs = sums.pairs(sent, near);
                    near.ask(next, sums.lane.lane);
                    sums.add(sum, 0, sent, pairs);
                } while (start < count);
                sums.finish(own, sum, row, 1);
                if (row + 1 < behind) sums.ask(own, row + 1, 1);
            }
        }
    }
}

// What a lane points at to load neighbours' channels, as left factors (channels, neighbours), from an array whose rows
// are `stride` apart.
template <int C>
__device__ inline int at_channels(int row, int stride, unsigned lane) {
    return row * stride + lane / 8 % 2 * EIGHT<C>;
}
