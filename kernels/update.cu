// Update: scalars and vectors of one atom mix (10.48550/arXiv.2102.03150, eq. 9–10).
//
//     U, V = v W_uv                       (M, 3, 2F)   product
//     x = [q, |V|, |t|]                   (M, I)       update_inputs; t in the first layer alone
//     a, c, b = silu(x W + w) W' + w'     (M, 3F)      two products; the last layer has no b
//     q += a + c ⊙ (U·V)                  (M, F)       update_apply
//     v += b ⊙ U                          (M, 3, F)
//
// with I = 2F, or 2F + T where there is t, and |V| = √(V·V + ε).
#include "arithmetic.cuh"
#include "sizes.cuh"

// U and V of one atom and channel.
struct Mixed {
    float u[3], v[3];

    __device__ Mixed(const float* uv, int row, int f) {
        for (int axis = 0; axis < 3; axis++) {
            u[axis] = uv[(size_t(row) * 3 + axis) * 2 * CHANNELS + f];
            v[axis] = uv[(size_t(row) * 3 + axis) * 2 * CHANNELS + CHANNELS + f];
        }
    }

    __device__ float dot() const { return fmaf(u[2], v[2], fmaf(u[1], v[1], u[0] * v[0])); }

    __device__ float norm(float norm_epsilon) const {
        return sqrtf(fmaf(v[2], v[2], fmaf(v[1], v[1], fmaf(v[0], v[0], norm_epsilon))));
    }
};

// |t| of one atom and tensor channel.
__device__ inline float tensor_norm(const float* t, int row, int f, float norm_epsilon) {
    float sum = norm_epsilon;
    for (int m = 0; m < 5; m++) {
        float x = t[(size_t(row) * 5 + m) * TENSOR_CHANNELS + f];
        sum = fmaf(x, x, sum);
    }
    return sqrtf(sum);
}

// One block a row, one thread a channel, here and below.
extern "C" __global__ void __launch_bounds__(CHANNELS) update_inputs(
    // constant
    int inputs, float norm_epsilon,
    // in
    const float* q, const float* uv, const float* t,
    // out
    float* x) {
    int row = blockIdx.x, f = threadIdx.x;
    float* x_row = x + size_t(row) * inputs;
    x_row[f] = q[size_t(row) * CHANNELS + f];
    x_row[CHANNELS + f] = Mixed(uv, row, f).norm(norm_epsilon);
    if (inputs > 2 * CHANNELS && f < TENSOR_CHANNELS) x_row[2 * CHANNELS + f] = tensor_norm(t, row, f, norm_epsilon);
}

extern "C" __global__ void __launch_bounds__(CHANNELS) update_apply(
    // constant: columns of `acb`, 3F or 2F
    int outputs,
    // in
    const float* acb, const float* uv,
    // in and out
    float* q, float* v) {
    int row = blockIdx.x, f = threadIdx.x;
    const float* out = acb + size_t(row) * outputs;
    Mixed mixed(uv, row, f);
    q[size_t(row) * CHANNELS + f] += fmaf(out[CHANNELS + f], mixed.dot(), out[f]);
    if (outputs == 2 * CHANNELS) return;
    float b = out[2 * CHANNELS + f];
    for (int axis = 0; axis < 3; axis++) {
        float* v_axis = v + (size_t(row) * 3 + axis) * CHANNELS + f;
        *v_axis = fmaf(b, mixed.u[axis], *v_axis);
    }
}

extern "C" __global__ void __launch_bounds__(CHANNELS) update_apply_backward(
    // constant
    int outputs,
    // in
    const float* uv, const float* dq, const float* dv,
    // out
    float* d_acb) {
    int row = blockIdx.x, f = threadIdx.x;
    float* d_out = d_acb + size_t(row) * outputs;
    Mixed mixed(uv, row, f);
    float d = dq[size_t(row) * CHANNELS + f];

    // Forward: q += a + c ⊙ (U·V)
    d_out[f] = d;
    d_out[CHANNELS + f] = d * mixed.dot();
    if (outputs == 2 * CHANNELS) return;

    // Forward: v += b ⊙ U
    float db = 0.0f;
    for (int axis = 0; axis < 3; axis++)
        db = fmaf(dv[(size_t(row) * 3 + axis) * CHANNELS + f], mixed.u[axis], db);
    d_out[2 * CHANNELS + f] = db;
}

extern "C" __global__ void __launch_bounds__(CHANNELS) update_inputs_backward(
    // constant; gates (E, F) and (E, T) of what comes before this update, or absent
    Batch batch, int inputs, int outputs, float norm_epsilon, const float* gate_scalar, const float* gate_tensor,
    // in
    const float* acb, const float* dx, const float* dv,
    // in and out: `uv` and `t` become their gradients, `dq` the gradient by the q of before
    float* uv, float* t, float* dq) {
    int row = blockIdx.x, f = threadIdx.x;
    const float* out = acb + size_t(row) * outputs;
    const float* dx_row = dx + size_t(row) * inputs;
    float* d_uv = uv + size_t(row) * 6 * CHANNELS;
    Mixed mixed(uv, row, f);
    float d = dq[size_t(row) * CHANNELS + f];
    float dc = d * out[CHANNELS + f];
    bool moves = outputs > 2 * CHANNELS;
    float b = moves ? out[2 * CHANNELS + f] : 0.0f;

    // Forward: |V| = √(V·V + ε)
    float d_norm = dx_row[CHANNELS + f] / mixed.norm(norm_epsilon);
    for (int axis = 0; axis < 3; axis++) {
        // Forward: q += a + c ⊙ (U·V), v += b ⊙ U
        float du = dc * mixed.v[axis];
        if (moves) du = fmaf(dv[(size_t(row) * 3 + axis) * CHANNELS + f], b, du);
        d_uv[axis * 2 * CHANNELS + f] = du;
        d_uv[axis * 2 * CHANNELS + CHANNELS + f] = fmaf(d_norm, mixed.v[axis], dc * mixed.u[axis]);
    }

    // Forward: x = [q, |V|, |t|], q = embedding + g ⊙ (A0 W0)
    int element = batch.element[row];
    float sum = d + dx_row[f];
    dq[size_t(row) * CHANNELS + f] = gate_scalar ? sum * gate_scalar[element * CHANNELS + f] : sum;

    // Forward: |t| = √(t·t + ε), t = g ⊙ (A2 W2)
    if (inputs == 2 * CHANNELS || f >= TENSOR_CHANNELS) return;
    float dt = dx_row[2 * CHANNELS + f] / tensor_norm(t, row, f, norm_epsilon);
    if (gate_tensor) dt *= gate_tensor[element * TENSOR_CHANNELS + f];
    for (int m = 0; m < 5; m++) t[(size_t(row) * 5 + m) * TENSOR_CHANNELS + f] *= dt;
}
