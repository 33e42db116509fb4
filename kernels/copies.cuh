// Copies from global to shared memory, during which the thread goes on.
#pragma once

#ifdef EMULATED

// As late as a GPU may, which shows who does not wait, or, last threads first, at once, which shows who still reads what is
// there.
inline void copy_sixteen_bytes(void* to, const void* from) {
    if (emulator::backwards()) std::memcpy(to, from, 16);
    else emulator::now->threads[emulator::now->current].copies.push_back({to, from});
}
inline void wait_for_copies() {
    auto& copies = emulator::now->threads[emulator::now->current].copies;
    for (auto [to, from] : copies) std::memcpy(to, from, 16);
    copies.clear();
}

#else

// Both at a multiple of 16 bytes; those of all threads are there after `wait_for_copies` and a barrier.
__device__ inline void copy_sixteen_bytes(void* to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
                 :
                 : "r"(unsigned(__cvta_generic_to_shared(to))), "l"(__cvta_generic_to_global(from))
                 : "memory");
}
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

#endif
