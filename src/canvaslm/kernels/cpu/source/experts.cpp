// A layer of experts: tokens bucketed by expert, gate and up and their product rounded again for
// one expert after another, then the down products.
//
// The down products are shared out by outputs, not by expert: whoever has some columns of the
// result adds to them expert by expert, in that order, while they stay in the cache. So a token's
// sum depends on nothing but the token.
#include <algorithm>
#include <atomic>
#include <type_traits>

#include "api.h"
#include "experts_few.h"
#include "experts_plan.h"
#include "experts_rows.h"
#include "experts_tile.h"
#include "panel.h"
#include "pool.h"

namespace canvaslm {
namespace {

using DotOfCodes = std::conditional_t<Tiles::kThere, SignedDot, ByteDot>;
constexpr bool kStarts = !Tiles::kThere;  // sums start from what unsigned weights are off by

#if defined(__AMX_INT8__) || (defined(__AVX2__) && !defined(__AVX512VNNI__))
using ByteOfInt8 = Int8<0>;
using DotOfInt8 = SignedDot;
#else
using ByteOfInt8 = Int8<128>;
using DotOfInt8 = ByteDot;
#endif

int64_t pieces_of(Kind kind, int64_t width) {
    return kind == Kind::kInt8 ? padded(width, 64) / 32 : 0;
}

int offset_of(Format format) {
    return format == Format::kInt4    ? Int4::kOffset
           : format == Format::kMxfp4 ? Mxfp4::kOffset
                                      : ByteOfInt8::kOffset;
}

int64_t groups_of(const Matrix& m) { return m.group ? m.width / m.group : 1; }

void start_sums(const int32_t* sums, const Matrix& m, int32_t* out) {
    int64_t pieces = padded(m.width, 64) / 32;
    if (m.group)
        starts(sums, m.width / 32, m.group / 32, offset_of(m.format), out);
    else
        starts(sums, pieces, pieces, offset_of(m.format), out);
}

void any_tile(const Matrix& m, int64_t n0, const Lanes& x, const char* ahead, Tiles& tiles,
              float* sums) {
    auto with = [&]<class Dot, class W>(Dot, W) { tile<Dot, W>(m, n0, x, ahead, tiles, sums); };
    switch (m.format) {
        case Format::kInt4:
            return x.kind == Kind::kInt8 ? with(DotOfCodes{}, Int4{}) : with(Bf16Dot{}, Int4{});
        case Format::kMxfp4:
            return x.kind == Kind::kInt8 ? with(DotOfCodes{}, Mxfp4{}) : with(Bf16Dot{}, Mxfp4{});
        case Format::kInt8:
            return x.kind == Kind::kInt8 ? with(DotOfInt8{}, ByteOfInt8{})
                                         : with(Bf16Dot{}, Int8<0>{});
        case Format::kBfloat16:
            return x.kind == Kind::kBfloat16 ? with(Bf16Dot{}, Bf16{}) : with(FloatDot{}, Bf16{});
        default:
            return with(FloatDot{}, Float32{});
    }
}

const char* rows_at(const Matrix& m, int64_t row) {
    return static_cast<const char*>(m.data) + row * row_bytes_of(m);
}

void spread_tokens(int threads, const Panel& x, const TokenRows& tokens) {
    int64_t pieces = pieces_of(x.kind, x.width);
    parallel(threads, blocks_of(x.tokens), [&](int64_t block, int) {
        char *to[kLanes], *sums[kLanes];
        for (int lane = 0; lane < kLanes; ++lane) {
            to[lane] = tokens.data + (block * kLanes + lane) * tokens.bytes;
            sums[lane] = to[lane] + tokens.number_bytes;
        }
        const char* data = static_cast<const char*>(x.data) + block * x.block_bytes();
        turn16(data, x.block_bytes() / 64, to);
        if (pieces)
            turn16(reinterpret_cast<const char*>(x.sums + block * pieces * kLanes), pieces, sums);
    });
}

// The panel of an item's tokens; lanes beyond them repeat the last token.
struct Gathered {
    Lanes gate, up;
    float scale[kChunk * kLanes];

    Gathered(const Call& call, const TokenRows& tokens, const Plan& plan, const Item& item) {
        const Matrix &g = call.gate[item.expert], &u = call.up[item.expert];
        int64_t rows = plan.rows(item);
        int64_t pieces = kStarts ? pieces_of(call.x.kind, call.x.width) : 0;
        int64_t numbers = call.x.block_bytes(), sums = pieces * 64;
        int64_t gate_starts = groups_of(g) * kLanes, up_starts = groups_of(u) * kLanes;
        int64_t each = numbers + sums + (gate_starts + up_starts) * 4;
        char* memory = static_cast<char*>(scratch(kPanelSlot, item.blocks * each));
        int32_t* sum = reinterpret_cast<int32_t*>(memory + item.blocks * numbers);
        int32_t* start = sum + pieces * kLanes;
        for (int64_t block = 0; block < item.blocks; ++block) {
            const char *from[kLanes], *from_sums[kLanes];
            for (int lane = 0; lane < kLanes; ++lane) {
                int64_t row = std::min(block * kLanes + lane, rows - 1);
                int64_t token = plan.pairs(item)[row] / call.slots;
                from[lane] = tokens.row(token);
                from_sums[lane] = from[lane] + tokens.number_bytes;
                scale[block * kLanes + lane] = call.x.scale ? call.x.scale[token] : 1;
            }
            gather16(from, numbers / 64, memory + block * numbers);
            if (!pieces) continue;
            gather16(from_sums, pieces, reinterpret_cast<char*>(sum));
            start_sums(sum, g, start + block * gate_starts);
            start_sums(sum, u, start + item.blocks * gate_starts + block * up_starts);
        }
        int eighths = static_cast<int>((rows + 7) / 8);
        gate = {call.x.kind, eighths, memory, numbers, pieces ? start : nullptr, gate_starts};
        up = gate;
        if (pieces) up.start = start + item.blocks * gate_starts;
        up.starts = up_starts;
    }
};

void round_block(const Call& call, int64_t expert, const Hidden& hidden, int64_t block,
                 const float* h, Vec peak) {
    int64_t inner = call.inner();
    char* out = hidden.data + block * hidden.block_bytes;
    if (call.x.kind == Kind::kInt8) {
        int32_t* sums = static_cast<int32_t*>(scratch(kPanelSlot, padded(inner, 64) * 2));
        round_int8(h, inner, peak, out, hidden.scale + block * kLanes, sums);
        if (kStarts)
            start_sums(sums, call.down[expert], hidden.start + block * hidden.starts);
        return;
    }
    store(hidden.scale + block * kLanes, set(1));
    if (call.x.kind == Kind::kBfloat16)
        round_bfloat16(h, inner, out);
    else
        std::memcpy(out, h, static_cast<size_t>(inner) * 64);
}

void gate_and_up(const Call& call, const TokenRows& tokens, const Plan& plan, const Item& item,
                 const Item& next, const Hidden& hidden) {
    int64_t inner = call.inner();
    const Matrix &gate = call.gate[item.expert], &up = call.up[item.expert];
    Gathered x(call, tokens, plan, item);
    float* gates = static_cast<float*>(scratch(kSumSlot, item.blocks * kSums * 8));
    float* ups = gates + item.blocks * kSums;
    float* h = static_cast<float*>(scratch(kGatedSlot, item.blocks * inner * 64));
    Peak peak[kChunk];
    {
        Tiles tiles;
        for (int64_t n = 0; n < inner; n += kOutputs) {
            bool more = n + kOutputs < inner;
            int64_t then = more ? item.expert : next.expert, row = more ? n + kOutputs : 0;
            any_tile(gate, n, x.gate, rows_at(call.gate[then], row), tiles, gates);
            any_tile(up, n, x.up, rows_at(call.up[then], row), tiles, ups);
            for (int64_t b = 0; b < item.blocks; ++b)
                gated(gates + b * kSums, ups + b * kSums, std::min<int64_t>(kOutputs, inner - n),
                      load(x.scale + b * kLanes), peak[b], h + (b * inner + n) * kLanes);
        }
    }
    int64_t first = plan.block[item.expert] + item.first;
    for (int64_t b = 0; b < item.blocks; ++b)
        round_block(call, item.expert, hidden, first + b, h + b * inner * kLanes,
                    peak[b].lanes());
}

// Adds a tile [16 outputs][16 lanes] to the rows of its tokens.
void add_rows(const Call& call, const int32_t* pairs, int64_t rows, const float* sums,
              const float* scale, int64_t n) {
    alignas(64) float factor[kLanes], part[kLanes];
    alignas(64) uint32_t scaled[kTile], turned[kTile];
    for (int64_t lane = 0; lane < kLanes; ++lane)
        factor[lane] = lane < rows ? scale[lane] * call.weights[pairs[lane]] : 0;
    for (int r = 0; r < kLanes; ++r)
        store(reinterpret_cast<float*>(scaled + r * kLanes),
              load(sums + r * kLanes) * load(factor));
    transpose(scaled, turned);
    int64_t width = call.hidden() - n;
    for (int64_t lane = 0; lane < rows; ++lane) {
        float* out = call.out + pairs[lane] / call.slots * call.hidden() + n;
        std::memcpy(part, turned + lane * kLanes, sizeof part);
        store(out, load(out, width) + load(part), width);
    }
}

void down(const Call& call, const Plan& plan, const Hidden& hidden, int64_t first, int64_t last) {
    for (int64_t token = 0; token < call.x.tokens; ++token)
        std::fill_n(call.out + token * call.hidden() + first, last - first, 0.0f);
    float* sums = static_cast<float*>(scratch(kSumSlot, kChunk * kSums * 4));
    Tiles tiles;
    for (size_t i = 0; i < plan.items.size(); ++i) {
        const Item& item = plan.items[i];
        const Item& next = plan.items[std::min(i + 1, plan.items.size() - 1)];
        int64_t rows = plan.rows(item), block = plan.block[item.expert] + item.first;
        Lanes x{call.x.kind, static_cast<int>((rows + 7) / 8),
                hidden.data + block * hidden.block_bytes, hidden.block_bytes,
                hidden.start ? hidden.start + block * hidden.starts : nullptr, hidden.starts};
        for (int64_t n = first; n < last; n += kOutputs) {
            bool more = n + kOutputs < last;
            const char* ahead = more ? rows_at(call.down[item.expert], n + kOutputs)
                                     : rows_at(call.down[next.expert], first);
            any_tile(call.down[item.expert], n, x, ahead, tiles, sums);
            for (int64_t b = 0; b < item.blocks; ++b)
                for (int64_t row = 0; row < std::min<int64_t>(kOutputs, last - n); row += kLanes)
                    add_rows(call, plan.pairs(item) + b * kLanes,
                             std::min<int64_t>(kLanes, rows - b * kLanes),
                             sums + b * kSums + row * kLanes,
                             hidden.scale + (block + b) * kLanes, n + row);
        }
    }
}

TokenRows tokens_of(const Panel& x) {
    int64_t numbers = x.block_bytes() / kLanes, bytes = numbers + pieces_of(x.kind, x.width) * 4;
    size_t all = static_cast<size_t>(blocks_of(x.tokens) * kLanes * bytes);
    return {static_cast<char*>(scratch(kTokenSlot, all)), bytes, numbers};
}

Hidden hidden_of(const Call& call, int64_t blocks) {
    Panel shape{call.x.kind, 0, call.inner(), nullptr, nullptr, nullptr};
    bool exact = kStarts && call.x.kind == Kind::kInt8;
    int64_t starts = 0;
    for (int64_t e = 0; exact && e < call.experts; ++e)
        starts = std::max(starts, groups_of(call.down[e]) * kLanes);
    int64_t numbers = shape.block_bytes(), each = numbers + 64 + starts * 4;
    char* memory = static_cast<char*>(scratch(kHiddenSlot, static_cast<size_t>(blocks * each)));
    float* scale = reinterpret_cast<float*>(memory + blocks * numbers);
    int32_t* start = reinterpret_cast<int32_t*>(scale + blocks * kLanes);
    return {numbers, starts, memory, scale, exact ? start : nullptr};
}

// Outputs of one piece of the down products: few enough that all tokens' sums stay in the cache.
int64_t slab_of(const Call& call, int threads) {
    constexpr int64_t kFloats = 1 << 17;
    int64_t cached = kFloats / std::max<int64_t>(call.x.tokens, 1) / kOutputs * kOutputs;
    int64_t shared = padded(call.hidden() / (4 * threads) + 1, kOutputs);
    return std::max<int64_t>(std::min(cached, shared), 4 * kLanes);
}

int64_t experts(int threads, const Call& call, const int32_t* index) {
    Plan plan(index, call.x.tokens * call.slots, call.experts);
    if (plan.beyond) return plan.beyond;
    TokenRows tokens = tokens_of(call.x);
    spread_tokens(threads, call.x, tokens);
#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)
    if (few::suits(call, plan)) {
        few::experts(threads, {call, plan, tokens});
        return 0;
    }
#endif
    Hidden hidden = hidden_of(call, plan.block.back());
    int64_t items = static_cast<int64_t>(plan.items.size());
    std::atomic<int64_t> taken{0};
    parallel(threads, std::min<int64_t>(threads, items), [&](int64_t, int) {
        for (int64_t at = taken++; at < items;) {
            int64_t then = taken++;  // known already, so that its weights can be fetched
            gate_and_up(call, tokens, plan, plan.items[at], plan.items[std::min(then, items - 1)],
                        hidden);
            at = then;
        }
    });
    int64_t slab = slab_of(call, threads), width = call.hidden();
    parallel(threads, (width + slab - 1) / slab, [&](int64_t i, int) {
        down(call, plan, hidden, i * slab, std::min((i + 1) * slab, width));
    });
    return 0;
}

}  // namespace
}  // namespace canvaslm

// Sum over a token's experts, see ops.py. gate, up and down are [E]; weights and index [T, slots];
// out float [T, D]. Returns how many indices name no expert; then nothing is computed.
CANVASLM_API int64_t canvaslm_experts(int threads, const canvaslm::Panel* x, int64_t experts,
                                      const canvaslm::Matrix* gate, const canvaslm::Matrix* up,
                                      const canvaslm::Matrix* down, int64_t slots,
                                      const float* weights, const int32_t* index, float* out) {
    canvaslm::Call call{*x, gate, up, down, experts, slots, weights, out};
    return canvaslm::experts(threads, call, index);
}
