// Tokens on their way through an expert: gathered, gated and rounded again, put back as rows.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "pack.h"
#include "panel.h"
#include "vector.h"

namespace canvaslm {

// Columns of 4 bytes (rows 64 bytes apart) become 16 rows.
inline void turn16(const char* from, int64_t count, char* const* to) {
    alignas(64) uint32_t square[kLanes * kLanes], turned[kLanes * kLanes];
    for (int64_t i = 0; i < count; i += kLanes) {
        size_t there = static_cast<size_t>(count - i < kLanes ? count - i : kLanes);
        std::memcpy(square, from + i * 64, there * 64);
        transpose(square, turned);
        for (int lane = 0; lane < kLanes; ++lane)
            std::memcpy(to[lane] + i * 4, turned + lane * kLanes, there * 4);
    }
}

// The other way: 16 rows of `count` numbers of 4 bytes become columns.
inline void gather16(const char* const* from, int64_t count, char* to) {
    alignas(64) uint32_t square[kLanes * kLanes], turned[kLanes * kLanes];
    for (int64_t i = 0; i < count; i += kLanes) {
        size_t there = static_cast<size_t>(count - i < kLanes ? count - i : kLanes);
        for (int lane = 0; lane < kLanes; ++lane)
            std::memcpy(square + lane * kLanes, from[lane] + i * 4, there * 4);
        transpose(square, turned);
        std::memcpy(to + i * 64, turned, there * 64);
    }
}

// gelu(gate * scale) * (up * scale) of some outputs, [outputs][16].
inline void gated(const float* gate, const float* up, int64_t outputs, Vec scale, Peak& peak,
                  float* out) {
    for (int64_t r = 0; r < outputs; ++r) {
        Vec h = gelu(load(gate + r * kLanes) * scale) * (load(up + r * kLanes) * scale);
        store(out + r * kLanes, h);
        peak.see(h);
    }
}

// The nearest whole numbers; the smallest byte in place of NaN.
inline Vec int8_of(Vec x, Vec unit) { return max(round(x * unit), set(-128)); }

inline void whole_numbers(Vec x, int32_t* out) {  // x is round already
#if defined(__AVX512F__)
    _mm512_storeu_si512(out, _mm512_cvtps_epi32(x.v));
#else
    alignas(64) float lanes[kLanes];
    store(lanes, x);
    for (int i = 0; i < kLanes; ++i) out[i] = static_cast<int32_t>(lanes[i]);
#endif
}

// h [I][16] rounded to int8 by lane: [Ip/4][16][4], with the sums of 32 neighbours.
inline void round_int8(const float* h, int64_t inner, Vec peak, char* out, float* scale,
                       int32_t* sums) {
    const Vec unit = int8_unit(peak);
    store(scale, peak / set(127));
    for (int64_t first = 0; first < padded(inner, 64); first += 32) {
        int32_t* sum = sums + first / 32 * kLanes;
        std::memset(sum, 0, 64);
        for (int64_t k = first; k < first + 32; k += 4) {
            int32_t number[4][kLanes] = {};
            for (int i = 0; i < 4 && k + i < inner; ++i)
                whole_numbers(int8_of(load(h + (k + i) * kLanes), unit), number[i]);
            uint32_t* word = reinterpret_cast<uint32_t*>(out + k * kLanes);
            for (int lane = 0; lane < kLanes; ++lane) {
                uint32_t packed = 0;
                for (int i = 0; i < 4; ++i) {
                    packed |= static_cast<uint32_t>(number[i][lane] & 255) << (8 * i);
                    sum[lane] += number[i][lane];
                }
                word[lane] = packed;
            }
        }
    }
}

inline uint32_t bfloat16_of(float x) {  // to the nearest, of two the even one
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if (std::isnan(x)) return 0x7fc0;  // what is added could turn others into numbers
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// h [I][16] as [Ip/2][16][2].
inline void round_bfloat16(const float* h, int64_t inner, char* out) {
    for (int64_t k = 0; k < padded(inner, 32); k += 2) {
        uint32_t* word = reinterpret_cast<uint32_t*>(out + k / 2 * 64);
        for (int lane = 0; lane < kLanes; ++lane) {
            uint32_t low = k < inner ? bfloat16_of(h[k * kLanes + lane]) : 0;
            uint32_t high = k + 1 < inner ? bfloat16_of(h[(k + 1) * kLanes + lane]) : 0;
            word[lane] = low | high << 16;
        }
    }
}

// What a group's sums start from: -offset * the sum of its inputs; groups of 32 * `joined`, or one.
inline void starts(const int32_t* sums, int64_t pieces, int64_t joined, int offset, int32_t* out) {
    for (int64_t first = 0; first < pieces; first += joined, out += kLanes) {
        int32_t sum[kLanes] = {};
        for (int64_t i = first; i < first + joined && i < pieces; ++i)
            for (int lane = 0; lane < kLanes; ++lane) sum[lane] += sums[i * kLanes + lane];
        for (int lane = 0; lane < kLanes; ++lane) out[lane] = -offset * sum[lane];
    }
}

}  // namespace canvaslm
