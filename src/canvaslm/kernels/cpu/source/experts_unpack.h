// Weights as the dots take them: rows of unsigned bytes (w + offset), of signed ones where the dot
// takes those, bfloat16 or float32.
//
// A format gives `numbers` of some inputs of a row, for each kind of dot, and `scales` of all
// groups of a row. Where weights have no groups (kGrouped false) a sum runs over the whole row and
// `last` scales it.
#pragma once
#include <cstdint>
#include <cstring>

#include "experts_dots.h"
#include "panel.h"

namespace canvaslm {

// 2 bytes each: low nibble, high nibble
inline void nibbles(uint8_t* out, const uint8_t* packed, int count) {
    for (int i = 0; i < count / 2; ++i) {
        out[2 * i] = packed[i] & 15;
        out[2 * i + 1] = packed[i] >> 4;
    }
}

#if defined(__AVX2__)
inline __m256i nibbles(const uint8_t* packed) {  // 16 bytes to 32
    __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)packed));
    __m256i both = _mm256_or_si256(wide, _mm256_slli_epi16(wide, 4));
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}
#endif
#if defined(__AVX512BW__)
inline __m512i nibbles64(const uint8_t* packed) {  // 32 bytes to 64
    constexpr int kOrThenAnd = 0xa8;
    __m512i wide = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i*)packed));
    __m512i moved = _mm512_slli_epi16(wide, 4);
    return _mm512_ternarylogic_epi32(wide, moved, _mm512_set1_epi8(15), kOrThenAnd);
}
#endif

// Bytes with an offset to bfloat16 or float32; all of them are exact.
inline void widen(uint16_t* out, const uint8_t* in, int count, int offset) {
    for (int i = 0; i < count; ++i) {
        float value = static_cast<float>(in[i] - offset);
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        out[i] = static_cast<uint16_t>(bits >> 16);
    }
}

struct Int4 {
    static constexpr bool kGrouped = true;
    static constexpr int kOffset = 8;
    template <bool SIGNED>
    static void numbers(uint8_t* out, const char* row, int64_t first, int count) {
        constexpr char kLess = SIGNED ? kOffset : 0;
        const uint8_t* from = reinterpret_cast<const uint8_t*>(row) + first / 2;
#if defined(__AVX512BW__)
        if (count == 64)
            return _mm512_store_si512(
                out, _mm512_sub_epi8(nibbles64(from), _mm512_set1_epi8(kLess)));
#endif
#if defined(__AVX2__)
        for (int i = 0; i < count; i += 32)
            _mm256_store_si256((__m256i*)(out + i),
                               _mm256_sub_epi8(nibbles(from + i / 2), _mm256_set1_epi8(kLess)));
#else
        nibbles(out, from, count);
        for (int i = 0; i < count; ++i) out[i] -= kLess;
#endif
    }
    static void scales(float* out, const Matrix& m, int64_t row, int64_t groups) {
        const uint16_t* from = static_cast<const uint16_t*>(m.scale) + row * groups;
        int64_t g = 0;
        for (; g + 16 <= groups; g += 16) store(out + g, load(from + g));
        if (g < groups) store(out + g, load(from + g, groups - g), groups - g);
    }
};

struct Mxfp4 {
    static constexpr bool kGrouped = true;
    static constexpr int kOffset = 12;
    alignas(16) static constexpr uint8_t kTwice[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                       12, 11, 10, 9,  8,  6,  4,  0};
    template <bool SIGNED>
    static void numbers(uint8_t* out, const char* row, int64_t first, int count) {
        constexpr char kLess = SIGNED ? kOffset : 0;
        const uint8_t* from = reinterpret_cast<const uint8_t*>(row) + first / 2;
#if defined(__AVX2__)
        __m128i twice = _mm_load_si128((const __m128i*)kTwice);
        __m256i table =
            _mm256_broadcastsi128_si256(_mm_sub_epi8(twice, _mm_set1_epi8(kLess)));
        for (int i = 0; i < count; i += 32)
            _mm256_store_si256((__m256i*)(out + i),
                               _mm256_shuffle_epi8(table, nibbles(from + i / 2)));
#else
        nibbles(out, from, count);
        for (int i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(kTwice[out[i]] - kLess);
#endif
    }
    static void scales(float* out, const Matrix& m, int64_t row, int64_t groups) {
        const uint8_t* from = static_cast<const uint8_t*>(m.scale) + row * groups;
        for (int64_t g = 0; g < groups; ++g) {  // 2^(e - 128): twice e2m1 is what is multiplied
            uint32_t e = from[g], bits = e > 1 ? (e - 1) << 23 : 0x200000u << e;
            std::memcpy(out + g, &bits, 4);
        }
    }
};

template <int OFFSET>
struct Int8 {
    static constexpr bool kGrouped = false;
    static constexpr int kOffset = OFFSET;
    template <bool SIGNED>
    static void numbers(uint8_t* out, const char* row, int64_t first, int count) {
        std::memcpy(out, row + first, static_cast<size_t>(count));
        if constexpr (OFFSET != 0)
            for (int i = 0; i < 64; ++i) out[i] ^= OFFSET;  // adds 128
    }
    static float last(const Matrix& m, int64_t row) {
        return static_cast<const float*>(m.scale)[row];
    }
};

struct Bf16 {
    static constexpr bool kGrouped = false;
    static constexpr int kOffset = 0;
    static float last(const Matrix&, int64_t) { return 1; }
};

struct Float32 {
    static constexpr bool kGrouped = false;
    static constexpr int kOffset = 0;
    static float last(const Matrix&, int64_t) { return 1; }
};

// Beyond a row's end tokens are zero, so any integer may lie there, but no NaN.
template <class W, class Dot>
struct Unpack;

template <class W>
struct Unpack<W, ByteDot> {
    static void numbers(void* out, const char* row, int64_t first, int count) {
        W::template numbers<false>(static_cast<uint8_t*>(out), row, first, count);
    }
};

template <class W>
struct Unpack<W, SignedDot> {
    static void numbers(void* out, const char* row, int64_t first, int count) {
        W::template numbers<true>(static_cast<uint8_t*>(out), row, first, count);
    }
};

template <class W>
struct Unpack<W, Bf16Dot> {
    static void numbers(void* out, const char* row, int64_t first, int count) {
        alignas(64) uint8_t bytes[64] = {};
        W::template numbers<false>(bytes, row, first, count);
        if constexpr (!W::kGrouped) {  // int8, as it is
            for (int i = 0; i < 32; ++i) bytes[i] ^= 128;
            widen(static_cast<uint16_t*>(out), bytes, 32, 128);
        } else {
            widen(static_cast<uint16_t*>(out), bytes, count, W::kOffset);
        }
    }
};

template <>
struct Unpack<Bf16, Bf16Dot> {
    static void numbers(void* out, const char* row, int64_t first, int count) {
        if (count < 32) std::memset(out, 0, 64);
        std::memcpy(out, row + first * 2, static_cast<size_t>(count) * 2);
    }
};

template <>
struct Unpack<Bf16, FloatDot> {
    static void numbers(void* out, const char* row, int64_t first, int count) {
        const uint16_t* from = reinterpret_cast<const uint16_t*>(row) + first;
        store(static_cast<float*>(out), load(from, count));
    }
};

template <>
struct Unpack<Float32, FloatDot> {
    static void numbers(void* out, const char* row, int64_t first, int count) {
        store(static_cast<float*>(out), load(reinterpret_cast<const float*>(row) + first, count));
    }
};

}  // namespace canvaslm
