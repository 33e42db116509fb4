// Updates of a tile: update.cu's formulas, and its products, on tensor cores.
//
//     U, V = v W_uv                       x = [q, |V|, |t|]
//     a, c, b = silu(x W + w) W' + w'     q += a + c ⊙ (U·V)     v += b ⊙ U
//
// Layer 0 has t and b, layer 1 has neither: it is the last one.
//
// Shapes: q (M, F), v (M, 3, F) → q, v
#include "tile_density_backward.cu"

// Where U, V and U·V of a thread's two rows are among the words kept of a sixteen.  What is needed again by itself
// comes first: in the first layer U with U·V, in the last one only U·V, which is the remainder there.
template <bool LAST>
struct MixedWords {
    static __device__ constexpr int u(int half, int axis) { return LAST ? 6 * half + axis : 4 * half + axis; }
    static __device__ constexpr int v(int half, int axis) { return LAST ? 6 * half + 3 + axis : 8 + 3 * half + axis; }
    static __device__ constexpr int dot(int half) { return LAST ? 12 + half : 4 * half + 3; }
    static constexpr int AGAIN = LAST ? 12 : 0, AGAIN_COUNT = LAST ? 2 : 8;
};

// U and V of one row and the two channels of a thread, from the words where they are kept.
template <bool LAST>
struct TileMixed {
    float u[3][2], v[3][2];

    template <int COUNT>
    __device__ TileMixed(const unsigned (&words)[COUNT], int half) {
        using At = MixedWords<LAST>;
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            Pair16 of_u = two_floats(words[At::u(half, axis)]), of_v = two_floats(words[At::v(half, axis)]);
            u[axis][0] = of_u.low, u[axis][1] = of_u.high;
            v[axis][0] = of_v.low, v[axis][1] = of_v.high;
        }
    }

    __device__ float norm2(int i) const { return fmaf(v[2][i], v[2][i], fmaf(v[1][i], v[1][i], v[0][i] * v[0][i])); }
};

// Hidden units of a sixteen of rows, silu(x) of x = sum + bias, into `h`; x itself is kept for
// the gradients by it.
template <int M, int C, int W>
__device__ __forceinline__ void hide(const Tile<M, C, W>& tile, const Place<C>& place, int m, int slot, const float (&sum)[4], float2 bias) {
    Half* h = place.in(tile.h(), STRIDE_F, m);
    unsigned before[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float x0 = sum[2 * half] + bias.x, x1 = sum[2 * half + 1] + bias.y;
        before[half] = two_halves(x0, x1);
        word(h, 8 * half * ROW_F<C>) = two_halves(tile_silu(x0), tile_silu(x1));
    }
    keep(tile, slot, before);
}
// Sixteens of rows that a warp multiplies at once where it makes eight columns: one waits while the other works.
template <int M>
constexpr int SIXTEENS = M % 2 == 0 ? 2 : 1;

// Updates and message networks begin with a barrier, before which they ask for weights; what needs none behind them ends
// without one.
template <int M, int C, int LAYER, int W>
__device__ __forceinline__ void tile_update(const Tile<M, C, W>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M, DEPTH = CHANNELS / 16;
    constexpr bool FIRST = LAYER == 0, LAST = LAYER == 1;
    constexpr int INPUTS = 2 * DEPTH + (FIRST ? TENSOR_CHANNELS / 16 : 0), OUTPUTS = LAST ? 2 : 3;
    const TileUpdate& update = student.update[LAYER];
    Place<C> place(tile.rank);
    auto part_of = [&](int part) { return part * TILE_WARPS + place.group; };
    using At = MixedWords<LAST>;

    Half* v = FIRST ? tile.v() : tile.v_last();
    {
        Columns<2, DEPTH, C> mix(tile, update.mix.forward, part_of, place);
        if constexpr (FIRST)
            share(tile, vectors(tile, v), tensors(tile, tile.x() + 2 * ALL_CHANNELS<C>, 1));
        else
            share(tile, vectors(tile, v));
        ask_for<1, INPUTS>(tile, update.hidden.matrix.forward);
#pragma unroll 1
        for (int m = 0; m < M; m++) {
            if constexpr (C > 1)
                if (!place.works()) break;
            float uv[3][2][4] = {};
#pragma unroll
            for (int axis = 0; axis < 3; axis++) mix.multiply(uv[axis], place.left(v, STRIDE_F) + (axis * ROWS + 16 * m) * STRIDE_F);
            unsigned words[Own<M>::MIXED];
            Half* to = place.in(tile.x(), STRIDE_X, m);
            const float* scalars = place.at(tile.q(), STRIDE_Q, m);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float norm2[2] = {student.norm_epsilon, student.norm_epsilon}, dot[2] = {0.0f, 0.0f};
#pragma unroll
                for (int axis = 0; axis < 3; axis++) {
                    const float *of_u = uv[axis][0] + 2 * half, *of_v = uv[axis][1] + 2 * half;
                    words[At::u(half, axis)] = two_halves(of_u[0], of_u[1]);
                    words[At::v(half, axis)] = two_halves(of_v[0], of_v[1]);
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        norm2[i] = fmaf(of_v[i], of_v[i], norm2[i]);
                        dot[i] = fmaf(of_u[i], of_v[i], dot[i]);
                    }
                }
                words[At::dot(half)] = two_halves(dot[0], dot[1]);
                float2 q = two(scalars, 8 * half * STRIDE_Q);
                word(to, 8 * half * ROW_X<C>) = two_halves(q.x, q.y);
                word(to, 8 * half * ROW_X<C> + ALL_CHANNELS<C>) = two_halves(fast_root(norm2[0]), fast_root(norm2[1]));
            }
            keep(tile, Own<M>::uv(LAYER, m), words);
        }
    }
    {
        Columns<1, INPUTS, C> hidden(tile, update.hidden.matrix.forward, part_of, place);
        float2 bias = two(update.hidden.bias, place.channel);
        share(tile, inputs(tile, tile.x(), 2));
        ask_for<OUTPUTS, DEPTH>(tile, update.out.matrix.forward);
#pragma unroll 1
        for (int m = 0; m < M; m += SIXTEENS<M>) {
            if constexpr (C > 1)
                if (!place.works()) break;
            float sum[SIXTEENS<M>][1][4] = {};
            hidden.multiply(sum, place.left(tile.x(), STRIDE_X) + 16 * m * STRIDE_X, 16 * STRIDE_X);
#pragma unroll
            for (int r = 0; r < SIXTEENS<M>; r++) hide(tile, place, m + r, Own<M>::before(LAYER, m + r), sum[r][0], bias);
        }
    }

    Columns<OUTPUTS, DEPTH, C> out(tile, update.out.matrix.forward, part_of, place);
    float2 bias[OUTPUTS];
#pragma unroll
    for (int part = 0; part < OUTPUTS; part++) bias[part] = two(update.out.bias, part * CHANNELS + place.channel);
    unsigned words[At::AGAIN_COUNT];
    if constexpr (C == 1) fetch(words, tile, Own<M>::uv(LAYER, 0) + At::AGAIN);
    share(tile, hidden_units(tile));
    if constexpr (FIRST)
        ask_for<1, DEPTH>(tile, student.phi_hidden.matrix.forward);
    else
        ask_for<1, 2 * DEPTH>(tile, update.out.matrix.backward);
#pragma unroll 1
    for (int m = 0; m < M; m++) {
        if constexpr (C > 1) {
            if (!place.works()) break;
            fetch(words, tile, Own<M>::uv(LAYER, 0) + At::AGAIN);
        }
        float acb[OUTPUTS][4] = {};
        unsigned factors[2 * (OUTPUTS - 1)];
        Half *to = place.in(tile.x(), STRIDE_X, m), *vectors = place.in(v, STRIDE_F, m);
        float* scalars = place.at(tile.q(), STRIDE_Q, m);
        out.multiply(acb, place.left(tile.h(), STRIDE_F) + 16 * m * STRIDE_F);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            Pair16 dot = two_floats(words[At::dot(half) - At::AGAIN]);
            factors[half] = two_halves(acb[1][2 * half] + bias[1].x, acb[1][2 * half + 1] + bias[1].y);
            Pair16 c = two_floats(factors[half]);
            float2& q = two(scalars, 8 * half * STRIDE_Q);
            q.x += fmaf(c.low, dot.low, acb[0][2 * half] + bias[0].x);
            q.y += fmaf(c.high, dot.high, acb[0][2 * half + 1] + bias[0].y);
            word(to, 8 * half * ROW_X<C>) = two_halves(q.x, q.y);
            if constexpr (!LAST) {
                factors[2 + half] = two_halves(acb[2][2 * half] + bias[2].x, acb[2][2 * half + 1] + bias[2].y);
                Pair16 b = two_floats(factors[2 + half]);
#pragma unroll
                for (int axis = 0; axis < 3; axis++) {
                    Pair16 u = two_floats(words[At::u(half, axis)]);
                    unsigned& v_word = word(vectors, axis * ROWS * STRIDE_F + 8 * half * ROW_F<C>);
                    Pair16 v = two_floats(v_word);
                    v_word = two_halves(fmaf(b.low, u.low, v.low), fmaf(b.high, u.high, v.high));
                }
            }
        }
        keep(tile, Own<M>::factors(LAYER, m), factors);
        // Asked for a product ahead.
        if (m + 1 < M) fetch(words, tile, Own<M>::uv(LAYER, m + 1) + At::AGAIN);
    }
    if constexpr (LAST) share(tile, inputs(tile, tile.x(), 1));
}
