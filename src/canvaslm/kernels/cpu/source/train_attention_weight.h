// From scores to weights, in powers of 2, and on to what the gradient makes of them.
#pragma once
#include <bit>

#include "attention_weigh.h"
#include "train_attention_room.h"

namespace canvaslm::train {

constexpr float kLog2E = 1.44269504f;
constexpr float kHidden = -1e30f;  // a score that is not seen; finite, so that no NaN comes of it

// Lanes `from` to `to` of sixteen scores are kept, the others hidden.
inline void keep(float* scores, int64_t from, int64_t to) {
    alignas(64) static constexpr float kLane[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                    8, 9, 10, 11, 12, 13, 14, 15};
    const Vec lane = load(kLane), hidden = set(kHidden), x = load(scores);
    const Vec early = select(less(lane, set(static_cast<float>(to))), x, hidden);
    store(scores, select(less(lane, set(static_cast<float>(from))), hidden, early));
}

// What a query does not see, hidden from it. Whole vectors are written: what is read back in other
// pieces than it was written in has to wait.
inline void hide(float* scores, Sight seen, const Span& span) {
    const int64_t low = seen.low - span.first, high = seen.high - span.first;
    for (int64_t at = 0; at < low; at += 16) keep(scores + at, low - at, 16);
    for (int64_t at = high / 16 * 16; at < span.width(); at += 16) keep(scores + at, 0, high - at);
}

// e^score / 2^base; what is not a number stays none
template <class E>
inline Vec weight_of(Vec score, float base) {
    Vec y = fma(score, set(kLog2E), set(-base));
#if defined(__AVX512F__)
    Vec n = round(y);
    return scaled(attention::fraction_power<E>(y - n), n);
#else
    const Vec least = set(-126);
    Vec least_y = max(least, y), n = round(least_y);
    Vec p = scaled(attention::fraction_power<E>(least_y - n), n);
    return select(less(y, least), set(0), p);
#endif
}

// One query of a tile: its scores, then P; dP, then dS. P = e^score / 2^base, dS = P (dP - delta).
struct Line {
    float *p, *ds;
    float base, delta;
};

inline void soften_line(Line line, int64_t width) {
    for (int64_t i = 0; i < width; i += 16) {
        Vec weight = weight_of<float>(load(line.p + i), line.base);
        store(line.p + i, weight);
        store(line.ds + i, weight * (load(line.ds + i) - set(line.delta)));
    }
}

#if defined(__AVX512BF16__)

// Sixteen numbers of one row and sixteen of another, taken in turns
inline __m512i in_turns(__m512i two) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i other = _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(16)), 16);
    return _mm512_permutexvar_epi16(_mm512_or_si512(lane, other), two);
}

// Two queries: pairs of P and of dS go in the place of the first one's scores and dP, and dS into
// two rows of `grads`, too.
inline void soften_pair(Line a, Line b, int64_t width, Bfloat* grads, int64_t stride) {
    for (int64_t i = 0; i < width; i += 16) {
        Vec one = weight_of<Bfloat>(load(a.p + i), a.base);
        Vec two = weight_of<Bfloat>(load(b.p + i), b.base);
        Vec one_ds = one * (load(a.ds + i) - set(a.delta));
        Vec two_ds = two * (load(b.ds + i) - set(b.delta));
        __m512i p = (__m512i)_mm512_cvtne2ps_pbh(two.v, one.v);
        __m512i ds = (__m512i)_mm512_cvtne2ps_pbh(two_ds.v, one_ds.v);
        _mm512_storeu_si512(a.p + i, in_turns(p));
        _mm512_storeu_si512(a.ds + i, in_turns(ds));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(grads + i), _mm512_castsi512_si256(ds));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(grads + stride + i),
                            _mm512_extracti64x4_epi64(ds, 1));
    }
}

#endif

// log2(x) of positive numbers, within 2 units in the last place; loops over it become vectors
inline float log_2(float x) {
    const uint32_t bits = std::bit_cast<uint32_t>(x), shifted = bits - 0x3f3504f3;  // sqrt(1 / 2)
    const float n = static_cast<float>(static_cast<int32_t>(shifted) >> 23);
    const float m = std::bit_cast<float>(bits - (shifted & 0xff800000));
    const float s = (m - 1) / (m + 1), z = s * s;
    const float p = ((z * .320598898f + .412198583f) * z + .577078016f) * z + .961796694f;
    return (p * z + 2.88539008f) * s + n;
}

}  // namespace canvaslm::train
