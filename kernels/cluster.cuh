// Blocks of a cluster, which write into each other's shared memory: from compute capability 9.0 on.
//
// A block says how many bytes it waits for, and goes on when that many have arrived.  On an H200 that takes 520 cycles
// and one for each 20 bytes; stores that a barrier of all blocks waits for take 900 and as many.
#pragma once

// How many bytes of what a block waits for have not arrived.  Of two in turn, one is waited for while a block that is
// ahead already sends to the other; it cannot be further ahead, because it waits for this block.
struct alignas(8) Arrivals {
    unsigned long long state;
};

#ifdef EMULATED

using Elsewhere = unsigned char*;
inline unsigned rank_in_cluster() { return emulator::now->rank; }
inline void wait_for_cluster() { emulator::arrive(emulator::cluster_barrier); }
template <class T>
inline Elsewhere in_block(unsigned rank, T* here) {
    return reinterpret_cast<unsigned char*>(here) - emulator::now->shared.data() + emulator::cluster[rank].shared.data();
}
inline void prepare(Arrivals* arrivals) { arrivals->state = 0; }
inline emulator::Count& count_of(void* arrivals) { return *static_cast<emulator::Count*>(arrivals); }
inline void expect(Arrivals* arrivals, int bytes) { count_of(arrivals).add(bytes, true); }
inline void wait_for(Arrivals* arrivals, unsigned phase) {
    while (count_of(arrivals).phase == phase) emulator::take_turns();
}
template <class T>
inline void send(Elsewhere to, T what, Elsewhere arrivals) {
    std::memcpy(to, &what, sizeof what);
    count_of(arrivals).add(-int(sizeof what), false);
}

#else

using Elsewhere = unsigned;

__device__ inline unsigned rank_in_cluster() {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

// All threads of all blocks.
__device__ inline void wait_for_cluster() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// The place in another block's shared memory that has the address of `here` in this one's.
template <class T>
__device__ inline Elsewhere in_block(unsigned rank, T* here) {
    unsigned there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(unsigned(__cvta_generic_to_shared(here))), "r"(rank));
    return there;
}

// By one thread, before anything else; others may use it behind a barrier of the cluster.
__device__ inline void prepare(Arrivals* arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" : : "r"(unsigned(__cvta_generic_to_shared(arrivals))) : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// By one thread, once a phase; some of the bytes may be there.
__device__ inline void expect(Arrivals* arrivals, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 :
                 : "r"(unsigned(__cvta_generic_to_shared(arrivals))), "r"(bytes)
                 : "memory");
}

// Phases are 0 and 1 in turn.  What has arrived is in shared memory, so the threads of a block are all that this must order;
// asked to order what other blocks did, it would empty the first cache each time.
__device__ inline void wait_for(Arrivals* arrivals, unsigned phase) {
    unsigned there;
    do
        asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                     : "=r"(there)
                     : "r"(unsigned(__cvta_generic_to_shared(arrivals))), "r"(phase)
                     : "memory");
    while (!there);
}

__device__ inline void send(Elsewhere to, uint4 what, Elsewhere arrivals) {
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, [%5];"
                 :
                 : "r"(to), "r"(what.x), "r"(what.y), "r"(what.z), "r"(what.w), "r"(arrivals)
                 : "memory");
}
__device__ inline void send(Elsewhere to, uint2 what, Elsewhere arrivals) {
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [%0], {%1, %2}, [%3];"
                 :
                 : "r"(to), "r"(what.x), "r"(what.y), "r"(arrivals)
                 : "memory");
}

#endif
