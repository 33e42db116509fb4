// Elementary functions made of + − × ÷ √ and fused multiply-add alone.
//
// IEEE 754 defines these to the last bit, so every GPU and the host give the same bits; kernels are
// compiled without contraction, and a fused operation stands only where it is written.
#pragma once

constexpr double PI = 3.14159265358979323846;
constexpr double LN_2 = 0.693147180559945309417;
constexpr double SQRT_2 = 1.41421356237309504880;

// Horner's scheme, highest coefficient first.
template <int COUNT>
__device__ inline double polynomial(double x, const double (&coefficients)[COUNT]) {
    double sum = coefficients[0];
#pragma unroll
    for (int n = 1; n < COUNT; n++) sum = sum * x + coefficients[n];
    return sum;
}

// ── State: the same operations in the same order as src/math.rs ──────────────────────────────────

// Natural logarithm of a normal, positive number: x = m 2^e, ln m = 2 artanh((m − 1)/(m + 1)).
__device__ inline double natural_logarithm(double x) {
    long long bits = __double_as_longlong(x);
    long long exponent = (bits >> 52) - 1023;
    double m = __longlong_as_double((bits & 0xFFFFFFFFFFFFFLL) | 0x3FF0000000000000LL);
    if (m > SQRT_2) {
        m *= 0.5;
        exponent += 1;
    }
    double s = (m - 1.0) / (m + 1.0);
    const double inverse_odd[] = {1.0 / 21.0, 1.0 / 19.0, 1.0 / 17.0, 1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0,
                                  1.0 / 9.0,  1.0 / 7.0,  1.0 / 5.0,  1.0 / 3.0,  1.0};
    return double(exponent) * LN_2 + 2.0 * s * polynomial(s * s, inverse_odd);
}

// sin and cos of `turns` full turns, 0 ≤ turns < 1, from the nearest quarter turn.
__device__ inline void sin_cos_of_turns(double turns, double& sine, double& cosine) {
    double quarter = floor(4.0 * turns + 0.5);
    double x = (4.0 * turns - quarter) * (PI / 2.0);
    double x2 = x * x;
    const double of_sine[] = {
        1.0 / 355687428096000.0, -1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0,
        1.0 / 362880.0,          -1.0 / 5040.0,          1.0 / 120.0,        -1.0 / 6.0,
        1.0};
    const double of_cosine[] = {
        1.0 / 20922789888000.0, -1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0,
        1.0 / 40320.0,          -1.0 / 720.0,         1.0 / 24.0,        -0.5,
        1.0};
    double s = x * polynomial(x2, of_sine);
    double c = polynomial(x2, of_cosine);
    int n = int(quarter) & 3;
    sine = n == 0 ? s : n == 1 ? c : n == 2 ? -s : -c;
    cosine = n == 0 ? c : n == 1 ? -s : n == 2 ? -c : s;
}

// ── Network: the same formulas as src/student/real.rs ────────────────────────────────────────────

// eˣ for |x| ≤ 87, constant beyond; x = n ln 2 + s, and Σ sᵐ/m! to m = 7.
__device__ inline float exponential(float x) {
    const float to_integer = 12582912.0f;  // 1.5 · 2²³: the integer then stands in the low bits
    x = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
    float shifted = fmaf(x, 1.44269504f, to_integer);
    float n = shifted - to_integer;
    float s = fmaf(-n, -1.9046543e-9f, fmaf(-n, 0.693147182f, x));
    float sum = 1.0f / 5040.0f;
    sum = fmaf(sum, s, 1.0f / 720.0f);
    sum = fmaf(sum, s, 1.0f / 120.0f);
    sum = fmaf(sum, s, 1.0f / 24.0f);
    sum = fmaf(sum, s, 1.0f / 6.0f);
    sum = fmaf(sum, s, 0.5f);
    sum = fmaf(sum, s, 1.0f);
    sum = fmaf(sum, s, 1.0f);
    return sum * __uint_as_float((__float_as_uint(shifted) << 23) + 0x3F800000u);
}

// eˣ in f64 for |x| ≤ 708, likewise to m = 13.
__device__ inline double exponential(double x) {
    const double to_integer = 6755399441055744.0;  // 1.5 · 2⁵²
    x = x < -708.0 ? -708.0 : x > 708.0 ? 708.0 : x;
    double shifted = fma(x, 1.44269504088896340736, to_integer);
    double n = shifted - to_integer;
    double s = fma(-n, 2.3190468138462996e-17, fma(-n, LN_2, x));
    const double inverse_factorials[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                                         1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
                                         1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5,
                                         1.0,                1.0};
    double sum = inverse_factorials[0];
#pragma unroll
    for (int m = 1; m < 14; m++) sum = fma(sum, s, inverse_factorials[m]);
    return sum * __longlong_as_double((__double_as_longlong(shifted) << 52) + 0x3FF0000000000000LL);
}

// sin(πy) and cos(πy): y = ½n + t with |t| ≤ ¼, and Taylor's polynomials of πt.
__device__ inline void sin_cos_of_pi(double y, double& sine, double& cosine) {
    double n = floor(2.0 * y + 0.5);
    double x = PI * fma(n, -0.5, y);
    double z = -(x * x);
    const double odd[] = {1.0 / 355687428096000.0, 1.0 / 1307674368000.0, 1.0 / 6227020800.0,
                          1.0 / 39916800.0,        1.0 / 362880.0,        1.0 / 5040.0,
                          1.0 / 120.0,             1.0 / 6.0,             1.0};
    const double even[] = {1.0 / 20922789888000.0, 1.0 / 87178291200.0, 1.0 / 479001600.0,
                           1.0 / 3628800.0,        1.0 / 40320.0,       1.0 / 720.0,
                           1.0 / 24.0,             0.5,                 1.0};
    double s = odd[0], c = even[0];
#pragma unroll
    for (int m = 1; m < 9; m++) {
        s = fma(s, z, odd[m]);
        c = fma(c, z, even[m]);
    }
    s *= x;
    int quadrant = int(n) & 3;
    sine = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
    cosine = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
}

// silu(x) = x σ(x), σ(x) = 1/(1 + e⁻ˣ)
__device__ inline float silu(float x) { return x / (1.0f + exponential(-x)); }

// silu'(x) = σ (1 + x (1 − σ))
__device__ inline float silu_slope(float x) {
    float sigma = 1.0f / (1.0f + exponential(-x));
    return sigma * fmaf(x, 1.0f - sigma, 1.0f);
}
