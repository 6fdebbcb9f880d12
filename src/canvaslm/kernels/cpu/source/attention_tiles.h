// The products of attention on AMX: 32 rows by 32 columns of sums in four tiles, so that each tile
// that is loaded serves two products. The rows stay in L1, the panels come from L2.
//
// Steps of a row lie side by side; everything is padded to whole tiles but the number of panels, of
// which the last may be alone.
#pragma once
#include "attention_product.h"

namespace canvaslm::attention {

// What a piece of work with E needs as long as it lasts
template <class E>
struct Tiles {
    Tiles() {}
};

template <class E>
void multiply_block(const Product<E>& x, int64_t rows, int64_t panels) {
    multiply(x, rows, panels);
}

#if defined(__AMX_BF16__)

// All eight, of 16 rows of 64 bytes
template <>
struct Tiles<Bfloat> {
    Tiles() {
        alignas(64) struct {
            uint8_t palette = 1, rest[15] = {};
            uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } config;
        asm volatile("" ::: "memory");  // the intrinsic of some compilers forgets to say it reads
        _tile_loadconfig(&config);
    }
    ~Tiles() { _tile_release(); }
    Tiles(const Tiles&) = delete;
};

// R x P tiles of sums: 0 and 1 of the upper rows, 2 and 3 of the lower ones
template <int R, int P>
void multiply_tiles(const Product<Bfloat>& x, int64_t panel) {
    const int64_t row_bytes = x.row * 2, sum_bytes = x.sum * 4;
    const Bfloat *upper = x.rows, *lower = x.rows + 16 * x.row;
    const Bfloat *left = x.panels + panel * x.panel, *right = left + x.panel;
    float *c = x.sums + panel * 16, *d = c + 16 * x.sum;
    if (x.add) {
        _tile_loadd(0, c, sum_bytes);
        if constexpr (P > 1) _tile_loadd(1, c + 16, sum_bytes);
        if constexpr (R > 1) _tile_loadd(2, d, sum_bytes);
        if constexpr (R > 1 && P > 1) _tile_loadd(3, d + 16, sum_bytes);
    } else {
        _tile_zero(0);
        if constexpr (P > 1) _tile_zero(1);
        if constexpr (R > 1) _tile_zero(2);
        if constexpr (R > 1 && P > 1) _tile_zero(3);
    }
    for (int64_t k = 0; k < x.steps * 2; k += 32) {
        _tile_loadd(6, left + k * 16, 64);
        _tile_loadd(4, upper + k, row_bytes);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (P > 1) {
            _tile_loadd(7, right + k * 16, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (R > 1) {
            _tile_loadd(5, lower + k, row_bytes);
            _tile_dpbf16ps(2, 5, 6);
        }
        if constexpr (R > 1 && P > 1) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, sum_bytes);
    if constexpr (P > 1) _tile_stored(1, c + 16, sum_bytes);
    if constexpr (R > 1) _tile_stored(2, d, sum_bytes);
    if constexpr (R > 1 && P > 1) _tile_stored(3, d + 16, sum_bytes);
}

template <int R>
void multiply_tile_rows(const Product<Bfloat>& x, int64_t panels) {
    int64_t panel = 0;
    for (; panel + 2 <= panels; panel += 2) multiply_tiles<R, 2>(x, panel);
    if (panel < panels) multiply_tiles<R, 1>(x, panel);
}

// Of up to 32 rows, whose memory is there for 32
inline void multiply_block(const Product<Bfloat>& x, int64_t rows, int64_t panels) {
    asm volatile("" ::: "memory");  // nor do they all say that they read and write it
    rows > 16 ? multiply_tile_rows<2>(x, panels) : multiply_tile_rows<1>(x, panels);
    asm volatile("" ::: "memory");
}

#endif

}  // namespace canvaslm::attention
