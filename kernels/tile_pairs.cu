// The pairs of a tile: geometry.cu, domain.cu, repulsion.cu, radial.cu, dispersion.cu and forces.cu's formulas.
//
// Half a warp has a row: few molecules fill a whole one.  A neighbour gets its slot, with all that the
// network sees of it, from the lane that found it.  A row's neighbours are bits, so that sets of
// atoms are words; pairs of rows are a table.
//
//     B_k(r) = √(2/r_c) · sin(kπr/r_c)/r · f(r), with a core · (1 − s(r/r_sw)), and B'_k: radial.cu
//
// Differences of positions are taken in f64, because a coordinate of 10⁴ Å leaves f32 no digits for a
// bond, all that follows in f32: its error, k · 2⁻²⁴ after the rotations to kπr/r_c, is far below that
// of the 16 bits in which B and B' are kept.  Slots of no neighbour have no radial functions: those that fill the last
// sixteen, of which each row has one at least, stand for the row itself.  Where rows have all atoms of a small molecule in
// their slots, the row itself and those beyond the cut-off are among them.
//
// Shapes: positions (M, 3) → slots (M, M);  gradients (M, M), positions → forces (M, 3), energies (M,)
#pragma once
#include "dispersion.cu"
#include "repulsion.cu"
#include "tile_slots.cu"

constexpr int HALF_WARP = WARP / 2;

// The sum over the lanes of each half of a warp, by a tree of fixed shape.
__device__ inline double sum_over_half(double x) {
    for (int distance = HALF_WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(WHOLE_WARP, x, distance);
    return x;
}

// Some of a molecule's atoms, of which there are up to 16 M.
template <int M>
struct AtomSet {
    static constexpr int WORDS = (M + 3) / 4;
    unsigned long long word[WORDS] = {};

    AtomSet() = default;
    __device__ explicit AtomSet(const unsigned long long* words) {
#pragma unroll
        for (int n = 0; n < WORDS; n++) word[n] = words[n];
    }
    __device__ void write(unsigned long long* words) const {
#pragma unroll
        for (int n = 0; n < WORDS; n++) words[n] = word[n];
    }
    __device__ bool has(int atom) const {
        if constexpr (WORDS == 1) return word[0] >> atom & 1;
        return (atom < 64 ? word[0] : word[WORDS - 1]) >> atom % 64 & 1;
    }
    // Adds those of sixteen atoms whose bits are set.
    __device__ void add(unsigned bits, int sixteen) {
        unsigned long long more = (unsigned long long)bits << HALF_WARP * (WORDS == 1 ? sixteen : sixteen % 4);
        if (WORDS == 1 || sixteen < 4)
            word[0] |= more;
        else
            word[WORDS - 1] |= more;
    }
    __device__ void join(const AtomSet& others) {
#pragma unroll
        for (int n = 0; n < WORDS; n++) word[n] |= others.word[n];
    }
    // The first atom that is missing.
    __device__ int first_missing() const {
#pragma unroll
        for (int n = 0; n + 1 < WORDS; n++)
            if (~word[n] != 0) return 64 * n + __ffsll(~word[n]) - 1;
        // None gives −1.
        int bit = __ffsll(~word[WORDS - 1]) - 1;
        return bit < 0 ? -1 : 64 * (WORDS - 1) + bit;
    }
};

// The row of a half warp in a round, and the atoms of its replica; the halves go through rounds together.
struct HalfRow {
    int lane, half, row;
    bool exists;
    int first_row = 0, atoms = 0, rounds;

    __device__ HalfRow(const Batch& batch, int first, unsigned of_warp)
        : lane(of_warp % HALF_WARP), half(of_warp / HALF_WARP), row(first + half), exists(row < batch.rows) {
        if (exists) {
            int replica = batch.replica[row];
            first_row = batch.first_row[replica];
            atoms = batch.first_row[replica + 1] - first_row;
        }
        rounds = (max(atoms, __shfl_xor_sync(WHOLE_WARP, atoms, HALF_WARP)) + HALF_WARP - 1) / HALF_WARP;
    }
};

__device__ inline void fill_slot(Slots& slots, int n, const TileStudent& student, int element, int partner, int its_element, float r,
                                 float per_r, const float (&u)[3]) {
    float per_cutoff = float(1.0 / student.cutoff_ang), wave = float(PI) * per_cutoff;
    float s = sinpif(r * per_cutoff), c = cospif(r * per_cutoff);
    float scale = 0.5f * sqrtf(2.0f * per_cutoff), envelope = scale * (1.0f + c) * per_r;
    float envelope_slope = -(scale * wave * s + envelope) * per_r;
    if (student.core != nullptr) {
        float core_ang = float(student.core[3 * (element * student.elements + its_element)]);
        float rise, rise_slope;
        rise_of_switch(__fdividef(r, core_ang), rise, rise_slope);
        // Forward: envelope · rise(r/r_sw)
        envelope_slope = fmaf(envelope_slope, rise, __fdividef(envelope * rise_slope, core_ang));
        envelope *= rise;
    }
    float step_s = s, step_c = c, turn = wave * envelope;
    float basis[RADIAL], slope[RADIAL];
#pragma unroll
    for (int k = 0; k < RADIAL; k++) {
        basis[k] = s * envelope;
        slope[k] = fmaf(s, envelope_slope, float(k + 1) * turn * c);
        float next = fmaf(s, step_c, c * step_s);
        c = fmaf(c, step_c, -(s * step_s));
        s = next;
    }
    write_slot(slots, n, u, partner, its_element, SlotWords(basis), SlotWords(slope));
}

// Neighbours, their slots, and the energies of repulsion.
template <int M, int C>
__device__ __forceinline__ void tile_pairs(const Tile<M, C>& tile, const TileStudent& student) {
    const Batch& batch = tile.batch;
    unsigned lane = lane_of_warp();
#pragma unroll 1
    for (int first = thread_once() / WARP * 2; first < batch.rows; first += 2 * TILE_WARPS) {
        HalfRow of(batch, first, lane);
        int row = of.row, a = row - of.first_row;
        bool running = of.exists && tile.progress.fault[4 * batch.replica[row]] == RUNNING;
        Slots* slots = tile.slots(row);
        bool whole = has_all_atoms(of.atoms);
        int element = of.exists ? batch.element[row] : 0, count = 0, closest = -1;
        AtomSet<M> adjacent;
        double energy = 0.0;
#pragma unroll 1
        for (int round = 0; round < of.rounds; round++) {
            int b = HALF_WARP * round + of.lane;
            double d[3], r2 = 0.0;
            bool near = false;
            if (running && b < of.atoms && b != a) {
                const double *x_a = tile.state.position_ang + 3 * row, *x_b = tile.state.position_ang + 3 * (of.first_row + b);
                d[0] = x_b[0] - x_a[0], d[1] = x_b[1] - x_a[1], d[2] = x_b[2] - x_a[2];
                r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                // A position that is not a number stays a pair: it must show in the energy.
                near = !(r2 >= student.cutoff_ang * student.cutoff_ang);
            }
            unsigned mask = 0xFFFF, shift = HALF_WARP * of.half;
            unsigned near_lanes = __ballot_sync(WHOLE_WARP, near) >> shift & mask;
            unsigned close_lanes = __ballot_sync(WHOLE_WARP, near && b < a && r2 < CLOSEST_ANG * CLOSEST_ANG) >> shift & mask;
            if (closest < 0 && close_lanes != 0) closest = HALF_WARP * round + __ffs(close_lanes) - 1;
            if (near) {
                float per_r = rsqrtf(float(r2)), r = float(r2) * per_r;
                float u[3] = {float(d[0]) * per_r, float(d[1]) * per_r, float(d[2]) * per_r};
                int partner = of.first_row + b, its_element = batch.element[partner];
                // Each neighbour goes behind those of the lanes before it: slots are ascending.
                int n = whole ? b : count + __popc(near_lanes & ((1u << of.lane) - 1u));
                fill_slot(slots[n / 16], n % 16, student, element, partner, its_element, r, per_r, u);
                Repulsion<float> repulsion = repulsion_at(r, student.repulsion + 3 * (element * student.elements + its_element));
                energy += repulsion.energy_ev;
                tile.gradient(row, partner) = {0.0f, 0.0f, repulsion.slope_ev_per_ang, r};
            }
            count += __popc(near_lanes);
            adjacent.add(near_lanes, round);
        }
        energy = sum_over_half(energy);
        if (!of.exists) continue;
        for (int n = whole ? of.lane : count + of.lane; n < max(16, (count + 15) / 16 * 16); n += HALF_WARP) {
            bool atom = whole && n < of.atoms;
            if (atom && adjacent.has(n)) continue;
            int partner = atom ? of.first_row + n : row;
            write_slot(slots[n / 16], n % 16, {0.0f, 0.0f, 0.0f}, partner, batch.element[partner], SlotWords(), SlotWords());
            if (atom) tile.gradient(row, partner) = {0.0f, 0.0f, 0.0f, 1.0f};
        }
        if (of.lane != 0) continue;
        tile.count[row] = whole && running ? of.atoms : count;
        tile.closest[row] = closest;
        adjacent.write(tile.adjacent + row * AtomSet<M>::WORDS);
        tile.energy_of_row_ev[row] = energy;
    }
}

// Where the student may be trusted: the rules of domain.cu, a warp a replica.
template <int M, int C>
__device__ __forceinline__ void inspect_tile_replica(const Tile<M, C>& tile, int replica) {
    int lane = lane_of_warp();
    int* fault = tile.progress.fault + 4 * replica;
    if (fault[0] != RUNNING) return;
    int first_row = tile.batch.first_row[replica], atoms = tile.batch.first_row[replica + 1] - first_row;
    const double* x = tile.state.position_ang + 3 * first_row;

    bool finite = true;
    for (int n = lane; n < 3 * atoms; n += WARP) finite = finite && x[n] - x[n] == 0.0;
    bool all_finite = __ballot_sync(WHOLE_WARP, !finite) == 0;

    // Atoms that atom 0 reaches: who is a neighbour of one that was reached is reached.
    unsigned closest = NOBODY;
    constexpr int WORDS = AtomSet<M>::WORDS;
    AtomSet<M> neighbours[2 * WORDS];
#pragma unroll
    for (int i = 0; i < 2 * WORDS; i++) {
        int j = lane + WARP * i;
        if (j >= atoms) break;
        neighbours[i] = AtomSet<M>(tile.adjacent + (first_row + j) * WORDS);
        int with = tile.closest[first_row + j];
        if (with >= 0 && closest == NOBODY) closest = unsigned(j) << 16 | unsigned(with);
    }
    closest = least_over_warp(closest);
    AtomSet<M> reached;
    reached.add(1, 0);
    for (bool grew = true; grew;) {
        AtomSet<M> more;
#pragma unroll
        for (int i = 0; i < 2 * WORDS; i++)
            if (reached.has(lane + WARP * i)) more.join(neighbours[i]);
        grew = false;
#pragma unroll
        for (int n = 0; n < WORDS; n++) {
            unsigned long long before = reached.word[n];
            reached.word[n] |= __reduce_or_sync(WHOLE_WARP, unsigned(more.word[n]));
            reached.word[n] |= (unsigned long long)__reduce_or_sync(WHOLE_WARP, unsigned(more.word[n] >> 32)) << 32;
            grew = grew || reached.word[n] != before;
        }
    }
    int stray = reached.first_missing();

    if (lane != 0) return;
    if (!all_finite) {
        fault[0] = NOT_FINITE;
    } else if (closest != NOBODY) {
        int i = closest & 0xFFFFu, j = closest >> 16;
        double d[3] = {x[3 * i] - x[3 * j], x[3 * i + 1] - x[3 * j + 1], x[3 * i + 2] - x[3 * j + 2]};
        fault[0] = TOO_CLOSE;
        fault[1] = i;
        fault[2] = j;
        tile.progress.fault_value[replica] = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    } else if (stray >= 0 && stray < atoms) {
        fault[0] = BROKE_APART;
        fault[1] = 0;
        fault[2] = stray;
    }
}

// F_a = Σ_b (∂E/∂d_ab − ∂E/∂d_ba), d_ab = x_b − x_a, and dispersion with its energy, whose pairs each row has by
// itself; a replica that has just failed keeps its forces.
template <int M, int C>
__device__ __forceinline__ void tile_forces(const Tile<M, C>& tile, const TileStudent& student) {
    unsigned lane = lane_of_warp();
#pragma unroll 1
    for (int first = thread_once() / WARP * 2; first < tile.batch.rows; first += 2 * TILE_WARPS) {
        HalfRow of(tile.batch, first, lane);
        AtomSet<M> adjacent;
        if (of.exists) adjacent = AtomSet<M>(tile.adjacent + of.row * AtomSet<M>::WORDS);
        double force[3] = {0.0, 0.0, 0.0}, energy = 0.0;
        for (int round = 0; round < of.rounds; round++) {
            int b = HALF_WARP * round + of.lane, partner = of.first_row + b;
            // They come while dispersion is made.
            float4 there = {0.0f, 0.0f, 0.0f, 0.0f}, back = there;
            if (adjacent.has(b)) there = tile.gradient(of.row, partner), back = tile.gradient(partner, of.row);
            if (student.dispersion && b < of.atoms) {
                int elements = tile.batch.element[of.row] * student.elements + tile.batch.element[partner];
                const double* x = tile.state.position_ang;
                add_dispersion<Approximately>(float(student.cutoff_ang), student.dispersion[elements], x + 3 * of.row,
                                              x + 3 * partner, energy, force);
            }
            force[0] += double(there.x) - double(back.x);
            force[1] += double(there.y) - double(back.y);
            force[2] += double(there.z) - double(back.z);
        }
#pragma unroll
        for (int axis = 0; axis < 3; axis++) force[axis] = sum_over_half(force[axis]);
        if (student.dispersion) energy = sum_over_half(energy);
        if (!of.exists || of.lane >= 3 || tile.progress.fault[4 * tile.batch.replica[of.row]] != RUNNING) continue;
        tile.state.force_ev_per_ang[3 * of.row + of.lane] = of.lane == 0 ? force[0] : of.lane == 1 ? force[1] : force[2];
        if (student.dispersion && of.lane == 0) tile.energy_of_row_ev[of.row] += energy;
    }
}
