// Q, K and V as the products of attention read them. E is what is multiplied: float, or bfloat16
// in pairs of neighbours in depth.
//
//   rows    [row][depth]                           Q and the weights of V
//   panels  [width / 16][depth / pair][16][pair]   K (of depth d, as wide as keys), V (the reverse)
//
// Padding is zero. int8 numbers become bfloat16 or float as they are; their scales are for the
// scores and the weights to bear.
#pragma once
#include <cstdint>
#include <cstring>

#include "attention.h"
#include "vector.h"

namespace canvaslm::attention {

using Bfloat = uint16_t;

template <class E>
constexpr int64_t kPair = sizeof(E) == 2 ? 2 : 1;

// products take this much depth at a time
#if defined(__AMX_BF16__)
template <class E>
constexpr int64_t kDepth = sizeof(E) == 2 ? 32 : 1;
#else
template <class E>
constexpr int64_t kDepth = kPair<E>;
#endif

inline float number(float x) { return x; }
inline float number(int8_t x) { return x; }
inline float number(Bfloat x) {
    uint32_t bits = static_cast<uint32_t>(x) << 16;
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}
inline void put(float* p, float x) { *p = x; }
inline void put(Bfloat* p, float x) {  // x is a number that bfloat16 can hold
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    *p = static_cast<Bfloat>(bits >> 16);
}

template <class E, class In>
void pack_row(const In* row, int64_t size, E* out, int64_t depth) {
    for (int64_t i = 0; i < size; ++i) put(out + i, number(row[i]));
    for (int64_t i = size; i < depth; ++i) out[i] = 0;
}

#if defined(__AVX512BF16__)

inline __m512 widened(const int8_t* p, int64_t left) {
    __m128i bytes = left >= 16 ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))
                               : _mm_maskz_loadu_epi8(first(left), p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

// 16 lanes of 32 bits of a row: 16 floats or 32 bfloat16, zero from the `left`-th on
template <class E, class In>
inline __m512i lanes(const In* p, int64_t left) {
    if constexpr (sizeof(E) == sizeof(In)) {
        if (left >= 16 * kPair<E>) return _mm512_loadu_si512(p);
        if constexpr (sizeof(E) == 4)
            return _mm512_maskz_loadu_epi32(first(left), p);
        else
            return _mm512_maskz_loadu_epi16((1u << (left < 0 ? 0 : left)) - 1, p);
    } else if constexpr (sizeof(E) == 4) {
        return _mm512_castps_si512(widened(p, left));
    } else {
        return (__m512i)_mm512_cvtne2ps_pbh(widened(p + 16, left - 16), widened(p, left));
    }
}

// 16 rows of 16 lanes become 16 columns
inline void transpose(__m512i (&x)[16]) {
    __m512i y[16];
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        y[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
        y[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
        y[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
        y[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; ++i) {
        x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
    }
}

#endif

// Keys rows[0..count) become panels of 16 keys; `depth` is d with its padding.
template <class E, class In>
void pack_keys(const In* const* rows, int64_t count, int64_t size, int64_t depth, E* out) {
    constexpr int64_t kStep = 16 * kPair<E>;
    for (int64_t at = 0; at < count; at += 16, out += depth * 16) {
        int64_t here = count - at < 16 ? count - at : 16;
#if defined(__AVX512BF16__)
        for (int64_t d = 0; d < depth; d += kStep) {
            __m512i x[16];
            for (int i = 0; i < 16; ++i)
                x[i] = i < here ? lanes<E>(rows[at + i] + d, size - d) : _mm512_setzero_si512();
            transpose(x);
            int64_t columns = (depth - d) / kPair<E> < 16 ? (depth - d) / kPair<E> : 16;
            for (int64_t i = 0; i < columns; ++i)
                _mm512_storeu_si512(out + d * 16 + i * kStep, x[i]);
        }
#else
        for (int64_t i = 0; i < 16; ++i)
            for (int64_t d = 0; d < depth; ++d) {
                E* to = out + d / kPair<E> * kStep + i * kPair<E> + d % kPair<E>;
                i < here && d < size ? put(to, number(rows[at + i][d])) : put(to, 0);
            }
#endif
    }
}

#if defined(__AVX512BF16__)

// Two rows of 32 bfloat16 as two panels' worth of pairs
template <class In>
inline void pair_up(const In* even, const In* odd, int64_t left, Bfloat* low, Bfloat* high) {
    const __m512i zero = _mm512_setzero_si512();
    __m512i a = even ? lanes<Bfloat>(even, left) : zero, b = odd ? lanes<Bfloat>(odd, left) : zero;
    __m512i near = _mm512_unpacklo_epi16(a, b), far = _mm512_unpackhi_epi16(a, b);
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    _mm512_storeu_si512(low, _mm512_permutex2var_epi64(near, first, far));
    if (high) _mm512_storeu_si512(high, _mm512_permutex2var_epi64(near, second, far));
}

#endif

// Values rows[0..count) become panels of 16 columns; `depth` is `count` with its padding.
template <class E, class In>
void pack_values(const In* const* rows, int64_t count, int64_t size, int64_t depth, E* out) {
    int64_t panel = depth * 16;
#if defined(__AVX512BF16__)
    if constexpr (sizeof(E) == 2) {
        for (int64_t d = 0; d < size; d += 32, out += 2 * panel)
            for (int64_t k = 0; k < depth; k += 2) {
                const In* even = k < count ? rows[k] + d : nullptr;
                const In* odd = k + 1 < count ? rows[k + 1] + d : nullptr;
                E* high = d + 16 < size ? out + panel + k * 16 : nullptr;
                pair_up(even, odd, size - d, out + k * 16, high);
            }
        return;
    } else {
        for (int64_t k = 0; k < depth; ++k)
            for (int64_t d = 0; d < size; d += 16)
                _mm512_storeu_si512(out + d / 16 * panel + k * 16,
                                    k < count ? lanes<E>(rows[k] + d, size - d)
                                              : _mm512_setzero_si512());
        return;
    }
#endif
    for (int64_t k = 0; k < depth; ++k)
        for (int64_t d = 0; d < padded(size, 16); ++d) {
            E* to = out + d / 16 * panel + k / kPair<E> * 16 * kPair<E> + d % 16 * kPair<E> +
                    k % kPair<E>;
            k < count && d < size ? put(to, number(rows[k][d])) : put(to, 0);
        }
}

}  // namespace canvaslm::attention
