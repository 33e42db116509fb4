// CUDA C++ as plain C++: enough of the language for kernels.cu to run on the host.
//
// A block's threads are coroutines of one host thread that take turns at barriers and warp
// operations only, so every index, formula and rounding is that of the kernels' own source.  Which
// thread goes first must not matter: with EMULATOR_BACKWARDS in the environment the last one and
// the last block do, and a result that changes has found a missing barrier.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include <immintrin.h>

#define EMULATED

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)
#define __restrict__
#define __forceinline__ inline

struct alignas(8) float2 { float x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct double2 { double x, y; };
struct double3 { double x, y, z; };
struct uint4 { unsigned x, y, z, w; };
struct dim3 { unsigned x, y, z; };

inline float __uint_as_float(unsigned x) { float y; std::memcpy(&y, &x, 4); return y; }
inline unsigned __float_as_uint(float x) { unsigned y; std::memcpy(&y, &x, 4); return y; }
inline double __longlong_as_double(long long x) { double y; std::memcpy(&y, &x, 8); return y; }
inline long long __double_as_longlong(double x) { long long y; std::memcpy(&y, &x, 8); return y; }
inline int __ffs(unsigned x) { return __builtin_ffs(int(x)); }
inline int __ffsll(unsigned long long x) { return __builtin_ffsll((long long)x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
template <class T> inline T min(T a, T b) { return b < a ? b : a; }
template <class T> inline T max(T a, T b) { return a < b ? b : a; }
template <class T> inline T __ldg(const T* x) { return *x; }
template <class T> inline T __ldcg(const T* x) { return *x; }
template <class T> inline void __stcg(T* x, T y) { *x = y; }
inline float __fdividef(float x, float y) { return x / y; }
inline float __expf(float x) { return std::exp(x); }
inline float sinpif(float x) { return float(std::sin(3.14159265358979323846 * x)); }
inline float cospif(float x) { return float(std::cos(3.14159265358979323846 * x)); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline long long clock64() { return 0; }
using std::floor;
using std::fma;
using std::sqrt;

namespace emulator {

constexpr int WARP_LANES = 32;
constexpr size_t STACK_BYTES = 64 << 10;

// Leaves one stack for another: what a call must preserve (System V, x86-64) is pushed on the old one and popped
// from the new one.  The library's swapcontext would ask the kernel about signals each time.
asm(R"(
.text
.local change_stack
change_stack:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
)");
extern "C" void change_stack(void** from, void* to);

struct Barrier {
    int members = 0, arrived = 0;
    unsigned generation = 0;
};

struct Thread {
    void* top;
    dim3 index;
    bool done = false;
    std::vector<std::pair<void*, const void*>> copies = {};  // under way, of sixteen bytes each (copies.cuh)
    std::vector<char> stack = std::vector<char>(STACK_BYTES);
};

struct Warp {
    Barrier barrier;
    uint64_t slots[WARP_LANES];
    struct { float a[16][16], b[16][8]; } shown;  // factors of a product
};

// Shared memory whose size a launch gives: the most there is.
constexpr size_t SHARED_BYTES = 227 << 10;

struct Block {
    dim3 index, block, grid;
    unsigned rank = 0;  // in its cluster
    std::vector<unsigned char> shared = std::vector<unsigned char>(SHARED_BYTES, 0xFF);
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    Barrier barrier;
    void* scheduler;
    size_t current = 0;
    const std::function<void()>* body = nullptr;
};

inline Block* now = nullptr;
// The blocks that run at once: a cluster, which is mostly one.
inline std::vector<Block> cluster;
inline Barrier cluster_barrier;

// Bytes that a block waits for (cluster.cuh): a phase ends when it is known how many there are and all have come.
struct Count {
    int missing;
    unsigned short known, phase;

    void add(int bytes, bool all_known) {
        missing += bytes;
        known |= all_known;
        if (known && missing == 0) known = 0, phase ^= 1;
    }
};

inline void take_turns() { change_stack(&now->threads[now->current].top, now->scheduler); }

// Waits for all members that have not ended; those that end leave the barrier (see run).
inline void arrive(Barrier& barrier) {
    unsigned generation = barrier.generation;
    barrier.arrived++;
    while (barrier.generation == generation) {
        if (barrier.arrived >= barrier.members) {
            barrier.arrived = 0;
            barrier.generation++;
        } else {
            take_turns();
        }
    }
}

inline Warp& warp() { return now->warps[now->current / WARP_LANES]; }

// Every lane gives a value and gets all of them.
template <class Number, class Result>
Result exchange(Number x, Result (*read)(const Warp&, int, int), int argument) {
    int lane = now->current % WARP_LANES;
    Warp& mine = warp();
    uint64_t bits = 0;
    std::memcpy(&bits, &x, sizeof x);
    mine.slots[lane] = bits;
    arrive(mine.barrier);
    Result result = read(mine, lane, argument);
    arrive(mine.barrier);
    return result;
}

// A warp's product of 16-bit factors (half.cuh): every lane shows its part of both, then makes four sums.
inline void multiply_add(float (&sum)[4], const unsigned (&a)[4], uint2 b) {
    auto& shown = warp().shown;
    int lane = now->current % WARP_LANES, g = lane / 4, t = lane % 4 * 2;
    auto low = [](unsigned x) { return _cvtsh_ss(x & 0xFFFF); };
    auto high = [](unsigned x) { return _cvtsh_ss(x >> 16); };
    for (int n = 0; n < 4; n++) {
        float* row = shown.a[g + n % 2 * 8] + n / 2 * 8 + t;
        row[0] = low(a[n]), row[1] = high(a[n]);
    }
    shown.b[t][g] = low(b.x), shown.b[t + 1][g] = high(b.x);
    shown.b[t + 8][g] = low(b.y), shown.b[t + 9][g] = high(b.y);
    arrive(warp().barrier);
    for (int k = 0; k < 16; k++)
        for (int n = 0; n < 4; n++) sum[n] += shown.a[g + n / 2 * 8][k] * shown.b[k][t + n % 2];
    arrive(warp().barrier);
}

inline void entry() {
    (*now->body)();
    now->threads[now->current].done = true;
    take_turns();
}

inline bool backwards() {
    static const bool asked = std::getenv("EMULATOR_BACKWARDS");
    return asked;
}

// Runs a cluster's blocks to their end.
inline void run(const std::function<void()>& body) {
    size_t count = cluster[0].threads.size(), left = count * cluster.size();
    cluster_barrier = {int(left), 0, 0};
    for (Block& block : cluster) {
        block.body = &body;
        block.barrier = {int(count), 0, 0};
        for (size_t w = 0; w < block.warps.size(); w++) {
            size_t lanes = std::min<size_t>(WARP_LANES, count - w * WARP_LANES);
            block.warps[w].barrier = {int(lanes), 0, 0};
        }
        for (auto& thread : block.threads) {
            // Six registers of no importance, then where the first change returns to; calls expect 8 modulo 16.
            thread.done = false;
            thread.copies.clear();
            auto end = reinterpret_cast<uintptr_t>(thread.stack.data() + thread.stack.size()) / 16 * 16;
            auto top = reinterpret_cast<void**>(end) - 8;
            top[6] = reinterpret_cast<void*>(&entry);
            thread.top = top;
        }
    }
    while (left > 0) {
        for (size_t turn = 0; turn < count * cluster.size(); turn++) {
            size_t of_all = backwards() ? count * cluster.size() - 1 - turn : turn, t = of_all % count;
            Block& block = cluster[of_all / count];
            if (block.threads[t].done) continue;
            now = &block;
            block.current = t;
            change_stack(&block.scheduler, block.threads[t].top);
            if (!block.threads[t].done) continue;
            left--;
            cluster_barrier.members--;
            block.barrier.members--;
            block.warps[t / WARP_LANES].barrier.members--;
        }
    }
}

// Runs a grid, cluster after cluster; host threads that launch at once wait for each other.
inline void launch(dim3 grid, dim3 block_size, unsigned blocks_of_cluster, const std::function<void()>& body) {
    static std::mutex one_at_a_time;
    std::lock_guard<std::mutex> lock(one_at_a_time);
    size_t count = size_t(block_size.x) * block_size.y * block_size.z;
    cluster.resize(blocks_of_cluster);
    for (unsigned rank = 0; rank < blocks_of_cluster; rank++) {
        Block& block = cluster[rank];
        block.rank = rank;
        block.threads.resize(count);
        block.warps.resize((count + WARP_LANES - 1) / WARP_LANES);
        block.block = block_size;
        block.grid = grid;
        for (size_t t = 0; t < count; t++) block.threads[t].index = {unsigned(t), 0, 0};
    }
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x += blocks_of_cluster) {
                unsigned first = backwards() ? grid.x - blocks_of_cluster - x : x;
                for (Block& block : cluster) block.index = {first + block.rank, y, z};
                run(body);
            }
}

}  // namespace emulator

#define threadIdx (emulator::now->threads[emulator::now->current].index)
#define blockIdx (emulator::now->index)
#define blockDim (emulator::now->block)
#define gridDim (emulator::now->grid)

inline void __syncthreads() { emulator::arrive(emulator::now->barrier); }
inline void __syncwarp() { emulator::arrive(emulator::warp().barrier); }

template <class Number>
Number __shfl_xor_sync(unsigned, Number x, int mask) {
    return emulator::exchange<Number, Number>(
        x,
        [](const emulator::Warp& warp, int lane, int mask) {
            Number y;
            std::memcpy(&y, &warp.slots[lane ^ mask], sizeof y);
            return y;
        },
        mask);
}

template <class Number>
Number __shfl_sync(unsigned, Number x, int from) {
    return emulator::exchange<Number, Number>(
        x,
        [](const emulator::Warp& warp, int, int from) {
            Number y;
            std::memcpy(&y, &warp.slots[from], sizeof y);
            return y;
        },
        from);
}

inline unsigned __reduce_or_sync(unsigned, unsigned x) {
    for (int distance = 16; distance > 0; distance /= 2) x |= __shfl_xor_sync(0xFFFFFFFFu, x, distance);
    return x;
}

inline unsigned __ballot_sync(unsigned, bool x) {
    return emulator::exchange<uint64_t, unsigned>(
        x,
        [](const emulator::Warp& warp, int, int) {
            unsigned lanes = 0;
            for (int lane = 0; lane < emulator::WARP_LANES; lane++) lanes |= unsigned(warp.slots[lane] & 1) << lane;
            return lanes;
        },
        0);
}
