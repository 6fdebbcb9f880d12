// Products of sixteen weight rows with a few tokens, where lanes of tokens would stay empty: lanes
// are outputs instead. 64 bytes of each row are turned round in registers, so that a register holds
// the same 4 bytes of all of them, and a token's 4 bytes are what is spread. Nothing but the weight
// passes through memory, which is what the time goes into.
//
// 4-bit weights stay packed until they are turned: 4 bytes of a row are 8 inputs, the low halves
// the even ones and the high halves the odd ones, and tokens lie in that order, too.
//
// Sums are taken in the order of the many-token products, so the bits are theirs.
#pragma once
#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)
#include <algorithm>
#include <cstdint>

#include "product_dot.h"
#include "product_prepare.h"
#include "product_transpose.h"

namespace canvaslm::dense {

constexpr int64_t kFew = 4;  // with more tokens, turning the weights costs more than it saves

// Sixteen rows, and what will be read after them, which lies in one piece.
struct Sixteen {
    const uint8_t* at[kLanes];
    int64_t bytes;  // of a row
    const uint8_t* next;

    // Of `count` rows; where they are fewer the last one stands in for the others. Nothing is read
    // after them if `next` is null.
    Sixteen(const uint8_t* rows, int64_t stride, int64_t bytes, int64_t count, const uint8_t* next)
        : bytes(bytes), next(next ? next : rows) {
        for (int64_t n = 0; n < kLanes; ++n) at[n] = rows + std::min(n, count - 1) * stride;
    }
};

// The rows of tokens, filled up with zeros to 64 bytes, and where the sums of their groups start.
struct Tokens {
    const uint8_t* words[kFew];
    const int32_t* bias[kFew];
};

// r[s]: the bytes from + 4 s to from + 4 s + 3 of all rows; zero beyond their end.
inline void turned(const Sixteen& rows, int64_t from, __m512i (&r)[16]) {
    int64_t left = rows.bytes - from;
    const uint8_t* next = rows.next + from * kLanes;
    __mmask64 there = left >= 64 ? ~0ull : (1ull << left) - 1;
#pragma GCC unroll 16
    for (int n = 0; n < 16; ++n) {
        r[n] = _mm512_maskz_loadu_epi8(there, rows.at[n] + from);
        __builtin_prefetch(next + n * 64, 0, 2);
    }
    transpose(r);
}

// How 4-bit codes become unsigned bytes.
struct Int4Codes {
    static __m512i bytes(__m512i codes) { return codes; }
};
struct Mxfp4Codes {
    alignas(16) static constexpr uint8_t kTwice[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                       12, 11, 10, 9,  8,  6,  4,  0};
    static __m512i bytes(__m512i codes) {
        __m512i twice = _mm512_broadcast_i32x4(_mm_load_si128((const __m128i*)kTwice));
        return _mm512_shuffle_epi8(twice, codes);
    }
};

// out[t][16]: sums of groups of 8 kSteps inputs, each times its scale [groups][16].
template <class Codes, int kSteps, int T>
void few_codes(const Sixteen& rows, const Tokens& x, const float* scale, float* out) {
    using Dot = Int8Dot<true, false>;
    const __m512i half = _mm512_set1_epi8(15);
    Vec total[T];
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) total[t] = set(0.0f);
    for (int64_t from = 0, g = 0; from < rows.bytes; from += 64) {
        __m512i r[16];
        turned(rows, from, r);
        const int64_t left = rows.bytes - from;
#pragma GCC unroll 4
        for (int first = 0; first < 16; first += kSteps, ++g) {
            if (first * 4 >= left) break;
            Dot::Sum even[T], odd[T];
#pragma GCC unroll 4
            for (int t = 0; t < T; ++t) {
                even[t] = Dot::start(x.bias[t][g]);
                odd[t] = Dot::start(0);
            }
#pragma GCC unroll 8
            for (int s = first; s < first + kSteps; ++s) {
                __m512i low = Codes::bytes(_mm512_and_si512(r[s], half));
                __m512i high =
                    Codes::bytes(_mm512_and_si512(_mm512_srli_epi16(r[s], 4), half));
#pragma GCC unroll 4
                for (int t = 0; t < T; ++t) {
                    const uint8_t* word = x.words[t] + from * 2 + s * 8;
                    even[t] = Dot::add(even[t], low, Dot::word(word));
                    odd[t] = Dot::add(odd[t], high, Dot::word(word + 4));
                }
            }
#pragma GCC unroll 4
            for (int t = 0; t < T; ++t)
                total[t] = fma(Dot::value(even[t] + odd[t]), load(scale + g * kLanes), total[t]);
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) store(out + t * kLanes, total[t]);
}

// out[t][16]: sums of whole rows (`blocks` 0), or of groups of so many times 64 bytes; `flips` is
// what every byte is added to, so that it is unsigned.
template <class Dot, bool kGrouped, int T>
void few_rows(const Sixteen& rows, const Tokens& x, const float* scale, int64_t blocks,
              uint8_t flips, float* out) {
    const __m512i flip = _mm512_set1_epi8(char(flips));
    typename Dot::Sum sum[T];
    Vec total[T];
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
        sum[t] = Dot::start(x.bias[t][0]);
        total[t] = set(0.0f);
    }
    for (int64_t from = 0, block = 1; from < rows.bytes; from += 64, ++block) {
        __m512i r[16];
        turned(rows, from, r);
#pragma GCC unroll 16
        for (int s = 0; s < 16; ++s) {
            __m512i lanes = _mm512_xor_si512(r[s], flip);
#pragma GCC unroll 4
            for (int t = 0; t < T; ++t)
                sum[t] = Dot::add(sum[t], lanes, Dot::word(x.words[t] + from + s * 4));
        }
        if (!kGrouped || block % blocks) continue;
#pragma GCC unroll 4
        for (int t = 0; t < T; ++t) {
            total[t] = fma(Dot::value(sum[t]), load(scale), total[t]);
            sum[t] = Dot::start(0);
        }
        scale += kLanes;
    }
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t)
        store(out + t * kLanes, kGrouped ? total[t] : Dot::value(sum[t]) * load(scale));
}

// A count known only now as a constant: f(std::integral_constant<int, T>).
template <class F>
inline void with_tokens(int64_t tokens, F&& f) {
    if (tokens == 1) return f(std::integral_constant<int, 1>{});
    if (tokens == 2) return f(std::integral_constant<int, 2>{});
    if (tokens == 3) return f(std::integral_constant<int, 3>{});
    f(std::integral_constant<int, 4>{});
}

inline void few_codes(const Matrix& w, const Sixteen& rows, const Tokens& x, int64_t tokens,
                      const float* scale, float* out) {
    with_tokens(tokens, [&](auto t) {
        constexpr int T = t;
        if (w.format == Format::kMxfp4) return few_codes<Mxfp4Codes, 4, T>(rows, x, scale, out);
        if (w.group == 32) return few_codes<Int4Codes, 4, T>(rows, x, scale, out);
        few_codes<Int4Codes, 8, T>(rows, x, scale, out);
    });
}

// A token's bytes, 64 at a time, in the order of 4-bit weights: of 8 the even ones, then the odd.
inline void interleave(uint8_t* words, int64_t bytes) {
    const __m512i order = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
    for (int64_t i = 0; i < bytes; i += 64)
        _mm512_storeu_si512(words + i, _mm512_shuffle_epi8(_mm512_loadu_si512(words + i), order));
}

inline int64_t few_scales_room(int64_t groups) { return padded(groups, 64) * kLanes; }

// Exponents of MXFP4, see half_scale.
inline __m512i half_scales(__m512i exponent) {
    __m512i one = _mm512_set1_epi32(1);
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(exponent, one), 23);
    __m512i small = _mm512_sllv_epi32(_mm512_set1_epi32(0x200000), exponent);
    return _mm512_mask_blend_epi32(_mm512_cmpgt_epi32_mask(exponent, one), small, normal);
}

// Scales of the groups of 16 rows from the n-th on, [groups][16].
inline void few_scales(const Matrix& w, int64_t n, float* out) {
    const bool wide = w.format == Format::kInt4;
    const int64_t groups = w.width / w.group, bytes = wide ? groups * 2 : groups;
    auto first = static_cast<const uint8_t*>(w.scale) + n * bytes;
    Sixteen rows(first, bytes, bytes, w.outputs - n, first + kLanes * bytes);
    for (int64_t from = 0; from < bytes; from += 64) {
        __m512i r[16];
        turned(rows, from, r);
        for (int s = 0; s < 16 && from + s * 4 < bytes; ++s) {
            if (wide) {
                _mm512_storeu_si512(out, _mm512_slli_epi32(r[s], 16));
                _mm512_storeu_si512(out + 16, _mm512_and_si512(r[s], _mm512_set1_epi32(-65536)));
                out += 32;
                continue;
            }
            for (int i = 0; i < 4; ++i, out += 16) {
                __m512i shifted = _mm512_srl_epi32(r[s], _mm_cvtsi32_si128(8 * i));
                __m512i exponent = _mm512_and_si512(shifted, _mm512_set1_epi32(255));
                _mm512_storeu_si512(out, half_scales(exponent));
            }
        }
    }
}

}  // namespace canvaslm::dense
#endif
