// Numbers in 16 bits, and the products that tensor cores make of them.
//
//     (16 × 16) · (16 × 8) + (16 × 8) → (16 × 8)      16-bit factors, 32-bit sums
//
// Lane 4g + t of a warp holds, of the sums, rows g and g + 8 in columns 2t and 2t + 1; two
// neighbouring numbers share a word, the first one in its low half.
#pragma once
#include "copies.cuh"

using Half = unsigned short;

struct Pair16 {
    float low, high;
};

#ifdef EMULATED

inline int thread_once() { return threadIdx.x; }
inline unsigned lane_of_warp() { return threadIdx.x % 32; }

inline unsigned two_halves(float low, float high) { return _cvtss_sh(low, 0) | unsigned(_cvtss_sh(high, 0)) << 16; }
inline Pair16 two_floats(unsigned halves) { return {_cvtsh_ss(halves & 0xFFFF), _cvtsh_ss(halves >> 16)}; }
inline Half half_of(float x) { return _cvtss_sh(x, 0); }
inline float float_of(Half x) { return _cvtsh_ss(x); }

inline void load_rows(unsigned (&a)[4], const Half* x, int stride) {
    int lane = threadIdx.x % 32;
    for (int n = 0; n < 4; n++) std::memcpy(&a[n], x + (lane / 4 + n % 2 * 8) * stride + n / 2 * 8 + lane % 4 * 2, 4);
}

inline void multiply_add(float (&sum)[4], const unsigned (&a)[4], uint2 b) { emulator::multiply_add(sum, a, b); }

inline void multiply_add(unsigned (&sum)[2], const unsigned (&a)[4], uint2 b) {
    Pair16 first = two_floats(sum[0]), second = two_floats(sum[1]);
    float wide[4] = {first.low, first.high, second.low, second.high};
    emulator::multiply_add(wide, a, b);
    sum[0] = two_halves(wide[0], wide[1]), sum[1] = two_halves(wide[2], wide[3]);
}

template <int APART>
inline void load_rows_of_eights(unsigned (&a)[4], const Half* x) {
    int lane = threadIdx.x % 32;
    for (int n = 0; n < 4; n++) std::memcpy(&a[n], x + (lane / 4 + n % 2 * 8) * 8 + n / 2 * APART + lane % 4 * 2, 4);
}

inline void load_matrices(unsigned (&a)[4], const Half* row) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    for (int n = 0; n < 4; n++) {
        size_t from = __shfl_sync(0xFFFFFFFFu, size_t(row), 8 * n + g);
        std::memcpy(&a[n], reinterpret_cast<const Half*>(from) + 2 * t, 4);
    }
}

// The first two of four.
inline void load_matrices(unsigned (&a)[2], const Half* row) {
    unsigned four[4];
    load_matrices(four, row);
    a[0] = four[0], a[1] = four[1];
}

inline void load_transposed(unsigned (&a)[4], const Half* row) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    for (int n = 0; n < 4; n++) {
        size_t low = __shfl_sync(0xFFFFFFFFu, size_t(row), 8 * n + 2 * t);
        size_t high = __shfl_sync(0xFFFFFFFFu, size_t(row), 8 * n + 2 * t + 1);
        a[n] = reinterpret_cast<const Half*>(low)[g] | unsigned(reinterpret_cast<const Half*>(high)[g]) << 16;
    }
}

inline void prefetch(const void*) {}

inline unsigned times(unsigned a, unsigned b) {
    Pair16 x = two_floats(a), y = two_floats(b);
    return two_halves(x.low * y.low, x.high * y.high);
}

inline unsigned times_add(unsigned a, unsigned b, unsigned c) {
    Pair16 x = two_floats(a), y = two_floats(b), z = two_floats(c);
    return two_halves(x.low * y.low + z.low, x.high * y.high + z.high);
}

inline unsigned transposed(unsigned two) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    unsigned low = __shfl_sync(0xFFFFFFFFu, two, 8 * t + g / 2), high = __shfl_sync(0xFFFFFFFFu, two, 8 * t + 4 + g / 2);
    return (low >> 16 * (g % 2) & 0xFFFF) | high >> 16 * (g % 2) << 16;
}

#else

// The thread's number.  The compiler asks for `threadIdx` again wherever it is used, and keeps what it makes of it from
// one stage to the next, in local memory, for which the first cache has no room; this one it keeps in a register, and
// makes nothing of it before it is there.
__device__ inline int thread_once() {
    int thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    return thread;
}

// The lane, in a register: that it comes out of a shuffle keeps the compiler from reading the thread's number again,
// which takes longer than many a product, wherever an address needs it.
__device__ inline unsigned lane_of_warp() {
    unsigned lane;
    asm volatile("shfl.sync.idx.b32 %0, %1, %1, 0x1f, 0xffffffff;" : "=r"(lane) : "r"(thread_once() % 32));
    return lane;
}

__device__ inline unsigned two_halves(float low, float high) {
    unsigned halves;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(halves) : "f"(high), "f"(low));
    return halves;
}

__device__ inline Pair16 two_floats(unsigned halves) {
    Pair16 floats;
    asm("{.reg .b16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high;}"
        : "=f"(floats.low), "=f"(floats.high)
        : "r"(halves));
    return floats;
}

__device__ inline Half half_of(float x) {
    Half half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(x));
    return half;
}

__device__ inline float float_of(Half x) {
    float number;
    asm("cvt.f32.f16 %0, %1;" : "=f"(number) : "h"(x));
    return number;
}

// Four matrices of 8 × 8 from shared memory; lane 8n + r points at row r of the n-th, and lane 4g + t
// gets numbers 2t and 2t + 1 of row g of each,
__device__ inline void load_matrices(unsigned (&a)[4], const Half* row) {
    unsigned address = unsigned(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
                 : "r"(address)
                 : "memory");
}

// the same of two matrices, where lanes from 16 on point at nothing,
__device__ inline void load_matrices(unsigned (&a)[2], const Half* row) {
    unsigned address = unsigned(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(a[0]), "=r"(a[1]) : "r"(address) : "memory");
}

// or of column g.
__device__ inline void load_transposed(unsigned (&a)[4], const Half* row) {
    unsigned address = unsigned(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
                 : "r"(address)
                 : "memory");
}

// The left factor of a product: 16 rows of 16 columns from shared memory.
__device__ inline void load_rows(unsigned (&a)[4], const Half* x, int stride) {
    int lane = threadIdx.x % 32;
    load_matrices(a, x + lane % 16 * stride + lane / 16 * 8);
}

// The same where columns come by eights, so many numbers apart, and rows lie side by side in them.
template <int APART>
__device__ inline void load_rows_of_eights(unsigned (&a)[4], const Half* x) {
    int lane = threadIdx.x % 32;
    load_matrices(a, x + lane % 16 * 8 + lane / 16 * APART);
}

// Asks for a line of global memory, which the first cache shall have.
__device__ inline void prefetch(const void* line) { asm volatile("prefetch.global.L1 [%0];" ::"l"(line)); }

// Products of two numbers with two numbers, rounded to 16 bits.
__device__ inline unsigned times(unsigned a, unsigned b) {
    unsigned product;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(product) : "r"(a), "r"(b));
    return product;
}

// and of two numbers more.
__device__ inline unsigned times_add(unsigned a, unsigned b, unsigned c) {
    unsigned sum;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
    return sum;
}

__device__ inline void multiply_add(float (&sum)[4], const unsigned (&a)[4], uint2 b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

// The same with sums of 16 bits, rounded once: rows g and g + 8, a word each.  As they lie, those of two products side by
// side are a left factor.
__device__ inline void multiply_add(unsigned (&sum)[2], const unsigned (&a)[4], uint2 b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0, %1}, {%2, %3, %4, %5}, {%6, %7}, {%0, %1};"
        : "+r"(sum[0]), "+r"(sum[1])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

// Of a matrix of 8 × 8, lane 4g + t has numbers 2t and 2t + 1 of row g; of what returns, of column g.
__device__ inline unsigned transposed(unsigned two) {
    unsigned other;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(other) : "r"(two));
    return other;
}

#endif

constexpr unsigned TWO_ONES = 0x3C003C00;

// A lane's word of a right factor of 8 × 8 that adds up the columns of a left one, into columns c and c + 4.
__device__ inline unsigned into_column(unsigned c, unsigned lane) { return lane / 4 % 4 == c ? TWO_ONES : 0; }
