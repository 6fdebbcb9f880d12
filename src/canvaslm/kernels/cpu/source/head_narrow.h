// The same product in bfloat16, with dot instructions or tiles: probabilities are A, row by row;
// the table is B, two rows of it interleaved on the way from memory.
#pragma once
#if defined(__AVX512BF16__)
#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "head_kept.h"
#include "head_select.h"
#include "panel.h"
#include "vector.h"

namespace canvaslm::head {

constexpr int64_t kDepth = 4 * kTile;  // tokens of the vocabulary at a time

// Probabilities, not yet normalised, times the scales of an int8 table: rounded once more then,
// else exact.
inline void spread_tile(const uint16_t* w, float times, const float* scale, int64_t count,
                        uint16_t* p) {
    for (int64_t v = 0; v < kTile; v += 32) {
        Vec low = load(w + v) * set(times), high = load(w + v + 16) * set(times);
        if (scale) {
            low = low * load(scale + v, count - v);
            high = high * load(scale + v + 16, count - v - 16);
        }
        _mm512_storeu_si512(p + v, (__m512i)_mm512_cvtne2ps_pbh(high.v, low.v));
    }
}

inline __m512i halves(__m512i low, __m512i high) {
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}
inline __m512i sixteen(const uint16_t* row, int64_t n) {
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), row));
}
inline __m512i sixteen(const int8_t* row, int64_t n) {  // every one of them is a bfloat16
    __m512i whole = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), row));
    return _mm512_srli_epi32((__m512i)_mm512_cvtepi32_ps(whole), 16);
}

// Columns of `count` rows, in pairs: [depth / 2][padded][2], zero beyond them.
template <class Number>
void interleave(const Number* table, int64_t width, int64_t count, int64_t depth, int64_t columns,
                int64_t padded_columns, uint16_t* out) {
    for (int64_t v = 0; v < depth; v += 2) {
        int64_t first_n = v < count ? columns : 0, second_n = v + 1 < count ? columns : 0;
        const Number* row = table + std::min(v, count - 1) * width;
        const Number* next = v + 1 < count ? row + width : row;
        for (int64_t c = 0; c < padded_columns; c += 16)
            _mm512_storeu_si512(out + v * padded_columns + 2 * c,
                                halves(sixteen(row + c, first_n - c), sixteen(next + c, second_n - c)));
    }
}

// Asks for a part of the table, a few lines at a time, while something else is computed.
struct Ahead {
    const char* row;
    int64_t stride, rows, line = 0, lines;

    void some(int count) {
        for (; count && rows; --count) {
            _mm_prefetch(row + 64 * line, _MM_HINT_T1);
            if (++line < lines) continue;
            line = 0;
            row += stride;
            --rows;
        }
    }
};

#if defined(__AMX_BF16__)

constexpr int64_t kRowsAtOnce = 32, kMostColumns = 704;

// 32 rows times 32 columns: tiles 0 to 3 are the sums, 4 and 5 A, 6 and 7 B.
inline void narrow_piece(const uint16_t* p, const uint16_t* e, int64_t depth, int64_t columns,
                         float* sum, Ahead& ahead) {
    int64_t stride = columns * 4;
    float* below = sum + 16 * columns;
    _tile_loadd(0, sum, stride);
    _tile_loadd(1, sum + 16, stride);
    _tile_loadd(2, below, stride);
    _tile_loadd(3, below + 16, stride);
    for (int64_t v = 0; v < depth; v += 32) {
        const uint16_t* b = e + v * columns;
        _tile_loadd(6, b, stride);
        _tile_loadd(4, p + v, kDepth * 2);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + 32, stride);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, p + 16 * kDepth + v, kDepth * 2);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        ahead.some(4);
    }
    _tile_stored(0, sum, stride);
    _tile_stored(1, sum + 16, stride);
    _tile_stored(2, below, stride);
    _tile_stored(3, below + 16, stride);
}

inline void narrow(const uint16_t* p, const uint16_t* e, int64_t rows, int64_t depth,
                   int64_t columns, float* sum, Ahead ahead) {
    struct alignas(64) {
        uint8_t palette = 1, start = 0, reserved[14] = {};
        uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    asm volatile("" ::: "memory");  // GCC does not know that tile instructions read memory
    _tile_loadconfig(&config);
    for (int64_t c = 0; c < columns; c += 32)
        for (int64_t r = 0; r < rows; r += 32)
            narrow_piece(p + r * kDepth, e + 2 * c, depth, columns, sum + r * columns + c, ahead);
    _tile_release();
    asm volatile("" ::: "memory");  // nor that they write it
}

#else

constexpr int64_t kRowsAtOnce = 6, kMostColumns = 352;

inline __m512bh both(const uint16_t* pair) {
    int bits;
    std::memcpy(&bits, pair, 4);
    return (__m512bh)_mm512_set1_epi32(bits);
}

// 6 rows times 16 kVectors columns.
template <int kVectors>
inline void narrow_piece(const uint16_t* p, const uint16_t* e, int64_t depth, int64_t columns,
                         float* sum, Ahead& ahead) {
    __m512 total[kRowsAtOnce][kVectors];
    for (int r = 0; r < kRowsAtOnce; ++r)
        for (int c = 0; c < kVectors; ++c)
            total[r][c] = _mm512_loadu_ps(sum + r * columns + 16 * c);
    for (int64_t v = 0; v < depth; v += 2) {
        __m512bh b[kVectors];
        for (int c = 0; c < kVectors; ++c)
            b[c] = (__m512bh)_mm512_loadu_si512(e + v * columns + 32 * c);
        for (int r = 0; r < kRowsAtOnce; ++r) {
            __m512bh a = both(p + r * kDepth + v);
            for (int c = 0; c < kVectors; ++c) total[r][c] = _mm512_dpbf16_ps(total[r][c], a, b[c]);
        }
    }
    ahead.some(32);
    for (int r = 0; r < kRowsAtOnce; ++r)
        for (int c = 0; c < kVectors; ++c)
            _mm512_storeu_ps(sum + r * columns + 16 * c, total[r][c]);
}

// The table's part stays in L1 while all rows pass.
inline void narrow(const uint16_t* p, const uint16_t* e, int64_t rows, int64_t depth,
                   int64_t columns, float* sum, Ahead ahead) {
    for (int64_t c = 0; c < columns; c += 64)
        for (int64_t r = 0; r < rows; r += kRowsAtOnce) {
            auto piece = columns - c < 64 ? narrow_piece<2> : narrow_piece<4>;
            piece(p + r * kDepth, e + 2 * c, depth, columns, sum + r * columns + c, ahead);
        }
}

#endif

}  // namespace canvaslm::head
#endif
