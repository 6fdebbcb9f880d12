// Rows in training, forwards and back: norms, a residual and its norm, gates, turned heads, the loss.
//
// The residual is float; what goes into products and comes out of them is float or bfloat16 (`E`).
// Work is cut into chunks of 64 rows whatever the number of threads; what a chunk adds to the
// gradient of a weight lies in a row of its own, to be added up in order.
#include "api.h"
#include "norm.h"
#include "pool.h"
#include "vector.h"

namespace canvaslm {
namespace {

constexpr int64_t kChunk = 64;

template <class F>
void chunks(int threads, int64_t rows, F&& f) {
    parallel(threads, (rows + kChunk - 1) / kChunk, [&](int64_t chunk, int) {
        const int64_t end = (chunk + 1) * kChunk;
        f(chunk, chunk * kChunk, end < rows ? end : rows);
    });
}

// f(E{}) with the type that `bfloat16` says.
template <class F>
void typed(bool bfloat16, F&& f) {
    if (bfloat16)
        f(uint16_t{});
    else
        f(float{});
}

// The sum over a row of what `f` gives for each sixteen.
template <class F>
inline float total(int64_t width, F&& f) {
    Vec sums = set(0);
    sweep(width, [&](int64_t at, auto left) { sums += f(at, left); });
    return sum(sums);
}

template <class T>
inline float inverse_of(const T* x, int64_t width, float eps) {
    const float squares = total(width, [&](int64_t at, auto left) {
        Vec piece = load(x + at, left);
        return piece * piece;
    });
    return inverse_rms(squares, width, eps);
}

template <class N>
inline void add_to(float* to, Vec x, N left) {
    store(to, load(to, left) + x, left);
}

// Of y = n w, n = x / rms(x), where `grad` is dy: adds dw to `weight_grad`, and hands dx to `take`.
template <class Grad, class X, class Take>
inline void norm_back(int64_t width, const float* weight, float inverse, float* weight_grad,
                      Grad&& grad, X&& x, Take&& take) {
    const Vec scale = set(inverse);
    const float along = total(width, [&](int64_t at, auto left) {
        const Vec dy = grad(at, left), n = x(at, left) * scale;
        if (weight_grad) add_to(weight_grad + at, dy * n, left);
        return weighted(dy, weight, at, left) * n;
    });
    const Vec mean = set(along / static_cast<float>(width));
    sweep(width, [&](int64_t at, auto left) {
        const Vec n = x(at, left) * scale, dn = weighted(grad(at, left), weight, at, left);
        take(at, left, (dn - n * mean) * scale);
    });
}

inline void clear(float* row, int64_t width) {
    if (row) std::memset(row, 0, static_cast<size_t>(width) * 4);
}

struct Sum {
    int64_t rows, width;
    float eps, scalar;
    const float *sum_weight, *norm_weight;  // of the part that is added; of what follows, or null
    float *sum_inverse, *norm_inverse;      // 1 / rms of each row
};

template <class E>
void add_row(const Sum& to, int64_t row, const float* h, const E* part, float* sum, E* normed) {
    const int64_t start = row * to.width;
    const float inverse = inverse_of(part + start, to.width, to.eps);
    to.sum_inverse[row] = inverse;
    const Vec scale = set(inverse), scalar = set(to.scalar);
    const float squares = total(to.width, [&](int64_t at, auto left) {
        const Vec n = load(part + start + at, left) * scale;
        const Vec all = fma(n, load(to.sum_weight + at, left), load(h + start + at, left)) * scalar;
        store(sum + start + at, all, left);
        return all * all;
    });
    if (!to.norm_weight) return;
    to.norm_inverse[row] = inverse_rms(squares, to.width, to.eps);
    const Vec second = set(to.norm_inverse[row]);
    sweep(to.width, [&](int64_t at, auto left) {
        const Vec n = load(sum + start + at, left) * second;
        store(normed + start + at, n * load(to.norm_weight + at, left), left);
    });
}

struct Back {
    const float *sum, *sum_grad;         // the residual after the sum; its gradient, or null
    float *grad, *sum_parts, *norm_parts;  // of the residual before; of the weights, by chunk
};

template <class E>
void add_row_back(const Sum& of, const Back& to, int64_t row, int64_t chunk, const E* part,
                  const E* normed_grad, E* part_grad) {
    const int64_t width = of.width, start = row * width;
    float *grad = to.grad + start, *norm_part = to.norm_parts + chunk * width;
    const Vec scalar = set(of.scalar);
    auto outer = [&](int64_t at, auto left) {
        return to.sum_grad ? load(to.sum_grad + start + at, left) : set(0);
    };
    if (normed_grad)
        norm_back(
            width, of.norm_weight, of.norm_inverse[row], norm_part,
            [&](int64_t at, auto left) { return load(normed_grad + start + at, left); },
            [&](int64_t at, auto left) { return load(to.sum + start + at, left); },
            [&](int64_t at, auto left, Vec dx) {
                store(grad + at, (dx + outer(at, left)) * scalar, left);
            });
    else
        sweep(width, [&](int64_t at, auto left) {
            store(grad + at, outer(at, left) * scalar, left);
        });
    norm_back(
        width, of.sum_weight, of.sum_inverse[row], to.sum_parts + chunk * width,
        [&](int64_t at, auto left) { return load(grad + at, left); },
        [&](int64_t at, auto left) { return load(part + start + at, left); },
        [&](int64_t at, auto left, Vec dx) { store(part_grad + start + at, dx, left); });
}

// gelu as in vector.h, x s, and its slope s + x s (1 - s) (a + 3 b x^2).
inline void curve(Vec x, Vec& value, Vec& slope) {
    const Vec square = x * x, one = set(1.0f);
    const Vec exponent = x * fma(square, set(-0.1029432400f), set(-2.3022081810f));
    const Vec s = one / (one + two_to(exponent));
    value = x * s;
    const Vec inner = fma(square, set(3 * 0.0713548163f), set(1.5957691216f));
    slope = fma(value * (one - s), inner, s);
}

struct Heads {
    int64_t rows, tokens, heads, size;  // R, N, H, d
    const float* norm;                  // null: neither weighted nor turned
    const float *cos, *sin;             // [period, d / 2]
    int64_t period;                     // token i of all turns as i modulo this
    float eps;
};

// first, second = the halves of a head turned by the angle of its token; backwards, the other way.
template <class N>
inline void turned(const Heads& by, int64_t token, int64_t at, N left, float way, Vec& first,
                   Vec& second) {
    const int64_t place = token % by.period * (by.size / 2) + at;
    const Vec cos = load(by.cos + place, left), sin = load(by.sin + place, left) * set(way);
    const Vec was = first;
    first = first * cos - second * sin;
    second = second * cos + was * sin;
}

template <class E>
void turn_token(const Heads& by, int64_t token, const E* raw, E* out) {
    const int64_t half = by.size / 2;
    for (int64_t head = 0; head < by.heads; ++head, raw += by.size, out += by.size) {
        const Vec scale = set(inverse_of(raw, by.size, by.eps));
        sweep(half, [&](int64_t at, auto left) {
            Vec first = weighted(load(raw + at, left) * scale, by.norm, at, left);
            Vec second = weighted(load(raw + half + at, left) * scale, by.norm, half + at, left);
            if (by.norm) turned(by, token, at, left, 1, first, second);
            store(out + at, first, left);
            store(out + half + at, second, left);
        });
    }
}

// `grad` is the gradient of one token's heads, `stride` apart; room holds one head.
template <class E>
void turn_token_back(const Heads& by, int64_t token, const E* raw, const E* grad, int64_t stride,
                     float* room, E* raw_grad, float* norm_part) {
    const int64_t half = by.size / 2;
    for (int64_t head = 0; head < by.heads; ++head) {
        const E* own = grad + head * stride;
        sweep(half, [&](int64_t at, auto left) {
            Vec first = load(own + at, left), second = load(own + half + at, left);
            if (by.norm) turned(by, token, at, left, -1, first, second);
            store(room + at, first, left);
            store(room + half + at, second, left);
        });
        const E* x = raw + head * by.size;
        E* to = raw_grad + head * by.size;
        norm_back(
            by.size, by.norm, inverse_of(x, by.size, by.eps), norm_part,
            [&](int64_t at, auto left) { return load(room + at, left); },
            [&](int64_t at, auto left) { return load(x + at, left); },
            [&](int64_t at, auto left, Vec dx) { store(to + at, dx, left); });
    }
}

// cap tanh(z / cap), the exponent in powers of 2; 0: no cap.
inline Vec capped(Vec z, float cap) { return cap > 0 ? tanh(z * set(1 / cap)) * set(cap) : z; }

// 0, or NaN where x is: `exp` and `tanh` make numbers of it, and a loss must not.
inline Vec not_a_number(Vec x) {
    const Vec zero = set(0);
    return select(less(x, set(1)), zero, select(less(zero, x), zero, x));
}

// log of the sum of e^z over a row; leaves the capped numbers in `room`, and where the largest is.
template <class E>
float log_sum(const E* z, int64_t width, float cap, float* room, int64_t& best) {
    Vec most = set(-HUGE_VALF), odd = set(0);
    sweep(width, [&](int64_t at, auto left) {
        const Vec x = load(z + at, left);
        odd += not_a_number(x);
        store(room + at, capped(x, cap), left);
    });
    int64_t at = 0;
    for (; at + 16 <= width; at += 16) most = max(most, load(room + at));
    float peak = largest(most);
    for (; at < width; ++at) peak = room[at] > peak ? room[at] : peak;
    for (best = 0; best + 1 < width && room[best] < peak;) ++best;
    double sums = 0;
    for (at = 0; at + 16 <= width; at += 16) sums += sum(exp(load(room + at) - set(peak)));
    for (; at < width; ++at) sums += std::exp(room[at] - peak);
    return peak + static_cast<float>(std::log(sums)) + sum(odd);
}

}  // namespace
}  // namespace canvaslm

using namespace canvaslm;

// to = h / rms(h) * weight; the weight may be null.
CANVASLM_API void canvaslm_train_norm(int threads, bool bfloat16, int64_t rows, int64_t width,
                                      float eps, const float* h, const float* weight, void* to,
                                      float* inverse) {
    typed(bfloat16, [&](auto kind) {
        auto out = static_cast<decltype(kind)*>(to);
        chunks(threads, rows, [&](int64_t, int64_t row, int64_t end) {
            for (; row < end; ++row) {
                const float* x = h + row * width;
                inverse[row] = inverse_of(x, width, eps);
                const Vec scale = set(inverse[row]);
                sweep(width, [&](int64_t at, auto left) {
                    const Vec n = weighted(load(x + at, left) * scale, weight, at, left);
                    store(out + row * width + at, n, left);
                });
            }
        });
    });
}

CANVASLM_API void canvaslm_train_norm_back(int threads, bool bfloat16, int64_t rows, int64_t width,
                                           const float* h, const float* weight,
                                           const float* inverse, const void* out_grad, float* grad,
                                           float* parts) {
    typed(bfloat16, [&](auto kind) {
        auto dy = static_cast<const decltype(kind)*>(out_grad);
        chunks(threads, rows, [&](int64_t chunk, int64_t row, int64_t end) {
            float* part = parts ? parts + chunk * width : nullptr;
            clear(part, width);
            for (; row < end; ++row) {
                const int64_t start = row * width;
                norm_back(
                    width, weight, inverse[row], part,
                    [&](int64_t at, auto left) { return load(dy + start + at, left); },
                    [&](int64_t at, auto left) { return load(h + start + at, left); },
                    [&](int64_t at, auto left, Vec dx) { store(grad + start + at, dx, left); });
            }
        });
    });
}

// sum = (h + part / rms(part) * sum_weight) * scalar, and normed = sum / rms(sum) * norm_weight.
CANVASLM_API void canvaslm_train_add(int threads, bool bfloat16, const Sum* to, const float* h,
                                     const void* part, float* sum, void* normed) {
    typed(bfloat16, [&](auto kind) {
        using E = decltype(kind);
        chunks(threads, to->rows, [&](int64_t, int64_t row, int64_t end) {
            for (; row < end; ++row)
                add_row(*to, row, h, static_cast<const E*>(part), sum, static_cast<E*>(normed));
        });
    });
}

CANVASLM_API void canvaslm_train_add_back(int threads, bool bfloat16, const Sum* of,
                                          const Back* to, const void* part,
                                          const void* normed_grad, void* part_grad) {
    typed(bfloat16, [&](auto kind) {
        using E = decltype(kind);
        chunks(threads, of->rows, [&](int64_t chunk, int64_t row, int64_t end) {
            clear(to->sum_parts + chunk * of->width, of->width);
            clear(to->norm_parts + chunk * of->width, of->width);
            for (; row < end; ++row)
                add_row_back(*of, *to, row, chunk, static_cast<const E*>(part),
                             static_cast<const E*>(normed_grad), static_cast<E*>(part_grad));
        });
    });
}

// to = gelu(gate) * up, all of them [rows, width].
CANVASLM_API void canvaslm_train_gate(int threads, bool bfloat16, int64_t rows, int64_t width,
                                      const void* gate, const void* up, void* to) {
    typed(bfloat16, [&](auto kind) {
        using E = decltype(kind);
        auto g = static_cast<const E*>(gate), u = static_cast<const E*>(up);
        auto out = static_cast<E*>(to);
        chunks(threads, rows, [&](int64_t, int64_t row, int64_t end) {
            sweep((end - row) * width, [&](int64_t i, auto left) {
                const int64_t at = row * width + i;
                store(out + at, gelu(load(g + at, left)) * load(u + at, left), left);
            });
        });
    });
}

CANVASLM_API void canvaslm_train_gate_back(int threads, bool bfloat16, int64_t rows, int64_t width,
                                           const void* gate, const void* up, const void* out_grad,
                                           void* gate_grad, void* up_grad) {
    typed(bfloat16, [&](auto kind) {
        using E = decltype(kind);
        auto g = static_cast<const E*>(gate), u = static_cast<const E*>(up);
        auto dy = static_cast<const E*>(out_grad);
        auto dg = static_cast<E*>(gate_grad), du = static_cast<E*>(up_grad);
        chunks(threads, rows, [&](int64_t, int64_t row, int64_t end) {
            sweep((end - row) * width, [&](int64_t i, auto left) {
                const int64_t at = row * width + i;
                Vec value, slope;
                curve(load(g + at, left), value, slope);
                const Vec grad = load(dy + at, left);
                store(dg + at, grad * load(u + at, left) * slope, left);
                store(du + at, grad * value, left);
            });
        });
    });
}

// Every head of raw [R * N, H * d] normed, and where there is a norm weighted and turned.
CANVASLM_API void canvaslm_train_turn(int threads, bool bfloat16, const Heads* by, const void* raw,
                                      void* out) {
    typed(bfloat16, [&](auto kind) {
        using E = decltype(kind);
        const int64_t width = by->heads * by->size;
        chunks(threads, by->rows * by->tokens, [&](int64_t, int64_t token, int64_t end) {
            for (; token < end; ++token)
                turn_token(*by, token, static_cast<const E*>(raw) + token * width,
                           static_cast<E*>(out) + token * width);
        });
    });
}

// The gradient of the heads may lie anyhow: `strides` of row, token and head, in numbers.
CANVASLM_API void canvaslm_train_turn_back(int threads, bool bfloat16, const Heads* by,
                                           const void* raw, const void* grad,
                                           const int64_t* strides, void* raw_grad, float* parts) {
    typed(bfloat16, [&](auto kind) {
        using E = decltype(kind);
        const int64_t width = by->heads * by->size;
        chunks(threads, by->rows * by->tokens, [&](int64_t chunk, int64_t token, int64_t end) {
            auto room = static_cast<float*>(scratch(0, static_cast<size_t>(by->size) * 4));
            float* part = parts ? parts + chunk * by->size : nullptr;
            clear(part, by->size);
            for (; token < end; ++token) {
                const int64_t row = token / by->tokens, place = token % by->tokens;
                turn_token_back(*by, token, static_cast<const E*>(raw) + token * width,
                                static_cast<const E*>(grad) + row * strides[0] + place * strides[1],
                                strides[2], room, static_cast<E*>(raw_grad) + token * width, part);
            }
        });
    });
}

// Capped logits as floats.
CANVASLM_API void canvaslm_train_cap(int threads, bool bfloat16, int64_t rows, int64_t width,
                                     float cap, const void* logits, float* to) {
    typed(bfloat16, [&](auto kind) {
        auto z = static_cast<const decltype(kind)*>(logits);
        chunks(threads, rows, [&](int64_t, int64_t row, int64_t end) {
            sweep((end - row) * width, [&](int64_t i, auto left) {
                store(to + row * width + i, capped(load(z + row * width + i, left), cap), left);
            });
        });
    });
}

// Cross-entropy of every row at its target, whether the largest is the target, and log_sum.
CANVASLM_API void canvaslm_train_loss(int threads, bool bfloat16, int64_t rows, int64_t width,
                                      float cap, const void* logits, const int64_t* target,
                                      float* loss, bool* hit, float* sums) {
    typed(bfloat16, [&](auto kind) {
        auto z = static_cast<const decltype(kind)*>(logits);
        chunks(threads, rows, [&](int64_t, int64_t row, int64_t end) {
            auto room = static_cast<float*>(scratch(0, static_cast<size_t>(width) * 4));
            for (; row < end; ++row) {
                int64_t best;
                sums[row] = log_sum(z + row * width, width, cap, room, best);
                loss[row] = sums[row] - room[target[row]];
                hit[row] = best == target[row];
            }
        });
    });
}

CANVASLM_API void canvaslm_train_loss_back(int threads, bool bfloat16, int64_t rows, int64_t width,
                                           float cap, const void* logits, const int64_t* target,
                                           const float* sums, const float* loss_grad, void* grad) {
    typed(bfloat16, [&](auto kind) {
        using E = decltype(kind);
        auto z = static_cast<const E*>(logits);
        auto dz = static_cast<E*>(grad);
        const float narrow = cap > 0 ? 1 / cap : 0;
        chunks(threads, rows, [&](int64_t, int64_t row, int64_t end) {
            auto room = static_cast<float*>(scratch(0, static_cast<size_t>(width) * 4));
            for (; row < end; ++row) {
                const Vec scale = set(loss_grad[row]), shift = set(sums[row]);
                auto slope = [&](Vec c) {
                    const Vec part = c * set(narrow);
                    return set(1) - part * part;
                };
                sweep(width, [&](int64_t at, auto left) {
                    const Vec c = capped(load(z + row * width + at, left), cap);
                    store(room + at, exp(c - shift) * scale * slope(c), left);
                });
                float c[16];
                store(c, capped(load(z + row * width + target[row], int64_t{1}), cap));
                const float part = c[0] * narrow;
                room[target[row]] -= loss_grad[row] * (1 - part * part);
                sweep(width, [&](int64_t at, auto left) {
                    store(dz + row * width + at, load(room + at, left), left);
                });
            }
        });
    });
}
