// Sixteen rows of sixteen 4-byte numbers, turned round.
#pragma once
#include <cstdint>
#include <cstring>

#include "vector.h"

namespace canvaslm::dense {

#if defined(__AVX512F__)

inline void transpose(__m512i (&r)[16]) {
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; ++j) {
            b[i + 2 * j] = _mm512_unpacklo_epi64(a[i + j], a[i + j + 2]);
            b[i + 2 * j + 1] = _mm512_unpackhi_epi64(a[i + j], a[i + j + 2]);
        }
    for (int j = 0; j < 4; ++j) {
        __m512i even = _mm512_shuffle_i32x4(b[j], b[4 + j], 0x88);
        __m512i odd = _mm512_shuffle_i32x4(b[j], b[4 + j], 0xdd);
        __m512i even2 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0x88);
        __m512i odd2 = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0xdd);
        r[j] = _mm512_shuffle_i32x4(even, even2, 0x88);
        r[4 + j] = _mm512_shuffle_i32x4(odd, odd2, 0x88);
        r[8 + j] = _mm512_shuffle_i32x4(even, even2, 0xdd);
        r[12 + j] = _mm512_shuffle_i32x4(odd, odd2, 0xdd);
    }
}

#endif

// to[t][n] = from[n][t] for n below `outputs` and t below `tokens`, both at most 16; 16 columns of
// `from` may be read.
inline void turn(const float* from, int64_t stride, int64_t outputs, int64_t tokens, float* to,
                 int64_t to_stride) {
#if defined(__AVX512F__)
    __m512i r[16];
    for (int n = 0; n < 16; ++n)
        r[n] = n < outputs ? _mm512_loadu_si512(from + n * stride) : _mm512_setzero_si512();
    transpose(r);
    __mmask16 there = first(outputs);
    for (int t = 0; t < 16; ++t)
        if (t < tokens) _mm512_mask_storeu_epi32(to + t * to_stride, there, r[t]);
#else
    for (int64_t t = 0; t < tokens; ++t)
        for (int64_t n = 0; n < outputs; ++n) to[t * to_stride + n] = from[n * stride + t];
#endif
}

}  // namespace canvaslm::dense
