// Time: the operators of a scheme, with the operations of src/engine/host.rs in their order.
//
//     kick   v += fraction Δt F/m
//     drift  x += fraction Δt v
//     bath   v = c v + √((1 − c²) kT/m) ξ
//
// A program is cut at its evaluations of forces; each piece is one launch.  The first piece of a
// step saves the state, the last one judges it: a replica in which anything failed since returns to
// what was saved and stays there.
//
// Shapes: x, v, F (M, 3), parameters (R, 3) → x, v (M, 3)
#pragma once
#include "random.cuh"
#include "sizes.cuh"

constexpr int INTEGRATE_THREADS = 128;
constexpr int PIECE_OPERATIONS_MAX = 8;
// Å/fs² for 1 eV/Å on 1 u, and k in eV/K: src/units.rs
constexpr double ACCELERATION = 1.602176634e-19 / (1e-10 * 1.66053906660e-27) * 1e-20;
constexpr double BOLTZMANN_EV_PER_K = 1.380649e-23 / 1.602176634e-19;

enum Operation : int { KICK = 0, DRIFT = 1, BATH = 2 };

// A piece of a program.
struct Piece {
    int operations;
    int operation[PIECE_OPERATIONS_MAX];
    double fraction[PIECE_OPERATIONS_MAX];
    int begins_step;
    int ends_step;
    int program_has_bath;
};

// What a replica is and lives under.
struct Conditions {
    const double* parameters;  // (R, 3): Δt in fs, c = exp(−γ Δt), (1 − c²) k T in eV
    const unsigned* identity;  // (R, 2): hash of the molecule's name, copy and temperature
    unsigned long long seed;
    double temperature_limit_k;
};

// The atoms of one replica.
struct Atoms {
    int count;
    const double* mass_amu;
    double *x, *v, *f;

    __device__ Atoms(const Batch& batch, const State& state, int replica) {
        size_t first = batch.first_row[replica];
        count = batch.first_row[replica + 1] - first;
        mass_amu = batch.mass_amu + first;
        x = state.position_ang + 3 * first;
        v = state.velocity_ang_per_fs + 3 * first;
        f = state.force_ev_per_ang + 3 * first;
    }

    __device__ double twice_kinetic(int atom) const {
        const double* w = v + 3 * atom;
        return mass_amu[atom] * (w[0] * w[0] + w[1] * w[1] + w[2] * w[2]);
    }
};

// Adds up the terms of a warp's atoms, one after the other, as the host does; all lanes get the sums.
template <int SUMS>
__device__ inline void add_in_order(double (&sum)[SUMS], const double (&term)[SUMS], int atoms) {
#pragma unroll 4
    for (int n = 0; n < min(WARP, atoms); n++)
#pragma unroll
        for (int i = 0; i < SUMS; i++) sum[i] += __shfl_sync(WHOLE_WARP, term[i], n);
}

__device__ inline double kinetic_ev(const Atoms& atoms) {
    double twice[1] = {0.0};
#pragma unroll 1
    for (int start = 0; start < atoms.count; start += WARP) {
        int atom = start + threadIdx.x % WARP;
        double term[1] = {atom < atoms.count ? atoms.twice_kinetic(atom) : 0.0};
        add_in_order(twice, term, atoms.count - start);
    }
    return 0.5 * twice[0] / ACCELERATION;
}

// √((1 − c²) kT/m)
__device__ inline double bath_width(const Conditions& conditions, int replica, double mass_amu) {
    return sqrt(conditions.parameters[3 * replica + 2] * ACCELERATION / mass_amu);
}

__device__ inline uint4 words_of_bath(const Conditions& conditions, int replica, unsigned long long step, int atom) {
    const unsigned* identity = conditions.identity + 2 * replica;
    return words_of(conditions.seed, identity[0], identity[1], step, atom, STREAM_BATH);
}

// √((1 − c²) kT/m) ξ of an atom of a replica in a step.
__device__ inline double3 noise_of(const Conditions& conditions, int replica, unsigned long long step, int atom, double mass_amu) {
    uint4 words = words_of_bath(conditions, replica, step, atom);
    double2 xi = normal2(words.x, words.y);
    double width = bath_width(conditions, replica, mass_amu);
    return {width * xi.x, width * xi.y, width * normal2(words.z, words.w).x};
}

// The bath on all atoms, and the kinetic energies before and after it.  MADE: the noise is here, (N, 3).
template <bool MADE>
__device__ inline void bath(const Conditions& conditions, int replica, unsigned long long step, const double* noise, const Atoms& atoms,
                            double& before_ev, double& after_ev) {
    double decay = conditions.parameters[3 * replica + 1], twice[2] = {0.0, 0.0};
#pragma unroll 1
    for (int start = 0; start < atoms.count; start += WARP) {
        int atom = start + threadIdx.x % WARP;
        double term[2] = {0.0, 0.0};
        if (atom < atoms.count) {
            double* v = atoms.v + 3 * atom;
            double3 w;
            if constexpr (MADE)
                w = {noise[3 * atom], noise[3 * atom + 1], noise[3 * atom + 2]};
            else
                w = noise_of(conditions, replica, step, atom, atoms.mass_amu[atom]);
            term[0] = atoms.twice_kinetic(atom);
            v[0] = decay * v[0] + w.x;
            v[1] = decay * v[1] + w.y;
            v[2] = decay * v[2] + w.z;
            term[1] = atoms.twice_kinetic(atom);
        }
        add_in_order(twice, term, atoms.count - start);
    }
    before_ev = 0.5 * twice[0] / ACCELERATION;
    after_ev = 0.5 * twice[1] / ACCELERATION;
}

// Kick or drift of the atoms of this lane.
__device__ inline void operate(Operation operation, double fraction, const Conditions& conditions, int replica,
                               const Atoms& atoms) {
    double timestep_fs = conditions.parameters[3 * replica];
#pragma unroll 1
    for (int atom = threadIdx.x % WARP; atom < atoms.count; atom += WARP) {
        double *x = atoms.x + 3 * atom, *v = atoms.v + 3 * atom;
        const double* f = atoms.f + 3 * atom;
        double mass = atoms.mass_amu[atom];
        if (operation == KICK) {
            double per_mass = fraction * timestep_fs * ACCELERATION / mass;
            for (int axis = 0; axis < 3; axis++) v[axis] += per_mass * f[axis];
        } else {
            double time_fs = fraction * timestep_fs;
            for (int axis = 0; axis < 3; axis++) x[axis] += time_fs * v[axis];
        }
    }
}

__device__ inline void copy(const Atoms& from, const Atoms& to) {
#pragma unroll 1
    for (int n = threadIdx.x % WARP; n < 3 * from.count; n += WARP) {
        to.x[n] = from.x[n];
        to.v[n] = from.v[n];
        to.f[n] = from.f[n];
    }
}

__device__ inline void copy_energies(const State& from, const State& to, int replica) {
    to.energy_ev[replica] = from.energy_ev[replica];
    to.kinetic_ev[replica] = from.kinetic_ev[replica];
    to.bath_heat_ev[replica] = from.bath_heat_ev[replica];
}

// The work of a warp on one replica.
template <bool MADE = false>
__device__ inline void integrate_replica(
    // constant
    int replica, const Batch& batch, const Conditions& conditions, const Piece& piece,
    // in and out
    const State& state, const State& saved, const Progress& progress,
    // MADE: the noise of the replica's atoms, (N, 3), for even steps, and so much further for odd ones
    const double* noise = nullptr, int to_odd = 0) {
    bool first_lane = threadIdx.x % WARP == 0;
    Atoms atoms(batch, state, replica), saved_atoms(batch, saved, replica);
    int* fault = progress.fault + 4 * replica;
    int* under_way = fault + 3;
    bool running = fault[0] == RUNNING;
    bool stepping = piece.begins_step ? running : *under_way != 0;
    unsigned long long step = progress.step[replica];
    __syncwarp();
    if (!stepping) return;

    if (piece.begins_step) {
        copy(atoms, saved_atoms);
        if (first_lane) {
            copy_energies(state, saved, replica);
            *under_way = 1;
        }
        __syncwarp();
    }

    // All lanes have the sums of energies, the first one writes them.
    double kinetic = 0.0;
#pragma unroll 1
    for (int n = 0; n < piece.operations && running; n++) {
        if (piece.operation[n] == BATH) {
            double before;
            bath<MADE>(conditions, replica, step, noise + step % 2 * to_odd, atoms, before, kinetic);
            if (first_lane) {
                state.bath_heat_ev[replica] += kinetic - before;
                state.kinetic_ev[replica] = kinetic;
            }
        } else {
            operate(Operation(piece.operation[n]), piece.fraction[n], conditions, replica, atoms);
        }
        __syncwarp();
    }
    if (!piece.ends_step) return;

    // Is the replica still a molecule at a temperature?
    double temperature_k = 0.0;
    if (running) {
        kinetic = piece.program_has_bath ? state.kinetic_ev[replica] : kinetic_ev(atoms);
        temperature_k = 2.0 * kinetic / (3.0 * double(atoms.count) * BOLTZMANN_EV_PER_K);
    }
    bool finite = temperature_k - temperature_k == 0.0;
    bool good = running && finite && temperature_k <= conditions.temperature_limit_k;
    __syncwarp();
    if (!good) copy(saved_atoms, atoms);
    if (!first_lane) return;
    *under_way = 0;
    if (good) {
        state.kinetic_ev[replica] = kinetic;
        progress.step[replica] = step + 1;
        return;
    }
    copy_energies(saved, state, replica);
    if (!running) return;
    fault[0] = finite ? TOO_HOT : NOT_FINITE;
    progress.fault_value[replica] = temperature_k;
}

// One warp a replica.
extern "C" __global__ void __launch_bounds__(INTEGRATE_THREADS) integrate(
    Batch batch, Conditions conditions, Piece piece, State state, State saved, Progress progress) {
    int replica = (blockIdx.x * INTEGRATE_THREADS + threadIdx.x) / WARP;
    if (replica < batch.replicas) integrate_replica(replica, batch, conditions, piece, state, saved, progress);
}
