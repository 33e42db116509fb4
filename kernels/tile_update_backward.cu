// The backward pass of a tile's updates, see tile_update.cu.
//
// Shapes: dq (M, F), dv (M, 3, F) → gradients by q (M, F), v (M, 3, F) and, of layer 0, t (M, 5, T)
#include "tile_update.cu"

// The gradients by x of a sixteen of rows, what was before the silu, from those by the hidden units.
template <int M, int C, int W>
__device__ __forceinline__ void hide_backward(const Tile<M, C, W>& tile, const Place<C>& place, int m, const unsigned (&before)[2],
                                              const float (&sum)[4]) {
    Half* h = place.in(tile.h(), STRIDE_F, m);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        Pair16 x = two_floats(before[half]);
        // Forward: h = silu(x)
        word(h, 8 * half * ROW_F<C>) =
            two_halves(sum[2 * half] * tile_silu_slope(x.low), sum[2 * half + 1] * tile_silu_slope(x.high));
    }
}

// The gradients by what was before the silu of a network, from those by its outputs in `x`.  They are shared first, with
// `more` bytes beside them, and `meanwhile` comes behind that.
template <int M, int C, int DEPTH, class Meanwhile, int W>
__device__ __forceinline__ void hidden_backward(const Tile<M, C, W>& tile, const Place<C>& place, const Columns<1, DEPTH, C>& out, Half* x,
                                                int stride, int network, int more, Meanwhile meanwhile) {
    unsigned words[SIXTEENS<M>][2];
    auto ask = [&](int m) {
#pragma unroll
        for (int r = 0; r < SIXTEENS<M>; r++) fetch(words[r], tile, Own<M>::before(network, m + r));
    };
    if constexpr (C == 1) ask(0);
    share_beside(tile, more, inputs(tile, x, DEPTH * 16 / CHANNELS));
    meanwhile();
#pragma unroll 1
    for (int m = 0; m < M; m += SIXTEENS<M>) {
        if constexpr (C > 1) {
            if (!place.works()) break;
            ask(m);
        }
        float sum[SIXTEENS<M>][1][4] = {};
        out.multiply(sum, place.left(x, stride) + 16 * m * stride, 16 * stride);
#pragma unroll
        for (int r = 0; r < SIXTEENS<M>; r++) hide_backward(tile, place, m + r, words[r], sum[r][0]);
        // Asked for a product ahead.
        if (m + SIXTEENS<M> < M) ask(m + SIXTEENS<M>);
    }
}

// The gradient by q is in `q`, that by v (none in the last layer) in `v` and `dv_before`.  Leaves the gradient by
// this update's q in `q` and
//   layer 1: g ⊙ dq in `h`, g' ⊙ dv in `v`, dv in `dv_before`: what the message's backward pass reads;
//   layer 0: g0 ⊙ dq in `h`, g1 ⊙ dv in `v`, g2 ⊙ dt in `phi`: what the density's reads.
template <int M, int C, int LAYER, int W>
__device__ __forceinline__ void tile_update_backward(const Tile<M, C, W>& tile, const TileStudent& student) {
    constexpr int ROWS = 16 * M, DEPTH = CHANNELS / 16;
    constexpr bool FIRST = LAYER == 0, LAST = LAYER == 1;
    const TileUpdate& update = student.update[LAYER];
    Place<C> place(tile.rank);
    auto part_of = [&](int part) { return part * TILE_WARPS + place.group; };
    using At = MixedWords<LAST>;

    // What V gets is laid down in `h` and `x`.  While `h` is read, x of the axes waits where what was before the silu
    // was kept.
    Half *of_u = tile.by_u(), *of_v = tile.by_v();

    // Forward: q += a + c (U·V), v += b U.  φ must stay until the message's turn, so the last layer uses `x`.
    Half* operand = LAST ? tile.operand() : tile.phi();
    constexpr int STRIDE = LAST ? STRIDE_X : STRIDE_PHI, ROW = LAST ? ROW_X<C> : ROW_PHI<C>;
    // The gradient by v; a cluster has it of its own channels, where the message has left it.
    Half* by_vectors = C == 1 ? tile.v() : tile.dv_before();
    constexpr int STRIDE_BY = C == 1 ? STRIDE_F : CHANNELS, AXIS_BY = Tile<M, C, W>::AXIS_BY;
    {
        unsigned all_words[M][At::AGAIN_COUNT];
#pragma unroll
        for (int m = 0; m < M && C == 1; m++) fetch(all_words[m], tile, Own<M>::uv(LAYER, m) + At::AGAIN);
        // The last layer begins without a barrier: a thread reads only what it has made itself, in the update or, of `q`,
        // in the readout, whose threads have the same places.
        if constexpr (!LAST && C == 1) {
            wait_for_copies();
            __syncthreads();
        }
#pragma unroll
        for (int m = 0; m < M; m++) {
            if constexpr (C > 1) {
                if (!place.works()) break;
                fetch(all_words[m], tile, Own<M>::uv(LAYER, m) + At::AGAIN);
            }
            const unsigned(&words)[At::AGAIN_COUNT] = all_words[m];
            Half *factors = place.in(operand, STRIDE, m), *vectors = place.at(by_vectors, STRIDE_BY, m);
            const float* scalars = place.at(tile.q(), STRIDE_Q, m);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                Pair16 dot = two_floats(words[At::dot(half) - At::AGAIN]);
                float2 dq = two(scalars, 8 * half * STRIDE_Q);
                word(factors, 8 * half * ROW) = two_halves(dq.x, dq.y);
                word(factors, 8 * half * ROW + ALL_CHANNELS<C>) = two_halves(dq.x * dot.low, dq.y * dot.high);
                if constexpr (!LAST) {
                    float db[2] = {0.0f, 0.0f};
#pragma unroll
                    for (int axis = 0; axis < 3; axis++) {
                        Pair16 dv = two_floats(word(vectors, (axis * ROWS + 8 * half) * STRIDE_BY));
                        Pair16 u = two_floats(words[At::u(half, axis)]);
                        db[0] = fmaf(dv.low, u.low, db[0]);
                        db[1] = fmaf(dv.high, u.high, db[1]);
                    }
                    word(factors, 8 * half * ROW + 2 * ALL_CHANNELS<C>) = two_halves(db[0], db[1]);
                }
            }
        }
        Columns<1, (LAST ? 2 : 3) * DEPTH, C> out(tile, update.out.matrix.backward, part_of, place);
        hidden_backward(tile, place, out, operand, STRIDE, LAYER, 0, [&] {
            ask_for<2, DEPTH, FIRST>(tile, update.hidden.matrix.backward);
        });
    }

    if constexpr (FIRST && TENSOR_CHANNELS > 0) {
        ByHalves<M, C> by_halves(tile.rank);
        Columns<1, DEPTH, C> hidden(tile, update.hidden.matrix.backward, [&](int) { return 2 * TILE_WARPS + by_halves.group; }, by_halves);
        unsigned words[5][2];
        float2 gate[2];
        auto ask = [&](int i) {
#pragma unroll
            for (int c = 0; c < 5; c++) fetch(words[c], tile, Own<M>::tensor(i, c));
#pragma unroll
            for (int half = 0; half < 2; half++)
                gate[half] = two(student.gate2, tile.batch.element[by_halves.row(i, half)] * TENSOR_CHANNELS + by_halves.channel);
        };
        if constexpr (C == 1) ask(0);
        share(tile, hidden_units(tile));
#pragma unroll 1
        for (int i = 0; i < ByHalves<M, C>::COUNT; i++) {
            if (!by_halves.has(i)) continue;
            if constexpr (C > 1) ask(i);
            float sum[1][4] = {};
            Half* tensors = by_halves.in(tile.phi(), STRIDE_T, i);
            hidden.multiply(sum, place.left(tile.h(), STRIDE_F) + by_halves.first_row(i) * STRIDE_F);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                Pair16 t[5];
                float norm2[2] = {student.norm_epsilon, student.norm_epsilon};
#pragma unroll
                for (int c = 0; c < 5; c++) {
                    t[c] = two_floats(words[c][half]);
                    norm2[0] = fmaf(t[c].low, t[c].low, norm2[0]);
                    norm2[1] = fmaf(t[c].high, t[c].high, norm2[1]);
                }
                // Forward: |t| = √(t·t + ε), t = g2 ⊙ A2 W2
                float d0 = sum[0][2 * half] * fast_inverse_root(norm2[0]) * gate[half].x;
                float d1 = sum[0][2 * half + 1] * fast_inverse_root(norm2[1]) * gate[half].y;
#pragma unroll
                for (int c = 0; c < 5; c++)
                    word(tensors, c * ROWS * STRIDE_T + 8 * half * ROW_T<C>) = two_halves(d0 * t[c].low, d1 * t[c].high);
            }
            if (C == 1 && i + 1 < ByHalves<M, C>::COUNT) ask(i + 1);
        }
    }

    // By q, and by U and V: what U gets goes to `v`.
    {
        Columns<2, DEPTH, C> hidden(tile, update.hidden.matrix.backward, part_of, place);
        unsigned factors[LAST ? 2 : 4], words[LAST ? 12 : 14];
        auto ask = [&](int m) {
            fetch(factors, tile, Own<M>::factors(LAYER, m));
            fetch(words, tile, Own<M>::uv(LAYER, m));
        };
        if constexpr (C == 1) ask(0);
        // Gradients by t were the first to read `h`.
        if constexpr (!(FIRST && TENSOR_CHANNELS > 0)) share(tile, hidden_units(tile));
        ask_for<1, 2 * DEPTH>(tile, update.mix.backward);
#pragma unroll 1
        for (int m = 0; m < M; m++) {
            if constexpr (C > 1) {
                if (!place.works()) break;
                ask(m);
            }
            float dx[2][4] = {};
            unsigned waiting[2];
            Half *by_u = place.in(of_u, STRIDE_F, m), *by_v = place.in(of_v, STRIDE_F, m);
            Half* vectors = place.at(by_vectors, STRIDE_BY, m);
            float* scalars = place.at(tile.q(), STRIDE_Q, m);
            hidden.multiply(dx, place.left(tile.h(), STRIDE_F) + 16 * m * STRIDE_F);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                TileMixed<LAST> mixed(words, half);
                Pair16 c = two_floats(factors[half]), b = LAST ? Pair16{} : two_floats(factors[(LAST ? 0 : 2) + half]);
                float2& dq = two(scalars, 8 * half * STRIDE_Q);
                // Forward: q += c (U·V), |V| = √(V·V + ε), v += b U
                float d_dot[2] = {dq.x * c.low, dq.y * c.high};
                float per_norm[2] = {dx[1][2 * half] * fast_inverse_root(mixed.norm2(0) + student.norm_epsilon),
                                     dx[1][2 * half + 1] * fast_inverse_root(mixed.norm2(1) + student.norm_epsilon)};
#pragma unroll
                for (int axis = 0; axis < 3; axis++) {
                    int at = axis * ROWS * STRIDE_F + 8 * half * ROW_F<C>;
                    float du[2] = {d_dot[0] * mixed.v[axis][0], d_dot[1] * mixed.v[axis][1]};
                    if constexpr (!LAST) {
                        Pair16 dv = two_floats(word(vectors, (axis * ROWS + 8 * half) * STRIDE_BY));
                        du[0] = fmaf(b.low, dv.low, du[0]);
                        du[1] = fmaf(b.high, dv.high, du[1]);
                    }
                    word(by_u, at) = two_halves(du[0], du[1]);
                    unsigned dv = two_halves(fmaf(per_norm[0], mixed.v[axis][0], d_dot[0] * mixed.u[axis][0]),
                                             fmaf(per_norm[1], mixed.v[axis][1], d_dot[1] * mixed.u[axis][1]));
                    if (axis == 0 && C == 1)
                        waiting[half] = dv;
                    else
                        word(by_v, at) = dv;
                }
                dq.x += dx[0][2 * half];
                dq.y += dx[0][2 * half + 1];
            }
            if constexpr (C == 1) keep(tile, Own<M>::before(LAYER, m), waiting);
            if (m + 1 < M) ask(m + 1);
        }
    }

    // dv = dU W_uᵀ + dV W_vᵀ.  A warp makes sixteen channels of every second sixteen of rows: it loads half of the rows
    // for the same products; in a cluster, eight channels of one axis.  Columns come a quarter at a time, asked for a
    // quarter ahead; a block alone overwrites rows when all are read.
    {
        constexpr int QUARTER = DEPTH / 2, GROUPS = C == 1 ? 2 : 1, AXES = C == 1 ? 3 : 1;
        static_assert(DEPTH % 2 == 0, "quarters of the columns");
        ByHalves<M, C, 16> by_halves(tile.rank);
        int group = 2 * by_halves.group + (C == 1 ? 0 : place.warp % 2), channel = by_halves.channel + (C == 1 ? 0 : place.warp % 2 * 8);
        int first_axis = C == 1 ? 0 : place.warp / 2;
        bool works = C == 1 || place.warp < 6;
        const uint2* groups[GROUPS];
        const uint2* copied = reinterpret_cast<const uint2*>(C == 1 ? nullptr : columns_asked_for(tile, 0)) + group % 2 * 4 * QUARTER * WARP + place.lane;
#pragma unroll
        for (int n = 0; n < GROUPS && C == 1; n++) groups[n] = update.mix.backward.group(group + n);
        uint2 columns[2][QUARTER][GROUPS];
        auto ask = [&](int quarter) {
            if (C > 1) return;
#pragma unroll
            for (int k = 0; k < QUARTER; k++)
#pragma unroll
                for (int n = 0; n < GROUPS; n++) columns[quarter % 2][k][n] = __ldcg(groups[n] + (quarter * QUARTER + k) * WARP);
        };
        if constexpr (C == 1) {
            unsigned words[M][2];
#pragma unroll
            for (int m = 0; m < M; m++) fetch(words[m], tile, Own<M>::before(LAYER, m));
            ask(0);
            ask(1);
            __syncthreads();
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int half = 0; half < 2; half++) word(place.at(of_v, STRIDE_F, 0), (16 * m + 8 * half) * STRIDE_F) = words[m][half];
            __syncthreads();
        } else {
            if constexpr (FIRST)
                share(tile, vectors(tile, of_u), vectors(tile, of_v), tensors(tile, tile.phi(), 5));
            else
                share(tile, vectors(tile, of_u), vectors(tile, of_v));
            if constexpr (LAST) ask_for<1, 3 * DEPTH>(tile, student.phi_out.matrix.backward);
        }

        constexpr int COUNT = ByHalves<M, C>::COUNT;
        float dv[COUNT][AXES][GROUPS][4] = {};
        unsigned made[COUNT][2][GROUPS][AXES + 1];
        if (works) {
#pragma unroll
            for (int quarter = 0; quarter < 4; quarter++) {
                const Half* x = place.left(quarter < 2 ? of_u : of_v, STRIDE_F) + quarter % 2 * QUARTER * 2 * EIGHT<C> + first_axis * ROWS * STRIDE_F;
#pragma unroll
                for (int i = 0; i < COUNT; i++) {
                    const Half* rows = x + by_halves.first_row(i) * STRIDE_F;
#pragma unroll
                    for (int k = 0; k < QUARTER; k++)
#pragma unroll
                        for (int axis = 0; axis < AXES; axis++) {
                            unsigned a[4];
                            load_matrices(a, rows + axis * ROWS * STRIDE_F + 2 * k * EIGHT<C>);
#pragma unroll
                            for (int n = 0; n < GROUPS; n++) multiply_add(dv[i][axis][n], a, C == 1 ? columns[quarter % 2][k][n] : copied[(quarter * QUARTER + k) * WARP]);
                        }
                }
                if (quarter < 2) ask(quarter + 2);
            }

#pragma unroll
            for (int i = 0; i < COUNT; i++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    int row = by_halves.row(i, half);
                    Half* before = tile.dv_before() + first_axis * AXIS_BY + row * CHANNELS + channel;
                    const float* scalars = tile.q() + row * STRIDE_Q + channel;
                    int by_element = tile.batch.element[row] * CHANNELS + channel;
#pragma unroll
                    for (int n = 0; n < GROUPS; n++) {
                        float2 gate = two(FIRST ? student.gate1 : student.gate_vector, by_element + 8 * n);
                        float2 gate_scalar = two(FIRST ? student.gate0 : student.gate_scalar, by_element + 8 * n), dq = two(scalars, 8 * n);
                        made[i][half][n][AXES] = two_halves(dq.x * gate_scalar.x, dq.y * gate_scalar.y);
#pragma unroll
                        for (int axis = 0; axis < AXES; axis++) {
                            float d[2] = {dv[i][axis][n][2 * half], dv[i][axis][n][2 * half + 1]};
                            unsigned& kept = word(before, axis * AXIS_BY + 8 * n);
                            if constexpr (LAST) {
                                if (C > 1 || by_halves.has(i)) kept = two_halves(d[0], d[1]);
                            } else {
                                // Forward: v += b U keeps v
                                Pair16 v = two_floats(kept);
                                d[0] += v.low;
                                d[1] += v.high;
                            }
                            made[i][half][n][axis] = two_halves(d[0] * gate.x, d[1] * gate.y);
                        }
                    }
                }
        }
        if constexpr (C == 1) __syncthreads();
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            if (C == 1 ? !by_halves.has(i) : !works) continue;
            int at = C == 1 ? by_halves.row(i, 0) * STRIDE_F + channel : place_of_eight(by_halves.row(i, 0), group);
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int n = 0; n < GROUPS; n++) {
#pragma unroll
                    for (int axis = 0; axis < AXES; axis++)
                        word(tile.dv() + at, (first_axis + axis) * ROWS * STRIDE_F + 8 * half * ROW_F<C> + 8 * n) = made[i][half][n][axis];
                    if (C == 1 || first_axis == 0) word(tile.h() + at, 8 * half * ROW_F<C> + 8 * n) = made[i][half][n][AXES];
                }
        }
    }
    share(tile, vectors(tile, tile.dv()), hidden_units(tile));
}
