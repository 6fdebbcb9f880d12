// The inner loop of every product without tiles of AMX: R words against C registers of lanes, all
// of the depth, group by group.
#pragma once
#include <cstdint>

#include "product_dot.h"

namespace canvaslm::dense {

// What a tile reads. Lanes are in order of steps, 64 bytes each; so are words, 4 bytes each.
struct Operands {
    const uint8_t* lanes;
    int64_t lane_stride;  // bytes from one register's lanes to the next one's
    const uint8_t* words;
    int64_t word_stride;
    int64_t groups;
    int64_t steps;  // of a group
};

// Where the lanes are tokens, words are rows of the weight: sums start at a bias of the token
// [C][groups][16], are scaled by the output's groups [R][groups] and last by the token [C][16].
struct TokensAsLanes {
    const int32_t* bias;
    const float* scale;
    const float* last;
    int64_t groups;

    template <class Dot>
    typename Dot::Sum start(int, int c, int64_t g) const {
        return Dot::start(bias + (c * groups + g) * kLanes);
    }
    Vec scaled(int r, int, int64_t g) const { return set(scale[r * groups + g]); }
    Vec finish(int, int c, Vec sum) const { return sum * load(last + c * kLanes); }
};

template <class Dot, int R, int C>
inline void steps(const Operands& o, int64_t g, typename Dot::Sum (&sum)[R][C]) {
    const uint8_t* lanes = o.lanes + g * o.steps * 64;
    const uint8_t* words = o.words + g * o.steps * 4;
    for (int64_t s = 0; s < o.steps; ++s, lanes += 64, words += 4) {
        typename Dot::Lanes lane[C];
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) lane[c] = Dot::lanes(lanes + c * o.lane_stride);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            typename Dot::Word word = Dot::word(words + r * o.word_stride);
#pragma GCC unroll 4
            for (int c = 0; c < C; ++c) sum[r][c] = Dot::add(sum[r][c], lane[c], word);
        }
    }
}

// out[r * stride + 16 c]: one group, whose sums need no second set of registers.
template <class Dot, int R, int C, class Side>
void whole_tile(const Operands& o, const Side& side, float* out, int64_t stride) {
    typename Dot::Sum sum[R][C];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) sum[r][c] = side.template start<Dot>(r, c, 0);
    steps<Dot, R, C>(o, 0, sum);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c)
            store(out + r * stride + c * kLanes,
                  side.finish(r, c, Dot::value(sum[r][c]) * side.scaled(r, c, 0)));
}

template <class Dot, int R, int C, class Side>
void grouped_tile(const Operands& o, const Side& side, float* out, int64_t stride) {
    Vec total[R][C];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) total[r][c] = set(0.0f);
    for (int64_t g = 0; g < o.groups; ++g) {
        typename Dot::Sum sum[R][C];
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int c = 0; c < C; ++c) sum[r][c] = side.template start<Dot>(r, c, g);
        steps<Dot, R, C>(o, g, sum);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int c = 0; c < C; ++c)
                total[r][c] = fma(Dot::value(sum[r][c]), side.scaled(r, c, g), total[r][c]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c)
            store(out + r * stride + c * kLanes, side.finish(r, c, total[r][c]));
}

// Words and registers of a tile: as many as there are registers for their sums. With groups, 4 by 3
// would fit AVX-512, too, but GCC 12 then spills the lanes (half again as slow, measured).
template <bool kGrouped>
struct Shape {
#if defined(__AVX512F__)
    static constexpr int kWords = kGrouped ? 4 : 8, kRegisters = kGrouped ? 2 : 3;
#elif defined(__AVX2__)
    static constexpr int kWords = kGrouped ? 2 : 4, kRegisters = 1;
#else
    static constexpr int kWords = 2, kRegisters = 1;
#endif
};

template <class Dot, bool kGrouped, int R, int C, class Side>
inline void tile(const Operands& o, const Side& side, float* out, int64_t stride) {
    if constexpr (kGrouped)
        grouped_tile<Dot, R, C>(o, side, out, stride);
    else
        whole_tile<Dot, R, C>(o, side, out, stride);
}

}  // namespace canvaslm::dense
