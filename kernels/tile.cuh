// A tile: whole replicas of up to 128 atoms together, which one block steps by itself.
//
// The tile's state, features and their gradients stay in the block's shared memory for as many steps
// as a launch makes.  Warp w owns channels 8w … 8w + 7 of every row in every product; within the
// warp, lane 4g + t owns rows g and g + 8 of each sixteen and channels 2t and 2t + 1 of the eight.
// So whatever is elementwise between products happens in one thread, and what the backward pass
// needs again a thread writes for itself alone (`Own`).
//
// A large tile, of more than 64 rows, makes what stays in a row part by part, and messages in all of its rows together:
// tile_parts.cu.
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

// Sixteen neighbours of a row and all that the network sees of them.
struct alignas(16) Slots {
    float4 who[16];        // the unit vector from the row to the neighbour; the neighbour's row, and 2¹⁶ times its element
    uint4 basis[16][2];    // B, two in a word; words t and t + 4 lie side by side: a lane needs both for a product
    uint4 slope[16][2];    // B'
    Half unit[4][4][2][2]; // u as a right factor: (column, t, eight, one of neighbours 2t and 2t + 1), columns nothing, x, y, z
};

// Sixteens of rows that a block makes at once, of what stays in a row.  A tile of more is large: its parts take turns.
constexpr int PART = 4, LARGE = 2 * PART;

// Threads that have own words: in a cluster those of two warps that make columns, and of the one that makes tensors.
template <int C>
constexpr int OWN_THREADS = C == 1 ? TILE_THREADS : 3 * WARP;

// What a tile of 16 W rows keeps between stages, an array each; Own is that of a part, if it has parts.
template <int W, int C>
struct Scratch {
    static constexpr int ROWS = 16 * W, M = W > PART ? PART : W;
    static constexpr int OWN = 0, OWN_BYTES = Own<M>::WORDS * OWN_THREADS<C> * 4;      // (W/M, Own::WORDS, threads) words
    static constexpr int V_BEFORE = OWN + W / M * OWN_BYTES;                          // (3, M, F) halves: vectors before the message
    static constexpr int DV_BEFORE = V_BEFORE + (C == 1 ? 3 * ROWS * CHANNELS * 2 : 0);  // (3, M, F) halves: the gradient by them
    static constexpr int SLOTS = DV_BEFORE + 3 * ROWS * CHANNELS * 2;                 // (M, M/16) slots: neighbours of each row, in sixteens
    static constexpr int PARTIAL = SLOTS + ROWS * W * int(sizeof(Slots));             // (M, M) float4: gradients by pairs of the message
    static constexpr int GRADIENT = PARTIAL + ROWS * ROWS * int(sizeof(float4));      // (M, M) float4: dE/dd of a row and its partner, and r;
                                                                                      // at first repulsion's dE/dr
    static constexpr int TABLES = GRADIENT + ROWS * ROWS * int(sizeof(float4));
    // What waits while the other part is in shared memory, with the strides that it has there, and what of the state is
    // not there.
    static constexpr int Q = TABLES;                                                  // (M, F) floats: scalars, then their gradient
    static constexpr int PHI = Q + ROWS * STRIDE_Q * 4;                               // (M, 3F) halves: φ, then its gradient
    static constexpr int VECTORS = PHI + ROWS * STRIDE_PHI * 2;                       // (3, M, F) halves: behind the message, then g' ⊙ dv
    static constexpr int H = VECTORS + 3 * ROWS * STRIDE_F * 2;                       // (M, F) halves: g ⊙ dq
    static constexpr int STATE = H + ROWS * STRIDE_F * 2;
    static constexpr int BYTES = W > PART ? (STATE + (ROWS + 1) * (8 * 30 + 4 * 2) + 15) / 16 * 16 : TABLES;
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

// Rows of a molecule whose pairs a warp works on together, see tile_message_backward.cu.
template <int M>
constexpr int ROWS_TOGETHER = M == 1 ? 1 : 2;

// Where in shared memory what is, for 16 M rows.  Regions that lie side by side serve as one where a
// stage needs much: `phi` and `h` for densities, `h` and `x` for the vectors that a message makes,
// `x` and `q` for the gradients by densities.  Of a large tile it is what messages need of all rows: forward `v` and `phi`,
// backward `v`, `h` and, in `x`, the rows that warps copy; its parts lie in the same place.
template <int M, int C>
struct Regions {
    static constexpr int ROWS = 16 * M;
    static constexpr bool IN_PARTS = M > PART;
    // Vectors that warps copy in the message backward lie in x, and φ where it has no place.
    static constexpr int COPIED_OF_ROW = (IN_PARTS ? 6 : 3) * CHANNELS;
    static constexpr int COPIED = C == 1 && !ON_CHIP<M, C> ? TILE_WARPS * ROWS_TOGETHER<M> * COPIED_OF_ROW * 2 : 0;
    static constexpr int V = 0;
    static constexpr int PHI = V + 3 * ROWS * STRIDE_F * 2;
    static constexpr int BEHIND_PHI = PHI + ROWS * STRIDE_PHI * 2;
    static constexpr int H = IN_PARTS ? PHI : BEHIND_PHI;
    static constexpr int X = H + ROWS * STRIDE_F * 2;
    static constexpr int Q = X + (IN_PARTS || ROWS * STRIDE_X * 2 < COPIED ? COPIED : ROWS * STRIDE_X * 2);
    static constexpr int FILTER = IN_PARTS ? BEHIND_PHI : Q + ROWS * STRIDE_Q * 4;
    static constexpr int STATE = FILTER + RADIAL * 3 * CHANNELS * 2;
    // See lay_out: eight-byte and four-byte numbers for each row or replica.
    static constexpr int EIGHTS = IN_PARTS ? 10 : 39, FOURS = IN_PARTS ? 9 : 11;
    static constexpr int SCRATCH = (STATE + (ROWS + 1) * (8 * EIGHTS + 4 * FOURS) + 15) / 16 * 16;
    // What a cluster has besides: vectors three times more, because a block sends while others read, and its arrivals.
    static constexpr int SECOND = SCRATCH + (ON_CHIP<M, C> ? Scratch<M, C>::BYTES : 0);
    static constexpr int VECTORS = C == 1 ? 0 : 3 * ROWS * STRIDE_F * 2, THIRD = SECOND + VECTORS, FOURTH = THIRD + VECTORS;
    // Columns of a product, and of the next one: sixteen of at most three matrices or of three times F rows.
    static constexpr int COLUMNS = FOURTH + VECTORS, COLUMNS_BYTES = C == 1 ? 0 : 3 * CHANNELS * 16 * 2;
    static constexpr int ARRIVALS = COLUMNS + 2 * COLUMNS_BYTES;
    static constexpr int BYTES = ARRIVALS + (C == 1 ? 0 : 3 * int(sizeof(Arrivals)));
    static_assert(BYTES <= 227 << 10, "a block's shared memory");
    // Halves a row, as many in all tiles: in how many portions densities come is seen in the bits.
    static constexpr int FORWARD_DENSITIES = STRIDE_PHI + STRIDE_F, BACKWARD_DENSITIES = STRIDE_X + 2 * STRIDE_Q;
    static_assert(IN_PARTS || 3 * ROWS * STRIDE_F * 2 <= Q - H, "the vectors that a message makes fit into h and x");
    static_assert(!IN_PARTS || Q <= FILTER, "what the message backward needs of all rows fits beside the filters");
    static_assert(!IN_PARTS || Regions<IN_PARTS ? PART : M, C>::FILTER <= FILTER, "a part leaves the filters where they are");
    static_assert(5 * ROWS * STRIDE_T <= ROWS * STRIDE_PHI, "gradients by tensors fit into phi");
    static_assert(C == 1 || (ON_CHIP<M, C> && M == 1), "a cluster steps a tile of sixteen rows");
    static_assert(C == 1 || (ROWS * STRIDE_PHI * 2 <= VECTORS && ROWS * BACKWARD_DENSITIES * 2 <= 2 * VECTORS && ROWS * STRIDE_X * 2 <= VECTORS), "what a cluster puts in the place of vectors");
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

// The arrays of a tile, or of a part of it.
struct TileArrays {
    unsigned rank;                 // which of C blocks this is
    mutable unsigned exchanges;    // how often they have shared what they made
    mutable unsigned columns_asked, evaluations;
    Batch batch;
    State state, saved;
    Progress progress;
    Conditions conditions;
    unsigned char* scratch;        // as Scratch has it, unless it is ON_CHIP
    int first;                     // row of the tile, of a part
    double* noise;                 // (2, M, 3) the bath's noise of the next steps, even ones and odd ones
    const double* reference_ev;    // (R,)
    double* energy_of_row_ev;      // (M,)
    unsigned long long* adjacent;  // (M,) see AtomSet: the neighbours among the replica's atoms
    int* count;                    // (M,) slots in use, those of a molecule with all its atoms too; none of a replica that has failed
    int* closest;                  // (M,) the first atom that is too close, of those before this one, or −1
};

// 16 M rows of a tile that has 16 W.
template <int M, int C, int W = M>
struct Tile : TileArrays {
    static constexpr int ROWS = 16 * M;

    // The compiler must see that these are shared memory, at fixed places: then an access is one
    // instruction, and nothing else can be meant by it.
    template <class T = Half>
    static __device__ T* at(int place) { return reinterpret_cast<T*>(tile_shared + place); }
    using At = Regions<M, C>;
    using Kept = Scratch<W, C>;
    static constexpr bool ALONE = C == 1, IN_PARTS = M > PART;
    static __device__ Half* v() { return at(At::V); }            // (3, M, F)
    static __device__ Half* phi() { return at(At::PHI); }        // (M, 3F)
    __device__ Half* phi_before() const {                        // the same, when the message's backward pass begins
        if constexpr (IN_PARTS)
            return kept<Half>(Kept::PHI);
        else
            return phi();
    }
    static __device__ Half* h() { return at(At::H); }            // (M, F)
    static __device__ Half* x() { return at(At::X); }            // (M, 2F + T)
    __device__ float* q() const {                                // (M, F)
        if constexpr (IN_PARTS)
            return kept<float>(Kept::Q);
        else
            return at<float>(At::Q);
    }
    static __device__ Half* filter() { return at(At::FILTER); }  // see copy_filter

    // What a block alone puts where it has just read something else, when all its warps are behind a barrier, a cluster
    // puts elsewhere.  Blocks share what they made in one exchange after the other, and nobody sends before its own warps
    // are done: who has the n-th from all others knows that they have read what they read before it, but not that they
    // have read what came with it.  So nothing may be sent where something is read between this exchange and the last.
    __device__ Half* made() const {                                                   // (3, M, F) vectors behind the message,
        if constexpr (IN_PARTS)
            return kept<Half>(Kept::VECTORS);
        else
            return at(ALONE ? At::H : At::SECOND);
    }
    static __device__ Half* v_last() { return at(ALONE ? At::V : At::SECOND); }       // where they stay,
    static __device__ Half* operand() { return at(ALONE ? At::X : At::THIRD); }       // (M, 2F + T) what the last update's gradients begin with
    static __device__ Half* by_u() { return at(ALONE ? At::V : At::SECOND); }         // (3, M, F) gradients by U,
    static __device__ Half* by_v() { return at(ALONE ? At::H : At::THIRD); }          // by V,
    static __device__ Half* dv() { return at(ALONE ? At::V : At::FOURTH); }           // by v, times a gate,
    __device__ Half* by_phi() const { return ALONE ? phi_before() : at(At::SECOND); } // (M, 3F) by φ,
    static __device__ Half* by_density() { return at(ALONE ? At::X : At::SECOND); }   // and by densities

    __device__ Arrivals* arrivals(unsigned which) const { return at<Arrivals>(At::ARRIVALS) + which; }
    __device__ Half* columns(unsigned which) const { return at(At::COLUMNS + which % 2 * At::COLUMNS_BYTES); }

    template <class T>
    __device__ T* kept(int place) const {
        if constexpr (ON_CHIP<M, C>)
            return reinterpret_cast<T*>(tile_shared + At::SCRATCH + place);
        else
            return reinterpret_cast<T*>(scratch + place);
    }
    __device__ int first_row() const { return M == W ? 0 : first; }
    __device__ unsigned* own() const { return kept<unsigned>(Kept::OWN) + first_row() / ROWS * (Kept::OWN_BYTES / 4); }
    // Vectors before the message, and the gradients by them.
    static constexpr int STRIDE_BEFORE = ALONE ? CHANNELS : ROW_F<C>, AXIS_BEFORE = 16 * W * (ALONE ? CHANNELS : STRIDE_F);
    static constexpr int AXIS_BY = 16 * W * CHANNELS;
    __device__ Half* v_before() const { return ALONE ? kept<Half>(Kept::V_BEFORE) + first_row() * CHANNELS : v(); }
    __device__ Half* dv_before() const { return kept<Half>(Kept::DV_BEFORE) + first_row() * CHANNELS; }
    __device__ Slots* slots(int row) const { return kept<Slots>(Kept::SLOTS) + (first_row() + row) * W; }
    __device__ float4* partial(int row, int slot) const { return kept<float4>(Kept::PARTIAL) + (first_row() + row) * 16 * W + slot; }
    // The partner is a row of the whole tile, as slots have it.
    __device__ float4& gradient(int row, int partner) const { return kept<float4>(Kept::GRADIENT)[(first_row() + row) * 16 * W + partner]; }
};

__device__ inline unsigned& word(Half* array, int index) { return *reinterpret_cast<unsigned*>(array + index); }
__device__ inline uint4& eight(Half* array, int index) { return *reinterpret_cast<uint4*>(array + index); }
__device__ inline float2& two(float* array, int index) { return *reinterpret_cast<float2*>(array + index); }
__device__ inline float2 two(const float* array, int index) { return *reinterpret_cast<const float2*>(array + index); }

// In a cluster nothing that is made of it is kept from one stage to the next: there are many more such addresses.
template <int C>
__device__ inline unsigned thread_now() {
    return C == 1 ? threadIdx.x : unsigned(thread_once());
}
