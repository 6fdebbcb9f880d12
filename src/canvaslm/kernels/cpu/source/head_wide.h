// Probabilities times a part of the table in float32: exact weights, or no better instructions.
#pragma once
#include <algorithm>
#include <cstdint>

#include "head_gather.h"
#include "head_kept.h"
#include "panel.h"
#include "vector.h"

namespace canvaslm::head::wide {

constexpr int64_t kDepth = 4 * kTile, kRowsAtOnce = 6, kMostColumns = 352;

template <class Weight>
inline void spread_tile(const Weight* w, float times, const float* scale, int64_t count, float* p) {
    for (int64_t v = 0; v < kTile; v += 16) {
        Vec one = load(w + v) * set(times);
        store(p + v, scale ? one * load(scale + v, count - v) : one);
    }
}

// Columns of `count` rows: [depth][padded], zero beyond them.
template <class Number>
void widen(const Number* table, int64_t width, int64_t count, int64_t depth, int64_t columns,
           int64_t padded_columns, float* out) {
    for (int64_t v = 0; v < depth; ++v)
        for (int64_t c = 0; c < padded_columns; c += 16)
            store(out + v * padded_columns + c,
                  load(table + std::min(v, count - 1) * width + c, v < count ? columns - c : 0));
}

// 6 rows times 32 columns: sum[r][c] += sum over v of p[r][v] e[v][c].
inline void piece(const float* p, const float* e, int64_t depth, int64_t columns, float* sum) {
    Vec total[kRowsAtOnce][2];
    for (int r = 0; r < kRowsAtOnce; ++r)
        for (int c = 0; c < 2; ++c) total[r][c] = load(sum + r * columns + c * 16);
    for (int64_t v = 0; v < depth; ++v)
        for (int r = 0; r < kRowsAtOnce; ++r)
            for (int c = 0; c < 2; ++c)
                total[r][c] = fma(set(p[r * kDepth + v]), load(e + v * columns + c * 16),
                                  total[r][c]);
    for (int r = 0; r < kRowsAtOnce; ++r)
        for (int c = 0; c < 2; ++c) store(sum + r * columns + c * 16, total[r][c]);
}

inline void multiply(const float* p, const float* e, int64_t rows, int64_t depth, int64_t columns,
                     float* sum) {
    for (int64_t c = 0; c < columns; c += 32)
        for (int64_t r = 0; r < rows; r += kRowsAtOnce)
            piece(p + r * kDepth, e + c, depth, columns, sum + r * columns + c);
}

}  // namespace canvaslm::head::wide
