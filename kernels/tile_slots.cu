// The neighbours of a tile's rows, in sixteens, as the network's products read them.
#pragma once
#include "tile_words.cuh"

static_assert(RADIAL == 16, "a slot's radial functions are two times sixteen bytes");

// B or B' of a slot, two numbers a word, as they lie there.
struct SlotWords {
    uint4 first = {}, second = {};

    SlotWords() = default;
    __device__ explicit SlotWords(const float (&x)[RADIAL]) {
        auto word = [&](int n) { return two_halves(x[2 * n], x[2 * n + 1]); };
        first = {word(0), word(4), word(1), word(5)};
        second = {word(2), word(6), word(3), word(7)};
    }
};

__device__ inline void write_slot(Slot& slot, const float (&unit)[3], int row, int element, const SlotWords& basis,
                                  const SlotWords& slope) {
    uint4* words = reinterpret_cast<uint4*>(&slot);
    unsigned who = unsigned(row) | unsigned(element) << 16;
    words[0] = {__float_as_uint(unit[0]), __float_as_uint(unit[1]), __float_as_uint(unit[2]), who};
    words[1] = basis.first, words[2] = basis.second;
    words[3] = slope.first, words[4] = slope.second;
}

// What a lane sees of sixteen neighbours: those numbered g and g + 8.
struct Sixteen {
    float u[2][3] = {};
    int row[2] = {}, element[2] = {};
    unsigned basis[4] = {};  // as the left factor of a product

    Sixteen() = default;
    __device__ explicit Sixteen(const Slot* slots) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const Slot& slot = slots[8 * half + threadIdx.x % WARP / 4];
            float4 first = *reinterpret_cast<const float4*>(slot.unit);
            u[half][0] = first.x, u[half][1] = first.y, u[half][2] = first.z;
            unsigned who = __float_as_uint(first.w);
            row[half] = who & 0xFFFF;
            element[half] = who >> 16;
        }
        load(basis, slots->basis);
    }

    // The lane's words of B or B' of the first of sixteen slots.
    static __device__ void load(unsigned (&a)[4], const unsigned* of_first) {
        constexpr int SLOT_WORDS = sizeof(Slot) / sizeof(unsigned);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const unsigned* words = of_first + (8 * half + threadIdx.x % WARP / 4) * SLOT_WORDS;
            uint2 of_slot = reinterpret_cast<const uint2*>(words)[threadIdx.x % 4];
            a[half] = of_slot.x;
            a[2 + half] = of_slot.y;
        }
    }
};
