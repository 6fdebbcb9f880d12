// What happens to rows between the products. Every operation works on blocks of 16 tokens; a row's
// numbers depend on nothing but the row.
#include "api.h"
#include "norm.h"
#include "pack.h"
#include "pool.h"

namespace canvaslm {
namespace {

struct Extent {
    float squares;  // the sum of x^2
    float peak;     // the largest |x weight|
};

// `weight` may be null; the peak is looked for only if `Peaked`.
template <bool Peaked>
Extent measure(const float* x, const float* weight, int64_t width) {
    Vec squares[4] = {set(0), set(0), set(0), set(0)}, peak = set(0);
    auto step = [&](int64_t at, auto left, int i) {
        Vec piece = load(x + at, left);
        squares[i] = fma(piece, piece, squares[i]);
        if constexpr (Peaked) peak = max(peak, abs(weighted(piece, weight, at, left)));
    };
    int64_t at = 0;
    for (; at + 64 <= width; at += 64)
        for (int i = 0; i < 4; ++i) step(at + 16 * i, Whole{}, i);
    for (int i = 0; at < width; at += 16, ++i) step(at, width - at, i);
    return {sum((squares[0] + squares[1]) + (squares[2] + squares[3])), largest(peak)};
}

inline int tokens_of(int64_t block, int64_t tokens) {
    const int64_t left = tokens - block * kLanes;
    return left < kLanes ? static_cast<int>(left) : kLanes;
}

void pack_rows(const Panel& to, int64_t block, const float* x, int64_t stride, const float* peak) {
    pack(to, block, peak, [&](int row, int64_t at, auto left) {
        return load(x + row * stride + at, left);
    });
}

void norm_block(const float* h, const float* weight, float eps, const Panel& to, int64_t block) {
    const int64_t width = to.width;
    const float* x = h + block * kLanes * width;
    float inverse[kLanes], peak[kLanes];
    for (int row = 0; row < tokens_of(block, to.tokens); ++row) {
        const float* own = x + row * width;
        const Extent extent = to.kind == Kind::kInt8 ? measure<true>(own, weight, width)
                                                     : measure<false>(own, weight, width);
        inverse[row] = inverse_rms(extent.squares, width, eps);
        peak[row] = extent.peak * inverse[row];
    }
    pack(to, block, peak, [&](int row, int64_t at, auto left) {
        return weighted(load(x + row * width + at, left) * set(inverse[row]), weight, at, left);
    });
}

// to = (to + x / rms(x) * weight) * scalar, or without `Add` the quotient itself.
template <bool Add>
void norm_row(const float* x, const float* weight, int64_t width, float eps, float scalar,
              float* to) {
    const float squares = measure<false>(x, nullptr, width).squares;
    const Vec inverse = set(inverse_rms(squares, width, eps));
    sweep(width, [&](int64_t at, auto left) {
        Vec y = weighted(load(x + at, left) * inverse, weight, at, left);
        if constexpr (Add) y = (load(to + at, left) + y) * set(scalar);
        store(to + at, y, left);
    });
}

float gated(const float* gate, const float* up, int64_t width, float* to) {
    Peak peak;
    sweep(width, [&](int64_t at, auto left) {
        Vec x = gelu(load(gate + at, left)) * load(up + at, left);
        peak.see(x);
        store(to + at, x, left);
    });
    return peak.value();
}

struct Heads {
    const float* raw;
    int64_t stride;      // of a token in raw
    int64_t count;       // heads
    const float* norm;   // null: not weighted, and not turned
    void* out;
    int64_t out_head, out_token;  // strides, in elements
};

struct Turning {
    int64_t size;  // of a head
    float eps;
    const float *cos, *sin;  // of this token
};

template <class T>
void turn_head(const float* raw, const float* norm, const Turning& turning, T* out) {
    const int64_t half = turning.size / 2;
    const float squares = measure<false>(raw, nullptr, turning.size).squares;
    const Vec inverse = set(inverse_rms(squares, turning.size, turning.eps));
    sweep(half, [&](int64_t at, auto left) {
        Vec first = load(raw + at, left) * inverse, second = load(raw + half + at, left) * inverse;
        if (norm) {
            first *= load(norm + at, left);
            second *= load(norm + half + at, left);
            Vec cos = load(turning.cos + at, left), sin = load(turning.sin + at, left);
            Vec was = first;
            first = first * cos - second * sin;
            second = second * cos + was * sin;
        }
        store(out + at, first, left);
        store(out + half + at, second, left);
    });
}

template <class T>
void turn_token(const Heads& heads, int64_t token, const Turning& turning) {
    const float* raw = heads.raw + token * heads.stride;
    T* out = static_cast<T*>(heads.out) + token * heads.out_token;
    for (int64_t head = 0; head < heads.count; ++head)
        turn_head(raw + head * turning.size, heads.norm, turning, out + head * heads.out_head);
}

// Scores of N experts for 16 tokens; x is [D][16].
template <int N>
void score(const float* x, const float* router, int64_t width, float* to) {
    Vec total[N];
    for (Vec& one : total) one = set(0);
    for (int64_t k = 0; k < width; ++k) {
        Vec tokens = load(x + k * kLanes);
#pragma GCC unroll 16
        for (int i = 0; i < N; ++i) total[i] = fma(set(router[i * width + k]), tokens, total[i]);
    }
    for (int i = 0; i < N; ++i) store(to + i * kLanes, total[i]);
}

void score_all(const float* x, const float* router, int64_t width, int64_t experts, float* to) {
#if defined(__AVX512F__)
    constexpr int kMany = 16, kSome = 8;
#else
    constexpr int kMany = 6, kSome = 4;
#endif
    int64_t e = 0;
    for (; e + kMany <= experts; e += kMany)
        score<kMany>(x, router + e * width, width, to + e * kLanes);
    for (; e + kSome <= experts; e += kSome)
        score<kSome>(x, router + e * width, width, to + e * kLanes);
    for (; e < experts; ++e) score<1>(x, router + e * width, width, to + e * kLanes);
}

// The best scores of 16 tokens, [top][16]: each one found is then ruled out.
void choose(float* scores, int64_t experts, int64_t top, float* best, int32_t* index) {
    const float lowest = -HUGE_VALF;
    for (int64_t place = 0; place < top; ++place) {
        Vec most = set(lowest), where = set(0);
        for (int64_t e = 0; e < experts; ++e) {
            Vec here = load(scores + e * kLanes);
            Mask more = less(most, here);
            most = select(more, here, most);
            where = select(more, set(static_cast<float>(e)), where);
        }
        float found[kLanes];
        store(found, where);
        store(best + place * kLanes, most);
        for (int lane = 0; lane < kLanes; ++lane) {
            const int32_t e = static_cast<int32_t>(found[lane]);
            index[place * kLanes + lane] = e;
            scores[e * kLanes + lane] = lowest;
        }
    }
}

struct Routing {
    const float *router, *expert_scale;
    int64_t experts, top;
    float eps;
    float* weights;
    int32_t* index;
};

void route_block(const float* h, int64_t tokens, int64_t width, const Routing& to, int64_t block) {
    auto x = static_cast<float*>(scratch(0, static_cast<size_t>(width) * kLanes * 4));
    const int count = tokens_of(block, tokens);
    Panel panel{Kind::kFloat32, count, width, x, nullptr, nullptr};
    norm_block(h + block * kLanes * width, nullptr, to.eps, panel, 0);
    const int64_t rows = to.experts + to.top;
    auto scores = static_cast<float*>(scratch(1, static_cast<size_t>(rows) * kLanes * 4));
    auto index = static_cast<int32_t*>(scratch(2, static_cast<size_t>(to.top) * kLanes * 4));
    score_all(x, to.router, width, to.experts, scores);
    float* best = scores + to.experts * kLanes;
    choose(scores, to.experts, to.top, best, index);
    Vec peak = load(best), total = set(0);
    for (int64_t place = 0; place < to.top; ++place) {
        Vec share = exp(load(best + place * kLanes) - peak);
        store(best + place * kLanes, share);
        total += share;
    }
    float sums[kLanes];
    store(sums, total);
    for (int lane = 0; lane < count; ++lane)
        for (int64_t place = 0; place < to.top; ++place) {
            const int64_t at = (block * kLanes + lane) * to.top + place;
            const int32_t e = index[place * kLanes + lane];
            to.index[at] = e;
            to.weights[at] = best[place * kLanes + lane] / sums[lane] * to.expert_scale[e];
        }
}

float of_bits(uint32_t bits) {
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}

float wide(uint32_t bfloat16) { return of_bits(bfloat16 << 16); }

float power(uint32_t exponent) {  // 2^(exponent - 127), the least of them a denormal
    return of_bits(exponent ? exponent << 23 : 1u << 22);
}

void unpack_row(const Matrix& table, int64_t id, float scale, float* to) {
    constexpr float kE2m1[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, 0, -.5f, -1, -1.5f, -2, -3, -4, -6};
    const int64_t width = table.width;
    if (table.format == Format::kFloat32 || table.format == Format::kBfloat16) {
        sweep(width, [&](int64_t k, auto left) {
            const int64_t at = id * width + k;
            Vec x = table.format == Format::kFloat32
                        ? load(static_cast<const float*>(table.data) + at, left)
                        : load(static_cast<const uint16_t*>(table.data) + at, left);
            store(to + k, x * set(scale), left);
        });
    } else if (table.format == Format::kInt8) {
        const float unit = static_cast<const float*>(table.scale)[id];
        const int8_t* row = static_cast<const int8_t*>(table.data) + id * width;
        for (int64_t k = 0; k < width; ++k) to[k] = row[k] * unit * scale;
    } else {
        const bool whole = table.format == Format::kInt4;
        const uint8_t* row = static_cast<const uint8_t*>(table.data) + id * width / 2;
        const int64_t groups = width / table.group;
        for (int64_t k = 0; k < width; ++k) {
            const int64_t group = id * groups + k / table.group;
            const int code = row[k / 2] >> (k % 2 * 4) & 15;
            const float unit = whole
                                   ? wide(static_cast<const uint16_t*>(table.scale)[group])
                                   : power(static_cast<const uint8_t*>(table.scale)[group]);
            to[k] = (whole ? static_cast<float>(code - 8) : kE2m1[code]) * unit * scale;
        }
    }
}

}  // namespace
}  // namespace canvaslm

using namespace canvaslm;

CANVASLM_API void canvaslm_rows(int threads, const float* x, int64_t stride, const Panel* to) {
    parallel(threads, blocks_of(to->tokens), [&](int64_t block, int) {
        const float* rows = x + block * kLanes * stride;
        float peak[kLanes];
        if (to->kind == Kind::kInt8)
            for (int row = 0; row < tokens_of(block, to->tokens); ++row) {
                Peak own;
                sweep(to->width, [&](int64_t at, auto left) {
                    own.see(load(rows + row * stride + at, left));
                });
                peak[row] = own.value();
            }
        pack_rows(*to, block, rows, stride, peak);
    });
}

CANVASLM_API void canvaslm_norm(int threads, const float* h, const float* weight, float eps,
                                const Panel* to) {
    parallel(threads, blocks_of(to->tokens), [&](int64_t block, int) {
        norm_block(h, weight, eps, *to, block);
    });
}

// `out` may be h itself. With `add`, out = (out + x / rms(x) * weight) * scalar.
CANVASLM_API void canvaslm_normed(int threads, int64_t tokens, int64_t width, const float* x,
                                  const float* weight, float eps, bool add, float scalar,
                                  float* out) {
    parallel(threads, blocks_of(tokens), [&](int64_t block, int) {
        for (int row = 0; row < tokens_of(block, tokens); ++row) {
            const int64_t start = (block * kLanes + row) * width;
            if (add)
                norm_row<true>(x + start, weight, width, eps, scalar, out + start);
            else
                norm_row<false>(x + start, weight, width, eps, scalar, out + start);
        }
    });
}

// The sum of the two normed branches is written over the first.
CANVASLM_API void canvaslm_add_both(int threads, int64_t tokens, int64_t width, float* h,
                                    float* one, const float* other, const float* one_weight,
                                    const float* other_weight, const float* weight, float eps,
                                    float scalar) {
    parallel(threads, blocks_of(tokens), [&](int64_t block, int) {
        for (int row = 0; row < tokens_of(block, tokens); ++row) {
            const int64_t start = (block * kLanes + row) * width;
            norm_row<false>(one + start, one_weight, width, eps, 1, one + start);
            norm_row<true>(other + start, other_weight, width, eps, 1, one + start);
            norm_row<true>(one + start, weight, width, eps, scalar, h + start);
        }
    });
}

CANVASLM_API void canvaslm_gate(int threads, const float* gate, int64_t gate_stride,
                                const float* up, int64_t up_stride, const Panel* to) {
    parallel(threads, blocks_of(to->tokens), [&](int64_t block, int) {
        const int64_t width = to->width, first = block * kLanes;
        auto made = static_cast<float*>(scratch(0, static_cast<size_t>(width) * kLanes * 4));
        float peak[kLanes];
        for (int row = 0; row < tokens_of(block, to->tokens); ++row)
            peak[row] = gated(gate + (first + row) * gate_stride, up + (first + row) * up_stride,
                              width, made + row * width);
        pack_rows(*to, block, made, width, peak);
    });
}

struct Turn {
    Heads parts[3];  // q, k and v
    int64_t tokens, size;
    const float *cos, *sin;
    float eps;
    int32_t bfloat16;
};

CANVASLM_API void canvaslm_turn(int threads, const Turn* turn) {
    parallel(threads, blocks_of(turn->tokens), [&](int64_t block, int) {
        for (int row = 0; row < tokens_of(block, turn->tokens); ++row) {
            const int64_t token = block * kLanes + row, half = turn->size / 2;
            const Turning turning{turn->size, turn->eps, turn->cos + token * half,
                                  turn->sin + token * half};
            for (const Heads& part : turn->parts) {
                if (turn->bfloat16)
                    turn_token<uint16_t>(part, token, turning);
                else
                    turn_token<float>(part, token, turning);
            }
        }
    });
}

CANVASLM_API void canvaslm_route(int threads, int64_t tokens, int64_t width, const float* h,
                                 int64_t experts, const float* router, const float* expert_scale,
                                 int64_t top, float eps, float* weights, int32_t* index) {
    const Routing to{router, expert_scale, experts, top, eps, weights, index};
    parallel(threads, blocks_of(tokens), [&](int64_t block, int) {
        route_block(h, tokens, width, to, block);
    });
}

// False, and nothing written, where an id is none of the table's.
CANVASLM_API bool canvaslm_embed(int threads, int64_t tokens, const int64_t* ids,
                                 const Matrix* table, float scale, float* out) {
    for (int64_t i = 0; i < tokens; ++i)
        if (ids[i] < 0 || ids[i] >= table->outputs) return false;
    parallel(threads, blocks_of(tokens), [&](int64_t block, int) {
        for (int row = 0; row < tokens_of(block, tokens); ++row) {
            const int64_t token = block * kLanes + row;
            unpack_row(*table, ids[token], scale, out + token * table->width);
        }
    });
    return true;
}
