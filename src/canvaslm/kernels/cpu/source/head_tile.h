// One tile of logits, 64 tokens of the vocabulary by 16 positions, while it lies in L1: capped,
// biased, and summed up in what the merge needs. Lanes are positions, so all of it is vertical.
#pragma once
#include <cmath>
#include <cstdint>

#include "panel.h"
#include "vector.h"

namespace canvaslm::head {

constexpr int64_t kTile = 64;
constexpr int64_t kStatistics = 4;  // m, r, u and i of a tile, 16 lanes each

// y = cap tanh(x / cap) + bias; z = y / temperature = y * steep * ln 2.
struct Shape {
    float cap;  // 0: none
    float temperature;
    const float* bias_V;  // or null

    float steep() const { return 1.44269504f / temperature; }
};

// p 2^n of whole numbers n from -126 to 127.
inline Vec times_power_of_2(Vec p, Vec n) {
#if defined(__AVX512F__)
    return {_mm512_scalef_ps(p.v, n.v)};
#else
    return p * power_of_2(n);
#endif
}

// 2^x of x from -125 to 127, within one unit in the last place.
inline Vec exp2_above(Vec x) {
    Vec n = round(x), f = x - n;
    Vec p = fma(f, set(1.5353351773e-4f), set(1.3398887822e-3f));
    p = fma(p, f, set(9.6184378480e-3f));
    p = fma(p, f, set(5.5503323674e-2f));
    p = fma(p, f, set(2.4022647738e-1f));
    p = fma(p, f, set(6.9314718246e-1f));
    p = fma(p, f, set(1.0f));
    return times_power_of_2(p, n);
}

constexpr float kLowest = -125;  // powers of 2 below it count as 0

inline Vec exp2(Vec x) {
    const Vec lowest = set(kLowest);
    return select(less(x, lowest), set(0.0f), exp2_above(max(x, lowest)));
}

// cap tanh(x / cap) = x + x s P(s) / Q(s), s = (x / cap)^2: x (1 + s P / Q) was fitted for the least
// relative error (2e-8) up to x = 9 cap, where tanh rounds to 1. Logits are seldom above the cap,
// and there the rounding is little more than that of the last addition.
struct Cap {
    Vec end, inverse_square;

    explicit Cap(float cap)
        : end(set(9 * cap)), inverse_square(set(float(1 / (double(cap) * cap)))) {}

    Vec operator()(Vec x) const {
        x = min(end, max(set(0.0f) - end, x));  // in this order NaN stays NaN
        Vec s = x * x * inverse_square;
        Vec p = fma(s, set(-7.64299779e-07f), set(-3.07954157e-04f));
        p = fma(p, s, set(-2.23813883e-02f));
        p = fma(p, s, set(-3.33333150e-01f));
        Vec q = fma(s, set(7.7765441e-7f), set(3.2856321e-4f));
        q = fma(q, s, set(2.5876975e-2f));
        q = fma(q, s, set(4.6714339e-1f));
        q = fma(q, s, set(1.0f));
        return fma(x * s, p / q, x);
    }
};

// Where all is -inf, -inf minus the largest must not become NaN.
inline Vec finite(Vec largest) {
    return select(less(set(-INFINITY), largest), largest, set(0.0f));
}

// The power of two that the weights kept of a tile are written in units of; its own maximum is
// worth 2^rest of them.
inline Vec unit(Vec largest, Vec steep) { return round(finite(largest) * steep); }
inline Vec rest(Vec largest, Vec steep) {
    Vec exact = finite(largest) * steep;
    return exact - round(exact);
}

// Caps and biases `count` rows of c in place and gives the largest y; NaN never is. Row v is
// `stride` floats after row v - 1.
template <bool kCapped, bool kBiased>
inline Vec bend(float* c, int64_t stride, int64_t count, const Shape& shape, int64_t v0) {
    const Cap cap(kCapped ? shape.cap : 1.0f);
    Vec largest = set(-INFINITY);
    for (int64_t v = 0; v < count; ++v) {
        Vec y = load(c + v * stride);
        if constexpr (kCapped) y = cap(y);
        if constexpr (kBiased) y = y + set(shape.bias_V[v0 + v]);
        if constexpr (kCapped || kBiased) store(c + v * stride, y);
        largest = max(y, largest);
    }
    return largest;
}

inline Vec bend(float* c, int64_t stride, int64_t count, const Shape& shape, int64_t v0) {
    if (shape.bias_V)
        return shape.cap > 0 ? bend<true, true>(c, stride, count, shape, v0)
                             : bend<false, true>(c, stride, count, shape, v0);
    return shape.cap > 0 ? bend<true, false>(c, stride, count, shape, v0)
                         : bend<false, false>(c, stride, count, shape, v0);
}

// Writes m, r, u, i: the largest y, the sum of e^(z - m) and of (z - m) e^(z - m) over all but the
// first of the largest, and which that is. keep(v, weight) gets 2^(y steep - unit). From the last
// token to the first, so that of equal ones the first has the last word.
template <class Keep>
inline void sum_up(const float* c, int64_t stride, int64_t count, Vec largest, float steep_,
                   float* statistics, Keep&& keep) {
    const Vec steep = set(steep_), m = finite(largest), zero = set(0.0f), one = set(1.0f);
    const Vec unit_of_m = exp2(rest(largest, steep)), lowest = set(kLowest);
    Vec r = zero, u = zero, index = zero, equal = zero;
    for (int64_t v = count - 1; v >= 0; --v) {
        Vec y = load(c + v * stride);
        Vec t = max(lowest, (y - m) * steep), e = exp2_above(t);
        Mask smaller = less(y, m);
        index = select(smaller, index, set(float(v)));
        equal += select(smaller, zero, one);
        r += select(smaller, e, zero);
        u = fma(t, e, u);
        keep(v, e * unit_of_m);
    }
    store(statistics, largest);
    store(statistics + 16, r + max(equal - one, zero));
    store(statistics + 32, u * set(0.69314718f));
    store(statistics + 48, index);
}

}  // namespace canvaslm::head
