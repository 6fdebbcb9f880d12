// The tiles of 16 positions, merged: in float64, in the order of the vocabulary.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "head_kept.h"
#include "head_tile.h"

namespace canvaslm::head {

struct Answer {
    float* log_z;
    float* entropy;
    int64_t* best;
    int64_t* drawn;         // or null; a tile until the token is drawn
    const double* uniform;  // where drawn is
    double* within;         // the part of the tile's probability that lies before the token
};

struct Merge {
    float largest[16];
    float tile[16], index[16];  // of the largest
    double total[16] = {};      // sum of the masses, in units of e^M
    double r[16] = {}, u[16] = {};
};

inline Merge find_largest(const float* statistics, int64_t tiles) {
    Vec m = set(-INFINITY), tile = set(0.0f), index = set(0.0f);
    for (int64_t k = 0; k < tiles; ++k) {
        const float* s = statistics + k * kStatistics * 16;
        Mask more = less(m, load(s));
        m = select(more, load(s), m);
        tile = select(more, set(float(k)), tile);
        index = select(more, load(s + 48), index);
    }
    Merge merge;
    store(merge.largest, m);
    store(merge.tile, tile);
    store(merge.index, index);
    return merge;
}

// logZ = M + log1p(R) and H = log1p(R) - U / (1 + R): nothing cancels, however narrow it is.
// Writes the mass of each tile [tiles][16].
inline Merge merge(const float* statistics, int64_t tiles, const Shape& shape, float* mass) {
    Merge all = find_largest(statistics, tiles);
    Vec m = finite(load(all.largest)), steep = set(shape.steep());
    Vec slope = set(1.0f / shape.temperature), least = set(-1e30f);
    for (int64_t k = 0; k < tiles; ++k) {
        const float* s = statistics + k * kStatistics * 16;
        float c[16], d[16];
        Vec below = max(load(s) - m, least);
        store(c, exp2(below * steep));
        store(d, below * slope);
        for (int t = 0; t < 16; ++t) {
            double scale = c[t], one_r = 1.0 + s[16 + t];
            double largest = all.tile[t] == float(k) ? 0.0 : scale;
            all.r[t] += scale * s[16 + t] + largest;
            all.u[t] += scale * (s[32 + t] + d[t] * one_r);
            mass[k * 16 + t] = static_cast<float>(scale * one_r);
            all.total[t] += mass[k * 16 + t];
        }
    }
    return all;
}

// The tile whose share of [0, 1) holds the uniform number, and where in the share it lies.
inline void choose_tile(const Merge& all, const float* mass, int64_t tiles, int64_t t,
                        const Answer& answer, int64_t at) {
    double target = answer.uniform[at] * all.total[t], upper = 0, before = 0;
    int64_t chosen = static_cast<int64_t>(all.tile[t]);  // should no tile hold it: NaN
    float width = 1;
    for (int64_t k = 0; k < tiles; ++k) {
        if (mass[k * 16 + t] > 0) {
            before = upper;
            chosen = k;
            width = mass[k * 16 + t];
        }
        upper += mass[k * 16 + t];
        if (upper > target) break;
    }
    answer.drawn[at] = chosen;
    answer.within[at] = std::clamp((target - before) / width, 0.0, 1 - 0x1p-32);
}

inline void keep_shares(const float* statistics, const Merge& all, const float* mass, int64_t tiles,
                        int64_t count, float steep_, const Kept& kept, int64_t t0) {
    Vec steep = set(steep_), m = load(all.largest);
    float unit_of_all[16], rest_of_all[16];
    store(unit_of_all, unit(m, steep));
    store(rest_of_all, exp2(rest(m, steep)));
    for (int64_t t = 0; t < count; ++t)
        kept.norm[t0 + t] = static_cast<float>(1 / (all.total[t] * rest_of_all[t]));
    for (int64_t k = 0; k < tiles; ++k) {
        float shift[16];
        store(shift, unit(load(statistics + k * kStatistics * 16), steep) - load(unit_of_all));
        for (int64_t t = 0; t < count; ++t) {
            kept.share[(t0 + t) * tiles + k] = float(mass[k * 16 + t] / all.total[t]);
            kept.shift[(t0 + t) * tiles + k] = int16_t(std::clamp(shift[t], -256.0f, 0.0f));
        }
    }
}

inline void conclude(const Merge& all, const Shape& shape, int64_t count, const Answer& answer,
                     int64_t t0) {
    for (int64_t t = 0; t < count; ++t) {
        double log_s = std::log1p(all.r[t]);
        answer.log_z[t0 + t] = float(double(all.largest[t]) / shape.temperature + log_s);
        answer.entropy[t0 + t] = float(log_s - all.u[t] / (1 + all.r[t]));
        answer.best[t0 + t] = int64_t(all.tile[t]) * kTile + int64_t(all.index[t]);
    }
}

}  // namespace canvaslm::head
