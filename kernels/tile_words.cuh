// A thread's place in a tile, the words that it keeps for itself, and what it does with numbers.
#pragma once
#include "tile_products.cuh"

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
template <int M, int C, int W>
__device__ inline unsigned* slot_of(const Tile<M, C, W>& tile, int slot) {
    return tile.own() + slot * OWN_THREADS<C>;
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
template <int M, int C, int COUNT, int W>
__device__ inline void fetch(unsigned (&words)[COUNT], const Tile<M, C, W>& tile, int first_slot) {
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
template <int M, int C, int COUNT, int W>
__device__ inline void keep(const Tile<M, C, W>& tile, int first_slot, const unsigned (&words)[COUNT]) {
    static_assert(COUNT % 2 == 0, "words go by two");
    unsigned* first = slot_of(tile, first_slot);
#pragma unroll
    for (int n = 0; n < COUNT / 4; n++)
        keep_one<uint4, M, C>(first + 4 * n * OWN_THREADS<C>, {words[4 * n], words[4 * n + 1], words[4 * n + 2], words[4 * n + 3]});
    if constexpr (COUNT % 4 == 2) keep_one<uint2, M, C>(first + (COUNT - 2) * OWN_THREADS<C>, {words[COUNT - 2], words[COUNT - 1]});
}

// Adds up each of the first `count` numbers x between lanes that differ in `bit`; those without it keep the first half of
// the sums, those with it the second.
template <int COUNT>
__device__ inline void halve(float (&x)[COUNT], int count, unsigned lane, unsigned bit) {
    bool second = lane & bit;
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
