// Weight rows on their way into a product: a slab of 16 in the operand's type, in L1 or L2, where
// they are not read straight from the file's bytes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "panel.h"
#include "vector.h"

namespace canvaslm::dense {

// Twice the numbers that MXFP4 codes stand for: whole ones.
alignas(16) constexpr int8_t kTwiceE2m1[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                               0, -1, -2, -3, -4, -6, -8, -12};

inline int64_t row_bytes(const Matrix& w) {
    return w.format == Format::kFloat32                                     ? w.width * 4
           : w.format == Format::kBfloat16                                  ? w.width * 2
           : w.format == Format::kInt8                                      ? w.width
                                                                            : w.width / 2;
}
inline const uint8_t* row_of(const Matrix& w, int64_t n) {
    return static_cast<const uint8_t*>(w.data) + n * row_bytes(w);
}

// What 4-bit codes become.
struct Table {
    alignas(16) int8_t of[16];
    Table(Format format, int32_t offset) {
        for (int i = 0; i < 16; ++i)
            of[i] = int8_t((format == Format::kInt4 ? i - 8 : kTwiceE2m1[i]) + offset);
    }
};

// `bytes` packed bytes, two codes in each, to whole numbers in order; fills up multiples of 64.
inline void unpack(const uint8_t* p, int64_t bytes, const Table& table, uint8_t* out) {
#if defined(__AVX512BW__)
    __m512i values = _mm512_broadcast_i32x4(_mm_load_si128((const __m128i*)table.of));
    __m512i low = _mm512_set1_epi16(0x000f), high = _mm512_set1_epi16(0x0f00);
    for (int64_t i = 0; i < bytes; i += 32) {
        __mmask32 there = bytes - i >= 32 ? ~0u : (1u << (bytes - i)) - 1;
        __m512i pairs = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(there, p + i));
        __m512i later = _mm512_and_si512(_mm512_slli_epi16(pairs, 4), high);
        __m512i codes = _mm512_or_si512(_mm512_and_si512(pairs, low), later);
        _mm512_storeu_si512(out + 2 * i, _mm512_shuffle_epi8(values, codes));
    }
#else
    int64_t i = 0;
#if defined(__AVX2__)
    __m256i values = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i*)table.of));
    __m256i low = _mm256_set1_epi16(0x000f), high = _mm256_set1_epi16(0x0f00);
    for (; i + 16 <= bytes; i += 16) {
        __m256i pairs = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)(p + i)));
        __m256i later = _mm256_and_si256(_mm256_slli_epi16(pairs, 4), high);
        __m256i codes = _mm256_or_si256(_mm256_and_si256(pairs, low), later);
        _mm256_storeu_si256((__m256i*)(out + 2 * i), _mm256_shuffle_epi8(values, codes));
    }
#endif
    for (; i < bytes; ++i) {
        out[2 * i] = uint8_t(table.of[p[i] & 15]);
        out[2 * i + 1] = uint8_t(table.of[p[i] >> 4]);
    }
#endif
}

// A row's whole numbers as bytes, `offset` added to each.
inline void to_bytes(const Matrix& w, int64_t n, int32_t offset, uint8_t* out) {
    const uint8_t* row = row_of(w, n);
    if (w.format != Format::kInt8) return unpack(row, w.width / 2, Table(w.format, offset), out);
    const int64_t width = w.width;  // a copy: `out` could lie anywhere
    const uint8_t add = uint8_t(offset);
    for (int64_t k = 0; k < width; ++k) out[k] = uint8_t(row[k] + add);
}

inline uint16_t narrow(float exact) {
    uint32_t bits;
    std::memcpy(&bits, &exact, 4);
    return uint16_t(bits >> 16);
}

// A row as bfloat16: whole numbers up to 256 are exact. `bytes` is room for w.width rounded up.
inline void to_bfloat16(const Matrix& w, int64_t n, uint8_t* bytes, uint16_t* out) {
    if (w.format == Format::kBfloat16) {
        std::memcpy(out, row_of(w, n), size_t(w.width) * 2);
        return;
    }
    to_bytes(w, n, 0, bytes);
    const int64_t width = w.width;
    for (int64_t k = 0; k < width; ++k) out[k] = narrow(float(int8_t(bytes[k])));
}

inline void to_float32(const Matrix& w, int64_t n, float* out) {
    if (w.format == Format::kFloat32) {
        std::memcpy(out, row_of(w, n), size_t(w.width) * 4);
        return;
    }
    auto row = reinterpret_cast<const uint16_t*>(row_of(w, n));
    int64_t k = 0;
    for (; k + 16 <= w.width; k += 16) store(out + k, load(row + k));
    store(out + k, load(row + k, w.width - k), w.width - k);
}

// 2^(exponent - 128): half of an MXFP4 scale, since its codes are taken twice.
inline float half_scale(uint8_t exponent) {
    uint32_t bits = exponent > 1 ? uint32_t(exponent - 1) << 23 : exponent ? 0x400000 : 0x200000;
    float scale;
    std::memcpy(&scale, &bits, 4);
    return scale;
}

// The scales of a row's groups; 1 where a weight has none.
inline void scales_of(const Matrix& w, int64_t n, float* out) {
    if (!w.group) {
        *out = w.scale ? static_cast<const float*>(w.scale)[n] : 1.0f;
        return;
    }
    int64_t groups = w.width / w.group;
    if (w.format == Format::kInt4) {
        const uint16_t* row = static_cast<const uint16_t*>(w.scale) + n * groups;
        for (int64_t g = 0; g < groups; g += 16)
            store(out + g, load(row + g, groups - g), groups - g);
        return;
    }
    const uint8_t* row = static_cast<const uint8_t*>(w.scale) + n * groups;
    for (int64_t g = 0; g < groups; ++g) out[g] = half_scale(row[g]);
}

}  // namespace canvaslm::dense
