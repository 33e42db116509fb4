// Random numbers that belong to a replica: the bits of src/random.rs.
#pragma once
#include "arithmetic.cuh"

enum Stream : unsigned { STREAM_VELOCITIES = 0, STREAM_BATH = 1 };

// Ten rounds of Philox4x32 (10.1145/2063384.2063405).
__device__ inline uint4 philox4x32(uint4 counter, unsigned key0, unsigned key1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned long long product0 = 0xD2511F53ull * counter.x;
        unsigned long long product1 = 0xCD9E8D57ull * counter.z;
        counter = {unsigned(product1 >> 32) ^ counter.y ^ key0, unsigned(product1),
                   unsigned(product0 >> 32) ^ counter.w ^ key1, unsigned(product0)};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

// Words that belong to one atom in one step.
__device__ inline uint4 words_of(unsigned long long seed, unsigned name_hash, unsigned copy_and_temperature, unsigned long long step,
                                 int atom, Stream stream) {
    unsigned steps_and_atom = (unsigned(step >> 32) & 0xFFu) | (unsigned(atom) & 0xFFFFu) << 8;
    uint4 counter = {unsigned(step), steps_and_atom | unsigned(stream) << 24, name_hash, copy_and_temperature};
    return philox4x32(counter, unsigned(seed), unsigned(seed >> 32));
}

// Two standard normal numbers, by Box and Muller.
__device__ inline double2 normal2(unsigned radius_word, unsigned angle_word) {
    const double unit = 1.0 / 4294967296.0;
    double radius = sqrt(-2.0 * natural_logarithm((double(radius_word) + 0.5) * unit));
    double sine, cosine;
    sin_cos_of_turns(double(angle_word) * unit, sine, cosine);
    return {radius * cosine, radius * sine};
}
