// A product of a few tokens: slabs of 16 weight rows through few.h, read from the file's own bytes
// where those are what the dot takes.
#pragma once
#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)
#include <algorithm>
#include <cstdint>

#include "few.h"
#include "product_slab.h"

namespace canvaslm::dense {

inline int64_t few_tokens(const Task& task) {
    return task.blocks == 1 ? std::min<int64_t>(kLanes, task.x.tokens - task.b0 * kLanes) : kLanes;
}

// The dots of 4-bit weights and int8 tokens, which few.h reads packed.
inline bool is_packed(const Task& task) { return task.x.kind == Kind::kInt8 && task.w.group; }

// The tokens of a block, row by row.
inline void token_rows(const Task& task, int64_t tokens, uint8_t* words) {
    auto block = static_cast<const uint8_t*>(task.x.data) + task.b0 * task.x.block_bytes();
    int64_t steps = task.x.block_bytes() / 64;
    for (int64_t s = 0; s < steps; s += 16, block += 1024) {
        __m512i r[16];
        for (int i = 0; i < 16; ++i)
            r[i] = s + i < steps ? _mm512_loadu_si512(block + i * 64) : _mm512_setzero_si512();
        transpose(r);
        for (int t = 0; t < kFew; ++t)
            if (t < tokens) _mm512_storeu_si512(words + t * task.row_room() + s * 4, r[t]);
    }
}

// Arrays of columns become arrays of rows.
template <class T>
void turn_columns(const T* from, int64_t rows, int64_t columns, T* to) {
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
}

// What `tokens` tokens of a block are to few.h.
inline Tokens tokens_of(const Task& task, int64_t tokens, Arena& arena) {
    int64_t groups = task.groups(), room = task.row_room();
    auto words = arena.take<uint8_t>(kFew * room);
    auto columns = arena.take<int32_t>(groups * kLanes);
    auto bias = arena.take<int32_t>(groups * kLanes);
    token_rows(task, tokens, words);
    token_bias(task, columns);
    turn_columns(columns, groups, kLanes, bias);
    Tokens x;
    for (int64_t t = 0; t < kFew; ++t) {
        x.words[t] = words + t * room;
        x.bias[t] = bias + t * groups;
        if (is_packed(task) && t < tokens) interleave(words + t * room, task.x.depth());
    }
    return x;
}

inline int64_t few_room(const Task& task) {
    return SlabMaker::room(task, kSlab) + task.row_room() * kFew + task.groups() * kLanes * 8 +
           few_scales_room(task.groups()) * 4 + 8192;
}

// A slab's sums out[t][16], scaled but for the tokens' own scales.
class FewSlab {
  public:
    FewSlab(const Task& task, int64_t tokens, Arena& arena)
        : task_(task),
          tokens_(tokens),
          x_(tokens_of(task, tokens, arena)),
          maker_(task, {0, 1, kSlab}, arena),
          scale_(arena.take<float>(few_scales_room(task.groups()))) {}

    void packed(int64_t n, bool more, float* out) {
        int64_t bytes = row_bytes(task_.w);
        few_scales(task_.w, n, scale_);
        const uint8_t* next = more ? row_of(task_.w, n + kSlab) : nullptr;
        Sixteen rows(row_of(task_.w, n), bytes, bytes, task_.w.outputs - n, next);
        few_codes(task_.w, rows, x_, tokens_, scale_, out);
    }

    template <class Dot, bool kGrouped>
    void whole(int64_t n, int64_t count, bool more, float* out) {
        Slab slab = maker_.make(n, count);
        const uint8_t* next = maker_.straight() && more ? row_of(task_.w, n + kSlab) : nullptr;
        int64_t groups = task_.groups(), bytes = task_.w.width * task_.element();
        turn_columns(slab.scale, kSlab, groups, scale_);
        Sixteen rows(slab.rows, slab.stride, bytes, count, next);
        bool flips = task_.x.kind == Kind::kInt8;
        with_tokens(tokens_, [&](auto t) {
            few_rows<Dot, kGrouped, t>(rows, x_, scale_, task_.w.group * task_.element() / 64,
                                       flips ? 0x80 : 0, out);
        });
    }

  private:
    const Task& task_;
    int64_t tokens_;
    Tokens x_;
    SlabMaker maker_;
    float* scale_;
};

template <class Dot, bool kGrouped>
void by_few(const Task& task, Arena arena) {
    int64_t tokens = few_tokens(task);
    FewSlab slab(task, tokens, arena);
    auto last = arena.take<float>(kLanes);
    auto out = arena.take<float>(kLanes * kLanes);
    token_scale(task, last);
    std::fill_n(out, kLanes * kLanes, 0.0f);
    for (int64_t n = 0; n < task.count; n += kSlab) {
        int64_t rows = std::min(kSlab, task.count - n), first = task.n0 + n;
        bool more = n + kSlab < task.count;
        if constexpr (std::is_same_v<Dot, Int8Dot<true, false>>)
            slab.packed(first, more, out);
        else
            slab.template whole<Dot, kGrouped>(first, rows, more, out);
        for (int64_t t = 0; t < tokens; ++t)
            store(out + t * kLanes, load(out + t * kLanes) * set(last[t]));
        turn(out, kLanes, kLanes, rows, task.out + n * task.stride, task.stride);
    }
}

}  // namespace canvaslm::dense
#endif
