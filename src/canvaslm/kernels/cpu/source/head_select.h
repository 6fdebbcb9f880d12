// Which tokens of a row `soften` counts: the likeliest, until what is left out is little enough.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "head_kept.h"
#include "vector.h"

namespace canvaslm::head {

constexpr double kDropped = 1e-4;      // DROPPED of kernels/ops.py
constexpr double kRounding = 1 / 64.;  // what sums of rounded weights may be off by, amply

// Numbers in (0, 2) by size, 16 bins to an octave; what is below 2^-64 falls into the lowest.
struct Histogram {
    static constexpr int kBins = 65 * 16 + 1;
    static constexpr int kLowest = (127 - 64) * 16;
    double sum[kBins] = {};
    int64_t count[kBins] = {};

    static int bin(float x) {
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        return std::clamp(int(bits >> 19) - kLowest, 0, kBins - 1);
    }
    void add(float x) {
        int at = bin(x);
        sum[at] += x;
        ++count[at];
    }
    // The highest bin such that all below it sum up to no more than `budget`.
    int cut(double budget) const {
        double below = 0;
        int at = 0;
        while (at < kBins - 1 && (below += sum[at]) <= budget) ++at;
        return at;
    }
    int64_t from(int cut) const {
        int64_t total = 0;
        for (int at = cut; at < kBins; ++at) total += count[at];
        return total;
    }
};

inline float power_of_two(int exponent) {  // 0 where it would not be a normal number
    uint32_t bits = exponent < -126 ? 0 : static_cast<uint32_t>(exponent + 127) << 23;
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}

// One position's probabilities.
struct Row {
    const Kept& kept;
    int64_t t, tiles;

    const float* share() const { return kept.share + t * tiles; }
    // What the weights of a tile have to be taken times.
    float scale(int64_t tile) const {
        return kept.norm[t] * power_of_two(kept.shift[t * tiles + tile]);
    }
    template <class Weight>
    const Weight* weights(int64_t tile) const {
        int64_t padded = blocks_of(kept.tokens) * kLanes;
        return static_cast<const Weight*>(kept.weights) + (tile * padded + t) * kTile;
    }
};

struct Chosen {
    int64_t count = 0;
    bool all = false;  // too many to be gathered
    int tile_cut = 0;  // tiles in lower bins are left out
};

// Calls f(i, x) with each of n numbers from `from` on, times `times`, but for groups of 16 that are
// all below `floor`: most are, and they need no closer look.
template <class Number, class F>
inline void each_above(const Number* from, int64_t n, float times, float floor, F&& f) {
    for (int64_t i = 0; i < n; i += 16) {
        Vec some = load(from + i, n - i) * set(times);
        if (largest(some) < floor) continue;
        float x[16];
        store(x, some);
        for (int64_t j = 0; j < std::min<int64_t>(16, n - i); ++j) f(i + j, x[j]);
    }
}

// What may be left out without being counted, of n numbers, is an eighth of the budget.
constexpr double kCounted = 7 / 8.;
inline float floor_of(double budget, int64_t n) { return float(budget / 8 / double(n)); }

// Fills `token` and `p` with up to `most` tokens, in the order of the vocabulary; all others have
// at most kDropped of the probability. Half of that is for whole tiles, the rest for tokens.
template <class Weight>
Chosen choose(const Row& row, int64_t most, int32_t* token, float* p) {
    double budget = kDropped * (1 - kRounding);
    const float tile_floor = floor_of(budget / 2, row.tiles);
    Histogram tiles;
    each_above(row.share(), row.tiles, 1, tile_floor,
               [&](int64_t, float share) { tiles.add(share); });
    Chosen chosen;
    chosen.tile_cut = std::max(1, tiles.cut(budget / 2 * kCounted));  // bin 0 is as good as 0
    if (tiles.from(tiles.cut(kDropped)) > most) {  // each of these has a token at least
        chosen.all = true;
        return chosen;
    }
    float floor = floor_of(budget / 2, tiles.from(chosen.tile_cut) * kTile + 1);
    auto each_token = [&](auto&& f) {
        each_above(row.share(), row.tiles, 1, tile_floor, [&](int64_t k, float share) {
            if (Histogram::bin(share) < chosen.tile_cut) return;
            each_above(row.weights<Weight>(k), kTile, row.scale(k), floor,
                       [&](int64_t v, float one) { f(k * kTile + v, one); });
        });
    };
    Histogram tokens;
    each_token([&](int64_t, float one) { tokens.add(one); });
    int cut = std::max(1, tokens.cut(budget / 2 * kCounted * (1 - kRounding)));
    if (tokens.from(cut) > most) {
        chosen.all = true;
        return chosen;
    }
    each_token([&](int64_t v, float one) {
        if (Histogram::bin(one) < cut) return;
        token[chosen.count] = int32_t(v);
        p[chosen.count++] = one;
    });
    return chosen;
}

}  // namespace canvaslm::head
