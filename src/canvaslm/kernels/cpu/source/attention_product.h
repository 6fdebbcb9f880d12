// The two products of attention: rows [M][depth] times panels of 16 columns, float32 sums.
//
// A sum is taken in the order of depth, whatever rows are beside it.
#pragma once
#include <algorithm>
#include <cstdint>

#include "attention_pack.h"
#include "vector.h"

namespace canvaslm::attention {

template <class E>
struct Product {
    const E* rows;
    int64_t stride;  // of the rows, in elements
    const E* panels;
    int64_t depth;
    float* sums;
    int64_t sum_stride;
    bool add;  // to what `sums` holds
};

inline Vec multiplied(const float* row, const float* panel, Vec sum) {
    return fma(set(*row), load(panel), sum);
}

#if defined(__AVX512BF16__)
inline Vec multiplied(const Bfloat* row, const Bfloat* panel, Vec sum) {
    int32_t pair;
    std::memcpy(&pair, row, 4);
    return {_mm512_dpbf16_ps(sum.v, (__m512bh)_mm512_set1_epi32(pair),
                             (__m512bh)_mm512_loadu_si512(panel))};
}
#endif

// M rows by P panels, in registers
template <int M, int P, class E>
void multiply_tile(const Product<E>& x, int64_t row, int64_t panel) {
    const E* a = x.rows + row * x.stride;
    const E* b = x.panels + panel * x.depth * 16;
    float* c = x.sums + row * x.sum_stride + panel * 16;
    Vec sums[M][P];
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < P; ++j)
            sums[i][j] = x.add ? load(c + i * x.sum_stride + j * 16) : set(0.0f);
    for (int64_t k = 0; k < x.depth; k += kPair<E>) {
#pragma GCC unroll 16
        for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
            for (int j = 0; j < P; ++j)
                sums[i][j] = multiplied(a + i * x.stride + k, b + j * x.depth * 16 + k * 16,
                                        sums[i][j]);
    }
    for (int i = 0; i < M; ++i)
        for (int j = 0; j < P; ++j) store(c + i * x.sum_stride + j * 16, sums[i][j]);
}

template <int M, int P, class E>
void multiply_rows(const Product<E>& x, int64_t row, int64_t rows, int64_t panel) {
    for (; rows >= M; row += M, rows -= M) multiply_tile<M, P>(x, row, panel);
    if constexpr (M > 1)
        if (rows > 0) multiply_rows<M / 2, P>(x, row, rows, panel);
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
    for (; panels >= P; panel += P, panels -= P)
        multiply_rows<kTall<P>, P>(x, 0, rows, panel);
    if constexpr (P > 1)
        if (panels > 0) multiply_panels<P - 1>(x, rows, panel, panels);
}

template <class E>
void multiply(const Product<E>& x, int64_t rows, int64_t panels) {
    multiply_panels<kPanels>(x, rows, 0, panels);
}

}  // namespace canvaslm::attention
