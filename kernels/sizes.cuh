// What a set of kernels is compiled for, and the structures that the host passes to them.
//
// The host keeps the same structures (src/engine/cuda/abi.rs); `kernel_sizes` lets it check at load
// that it talks to the kernels it was written for.
#pragma once

// Sizes of the student; build.py has the list of students.
constexpr int CHANNELS = STUDENT_CHANNELS;                // F
constexpr int RADIAL = STUDENT_RADIAL;                    // K
constexpr int TENSOR_CHANNELS = STUDENT_TENSOR_CHANNELS;  // T, 0 for none
constexpr int ELEMENTS_MAX = 9;                           // E at most

constexpr int WARP = 32;
constexpr unsigned WHOLE_WARP = 0xFFFFFFFFu;

// Rows are atoms: all atoms of all replicas one after the other, none between them.  A replica's
// directed pairs are an N × N table of its own, so pair (a, b) of it is first_pair + a N + b.
struct Batch {
    int replicas;              // R
    int rows;                  // M, atoms of all replicas
    const int* first_row;      // (R + 1,)
    const int* first_pair;     // (R,)
    const int* replica;        // (M,)
    const int* element;        // (M,) index into the elements of the campaign
    const double* mass_amu;    // (M,)
};

// What a step changes.
struct State {
    double* position_ang;          // (M, 3)
    double* velocity_ang_per_fs;   // (M, 3)
    double* force_ev_per_ang;      // (M, 3)
    double* energy_ev;             // (R,)
    double* kinetic_ev;            // (R,)
    double* bath_heat_ev;          // (R,)
};

// Where a replica stands, and why it was frozen.
struct Progress {
    unsigned long long* step;  // (R,)
    int* fault;                // (R, 4): kind, atom, atom, whether a step is under way
    double* fault_value;       // (R,)
};

enum FaultKind : int { RUNNING = 0, NOT_FINITE = 1, TOO_HOT = 2, TOO_CLOSE = 3, BROKE_APART = 4 };

// Pairs within the cut-off and what is known of them; tables are indexed by pair, lists by slot.
struct Pairs {
    int* count;            // (M,) neighbours of a row
    int* list;             // (P,) their numbers within the molecule, ascending, from the row's pair 0
    double* distance_ang;  // (P,) r
    float4* unit;          // (P,) u = (x_b − x_a)/r, and nothing
    float* basis;          // (P, K) B_k(r)
    float* slope;          // (P, K) B'_k(r)
    float4* gradient;      // (P,) dE/du and dE/dr
};

// The pairs of one row: its replica's atoms, and where the row's pairs begin.
struct RowOfPairs {
    int first_row;
    int atoms;
    size_t first_pair;
};

__device__ inline RowOfPairs pairs_of(const Batch& batch, int row) {
    int replica = batch.replica[row];
    int first_row = batch.first_row[replica];
    int atoms = batch.first_row[replica + 1] - first_row;
    return {first_row, atoms, batch.first_pair[replica] + size_t(row - first_row) * atoms};
}

// The sum over a warp's lanes, by a tree of fixed shape; every lane gets it.
template <class Number>
__device__ inline Number sum_over_warp(Number x) {
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        x += __shfl_xor_sync(WHOLE_WARP, x, distance);
    return x;
}
