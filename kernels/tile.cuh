// A tile: whole replicas of up to 64 atoms together, which one block steps by itself.
//
// The tile's state, features and their gradients stay in the block's shared memory for as many steps
// as a launch makes.  Warp w owns channels 8w … 8w + 7 of every row in every product; within the
// warp, lane 4g + t owns rows g and g + 8 of each sixteen and channels 2t and 2t + 1 of the eight.
// So whatever is elementwise between products happens in one thread, and what the backward pass
// needs again a thread writes for itself alone (`Own`).
//
// For few replicas a cluster of blocks steps a tile of sixteen rows: block b owns the warps' columns 2b and 2b + 1, and what
// the others need of them it puts into their shared memory (`share`).
//
// Gradients are multiplied by GRADIENT_SCALE until they reach a pair, because numbers of 16 bits have
// only 14 powers of two below one.
#pragma once
#include "arithmetic.cuh"
#include "cluster.cuh"
#include "half.cuh"
#include "integrate.cu"
#include "sizes.cuh"

constexpr int TILE_WARPS = CHANNELS / 8;
constexpr int TILE_THREADS = TILE_WARPS * WARP;
constexpr float GRADIENT_SCALE = 64.0f;
// The second half of the warps shares the T tensor channels, and the readout's, with the first one.
static_assert(2 * TENSOR_CHANNELS == CHANNELS, "a tile's warps share tensor channels by two");

// Strides of rows, in halves: an odd number of 16 bytes, so that eight rows are in different banks.
constexpr int STRIDE_F = CHANNELS + 8;
constexpr int STRIDE_X = 2 * CHANNELS + TENSOR_CHANNELS + 8;
constexpr int STRIDE_PHI = 3 * CHANNELS + 8;
constexpr int STRIDE_T = TENSOR_CHANNELS + 8;
constexpr int STRIDE_Q = CHANNELS + 4;  // of floats

// How a row of 16-bit numbers lies: where the next row begins, and the row's next eight channels.  A cluster puts eight
// channels of sixteen rows side by side: six planes of them (see Planes) are with the other blocks after 1290 cycles,
// and after 2030 where 32 bytes of a row lie together (H200).
template <int C> constexpr int EIGHT = C == 1 ? 8 : 8 * 16;
template <int C> constexpr int ROW_F = C == 1 ? STRIDE_F : 8;
template <int C> constexpr int ROW_X = C == 1 ? STRIDE_X : 8;
template <int C> constexpr int ROW_PHI = C == 1 ? STRIDE_PHI : 8;
template <int C> constexpr int ROW_T = C == 1 ? STRIDE_T : 8;
// A channel that is the first of eight, and all channels, of the row.
template <int C>
__device__ constexpr int first_of(int channel) {
    return C == 1 ? channel : channel / 8 * EIGHT<C>;
}
template <int C> constexpr int ALL_CHANNELS = CHANNELS / 8 * EIGHT<C>;

// A matrix as the lanes of a warp read it: for each eight columns and sixteen rows, two words a lane.
struct Packed {
    const uint2* columns;  // (J/8, I/16, 32)
    int depth;             // I/16

    // The lane's words of column group n.
    __device__ const uint2* group(int n) const { return columns + size_t(n) * depth * WARP + threadIdx.x % WARP; }
};

struct PackedBoth {
    Packed forward, backward;  // W and Wᵀ
};

struct TileDense {
    PackedBoth matrix;
    const float* bias;
};

struct TileUpdate {
    PackedBoth mix;
    TileDense hidden, out;
};

// A student of two layers.
struct TileStudent {
    PackedBoth scalar, vector, tensor;                      // (E K, F), (E K, F), (E K, T)
    const float *embedding, *gate0, *gate1, *gate2;         // (E, F), (E, F), (E, F), (E, T)
    TileUpdate update[2];
    TileDense phi_hidden, phi_out;
    Packed filter;                                          // (K, 3F)
    const float *gate_scalar, *gate_vector;                 // (E, F), (E, F)
    TileDense readout;
    const float *readout_weight, *readout_bias;             // (F/2,), (1,)
    const double *repulsion, *core;                         // (E, E, 3), the core is absent or the same
    const float4* dispersion;                               // (E, E) as Dispersion has it, or absent
    double cutoff_ang;
    float norm_epsilon;
    int elements;
};

// Shared memory whose size the launch gives.
#ifdef EMULATED
#define tile_shared (emulator::now->shared.data())
#else
extern __shared__ __align__(16) unsigned char tile_shared[];
#endif

// Words that a thread keeps for itself, from the forward to the backward pass: it has two rows of each of M sixteens.
template <int M>
struct Own {
    static constexpr int MIXED = 14, FACTORS_OF = 4;
    static constexpr int UV = 0;                                  // U, V and U·V of 2 layers, see MixedWords
    static constexpr int FACTORS = UV + 2 * M * MIXED;            // c and b of 2 layers
    static constexpr int BEFORE = FACTORS + 2 * M * FACTORS_OF;   // before the silu of update 1, update 2 and φ
    static constexpr int TENSOR = BEFORE + 3 * M * 2;             // t, 5 components, of the rows that a half of the warps has
    static __device__ constexpr int uv(int layer, int m) { return UV + (layer * M + m) * MIXED; }
    static __device__ constexpr int factors(int layer, int m) { return FACTORS + (layer * M + m) * FACTORS_OF; }
    static __device__ constexpr int before(int layer, int m) { return BEFORE + (layer * M + m) * 2; }
    static __device__ constexpr int tensor(int i, int component) { return TENSOR + (i * 5 + component) * 2; }
    static constexpr int WORDS = TENSOR + (M + 1) / 2 * 2 * 5;
};

// A neighbour of a row and all that the network sees of it.
struct alignas(16) Slot {
    float unit[3];               // from the row to the neighbour
    unsigned who;                // the neighbour's row, and 2¹⁶ times its element
    unsigned basis[RADIAL / 2];  // B, two in a word; words t and t + 4 lie side by side: a lane needs both for a product
    unsigned slope[RADIAL / 2];  // B'
};

// Threads that have own words: in a cluster those of two warps that make columns, and of the one that makes tensors.
template <int C>
constexpr int OWN_THREADS = C == 1 ? TILE_THREADS : 3 * WARP;

// What a tile keeps between stages, an array each.
template <int M, int C>
struct Scratch {
    static constexpr int ROWS = 16 * M;
    static constexpr int OWN = 0;                                                     // (Own::WORDS, threads) words
    static constexpr int V_BEFORE = OWN + Own<M>::WORDS * OWN_THREADS<C> * 4;         // (3, M, F) halves: vectors before the message
    static constexpr int DV_BEFORE = V_BEFORE + (C == 1 ? 3 * ROWS * CHANNELS * 2 : 0);  // (3, M, F) halves: the gradient by them
    static constexpr int SLOTS = DV_BEFORE + 3 * ROWS * CHANNELS * 2;                 // (M, M) slots: neighbours of each row, in sixteens
    static constexpr int PARTIAL = SLOTS + ROWS * ROWS * int(sizeof(Slot));           // (M, M) float4: gradients by pairs of the message
    static constexpr int GRADIENT = PARTIAL + ROWS * ROWS * int(sizeof(float4));      // (M, M) float4: dE/dd of a row and its partner, and r;
                                                                                      // at first repulsion's dE/dr
    static constexpr int BYTES = GRADIENT + ROWS * ROWS * int(sizeof(float4));
};

// Sixteen rows leave room in shared memory for what larger tiles keep in global memory, where a GPU has
// 227 KiB of it: a step of few replicas waits for memory more than for anything else.
#if defined(EMULATED) || __CUDA_ARCH__ >= 900
template <int M, int C>
constexpr bool ON_CHIP = M == 1;
#else
template <int M, int C>
constexpr bool ON_CHIP = false;
#endif

// Where in shared memory what is, for 16 M rows.  Regions that lie side by side serve as one where a
// stage needs much: `phi` and `h` for densities, `h` and `x` for the vectors that a message makes,
// `x` and `q` for the gradients by densities.
template <int M, int C>
struct Regions {
    static constexpr int ROWS = 16 * M;
    // What rows of more than sixteen neighbours have summed up in the message backward waits in x, five numbers a channel.
    static constexpr int WAITING = M == 1 ? 0 : TILE_WARPS * CHANNELS * 5 * 4;
    static constexpr int V = 0;
    static constexpr int PHI = V + 3 * ROWS * STRIDE_F * 2;
    static constexpr int H = PHI + ROWS * STRIDE_PHI * 2;
    static constexpr int X = H + ROWS * STRIDE_F * 2;
    static constexpr int Q = X + (ROWS * STRIDE_X * 2 > WAITING ? ROWS * STRIDE_X * 2 : WAITING);
    static constexpr int FILTER = Q + ROWS * STRIDE_Q * 4;
    static constexpr int STATE = FILTER + RADIAL * 3 * CHANNELS * 2;
    // See lay_out: eight-byte and four-byte numbers for each row or replica.
    static constexpr int EIGHTS = 39, FOURS = 11;
    static constexpr int SCRATCH = (STATE + (ROWS + 1) * (8 * EIGHTS + 4 * FOURS) + 15) / 16 * 16;
    // What a cluster has besides: vectors three times more, because a block sends while others read, and its arrivals.
    static constexpr int SECOND = SCRATCH + (ON_CHIP<M, C> ? Scratch<M, C>::BYTES : 0);
    static constexpr int VECTORS = C == 1 ? 0 : 3 * ROWS * STRIDE_F * 2, THIRD = SECOND + VECTORS, FOURTH = THIRD + VECTORS;
    // Columns of a product, and of the next one: sixteen of at most three matrices or of three times F rows.
    static constexpr int COLUMNS = FOURTH + VECTORS, COLUMNS_BYTES = C == 1 ? 0 : 3 * CHANNELS * 16 * 2;
    static constexpr int ARRIVALS = COLUMNS + 2 * COLUMNS_BYTES;
    static constexpr int BYTES = ARRIVALS + (C == 1 ? 0 : 3 * int(sizeof(Arrivals)));
    static_assert(BYTES <= 227 << 10, "a block's shared memory");
    // In halves, as many for each row of all tiles: in how many portions densities come is seen in the bits.
    static constexpr int FORWARD_DENSITIES = ROWS * (STRIDE_PHI + STRIDE_F), BACKWARD_DENSITIES = ROWS * (STRIDE_X + 2 * STRIDE_Q);
    static_assert(3 * ROWS * STRIDE_F * 2 <= Q - H, "the vectors that a message makes fit into h and x");
    static_assert(5 * ROWS * STRIDE_T <= ROWS * STRIDE_PHI, "gradients by tensors fit into phi");
    static_assert(C == 1 || (ON_CHIP<M, C> && M == 1), "a cluster steps a tile of sixteen rows");
    static_assert(C == 1 || (ROWS * STRIDE_PHI * 2 <= VECTORS && BACKWARD_DENSITIES * 2 <= 2 * VECTORS && ROWS * STRIDE_X * 2 <= VECTORS), "what a cluster puts in the place of vectors");
};

// Blocks that a multiprocessor steps at once.  Sixteen warps of 128 registers fill it; where a student has fewer
// channels, a block has fewer warps, and two of them go in if its shared memory takes them, with 1 KiB each for
// the system.
#if defined(EMULATED) || __CUDA_ARCH__ >= 900
constexpr int SHARED_BYTES = 228 << 10;
#elif __CUDA_ARCH__ == 800
constexpr int SHARED_BYTES = 164 << 10;
#else
constexpr int SHARED_BYTES = 100 << 10;
#endif
constexpr int BLOCKS_BY_REGISTERS = 512 / TILE_THREADS;
template <int M>
constexpr int BLOCKS_BY_SHARED = SHARED_BYTES / (Regions<M, 1>::BYTES + 1024);
template <int M>
constexpr int BLOCKS_AT_ONCE = BLOCKS_BY_SHARED<M> < 1                     ? 1
                               : BLOCKS_BY_SHARED<M> < BLOCKS_BY_REGISTERS ? BLOCKS_BY_SHARED<M>
                                                                           : BLOCKS_BY_REGISTERS;
// The compiler spills more when it is told of one block than when it is told nothing.
template <int M>
constexpr int BLOCKS_BOUND = BLOCKS_AT_ONCE<M> > 1 ? BLOCKS_AT_ONCE<M> : 0;

// Blocks of a cluster: each has sixteen channels, two warps' columns of every product.  Of a student of 64 channels a block
// makes a step as soon as four of them, 40 µs on an H200: it has none.
#if defined(EMULATED) || __CUDA_ARCH__ >= 900
constexpr int CLUSTER = CHANNELS >= 128 ? CHANNELS / 16 : 0;
#else
constexpr int CLUSTER = 0;
#endif

constexpr int CLUSTER_BLOCKS = CLUSTER > 0 ? CLUSTER : 1;
#if !defined(EMULATED) && __CUDA_ARCH__ >= 900
#define IN_CLUSTERS(blocks) __cluster_dims__(blocks, 1, 1)
#else
#define IN_CLUSTERS(blocks)
#endif

template <int M, int C>
struct Tile {
    static constexpr int ROWS = 16 * M;
    unsigned rank;                 // which of C blocks this is
    mutable unsigned exchanges;    // how often they have shared what they made
    mutable unsigned columns_asked, evaluations;
    Batch batch;
    State state, saved;
    Progress progress;
    Conditions conditions;
    unsigned char* scratch;        // as Scratch has it, unless it is ON_CHIP
    double* noise;                 // (2, M, 3) the bath's noise of the next steps, even ones and odd ones
    const double* reference_ev;    // (R,)
    double* energy_of_row_ev;      // (M,)
    unsigned long long* adjacent;  // (M,) bit b: the replica's atom b is a neighbour
    int* count;                    // (M,) neighbours
    int* closest;                  // (M,) the first atom that is too close, of those before this one, or −1

    // The compiler must see that these are shared memory, at fixed places: then an access is one
    // instruction, and nothing else can be meant by it.
    template <class T = Half>
    static __device__ T* at(int place) { return reinterpret_cast<T*>(tile_shared + place); }
    using At = Regions<M, C>;
    static constexpr bool ALONE = C == 1;
    static __device__ Half* v() { return at(At::V); }            // (3, M, F)
    static __device__ Half* phi() { return at(At::PHI); }        // (M, 3F)
    static __device__ Half* h() { return at(At::H); }            // (M, F)
    static __device__ Half* x() { return at(At::X); }            // (M, 2F + T)
    static __device__ float* q() { return at<float>(At::Q); }    // (M, F)
    static __device__ Half* filter() { return at(At::FILTER); }  // see copy_filter

    // What a block alone puts where it has just read something else, when all its warps are behind a barrier, a cluster
    // puts elsewhere.  Blocks share what they made in one exchange after the other, and nobody sends before its own warps
    // are done: who has the n-th from all others knows that they have read what they read before it, but not that they
    // have read what came with it.  So nothing may be sent where something is read between this exchange and the last.
    static __device__ Half* made() { return at(ALONE ? At::H : At::SECOND); }         // (3, M, F) vectors behind the message,
    static __device__ Half* v_last() { return at(ALONE ? At::V : At::SECOND); }       // where they stay,
    static __device__ Half* operand() { return at(ALONE ? At::X : At::THIRD); }       // (M, 2F + T) what the last update's gradients begin with
    static __device__ Half* by_u() { return at(ALONE ? At::V : At::SECOND); }         // (3, M, F) gradients by U,
    static __device__ Half* by_v() { return at(ALONE ? At::H : At::THIRD); }          // by V,
    static __device__ Half* dv() { return at(ALONE ? At::V : At::FOURTH); }           // by v, times a gate,
    static __device__ Half* by_phi() { return at(ALONE ? At::PHI : At::SECOND); }     // (M, 3F) by φ,
    static __device__ Half* by_density() { return at(ALONE ? At::X : At::SECOND); }   // and by densities

    __device__ Arrivals* arrivals(unsigned which) const { return at<Arrivals>(At::ARRIVALS) + which; }
    __device__ Half* columns(unsigned which) const { return at(At::COLUMNS + which % 2 * At::COLUMNS_BYTES); }

    template <class T>
    __device__ T* kept(int place) const {
        if constexpr (ON_CHIP<M, C>)
            return reinterpret_cast<T*>(tile_shared + Regions<M, C>::SCRATCH + place);
        else
            return reinterpret_cast<T*>(scratch + place);
    }
    // Vectors before the message, and the gradients by them.
    static constexpr int STRIDE_BEFORE = ALONE ? CHANNELS : ROW_F<C>;
    __device__ Half* v_before() const { return ALONE ? kept<Half>(Scratch<M, C>::V_BEFORE) : v(); }
    __device__ Half* dv_before() const { return kept<Half>(Scratch<M, C>::DV_BEFORE); }
    __device__ Slot* slots(int row) const { return kept<Slot>(Scratch<M, C>::SLOTS) + row * ROWS; }
    __device__ float4* partial(int row, int slot) const { return kept<float4>(Scratch<M, C>::PARTIAL) + row * ROWS + slot; }
    __device__ float4& gradient(int row, int partner) const { return kept<float4>(Scratch<M, C>::GRADIENT)[row * ROWS + partner]; }
};

__device__ inline unsigned& word(Half* array, int index) { return *reinterpret_cast<unsigned*>(array + index); }
__device__ inline uint4& eight(Half* array, int index) { return *reinterpret_cast<uint4*>(array + index); }
__device__ inline float2& two(float* array, int index) { return *reinterpret_cast<float2*>(array + index); }
__device__ inline float2 two(const float* array, int index) { return *reinterpret_cast<const float2*>(array + index); }

// The thread's number.  The compiler asks for `threadIdx` again wherever it is used, and keeps what it makes of it from
// one stage to the next, in local memory; this one it keeps in a register, and makes nothing of it before it is there.
__device__ inline int thread_once() {
#ifdef EMULATED
    return threadIdx.x;
#else
    int thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    return thread;
#endif
}

// In a cluster nothing that is made of it is kept from one stage to the next: there are many more such addresses.
template <int C>
__device__ inline unsigned thread_now() {
    return C == 1 ? threadIdx.x : unsigned(thread_once());
}

// ── Sharing ──────────────────────────────────────────────────────────────────────────────────────

// What a block has made of its own channels of a tile of sixteen rows: `count` planes `distance` halves apart, each of so
// many eights of channels.
struct Planes {
    Half* first;
    int count, distance = 0, eights = 2;
};
inline __device__ int halves_a_row() { return 0; }
template <class... Others>
__device__ inline int halves_a_row(const Planes& planes, const Others&... others) {
    return planes.count * planes.eights * 8 + halves_a_row(others...);
}
// The n-th plane of all, and the eights of its rows.
__device__ inline Half* plane(int n, int& eights, const Planes& planes) {
    eights = planes.eights;
    return planes.first + n * planes.distance;
}
template <class... Others>
__device__ inline Half* plane(int n, int& eights, const Planes& planes, const Others&... others) {
    return n < planes.count ? plane(n, eights, planes) : plane(n - planes.count, eights, others...);
}

// Sends planes to all other blocks.  Two warps send to one, every second plane each; a lane sends eight halves of a row.
template <int M, int C, class... Of>
__device__ __forceinline__ void send_planes(const Tile<M, C>& tile, Arrivals* arrivals, const Of&... planes) {
    int thread = thread_once(), warp = thread / WARP, row = thread % 16, eighth = thread / 16 % 2;
    unsigned to = warp % C;
    if (to == tile.rank || row >= tile.batch.rows) return;
    Elsewhere count = in_block(to, arrivals);
#pragma unroll 1
    for (int n = warp / C; n < (0 + ... + planes.count); n += TILE_WARPS / C) {
        int eights;
        Half* here = plane(n, eights, planes...) + eighth * EIGHT<C> + row * 8;
        if (eighth < eights) send(in_block(to, here), eight(here, 0), count);
    }
}
// How many bytes of such planes arrive from all others.
template <int M, int C, class... Of>
__device__ __forceinline__ int bytes_of(const Tile<M, C>& tile, const Of&... planes) {
    return halves_a_row(planes...) * tile.batch.rows * (C - 1) * int(sizeof(Half));
}

// A barrier; in a cluster, of all its blocks, behind which all have what each has made.  `more` bytes of something else
// arrive with it.
template <int M, int C, class... Of>
__device__ __forceinline__ void share_beside(const Tile<M, C>& tile, int more, const Of&... planes) {
    if constexpr (C == 1) {
        __syncthreads();
    } else {
        Arrivals* arrivals = tile.arrivals(tile.exchanges % 2);
        wait_for_copies();
        if (thread_once() == 0) expect(arrivals, bytes_of(tile, planes...) + more);
        __syncthreads();
        send_planes(tile, arrivals, planes...);
        wait_for(arrivals, tile.exchanges++ / 2 % 2);
    }
}
template <int M, int C, class... Of>
__device__ __forceinline__ void share(const Tile<M, C>& tile, const Of&... planes) {
    share_beside(tile, 0, planes...);
}

// A block's own part of vectors; of scalars, side by side, as inputs of a product; of hidden units; and of tensors.
template <int M, int C>
__device__ __forceinline__ Planes vectors(const Tile<M, C>& tile, Half* array) {
    return {array + 2 * tile.rank * EIGHT<C>, 3, 16 * M * STRIDE_F};
}
template <int M, int C>
__device__ __forceinline__ Planes inputs(const Tile<M, C>& tile, Half* array, int count) {
    return {array + 2 * tile.rank * EIGHT<C>, count, ALL_CHANNELS<C>};
}
template <int M, int C>
__device__ __forceinline__ Planes hidden_units(const Tile<M, C>& tile) { return inputs(tile, tile.h(), 1); }
template <int M, int C>
__device__ __forceinline__ Planes tensors(const Tile<M, C>& tile, Half* array, int count) {
    return {array + tile.rank * EIGHT<C>, count, 16 * M * STRIDE_T, 1};
}

// The forward pass's vectors and φ, which the backward pass of the message reads: they arrive while the message and what
// follows it are made, and count by themselves.
template <int M, int C>
__device__ __forceinline__ void share_for_backward(const Tile<M, C>& tile) {
    if constexpr (C > 1) {
        if (thread_once() == 0) expect(tile.arrivals(2), bytes_of(tile, vectors(tile, tile.v()), inputs(tile, tile.phi(), 3)));
        send_planes(tile, tile.arrivals(2), vectors(tile, tile.v()), inputs(tile, tile.phi(), 3));
    }
}
template <int M, int C>
__device__ __forceinline__ void wait_for_forward(const Tile<M, C>& tile) {
    if constexpr (C > 1) wait_for(tile.arrivals(2), tile.evaluations++ % 2);
}

// ── Products ─────────────────────────────────────────────────────────────────────────────────────

// sum[m][n] += rows row_of(m) … + 15 of x times column group n, over `depth` sixteens.
template <int M, int N, class RowOf>
__device__ inline void product(float (&sum)[M][N][4], const Half* x, int stride, RowOf row_of, int depth,
                               const uint2* const (&w)[N]) {
    // Weights come from far: those of the next steps are asked for before this one's are used.
    constexpr int AHEAD = M * N > 8 ? 2 : 4;
    uint2 next[AHEAD][N];
    auto load = [&](int k) {
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int n = 0; n < N; n++)
                if (k + i < depth) next[i][n] = __ldg(w[n] + (k + i) * WARP);
    };
    load(0);
    for (int k = 0; k < depth; k += AHEAD) {
        uint2 now[AHEAD][N];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int n = 0; n < N; n++) now[i][n] = next[i][n];
        load(k + AHEAD);
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            if (k + i >= depth) break;
#pragma unroll
            for (int m = 0; m < M; m++) {
                unsigned a[4];
                load_rows(a, x + row_of(m) * stride + 16 * (k + i), stride);
#pragma unroll
                for (int n = 0; n < N; n++) multiply_add(sum[m][n], a, now[i][n]);
            }
        }
    }
}

// The same of the sixteen rows of a cluster and one group.
template <int C, int DEPTH>
__device__ __forceinline__ void product_of_sixteen(float (&sum)[4], const Half* x, const uint2* w) {
    uint2 columns[DEPTH];
#pragma unroll
    for (int k = 0; k < DEPTH; k++) columns[k] = __ldg(w + k * WARP);
#pragma unroll
    for (int k = 0; k < DEPTH; k++) {
        unsigned a[4];
        load_rows_of_eights<EIGHT<C>>(a, x + 2 * k * EIGHT<C>);
        multiply_add(sum, a, columns[k]);
    }
}

// Columns of a matrix, DEPTH sixteens of rows and N groups of eight, for the warp that owns them: in its registers.
// They come from far, so they are asked for before a barrier and used for all rows after it.  Loads of what
// never changes (`__ldg`) the assembler lets sink below the barrier, others not; nobody else in the block wants these
// columns, so they pass by the first cache.
template <int N, int DEPTH, int C>
struct OwnColumns {
    uint2 in_hand[DEPTH][N];

    template <int M, class GroupOf, class At>
    __device__ OwnColumns(const Tile<M, C>&, const Packed& matrix, GroupOf group_of, const At&) {
#pragma unroll
        for (int n = 0; n < N; n++) {
            const uint2* group = matrix.group(group_of(n));
#pragma unroll
            for (int k = 0; k < DEPTH; k++) in_hand[k][n] = __ldcg(group + k * WARP);
        }
    }

    __device__ uint2 of(int k, int n) const { return in_hand[k][n]; }
};

// In a cluster, where few warps have columns, all threads of a block copy its own to shared memory while the product
// before is made.
template <int M, int C>
__device__ inline Half* columns_asked_for(const Tile<M, C>& tile, int before) {
    return tile.columns(tile.columns_asked - before);
}
// Asks for the next product's: the block's two groups of eight of each of N matrices that lie side by side, and, of
// those behind them, a single one for its tensors.
template <int N, int DEPTH, bool TENSORS = false, int M, int C>
__device__ __forceinline__ void ask_for(const Tile<M, C>& tile, const Packed& matrix) {
    if constexpr (C > 1) {
        constexpr int GROUP = DEPTH * WARP / 2, COUNT = 2 * N * GROUP, ALL = COUNT + (TENSORS ? GROUP : 0);  // of sixteen bytes
        static_assert(ALL * 16 <= Regions<M, C>::COLUMNS_BYTES, "columns of a product");
        tile.columns_asked++;
        Half* to = columns_asked_for(tile, 0);
        const Half* from = reinterpret_cast<const Half*>(matrix.columns);
#pragma unroll 1
        for (int n = thread_once(); n < ALL; n += TILE_THREADS) {
            int group = n < COUNT ? n / (2 * GROUP) * TILE_WARPS + 2 * tile.rank : N * TILE_WARPS + tile.rank;
            copy_sixteen_bytes(to + 8 * n, from + 8 * (group * GROUP + (n < COUNT ? n % (2 * GROUP) : n - COUNT)));
        }
    }
}
template <int N, int DEPTH, int C>
struct CopiedColumns {
    const uint2* mine;

    template <int M, class GroupOf, class At>
    __device__ CopiedColumns(const Tile<M, C>& tile, const Packed&, GroupOf, const At& place)
        : mine(reinterpret_cast<const uint2*>(columns_asked_for(tile, 0)) + place.group_of_block() * DEPTH * WARP + place.lane_of_columns()) {}

    __device__ uint2 of(int k, int n) const { return mine[(2 * n * DEPTH + k) * WARP]; }
};
template <bool ALONE, int N, int DEPTH, int C>
struct ColumnsOf : OwnColumns<N, DEPTH, C> {
    using OwnColumns<N, DEPTH, C>::OwnColumns;
};
template <int N, int DEPTH, int C>
struct ColumnsOf<false, N, DEPTH, C> : CopiedColumns<N, DEPTH, C> {
    using CopiedColumns<N, DEPTH, C>::CopiedColumns;
};

template <int N, int DEPTH, int C>
struct Columns : ColumnsOf<C == 1, N, DEPTH, C> {
    using ColumnsOf<C == 1, N, DEPTH, C>::ColumnsOf;
    using ColumnsOf<C == 1, N, DEPTH, C>::of;

    // sum[n] += sixteen rows of x (see Place::left) times the columns.  Even and odd
    // sixteens are summed apart: a product waits for the one before it in the same sum.
    __device__ void multiply(float (&sum)[N][4], const Half* x) const { multiply(reinterpret_cast<float(&)[1][N][4]>(sum), x, 0); }

    // The same for R sixteens of rows, `distance` numbers apart, which do not wait for each other.
    template <int R>
    __device__ void multiply(float (&sum)[R][N][4], const Half* x, int distance) const {
        float odd[R][N][4] = {};
#pragma unroll
        for (int k = 0; k < DEPTH; k++)
#pragma unroll
            for (int r = 0; r < R; r++) {
                unsigned a[4];
                load_matrices(a, x + r * distance + 2 * k * EIGHT<C>);
#pragma unroll
                for (int n = 0; n < N; n++) multiply_add(k % 2 == 0 ? sum[r][n] : odd[r][n], a, of(k, n));
            }
#pragma unroll
        for (int r = 0; r < R; r++)
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) sum[r][n][i] += odd[r][n][i];
    }
};

// In a cluster, where the thread has its two numbers of a row in the n-th eight channels.
__device__ inline int place_of_eight(int row, int n) { return n * EIGHT<2> + row * 8 + thread_now<2>() % 4 * 2; }

// The place of a thread: its group of eight channels and the first one of its own, and row `half` of sixteen m.
template <int C>
struct Place {
    int thread = thread_once(), warp = thread / WARP, lane = thread % WARP;
    int group, channel;
    __device__ explicit Place(unsigned rank) : group(C == 1 ? warp : 2 * rank + warp % 2), channel(8 * group + 2 * (lane % 4)) {}
    // In a cluster two warps make the block's columns.
    __device__ bool works() const { return C == 1 || warp < 2; }
    __device__ int group_of_block() const { return warp % 2; }
    __device__ int lane_of_columns() const { return lane; }
    __device__ int row(int m, int half) const { return 16 * m + 8 * half + lane / 4; }
    // What the lane loads of the left factor of a product.
    __device__ const Half* left(const Half* x, int stride) const {
        return x + lane % 16 * (C == 1 ? stride : 8) + lane / 16 * EIGHT<C>;
    }
    // Its first number in rows m of an array: what else it has there is at constant distances.
    template <class T>
    __device__ T* at(T* array, int stride, int m) const { return array + row(m, 0) * stride + channel; }
    // The same of an array that a product reads.
    __device__ Half* in(Half* array, int stride, int m) const {
        return C == 1 ? at(array, stride, m) : array + place_of_eight(lane / 4, group);
    }
};

// A thread's own words; in global memory they pass by the first cache, which the slots need.  One T has as many
// slots as it has words, and those of a thread lie side by side in it.
template <int M, int C>
__device__ inline unsigned* slot_of(const Tile<M, C>& tile, int slot) {
    return tile.template kept<unsigned>(Scratch<M, C>::OWN) + slot * OWN_THREADS<C>;
}
template <class T, int M, int C>
__device__ inline T fetch(const unsigned* slot) {
    const T* own = reinterpret_cast<const T*>(slot) + thread_now<C>();
    if constexpr (ON_CHIP<M, C>)
        return *own;
    else
        return __ldcg(own);
}
template <class T, int M, int C>
__device__ inline void keep_one(unsigned* slot, T kept) {
    T* own = reinterpret_cast<T*>(slot) + thread_now<C>();
    if constexpr (ON_CHIP<M, C>)
        *own = kept;
    else
        __stcg(own, kept);
}
// Words by fours, what remains by two: to be asked for before a product and used after it, because they come from
// far.  Of words kept together the first ones may be asked for alone, by fours.
template <int M, int C, int COUNT>
__device__ inline void fetch(unsigned (&words)[COUNT], const Tile<M, C>& tile, int first_slot) {
    static_assert(COUNT % 2 == 0, "words go by two");
    const unsigned* first = slot_of(tile, first_slot);
#pragma unroll
    for (int n = 0; n < COUNT / 4; n++) {
        uint4 four = fetch<uint4, M, C>(first + 4 * n * OWN_THREADS<C>);
        words[4 * n] = four.x, words[4 * n + 1] = four.y, words[4 * n + 2] = four.z, words[4 * n + 3] = four.w;
    }
    if constexpr (COUNT % 4 == 2) {
        uint2 two = fetch<uint2, M, C>(first + (COUNT - 2) * OWN_THREADS<C>);
        words[COUNT - 2] = two.x, words[COUNT - 1] = two.y;
    }
}
template <int M, int C, int COUNT>
__device__ inline void keep(const Tile<M, C>& tile, int first_slot, const unsigned (&words)[COUNT]) {
    static_assert(COUNT % 2 == 0, "words go by two");
    unsigned* first = slot_of(tile, first_slot);
#pragma unroll
    for (int n = 0; n < COUNT / 4; n++)
        keep_one<uint4, M, C>(first + 4 * n * OWN_THREADS<C>, {words[4 * n], words[4 * n + 1], words[4 * n + 2], words[4 * n + 3]});
    if constexpr (COUNT % 4 == 2) keep_one<uint2, M, C>(first + (COUNT - 2) * OWN_THREADS<C>, {words[COUNT - 2], words[COUNT - 1]});
}

// Adds up each of x between lanes that differ in `bit`; those without it keep the first half of the
// sums, those with it the second.
template <int COUNT>
__device__ inline void halve(float (&x)[COUNT], int count, int bit) {
    bool second = threadIdx.x & bit;
#pragma unroll
    for (int n = 0; n < COUNT / 2; n++) {
        if (n >= count / 2) break;
        float kept = second ? x[n + count / 2] : x[n], sent = second ? x[n] : x[n + count / 2];
        x[n] = kept + __shfl_xor_sync(WHOLE_WARP, sent, bit);
    }
}

// Functions of the GPU's own unit: relative errors of 2⁻²² are far below those of 16 bits.  What is below 2⁻¹²⁶ counts
// as zero, which saves half of the instructions.
#ifdef EMULATED
inline float fast_exp2(float x) { return exp2f(x); }
inline float fast_reciprocal(float x) { return 1.0f / x; }
inline float fast_root(float x) { return sqrtf(x); }
inline float fast_inverse_root(float x) { return 1.0f / sqrtf(x); }
#else
__device__ inline float fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
__device__ inline float fast_reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
__device__ inline float fast_root(float x) {
    float y;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
__device__ inline float fast_inverse_root(float x) {
    float y;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#endif

// 1/(1 + e⁻ˣ)
__device__ inline float logistic(float x) { return fast_reciprocal(1.0f + fast_exp2(-1.44269504f * x)); }
__device__ inline float tile_silu(float x) { return x * logistic(x); }
__device__ inline float tile_silu_slope(float x) {
    float s = logistic(x);
    return s * fmaf(x, 1.0f - s, 1.0f);
}
