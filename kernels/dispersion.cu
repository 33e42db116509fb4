// Dispersion between atoms that the network does not see: src/student/dispersion.rs.
//
//     E = Σ_{a<b} t(r) p(r),   p = −C6 (1/(r⁶ + R⁶) + Q/(r⁸ + R⁸))
//     t = x³ (10 − 15x + 6x²),   x = 5 r/r_c − 4 between 0 and 1
//
// (D3 with the damping of Becke and Johnson, 10.1002/jcc.21759.)  It is between all atoms of a
// molecule, so there is no list: each row goes over them, leaves out those nearer than 4/5 r_c, of which t
// is zero, and adds half a pair's energy and all of its force on the row.  Differences of positions are in
// f64, what follows in f32, whose 10⁻⁷ of a pair's few meV/Å no sum over a molecule's atoms makes noticeable.
//
// Shapes: positions (M, 3), elements (M,) → adds to energies (M,) and forces (M, 3)
#pragma once
#include "sizes.cuh"
#include "switch.cuh"

// Of a campaign's elements, and of none where the student has no such term.
struct Dispersion {
    const float4* table;  // (E, E): C6 in eV Å⁶, C6 Q in eV Å⁸, R⁶, R⁸
    double cutoff_ang;
    int elements;
};

// Operations that IEEE 754 defines, which give the same bits everywhere, ...
struct Exactly {
    __device__ static float per(float x) { return 1.0f / x; }
    __device__ static float per_root(float x) { return 1.0f / sqrtf(x); }
};

// ... and a GPU's own, whose results are within 2⁻²² of these; 0 of an x that is infinite, too.
struct Approximately {
    __device__ static float per(float x) { return __fdividef(1.0f, x); }
    __device__ static float per_root(float x) { return rsqrtf(x); }
};

// Adds a row's part of the pair with the atom at x_b; `entry` is its elements' in the table.
template <class Operations>
__device__ __forceinline__ void add_dispersion(
    // constant
    float cutoff_ang, const float4& entry,
    // in: (3,) each
    const double* x_a, const double* x_b,
    // in and out
    double& energy_ev, double (&force_ev_per_ang)[3]) {
    double d[3] = {x_b[0] - x_a[0], x_b[1] - x_a[1], x_b[2] - x_a[2]};
    float r2 = float(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    // The row itself is left out, too; a position that is not a number stays: it must show in the energy.
    float start_ang = 0.8f * cutoff_ang;
    if (r2 <= start_ang * start_ang) return;
    float r4 = r2 * r2;
    float sixth = Operations::per(fmaf(r4, r2, entry.z)), eighth = Operations::per(fmaf(r4, r4, entry.w));
    float six = entry.x * sixth, eight = entry.y * eighth, p = -(six + eight);
    float p_slope = r4 * fmaf(8.0f * r2, eight * eighth, 6.0f * (six * sixth));  // (dp/dr)/r
    float per_r = Operations::per_root(r2), per_ang = 5.0f * Operations::per(cutoff_ang), t, t_slope;
    rise_of_switch(fmaf(r2 * per_r, per_ang, -4.0f), t, t_slope);
    // Forward: E = t p, a half of it this row's; ∂r/∂x_a = −d/r
    energy_ev += 0.5f * (t * p);
    float slope = fmaf(t, p_slope, (t_slope * per_ang) * (p * per_r));
    for (int axis = 0; axis < 3; axis++) force_ev_per_ang[axis] += double(slope * float(d[axis]));
}
