// What `believe` keeps so that `soften` need not see the logits again.
#pragma once
#include <cstdint>
#include <cstring>

#include "head_tile.h"

namespace canvaslm::head {

// The probability of token v of tile k at position t is
//   weights[k][t][v] * 2^shift[t][k] * norm[t]
// The weights, in (0, 1.42], are bfloat16, or float32 where the rows are. T is padded to 16.
struct Kept {
    void* weights;  // [tiles][T][64]
    float* share;   // [T][tiles]: of the tile, a probability
    int16_t* shift;
    float* norm;
    int64_t tokens;
    int32_t wide;  // the weights are float32
};

inline int64_t tiles_of(int64_t vocabulary) { return (vocabulary + kTile - 1) / kTile; }

inline uint16_t to_bfloat16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// [64][16] as it is computed, to [16][64] as it is kept.
inline void keep_tile(const float* by_token, float* kept) {
    for (int64_t t = 0; t < kLanes; ++t)
        for (int64_t v = 0; v < kTile; ++v) kept[t * kTile + v] = by_token[v * kLanes + t];
}

#if defined(__AVX512BF16__)

// Row i of 16 becomes column i.
inline void turn(__m512i* row) {
    __m512i a[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; ++j) {
            row[i + 2 * j] = _mm512_unpacklo_epi64(a[i + j], a[i + j + 2]);
            row[i + 2 * j + 1] = _mm512_unpackhi_epi64(a[i + j], a[i + j + 2]);
        }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 16; j += 8) {
            a[j + i] = _mm512_shuffle_i32x4(row[j + i], row[j + i + 4], 0x88);
            a[j + i + 4] = _mm512_shuffle_i32x4(row[j + i], row[j + i + 4], 0xdd);
        }
    for (int i = 0; i < 8; ++i) {
        row[i] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0x88);
        row[i + 8] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0xdd);
    }
}

// Two neighbours are one number of 32 bits, and past the caches they go: it is much to write, and
// not read before the whole vocabulary has been seen.
inline void keep_tile(const float* by_token, uint16_t* kept) {
    alignas(64) static constexpr uint16_t kPairs[32] = {
        0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i pairs = _mm512_load_si512(kPairs);
    for (int64_t half = 0; half < 2; ++half) {
        __m512i row[16];
        for (int i = 0; i < 16; ++i) {
            const float* from = by_token + (half * 32 + 2 * i) * kLanes;
            __m512bh both = _mm512_cvtne2ps_pbh(load(from + kLanes).v, load(from).v);
            row[i] = _mm512_permutexvar_epi16(pairs, (__m512i)both);
        }
        turn(row);
        for (int t = 0; t < 16; ++t)
            _mm512_stream_si512((__m512i*)(kept + t * kTile + half * 32), row[t]);
    }
}

#else

inline void keep_tile(const float* by_token, uint16_t* kept) {
    for (int64_t t = 0; t < kLanes; ++t)
        for (int64_t v = 0; v < kTile; ++v)
            kept[t * kTile + v] = to_bfloat16(by_token[v * kLanes + t]);
}

#endif

}  // namespace canvaslm::head
