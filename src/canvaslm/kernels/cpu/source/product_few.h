// Products of a few tokens, where lanes of tokens would stay empty: lanes are outputs instead. 16
// weight rows are turned round, 4 bytes of each beside one another; tokens are the words.
//
// Additions come in the same order as with tokens as lanes, so that the bits are the same, too.
#pragma once
#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "product_slab.h"
#include "product_transpose.h"

namespace canvaslm::dense {

constexpr int64_t kFew = 4;  // with more tokens, turning the weights costs more than it saves

// The tokens of one block, row by row: [kFew][row_room].
inline void token_rows(const Task& task, int64_t tokens, uint8_t* words) {
    auto block = static_cast<const uint8_t*>(task.x.data) + task.b0 * task.x.block_bytes();
    int64_t count = task.steps() * task.groups();
    for (int64_t t = 0; t < tokens; ++t)
        for (int64_t s = 0; s < count; ++s)
            std::memcpy(words + t * task.row_room() + s * 4, block + s * 64 + t * 4, 4);
}

// [steps][16 outputs][4 bytes] of 16 rows `bytes` long, `flip` in every byte's bits turned over.
inline void turn_rows(const Slab& slab, int64_t bytes, uint8_t flip, uint8_t* lanes) {
    constexpr int64_t kAhead = 512;  // bytes of a row that are on their way from memory
    const __m512i flips = _mm512_set1_epi8(char(flip));
    for (int64_t i = 0; i < bytes; i += 64, lanes += 1024) {
        __mmask64 there = bytes - i >= 64 ? ~0ull : (1ull << (bytes - i)) - 1;
        __m512i r[16];
#pragma GCC unroll 16
        for (int n = 0; n < 16; ++n) {
            const uint8_t* at = slab.rows + n * slab.stride + i;
            r[n] = _mm512_xor_si512(_mm512_maskz_loadu_epi8(there, at), flips);
            __builtin_prefetch(at + kAhead);
        }
        transpose(r);
#pragma GCC unroll 16
        for (int s = 0; s < 16; ++s) _mm512_store_si512(lanes + s * 64, r[s]);
    }
}

template <class Dot, bool kGrouped>
void few_tile(int64_t tokens, const Operands& o, const OutputsAsLanes& side, float* out) {
    if (tokens == 1) return tile<Dot, kGrouped, 1, 1>(o, side, out, kLanes);
    if (tokens == 2) return tile<Dot, kGrouped, 2, 1>(o, side, out, kLanes);
    if (tokens == 3) return tile<Dot, kGrouped, 3, 1>(o, side, out, kLanes);
    tile<Dot, kGrouped, 4, 1>(o, side, out, kLanes);
}

inline int64_t few_tokens(const Task& task) {
    return task.blocks == 1 ? std::min<int64_t>(kLanes, task.x.tokens - task.b0 * kLanes) : kLanes;
}

inline int64_t few_room(const Task& task) {
    return SlabMaker::room(task, kSlab) + task.row_room() * (kLanes + kFew) +
           task.groups() * kLanes * 12 + 4096;
}

// The scales [16][groups] and biases [groups][16] of a block, the other way round.
template <class T>
void turn_groups(const T* from, int64_t rows, int64_t columns, T* to) {
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
}

template <class Dot, bool kGrouped>
void by_few(const Task& task, Arena arena) {
    bool flips = task.x.kind == Kind::kInt8 && task.w.format == Format::kInt8;
    int64_t tokens = few_tokens(task), groups = task.groups(), room = task.row_room();
    int64_t bytes = task.steps() * groups * 4;
    SlabMaker maker(task, {flips ? 0 : offset_of(task), 4, kSlab}, arena);
    auto words = arena.take<uint8_t>(kFew * room);
    auto lanes = arena.take<uint8_t>(kLanes * room);
    auto turned = arena.take<int32_t>(groups * kLanes);
    auto bias = arena.take<int32_t>(groups * kLanes);
    auto scale = arena.take<float>(groups * kLanes);
    auto last = arena.take<float>(kLanes);
    auto out = arena.take<float>(kLanes * kLanes);
    token_rows(task, tokens, words);
    token_bias(task, turned);
    turn_groups(turned, groups, kLanes, bias);
    token_scale(task, last);
    std::fill_n(out, kLanes * kLanes, 0.0f);
    for (int64_t n = 0; n < task.count; n += kSlab) {
        int64_t rows = std::min(kSlab, task.count - n);
        Slab slab = maker.make(task.n0 + n, rows);
        turn_rows(slab, bytes, flips ? 0x80 : 0, lanes);
        turn_groups(slab.scale, kSlab, groups, scale);
        Operands o{lanes, 0, words, room, groups, task.steps()};
        few_tile<Dot, kGrouped>(tokens, o, {bias, scale, last, groups}, out);
        turn(out, kLanes, kLanes, rows, task.out + n * task.stride, task.stride);
    }
}

}  // namespace canvaslm::dense
#endif
