// A few outputs for all tokens of a panel, [blocks][kOutputs][16 tokens].
//
// Weights are unpacked a slice at a time, all rows by a few groups that stay in the first cache,
// and every token of the panel takes its products with the slice before the next one is unpacked.
// While that happens the weights of the outputs to come are fetched.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "experts_amx.h"
#include "experts_dots.h"
#include "experts_slice.h"
#include "experts_unpack.h"
#include "panel.h"
#include "pool.h"

namespace canvaslm {

constexpr int kScaleSlot = 7;

// Where the lanes of one register lie; `eighth` counts 8 tokens.
struct Place {
    const char* tokens;
    const int32_t* start;
    float* sum;

    Place(const Lanes& x, const Slice& s, int eighth, float* sums) {
        int block = eighth / 2, half = eighth % 2;
        tokens = x.data + block * x.block_bytes + s.first * s.row_bytes * kLanes + half * 32;
        start = x.start ? x.start + block * x.starts + s.first * kLanes + half * 8 : nullptr;
        sum = sums + block * kSums + half * 8;
    }
};

template <class Dot, bool GROUPED, class L>
inline typename Dot::template Sum<L> begin(const Place& p, int group, int row) {
    if constexpr (!GROUPED) return Dot::template begin<L>(p.sum + row * kLanes);
    if constexpr (Dot::kExact) return L::fetch(p.start + group * kLanes);
    if constexpr (GROUPED && !Dot::kExact) return L::spread(0.0f);
}

template <class Dot, bool GROUPED, class L, class Sum>
inline void end(const Place& p, int row, Sum sum, [[maybe_unused]] float scale) {
    float* to = p.sum + row * kLanes;
    if constexpr (GROUPED)
        L::store(to, L::fma(L::converted(sum), L::spread(scale), L::real(to)));
    else
        L::store(to, sum);
}

// ROWS weights against FULL registers and TAIL halves of tokens: as many sums as there are
// registers for, each token read once for all rows and each weight once for all tokens.
template <class Dot, bool GROUPED, int BYTES, int ROWS, int FULL, int TAIL>
inline void dots(const Slice& s, int group, int row, const Place* full, const Place* tail) {
    typename Dot::template Sum<Widest> sum[ROWS][FULL ? FULL : 1];
    typename Dot::template Sum<Eight> half[ROWS];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 4
        for (int j = 0; j < FULL; ++j)
            sum[r][j] = begin<Dot, GROUPED, Widest>(full[j], group, row + r);
        if constexpr (TAIL) half[r] = begin<Dot, GROUPED, Eight>(*tail, group, row + r);
    }
    const uint8_t* weights = s.weights + (group * kLanes + row) * BYTES;
    int64_t at = int64_t{group} * BYTES * kLanes;
    const int steps = Dot::kElement == 4 ? s.steps_of(group) : BYTES / 4;
    for (int step = 0; step < steps; ++step, at += 64) {
        Widest::Int x[FULL ? FULL : 1];
        Eight::Int y;
#pragma GCC unroll 4
        for (int j = 0; j < FULL; ++j) x[j] = Widest::fetch(full[j].tokens + at);
        if constexpr (TAIL) y = Eight::fetch(tail->tokens + at);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; ++r) {
            Widest::Int w = Widest::spread(weights + r * BYTES + step * 4);
#pragma GCC unroll 4
            for (int j = 0; j < FULL; ++j) sum[r][j] = Dot::step(sum[r][j], w, x[j]);
            if constexpr (TAIL) half[r] = Dot::step(half[r], lower(w), y);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
        float scale = GROUPED ? s.scales[(row + r) * s.scale_stride + s.first + group] : 0;
#pragma GCC unroll 4
        for (int j = 0; j < FULL; ++j)
            end<Dot, GROUPED, Widest>(full[j], row + r, sum[r][j], scale);
        if constexpr (TAIL) end<Dot, GROUPED, Eight>(*tail, row + r, half[r], scale);
    }
}

template <class Dot, bool GROUPED, int BYTES, int ROWS, int FULL, int TAIL>
void strip(const Slice& s, const Lanes& x, int eighth, float* sums) {
    constexpr int kWide = Widest::kLanes / 8;
    Place tail(x, s, eighth + FULL * kWide, sums);
    Place full[3] = {Place(x, s, eighth, sums), Place(x, s, eighth + kWide, sums),
                     Place(x, s, eighth + 2 * kWide, sums)};
    for (int row = 0; row < kLanes; row += ROWS)
        for (int group = 0; group < s.groups; ++group) {
            if (eighth == 0) s.fetch(group, row, ROWS);
            dots<Dot, GROUPED, BYTES, ROWS, FULL, TAIL>(s, group, row, full, &tail);
        }
}

template <class Dot, bool GROUPED, int BYTES>
void multiply(const Slice& s, const Lanes& x, float* sums) {
#if defined(__AVX512VNNI__)
    for (int eighth = 0, left; (left = x.eighths - eighth) > 0;) {
        int taken = left > 6 ? 4 : left;
        switch (taken) {
            case 1: strip<Dot, GROUPED, BYTES, 16, 0, 1>(s, x, eighth, sums); break;
            case 2: strip<Dot, GROUPED, BYTES, 16, 1, 0>(s, x, eighth, sums); break;
            case 3: strip<Dot, GROUPED, BYTES, 8, 1, 1>(s, x, eighth, sums); break;
            case 4: strip<Dot, GROUPED, BYTES, 8, 2, 0>(s, x, eighth, sums); break;
            case 5: strip<Dot, GROUPED, BYTES, 8, 2, 1>(s, x, eighth, sums); break;
            default: strip<Dot, GROUPED, BYTES, 8, 3, 0>(s, x, eighth, sums);
        }
        eighth += taken;
    }
#else
    for (int eighth = 0; eighth < x.eighths; ++eighth)
        strip<Dot, GROUPED, BYTES, 4, 1, 0>(s, x, eighth, sums);
#endif
}

template <class W>
void begin_tile(const Lanes& x, float* sums) {
    for (int block = 0; block < x.blocks(); ++block)
        for (int row = 0; row < kOutputs; ++row) {
            float* to = sums + block * kSums + row * kLanes;
            if (!W::kGrouped && x.start)
                std::memcpy(to, x.start + block * x.starts, 64);
            else
                std::memset(to, 0, 64);
        }
}

// A sum over a whole row is scaled when it is complete.
template <class Dot, class W>
void end_tile(const Matrix& m, int64_t n0, const Lanes& x, float* sums) {
    for (int block = 0; block < x.blocks(); ++block)
        for (int row = 0; row < kOutputs; ++row) {
            float* to = sums + block * kSums + row * kLanes;
            float scale = W::last(m, std::min(n0 + row, m.outputs - 1));
            for (int lane = 0; lane < kLanes; ++lane) {
                typename Dot::Number sum;
                std::memcpy(&sum, to + lane, 4);
                to[lane] = static_cast<float>(sum) * scale;
            }
        }
}

template <class Dot, class W>
void unpack(const Matrix& m, int64_t n0, const Slice& s, int numbers, uint8_t* out) {
    const int64_t from = s.first * numbers, row_bytes = row_bytes_of(m);
    for (int64_t r = 0; r < s.tall * kLanes; ++r) {
        uint8_t* to = out + r / kLanes * kSliceBytes + r % kLanes * s.row_bytes;
        int64_t own = std::min(n0 + r, m.outputs - 1);
        const char* row = static_cast<const char*>(m.data) + own * row_bytes;
        for (int g = 0; g < s.groups; ++g) {
            int64_t first = from + g * numbers;
            int there = static_cast<int>(std::min<int64_t>(numbers, m.width - first));
            Unpack<W, Dot>::numbers(to + g * kLanes * s.row_bytes, row, first, there);
        }
    }
}

template <class Dot, class W>
void multiply_any(const Slice& s, const Lanes& x, Tiles& tiles, float* sums) {
    constexpr int kBytes = W::kGrouped ? 64 * Dot::kElement : 64;
    if constexpr (Tiles::kThere && Dot::kTiles) {
        tiles.multiply<Dot, W::kGrouped>(s, x, sums);
    } else {
        for (int t = 0; t < s.tall; ++t)
            if (s.row_bytes == kBytes)
                multiply<Dot, W::kGrouped, kBytes>(s.tile(t), x, sums + t * kTile);
            else
                multiply<Dot, W::kGrouped, 32 * Dot::kElement>(s.tile(t), x, sums + t * kTile);
    }
}

template <class Dot, class W>
void tile(const Matrix& m, int64_t n0, const Lanes& x, const char* ahead, Tiles& tiles,
          float* sums) {
    const int numbers = W::kGrouped ? static_cast<int>(m.group) : 64 / Dot::kElement;
    const int row_bytes = numbers * Dot::kElement;
    const int64_t groups = (m.width + numbers - 1) / numbers, stride = padded(groups, 16);
    const int most = static_cast<int>(kSliceBytes / (row_bytes * kLanes));
    const int64_t share = row_bytes_of(m) * kOutputs / groups;
    const int tall = m.outputs - n0 > kLanes ? kTall : 1;
    float* scales = nullptr;
    if constexpr (W::kGrouped) {
        scales = static_cast<float*>(scratch(kScaleSlot, kOutputs * stride * 4));
        for (int r = 0; r < kOutputs; ++r)
            W::scales(scales + r * stride, m, std::min(n0 + r, m.outputs - 1), groups);
    }
    begin_tile<W>(x, sums);
    tiles.shape(std::min(row_bytes, 64));
    alignas(64) uint8_t weights[kTall * kSliceBytes];
    for (int64_t first = 0; first < groups; first += most) {
        int count = static_cast<int>(std::min<int64_t>(most, groups - first));
        const char* then = ahead ? ahead + first * share : nullptr;
        Slice slice{weights,   tall,   row_bytes, count, first,
                    x.steps(), scales, stride,    then,  share};
        unpack<Dot, W>(m, n0, slice, numbers, weights);
        multiply_any<Dot, W>(slice, x, tiles, sums);
    }
    if constexpr (!W::kGrouped) end_tile<Dot, W>(m, n0, x, sums);
}

}  // namespace canvaslm
