// What the blocks of a cluster make, put where all of them have it.
#pragma once
#include "tile.cuh"

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
template <int M, int C, int W, class... Of>
__device__ __forceinline__ void send_planes(const Tile<M, C, W>& tile, Arrivals* arrivals, const Of&... planes) {
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
template <int M, int C, int W, class... Of>
__device__ __forceinline__ int bytes_of(const Tile<M, C, W>& tile, const Of&... planes) {
    return halves_a_row(planes...) * tile.batch.rows * (C - 1) * int(sizeof(Half));
}

// A barrier; in a cluster, of all its blocks, behind which all have what each has made.  `more` bytes of something else
// arrive with it.
template <int M, int C, int W, class... Of>
__device__ __forceinline__ void share_beside(const Tile<M, C, W>& tile, int more, const Of&... planes) {
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
template <int M, int C, int W, class... Of>
__device__ __forceinline__ void share(const Tile<M, C, W>& tile, const Of&... planes) {
    share_beside(tile, 0, planes...);
}

// A block's own part of vectors; of scalars, side by side, as inputs of a product; of hidden units; and of tensors.
template <int M, int C, int W>
__device__ __forceinline__ Planes vectors(const Tile<M, C, W>& tile, Half* array) {
    return {array + 2 * tile.rank * EIGHT<C>, 3, 16 * M * STRIDE_F};
}
template <int M, int C, int W>
__device__ __forceinline__ Planes inputs(const Tile<M, C, W>& tile, Half* array, int count) {
    return {array + 2 * tile.rank * EIGHT<C>, count, ALL_CHANNELS<C>};
}
template <int M, int C, int W>
__device__ __forceinline__ Planes hidden_units(const Tile<M, C, W>& tile) { return inputs(tile, tile.h(), 1); }
template <int M, int C, int W>
__device__ __forceinline__ Planes tensors(const Tile<M, C, W>& tile, Half* array, int count) {
    return {array + tile.rank * EIGHT<C>, count, 16 * M * STRIDE_T, 1};
}

// The forward pass's vectors and φ, which the backward pass of the message reads: they arrive while the message and what
// follows it are made, and count by themselves.
template <int M, int C, int W>
__device__ __forceinline__ void share_for_backward(const Tile<M, C, W>& tile) {
    if constexpr (C > 1) {
        if (thread_once() == 0) expect(tile.arrivals(2), bytes_of(tile, vectors(tile, tile.v()), inputs(tile, tile.phi(), 3)));
        send_planes(tile, tile.arrivals(2), vectors(tile, tile.v()), inputs(tile, tile.phi(), 3));
    }
}
template <int M, int C, int W>
__device__ __forceinline__ void wait_for_forward(const Tile<M, C, W>& tile) {
    if constexpr (C > 1) wait_for(tile.arrivals(2), tile.evaluations++ % 2);
}
