// The products of attention for few rows, straight from where K and V lie: K is turned round in
// registers, 16 keys at a time, V weighed row by row. Nothing is packed, for nothing would be read
// often enough; the next block is fetched a few lines at every step.
//
// Sums are taken in the same order as those of packed blocks (attention_product.h).
#pragma once
#include <cstdint>

#include "attention_pack.h"
#include "attention_product.h"
#include "vector.h"

namespace canvaslm::attention {

// Beyond so many rows, packing once is cheaper than turning for each eight; tiles of AMX want
// packed blocks, and add in an order of their own.
#if defined(__AVX512BF16__)
constexpr int64_t kFewRows = 32;
#else
constexpr int64_t kFewRows = 0;
#endif
#if defined(__AMX_BF16__)
template <class E>
constexpr bool kDirect = sizeof(E) == 4;
#else
template <class E>
constexpr bool kDirect = kFewRows > 0;
#endif

// Rows of the block that comes next, a line after the other.
struct Coming {
    const void* const* rows;
    int64_t count, bytes;
    int64_t row = 0, at = 0;

    void fetch(int64_t lines) {
        for (; lines > 0 && row < count; --lines) {
            __builtin_prefetch(static_cast<const char*>(rows[row]) + at, 0, 2);
            if ((at += 64) < bytes) continue;
            at = 0;
            ++row;
        }
    }
};

// What the products need of a block: its rows, and how many numbers they have.
template <class In>
struct Reading {
    const In* const* rows;
    int64_t count, size;
};

#if defined(__AVX512BF16__)

inline Vec joined(const float* one, __m512i other, Vec sum) {
    return fma(set(*one), {_mm512_castsi512_ps(other)}, sum);
}
inline Vec joined(const Bfloat* one, __m512i other, Vec sum) {
    int32_t pair;
    std::memcpy(&pair, one, 4);
    return {_mm512_dpbf16_ps(sum.v, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)other)};
}

// `lanes`, told apart here already: most often all are there
template <class E, class In>
inline __m512i lanes_of(const In* p, int64_t left) {
    constexpr int64_t kAll = 16 * kPair<E>;
    return left >= kAll ? lanes<E>(p, kAll) : lanes<E>(p, left);
}

template <class E, class In>
inline void columns(const In* const* rows, int64_t d, int64_t left, __m512i (&x)[16]) {
    constexpr int64_t kAll = 16 * kPair<E>;
    if (left >= kAll) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) x[i] = lanes<E>(rows[i] + d, kAll);
    } else {
        for (int i = 0; i < 16; ++i) x[i] = lanes<E>(rows[i] + d, left);
    }
}

// scores[r * kBlock + key] of R rows of q
template <class E, class In, int R>
void ask(const Reading<In>& keys, const E* q, int64_t depth, float* scores, Coming& coming) {
    constexpr int64_t kStep = 16 * kPair<E>;
    for (int64_t at = 0; at < keys.count; at += 16) {
        const In* rows[16];
        for (int64_t i = 0; i < 16; ++i) rows[i] = keys.rows[std::min(at + i, keys.count - 1)];
        Vec sum[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) sum[r] = set(0.0f);
        for (int64_t d = 0; d < depth; d += kStep) {
            __m512i x[16];
            columns<E>(rows, d, keys.size - d, x);
            transpose(x);
            coming.fetch(kStep * sizeof(In) / 4);
#pragma GCC unroll 16
            for (int64_t i = 0; i < 16; ++i) {
                if (d + i * kPair<E> >= depth) break;
#pragma GCC unroll 8
                for (int r = 0; r < R; ++r)
                    sum[r] = joined(q + r * depth + d + i * kPair<E>, x[i], sum[r]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) store(scores + r * kBlock + at, sum[r]);
    }
}

// 32 columns of sums, in the order in which pairs of bfloat16 rows are interleaved
struct Columns {
    Vec near, far;

    Columns(const float* from, bool two) {
        __m512i low = _mm512_loadu_si512(from), high = low;
        if (two) high = _mm512_loadu_si512(from + 16);
        const __m512i nearer = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13);
        const __m512i farther = _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15);
        near = {_mm512_castsi512_ps(_mm512_permutex2var_epi64(low, nearer, high))};
        far = {_mm512_castsi512_ps(_mm512_permutex2var_epi64(low, farther, high))};
    }
    Columns() : near(set(0.0f)), far(near) {}

    void to(float* to, bool two) const {
        __m512i a = _mm512_castps_si512(near.v), b = _mm512_castps_si512(far.v);
        const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        _mm512_storeu_si512(to, _mm512_permutex2var_epi64(a, first, b));
        if (two) _mm512_storeu_si512(to + 16, _mm512_permutex2var_epi64(a, second, b));
    }
};

// mixed[r * width + column] of R rows of weights
template <class In, int R>
void tell(const Reading<In>& values, const Bfloat* weights, float* mixed, int64_t width, bool add,
          Coming& coming) {
    for (int64_t d = 0; d < width; d += 32) {
        bool two = d + 16 < width;
        Columns sum[R];
        if (add)
            for (int r = 0; r < R; ++r) sum[r] = Columns(mixed + r * width + d, two);
        for (int64_t k = 0; k < values.count; k += 2) {
            __m512i a = lanes_of<Bfloat>(values.rows[k] + d, values.size - d), b{};
            if (k + 1 < values.count)
                b = lanes_of<Bfloat>(values.rows[k + 1] + d, values.size - d);
            __m512i near = _mm512_unpacklo_epi16(a, b), far = _mm512_unpackhi_epi16(a, b);
            coming.fetch(sizeof(In));
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                sum[r].near = joined(weights + r * kBlock + k, near, sum[r].near);
                sum[r].far = joined(weights + r * kBlock + k, far, sum[r].far);
            }
        }
        for (int r = 0; r < R; ++r) sum[r].to(mixed + r * width + d, two);
    }
}

template <class In, int R>
void tell(const Reading<In>& values, const float* weights, float* mixed, int64_t width, bool add,
          Coming& coming) {
    for (int64_t d = 0; d < width; d += 16) {
        Vec sum[R];
        for (int r = 0; r < R; ++r) sum[r] = add ? load(mixed + r * width + d) : set(0.0f);
        for (int64_t k = 0; k < values.count; ++k) {
            __m512i x = lanes<float>(values.rows[k] + d, values.size - d);
            coming.fetch(1);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) sum[r] = joined(weights + r * kBlock + k, x, sum[r]);
        }
        for (int r = 0; r < R; ++r) store(mixed + r * width + d, sum[r]);
    }
}

// f(row, std::integral_constant<int, R>) for all rows, up to eight at a time; the memory of rows is
// there for whole eights.
template <class F>
void by_eights(int64_t rows, F&& f) {
    for (int64_t row = 0; row < rows; row += 8) {
        if (rows - row > 4)
            f(row, std::integral_constant<int, 8>{});
        else if (rows - row > 2)
            f(row, std::integral_constant<int, 4>{});
        else if (rows - row > 1)
            f(row, std::integral_constant<int, 2>{});
        else
            f(row, std::integral_constant<int, 1>{});
    }
}

template <class E, class In>
void ask_directly(const Reading<In>& keys, const E* q, int64_t rows, int64_t depth, float* scores,
                  Coming coming) {
    by_eights(rows, [&](int64_t row, auto many) {
        ask<E, In, many>(keys, q + row * depth, depth, scores + row * kBlock, coming);
    });
}

template <class E, class In>
void tell_directly(const Reading<In>& values, const E* weights, int64_t rows, float* mixed,
                   int64_t width, bool add, Coming coming) {
    by_eights(rows, [&](int64_t row, auto many) {
        tell<In, many>(values, weights + row * kBlock, mixed + row * width, width, add, coming);
    });
}

#else

template <class E, class In>
void ask_directly(const Reading<In>&, const E*, int64_t, int64_t, float*, Coming) {}
template <class E, class In>
void tell_directly(const Reading<In>&, const E*, int64_t, float*, int64_t, bool, Coming) {}

#endif

}  // namespace canvaslm::attention
