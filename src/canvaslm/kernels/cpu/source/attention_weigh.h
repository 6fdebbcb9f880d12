// From scores to weights: e^(score - top), of one row and one block; and what lasts between blocks.
//
// `top` follows the largest score only when that has grown by more than kSlack, so that sums are
// seldom scaled; weights then reach e^kSlack, which costs no accuracy. The row's own scores decide.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>

#include "attention_pack.h"
#include "vector.h"

namespace canvaslm::attention {

constexpr float kSlack = 8.0f;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

// Rows' running sums: the score that counts as 0, the sum of the weights, the weighted values
struct Sums {
    float* top;
    float* total;
    float* mixed;  // [row][width]
    int64_t width;
};

// 2^f for f in [-0.5, 0.5], exact at 0: relative error 2e-9 for float, 3e-6 for bfloat16
template <class E>
inline Vec fraction_power(Vec f) {
    if constexpr (sizeof(E) == 2) {
        Vec p = fma(f, set(9.582811606e-3f), set(5.590642151e-2f));
        p = fma(p, f, set(2.402409959e-1f));
        p = fma(p, f, set(6.931241947e-1f));
        return fma(p, f, set(1.0f));
    } else {
        Vec p = fma(f, set(1.535332562e-4f), set(1.339887463e-3f));
        p = fma(p, f, set(9.618437505e-3f));
        p = fma(p, f, set(5.550332471e-2f));
        p = fma(p, f, set(2.402264791e-1f));
        p = fma(p, f, set(6.931472029e-1f));
        return fma(p, f, set(1.0f));
    }
}

// e^x for x up to some 80; 0 for -inf; what is not a number stays none
template <class E>
inline Vec weight_of(Vec x) {
    const Vec log2_e = set(1.44269504f);
    Vec y = max(set(-120.0f), x), n = round(y * log2_e);
    Vec p = scaled(fraction_power<E>(fma(y, log2_e, set(0.0f) - n)), n);
#if defined(__AVX512F__)
    return p;  // which is 0 where y is -120
#else
    return select(less(x, set(-87.0f)), set(0.0f), p);
#endif
}

inline void put(float* p, Vec x) { store(p, x); }

#if defined(__AVX512BF16__)
inline void put(Bfloat* p, Vec x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(x.v));
}
#endif

inline void scale_row(float* row, int64_t width, float by) {
    for (int64_t i = 0; i < width; i += 16) store(row + i, load(row + i) * set(by));
}

// Scores of int8 keys times the keys' scales
inline void bear(float* scores, const float* scale, int64_t count) {
    for (int64_t i = 0; i < count; i += 16)
        store(scores + i, load(scores + i) * load(scale + i, count - i));
}

// The weights of the keys [low, high) of a block of `deep`, zero for the others; `scale` is what
// the values' numbers stand for, or null.
template <class E>
void weigh(float* scores, int64_t deep, int64_t low, int64_t high, const Sums& sums, int64_t row,
           E* weights, const float* scale) {
    for (int64_t i = 0; i < low && i < deep; ++i) scores[i] = kNothing;
    for (int64_t i = std::max<int64_t>(high, 0); i < deep; ++i) scores[i] = kNothing;
    Vec highest = load(scores);
    for (int64_t i = 16; i < deep; i += 16) highest = max(highest, load(scores + i));
    float best = largest(highest), &top = sums.top[row], &total = sums.total[row];
    if (best > top + kSlack || (top == kNothing && best > top)) {
        if (total > 0) {
            float shrunk = std::exp(top - best);
            total *= shrunk;
            scale_row(sums.mixed + row * sums.width, sums.width, shrunk);
        }
        top = best;
    }
    Vec sum = set(0.0f), base = set(top == kNothing ? 0.0f : top);
    for (int64_t i = 0; i < deep; i += 16) {
        Vec p = weight_of<E>(load(scores + i) - base);
        sum += p;
        put(weights + i, scale ? p * load(scale + i) : p);
    }
    total += canvaslm::sum(sum);
}

// A later part of the keys joins what the earlier ones have come to.
inline void merge(float* mixed, int64_t width, float& top, float& total, const float* part,
                  float part_top, float part_total) {
    if (part_total == 0) return;
    float highest = std::max(top, part_top);
    float old = total == 0 ? 0.0f : std::exp(top - highest), fresh = std::exp(part_top - highest);
    for (int64_t i = 0; i < width; i += 16) {
        Vec sum = load(part + i, width - i) * set(fresh);
        if (total > 0) sum = fma(load(mixed + i, width - i), set(old), sum);
        store(mixed + i, sum, width - i);
    }
    total = total * old + part_total * fresh;
    top = highest;
}

// What has been weighed, over the sum of the weights
inline void finish(const float* mixed, int64_t width, float total, float* out) {
    Vec share = set(1.0f / total);
    for (int64_t i = 0; i < width; i += 16)
        store(out + i, load(mixed + i, width - i) * share, width - i);
}

}  // namespace canvaslm::attention
