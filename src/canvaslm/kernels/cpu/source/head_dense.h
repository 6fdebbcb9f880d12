// Probabilities times the whole table, for rows too broad to be gathered.
#pragma once
#include <algorithm>
#include <cstdint>

#include "head_kept.h"
#include "head_narrow.h"
#include "head_select.h"
#include "head_wide.h"
#include "panel.h"
#include "pool.h"

namespace canvaslm::head {

struct Dense {
    const Kept& kept;
    const Matrix& table;
    const int64_t* position;  // of each row
    const int64_t* place;     // where in out it goes
    const int* tile_cut;      // tiles in lower bins are left out
    int64_t count;
    float* out;  // [R][D]

    int64_t tiles() const { return tiles_of(table.outputs); }
    const float* scale(int64_t v) const {
        return table.scale ? static_cast<const float*>(table.scale) + v : nullptr;
    }
};

// Rows of the table from v0 on, `count` of them and zeros up to `depth`; columns from c0 on.
struct Part {
    int64_t v0, count, depth, c0, columns, padded;
};

// Calls f with the table's numbers of this part.
template <class F>
void with_numbers(const Matrix& table, const Part& part, F&& f) {
    int64_t at = part.v0 * table.width + part.c0;
    if (table.format == Format::kFloat32)
        f(static_cast<const float*>(table.data) + at);
    else if (table.format == Format::kBfloat16)
        f(static_cast<const uint16_t*>(table.data) + at);
    else
        f(static_cast<const int8_t*>(table.data) + at);
}

struct Wide {
    using Number = float;
    static constexpr int64_t kDepth = wide::kDepth, kRowsAtOnce = wide::kRowsAtOnce,
                             kMostColumns = wide::kMostColumns;
    template <class... A>
    static void spread(A... a) {
        wide::spread_tile(a...);
    }
    static void multiply(const Matrix& table, const Part& part, const float* p, float* e,
                         int64_t rows, float* sum) {
        with_numbers(table, part, [&](auto* numbers) {
            wide::widen(numbers, table.width, part.count, part.depth, part.columns, part.padded, e);
        });
        wide::multiply(p, e, rows, part.depth, part.padded, sum);
    }
};

#if defined(__AVX512BF16__)
struct Narrow {
    using Number = uint16_t;
    static constexpr int64_t kDepth = head::kDepth, kRowsAtOnce = head::kRowsAtOnce,
                             kMostColumns = head::kMostColumns;
    template <class... A>
    static void spread(A... a) {
        spread_tile(a...);
    }
    static void multiply(const Matrix& table, const Part& part, const uint16_t* p, uint16_t* e,
                         int64_t rows, float* sum) {
        with_numbers(table, part, [&]<class N>(const N* numbers) {
            if constexpr (!std::is_same_v<N, float>) {  // float32 tables have float32 weights
                interleave(numbers, table.width, part.count, part.depth, part.columns, part.padded,
                           e);
                int64_t after = std::min(kDepth, table.outputs - part.v0 - part.count);
                int64_t stride = table.width * int64_t(sizeof(N));
                int64_t lines = (part.columns * int64_t(sizeof(N)) + 63) / 64;
                auto next = reinterpret_cast<const char*>(numbers) + part.count * stride;
                narrow(p, e, rows, part.depth, part.padded, sum, {next, stride, after, 0, lines});
            }
        });
    }
};
#else
using Narrow = Wide;
#endif

// p[row][token] of the tiles from `first` on, not yet normalised.
template <class Product, class Weight>
void spread(const Dense& d, int64_t r0, int64_t rows, const Part& part,
            typename Product::Number* p) {
    int64_t tiles = d.tiles();
    for (int64_t v = 0; v < part.depth; v += kTile) {
        int64_t tile = (part.v0 + v) / kTile;
        for (int64_t r = 0; r < rows; ++r) {
            Row row{d.kept, d.position[r0 + r], tiles};
            bool skipped = Histogram::bin(row.share()[tile]) < d.tile_cut[r0 + r];
            float times = skipped ? 0 : power_of_two(d.kept.shift[row.t * tiles + tile]);
            Product::spread(row.template weights<Weight>(tile), times, d.scale(part.v0 + v),
                            part.count - v, p + r * Product::kDepth + v);
        }
    }
}

template <class Product, class Weight>
void dense_piece(const Dense& d, int64_t r0, int64_t most, int64_t c0, int64_t padded_columns) {
    using Number = typename Product::Number;
    constexpr int64_t kDepth = Product::kDepth;
    int64_t rows = std::min(most, d.count - r0), all = padded(rows, Product::kRowsAtOnce);
    int64_t columns = std::min(padded_columns, d.table.width - c0);
    auto sum = static_cast<float*>(scratch(0, all * padded_columns * sizeof(float)));
    auto p = static_cast<Number*>(scratch(1, all * kDepth * sizeof(Number)));
    auto e = static_cast<Number*>(scratch(3, kDepth * padded_columns * sizeof(Number)));
    std::fill(sum, sum + all * padded_columns, 0.0f);
    std::fill(p + rows * kDepth, p + all * kDepth, Number(0));
    for (int64_t v0 = 0; v0 < d.table.outputs; v0 += kDepth) {
        int64_t count = std::min(kDepth, d.table.outputs - v0);
        Part part{v0, count, padded(count, kTile), c0, columns, padded_columns};
        spread<Product, Weight>(d, r0, rows, part, p);
        Product::multiply(d.table, part, p, e, all, sum);
    }
    for (int64_t r = 0; r < rows; ++r) {
        float* out = d.out + d.place[r0 + r] * d.table.width + c0;
        float norm = d.kept.norm[d.position[r0 + r]];
        for (int64_t c = 0; c < columns; ++c) out[c] = sum[r * padded_columns + c] * norm;
    }
}

// Items are columns of the table: each is summed up over the vocabulary in its order.
template <class Product, class Weight>
void dense(int threads, const Dense& d) {
    constexpr int64_t kRowsTogether = 256;
    int64_t columns = std::clamp<int64_t>(padded(d.table.width / 4, 32), 32, Product::kMostColumns);
    int64_t across = (d.table.width + columns - 1) / columns;
    int64_t down = (d.count + kRowsTogether - 1) / kRowsTogether;
    parallel(threads, across * down, [&](int64_t item, int) {
        dense_piece<Product, Weight>(d, item / across * kRowsTogether, kRowsTogether,
                                     item % across * columns, columns);
    });
}

inline void dense(int threads, const Dense& d) {
    if (d.kept.wide)
        dense<Wide, float>(threads, d);
    else
        dense<Narrow, uint16_t>(threads, d);
}

}  // namespace canvaslm::head
