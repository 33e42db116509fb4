// Angular functions: 1, u and the five components Y of the traceless part of u ⊗ u, for |u| = 1.
//
//     Y = (√3 xy, √3 yz, √3 zx, ½√3 (x² − y²), 1½ z² − ½),   Σ Y² = 1
#pragma once
#include "sizes.cuh"

constexpr float ROOT_3 = 1.73205081f;

// One rank after the other: scalars, vectors, tensors.
constexpr int COMPONENTS = TENSOR_CHANNELS > 0 ? 9 : 4;

// Component c at u.
__device__ inline float harmonic(int c, float4 u) {
    switch (c) {
        case 0: return 1.0f;
        case 1: return u.x;
        case 2: return u.y;
        case 3: return u.z;
        case 4: return ROOT_3 * u.x * u.y;
        case 5: return ROOT_3 * u.y * u.z;
        case 6: return ROOT_3 * u.z * u.x;
        case 7: return 0.5f * ROOT_3 * (u.x * u.x - u.y * u.y);
        default: return fmaf(1.5f, u.z * u.z, -0.5f);
    }
}

// Σ_c d_c Y_c, and its gradient by u up to a multiple of u, which the normalisation of u takes out.
__device__ inline float4 harmonics_backward(const float (&d)[COMPONENTS], float4 u) {
    float4 slope = {d[1], d[2], d[3], 0.0f};
    if constexpr (COMPONENTS == 9) {
        // Forward: √3 (xy, yz, zx, ½ (x² − y²)), 1½ z² − ½
        slope.x += ROOT_3 * (u.y * d[4] + u.z * d[6] + u.x * d[7]);
        slope.y += ROOT_3 * (u.x * d[4] + u.z * d[5] - u.y * d[7]);
        slope.z += ROOT_3 * (u.y * d[5] + u.x * d[6]) + 3.0f * u.z * d[8];
    }
    return slope;
}
