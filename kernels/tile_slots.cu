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

__device__ inline void write_slot(Slots& slots, int n, const float (&unit)[3], int row, int element, const SlotWords& basis,
                                  const SlotWords& slope) {
    unsigned who = unsigned(row) | unsigned(element) << 16;
    slots.who[n] = {unit[0], unit[1], unit[2], __uint_as_float(who)};
    slots.basis[n][0] = basis.first, slots.basis[n][1] = basis.second;
    slots.slope[n][0] = slope.first, slots.slope[n][1] = slope.second;
#pragma unroll
    for (int column = 0; column < 4; column++)
        slots.unit[column][n % 8 / 2][n / 8][n % 2] = column == 0 ? Half(0) : half_of(unit[column - 1]);
}

// Whether the rows of a molecule of so many atoms have them all in their slots, each in its own place, rather than their
// neighbours one after the other: what all rows have in the same place they read once.
__device__ inline bool has_all_atoms(int atoms) { return atoms <= 16; }

// Asks for a row's slots from `start` on, sixteen of them, a while before they are read, where they come from far.  It takes
// no registers.
template <int M, int C, int W>
__device__ inline void prefetch_slots(const Tile<M, C, W>& tile, int row, int start, unsigned lane) {
    constexpr int LINE = 128, LINES = sizeof(Slots) / LINE;
    static_assert(sizeof(Slots) % LINE == 0 && LINES <= WARP, "a lane asks for a line");
    if constexpr (!ON_CHIP<M, C>)
        if (lane < LINES) prefetch(reinterpret_cast<const unsigned char*>(tile.slots(row) + start / 16) + LINE * lane);
}

// The row of a slot's neighbour.
__device__ inline int row_of(const Slots& slots, int n) { return __float_as_uint(slots.who[n].w) & 0xFFFF; }

// What a lane sees of sixteen neighbours: those numbered g and g + 8.
struct Sixteen {
    float u[2][3] = {};
    unsigned who[2] = {};
    unsigned basis[4] = {};  // as the left factor of a product

    Sixteen() = default;
    __device__ Sixteen(const Slots& slots, unsigned lane) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float4 of = slots.who[8 * half + lane / 4];
            u[half][0] = of.x, u[half][1] = of.y, u[half][2] = of.z;
            who[half] = __float_as_uint(of.w);
        }
        load(basis, slots.basis, lane);
    }
    __device__ int row(int half) const { return who[half] & 0xFFFF; }
    __device__ int element(int half) const { return who[half] >> 16; }

    // The lane's words of B or B'.
    static __device__ void load(unsigned (&a)[4], const uint4 (&of)[16][2], unsigned lane) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint2 two = reinterpret_cast<const uint2*>(of)[half * WARP + lane];
            a[half] = two.x;
            a[2 + half] = two.y;
        }
    }
};
