// Many steps of many tiles in one launch; a block, or a cluster of blocks, takes one tile after the other.
//
// The state of a tile (x, v, F in f64, what a step may have to return to, who the replicas are) is in
// shared memory for all steps of a launch, laid out as the structures of sizes.cuh describe it, so the
// integrator, the geometry and the sums are those of the other path.  Of a large tile what only the integrator
// needs is in global memory.
#include "domain.cu"
#include "forces.cu"
#include "geometry.cu"
#include "repulsion.cu"
#include "tile_parts.cu"

constexpr int PIECES_MAX = 4;

// The pieces of a step; without any, energies and forces are evaluated once.
struct Program {
    int pieces;
    int steps;
    Piece piece[PIECES_MAX];
};

// Which replicas are in which tile: those of tile n are replica[first[n]] … replica[first[n + 1] − 1].
struct Tiles {
    int count;
    const int* first;    // (count + 1,)
    const int* replica;  // (R,)
};

struct Analytic {
    const double* reference_ev;      // (R,)
    const double* well_ev_per_ang2;  // (wells,)
    int wells;
};

// Hands out consecutive arrays.
struct Cursor {
    unsigned char* at;

    template <class T>
    __device__ T* take(int count) {
        T* array = reinterpret_cast<T*>(at);
        at += count * sizeof(T);
        return array;
    }
};

// The arrays of a tile at their places.
template <int M, int C>
__device__ __forceinline__ Tile<M, C> lay_out(unsigned char* scratch) {
    constexpr int ROWS = 16 * M, REPLICAS = ROWS;
    Tile<M, C> tile;
    tile.rank = 0, tile.exchanges = 0, tile.columns_asked = 0, tile.evaluations = 0;
    tile.scratch = scratch + size_t(blockIdx.x) * Scratch<M, C>::BYTES;
    tile.first = 0;
    Cursor cursor{tile_shared + Regions<M, C>::STATE}, beyond{tile.scratch + Scratch<M, C>::STATE};
    Cursor& seldom = Tile<M, C>::IN_PARTS ? beyond : cursor;
    // Eight-byte numbers, 39 a row; of a large tile 10 and 30.
    for (State* state : {&tile.state, &tile.saved}) {
        Cursor& of = state == &tile.saved ? seldom : cursor;
        state->position_ang = of.take<double>(3 * ROWS);
        state->velocity_ang_per_fs = seldom.take<double>(3 * ROWS);
        state->force_ev_per_ang = of.take<double>(3 * ROWS);
        state->energy_ev = seldom.take<double>(REPLICAS);
        state->kinetic_ev = seldom.take<double>(REPLICAS);
        state->bath_heat_ev = seldom.take<double>(REPLICAS);
    }
    tile.energy_of_row_ev = cursor.take<double>(ROWS);
    tile.batch.mass_amu = seldom.take<double>(ROWS);
    tile.progress.fault_value = seldom.take<double>(REPLICAS);
    tile.progress.step = cursor.take<unsigned long long>(REPLICAS);
    tile.conditions.parameters = seldom.take<double>(3 * REPLICAS);
    tile.reference_ev = seldom.take<double>(REPLICAS);
    tile.adjacent = cursor.take<unsigned long long>(AtomSet<M>::WORDS * ROWS);
    tile.noise = seldom.take<double>(2 * 3 * ROWS);

    // Four-byte numbers, 11 a row and one more; of a large tile 9 and 2.
    tile.batch.first_row = cursor.take<int>(REPLICAS + 1);
    tile.batch.replica = cursor.take<int>(ROWS);
    tile.batch.element = cursor.take<int>(ROWS);
    tile.count = cursor.take<int>(ROWS);
    tile.closest = cursor.take<int>(ROWS);
    tile.progress.fault = cursor.take<int>(4 * REPLICAS);
    tile.conditions.identity = seldom.take<unsigned>(2 * REPLICAS);
    return tile;
}

// What is constant for all but the copy at the beginning.
template <class T>
__device__ inline T* changeable(const T* array) {
    return const_cast<T*>(array);
}

// The same number on both sides, either way.
template <class T>
__device__ inline void exchange(bool in, T* here, T* there) {
    if (in)
        *here = *there;
    else
        *there = *here;
}

// Copies the replicas of tile n into the block's arrays (`in`), or what a step changes back.
template <int M, int C>
__device__ inline void exchange_tile(bool in, Tile<M, C>& tile, int n, const Tiles& tiles, const Batch& batch, const State& state,
                                     const Progress& progress, const Conditions& conditions, const Analytic& analytic) {
    const int* replica = tiles.replica + tiles.first[n];
    int replicas = tiles.first[n + 1] - tiles.first[n];
    if (in) {
        tile.batch.replicas = replicas;
        tile.conditions.seed = conditions.seed;
        tile.conditions.temperature_limit_k = conditions.temperature_limit_k;
        if (threadIdx.x == 0) {
            int row = 0;
            for (int r = 0; r < replicas; r++) {
                changeable(tile.batch.first_row)[r] = row;
                row += batch.first_row[replica[r] + 1] - batch.first_row[replica[r]];
            }
            changeable(tile.batch.first_row)[replicas] = row;
        }
        __syncthreads();
        tile.batch.rows = tile.batch.first_row[replicas];
        // Rows that no replica has take part in products; their element must be one.
        for (int row = tile.batch.rows + threadIdx.x; row < 16 * M; row += TILE_THREADS) changeable(tile.batch.element)[row] = 0;
    }
    for (int r = threadIdx.x / WARP; r < replicas; r += TILE_WARPS) {
        int there = replica[r], lane = threadIdx.x % WARP;
        int first = tile.batch.first_row[r], first_there = batch.first_row[there], atoms = tile.batch.first_row[r + 1] - first;
        for (int a = lane; a < 3 * atoms; a += WARP) {
            exchange(in, tile.state.position_ang + 3 * first + a, state.position_ang + 3 * size_t(first_there) + a);
            exchange(in, tile.state.velocity_ang_per_fs + 3 * first + a, state.velocity_ang_per_fs + 3 * size_t(first_there) + a);
            exchange(in, tile.state.force_ev_per_ang + 3 * first + a, state.force_ev_per_ang + 3 * size_t(first_there) + a);
        }
        for (int a = lane; a < atoms && in; a += WARP) {
            changeable(tile.batch.mass_amu)[first + a] = batch.mass_amu[first_there + a];
            changeable(tile.batch.element)[first + a] = batch.element[first_there + a];
            changeable(tile.batch.replica)[first + a] = r;
        }
        if (lane != 0) continue;
        exchange(in, tile.state.energy_ev + r, state.energy_ev + there);
        exchange(in, tile.state.kinetic_ev + r, state.kinetic_ev + there);
        exchange(in, tile.state.bath_heat_ev + r, state.bath_heat_ev + there);
        exchange(in, tile.progress.step + r, progress.step + there);
        exchange(in, tile.progress.fault_value + r, progress.fault_value + there);
        for (int i = 0; i < 4; i++) exchange(in, tile.progress.fault + 4 * r + i, progress.fault + 4 * there + i);
        if (!in) continue;
        for (int i = 0; i < 3; i++) changeable(tile.conditions.parameters)[3 * r + i] = conditions.parameters[3 * there + i];
        for (int i = 0; i < 2; i++) changeable(tile.conditions.identity)[2 * r + i] = conditions.identity[2 * there + i];
        changeable(tile.reference_ev)[r] = analytic.reference_ev[there];
    }
    __syncthreads();
}

// The bath's noise for the step that a tile's replicas make `ahead` steps from now: `noise_of`, two threads an atom.
// It takes thousands of cycles, one operation waiting for the other, so it is made while other warps integrate the
// step before.
template <int M, int C>
__device__ __forceinline__ void make_noise(const Tile<M, C>& tile, int ahead) {
    // The last threads, because the first warps have replicas.
    int thread = TILE_THREADS - 1 - thread_once(), row = thread / 2;
    if (row >= tile.batch.rows) return;
    int replica = tile.batch.replica[row], atom = row - tile.batch.first_row[replica];
    unsigned long long step = tile.progress.step[replica] + ahead;
    uint4 words = words_of_bath(tile.conditions, replica, step, atom);
    double width = bath_width(tile.conditions, replica, tile.batch.mass_amu[row]);
    double* noise = tile.noise + 3 * (step % 2 * Tile<M, C>::ROWS + row);
    bool third = thread % 2;
    double2 xi = normal2(third ? words.z : words.x, third ? words.w : words.y);
    noise[third ? 2 : 0] = width * xi.x;
    if (!third) noise[1] = width * xi.y;
}

// Energies and forces of a tile's running replicas.
template <int M, int C>
__device__ __forceinline__ void evaluate_tile(const Tile<M, C>& tile, const TileStudent& student, const Analytic& analytic, Stopwatch& watch) {
    tile_pairs(tile, student);
    __syncthreads();
    for (int replica = thread_once() / WARP; replica < tile.batch.replicas; replica += TILE_WARPS) inspect_tile_replica(tile, replica);
    watch.lap(STAGE_PAIRS);

    if constexpr (Tile<M, C>::IN_PARTS) {
        parts_before_message(tile, student, watch);
        tile_message(tile, student);
        __syncthreads();
        watch.lap(STAGE_MESSAGE);
        parts_between_messages(tile, student, watch);
        tile_message_backward(tile);
        __syncthreads();
        watch.lap(STAGE_MESSAGE_BACKWARD);
        parts_after_message(tile, student, watch);
    } else {
        tile_density(tile, student);
        watch.lap(STAGE_DENSITY);
        tile_update<M, C, 0>(tile, student);
        watch.lap(STAGE_UPDATE_1);
        tile_phi(tile, student);
        watch.lap(STAGE_PHI);
        tile_message(tile, student);
        watch.lap(STAGE_MESSAGE);
        tile_update<M, C, 1>(tile, student);
        watch.lap(STAGE_UPDATE_2);
        tile_readout(tile, student);
        watch.lap(STAGE_READOUT);
        tile_update_backward<M, C, 1>(tile, student);
        watch.lap(STAGE_UPDATE_2_BACKWARD);
        tile_message_backward(tile);
        watch.lap(STAGE_MESSAGE_BACKWARD);
        tile_phi_backward(tile, student);
        watch.lap(STAGE_PHI_BACKWARD);
        tile_update_backward<M, C, 0>(tile, student);
        watch.lap(STAGE_UPDATE_1_BACKWARD);
        tile_density_backward(tile, student);
        watch.lap(STAGE_DENSITY_BACKWARD);
    }

    tile_forces(tile, student);
    __syncthreads();
    for (int replica = thread_once() / WARP; replica < tile.batch.replicas; replica += TILE_WARPS)
        energies_of(replica, tile.batch, tile.reference_ev, analytic.well_ev_per_ang2, analytic.wells, tile.energy_of_row_ev,
                    tile.state, tile.progress);
    // The same warp integrates the replica.
    __syncwarp();
    watch.lap(STAGE_FORCES);
}

template <int M, int C>
__device__ __forceinline__ void step_tiles(const Tiles& tiles, const Program& program, const TileStudent& student, const Batch& batch,
                                  const State& state, const Progress& progress, const Conditions& conditions,
                                  const Analytic& analytic, unsigned char* scratch, unsigned long long* cycles) {
    Tile<M, C> tile = lay_out<M, C>(scratch);
    copy_filter(tile, student);
    if constexpr (C > 1) {
        tile.rank = rank_in_cluster();
        if (threadIdx.x == 0)
            for (int n = 0; n < 3; n++) prepare(tile.arrivals(n));
        wait_for_cluster();
    }
    for (int n = blockIdx.x / C; n < tiles.count; n += gridDim.x / C) {
        exchange_tile(true, tile, n, tiles, batch, state, progress, conditions, analytic);
        Stopwatch watch(cycles);
        // Forces stand between two pieces; without any they are all there is.  One place calls what
        // makes them, so that the compiler can put it there.
        int last = program.pieces == 0 ? 1 : program.pieces - 1;
        bool bath = program.pieces > 0 && program.piece[0].program_has_bath;
        if (bath) make_noise(tile, 0);
        __syncthreads();
        for (int step = 0; step < max(program.steps, 1); step++) {
            for (int piece = 0; piece <= last; piece++) {
                if (piece > 0) {
                    // In a cluster, beside the pairs: of its sixteen rows half of the warps have none.
                    if (C > 1 && bath && piece == 1) make_noise(tile, 1);
                    evaluate_tile(tile, student, analytic, watch);
                }
                if (program.pieces == 0) {
                    __syncthreads();
                    continue;
                }
                if (bath && piece == 0 && (C == 1 || last == 0)) make_noise(tile, 1);
                // A piece that is a whole step counts it, too, which the noise must not see.
                if (program.pieces == 1) __syncthreads();
                for (int replica = thread_once() / WARP; replica < tile.batch.replicas; replica += TILE_WARPS)
                    integrate_replica<true>(replica, tile.batch, tile.conditions, program.piece[piece], tile.state, tile.saved, tile.progress,
                                      tile.noise + 3 * tile.batch.first_row[replica], 3 * Tile<M, C>::ROWS);
                __syncthreads();
                watch.lap(STAGE_INTEGRATE);
            }
        }
        if (tile.rank == 0) exchange_tile(false, tile, n, tiles, batch, state, progress, conditions, analytic);
    }
    // Nobody ends before all that was sent to it has arrived, and all that it sent.
    if constexpr (C > 1) wait_for_cluster();
}

// The same for tiles of 16, 32, 48, 64 and 128 rows: a row's bits are those of any of them.
extern "C" __global__ void __launch_bounds__(TILE_THREADS, BLOCKS_BOUND<1>) step_tiles_16(
    Tiles tiles, Program program, TileStudent student, Batch batch, State state, Progress progress, Conditions conditions,
    Analytic analytic, unsigned char* scratch, unsigned long long* cycles) {
    step_tiles<1, 1>(tiles, program, student, batch, state, progress, conditions, analytic, scratch, cycles);
}

extern "C" __global__ void __launch_bounds__(TILE_THREADS, BLOCKS_BOUND<2>) step_tiles_32(
    Tiles tiles, Program program, TileStudent student, Batch batch, State state, Progress progress, Conditions conditions,
    Analytic analytic, unsigned char* scratch, unsigned long long* cycles) {
    step_tiles<2, 1>(tiles, program, student, batch, state, progress, conditions, analytic, scratch, cycles);
}

extern "C" __global__ void __launch_bounds__(TILE_THREADS, BLOCKS_BOUND<3>) step_tiles_48(
    Tiles tiles, Program program, TileStudent student, Batch batch, State state, Progress progress, Conditions conditions,
    Analytic analytic, unsigned char* scratch, unsigned long long* cycles) {
    step_tiles<3, 1>(tiles, program, student, batch, state, progress, conditions, analytic, scratch, cycles);
}

extern "C" __global__ void __launch_bounds__(TILE_THREADS, BLOCKS_BOUND<4>) step_tiles_64(
    Tiles tiles, Program program, TileStudent student, Batch batch, State state, Progress progress, Conditions conditions,
    Analytic analytic, unsigned char* scratch, unsigned long long* cycles) {
    step_tiles<4, 1>(tiles, program, student, batch, state, progress, conditions, analytic, scratch, cycles);
}

extern "C" __global__ void __launch_bounds__(TILE_THREADS, BLOCKS_BOUND<LARGE>) step_tiles_128(
    Tiles tiles, Program program, TileStudent student, Batch batch, State state, Progress progress, Conditions conditions,
    Analytic analytic, unsigned char* scratch, unsigned long long* cycles) {
    step_tiles<LARGE, 1>(tiles, program, student, batch, state, progress, conditions, analytic, scratch, cycles);
}

// Sixteen rows by a cluster, for few replicas: each of its blocks makes the products of sixteen channels, and all of them
// what is no product or message, so that nobody has to tell the others.  The bits are those of the other kernels.
template <int C>
__device__ __forceinline__ void step_by_clusters(const Tiles& tiles, const Program& program, const TileStudent& student, const Batch& batch,
                                                 const State& state, const Progress& progress, const Conditions& conditions,
                                                 const Analytic& analytic, unsigned long long* cycles) {
    if constexpr (C > 0) step_tiles<1, C>(tiles, program, student, batch, state, progress, conditions, analytic, nullptr, cycles);
}

extern "C" __global__ void IN_CLUSTERS(CLUSTER_BLOCKS) __launch_bounds__(TILE_THREADS) step_tiles_by_clusters(
    Tiles tiles, Program program, TileStudent student, Batch batch, State state, Progress progress, Conditions conditions,
    Analytic analytic, unsigned char*, unsigned long long* cycles) {
    step_by_clusters<CLUSTER>(tiles, program, student, batch, state, progress, conditions, analytic, cycles);
}
