// A large tile: 65 to 128 rows, whose features are more than a block's shared memory holds at once.
//
// What stays in a row (densities, updates, message networks, readout and their backward passes) is made part by part, 64
// rows each, by the functions of smaller tiles; what the other part has meanwhile waits in global memory.  Messages go from
// rows to rows: for them shared memory holds what all rows send, 217 kB of φ and vectors forward, and they leave what they
// make in global memory.  Sums run in the order of smaller tiles, so a row's bits are the same.
//
//     pairs, { density, update 1, φ }, message, { update 2, readout, update 2⁻ }, message⁻, { φ⁻, update 1⁻, density⁻ }, forces
//
// where what is in braces each part does.  Some 1.2 MB a step go in and out for it.
#pragma once
#include "tile_readout.cu"
#include "tile_stopwatch.cuh"

using LargeTile = Tile<LARGE, 1>;
using TilePart = Tile<PART, 1, LARGE>;

// The rows of a tile from `first` on.
__device__ __forceinline__ TilePart part_of(const LargeTile& tile, int first) {
    TilePart part;
    static_cast<TileArrays&>(part) = tile;
    part.first = first;
    part.batch.rows = min(16 * PART, tile.batch.rows - first);
    part.batch.element += first;
    part.energy_of_row_ev += first;
    part.count += first;
    return part;
}

// Rows of an array, and where the next one and the next axis' begin, in halves.
struct Rows {
    Half* first;
    int stride, axis = 0;

    __device__ Half* at(int row, int of_axis, int eighth) const { return first + of_axis * axis + row * stride + eighth * 8; }
};

// Rows of WIDTH halves from global to shared memory; the thread goes on (`wait_for_copies`).
template <int WIDTH, int AXES = 1>
__device__ __forceinline__ void fetch_rows(const Rows& to, const Rows& from, int rows) {
    constexpr int EIGHTS = WIDTH / 8;
    for (int axis = 0; axis < AXES; axis++)
#pragma unroll 1
        for (int n = thread_once(); n < rows * EIGHTS; n += TILE_THREADS)
            copy_sixteen_bytes(to.at(n / EIGHTS, axis, n % EIGHTS), from.at(n / EIGHTS, axis, n % EIGHTS));
}

// The same the other way.
template <int WIDTH, int AXES = 1>
__device__ __forceinline__ void put_rows(const Rows& to, const Rows& from, int rows) {
    constexpr int EIGHTS = WIDTH / 8;
    for (int axis = 0; axis < AXES; axis++)
#pragma unroll 1
        for (int n = thread_once(); n < rows * EIGHTS; n += TILE_THREADS)
            eight(to.at(n / EIGHTS, axis, n % EIGHTS), 0) = eight(from.at(n / EIGHTS, axis, n % EIGHTS), 0);
}

// Where what a part has in shared memory waits for its turn.
struct Waiting {
    Rows q, phi, v_before, vectors, h;

    template <int M>
    __device__ explicit Waiting(const Tile<M, 1, LARGE>& part, int first = 0)
        : q{part.template kept<Half>(LargeTile::Kept::Q) + first * 2 * STRIDE_Q, 2 * STRIDE_Q},
          phi{part.template kept<Half>(LargeTile::Kept::PHI) + first * STRIDE_PHI, STRIDE_PHI},
          v_before{part.v_before(), CHANNELS, LargeTile::AXIS_BEFORE},
          vectors{part.template kept<Half>(LargeTile::Kept::VECTORS) + first * STRIDE_F, STRIDE_F, LargeTile::ROWS * STRIDE_F},
          h{part.template kept<Half>(LargeTile::Kept::H) + first * STRIDE_F, STRIDE_F} {}
};
template <int M>
__device__ __forceinline__ Rows scalars_of(const Tile<M, 1, LARGE>& part) { return {reinterpret_cast<Half*>(part.q()), 2 * STRIDE_Q}; }
template <int M>
__device__ __forceinline__ Rows vectors_of(const Tile<M, 1, LARGE>& part) { return {part.v(), STRIDE_F, 16 * M * STRIDE_F}; }

// Up to the message, whose senders' φ and vectors are in shared memory when this returns.
__device__ __forceinline__ void parts_before_message(const LargeTile& tile, const TileStudent& student, Stopwatch& watch) {
#pragma unroll 1
    for (int first = 0; first < tile.batch.rows; first += TilePart::ROWS) {
        TilePart part = part_of(tile, first);
        tile_density(part, student);
        watch.lap(STAGE_DENSITY);
        tile_update<PART, 1, 0>(part, student);
        watch.lap(STAGE_UPDATE_1);
        tile_phi(part, student);
        Waiting waiting(part, first);
        put_rows<2 * CHANNELS>(waiting.q, scalars_of(part), part.batch.rows);
        // One more, if there is one: warps copy two rows, of which the last may be nobody's.
        int even = (part.batch.rows + 1) / 2 * 2;
        put_rows<3 * CHANNELS>(waiting.phi, {part.phi(), STRIDE_PHI}, even);
        put_rows<CHANNELS, 3>(waiting.v_before, vectors_of(part), even);
        __syncthreads();
        watch.lap(STAGE_PHI);
    }
    Waiting waiting(tile);
    fetch_rows<3 * CHANNELS>({tile.phi(), STRIDE_PHI}, waiting.phi, tile.batch.rows);
    fetch_rows<CHANNELS, 3>(vectors_of(tile), waiting.v_before, tile.batch.rows);
    wait_for_copies();
    __syncthreads();
}

// Between the messages, whose gradients are in shared memory when this returns.
__device__ __forceinline__ void parts_between_messages(const LargeTile& tile, const TileStudent& student, Stopwatch& watch) {
#pragma unroll 1
    for (int first = 0; first < tile.batch.rows; first += TilePart::ROWS) {
        TilePart part = part_of(tile, first);
        Waiting waiting(part, first);
        fetch_rows<2 * CHANNELS>(scalars_of(part), waiting.q, part.batch.rows);
        fetch_rows<CHANNELS, 3>(vectors_of(part), waiting.vectors, part.batch.rows);
        // The update begins with a barrier.
        wait_for_copies();
        tile_update<PART, 1, 1>(part, student);
        watch.lap(STAGE_UPDATE_2);
        tile_readout(part, student);
        watch.lap(STAGE_READOUT);
        tile_update_backward<PART, 1, 1>(part, student);
        put_rows<2 * CHANNELS>(waiting.q, scalars_of(part), part.batch.rows);
        put_rows<CHANNELS>(waiting.h, {part.h(), STRIDE_F}, part.batch.rows);
        put_rows<CHANNELS, 3>(waiting.vectors, vectors_of(part), part.batch.rows);
        __syncthreads();
        watch.lap(STAGE_UPDATE_2_BACKWARD);
    }
    Waiting waiting(tile);
    fetch_rows<CHANNELS>({tile.h(), STRIDE_F}, waiting.h, tile.batch.rows);
    fetch_rows<CHANNELS, 3>(vectors_of(tile), waiting.vectors, tile.batch.rows);
    wait_for_copies();
    __syncthreads();
}

// From the message's gradients on to those by pairs.
__device__ __forceinline__ void parts_after_message(const LargeTile& tile, const TileStudent& student, Stopwatch& watch) {
#pragma unroll 1
    for (int first = 0; first < tile.batch.rows; first += TilePart::ROWS) {
        TilePart part = part_of(tile, first);
        Waiting waiting(part, first);
        fetch_rows<2 * CHANNELS>(scalars_of(part), waiting.q, part.batch.rows);
        fetch_rows<3 * CHANNELS>({part.phi(), STRIDE_PHI}, waiting.phi, part.batch.rows);
        // The message network begins with a barrier.
        wait_for_copies();
        tile_phi_backward(part, student);
        watch.lap(STAGE_PHI_BACKWARD);
        tile_update_backward<PART, 1, 0>(part, student);
        watch.lap(STAGE_UPDATE_1_BACKWARD);
        tile_density_backward(part, student);
        watch.lap(STAGE_DENSITY_BACKWARD);
    }
}
