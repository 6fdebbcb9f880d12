// Experts that have a few tokens each, weights of 4 bits: one row of numbers for each pair of a
// token and an expert, and the products of few.h. Work is shared out by outputs, gate and up
// together, then down, so that threads read the weights of few experts evenly.
//
// Everything is rounded where the many-token way rounds it, so the bits are the same.
#pragma once
#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)
#include <algorithm>
#include <cstdint>

#include "experts_plan.h"
#include "experts_rows.h"
#include "few.h"
#include "pool.h"

namespace canvaslm::few {

using dense::few_codes, dense::few_scales, dense::few_scales_room, dense::kFew;

inline bool packed(const Matrix& m) { return m.group != 0; }

inline bool suits(const Call& call, const Plan& plan) {
    if (call.x.kind != Kind::kInt8) return false;
    return std::all_of(plan.items.begin(), plan.items.end(), [&](const Item& item) {
        int64_t e = item.expert;
        return plan.rows(item) <= kFew && packed(call.gate[e]) && packed(call.up[e]) &&
               packed(call.down[e]);
    });
}

struct Task {
    const Call& call;
    const Plan& plan;
    const TokenRows& tokens;  // the numbers in the order of packed weights
};

// The rounded rows between the products [pairs], in the order of the plan.
struct Middle {
    int64_t inner, width, groups;
    float* h;         // [pairs][inner]
    uint8_t* words;   // [pairs][width]
    int32_t* bias;    // [pairs][groups]
    float* scale;     // [pairs]

    explicit Middle(const Task& task) {
        int64_t pairs = static_cast<int64_t>(task.plan.pair.size());
        inner = task.call.inner();
        width = padded(inner, 64);
        groups = inner / 32;
        int64_t each = inner * 4 + width + groups * 4 + 4;
        h = static_cast<float*>(scratch(kHiddenSlot, pairs * each));
        words = reinterpret_cast<uint8_t*>(h + pairs * inner);
        bias = reinterpret_cast<int32_t*>(words + pairs * width);
        scale = reinterpret_cast<float*>(bias + pairs * groups);
    }
};

// What the sums of groups start at, from the sums of 32 neighbours.
inline void bias_of(const Matrix& m, const int32_t* sums, int32_t* bias) {
    int32_t offset = dense::offset_of(m.format);
    int64_t joined = m.group / 32, groups = m.width / m.group;
    for (int64_t g = 0; g < groups; ++g) {
        int32_t sum = 0;
        for (int64_t i = 0; i < joined; ++i) sum += sums[g * joined + i];
        bias[g] = -offset * sum;
    }
}

// Sixteen outputs of an expert's matrix for its tokens, [t][16]; `next` is what is read afterwards.
inline void sixteen(const Matrix& m, int64_t n, const dense::Tokens& x, int64_t tokens,
                    const uint8_t* next, float* out) {
    auto scale = static_cast<float*>(
        scratch(kSumSlot, static_cast<size_t>(few_scales_room(m.width / m.group)) * 4));
    int64_t bytes = dense::row_bytes(m);
    few_scales(m, n, scale);
    dense::Sixteen rows(dense::row_of(m, n), bytes, bytes, m.outputs - n, next);
    few_codes(m, rows, x, tokens, scale, out);
}

// Gate and up of some outputs of an expert, gated.
inline void gate_and_up(const Task& task, const Middle& middle, const Item& item, int64_t first,
                        int64_t last) {
    const Matrix &gate = task.call.gate[item.expert], &up = task.call.up[item.expert];
    const int64_t rows = task.plan.rows(item), most = task.call.x.width / 32;
    auto bias = static_cast<int32_t*>(scratch(kPanelSlot, 2 * kFew * most * 4));
    dense::Tokens gates{}, ups{};
    float* scale[kFew];
    float* h[kFew];
    for (int64_t t = 0; t < rows; ++t) {
        const int32_t* pair = task.plan.pairs(item) + t;
        int64_t token = *pair / task.call.slots;
        gates.words[t] = ups.words[t] = reinterpret_cast<uint8_t*>(task.tokens.row(token));
        gates.bias[t] = bias + 2 * t * most;
        ups.bias[t] = bias + (2 * t + 1) * most;
        bias_of(gate, task.tokens.sums(token), bias + 2 * t * most);
        bias_of(up, task.tokens.sums(token), bias + (2 * t + 1) * most);
        scale[t] = task.call.x.scale + token;
        h[t] = middle.h + (pair - task.plan.pair.data()) * middle.inner;
    }
    Peak unused;  // a row's is known when all of its outputs are
    for (int64_t n = first; n < last; n += kLanes) {
        alignas(64) float g[kFew * kLanes], u[kFew * kLanes];
        bool more = n + kLanes < last;
        sixteen(gate, n, gates, rows, more ? dense::row_of(gate, n + kLanes) : nullptr, g);
        sixteen(up, n, ups, rows, more ? dense::row_of(up, n + kLanes) : nullptr, u);
        for (int64_t t = 0; t < rows; ++t)
            gated(g + t * kLanes, u + t * kLanes, 1, set(*scale[t]), unused, h[t] + n);
    }
}

// The i-th pair's row, rounded to int8.
inline void round_row(const Task& task, const Middle& middle, int64_t i, const Matrix& down) {
    const float* h = middle.h + i * middle.inner;
    uint8_t* words = middle.words + i * middle.width;
    Peak peak;
    for (int64_t k = 0; k < middle.inner; k += kLanes) peak.see(load(h + k));
    const Vec unit = set(int8_unit(peak.value()));
    std::fill(words + middle.inner, words + middle.width, 0);
    auto sums = static_cast<int32_t*>(scratch(kPanelSlot, middle.groups * 4));
    for (int64_t k = 0; k < middle.inner; k += 32) {
        __m512i low = _mm512_cvtps_epi32(int8_of(load(h + k), unit).v);
        __m512i high = _mm512_cvtps_epi32(int8_of(load(h + k + 16), unit).v);
        sums[k / 32] = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(words + k), _mm512_cvtepi32_epi8(low));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(words + k + 16), _mm512_cvtepi32_epi8(high));
    }
    dense::interleave(words, middle.width);
    bias_of(down, sums, middle.bias + i * middle.groups);
    middle.scale[i] = peak.value() / 127 * task.call.weights[task.plan.pair[i]];
}

// Adds what is rounded as a product first: no multiply-add.
inline void add_scaled(float* out, Vec sums, float scale) {
    Vec part = sums * set(scale);
    asm("" : "+v"(part.v));
    store(out, load(out) + part);
}

// Some columns of the result: all experts', one after the other.
inline void down(const Task& task, const Middle& middle, int64_t first, int64_t last) {
    const Call& call = task.call;
    for (int64_t token = 0; token < call.x.tokens; ++token)
        std::fill_n(call.out + token * call.hidden() + first, last - first, 0.0f);
    for (size_t i = 0; i < task.plan.items.size(); ++i) {
        const Item& item = task.plan.items[i];
        const Item* then = i + 1 < task.plan.items.size() ? &item + 1 : nullptr;
        const Matrix& m = call.down[item.expert];
        int64_t rows = task.plan.rows(item), at = task.plan.begin[item.expert];
        dense::Tokens x{};
        for (int64_t t = 0; t < rows; ++t) {
            x.words[t] = middle.words + (at + t) * middle.width;
            x.bias[t] = middle.bias + (at + t) * middle.groups;
        }
        for (int64_t n = first; n < last; n += kLanes) {
            alignas(64) float sums[kFew * kLanes];
            const uint8_t* next = n + kLanes < last ? dense::row_of(m, n + kLanes)
                                  : then            ? dense::row_of(call.down[then->expert], first)
                                                    : nullptr;
            sixteen(m, n, x, rows, next, sums);
            for (int64_t t = 0; t < rows; ++t) {
                int64_t token = task.plan.pairs(item)[t] / call.slots;
                add_scaled(call.out + token * call.hidden() + n, load(sums + t * kLanes),
                           middle.scale[at + t]);
            }
        }
    }
}

// Outputs of a piece of work, of which there are `all` in the `times` matrices.
inline int64_t outputs_of_piece(int64_t all, int64_t times, int threads) {
    constexpr int64_t kPieces = 32;  // for each thread: then the last one ends soon after the first
    return std::max<int64_t>(padded(all * times / (kPieces * threads), kLanes), 2 * kLanes);
}

inline void experts(int threads, const Task& task) {
    const Call& call = task.call;
    const auto& items = task.plan.items;
    Middle middle(task);
    for (int64_t t = 0; t < call.x.tokens; ++t)
        dense::interleave(reinterpret_cast<uint8_t*>(task.tokens.row(t)),
                          task.tokens.number_bytes);
    int64_t count = static_cast<int64_t>(items.size()), inner = call.inner();
    int64_t piece = outputs_of_piece(inner, count, threads), each = (inner + piece - 1) / piece;
    parallel(threads, count * each, [&](int64_t i, int) {
        int64_t first = i % each * piece;
        gate_and_up(task, middle, items[i / each], first, std::min(first + piece, inner));
    });
    for (const Item& item : items)
        for (int64_t t = 0; t < task.plan.rows(item); ++t)
            round_row(task, middle, task.plan.begin[item.expert] + t, call.down[item.expert]);
    int64_t width = call.hidden();
    piece = outputs_of_piece(width, 1, threads);
    parallel(threads, (width + piece - 1) / piece, [&](int64_t i, int) {
        down(task, middle, i * piece, std::min((i + 1) * piece, width));
    });
}

}  // namespace canvaslm::few
#endif
