// The neighbours of a tile's rows, in sixteens, with all that the network sees of them.
//
//     B_k(r) = √(2/r_c) · sin(kπr/r_c)/r · f(r), with a core · (1 − s(r/r_sw)), and B'_k: radial.cu
//
// sin(πr/r_c) is taken in f64; the rotations to kπr/r_c are in f32, whose error of k · 2⁻²⁴ is far
// below that of the 16 bits in which B and B' are kept.  Slots behind a row's last neighbour have no
// radial functions and stand for the row itself.
//
// Shapes: r (P,), u (P, 3) → slots (M, 64)
#pragma once
#include "switch.cuh"
#include "tile.cuh"

static_assert(RADIAL == 16, "a slot's radial functions are two times sixteen bytes");

// Slots of a row that are in use: whole sixteens.
__device__ inline int slots_of(int neighbours) { return (neighbours + 15) / 16 * 16; }

// A warp a row, a lane a slot.
template <int M>
__device__ __forceinline__ void tile_slots(const Tile<M>& tile, const TileStudent& student) {
    const Pairs& pairs = tile.pairs;
    double wave = PI / student.cutoff_ang, scale = sqrt(2.0 / student.cutoff_ang);
    for (int row = threadIdx.x / WARP; row < tile.batch.rows; row += TILE_WARPS) {
        RowOfPairs of = pairs_of(tile.batch, row);
        int count = pairs.count[row], element = tile.batch.element[row];
        for (int n = threadIdx.x % WARP; n < slots_of(count); n += WARP) {
            int partner = row;
            float basis[RADIAL] = {}, slope[RADIAL] = {};
            float4 u = {};
            if (n < count) {
                int b = pairs.list[of.first_pair + n];
                double r = pairs.distance_ang[of.first_pair + b];
                partner = of.first_row + b;
                u = pairs.unit[of.first_pair + b];
                double s1, c1;
                sin_cos_of_pi(r / student.cutoff_ang, s1, c1);
                double envelope = scale * 0.5 * (1.0 + c1) / r;
                double envelope_slope = (scale * -0.5 * wave * s1 - envelope) / r;
                if (student.core != nullptr) {
                    double core_ang = student.core[3 * (element * student.elements + tile.batch.element[partner])];
                    double rise, rise_slope;
                    rise_of_switch(r / core_ang, rise, rise_slope);
                    // Forward: envelope · rise(r/r_sw)
                    envelope_slope = fma(envelope_slope, rise, envelope * (rise_slope / core_ang));
                    envelope *= rise;
                }
                float s = float(s1), c = float(c1), step_s = s, step_c = c;
                float size = float(envelope), size_slope = float(envelope_slope), turn = float(wave * envelope);
#pragma unroll
                for (int k = 0; k < RADIAL; k++) {
                    basis[k] = s * size;
                    slope[k] = fmaf(s, size_slope, float(k + 1) * turn * c);
                    float next = fmaf(s, step_c, c * step_s);
                    c = fmaf(c, step_c, -(s * step_s));
                    s = next;
                }
            }
            Slot& slot = tile.scratch.slots[row * TILE_ROWS_MAX + n];
            slot.unit[0] = u.x, slot.unit[1] = u.y, slot.unit[2] = u.z;
            slot.who = unsigned(partner) | unsigned(tile.batch.element[partner]) << 16;
#pragma unroll
            for (int word = 0; word < RADIAL / 2; word++) {
                slot.basis[place_of_word(word)] = two_halves(basis[2 * word], basis[2 * word + 1]);
                slot.slope[place_of_word(word)] = two_halves(slope[2 * word], slope[2 * word + 1]);
            }
        }
    }
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
