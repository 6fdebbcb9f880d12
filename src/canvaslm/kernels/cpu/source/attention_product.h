// The products of attention: float32 sums of rows times panels of 16 columns.
//
//   panels   [width / 16][steps][16][pair]   what `pack_keys` and `pack_values` make
//   rows     a step of a row is one number, or a pair of bfloat16 side by side; both strides are
//            free, so that a table written in pairs of its rows is read turned round
//
// A sum is taken in the order of steps, whatever rows are beside it.
#pragma once
#include <cstdint>

#include "attention_pack.h"
#include "vector.h"

namespace canvaslm::attention {

template <class E>
struct Product {
    const E* rows;
    int64_t row, step;  // strides in elements
    const E* panels;
    int64_t panel;  // stride in elements
    int64_t steps;
    float* sums;
    int64_t sum;  // stride of the sums' rows
    bool add;     // to what they hold
};

// Rows and panels of `depth` numbers, both without gaps between their steps
template <class E>
Product<E> product_of(const E* rows, int64_t row, const E* panels, int64_t depth, float* sums,
                      int64_t sum, bool add) {
    return {rows, row, kPair<E>, panels, depth * 16, depth / kPair<E>, sums, sum, add};
}

inline Vec spread(const float* p) { return set(*p); }
inline Vec sixteen(const float* p) { return load(p); }
inline Vec joined(Vec a, Vec b, Vec sum) { return fma(a, b, sum); }

#if defined(__AVX512BF16__)
inline __m512i spread(const Bfloat* p) {
    int32_t pair;
    std::memcpy(&pair, p, 4);
    return _mm512_set1_epi32(pair);
}
inline __m512i sixteen(const Bfloat* p) { return _mm512_loadu_si512(p); }
inline Vec joined(__m512i a, __m512i b, Vec sum) {
    return {_mm512_dpbf16_ps(sum.v, (__m512bh)a, (__m512bh)b)};
}
#endif

// M rows by P panels, in registers
template <int M, int P, class E>
void multiply_tile(const Product<E>& x, int64_t row, int64_t panel) {
    const E* a = x.rows + row * x.row;
    const E* b = x.panels + panel * x.panel;
    float* c = x.sums + row * x.sum + panel * 16;
    Vec sums[M][P];
#pragma GCC unroll 12
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < P; ++j) sums[i][j] = x.add ? load(c + i * x.sum + j * 16) : set(0.0f);
    for (int64_t k = 0; k < x.steps; ++k, a += x.step, b += 16 * kPair<E>) {
        decltype(sixteen(b)) columns[P];
#pragma GCC unroll 4
        for (int j = 0; j < P; ++j) columns[j] = sixteen(b + j * x.panel);
#pragma GCC unroll 12
        for (int i = 0; i < M; ++i) {
            auto one = spread(a + i * x.row);
#pragma GCC unroll 4
            for (int j = 0; j < P; ++j) sums[i][j] = joined(one, columns[j], sums[i][j]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
        for (int j = 0; j < P; ++j) store(c + i * x.sum + j * 16, sums[i][j]);
}

// fewer than M rows
template <int M, int P, class E>
void multiply_rest(const Product<E>& x, int64_t row, int64_t rows, int64_t panel) {
    if constexpr (M > 1) {
        if (rows == M - 1) return multiply_tile<M - 1, P>(x, row, panel);
        multiply_rest<M - 1, P>(x, row, rows, panel);
    }
}

#if defined(__AVX512F__)  // 24 of 32 registers hold sums
template <int P>
constexpr int kTall = P == 1 ? 12 : 24 / P;
constexpr int kPanels = 4;
#elif defined(__AVX2__)  // 12 of 16
template <int P>
constexpr int kTall = 6;
constexpr int kPanels = 1;
#else
template <int P>
constexpr int kTall = 3;
constexpr int kPanels = 1;
#endif

template <int P, class E>
void multiply_panels(const Product<E>& x, int64_t rows, int64_t panel, int64_t panels) {
    for (; panels >= P; panel += P, panels -= P) {
        int64_t row = 0;
        for (; row + kTall<P> <= rows; row += kTall<P>) multiply_tile<kTall<P>, P>(x, row, panel);
        if (row < rows) multiply_rest<kTall<P>, P>(x, row, rows - row, panel);
    }
    if constexpr (P > 1)
        if (panels > 0) multiply_panels<P - 1>(x, rows, panel, panels);
}

template <class E>
void multiply(const Product<E>& x, int64_t rows, int64_t panels) {
    multiply_panels<kPanels>(x, rows, 0, panels);
}

}  // namespace canvaslm::attention
